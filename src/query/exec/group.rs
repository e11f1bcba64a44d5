//! Grouping: rows to runs, runs to groups, groups to rows of the answer.
//!
//! A group is named by a partition, the values of all keys but the bucket of time, and by the start of
//! its bucket. Within one series tags are constant and times ascend, so that a run is found by comparing
//! times alone and costs one probe of a table of small keys. Tables are keyed: values that collide cannot be chosen.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use hashbrown::HashMap;

use crate::catalog::HashSeed;
use crate::query::context::{QueryContext, QueryLimits};
use crate::query::error::QueryError;
use crate::query::expr::evaluate;
use crate::query::expr::vector::{Frame, Operand, Slot, into_vector, scalar_at};
use crate::query::memory::Charge;
use crate::query::plan::{Grouping, Input, SelectPlan};
use crate::query::rolled;
use crate::query::source::{Buckets, ChunkSummary, SeriesInfo, Source};
use crate::query::value::Scalar;
use crate::series::vector::ColumnVector;
use crate::types::SeriesId;

use super::output::Output;
use super::parallel;
use super::reuse;
use super::rows::{Part, Rows, SeriesRows, check, is_constant, tags_of};
use super::state::State;
use super::steps::{Number, Point, Steps};
use super::times::Operator;
use super::{ExecutionStats, both};

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
    let new = || Groups::new(plan, grouping, context, source.hash_seed());
    let mut groups = new();
    if !reuse::add_up(&mut groups, source, series, context, stats)? {
        groups = new();
        add_all(&mut groups, source, series, context, stats)?;
    }
    if grouping.keys.is_empty() && groups.groups.is_empty() {
        groups.group(0, i64::MIN)?;
    }
    groups.fill_gaps(context)?;
    stats.times.mark(context, Operator::Group);
    groups.emit(context, output)
}

/// Adds up everything that the series have.
fn add_all(
    groups: &mut Groups<'_>,
    source: &dyn Source,
    series: &[SeriesInfo],
    context: &QueryContext<'_>,
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    let work = |groups: &mut Groups<'_>,
                first: usize,
                series: &[SeriesInfo],
                stats: &mut ExecutionStats| {
        add_some(groups, source, (first, series), context, stats)
    };
    parallel::add_up(groups, series, context, stats, &work)?;
    Ok(())
}

/// The same of some series, of which the first has this place among all.
fn add_some(
    groups: &mut Groups<'_>,
    source: &dyn Source,
    (first, series): (usize, &[SeriesInfo]),
    context: &QueryContext<'_>,
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    let (plan, grouping) = (groups.plan, groups.grouping);
    // What one newest row answers needs no scan.
    let mut by_newest = plan.ends_early && plan.scan.newest_first && plan.row_filter.is_none();
    let mut newest = VecDeque::new();
    for (index, info) in series.iter().enumerate() {
        let mut seen = Seen(vec![false; grouping.aggregates.len()]);
        if by_newest && newest.is_empty() {
            let slice = &series[index..series.len().min(index + NEWEST_SERIES)];
            let ids: Vec<SeriesId> = slice.iter().map(|info| info.id).collect();
            newest = source.newest(&ids, &plan.scan).into();
            by_newest = newest.len() == ids.len();
        }
        if let Some(newest) = newest.pop_front().flatten() {
            check(context)?;
            let part = Part::Rows(Rows::of(newest, stats));
            stats.times.mark(context, Operator::Scan);
            groups.add(&part, &tags_of(&plan.inputs, info), first + index)?;
            stats.times.mark(context, Operator::Group);
            if seen.add(plan, grouping, &part) {
                stats.newest += 1;
                continue;
            }
        }
        let mut rows = SeriesRows::open(source, plan, first + index, info)?;
        note_rolled(source, info.id, &rows, (plan, context), stats)?;
        while let Some(part) = rows.next_part(plan, context, stats)? {
            if groups.is_beyond(&part) {
                break;
            }
            groups.add(&part, &rows.tags, rows.index)?;
            stats.times.mark(context, Operator::Group);
            if plan.ends_early && seen.add(plan, grouping, &part) {
                break;
            }
        }
    }
    Ok(())
}

