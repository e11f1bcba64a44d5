//! Appending, syncing, rolling over, recycling.

use super::*;

#[test]
fn what_was_appended_comes_back_in_order() {
    on_each(|storage| {
        let (log, recovery, handed) = open(&storage);
        assert!(handed.is_empty() && recovery.torn_tail.is_none());
        let first = append(&log, &[rows(b"one"), rows(b"two")]);
        assert!(first.first < first.last_frame && first.last_frame < first.end);
        let durable = log.sync().expect("syncs");
        assert!(durable >= first.end);
        assert_eq!((durable, log.end()), (log.durable(), durable));
        let second = append(&log, &[rows(b"three")]);
        assert_eq!(second.first.0 % 4096, 0, "a group begins on a page");
        log.sync().expect("syncs");
        let end = log.end();
        drop(log);
        let (log, recovery, handed) = open(&storage);
        let expected = [
            (FrameType::Rows, first.first, b"one".to_vec()),
            (FrameType::Rows, first.last_frame, b"two".to_vec()),
            (FrameType::Rows, second.first, b"three".to_vec()),
        ];
        assert_eq!(handed, expected);
        assert_eq!(recovery.end, end);
        assert_eq!((recovery.frames, recovery.bytes), (3, 11));
        assert!(recovery.corruption.is_empty() && recovery.torn_tail.is_none());
        assert!(log.end() > end);
    });
}

