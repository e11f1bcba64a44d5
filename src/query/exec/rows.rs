//! The rows of one series that pass the filter, batch by batch, as frames for expressions.

use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::expr::evaluate;
use crate::query::expr::vector::{Frame, Operand, Slot, gather, selected};
use crate::query::plan::{Input, SelectPlan};
use crate::query::source::{
    ChunkSummary, ReadCounts, ScanBatch, ScanPart, SeriesInfo, SeriesScan, Source, SourceError,
};
use crate::query::value::Scalar;
use crate::rollup::TierCounts;
use crate::series::vector::{ColumnVector, Validity, Values};
use crate::types::TimeRange;

use super::ExecutionStats;
use super::times::Operator;

/// A value for each input that is a tag of this series, null for all others.
pub(super) fn tags_of(inputs: &[Input], info: &SeriesInfo) -> Vec<Scalar> {
    inputs
        .iter()
        .map(|input| match input {
            Input::Tag(key) => info
                .tag(key)
                .map_or(Scalar::Null, |value| Scalar::String(value.clone())),
            _ => Scalar::Null,
        })
        .collect()
}

/// A scan of one series.
pub(super) struct SeriesRows {
    scan: Box<dyn SeriesScan>,
    /// What was told of the scan so far.
    counts: ReadCounts,
    /// Place of the series in the order of all.
    pub(super) index: usize,
    pub(super) tags: Vec<Scalar>,
}

/// Filtered rows of one series.
pub(super) struct Rows {
    /// Integer, never null.
    pub(super) times: ColumnVector,
    columns: Vec<ColumnVector>,
}

/// Rows, or what stands for them.
pub(super) enum Part {
    Rows(Rows),
    Summary(ChunkSummary),
}

impl SeriesRows {
    pub(super) fn open(
        source: &dyn Source,
        plan: &SelectPlan,
        index: usize,
        info: &SeriesInfo,
    ) -> Result<Self, QueryError> {
        let tags = tags_of(&plan.inputs, info);
        Ok(Self::of(source.scan(info.id, &plan.scan)?, index, tags))
    }

    /// What a scan gives of the series that has this place and these tags.
    pub(super) fn of(scan: Box<dyn SeriesScan>, index: usize, tags: Vec<Scalar>) -> Self {
        Self {
            scan,
            counts: ReadCounts::default(),
            index,
            tags,
        }
    }

    /// The times that buckets of rollups stand for.
    pub(super) fn rolled(&self) -> Option<TimeRange> {
        self.scan.rolled()
    }

    /// The chunks of buckets that are read for them, by tier.
    pub(super) fn tiers(&self) -> TierCounts {
        self.scan.tiers()
    }

    /// The next rows that pass, never none of them; `None` at the end. For plans that ask for no statistics.
    pub(super) fn next(
        &mut self,
        plan: &SelectPlan,
        context: &QueryContext<'_>,
        stats: &mut ExecutionStats,
    ) -> Result<Option<Rows>, QueryError> {
        match self.next_part(plan, context, stats)? {
            None => Ok(None),
            Some(Part::Rows(rows)) => Ok(Some(rows)),
            Some(Part::Summary(_)) => {
                let message = "a scan delivered statistics in place of rows".to_owned();
                Err(SourceError::Failed(message).into())
            }
        }
    }

    /// As [`SeriesRows::next`], or statistics of rows that all pass.
    pub(super) fn next_part(
        &mut self,
        plan: &SelectPlan,
        context: &QueryContext<'_>,
        stats: &mut ExecutionStats,
    ) -> Result<Option<Part>, QueryError> {
        loop {
            check(context)?;
            let part = self.scan.next()?;
            stats.add(&mut self.counts, self.scan.counts());
            stats.times.mark(context, Operator::Scan);
            match part {
                None => return Ok(None),
                Some(ScanPart::Summary(summary)) => {
                    stats.summaries += 1;
                    return Ok(Some(Part::Summary(summary)));
                }
                Some(ScanPart::Rows(batch)) => {
                    let rows = self.filtered(batch, plan, stats)?;
                    stats.times.mark(context, Operator::Filter);
                    if rows.len() > 0 {
                        return Ok(Some(Part::Rows(rows)));
                    }
                }
            }
        }
    }

    fn filtered(
        &self,
        batch: ScanBatch,
        plan: &SelectPlan,
        stats: &mut ExecutionStats,
    ) -> Result<Rows, QueryError> {
        let rows = batch.times.len();
        let complete = batch.columns.len() == plan.scan.columns.len()
            && batch.columns.iter().all(|column| column.len() == rows);
        if !complete {
            let message = "a scan delivered columns of the wrong length".to_owned();
            return Err(SourceError::Failed(message).into());
        }
        let mut rows = Rows::of(batch, stats);
        let Some(filter) = &plan.row_filter else {
            return Ok(rows);
        };
        let frame = rows.frame(plan, &self.tags);
        let chosen = selected(&evaluate(filter, &frame)?, frame.rows);
        if let Some(chosen) = chosen {
            rows.times = gather(&rows.times, &chosen);
            for column in &mut rows.columns {
                *column = gather(column, &chosen);
            }
        }
        Ok(rows)
    }
}

impl Rows {
    /// All rows of a batch.
    pub(super) fn of(batch: ScanBatch, stats: &mut ExecutionStats) -> Self {
        stats.batches += 1;
        stats.rows_scanned += batch.times.len() as u64;
        Self {
            times: ColumnVector {
                values: Values::Integer(batch.times),
                validity: Validity::all(),
            },
            columns: batch.columns,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn times(&self) -> &[i64] {
        match &self.times.values {
            Values::Integer(times) => times,
            _ => &[],
        }
    }

    /// Whether any row has a value in a column of the scan.
    pub(super) fn any_value(&self, column: usize) -> bool {
        let values = self.columns.get(column);
        values.is_some_and(|values| (0..self.len()).any(|row| values.validity.is_valid(row)))
    }

    /// The same rows in descending order of time.
    pub(super) fn reversed(mut self) -> Self {
        let order: Vec<u32> = (0..self.len() as u32).rev().collect();
        self.times = gather(&self.times, &order);
        for column in &mut self.columns {
            *column = gather(column, &order);
        }
        self
    }

    /// The rows as inputs of row expressions.
    pub(super) fn frame<'a>(&'a self, plan: &SelectPlan, tags: &'a [Scalar]) -> Frame<'a> {
        let slots = plan
            .inputs
            .iter()
            .zip(tags)
            .map(|(input, tag)| match input {
                Input::Time => Slot::Vector(&self.times),
                Input::Tag(_) => Slot::Constant(tag),
                Input::Column(index) => match self.columns.get(*index) {
                    Some(column) => Slot::Vector(column),
                    None => Slot::Constant(tag),
                },
            })
            .collect();
        Frame {
            rows: self.len(),
            slots,
        }
    }
}

/// Gives up where the caller has.
pub(super) fn check(context: &QueryContext<'_>) -> Result<(), QueryError> {
    if (context.cancel)() {
        return Err(QueryError::Cancelled);
    }
    Ok(())
}

/// Whether an operand is the same in every row of a batch.
pub(super) const fn is_constant(operand: &Operand<'_>) -> bool {
    matches!(operand, Operand::Constant(_))
}
