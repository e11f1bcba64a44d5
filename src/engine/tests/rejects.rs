//! Rejected lines: kept as they were sent, bounded, and written again once, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{NOW, SECOND, open, options, read_all};
use crate::clock::ManualClock;
use crate::engine::{
    Access, Batch, DeadLetter, Engine, EngineError, EngineOptions, Letters, Reject, WrongClock,
};
use crate::meta::MemoryMeta;
use crate::storage::simulated::SimulatedStorage;
use crate::types::{DatabaseId, FieldType, Precision, StoreId};

fn database(engine: &Engine) -> DatabaseId {
    engine
        .resolve_database(&Access::full(), "default")
        .expect("room")
}

fn reject<'a>(code: &'a str, raw: &'a [u8], line: u64) -> Reject<'a> {
    Reject {
        code,
        message: "no fields",
        source: "10.0.0.7:1234",
        line,
        raw,
        precision: Precision::Seconds,
        clock: None,
    }
}

fn keep(engine: &Engine, reject: &Reject<'_>) {
    let mut batch = engine.batch();
    engine
        .push_reject(&mut batch, database(engine), reject)
        .expect("room");
    assert!(engine.write(&mut batch).error.is_none());
    engine.count_rejects(database(engine), reject.code, 1);
}

fn letters(engine: &Arc<Engine>, which: &Letters) -> Vec<DeadLetter> {
    let mut found = Vec::new();
    engine
        .visit_letters(&Access::full(), "default", which, &mut |letter| {
            found.push(letter);
            Ok(())
        })
        .expect("reads");
    found
}

/// A batch with one row of `cpu`.
fn row(engine: &Engine, time: i64, value: i64) -> Result<Batch, EngineError> {
    let series =
        engine.resolve_series(database(engine), "cpu", &mut [("zone", "z"), ("host", "a")])?;
    let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
    let plan = engine.resolve_layout(series.measurement, &fields)?;
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    let empty = edgetime_protocol::cell::heap(0, 0);
    batch.push(
        series,
        layout,
        Some(time),
        (&[value as u64, empty], &[0, 0], &[]),
        1,
    );
    Ok(batch)
}

#[test]
fn every_byte_comes_back_and_what_a_replay_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let clock = WrongClock {
        device: "10.0.0.7",
        time: NOW - 77 * SECOND,
    };
    let wrong = Reject {
        clock: Some(clock),
        ..reject("time_out_of_range", b"m v=1 5", 4)
    };
    keep(&engine, &reject("bad_syntax", b"broken \xff line", 3));
    keep(&engine, &wrong);
    let long = "x".repeat(100_000);
    keep(&engine, &reject("line_too_long", long.as_bytes(), 5));
    let check = |engine: &Arc<Engine>| {
        let found = letters(engine, &Letters::All);
        let raws: Vec<usize> = found.iter().map(|letter| letter.raw.len()).collect();
        // Segments of these tests are small.
        assert_eq!(raws, [13, 7, 8_192]);
        assert_eq!(found[0].raw, b"broken \xff line");
        assert_eq!((found[0].line, found[0].precision), (3, Precision::Seconds));
        assert_eq!(found[0].clock, None);
        let (device, offset) = found[1].clock.clone().expect("a clock");
        assert_eq!(device, "10.0.0.7");
        assert_eq!(found[1].id + offset, NOW - 77 * SECOND);
        assert_eq!(found[2].cut_from, Some(100_000));
        assert!(found[0].id < found[1].id && found[1].id < found[2].id);
        let one = letters(engine, &Letters::Id(found[1].id));
        assert_eq!(one, found[1..2]);
        let coded = letters(engine, &Letters::Code("bad_syntax".to_owned()));
        assert_eq!(coded, found[..1]);
        let newest = engine.newest_letters(&Access::full(), "default", 2);
        let newest = newest.expect("reads");
        assert_eq!((newest[0].line, newest[1].line), (5, 4));
        assert_eq!(newest[0].raw.len(), 4096);
        found
    };
    let found = check(&engine);
    engine.checkpoint().expect("checkpoints");
    drop(engine);
    let engine = open(folder.path(), options());
    assert_eq!(check(&engine), found);
    // Numbers go on behind those of before.
    keep(&engine, &reject("bad_syntax", b"again", 1));
    let all = letters(&engine, &Letters::All);
    assert!(
        all.iter()
            .all(|letter| letter.raw == b"again" || found.contains(letter))
    );
    let ids: std::collections::BTreeSet<i64> = all.iter().map(|letter| letter.id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_line_leaves_for_its_row_or_for_another_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    for line in 1..=40 {
        keep(&engine, &reject("bad_syntax", b"raw", line));
    }
    let before = engine.rejected_rows();
    let found = letters(&engine, &Letters::All);
    for letter in &found[..10] {
        let mut batch = row(&engine, NOW + letter.line, letter.line).expect("room");
        engine.replay_letter(&mut batch, letter).expect("written");
        assert!(batch.is_empty());
    }
    for letter in &found[10..20] {
        let moved = reject("bad_value", &letter.raw, letter.line as u64);
        engine.keep_letter(letter, &moved).expect("kept");
    }
    let said = Reject {
        message: "another reason",
        ..reject("bad_syntax", b"raw", found[20].line as u64)
    };
    engine.keep_letter(&found[20], &said).expect("kept");
    assert_eq!(engine.rejected_rows() + engine.replayed_rows(), before);
    assert_eq!(engine.replayed_rows(), 10);
    let check = |engine: &Arc<Engine>| {
        let counts = engine.rejected_by_reason(database(engine));
        assert_eq!(counts, [("bad_syntax", 20), ("bad_value", 10)]);
        let ledger = engine.ledgers()[0].ledger;
        assert_eq!((ledger.received, ledger.rejected), (40, 30), "{ledger:?}");
        assert_eq!(
            (ledger.stored + ledger.pending_merge, ledger.sum()),
            (10, 40)
        );
        assert_eq!(read_all(engine, "a").len(), 10);
        let syntax = letters(engine, &Letters::Code("bad_syntax".to_owned()));
        let value = letters(engine, &Letters::Code("bad_value".to_owned()));
        let lines = |letters: &[DeadLetter]| letters.iter().map(|l| l.line).collect::<Vec<_>>();
        assert_eq!(lines(&syntax), (21..=40).collect::<Vec<_>>());
        assert_eq!(lines(&value), (11..=20).collect::<Vec<_>>());
        assert_eq!(syntax[0].message, "another reason");
        assert_eq!(value[0].id, found[10].id);
        assert_eq!(value[0].source, "10.0.0.7:1234");
    };
    check(&engine);
    let status = engine.status();
    assert_eq!(status.sealed_rows + status.open_rows, 40);
    drop(engine);
    let engine = open(folder.path(), options());
    check(&engine);
    engine.checkpoint().expect("checkpoints");
    check(&engine);
    drop(engine);
    check(&open(folder.path(), options()));
}

