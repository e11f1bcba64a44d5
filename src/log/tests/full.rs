//! Devices without room: refused, said, and forgotten when there is room again.

use super::*;
use crate::log::segment::slot_name;

#[test]
fn a_full_device_refuses_units_until_there_is_room() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..3 {
        add(&log, &mut expected, &vec![number; 18_000]);
    }
    memory.fill_up(true, false);
    for _ in 0..10 {
        let refused = log.append(log.epoch(), &[rows(&vec![9; 18_000])]);
        assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    }
    let error = log.prepare().expect_err("no room");
    assert!(matches!(&error, LogError::Storage(error) if error.is_full()));
    // What fits into the segment there is, is still taken.
    add(&log, &mut expected, b"small");
    assert_eq!(log.sync().expect("syncs"), log.end());
    let before = log.epoch();
    memory.fill_up(false, false);
    add(&log, &mut expected, &vec![9; 18_000]);
    assert_eq!(log.epoch().0, before.0 + 1);
    log.sync().expect("syncs");
    let (_, recovery, handed) = open(&after_cut(&memory));
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
}

#[test]
fn a_store_that_finds_no_room_costs_neither_frames_nor_segments() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..3 {
        add(&log, &mut expected, &vec![number; 18_000]);
    }
    let (epoch, end) = (log.epoch(), log.end());
    memory.fill_up(false, true);
    // In the active segment, and for the header of the next one: more often than there are slots.
    for payload in [&[9; 10][..], &vec![9; 18_000]] {
        for _ in 0..10 {
            let refused = log.append(epoch, &[rows(payload)]);
            assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
        }
    }
    assert_eq!((log.epoch(), log.end()), (epoch, end));
    assert_eq!(log.usage().segments_retired, 0);
    memory.fill_up(false, false);
    add(&log, &mut expected, b"where the refused ones would be");
    for number in 3..12 {
        add(&log, &mut expected, &vec![number; 18_000]);
    }
    assert_eq!(log.usage().segments, 4);
    log.sync().expect("syncs");
    let (_, recovery, handed) = open(&after_cut(&memory));
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
}

#[test]
fn a_log_opens_on_a_full_device_and_begins_when_there_is_room() {
    let (memory, storage) = disk();
    memory.fill_up(true, false);
    let (log, recovery, _) = open(&storage);
    assert_eq!(recovery, Recovery::default());
    assert_eq!(log.usage().segments, 0);
    let refused = log.append(log.epoch(), &[rows(b"too early")]);
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    assert_eq!(log.seal().expect("has nothing to seal"), log.durable());
    memory.fill_up(false, true);
    drop(log);
    let (log, _, _) = open(&storage);
    assert_eq!(log.usage().segments, 0);
    memory.fill_up(false, false);
    let mut expected = Handed::new();
    add(&log, &mut expected, b"in time");
    log.sync().expect("syncs");
    let (_, _, handed) = open(&after_cut(&memory));
    assert_eq!(handed, expected);
}

#[test]
fn frames_that_find_no_room_to_move_wait_for_it() {
    // One segment's frames, and those of two.
    for (files, stores, large) in [(true, false, 0), (false, true, 0), (true, false, 4)] {
        let (memory, storage) = disk();
        let log = Arc::new(open(&storage).0);
        let mut durable = Handed::new();
        add(&log, &mut durable, b"durable");
        let reached = log.sync().expect("syncs");
        let mut expected = durable.clone();
        add(&log, &mut expected, b"not durable");
        for number in 0..large {
            add(&log, &mut expected, &vec![number; 18_000]);
        }
        memory.fail_syncs(1);
        let disk = Arc::clone(&memory);
        memory.during_sync(move || disk.fill_up(files, stores));
        for _ in 0..10 {
            let error = log.sync().expect_err("nowhere to go");
            assert!(
                matches!(&error, LogError::NoRoom { reason, source }
                    if source.is_full() && reason.contains("sync log/")),
                "{error}"
            );
            let refused = log.append(log.epoch(), &[rows(b"more")]);
            assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
        }
        let usage = log.usage();
        assert!(log.awaits_room() && usage.read_only.is_none() && usage.unsynced_bytes > 0);
        assert_eq!((usage.sync_failures, log.durable()), (1, reached));
        assert!(matches!(log.seal(), Err(LogError::NoRoom { .. })));
        // The power goes before there is room: nothing that was durable is lost, nothing is reported.
        let (_, recovery, handed) = open(&after_cut(&memory));
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        assert_eq!(handed, durable);
        memory.fill_up(false, false);
        assert_eq!(log.sync().expect("moved and synced"), log.end());
        assert!(!log.awaits_room() && log.usage().unsynced_bytes == 0);
        add(&log, &mut expected, b"behind");
        log.sync().expect("syncs");
        let (_, recovery, handed) = open(&after_cut(&memory));
        assert!(
            recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
            "{recovery:?}"
        );
        assert!(handed == expected);
    }
}

