//! One connection that asks the same query again and again.

use std::time::Instant;

use edgetime_protocol::client::Connection;
use edgetime_protocol::message::QueryOptions;

use super::latency::Latencies;
use super::{BenchArgs, Stop};
use crate::cli::CommandError;
use crate::cli::workload::Workload;

/// What one connection saw.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub latencies: Latencies,
    /// Rows of all answers.
    pub rows: u64,
}

/// Asks until it is over, each time to the last row.
pub(super) fn ask(args: &BenchArgs, stop: &Stop) -> Result<Asked, CommandError> {
    let failed = |error| CommandError::client(&args.server.addr, &error);
    let options = args.server.connection_options();
    let mut connection =
        Connection::connect(args.server.addr.as_str(), &options).map_err(failed)?;
    let database = args.server.db.as_deref().unwrap_or_default();
    let sql = sql(args);
    let mut asked = Asked::default();
    while !stop.is_over() {
        let start = Instant::now();
        let rows = connection
            .query(database, sql, QueryOptions::default())
            .map_err(failed)?;
        for batch in rows {
            asked.rows += batch.map_err(failed)?.rows() as u64;
        }
        asked.latencies.push(start.elapsed());
    }
    Ok(asked)
}

/// The query that is asked.
pub(super) fn sql(args: &BenchArgs) -> &str {
    args.sql.as_deref().unwrap_or(match args.workload {
        Workload::Devops => {
            "SELECT time_bucket('1 minute', time) AS minute, avg(usage_user) AS mean FROM cpu \
             WHERE hostname = 'host_0' GROUP BY time_bucket('1 minute', time)"
        }
        Workload::Iot => {
            "SELECT time_bucket('1 minute', time) AS minute, count(*) AS rows FROM readings \
             GROUP BY time_bucket('1 minute', time)"
        }
    })
}
