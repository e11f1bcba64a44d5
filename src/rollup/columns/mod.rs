//! Buckets as a sealed chunk and back: a row a bucket, a column for each thing that a partial knows of a lane. The
//! layout is in `FORMAT.md`.
//!
//! What comes from bytes is checked before it is handed out: times lie in their bucket, counts are no more than
//! rows, types are those that were asked for.

mod decimals;
mod decode;
mod encode;

pub use self::decode::{BucketColumns, Edges, LaneBuckets, Parts, Sums, decode};
pub use self::encode::encode;
use crate::codec::CodecError;
use crate::limits::COLUMNS;
use crate::types::{ColumnId, FieldType};

/// Lanes of one chunk at most: all their columns are columns of it.
pub const LANES_MAX: usize = COLUMNS / PARTS;
/// Rows that a bucket may claim to have.
pub const ROWS_MAX: u64 = 1 << 48;
/// Column numbers that a lane takes.
const PARTS: usize = 16;

/// A lane: the column whose values they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneColumn {
    /// The column of the measurement.
    pub id: ColumnId,
    /// Its type.
    pub field_type: FieldType,
}

/// Why a chunk is not one of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollupError {
    /// It does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A column is missing, or of another type.
    #[error("column {id} is not that of a tier")]
    Column {
        /// The column of the chunk.
        id: ColumnId,
    },
    /// A bucket that no rows make.
    #[error("bucket {bucket} has an impossible {what}")]
    Impossible {
        /// Its number in the chunk.
        bucket: usize,
        /// What cannot be.
        what: &'static str,
    },
    /// More lanes than one chunk holds.
    #[error("{found} lanes do not fit a chunk; at most {LANES_MAX} do")]
    TooManyLanes {
        /// How many there are.
        found: usize,
    },
}

/// Parts of a lane, by the low bits of their column's number.
mod part {
    pub(super) const COUNT: u16 = 0;
    pub(super) const MIN: u16 = 1;
    pub(super) const MAX: u16 = 2;
    pub(super) const FIRST: u16 = 3;
    pub(super) const LAST: u16 = 4;
    pub(super) const FIRST_AFTER: u16 = 5;
    pub(super) const LAST_AFTER: u16 = 6;
    pub(super) const SUM: u16 = 7;
    pub(super) const SUM_HIGH: u16 = 8;
    pub(super) const SQUARES: u16 = 9;
    /// Of the chunk, not of a lane.
    pub(super) const ROWS: u16 = 15;
}

fn column_of(lane: ColumnId, part: u16) -> Result<ColumnId, RollupError> {
    let first = lane.0.checked_mul(PARTS as u16);
    let first = first.ok_or(RollupError::Column { id: lane })?;
    Ok(ColumnId(first + part))
}
