//! A store with a cache of results, and one way to write, to delete and to ask.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{
    Access, Engine, EngineOptions, NewSeriesLimits, RetentionTier, SpaceLimits,
};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::cache::{CacheOptions, CacheStats, ResultCache};
use edgetimedb::query::result::{ResultBatch, ResultCell};
use edgetimedb::query::{CacheUse, QueryContext, QueryLimits, QueryWorkers, Store, query};
use edgetimedb::server::QueryThreads;
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, StoreId};

pub const SECOND: i64 = 1_000_000_000;
pub const START: i64 = 1_600_000_020 * SECOND;
pub const HOSTS: [(&str, &str); 4] = [("a", "1"), ("b", "1"), ("c", "2"), ("d", "2")];

/// How long rows and chunks live.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    pub raw_age_max_s: i64,
    pub rows_per_series_max: u64,
    pub chunk_rows: usize,
    /// Whether rows that leave go into buckets.
    pub tiers: bool,
}

pub struct Cached {
    pub engine: Arc<Engine>,
    pub clock: Arc<ManualClock>,
    pub results: Arc<ResultCache>,
    /// Answers with the cache that buckets gave a part of.
    pub rolled: AtomicU64,
}

/// A splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(1) as u64) as i64
    }
}

impl Cached {
    /// Opens a store; what was kept of it before counts no longer.
    pub fn open(folder: &Path, now: i64, lives: Lives, cache_bytes: usize) -> Self {
        let widths = if lives.tiers {
            &["10s", "30s", "5m"][..]
        } else {
            &[]
        };
        let tier = |width: &&str| RetentionTier {
            width: width.parse().expect("a tier"),
            age_s: 0,
        };
        let tiers = widths.iter().map(tier).collect();
        let options = EngineOptions {
            shards: 3,
            log: LogOptions {
                segment_size_bytes: 64 * 1024,
                segment_count_max: 8,
                prefetch_bytes: 0,
                sync_failures_max: 3,
            },
            catalog: CatalogLimits {
                databases_max: 4,
                series_max: 100,
                series_per_database_max: 0,
                columns_max: 100,
            },
            new_series: NewSeriesLimits::default(),
            hash_seed: 1,
            time_future_max_ns: i64::MAX,
            time_min_ns: 0,
            raw_age_max_ns: lives.raw_age_max_s * SECOND,
            rows_per_series_max: lives.rows_per_series_max,
            tiers,
            empty_series_ns: 0,
            rejected_bytes_max: 1 << 20,
            chunk_rows: lives.chunk_rows,
            chunk_age_max_ns: i64::MAX,
            chunk_cache_bytes: 1 << 20,
            memory_limit_bytes: 0,
            space: SpaceLimits::default(),
            rejected_rows_max: 0,
            follow_data: None,
        };
        let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
        let clock = Arc::new(ManualClock::at(now));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Engine::open(storage, meta, Arc::clone(&clock) as _, StoreId(1), options);
        Self {
            engine: Arc::new(engine.expect("opens")),
            clock,
            results: Arc::new(ResultCache::new(CacheOptions {
                capacity_bytes: cache_bytes,
                ttl_ns: 0,
                hash_seed: 1,
            })),
            rolled: AtomicU64::new(0),
        }
    }

    /// Writes rows of one host in one batch, each a time and a value of a field.
    pub fn write(&self, host: usize, field: (&str, FieldType), rows: &[(i64, i64)]) {
        let engine = &self.engine;
        let database = engine.resolve_database(&Access::full(), "db");
        let (name, rack) = HOSTS[host];
        let mut tags = [("host", name), ("rack", rack)];
        let series = engine.resolve_series(database.expect("room"), "m", &mut tags);
        let series = series.expect("room");
        let plan = engine.resolve_layout(series.measurement, &[field]);
        let mut batch = engine.batch();
        let layout = batch.layout_index(&plan.expect("room").layout);
        let horizon = engine.time_bounds().horizon;
        for &(time, value) in rows.iter().filter(|(time, _)| *time >= horizon) {
            batch.push(series, layout, Some(time), (&[value as u64], &[0], &[]), 0);
        }
        if engine.checkpoint_is_due() {
            engine.checkpoint().expect("a checkpoint");
        }
        while !batch.is_empty() {
            if engine.write(&mut batch).error.is_some() {
                // The log has room again behind a checkpoint.
                engine.checkpoint().expect("a checkpoint");
            }
        }
    }

    /// What of an answer came from the cache.
    pub fn use_of(&self, text: &str) -> CacheUse {
        self.run(text, true, &|| ()).1
    }

    /// From now on what is kept is read anew after a time.
    pub fn live_for(&mut self, ttl_ns: i64) {
        self.results = Arc::new(ResultCache::new(CacheOptions {
            capacity_bytes: 4 << 20,
            ttl_ns,
            hash_seed: 1,
        }));
    }

    /// The answer with the cache or without it, a line a row; `meanwhile` is called every now and then.
    pub fn ask(&self, text: &str, with_cache: bool, meanwhile: &(dyn Fn() + Sync)) -> Vec<String> {
        self.run(text, with_cache, meanwhile).0
    }

    fn run(
        &self,
        text: &str,
        with_cache: bool,
        meanwhile: &(dyn Fn() + Sync),
    ) -> (Vec<String>, CacheUse) {
        let mut store = Store::new(Arc::clone(&self.engine), Access::full());
        if with_cache {
            store = store.with_cache(&self.results);
        }
        // As many threads as there are series.
        let workers = QueryWorkers::new(8, QueryThreads).with_series_min(1);
        let context = QueryContext {
            memory: None,
            database: "db",
            now_ns: self.engine.server_time().now,
            limits: QueryLimits::default(),
            monotonic_ns: None,
            workers: Some(&workers),
            cancel: &|| {
                meanwhile();
                false
            },
        };
        let mut answer = Vec::new();
        let mut sink = |batch: ResultBatch| {
            for row in 0..batch.rows() {
                let cells = batch.columns.iter().map(|column| match column.cell(row) {
                    ResultCell::Null => "NULL".to_owned(),
                    ResultCell::Integer(value) => value.to_string(),
                    ResultCell::Time(time) => ((time - START) / SECOND).to_string(),
                    ResultCell::Float(value) => format!("{value:?}"),
                    ResultCell::String(text) => text.to_owned(),
                    other => format!("{other:?}"),
                });
                answer.push(cells.collect::<Vec<_>>().join(" "));
            }
            Ok(())
        };
        match query(&store, text, &context, &mut |_| Ok(()), &mut sink) {
            Ok(stats) => {
                let is_kept = matches!(stats.cache, CacheUse::Used { .. });
                let of_both = is_kept && stats.rolled.is_some();
                self.rolled.fetch_add(of_both.into(), Ordering::Relaxed);
                (answer, stats.cache)
            }
            Err(error) => (vec![format!("error: {error}")], CacheUse::None),
        }
    }

    pub fn stats(&self) -> CacheStats {
        self.results.stats()
    }
}
