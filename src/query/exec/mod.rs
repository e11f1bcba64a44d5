//! Execution of plans: rows are pulled from scans batch by batch and leave through a sink.
//!
//! Nothing is kept but what a sort or a grouping demands, and that within the query's limits. The
//! caller is asked once a batch whether it still wants the answer.

pub(crate) mod aggregate;
mod choose;
mod delete;
mod emit;
mod fill;
mod finished;
mod group;
mod kept;
mod merge;
mod output;
mod parallel;
mod reuse;
mod rows;
mod schema;
mod show;
mod sort;
mod state;
mod steps;
mod times;

use super::context::QueryContext;
use super::error::QueryError;
use super::expr::vector::into_vector;
use super::expr::{Typed, evaluate};
use super::plan::{Plan, PlanKind, SelectPlan};
use super::result::ResultBatch;
use super::rolled;
use super::source::{ReadCounts, Source};
use super::sql::ast::Explained;
use crate::rollup::TierCounts;
use crate::series::vector::ColumnVector;
use crate::types::TimeRange;
pub(crate) use finished::Finished;
use output::Output;
use rows::SeriesRows;
use sort::Sorter;
use times::Operator;
pub use times::OperatorTimes;

/// Where batches of the answer go.
pub type Sink<'a> = dyn FnMut(ResultBatch) -> Result<(), QueryError> + 'a;

/// What a query did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionStats {
    /// Series that the tags chose.
    pub series: u64,
    /// Batches that scans delivered.
    pub batches: u64,
    /// Rows that scans delivered.
    pub rows_scanned: u64,
    /// Statistics that scans delivered in place of rows.
    pub summaries: u64,
    /// Sealed chunks that their statistics, or their packed values, answered for.
    pub chunks_summarised: u64,
    /// Sealed chunks that were left out because no row of theirs could pass.
    pub chunks_skipped: u64,
    /// Sealed chunks of which rows were decoded.
    pub chunks_decoded: u64,
    /// Open chunks, staged rows and late rows that were read.
    pub open_parts: u64,
    /// Chunks of buckets of rows that have left, by tier.
    pub tier_chunks: TierCounts,
    /// Series that their newest row alone answered for.
    pub newest: u64,
    /// What came from earlier queries.
    pub cache: CacheUse,
    /// Rows of the answer.
    pub rows: u64,
    /// Where time went, if that was asked.
    pub times: OperatorTimes,
    /// Times whose rows have left, and that rollups answered for.
    pub rolled: Option<TimeRange>,
    /// Times whose rows have left, and that the answer lacks.
    pub missing: Option<TimeRange>,
}

/// What came from earlier queries, in parts of time of a bucket or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// Nothing is kept of such a statement, or of this source.
    #[default]
    None,
    /// Nothing is kept of this query, and why.
    Passed(&'static str),
    /// Rows changed while it ran: all of it was read a second time.
    Again,
    /// Parts were found or read.
    Used {
        /// Parts that were found and held.
        found: u32,
        /// Parts that were read although rows behind them were there already.
        finished: u32,
        /// Parts that were read because rows still come to them.
        growing: u32,
        /// Ends of the range that are always read.
        ends: u32,
    },
}

impl CacheUse {
    /// In words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::None => "not asked".to_owned(),
            Self::Passed(reason) => format!("not used: {reason}"),
            Self::Again => "rows changed meanwhile: read anew without it".to_owned(),
            Self::Used {
                found,
                finished,
                growing,
                ends,
            } => {
                let parts = found + finished + growing;
                format!(
                    "{found} of {parts} parts found; read: {finished} finished, {growing} growing, {ends} ends"
                )
            }
        }
    }
}

impl ExecutionStats {
    /// What was read and what was spared, in words.
    #[must_use]
    pub fn steps(&self) -> Vec<(String, String)> {
        let counts = [
            ("cache", self.cache.text()),
            (
                "chunks answered by statistics",
                self.chunks_summarised.to_string(),
            ),
            ("chunks skipped", self.chunks_skipped.to_string()),
            ("chunks decoded", self.chunks_decoded.to_string()),
            ("unsealed parts read", self.open_parts.to_string()),
            ("chunks of buckets read, by tier", self.tiers_text()),
            (
                "series answered by their newest row",
                self.newest.to_string(),
            ),
            ("rows read", self.rows_scanned.to_string()),
            ("rows of the answer", self.rows.to_string()),
        ]
        .map(|(what, count)| (what.to_owned(), count));
        counts.into_iter().chain(self.times.steps()).collect()
    }

    fn tiers_text(&self) -> String {
        let tiers = self.tier_chunks.iter();
        let tiers: Vec<String> = tiers
            .map(|(tier, count)| format!("{tier}: {count}"))
            .collect();
        if tiers.is_empty() {
            return "none".to_owned();
        }
        tiers.join(", ")
    }

