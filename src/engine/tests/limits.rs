//! Limits on series: what they refuse, what goes on, and that a refusal leaves nothing behind.

use std::sync::Arc;

use super::{NOW, SECOND, options, try_write};
use crate::clock::ManualClock;
use crate::engine::{Access, CatalogError, Engine, EngineError, EngineOptions, NewSeriesLimits};
use crate::meta::MemoryMeta;
use crate::storage::FileStorage;
use crate::types::StoreId;

fn open(options: EngineOptions) -> (tempfile::TempDir, Arc<ManualClock>, Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Arc::new(FileStorage::open(folder.path()).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let engine = Engine::open(storage, meta, Arc::clone(&clock) as _, StoreId(7), options);
    (folder, clock, engine.expect("opens"))
}

fn resolve(engine: &Engine, measurement: &str) -> Result<(), EngineError> {
    let database = engine.resolve_database(&Access::full(), "default")?;
    engine
        .resolve_series(database, measurement, &mut [])
        .map(|_| ())
}

#[test]
fn a_measurement_does_not_come_into_being_by_a_row_that_is_refused() {
    let mut options = options();
    options.catalog.series_per_database_max = 2;
    let (_folder, _, engine) = open(options);
    for host in ["a", "b"] {
        try_write(&engine, host, Some(NOW), 1, "t").expect("room");
    }
    let generation = engine.catalog.read().generation();
    for _ in 0..3 {
        let refused = resolve(&engine, "other").expect_err("no room");
        let EngineError::Catalog(CatalogError::TooManySeries {
            option,
            measurement,
            held,
            ..
        }) = refused
        else {
            panic!("{refused}");
        };
        assert_eq!(
            (option, &*measurement, held),
            ("limits.series_per_database_max", "cpu", 2)
        );
    }
    assert_eq!(engine.catalog.read().generation(), generation);
    let names = engine.measurements(&Access::full(), "default");
    assert_eq!(names.expect("allowed").expect("known").len(), 1);
    // What is there goes on.
    try_write(&engine, "a", Some(NOW + 1), 2, "t").expect("known");
}

#[test]
fn new_series_come_no_faster_than_is_allowed() {
    let (_folder, clock, engine) = open(EngineOptions {
        new_series: NewSeriesLimits {
            per_second_max: 2,
            burst_max: 4,
        },
        ..options()
    });
    let made = |from: u32| {
        let all = from..from + 10;
        all.filter(|i| resolve(&engine, &format!("m{i}")).is_ok())
            .count()
    };
    assert_eq!(made(0), 4);
    let refused = resolve(&engine, "m99").expect_err("too many");
    assert!(matches!(refused, EngineError::TooManyNewSeries { .. }));
    resolve(&engine, "m0").expect("known");
    clock.advance(SECOND as u64);
    assert_eq!(made(100), 2);
    // Who sets a clock gets no more.
    clock.set_wall(NOW + 3_600 * SECOND);
    assert_eq!(made(200), 0);
}
