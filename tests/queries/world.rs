//! A store, the same rows in plain maps, and what happens to both.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edgetime_protocol::cell;
use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{Access, Batch, Engine, EngineOptions, SpaceLimits};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::cache::{CacheOptions, ResultCache};
use edgetimedb::query::result::{ResultBatch, ResultCell};
use edgetimedb::query::{QueryContext, QueryLimits, QueryWorkers, Store, query};
use edgetimedb::server::QueryThreads;
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, StoreId};

use super::naive::Row;
use super::question::FIELDS;
use super::random::Random;
use super::value::{Type, Value};

const SECOND: i64 = 1_000_000_000;
/// A day before clocks in Berlin go back.
pub const START: i64 = 1_603_497_600 * SECOND;
/// Two days later.
pub const END: i64 = START + 172_800 * SECOND;

/// Tags, in the order of series.
const SERIES: [(&str, Option<&str>); 4] = [
    ("a", None),
    ("a", Some("1")),
    ("b", Some("1")),
    ("c", Some("21")),
];

/// Rows live for so long.
const AGE: i64 = 172_800 * SECOND;

pub struct World {
    engine: Option<Arc<Engine>>,
    clock: Arc<ManualClock>,
    /// Of this engine.
    results: Arc<ResultCache>,
    folder: tempfile::TempDir,
    chunk_rows: usize,
    /// Fields by time, of each series.
    rows: [BTreeMap<i64, Vec<Value>>; 4],
    counters: [i64; 4],
    /// Whether there are NaN, infinities and numbers at the ends of their ranges.
    pub wild: bool,
}

