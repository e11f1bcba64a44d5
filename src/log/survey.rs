//! Which segments make up the log, and which of their frames count.
//!
//! Reads with `pread` only and changes nothing. The chain is followed backwards from the newest header
//! by `previous_epoch`; what is not on it (torn, moved or recycled) is no part of the log.

use std::collections::HashMap;
use std::ops::Range;

use crate::limits::{LOG_SEGMENT_BYTES_MIN, PAGE_BYTES};
use crate::mutants::{self, Mutant};
use crate::storage::{Storage, StorageError};
use crate::types::{Epoch, Position, StoreId};

use super::LogError;
use super::frame::{HEADER_BYTES, claim};
use super::recovery::{Gap, GapReason, TornTail};
use super::segment::{FOLDER, HeaderPage, SegmentHeader, slot_name, slot_of};
use super::walk::{Hole, infer_header, walk};

/// One segment of the chain.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) header: SegmentHeader,
    /// Where it ends, if a later header says so.
    pub(super) limit: Option<Position>,
    /// The segment before it is missing.
    pub(super) predecessor_lost: bool,
    /// Its header is lost, and what it held was inferred from a frame.
    pub(super) inferred: bool,
}

/// All segments of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Oldest first; those that lie before the checkpoint are left out.
    pub(super) extents: Vec<Extent>,
    /// Slots that have a file.
    pub(super) slots: Vec<u32>,
    /// Slots whose file is shorter than any segment, and holds no header.
    stumps: Vec<u32>,
    /// Slots whose header the device does not give now. What they hold may be part of the log.
    pub(super) unread: Vec<u32>,
    /// The largest epoch of any header.
    pub(super) epoch_max: Epoch,
    /// No header reaches beyond this position.
    pub(super) position_max: Position,
}

/// What is known of a log before it is read: from the manifest in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The position of the newest durable checkpoint; 0 without one.
    pub replay_from: Position,
    /// What was durable then.
    pub durable: Position,
}

impl From<Position> for Known {
    fn from(replay_from: Position) -> Self {
        Self {
            replay_from,
            durable: Position(0),
        }
    }
}

/// What of the chain counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// Where the log ends.
    pub(super) end: Position,
    /// Behind the last whole unit of each extent.
    pub(super) ends: Vec<Position>,
    pub(super) gaps: Vec<Gap>,
    pub(super) torn_tail: Option<TornTail>,
    /// Where the last part of a producer's batch is.
    pub(super) last_parts: HashMap<(u64, u64), Position>,
}

impl Chain {
    /// Reads the headers of a log's segments.
    pub(super) fn read(
        storage: &dyn Storage,
        store: StoreId,
        replay_from: Position,
    ) -> Result<Self, LogError> {
        let mut chain = Self::default();
        let mut headers: Vec<(SegmentHeader, bool)> = Vec::new();
        for name in storage.list(FOLDER)? {
            let Some(slot) = slot_of(&name) else {
                continue;
            };
            chain.slots.push(slot);
            match read_header(storage, store, slot)? {
                FoundHeader::Some { header, inferred } => headers.push((header, inferred)),
                FoundHeader::Unread => chain.unread.push(slot),
                FoundHeader::None if is_stump(storage, slot)? => chain.stumps.push(slot),
                FoundHeader::None => {}
            }
        }
        for (header, _) in &headers {
            chain.epoch_max = chain.epoch_max.max(header.epoch);
            chain.position_max = chain.position_max.max(header.limit());
        }
        headers.retain(|(header, _)| header.limit() >= replay_from);
        headers.sort_unstable_by_key(|(header, _)| std::cmp::Reverse(header.epoch));
        chain.extents = link(headers, replay_from);
        Ok(chain)
    }

