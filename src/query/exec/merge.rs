//! Rows of several series in the order of their times, rising or falling: a merge that holds one batch a
//! series.
//!
//! Rows of the same time come in the order of the series either way. A run of rows that all come before the other
//! series' next row is copied at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::plan::SelectPlan;
use crate::query::source::{SeriesInfo, Source};
use crate::series::vector::ColumnVector;

use super::output::Output;
use super::rows::SeriesRows;
use super::times::Operator;
use super::{ExecutionStats, project};

/// A series and the batch it stands in.
struct Cursor {
    rows: SeriesRows,
    /// Ascending: where the newest rows come first, every time is [`falling`].
    times: Vec<i64>,
    outputs: Vec<ColumnVector>,
    next: usize,
}

impl Cursor {
    /// Time and place of the next row.
    fn key(&self) -> (i64, usize) {
        let time = self.times.get(self.next).copied();
        (time.unwrap_or(i64::MAX), self.rows.index)
    }

    /// Loads the next batch; false at the end.
    fn load(
        &mut self,
        plan: &SelectPlan,
        context: &QueryContext<'_>,
        stats: &mut ExecutionStats,
    ) -> Result<bool, QueryError> {
        let Some(batch) = self.rows.next(plan, context, stats)? else {
            return Ok(false);
        };
        let newest_first = plan.scan.newest_first;
        let batch = if newest_first {
            batch.reversed()
        } else {
            batch
        };
        self.outputs = project(&plan.outputs, &batch.frame(plan, &self.rows.tags))?;
        self.times.clear();
        if newest_first {
            self.times.extend(batch.times().iter().map(|&t| falling(t)));
        } else {
            self.times.extend_from_slice(batch.times());
        }
        self.next = 0;
        stats.times.mark(context, Operator::Output);
        Ok(true)
    }
}

/// A number that falls as a time rises.
const fn falling(time: i64) -> i64 {
    !time
}

pub(super) fn run(
    source: &dyn Source,
    plan: &SelectPlan,
    series: &[SeriesInfo],
    context: &QueryContext<'_>,
    output: &mut Output<'_, '_>,
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    let mut cursors = Vec::with_capacity(series.len());
    let mut heap = BinaryHeap::new();
    for (index, info) in series.iter().enumerate() {
        let mut cursor = Cursor {
            rows: SeriesRows::open(source, plan, index, info)?,
            times: Vec::new(),
            outputs: Vec::new(),
            next: 0,
        };
        if cursor.load(plan, context, stats)? {
            heap.push(Reverse((cursor.key(), cursors.len())));
            cursors.push(cursor);
        }
    }
    while let Some(Reverse((_, place))) = heap.pop() {
        let cursor = &mut cursors[place];
        let end = match heap.peek() {
            None => cursor.times.len(),
            Some(Reverse((other, _))) => {
                let index = cursor.rows.index;
                let rest = &cursor.times[cursor.next..];
                let before = rest.iter().take_while(|&&time| (time, index) < *other);
                cursor.next + before.count()
            }
        };
        output.push(&cursor.outputs, cursor.next..end)?;
        if output.is_done() {
            return Ok(());
        }
        cursor.next = end;
        stats.times.mark(context, Operator::Order);
        if cursor.next < cursor.times.len() || cursor.load(plan, context, stats)? {
            heap.push(Reverse((cursor.key(), place)));
        }
    }
    Ok(())
}
