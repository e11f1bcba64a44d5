//! Syncs that fail.

use super::*;
use crate::log::frame::HEADER_BYTES;
use crate::log::segment::slot_name;

#[test]
fn a_failed_sync_moves_its_frames_under_the_same_positions() {
    for durable_before in [false, true] {
        let (memory, storage) = disk();
        let (log, _, _) = open(&storage);
        let mut expected = Handed::new();
        let mut add = |payload: &[u8]| {
            let appended = append(&log, &[rows(payload)]);
            expected.push((FrameType::Rows, appended.first, payload.to_vec()));
        };
        if durable_before {
            add(b"durable before");
            log.sync().expect("syncs");
        }
        add(b"in the group that fails");
        add(b"and another");
        let epoch = log.epoch();
        memory.fail_syncs(1);
        let durable = log.sync().expect("moved and synced");
        assert_eq!(durable, log.end());
        assert!(log.epoch() > epoch);
        assert_eq!(log.usage().sync_failures, 1);
        add(b"later");
        log.sync().expect("syncs");
        let (_, recovery, handed) = open(&after_cut(&memory));
        assert_eq!(handed, expected);
        assert!(
            recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
            "{recovery:?}"
        );
    }
}

#[test]
fn the_page_of_a_lost_header_is_no_gap_where_the_segment_before_has_it() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let kept = append(&log, &[rows(b"kept")]);
    let durable = log.sync().expect("syncs");
    let moved = append(&log, &[rows(b"moved")]);
    memory.fail_syncs(1);
    log.sync().expect("moved and synced");
    drop(log);
    // The group lies behind its segment's first page under the positions that it had: the page that the header took
    // belongs to the segment before, up to the end of its last group.
    let first = durable.0.next_multiple_of(4096);
    assert_eq!(moved.first, Position(first));
    memory.change("log/0001.segment", |bytes| bytes[..4096].fill(0));
    for replay_from in [kept.first, kept.end] {
        let mut handed = Vec::new();
        let known = Known {
            replay_from,
            durable,
        };
        let (_, recovery) = Log::open(
            Arc::new(memory.copy()),
            STORE,
            options(),
            known,
            &mut |view| {
                handed.push(view.payload.to_vec());
                Ok(())
            },
        )
        .expect("opens");
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        let from = usize::from(replay_from == kept.end);
        assert_eq!(handed, [&b"kept"[..], b"moved"][from..]);
    }
}

#[test]
fn what_one_copy_of_a_moved_group_has_is_no_gap_of_the_other() {
    // The same group, as it was first and as it moved: its first frame fills a page.
    let long = [7; 4096 - HEADER_BYTES];
    let [(first_copy, ..), (memory, durable, [kept, first, second])] = [0, 1].map(|failures| {
        let (memory, storage) = disk();
        let (log, _, _) = open(&storage);
        let kept = append(&log, &[rows(b"kept")]);
        let durable = log.sync().expect("syncs");
        let [first, second, _] =
            [&long[..], b"other", b"third"].map(|row| append(&log, &[rows(row)]));
        memory.fail_syncs(failures);
        log.sync().expect("synced, or moved and synced");
        drop(log);
        (memory, durable, [kept, first, second])
    });
    assert_eq!(first.end.0 - first.first.0, 4096);
    let mut kept_pages = Vec::new();
    first_copy.change("log/0000.segment", |bytes| kept_pages = bytes.clone());
    // The device had written the group back before it gave its pages up. The power goes before the move is durable: of
    // the first copy a frame is lost, of the other one the frame before it, and the header.
    memory.change("log/0000.segment", |bytes| {
        *bytes = kept_pages;
        bytes[second.first.0 as usize..second.end.0 as usize].fill(0);
    });
    memory.change("log/0001.segment", |bytes| {
        bytes[..4096].fill(0);
        bytes[4096 + HEADER_BYTES + 100] ^= 1;
    });
    let known = Known {
        replay_from: kept.first,
        durable,
    };
    let disk = Arc::new(memory.copy());
    let start = || {
        let mut handed = Vec::new();
        let mut visit = |view: FrameView<'_>| {
            handed.push(view.payload.to_vec());
            Ok(())
        };
        let opened = Log::open(disk.clone(), STORE, options(), known, &mut visit);
        let (log, recovery) = opened.expect("opens");
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        (log, handed)
    };
    let (log, handed) = start();
    assert!(handed == [&b"kept"[..], &long]);
    // What that start cut off stays so, in either copy, though more is durable behind it.
    append(&log, &[rows(b"next")]);
    log.sync().expect("syncs");
    drop(log);
    let (_, handed) = start();
    assert!(handed == [&b"kept"[..], &long, b"next"], "{}", handed.len());
}

