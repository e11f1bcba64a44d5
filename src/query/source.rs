//! What a query reads: the seam between SQL and the store behind it.
//!
//! A scan is a snapshot: rows written after [`Source::scan`] returned are not seen by it. A row exists
//! at a time if any field was written then; fields without a value are null.

use std::sync::Arc;

use edgetime_protocol::error::Code;

use crate::catalog::TagFilter;
use crate::engine::RulesView;
use crate::rollup::TierCounts;
use crate::series::LaneUse;
use crate::series::vector::ColumnVector;
use crate::types::{ColumnId, FieldType, MeasurementId, SeriesId, TimeRange, Timestamp};

use super::cache::Watched;
use super::sql::ast::BinaryOperator;
use super::value::{Scalar, Type};

/// What a chunk must lie inside of for its statistics to answer.
pub use super::buckets::{Buckets, Local};
/// What has to be known of a column whose statistics answer; how a scan went.
pub use crate::series::{Needs, ReadCounts};

/// A column: one type lane of one field. Lanes of a field share its name and differ in type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// The column.
    pub id: ColumnId,
    /// The field's name.
    pub name: Arc<str>,
    /// The type of this lane.
    pub field_type: FieldType,
}

/// A measurement as a query sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementInfo {
    /// The measurement.
    pub id: MeasurementId,
    /// Its name.
    pub name: Arc<str>,
    /// Every tag key that any series has, sorted.
    pub tag_keys: Vec<Arc<str>>,
    /// Columns in the order in which they were first written.
    pub columns: Vec<ColumnInfo>,
}

/// A series: its id and its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesInfo {
    /// The series.
    pub id: SeriesId,
    /// Key and value, sorted by key.
    pub tags: Arc<[(Arc<str>, Arc<str>)]>,
}

impl SeriesInfo {
    /// The value of a tag, where the series has it.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&Arc<str>> {
        let index = self
            .tags
            .binary_search_by(|(name, _)| name.as_ref().cmp(key))
            .ok()?;
        self.tags.get(index).map(|(_, value)| value)
    }
}

/// Some rows of one series, about a thousand at most.
#[derive(Clone, Debug, Default)]
pub struct ScanBatch {
    /// Times, ascending, each once.
    pub times: Vec<Timestamp>,
    /// A vector for each column asked for, in that order, as long as `times`.
    pub columns: Vec<ColumnVector>,
}

/// The statistics of one column of a chunk: what an aggregate would make of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Rows with a value.
    pub count: u64,
    /// Exact sum of the values of an integer lane.
    pub sum_integer: i128,
    /// Sum of the values of a float lane, compensated.
    pub sum_float: f64,
    /// Smallest value; for floats of those that are not NaN, NaN if there are none.
    pub min: Scalar,
    /// Largest value, by the same rule.
    pub max: Scalar,
    /// Time and value of the earliest row with a value.
    pub first: Option<(Timestamp, Scalar)>,
    /// Time and value of the latest row with a value.
    pub last: Option<(Timestamp, Scalar)>,
    /// Mean of the values, and the sum of the squares of their distances from it, where that is known.
    pub moments: Option<(f64, f64)>,
}

/// The statistics of rows that lie whole in the range and whole in one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkSummary {
    /// Rows.
    pub rows: u64,
    /// Time of the first row.
    pub first_time: Timestamp,
    /// Time of the last row.
    pub last_time: Timestamp,
    /// One for each column asked for, in that order.
    pub columns: Vec<ColumnSummary>,
}

impl ChunkSummary {
    /// The statistics of the times, but for their sum.
    pub(super) fn times(&self) -> ColumnSummary {
        let (first, last) = (
            Scalar::Integer(self.first_time),
            Scalar::Integer(self.last_time),
        );
        ColumnSummary {
            count: self.rows,
            sum_integer: 0,
            sum_float: 0.0,
            min: first.clone(),
            max: last.clone(),
            first: Some((self.first_time, first)),
            last: Some((self.last_time, last)),
            moments: None,
        }
    }
}

/// The next part of a scan.
#[derive(Clone, Debug)]
pub enum ScanPart {
    /// Decoded rows.
    Rows(ScanBatch),
    /// Statistics that stand for the rows.
    Summary(ChunkSummary),
}

/// What a scan is asked for. All but range and columns may be ignored, with the same answers, except that
/// the order has to be kept.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    /// Only rows of this range.
    pub range: TimeRange,
    /// The columns.
    pub columns: Arc<[ColumnId]>,
    /// Batches come newest first; within a batch times ascend all the same.
    pub newest_first: bool,
    /// No more rows are wanted than these.
    pub rows_max: Option<u64>,
    /// What is true of every row that is wanted: other rows may be left out.
    pub conditions: Arc<[Condition]>,
    /// Statistics may stand for rows. Never together with conditions or a number of rows.
    pub summaries: Option<SummaryRequest>,
}