impl World {
    pub fn new(random: &mut Random) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let chunk_rows = random.pick(&[64, 256, 1_024]);
        let clock = Arc::new(ManualClock::at(END));
        let engine = open(folder.path(), chunk_rows, &clock);
        let mut world = Self {
            engine: Some(engine),
            clock,
            results: results(),
            folder,
            chunk_rows,
            rows: Default::default(),
            counters: [0; 4],
            wild: random.once_in(2),
        };
        // From here on `v` is a float, whatever is written later. Nothing of this series is deleted.
        let mut values = vec![Value::Null; FIELDS.len()];
        values[FIELDS.len() - 1] = Value::Float(0.5);
        for (field, (_, kind)) in FIELDS.iter().enumerate() {
            if values[field].is_null() {
                values[field] = match kind {
                    Type::Float => Value::Float(1.5),
                    Type::Unsigned => Value::Unsigned(1),
                    Type::Bool => Value::Bool(true),
                    Type::Text => Value::Text("s0".to_owned()),
                    Type::Int | Type::Time => Value::Int(1),
                };
            }
        }
        world.write(SERIES.len() - 1, START, values);
        world
    }

    fn engine(&self) -> &Arc<Engine> {
        self.engine.as_ref().expect("open")
    }

    /// Writes, late rows and overwrites among them; deletes; seals, writes a checkpoint, starts again.
    pub fn happen(&mut self, random: &mut Random) {
        for _ in 0..=random.below(4) {
            let series = random.below(4);
            let step = random.pick(&[1, 10, 60, 600]);
            let from = random.between(0, 172_800 - step * 100);
            for index in 0..random.pick(&[3, 30, 100]) {
                let jitter = random.between(0, step);
                let fraction = random.pick(&[0, 0, 0, 123_456_789]);
                let time = START + (from + index * step + jitter) * SECOND + fraction;
                let values = self.values(random, series);
                self.write(series, time, values);
            }
        }
        if random.once_in(3) {
            self.delete(random);
        }
        match random.below(6) {
            0 => {
                self.engine().seal_all().expect("seals");
            }
            1 => {
                self.engine().checkpoint().expect("a checkpoint");
            }
            2 => {
                self.engine().sync().expect("durable");
                self.engine = None;
                self.engine = Some(open(self.folder.path(), self.chunk_rows, &self.clock));
                self.results = results();
            }
            3 => {
                let seconds = random.between(0, 7_200);
                self.clock.advance(seconds as u64 * 1_000_000_000);
                let horizon = self.horizon();
                for rows in &mut self.rows {
                    rows.retain(|time, _| *time >= horizon);
                }
                if random.once_in(2) {
                    self.engine().tick().expect("maintenance");
                }
            }
            _ => {}
        }
    }

    /// Rows before this have expired.
    fn horizon(&self) -> i64 {
        self.engine().time_bounds().horizon
    }

    fn values(&mut self, random: &mut Random, series: usize) -> Vec<Value> {
        (0..FIELDS.len())
            .map(|field| {
                if random.once_in(5) {
                    Value::Null
                } else {
                    self.value(random, series, field)
                }
            })
            .collect()
    }

    fn write(&mut self, series: usize, time: i64, values: Vec<Value>) {
        let (mut fields, mut bits, mut marks, mut heap) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (&(name, _), value) in FIELDS.iter().zip(&values) {
            let (kind, cell, mark) = match value {
                Value::Null => continue,
                // Half of the whole numbers of `v` are written as integers.
                Value::Float(value) if name == "v" && value.fract() == 0.0 => {
                    (FieldType::Integer, *value as i64 as u64, 0)
                }
                Value::Float(value) => (FieldType::Float, value.to_bits(), cell::MARK_RAW),
                Value::Int(value) => (FieldType::Integer, *value as u64, 0),
                Value::Unsigned(value) => (FieldType::Unsigned, *value, 0),
                Value::Bool(value) => (FieldType::Boolean, u64::from(*value), 0),
                Value::Text(text) => {
                    let start = heap.len() as u32;
                    heap.extend_from_slice(text.as_bytes());
                    (FieldType::String, cell::heap(start, text.len() as u32), 0)
                }
            };
            fields.push((name, kind));
            bits.push(cell);
            marks.push(mark);
        }
        if fields.is_empty() || time < self.horizon() {
            return;
        }
        let engine = self.engine();
        let database = engine
            .resolve_database(&Access::full(), "db")
            .expect("room");
        let (host, rack) = SERIES[series];
        let mut tags = vec![("host", host)];
        tags.extend(rack.map(|rack| ("rack", rack)));
        let resolved = engine
            .resolve_series(database, "m", &mut tags)
            .expect("room");
        let plan = engine
            .resolve_layout(resolved.measurement, &fields)
            .expect("room");
        let mut batch: Batch = engine.batch();
        let layout = batch.layout_index(&plan.layout);
        batch.push(resolved, layout, Some(time), (&bits, &marks, &heap), 0);
        if engine.checkpoint_is_due() {
            engine.checkpoint().expect("a checkpoint");
        }
        let written = engine.write(&mut batch);
        assert!(written.error.is_none(), "{:?}", written.error);
        let empty = || vec![Value::Null; FIELDS.len()];
        let kept = self.rows[series].entry(time).or_insert_with(empty);
        for (kept, value) in kept.iter_mut().zip(values) {
            if !value.is_null() {
                *kept = value;
            }
        }
    }

    fn value(&mut self, random: &mut Random, series: usize, field: usize) -> Value {
        let wild = self.wild && random.once_in(40);
        match FIELDS[field].0 {
            "x" if wild => Value::Float(random.pick(&[f64::NAN, f64::INFINITY, -0.0, 1e18, 0.1])),
            "x" if random.once_in(4) => {
                Value::Float((random.next() >> 12) as f64 / 9.77e11 - 2_000.0)
            }
            "x" => Value::Float(random.between(-50_000, 50_000) as f64 / 100.0),
            "k" if wild => Value::Int(random.pick(&[i64::MAX, i64::MIN, 1 << 53])),
            "k" => Value::Int(random.between(-20, 20)),
            "u" if wild => Value::Unsigned(random.pick(&[u64::MAX, 1 << 63])),
            "u" => Value::Unsigned(random.between(0, 60) as u64),
            "on" => Value::Bool(random.once_in(3)),
            "s" => Value::Text(format!("s{}", random.below(5))),
            "c" => {
                let counter = &mut self.counters[series];
                *counter = if random.once_in(20) {
                    0
                } else {
                    *counter + random.between(0, 9)
                };
                Value::Int(*counter)
            }
            _ => Value::Float(random.between(-10, 60) as f64 / 2.0),
        }
    }

    fn delete(&mut self, random: &mut Random) {
        let from = random.between(START, END);
        let to = from + random.between(1, 20_000) * SECOND;
        let host = random.pick(&["a", "b", "zz"]);
        let text =
            format!("DELETE FROM m WHERE time >= {from} AND time < {to} AND host = '{host}'");
        let mut gone = 0;
        for (rows, series) in self.rows.iter_mut().zip(SERIES) {
            if series.0 == host {
                let before = rows.len();
                rows.retain(|time, _| !(from..to).contains(time));
                gone += before - rows.len();
            }
        }
        let answer = self.ask(&text).expect("deletes");
        assert_eq!(answer, [[Value::Int(gone as i64)]], "{text}");
    }

    /// All rows in the order of time, then of series.
    pub fn rows(&self) -> Vec<Row> {
        let mut all = Vec::new();
        for (series, rows) in self.rows.iter().enumerate() {
            let (host, rack) = SERIES[series];
            let rack = rack.map_or(Value::Null, |rack| Value::Text(rack.to_owned()));
            for (&time, fields) in rows {
                all.push(Row {
                    series,
                    time,
                    tags: [Value::Text(host.to_owned()), rack.clone()],
                    fields: fields.clone(),
                });
            }
        }
        all.sort_by_key(|row| (row.time, row.series));
        all
    }

    /// What the cache found, and what it found not to hold any more.
    pub fn found(&self) -> (u64, u64) {
        let total = self.results.stats().total;
        (total.hits, total.invalidations)
    }

    /// The server's answer without the cache.
    pub fn ask(&self, text: &str) -> Result<Vec<Vec<Value>>, String> {
        let store = Store::new(Arc::clone(self.engine()), Access::full());
        answer(&store, text, None)
    }

    /// The same with what the cache has of earlier questions, on as many threads as there are series.
    pub fn ask_cached(&self, text: &str) -> Result<Vec<Vec<Value>>, String> {
        let store = Store::new(Arc::clone(self.engine()), Access::full());
        let workers = QueryWorkers::new(8, QueryThreads).with_series_min(1);
        answer(&store.with_cache(&self.results), text, Some(&workers))
    }
}

