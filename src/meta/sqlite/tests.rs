//! Files that are old, new, damaged or replaced; many threads; statements that use an index.

use super::*;
use crate::clock::{ManualClock, SystemClock};

/// The version of this program's schema.
const CURRENT: u32 = migrations::STEPS.len() as u32;

fn options(folder: &tempfile::TempDir) -> SqliteOptions {
    SqliteOptions::in_folder(folder.path())
}

fn open(options: SqliteOptions) -> Result<(SqliteMeta, MetaOpened)> {
    SqliteMeta::open(options, Arc::new(SystemClock::new()))
}

fn figures(meta: &SqliteMeta) -> PoolFigures {
    meta.pool().expect("has a pool")
}

fn raw(path: &Path) -> rusqlite::Connection {
    let opener = Opener::new(path, Duration::from_millis(1));
    opener.create().expect("connects")
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
            mode: SchemaMode::Open,
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
    let (meta, _) = open(options(&folder)).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    drop(meta);
    let (meta, opened) = open(options(&folder)).expect("opens");
    assert_eq!(opened.applied, Some(Position(55)));
    assert_eq!((opened.version_before, opened.quarantined), (CURRENT, None));
    assert_eq!(count(&meta), 5);
}

#[test]
fn a_hundred_thousand_series_are_one_transaction() {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    let before = figures(&meta);
    meta.apply(&series(0..100_000), Position(1))
        .expect("applies");
    let after = figures(&meta);
    assert_eq!(after.acquired - before.acquired, 1);
    // Each record once, each name checked once, the position, and what opens and closes the transaction.
    assert_eq!(after.statements - before.statements, 100_000 + 7);
    assert_eq!(count(&meta), 100_000);
}

#[test]
fn an_older_schema_is_brought_forward_step_by_step() {
    let folder = folder();
    let path = folder.path().join("old.sqlite");
    let mut connection = raw(&path);
    let steps = [
        "CREATE TABLE one (a INTEGER); INSERT INTO one VALUES (7);",
        "ALTER TABLE one ADD COLUMN b INTEGER NOT NULL DEFAULT 8;",
        "CREATE TABLE two AS SELECT a + b AS c FROM one;",
    ];
    let migrate = |connection: &mut rusqlite::Connection, steps: &[&str]| {
        migrations::migrate(connection, &path, steps)
    };
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
fn a_file_of_the_first_version_keeps_what_it_has() {
    let folder = folder();
    let options = options(&folder);
    let mut old = raw(&options.path);
    let first = &migrations::STEPS[..1];
    migrations::migrate(&mut old, &options.path, first).expect("makes the first version");
    old.execute_batch(
        "INSERT INTO applied VALUES (1, 44);
        INSERT INTO databases VALUES (1, 'default');
        INSERT INTO measurements VALUES (1, 1, 'cpu');
        INSERT INTO columns VALUES (1, 0, 'load', 1, 5, 6);
        INSERT INTO series VALUES (0, 1, 1, 'host=a');",
    )
    .expect("fills it");
    drop(old);
    let (meta, opened) = open(options).expect("opens");
    assert_eq!(
        (opened.version_before, opened.applied),
        (1, Some(Position(44)))
    );
    let columns = meta.columns(MeasurementId(1)).expect("lists");
    assert_eq!((&*columns[0].field, columns.len()), ("load", 1));
    let known = meta.measurements(DatabaseId(1)).expect("lists");
    assert_eq!(known[0].mode, SchemaMode::Open);
    assert_eq!(meta.fields(MeasurementId(1)).expect("lists"), []);
    meta.apply(&series(0..5), Position(55)).expect("applies");
    assert_eq!(count(&meta), 5);
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let folder = folder();
    let options = options(&folder);
    let connection = raw(&options.path);
    connection
        .pragma_update(None, "user_version", 99)
        .expect("sets");
    drop(connection);
    let error = open(options.clone()).err().expect("is refused");
    let text = error.to_string();
    assert!(
        text.contains("99") && text.contains("newer than this program's 2"),
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
        let (meta, _) = open(options.clone()).expect("opens");
        meta.apply(&series(0..500), Position(5)).expect("applies");
        drop(meta);
        let mut bytes = std::fs::read(&options.path).expect("reads");
        damage(&mut bytes);
        std::fs::write(&options.path, &bytes).expect("writes");
        let (meta, opened) = open(options.clone()).expect("opens");
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
    let (meta, _) = open(options(&folder)).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| (0..50).all(|_| meta.databases().is_ok()));
        for _ in 0..5 {
            meta.rebuild().expect("rebuilds beside a reader");
        }
        assert!(reader.join().expect("reads"));
    });
    let moved = meta.rebuild().expect("rebuilds").expect("there was one");
    assert!(moved.exists());
    assert_eq!(meta.applied().expect("reads"), None);
    meta.apply(&series(0..6), Position(56)).expect("applies");
    assert_eq!(count(&meta), 6);
}

