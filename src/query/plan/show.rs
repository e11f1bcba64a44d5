//! `SHOW` and the header of `EXPLAIN`.

use std::sync::Arc;

use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::result::{ResultColumn, ResultType};
use crate::query::source::Source;
use crate::query::sql::ast::{Show, ShowKind};

use super::select::find_measurement;
use super::{Plan, PlanKind, ShowPlan};

pub(super) fn plan_show(
    source: &dyn Source,
    show: &Show,
    context: &QueryContext<'_>,
) -> Result<Plan, QueryError> {
    let measurements = match (&show.from, show.kind) {
        (_, ShowKind::Databases) => Vec::new(),
        (Some(name), _) => vec![find_measurement(source, context.database, name)?.name],
        (None, _) => source.measurements(context.database)?,
    };
    let names: &[(&str, ResultType)] = match show.kind {
        ShowKind::Databases => &[("database", ResultType::String)],
        ShowKind::Measurements => &[("measurement", ResultType::String)],
        ShowKind::Series => &[
            ("measurement", ResultType::String),
            ("tags", ResultType::String),
        ],
        ShowKind::Tags => &[
            ("measurement", ResultType::String),
            ("tag", ResultType::String),
            ("values", ResultType::Integer),
        ],
        ShowKind::Fields => &[
            ("measurement", ResultType::String),
            ("field", ResultType::String),
            ("type", ResultType::String),
            ("unit", ResultType::String),
            ("description", ResultType::String),
        ],
        ShowKind::Schema => &[
            ("measurement", ResultType::String),
            ("name", ResultType::String),
            ("kind", ResultType::String),
            ("type", ResultType::String),
            ("declared", ResultType::String),
            ("unit", ResultType::String),
            ("description", ResultType::String),
            ("min", ResultType::Float),
            ("max", ResultType::Float),
            ("first_seen", ResultType::Time),
            ("last_seen", ResultType::Time),
            ("rows", ResultType::Integer),
            ("mode", ResultType::String),
        ],
    };
    Ok(Plan {
        columns: header(names),
        kind: PlanKind::Show(ShowPlan {
            kind: show.kind,
            database: Arc::from(context.database),
            measurements,
        }),
    })
}

pub(super) fn explain_columns() -> Vec<ResultColumn> {
    header(&[("step", ResultType::String), ("detail", ResultType::String)])
}

fn header(names: &[(&str, ResultType)]) -> Vec<ResultColumn> {
    names
        .iter()
        .map(|&(name, column_type)| ResultColumn {
            name: name.to_owned(),
            column_type,
        })
        .collect()
}