    /// Walks the chain and decides what counts.
    pub(super) fn survey(
        &self,
        storage: &dyn Storage,
        store: StoreId,
        known: Known,
    ) -> Result<Survey, LogError> {
        let replay_from = known.replay_from;
        let mut survey = Survey {
            end: replay_from,
            ..Survey::default()
        };
        let mut holes: Vec<(Hole, &Extent, GapReason)> = Vec::new();
        let mut proven = known.durable;
        let mut last_unit = Position(0);
        // From where to where segments have no hole.
        let mut whole: Vec<(Position, Position)> = Vec::new();
        for (index, extent) in self.extents.iter().enumerate() {
            if extent.predecessor_lost || extent.inferred {
                let before = if extent.predecessor_lost {
                    replay_from
                } else {
                    extent.header.base
                };
                let hole = Hole {
                    from: survey.ends.last().copied().unwrap_or(before),
                    to: Some(extent.header.first()),
                    claimed: true,
                };
                let reason = if extent.inferred {
                    GapReason::Header
                } else {
                    GapReason::MissingSegment
                };
                holes.push((hole, extent, reason));
            }
            let mut unread = Vec::new();
            let bytes = read_noting(storage, &extent.header, &mut unread)?;
            let last_parts = &mut survey.last_parts;
            let walked = walk(
                &extent.header,
                store,
                &bytes,
                extent.limit.unwrap_or(extent.header.limit()),
                &mut |unit| {
                    for frame in unit {
                        last_unit = frame.stamp.position;
                        if let Some(producer) = frame.producer
                            && producer.part + 1 >= producer.parts
                        {
                            let batch = (producer.producer, producer.sequence);
                            last_parts.insert(batch, frame.stamp.position);
                        }
                    }
                    Ok(())
                },
            )?;
            proven = proven.max(walked.proven).max(extent.header.durable);
            survey.ends.push(walked.end);
            survey.end = survey.end.max(walked.end);
            survey.note_unread(&unread, extent, walked.end, replay_from);
            let next = self.extents.get(index + 1);
            let behind = extent.limit.or(next.map(|next| next.header.first()));
            let until = walked.holes.first().map_or(walked.end, |hole| hole.from);
            let own = (extent.header.first(), until);
            for hole in walked.holes {
                let to = hole.to.or(behind);
                // Another copy of a moved group, which had this whole.
                let is_whole = |copy: &(Position, Position)| {
                    copy.0 <= hole.from && to.is_some_and(|to| to <= copy.1)
                };
                if extent.inferred && whole.iter().any(is_whole) {
                    continue;
                }
                // The hole before a segment whose predecessor is lost is noted with that one.
                if hole.to.is_some() || next.is_none_or(|next| !next.predecessor_lost) {
                    holes.push((Hole { to, ..hole }, extent, GapReason::Damaged));
                }
            }
            whole.push(own);
        }
        survey.judge(&holes, proven, replay_from, last_unit);
        survey.reach(known.durable, self.extents.last());
        for &slot in self.stumps.iter().chain(&self.unread) {
            // What it held is not known; what a later header proves is a gap already.
            let from = survey.end;
            survey.gaps.push(Gap {
                from,
                to: Position(from.0 + LOG_SEGMENT_BYTES_MIN),
                segment: slot_name(slot),
                reason: GapReason::CutOff,
                quarantined: None,
            });
        }
        Ok(survey)
    }
}

impl Survey {
    /// Bytes that the device does not give are lost, whether or not something proves that they were durable:
    /// no power cut makes a file shorter or a page unreadable.
    fn note_unread(
        &mut self,
        unread: &[Range<u64>],
        extent: &Extent,
        walked_end: Position,
        replay_from: Position,
    ) {
        if mutants::is(Mutant::UnreadIgnored) {
            return;
        }
        let header = &extent.header;
        let limit = extent.limit.unwrap_or(header.limit());
        for range in unread {
            let start = Position(header.base.0 + range.start).max(header.first());
            // The unit that it cuts off begins before.
            let from = start.min(walked_end.max(header.first())).max(replay_from);
            let to = Position(header.base.0 + range.end).min(limit);
            // What lies before valid frames is a hole between them.
            if start >= walked_end && from < to {
                self.gaps.push(Gap {
                    from,
                    to,
                    segment: slot_name(header.slot),
                    reason: GapReason::CutOff,
                    quarantined: None,
                });
            }
        }
    }

    /// What cannot be read stays part of the log, so that a later start looks there again; and what a
    /// checkpoint knew to be durable is lost where the log ends before it.
    fn reach(&mut self, durable: Position, last: Option<&Extent>) {
        for gap in &self.gaps {
            if gap.reason == GapReason::CutOff && gap.from <= self.end && self.end < gap.to {
                self.end = gap.to;
                self.torn_tail = None;
            }
        }
        if durable.0 >= self.end.0 + HEADER_BYTES as u64 {
            self.gaps.push(Gap {
                from: self.end,
                to: durable,
                segment: last.map_or_else(String::new, |last| slot_name(last.header.slot)),
                reason: GapReason::MissingSegment,
                quarantined: None,
            });
        }
    }

