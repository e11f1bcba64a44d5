//! An image: the rows of one series that were not sealed at a checkpoint, opaque here. Layout: FORMAT.md.
//!
//! Images let the log be recycled although a slow series has not filled a chunk.

use std::borrow::Cow;

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

/// What stands behind the images of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SideRecord {
    /// A deletion that chunks still need: its position (8 bytes), and what the engine encoded.
    Deletion(Vec<u8>),
    /// An expiry that chunks still need, likewise.
    Expiry(Vec<u8>),
    /// What is accounted for of a series.
    Account(Account),
    /// The batches of producers that are known, as the engine encoded them.
    Producers(Vec<u8>),
}

/// What is accounted for of a series beside its chunks and its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The series.
    pub series: SeriesId,
    /// Replay skips the series' rows up to here, whether or not a chunk has them; 0 for none.
    pub through: Position,
    /// Rows whose place those of the image had taken.
    pub overwritten: u32,
}

impl Account {
    fn encode(&self) -> [u8; ACCOUNT_BYTES] {
        let mut bytes = [0; ACCOUNT_BYTES];
        bytes[..4].copy_from_slice(&self.series.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.through.0.to_le_bytes());
        bytes[12..].copy_from_slice(&self.overwritten.to_le_bytes());
        bytes
    }

    /// Reads a record's payload, all of it.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let account = Self {
            series: SeriesId(reader.u32()?),
            through: Position(reader.u64()?),
            overwritten: reader.u32()?,
        };
        reader.rest().is_empty().then_some(account)
    }
}

impl SideRecord {
    /// The kind of the record, and its payload.
    pub(super) fn encode(&self) -> (u8, Cow<'_, [u8]>) {
        match self {
            Self::Deletion(payload) => (KIND_DELETION, Cow::Borrowed(payload)),
            Self::Expiry(payload) => (KIND_EXPIRY, Cow::Borrowed(payload)),
            Self::Producers(payload) => (KIND_PRODUCERS, Cow::Borrowed(payload)),
            Self::Account(account) => (KIND_ACCOUNT, Cow::Owned(account.encode().to_vec())),
        }
    }
}

/// The kind of a record that holds rows.
pub(super) const KIND_ROWS: u8 = 0;
/// The kind of a record that holds a deletion.
pub(super) const KIND_DELETION: u8 = 1;
/// The kind of a record that holds an expiry.
pub(super) const KIND_EXPIRY: u8 = 2;
/// The kind of a record that says what is accounted for.
pub(super) const KIND_ACCOUNT: u8 = 3;
/// The kind of a record that holds producers.
pub(super) const KIND_PRODUCERS: u8 = 4;
/// The kind of the last record, without a payload: the file is complete.
pub(super) const KIND_END: u8 = 5;
/// Series, position, rows.
const ACCOUNT_BYTES: usize = 4 + 8 + 4;
/// Series, first and last position.
const PREFIX_BYTES: usize = 4 + 8 + 8;
