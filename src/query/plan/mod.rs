//! From a tree to a plan: names resolved, types checked, time and tags pushed down.

mod bind;
mod functions;
mod names;
mod predicate;
mod select;
mod show;

use std::sync::Arc;

use super::context::QueryContext;
use super::error::QueryError;
use super::exec::aggregate::Aggregate;
use super::expr::Typed;
use super::result::ResultColumn;
use super::source::{Buckets, Source};
use super::sql::ast::{ShowKind, Statement};
use crate::types::{ColumnId, MeasurementId, TimeRange};

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
        Statement::Explain(select) => {
            let (_, plan) = select::plan_select(source, select, context)?;
            Ok(Plan {
                columns: show::explain_columns(),
                kind: PlanKind::Explain(Box::new(plan)),
            })
        }
        Statement::Show(show) => show::plan_show(source, show, context),
    }
}

#[derive(Clone, Debug)]
pub(crate) enum PlanKind {
    Select(Box<SelectPlan>),
    Explain(Box<SelectPlan>),
    Show(ShowPlan),
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
    /// Only rows of this range are scanned.
    pub(crate) range: TimeRange,
    /// Evaluated once a series; reads tags only.
    pub(crate) series_filter: Option<Typed>,
    /// Evaluated for every row.
    pub(crate) row_filter: Option<Typed>,
    /// What the slots of row expressions are.
    pub(crate) inputs: Vec<Input>,
    /// The columns to scan; `Input::Column` counts in here.
    pub(crate) columns: Vec<ColumnId>,
    pub(crate) grouping: Option<Grouping>,
    /// Over rows, or over groups: keys first, then aggregates.
    pub(crate) outputs: Vec<Typed>,
    pub(crate) order: Vec<SortKey>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    /// The plan in words.
    pub(crate) description: Vec<(&'static str, String)>,
}

impl SelectPlan {
    /// Whether rows come in the order of a merge by time, so that nothing has to be kept.
    pub(crate) fn is_streamed(&self) -> bool {
        let by_time = match self.order.as_slice() {
            [] => true,
            [key] => {
                !key.descending
                    && matches!(&key.expr.node, super::expr::Node::Slot(slot)
                        if matches!(self.inputs.get(*slot), Some(Input::Time)))
            }
            _ => false,
        };
        self.grouping.is_none() && by_time
    }
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
    /// Over groups.
    pub(crate) having: Option<Typed>,
}

/// A key of `ORDER BY`.
#[derive(Clone, Debug)]
pub(crate) struct SortKey {
    pub(crate) expr: Typed,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}
