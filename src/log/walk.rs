//! From frame to frame through one segment, and past what is damaged.
//!
//! Works on bytes in memory and knows nothing of other segments: whether a hole is a torn tail or
//! corruption is decided by who sees them all.

use crate::types::{Position, StoreId};

use super::LogError;
use super::frame::{EPOCH, Frame, FrameSeal, HEADER_BYTES, claim, left_in_page};
use super::segment::SegmentHeader;

/// A range without whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Where the first whole unit should have been.
    pub(super) from: Position,
    /// Where the next whole unit begins; none to the end.
    pub(super) to: Option<Position>,
    /// Something in it claims to be a frame of this epoch.
    pub(super) claimed: bool,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// Behind the last whole unit.
    pub(super) end: Position,
    /// In order of positions. A segment whose end is not known ends in one.
    pub(super) holes: Vec<Hole>,
    /// The largest position that a frame knew to be durable.
    pub(super) proven: Position,
}

/// Hands over every whole unit of a segment, of which `bytes` are the first or all, up to `limit`.
pub(super) fn walk(
    header: &SegmentHeader,
    store: StoreId,
    bytes: &[u8],
    limit: Position,
    unit_found: &mut dyn FnMut(&[Frame<'_>]) -> Result<(), LogError>,
) -> Result<Walked, LogError> {
    let seal = FrameSeal::new(store, header.epoch);
    let base = header.base.0;
    let limit = (limit.0.saturating_sub(base) as usize).min(bytes.len());
    let bytes = &bytes[..limit];
    let mut walked = Walked {
        end: header.first(),
        holes: Vec::new(),
        proven: Position(0),
    };
    let mut offset = (header.first().0 - base) as usize;
    let mut unit: Vec<Frame<'_>> = Vec::new();
    let mut open: Option<Hole> = None;
    while offset < limit {
        let left = left_in_page(offset);
        if left < HEADER_BYTES {
            offset += left;
            continue;
        }
        let position = Position(base + offset as u64);
        let Some(frame) = seal.decode(&bytes[offset..], position) else {
            let hole = open.get_or_insert(hole_at(unit.first(), position));
            hole.claimed |= !unit.is_empty()
                || claim(&bytes[offset..]) == Some((header.epoch.0 as u32, position));
            unit.clear();
            match find(&seal, bytes, base, offset + 1) {
                Some(next) => offset = next,
                None => break,
            }
            continue;
        };
        walked.proven = walked.proven.max(frame.stamp.durable);
        offset += frame.len_bytes;
        if frame.stamp.continued && unit.is_empty() {
            // The rest of a unit whose beginning is lost.
            open.get_or_insert(hole_at(None, position)).claimed = true;
            continue;
        }
        if !frame.stamp.continued {
            if !unit.is_empty() {
                open.get_or_insert(hole_at(unit.first(), position)).claimed = true;
                unit.clear();
            }
            if let Some(hole) = open.take() {
                let to = Some(position);
                walked.holes.push(Hole { to, ..hole });
            }
        }
        unit.push(frame);
        if !frame.stamp.continues {
            unit_found(&unit)?;
            unit.clear();
            walked.end = Position(base + offset as u64);
        }
    }
    if !unit.is_empty() {
        open.get_or_insert(hole_at(unit.first(), walked.end))
            .claimed = true;
    }
    walked.holes.extend(open);
    Ok(walked)
}

/// Infers the header of a segment that lost it, from its first group.
pub(super) fn infer_header(slot: u32, store: StoreId, bytes: &[u8]) -> Option<SegmentHeader> {
    use crate::limits::PAGE_BYTES;
    use crate::types::Epoch;
    for offset in (PAGE_BYTES..bytes.len()).step_by(PAGE_BYTES) {
        let (epoch, position) = claim(&bytes[offset..])?;
        let base = position.0.checked_sub(offset as u64);
        let Some(base) = base.filter(|base| base.is_multiple_of(PAGE_BYTES as u64) && epoch != 0)
        else {
            continue;
        };
        let epoch = Epoch(u64::from(epoch));
        if FrameSeal::new(store, epoch)
            .decode(&bytes[offset..], position)
            .is_some()
        {
            return Some(SegmentHeader {
                store,
                slot,
                epoch,
                base: Position(base),
                size_bytes: bytes.len() as u64,
                previous_epoch: Epoch(epoch.0 - 1),
                previous_end: Position(base),
                durable: Position(0),
            });
        }
    }
    None
}

fn hole_at(unit: Option<&Frame<'_>>, position: Position) -> Hole {
    Hole {
        from: unit.map_or(position, |frame| frame.stamp.position),
        to: None,
        claimed: false,
    }
}

/// The next whole frame at or behind an offset. Every frame names its own epoch and position: only where the
/// epoch stands is anything compared.
fn find(seal: &FrameSeal, bytes: &[u8], base: u64, from: usize) -> Option<usize> {
    let epoch = seal.epoch_mark();
    let finder = memchr::memmem::Finder::new(&epoch);
    let mut at = from + EPOCH;
    loop {
        at += finder.find(bytes.get(at..)?)?;
        let offset = at - EPOCH;
        let position = Position(base + offset as u64);
        if seal.decode(&bytes[offset..], position).is_some() {
            return Some(offset);
        }
        at += 1;
    }
}
