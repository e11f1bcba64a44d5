//! Rollups: what a bucket of time knows of a field, in a form that can be put together again.
//!
//! Pure: no clock, no lock, no input or output. A [`Tier`] cuts time into buckets, a [`Bucket`] has of every lane of
//! a field a [`Partial`]: count, sum, least, greatest, first, last, squares. Partials of rows that have nothing in
//! common merge to the partial of all of them, in any grouping, but for the roundings of doubles, which sums carry
//! along. Many buckets are a sealed chunk whose columns are what the partials know.
#![doc = include_str!("FORMAT.md")]

mod bucket;
mod columns;
mod partial;
mod sum;
mod tier;

#[cfg(test)]
mod tests;

pub use self::bucket::{Bucket, coarsen, roll};
pub use self::columns::{
    BucketColumns, Edges, LANES_MAX, LaneBuckets, LaneColumn, Parts, ROWS_MAX, RollupError, Sums,
    decode, encode,
};
pub use self::partial::{Bounds, Edge, Lane, Number, Numbers, Ordered, Partial};
pub use self::sum::FloatSum;
pub use self::tier::{Tier, TierCounts, UnknownTier};