/// Takes note of buckets that stand for rows of a series which are no longer there: an error where the query does not take
/// them.
pub(super) fn note_rolled(
    source: &dyn Source,
    series: SeriesId,
    rows: &SeriesRows,
    (plan, context): (&SelectPlan, &QueryContext<'_>),
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    if plan.scan.summaries.is_none()
        && let Some(left) = source.rolled(series, plan.scan.range)
    {
        return Err(rolled::not_rolled(left).into());
    }
    if let Some(left) = rows.rolled() {
        if context.limits.exact {
            return Err(rolled::not_exact(left).into());
        }
        stats.rolled = Some(stats.rolled.map_or(left, |known| both(known, left)));
        stats.tier_chunks.absorb(&rows.tiers());
    }
    Ok(())
}

/// Series whose newest rows are asked for at a time.
const NEWEST_SERIES: usize = 256;

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

/// The groups of a query.
pub(super) struct Groups<'a> {
    pub(super) plan: &'a SelectPlan,
    pub(super) grouping: &'a Grouping,
    pub(super) buckets: Buckets,
    limits: QueryLimits,
    /// Bytes that groups and kept values take, about.
    charge: Charge<'a>,
    group_bytes: usize,
    /// Values of all keys, null in the place of the bucket.
    pub(super) partitions: Vec<Vec<Scalar>>,
    partition_of: HashMap<Vec<u8>, u32, HashSeed>,
    /// Room for the bytes of a key.
    scratch: Vec<u8>,
    /// Partition, and start of the bucket.
    pub(super) groups: Vec<(u32, i64)>,
    group_of: HashMap<(u32, i64), u32, HashSeed>,
    /// As many as there are aggregates for each group.
    pub(super) states: Vec<State>,
    /// As many as there are aggregates for each partition: the last value, where steps are counted.
    links: Vec<Option<Link>>,
    /// The starts of the nearest buckets, no more than are wanted.
    nearest: BTreeSet<i64>,
    hash_seed: u64,
}

/// Groups without the partitions that they name.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Partition, and start of the bucket.
    pub(super) groups: Vec<(u32, i64)>,
    /// As many as there are aggregates for each group.
    pub(super) states: Vec<State>,
}

/// The value that the next step begins with.
#[derive(Clone, Copy)]
struct Link {
    series: usize,
    group: usize,
    point: Point,
}

impl<'a> Groups<'a> {
    fn new(
        plan: &'a SelectPlan,
        grouping: &'a Grouping,
        context: &QueryContext<'a>,
        hash_seed: u64,
    ) -> Self {
        let charge = Charge::new(context.memory, context.limits.memory_bytes);
        Self::of(plan, grouping, (context.limits, charge), hash_seed)
    }

