//! After a failed sync: what was not durable moves to other segments, under the same positions.
//!
//! The kernel reports a failed write-back once and may drop the pages, so a second sync of them would
//! succeed and mean nothing. The bytes are still on the heap. The old segment ends where the failed
//! group began; the new one starts with a base that gives every moved byte the position it had. Where the
//! device has no room for it, the bytes wait on the heap, nothing is appended, and every sync tries again.

use std::sync::Arc;

use crate::limits::PAGE_BYTES;
use crate::mutants::{self, Mutant};
use crate::storage::StorageError;
use crate::types::{Epoch, Position};

use super::LogError;
use super::frame::FrameSeal;
use super::segment::SegmentHeader;
use super::state::{Ready, Run, Sealed, Slot, State, Stranded};
use super::writer::Log;

/// Why frames did not move.
enum Obstacle {
    /// The device has no room: they wait for it.
    NoRoom(StorageError),
    /// Nothing that waiting mends.
    Other(String),
}

impl Log {
    /// Moves `failed` and everything appended since. Fails when the log turned read-only, and where there is no
    /// room: then all of it waits in `State::stranded` for the next sync.
    pub(super) fn relocate(&self, failed: Vec<Run>, cause: &StorageError) -> Result<(), LogError> {
        let cause = cause.to_string();
        {
            let mut state = self.state.lock();
            state.failures += 1;
            if state.failures >= self.options.sync_failures_max {
                return Err(self.turn_read_only(&mut state, cause));
            }
        }
        self.rehouse(Stranded {
            runs: failed,
            cause,
        })
    }

    /// Moves what a failed sync left, and everything appended since.
    pub(super) fn rehouse(&self, stranded: Stranded) -> Result<(), LogError> {
        let Stranded { runs, cause } = stranded;
        let mut prepared = Ok(());
        loop {
            let mut state = self.state.lock();
            let needed = segments_of(&runs, &state.runs);
            // An append may take what was prepared, and begin a segment that has to move, too.
            if prepared.is_ok() && state.ready.len() < needed && state.allow_slots(needed) {
                drop(state);
                prepared = self.prepare_ready(needed).map(drop).map_err(Obstacle::from);
                continue;
            }
            let later = std::mem::take(&mut state.runs);
            let mut runs = by_segment(runs.into_iter().chain(later));
            return match prepared.and_then(|()| self.write_copies(&mut state, &mut runs)) {
                Ok(headers) => {
                    for (run, header) in runs.into_iter().zip(headers) {
                        self.continue_in(&mut state, run, header);
                    }
                    Ok(())
                }
                Err(Obstacle::NoRoom(source)) => {
                    let reason = cause.clone();
                    state.stranded = Some(Stranded { runs, cause });
                    Err(LogError::NoRoom { reason, source })
                }
                Err(Obstacle::Other(reason)) => {
                    Err(self.turn_read_only(&mut state, format!("{cause}; then: {reason}")))
                }
            };
        }
    }

    /// Writes runs to the first segments that are ready, one each; until all of them are there, nothing else
    /// changes.
    fn write_copies(
        &self,
        state: &mut State,
        runs: &mut [Run],
    ) -> Result<Vec<SegmentHeader>, Obstacle> {
        let durable = self.durable_to_note();
        let page = PAGE_BYTES as u64;
        let mut headers = Vec::with_capacity(runs.len());
        let mut epoch = state.next.epoch;
        let mut previous: Option<(Epoch, Position)> = None;
        for (index, old) in runs.iter_mut().enumerate() {
            let Some(ready) = state.ready.get(index) else {
                return Err(Obstacle::Other("no segment is free".to_owned()));
            };
            if page + old.bytes.len() as u64 > ready.segment.size_bytes() {
                let reason = "the free segment is smaller".to_owned();
                return Err(Obstacle::Other(reason));
            }
            // Nothing of the old segment is durable when its first group failed: then not even its
            // header may be there to link to.
            let (previous_epoch, previous_end) = previous.unwrap_or(if old.is_from_start() {
                (old.header.previous_epoch, old.header.previous_end)
            } else {
                (old.header.epoch, old.first())
            });
            let header = SegmentHeader {
                store: self.store,
                slot: ready.slot,
                epoch,
                base: Position(old.first().0 - page),
                size_bytes: ready.segment.size_bytes(),
                previous_epoch,
                previous_end,
                durable,
            };
            if !mutants::is(Mutant::FrozenEpoch) {
                epoch = Epoch(header.epoch.0 + 1);
                // It may be there even where a store fails: no other segment may have its epoch.
                state.next.epoch = epoch;
            }
            FrameSeal::new(self.store, header.epoch).restamp(&mut old.bytes, durable);
            ready.segment.write(0, &header.encode())?;
            ready.segment.write(page, &old.bytes)?;
            previous = Some((header.epoch, old.end()));
            headers.push(header);
        }
        Ok(headers)
    }

