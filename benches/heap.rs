//! Heap of an engine with many series: every allocation counted, nothing estimated.
//!
//! 10,000 series of four fields (two decimals, a counter, a flag), written row by row in turns as devices send
//! them. Reported are a series with a name and one row, one whose open chunk is half full, and one that is idle:
//! everything of it in block files.

#![allow(missing_docs)]

use std::alloc::System;
use std::sync::Arc;

use cap::Cap;
use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{Access, Engine, EngineOptions, SeriesRef};
use edgetimedb::limits::CHUNK_ROWS;
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, Layout, StoreId};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn engine(folder: &std::path::Path) -> Engine {
    let options = EngineOptions {
        chunk_rows: CHUNK_ROWS,
        shards: 4,
        log: LogOptions {
            segment_size_bytes: 32 << 20,
            segment_count_max: 16,
            ..LogOptions::default()
        },
        catalog: CatalogLimits {
            databases_max: 4,
            series_max: SERIES as usize,
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
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 1 << 20,
        rejected_rows_max: 0,
        rejected_bytes_max: u64::MAX,
        follow_data: None,
        memory_limit_bytes: 0,
        space: edgetimedb::engine::SpaceLimits::default(),
    };
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(START_NS));
    let meta = Arc::new(MemoryMeta::default());
    Engine::open(storage, meta, clock, StoreId(1), options).expect("opens")
}

/// Names all series.
fn define(engine: &Engine) -> (Vec<SeriesRef>, Arc<Layout>) {
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    let series: Vec<_> = (0..SERIES)
        .map(|number| {
            let device = format!("device-{number:05}");
            let mut tags = [("device", device.as_str()), ("site", "hall-3")];
            engine
                .resolve_series(database, "machine", &mut tags)
                .expect("room")
        })
        .collect();
    let fields = [
        ("temperature", FieldType::Float),
        ("pressure", FieldType::Float),
        ("pieces", FieldType::Integer),
        ("running", FieldType::Boolean),
    ];
    let plan = engine
        .resolve_layout(series[0].measurement, &fields)
        .expect("room");
    (series, plan.layout)
}

/// Writes rows of all series in turns.
fn write(engine: &Engine, series: &[SeriesRef], layout: &Arc<Layout>, rows: std::ops::Range<u64>) {
    let mut batch = engine.batch();
    for row in rows {
        for (number, &series) in series.iter().enumerate() {
            let noise = (row * 7_919 + number as u64 * 104_729) % 97;
            let layout = batch.layout_index(layout);
            let cells = [
                2_150 + noise / 9,
                101_300 + noise,
                row * 3 + noise % 2,
                row / 60 % 2,
            ];
            let time = START_NS + row as i64 * 10_000_000_000;
            batch.push(series, layout, Some(time), (&cells, &[2, 1, 0, 0], &[]), 0);
            if batch.len() == 1_000 {
                assert!(engine.write(&mut batch).error.is_none(), "room in the log");
            }
        }
        engine.write(&mut batch);
        engine.sync().expect("a device");
    }
}

fn report(what: &str, heap: usize, rows: u64) {
    let each = heap as f64 / SERIES as f64;
    let value = if rows == 0 {
        String::new()
    } else {
        format!(", {:.2} bytes a value", each / (rows * FIELDS) as f64)
    };
    println!(
        "{what:44} {:8.1} MiB, {each:8.0} bytes a series{value}",
        heap as f64 / 1_048_576.0
    );
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let empty = HEAP.allocated();
    let heap = || HEAP.allocated() - empty;
    let (series, layout) = define(&engine);
    let kept = series.capacity() * size_of_val(&series[0]);
    println!("{SERIES} series of {FIELDS} fields");
    report("named", heap() - kept, 0);
    write(&engine, &series, &layout, 0..1);
    report("with one row", heap() - kept, 1);
    let half = CHUNK_ROWS as u64 / 2;
    write(&engine, &series, &layout, 1..half);
    report("with a half-full open chunk", heap() - kept, half);
    let status = engine.status();
    assert_eq!(status.open_rows, SERIES * half);
    report(
        "  of it rows, open chunks, rings",
        status.memory.series_bytes as usize,
        half,
    );
    engine.seal_all().expect("just encoded");
    report("sealed, not in a block file yet", heap() - kept, half);
    engine.checkpoint_everything().expect("a device");
    report("idle: all of it in block files", heap() - kept, 0);
}

const SERIES: u64 = 10_000;
const FIELDS: u64 = 4;
const START_NS: i64 = 1_700_000_000_000_000_000;
