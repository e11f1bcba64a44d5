//! The append log: what was accepted, in order, durable group by group.
//!
//! One log serves all shards. It keeps frames and their order, and never looks into a payload. It
//! starts no thread and reads no clock: the server calls [`Log::sync`] and [`Log::prepare`] from a
//! thread of its own. Segments live behind [`Storage`](crate::storage::Storage), fixed in size and
//! recycled in a circle.
#![doc = include_str!("FORMAT.md")]

mod copy;
pub mod definitions;
pub mod deletion;
pub mod expiry;
mod frame;
pub mod producer;
mod quarantine;
mod recovery;
mod relocate;
mod remains;
pub mod rows;
mod scan;
mod segment;
mod state;
mod survey;
pub mod token;
pub mod varint;
mod walk;
mod writer;

use crate::limits::{LOG_SEGMENT_BYTES_MAX, LOG_SEGMENT_BYTES_MIN, LOG_SEGMENTS, PAGE_BYTES};
use crate::storage::StorageError;
use crate::types::{Epoch, Position, StoreId};

pub use copy::LogCopy;
pub use frame::{Frame, FrameParts, FrameSeal, FrameType, HEADER_BYTES, ProducerPart, Stamp};
pub use recovery::{FrameView, Gap, GapReason, Recovery, TornTail};
pub use remains::suspects;
pub use scan::{Scan, ScannedFrame, ScannedSegment, find_store, scan};
pub use segment::{FOLDER, FORMAT_VERSION, HeaderPage, SegmentHeader};
pub use state::frame_positions;
pub use survey::{Known, reaches_back};
pub use writer::{Appended, Log, LogUsage};

/// How a log is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a segment: a multiple of 4096. Default 8 MiB, minimum 64 KiB, maximum 256 MiB. A
    /// unit of frames must fit into one.
    pub segment_size_bytes: u64,
    /// Most segments. Default 8, minimum 2, maximum 1024.
    pub segment_count_max: u32,
    /// Bytes that [`Log::prepare`] keeps ready ahead of the writer, at least one segment. Default
    /// 24 MiB, minimum 0.
    pub prefetch_bytes: u64,
    /// Failed syncs after which the log turns read-only. Default 3, minimum 1.
    pub sync_failures_max: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_size_bytes: 8 << 20,
            segment_count_max: 8,
            prefetch_bytes: 24 << 20,
            sync_failures_max: 3,
        }
    }
}

impl LogOptions {
    fn check(&self) -> Result<(), LogError> {
        let size = self.segment_size_bytes;
        if !(LOG_SEGMENT_BYTES_MIN..=LOG_SEGMENT_BYTES_MAX).contains(&size)
            || !size.is_multiple_of(PAGE_BYTES as u64)
        {
            return Err(LogError::Options {
                reason: "segment_size_bytes must be a multiple of 4096 from 65536 to 268435456",
            });
        }
        if !(2..=LOG_SEGMENTS).contains(&self.segment_count_max) {
            return Err(LogError::Options {
                reason: "segment_count_max must be from 2 to 1024",
            });
        }
        if self.sync_failures_max == 0 {
            return Err(LogError::Options {
                reason: "sync_failures_max must be at least 1",
            });
        }
        Ok(())
    }
}

/// Why the log could not be opened, read or synced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The device failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A segment belongs to another store.
    #[error("{name} belongs to store {found}, not to {expected}")]
    OtherStore {
        /// The segment's file.
        name: String,
        /// The store it belongs to.
        found: StoreId,
        /// The store that was opened.
        expected: StoreId,
    },
    /// A segment was written in a format this version does not read.
    #[error("{name} has format {version}; this version reads format {FORMAT_VERSION}")]
    Version {
        /// The segment's file.
        name: String,
        /// Its format.
        version: u32,
    },
    /// A whole frame of a type that this version does not know and may not pass over.
    #[error("the frame at position {position} has type {code}, which this version does not know")]
    UnknownFrame {
        /// Where it is.
        position: Position,
        /// Its type.
        code: u8,
    },
    /// The visitor of a recovery could not use a frame.
    #[error("the frame at position {position} could not be applied: {reason}")]
    Refused {
        /// Where it is.
        position: Position,
        /// The visitor's reason.
        reason: String,
    },
    /// The options contradict the limits.
    #[error("log options: {reason}")]
    Options {
        /// What would be right.
        reason: &'static str,
    },
    /// A sync failed, and the device has no room for another segment: nothing is lost, appends wait, and the
    /// next sync tries it again.
    #[error("{reason}; its bytes wait for room: {source}")]
    NoRoom {
        /// Why the sync failed.
        reason: String,
        /// Where there was no room.
        source: StorageError,
    },
    /// The device failed too often: nothing is written any more.
    #[error("the log is read-only after {failures} failed syncs: {reason}")]
    ReadOnly {
        /// Syncs that failed.
        failures: u32,
        /// The last failure.
        reason: String,
    },
}

/// Why frames were not appended. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Another segment has begun: build the frames anew, with their definitions, and append again.
    #[error("epoch {0} has begun")]
    EpochChanged(Epoch),
    /// No segment is free, or the device is full: retry after a checkpoint, or when there is room.
    #[error("the log is full")]
    Full,
    /// The unit does not fit into a segment, or a payload is larger than a frame may be.
    #[error("{len_bytes} bytes do not fit; at most {max_bytes} do")]
    TooLarge {
        /// Bytes of what was to be appended.
        len_bytes: u64,
        /// Bytes that fit.
        max_bytes: u64,
    },
    /// The log is read-only after failed syncs.
    #[error("the log is read-only")]
    ReadOnly,
    /// The device failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// A payload that does not follow its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} at byte {offset} of the payload does not follow its format")]
pub struct PayloadError {
    /// Where in the payload.
    pub offset: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// All of a payload, taken by `take` off the front.
fn decode_whole<T>(
    payload: &[u8],
    what: &'static str,
    take: impl FnOnce(&mut &[u8]) -> Option<T>,
) -> Result<T, PayloadError> {
    let mut rest = payload;
    let decoded = take(&mut rest).filter(|_| rest.is_empty());
    decoded.ok_or(PayloadError {
        offset: payload.len() - rest.len(),
        what,
    })
}

#[cfg(test)]
mod tests;
