//! The writing end: append, group sync, roll-over, recycling.
//!
//! Lock order: `syncing`, `preparing`, `state`. `state` is held for a copy and a checksum, never for
//! the device, but for one case: frames that move after a failed sync.
//!
//! Invariants: a page that holds synced bytes is never written again in its epoch; bytes stay on
//! the heap (`State::runs`) until their sync succeeded; segments become durable in the order of their
//! epochs; positions and epochs only grow.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::limits::{FRAME_BYTES, PAGE_BYTES};
use crate::mutants::{self, Mutant};
use crate::schedule::{AtomicBool, AtomicU64, Mutex};
use crate::storage::{Segment, Storage};
use crate::types::{Epoch, Position, StoreId};

use super::frame::{FrameParts, FrameSeal, FrameType};
use super::segment::{SegmentHeader, slot_name};
use super::state::{Active, Ready, Run, Sealed, Slot, State, place, sync_runs};
use super::{AppendError, LogError, LogOptions};

/// Where a unit of frames went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first frame.
    pub first: Position,
    /// The position of the last frame.
    pub last_frame: Position,
    /// The first position behind it: durable when [`Log::durable`] is not below.
    pub end: Position,
}

/// Figures of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Bytes that cannot be recycled yet: whole segments before the active one, and its used part.
    pub used_bytes: u64,
    /// Bytes the log may take on the device.
    pub capacity_bytes: u64,
    /// Segments that hold frames.
    pub segments: u32,
    /// Segments prepared ahead of need.
    pub segments_ready: u32,
    /// Segments set aside because a sync failed on them.
    pub segments_retired: u32,
    /// Bytes appended and not yet synced, kept on the heap too.
    pub unsynced_bytes: u64,
    /// Bytes of frames appended since the log was opened, their headers included.
    pub bytes_appended: u64,
    /// Bytes of the payloads in them, pads not counted.
    pub payload_bytes: u64,
    /// Bytes of pages handed to the device by syncs since the log was opened.
    pub bytes_synced: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Syncs that failed.
    pub sync_failures: u32,
    /// Why nothing is written any more, if so.
    pub read_only: Option<String>,
}

/// The append log of a store.
pub struct Log {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) store: StoreId,
    pub(super) options: LogOptions,
    syncing: Mutex<()>,
    preparing: Mutex<()>,
    pub(super) state: Mutex<State>,
    /// Copies for readers without the lock; written under it.
    pub(super) epoch: AtomicU64,
    pub(super) end: AtomicU64,
    pub(super) durable: AtomicU64,
    read_only: AtomicBool,
}

