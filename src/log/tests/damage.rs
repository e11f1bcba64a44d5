//! Torn tails, flipped bits, lost segments: the right data, or a gap that is named.

use super::*;
use crate::log::frame::HEADER_BYTES;

const FILE: &str = "log/0000.segment";

/// A log of several synced groups; what was appended, and the end of each group.
fn written() -> (Arc<SimulatedStorage>, Handed, Vec<Position>) {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    let mut groups = Vec::new();
    for group in 1..5_u8 {
        let payloads = [
            vec![group; 40],
            vec![group + 100; 700],
            vec![group + 200; 9],
        ];
        let frames: Vec<_> = payloads.iter().map(|payload| rows(payload)).collect();
        for unit in [&frames[..1], &frames[1..]] {
            append(&log, unit);
        }
        groups.push(log.sync().expect("syncs"));
    }
    drop(log);
    expected.extend(look(&*memory).1);
    assert_eq!(expected.len(), 12);
    (memory, expected, groups)
}

#[test]
fn a_tail_torn_anywhere_leaves_the_units_before_it() {
    let (memory, expected, _) = written();
    let base = expected[0].1.0 - 4096;
    let used = (expected[11].1.0 - base) as usize + 50;
    for length in 4096..used {
        for truncate in [false, true] {
            let torn = memory.copy();
            torn.change(FILE, |bytes| {
                if truncate {
                    bytes.truncate(length);
                } else {
                    bytes[length..].fill(0);
                }
            });
            let (scan, found) = look(&torn);
            // No power cut makes a file shorter.
            assert_eq!(
                scan.corruption.is_empty(),
                !truncate,
                "cut at {length}: {:?}",
                scan.corruption
            );
            let whole = expected.iter().filter(|(_, position, payload)| {
                (position.0 - base) as usize + 32 + payload.len() <= length
            });
            // The second and the third frame of a group are one unit.
            let whole = whole.count();
            let units = if whole % 3 == 2 { whole - 1 } else { whole };
            assert_eq!(found, expected[..units], "cut at {length}");
            assert_eq!(
                scan.torn_tail.is_some(),
                scan.torn_tail == Some(TornTail { position: scan.end })
            );
        }
    }
}

#[test]
fn a_flipped_bit_gives_the_right_data_or_a_gap() {
    let (memory, expected, groups) = written();
    let base = expected[0].1.0 - 4096;
    let used = (groups[3].0 - base) as usize;
    let mut random = Random(5);
    for byte in 0..used {
        let bit = random.below(8);
        memory.change(FILE, |bytes| bytes[byte] ^= 1 << bit);
        let (scan, found) = look(&*memory);
        memory.change(FILE, |bytes| bytes[byte] ^= 1 << bit);
        for frame in &found {
            assert!(expected.contains(frame), "byte {byte}: an altered frame");
        }
        for (_, position, _) in expected.iter().filter(|frame| !found.contains(frame)) {
            let named = scan
                .corruption
                .iter()
                .any(|gap| gap.from <= *position && *position < gap.to);
            let unproven = *position >= groups[2];
            let torn = scan
                .torn_tail
                .is_some_and(|tail| *position >= tail.position);
            assert!(
                named || (unproven && torn),
                "byte {byte}: {position} lost in silence"
            );
        }
    }
}

#[test]
fn after_a_seal_no_damage_is_taken_for_a_torn_tail() {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    append(&log, &[rows(&[9; 100])]);
    log.seal().expect("seals");
    memory.change(FILE, |bytes| bytes[4096 + 60] ^= 1);
    let (_, recovery, handed) = open(&storage);
    assert_eq!(
        handed
            .iter()
            .filter(|frame| frame.0 == FrameType::Rows)
            .count(),
        0
    );
    assert_eq!(recovery.corruption.len(), 1);
    assert!(recovery.torn_tail.is_none());
}

