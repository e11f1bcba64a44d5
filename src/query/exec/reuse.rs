//! Grouped queries by what earlier ones have added up: parts of time that still hold are taken, the others are read.
//!
//! The order is what keeps an answer from being stale, and from showing a later row without an earlier one of the same
//! series. Versions are read first. A part that is found is taken where nothing has touched its time since it was
//! read, and no series has grown into it. What is missing is read of each series at one moment. Then versions are
//! compared once more: where something has touched the range meanwhile, everything is read anew without the cache. So
//! all parts of an answer hold at every moment between those two.

use std::sync::Arc;

use super::finished::Finished;
use super::group::{Groups, Taken, note_rolled};
use super::parallel;
use super::rows::{SeriesRows, check, tags_of};
use super::times::Operator;
use super::{CacheUse, ExecutionStats};
use crate::engine::{Growth, SeenState, Versions};
use crate::mutants::{self, Mutant};
use crate::query::cache::spans::{Division, divide, joined};
use crate::query::cache::{FlightKey, PartKey, QueryOutcome, ResultCache, Watched};
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::plan::Reuse;
use crate::query::source::{Buckets, SeriesInfo, Source};
use crate::types::{SeriesId, TimeRange, Timestamp};

/// More series than these are not worth to be told apart by their changes.
const SERIES_MAX: usize = 100_000;

/// Adds up a query's groups with the help of what is kept; false where that cannot be, or it is better read anew: then
/// the groups are of no use.
pub(super) fn add_up(
    groups: &mut Groups<'_>,
    source: &dyn Source,
    series: &[SeriesInfo],
    context: &QueryContext<'_>,
    stats: &mut ExecutionStats,
) -> Result<bool, QueryError> {
    let Some(watched) = source.watched() else {
        return Ok(false);
    };
    let results = watched.results();
    let begun = Reading::begin(groups, watched, series);
    let reading = match begun {
        Ok(reading) => reading,
        Err(reason) => {
            stats.cache = CacheUse::Passed(reason);
            results.note_outcome(QueryOutcome::Passed);
            return Ok(false);
        }
    };
    let outcome = match reading.add_up(groups, source, context, stats) {
        // There are more groups of parts than of the whole.
        Err(QueryError::Budget { .. }) => {
            stats.cache = CacheUse::Passed("its parts take too much memory");
            QueryOutcome::Passed
        }
        outcome => outcome?,
    };
    results.note_outcome(outcome);
    stats.times.mark(context, Operator::Cache);
    Ok(!matches!(
        outcome,
        QueryOutcome::Again | QueryOutcome::Passed
    ))
}

/// One query on its way.
struct Reading<'a> {
    watched: &'a Watched,
    results: &'a ResultCache,
    series: &'a [SeriesInfo],
    ids: Vec<SeriesId>,
    /// Before anything was read.
    started: Versions,
    division: Division,
    /// All of the range that may be kept, ascending.
    parts: Vec<TimeRange>,
    /// All of it that is always read, ascending.
    rest: Vec<TimeRange>,
    keys: Vec<PartKey>,
}

type Found = Vec<Option<Arc<Finished>>>;

