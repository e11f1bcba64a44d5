//! Devices without room: refused, said, and forgotten when there is room again.

use super::*;

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
fn frames_that_find_no_room_to_move_turn_the_log_read_only() {
    for (files, stores) in [(true, false), (false, true)] {
        let (memory, storage) = disk();
        let log = Arc::new(open(&storage).0);
        let mut expected = Handed::new();
        add(&log, &mut expected, b"durable");
        let durable = log.sync().expect("syncs");
        append(&log, &[rows(b"not durable")]);
        memory.fail_syncs(1);
        let disk = Arc::clone(&memory);
        memory.during_sync(move || disk.fill_up(files, stores));
        let error = log.sync().expect_err("nowhere to go");
        let text = error.to_string();
        assert!(matches!(error, LogError::ReadOnly { failures: 1, .. }));
        assert!(
            text.contains("sync log/") && text.contains("; then: "),
            "{text}"
        );
        assert_eq!(
            log.usage().read_only,
            text.split_once(": ").map(|parts| parts.1.to_owned())
        );
        assert_eq!(log.durable(), durable);
        let refused = log.append(log.epoch(), &[rows(b"more")]);
        assert!(matches!(refused, Err(AppendError::ReadOnly)));
        assert!(matches!(log.seal(), Err(LogError::ReadOnly { .. })));
        let (_, recovery, handed) = open(&after_cut(&memory));
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        assert_eq!(handed, expected);
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