/// Which statistics may stand for rows.
#[derive(Clone, Debug)]
pub struct SummaryRequest {
    /// Rows of a summary lie in one of these.
    pub buckets: Buckets,
    /// For each column asked for.
    pub needs: Arc<[Needs]>,
    /// Moments are needed as well: only rollups know them, rows that are there have to come as rows.
    pub moments: bool,
    /// The times of the first and of the last row are needed, not only the bucket that they lie in.
    pub times: bool,
}

/// A condition so simple that the statistics of a chunk can exclude it.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A field compares with a constant.
    Compare(Vec<LaneValue>, BinaryOperator, Scalar),
    /// A field has a value.
    Present(Vec<LaneValue>),
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
}

/// A lane of a field, as it takes part in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneValue {
    /// The lane.
    pub column: ColumnId,
    /// The type its values are widened to: its own, or one that keeps their order.
    pub kind: Type,
}

/// Rows of one series, oldest or newest first.
pub trait SeriesScan: Send {
    /// The next rows, or what stands for them where that was asked for; `None` at the end.
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError>;

    /// The times whose rows are no longer there, and that buckets of rollups stand for.
    fn rolled(&self) -> Option<TimeRange> {
        None
    }

    /// The chunks of buckets that are read for them, by tier.
    fn tiers(&self) -> TierCounts {
        TierCounts::default()
    }

    /// What was read and what was spared so far, for sources that have chunks.
    fn counts(&self) -> ReadCounts {
        ReadCounts::default()
    }
}

/// Which series are wanted: by the whole condition, or by its two parts.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct SeriesChoice<'a> {
    /// The condition.
    pub whole: &'a dyn Fn(&SeriesInfo) -> bool,
    /// The part of it that sets of series answer.
    pub by_tags: TagFilter<'a>,
    /// The part that each series is asked for, if there is one.
    pub rest: Option<&'a dyn Fn(&SeriesInfo) -> bool>,
}

/// A store that can be queried.
pub trait Source: Send + Sync {
    /// Names of all databases, sorted.
    fn databases(&self) -> Vec<Arc<str>>;

    /// Names of the measurements of a database, sorted.
    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError>;

    /// A measurement; `None` if the database has none of that name.
    fn measurement(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementInfo>, SourceError>;

    /// What a measurement takes, and what is declared of its fields; by default everything and nothing.
    fn rules(&self, database: &str, measurement: MeasurementId) -> Result<RulesView, SourceError> {
        let _ = (database, measurement);
        Ok(RulesView::default())
    }

    /// The values that the lanes of a measurement have had, for sources that know.
    fn lane_uses(
        &self,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<Vec<(ColumnId, LaneUse)>, SourceError> {
        let _ = (database, measurement);
        Ok(Vec::new())
    }

    /// The series of a measurement that are accepted, in any order.
    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError>;

    /// The series of a measurement that are chosen, in any order. A source that knows which series have a
    /// tag looks at no others.
    fn choose(
        &self,
        database: &str,
        measurement: MeasurementId,
        choice: SeriesChoice<'_>,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.series(database, measurement, choice.whole)
    }

    /// What tables of values that come from outside are keyed with: secret, so that nobody can choose values that
    /// collide.
    fn hash_seed(&self) -> u64 {
        0
    }

    /// A snapshot of the rows of a series.
    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError>;

    /// For each of some series of a measurement the newest row of a request's range, for sources that know it without a
    /// scan: a value of it is the newest of its column; where it has none, a scan may find one. `None`, or nothing at
    /// all, where only a scan tells.
    fn newest(&self, series: &[SeriesId], request: &ScanRequest) -> Vec<Option<ScanBatch>> {
        let _ = (series, request);
        Vec::new()
    }

    /// The times of a range whose rows are no longer there, and that only buckets of rollups know, if anything does.
    fn rolled(&self, series: SeriesId, range: TimeRange) -> Option<TimeRange> {
        let _ = (series, range);
        None
    }

    /// What keeps results of this source, if anything does.
    fn watched(&self) -> Option<&Watched> {
        None
    }

    /// Deletes the rows of some series in a range that are there now, for good when it returns; how many.
    fn delete(
        &self,
        database: &str,
        measurement: MeasurementId,
        series: &[SeriesId],
        range: TimeRange,
    ) -> Result<u64, SourceError> {
        let _ = (database, measurement, series, range);
        Err(SourceError::nothing_deleted())
    }

    /// Drops a measurement with its rows, series and columns, for good when it returns; how many rows.
    fn drop_measurement(
        &self,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<u64, SourceError> {
        let _ = (database, measurement);
        Err(SourceError::nothing_deleted())
    }
}

/// Why a source did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No database of that name.
    #[error("unknown database `{0}`")]
    UnknownDatabase(String),
    /// Reading failed.
    #[error("reading failed: {0}")]
    Failed(String),
    /// The store does not do it, or not now.
    #[error("{message}")]
    Refused {
        /// The reason's code on the wire.
        code: Code,
        /// The reason in words.
        message: String,
    },
}

impl SourceError {
    fn nothing_deleted() -> Self {
        Self::Refused {
            code: Code::Unsupported,
            message: "nothing can be deleted here".to_owned(),
        }
    }
}
