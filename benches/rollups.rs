//! What rollups cost a value that is written, and what they save a question over thirty days: engines in this process,
//! without sockets, that get the same rows, in turn.
//!
//! `EDGETIME_BENCH_SENSORS` (100), `EDGETIME_BENCH_DAYS` (30) of a reading a minute for questions,
//! `EDGETIME_BENCH_ROWS` of each sensor for the cost (20,000), `EDGETIME_BENCH_ROUNDS` (5).
//! `cargo bench --bench rollups`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{
    Access, Engine, EngineOptions, RetentionBound, RetentionChange, RowPlan, SeriesRef,
};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::{QueryContext, QueryLimits, Store, query};
use edgetimedb::rollup::Tier;
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, StoreId};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_451_606_400 * SECOND;
const DAY: i64 = 86_400 * SECOND;
const FIELDS: [&str; 4] = ["temperature", "humidity", "pressure", "level"];

struct Bench {
    engine: Arc<Engine>,
    sensors: Vec<SeriesRef>,
    plan: RowPlan,
    values: Vec<[f64; FIELDS.len()]>,
    random: u64,
}

fn main() {
    let sensors = variable("EDGETIME_BENCH_SENSORS", 100) as usize;
    cost(sensors, variable("EDGETIME_BENCH_ROWS", 20_000) as i64);
    questions(sensors, variable("EDGETIME_BENCH_DAYS", 30) as i64);
}

/// All but the newest rows leave while others come: for nothing, and for buckets of three tiers.
fn cost(sensors: usize, rows: i64) {
    println!(
        "{sensors} sensors of 4 fields, a reading a second, {rows} rows each, of which the newest 4,096 stay"
    );
    let mut least = [Duration::MAX; 2];
    let mut used = std::collections::BTreeMap::new();
    for _ in 0..variable("EDGETIME_BENCH_ROUNDS", 5) {
        for (with, least) in [false, true].into_iter().zip(&mut least) {
            let folder = tempfile::tempdir().expect("a folder");
            let mut bench = Bench::new(folder.path(), sensors);
            let tiers = Tier::USUAL.map(|tier| (tier, with.then_some(0)));
            bench.change(None, Some(4_096), &tiers);
            let began = Instant::now();
            bench.write(rows, SECOND, true);
            bench.engine.checkpoint().expect("a checkpoint");
            *least = (*least).min(began.elapsed());
            used = bench.engine.tier_uses();
        }
    }
    let values = sensors as f64 * rows as f64 * FIELDS.len() as f64;
    let [without, with] = least.map(|time| time.as_nanos() as f64 / values);
    println!(
        "without tiers {without:.1} ns a value, with 10s, 1m and 1h {with:.1}: {:.1} % more",
        (with / without - 1.0) * 100.0
    );
    for (tier, found) in used {
        let partials = found.buckets * FIELDS.len() as u64;
        println!(
            "{tier}: {} buckets, {:.1} bytes a bucket and field",
            found.buckets,
            found.bytes as f64 / partials.max(1) as f64
        );
    }
}

/// The same rows in two engines; in one of them all but the last day have left.
fn questions(sensors: usize, days: i64) {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let engines = folders.each_ref().map(|folder| {
        let mut bench = Bench::new(folder.path(), sensors);
        let is_aged = folder.path() == folders[1].path();
        bench.write(days * 1_440, 60 * SECOND, false);
        if is_aged {
            bench.change(Some(86_400), None, &Tier::USUAL.map(|tier| (tier, Some(0))));
            bench.engine.tick().expect("ticks");
        }
        bench.engine.checkpoint().expect("a checkpoint");
        bench.engine
    });
    println!(
        "{sensors} sensors, a reading a minute for {days} days, of which in the second store the last day is rows"
    );
    let bytes = engines
        .each_ref()
        .map(|engine| engine.status().blocks.live_bytes);
    println!(
        "block files: {} bytes of rows, {} of a day and buckets",
        bytes[0], bytes[1]
    );
    println!(
        "{:<58} {:>9} {:>9} {:>7}",
        "median", "rows", "tiers", "ratio"
    );
    for (name, text) in [
        (
            "all sensors, by day",
            "SELECT time_bucket('1 day', time) AS t, avg(temperature), max(level) FROM s GROUP BY t",
        ),
        (
            "each sensor, by day",
            "SELECT time_bucket('1 day', time) AS t, id, avg(temperature) FROM s GROUP BY t, id",
        ),
        (
            "one sensor, by hour",
            "SELECT time_bucket('1 hour', time) AS t, min(humidity), max(humidity) FROM s WHERE id = 's7' GROUP BY t",
        ),
        (
            "all sensors, all of it",
            "SELECT count(pressure), sum(pressure), stddev(pressure) FROM s",
        ),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..21 {
            for (engine, times) in engines.iter().zip(&mut times) {
                times.push(ask(engine, text));
            }
        }
        let [rows, tiers] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e3
        });
        println!(
            "{name:<58} {rows:>6.2} ms {tiers:>6.2} ms {:>7.1}",
            rows / tiers
        );
    }
}

