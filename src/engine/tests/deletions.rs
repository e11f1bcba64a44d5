//! Deletions against plain maps: whatever is sealed, checkpointed, compacted or replayed in between.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{NOW, Rows, SECOND, open, options, read_all, try_write, write_row};
use crate::engine::{Access, Deleted, Engine, EngineError, EngineOptions, SpaceLimits, Verb};
use crate::series::{Demand, Part, Summaries};
use crate::types::{SeriesId, TimeRange};

const HOSTS: [&str; 3] = ["a", "b", "c"];
const START: i64 = NOW - 1_000 * SECOND;

#[derive(Clone, Debug)]
enum Step {
    Write(usize, i64, i64),
    Delete(Option<usize>, i64, i64),
    Seal,
    Checkpoint,
    Everything,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let host = 0..HOSTS.len();
    prop_oneof![
        30 => (host.clone(), 0..60i64, any::<i64>()).prop_map(|(h, t, v)| Step::Write(h, t, v)),
        4 => (prop::option::of(host), 0..60i64, 1..40i64)
            .prop_map(|(h, from, len)| Step::Delete(h, from, from + len)),
        1 => Just(Step::Seal),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Everything),
        1 => Just(Step::Reopen),
    ]
}

fn small_chunks() -> EngineOptions {
    EngineOptions {
        chunk_rows: 16,
        ..options()
    }
}

fn delete(engine: &Engine, host: Option<&str>, range: TimeRange) -> Result<Deleted, EngineError> {
    let access = Access::full();
    let view = engine.measurement(&access, "default", "cpu")?;
    let view = view.expect("something was written");
    let chosen = engine.select_series(view.id, &|tags| {
        host.is_none_or(|host| tags.iter().any(|(_, value)| &**value == host))
    });
    let ids: Vec<SeriesId> = chosen.iter().map(|series| series.id).collect();
    engine.delete(&access, "default", view.id, &ids, range)
}

fn seconds(from: i64, to: i64) -> TimeRange {
    TimeRange {
        start: START + from * SECOND,
        end: START + to * SECOND,
    }
}

/// Rows as their statistics count them.
fn counted(engine: &Arc<Engine>, host: &str) -> u64 {
    let access = Access::full();
    let Ok(Some(view)) = engine.measurement(&access, "default", "cpu") else {
        return 0;
    };
    let chosen = engine.select_series(view.id, &|tags| tags.iter().any(|(_, v)| &**v == host));
    let demand = Demand {
        summaries: Some(Summaries {
            needs: &[],
            bucket_end: &|_| None,
        }),
        ..Demand::default()
    };
    let mut rows = 0;
    for series in chosen {
        let mut reader = engine.read_series(series.id, TimeRange::ALL, &[]);
        while let Some(part) = reader.next_part(&demand).expect("reads") {
            rows += match part {
                Part::Rows((times, _)) => times.len() as u64,
                Part::Summary(summary) => summary.rows,
            };
        }
    }
    rows
}

fn compare(engine: &Arc<Engine>, expected: &[Rows; 3]) {
    let mut sum = 0;
    for (host, rows) in HOSTS.iter().zip(expected) {
        assert_eq!(&read_all(engine, host), rows, "{host}");
        assert_eq!(counted(engine, host), rows.len() as u64, "{host}");
        sum += rows.len() as u64;
    }
    let status = engine.status();
    assert!(status.sealed_rows + status.open_rows >= sum, "{status:?}");
}