#[test]
fn what_a_start_took_from_the_first_copy_of_a_moved_group_stays() {
    let long = [7; 4096 - HEADER_BYTES];
    // A group over two segments, as it was first and as it moved.
    let [(first_copy, ..), (memory, known, second)] = [0, 1].map(|failures| {
        let (memory, storage) = disk();
        let (log, _, _) = open(&storage);
        let kept = append(&log, &[rows(b"kept")]);
        let durable = log.sync().expect("syncs");
        for _ in 0..10 {
            append(&log, &[rows(&long)]);
        }
        let second = append(&log, &[rows(b"second")]);
        let rest = vec![1; 20_000];
        append(&log, &[rows(&rest)]);
        assert_eq!(log.usage().segments, 2);
        memory.fail_syncs(failures);
        log.sync().expect("synced, or moved and synced");
        let known = Known {
            replay_from: kept.first,
            durable,
        };
        (memory, known, second)
    });
    let mut kept_pages = Vec::new();
    first_copy.change("log/0000.segment", |bytes| kept_pages = bytes.clone());
    // The power goes before the move is durable. The first copy is whole; the other one lacks its header and its end, and
    // the segment behind it the only unit.
    memory.change("log/0000.segment", |bytes| *bytes = kept_pages);
    memory.change("log/0002.segment", |bytes| {
        bytes[..4096].fill(0);
        bytes[11 * 4096..].fill(0);
    });
    memory.change("log/0003.segment", |bytes| bytes[3 * 4096] ^= 1);
    let disk = Arc::new(memory.copy());
    let start = || {
        let mut handed = Vec::new();
        let mut visit = |view: FrameView<'_>| {
            handed.push(view.position);
            Ok(())
        };
        let opened = Log::open(disk.clone(), STORE, options(), known, &mut visit);
        let (log, recovery) = opened.expect("opens");
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        (log, handed)
    };
    let (log, mut expected) = start();
    assert_eq!((expected.len(), expected.last()), (12, Some(&second.first)));
    expected.push(append(&log, &[rows(b"next")]).first);
    log.sync().expect("syncs");
    drop(log);
    assert_eq!(start().1, expected);
}

#[test]
fn a_group_over_two_segments_moves_as_a_whole() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..5_u8 {
        let payload = vec![number; 17_000];
        let appended = append(&log, &[rows(&payload)]);
        expected.push((FrameType::Rows, appended.first, payload));
        if number == 0 {
            log.sync().expect("syncs");
        }
    }
    assert_eq!(log.usage().segments, 2);
    memory.fail_syncs(1);
    log.sync().expect("moved and synced");
    let (_, recovery, handed) = open(&after_cut(&memory));
    assert!(
        recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
        "{recovery:?}"
    );
    assert!(handed == expected);
}

#[test]
fn after_three_failures_the_log_is_read_only_and_says_so() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let kept = append(&log, &[rows(b"kept")]);
    log.sync().expect("syncs");
    append(&log, &[rows(b"lost")]);
    memory.fail_syncs(3);
    let error = log.sync().expect_err("three failures");
    assert!(
        matches!(error, LogError::ReadOnly { failures: 3, .. }),
        "{error}"
    );
    assert!(log.durable() >= kept.end && log.durable() < log.end());
    let refused = log.append(log.epoch(), &[rows(b"more")]);
    assert!(matches!(refused, Err(AppendError::ReadOnly)));
    assert!(matches!(log.sync(), Err(LogError::ReadOnly { .. })));
    assert!(log.usage().read_only.is_some());
    let (log, _, handed) = open(&after_cut(&memory));
    assert_eq!(handed.len(), 1);
    append(&log, &[rows(b"again")]);
    log.sync().expect("another start, another chance");
}

#[test]
fn what_is_appended_while_a_sync_fails_moves_with_it() {
    for large in [0, 4] {
        let (memory, storage) = disk();
        let log = Arc::new(open(&storage).0);
        let mut expected = Handed::new();
        add(&log, &mut expected, b"durable before");
        log.sync().expect("syncs");
        add(&log, &mut expected, b"in the group that fails");
        let later = Arc::new(parking_lot::Mutex::new(Handed::new()));
        let (other, noted) = (Arc::clone(&log), Arc::clone(&later));
        memory.fail_syncs(1);
        memory.during_sync(move || {
            add(&other, &mut noted.lock(), b"same segment, next group");
            for number in 0..large {
                add(&other, &mut noted.lock(), &vec![number; 30_000]);
            }
        });
        let durable = log.sync().expect("moved and synced");
        assert_eq!(durable, log.end());
        assert_eq!(log.usage().unsynced_bytes, 0);
        expected.append(&mut later.lock());
        let (_, recovery, handed) = open(&after_cut(&memory));
        assert!(
            recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
            "{recovery:?}"
        );
        assert!(handed == expected, "{large} large frames");
    }
}

