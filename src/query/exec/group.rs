//! Grouping: rows to runs, runs to groups, groups to rows of the answer.
//!
//! A group is named by a partition, the values of all keys but the bucket of time, and by the start of
//! its bucket. Within one series tags are constant and times ascend, so that a run is found by comparing
//! times alone and costs one probe of a table of small keys.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::expr::vector::{Collector, Frame, Operand, Slot, gather, into_vector, selected};
use crate::query::expr::{bucket_bounds, bucket_start, evaluate};
use crate::query::plan::{Grouping, Input, SelectPlan};
use crate::query::source::{Buckets, ChunkSummary, SeriesInfo, Source};
use crate::query::value::{Scalar, Type};
use crate::series::vector::ColumnVector;

use super::output::Output;
use super::rows::{Part, Rows, SeriesRows, check, is_constant};
use super::sort::Sorter;
use super::state::State;
use super::{ExecutionStats, project};

pub(super) fn run(
    source: &dyn Source,
    plan: &SelectPlan,
    series: &[SeriesInfo],
    context: &QueryContext<'_>,
    output: &mut Output<'_, '_>,
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    let Some(grouping) = &plan.grouping else {
        return Ok(());
    };
    let mut groups = Groups::new(plan, grouping, context.limits.groups);
    for (index, info) in series.iter().enumerate() {
        let mut rows = SeriesRows::open(source, plan, index, info)?;
        let mut seen = Seen(vec![false; grouping.aggregates.len()]);
        while let Some(part) = rows.next_part(plan, context, stats)? {
            match &part {
                Part::Rows(batch) => groups.add_rows(batch, &rows.tags)?,
                Part::Summary(summary) => groups.add_summary(summary, &rows.tags)?,
            }
            if plan.ends_early && seen.add(plan, grouping, &part) {
                break;
            }
        }
    }
    if grouping.keys.is_empty() && groups.groups.is_empty() {
        groups.group(0, i64::MIN)?;
    }
    groups.emit(context, output)
}

/// Which aggregates have a value of a series. Used where one value each is enough.
struct Seen(Vec<bool>);

impl Seen {
    /// Takes note of a part; whether nothing is missing now.
    fn add(&mut self, plan: &SelectPlan, grouping: &Grouping, part: &Part) -> bool {
        for (seen, aggregate) in self.0.iter_mut().zip(&grouping.aggregates) {
            let Some(argument) = &aggregate.argument else {
                continue;
            };
            argument.visit_slots(&mut |slot| {
                *seen |= match (plan.inputs.get(slot), part) {
                    (Some(Input::Column(column)), Part::Rows(rows)) => rows.any_value(*column),
                    (Some(Input::Column(column)), Part::Summary(summary)) => {
                        let column = summary.columns.get(*column);
                        column.is_some_and(|column| column.count > 0)
                    }
                    (input, _) => input == Some(&Input::Time),
                };
            });
        }
        self.0.iter().all(|&seen| seen)
    }
}

struct Groups<'a> {
    plan: &'a SelectPlan,
    grouping: &'a Grouping,
    buckets: Buckets,
    groups_max: usize,
    /// Values of all keys, null in the place of the bucket.
    partitions: Vec<Vec<Scalar>>,
    partition_of: FxHashMap<Vec<u8>, u32>,
    /// Room for the bytes of a key.
    scratch: Vec<u8>,
    groups: Vec<(u32, i64)>,
    group_of: FxHashMap<(u32, i64), u32>,
    /// As many as there are aggregates for each group.
    states: Vec<State>,
}

impl<'a> Groups<'a> {
    fn new(plan: &'a SelectPlan, grouping: &'a Grouping, groups_max: usize) -> Self {
        Self {
            plan,
            grouping,
            buckets: grouping.bucket.map_or(Buckets::ONE, |(_, buckets)| buckets),
            groups_max,
            partitions: if grouping.keys.is_empty() {
                vec![Vec::new()]
            } else {
                Vec::new()
            },
            partition_of: FxHashMap::default(),
            scratch: Vec::new(),
            groups: Vec::new(),
            group_of: FxHashMap::default(),
            states: Vec::new(),
        }
    }