    /// Whether a segment, whose last whole unit ends somewhere, is a part of the log. One whose header was torn, and whose
    /// first unit was, too, is none: nobody could find it again in a copy, which has neither.
    pub(super) fn holds_any(&self, extent: &Extent, end: Position) -> bool {
        !extent.inferred || end > extent.header.first() || self.lost_any(extent)
    }

    /// Whether something is lost where a segment is.
    pub(super) fn lost_any(&self, extent: &Extent) -> bool {
        let header = &extent.header;
        let is_lost = |gap: &Gap| gap.from < header.limit() && header.base < gap.to;
        self.gaps.iter().any(is_lost)
    }

    /// A hole is corruption as far as something knew it to be durable; the first that is not so is
    /// where the log ends.
    fn judge(
        &mut self,
        holes: &[(Hole, &Extent, GapReason)],
        proven: Position,
        replay_from: Position,
        last_unit: Position,
    ) {
        for (hole, extent, reason) in holes {
            // The first position is that of the first segment's header.
            let from = hole.from.max(replay_from).max(Position(PAGE_BYTES as u64));
            if hole.to.is_some_and(|to| to <= from) {
                continue;
            }
            let mut cut = from;
            if from < proven {
                let to = hole.to.map_or(proven, |to| to.min(proven));
                // What is too short for a frame never held one: a group ends with up to so many bytes. A frame
                // that begins before the replay does and is needed has more behind the row that is.
                let is_known = |gap: &Gap| gap.from <= from && to <= gap.to;
                if to.0 - from.0 >= HEADER_BYTES as u64 && !self.gaps.iter().any(is_known) {
                    self.gaps.push(Gap {
                        from,
                        to,
                        segment: slot_name(extent.header.slot),
                        reason: *reason,
                        quarantined: None,
                    });
                }
                if hole.to == Some(to) {
                    continue;
                }
                cut = to;
            }
            self.end = cut;
            if hole.claimed || last_unit >= cut {
                self.torn_tail = Some(TornTail { position: cut });
            }
            return;
        }
    }
}

/// Whether the segments of a log reach back to a position without one missing, whatever is in them. The newest may
/// have a header that does not validate: a power cut tears one before anything behind it counts.
pub fn reaches_back(
    storage: &dyn Storage,
    store: StoreId,
    position: Position,
) -> Result<bool, LogError> {
    let chain = Chain::read(storage, store, position)?;
    let whole = |extent: &Extent| !extent.predecessor_lost && !extent.inferred;
    let newest = chain.extents.iter().rev();
    let torn = newest.take_while(|extent| extent.inferred).count();
    let older = &chain.extents[..chain.extents.len() - torn];
    Ok((position == Position(0) || !older.is_empty()) && older.iter().all(whole))
}

/// The bytes of a segment. What the device cannot read is zeros, which validate as nothing.
pub(super) fn read_segment(
    storage: &dyn Storage,
    header: &SegmentHeader,
) -> Result<Vec<u8>, LogError> {
    read_noting(storage, header, &mut Vec::new())
}

/// As [`read_segment`], and notes which bytes of the segment the device does not give.
fn read_noting(
    storage: &dyn Storage,
    header: &SegmentHeader,
    unread: &mut Vec<Range<u64>>,
) -> Result<Vec<u8>, LogError> {
    let file = storage.open_file(&slot_name(header.slot))?;
    let length = file.len_bytes()?.min(header.size_bytes);
    let mut bytes = vec![0; length as usize];
    for (index, chunk) in bytes.chunks_mut(READ_BYTES).enumerate() {
        let offset = (index * READ_BYTES) as u64;
        if file.read_at(offset, chunk).is_err() {
            // Page by page around the bad ones.
            for (page, into) in chunk.chunks_mut(PAGE_BYTES).enumerate() {
                let start = offset + (page * PAGE_BYTES) as u64;
                if file.read_patiently(start, into).is_err() {
                    into.fill(0);
                    unread.push(start..start + into.len() as u64);
                }
            }
        }
    }
    if length < header.size_bytes {
        unread.push(length..header.size_bytes);
    }
    Ok(bytes)
}

