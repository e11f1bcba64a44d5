//! `ORDER BY` other than by time alone: rows are kept until all are known, or, with a limit, the best of
//! them. Equal rows stay in the order of time, then of series.

use std::cmp::Ordering;

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::expr::vector::{Collector, gather};
use crate::query::memory::Charge;
use crate::query::plan::{SelectPlan, SortKey};
use crate::query::value::{Type, order_floats};
use crate::series::vector::{ColumnVector, Values};

use super::output::Output;

/// Rows gathered beyond the limit before the worst are dropped.
const SLACK_ROWS: usize = 4 * QUERY_BATCH_ROWS;

/// Collects rows and hands them out in order.
pub(super) struct Sorter<'a> {
    plan: &'a SelectPlan,
    outputs: Vec<Collector>,
    keys: Vec<Collector>,
    /// Times that break ties; empty for groups.
    times: Collector,
    rows: usize,
    /// Best rows to keep, where there is a limit.
    best: Option<usize>,
    rows_max: usize,
    charge: Charge<'a>,
}

struct Sorted {
    outputs: Vec<ColumnVector>,
    keys: Vec<ColumnVector>,
    times: ColumnVector,
    order: Vec<u32>,
}

impl<'a> Sorter<'a> {
    pub(super) fn new(plan: &'a SelectPlan, context: &QueryContext<'a>) -> Self {
        let limits = &context.limits;
        let best = plan
            .limit
            .and_then(|limit| usize::try_from(limit.saturating_add(plan.offset)).ok());
        Self {
            plan,
            outputs: output_collectors(plan),
            keys: key_collectors(plan),
            times: Collector::new(Type::Time),
            rows: 0,
            best,
            rows_max: limits.sorted_rows.min(u32::MAX as usize),
            // Offsets of texts are 32 bits wide.
            charge: Charge::new(context.memory, limits.memory_bytes.min(u32::MAX as usize)),
        }
    }

    /// Takes rows: the answer's columns, the keys, and the times where rows have one.
    pub(super) fn push(
        &mut self,
        outputs: &[ColumnVector],
        keys: &[ColumnVector],
        times: Option<&ColumnVector>,
        rows: usize,
    ) -> Result<(), QueryError> {
        for (collector, column) in self.outputs.iter_mut().zip(outputs) {
            collector.push_rows(column, 0..rows);
        }
        for (collector, column) in self.keys.iter_mut().zip(keys) {
            collector.push_rows(column, 0..rows);
        }
        if let Some(times) = times {
            self.times.push_rows(times, 0..rows);
        }
        self.rows += rows;
        if let Some(best) = self.best
            && self.rows > best.saturating_mul(2).saturating_add(SLACK_ROWS)
        {
            self.keep(best);
        }
        if self.rows > self.rows_max.saturating_add(SLACK_ROWS) {
            return Err(QueryError::Budget {
                what: "sorted rows in memory",
                limit: self.rows_max,
                hint: "add a LIMIT, a narrower WHERE, or ORDER BY time",
            });
        }
        let columns = self.outputs.iter().chain(&self.keys);
        self.charge.set(
            columns.map(Collector::bytes).sum(),
            "bytes of sorted rows",
            "select fewer columns, add a LIMIT or a narrower WHERE, or raise query.memory_max_mb",
        )
    }

    /// Sorts and sends everything.
    pub(super) fn finish(mut self, output: &mut Output<'_, '_>) -> Result<(), QueryError> {
        let sorted = self.sorted();
        for part in sorted.order.chunks(QUERY_BATCH_ROWS) {
            let columns: Vec<ColumnVector> = sorted
                .outputs
                .iter()
                .map(|column| gather(column, part))
                .collect();
            output.push(&columns, 0..part.len())?;
            if output.is_done() {
                break;
            }
        }
        Ok(())
    }

    fn sorted(&mut self) -> Sorted {
        let taken = |collectors: &mut Vec<Collector>, fresh: Vec<Collector>| {
            std::mem::replace(collectors, fresh)
                .into_iter()
                .map(Collector::finish)
                .collect::<Vec<_>>()
        };
        let outputs = taken(&mut self.outputs, output_collectors(self.plan));
        let keys = taken(&mut self.keys, key_collectors(self.plan));
        let times = std::mem::replace(&mut self.times, Collector::new(Type::Time)).finish();
        let mut order: Vec<u32> = (0..self.rows as u32).collect();
        let ties = match &times.values {
            Values::Integer(times) => times.as_slice(),
            _ => &[],
        };
        order.sort_by(|&a, &b| {
            let (a, b) = (a as usize, b as usize);
            for (key, column) in self.plan.order.iter().zip(&keys) {
                let found = compare(key, column, a, b);
                if found != Ordering::Equal {
                    return found;
                }
            }
            ties.get(a).cmp(&ties.get(b))
        });
        self.rows = 0;
        Sorted {
            outputs,
            keys,
            times,
            order,
        }
    }

    /// Drops all but the best rows.
    fn keep(&mut self, best: usize) {
        let mut sorted = self.sorted();
        sorted.order.truncate(best);
        let kept = sorted.order.len();
        for (collector, column) in self.outputs.iter_mut().zip(&sorted.outputs) {
            collector.push_rows(&gather(column, &sorted.order), 0..kept);
        }
        for (collector, column) in self.keys.iter_mut().zip(&sorted.keys) {
            collector.push_rows(&gather(column, &sorted.order), 0..kept);
        }
        if !sorted.times.is_empty() {
            self.times
                .push_rows(&gather(&sorted.times, &sorted.order), 0..kept);
        }
        self.rows = kept;
    }
}

fn output_collectors(plan: &SelectPlan) -> Vec<Collector> {
    plan.outputs
        .iter()
        .map(|output| Collector::new(output.kind))
        .collect()
}

fn key_collectors(plan: &SelectPlan) -> Vec<Collector> {
    plan.order
        .iter()
        .map(|key| Collector::new(key.expr.kind))
        .collect()
}

/// Two rows by one key.
fn compare(key: &SortKey, column: &ColumnVector, a: usize, b: usize) -> Ordering {
    let valid = (column.validity.is_valid(a), column.validity.is_valid(b));
    let found = match valid {
        (false, false) => return Ordering::Equal,
        (true, false) if key.nulls_first => return Ordering::Greater,
        (true, false) => return Ordering::Less,
        (false, true) if key.nulls_first => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (true, true) => match &column.values {
            Values::Float(values) => order_floats(values[a], values[b]),
            Values::Integer(values) => values[a].cmp(&values[b]),
            Values::Unsigned(values) => values[a].cmp(&values[b]),
            Values::Boolean(values) => values[a].cmp(&values[b]),
            Values::String(values) | Values::Binary(values) => values.get(a).cmp(values.get(b)),
        },
    };
    if key.descending {
        found.reverse()
    } else {
        found
    }
}
