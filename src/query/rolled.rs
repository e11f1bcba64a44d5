//! Scans of series of which rollups have to answer for a part: rows where there are rows, buckets where there are not.

use std::sync::Arc;

use edgetime_protocol::error::Code;

use super::encode::time::rfc3339;
use super::source::{
    ChunkSummary, ColumnSummary, ReadCounts, ScanPart, SeriesScan, SourceError, SummaryRequest,
};
use super::store::{Scan, failed};
use super::value::Scalar;
use crate::engine::TierReader;
use crate::rollup::{Bounds, Bucket, Lane, Partial};
use crate::types::{ColumnId, TimeRange, Timestamp};

/// Rows and buckets of one series, in one order.
pub(super) struct RolledScan {
    rows: Scan,
    buckets: TierReader,
    request: SummaryRequest,
    /// For each column asked for, its place among the lanes of a bucket.
    lanes: Vec<Option<usize>>,
    newest_first: bool,
    next_rows: Next<ScanPart>,
    next_bucket: Next<ChunkSummary>,
}

/// What comes next of one side.
enum Next<T> {
    Unknown,
    Known(T),
    End,
}

impl<T> Next<T> {
    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Unknown) {
            Self::Known(next) => Some(next),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<T> From<Option<T>> for Next<T> {
    fn from(next: Option<T>) -> Self {
        next.map_or(Self::End, Self::Known)
    }
}

impl RolledScan {
    pub(super) fn new(
        rows: Scan,
        buckets: TierReader,
        request: &SummaryRequest,
        columns: &[ColumnId],
    ) -> Self {
        let lanes = columns.iter().map(|&column| buckets.lane_of(column));
        Self {
            lanes: lanes.collect(),
            newest_first: rows.request.newest_first,
            rows,
            buckets,
            request: request.clone(),
            next_rows: Next::Unknown,
            next_bucket: Next::Unknown,
        }
    }

    /// What a bucket stands for. It counts where it starts, and so do its times where the query's bucket ends
    /// within it.
    fn summary(&self, bucket: &Bucket) -> ChunkSummary {
        let (from, until) = self.request.buckets.bounds(bucket.start);
        let inside = |time: &Timestamp| *time >= from && until.is_none_or(|until| *time < until);
        let edges = bucket.lanes.iter().flatten().map(edges);
        let first = edges.clone().map(|(first, _)| first).min();
        let last = edges.map(|(_, last)| last).max();
        let of_lane = |lane: &Option<usize>| {
            let partial = lane.and_then(|lane| bucket.lanes.get(lane));
            partial
                .and_then(Option::as_ref)
                .map_or_else(nothing, summary_of)
        };
        ChunkSummary {
            rows: bucket.rows,
            first_time: first.filter(inside).unwrap_or(bucket.start),
            last_time: last.filter(inside).unwrap_or(bucket.start),
            columns: self.lanes.iter().map(of_lane).collect(),
        }
    }
}

impl SeriesScan for RolledScan {
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError> {
        if matches!(self.next_rows, Next::Unknown) {
            self.next_rows = self.rows.next()?.into();
        }
        if matches!(self.next_bucket, Next::Unknown) {
            let bucket = self.buckets.next_bucket().map_err(failed)?;
            self.next_bucket = bucket.map(|bucket| self.summary(&bucket)).into();
        }
        let takes_bucket = match (&self.next_rows, &self.next_bucket) {
            (Next::Known(rows), Next::Known(bucket)) => {
                let (first, last) = times(rows);
                if self.newest_first {
                    bucket.last_time > last
                } else {
                    bucket.first_time < first
                }
            }
            (_, Next::Known(_)) => true,
            _ => false,
        };
        Ok(if takes_bucket {
            self.next_bucket.take().map(ScanPart::Summary)
        } else {
            self.next_rows.take()
        })
    }

    fn rolled(&self) -> Option<TimeRange> {
        self.buckets.rolled()
    }

    fn counts(&self) -> ReadCounts {
        self.rows.counts()
    }
}

/// First and last time of rows, or of what stands for them.
fn times(part: &ScanPart) -> (Timestamp, Timestamp) {
    match part {
        ScanPart::Rows(rows) => {
            let ends = rows.times.first().zip(rows.times.last());
            ends.map_or((0, 0), |(first, last)| (*first, *last))
        }
        ScanPart::Summary(summary) => (summary.first_time, summary.last_time),
    }
}

/// The times of the first and of the last value.
fn edges(partial: &Partial) -> (Timestamp, Timestamp) {
    fn of<T>(bounds: &Bounds<T>) -> (Timestamp, Timestamp) {
        (bounds.first.time, bounds.last.time)
    }
    match &partial.lane {
        Lane::Float(numbers) => of(&numbers.bounds),
        Lane::Integer(numbers) => of(&numbers.bounds),
        Lane::Unsigned(numbers) => of(&numbers.bounds),
        Lane::Boolean(bounds, _) => of(bounds),
        Lane::String(bounds) | Lane::Binary(bounds) => of(bounds),
    }
}

/// Of a column without a value.
fn nothing() -> ColumnSummary {
    ColumnSummary {
        count: 0,
        sum_integer: 0,
        sum_float: 0.0,
        min: Scalar::Null,
        max: Scalar::Null,
        first: None,
        last: None,
        moments: None,
    }
}

fn summary_of(partial: &Partial) -> ColumnSummary {
    ColumnSummary {
        moments: moments(partial),
        ..bounds_and_sum(partial)
    }
}

fn moments(partial: &Partial) -> Option<(f64, f64)> {
    let sum = match &partial.lane {
        Lane::Float(numbers) => numbers.sum.value(),
        Lane::Integer(numbers) => numbers.sum as f64,
        Lane::Unsigned(numbers) => numbers.sum as f64,
        _ => return None,
    };
    let others = partial.count.saturating_sub(1) as f64;
    let squares = partial.variance().map_or(0.0, |variance| variance * others);
    Some((sum / partial.count as f64, squares))
}

fn bounds_and_sum(partial: &Partial) -> ColumnSummary {
    let count = partial.count;
    let bytes = |bytes: &[u8]| Scalar::Binary(Arc::from(bytes));
    match &partial.lane {
        Lane::Float(numbers) => ColumnSummary {
            sum_float: numbers.sum.value(),
            ..bounded(count, &numbers.bounds, |value| Scalar::Float(*value))
        },
        Lane::Integer(numbers) => ColumnSummary {
            sum_integer: numbers.sum,
            ..bounded(count, &numbers.bounds, |value| Scalar::Integer(*value))
        },
        Lane::Unsigned(numbers) => ColumnSummary {
            sum_integer: numbers.sum,
            ..bounded(count, &numbers.bounds, |value| Scalar::Unsigned(*value))
        },
        Lane::Boolean(bounds, _) => bounded(count, bounds, |value| Scalar::Boolean(*value)),
        Lane::String(bounds) => bounded(count, bounds, |value| {
            Scalar::String(String::from_utf8_lossy(value).into())
        }),
        Lane::Binary(bounds) => bounded(count, bounds, |value| bytes(value)),
    }
}

fn bounded<T>(count: u64, bounds: &Bounds<T>, scalar: impl Fn(&T) -> Scalar) -> ColumnSummary {
    ColumnSummary {
        count,
        min: scalar(&bounds.min),
        max: scalar(&bounds.max),
        first: Some((bounds.first.time, scalar(&bounds.first.value))),
        last: Some((bounds.last.time, scalar(&bounds.last.value))),
        ..nothing()
    }
}

/// What an answer says that rollups gave in part.
pub(super) fn warning(rolled: TimeRange) -> String {
    format!(
        "from {} to {} rows have left: buckets of rollups answer for them, whole and by their start",
        rfc3339(rolled.start),
        rfc3339(rolled.end)
    )
}

/// What an answer says that lacks rows of which rollups know.
pub(super) fn missing(rolled: TimeRange) -> String {
    format!(
        "from {} to {} rows have left, and are not in this answer: aggregates still count them",
        rfc3339(rolled.start),
        rfc3339(rolled.end)
    )
}

/// Rows alone were to answer.
pub(super) fn not_exact(rolled: TimeRange) -> SourceError {
    let end = rolled.end;
    unanswered(format!(
        "from {} to {} rows have left, and only rollups could answer: ask without `exact`, or add `time >= {end}`",
        rfc3339(rolled.start),
        rfc3339(end)
    ))
}

/// A deletion would cut buckets.
pub(super) fn cut(whole: TimeRange) -> SourceError {
    let from =
        (whole.start > Timestamp::MIN).then(|| format!("time >= '{}'", rfc3339(whole.start)));
    let until = (whole.end < Timestamp::MAX).then(|| format!("time < '{}'", rfc3339(whole.end)));
    let borders: Vec<String> = from.into_iter().chain(until).collect();
    unanswered(format!(
        "rows have left here, and buckets of rollups, which stand for them, are deleted whole: nothing was deleted; ask with `{}`",
        borders.join(" AND ")
    ))
}

/// Rollups do not know what was asked for.
pub(super) fn not_rolled(rolled: TimeRange) -> SourceError {
    let end = rolled.end;
    unanswered(format!(
        "from {} to {} rows have left, and rollups know only count, sum, avg, min, max, first, last, spread, stddev and variance of fields, grouped by tags and time, without conditions on fields: ask for these, or add `time >= {end}`",
        rfc3339(rolled.start),
        rfc3339(end)
    ))
}

fn unanswered(message: String) -> SourceError {
    let code = Code::Unsupported;
    SourceError::Refused { code, message }
}
