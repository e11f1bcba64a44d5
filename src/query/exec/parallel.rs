//! Grouping on several threads: each adds up some of the series, in groups of its own, and what they come to is added up
//! in the order of the series, so that nobody can tell.

use super::ExecutionStats;
use super::group::Groups;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::source::SeriesInfo;
use crate::query::workers::Job;

/// Adds up some series, of which the first has this place among all.
pub(super) type Work<'w, T> = dyn Fn(&mut Groups<'_>, usize, &[SeriesInfo], &mut ExecutionStats) -> Result<T, QueryError>
    + Sync
    + 'w;

/// Adds up all series; what each part of them came to, in their order.
pub(super) fn add_up<T: Send>(
    groups: &mut Groups<'_>,
    series: &[SeriesInfo],
    context: &QueryContext<'_>,
    stats: &mut ExecutionStats,
    work: &Work<'_, T>,
) -> Result<Vec<T>, QueryError> {
    let workers = context.workers.filter(|_| groups.can_be_divided());
    let helpers = workers.map(|workers| workers.take_for(series.len()));
    let Some(helpers) = helpers.filter(|helpers| helpers.count() > 0) else {
        return Ok(vec![work(groups, 0, series, stats)?]);
    };
    let count = helpers.count();
    let len = series.len().div_ceil(count + 1);
    let mut slices = (0..).step_by(len).zip(series.chunks(len));
    let (_, own) = slices.next().unwrap_or_default();
    let mut parts: Vec<Part<'_, '_, T>> = slices
        .map(|(first, series)| Part {
            first,
            series,
            groups: groups.part_of(count + 1),
            stats: ExecutionStats::default(),
            found: None,
        })
        .collect();
    let mut found = None;
    {
        let mut first = || found = Some(work(groups, 0, own, stats));
        let mut others: Vec<_> = parts
            .iter_mut()
            .map(|part| {
                || {
                    part.stats.times.begin(context);
                    part.found = Some(work(
                        &mut part.groups,
                        part.first,
                        part.series,
                        &mut part.stats,
                    ));
                }
            })
            .collect();
        let others = others.iter_mut().map(|other| other as Job<'_>);
        let mut jobs: Vec<Job<'_>> = std::iter::once(&mut first as Job<'_>)
            .chain(others)
            .collect();
        helpers.run_all(&mut jobs);
    }
    let mut all = Vec::with_capacity(count + 1);
    all.extend(found.transpose()?);
    for part in parts {
        all.push(match part.found {
            // One alone has all of the memory.
            None | Some(Err(QueryError::Budget { .. })) => {
                work(groups, part.first, part.series, stats)?
            }
            Some(found) => {
                stats.absorb(&part.stats);
                groups.absorb(part.groups)?;
                found?
            }
        });
    }
    Ok(all)
}

/// Series that somebody else adds up, and what they come to.
struct Part<'s, 'g, T> {
    first: usize,
    series: &'s [SeriesInfo],
    groups: Groups<'g>,
    stats: ExecutionStats,
    found: Option<Result<T, QueryError>>,
}
