//! Measurements that are dropped: names, rows and space go, numbers are not used again.

use std::path::Path;
use std::sync::Arc;

use super::{NOW, SECOND, open, options, read_all, write_row};
use crate::clock::ManualClock;
use crate::engine::{Access, Engine, EngineOptions};
use crate::meta::{MemoryMeta, MetaStore};
use crate::storage::FileStorage;
use crate::types::{DatabaseId, FieldType, StoreId};

fn small_chunks() -> EngineOptions {
    EngineOptions {
        chunk_rows: 16,
        ..options()
    }
}

fn drop_cpu(engine: &Engine) -> u64 {
    let access = Access::full();
    let view = engine.measurement(&access, "default", "cpu");
    let view = view.expect("allowed").expect("written");
    let dropped = engine.drop_measurement(&access, "default", view.id);
    dropped.expect("drops").rows
}

fn fill(engine: &Engine, rows: i64) {
    for second in 0..rows {
        write_row(
            engine,
            "a",
            Some(NOW - 1_000 * SECOND + second * SECOND),
            second,
            "t",
        );
        write_row(
            engine,
            "b",
            Some(NOW - 1_000 * SECOND + second * SECOND),
            second,
            "t",
        );
    }
}

fn names(engine: &Engine) -> Vec<String> {
    let names = engine.measurements(&Access::full(), "default");
    let names = names.expect("allowed").unwrap_or_default();
    names.iter().map(ToString::to_string).collect()
}

fn check_gone(engine: &Arc<Engine>) {
    assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(names(engine), [""; 0]);
    assert!(read_all(engine, "a").is_empty());
    let status = engine.status();
    assert_eq!(
        (status.series, status.sealed_rows + status.open_rows),
        (0, 0)
    );
}

/// A store whose rows lie in block files, an image and the log, and then are dropped.
fn dropped(folder: &Path) -> Arc<Engine> {
    let engine = open(folder, small_chunks());
    fill(&engine, 40);
    engine.checkpoint_everything().expect("checkpoints");
    fill(&engine, 60);
    assert_eq!(drop_cpu(&engine), 120);
    check_gone(&engine);
    engine
}

#[test]
fn a_measurement_that_is_dropped_stays_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = dropped(folder.path());
    assert_eq!(engine.row_counts().deleted, 120);
    engine.sync().expect("syncs");
    for checkpoints in 0..3 {
        drop(engine);
        engine = open(folder.path(), small_chunks());
        check_gone(&engine);
        // From the log alone, then from the state file, too.
        if checkpoints > 0 {
            engine.checkpoint().expect("checkpoints");
            check_gone(&engine);
        }
    }
    let status = engine.status();
    assert_eq!((status.blocks.files, status.blocks.live_chunks), (0, 0));
}

#[test]
fn its_name_starts_afresh() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = dropped(folder.path());
    let write = |engine: &Engine| {
        let database = engine.resolve_database(&Access::full(), "default");
        let series = engine
            .resolve_series(database.expect("known"), "cpu", &mut [("host", "a")])
            .expect("room");
        let plan = engine.resolve_layout(series.measurement, &[("value", FieldType::Boolean)]);
        let mut batch = engine.batch();
        let layout = batch.layout_index(&plan.expect("room").layout);
        batch.push(series, layout, Some(NOW), (&[1], &[0], &[]), 0);
        assert!(engine.write(&mut batch).error.is_none());
        series
    };
    let series = write(&engine);
    assert!(series.id.0 >= 2, "{series:?}");
    let check = |engine: &Engine| {
        let view = engine.measurement(&Access::full(), "default", "cpu");
        let view = view.expect("allowed").expect("written again");
        let types: Vec<FieldType> = view
            .columns
            .iter()
            .map(|column| column.field_type)
            .collect();
        assert_eq!((types, view.series_count), (vec![FieldType::Boolean], 1));
        assert_eq!(engine.status().series, 1);
    };
    check(&engine);
    engine.sync().expect("syncs");
    let mut engine = engine;
    for _ in 0..3 {
        drop(engine);
        engine = open(folder.path(), small_chunks());
        assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
        check(&engine);
        // Numbers that are gone are not given out again.
        assert_eq!(write(&engine), series);
        engine.checkpoint().expect("checkpoints");
    }
}

#[test]
fn what_writers_still_hold_of_it_leads_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small_chunks());
    let database = engine.resolve_database(&Access::full(), "default");
    let series = engine.resolve_series(database.expect("room"), "cpu", &mut [("host", "a")]);
    let series = series.expect("room");
    let plan = engine.resolve_layout(series.measurement, &[("value", FieldType::Integer)]);
    let plan = plan.expect("room");
    let before = engine.drops();
    let write = |rows: i64| {
        for row in 0..rows {
            let mut batch = engine.batch();
            let layout = batch.layout_index(&plan.layout);
            batch.push(series, layout, Some(NOW + row), (&[7], &[0], &[]), 0);
            assert!(engine.write(&mut batch).error.is_none());
        }
    };
    write(40);
    assert_eq!(drop_cpu(&engine), 40);
    assert_eq!(engine.drops(), before + 1);
    write(40);
    engine.checkpoint_everything().expect("checkpoints");
    write(3);
    check_gone(&engine);
    assert_eq!(engine.row_counts().deleted, 83);
    engine.sync().expect("syncs");
    drop(engine);
    check_gone(&open(folder.path(), small_chunks()));
}

#[test]
fn the_index_of_the_metadata_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = Arc::new(MemoryMeta::default());
    let open_with = |meta: &Arc<MemoryMeta>| {
        let storage = Arc::new(FileStorage::open(folder.path()).expect("a folder"));
        let clock = Arc::new(ManualClock::at(NOW));
        let meta: Arc<dyn MetaStore> = Arc::clone(meta) as _;
        let engine = Engine::open(storage, meta, clock, StoreId(7), small_chunks());
        engine.expect("opens")
    };
    let known = || meta.measurements(DatabaseId(0)).expect("reads").len();
    let engine = open_with(&meta);
    fill(&engine, 2);
    assert!(engine.index());
    assert_eq!(known(), 1);
    drop_cpu(&engine);
    assert!(engine.index());
    assert_eq!(known(), 0);
    engine.sync().expect("syncs");
    drop(engine);
    // An index that knows nothing of it is told.
    let engine = open_with(&meta);
    fill(&engine, 2);
    assert!(engine.index());
    assert_eq!(known(), 1);
}
