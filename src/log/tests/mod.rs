//! The rules of the log, on both back ends and on a disk in memory.

mod append;
mod cuts;
mod damage;
mod failure;
mod full;
mod scan;
mod unread;

use std::sync::Arc;

use super::*;
use crate::storage::simulated::SimulatedStorage;
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

/// Runs a test on every kind of storage.
fn on_each(test: impl Fn(Arc<dyn Storage>)) {
    for choice in [BackendChoice::Mmap, BackendChoice::File] {
        let folder = tempfile::tempdir().expect("a directory for the test");
        test(storage::open(folder.path(), choice).expect("opens"));
    }
    test(Arc::new(SimulatedStorage::new(1)));
}

/// The same numbers for the same seed, for ever (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn open_from(storage: &Arc<dyn Storage>, from: Position) -> (Log, Recovery, Handed) {
    open_with(storage, options(), from)
}

fn open_with(
    storage: &Arc<dyn Storage>,
    options: LogOptions,
    from: Position,
) -> (Log, Recovery, Handed) {
    let mut handed = Handed::new();
    let (log, recovery) = Log::open(Arc::clone(storage), STORE, options, from, &mut |view| {
        handed.push((view.kind, view.position, view.payload.to_vec()));
        Ok(())
    })
    .expect("opens");
    (log, recovery, handed)
}

fn open(storage: &Arc<dyn Storage>) -> (Log, Recovery, Handed) {
    open_from(storage, Position(0))
}

/// A disk in memory, to be faulted, and the same as a storage.
fn disk() -> (Arc<SimulatedStorage>, Arc<dyn Storage>) {
    let memory = Arc::new(SimulatedStorage::new(1));
    let storage: Arc<dyn Storage> = memory.clone();
    (memory, storage)
}

/// What the device holds, without anything that was not synced.
fn after_cut(memory: &SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(memory.after_cut_where(&mut || false))
}

/// Appends one frame through roll-overs, and notes it.
fn add(log: &Log, expected: &mut Handed, payload: &[u8]) {
    let appended = append(log, &[rows(payload)]);
    expected.push((FrameType::Rows, appended.first, payload.to_vec()));
}

fn rows(payload: &[u8]) -> FrameParts<'_> {
    FrameParts {
        kind: FrameType::Rows,
        producer: None,
        payload,
    }
}

/// Frames that a look at the log finds, pads left out.
fn look(storage: &dyn Storage) -> (Scan, Handed) {
    let mut handed = Handed::new();
    let scan = scan(storage, Some(STORE), Position(0), &mut |frame| {
        let kind = frame.kind.expect("known");
        if kind != FrameType::Pad {
            handed.push((kind, frame.position, frame.payload.to_vec()));
        }
        Ok(())
    });
    (scan.expect("scans"), handed)
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
