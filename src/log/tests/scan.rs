//! Looking at a log from outside, and what its surroundings may hold.

use super::*;

fn look_without_store(storage: &dyn Storage) -> (Scan, u32) {
    let mut frames = 0;
    let scan = scan(storage, None, Position(0), &mut |_| {
        frames += 1;
        Ok(())
    });
    (scan.expect("scans"), frames)
}

/// A log over four segments, synced frame by frame.
fn long() -> (Arc<SimulatedStorage>, Handed) {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..11_u8 {
        add(&log, &mut expected, &vec![number; 18_000]);
        log.sync().expect("syncs");
    }
    (memory, expected)
}

#[test]
fn a_scan_finds_the_store_and_every_segment() {
    let (memory, storage) = disk();
    let (scan, frames) = look_without_store(&*storage);
    assert_eq!((scan.store, scan.end, frames), (StoreId(0), Position(0), 0));
    let (log, _, _) = open(&storage);
    for number in 0..5_u8 {
        append(&log, &[rows(&vec![number; 18_000])]);
        log.sync().expect("syncs");
    }
    memory.create_file("log/notes.txt").expect("a stranger");
    memory.create_file("log/0009.segment").expect("empty");
    let (scan, frames) = look_without_store(&*storage);
    assert_eq!((scan.store, scan.end), (STORE, log.end()));
    // Each frame, and the pad behind it.
    assert_eq!(frames, 10);
    let names: Vec<_> = scan.segments.iter().map(|segment| &*segment.name).collect();
    assert_eq!(names, ["log/0000.segment", "log/0001.segment"]);
    assert_eq!(scan.segments[1].header.previous_end, scan.segments[0].end);
    assert!(scan.segments.iter().all(|segment| !segment.inferred));
    let error = super::scan(&*storage, Some(StoreId(1)), Position(0), &mut |_| Ok(()));
    assert!(matches!(error, Err(LogError::OtherStore { found, .. }) if found == STORE));
    let error = super::scan(&*storage, None, Position(0), &mut |frame| {
        Err(LogError::UnknownFrame {
            position: frame.position,
            code: frame.code,
        })
    });
    assert!(matches!(error, Err(LogError::UnknownFrame { code: 4, .. })));
}

#[test]
fn a_page_that_cannot_be_read_costs_the_frames_on_it() {
    let (memory, expected) = long();
    // The second frame's middle; a header with both its copies.
    let at = expected[1].1.0 + 9_000;
    memory.lose("log/0000.segment", at..at + 1);
    memory.lose("log/0002.segment", 0..4096);
    let (scan, found) = look(&*memory);
    let mut kept = expected.clone();
    let lost = kept.remove(1);
    assert!(found == kept);
    let reasons: Vec<_> = scan.corruption.iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::Damaged, GapReason::Header]);
    assert_eq!(scan.corruption[0].from, lost.1);
    assert_eq!(scan.corruption[0].to, Position(lost.1.0 + 18_032));
    let inferred: Vec<_> = scan
        .segments
        .iter()
        .map(|segment| segment.inferred)
        .collect();
    assert_eq!(inferred, [false, false, true, false]);
}

#[test]
fn a_log_reaches_back_unless_something_older_than_its_newest_header_is_lost() {
    let reaches = |lost: &[&str]| {
        let (memory, expected) = long();
        for name in lost {
            memory.lose(name, 0..4096);
        }
        reaches_back(&*memory, STORE, expected[1].1).expect("works")
    };
    assert!(reaches(&[]));
    assert!(reaches(&["log/0003.segment"]));
    assert!(!reaches(&["log/0002.segment"]));
    assert!(!reaches(&["log/0000.segment"]));
    let (memory, expected) = long();
    memory.remove("log/0000.segment").expect("removes");
    assert!(!reaches_back(&*memory, STORE, expected[1].1).expect("works"));
}

#[test]
fn bytes_that_change_between_two_readings_are_reported() {
    let (memory, expected) = long();
    let storage: Arc<dyn Storage> = memory.clone();
    let mut handed = 0;
    let (_, recovery) = Log::open(storage, STORE, options(), Position(0), &mut |_| {
        if handed == 0 {
            memory.change("log/0001.segment", |bytes| bytes[5_000] ^= 1);
        }
        handed += 1;
        Ok(())
    })
    .expect("opens");
    assert_eq!(handed, 10);
    let [gap] = &recovery.corruption[..] else {
        panic!("{:?}", recovery.corruption);
    };
    assert_eq!(
        (gap.reason.name(), &*gap.segment),
        ("unstable", "log/0001.segment")
    );
    assert_eq!(gap.from, expected[3].1);
    let name = gap.quarantined.clone().expect("tried").expect("kept");
    assert_eq!(
        memory.bytes(&format!("{name}.bin")).expect("there").len() as u64,
        gap.to.0 - gap.from.0
    );
}

#[test]
fn a_log_may_be_laid_out_anew_between_two_starts() {
    let (memory, expected) = long();
    let storage: Arc<dyn Storage> = memory.clone();
    memory
        .create_file("log/0001.segment.new")
        .expect("left by a crash");
    let changed = LogOptions {
        segment_size_bytes: 128 << 10,
        segment_count_max: 2,
        ..options()
    };
    // Four segments are held, twice as many as there may be: full, and all of it is there.
    let (log, _, handed) = open_with(&storage, changed.clone(), Position(0));
    assert!(handed == expected);
    let refused = log.append(log.epoch(), &[rows(b"no slot")]);
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    assert_eq!(storage.list(FOLDER).expect("lists").len(), 4);
    assert_eq!(log.recycle(log.durable()).expect("recycles"), 4);
    assert_eq!(
        storage.list(FOLDER).expect("lists"),
        ["0000.segment", "0001.segment"]
    );
    // Of the old size, the files are made anew.
    let mut expected = Handed::new();
    add(&log, &mut expected, &vec![7; 100_000]);
    log.sync().expect("syncs");
    let (_, _, handed) = open_with(&storage, changed, expected[0].1);
    assert!(handed == expected);
}

#[test]
fn options_out_of_their_limits_and_frames_too_large_are_refused() {
    let (_, storage) = disk();
    let refused = |change: fn(&mut LogOptions)| {
        let mut options = options();
        change(&mut options);
        let opened = Log::open(
            Arc::clone(&storage),
            STORE,
            options,
            Position(0),
            &mut |_| Ok(()),
        );
        opened.err().expect("is refused").to_string()
    };
    for change in [
        (|options| options.segment_size_bytes = 61_440) as fn(&mut LogOptions),
        |options| options.segment_size_bytes = (64 << 10) + 1,
        |options| options.segment_size_bytes = (256 << 20) + 4096,
    ] {
        assert!(refused(change).contains("segment_size_bytes"));
    }
    assert!(refused(|options| options.segment_count_max = 1).contains("segment_count_max"));
    assert!(refused(|options| options.segment_count_max = 1025).contains("segment_count_max"));
    assert!(refused(|options| options.sync_failures_max = 0).contains("sync_failures_max"));
    assert!(storage.list(FOLDER).expect("lists").is_empty());
    let large = LogOptions {
        segment_size_bytes: 8 << 20,
        ..options()
    };
    let (log, _, _) = open_with(&storage, large, Position(0));
    let payload = vec![1; (4 << 20) + 1];
    let error = log
        .append(log.epoch(), &[rows(&payload)])
        .expect_err("too large");
    assert_eq!(
        error.to_string(),
        "4194305 bytes do not fit; at most 4194304 do"
    );
    append(&log, &[rows(&payload[1..])]);
}
