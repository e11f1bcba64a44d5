//! Queries: SQL over anything that can list and scan series.
//!
//! ```text
//! text -> sql::parse -> Statement -> plan -> Plan -> execute -> batches -> encode
//! ```
//!
//! A statement depends on its text alone, a plan on the schema and `now()`, an execution on the data. No
//! clock, no thread and no lock in here: time, limits and cancellation come in with [`QueryContext`].
#![doc = include_str!("SEMANTICS.md")]

mod buckets;
pub mod cache;
mod condition;
mod context;
pub mod encode;
mod error;
mod exec;
mod expr;
mod memory;
mod names;
mod plan;
pub mod result;
mod rolled;
pub mod source;
pub mod sql;
mod statements;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod value;
mod workers;

pub use context::{QueryContext, QueryLimits};
pub use error::{NameKind, QueryError, SqlPosition};
pub use exec::{CacheUse, ExecutionStats, OperatorTimes, Sink, execute};
pub use memory::QueryMemory;
pub use plan::{Plan, plan};
pub use sql::parse;
pub use statements::Statements;
pub use store::Store;
pub use value::Scalar;
pub use workers::{Executor, Job, QueryWorkers};

use source::Source;

/// Parses, plans and executes one statement; `header` is called once, before the first batch.
pub fn query(
    source: &dyn Source,
    text: &str,
    context: &QueryContext<'_>,
    header: &mut dyn FnMut(&[result::ResultColumn]) -> Result<(), QueryError>,
    sink: &mut Sink<'_>,
) -> Result<ExecutionStats, QueryError> {
    let statement = parse(text)?;
    let plan = plan(source, &statement, context)?;
    header(plan.columns())?;
    execute(source, &plan, context, sink)
}