#[test]
fn a_gap_is_quarantined_once_and_the_log_goes_on() {
    on_each(|storage| {
        let (log, _, _) = open(&storage);
        let lost = append(&log, &[rows(b"will be lost")]);
        log.sync().expect("syncs");
        let kept = append(&log, &[rows(b"kept")]);
        log.sync().expect("syncs");
        drop(log);
        let file = storage.open_file(FILE).expect("there");
        file.write_at(4096 + 32, b"W").expect("damages");
        for _ in 0..2 {
            let (log, recovery, handed) = open(&storage);
            assert_eq!(handed[0], (FrameType::Rows, kept.first, b"kept".to_vec()));
            let gap = &recovery.corruption[0];
            assert_eq!((gap.from, gap.to), (lost.first, lost.end));
            assert_eq!((gap.reason, &*gap.segment), (GapReason::Damaged, FILE));
            let name = gap.quarantined.clone().expect("tried").expect("kept");
            let copy = storage.open_file(&format!("{name}.bin")).expect("there");
            assert_eq!(copy.len_bytes().expect("length"), 44);
            assert_eq!(storage.list("quarantine").expect("lists").len(), 2);
            let report = storage.open_file(&format!("{name}.json")).expect("there");
            let mut text = vec![0; report.len_bytes().expect("length") as usize];
            report.read_at(0, &mut text).expect("reads");
            let report: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(report["from"], lost.first.0);
            assert_eq!(report["bytes_copied"], 44);
            append(&log, &[rows(b"more")]);
            log.sync().expect("syncs");
        }
        let (_, recovery, handed) = open(&storage);
        assert_eq!((recovery.corruption.len(), handed.len()), (1, 3));
    });
}

/// A log over four segments, 3 frames each.
fn long() -> (Arc<SimulatedStorage>, Handed) {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    for number in 0..11_u8 {
        append(&log, &[rows(&vec![number; 18_000])]);
        log.sync().expect("syncs");
    }
    let expected = look(&*memory).1;
    assert_eq!(expected.len(), 11);
    (memory, expected)
}

#[test]
fn a_lost_segment_is_a_gap_and_the_rest_is_salvaged() {
    for lost in 0..3 {
        let (memory, expected) = long();
        memory
            .remove(&format!("log/{lost:04}.segment"))
            .expect("was there");
        let (scan, found) = look(&*memory);
        assert_eq!(scan.corruption.len(), 1, "{:?}", scan.corruption);
        let gap = &scan.corruption[0];
        assert_eq!(gap.reason, GapReason::MissingSegment);
        let inside =
            |frame: &(FrameType, Position, Vec<u8>)| gap.from <= frame.1 && frame.1 < gap.to;
        let kept: Vec<_> = expected
            .iter()
            .filter(|frame| !inside(frame))
            .cloned()
            .collect();
        assert_eq!(kept.len(), 8);
        assert!(found == kept);
        // Below the checkpoint nobody misses it.
        let storage: Arc<dyn Storage> = memory.clone();
        let (_, recovery, _) = open_from(&storage, gap.to);
        assert!(recovery.corruption.is_empty(), "{:?}", recovery.corruption);
    }
}

#[test]
fn a_segment_without_its_header_is_read_all_the_same() {
    for lost in 0..4 {
        let (memory, expected) = long();
        memory.change(&format!("log/{lost:04}.segment"), |bytes| {
            bytes[..4096].fill(0xa5);
        });
        let (scan, found) = look(&*memory);
        assert!(found == expected, "segment {lost}");
        // Nothing was before the first one.
        let reasons: Vec<_> = scan.corruption.iter().map(|gap| gap.reason).collect();
        if lost > 0 {
            assert_eq!(reasons, [GapReason::Header]);
        } else {
            assert_eq!(reasons, []);
        }
    }
}

#[test]
fn an_end_of_a_page_that_no_frame_fits_in_is_not_missed() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    // A checkpoint has all up to there, a few bytes before the end of the page.
    let kept = append(&log, &[rows(&[1; 4096 - HEADER_BYTES - 7])]);
    assert_eq!(kept.end, Position(8192 - 7));
    let durable = log.sync().expect("syncs");
    let lost = append(&log, &[rows(b"lost")]);
    append(&log, &[rows(b"written back before the power went")]);
    drop(log);
    memory.change("log/0000.segment", |bytes| {
        bytes[lost.first.0 as usize..lost.end.0 as usize].fill(0);
    });
    let known = Known {
        replay_from: kept.end,
        durable,
    };
    for start in 0..3 {
        let opened = Log::open(Arc::clone(&storage), STORE, options(), known, &mut |_| {
            Ok(())
        });
        let (log, recovery) = opened.expect("opens");
        assert!(recovery.corruption.is_empty(), "{start}: {recovery:?}");
        append(&log, &[rows(b"more")]);
        log.sync().expect("syncs");
        // What the checkpoint has is not needed, and its segment is used again.
        if start == 0 {
            storage.remove("log/0000.segment").expect("removed");
        }
    }
}