    /// What there is to say of the answer.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let rolled = self.rolled.map(rolled::warning);
        rolled
            .into_iter()
            .chain(self.missing.map(rolled::missing))
            .collect()
    }

    /// Adds what another thread did for the same query.
    fn absorb(&mut self, other: &Self) {
        self.batches += other.batches;
        self.rows_scanned += other.rows_scanned;
        self.summaries += other.summaries;
        self.chunks_summarised += other.chunks_summarised;
        self.chunks_skipped += other.chunks_skipped;
        self.chunks_decoded += other.chunks_decoded;
        self.open_parts += other.open_parts;
        self.tier_chunks.absorb(&other.tier_chunks);
        self.newest += other.newest;
        self.times.add(&other.times);
        let rolled = self.rolled.into_iter().chain(other.rolled);
        self.rolled = rolled.reduce(both);
    }

    /// Adds what a scan has counted since it was asked last.
    fn add(&mut self, before: &mut ReadCounts, now: ReadCounts) {
        self.chunks_summarised += now.chunks_summarised - before.chunks_summarised;
        self.chunks_skipped += now.chunks_skipped - before.chunks_skipped;
        self.chunks_decoded += now.chunks_decoded - before.chunks_decoded;
        self.open_parts += now.open_parts - before.open_parts;
        *before = now;
    }
}

/// Executes a plan. The sink gets batches of about a thousand rows, none of them empty.
pub fn execute(
    source: &dyn Source,
    plan: &Plan,
    context: &QueryContext<'_>,
    sink: &mut Sink<'_>,
) -> Result<ExecutionStats, QueryError> {
    let mut stats = ExecutionStats::default();
    // Whoever does not ask does not pay for it.
    let untimed = QueryContext {
        monotonic_ns: None,
        ..*context
    };
    match &plan.kind {
        PlanKind::Select(select) => execute_select(source, select, &untimed, sink, &mut stats)?,
        PlanKind::Explain(select, Explained::Plan) => {
            stats.rows = show::explain(source, select, None, sink)?;
        }
        PlanKind::Explain(select, Explained::Execution) => {
            execute_select(source, select, context, &mut |_| Ok(()), &mut stats)?;
            stats.rows = show::explain(source, select, Some(&stats), sink)?;
        }
        PlanKind::Delete(delete) => stats.rows = delete::delete(source, delete, sink)?,
        PlanKind::Drop(database, measurement) => {
            let deleted = source.drop_measurement(database, *measurement)?;
            stats.rows = delete::answer(deleted, sink)?;
        }
        PlanKind::Show(show) => stats.rows = show::show(source, show, context, sink)?,
    }
    Ok(stats)
}

fn execute_select(
    source: &dyn Source,
    plan: &SelectPlan,
    context: &QueryContext<'_>,
    sink: &mut Sink<'_>,
    stats: &mut ExecutionStats,
) -> Result<(), QueryError> {
    stats.times.begin(context);
    let kinds = plan.outputs.iter().map(|output| output.kind).collect();
    let mut output = Output::new(kinds, plan.limit, plan.offset, sink);
    if !output.is_done() {
        let series = choose::series_of(source, plan)?;
        stats.series = series.len() as u64;
        stats.times.mark(context, Operator::Choose);
        if plan.grouping.is_none() && plan.limit.is_none() {
            let range = plan.scan.range;
            let left = series
                .iter()
                .filter_map(|info| source.rolled(info.id, range));
            stats.missing = left.reduce(both);
        }
        if plan.grouping.is_some() {
            group::run(source, plan, &series, context, &mut output, stats)?;
        } else if plan.is_streamed() {
            merge::run(source, plan, &series, context, &mut output, stats)?;
        } else {
            let mut sorter = Sorter::new(plan, context);
            for (index, info) in series.iter().enumerate() {
                let mut rows = SeriesRows::open(source, plan, index, info)?;
                while let Some(batch) = rows.next(plan, context, stats)? {
                    let frame = batch.frame(plan, &rows.tags);
                    let outputs = project(&plan.outputs, &frame)?;
                    let keys = plan.order.iter().map(|key| &key.expr);
                    let keys = project(keys, &frame)?;
                    sorter.push(&outputs, &keys, Some(&batch.times), frame.rows)?;
                    stats.times.mark(context, Operator::Order);
                }
            }
            sorter.finish(&mut output)?;
            stats.times.mark(context, Operator::Order);
        }
    }
    stats.rows = output.finish()?;
    stats.times.mark(context, Operator::Output);
    Ok(())
}

/// From where the one or the other begins to where both have ended.
fn both(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        start: one.start.min(other.start),
        end: one.end.max(other.end),
    }
}

/// Evaluates some expressions into vectors of their own.
fn project<'a>(
    exprs: impl IntoIterator<Item = &'a Typed>,
    frame: &super::expr::vector::Frame<'_>,
) -> Result<Vec<ColumnVector>, QueryError> {
    exprs
        .into_iter()
        .map(|expr| Ok(into_vector(evaluate(expr, frame)?, expr.kind, frame.rows)))
        .collect()
}
