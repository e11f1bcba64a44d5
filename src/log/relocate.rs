//! After a failed sync: what was not durable moves to other segments, under the same positions.
//!
//! The kernel reports a failed write-back once and may drop the pages, so a second sync of them would
//! succeed and mean nothing. The bytes are still on the heap. The old segment ends where the failed
//! group began; the new one starts with a base that gives every moved byte the position it had.

use std::sync::Arc;

use crate::limits::PAGE_BYTES;
use crate::storage::StorageError;
use crate::types::{Epoch, Position};

use super::LogError;
use super::frame::FrameSeal;
use super::segment::SegmentHeader;
use super::state::{Ready, Run, Sealed, Slot, State};
use super::writer::Log;

impl Log {
    /// Moves `failed` and everything appended since. Fails when the log turned read-only.
    pub(super) fn relocate(&self, failed: Vec<Run>, cause: &StorageError) -> Result<(), LogError> {
        {
            let mut state = self.state.lock();
            state.failures += 1;
            if state.failures >= self.options.sync_failures_max {
                return Err(self.turn_read_only(&mut state, cause.to_string()));
            }
        }
        loop {
            let mut state = self.state.lock();
            let needed = segments_of(&failed, &state.runs);
            if state.ready.len() >= needed || !state.allow_slots(needed) {
                let later = std::mem::take(&mut state.runs);
                let moved = self.move_runs(&mut state, failed, later);
                return moved.map_err(|reason| {
                    self.turn_read_only(&mut state, format!("{cause}; then: {reason}"))
                });
            }
            drop(state);
            // Meanwhile an append may take what is ready, and begin a segment that has to move, too.
            if let Err(error) = self.prepare_ready(needed) {
                let mut state = self.state.lock();
                return Err(self.turn_read_only(&mut state, format!("{cause}; then: {error}")));
            }
        }
    }

    fn move_runs(
        &self,
        state: &mut State,
        failed: Vec<Run>,
        later: Vec<Run>,
    ) -> Result<(), String> {
        let durable = self.durable_to_note();
        let mut previous: Option<(Epoch, Position)> = None;
        for old in by_segment(failed.into_iter().chain(later)) {
            let Some(ready) = state.ready.pop_front() else {
                return Err("no segment is free".to_owned());
            };
            let page = PAGE_BYTES as u64;
            if page + old.bytes.len() as u64 > ready.segment.size_bytes() {
                return Err("the free segment is smaller".to_owned());
            }
            // Nothing of the old segment is durable when its first group failed: then not even its
            // header may be there to link to.
            let from_start = old.start == page;
            let (previous_epoch, previous_end) = previous.unwrap_or(if from_start {
                (old.header.previous_epoch, old.header.previous_end)
            } else {
                (old.header.epoch, old.first())
            });
            let header = SegmentHeader {
                store: self.store,
                slot: ready.slot,
                epoch: state.next.epoch,
                base: Position(old.first().0 - page),
                size_bytes: ready.segment.size_bytes(),
                previous_epoch,
                previous_end,
                durable,
            };
            let end = Position(old.first().0 + old.bytes.len() as u64);
            previous = Some((header.epoch, end));
            abandon(state, &old, from_start);
            self.move_run(state, old, header, ready, durable)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn move_run(
        &self,
        state: &mut State,
        old: Run,
        header: SegmentHeader,
        ready: Ready,
        durable: Position,
    ) -> Result<(), StorageError> {
        let start = PAGE_BYTES as u64;
        let mut bytes = old.bytes;
        FrameSeal::new(self.store, header.epoch).restamp(&mut bytes, durable);
        ready.segment.write(0, &header.encode())?;
        ready.segment.write(start, &bytes)?;
        // The segment moved before this one was complete.
        if let Some(active) = state.active.take() {
            state.sealed.push(Sealed {
                header: active.header,
                end: active.end(),
            });
        }
        let offset = start + bytes.len() as u64;
        state.runs.push(Run {
            header,
            segment: Arc::clone(&ready.segment),
            start,
            sync_from: 0,
            bytes,
            failed: None,
        });
        self.activate(state, header, ready.segment, offset);
        Ok(())
    }
}

/// Ends the old segment where its durable part ends; a slot with no durable part is set aside.
fn abandon(state: &mut State, old: &Run, from_start: bool) {
    let epoch = old.header.epoch;
    if state
        .active
        .as_ref()
        .is_some_and(|active| active.header.epoch == epoch)
    {
        state.active = None;
    }
    state.sealed.retain(|sealed| sealed.header.epoch != epoch);
    if from_start {
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
    /// A full log may exceed its slots for this; they go when they are recycled. Whether there are as many.
    fn allow_slots(&mut self, needed: usize) -> bool {
        while self.ready.len() + self.free.len() < needed {
            if self.slot_next >= SLOTS {
                return false;
            }
            self.free.push(Slot {
                number: self.slot_next,
                exists: false,
            });
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

/// Slots that have a name.
const SLOTS: u32 = 10_000;