/// A closed file with this many series.
fn file_with(count: u32) -> tempfile::TempDir {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    meta.apply(&series(0..count), Position(1)).expect("applies");
    folder
}

#[test]
fn a_replaced_file_is_noticed_by_the_next_use() {
    let folder = folder();
    let options = options(&folder);
    let (meta, _) = open(options.clone()).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    let other = file_with(9);
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&options.path, suffix)).expect("removes");
    }
    std::fs::rename(other.path().join("meta.sqlite"), &options.path).expect("replaces");
    assert_eq!(count(&meta), 9);
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, b"no database at all".repeat(100)).expect("writes");
    std::fs::rename(&garbage, &options.path).expect("replaces");
    let error = meta.databases().expect_err("is refused");
    assert!(matches!(error, MetaError::Damaged { .. }), "{error}");
    meta.rebuild().expect("rebuilds");
    assert_eq!(meta.applied().expect("reads"), None);
}

#[test]
fn a_removed_file_is_made_again_and_empty() {
    let folder = folder();
    let options = options(&folder);
    let (meta, _) = open(options.clone()).expect("opens");
    meta.apply(&series(0..5), Position(55)).expect("applies");
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&options.path, suffix)).expect("removes");
    }
    assert_eq!(meta.applied().expect("reads"), None);
    meta.apply(&series(0..3), Position(56)).expect("applies");
    assert_eq!(count(&meta), 3);
    assert!(options.path.exists());
}

#[test]
fn a_file_replaced_while_it_is_opened_is_noticed_too() {
    let folder = folder();
    let path = options(&folder).path;
    let opener = Opener::new(&path, Duration::from_secs(5));
    let mut replaced = 0;
    for round in 0..200 {
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for (path, version) in [(&old, CURRENT), (&new, CURRENT + 1)] {
            let version = raw(path).pragma_update(None, "user_version", version);
            version.expect("sets");
        }
        std::fs::rename(&old, &path).expect("is there");
        let file = opener.file().expect("is there");
        let opened = std::thread::scope(|scope| {
            scope.spawn(|| std::fs::rename(&new, &path).expect("replaces"));
            opener.open(file)
        });
        match opened {
            Ok(opened) => {
                let version = migrations::version_of(&opened.connection).expect("reads");
                assert_eq!(version, CURRENT, "round {round}");
                let now = opener.file().expect("is there");
                assert!(!opened.is_valid(now), "round {round}");
            }
            Err(_) => replaced += 1,
        }
    }
    assert!(replaced <= 200);
}

/// A second connection that keeps everybody from writing, and from opening where `exclusive`.
fn lock(path: &Path, exclusive: bool) -> rusqlite::Connection {
    let connection = raw(path);
    if exclusive {
        let mode = connection.pragma_update(None, "locking_mode", "EXCLUSIVE");
        mode.expect("is taken");
    }
    connection
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM applied")
        .expect("locks");
    connection
}

#[test]
fn a_locked_file_is_an_error_that_passes() {
    let folder = folder();
    let mut options = options(&folder);
    options.busy_timeout = Duration::from_millis(1);
    let (meta, _) = open(options.clone()).expect("opens");
    let held = lock(&options.path, false);
    let error = meta
        .apply(&series(0..5), Position(5))
        .expect_err("is locked");
    assert!(matches!(error, MetaError::Locked { .. }), "{error}");
    assert_eq!(figures(&meta).locked, 1);
    assert_eq!(meta.applied().expect("readers do not wait"), None);
    drop(held);
    meta.apply(&series(0..5), Position(5)).expect("is free");
    assert_eq!(figures(&meta).reconnects, 0);
}

#[test]
fn a_file_locked_at_the_start_is_opened_later() {
    let folder = folder();
    let mut options = options(&folder);
    options.busy_timeout = Duration::from_millis(1);
    drop(open(options.clone()).expect("makes it"));
    let held = lock(&options.path, true);
    let (meta, opened) = open(options).expect("is no reason not to start");
    assert!(opened.locked.is_some() && opened.quarantined.is_none());
    let error = meta.databases().expect_err("is locked");
    assert!(matches!(error, MetaError::Locked { .. }), "{error}");
    drop(held);
    meta.apply(&series(0..5), Position(5)).expect("is free");
    assert_eq!(count(&meta), 5);
}

