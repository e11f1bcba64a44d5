//! What a small sync costs the device: at most two pages.
//!
//! A binary of its own with one test, because the counter of written bytes belongs to the process.

use std::fs;
use std::sync::Arc;

use edgetimedb::log::{AppendError, FrameParts, FrameType, Log, LogOptions};
use edgetimedb::storage::{self, BackendChoice};
use edgetimedb::types::{Position, StoreId};

#[test]
fn a_small_sync_writes_at_most_two_pages() {
    // Beside the build's output: the system's temporary folder may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for choice in [BackendChoice::Mmap, BackendChoice::File] {
        let root = folder.path().join(format!("{choice:?}"));
        let storage = storage::open(&root, choice).expect("opens");
        let kind = storage.kind();
        let options = LogOptions::default();
        let (log, _) =
            Log::open(storage, StoreId(1), options, Position(0), &mut |_| Ok(())).expect("opens");
        let log = Arc::new(log);
        log.prepare().expect("prepares");
        let payload = [0x5a; 400];
        let frame = FrameParts {
            kind: FrameType::Rows,
            producer: None,
            payload: &payload,
        };
        // The first sync of a file may write its metadata once.
        append(&log, &[frame]);
        log.sync().expect("syncs");
        let accounted = log.usage().bytes_synced;
        let written = written_bytes();
        for _ in 0..SYNCS {
            append(&log, &[frame]);
            log.sync().expect("syncs");
        }
        let pages = (log.usage().bytes_synced - accounted) / SYNCS / PAGE_BYTES;
        assert!(
            pages <= 2,
            "{kind}: {pages} pages a sync by the log's own account"
        );
        match (written, written_bytes()) {
            (Some(before), Some(after)) if after > before => {
                let bytes = (after - before) / SYNCS;
                println!("{kind}: {bytes} bytes written to the device a sync");
                assert!(bytes <= 2 * PAGE_BYTES, "{kind}: {bytes} bytes a sync");
            }
            _ => println!("{kind}: this system does not count written bytes; skipped"),
        }
    }
}

fn append(log: &Log, frames: &[FrameParts<'_>]) {
    loop {
        match log.append(log.epoch(), frames) {
            Ok(_) => return,
            Err(AppendError::EpochChanged(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes this process made the devices write, if the kernel says so (proc_pid_io(5)).
fn written_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"));
    line?.trim().parse().ok()
}

const SYNCS: u64 = 50;
const PAGE_BYTES: u64 = 4096;