    fn add_rows(&mut self, rows: &Rows, tags: &[Scalar]) -> Result<(), QueryError> {
        let frame = rows.frame(self.plan, tags);
        let keys = self.keys(&frame)?;
        let mut arguments = Vec::with_capacity(self.grouping.aggregates.len());
        for aggregate in &self.grouping.aggregates {
            arguments.push(match &aggregate.argument {
                None => None,
                Some(argument) => Some(match evaluate(argument, &frame)? {
                    Operand::Vector(vector) => vector,
                    constant @ Operand::Constant(_) => {
                        Cow::Owned(into_vector(constant, argument.kind, frame.rows))
                    }
                }),
            });
        }
        let times = rows.times();
        if keys.iter().all(is_constant) {
            let partition = self.partition(&keys, 0)?;
            let mut start = 0;
            while let Some(&time) = times.get(start) {
                let (bucket, next) = bucket_bounds(self.buckets, time);
                let end = run_end(next, times, start);
                self.update(partition, bucket, &arguments, times, start..end)?;
                start = end;
            }
            return Ok(());
        }
        let (mut key, mut other) = (Vec::new(), Vec::new());
        let mut start = 0;
        while let Some(&time) = times.get(start) {
            let (bucket, next) = bucket_bounds(self.buckets, time);
            let limit = run_end(next, times, start);
            write_keys(&keys, start, &mut key);
            let mut end = start + 1;
            while end < limit {
                write_keys(&keys, end, &mut other);
                if other != key {
                    break;
                }
                end += 1;
            }
            let partition = self.partition(&keys, start)?;
            self.update(partition, bucket, &arguments, times, start..end)?;
            start = end;
        }
        Ok(())
    }

    fn add_summary(&mut self, summary: &ChunkSummary, tags: &[Scalar]) -> Result<(), QueryError> {
        let frame = Frame {
            rows: 1,
            slots: tags.iter().map(Slot::Constant).collect(),
        };
        let keys = self.keys(&frame)?;
        let partition = self.partition(&keys, 0)?;
        let bucket = bucket_start(self.buckets, summary.first_time);
        let group = self.group(partition, bucket)?;
        let first = group * self.grouping.aggregates.len();
        for (index, aggregate) in self.grouping.aggregates.iter().enumerate() {
            let state = &mut self.states[first + index];
            let mut input = None;
            if let Some(argument) = &aggregate.argument {
                argument.visit_slots(&mut |slot| input = self.plan.inputs.get(slot));
            }
            match input {
                Some(Input::Column(place)) => {
                    if let Some(column) = summary.columns.get(*place) {
                        state.merge(column);
                    }
                }
                Some(Input::Time) => state.merge(&summary.times()),
                _ => state.add_rows(summary.rows),
            }
        }
        Ok(())
    }

