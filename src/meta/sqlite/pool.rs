//! A small pool of connections to one SQLite file, and its figures.
//!
//! A connection is validated before use: it answers, and its file is still the one under the name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use r2d2::event::{AcquireEvent, CheckoutEvent, HandleEvent, TimeoutEvent};
use r2d2::{ManageConnection, NopErrorHandler, Pool};
use rusqlite::{Connection, OpenFlags};

use super::SqliteOptions;
use super::alive::{Alive, Guard};
use crate::meta::Result;

/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first connection may take to open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Prepared statements kept by each connection: more than there are in the code.
const STATEMENTS_CACHED: usize = 32;
/// The log of SQLite is cut to this size after a checkpoint.
const WAL_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Buckets of waiting times: powers of two of a microsecond.
const BUCKETS: usize = 32;

/// Opens connections and tells whether they still work.
#[derive(Debug)]
pub(super) struct Manager {
    path: PathBuf,
    alive: Arc<Alive>,
    /// As long as it is there, it may open another one.
    _alive: Guard,
}

/// A connection and the file it was opened on.
pub(super) struct MetaConnection {
    pub(super) connection: Connection,
    file: (u64, u64),
    /// Dropped after the connection.
    _alive: Guard,
}

impl Manager {
    pub(super) fn new(path: &Path, alive: &Arc<Alive>) -> Self {
        Self {
            path: path.to_owned(),
            alive: Arc::clone(alive),
            _alive: alive.enter(),
        }
    }

    fn identity(&self) -> rusqlite::Result<(u64, u64)> {
        identity(&self.path).ok_or_else(|| rusqlite::Error::InvalidPath(self.path.clone()))
    }
}

impl ManageConnection for Manager {
    type Connection = MetaConnection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<MetaConnection> {
        let alive = self.alive.enter();
        // Asked before the file is opened: a connection to one that is replaced meanwhile must not pass
        // for a connection to the replacement. Nor is a missing file made: it would have no tables.
        let file = self.identity()?;
        Ok(MetaConnection {
            connection: connect(&self.path, OpenFlags::empty())?,
            file,
            _alive: alive,
        })
    }

    fn is_valid(&self, connection: &mut MetaConnection) -> rusqlite::Result<()> {
        if connection.file != self.identity()? {
            return Err(rusqlite::Error::InvalidPath(self.path.clone()));
        }
        let mut statement = connection.connection.prepare_cached("SELECT 1")?;
        statement.query_row([], |_| Ok(()))
    }

    fn has_broken(&self, connection: &mut MetaConnection) -> bool {
        // A transaction that is still open was left by a panic.
        !connection.connection.is_autocommit()
    }
}

/// A connection to the file, which is made if it is not there.
pub(super) fn create(path: &Path) -> rusqlite::Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_CREATE)
}

/// A connection with everything set that is not kept in the file.
fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags | more)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
    Ok(connection)
}

/// Device and inode: another file under the same name has others.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

/// Makes a pool, and waits until its first connection is open.
pub(super) fn build(
    options: &SqliteOptions,
    figures: &Arc<Figures>,
    alive: &Arc<Alive>,
) -> Result<Pool<Manager>> {
    let pool = Pool::builder()
        .max_size(options.pool_size_max.max(1))
        .min_idle(Some(
            options.pool_size_min.clamp(1, options.pool_size_max.max(1)),
        ))
        .connection_timeout(options.acquire_timeout)
        .idle_timeout(Some(options.idle_timeout))
        .max_lifetime(Some(options.lifetime_max))
        .test_on_check_out(true)
        .error_handler(Box::new(NopErrorHandler))
        .event_handler(Box::new(Counting(Arc::clone(figures))))
        .build_unchecked(Manager::new(&options.path, alive));
    // Whoever waits for a connection may be less patient than the device is fast.
    drop(pool.get_timeout(OPEN_TIMEOUT.max(options.acquire_timeout))?);
    Ok(pool)
}

/// Counts since the pool was made.
#[derive(Debug, Default)]
pub(super) struct Figures {
    waits: [AtomicU64; BUCKETS],
    timeouts: AtomicU64,
    connects: AtomicU64,
    pub(super) statements: AtomicU64,
}

/// The figures of the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections now.
    pub size: u32,
    /// Connections nobody uses now.
    pub idle: u32,
    /// Times a connection was taken.
    pub acquired: u64,
    /// Half of the acquisitions took no longer, microseconds (a power of two).
    pub acquire_p50_us: u64,
    /// 99 in 100 acquisitions took no longer, microseconds (a power of two).
    pub acquire_p99_us: u64,
    /// Acquisitions that were given up.
    pub timeouts: u64,
    /// Connections opened beyond the first ones: after idling, age or a failed validation.
    pub reconnects: u64,
    /// Statements executed.
    pub statements: u64,
}

impl Figures {
    pub(super) fn stats(&self, state: Option<&r2d2::State>, first: u32) -> PoolStats {
        let waits: Vec<u64> = self
            .waits
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        let acquired: u64 = waits.iter().sum();
        let connects = self.connects.load(Ordering::Relaxed);
        PoolStats {
            size: state.map_or(0, |state| state.connections),
            idle: state.map_or(0, |state| state.idle_connections),
            acquired,
            acquire_p50_us: quantile(&waits, acquired.div_ceil(2)),
            acquire_p99_us: quantile(&waits, (acquired * 99).div_ceil(100)),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            reconnects: connects.saturating_sub(u64::from(first)),
            statements: self.statements.load(Ordering::Relaxed),
        }
    }
}

/// The upper end of the bucket in which this many lie at or below.
fn quantile(buckets: &[u64], rank: u64) -> u64 {
    let mut below = 0;
    for (at, count) in buckets.iter().enumerate() {
        below += count;
        if below >= rank && below > 0 {
            return 1 << at;
        }
    }
    0
}

#[derive(Debug)]
struct Counting(Arc<Figures>);

impl HandleEvent for Counting {
    fn handle_acquire(&self, _: AcquireEvent) {
        self.0.connects.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_checkout(&self, event: CheckoutEvent) {
        let micros = event.duration().as_micros() as u64;
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.0.waits[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    fn handle_timeout(&self, _: TimeoutEvent) {
        self.0.timeouts.fetch_add(1, Ordering::Relaxed);
    }
}