#[test]
fn a_line_that_is_evicted_while_it_is_read_counts_as_that_and_its_row_as_one_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EngineOptions {
        chunk_rows: 16,
        rejected_rows_max: 20,
        ..options()
    };
    let engine = open(folder.path(), options.clone());
    for line in 1..=48 {
        keep(&engine, &reject("bad_syntax", b"raw", line));
    }
    let found = letters(&engine, &Letters::All);
    assert!(engine.tick().expect("ticks").evicted_rows >= 16);
    let mut batch = row(&engine, NOW, 1).expect("room");
    engine
        .replay_letter(&mut batch, &found[0])
        .expect("written");
    let ledger = engine.status().ledger;
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!((ledger.received, ledger.rejected), (49, 48));
    drop(engine);
    assert_eq!(open(folder.path(), options).status().ledger, ledger);
}

const LETTERS: i64 = 12;

/// What was durable when the power went.
#[derive(Clone, Copy, Default)]
struct Durable {
    /// Whether all lines were kept.
    kept: bool,
    /// Lines whose row was written.
    rows: usize,
}

/// Keeps some lines, and replays them, with a checkpoint in between.
fn replay_all(disk: &SimulatedStorage) -> Durable {
    let mut durable = Durable::default();
    let opened = open_on(disk);
    let Ok(engine) = opened else { return durable };
    let mut run = || -> Result<(), EngineError> {
        let mut batch = engine.batch();
        for line in 1..=LETTERS as u64 {
            let code = if line % 3 == 0 {
                "bad_value"
            } else {
                "bad_syntax"
            };
            let database = engine.resolve_database(&Access::full(), "default")?;
            engine.push_reject(&mut batch, database, &reject(code, b"raw", line))?;
        }
        if let Some(error) = engine.write(&mut batch).error {
            return Err(error);
        }
        engine.sync()?;
        durable.kept = true;
        for (at, letter) in letters(&engine, &Letters::All).iter().enumerate() {
            if at == 4 {
                engine.checkpoint()?;
            }
            let mut batch = row(&engine, NOW + letter.line, letter.line)?;
            engine.replay_letter(&mut batch, letter)?;
            if at % 2 == 1 {
                engine.sync()?;
                durable.rows = at + 1;
            }
        }
        Ok(())
    };
    // The power may go at any call.
    let _ = run();
    durable
}

