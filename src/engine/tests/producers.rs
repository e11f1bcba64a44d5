//! A producer's batch is stored once: sent again at once, behind checkpoints, after starts, and beside itself.

use super::*;
use crate::engine::{Batch, Once};
use edgetime_protocol::write::Producer;

fn batch(engine: &Engine, hosts: &[&str], time: Option<i64>, value: i64) -> Batch {
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("a database");
    let mut batch = engine.batch();
    for host in hosts {
        let tags = &mut [("zone", "z"), ("host", host)];
        let series = engine
            .resolve_series(database, "cpu", tags)
            .expect("a series");
        let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
        let plan = engine
            .resolve_layout(series.measurement, &fields)
            .expect("a layout");
        let layout = batch.layout_index(&plan.layout);
        let bits = [value as u64, cell::heap(0, 1)];
        batch.push(series, layout, time, (&bits, &[0, 0], b"x"), 1);
    }
    batch
}

/// Sends a batch of one row without a time a host; whether it was new.
fn send(engine: &Engine, sequence: u64, value: i64) -> bool {
    let producer = Producer { id: 77, sequence };
    let mut batch = batch(engine, &["a", "b", "c", "d"], None, value);
    match engine.write_once(&mut batch, producer) {
        Once::Written(written) => {
            assert!(written.error.is_none() && written.rows == 4, "{written:?}");
            assert!(batch.is_empty());
            true
        }
        Once::Duplicate(position) => {
            assert!(position.0 > 0 && position <= engine.end());
            let rows = engine.rows_by_database(&batch);
            engine.count_repeated(producer, &rows).expect("counted");
            false
        }
    }
}

fn values(engine: &Arc<Engine>) -> Vec<i64> {
    let mut values: Vec<i64> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|host| read_all(engine, host).into_values().map(|(value, _)| value))
        .collect();
    values.sort_unstable();
    values
}

#[test]
fn a_batch_sent_again_is_there_once_over_checkpoints_and_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..6u64 {
        let engine = open(folder.path(), options());
        assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
        for sequence in 1..=round * 2 {
            assert!(!send(&engine, sequence, 0), "{sequence} in round {round}");
        }
        for sequence in [round * 2 + 2, round * 2 + 1] {
            assert!(send(&engine, sequence, sequence as i64));
            assert!(!send(&engine, sequence, 0));
        }
        let expected: Vec<i64> = (1..=round as i64 * 2 + 2).flat_map(|n| [n; 4]).collect();
        assert_eq!(values(&engine), expected);
        let ledger = engine.status().ledger;
        let repeated = 4 * (0..=round).map(|round| round * 2 + 2).sum::<u64>();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(ledger.duplicate, repeated);
        assert_eq!(engine.producers(), 1);
        match round % 3 {
            0 => drop(engine.sync().expect("syncs")),
            1 => drop(engine.checkpoint_everything().expect("writes")),
            _ => {
                engine.checkpoint().expect("writes");
                assert!(!send(&engine, 1, 0));
                assert!(send(&engine, 1_000_000_000 - round, -5));
                engine.sync().expect("syncs");
                return;
            }
        }
    }
}

#[test]
fn a_log_that_is_used_again_forgets_no_producer() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let engine = open(folder.path(), options());
        assert!(send(&engine, 1, 1));
        // Several times what the log holds.
        for i in 0..3_000 {
            let text = "y".repeat(500);
            let written = try_write(&engine, "other", Some(NOW + i), i, &text);
            if matches!(written, Err(EngineError::Busy)) || engine.checkpoint_is_due() {
                engine.checkpoint().expect("writes");
            }
        }
        engine.sync().expect("syncs");
    }
    let engine = open(folder.path(), options());
    assert!(!send(&engine, 1, 0));
    assert_eq!(values(&engine), [1; 4]);
}

#[test]
fn a_retry_takes_nothing_back_from_another_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let producer = Producer { id: 5, sequence: 9 };
    let engine = open(folder.path(), options());
    let mut first = batch(&engine, &["a"], Some(NOW), 1);
    assert!(matches!(
        engine.write_once(&mut first, producer),
        Once::Written(_)
    ));
    write_row(&engine, "a", Some(NOW), 2, "x");
    let mut again = batch(&engine, &["a"], Some(NOW), 1);
    assert!(matches!(
        engine.write_once(&mut again, producer),
        Once::Duplicate(_)
    ));
    engine.sync().expect("syncs");
    drop(engine);
    let engine = open(folder.path(), options());
    let mut again = batch(&engine, &["a"], Some(NOW), 1);
    assert!(matches!(
        engine.write_once(&mut again, producer),
        Once::Duplicate(_)
    ));
    assert_eq!(read_all(&engine, "a")[&NOW].0, 2);
}

#[test]
fn the_same_batch_over_many_connections_at_once_is_stored_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let stored: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (1..=50)
                        .filter(|&sequence| send(&engine, sequence, 1))
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    assert_eq!(stored, 50);
    assert_eq!(values(&engine).len(), 200);
    let ledger = engine.status().ledger;
    assert_eq!((ledger.duplicate, ledger.is_balanced()), (7 * 200, true));
}

#[test]
fn a_batch_that_no_segment_takes_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let hosts: Vec<String> = (0..900).map(|host| format!("{host:0>200}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
    let mut large = batch(&engine, &hosts, Some(NOW), 1);
    let producer = Producer { id: 1, sequence: 1 };
    match engine.write_once(&mut large, producer) {
        Once::Written(written) => {
            assert_eq!((written.rows, written.refused), (0, 900));
            let error = written.error.expect("too large");
            assert!(matches!(error, EngineError::TooLarge { .. }), "{error}");
        }
        other @ Once::Duplicate(_) => panic!("{other:?}"),
    }
    assert_eq!(engine.known_batch(producer), None);
    // The same rows by somebody else: in parts.
    let written = engine.write(&mut large);
    assert_eq!(written.rows, 900);
    assert_eq!(read_all(&engine, hosts[899]).len(), 1);
}