impl<'a> Reading<'a> {
    /// The error says why nothing is kept.
    fn begin(
        groups: &Groups<'_>,
        watched: &'a Watched,
        series: &'a [SeriesInfo],
    ) -> Result<Self, &'static str> {
        let plan = groups.plan;
        let (text, moves) = match &plan.reuse {
            Reuse::Never(reason) => return Err(reason),
            Reuse::Kept { text, moves } => (text, *moves),
        };
        match series.len() {
            0 => return Err("there are no series"),
            1..=SERIES_MAX => {}
            _ => return Err("there are too many series"),
        }
        let results = watched.results();
        let ids: Vec<SeriesId> = series.iter().map(|info| info.id).collect();
        let started = watched.versions(&ids);
        let mut whole_from = watched.whole_from(&ids, plan.scan.summaries.is_some());
        if mutants::is(Mutant::ExpiredKept) {
            whole_from = Timestamp::MIN;
        }
        let range = plan.scan.range;
        let division = divide(range, &groups.buckets, &|| watched.extent(&ids))?;
        let plan = results.plan(text, &ids).ok_or("it has too many series")?;
        let (mut parts, mut rest) = (Vec::new(), Vec::new());
        let ends = [division.head, division.tail];
        let [head, tail] = ends.map(Option::into_iter);
        for part in head.chain(division.spans.iter().copied()).chain(tail) {
            let is_end = ends.contains(&Some(part));
            let is_bounded = part.start > Timestamp::MIN && part.end < Timestamp::MAX;
            if part.start >= whole_from && !(is_end && (moves || !is_bounded)) {
                parts.push(part);
            } else {
                rest.push(part);
            }
        }
        if parts.is_empty() {
            return Err("its rows have expired or left");
        }
        let keys = parts.iter().map(|&part| PartKey::new(plan, part));
        Ok(Self {
            watched,
            results,
            series,
            keys: keys.collect(),
            ids,
            started,
            division,
            parts,
            rest,
        })
    }

    fn add_up(
        &self,
        groups: &mut Groups<'_>,
        source: &dyn Source,
        context: &QueryContext<'_>,
        stats: &mut ExecutionStats,
    ) -> Result<QueryOutcome, QueryError> {
        for info in self.series {
            groups.assign(&tags_of(&groups.plan.inputs, info))?;
        }
        let all: Vec<usize> = (0..self.parts.len()).collect();
        let mut found: Found = vec![None; self.parts.len()];
        self.look_up(&all, &mut found, context);
        let mut missing = missing_of(&found);
        let mut flight = None;
        if let Some(first) = missing.first() {
            let key = FlightKey {
                plan: self.keys[*first].plan(),
                ranges: joined(missing.iter().map(|&at| self.parts[at])),
            };
            flight = self.results.board(key, context.cancel);
            if flight.is_none() {
                check(context)?;
                self.look_up(&missing, &mut found, context);
                missing = missing_of(&found);
            }
        }
        let ranges = self.ranges(&missing);
        let (mut fresh, mut seen) = (Taken::default(), Vec::new());
        if !ranges.is_empty() {
            check(context)?;
            stats.times.mark(context, Operator::Cache);
            seen = self.read(groups, source, &ranges, context, stats)?;
            fresh = groups.take();
        }
        let fresh = self.divided(fresh, groups.grouping.aggregates.len());
        self.keep(&missing, &fresh, &seen, context);
        drop(flight);
        if !self.still_holds(groups.plan.scan.range, &found) {
            stats.cache = CacheUse::Again;
            return Ok(QueryOutcome::Again);
        }
        load(groups, &fresh, &found)?;
        let newest = seen.iter().map(|seen| seen.newest).max();
        let is_finished =
            |at: &usize| newest.is_some_and(|newest| newest >= self.parts[*at].end - 1);
        let late = missing.iter().filter(|at| is_finished(at)).count();
        for (key, found) in self.keys.iter().zip(&found) {
            if found.is_some() {
                self.results.note_hit(key);
            }
        }
        for at in missing.iter().filter(|at| is_finished(at)) {
            self.results.note_miss(&self.keys[*at]);
        }
        let taken = self.parts.len() - missing.len();
        stats.cache = CacheUse::Used {
            found: taken as u32,
            finished: late as u32,
            growing: (missing.len() - late) as u32,
            ends: self.rest.len() as u32,
        };
        Ok(match (late, taken) {
            (0, _) => QueryOutcome::Whole,
            (_, 0) => QueryOutcome::Missed,
            _ => QueryOutcome::Partial,
        })
    }

    /// Looks for some parts, and leaves those that hold.
    fn look_up(&self, wanted: &[usize], found: &mut Found, context: &QueryContext<'_>) {
        let keys: Vec<PartKey> = wanted.iter().map(|&at| self.keys[at]).collect();
        let parts = self.results.get_many(&keys, context.now_ns);
        let parts = wanted.iter().copied().zip(parts);
        let parts: Vec<(usize, Arc<Finished>)> =
            parts.filter_map(|(at, part)| Some((at, part?))).collect();
        let is_moved = parts.iter().any(|(_, part)| !part.is_of(&self.started));
        // Of all of them: others may have been looked at later than this query began, and what has changed between is
        // to be known of every part.
        let since = parts.iter().map(|(_, part)| part.versions());
        let since = since.reduce(|a, b| a.earlier(&b)).filter(|_| is_moved);
        let changed = since.map(|since| {
            // Of everything from the first part to the last one.
            let range = TimeRange {
                start: self.parts[0].start,
                end: self.parts[self.parts.len() - 1].end,
            };
            self.watched.changes_since(&self.ids, &since, range)
        });
        let mut closed = Vec::new();
        for (at, part) in parts {
            if let Some((now, changes)) = &changed {
                if changes.touch(part.range, &part.versions()) {
                    self.results.invalidate(&self.keys[at], &part);
                    continue;
                }
                part.holds_up_to(now);
            }
            match self.growth_into(&part) {
                Growth::Some => {
                    self.results.invalidate(&self.keys[at], &part);
                    continue;
                }
                Growth::Never if !part.open.is_empty() => {
                    closed.push((self.keys[at], Arc::new(part.closed())));
                }
                Growth::Never | Growth::Nothing => {}
            }
            found[at] = Some(part);
        }
        if !closed.is_empty() {
            self.results.put_many(closed, context.now_ns);
        }
    }

    /// Whether series have got rows in a part that had none behind it.
    fn growth_into(&self, part: &Finished) -> Growth {
        let mut all = Growth::Never;
        for &(at, newest) in &part.open {
            let Some(&id) = self.ids.get(at as usize) else {
                return Growth::Some;
            };
            match self.watched.growth(id, newest, part.range) {
                Growth::Some => return Growth::Some,
                Growth::Nothing => all = Growth::Nothing,
                Growth::Never => {}
            }
        }
        all
    }

    /// What has to be read, ascending, neighbours together.
    fn ranges(&self, missing: &[usize]) -> Vec<TimeRange> {
        let parts = missing.iter().map(|&at| self.parts[at]);
        let mut ranges: Vec<TimeRange> = self.rest.iter().copied().chain(parts).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        joined(ranges)
    }

    /// Adds up some ranges of all series; how each of them was then.
    fn read(
        &self,
        groups: &mut Groups<'_>,
        source: &dyn Source,
        ranges: &[TimeRange],
        context: &QueryContext<'_>,
        stats: &mut ExecutionStats,
    ) -> Result<Vec<SeenState>, QueryError> {
        let plan = groups.plan;
        let mut request = plan.scan.clone();
        if let Some(summaries) = &mut request.summaries {
            summaries.buckets = self.division.buckets.clone();
        }
        let request = Arc::new(request);
        let lanes = self.watched.lanes(plan.measurement, &plan.scan.columns);
        let asked = std::mem::replace(&mut groups.buckets, self.division.buckets.clone());
        let work = |groups: &mut Groups<'_>,
                    first: usize,
                    series: &[SeriesInfo],
                    stats: &mut ExecutionStats| {
            let mut seen = Vec::with_capacity(series.len());
            for (index, info) in (first..).zip(series) {
                let wanted = (&request, &asked);
                let (scan, state) = self.watched.scan(info.id, ranges, &lanes, wanted);
                seen.push(state);
                let mut rows = SeriesRows::of(scan, index, tags_of(&plan.inputs, info));
                note_rolled(source, info.id, &rows, (plan, context), stats)?;
                while let Some(part) = rows.next_part(plan, context, stats)? {
                    groups.add(&part, &rows.tags, index)?;
                    stats.times.mark(context, Operator::Group);
                }
            }
            Ok(seen)
        };
        let seen = parallel::add_up(groups, self.series, context, stats, &work)?.concat();
        groups.buckets = asked;
        Ok(seen)
    }

    /// Groups by the part of time that they are of; those of no part, last.
    fn divided(&self, fresh: Taken, aggregates: usize) -> Vec<Taken> {
        let mut divided: Vec<Taken> = Vec::new();
        divided.resize_with(self.parts.len() + 1, Taken::default);
        let mut states = fresh.states.into_iter();
        for group in fresh.groups {
            // The first bucket of the range may begin before it.
            let head = self.division.head.map_or(Timestamp::MIN, |head| head.start);
            let start = group.1.max(head);
            let at = self.parts.partition_point(|part| part.end <= start);
            let inside = self.parts.get(at).is_some_and(|part| part.contains(start));
            let place = if inside { at } else { self.parts.len() };
            divided[place].groups.push(group);
            divided[place]
                .states
                .extend(states.by_ref().take(aggregates));
        }
        divided
    }

    /// Keeps the parts that were read.
    fn keep(
        &self,
        missing: &[usize],
        fresh: &[Taken],
        seen: &[SeenState],
        context: &QueryContext<'_>,
    ) {
        if missing.is_empty() {
            return;
        }
        let whole_from = seen.iter().map(|seen| seen.whole_from).max();
        let whole_from = whole_from.unwrap_or(Timestamp::MAX);
        let mut by_newest: Vec<(u32, Timestamp)> = Vec::new();
        by_newest.extend((0..).zip(seen.iter().map(|seen| seen.newest)));
        by_newest.sort_unstable_by_key(|(_, newest)| *newest);
        let shown = missing
            .iter()
            .filter(|at| self.parts[**at].start >= whole_from);
        let kept = shown.map(|&at| {
            let range = self.parts[at];
            let open = by_newest.partition_point(|(_, newest)| *newest < range.end - 1);
            let taken = Taken {
                groups: fresh[at].groups.clone(),
                states: fresh[at].states.clone(),
            };
            let mut open = by_newest[..open].to_vec();
            if mutants::is(Mutant::GrowthIgnored) {
                open.clear();
            }
            let mut versions = self.started.clone();
            if mutants::is(Mutant::VersionsReadLate) {
                versions = self.watched.versions(&self.ids);
            }
            let part = Finished::new(range, taken, versions, open);
            (self.keys[at], Arc::new(part))
        });
        self.results.put_many(kept.collect(), context.now_ns);
    }

    /// Whether nothing has touched the range since the start, nor grown into parts that were found.
    fn still_holds(&self, range: TimeRange, found: &Found) -> bool {
        // What was read alone is of one moment for each series, as without the cache.
        let is_read_alone = found.iter().all(Option::is_none);
        if is_read_alone || mutants::is(Mutant::ChangesUncheckedAtEnd) {
            return true;
        }
        if self.watched.versions(&self.ids) != self.started {
            let (_, changes) = self.watched.changes_since(&self.ids, &self.started, range);
            if changes.touch(range, &self.started) {
                return false;
            }
        }
        let mut found = found.iter().flatten();
        found.all(|part| self.growth_into(part) != Growth::Some)
    }
}

/// Adds what was read and what was found.
fn load(groups: &mut Groups<'_>, fresh: &[Taken], found: &Found) -> Result<(), QueryError> {
    let aggregates = groups.grouping.aggregates.len();
    let one = matches!(groups.buckets, Buckets::One).then_some(i64::MIN);
    let place = |(partition, bucket): (u32, i64)| (partition, one.unwrap_or(bucket));
    for taken in fresh {
        let mut states = taken.states.iter();
        for &group in &taken.groups {
            let own = states.by_ref().take(aggregates).cloned();
            groups.load(place(group), own)?;
        }
    }
    for part in found.iter().flatten() {
        for (group, states) in part.groups() {
            groups.load(place(group), states.iter().cloned())?;
        }
    }
    Ok(())
}

fn missing_of(found: &Found) -> Vec<usize> {
    let missing = found.iter().enumerate().filter(|(_, part)| part.is_none());
    missing.map(|(at, _)| at).collect()
}
