//! Queries on behalf of a connection: limits, cancellation, and errors as codes of the wire.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgetime_protocol::columns::{ResultBatch, ResultColumn};
use edgetime_protocol::error::Code;

use crate::engine::Access;
use crate::query::encode::{Format, TimeFormat};
use crate::query::{self, CacheUse, ExecutionStats, QueryContext, QueryError, QueryLimits, Store};

use super::slowlog::SlowQuery;
use super::{DEFAULT_DATABASE, Shared};

/// A query to run.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The database whose measurements are named; empty for the default one.
    pub database: &'a str,
    /// The text.
    pub sql: &'a str,
    /// Shorter than the configured time, if given.
    pub timeout: Option<Duration>,
    /// Fewer than the configured rows, if given.
    pub rows_max: Option<u64>,
    /// What only rollups could answer is an error.
    pub exact: bool,
}

/// A part of a result.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The columns, once, first.
    Columns(&'a [ResultColumn]),
    /// Some rows.
    Batch(&'a ResultBatch),
}

/// Why a query failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The code.
    pub code: Code,
    /// The reason in words.
    pub message: String,
    /// Where in the text, bytes.
    pub offset: Option<u32>,
}

impl Failed {
    /// Nobody waits for the result any more.
    pub fn cancelled() -> Self {
        Self {
            code: Code::Cancelled,
            message: "cancelled".to_owned(),
            offset: None,
        }
    }

    /// A defect.
    pub fn internal(message: String) -> Self {
        Self {
            code: Code::Internal,
            message,
            offset: None,
        }
    }
}

impl From<&QueryError> for Failed {
    fn from(error: &QueryError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            offset: error.position().map(|position| position.offset),
        }
    }
}

/// Runs a query on this thread, and hands its parts to the sink as they come. Tells what the cache had of it.
pub fn run(
    shared: &Shared,
    access: &Access,
    request: &Request<'_>,
    cancelled: &(dyn Fn() -> bool + Sync),
    sink: &mut dyn FnMut(Part<'_>) -> Result<(), Failed>,
) -> Result<ExecutionStats, Failed> {
    let configured = &shared.config.query;
    let time_max = Duration::from_secs(configured.time_max_s);
    let started = Instant::now();
    let deadline = started
        + request
            .timeout
            .map_or(time_max, |asked| asked.min(time_max));
    let rows_max = request
        .rows_max
        .map_or(configured.rows_max, |asked| asked.min(configured.rows_max));
    let database = match request.database {
        "" => DEFAULT_DATABASE,
        named => named,
    };
    let late = AtomicBool::new(false);
    let cancel = || {
        let is_late = Instant::now() >= deadline;
        late.store(is_late, Ordering::Relaxed);
        is_late || cancelled() || shared.stop.is_cancelled()
    };
    let context = QueryContext {
        database,
        memory: Some(&shared.query_memory),
        now_ns: shared.engine.server_time().now,
        limits: QueryLimits {
            memory_bytes: usize::try_from(configured.memory_max_mb)
                .unwrap_or(usize::MAX)
                .saturating_mul(1024 * 1024),
            exact: request.exact,
            ..QueryLimits::default()
        },
        workers: Some(&shared.query_workers),
        monotonic_ns: Some(&|| started.elapsed().as_nanos() as u64),
        cancel: &cancel,
    };
    let store = Store::new(Arc::clone(&shared.engine), access.clone()).with_cache(&shared.results);
    // The sink's own failures travel beside the query's errors.
    let failure = Cell::new(None);
    let sink = std::cell::RefCell::new(sink);
    let pass = |part: Part<'_>| {
        (sink.borrow_mut())(part).map_err(|failed| {
            let message = failed.message.clone();
            failure.set(Some(failed));
            QueryError::Output(message)
        })
    };
    let mut rows = 0;
    let mut take = |batch: ResultBatch| {
        rows += batch.rows() as u64;
        if rows > rows_max {
            failure.set(Some(Failed {
                code: Code::BudgetExceeded,
                message: format!(
                    "the result has more than {rows_max} rows; add LIMIT, or ask for less"
                ),
                offset: None,
            }));
            return Err(QueryError::Output("too many rows".to_owned()));
        }
        pass(Part::Batch(&batch))
    };
    let mut plan = None;
    let statement = shared.statements.parse(request.sql);
    let result = statement
        .and_then(|statement| query::plan(&store, &statement, &context))
        .and_then(|planned| {
            let planned = plan.insert(planned);
            pass(Part::Columns(planned.columns()))?;
            query::execute(&store, planned, &context, &mut take)
        });
    let answer = match &result {
        Ok(stats) => Ok(*stats),
        Err(error) => Err(failure.take().unwrap_or_else(|| {
            if late.load(Ordering::Relaxed) {
                Failed {
                    code: Code::BudgetExceeded,
                    message:
                        "the query took longer than it may; ask for less, or raise query.time_max_s"
                            .to_owned(),
                    offset: None,
                }
            } else {
                Failed::from(error)
            }
        })),
    };
    let took = started.elapsed();
    let is_kept = matches!(&answer, Ok(stats) if matches!(stats.cache, CacheUse::Used { .. } | CacheUse::Again));
    if is_kept && plan.as_ref().is_some_and(query::Plan::is_select) {
        shared.results.note_query(database, request.sql, 1);
    }
    if shared.slow_queries.is_slow(took) {
        let mut steps = plan.as_ref().map_or(Vec::new(), query::Plan::steps);
        if let Ok(stats) = &result {
            steps.extend(stats.steps());
        }
        shared.slow_queries.note(SlowQuery {
            time_ns: context.now_ns.saturating_add(took.as_nanos() as i64),
            took,
            database: database.to_owned(),
            sql: request.sql.to_owned(),
            outcome: answer
                .as_ref()
                .map_or_else(|failed| failed.code.name(), |_| "ok"),
            rows,
            plan: steps,
        });
    }
    answer
}

/// A result as a table, or as JSON.
pub fn to_text(
    shared: &Shared,
    access: &Access,
    request: &Request<'_>,
    json: bool,
) -> Result<String, Failed> {
    let format = if json { Format::Json } else { Format::Table };
    let mut encoder = format.encoder(TimeFormat::default());
    let mut out = Vec::new();
    let failed = |error: std::io::Error| Failed::internal(error.to_string());
    let stats = run(shared, access, request, &|| false, &mut |part| match part {
        Part::Columns(columns) => encoder.begin(columns, &mut out).map_err(failed),
        Part::Batch(batch) => encoder.batch(batch, &mut out).map_err(failed),
    })?;
    encoder.end(&mut out).map_err(failed)?;
    let mut text = String::from_utf8_lossy(&out).into_owned();
    // JSON has no place for them.
    for warning in stats.warnings().iter().filter(|_| !json) {
        text.push_str("warning: ");
        text.push_str(warning);
        text.push('\n');
    }
    Ok(text)
}
