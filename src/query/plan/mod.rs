//! From a tree to a plan: names resolved, types checked, time and tags pushed down.

mod aggregates;
mod bind;
mod buckets;
mod delete;
mod functions;
mod names;
mod operators;
mod predicate;
mod reuse;
mod scan;
mod select;
mod show;

use std::sync::Arc;

pub(crate) use self::reuse::Reuse;
use super::context::QueryContext;
use super::error::QueryError;
use super::exec::aggregate::Aggregate;
use super::expr::Typed;
use super::result::ResultColumn;
use super::source::{Buckets, ScanRequest, Source};
use super::sql::ast::{Explained, ShowKind, Statement};
use super::value::Type;
use crate::types::{MeasurementId, TimeRange};

/// What will be done, ready to be executed any number of times while the schema stays as it is.
#[derive(Clone, Debug)]
pub struct Plan {
    columns: Vec<ResultColumn>,
    pub(crate) kind: PlanKind,
}

impl Plan {
    /// Names and types of the answer's columns.
    #[must_use]
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }
}

impl Plan {
    /// Whether it is of a `SELECT`, and of nothing around one.
    #[must_use]
    pub const fn is_select(&self) -> bool {
        matches!(self.kind, PlanKind::Select(_))
    }

    /// The plan of a `SELECT` in words, step by step; nothing for other statements.
    #[must_use]
    pub fn steps(&self) -> Vec<(String, String)> {
        let (PlanKind::Select(select) | PlanKind::Explain(select, _)) = &self.kind else {
            return Vec::new();
        };
        let steps = select.description.iter();
        steps
            .map(|(step, detail)| ((*step).to_owned(), detail.clone()))
            .collect()
    }
}

/// Resolves a statement against the schema. `now()` is that of the context.
pub fn plan(
    source: &dyn Source,
    statement: &Statement,
    context: &QueryContext<'_>,
) -> Result<Plan, QueryError> {
    match statement {
        Statement::Select(select) => {
            let (columns, plan) = select::plan_select(source, select, context)?;
            Ok(Plan {
                columns,
                kind: PlanKind::Select(Box::new(plan)),
            })
        }
        Statement::Explain(select, explained) => {
            let (_, plan) = select::plan_select(source, select, context)?;
            Ok(Plan {
                columns: show::explain_columns(),
                kind: PlanKind::Explain(Box::new(plan), *explained),
            })
        }
        Statement::Show(show) => show::plan_show(source, show, context),
        Statement::Delete(delete) => delete::plan_delete(source, delete, context),
        Statement::Drop(name) => delete::plan_drop(source, name, context),
    }
}

#[derive(Clone, Debug)]
pub(crate) enum PlanKind {
    Select(Box<SelectPlan>),
    Explain(Box<SelectPlan>, Explained),
    Show(ShowPlan),
    Delete(DeletePlan),
    /// A measurement of a database.
    Drop(Arc<str>, MeasurementId),
}

/// Which rows go: those of a range of time of the series that the tags choose.
#[derive(Clone, Debug)]
pub(crate) struct DeletePlan {
    pub(crate) database: Arc<str>,
    pub(crate) measurement: MeasurementId,
    pub(crate) range: TimeRange,
    /// What the slots of the filter are: tags.
    pub(crate) inputs: Vec<Input>,
    /// Evaluated once a series.
    pub(crate) series_filter: Option<Typed>,
}

/// What `SHOW` lists, of which database.
#[derive(Clone, Debug)]
pub(crate) struct ShowPlan {
    pub(crate) kind: ShowKind,
    pub(crate) database: Arc<str>,
    pub(crate) measurements: Vec<Arc<str>>,
}

/// A query over the series of one measurement.
#[derive(Clone, Debug)]
pub(crate) struct SelectPlan {
    pub(crate) database: Arc<str>,
    pub(crate) measurement: MeasurementId,
    /// What is asked of every series; `Input::Column` counts in its columns.
    pub(crate) scan: ScanRequest,
    /// Whether a series is done once every aggregate has a value of it.
    pub(crate) ends_early: bool,
    /// Where the answer has groups of a few buckets only.
    pub(crate) nearest: Option<Nearest>,
    /// Whether what is added up is kept for other queries.
    pub(crate) reuse: Reuse,
    /// Evaluated once a series; reads tags only.
    pub(crate) series_filter: Option<Typed>,
    /// Evaluated for every row.
    pub(crate) row_filter: Option<Typed>,
    /// What the slots of row expressions are.
    pub(crate) inputs: Vec<Input>,
    pub(crate) grouping: Option<Grouping>,
    /// Over rows, or over groups: keys first, then aggregates, then filled columns.
    pub(crate) outputs: Vec<Typed>,
    pub(crate) order: Vec<SortKey>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    /// The plan in words.
    pub(crate) description: Vec<(&'static str, String)>,
}

/// So many buckets, from one end of time on, hold every group of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nearest {
    pub(crate) newest_first: bool,
    pub(crate) buckets: usize,
}

/// An input of row expressions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Input {
    Time,
    Tag(Arc<str>),
    Column(usize),
}

/// How rows become groups.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// Over rows.
    pub(crate) keys: Vec<Typed>,
    /// The key that is a bucket of the row's time.
    pub(crate) bucket: Option<(usize, Buckets)>,
    pub(crate) aggregates: Vec<Aggregate>,
    /// The range in which every bucket is a group of each combination of the other keys.
    pub(crate) gapfill: Option<TimeRange>,
    /// Columns behind the aggregates.
    pub(crate) fills: Vec<Fill>,
    /// Over groups: keys, then aggregates, then filled columns.
    pub(crate) having: Option<Typed>,
}

/// A column whose gaps are filled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fill {
    pub(crate) method: FillMethod,
    /// Over keys and aggregates.
    pub(crate) input: Typed,
    pub(crate) kind: Type,
}

/// What stands in a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FillMethod {
    /// The last value before it.
    Locf,
    /// What lies on the line between the values beside it.
    Interpolate,
}

/// A key of `ORDER BY`.
#[derive(Clone, Debug)]
pub(crate) struct SortKey {
    pub(crate) expr: Typed,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}