    fn of(
        plan: &'a SelectPlan,
        grouping: &'a Grouping,
        (limits, charge): (QueryLimits, Charge<'a>),
        hash_seed: u64,
    ) -> Self {
        let of_steps = grouping.aggregates.iter().filter(|aggregate| {
            // Their states lie apart.
            aggregate.function.is_of_steps()
        });
        let (steps, states) = (of_steps.count(), grouping.aggregates.len());
        Self {
            plan,
            grouping,
            buckets: match &grouping.bucket {
                Some((_, buckets)) => buckets.clone(),
                None => Buckets::One,
            },
            limits,
            charge,
            group_bytes: GROUP_BYTES
                + states * size_of::<State>()
                + steps * (size_of::<Steps>() + size_of::<Option<Link>>()),
            partitions: if grouping.keys.is_empty() {
                vec![Vec::new()]
            } else {
                Vec::new()
            },
            partition_of: HashMap::with_hasher(HashSeed(hash_seed)),
            scratch: Vec::new(),
            groups: Vec::new(),
            group_of: HashMap::with_hasher(HashSeed(hash_seed)),
            states: Vec::new(),
            links: Vec::new(),
            nearest: BTreeSet::new(),
            hash_seed,
        }
    }

    /// Whether as many buckets as the answer has lie before these rows, and so before all behind them.
    fn is_beyond(&self, part: &Part) -> bool {
        let Some(wanted) = self.plan.nearest else {
            return false;
        };
        if self.nearest.len() < wanted.buckets {
            return false;
        }
        let (first, last) = match part {
            Part::Rows(rows) => (rows.times().first(), rows.times().last()),
            Part::Summary(summary) => (Some(&summary.first_time), Some(&summary.last_time)),
        };
        if wanted.newest_first {
            let known = self.nearest.first().zip(last);
            known.is_some_and(|(known, &last)| self.buckets.start(last) < *known)
        } else {
            let known = self.nearest.last().zip(first);
            known.is_some_and(|(known, &first)| self.buckets.start(first) > *known)
        }
    }

    /// Adds a part of the rows of a series, which is the so-manieth.
    pub(super) fn add(
        &mut self,
        part: &Part,
        tags: &[Scalar],
        series: usize,
    ) -> Result<(), QueryError> {
        match part {
            Part::Rows(rows) => self.add_rows(rows, tags, series),
            Part::Summary(summary) => self.add_summary(summary, tags),
        }
    }

    /// Gives a partition to the series with these tags, before any row of it is seen. All keys are by tags.
    pub(super) fn assign(&mut self, tags: &[Scalar]) -> Result<u32, QueryError> {
        let frame = Frame {
            rows: 1,
            slots: tags.iter().map(Slot::Constant).collect(),
        };
        let keys = self.keys(&frame)?;
        self.partition(&keys, 0)
    }

    /// Whether parts of the series can be added up apart: no value depends on the one before of another series, and
    /// nothing ends early but within a series.
    pub(super) fn can_be_divided(&self) -> bool {
        let mut aggregates = self.grouping.aggregates.iter();
        self.plan.nearest.is_none() && !aggregates.any(|known| known.function.is_of_steps())
    }

    /// Groups for one of so many parts of the series.
    pub(super) fn part_of(&self, parts: usize) -> Self {
        let charge = self.charge.part_of(parts);
        Self {
            buckets: self.buckets.clone(),
            ..Self::of(
                self.plan,
                self.grouping,
                (self.limits, charge),
                self.hash_seed,
            )
        }
    }

    /// Adds the groups of a later part of the series.
    pub(super) fn absorb(&mut self, mut part: Self) -> Result<(), QueryError> {
        let Taken { groups, states } = part.take();
        let partitions: Result<Vec<u32>, QueryError> = part
            .partitions
            .iter()
            .map(|keys| {
                let keys: Vec<Operand<'_>> = keys.iter().cloned().map(Operand::Constant).collect();
                self.partition(&keys, 0)
            })
            .collect();
        let partitions = partitions?;
        let mut states = states.into_iter();
        for (partition, bucket) in groups {
            let of_group = states.by_ref().take(self.grouping.aggregates.len());
            self.load((partitions[partition as usize], bucket), of_group)?;
        }
        Ok(())
    }

    /// Takes all groups out; partitions stay.
    pub(super) fn take(&mut self) -> Taken {
        let states = std::mem::take(&mut self.states);
        let kept: usize = states.iter().map(State::kept_bytes).sum();
        self.charge.sub(kept + self.groups.len() * self.group_bytes);
        self.group_of.clear();
        Taken {
            groups: std::mem::take(&mut self.groups),
            states,
        }
    }

    /// Adds a group whose rows were added up elsewhere.
    pub(super) fn load(
        &mut self,
        (partition, bucket): (u32, i64),
        states: impl Iterator<Item = State>,
    ) -> Result<(), QueryError> {
        let before = self.groups.len();
        let group = self.group(partition, bucket)?;
        let is_new = self.groups.len() > before;
        let first = group * self.grouping.aggregates.len();
        let mut kept = 0;
        for (own, state) in self.states[first..].iter_mut().zip(states) {
            kept += state.kept_bytes();
            if is_new {
                *own = state;
            } else {
                own.absorb(state);
            }
        }
        self.charge(kept)
    }

    /// Takes note of a new group's bucket.
    fn note_bucket(&mut self, bucket: i64) {
        if let Some(wanted) = self.plan.nearest
            && self.nearest.insert(bucket)
            && self.nearest.len() > wanted.buckets
        {
            if wanted.newest_first {
                self.nearest.pop_first();
            } else {
                self.nearest.pop_last();
            }
        }
    }

    fn add_rows(&mut self, rows: &Rows, tags: &[Scalar], series: usize) -> Result<(), QueryError> {
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
        let run = Run {
            series,
            arguments: &arguments,
            times: rows.times(),
        };
        let times = run.times;
        if keys.iter().all(is_constant) {
            let partition = self.partition(&keys, 0)?;
            let mut start = 0;
            while let Some(&time) = times.get(start) {
                let (bucket, next) = self.buckets.bounds(time);
                let end = run_end(next, times, start);
                self.update(partition, bucket, &run, start..end)?;
                start = end;
            }
            return Ok(());
        }
        let (mut key, mut other) = (Vec::new(), Vec::new());
        let mut start = 0;
        while let Some(&time) = times.get(start) {
            let (bucket, next) = self.buckets.bounds(time);
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
            self.update(partition, bucket, &run, start..end)?;
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
        let bucket = self.buckets.start(summary.first_time);
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
        let bucket = self.grouping.bucket.as_ref().map(|(index, _)| *index);
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

    pub(super) fn partition(
        &mut self,
        keys: &[Operand<'_>],
        row: usize,
    ) -> Result<u32, QueryError> {
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
        let cells = keys.len() * size_of::<Scalar>();
        self.charge(GROUP_BYTES + cells + 2 * self.scratch.len())?;
        let partition = self.partitions.len() as u32;
        self.partitions
            .push(keys.iter().map(|key| key.scalar(row)).collect());
        self.partition_of.insert(self.scratch.clone(), partition);
        Ok(partition)
    }

    pub(super) fn group(&mut self, partition: u32, bucket: i64) -> Result<usize, QueryError> {
        if let Some(&group) = self.group_of.get(&(partition, bucket)) {
            return Ok(group as usize);
        }
        self.check_room(self.groups.len())?;
        self.charge(self.group_bytes)?;
        let group = self.groups.len();
        self.groups.push((partition, bucket));
        self.note_bucket(bucket);
        self.group_of.insert((partition, bucket), group as u32);
        self.states
            .extend(self.grouping.aggregates.iter().map(State::new));
        Ok(group)
    }

    fn check_room(&self, used: usize) -> Result<(), QueryError> {
        if used >= self.limits.groups.min(u32::MAX as usize) {
            return Err(QueryError::Budget {
                what: "groups in memory",
                limit: self.limits.groups,
                hint: "use wider buckets, fewer keys or a narrower WHERE",
            });
        }
        Ok(())
    }

    /// Takes note of bytes that are kept until the end.
    fn charge(&mut self, bytes: usize) -> Result<(), QueryError> {
        self.charge.add(
            bytes,
            "bytes for groups and the values that median, percentile, mode and count(distinct) keep",
            "use wider buckets, fewer keys or a narrower WHERE, or raise query.memory_max_mb",
        )
    }

    fn update(
        &mut self,
        partition: u32,
        bucket: i64,
        run: &Run<'_>,
        rows: Range<usize>,
    ) -> Result<(), QueryError> {
        let group = self.group(partition, bucket)?;
        let first = group * run.arguments.len();
        let mut kept = 0;
        for (index, argument) in run.arguments.iter().enumerate() {
            let state = &mut self.states[first + index];
            match argument {
                Some(vector) if matches!(state, State::Steps(_)) => {
                    let link = partition as usize * run.arguments.len() + index;
                    self.follow((link, index), (group, bucket), run, vector, rows.clone());
                }
                Some(vector) => kept += state.update(vector, run.times, rows.clone()),
                None => state.add_rows(rows.len() as u64),
            }
        }
        self.charge(kept)
    }

    /// Feeds the steps that lead to some rows of one group.
    fn follow(
        &mut self,
        (link, index): (usize, usize),
        (group, bucket): (usize, i64),
        run: &Run<'_>,
        vector: &ColumnVector,
        rows: Range<usize>,
    ) {
        if self.links.len() <= link {
            self.links.resize(link + 1, None);
        }
        let mut last = self.links[link].filter(|last| last.series == run.series);
        let count = run.arguments.len();
        for row in rows {
            let Some(value) = Number::of(&scalar_at(vector, row)) else {
                continue;
            };
            let time = run.times[row];
            let point = Point { time, value };
            if let Some(from) = last {
                let cut = if from.group == group {
                    None
                } else {
                    self.buckets.bounds(from.point.time).1
                };
                let step = (from.point, point);
                if let Some(border) = cut
                    && let State::Steps(earlier) = &mut self.states[from.group * count + index]
                    && earlier.is_area()
                {
                    earlier.part(run.series, step, from.point.time, border);
                    if let State::Steps(steps) = &mut self.states[group * count + index] {
                        steps.part(run.series, step, bucket, time);
                    }
                } else if let State::Steps(steps) = &mut self.states[group * count + index] {
                    steps.step(run.series, from.point, point);
                }
            }
            last = Some(Link {
                series: run.series,
                group,
                point,
            });
        }
        self.links[link] = last;
    }
}

/// Rows of one series, and the arguments of all aggregates.
struct Run<'r> {
    series: usize,
    arguments: &'r [Option<Cow<'r, ColumnVector>>],
    times: &'r [i64],
}

/// What a group takes besides its states, its place in the table included.
const GROUP_BYTES: usize = 64;

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
