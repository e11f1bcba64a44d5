//! Syncs that fail.

use super::memory::Memory;
use super::*;

fn disk() -> (Arc<Memory>, Arc<dyn Storage>) {
    let memory = Arc::new(Memory::default());
    let storage: Arc<dyn Storage> = memory.clone();
    (memory, storage)
}

/// What the device holds, without anything that was not synced.
fn after_cut(memory: &Memory) -> Arc<dyn Storage> {
    Arc::new(memory.cut(&mut || false))
}

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