#[test]
fn a_gap_that_finds_no_room_in_quarantine_is_kept_by_a_later_start() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let lost = append(&log, &[rows(b"will be lost")]);
    log.sync().expect("syncs");
    let mut expected = Handed::new();
    add(&log, &mut expected, b"kept");
    log.sync().expect("syncs");
    drop(log);
    memory.change("log/0000.segment", |bytes| bytes[4096 + 40] ^= 1);
    memory.fill_up(true, false);
    let (_, recovery, handed) = open(&storage);
    assert_eq!(handed, expected);
    let gap = &recovery.corruption[0];
    assert_eq!((gap.from, gap.to), (lost.first, lost.end));
    let reason = gap.quarantined.clone().expect("tried");
    let reason = reason.expect_err("no room");
    assert!(reason.contains("create quarantine/log-"), "{reason}");
    memory.fill_up(false, false);
    let (_, recovery, handed) = open(&storage);
    assert_eq!(handed, expected);
    let kept = recovery.corruption[0].quarantined.clone();
    let name = kept.expect("tried").expect("kept");
    assert_eq!(storage.list("quarantine").expect("lists").len(), 2);
    assert_eq!(
        memory.bytes(&format!("{name}.bin")).expect("there").len(),
        44
    );
}

#[test]
fn what_says_where_the_log_ends_stays_until_another_header_is_durable() {
    // A file that is used again, one of another size, and one whose number is not used any more.
    for (slot, size_bytes) in [(1, 64 << 10), (1, 128 << 10), (7, 64 << 10)] {
        let (memory, storage) = disk();
        let (log, ..) = open(&storage);
        let mut expected = Handed::new();
        add(&log, &mut expected, b"kept");
        let end = log.sync().expect("syncs");
        append(&log, &[rows(b"left out by a later start")]);
        log.sync().expect("syncs");
        let epoch = log.epoch();
        drop(log);
        // A start that found the log to end before them has written this, and nothing behind it.
        let header = SegmentHeader {
            store: STORE,
            slot,
            epoch: Epoch(epoch.0 + 10),
            base: Position(1 << 20),
            size_bytes: 64 << 10,
            previous_epoch: epoch,
            previous_end: end,
            durable: end,
        };
        let segment = storage.create_segment(&slot_name(slot), header.size_bytes);
        let segment = segment.expect("room");
        segment.write(0, &header.encode()).expect("writes");
        segment.sync(0..4096).expect("syncs");
        let other = LogOptions {
            segment_size_bytes: size_bytes,
            ..options()
        };
        for _ in 0..2 {
            memory.fill_up(false, true);
            let (log, _, handed) = open_with(&storage, other.clone(), Position(0));
            assert_eq!((&handed, log.usage().segments), (&expected, 1));
            let refused = log.append(log.epoch(), &[rows(b"too early")]);
            assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
            log.recycle(Position(0)).expect("has nothing to recycle");
        }
        memory.fill_up(false, false);
        let cut = after_cut(&memory);
        let (log, _, handed) = open_with(&cut, other.clone(), Position(0));
        assert_eq!(handed, expected, "slot {slot}, {size_bytes} bytes");
        let mut expected = expected.clone();
        for number in 0..2 {
            add(&log, &mut expected, &vec![number; size_bytes as usize / 2]);
        }
        log.sync().expect("syncs");
        log.recycle(expected[1].1).expect("recycles");
        for number in 0..6 {
            append(&log, &[rows(&vec![number; size_bytes as usize / 2])]);
            log.sync().expect("syncs");
            log.recycle(log.durable()).expect("recycles");
        }
        // No file stays that the log would not use.
        let names = cut.list(FOLDER).expect("lists");
        assert!(names.len() <= 4, "{names:?}");
        assert!(
            names.iter().all(|name| name < &"0004".to_owned()),
            "{names:?}"
        );
    }
}
