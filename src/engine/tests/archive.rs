//! Rows that leave are in the archive first.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{NOW, Rows, SECOND, open, options, read_all, write_row};
use crate::engine::{
    Access, ArchiveError, ArchiveRows, ArchiveSink, Engine, EngineOptions, RetentionBound,
    RetentionChange, StoreArchive,
};
use crate::types::FieldType;

/// A sink that fails when it is told to.
#[derive(Debug, Default)]
struct Fickle {
    fails: AtomicBool,
    /// Fails as if what was taken were lost.
    fails_to_sync: AtomicBool,
    rows: AtomicU64,
}

#[derive(Debug)]
struct Shared(Arc<Fickle>);

fn unwilling() -> ArchiveError {
    ArchiveError {
        reason: "not now".to_owned(),
    }
}

impl ArchiveSink for Shared {
    fn keep(&self, rows: &ArchiveRows<'_>) -> Result<(), ArchiveError> {
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(unwilling());
        }
        assert_eq!((rows.database, rows.measurement), ("default", "cpu"));
        let rows = rows.cells.times.len() as u64;
        self.0.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> Result<(), ArchiveError> {
        if self.0.fails_to_sync.swap(false, Ordering::Relaxed) {
            return Err(unwilling());
        }
        Ok(())
    }

    fn close(&self) -> Result<(), ArchiveError> {
        Ok(())
    }
}

fn small() -> EngineOptions {
    EngineOptions {
        chunk_rows: 16,
        ..options()
    }
}

/// A store, and the one that rows go to before they leave it.
fn archived(folder: &Path) -> (Arc<Engine>, Arc<Engine>) {
    let [engine, archive] = ["own", "archive"].map(|name| {
        let path = folder.join(name);
        std::fs::create_dir(&path).expect("a folder");
        open(&path, small())
    });
    let sink = StoreArchive::new(Arc::clone(&archive), Box::new(()));
    engine.set_archive(Box::new(sink));
    (engine, archive)
}

fn limit(engine: &Engine, age_s: Option<u64>, rows: Option<u64>) {
    let change = RetentionChange::Class {
        name: "normal".to_owned(),
        importance: None,
        raw_age_s: age_s.map(RetentionBound::At),
        raw_bytes: None,
        rows_per_series: rows.map(RetentionBound::At),
        tiers: Vec::new(),
    };
    let changed = engine.change_retention(&Access::full(), &change);
    changed.expect("taken");
}

fn fill(engine: &Engine, host: &str, from: i64, rows: i64, all: &mut Rows) {
    for row in 0..rows {
        let (time, text) = (from + row * SECOND, format!("{host}{row}"));
        write_row(engine, host, Some(time), row, &text);
        all.insert(time, (row, text));
    }
}

#[test]
fn what_leaves_is_in_the_archive_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, archive) = archived(folder.path());
    let mut all: BTreeMap<&str, Rows> = BTreeMap::new();
    let start = NOW - 2_000 * SECOND;
    for host in ["a", "b"] {
        fill(&engine, host, start, 300, all.entry(host).or_default());
    }
    // Some of it in block files, some not; late rows, and a deletion.
    engine.checkpoint().expect("checkpoints");
    let of_a = all.get_mut("a").expect("there");
    fill(&engine, "a", start + SECOND / 2, 40, of_a);
    let view = engine.measurement(&Access::full(), "default", "cpu");
    let id = view.expect("allowed").expect("there").id;
    let gone = crate::types::TimeRange {
        start: start + 100 * SECOND,
        end: start + 120 * SECOND,
    };
    let series: Vec<_> = engine
        .select_series(id, &|_| true)
        .iter()
        .map(|s| s.id)
        .collect();
    let deleted = engine.delete(&Access::full(), "default", id, &series, gone);
    deleted.expect("taken");
    for rows in all.values_mut() {
        rows.retain(|time, _| !gone.contains(*time));
    }
    limit(&engine, None, Some(50));
    let before = engine.ledgers()[0].ledger;
    for _ in 0..3 {
        engine.tick().expect("ticks");
        engine.checkpoint().expect("checkpoints");
    }
    let ledger = engine.ledgers()[0].ledger;
    assert!(
        ledger.evicted > 400 && ledger.is_balanced(),
        "{before:?} {ledger:?}"
    );
    let view = engine.archive().expect("there is one");
    assert_eq!((view.rows, view.lost_rows), (ledger.evicted, 0), "{view:?}");
    for (host, expected) in &all {
        let (left, archived) = (read_all(&engine, host), read_all(&archive, host));
        assert!(archived.len() > 150, "{}", archived.len());
        let both: Rows = left
            .iter()
            .chain(&archived)
            .map(|(t, row)| (*t, row.clone()))
            .collect();
        assert_eq!(both.len(), left.len() + archived.len(), "no row twice");
        assert_eq!(both, *expected, "{host}");
    }
    // It is there for good without being closed.
    drop(engine);
    drop(archive);
    let archive = open(&folder.path().join("archive"), small());
    assert!(read_all(&archive, "a").len() > 150);
}

