//! What the log's lock guards: the segments and their order, and the bytes that are not durable yet.
//!
//! Plain bookkeeping and copies; the only calls of the device are stores into the active segment.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::limits::PAGE_BYTES;
use crate::mutants::{self, Mutant};
use crate::storage::{Segment, StorageError};
use crate::types::{Epoch, Position, StoreId};

use super::frame::{FrameParts, FrameSeal, FrameType, HEADER_BYTES, Stamp, left_in_page};
use super::segment::SegmentHeader;
use super::{AppendError, Appended};

/// What `Log::state` guards.
#[derive(Default)]
pub(super) struct State {
    /// The segment that takes frames; none while the log is full.
    pub(super) active: Option<Active>,
    /// Segments before it that hold frames, oldest first.
    pub(super) sealed: Vec<Sealed>,
    /// Segments to continue in.
    pub(super) ready: VecDeque<Ready>,
    /// Slots without content, with or without a file.
    pub(super) free: Vec<Slot>,
    /// Slots whose file has to stay as it is until a segment of this start has a durable header.
    pub(super) kept: Vec<u32>,
    /// The first number that no slot has.
    pub(super) slot_next: u32,
    /// Slots whose device failed a sync.
    pub(super) retired: u32,
    /// What is not durable yet, in order of positions.
    pub(super) runs: Vec<Run>,
    /// What a failed sync left and found no room elsewhere: nothing is appended behind it until it does.
    pub(super) stranded: Option<Stranded>,
    /// Emptied buffers of runs.
    pub(super) spare: Vec<Vec<u8>>,
    /// What the next header links to.
    pub(super) next: Next,
    /// Whether a segment of this start has a durable header.
    pub(super) is_begun: bool,
    pub(super) failures: u32,
    pub(super) read_only: Option<String>,
    pub(super) bytes_appended: u64,
    pub(super) payload_bytes: u64,
    pub(super) bytes_synced: u64,
    pub(super) syncs: u64,
}

/// The beginning of the next segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Next {
    pub(super) epoch: Epoch,
    pub(super) base: Position,
    pub(super) previous_epoch: Epoch,
    pub(super) previous_end: Position,
}

pub(super) struct Active {
    pub(super) header: SegmentHeader,
    pub(super) seal: FrameSeal,
    pub(super) segment: Arc<dyn Segment>,
    /// Where the next frame goes.
    pub(super) offset: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) header: SegmentHeader,
    pub(super) end: Position,
}

pub(super) struct Ready {
    pub(super) slot: u32,
    pub(super) segment: Arc<dyn Segment>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) exists: bool,
    /// Its header says where the log ends, and no other does until this start has one: a new header may take its place
    /// at once, but no new file.
    pub(super) speaks: bool,
}

impl Slot {
    /// A file that nothing depends on.
    pub(super) const fn used(number: u32) -> Self {
        let (exists, speaks) = (true, false);
        Self {
            number,
            exists,
            speaks,
        }
    }

    /// No file yet.
    pub(super) const fn new(number: u32) -> Self {
        let (exists, speaks) = (false, false);
        Self {
            number,
            exists,
            speaks,
        }
    }
}

/// Contiguous bytes of one segment that are not durable yet.
pub(super) struct Run {
    pub(super) header: SegmentHeader,
    pub(super) segment: Arc<dyn Segment>,
    /// Where they begin in the segment, on a page.
    pub(super) start: u64,
    /// Where the sync begins: at the header, as long as that is not durable.
    pub(super) sync_from: u64,
    pub(super) bytes: Vec<u8>,
    /// A store into the segment failed: `bytes` has what the segment lacks, and no sync will succeed.
    pub(super) failed: Option<StorageError>,
}

/// Frames whose sync failed, and that no other segment had room for.
pub(super) struct Stranded {
    /// In order of positions, one a segment.
    pub(super) runs: Vec<Run>,
    /// Why the sync failed.
    pub(super) cause: String,
}

impl Active {
    /// The position of the next byte.
    pub(super) fn end(&self) -> Position {
        Position(self.header.base.0 + self.offset)
    }
}

impl Run {
    /// The position of the first byte.
    pub(super) fn first(&self) -> Position {
        Position(self.header.base.0 + self.start)
    }

    /// The position behind the last byte.
    pub(super) fn end(&self) -> Position {
        Position(self.first().0 + self.bytes.len() as u64)
    }

    /// Whether it has the segment's first frame.
    pub(super) const fn is_from_start(&self) -> bool {
        self.start == PAGE_BYTES as u64
    }

    /// Bytes of the segment to sync.
    fn range(&self) -> Range<u64> {
        self.sync_from..self.start + self.bytes.len() as u64
    }
}

impl State {
    /// The position of the next byte.
    pub(super) fn end(&self) -> Position {
        self.active
            .as_ref()
            .map_or(self.next.previous_end, Active::end)
    }