#[test]
fn many_threads_share_the_pool() {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    meta.apply(&series(0..100), Position(1)).expect("applies");
    std::thread::scope(|scope| {
        for thread in 0..64u32 {
            let meta = &meta;
            scope.spawn(move || {
                for round in 0..20 {
                    if thread.is_multiple_of(16) {
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
    let figures = figures(&meta);
    assert!(figures.size <= 4 && figures.timeouts == 0, "{figures:?}");
    assert!(
        figures.acquired > 64 * 20 && figures.waits > 0,
        "{figures:?}"
    );
    assert!(
        figures.connects <= 4 && figures.reconnects == 0,
        "{figures:?}"
    );
    assert!(figures.acquire_p50_ns <= figures.acquire_p99_ns);
    assert_eq!((figures.idle, figures.waiting), (figures.size, 0));
}

#[test]
fn waiting_for_a_connection_has_an_end() {
    let folder = folder();
    let mut options = options(&folder);
    options.pool_size_max = 1;
    options.acquire_timeout = Duration::from_millis(20);
    let (meta, _) = open(options).expect("opens");
    let held = meta.lease().expect("is free");
    let error = meta.databases().expect_err("nothing is free");
    assert!(
        matches!(error, MetaError::Exhausted { size: 1, .. }),
        "{error}"
    );
    assert_eq!((figures(&meta).timeouts, figures(&meta).waits), (1, 1));
    drop(held);
    assert!(meta.databases().is_ok());
}

#[test]
fn who_waits_longest_is_served_first() {
    let folder = folder();
    let mut options = options(&folder);
    options.pool_size_max = 1;
    let (meta, _) = open(options).expect("opens");
    let served = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let held = meta.lease().expect("is free");
        for place in 0..8 {
            let (meta, served) = (&meta, &served);
            scope.spawn(move || {
                meta.with(|_| {
                    served.lock().push(place);
                    Ok(())
                })
            });
            while figures(meta).waiting <= place {
                std::thread::yield_now();
            }
        }
        drop(held);
    });
    assert_eq!(served.into_inner(), (0..8).collect::<Vec<_>>());
}

#[test]
fn what_is_idle_or_old_is_closed_and_the_minimum_stays() {
    let folder = folder();
    let mut options = options(&folder);
    options.pool_size_min = 2;
    options.pool_size_max = 5;
    let clock = Arc::new(ManualClock::at(0));
    let (meta, _) = SqliteMeta::open(options.clone(), Arc::clone(&clock) as _).expect("opens");
    assert_eq!((figures(&meta).size, figures(&meta).connects), (2, 2));
    let held: Vec<_> = (0..5)
        .map(|_| meta.lease().expect("there is room"))
        .collect();
    assert_eq!((figures(&meta).size, figures(&meta).idle), (5, 0));
    drop(held);
    assert_eq!((figures(&meta).size, figures(&meta).idle), (5, 5));
    clock.advance(options.idle_timeout.as_nanos() as u64 - 1);
    assert!(meta.databases().is_ok());
    assert_eq!(figures(&meta).size, 5);
    clock.advance(1);
    assert!(meta.databases().is_ok());
    assert_eq!(figures(&meta).size, 2);
    assert_eq!(figures(&meta).reconnects, 0);
    clock.advance(options.lifetime_max.as_nanos() as u64);
    assert!(meta.databases().is_ok());
    assert_eq!((figures(&meta).reconnects, figures(&meta).connects), (1, 6));
    assert_eq!(figures(&meta).size, 2);
}

#[test]
fn a_connection_that_failed_is_not_used_again() {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    let broken = meta.with::<()>(|_| Err(MetaError::Sqlite(rusqlite::Error::InvalidQuery)));
    assert!(broken.is_err());
    assert_eq!((figures(&meta).size, figures(&meta).reconnects), (0, 1));
    assert!(meta.databases().is_ok());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        meta.with::<()>(|session| {
            session.list(&BEGIN, [], |_| Ok(()))?;
            panic!("in the middle of a transaction")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(figures(&meta).size, 0);
    meta.apply(&series(0..5), Position(5))
        .expect("nothing is left open");
}

static BEGIN: statements::Statement = statements::Statement {
    name: "begin",
    sql: "BEGIN IMMEDIATE",
    reads_all: false,
};

#[test]
fn an_operation_takes_the_same_statements_however_much_there_is() {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    let taken = |run: &dyn Fn()| {
        let before = figures(&meta);
        run();
        let after = figures(&meta);
        (
            after.statements - before.statements,
            after.acquired - before.acquired,
        )
    };
    for size in [1, 10, 1_000] {
        meta.apply(&series(0..size), Position(1)).expect("applies");
        let operations: [&dyn Fn(); 6] = [
            &|| assert!(meta.applied().expect("reads").is_some()),
            &|| assert_eq!(meta.databases().expect("lists").len(), 1),
            &|| assert_eq!(meta.measurements(DatabaseId(1)).expect("lists").len(), 1),
            &|| assert_eq!(meta.columns(MeasurementId(1)).expect("lists").len(), 0),
            &|| assert_eq!(count(&meta), size as usize),
            &|| assert_eq!(meta.counts().expect("counts").series, u64::from(size)),
        ];
        for (index, operation) in operations.into_iter().enumerate() {
            assert_eq!(taken(operation), (1, 1), "operation {index}, {size} series");
        }
        // A transaction: its begin and end, each record, the names, the position.
        let (statements, acquired) = taken(&|| {
            meta.apply(&series(0..size), Position(2)).expect("applies");
        });
        assert_eq!((statements, acquired), (u64::from(size) + 7, 1));
        let (statements, acquired) =
            taken(&|| meta.apply(&Batch::default(), Position(3)).expect("applies"));
        assert_eq!((statements, acquired), (3, 1));
    }
    assert_eq!(
        taken(&|| meta.clear().expect("clears")),
        (2 + statements::CLEAR.len() as u64, 1)
    );
}

#[test]
fn a_record_that_is_there_is_not_written_again() {
    let folder = folder();
    let options = options(&folder);
    let (meta, _) = open(options.clone()).expect("opens");
    meta.apply(&series(0..5_000), Position(1)).expect("applies");
    let written = || {
        let log = std::fs::metadata(with_suffix(&options.path, "-wal"));
        log.map_or(0, |log| log.len())
    };
    drop(meta);
    let (meta, _) = open(options.clone()).expect("opens");
    meta.apply(&series(0..5_000), Position(2)).expect("applies");
    assert!(written() < 10 * 4096, "{} bytes", written());
    let mut other = series(0..5_000);
    for series in &mut other.series {
        series.tags.push_str(",new=1");
    }
    meta.apply(&other, Position(3)).expect("applies");
    assert!(written() > 50 * 4096, "{} bytes", written());
}

/// A clock that moves on with every look at it.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn wall_ns(&self) -> crate::types::Timestamp {
        0
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.fetch_add(1_000_000, Ordering::Relaxed)
    }
}

#[test]
fn statements_slower_than_the_threshold_are_counted() {
    let folder = folder();
    for (threshold_ms, slow) in [(0, 0), (1, 0), (2, 0)] {
        let mut options = options(&folder);
        options.slow_statement = Duration::from_millis(threshold_ms);
        let clock = Arc::new(Ticking(AtomicU64::new(0)));
        let (meta, _) = SqliteMeta::open(options, clock).expect("opens");
        assert_eq!(figures(&meta).slow_statements, slow, "{threshold_ms} ms");
    }
    let mut options = options(&folder);
    options.slow_statement = Duration::from_micros(999);
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    let (meta, _) = SqliteMeta::open(options, clock).expect("opens");
    meta.databases().expect("lists");
    let figures = figures(&meta);
    assert!(figures.statements > 1);
    assert_eq!(figures.slow_statements, figures.statements);
}

#[test]
fn every_statement_uses_an_index() {
    let folder = folder();
    let (meta, _) = open(options(&folder)).expect("opens");
    for statement in statements::ALL.into_iter().chain(&statements::CLEAR) {
        let plan = meta.with(|session| session.explain(statement));
        let name = statement.name;
        let mut scans = false;
        for step in plan.expect("explains") {
            scans |= step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
            assert!(!step.contains("TEMP B-TREE"), "{name}: {step}");
            assert!(!step.contains("AUTOMATIC"), "{name}: {step}");
        }
        assert!(!scans || statement.reads_all, "{name} reads a whole table");
    }
}

#[test]
fn there_is_no_statement_outside_the_list() {
    for (file, text) in [
        ("apply.rs", include_str!("apply.rs")),
        ("connect.rs", include_str!("connect.rs")),
        ("mod.rs", include_str!("mod.rs")),
        ("pool.rs", include_str!("pool.rs")),
        ("session.rs", include_str!("session.rs")),
    ] {
        for word in [
            "\"SELECT",
            "\"INSERT",
            "\"UPDATE",
            "\"DELETE",
            "\"REPLACE",
            "\"WITH",
        ] {
            assert!(!text.contains(word), "{file}: {word}");
        }
    }
    let listed = include_str!("statements.rs")
        .matches("pub(super) static")
        .count();
    // The lists themselves are two of them.
    assert_eq!(listed, statements::ALL.len() + 2);
}
