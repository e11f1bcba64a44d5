//! Scans of series of which rollups have to answer for a part: rows where there are rows, buckets where there are not.

use edgetime_protocol::error::Code;

use super::encode::time::rfc3339;
use super::expr::vector::scalar_at;
use super::source::{
    ChunkSummary, ColumnSummary, Needs, ReadCounts, ScanPart, SeriesScan, SourceError,
    SummaryRequest,
};
use super::store::{Scan, failed};
use super::value::Scalar;
use crate::engine::TierReader;
use crate::rollup::{BucketColumns, Edges, Lane, Partial, Parts, Sums, TierCounts};
use crate::types::{TimeRange, Timestamp};

/// Rows and buckets of one series, in one order.
pub(super) struct RolledScan {
    rows: Scan,
    buckets: TierReader,
    request: SummaryRequest,
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
    pub(super) fn new(rows: Scan, buckets: TierReader, request: SummaryRequest) -> Self {
        Self {
            newest_first: rows.request.newest_first,
            rows,
            buckets,
            request,
            next_rows: Next::Unknown,
            next_bucket: Next::Unknown,
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
            let summary = bucket.map(|(buckets, index)| summary(&self.request, buckets, index));
            self.next_bucket = summary.into();
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

    fn tiers(&self) -> TierCounts {
        self.buckets.chunks()
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

/// What has to be read of each column for its summaries.
pub(super) fn parts(request: &SummaryRequest) -> impl Iterator<Item = Parts> {
    let of_column = |needs: &Needs| Parts {
        sum: needs.sum,
        range: needs.range,
        edges: needs.edges,
        squares: false,
    };
    let all = request.moments.then_some(Parts::ALL);
    let needs = request.needs.iter();
    needs.map(move |needs| all.unwrap_or_else(|| of_column(needs)))
}

/// What a bucket stands for. It counts where it starts, and so do its times where the query's bucket ends within it.
fn summary(request: &SummaryRequest, buckets: &BucketColumns, index: usize) -> ChunkSummary {
    let start = buckets.start(index);
    let (mut first_time, mut last_time) = (start, start);
    if request.times
        && let Some((first, last)) = buckets.edge_times(index)
    {
        let (from, until) = request.buckets.bounds(start);
        let is_inside = |time: &Timestamp| *time >= from && until.is_none_or(|until| *time < until);
        first_time = Some(first).filter(is_inside).unwrap_or(start);
        last_time = Some(last).filter(is_inside).unwrap_or(start);
    }
    let lanes = 0..request.needs.len();
    ChunkSummary {
        rows: buckets.rows(index),
        first_time,
        last_time,
        columns: lanes
            .map(|lane| column_summary(request, buckets, lane, index))
            .collect(),
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

fn column_summary(
    request: &SummaryRequest,
    buckets: &BucketColumns,
    lane: usize,
    index: usize,
) -> ColumnSummary {
    let Some((count, known)) = buckets.lane(lane, index) else {
        return nothing();
    };
    let mut summary = ColumnSummary { count, ..nothing() };
    match &known.sums {
        Some(Sums::Float(sums)) => summary.sum_float = sums[index],
        Some(Sums::Integer(sums)) => summary.sum_integer = sums[index],
        Some(Sums::Trues(_)) | None => {}
    }
    if let Some([min, max]) = &known.range {
        summary.min = scalar_at(min, index);
        summary.max = scalar_at(max, index);
    }
    if let Some(Edges { values, times }) = &known.edges {
        let edge = |end: usize| (times[end][index], scalar_at(&values[end], index));
        summary.first = Some(edge(0));
        summary.last = Some(edge(1));
    }
    if request.moments {
        let partial = buckets.partial(lane, index);
        summary.moments = partial.as_ref().and_then(moments);
    }
    summary
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
