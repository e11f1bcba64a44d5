//! The metadata index behind the catalog: what it costs, and that it is told anew whatever happened to it.

use crate::clock::SystemClock;
use crate::meta::{Batch, Counts, DatabaseRecord, MetaStore, SqliteMeta, SqliteOptions};
use crate::types::{DatabaseId, Position};

use super::*;

fn open_with(folder: &Path, meta: Arc<dyn MetaStore>) -> Arc<Engine> {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    Arc::new(Engine::open(storage, meta, clock, StoreId(7), options()).expect("opens"))
}

fn tick(engine: &Engine) {
    engine.sync().expect("syncs");
    engine.tick().expect("ticks");
}

fn counts(series: u64) -> Counts {
    Counts {
        databases: 1,
        measurements: 1,
        columns: 2,
        series,
        fields: 0,
    }
}

#[test]
fn writers_and_readers_never_ask_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteOptions::in_folder(folder.path());
    let (meta, _) = SqliteMeta::open(sqlite, Arc::new(SystemClock::new())).expect("opens");
    let engine = open_with(folder.path(), Arc::new(meta));
    let statements = || engine.index_use().pool.expect("has a pool").statements;
    for i in 0..3 {
        write_row(&engine, &format!("h{i}"), Some(NOW), i, "x");
    }
    tick(&engine);
    let before = statements();
    for i in 0..5 {
        write_row(&engine, &format!("new{i}"), Some(NOW), i, "x");
        assert_eq!(read_all(&engine, &format!("new{i}")).len(), 1);
    }
    assert_eq!(statements(), before);
    // A look at the position, and one transaction: begin, five series, the position, commit.
    tick(&engine);
    assert_eq!(statements(), before + 1 + 8);
    assert!(engine.index_use().is_whole);
    // Where nothing is new, the look alone.
    tick(&engine);
    assert_eq!(statements(), before + 9 + 1);
}

#[test]
fn an_index_with_another_position_or_other_records_is_told_everything_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = Arc::new(MemoryMeta::default());
    let engine = open_with(folder.path(), Arc::clone(&meta) as _);
    for i in 0..4 {
        write_row(&engine, &format!("h{i}"), Some(NOW), i, "x");
    }
    tick(&engine);
    assert_eq!(meta.counts().expect("counts"), counts(4));
    // Removed: it has no position.
    meta.clear().expect("clears");
    tick(&engine);
    assert_eq!(meta.counts().expect("counts"), counts(4));
    // Replaced by one that has a database too many, and an earlier position.
    let other = Batch {
        databases: vec![DatabaseRecord {
            id: DatabaseId(9),
            name: "other".to_owned(),
        }],
        ..Batch::default()
    };
    meta.apply(&other, Position(1)).expect("applies");
    assert_eq!(meta.counts().expect("counts").databases, 2);
    tick(&engine);
    assert_eq!(meta.counts().expect("counts"), counts(4));
    // The same before a start, with a position that the log never had.
    drop(engine);
    for position in [Position(1), Position(u64::MAX)] {
        meta.apply(&other, position).expect("applies");
        let engine = open_with(folder.path(), Arc::clone(&meta) as _);
        assert!(!engine.index_use().is_whole);
        tick(&engine);
        assert_eq!(meta.counts().expect("counts"), counts(4), "{position}");
        assert!(meta.applied().expect("reads") <= Some(engine.durable()));
        assert!(engine.index_use().is_whole);
    }
}

#[test]
fn a_store_of_many_series_reaches_the_index_in_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let meta = Arc::new(MemoryMeta::default());
    let mut options = options();
    options.catalog.series_max = 200_000;
    let storage = Arc::new(FileStorage::open(folder.path()).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let engine = Engine::open(storage, Arc::clone(&meta) as _, clock, StoreId(7), options);
    let engine = engine.expect("opens");
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    for i in 0..120_000 {
        let host = format!("h{i}");
        engine
            .resolve_series(database, "cpu", &mut [("host", &host)])
            .expect("room");
    }
    tick(&engine);
    assert_eq!(meta.counts().expect("counts").series, 100_000);
    assert!(!engine.index_use().is_whole);
    tick(&engine);
    assert_eq!(meta.counts().expect("counts").series, 120_000);
    assert!(engine.index_use().is_whole);
    let all = engine
        .measurement(&Access::full(), "default", "cpu")
        .expect("allowed");
    assert_eq!(all.expect("is there").series_count, 120_000);
}