#[test]
fn nothing_was_before_the_first_segment_of_all() {
    let (memory, expected, _) = written();
    // A power cut may keep frames that were moved to a segment, and not its header.
    memory.change(FILE, |bytes| bytes[..4096].fill(0));
    let (scan, found) = look(&*memory);
    assert_eq!(found, expected);
    assert!(scan.corruption.is_empty(), "{:?}", scan.corruption);
}

#[test]
fn frames_behind_a_torn_tail_never_come_back() {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    append(&log, &[rows(b"durable")]);
    log.sync().expect("syncs");
    let torn = append(&log, &[rows(b"torn")]);
    append(&log, &[rows(b"behind it")]);
    drop(log);
    let offset = (torn.first.0 % 65_536) as usize + 33;
    memory.change(FILE, |bytes| bytes[offset] ^= 1);
    let (log, recovery, handed) = open(&storage);
    assert_eq!(handed.len(), 1);
    assert_eq!(
        recovery.torn_tail,
        Some(TornTail {
            position: torn.first
        })
    );
    append(&log, &[rows(b"new")]);
    log.seal().expect("seals");
    drop(log);
    // Even if the torn frame turned out right after all.
    memory.change(FILE, |bytes| bytes[offset] ^= 1);
    let (_, recovery, handed) = open(&storage);
    assert!(
        recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
        "{recovery:?}"
    );
    let rows: Vec<_> = handed.iter().map(|(_, _, payload)| &payload[..]).collect();
    assert_eq!(rows, [&b"durable"[..], b"new", b""]);
}

#[test]
fn a_batch_without_its_last_part_is_left_out() {
    let memory: Arc<dyn Storage> = Arc::new(SimulatedStorage::new(1));
    let (log, _, _) = open(&memory);
    for (sequence, part) in [(1, 0), (2, 0), (1, 1)] {
        let producer = Some(ProducerPart {
            producer: 5,
            sequence,
            part,
            parts: 2,
        });
        let payload = [sequence as u8, part as u8];
        let frame = FrameParts {
            kind: FrameType::Rows,
            producer,
            payload: &payload,
        };
        append(&log, &[frame]);
    }
    log.sync().expect("syncs");
    let (_, recovery, handed) = open(&memory);
    let payloads: Vec<_> = handed
        .iter()
        .map(|(_, _, payload)| payload.clone())
        .collect();
    assert_eq!(payloads, [[1, 0], [1, 1]]);
    assert_eq!(recovery.incomplete_parts, 1);
}

#[test]
fn another_store_or_format_is_named() {
    let (memory, _, _) = written();
    let storage: Arc<dyn Storage> = memory.clone();
    let open_as = |store| {
        Log::open(
            Arc::clone(&storage),
            store,
            options(),
            Position(0),
            &mut |_| Ok(()),
        )
    };
    let error = open_as(StoreId(1)).err().expect("not ours");
    assert!(matches!(error, LogError::OtherStore { .. }), "{error}");
    memory.change(FILE, |bytes| {
        for copy in [0, 2048] {
            bytes[copy + 8] = 2;
            let crc = crc32fast::hash(&bytes[copy..copy + 72]);
            bytes[copy + 72..copy + 76].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let error = open_as(STORE).err().expect("a later format");
    assert!(
        matches!(error, LogError::Version { version: 2, .. }),
        "{error}"
    );
}

#[test]
fn an_unknown_type_is_passed_over_only_if_it_may_be() {
    for (code, refused) in [(0x7f, true), (0xff, false)] {
        let memory = Arc::new(SimulatedStorage::new(1));
        let storage: Arc<dyn Storage> = memory.clone();
        let (log, _, _) = open(&storage);
        let place = append(&log, &[rows(b"from the future")]);
        log.sync().expect("syncs");
        let offset = (place.first.0 % 65_536) as usize;
        memory.change(FILE, |bytes| {
            let frame = &mut bytes[offset..offset + 32 + 15];
            frame[8] = code;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&STORE.0.to_le_bytes());
            hasher.update(&log.epoch().0.to_le_bytes());
            hasher.update(&frame[..4]);
            hasher.update(&frame[8..]);
            frame[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
        });
        let opened = Log::open(storage, STORE, options(), Position(0), &mut |_| Ok(()));
        match opened {
            Err(LogError::UnknownFrame { code: found, .. }) => assert!(refused && found == code),
            Err(error) => panic!("{error}"),
            Ok((_, recovery)) => assert!(!refused && recovery.unknown_frames == 1),
        }
    }
}