#[test]
fn rows_that_are_too_old_wait_for_a_sink_that_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small());
    let sink = Arc::new(Fickle::default());
    engine.set_archive(Box::new(Shared(Arc::clone(&sink))));
    let mut all = Rows::new();
    fill(&engine, "a", NOW - 1_000 * SECOND, 200, &mut all);
    engine.seal_all().expect("seals");
    sink.fails.store(true, Ordering::Relaxed);
    limit(&engine, Some(500), None);
    let expired = || engine.ledgers()[0].ledger.expired;
    engine.tick().expect("ticks");
    let view = engine.archive().expect("there is one");
    assert_eq!((expired(), view.failures), (0, 1));
    assert_eq!(view.failing.as_deref(), Some("not now"));
    // It has rows and loses them again: they come once more.
    sink.fails.store(false, Ordering::Relaxed);
    sink.fails_to_sync.store(true, Ordering::Relaxed);
    engine.tick().expect("ticks");
    assert_eq!((expired(), sink.rows.swap(0, Ordering::Relaxed)), (0, 200));
    engine.tick().expect("ticks");
    let view = engine.archive().expect("there is one");
    assert_eq!((expired(), sink.rows.load(Ordering::Relaxed)), (200, 200));
    assert_eq!((view.failing, view.lost_rows), (None, 0));
}

#[test]
fn rows_that_cannot_stay_leave_and_are_counted_where_the_sink_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small());
    let sink = Arc::new(Fickle::default());
    engine.set_archive(Box::new(Shared(Arc::clone(&sink))));
    fill(&engine, "a", NOW - 1_000 * SECOND, 200, &mut Rows::new());
    sink.fails.store(true, Ordering::Relaxed);
    limit(&engine, None, Some(50));
    engine.tick().expect("ticks");
    let evicted = engine.ledgers()[0].ledger.evicted;
    let view = engine.archive().expect("there is one");
    assert!(evicted > 100, "{evicted}");
    assert_eq!((view.rows, view.lost_rows), (0, evicted));
}

#[test]
fn a_field_of_two_types_is_archived_in_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, archive) = archived(folder.path());
    let database = engine
        .resolve_database(&Access::full(), "db")
        .expect("taken");
    let start = NOW - 1_000 * SECOND;
    for row in 0..64i64 {
        let series = engine
            .resolve_series(database, "m", &mut [])
            .expect("taken");
        let is_text = row % 2 == 1;
        let kind = if is_text {
            FieldType::String
        } else {
            FieldType::Integer
        };
        let plan = engine
            .resolve_layout(series.measurement, &[("v", kind)])
            .expect("taken");
        let mut batch = engine.batch();
        let layout = batch.layout_index(&plan.layout);
        let bits = if is_text {
            edgetime_protocol::cell::heap(0, 2)
        } else {
            row as u64
        };
        let heap: &[u8] = if is_text { b"on" } else { b"" };
        batch.push(
            series,
            layout,
            Some(start + row * SECOND),
            (&[bits], &[0], heap),
            0,
        );
        assert!(engine.write(&mut batch).error.is_none());
    }
    engine.seal_all().expect("seals");
    limit(&engine, Some(100), None);
    engine.tick().expect("ticks");
    assert_eq!(engine.archive().map(|view| view.rows), Some(64));
    archive.seal_all().expect("seals");
    let view = archive
        .measurement(&Access::full(), "db", "m")
        .expect("allowed");
    let view = view.expect("there");
    let kinds: Vec<FieldType> = view
        .columns
        .iter()
        .map(|column| column.field_type)
        .collect();
    assert_eq!(kinds, [FieldType::Integer, FieldType::String]);
    assert_eq!(archive.ledgers()[0].ledger.stored, 64);
}
