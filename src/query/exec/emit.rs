//! From groups to rows of the answer: in the order of their keys, filled, filtered by `HAVING`, sorted.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::expr::evaluate;
use crate::query::expr::vector::{Collector, Frame, Slot, gather, selected};
use crate::query::value::{Scalar, Type};
use crate::series::vector::ColumnVector;

use super::group::Groups;
use super::output::Output;
use super::project;
use super::rows::check;
use super::sort::Sorter;

impl Groups<'_> {
    /// Groups in the order of their keys, then whatever `HAVING` and `ORDER BY` make of them.
    pub(super) fn emit(
        &mut self,
        context: &QueryContext<'_>,
        output: &mut Output<'_, '_>,
    ) -> Result<(), QueryError> {
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        order.sort_by(|&a, &b| {
            (0..self.grouping.keys.len())
                .map(|key| self.key(a, key).order(&self.key(b, key)))
                .find(|found| found.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        let filled = self.filled(context)?;
        let mut sorter = (!self.plan.order.is_empty()).then(|| Sorter::new(self.plan, context));
        for part in order.chunks(QUERY_BATCH_ROWS) {
            check(context)?;
            let mut columns = self.columns(part)?;
            for (fill, values) in self.grouping.fills.iter().zip(&filled) {
                let mut column = Collector::new(fill.kind);
                for &group in part {
                    column.push(&values[group as usize]);
                }
                columns.push(column.finish());
            }
            self.filter(&mut columns, part.len())?;
            let frame = frame_of(&columns, part.len());
            let outputs = project(&self.plan.outputs, &frame)?;
            match &mut sorter {
                None => output.push(&outputs, 0..frame.rows)?,
                Some(sorter) => {
                    let keys = self.plan.order.iter().map(|key| &key.expr);
                    let keys = project(keys, &frame)?;
                    sorter.push(&outputs, &keys, None, frame.rows)?;
                }
            }
            if output.is_done() {
                break;
            }
        }
        match sorter {
            Some(sorter) => sorter.finish(output),
            None => Ok(()),
        }
    }

    fn key(&self, group: u32, key: usize) -> Cow<'_, Scalar> {
        let (partition, bucket) = self.groups[group as usize];
        if self.is_bucket(key) {
            return Cow::Owned(Scalar::Integer(bucket));
        }
        Cow::Borrowed(&self.partitions[partition as usize][key])
    }

    /// Keys, then results of aggregates, of some groups.
    pub(super) fn columns(&mut self, groups: &[u32]) -> Result<Vec<ColumnVector>, QueryError> {
        let mut columns = Vec::new();
        for (index, key) in self.grouping.keys.iter().enumerate() {
            let mut column = Collector::new(key.kind);
            for &group in groups {
                column.push(&self.key(group, index));
            }
            columns.push(column.finish());
        }
        let count = self.grouping.aggregates.len();
        for (index, aggregate) in self.grouping.aggregates.iter().enumerate() {
            let mut column = Collector::new(aggregate.kind);
            for &group in groups {
                let state = &mut self.states[group as usize * count + index];
                column.push(&state.finish(aggregate)?);
            }
            columns.push(column.finish());
        }
        Ok(columns)
    }

    /// Leaves the groups that pass `HAVING`.
    fn filter(&self, columns: &mut Vec<ColumnVector>, groups: usize) -> Result<(), QueryError> {
        let Some(having) = &self.grouping.having else {
            return Ok(());
        };
        let frame = frame_of(columns, groups);
        let chosen = selected(&evaluate(having, &frame)?, frame.rows);
        if let Some(chosen) = chosen {
            if columns.is_empty() {
                // A constant condition over no columns: the rows themselves are gone.
                columns.push(ColumnVector::empty(Type::Null.storage()));
            }
            for column in columns {
                *column = gather(column, &chosen);
            }
        }
        Ok(())
    }

    fn is_bucket(&self, key: usize) -> bool {
        let bucket = self.grouping.bucket.as_ref();
        bucket.is_some_and(|(index, _)| *index == key)
    }
}

/// Columns of groups as inputs of expressions over groups.
pub(super) fn frame_of(columns: &[ColumnVector], rows: usize) -> Frame<'_> {
    Frame {
        rows: columns.first().map_or(rows, ColumnVector::len),
        slots: columns.iter().map(Slot::Vector).collect(),
    }
}
