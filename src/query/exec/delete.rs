//! `DELETE`: the series are chosen by their tags, the source does the rest.

use crate::query::error::QueryError;
use crate::query::plan::DeletePlan;
use crate::query::result::{ResultBatch, ResultValues};
use crate::query::source::Source;

use super::Sink;
use super::choose::{Condition, choose_series};

/// Deletes, and answers how many rows; how many rows the answer has.
pub(super) fn delete(
    source: &dyn Source,
    plan: &DeletePlan,
    sink: &mut Sink<'_>,
) -> Result<u64, QueryError> {
    let series = choose_series(source, Condition::of_delete(plan))?;
    let ids: Vec<_> = series.iter().map(|info| info.id).collect();
    let deleted = source.delete(&plan.database, plan.measurement, &ids, plan.range)?;
    answer(deleted, sink)
}

/// Answers how many rows are gone.
pub(super) fn answer(deleted: u64, sink: &mut Sink<'_>) -> Result<u64, QueryError> {
    let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
    sink(ResultBatch {
        columns: vec![ResultValues::Integer(vec![deleted]).into()],
    })?;
    Ok(1)
}
