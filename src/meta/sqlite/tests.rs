//! Files that are old, new, damaged or replaced; many threads; statements that use an index.

use r2d2::ManageConnection;

use super::*;

fn options(folder: &tempfile::TempDir) -> SqliteOptions {
    SqliteOptions::in_folder(folder.path())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn series(range: std::ops::Range<u32>) -> Batch {
    Batch {
        databases: vec![DatabaseRecord {
            id: DatabaseId(1),
            name: "default".to_owned(),
        }],
        measurements: vec![MeasurementRecord {
            id: MeasurementId(1),
            database: DatabaseId(1),
            name: "cpu".to_owned(),
        }],
        series: range
            .map(|id| SeriesRecord {
                id: SeriesId(id),
                database: DatabaseId(1),
                measurement: MeasurementId(1),
                tags: format!("host=host-{id},region=eu-central-1,rack={}", id % 100),
            })
            .collect(),
        ..Batch::default()
    }
}

fn count(meta: &SqliteMeta) -> usize {
    let found = meta.series(MeasurementId(1), None, usize::MAX);
    found.expect("lists").len()
}

#[test]
fn a_file_is_opened_again_with_its_position() {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    drop(meta);
    let (meta, opened) = SqliteMeta::open(options(&folder)).expect("opens");
    assert_eq!(opened.applied, Some(Position(55)));
    assert_eq!((opened.version_before, opened.quarantined), (1, None));
    assert_eq!(count(&meta), 5);
}

#[test]
fn a_hundred_thousand_series_are_one_transaction() {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    let before = meta.pool_stats();
    meta.apply(&series(0..100_000), Position(1))
        .expect("applies");
    let after = meta.pool_stats();
    assert_eq!(after.acquired - before.acquired, 1);
    // Each record once, each name checked once, the position.
    assert_eq!(after.statements - before.statements, 100_000 + 5);
    assert_eq!(count(&meta), 100_000);
}

#[test]
fn an_older_schema_is_brought_forward_step_by_step() {
    let folder = folder();
    let path = folder.path().join("old.sqlite");
    let mut connection = pool::create(&path).expect("connects");
    let steps = [
        "CREATE TABLE one (a INTEGER); INSERT INTO one VALUES (7);",
        "ALTER TABLE one ADD COLUMN b INTEGER NOT NULL DEFAULT 8;",
        "CREATE TABLE two AS SELECT a + b AS c FROM one;",
    ];
    let migrate =
        |connection: &mut Connection, steps: &[&str]| migrations::migrate(connection, &path, steps);
    assert_eq!(migrate(&mut connection, &steps[..1]).expect("migrates"), 0);
    let broken = [steps[0], steps[1], "CREATE TABLE one (a INTEGER);"];
    assert!(migrate(&mut connection, &broken).is_err());
    assert_eq!(
        migrations::version_of(&connection).expect("reads"),
        1,
        "all or none"
    );
    assert_eq!(migrate(&mut connection, &steps).expect("migrates"), 1);
    let sum: i64 = connection
        .query_row("SELECT c FROM two", [], |row| row.get(0))
        .expect("reads");
    assert_eq!(sum, 15);
    assert_eq!(migrate(&mut connection, &steps).expect("nothing to do"), 3);
    let newer = migrate(&mut connection, &steps[..2]).expect_err("is refused");
    assert!(matches!(
        newer,
        MetaError::Newer {
            found: 3,
            supported: 2,
            ..
        }
    ));
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let folder = folder();
    let options = options(&folder);
    let connection = pool::create(&options.path).expect("connects");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("sets");
    drop(connection);
    let error = SqliteMeta::open(options.clone()).err().expect("is refused");
    let text = error.to_string();
    assert!(
        text.contains("99") && text.contains("newer than this program's 1"),
        "{text}"
    );
    assert!(options.path.exists() && !options.quarantine.exists());
}

#[test]
fn a_damaged_file_is_set_aside_and_made_anew() {
    let folder = folder();
    let options = options(&folder);
    let mut quarantined = 0;
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes[60] = 0x80,
        |bytes| bytes[..100].fill(0xaa),
        |bytes| bytes.truncate(1000),
        |bytes| bytes[4096..].fill(0x55),
        |bytes| *bytes = b"this is no database, but long enough to be looked at".repeat(50),
        |bytes| bytes[100..4096].fill(0),
    ];
    for (at, damage) in damages.into_iter().enumerate() {
        let (meta, _) = SqliteMeta::open(options.clone()).expect("opens");
        meta.apply(&series(0..500), Position(5)).expect("applies");
        drop(meta);
        let mut bytes = std::fs::read(&options.path).expect("reads");
        damage(&mut bytes);
        std::fs::write(&options.path, &bytes).expect("writes");
        let (meta, opened) = SqliteMeta::open(options.clone()).expect("opens");
        let (moved, reason) = opened.quarantined.expect("is set aside");
        assert!(!reason.is_empty());
        assert_eq!(opened.applied, None, "damage {at}");
        assert_eq!(std::fs::read(moved).expect("reads").len(), bytes.len());
        quarantined += 1;
        assert_eq!(count(&meta), 0);
        meta.apply(&series(0..7), Position(6)).expect("applies");
        assert_eq!(count(&meta), 7);
    }
    let names = std::fs::read_dir(&options.quarantine).expect("lists");
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let files = names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    assert_eq!(files.count(), quarantined);
}

