//! The server: sockets, threads and timers live here and nowhere below.
//!
//! Data port (text, binary, UDP), admin port, the thread that syncs the log, the thread that maintains the
//! store, and the server's own figures.

mod admin;
mod auth;
mod binary;
mod buffers;
mod clients;
mod codes;
mod committer;
mod connection;
mod intake;
mod letters;
mod maintenance;
mod memory;
mod monitor;
mod outbox;
mod pace;
mod replay;
mod slowlog;
mod sql;
mod start;
mod text;
mod threads;
mod udp;
mod warm;

use std::sync::Arc;
use std::time::Instant;

use edgetime_protocol::error::Code;
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::LineError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::admin::rollup::tiers_of;
pub use self::start::{Listeners, LogLevel, Server, ServerError};
pub use self::threads::QueryThreads;

use self::buffers::Buffers;
use self::clients::Clients;
use self::committer::Committer;
use self::intake::Refusal;
use self::maintenance::Maintenance;
use self::slowlog::SlowLog;
use crate::config::Config;
use crate::engine::Engine;
use crate::limits;
use crate::query::cache::ResultCache;
use crate::query::{QueryMemory, QueryWorkers, Statements};

/// The database of lines that name none.
pub const DEFAULT_DATABASE: &str = "default";

/// What every task of the server has.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    config: Config,
    committer: Committer,
    maintenance: Maintenance,
    buffers: Arc<Buffers>,
    clients: Clients,
    queries: Arc<Semaphore>,
    slow_queries: SlowLog,
    results: Arc<ResultCache>,
    query_memory: Arc<QueryMemory>,
    query_workers: QueryWorkers,
    statements: Statements,
    log_level: Box<dyn LogLevel>,
    started: Instant,
    stop: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a line, and the limit where it is beyond one.
fn refusal_of_line(error: &LineError) -> Refusal {
    let Limits {
        line_bytes_max,
        name_bytes_max,
        string_bytes_max,
        tags_max,
        fields_max,
    } = line_limits();
    let limit = match error.code {
        Code::LineTooLong => format!("; a line has {line_bytes_max} bytes at most"),
        Code::NameTooLong => format!("; a name or tag value has {name_bytes_max} bytes at most"),
        Code::StringTooLong => format!("; a string has {string_bytes_max} bytes at most"),
        Code::TooManyTags => format!("; a row has {tags_max} tags at most"),
        Code::TooManyFields => format!("; a row has {fields_max} fields at most"),
        _ => String::new(),
    };
    Refusal::new(error.code, format!("{error}{limit}"))
}

/// The bounds of a line, as the parser wants them.
fn line_limits() -> Limits {
    Limits {
        line_bytes_max: limits::LINE_BYTES,
        name_bytes_max: limits::NAME_BYTES,
        string_bytes_max: limits::VALUE_BYTES,
        tags_max: limits::TAGS,
        fields_max: limits::FIELDS,
    }
}
