//! The rules of the log, on both back ends.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::{self, BackendChoice, Storage};

const STORE: StoreId = StoreId(0xfeed);

/// Frames as they were handed over: type, position, payload.
type Handed = Vec<(FrameType, Position, Vec<u8>)>;

fn options() -> LogOptions {
    LogOptions {
        segment_size_bytes: 64 << 10,
        segment_count_max: 4,
        prefetch_bytes: 0,
        ..LogOptions::default()
    }
}

fn on_each(test: impl Fn(&Path, Arc<dyn Storage>)) {
    for choice in [BackendChoice::Mmap, BackendChoice::File] {
        let folder = tempfile::tempdir().expect("a directory for the test");
        let storage = storage::open(folder.path(), choice).expect("opens");
        test(folder.path(), storage);
    }
}

fn open_from(storage: &Arc<dyn Storage>, from: Position) -> (Log, Recovery, Handed) {
    let mut handed = Handed::new();
    let (log, recovery) = Log::open(Arc::clone(storage), STORE, options(), from, &mut |view| {
        handed.push((view.kind, view.position, view.payload.to_vec()));
        Ok(())
    })
    .expect("opens");
    (log, recovery, handed)
}

fn open(storage: &Arc<dyn Storage>) -> (Log, Recovery, Handed) {
    open_from(storage, Position(0))
}

fn rows(payload: &[u8]) -> FrameParts<'_> {
    FrameParts {
        kind: FrameType::Rows,
        producer: None,
        payload,
    }
}

/// Appends, through roll-overs.
fn append(log: &Log, frames: &[FrameParts<'_>]) -> Appended {
    loop {
        match log.append(log.epoch(), frames) {
            Ok(appended) => return appended,
            Err(AppendError::EpochChanged(epoch)) => assert_eq!(epoch, log.epoch()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_was_appended_comes_back_in_order() {
    on_each(|_, storage| {
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