    /// All keys but the bucket of time, which is null here.
    fn keys<'f>(&self, frame: &Frame<'f>) -> Result<Vec<Operand<'f>>, QueryError> {
        let bucket = self.grouping.bucket.map(|(index, _)| index);
        self.grouping
            .keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                if bucket == Some(index) {
                    Ok(Operand::Constant(Scalar::Null))
                } else {
                    evaluate(key, frame)
                }
            })
            .collect()
    }

    fn partition(&mut self, keys: &[Operand<'_>], row: usize) -> Result<u32, QueryError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        write_keys(keys, row, &mut bytes);
        let known = self.partition_of.get(&bytes).copied();
        self.scratch = bytes;
        if let Some(partition) = known {
            return Ok(partition);
        }
        self.check_room(self.partitions.len())?;
        let partition = self.partitions.len() as u32;
        self.partitions
            .push(keys.iter().map(|key| key.scalar(row)).collect());
        self.partition_of.insert(self.scratch.clone(), partition);
        Ok(partition)
    }

    fn group(&mut self, partition: u32, bucket: i64) -> Result<usize, QueryError> {
        if let Some(&group) = self.group_of.get(&(partition, bucket)) {
            return Ok(group as usize);
        }
        self.check_room(self.groups.len())?;
        let group = self.groups.len();
        self.groups.push((partition, bucket));
        self.group_of.insert((partition, bucket), group as u32);
        self.states
            .extend(self.grouping.aggregates.iter().map(State::new));
        Ok(group)
    }

    fn check_room(&self, used: usize) -> Result<(), QueryError> {
        if used >= self.groups_max.min(u32::MAX as usize) {
            return Err(QueryError::Budget {
                what: "groups in memory",
                limit: self.groups_max,
                hint: "use wider buckets, fewer keys or a narrower WHERE",
            });
        }
        Ok(())
    }

    fn update(
        &mut self,
        partition: u32,
        bucket: i64,
        arguments: &[Option<Cow<'_, ColumnVector>>],
        times: &[i64],
        rows: std::ops::Range<usize>,
    ) -> Result<(), QueryError> {
        let first = self.group(partition, bucket)? * arguments.len();
        let states = &mut self.states[first..first + arguments.len()];
        for (state, argument) in states.iter_mut().zip(arguments) {
            match argument {
                Some(vector) => state.update(vector, times, rows.clone()),
                None => state.add_rows(rows.len() as u64),
            }
        }
        Ok(())
    }

    /// Groups in the order of their keys, then whatever `HAVING` and `ORDER BY` make of them.
    fn emit(
        &self,
        context: &QueryContext<'_>,
        output: &mut Output<'_, '_>,
    ) -> Result<(), QueryError> {
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        order.sort_by(|&a, &b| {
            (0..self.grouping.keys.len())
                .map(|key| self.key(a, key).order(&self.key(b, key)))
                .find(|found| found.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut sorter =
            (!self.plan.order.is_empty()).then(|| Sorter::new(self.plan, &context.limits));
        for part in order.chunks(QUERY_BATCH_ROWS) {
            check(context)?;
            let columns = self.columns(part)?;
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
        if self.grouping.bucket.is_some_and(|(index, _)| index == key) {
            return Cow::Owned(Scalar::Integer(bucket));
        }
        Cow::Borrowed(&self.partitions[partition as usize][key])
    }

    /// Keys, then results of aggregates, of the groups that pass `HAVING`.
    fn columns(&self, groups: &[u32]) -> Result<Vec<ColumnVector>, QueryError> {
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
                let state = &self.states[group as usize * count + index];
                column.push(&state.finish(aggregate)?);
            }
            columns.push(column.finish());
        }
        if let Some(having) = &self.grouping.having {
            let frame = frame_of(&columns, groups.len());
            if let Some(chosen) = selected(&evaluate(having, &frame)?, frame.rows) {
                if columns.is_empty() {
                    // A constant condition over no columns: the rows themselves are gone.
                    columns.push(ColumnVector::empty(Type::Null.storage()));
                }
                for column in &mut columns {
                    *column = gather(column, &chosen);
                }
            }
        }
        Ok(columns)
    }
}

fn frame_of(columns: &[ColumnVector], rows: usize) -> Frame<'_> {
    Frame {
        rows: columns.first().map_or(rows, ColumnVector::len),
        slots: columns.iter().map(Slot::Vector).collect(),
    }
}

/// The end of the rows from `start` on that lie before the next bucket.
fn run_end(next: Option<i64>, times: &[i64], start: usize) -> usize {
    let Some(next) = next else {
        return times.len();
    };
    if times.last().is_some_and(|&last| last < next) {
        return times.len();
    }
    let rest = &times[start..];
    start + rest.iter().take_while(|&&time| time < next).count()
}

/// The bytes of all keys of a row, in place of what the buffer held.
fn write_keys(keys: &[Operand<'_>], row: usize, bytes: &mut Vec<u8>) {
    bytes.clear();
    for key in keys {
        key.write_key(row, bytes);
    }
}