impl Log {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        store: StoreId,
        options: LogOptions,
        state: State,
    ) -> Self {
        let start = state.next.previous_end;
        let epoch = state.next.epoch;
        Self {
            storage,
            store,
            options,
            syncing: Mutex::new(()),
            preparing: Mutex::new(()),
            state: Mutex::new(state),
            epoch: AtomicU64::new(epoch.0.saturating_sub(1)),
            end: AtomicU64::new(start.0),
            durable: AtomicU64::new(start.0),
            read_only: AtomicBool::new(false),
        }
    }

    /// The current epoch: frames built for it explain themselves with the definitions it holds.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// The position behind the last byte appended.
    pub fn end(&self) -> Position {
        Position(self.end.load(Ordering::Acquire))
    }

    /// The position below which everything is on the device.
    pub fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// The durable position as frames and headers note it.
    pub(super) fn durable_to_note(&self) -> Position {
        if mutants::is(Mutant::DurableStuck) {
            return Position(0);
        }
        self.durable()
    }

    /// Appends frames as one unit: one behind the other in one segment, and after a power cut all
    /// of them or none.
    ///
    /// The first unit that does not fit a segment starts the next one and fails with
    /// [`AppendError::EpochChanged`], as every unit does that was built for an epoch gone by.
    pub fn append(
        &self,
        expected: Epoch,
        frames: &[FrameParts<'_>],
    ) -> Result<Appended, AppendError> {
        self.check_size(frames)?;
        loop {
            let mut state = self.state.lock();
            if self.read_only.load(Ordering::Relaxed) {
                return Err(AppendError::ReadOnly);
            }
            if state.stranded.is_some() {
                return Err(AppendError::Full);
            }
            if self.epoch() != expected {
                return Err(AppendError::EpochChanged(self.epoch()));
            }
            if state.fits(frames) {
                let appended = state.write_unit(frames, self.durable_to_note())?;
                self.end.store(appended.end.0, Ordering::Release);
                return Ok(appended);
            }
            if let Some(epoch) = self.roll_over(&mut state)? {
                return Err(AppendError::EpochChanged(epoch));
            }
            drop(state);
            // The thread that prepares has fallen behind: this one does it.
            match self.prepare_ready(1) {
                Ok(0) => return Err(AppendError::Full),
                Ok(_) => {}
                Err(LogError::Storage(error)) => return Err(AppendError::from_storage(error)),
                Err(_) => return Err(AppendError::ReadOnly),
            }
        }
    }

    /// As [`Self::append`], of frames that are right in any epoch.
    pub fn append_in_any_epoch(&self, frames: &[FrameParts<'_>]) -> Result<Appended, AppendError> {
        loop {
            match self.append(self.epoch(), frames) {
                Err(AppendError::EpochChanged(_)) => {}
                appended => return appended,
            }
        }
    }

    /// Makes everything durable that was appended before the call, and returns the position below
    /// which everything is.
    ///
    /// Appends go on meanwhile, on other pages. A sync that failed is not tried again on its pages:
    /// the frames move to another segment under the same positions, and the epoch changes. Where there is no
    /// room for one, [`LogError::NoRoom`] says so, appends are refused as by a full log, and the next sync tries
    /// it again. After [`LogOptions::sync_failures_max`] failures the log turns read-only.
    pub fn sync(&self) -> Result<Position, LogError> {
        let _one = self.syncing.lock();
        loop {
            let (padded, mut runs, end) = {
                let mut state = self.state.lock();
                if let Some(reason) = &state.read_only {
                    return Err(LogError::ReadOnly {
                        failures: state.failures,
                        reason: reason.clone(),
                    });
                }
                if let Some(stranded) = state.stranded.take() {
                    drop(state);
                    self.rehouse(stranded)?;
                    continue;
                }
                if state.runs.is_empty() {
                    return Ok(self.durable());
                }
                let padded = state.pad(self.durable_to_note());
                let end = state.end();
                self.end.store(end.0, Ordering::Release);
                (padded, std::mem::take(&mut state.runs), end)
            };
            if mutants::is(Mutant::EarlyAcknowledgement) {
                self.durable.store(end.0, Ordering::Release);
            }
            let mut synced = padded.and_then(|()| sync_runs(&mut runs));
            if mutants::is(Mutant::RetriedSync) && synced.is_err() {
                synced = sync_runs(&mut runs);
            }
            match synced {
                Ok(bytes) => {
                    let mut state = self.state.lock();
                    self.durable.store(end.0, Ordering::Release);
                    state.syncs += 1;
                    state.bytes_synced += bytes;
                    state.keep_buffers(runs);
                    return Ok(end);
                }
                Err(error) => self.relocate(runs, &error)?,
            }
        }
    }

    /// Syncs, then appends a mark that proves it and syncs again: after an orderly stop no damage can be
    /// taken for a torn tail.
    pub fn seal(&self) -> Result<Position, LogError> {
        self.sync()?;
        let mark = FrameParts {
            kind: FrameType::Seal,
            producer: None,
            payload: &[],
        };
        match self.append_in_any_epoch(&[mark]) {
            // A full log has nothing behind its last sync.
            Err(AppendError::Full | AppendError::TooLarge { .. }) => Ok(self.durable()),
            Err(AppendError::Storage(error)) => Err(error.into()),
            Ok(_) | Err(AppendError::ReadOnly | AppendError::EpochChanged(_)) => self.sync(),
        }
    }

    /// Frees the segments whose frames all lie below a position, and returns how many. To be called
    /// when the checkpoint that makes them dispensable is durable itself.
    pub fn recycle(&self, below: Position) -> Result<u32, LogError> {
        let below = below.min(self.durable());
        let mut excess = Vec::new();
        let mut freed = 0;
        {
            let mut state = self.state.lock();
            let (gone, kept): (Vec<_>, Vec<_>) =
                state.sealed.iter().partition(|sealed| sealed.end <= below);
            state.sealed = kept;
            for sealed in gone {
                freed += 1;
                let number = sealed.header.slot;
                if number < self.options.segment_count_max {
                    state.free.push(Slot::used(number));
                } else {
                    excess.push(number);
                }
            }
        }
        // Files from a time when more segments were allowed.
        for number in excess {
            self.storage.remove(&slot_name(number))?;
        }
        Ok(freed)
    }

    /// Makes segments ready ahead of need, so that no append waits for the device: as many as
    /// [`LogOptions::prefetch_bytes`] asks for, at least one, if slots are free.
    pub fn prepare(&self) -> Result<(), LogError> {
        let size = self.options.segment_size_bytes;
        let left = self.state.lock().active.as_ref().map_or(0, |active| {
            active.header.size_bytes.saturating_sub(active.offset)
        });
        let ahead = self.options.prefetch_bytes.saturating_sub(left);
        self.prepare_ready(ahead.div_ceil(size).max(1) as usize)?;
        Ok(())
    }

    /// Whether a sync failed and its bytes wait for room in another segment.
    pub fn awaits_room(&self) -> bool {
        self.state.lock().stranded.is_some()
    }

    /// Figures for `status`.
    pub fn usage(&self) -> LogUsage {
        let state = self.state.lock();
        let sealed_bytes: u64 = state.sealed.iter().map(|one| one.header.size_bytes).sum();
        let active_bytes = state.active.as_ref().map_or(0, |active| active.offset);
        let slots = u64::from(self.options.segment_count_max.saturating_sub(state.retired));
        let stranded = state.stranded.iter().flat_map(|stranded| &stranded.runs);
        let unsynced = stranded.chain(&state.runs);
        LogUsage {
            used_bytes: sealed_bytes + active_bytes,
            capacity_bytes: slots * self.options.segment_size_bytes,
            segments: state.sealed.len() as u32 + u32::from(state.active.is_some()),
            segments_ready: state.ready.len() as u32,
            segments_retired: state.retired,
            unsynced_bytes: unsynced.map(|run| run.bytes.len() as u64).sum(),
            bytes_appended: state.bytes_appended,
            payload_bytes: state.payload_bytes,
            bytes_synced: state.bytes_synced,
            syncs: state.syncs,
            sync_failures: state.failures,
            read_only: state.read_only.clone(),
        }
    }

    /// Starts the next segment, if one is ready. Its header is synced with its first group; that of the first
    /// segment of a start at once, before a frame is stored in it: the epochs of the next start are reckoned from it,
    /// and frames that no sync had seen must not validate under another header of the same epoch.
    pub(super) fn roll_over(&self, state: &mut State) -> Result<Option<Epoch>, AppendError> {
        let (ready, header, sync_from) = loop {
            let Some(ready) = state.ready.pop_front() else {
                return Ok(None);
            };
            let header = state.next_header(&ready, self.store, self.durable_to_note());
            let page = PAGE_BYTES as u64;
            let is_first = !state.is_begun && !mutants::is(Mutant::UnsyncedHeader);
            let written = ready.segment.write(0, &header.encode());
            let written = match written {
                Ok(()) if is_first => ready.segment.sync(0..page),
                written => written,
            };
            match written {
                Ok(()) => {
                    state.is_begun = true;
                    state.bytes_synced += if is_first { page } else { 0 };
                    break (ready, header, if is_first { page } else { 0 });
                }
                Err(error) if error.is_full() => {
                    // Nothing is wrong with the segment: it waits for room.
                    state.ready.push_front(ready);
                    return Err(AppendError::Full);
                }
                Err(error) => {
                    // It may be there all the same: no other segment may have its epoch.
                    state.next.epoch = Epoch(header.epoch.0 + 1);
                    state.retired += 1;
                    state.failures += 1;
                    if state.failures >= self.options.sync_failures_max {
                        self.turn_read_only(state, error.to_string());
                        return Err(AppendError::ReadOnly);
                    }
                }
            }
        };
        if let Some(active) = state.active.take() {
            state.sealed.push(Sealed {
                header: active.header,
                end: active.end(),
            });
        }
        let buffer = state.buffer();
        state.runs.push(Run {
            header,
            segment: Arc::clone(&ready.segment),
            start: PAGE_BYTES as u64,
            sync_from,
            bytes: buffer,
            failed: None,
        });
        self.activate(state, header, ready.segment, PAGE_BYTES as u64);
        Ok(Some(header.epoch))
    }

    /// Makes a segment the active one and publishes its epoch.
    pub(super) fn activate(
        &self,
        state: &mut State,
        header: SegmentHeader,
        segment: Arc<dyn Segment>,
        offset: u64,
    ) {
        let active = Active {
            header,
            seal: FrameSeal::new(self.store, header.epoch),
            segment,
            offset,
        };
        if !mutants::is(Mutant::FrozenEpoch) {
            state.next.epoch = Epoch(header.epoch.0 + 1);
        }
        state.next.base = header.limit();
        self.epoch.store(header.epoch.0, Ordering::Release);
        // Segments that move come one by one, and readers of the end see them all the time.
        let end = active.end().0.max(self.end.load(Ordering::Relaxed));
        self.end.store(end, Ordering::Release);
        state.active = Some(active);
    }

    /// Prepares until `count` segments are ready or no slot is free; returns how many are ready.
    pub(super) fn prepare_ready(&self, count: usize) -> Result<usize, LogError> {
        let _one = self.preparing.lock();
        self.release_kept()?;
        loop {
            let slot = {
                let mut state = self.state.lock();
                let ready = state.ready.len();
                if ready >= count {
                    return Ok(ready);
                }
                // Files that exist come first: they take no new space.
                let rank = |slot: &Slot| (!slot.exists, slot.speaks);
                let first = (0..state.free.len()).min_by_key(|&place| rank(&state.free[place]));
                match first {
                    Some(place) => state.free.remove(place),
                    None => return Ok(ready),
                }
            };
            let prepared = self.ready_segment(slot);
            let mut state = self.state.lock();
            match prepared {
                Ok(Some(segment)) => state.ready.push_back(Ready {
                    slot: slot.number,
                    segment,
                }),
                Ok(None) => state.keep(slot.number),
                Err(error) => {
                    state.free.push(Slot::new(slot.number));
                    return Err(error);
                }
            }
        }
    }

    /// Once this start has a durable header, files that had to stay until then are free as well.
    fn release_kept(&self) -> Result<(), LogError> {
        let kept = {
            let mut state = self.state.lock();
            if !state.is_begun || state.kept.is_empty() {
                return Ok(());
            }
            std::mem::take(&mut state.kept)
        };
        for number in kept {
            if number < self.options.segment_count_max {
                self.state.lock().free.push(Slot::used(number));
            } else {
                self.storage.remove(&slot_name(number))?;
            }
        }
        Ok(())
    }

    /// The segment in a slot, as it is or made anew; none if that would take away a file that has to stay.
    fn ready_segment(&self, slot: Slot) -> Result<Option<Arc<dyn Segment>>, LogError> {
        let size_bytes = self.options.segment_size_bytes;
        let name = slot_name(slot.number);
        if slot.exists {
            match self.storage.open_segment(&name) {
                Ok(segment) if segment.size_bytes() == size_bytes => {
                    segment.prefetch(0..size_bytes);
                    return Ok(Some(segment));
                }
                Ok(_) | Err(_) if slot.speaks => return Ok(None),
                // Of another size, or not readable: made anew under the same name.
                Ok(_) | Err(_) => {}
            }
        }
        let segment = self.storage.create_segment(&name, size_bytes)?;
        segment.prefetch(0..size_bytes);
        Ok(Some(segment))
    }

    fn check_size(&self, frames: &[FrameParts<'_>]) -> Result<(), AppendError> {
        let max_bytes = self.options.segment_size_bytes;
        let first = PAGE_BYTES as u64;
        let end = place(first, frames).1;
        if end > max_bytes || frames.is_empty() {
            return Err(AppendError::TooLarge {
                len_bytes: end - first,
                max_bytes: max_bytes - first,
            });
        }
        for frame in frames {
            if frame.payload.len() > FRAME_BYTES {
                return Err(AppendError::TooLarge {
                    len_bytes: frame.payload.len() as u64,
                    max_bytes: FRAME_BYTES as u64,
                });
            }
        }
        Ok(())
    }

    pub(super) fn turn_read_only(&self, state: &mut State, reason: String) -> LogError {
        self.read_only.store(true, Ordering::Relaxed);
        state.read_only = Some(reason.clone());
        LogError::ReadOnly {
            failures: state.failures,
            reason,
        }
    }
}

impl AppendError {
    pub(super) fn from_storage(error: crate::storage::StorageError) -> Self {
        if error.is_full() {
            Self::Full
        } else {
            Self::Storage(error)
        }
    }
}