fn run(folder: &Path, steps: &[Step]) {
    let mut engine = open(folder, small_chunks());
    let mut expected: [Rows; 3] = Default::default();
    write_row(&engine, HOSTS[0], Some(START), 0, "t");
    expected[0].insert(START, (0, "t".to_owned()));
    for step in steps {
        match step {
            Step::Write(host, second, value) => {
                let time = START + second * SECOND;
                let text = format!("{}", value % 7);
                while try_write(&engine, HOSTS[*host], Some(time), *value, &text).is_err() {
                    engine.checkpoint().expect("checkpoints");
                }
                expected[*host].insert(time, (*value, text));
            }
            Step::Delete(host, from, to) => {
                let range = seconds(*from, *to);
                let deleted = delete(&engine, host.map(|host| HOSTS[host]), range);
                let mut gone = 0;
                for (index, rows) in expected.iter_mut().enumerate() {
                    if host.is_none_or(|host| host == index) {
                        let before = rows.len();
                        rows.retain(|time, _| !range.contains(*time));
                        gone += before - rows.len();
                    }
                }
                assert_eq!(deleted.expect("deletes").rows, gone as u64);
            }
            Step::Seal => {
                engine.seal_all().expect("seals");
            }
            Step::Checkpoint => {
                engine.checkpoint().expect("checkpoints");
            }
            Step::Everything => {
                engine.checkpoint_everything().expect("checkpoints");
            }
            Step::Reopen => {
                engine.sync().expect("syncs");
                drop(engine);
                engine = open(folder, small_chunks());
                assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
            }
        }
        compare(&engine, &expected);
    }
    // A checkpoint takes out what is hidden, the next one forgets why.
    for _ in 0..2 {
        engine.checkpoint().expect("checkpoints");
        compare(&engine, &expected);
    }
    assert!(engine.deletions.lock().is_empty());
    for shard in &engine.shards {
        let shard = shard.read();
        let mut chunks = shard.iter().flat_map(|(_, series)| series.ring.iter());
        assert!(chunks.all(|chunk| chunk.hidden.is_none()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn deletions_hide_what_came_before_them(steps in prop::collection::vec(step(), 1..160)) {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &steps);
    }
}

#[test]
fn a_deletion_hides_what_is_older_and_nothing_that_comes_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small_chunks());
    for second in 0..40 {
        write_row(&engine, "a", Some(START + second * SECOND), second, "old");
    }
    let deleted = delete(&engine, Some("a"), seconds(10, 30)).expect("deletes");
    assert_eq!(deleted.rows, 20);
    let times = |engine: &Arc<Engine>| -> Vec<i64> {
        let rows = read_all(engine, "a").into_keys();
        rows.map(|time| (time - START) / SECOND).collect()
    };
    let left: Vec<i64> = (0..10).chain(30..40).collect();
    assert_eq!(times(&engine), left);
    assert_eq!(engine.row_counts().deleted, 20);
    // Late, into the same range.
    write_row(&engine, "a", Some(START + 15 * SECOND), 7, "new");
    assert!(times(&engine).contains(&15));
    engine.sync().expect("syncs");
    drop(engine);
    let engine = open(folder.path(), small_chunks());
    let with_late: Vec<i64> = (0..10).chain([15]).chain(30..40).collect();
    assert_eq!(times(&engine), with_late);
    // Nothing left to delete is no error.
    assert_eq!(
        delete(&engine, Some("b"), TimeRange::ALL)
            .expect("deletes")
            .rows,
        0
    );
    assert_eq!(
        delete(&engine, None, TimeRange::ALL).expect("deletes").rows,
        21
    );
    assert_eq!(times(&engine), [0i64; 0]);
}

