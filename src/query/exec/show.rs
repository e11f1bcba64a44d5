//! `SHOW` and `EXPLAIN`: small answers about the schema and about plans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::plan::{Reuse, SelectPlan, ShowPlan};
use crate::query::result::{ResultBatch, ResultValues, ResultVector};
use crate::query::source::{MeasurementInfo, SeriesInfo, Source};
use crate::query::sql::ast::ShowKind;

use super::choose::{describe, series_of};
use super::rows::check;
use super::schema::show_schema;
use super::{ExecutionStats, Sink};

/// Lists what was asked for; how many rows were sent.
pub(super) fn show(
    source: &dyn Source,
    plan: &ShowPlan,
    context: &QueryContext<'_>,
    sink: &mut Sink<'_>,
) -> Result<u64, QueryError> {
    let mut table = Table::new(sink);
    match plan.kind {
        ShowKind::Databases => {
            for name in source.databases() {
                table.row(vec![name.to_string()])?;
            }
        }
        ShowKind::Measurements => {
            for name in &plan.measurements {
                table.row(vec![name.to_string()])?;
            }
        }
        _ => {
            for name in &plan.measurements {
                check(context)?;
                if let Some(info) = source.measurement(&plan.database, name)? {
                    show_measurement(source, plan, &info, &mut table)?;
                }
            }
        }
    }
    table.finish()
}

fn show_measurement(
    source: &dyn Source,
    plan: &ShowPlan,
    info: &MeasurementInfo,
    table: &mut Table<'_, '_>,
) -> Result<(), QueryError> {
    let name = || info.name.to_string();
    match plan.kind {
        ShowKind::Series => {
            let mut series = source.series(&plan.database, info.id, &|_| true)?;
            series.sort_by(|a, b| a.tags.cmp(&b.tags));
            for one in &series {
                table.row(vec![name(), tags_text(one)])?;
            }
        }
        ShowKind::Tags => {
            let mut values: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = info
                .tag_keys
                .iter()
                .map(|key| (Arc::clone(key), BTreeSet::new()))
                .collect();
            for one in source.series(&plan.database, info.id, &|_| true)? {
                for (key, value) in one.tags.iter() {
                    values
                        .entry(Arc::clone(key))
                        .or_default()
                        .insert(Arc::clone(value));
                }
            }
            for (key, values) in values {
                table.counted(vec![name(), key.to_string()], values.len() as i64)?;
            }
        }
        _ => table.sent += show_schema(source, plan, info, table.sink)?,
    }
    Ok(())
}

fn tags_text(series: &SeriesInfo) -> String {
    let pairs: Vec<String> = series
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// Describes a plan and counts the series it would read; tells what was read where it was executed.
pub(super) fn explain(
    source: &dyn Source,
    plan: &SelectPlan,
    executed: Option<&ExecutionStats>,
    sink: &mut Sink<'_>,
) -> Result<u64, QueryError> {
    let mut table = Table::new(sink);
    for (step, detail) in &plan.description {
        table.row(vec![(*step).to_owned(), detail.clone()])?;
    }
    let rows = if plan.grouping.is_some() {
        "grouped in memory"
    } else if plan.is_streamed() {
        "merged by time, streamed"
    } else {
        "sorted in memory"
    };
    table.row(vec!["rows".to_owned(), rows.to_owned()])?;
    for hint in hints(plan) {
        table.row(vec!["chunks".to_owned(), hint.to_owned()])?;
    }
    if executed.is_none() {
        let kept = match plan.reuse {
            Reuse::Kept { .. } => "parts that are finished are kept",
            Reuse::Never(reason) => reason,
        };
        table.row(vec!["cache".to_owned(), kept.to_owned()])?;
    }
    table.row(vec!["series by".to_owned(), describe(plan).to_owned()])?;
    let series = series_of(source, plan)?.len();
    table.row(vec!["series matched".to_owned(), series.to_string()])?;
    let columns = plan.scan.columns.len();
    table.row(vec!["columns read".to_owned(), columns.to_string()])?;
    if let Some(stats) = executed {
        for (what, count) in stats.steps() {
            table.row(vec![what, count])?;
        }
    }
    table.finish()
}

/// What need not be decoded.
fn hints(plan: &SelectPlan) -> Vec<&'static str> {
    let scan = &plan.scan;
    let mut hints = Vec::new();
    if scan.summaries.as_ref().is_some_and(|asked| !asked.moments) {
        hints.push("answered by statistics where few buckets share one");
    }
    if !scan.conditions.is_empty() {
        hints.push("skipped where statistics exclude the row filter");
    }
    if scan.newest_first {
        hints.push("newest first");
    }
    if plan.ends_early || plan.nearest.is_some() || scan.rows_max.is_some() {
        hints.push("as few as the answer needs");
    }
    hints
}

/// Rows of text, perhaps with a number behind them.
struct Table<'s, 'f> {
    sink: &'s mut Sink<'f>,
    texts: Vec<Vec<String>>,
    numbers: Vec<i64>,
    pending: usize,
    sent: u64,
}

impl<'s, 'f> Table<'s, 'f> {
    fn new(sink: &'s mut Sink<'f>) -> Self {
        Self {
            sink,
            texts: Vec::new(),
            numbers: Vec::new(),
            pending: 0,
            sent: 0,
        }
    }

    fn counted(&mut self, row: Vec<String>, number: i64) -> Result<(), QueryError> {
        self.numbers.push(number);
        self.row(row)
    }

    fn row(&mut self, row: Vec<String>) -> Result<(), QueryError> {
        self.texts.resize_with(row.len(), Vec::new);
        for (column, cell) in self.texts.iter_mut().zip(row) {
            column.push(cell);
        }
        self.pending += 1;
        if self.pending >= QUERY_BATCH_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, QueryError> {
        self.flush()?;
        Ok(self.sent)
    }

    fn flush(&mut self) -> Result<(), QueryError> {
        if self.pending == 0 {
            return Ok(());
        }
        let mut columns: Vec<ResultVector> = std::mem::take(&mut self.texts)
            .into_iter()
            .map(|column| ResultValues::String(column).into())
            .collect();
        if !self.numbers.is_empty() {
            let numbers = std::mem::take(&mut self.numbers);
            columns.push(ResultValues::Integer(numbers).into());
        }
        self.sent += self.pending as u64;
        self.pending = 0;
        (self.sink)(ResultBatch { columns })
    }
}