fn open_on(disk: &SimulatedStorage) -> Result<Arc<Engine>, EngineError> {
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let storage = Arc::new(disk.clone());
    Engine::open(storage, meta, clock, StoreId(7), options()).map(Arc::new)
}

#[test]
fn a_power_cut_anywhere_in_a_replay_leaves_each_line_in_one_place() {
    let whole = SimulatedStorage::new(1);
    replay_all(&whole);
    let operations = whole.operations();
    for at in 0..=operations {
        let disk = SimulatedStorage::new(at);
        disk.cut_after(at);
        let durable = replay_all(&disk);
        for disk in [disk.after_cut(), disk.after_kill()] {
            let engine = open_on(&disk).expect("opens");
            let rows: Vec<i64> = read_all(&engine, "a")
                .keys()
                .map(|time| time - NOW)
                .collect();
            let kept: Vec<i64> = letters(&engine, &Letters::All)
                .iter()
                .map(|l| l.line)
                .collect();
            assert!(rows.len() >= durable.rows, "cut {at}: {rows:?}");
            let ledger = engine.status().ledger;
            assert!(ledger.is_balanced(), "cut {at}: {ledger:?}");
            assert_eq!(ledger.rejected as usize, kept.len(), "cut {at}: {ledger:?}");
            assert_eq!(
                ledger.received as usize,
                kept.len() + rows.len(),
                "cut {at}"
            );
            let mut all = [&rows[..], &kept[..]].concat();
            all.sort_unstable();
            let whole: Vec<i64> = (1..=LETTERS).collect();
            assert!(!durable.kept || all == whole, "cut {at}: {rows:?} {kept:?}");
            // Never in both places.
            let len = all.len();
            all.dedup();
            assert_eq!(all.len(), len, "cut {at}: {rows:?} {kept:?}");
            // What is left goes the same way.
            for letter in letters(&engine, &Letters::All) {
                let mut batch = row(&engine, NOW + letter.line, letter.line).expect("room");
                engine.replay_letter(&mut batch, &letter).expect("written");
            }
            assert_eq!(read_all(&engine, "a").len(), all.len());
            assert_eq!(letters(&engine, &Letters::All), []);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_newest_lines_stay_and_no_more_bytes_than_allowed(
        lines in prop::collection::vec((0usize..3, 0usize..3_000, any::<bool>()), 1..400),
        rows_max in 20u64..100,
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes_max = 128 * 1024;
        let options = EngineOptions {
            chunk_rows: 16,
            rejected_rows_max: rows_max,
            rejected_bytes_max: bytes_max,
            ..options()
        };
        let engine = open(folder.path(), options);
        let codes = ["bad_syntax", "bad_value", "bad_utf8"];
        let mut of_code: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut noise = seed | 1;
        for (line, &(code, len, tick)) in lines.iter().enumerate() {
            // Bytes that do not compress.
            let raw: Vec<u8> = (0..len).map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                b' ' + (noise >> 57) as u8 % 95
            }).collect();
            keep(&engine, &reject(codes[code], &raw, line as u64));
            of_code.entry(codes[code]).or_default().push(line as i64);
            if tick {
                engine.tick().expect("ticks");
            }
        }
        engine.tick().expect("ticks");
        let held: u64 = engine.shards.iter().map(|shard| {
            let shard = shard.read();
            let series = shard.iter().map(|(_, series)| {
                // What has left goes with the next checkpoint.
                let chunks = series.ring.iter().filter(|chunk| !chunk.is_gone());
                let chunks: u64 = chunks.map(|c| u64::from(c.len_bytes)).sum();
                chunks + series.memory_bytes() as u64
            });
            series.sum::<u64>()
        }).sum();
        // Three series that are not sealed yet come on top.
        prop_assert!(held <= bytes_max + 3 * bytes_max / 16, "{}", held);
        let mut oldest_evicted_by_bytes = false;
        for (code, sent) in &of_code {
            let kept: Vec<i64> = letters(&engine, &Letters::Code((*code).to_owned()))
                .iter()
                .map(|letter| letter.line)
                .collect();
            // What stays is the newest, without a hole.
            prop_assert_eq!(&kept[..], &sent[sent.len() - kept.len()..]);
            prop_assert!(kept.len() as u64 <= rows_max + 2 * 16);
            oldest_evicted_by_bytes |= (kept.len() as u64) < rows_max.min(sent.len() as u64);
        }
        let sent_bytes: usize = lines.iter().map(|(_, len, _)| len + 200).sum();
        prop_assert!(!oldest_evicted_by_bytes || sent_bytes as u64 > bytes_max / 2);
    }
}