#[test]
fn a_unit_for_an_epoch_gone_by_is_refused_and_writes_nothing() {
    on_each(|storage| {
        let (log, _, _) = open(&storage);
        let old = log.epoch();
        let payload = vec![7; 20_000];
        let mut appended = 0;
        let new = loop {
            let before = (log.epoch(), log.end());
            match log.append(old, &[rows(&payload)]) {
                Ok(_) => appended += 1,
                Err(AppendError::EpochChanged(new)) => {
                    assert_eq!(log.usage().bytes_appended, appended * 20_032);
                    assert!(new > before.0 && log.end() > before.1);
                    break new;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!((appended, log.epoch()), (3, new));
        let end = log.end();
        let stale = log.append(old, &[rows(b"late")]);
        assert!(matches!(stale, Err(AppendError::EpochChanged(epoch)) if epoch == new));
        assert_eq!(log.end(), end);
        log.append(new, &[rows(b"built anew")]).expect("fits");
        log.sync().expect("syncs");
        drop(log);
        let (_, _, handed) = open(&storage);
        assert_eq!(handed.len(), 4);
        assert_eq!(handed[3].2, b"built anew");
    });
}

#[test]
fn what_can_never_fit_is_said_at_once() {
    on_each(|storage| {
        let (log, _, _) = open(&storage);
        let payload = vec![0; 61_440];
        let error = log.append(log.epoch(), &[rows(&payload)]);
        assert!(matches!(error, Err(AppendError::TooLarge { .. })));
        let largest = append(&log, &[rows(&payload[..61_440 - HEADER_BYTES])]);
        assert_eq!(largest.end.0 % 65_536, 0);
        let error = log.append(log.epoch(), &[]);
        assert!(matches!(error, Err(AppendError::TooLarge { .. })));
    });
}

#[test]
fn epochs_and_positions_only_grow() {
    on_each(|storage| {
        let mut epoch = Epoch(0);
        let mut position = Position(0);
        let mut checkpoint = Position(0);
        for round in 0..5 {
            let (log, recovery, _) = open_from(&storage, checkpoint);
            assert!(recovery.corruption.is_empty(), "{recovery:?}");
            assert!(log.epoch() > epoch && log.end() > position, "start {round}");
            for _ in 0..5 {
                let before = log.epoch();
                let appended = append(&log, &[rows(&vec![1; 30_000])]);
                assert!(log.epoch() >= before && appended.first > position);
                (epoch, position) = (log.epoch(), appended.end);
                log.sync().expect("syncs");
                // As a checkpoint would.
                checkpoint = appended.end;
                log.recycle(checkpoint).expect("recycles");
            }
        }
    });
}

#[test]
fn a_full_log_takes_frames_again_when_segments_are_recycled() {
    on_each(|storage| {
        let (log, _, _) = open(&storage);
        let mut kept: Vec<(Position, u8)> = Vec::new();
        let mut checkpoint = Position(0);
        for number in 0..60_u8 {
            let payload = [number; 9_000];
            let appended = loop {
                match log.append(log.epoch(), &[rows(&payload)]) {
                    Ok(appended) => break appended,
                    Err(AppendError::EpochChanged(_)) => {}
                    Err(AppendError::Full) => {
                        assert_eq!(log.usage().segments, 4);
                        if checkpoint == Position(0) {
                            // Nothing is durable yet.
                            let all = Position(u64::MAX);
                            assert_eq!(log.recycle(all).expect("recycles"), 0);
                        }
                        log.sync().expect("syncs");
                        checkpoint = kept[kept.len() / 2].0;
                        kept.retain(|(position, _)| *position > checkpoint);
                        assert!(log.recycle(checkpoint).expect("recycles") > 0);
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            kept.push((appended.first, number));
        }
        assert!(checkpoint > Position(0), "it was full at least once");
        log.seal().expect("seals");
        assert_eq!(storage.list(FOLDER).expect("lists").len(), 4);
        drop(log);
        let (_, recovery, handed) = open_from(&storage, checkpoint);
        assert!(recovery.corruption.is_empty(), "{recovery:?}");
        assert!(recovery.torn_tail.is_none());
        let rows = handed
            .iter()
            .filter(|(kind, _, _)| *kind == FrameType::Rows);
        // The checkpoint itself points at the start of a frame, which is handed over once more.
        let found: Vec<_> = rows
            .filter(|(_, position, _)| *position > checkpoint)
            .map(|(_, position, payload)| (*position, payload[0]))
            .collect();
        assert_eq!(found, kept);
    });
}

#[test]
fn pages_of_a_synced_group_are_never_written_again() {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    let (log, _, _) = open(&storage);
    let mut random = Random(11);
    let mut kept: Vec<u8> = memory.bytes("log/0000.segment").expect("there")[..4096].to_vec();
    for _ in 0..10 {
        for _ in 0..=random.below(3) {
            let payload = vec![1; random.below(900) as usize];
            append(&log, &[rows(&payload)]);
        }
        log.sync().expect("syncs");
        let bytes = memory.bytes("log/0000.segment").expect("there");
        assert!(bytes.starts_with(&kept));
        let used = (log.durable().0 % 65_536) as usize;
        assert_eq!(used % 4096, 0);
        kept = bytes[..used].to_vec();
    }
    assert!(kept.len() > 10 * 4096, "all in one segment");
}

#[test]
fn groups_gather_from_many_threads_while_a_sync_runs() {
    on_each(|storage| {
        let (log, _, _) = open(&storage);
        let total = 4 * 60;
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..60_u8 {
                        append(log, &[rows(&[thread, number]), rows(&[thread; 300])]);
                    }
                });
            }
            while log.usage().bytes_appended < total * 300 {
                log.sync().expect("syncs");
                log.prepare().expect("prepares");
            }
        });
        let durable = log.sync().expect("syncs");
        assert_eq!(durable, log.end());
        drop(log);
        let (_, recovery, handed) = open(&storage);
        assert!(recovery.corruption.is_empty() && recovery.torn_tail.is_none());
        assert_eq!(handed.len() as u64, 2 * total);
        assert!(handed.is_sorted_by_key(|(_, position, _)| *position));
        for thread in 0..4 {
            let numbers = handed.iter().filter(|(_, _, payload)| payload.len() == 2);
            let own = numbers.filter(|(_, _, payload)| payload[0] == thread);
            assert!(own.map(|(_, _, payload)| payload[1]).eq(0..60));
        }
    });
}