#[test]
fn a_missing_file_is_made_and_a_rebuild_starts_from_nothing() {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (0..50).all(|_| meta.databases().is_ok()));
        for _ in 0..5 {
            meta.rebuild().expect("rebuilds beside a reader");
        }
        assert!(reader.join().expect("reads"));
    });
    let moved = meta.rebuild().expect("rebuilds");
    assert!(moved.exists());
    assert_eq!(meta.applied().expect("reads"), None);
    meta.apply(&series(0..6), Position(56)).expect("applies");
    assert_eq!(count(&meta), 6);
}

/// A closed file with this many series.
fn file_with(count: u32) -> tempfile::TempDir {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    meta.apply(&series(0..count), Position(1)).expect("applies");
    folder
}

#[test]
fn a_replaced_file_is_noticed_by_the_next_use() {
    let folder = folder();
    let mut options = options(&folder);
    // The pool opens no second connection beside the test, to the file that is about to go.
    options.pool_size_max = 1;
    let (meta, _) = SqliteMeta::open(options.clone()).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    let other = file_with(9);
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&options.path, suffix)).expect("removes");
    }
    std::fs::rename(other.path().join("meta.sqlite"), &options.path).expect("replaces");
    assert_eq!(count(&meta), 9);
    assert_eq!(meta.pool_stats().reconnects, 1);
}

#[test]
fn a_file_replaced_while_it_is_opened_is_noticed_too() {
    let folder = folder();
    let path = options(&folder).path;
    let alive = Arc::default();
    for round in 0..200 {
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for (path, version) in [(&old, 1), (&new, 2)] {
            let connection = pool::create(path).expect("makes");
            let version = connection.pragma_update(None, "user_version", version);
            version.expect("sets");
        }
        std::fs::rename(&old, &path).expect("is there");
        let manager = Manager::new(&path, &alive);
        let mut opened = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::rename(&new, &path).expect("replaces"));
            manager.connect().expect("connects")
        });
        if manager.is_valid(&mut opened).is_ok() {
            let version = migrations::version_of(&opened.connection).expect("reads");
            assert_eq!(version, 2, "round {round}");
        }
    }
}

#[test]
fn a_pool_makes_no_file_and_counts_as_long_as_it_may_open_one() {
    let folder = folder();
    let path = options(&folder).path;
    let alive = Arc::default();
    let manager = Manager::new(&path, &alive);
    assert!(manager.connect().is_err() && !path.exists());
    drop(pool::create(&path).expect("makes"));
    let mut opened = manager.connect().expect("connects");
    assert!(manager.is_valid(&mut opened).is_ok());
    std::fs::remove_file(&path).expect("removes");
    assert!(manager.is_valid(&mut opened).is_err());
    drop(opened);
    assert!(!alive.wait_for_none(Duration::ZERO));
    drop(manager);
    assert!(alive.wait_for_none(Duration::ZERO));
}

#[test]
fn many_threads_share_the_pool() {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    meta.apply(&series(0..100), Position(1)).expect("applies");
    std::thread::scope(|scope| {
        for thread in 0..16u32 {
            let meta = &meta;
            scope.spawn(move || {
                for round in 0..20 {
                    if thread.is_multiple_of(4) {
                        let from = 1000 + thread * 1000 + round;
                        let batch = series(from..from + 1);
                        meta.apply(&batch, Position(2)).expect("applies");
                    } else {
                        assert!(count(meta) >= 100);
                    }
                }
            });
        }
    });
    assert_eq!(count(&meta), 100 + 4 * 20);
    let stats = meta.pool_stats();
    assert!(stats.size <= 4 && stats.timeouts == 0, "{stats:?}");
    assert!(stats.acquired > 300 && stats.acquire_p50_us <= stats.acquire_p99_us);
}

#[test]
fn waiting_for_a_connection_has_an_end() {
    let folder = folder();
    let mut options = options(&folder);
    options.pool_size_max = 1;
    options.acquire_timeout = Duration::from_secs(1);
    let (meta, _) = SqliteMeta::open(options).expect("opens");
    let pool = meta.pool.read().clone().expect("is open");
    let held = pool.get().expect("is free");
    assert!(matches!(meta.databases(), Err(MetaError::Pool { .. })));
    assert_eq!(meta.pool_stats().timeouts, 1);
    drop(held);
    drop(pool);
    assert!(meta.databases().is_ok());
}

#[test]
fn every_statement_uses_an_index() {
    let folder = folder();
    let (meta, _) = SqliteMeta::open(options(&folder)).expect("opens");
    for sql in SELECTS.into_iter().chain(apply::WRITES) {
        let plan = meta.with(|connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let rows = statement.query_map(rusqlite::params_from_iter(nulls), |row| {
                row.get::<_, String>(3)
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        });
        for step in plan.expect("explains") {
            // The list of all databases is the one that reads a whole table.
            let whole = step.starts_with("SCAN") && sql != SELECT_DATABASES;
            assert!(!whole && !step.contains("TEMP B-TREE"), "{sql}: {step}");
        }
    }
}
