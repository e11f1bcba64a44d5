//! The catalog with a million series, what a hundred thousand new ones cost those who write, and the pool of the
//! metadata index with more callers than connections.

#![allow(missing_docs)]

use std::alloc::System;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cap::Cap;
use edgetimedb::catalog::{Catalog, CatalogLimits, HashSeed, SeriesKey, TagFilter, TagTest};
use edgetimedb::clock::SystemClock;
use edgetimedb::engine::{Access, Engine, EngineOptions, SeriesRef};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::{
    Batch, DatabaseRecord, MeasurementRecord, MetaStore, SeriesRecord, SqliteMeta, SqliteOptions,
};
use edgetimedb::storage::{self, BackendChoice};
use edgetimedb::types::{
    DatabaseId, FieldType, Layout, MeasurementId, SchemaMode, SeriesId, StoreId,
};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    million();
    for round in 1..=ROUNDS {
        println!("\nround {round}: {NEW} new series beside a writer of {KNOWN} known ones");
        pauses();
    }
    for _ in 0..ROUNDS {
        pool();
    }
}

const LIMITS: CatalogLimits = CatalogLimits {
    databases_max: 4,
    series_max: 2_000_000,
    series_per_database_max: 0,
    columns_max: 100,
};

/// Three tags: one of its own, one of 1,000 values, one of ten.
fn with_tags<T>(number: u32, run: impl FnOnce(&[(&str, &str)]) -> T) -> T {
    let host = format!("host-{number:07}");
    let rack = format!("rack-{:03}", number % 1_000);
    let zone = format!("zone-{}", number / 7 % 10);
    run(&[("host", &host), ("rack", &rack), ("zone", &zone)])
}

