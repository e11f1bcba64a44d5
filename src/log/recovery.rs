//! Opening: what the log still holds is handed over, and a new epoch begins.
//!
//! Recovery never refuses to start because of damage and never passes over it in silence: an invalid
//! frame is a torn tail only if nothing later proves that it had been durable; everything else is a
//! gap, copied to `quarantine/` and reported, and reading resumes behind it.

use std::sync::Arc;

use crate::limits::LOG_SEGMENTS;
use crate::mutants::{self, Mutant};
use crate::storage::{Storage, TEMPORARY};
use crate::types::{Epoch, Position, StoreId};

use super::frame::{Frame, FrameType, HEADER_BYTES, ProducerPart};
use super::quarantine;
use super::segment::{FOLDER, slot_name, slot_of};
use super::state::{Next, Sealed, Slot, State};
use super::survey::{Chain, Extent, Known, Survey, read_segment};
use super::walk::walk;
use super::writer::Log;
use super::{LogError, LogOptions};

/// A frame as it is handed over.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// What it holds.
    pub kind: FrameType,
    /// Where it begins.
    pub position: Position,
    /// The first position behind it.
    pub end: Position,
    /// The epoch it was written in.
    pub epoch: Epoch,
    /// Whose it is.
    pub producer: Option<ProducerPart>,
    /// What it holds.
    pub payload: &'a [u8],
    /// Ranges before it that had been durable and are lost.
    pub gaps_before: usize,
}

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Frames handed over.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Where the log ended.
    pub end: Position,
    /// The log broke off inside what was never acknowledged as durable. Normal after a power cut.
    pub torn_tail: Option<TornTail>,
    /// What had been durable and is lost.
    pub corruption: Vec<Gap>,
    /// Frames left out because their producer's batch has no last part.
    pub incomplete_parts: u64,
    /// Frames of types that this version does not know and may pass over.
    pub unknown_frames: u64,
}

/// Where a log broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Nothing from here on was handed over.
    pub position: Position,
}

/// A range that had been durable and is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first position lost.
    pub from: Position,
    /// The first position behind, where reading resumed.
    pub to: Position,
    /// The segment's file, or that of the segment behind one that is missing.
    pub segment: String,
    /// What is wrong with it.
    pub reason: GapReason,
    /// The copy of its bytes, or why there is none; not yet decided in a scan.
    pub quarantined: Option<Result<String, String>>,
}

/// What is wrong with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// Its frames do not validate.
    Damaged,
    /// A segment that should hold it is not there, or holds something else.
    MissingSegment,
    /// The header of the segment behind it is lost; its frames were found without it.
    Header,
    /// Its bytes changed between two readings.
    Unstable,
    /// The device does not give its bytes: the file is too short, or pages cannot be read.
    CutOff,
}

impl GapReason {
    /// A word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::MissingSegment => "missing_segment",
            Self::Header => "header",
            Self::Unstable => "unstable",
            Self::CutOff => "cut_off",
        }
    }
}

impl Log {
    /// Opens a log, or makes one. Hands every frame that ends behind the checkpoint to `visit`, in the
    /// order of positions, and starts a new epoch in a fresh segment. The log may come back
    /// full: appends then fail with [`AppendError::Full`](super::AppendError::Full) until segments are
    /// recycled.
    pub fn open(
        storage: Arc<dyn Storage>,
        store: StoreId,
        options: LogOptions,
        known: impl Into<Known>,
        visit: &mut dyn FnMut(FrameView<'_>) -> Result<(), LogError>,
    ) -> Result<(Self, Recovery), LogError> {
        let known = known.into();
        let replay_from = known.replay_from;
        options.check()?;
        storage.create_folder(FOLDER)?;
        remove_unfinished(&*storage)?;
        // A process that was killed leaves names that no sync has seen, and its segments will be used again.
        let mut failures = 0;
        if !mutants::is(Mutant::UnsyncedRestart) {
            storage.sync_folder(FOLDER)?;
            failures = settle(&*storage)?;
        }
        let chain = Chain::read(&*storage, store, replay_from)?;
        let survey = chain.survey(&*storage, store, known)?;
        let mut recovery = replay(&*storage, store, &chain, &survey, replay_from, visit)?;
        for gap in &mut recovery.corruption {
            gap.quarantined = Some(quarantine::keep(&*storage, &chain, gap));
        }
        let mut state = continue_behind(&*storage, &options, &chain, &survey, replay_from)?;
        state.failures = failures;
        let log = Self::new(storage, store, options, state);
        log.begin()?;
        Ok((log, recovery))
    }

    /// Starts the first segment of this run, unless the log is full.
    fn begin(&self) -> Result<(), LogError> {
        match self.prepare_ready(1) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(LogError::Storage(error)) if error.is_full() => return Ok(()),
            Err(error) => return Err(error),
        }
        let rolled = self.roll_over(&mut self.state.lock());
        match rolled {
            Ok(_) | Err(super::AppendError::Full) => {}
            Err(super::AppendError::Storage(error)) => return Err(error.into()),
            Err(_) => return Ok(()),
        }
        self.sync()?;
        Ok(())
    }
}

