//! What a reader wants of a series, and the parts it gets.

use super::piece::Decoded;
use crate::codec::Statistics;
use crate::codec::chunk::Chunk;
use crate::types::{ColumnId, Timestamp};

/// How a snapshot is read. By default: all rows, oldest first.
#[derive(Clone, Copy, Default)]
pub struct Demand<'a> {
    /// Parts come newest first; within a part times ascend all the same.
    pub newest_first: bool,
    /// No more rows are wanted than these.
    pub rows_max: Option<u64>,
    /// False where no row of a chunk can be wanted: such chunks are left out.
    pub may_match: Option<&'a dyn Fn(&ChunkFacts<'_>) -> bool>,
    /// Parts may be statistics instead of rows. Not together with `rows_max`.
    pub summaries: Option<Summaries<'a>>,
}

/// What statistics must tell to be taken for rows.
#[derive(Clone, Copy)]
pub struct Summaries<'a> {
    /// For each column asked for.
    pub needs: &'a [Needs],
    /// The first time behind the bucket that holds a time, where there is one. A summary never reaches
    /// over the border of a bucket.
    pub bucket_end: &'a dyn Fn(Timestamp) -> Option<Timestamp>,
}

impl Summaries<'_> {
    /// Whether all times from the first to the last lie in one bucket.
    pub(super) fn one_bucket(&self, first: Timestamp, last: Timestamp) -> bool {
        (self.bucket_end)(first).is_none_or(|end| last < end)
    }
}

/// What has to be known of a column, besides the number of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Their sum.
    pub sum: bool,
    /// The least and the greatest.
    pub range: bool,
    /// The first and the last, with their times.
    pub edges: bool,
}

impl Needs {
    /// Whether the number of values is enough.
    pub(super) const fn only_count(self) -> bool {
        !(self.sum || self.range || self.edges)
    }
}

/// A part of a series.
#[derive(Clone, Debug)]
pub enum Part {
    /// Times, and one column for each that was asked for.
    Rows(Decoded),
    /// What stands for rows that lie in one bucket.
    Summary(Summary),
}

/// The statistics of rows behind one another.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Rows, at least 1.
    pub rows: u64,
    /// Time of the first.
    pub first_time: Timestamp,
    /// Time of the last.
    pub last_time: Timestamp,
    /// One for each column asked for.
    pub columns: Vec<ColumnSummary>,
}

/// The statistics of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Rows with a value.
    pub count: u64,
    /// Of these; may be missing where only the count was needed.
    pub statistics: Statistics,
    /// Times of the first and the last row with a value, where they were needed and there is one.
    pub edges: Option<(Timestamp, Timestamp)>,
}

/// What the header of a chunk says about its columns.
pub struct ChunkFacts<'a> {
    pub(super) chunk: &'a Chunk<bytes::Bytes>,
}

impl ChunkFacts<'_> {
    /// Rows with a value, and their statistics; no value where the chunk does not have the column.
    pub fn column(&self, id: ColumnId) -> (usize, Statistics) {
        self.chunk
            .column(id)
            .map_or((0, Statistics::None), |column| {
                (column.count, column.statistics)
            })
    }

    /// Rows, at least 1.
    pub const fn rows(&self) -> usize {
        self.chunk.rows()
    }
}

/// How a snapshot was read. A chunk that overlaps others counts once for every stretch of time that is
/// read of it alone, and once where it is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Sealed chunks that their statistics, or their packed values, answered for.
    pub chunks_summarised: u64,
    /// Sealed chunks that were left out because no row could match.
    pub chunks_skipped: u64,
    /// Sealed chunks of which rows were decoded.
    pub chunks_decoded: u64,
    /// Open chunks, staged rows and late rows that were read.
    pub open_parts: u64,
}

impl ReadCounts {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            chunks_summarised: self.chunks_summarised + other.chunks_summarised,
            chunks_skipped: self.chunks_skipped + other.chunks_skipped,
            chunks_decoded: self.chunks_decoded + other.chunks_decoded,
            open_parts: self.open_parts + other.open_parts,
        }
    }
}
