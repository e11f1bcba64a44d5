//! An image: the rows of one series that were not sealed at a checkpoint, opaque here. Layout: FORMAT.md.
//!
//! Images let the log be recycled although a slow series has not filled a chunk.

use super::bytes::Reader;
use crate::types::{Position, SeriesId};

/// The unsealed rows of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRecord<'a> {
    /// The series.
    pub series: SeriesId,
    /// Lowest log position of a row.
    pub first_position: Position,
    /// Highest log position of a row: replay skips this series' rows up to here.
    pub last_position: Position,
    /// The rows, as the engine encoded them.
    pub bytes: &'a [u8],
}

impl<'a> ImageRecord<'a> {
    /// What precedes the rows in the payload.
    pub(super) fn prefix(&self) -> [u8; PREFIX_BYTES] {
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..4].copy_from_slice(&self.series.0.to_le_bytes());
        prefix[4..12].copy_from_slice(&self.first_position.0.to_le_bytes());
        prefix[12..].copy_from_slice(&self.last_position.0.to_le_bytes());
        prefix
    }

    /// Reads a record's payload.
    pub(super) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self {
            series: SeriesId(reader.u32()?),
            first_position: Position(reader.u64()?),
            last_position: Position(reader.u64()?),
            bytes: reader.rest(),
        })
    }
}

/// The kind of a record that holds rows.
pub(super) const KIND_ROWS: u8 = 0;
/// The kind of a record that holds a deletion.
pub(super) const KIND_DELETION: u8 = 1;
/// Series, first and last position.
const PREFIX_BYTES: usize = 4 + 8 + 8;