fn answer(
    store: &Store,
    text: &str,
    workers: Option<&QueryWorkers>,
) -> Result<Vec<Vec<Value>>, String> {
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: END,
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers,
        cancel: &|| false,
    };
    let mut answer = Vec::new();
    let mut sink = |batch: ResultBatch| {
        for row in 0..batch.rows() {
            let cells = batch.columns.iter().map(|column| match column.cell(row) {
                ResultCell::Null => Value::Null,
                ResultCell::Integer(value) | ResultCell::Time(value) => Value::Int(value),
                ResultCell::Unsigned(value) => Value::Unsigned(value),
                ResultCell::Float(value) => Value::Float(value),
                ResultCell::Boolean(value) => Value::Bool(value),
                ResultCell::String(text) => Value::Text(text.to_owned()),
                ResultCell::Binary(bytes) => Value::Text(format!("{bytes:?}")),
            });
            answer.push(cells.collect());
        }
        Ok(())
    };
    query(store, text, &context, &mut |_| Ok(()), &mut sink)
        .map(|_| answer)
        .map_err(|error| error.to_string())
}

fn results() -> Arc<ResultCache> {
    Arc::new(ResultCache::new(CacheOptions {
        capacity_bytes: 1 << 20,
        ttl_ns: 0,
        hash_seed: 1,
    }))
}

fn open(folder: &Path, chunk_rows: usize, clock: &Arc<ManualClock>) -> Arc<Engine> {
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
        new_series: edgetimedb::engine::NewSeriesLimits::default(),
        hash_seed: 1,
        time_future_max_ns: i64::MAX,
        time_min_ns: 0,
        raw_age_max_ns: AGE,
        rows_per_series_max: 0,
        tiers: Vec::new(),
        empty_series_ns: 0,
        rejected_bytes_max: 1 << 20,
        chunk_rows,
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 1 << 20,
        memory_limit_bytes: 0,
        space: SpaceLimits::default(),
        rejected_rows_max: 0,
        follow_data: None,
    };
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::clone(clock) as _;
    let meta = Arc::new(MemoryMeta::default());
    Arc::new(Engine::open(storage, meta, clock, StoreId(1), options).expect("opens"))
}
