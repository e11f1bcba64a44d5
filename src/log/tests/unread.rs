//! What the device does not give at one start, and gives at the next.

use super::*;
use crate::limits::READ_ATTEMPTS;

const FIRST: &str = "log/0000.segment";

/// A log of six synced groups in one segment.
fn written() -> (Arc<SimulatedStorage>, Handed) {
    let (memory, storage) = disk();
    let (log, _, _) = open(&storage);
    let mut expected = Handed::new();
    for number in 0..6 {
        add(&log, &mut expected, &[number; 3_000]);
        log.sync().expect("syncs");
    }
    (memory, expected)
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let (memory, expected) = written();
    memory.fail_reads(READ_ATTEMPTS - 1);
    let (_, recovery, handed) = open(&(memory.clone() as Arc<dyn Storage>));
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
}

#[test]
fn the_end_that_cannot_be_read_is_no_torn_tail_and_comes_back() {
    let (memory, expected) = written();
    let storage: Arc<dyn Storage> = memory.clone();
    // The last group, which nothing behind it proves.
    memory.lose(FIRST, 6 * 4_096..7 * 4_096);
    let gap = || {
        let (_, recovery, handed) = open(&storage);
        assert!(handed == expected[..5]);
        let [gap] = &recovery.corruption[..] else {
            panic!("{recovery:?}");
        };
        (gap.from, gap.to)
    };
    let named = gap();
    assert!(
        named.0 <= expected[5].1 && expected[5].1 < named.1,
        "{named:?}"
    );
    assert_eq!(gap(), named, "a later start knows it still");
    memory.regain();
    let (log, recovery, handed) = open(&storage);
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
    let mut more = expected;
    add(&log, &mut more, b"behind it");
    log.sync().expect("syncs");
    assert!(open(&storage).2 == more);
}

#[test]
fn a_segment_whose_header_cannot_be_read_is_not_written_over() {
    let (memory, _) = written();
    let storage: Arc<dyn Storage> = memory.clone();
    let before = memory.bytes(FIRST).expect("there");
    memory.lose(FIRST, 0..8_192);
    let (log, recovery, handed) = open(&storage);
    assert!(handed.is_empty());
    let reasons: Vec<_> = recovery.corruption.iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::CutOff]);
    let epoch = log.epoch();
    for number in 0..20 {
        append(&log, &[rows(&[number; 9_000])]);
        log.sync().expect("syncs");
        log.recycle(log.durable()).expect("frees");
    }
    assert!(memory.bytes(FIRST).expect("there") == before);
    let header = SegmentHeader::decode(&before[..4_096]);
    assert!(
        matches!(header, HeaderPage::Valid(header) if header.epoch < epoch),
        "no epoch is given out twice"
    );
}

#[test]
fn one_half_of_a_header_page_is_enough() {
    let (memory, expected) = written();
    memory.lose(FIRST, 0..512);
    let (_, recovery, handed) = open(&(memory as Arc<dyn Storage>));
    assert!(recovery.corruption.is_empty(), "{recovery:?}");
    assert!(handed == expected);
}

#[test]
fn what_a_checkpoint_knew_to_be_durable_is_missed() {
    let (memory, expected) = written();
    // The last two groups are as they were before: no trace of them is left in the log.
    memory.change(FIRST, |bytes| bytes[5 * 4_096..].fill(0));
    let known = |durable| Known {
        replay_from: Position(0),
        durable,
    };
    let open_knowing = |durable| {
        let storage: Arc<dyn Storage> = Arc::new(memory.copy());
        let opened = Log::open(storage, STORE, options(), known(durable), &mut |_| Ok(()));
        opened.expect("opens").1.corruption
    };
    assert!(open_knowing(Position(5 * 4_096)).is_empty());
    let gaps = open_knowing(Position(7 * 4_096));
    let [gap] = &gaps[..] else {
        panic!("{gaps:?}");
    };
    assert!(
        gap.from <= expected[4].1 && gap.to == Position(7 * 4_096),
        "{gap:?}"
    );
}