fn ask(engine: &Arc<Engine>, text: &str) -> Duration {
    let store = Store::new(Arc::clone(engine), Access::full());
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: START + 40 * DAY,
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    let began = Instant::now();
    let mut rows = 0;
    let mut sink = |batch: edgetimedb::query::result::ResultBatch| {
        rows += batch.rows();
        Ok(())
    };
    query(&store, text, &context, &mut |_| Ok(()), &mut sink).expect("an answer");
    let elapsed = began.elapsed();
    assert!(rows > 0);
    elapsed
}

impl Bench {
    fn new(folder: &Path, sensors: usize) -> Self {
        let options = EngineOptions {
            shards: 4,
            log: LogOptions::default(),
            catalog: CatalogLimits {
                databases_max: 4,
                series_max: 1_000_000,
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
            chunk_cache_bytes: 256 << 20,
            memory_limit_bytes: 0,
            space: edgetimedb::engine::SpaceLimits::default(),
            rejected_rows_max: 0,
            rejected_bytes_max: u64::MAX,
            follow_data: None,
        };
        let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
        let clock = Arc::new(ManualClock::at(
            START + variable("EDGETIME_BENCH_DAYS", 30) as i64 * DAY,
        ));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Engine::open(storage, meta, clock, StoreId(1), options).expect("opens");
        let engine = Arc::new(engine);
        let database = engine
            .resolve_database(&Access::full(), "db")
            .expect("room");
        let of_number = |number: usize| {
            let name = format!("s{number}");
            let series = engine.resolve_series(database, "s", &mut [("id", &name)]);
            series.expect("room")
        };
        let sensors: Vec<SeriesRef> = (0..sensors).map(of_number).collect();
        let fields = FIELDS.map(|name| (name, FieldType::Float));
        let plan = engine.resolve_layout(sensors[0].measurement, &fields);
        Self {
            values: vec![[20.0, 50.0, 1_013.0, 3.0]; sensors.len()],
            plan: plan.expect("room"),
            engine,
            sensors,
            random: 1,
        }
    }

    fn change(&self, age_s: Option<u64>, rows: Option<u64>, tiers: &[(Tier, Option<u64>)]) {
        let change = RetentionChange::Class {
            name: "normal".to_owned(),
            importance: None,
            raw_age_s: age_s.map(RetentionBound::At),
            raw_bytes: None,
            rows_per_series: rows.map(RetentionBound::At),
            tiers: tiers.to_vec(),
        };
        let changed = self.engine.change_retention(&Access::full(), &change);
        changed.expect("taken");
    }

    /// Readings of all sensors, a step apart; with ticks, as a server has them, where rows are to leave meanwhile.
    fn write(&mut self, rows: i64, step: i64, ticks: bool) {
        let mut batch = self.engine.batch();
        for row in 0..rows {
            for sensor in 0..self.sensors.len() {
                let values = &mut self.values[sensor];
                for value in values.iter_mut() {
                    self.random = self
                        .random
                        .wrapping_mul(0x5851_f42d_4c95_7f2d)
                        .wrapping_add(1);
                    let moved = ((self.random >> 60) as i64 - 8) as f64 / 100.0;
                    *value = ((*value + moved) * 100.0).round() / 100.0;
                }
                let bits = values.map(f64::to_bits);
                let marks = [edgetime_protocol::cell::MARK_RAW; FIELDS.len()];
                let layout = batch.layout_index(&self.plan.layout);
                let time = Some(START + row * step);
                batch.push(self.sensors[sensor], layout, time, (&bits, &marks, &[]), 0);
                if batch.len() >= 1_000 {
                    self.flush(&mut batch);
                }
            }
            if ticks && row % 1_024 == 0 {
                self.engine.tick().expect("ticks");
            }
        }
        self.flush(&mut batch);
    }

    fn flush(&self, batch: &mut edgetimedb::engine::Batch) {
        while self.engine.write(batch).error.is_some() {
            self.engine.checkpoint_in_passing().expect("room");
        }
        batch.clear();
    }
}

fn variable(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}