fn million() {
    let mut created = Vec::with_capacity(SERIES as usize);
    let before = HEAP.allocated();
    let mut catalog = Catalog::new(LIMITS, HashSeed(1));
    let database = catalog.ensure_database("d").expect("room");
    let measurement = catalog.ensure_measurement(database, "m").expect("room");
    for number in 0..SERIES {
        with_tags(number, |tags| {
            let key = SeriesKey { measurement, tags };
            let began = Instant::now();
            catalog.ensure_series(&key).expect("room");
            created.push(began.elapsed());
        });
    }
    let heap = HEAP.allocated() - before;
    println!("{SERIES} series of three tags");
    spread("created", created);
    println!(
        "  heap              {:9.0} bytes a series",
        heap as f64 / f64::from(SERIES)
    );
    let numbers: Vec<u32> = (0..100_000u64)
        .map(|i| (i * 7_919 % u64::from(SERIES)) as u32)
        .collect();
    let found = numbers.iter().map(|&number| {
        with_tags(number, |tags| {
            let key = SeriesKey { measurement, tags };
            let began = Instant::now();
            black_box(catalog.find_series(&key));
            began.elapsed()
        })
    });
    spread("found by key", found.collect());
    let found = catalog.measurement_by_id(measurement).expect("is there");
    let is = |tag, value| TagFilter::Is(tag, value);
    let test = |tag, test: fn(&str) -> bool| {
        TagFilter::Test(
            tag,
            TagTest::new(move |value| value.map(|value| test(value))),
        )
    };
    let questions: [(&str, TagFilter<'_>, Walk); 8] = [
        ("host = one", is("host", "host-0777777"), |t| {
            t[0] == "host-0777777"
        }),
        ("rack = one", is("rack", "rack-077"), |t| t[1] == "rack-077"),
        ("zone = one", is("zone", "zone-7"), |t| t[2] == "zone-7"),
        (
            "zone <> one",
            TagFilter::Not(Box::new(is("zone", "zone-7"))),
            |t| t[2] != "zone-7",
        ),
        (
            "rack IN two AND zone = one",
            TagFilter::All(vec![
                TagFilter::Any(vec![is("rack", "rack-077"), is("rack", "rack-078")]),
                is("zone", "zone-7"),
            ]),
            |t| (t[1] == "rack-077" || t[1] == "rack-078") && t[2] == "zone-7",
        ),
        (
            "NOT (zone = one OR rack = one)",
            TagFilter::Not(Box::new(TagFilter::Any(vec![
                is("zone", "zone-7"),
                is("rack", "rack-077"),
            ]))),
            |t| t[2] != "zone-7" && t[1] != "rack-077",
        ),
        (
            "rack begins with (1,000 values)",
            test("rack", |rack| rack.starts_with("rack-07")),
            |t| t[1].starts_with("rack-07"),
        ),
        (
            "host ends with (1,000,000 values)",
            test("host", |host| host.ends_with("7777")),
            |t| t[0].ends_with("7777"),
        ),
    ];
    println!("  which series                         series        sets       walk");
    for (name, filter, walk) in questions {
        let mut count = 0;
        let sets = least_of(20, || count = found.select(&filter).len());
        let mut walked = 0;
        let walking = least_of(3, || {
            walked = found
                .series()
                .filter_map(|id| catalog.series(id))
                .filter(|entry| {
                    let value = |at: usize| &*entry.tags[at].1;
                    walk(&[value(0), value(1), value(2)])
                })
                .count() as u64;
        });
        assert_eq!(count, walked, "{name}");
        println!(
            "    {name:34} {count:7} {:8.1} us {:8.0} us",
            micros(sets),
            micros(walking)
        );
    }
}

/// The same condition for a walk over all series.
type Walk = fn(&[&str; 3]) -> bool;

/// One by one, the clock included: on a busy machine the mean says more of its other programs.
fn spread(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_nanos();
    println!(
        "  {what:17} p50 {} ns, p99 {} ns, p99.99 {} ns",
        at(0.5),
        at(0.99),
        at(0.9999)
    );
}

fn least_of(rounds: u32, mut run: impl FnMut()) -> Duration {
    let round = |_| {
        let began = Instant::now();
        run();
        began.elapsed()
    };
    (0..rounds).map(round).min().unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn engine(folder: &std::path::Path) -> Engine {
    let options = EngineOptions {
        shards: 4,
        log: LogOptions::default(),
        catalog: LIMITS,
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
    let storage = storage::open(folder, BackendChoice::Auto).expect("a folder");
    let clock = Arc::new(SystemClock::new());
    let (meta, _) =
        SqliteMeta::open(SqliteOptions::in_folder(folder), Arc::clone(&clock) as _).expect("opens");
    Engine::open(storage, Arc::new(meta), clock, StoreId(1), options).expect("opens")
}

fn resolve(engine: &Engine, measurement: &str, number: u32) -> (SeriesRef, Arc<Layout>) {
    let database = engine.resolve_database(&Access::full(), "d").expect("room");
    let series = with_tags(number, |tags| {
        let mut tags = tags.to_vec();
        engine
            .resolve_series(database, measurement, &mut tags)
            .expect("room")
    });
    let fields = [("a", FieldType::Integer), ("b", FieldType::Integer)];
    let plan = engine
        .resolve_layout(series.measurement, &fields)
        .expect("room");
    (series, plan.layout)
}

fn pauses() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (other, engine) = (engine(elsewhere.path()), engine(folder.path()));
    let known: Vec<_> = (0..KNOWN)
        .map(|number| resolve(&engine, "known", number))
        .collect();
    let apart: Vec<_> = (0..KNOWN)
        .map(|number| resolve(&other, "known", number))
        .collect();
    let flags: [AtomicBool; 4] = Default::default();
    let [stop, alone, away, done] = &flags;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                engine.prepare_log().expect("a device");
                engine.sync().expect("a device");
                thread::sleep(Duration::from_millis(10));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if engine.checkpoint_is_due() {
                    engine.checkpoint_in_passing().expect("a device");
                }
                engine.tick().expect("a device");
                thread::sleep(Duration::from_millis(50));
            }
        });
        let writer = scope.spawn(|| latencies(&engine, &known, alone));
        thread::sleep(Duration::from_secs(2));
        alone.store(true, Ordering::Relaxed);
        report("alone", writer.join().expect("writes"));
        // The same load of the machine, but no lock in common.
        let writer = scope.spawn(|| latencies(&other, &apart, away));
        create(&engine, "first");
        away.store(true, Ordering::Relaxed);
        report("apart", writer.join().expect("writes"));
        let writer = scope.spawn(|| latencies(&engine, &known, done));
        let before = HEAP.allocated();
        let began = Instant::now();
        let waits = create(&engine, "second");
        let took = began.elapsed();
        let heap = HEAP.allocated() - before;
        done.store(true, Ordering::Relaxed);
        report("beside", writer.join().expect("writes"));
        println!(
            "  {:.0} new series a second, a row each, {waits} waits for room in the log; heap {} bytes a series",
            f64::from(NEW) / took.as_secs_f64(),
            heap / NEW as usize
        );
        let began = Instant::now();
        while !engine.index_use().is_whole {
            thread::sleep(Duration::from_millis(5));
        }
        println!(
            "  the index in SQLite was whole {:.0} ms later",
            began.elapsed().as_secs_f64() * 1e3
        );
        stop.store(true, Ordering::Relaxed);
    });
}

