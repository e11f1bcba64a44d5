//! A series in memory: staged rows, open chunk, sealed chunks in a ring, and how they are read as one.
//!
//! No lock, no clock, no device: the engine owns those. Rows become visible in the order in which they
//! are applied; of two rows with the same time the later applied one wins, field by field.

mod changes;
mod extent;
mod hidden;
mod lanes;
mod merge;
mod open;
mod read;
mod ring;
mod rows;
mod sealed;
#[allow(clippy::module_inception)]
mod series;

pub use self::changes::{Change, ChangeCount, Changes};
pub use self::hidden::{Cause, Hidden, HiddenRows, Tombstone};
pub use self::lanes::{LaneUse, chunk_lanes};
pub use self::merge::retain_rows;
pub use self::open::OpenChunk;
pub use self::read::{
    ChunkFacts, ColumnSummary, Decoded, Demand, Needs, Part, ReadCounts, Snapshot, Summaries,
    Summary,
};
pub use self::ring::Ring;
pub use self::rows::{RowRef, Rows};
pub use self::sealed::{Location, Sealed};
pub use self::series::{Applied, DroppedRows, RestoredImage, Scratch, Series, UnsealedCells};
/// What is known of some values of a column without decoding them.
pub use crate::codec::Statistics;
/// Decoded columns, as readers of a series get them.
pub use crate::codec::vector;

#[cfg(test)]
mod tests;
