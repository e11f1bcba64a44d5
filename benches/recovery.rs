//! Opening a store: a full log that no checkpoint has, and 100 million values in block files.
//!
//! Rows go through the engine as the server's do, without sockets and parsing. Each store is opened several times, with
//! its files in the page cache and without them; the least time counts. One thread does all of it, so that where the
//! system counts it, its time on a processor says what a machine of its own would need.

#![allow(missing_docs)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{Access, Engine, EngineError, EngineOptions, SeriesRef};
use edgetimedb::limits::CHUNK_ROWS;
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::storage::{self, BackendChoice};
use edgetimedb::types::{FieldType, Layout, StoreId};

/// What devices send.
struct Shape {
    name: &'static str,
    series: u64,
    fields: u64,
    field_type: FieldType,
    /// Decimal places of a float.
    mark: u8,
    interval_ns: i64,
}

const DEVOPS: Shape = Shape {
    name: "devops, 1,000 hosts of 10 integers",
    series: 1_000,
    fields: 10,
    field_type: FieldType::Integer,
    mark: 0,
    interval_ns: 10_000_000_000,
};
const SENSORS: Shape = Shape {
    name: "1,000 sensors of one decimal",
    series: 1_000,
    fields: 1,
    field_type: FieldType::Float,
    mark: 2,
    interval_ns: 1_000_000_000,
};

fn open(folder: &Path) -> Engine {
    let options = EngineOptions {
        new_series: edgetimedb::engine::NewSeriesLimits::default(),
        hash_seed: 1,
        chunk_rows: CHUNK_ROWS,
        shards: 8,
        log: LogOptions::default(),
        catalog: CatalogLimits {
            databases_max: 4,
            series_max: 10_000,
            series_per_database_max: 0,
            columns_max: 100,
        },
        time_future_max_ns: i64::MAX,
        time_min_ns: 0,
        raw_age_max_ns: 0,
        rows_per_series_max: 0,
        tiers: Vec::new(),
        empty_series_ns: 0,
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 16 << 20,
        rejected_rows_max: 0,
        rejected_bytes_max: u64::MAX,
        follow_data: None,
        memory_limit_bytes: 0,
        space: edgetimedb::engine::SpaceLimits::default(),
    };
    let storage = storage::open(folder, BackendChoice::Auto).expect("a folder");
    let clock = Arc::new(ManualClock::at(START_NS));
    let meta = Arc::new(MemoryMeta::default());
    Engine::open(storage, meta, clock, StoreId(1), options).expect("opens")
}

/// Rows of one shape, step by step over its series: every value walks up and down between 0 and 100.
struct Source {
    shape: Shape,
    series: Vec<SeriesRef>,
    layout: Arc<Layout>,
    values: Vec<u64>,
    marks: Vec<u8>,
    random: u64,
    step: i64,
    host: usize,
}

impl Source {
    fn new(engine: &Engine, shape: Shape) -> Self {
        let database = engine
            .resolve_database(&Access::full(), "default")
            .expect("room");
        let series: Vec<_> = (0..shape.series)
            .map(|number| {
                let host = format!("host_{number}");
                let mut tags = [("hostname", host.as_str()), ("region", "eu-west-1")];
                engine
                    .resolve_series(database, "cpu", &mut tags)
                    .expect("room")
            })
            .collect();
        let names: Vec<_> = (0..shape.fields).map(|field| format!("f{field}")).collect();
        let fields: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), shape.field_type))
            .collect();
        let plan = engine
            .resolve_layout(series[0].measurement, &fields)
            .expect("room");
        Self {
            values: vec![50; (shape.series * shape.fields) as usize],
            marks: vec![shape.mark; shape.fields as usize],
            series,
            layout: plan.layout,
            shape,
            random: 1,
            step: 0,
            host: 0,
        }
    }

    /// Writes a batch; false where the log has no room for it.
    fn write(&mut self, engine: &Engine, batch: &mut edgetimedb::engine::Batch) -> bool {
        let fields = self.shape.fields as usize;
        while batch.len() < BATCH_ROWS {
            let cells = &mut self.values[self.host * fields..][..fields];
            for cell in &mut *cells {
                self.random = self.random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                let up = self.random >> 63 == 1;
                *cell = if up {
                    (*cell + 1).min(100)
                } else {
                    cell.saturating_sub(1)
                };
            }
            let layout = batch.layout_index(&self.layout);
            let time = START_NS + self.step * self.shape.interval_ns;
            let series = self.series[self.host];
            batch.push(series, layout, Some(time), (cells, &self.marks, &[]), 0);
            self.host += 1;
            if self.host == self.series.len() {
                (self.host, self.step) = (0, self.step + 1);
            }
        }
        match engine.write(batch).error {
            None => true,
            Some(EngineError::Busy) => false,
            Some(error) => panic!("{error}"),
        }
    }
}