/// Writes rows of known series until told to stop: how long each batch took.
fn latencies(
    engine: &Engine,
    known: &[(SeriesRef, Arc<Layout>)],
    stop: &AtomicBool,
) -> Vec<Duration> {
    let mut batch = engine.batch();
    let mut took = Vec::with_capacity(1_000_000);
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for (series, layout) in known {
            let layout = batch.layout_index(layout);
            let time = START_NS + round * 1_000_000;
            batch.push(
                *series,
                layout,
                Some(time),
                (&[round as u64, 7], &[0, 0], &[]),
                0,
            );
        }
        let began = Instant::now();
        let written = engine.write(&mut batch);
        took.push(began.elapsed());
        batch.clear();
        assert!(written.error.is_none() || engine.log_usage().read_only.is_none());
        thread::sleep(Duration::from_micros(200));
    }
    took
}

fn create(engine: &Engine, measurement: &str) -> u64 {
    let mut batch = engine.batch();
    let mut waits = 0;
    for number in 0..NEW {
        let (series, layout) = resolve(engine, measurement, number);
        let layout = batch.layout_index(&layout);
        batch.push(series, layout, Some(START_NS), (&[1, 2], &[0, 0], &[]), 0);
        while batch.len() == 1_000 && engine.write(&mut batch).error.is_some() {
            waits += 1;
            thread::sleep(Duration::from_millis(1));
        }
    }
    waits
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| micros(took[((took.len() - 1) as f64 * share) as usize]);
    println!(
        "  {what:7} {:6} batches of {KNOWN} rows: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, longest {:.0} us",
        took.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn pool() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteOptions::in_folder(folder.path());
    let connections = options.pool_size_max;
    let (meta, _) = SqliteMeta::open(options, Arc::new(SystemClock::new())).expect("opens");
    let batch = |ids: std::ops::Range<u32>| Batch {
        databases: vec![DatabaseRecord {
            id: DatabaseId(1),
            name: "d".to_owned(),
        }],
        measurements: vec![MeasurementRecord {
            id: MeasurementId(1),
            database: DatabaseId(1),
            name: "m".to_owned(),
            mode: SchemaMode::Open,
        }],
        series: ids
            .map(|id| SeriesRecord {
                id: SeriesId(id),
                database: DatabaseId(1),
                measurement: MeasurementId(1),
                tags: format!("host=host-{id}"),
            })
            .collect(),
        ..Batch::default()
    };
    meta.apply(&batch(0..1_000), edgetimedb::types::Position(1))
        .expect("applies");
    println!(
        "\n{CALLERS} callers of the metadata index at once, {connections} connections, a writer among them"
    );
    let began = Instant::now();
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (meta, batch) = (&meta, &batch);
            scope.spawn(move || {
                for round in 0..200 {
                    if caller == 0 {
                        let from = 1_000 + round * 10;
                        meta.apply(&batch(from..from + 10), edgetimedb::types::Position(2))
                            .expect("applies");
                    } else {
                        let found = meta.series(MeasurementId(1), Some(SeriesId(round)), 20);
                        assert_eq!(found.expect("lists").len(), 20);
                    }
                }
            });
        }
    });
    let took = began.elapsed();
    let pool = meta.pool().expect("has one");
    println!(
        "  {:.0} calls a second; {} of {} waited; acquisition p50 {:.0} us, p99 {:.0} us; {} time-outs, {} connects, {} reconnects",
        pool.acquired as f64 / took.as_secs_f64(),
        pool.waits,
        pool.acquired,
        pool.acquire_p50_ns as f64 / 1e3,
        pool.acquire_p99_ns as f64 / 1e3,
        pool.timeouts,
        pool.connects,
        pool.reconnects
    );
}

const SERIES: u32 = 1_000_000;
const NEW: u32 = 100_000;
const KNOWN: u32 = 100;
const CALLERS: u32 = 64;
const ROUNDS: u32 = 3;
const START_NS: i64 = 1_700_000_000_000_000_000;