#[test]
fn a_full_log_exceeds_its_slots_to_move_and_gives_them_back() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..12_u8 {
        add(&log, &mut expected, &vec![number; 18_000]);
        if number < 11 {
            log.sync().expect("syncs");
        }
    }
    let full = log.append(log.epoch(), &[rows(&vec![0; 18_000])]);
    assert!(matches!(full, Err(AppendError::Full)), "{full:?}");
    memory.fail_syncs(1);
    let durable = log.sync().expect("moved and synced");
    assert_eq!(storage.list(FOLDER).expect("lists").len(), 5);
    let (_, recovery, handed) = open(&after_cut(&memory));
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
    // The last segment had a durable part, so it went on as one of the log's.
    assert_eq!(log.recycle(durable).expect("recycles"), 4);
    for number in 0..12_u8 {
        append(&log, &[rows(&vec![number; 18_000])]);
        log.sync().expect("syncs");
        log.recycle(log.durable()).expect("recycles");
    }
    assert_eq!(storage.list(FOLDER).expect("lists").len(), 4);
}

#[test]
fn a_store_that_fails_is_a_failed_sync_and_moves() {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    add(&log, &mut expected, b"durable before");
    log.sync().expect("syncs");
    memory.fail_stores(1);
    add(&log, &mut expected, b"what the device refused");
    add(&log, &mut expected, b"behind it");
    let epoch = log.epoch();
    assert_eq!(log.sync().expect("moved and synced"), log.end());
    assert!(log.epoch() > epoch);
    assert_eq!(log.usage().sync_failures, 1);
    // The header of the next segment goes to the one behind.
    for number in 0..3 {
        add(&log, &mut expected, &vec![number; 18_000]);
    }
    memory.fail_stores(1);
    add(&log, &mut expected, &vec![3; 18_000]);
    assert_eq!(log.usage().segments_retired, 1);
    log.sync().expect("syncs");
    let (_, recovery, handed) = open(&after_cut(&memory));
    assert!(
        recovery.corruption.is_empty() && recovery.torn_tail.is_none(),
        "{recovery:?}"
    );
    assert!(handed == expected);
}

#[test]
fn a_segment_cut_under_its_map_moves_what_was_not_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage: Arc<dyn Storage> =
        Arc::new(crate::storage::MmapStorage::open(folder.path()).expect("opens"));
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    add(&log, &mut expected, b"durable before");
    log.sync().expect("syncs");
    let cut = std::fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join("log/0000.segment"))
        .expect("the active segment");
    cut.set_len(8192).expect("behind what is durable");
    let epoch = log.epoch();
    add(&log, &mut expected, &[1; 9_000]);
    add(&log, &mut expected, b"behind the fault");
    assert_eq!(log.sync().expect("moved and synced"), log.end());
    assert!(log.epoch() > epoch);
    assert_eq!(log.usage().sync_failures, 1);
    add(&log, &mut expected, b"later");
    log.sync().expect("syncs");
    drop(log);
    let (_, recovery, handed) = open(&storage);
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
}

#[test]
fn a_torn_segment_that_held_nothing_is_no_gap_of_a_copy() {
    let (_, storage) = disk();
    let (log, ..) = open(&storage);
    let mut expected = Handed::new();
    let last = loop {
        let unit = append(&log, &[rows(&[1; 3_000]), rows(&[2; 3_000])]);
        if log.usage().segments == 2 {
            break unit;
        }
        expected.push((FrameType::Rows, unit.first, vec![1; 3_000]));
        expected.push((FrameType::Rows, unit.last_frame, vec![2; 3_000]));
    };
    log.sync().expect("syncs");
    drop(log);
    // The power took the header, and the second half of the only unit.
    let file = storage.open_file(&slot_name(1)).expect("there");
    let base = options().segment_size_bytes;
    for offset in [0, last.last_frame.0 - base] {
        file.write_at(offset, &[0; crate::limits::PAGE_BYTES])
            .expect("room");
    }
    file.sync().expect("syncs");
    let (log, recovery, found) = open(&storage);
    assert_eq!((&found, recovery.corruption.len()), (&expected, 0));
    add(&log, &mut expected, b"behind it");
    log.sync().expect("syncs");
    let (_, other) = disk();
    log.copy_to(&*other, Position(0)).expect("room");
    let (_, recovery, found) = open(&other);
    assert_eq!(recovery.corruption, []);
    assert_eq!(found, expected);
}