#[test]
fn space_comes_back_with_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small_chunks());
    let bytes = || -> u64 {
        // Chunks alone: the accounts of the ledger are a page of their own, in the image file.
        let files = std::fs::read_dir(folder.path().join("blocks")).expect("a folder");
        let files = files.map(|file| file.expect("an entry"));
        let chunks = files.filter(|file| file.path().extension().is_some_and(|end| end == "blk"));
        chunks
            .map(|file| file.metadata().expect("a size").len())
            .sum()
    };
    for second in 0..900 {
        for host in HOSTS {
            let text = format!("{}{host}", second * 7_919 % 1_009);
            write_row(&engine, host, Some(START + second * SECOND), second, &text);
        }
        if second % 200 == 199 {
            engine.checkpoint().expect("checkpoints");
        }
    }
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("checkpoints");
    let (full, chunks) = (bytes(), engine.status().blocks.live_chunks);
    // All of one series, and the middle of each chunk of another: files are left half empty.
    delete(&engine, Some("a"), TimeRange::ALL).expect("deletes");
    for from in (0..900).step_by(16) {
        delete(&engine, Some("b"), seconds(from + 3, from + 13)).expect("deletes");
    }
    let expected = [read_all(&engine, "b"), read_all(&engine, "c")];
    assert_eq!(expected[1].len(), 900);
    let before = engine.status();
    assert_eq!(before.sealed_rows, (expected[0].len() + 900) as u64);
    for _ in 0..3 {
        engine.checkpoint().expect("checkpoints");
    }
    assert_eq!([read_all(&engine, "b"), read_all(&engine, "c")], expected);
    let after = engine.status();
    assert_eq!(after.sealed_rows, before.sealed_rows);
    assert!(after.blocks.live_chunks < chunks);
    assert!(bytes() * 3 < full * 2, "{} bytes of {full}", bytes());
    // Nothing is written anew twice.
    let files = after.blocks.files;
    engine.checkpoint().expect("checkpoints");
    assert_eq!(engine.status().blocks.files, files);
    drop(engine);
    let engine = open(folder.path(), small_chunks());
    assert_eq!([read_all(&engine, "b"), read_all(&engine, "c")], expected);
}

#[test]
fn what_deletions_hide_counts_for_no_bound_of_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounded = EngineOptions {
        rows_per_series_max: 64,
        ..small_chunks()
    };
    let engine = open(folder.path(), bounded);
    for second in 0..64 {
        write_row(&engine, "a", Some(START + second * SECOND), second, "t");
    }
    delete(&engine, Some("a"), seconds(10, 60)).expect("deletes");
    for second in 64..96 {
        write_row(&engine, "a", Some(START + second * SECOND), second, "t");
    }
    engine.tick().expect("ticks");
    assert_eq!(read_all(&engine, "a").len(), 46);
    assert_eq!(engine.row_counts().evicted, 0);
}

#[test]
fn who_may_not_delete_does_not_and_a_full_device_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small_chunks());
    write_row(&engine, "a", Some(START), 1, "t");
    let view = engine.measurement(&Access::full(), "default", "cpu");
    let view = view.expect("allowed").expect("written");
    let ids: Vec<SeriesId> = engine
        .select_series(view.id, &|_| true)
        .iter()
        .map(|series| series.id)
        .collect();
    let writer = Access::restricted(&["default"], &[Verb::Read, Verb::Write]);
    let denied = engine.delete(&writer, "default", view.id, &ids, TimeRange::ALL);
    assert!(matches!(denied, Err(EngineError::Denied { .. })));
    engine.sync().expect("syncs");
    drop(engine);
    let none_free = EngineOptions {
        space: SpaceLimits {
            low_bytes: u64::MAX,
            full_bytes: u64::MAX,
        },
        ..small_chunks()
    };
    let engine = open(folder.path(), none_free);
    let full = engine.delete(&Access::full(), "default", view.id, &ids, TimeRange::ALL);
    assert!(matches!(full, Err(EngineError::Full { .. })));
    assert_eq!(read_all(&engine, "a").len(), 1);
}

#[test]
fn a_backup_has_what_hides_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), small_chunks());
    for second in 0..64 {
        write_row(&engine, "a", Some(START + second * SECOND), second, "t");
    }
    engine.seal_all().expect("seals");
    engine.checkpoint_everything().expect("checkpoints");
    delete(&engine, Some("a"), seconds(8, 40)).expect("deletes");
    let copy = tempfile::tempdir().expect("a folder");
    engine.backup(copy.path()).expect("copies");
    let expected = read_all(&engine, "a");
    assert_eq!(expected.len(), 32);
    let restored = open(copy.path(), small_chunks());
    assert_eq!(read_all(&restored, "a"), expected);
}
