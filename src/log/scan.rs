//! A look at a log that changes nothing: for inspection, of stores that are not open.

use crate::storage::Storage;
use crate::types::{Epoch, Position, StoreId};

use super::LogError;
use super::frame::{FrameType, ProducerPart};
use super::recovery::{Gap, TornTail};
use super::segment::{FOLDER, HeaderPage, SegmentHeader, slot_name, slot_of};
use super::survey::{Chain, read_segment};
use super::walk::walk;

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The store the log belongs to.
    pub store: StoreId,
    /// The segments that make up the log, oldest first.
    pub segments: Vec<ScannedSegment>,
    /// Where the log ends.
    pub end: Position,
    /// It breaks off inside what was never acknowledged as durable.
    pub torn_tail: Option<TornTail>,
    /// What had been durable and is lost.
    pub corruption: Vec<Gap>,
}

/// A segment of the log.
#[derive(Clone, Debug)]
pub struct ScannedSegment {
    /// Its file.
    pub name: String,
    /// Its header.
    pub header: SegmentHeader,
    /// The header is lost, and was inferred from a frame.
    pub inferred: bool,
    /// Where its frames end.
    pub end: Position,
}

/// A frame of the log, of any type.
#[derive(Clone, Copy, Debug)]
pub struct ScannedFrame<'a> {
    /// The number of its type.
    pub code: u8,
    /// Its type, if this version knows it.
    pub kind: Option<FrameType>,
    /// Where it begins.
    pub position: Position,
    /// The first position behind it.
    pub end: Position,
    /// The epoch it was written in.
    pub epoch: Epoch,
    /// The position that was durable when it was written.
    pub durable: Position,
    /// Whose it is.
    pub producer: Option<ProducerPart>,
    /// What it holds.
    pub payload: &'a [u8],
}

/// Walks a log from its oldest segment, pads included, and hands every frame to `visit`. Writes
/// nothing. Without a `store` it takes the one that the newest header names.
///
/// `replay_from` only tells which damage matters: the position of the checkpoint, or 0.
pub fn scan(
    storage: &dyn Storage,
    store: Option<StoreId>,
    replay_from: Position,
    visit: &mut dyn FnMut(ScannedFrame<'_>) -> Result<(), LogError>,
) -> Result<Scan, LogError> {
    let Some(store) = store.map_or_else(|| find_store(storage), |store| Ok(Some(store)))? else {
        return Ok(Scan::default());
    };
    let chain = Chain::read(storage, store, replay_from)?;
    let survey = chain.survey(storage, store, replay_from.into())?;
    let mut segments = Vec::new();
    for (extent, &end) in chain.extents.iter().zip(&survey.ends) {
        let header = extent.header;
        if header.first() >= survey.end {
            break;
        }
        let end = end.min(survey.end);
        let bytes = read_segment(storage, &header)?;
        walk(&header, store, &bytes, end, &mut |unit| {
            for frame in unit {
                let position = frame.stamp.position;
                visit(ScannedFrame {
                    code: frame.code,
                    kind: FrameType::from_code(frame.code),
                    position,
                    end: Position(position.0 + frame.len_bytes as u64),
                    epoch: header.epoch,
                    durable: frame.stamp.durable,
                    producer: frame.producer,
                    payload: frame.payload,
                })?;
            }
            Ok(())
        })?;
        segments.push(ScannedSegment {
            name: slot_name(header.slot),
            header,
            inferred: extent.inferred,
            end,
        });
    }
    Ok(Scan {
        store,
        segments,
        end: survey.end,
        torn_tail: survey.torn_tail,
        corruption: survey.gaps,
    })
}

/// The store that the newest header names; none where no segment has a whole header. Fails where the device
/// does, and gives no other header.
pub fn find_store(storage: &dyn Storage) -> Result<Option<StoreId>, LogError> {
    let mut newest: Option<SegmentHeader> = None;
    let mut unread = None;
    for name in storage.list(FOLDER)? {
        let Some(slot) = slot_of(&name) else {
            continue;
        };
        let mut page = [0_u8; crate::limits::PAGE_BYTES];
        let read = storage
            .open_file(&slot_name(slot))?
            .read_patiently(0, &mut page);
        if let Err(error) = read {
            if !error.is_beyond_end() {
                unread = Some(error);
            }
            continue;
        }
        if let HeaderPage::Valid(header) = SegmentHeader::decode(&page)
            && newest.is_none_or(|newest| newest.epoch < header.epoch)
        {
            newest = Some(header);
        }
    }
    match (newest, unread) {
        // It may well have one.
        (None, Some(error)) => Err(error.into()),
        (newest, _) => Ok(newest.map(|header| header.store)),
    }
}