    pub(super) fn fits(&self, frames: &[FrameParts<'_>]) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| place(active.offset, frames).1 <= active.header.size_bytes)
    }

    /// Writes a unit that fits.
    pub(super) fn write_unit(
        &mut self,
        frames: &[FrameParts<'_>],
        durable: Position,
    ) -> Result<Appended, AppendError> {
        if self.active.is_none() {
            return Err(AppendError::Full);
        }
        self.open_run();
        let (Some(active), Some(run)) = (self.active.as_mut(), self.runs.last_mut()) else {
            return Err(AppendError::Full);
        };
        let written = run.bytes.len();
        let base = active.header.base.0 + run.start;
        let mut first = None;
        let mut last_frame = Position(0);
        for (index, parts) in frames.iter().enumerate() {
            let start = frame_start(run.start + run.bytes.len() as u64) - run.start;
            run.bytes.resize(start as usize, 0);
            let position = Position(base + start);
            let stamp = Stamp {
                position,
                durable,
                continued: index > 0,
                continues: index + 1 < frames.len(),
            };
            active.seal.encode(parts, stamp, &mut run.bytes);
            first.get_or_insert(position);
            last_frame = position;
        }
        match active.segment.write(active.offset, &run.bytes[written..]) {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                // Not counted, so the next unit is stored over it.
                run.bytes.truncate(written);
                return Err(AppendError::Full);
            }
            // The bytes are here: the next sync fails and moves them to another segment.
            Err(error) => run.failed = Some(error),
        }
        let added = (run.bytes.len() - written) as u64;
        active.offset += added;
        self.bytes_appended += added;
        self.payload_bytes += frames
            .iter()
            .filter(|parts| parts.kind != FrameType::Pad)
            .map(|parts| parts.payload.len() as u64)
            .sum::<u64>();
        let end = active.end();
        Ok(Appended {
            first: first.unwrap_or(end),
            last_frame,
            end,
        })
    }

    /// Fills the page of the last byte, so that the next group begins on a page of its own.
    pub(super) fn pad(&mut self, durable: Position) -> Result<(), StorageError> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        let left = left_in_page(active.offset as usize);
        if left == PAGE_BYTES || self.runs.last().is_none_or(|run| run.bytes.is_empty()) {
            return Ok(());
        }
        if left >= HEADER_BYTES {
            const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
            let pad = FrameParts {
                kind: FrameType::Pad,
                producer: None,
                payload: &ZEROS[..left - HEADER_BYTES],
            };
            return match self.write_unit(&[pad], durable) {
                Err(AppendError::Storage(error)) => Err(error),
                _ => Ok(()),
            };
        }
        // Too little for a header: readers pass over it.
        if let (Some(active), Some(run)) = (self.active.as_mut(), self.runs.last_mut()) {
            active
                .segment
                .write(active.offset, &[0; HEADER_BYTES][..left])?;
            run.bytes.resize(run.bytes.len() + left, 0);
            active.offset += left as u64;
            self.bytes_appended += left as u64;
        }
        Ok(())
    }

    /// Makes sure that the last run is the active segment's.
    fn open_run(&mut self) {
        let Some(active) = &self.active else {
            return;
        };
        let epoch = active.header.epoch;
        if self
            .runs
            .last()
            .is_some_and(|run| run.header.epoch == epoch)
        {
            return;
        }
        let run = Run {
            header: active.header,
            segment: Arc::clone(&active.segment),
            start: active.offset,
            sync_from: active.offset,
            bytes: self.spare.pop().unwrap_or_default(),
            failed: None,
        };
        self.runs.push(run);
    }

    pub(super) fn next_header(
        &self,
        ready: &Ready,
        store: StoreId,
        durable: Position,
    ) -> SegmentHeader {
        let (previous_epoch, previous_end) = match &self.active {
            Some(active) => (active.header.epoch, active.end()),
            None => (self.next.previous_epoch, self.next.previous_end),
        };
        SegmentHeader {
            store,
            slot: ready.slot,
            epoch: self.next.epoch,
            base: self.next.base,
            size_bytes: ready.segment.size_bytes(),
            previous_epoch,
            previous_end,
            durable,
        }
    }

    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps the buffers of synced runs for the next ones, within reason.
    pub(super) fn keep_buffers(&mut self, runs: Vec<Run>) {
        for run in runs {
            let mut bytes = run.bytes;
            if self.spare.len() < SPARE_BUFFERS && bytes.capacity() <= SPARE_BYTES {
                bytes.clear();
                self.spare.push(bytes);
            }
        }
    }
}

/// Where a unit's frames lie that is appended at an offset: first frame and end.
pub(super) fn place(offset: u64, frames: &[FrameParts<'_>]) -> (u64, u64) {
    let mut first = None;
    let mut end = offset;
    for frame in frames {
        let start = frame_start(end);
        first.get_or_insert(start);
        end = start + frame.len_bytes() as u64;
    }
    (first.unwrap_or(offset), end)
}

/// Where the frames of a unit begin, the first of which lies at a position. Segments begin at multiples of a page.
pub fn frame_positions(first: Position, frames: &[FrameParts<'_>]) -> Vec<Position> {
    let mut end = first.0;
    let place = |frame: &FrameParts<'_>| {
        let start = frame_start(end);
        end = start + frame.len_bytes() as u64;
        Position(start)
    };
    frames.iter().map(place).collect()
}

/// Syncs runs in their order; returns the bytes of their pages.
pub(super) fn sync_runs(runs: &mut [Run]) -> Result<u64, StorageError> {
    let mut bytes = 0;
    for run in runs {
        if mutants::is_one_in(Mutant::SkippedSync, 50) {
            continue;
        }
        if let Some(error) = run.failed.take() {
            return Err(error);
        }
        let range = run.range();
        let page = PAGE_BYTES as u64;
        bytes += range.end.next_multiple_of(page) - range.start / page * page;
        run.segment.sync(range)?;
    }
    Ok(bytes)
}

/// Where a frame begins that is appended at an offset: a header never crosses a page's end.
fn frame_start(offset: u64) -> u64 {
    let left = left_in_page(offset as usize);
    if left < HEADER_BYTES {
        offset + left as u64
    } else {
        offset
    }
}

const SPARE_BUFFERS: usize = 2;
const SPARE_BYTES: usize = 1 << 20;