/// Fills the log until it takes no more, and opens it again.
fn full_log(shape: Shape) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (name, fields) = (shape.name, shape.fields);
    {
        let engine = open(folder.path());
        let mut source = Source::new(&engine, shape);
        let mut batch = engine.batch();
        while source.write(&engine, &mut batch) {
            engine.sync().expect("a device");
            engine.prepare_log().expect("room");
        }
        engine.sync().expect("a device");
    }
    let mut report = String::new();
    for (state, cached) in [("in the page cache", true), ("not cached", false)] {
        let (spent, busy, engine) = least(folder.path(), cached, LOG_ROUNDS);
        let rows = engine.opened().replayed_rows;
        let values = rows * fields;
        let bytes = engine.opened().log.bytes;
        let rate = values as f64 / busy.as_secs_f64() / 1e6;
        report = format!(
            "{report}  {state:18} {:6.3} s, on a processor {:6.3} s: {rate:5.1} M values/s, {:5.1} MiB of payloads, {rows} rows, {values} values\n",
            spent.as_secs_f64(),
            busy.as_secs_f64(),
            bytes as f64 / 1_048_576.0
        );
    }
    print!("a full log: {name}\n{report}");
}

/// Writes 100 million values to block files, and opens them.
fn blocks(shape: Shape) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (name, rows) = (shape.name, BLOCK_VALUES / shape.fields);
    {
        let engine = open(folder.path());
        let mut source = Source::new(&engine, shape);
        let mut batch = engine.batch();
        let mut written = 0;
        while written < rows {
            if source.write(&engine, &mut batch) {
                written += BATCH_ROWS as u64;
            }
            engine.prepare_log().expect("room");
            if engine.checkpoint_is_due() {
                engine.checkpoint_in_passing().expect("a device");
            }
        }
        engine.checkpoint_everything().expect("a device");
        engine.seal_log().expect("a device");
    }
    println!("{BLOCK_VALUES} values in block files: {name}");
    for (state, cached) in [("in the page cache", true), ("not cached", false)] {
        let (spent, busy, engine) = least(folder.path(), cached, BLOCK_ROUNDS);
        let opened = engine.opened();
        println!(
            "  {state:18} {:6.3} s, on a processor {:6.3} s: {} chunks, {} rows in them, {} images, {} rows replayed",
            spent.as_secs_f64(),
            busy.as_secs_f64(),
            opened.chunks,
            opened.chunk_rows,
            opened.images,
            opened.replayed_rows
        );
    }
}

/// The least time of several openings, the least of it on a processor, and the store as the last one found it.
fn least(folder: &Path, cached: bool, rounds: usize) -> (Duration, Duration, Engine) {
    let (mut least, mut least_busy) = (Duration::MAX, Duration::MAX);
    let mut engine = None;
    for _ in 0..rounds {
        drop(engine.take());
        if !cached {
            forget(folder);
        }
        let (began, busy) = (Instant::now(), busy());
        engine = Some(open(folder));
        let spent = began.elapsed();
        least = least.min(spent);
        let on_processor = busy
            .zip(self::busy())
            .map(|(from, to)| to.saturating_sub(from));
        least_busy = least_busy.min(on_processor.unwrap_or(spent));
    }
    (least, least_busy, engine.expect("at least one round"))
}

/// The time that this thread was on a processor, where the system says so (schedstat, `sched-stats.rst`).
fn busy() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Takes all files of a folder out of the page cache.
fn forget(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            forget(&path);
        } else {
            let file = File::open(&path).expect("a file");
            file.sync_all().expect("a device");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("a hint");
        }
    }
}

fn main() {
    full_log(DEVOPS);
    full_log(SENSORS);
    blocks(DEVOPS);
}

const START_NS: i64 = 1_700_000_000_000_000_000;
const BATCH_ROWS: usize = 1_000;
const BLOCK_VALUES: u64 = 100_000_000;
const LOG_ROUNDS: usize = 5;
const BLOCK_ROUNDS: usize = 5;