    /// Goes on in the next segment that is ready, which has a run's bytes behind a header of its own.
    fn continue_in(&self, state: &mut State, old: Run, header: SegmentHeader) {
        let Some(Ready { segment, .. }) = state.ready.pop_front() else {
            return;
        };
        abandon(state, &old);
        // The segment moved before this one is complete.
        if let Some(active) = state.active.take() {
            state.sealed.push(Sealed {
                header: active.header,
                end: active.end(),
            });
        }
        let start = PAGE_BYTES as u64;
        let offset = start + old.bytes.len() as u64;
        state.runs.push(Run {
            header,
            segment: Arc::clone(&segment),
            start,
            sync_from: 0,
            bytes: old.bytes,
            failed: None,
        });
        self.activate(state, header, segment, offset);
    }
}

/// Ends the old segment where its durable part ends; a slot with no durable part is set aside.
fn abandon(state: &mut State, old: &Run) {
    let epoch = old.header.epoch;
    if state
        .active
        .as_ref()
        .is_some_and(|active| active.header.epoch == epoch)
    {
        state.active = None;
    }
    state.sealed.retain(|sealed| sealed.header.epoch != epoch);
    if old.is_from_start() {
        state.retired += 1;
    } else {
        state.sealed.push(Sealed {
            header: old.header,
            end: old.first(),
        });
    }
}

/// Segments that runs are in: each moves to one of its own.
fn segments_of(failed: &[Run], later: &[Run]) -> usize {
    let runs = failed.iter().chain(later);
    let mut epochs: Vec<Epoch> = runs.map(|run| run.header.epoch).collect();
    epochs.dedup();
    epochs.len()
}

impl State {
    /// Another slot takes the place of one whose file has to stay as it is until this start has a durable header.
    pub(super) fn keep(&mut self, number: u32) {
        self.kept.push(number);
        if self.slot_next < SLOTS {
            self.free.push(Slot::new(self.slot_next));
            self.slot_next += 1;
        }
    }

    /// A full log may exceed its slots for this; they go when they are recycled. Whether there are as many.
    fn allow_slots(&mut self, needed: usize) -> bool {
        while self.ready.len() + self.free.len() < needed {
            if self.slot_next >= SLOTS {
                return false;
            }
            self.free.push(Slot::new(self.slot_next));
            self.slot_next += 1;
        }
        true
    }
}

/// Joins runs of one segment, which follow each other without a gap.
fn by_segment(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.header.epoch == run.header.epoch => {
                last.bytes.extend_from_slice(&run.bytes);
            }
            _ => joined.push(run),
        }
    }
    joined
}

impl From<StorageError> for Obstacle {
    fn from(error: StorageError) -> Self {
        if error.is_full() {
            Self::NoRoom(error)
        } else {
            Self::Other(error.to_string())
        }
    }
}

impl From<LogError> for Obstacle {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Storage(error) => error.into(),
            other => Self::Other(other.to_string()),
        }
    }
}

/// Slots that have a name.
const SLOTS: u32 = 10_000;
