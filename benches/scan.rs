//! A series read back from the engine, and asked by SQL: open and sealed chunks, in memory. Every question is
//! put twice, to the store as it is and to one whose chunks are all decoded.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{Access, Engine, EngineOptions};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::source::{
    MeasurementInfo, ScanRequest, SeriesInfo, SeriesScan, Source, SourceError,
};
use edgetimedb::query::{QueryContext, QueryLimits, Store, query};
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, MeasurementId, SeriesId, StoreId, TimeRange};

const ROWS: i64 = 1_000_000;
const START_NS: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 1_000_000_000;

fn engine(folder: &std::path::Path) -> Arc<Engine> {
    let options = EngineOptions {
        shards: 4,
        log: LogOptions::default(),
        catalog: CatalogLimits {
            databases_max: 4,
            series_max: 100,
            series_per_database_max: 0,
            columns_max: 100,
        },
        new_series: edgetimedb::engine::NewSeriesLimits::default(),
        hash_seed: 1,
        time_future_max_ns: i64::MAX,
        time_min_ns: 0,
        raw_age_max_ns: 0,
        rows_per_series_max: 0,
        tiers: Vec::new(),
        empty_series_ns: 0,
        chunk_rows: edgetimedb::limits::CHUNK_ROWS,
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 16 << 20,
        memory_limit_bytes: 0,
        space: edgetimedb::engine::SpaceLimits::default(),
        rejected_rows_max: 0,
        rejected_bytes_max: u64::MAX,
        follow_data: None,
    };
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(START_NS));
    let meta = Arc::new(MemoryMeta::default());
    Arc::new(Engine::open(storage, meta, clock, StoreId(1), options).expect("opens"))
}

/// One series of a temperature with two decimals that rises slowly.
fn fill(engine: &Engine) {
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    let series = engine
        .resolve_series(database, "m", &mut [("s", "a")])
        .expect("room");
    let plan = engine
        .resolve_layout(series.measurement, &[("v", FieldType::Float)])
        .expect("room");
    let mut batch = engine.batch();
    for i in 0..ROWS {
        let layout = batch.layout_index(&plan.layout);
        let hundredths = 2_150 + i / 1_000 + (i * 7919 % 97);
        batch.push(
            series,
            layout,
            Some(START_NS + i * STEP_NS),
            (&[hundredths as u64], &[2], &[]),
            0,
        );
        if i % 1_000 == 999 {
            assert!(engine.write(&mut batch).error.is_none());
        }
    }
}

fn questions() -> Vec<(&'static str, String)> {
    let buckets = |width| format!("SELECT time_bucket('{width}', time), avg(v) FROM m GROUP BY 1");
    let range = format!(
        "time >= {} AND time < {}",
        START_NS + 500_100 * STEP_NS,
        START_NS + 500_200 * STEP_NS
    );
    vec![
        (
            "aggregate",
            "SELECT count(v), min(v), max(v), avg(v) FROM m".to_owned(),
        ),
        ("hourly average", buckets("1 hour")),
        ("average of 10 min", buckets("10 minutes")),
        ("average of 2 min", buckets("2 minutes")),
        ("average of 30 s", buckets("30 s")),
        ("last value", "SELECT last(v) FROM m".to_owned()),
        (
            "newest row",
            "SELECT * FROM m ORDER BY time DESC LIMIT 1".to_owned(),
        ),
        (
            "selective filter",
            "SELECT time, v FROM m WHERE v > 32.4".to_owned(),
        ),
        ("100 rows", format!("SELECT time, v FROM m WHERE {range}")),
    ]
}

/// A store that is asked for nothing but rows.
struct Decoded(Store);

impl Source for Decoded {
    fn databases(&self) -> Vec<Arc<str>> {
        self.0.databases()
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        self.0.measurements(database)
    }

    fn measurement(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementInfo>, SourceError> {
        self.0.measurement(database, name)
    }

    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.0.series(database, measurement, accept)
    }

    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        let plain = ScanRequest {
            rows_max: None,
            conditions: Arc::new([]),
            summaries: None,
            ..request.clone()
        };
        self.0.scan(series, &plain)
    }
}

fn scan(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    fill(&engine);
    let view = engine
        .measurement(&Access::full(), "default", "m")
        .expect("allowed")
        .expect("there");
    let series = engine.select_series(view.id, &|_| true)[0].id;
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sample_size(20);
    group.measurement_time(Duration::from_secs(1));
    group.warm_up_time(Duration::from_millis(300));
    group.bench_function("rows", |b| {
        b.iter(|| {
            let mut reader = engine.read_series(series, TimeRange::ALL, &[view.columns[0].id]);
            let mut rows = 0;
            while let Some((times, columns)) = reader.next_batch().expect("reads") {
                rows += black_box(&times).len();
                black_box(&columns);
            }
            assert_eq!(rows as i64, ROWS);
        });
    });
    let store = Store::new(Arc::clone(&engine), Access::full());
    let decoded = Decoded(Store::new(Arc::clone(&engine), Access::full()));
    let context = QueryContext {
        memory: None,
        database: "default",
        now_ns: START_NS,
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    for (name, sql) in questions() {
        for (how, source) in [("", &store as &dyn Source), (", decoded", &decoded)] {
            group.bench_function(format!("{name}{how}"), |b| {
                b.iter(|| {
                    let mut rows = 0;
                    query(source, &sql, &context, &mut |_| Ok(()), &mut |batch| {
                        rows += batch.rows();
                        Ok(())
                    })
                    .expect("answers");
                    assert!(rows > 0);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
