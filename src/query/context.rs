//! What a query is given besides its text: database, time, limits, and a way to be stopped.

use crate::limits::{QUERY_GROUPS, QUERY_MEMORY_BYTES, QUERY_SORTED_ROWS};
use crate::query::memory::QueryMemory;
use crate::query::workers::QueryWorkers;
use crate::types::Timestamp;

/// The surroundings of one query.
#[derive(Clone, Copy)]
pub struct QueryContext<'a> {
    /// The database that names are looked up in.
    pub database: &'a str,
    /// What `now()` is, nanoseconds since the epoch.
    pub now_ns: Timestamp,
    /// How much the query may use.
    pub limits: QueryLimits,
    /// What all queries keep together, where that is bounded.
    pub memory: Option<&'a QueryMemory>,
    /// Nanoseconds that only grow, where it is to be told what time goes to.
    pub monotonic_ns: Option<&'a (dyn Fn() -> u64 + Sync)>,
    /// Threads that it may have beside its own.
    pub workers: Option<&'a QueryWorkers>,
    /// Asked once a batch: true gives the query up.
    pub cancel: &'a (dyn Fn() -> bool + Sync),
}

/// How much one query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Rows kept in memory to be sorted.
    pub sorted_rows: usize,
    /// Groups kept in memory.
    pub groups: usize,
    /// Bytes, about, that groups and the values kept for them take.
    pub memory_bytes: usize,
    /// Rows alone may answer, not rollups.
    pub exact: bool,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            sorted_rows: QUERY_SORTED_ROWS,
            groups: QUERY_GROUPS,
            memory_bytes: QUERY_MEMORY_BYTES,
            exact: false,
        }
    }
}