/// What is read from now on is on the device; how many segments it did not take.
fn settle(storage: &dyn Storage) -> Result<u32, LogError> {
    let names = storage.list(FOLDER)?;
    let of_slots = names.iter().filter_map(|name| slot_of(name));
    let failed = of_slots.filter(|&slot| storage.settle(&slot_name(slot)).is_err());
    Ok(failed.count() as u32)
}

/// Hands over what counts.
pub(super) fn replay(
    storage: &dyn Storage,
    store: StoreId,
    chain: &Chain,
    survey: &Survey,
    replay_from: Position,
    visit: &mut dyn FnMut(FrameView<'_>) -> Result<(), LogError>,
) -> Result<Recovery, LogError> {
    let mut recovery = Recovery {
        end: survey.end,
        torn_tail: survey.torn_tail,
        corruption: survey.gaps.clone(),
        ..Recovery::default()
    };
    let mut handed_over = replay_from;
    for (extent, &end) in chain.extents.iter().zip(&survey.ends) {
        if extent.header.first() >= survey.end {
            break;
        }
        let limit = end.min(survey.end);
        let read_before = handed_over;
        let bytes = read_segment(storage, &extent.header)?;
        let walked = walk(&extent.header, store, &bytes, limit, &mut |unit| {
            for frame in unit {
                // Frames that moved after a failed sync may be there twice, where the new header is lost.
                if frame_end(frame) > handed_over {
                    handed_over = frame_end(frame);
                    recovery.hand_over(frame, extent, survey, visit)?;
                }
            }
            Ok(())
        })?;
        if mutants::is(Mutant::ReplayedTwice)
            && let Some(hole) = walked.holes.first()
        {
            walk(&extent.header, store, &bytes, hole.from, &mut |unit| {
                for frame in unit {
                    recovery.hand_over(frame, extent, survey, visit)?;
                }
                Ok(())
            })?;
        }
        recovery.note_unstable(&walked.holes, extent, limit, read_before);
    }
    recovery.corruption.sort_by_key(|gap| gap.from);
    Ok(recovery)
}

impl Recovery {
    fn hand_over(
        &mut self,
        frame: &Frame<'_>,
        extent: &Extent,
        survey: &Survey,
        visit: &mut dyn FnMut(FrameView<'_>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let position = frame.stamp.position;
        let Some(kind) = FrameType::from_code(frame.code) else {
            if frame.code & FrameType::SKIPPABLE == 0 {
                let code = frame.code;
                return Err(LogError::UnknownFrame { position, code });
            }
            self.unknown_frames += 1;
            return Ok(());
        };
        if kind == FrameType::Pad {
            return Ok(());
        }
        if let Some(producer) = frame.producer
            && producer.parts > 1
        {
            let batch = (producer.producer, producer.sequence);
            let last = survey.last_parts.get(&batch);
            if last.is_none_or(|last| *last >= survey.end) {
                self.incomplete_parts += 1;
                return Ok(());
            }
        }
        self.frames += 1;
        self.bytes += frame.payload.len() as u64;
        visit(FrameView {
            kind,
            position,
            end: frame_end(frame),
            epoch: extent.header.epoch,
            producer: frame.producer,
            payload: frame.payload,
            gaps_before: survey.gaps.partition_point(|gap| gap.to <= position),
        })
    }

    /// Notes what validated in the survey and does not any more. What a segment before has handed over is no loss.
    fn note_unstable(
        &mut self,
        holes: &[super::walk::Hole],
        extent: &Extent,
        limit: Position,
        read_before: Position,
    ) {
        for hole in holes {
            let from = hole.from.max(read_before);
            let to = hole.to.unwrap_or(limit);
            let known = |gap: &Gap| gap.from <= from && to <= gap.to;
            if from < to && !self.corruption.iter().any(known) {
                self.corruption.push(Gap {
                    from,
                    to,
                    segment: slot_name(extent.header.slot),
                    reason: GapReason::Unstable,
                    quarantined: None,
                });
            }
        }
    }
}

fn frame_end(frame: &Frame<'_>) -> Position {
    Position(frame.stamp.position.0 + frame.len_bytes as u64)
}

/// The state from which a new epoch begins behind what was found.
fn continue_behind(
    storage: &dyn Storage,
    options: &LogOptions,
    chain: &Chain,
    survey: &Survey,
    replay_from: Position,
) -> Result<State, LogError> {
    let mut state = State::default();
    let begins_inside = |extent: &Extent| extent.header.first() < survey.end;
    let all = chain.extents.iter().zip(&survey.ends);
    let all = all.map(|(extent, &end)| (extent, end.min(survey.end)));
    let counted = all
        .take_while(|(extent, _)| begins_inside(extent))
        .filter(|(extent, end)| survey.holds_any(extent, *end));
    let mut counted: Vec<(&Extent, Position)> = counted.collect();
    // A copy of a moved group whose header was torn, and that has no more than the copy before, is none: it would say
    // that the log ends where it does, in either copy.
    while let [earlier @ .., (last, end)] = &counted[..]
        && last.inferred
        && !survey.lost_any(last)
        && earlier.iter().any(|(_, other)| other >= end)
    {
        counted.pop();
    }
    for (index, &(extent, end)) in counted.iter().enumerate() {
        let header = extent.header;
        let mut end = end;
        if index + 1 == counted.len() {
            // A gap at the end is part of the log: the next start sees it again.
            for gap in &survey.gaps {
                if gap.from.0 < end.0 + HEADER_BYTES as u64 && gap.to <= header.limit() {
                    end = end.max(gap.to);
                }
            }
        }
        state.next.previous_epoch = header.epoch;
        state.next.previous_end = end;
        if end > replay_from {
            state.sealed.push(Sealed { header, end });
        }
    }
    let next = &mut state.next;
    if chain.slots.is_empty() && replay_from == Position(0) {
        next.epoch = Epoch(1);
    } else {
        // Segments whose headers never reached the device may have used epochs and positions beyond
        // all that is known: as many as there can be segments.
        let page = crate::limits::PAGE_BYTES as u64;
        let used = chain.position_max.max(replay_from).max(survey.end);
        // What cannot be read may be the start before this one.
        let runs = if chain.unread.is_empty() { 1 } else { 2 };
        let margin = runs * u64::from(LOG_SEGMENTS) * options.segment_size_bytes;
        *next = Next {
            epoch: Epoch(chain.epoch_max.0 + runs * u64::from(LOG_SEGMENTS)),
            base: Position(used.0.next_multiple_of(page) + margin),
            ..*next
        };
    }
    let held: Vec<u32> = state
        .sealed
        .iter()
        .map(|sealed| sealed.header.slot)
        .collect();
    let speaking = |number: u32| {
        let mut extents = chain.extents.iter();
        extents.any(|extent| extent.header.slot == number)
    };
    let named = chain.slots.iter().map(|number| number + 1).max();
    state.slot_next = named.unwrap_or(0).max(options.segment_count_max);
    for &number in &chain.slots {
        if held.contains(&number) {
            continue;
        }
        if chain.unread.contains(&number) {
            // Not written over: the next start may be able to read it.
            state.retired += 1;
            continue;
        }
        let speaks = speaking(number);
        match number < options.segment_count_max {
            true => state.free.push(Slot {
                speaks,
                ..Slot::used(number)
            }),
            false if speaks => state.kept.push(number),
            false => storage.remove(&slot_name(number))?,
        }
    }
    for number in (0..options.segment_count_max).filter(|number| !chain.slots.contains(number)) {
        state.free.push(Slot::new(number));
    }
    Ok(state)
}

fn remove_unfinished(storage: &dyn Storage) -> Result<(), LogError> {
    for name in storage.list(FOLDER)? {
        if name.ends_with(TEMPORARY) {
            storage.remove(&format!("{FOLDER}/{name}"))?;
        }
    }
    Ok(())
}