/// What the first page of a slot says.
enum FoundHeader {
    Some {
        header: SegmentHeader,
        /// It is lost, and what it said was inferred.
        inferred: bool,
    },
    /// The slot holds nothing.
    None,
    /// The device does not give it.
    Unread,
}

/// The header of a slot.
fn read_header(storage: &dyn Storage, store: StoreId, slot: u32) -> Result<FoundHeader, LogError> {
    let name = slot_name(slot);
    let file = storage.open_file(&name)?;
    let size_bytes = file.len_bytes()?.min(crate::limits::LOG_SEGMENT_BYTES_MAX);
    let mut pages = [0_u8; 2 * PAGE_BYTES];
    let mut unread = false;
    // In halves of a page: each of the first has a copy.
    for (index, part) in pages.chunks_mut(PAGE_BYTES / 2).enumerate() {
        let read: Result<(), StorageError> =
            file.read_patiently((index * PAGE_BYTES / 2) as u64, part);
        if let Err(error) = read {
            unread |= !error.is_beyond_end();
            part.fill(0);
        }
    }
    let none = if unread && !mutants::is(Mutant::UnreadIgnored) {
        FoundHeader::Unread
    } else {
        FoundHeader::None
    };
    match SegmentHeader::decode(&pages[..PAGE_BYTES]) {
        HeaderPage::Valid(header) if header.store != store => Err(LogError::OtherStore {
            name,
            found: header.store,
            expected: store,
        }),
        HeaderPage::Valid(header) => Ok(FoundHeader::Some {
            header: SegmentHeader { slot, ..header },
            inferred: false,
        }),
        HeaderPage::OtherVersion(version) => Err(LogError::Version { name, version }),
        HeaderPage::None => {
            // A slot that was prepared and never used is zeros, and is not read to its end.
            let used = claim(&pages[PAGE_BYTES..]).is_some_and(|(epoch, _)| epoch != 0);
            if !used {
                return Ok(none);
            }
            let whole = SegmentHeader {
                store,
                slot,
                epoch: Epoch(0),
                base: Position(0),
                size_bytes,
                previous_epoch: Epoch(0),
                previous_end: Position(0),
                durable: Position(0),
            };
            let bytes = read_segment(storage, &whole)?;
            let inferred = infer_header(slot, store, &bytes);
            Ok(inferred.map_or(none, |header| FoundHeader::Some {
                header,
                inferred: true,
            }))
        }
    }
}

/// Whether a file is shorter than a segment can be.
fn is_stump(storage: &dyn Storage, slot: u32) -> Result<bool, LogError> {
    let file = storage.open_file(&slot_name(slot))?;
    Ok(file.len_bytes()? < LOG_SEGMENT_BYTES_MIN)
}

/// Follows the chain from the newest header; `headers` are sorted, newest first.
fn link(headers: Vec<(SegmentHeader, bool)>, replay_from: Position) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut limit = None;
    let mut candidates = headers.into_iter().peekable();
    while let Some((header, inferred)) = candidates.next() {
        extents.push(Extent {
            header,
            limit,
            predecessor_lost: false,
            inferred,
        });
        let Some(current) = extents.last_mut() else {
            break;
        };
        if header.previous_epoch.0 == 0 || header.first() <= replay_from {
            break;
        }
        // Those in between were given up by the run that wrote this one.
        let before = |other: &SegmentHeader| {
            other.epoch <= header.previous_epoch && other.first() <= header.first()
        };
        while candidates.next_if(|(other, _)| !before(other)).is_some() {}
        match candidates.peek() {
            Some((other, _)) if other.epoch == header.previous_epoch && !inferred => {
                limit = Some(header.previous_end);
            }
            // A group that moved leaves the page of its header to the segment before it: where that ends is not known
            // of a header that was inferred. What is too short for a frame at the end of a page never held one.
            _ if header.previous_end.0 < replay_from.0 + HEADER_BYTES as u64 && !inferred => break,
            Some((other, _)) => {
                // Where the one before it ends is only known when it is walked; but no frame counts behind where a later
                // header says that the log ended, in whatever copy of a moved group.
                limit = limit.filter(|limit| inferred && *limit < other.limit());
                current.predecessor_lost = true;
            }
            None => {
                current.predecessor_lost = true;
                break;
            }
        }
    }
    extents.reverse();
    extents
}

const READ_BYTES: usize = 1 << 20;
