//! `DROP MEASUREMENT`, and `DELETE`: which series, and which range of time. Conditions that need a row's values are refused.

use std::sync::Arc;

use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::result::{ResultColumn, ResultType};
use crate::query::source::Source;
use crate::query::sql::ast::{Delete, Name};

use super::bind::Binder;
use super::names::Names;
use super::predicate;
use super::select::find_measurement;
use super::{DeletePlan, Plan, PlanKind};

pub(super) fn plan_delete(
    source: &dyn Source,
    delete: &Delete,
    context: &QueryContext<'_>,
) -> Result<Plan, QueryError> {
    let info = find_measurement(source, context.database, &delete.from)?;
    let mut binder = Binder::new(Names::new(&info), context.now_ns, Vec::new());
    let predicate = predicate::split(&mut binder, Some(&delete.filter))?;
    if let Some(at) = predicate.rows_at {
        return Err(QueryError::Unsupported {
            what: "in DELETE, a condition other than on tags alone or time against a literal is"
                .to_owned(),
            hint: "join such conditions by AND".to_owned(),
            at,
        });
    }
    Ok(Plan {
        columns: deleted(),
        kind: PlanKind::Delete(DeletePlan {
            database: Arc::from(context.database),
            measurement: info.id,
            range: predicate.range,
            inputs: std::mem::take(&mut binder.names.inputs),
            series_filter: predicate::all(predicate.series),
        }),
    })
}

pub(super) fn plan_drop(
    source: &dyn Source,
    name: &Name,
    context: &QueryContext<'_>,
) -> Result<Plan, QueryError> {
    let info = find_measurement(source, context.database, name)?;
    Ok(Plan {
        columns: deleted(),
        kind: PlanKind::Drop(Arc::from(context.database), info.id),
    })
}

fn deleted() -> Vec<ResultColumn> {
    vec![ResultColumn {
        name: "deleted".to_owned(),
        column_type: ResultType::Integer,
    }]
}
