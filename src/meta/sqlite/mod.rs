//! The index in a SQLite file: one writer at a time, readers beside it, a small pool under both.
//!
//! A file that is damaged is moved to the quarantine folder and made anew; one of a newer schema is left
//! alone and refused.

mod alive;
mod apply;
mod check;
mod migrations;
mod pool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use r2d2::Pool;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::{
    Batch, ColumnRecord, DatabaseRecord, MeasurementRecord, MetaError, MetaStore, Result,
    SeriesRecord,
};
use crate::types::{ColumnId, DatabaseId, FieldType, MeasurementId, Position, SeriesId};
use alive::Alive;
use pool::{Figures, Manager};

pub use check::check_index;
pub use pool::PoolStats;

/// Where the index is, and how large its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The file: `meta.sqlite` in the data directory.
    pub path: PathBuf,
    /// The folder that a damaged file is moved to.
    pub quarantine: PathBuf,
    /// Connections that are always open. At least 1.
    pub pool_size_min: u32,
    /// Connections at most.
    pub pool_size_max: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a connection beyond the minimum may be unused.
    pub idle_timeout: Duration,
    /// How old a connection may become.
    pub lifetime_max: Duration,
    /// Whether the whole file is checked at open. Its cost grows with the file.
    pub check_at_open: bool,
}

impl SqliteOptions {
    /// The usual options for a data directory.
    #[must_use]
    pub fn in_folder(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("meta.sqlite"),
            quarantine: data_dir.join("quarantine"),
            pool_size_min: 1,
            pool_size_max: 4,
            acquire_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_mins(1),
            lifetime_max: Duration::from_hours(1),
            check_at_open: true,
        }
    }
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaOpened {
    /// The position applied; `None`: everything has to be applied.
    pub applied: Option<Position>,
    /// The schema version before this program's steps; 0 for a new file.
    pub version_before: u32,
    /// Where a damaged file was moved, and why.
    pub quarantined: Option<(PathBuf, String)>,
}

/// The index in a SQLite file.
pub struct SqliteMeta {
    options: SqliteOptions,
    figures: Arc<Figures>,
    /// Held over a transaction that writes.
    writer: Mutex<()>,
    /// Read-locked while a connection is in use; taken out when the file is rebuilt.
    pool: RwLock<Option<Pool<Manager>>>,
    alive: Arc<Alive>,
}

impl SqliteMeta {
    /// Opens the file, or makes it; brings an older schema forward; sets a damaged file aside.
    pub fn open(options: SqliteOptions) -> Result<(Self, MetaOpened)> {
        let mut opened = MetaOpened::default();
        opened.version_before = match prepare(&options) {
            Ok(version) => version,
            Err(MetaError::Damaged { reason }) => {
                opened.quarantined = Some((set_aside(&options)?, reason));
                prepare(&options)?
            }
            Err(error) => return Err(error),
        };
        let figures = Arc::new(Figures::default());
        let alive = Arc::default();
        let pool = RwLock::new(Some(pool::build(&options, &figures, &alive)?));
        let this = Self {
            options,
            figures,
            writer: Mutex::new(()),
            pool,
            alive,
        };
        opened.applied = this.applied()?;
        Ok((this, opened))
    }

    /// Sets the file aside and makes an empty one: after [`MetaError::Damaged`]. The caller applies
    /// everything anew. Returns where the old file is.
    pub fn rebuild(&self) -> Result<PathBuf> {
        let _writer = self.writer.lock();
        let mut pool = self.pool.write();
        drop(pool.take());
        if !self.alive.wait_for_none(self.options.acquire_timeout) {
            return Err(closed());
        }
        let moved = set_aside(&self.options)?;
        prepare(&self.options)?;
        *pool = Some(pool::build(&self.options, &self.figures, &self.alive)?);
        Ok(moved)
    }

    /// The pool's figures.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        let state = self.pool.read().as_ref().map(Pool::state);
        self.figures
            .stats(state.as_ref(), self.options.pool_size_min)
    }

    fn with<T>(&self, run: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        let pool = self.pool.read();
        let mut pooled = pool.as_ref().ok_or_else(closed)?.get()?;
        run(&mut pooled.connection)
    }

    fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.with(|connection| {
            self.figures.statements.fetch_add(1, Ordering::Relaxed);
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, read)?;
            Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
        })
    }
}

impl Drop for SqliteMeta {
    fn drop(&mut self) {
        drop(self.pool.get_mut().take());
        // Whoever opens the file next finds it closed, unless the device hangs.
        let _ = self.alive.wait_for_none(CLOSE_TIMEOUT);
    }
}

impl MetaStore for SqliteMeta {
    fn applied(&self) -> Result<Option<Position>> {
        self.with(|connection| {
            self.figures.statements.fetch_add(1, Ordering::Relaxed);
            let mut statement = connection.prepare_cached(SELECT_APPLIED)?;
            let position: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
            Ok(position.map(|position| Position(position as u64)))
        })
    }

    fn apply(&self, batch: &Batch, position: Position) -> Result<()> {
        let _writer = self.writer.lock();
        self.with(|connection| {
            let statements = apply::batch(connection, batch, position)?;
            self.figures
                .statements
                .fetch_add(statements, Ordering::Relaxed);
            Ok(())
        })
    }

    fn clear(&self) -> Result<()> {
        let _writer = self.writer.lock();
        self.with(apply::clear)
    }

    fn databases(&self) -> Result<Vec<DatabaseRecord>> {
        self.list(SELECT_DATABASES, [], |row| {
            Ok(DatabaseRecord {
                id: DatabaseId(row.get(0)?),
                name: row.get(1)?,
            })
        })
    }

    fn measurements(&self, database: DatabaseId) -> Result<Vec<MeasurementRecord>> {
        self.list(SELECT_MEASUREMENTS, [database.0], |row| {
            Ok(MeasurementRecord {
                id: MeasurementId(row.get(0)?),
                database,
                name: row.get(1)?,
            })
        })
    }

    fn columns(&self, measurement: MeasurementId) -> Result<Vec<ColumnRecord>> {
        self.list(SELECT_COLUMNS, [measurement.0], |row| {
            let number: u8 = row.get(2)?;
            let field_type = FieldType::from_number(number)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(2, number.into()))?;
            Ok(ColumnRecord {
                measurement,
                id: ColumnId(row.get(0)?),
                field: row.get(1)?,
                field_type,
                first_seen: row.get(3)?,
                last_seen: row.get(4)?,
            })
        })
    }

    fn series(
        &self,
        measurement: MeasurementId,
        after: Option<SeriesId>,
        limit: usize,
    ) -> Result<Vec<SeriesRecord>> {
        let after = after.map_or(-1, |after| i64::from(after.0));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = (measurement.0, after, limit);
        self.list(SELECT_SERIES, params, |row| {
            Ok(SeriesRecord {
                id: SeriesId(row.get(0)?),
                database: DatabaseId(row.get(1)?),
                measurement,
                tags: row.get(2)?,
            })
        })
    }
}

/// The file is being rebuilt, or a rebuild failed: another one has to succeed first.
fn closed() -> MetaError {
    MetaError::Pool {
        reason: "the index is closed until it has been rebuilt".to_owned(),
    }
}

/// Checks and migrates the file before the pool opens it; returns the version it had.
fn prepare(options: &SqliteOptions) -> Result<u32> {
    let mut connection = pool::create(&options.path)?;
    let supported = migrations::STEPS.len() as u32;
    let found = migrations::version_of(&connection)?;
    if found > VERSION_PLAUSIBLE_MAX {
        return Err(MetaError::Damaged {
            reason: format!("schema version {found}"),
        });
    }
    if found > supported {
        return Err(MetaError::Newer {
            path: options.path.clone(),
            found,
            supported,
        });
    }
    if options.check_at_open && found > 0 {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(MetaError::Damaged { reason: verdict });
        }
    }
    let migrated = migrations::migrate(&mut connection, &options.path, migrations::STEPS);
    let version = migrated.map_err(|error| match error {
        // Tables that the version says are not there yet.
        MetaError::Sqlite(error) if error.to_string().contains("already exists") => {
            MetaError::Damaged {
                reason: error.to_string(),
            }
        }
        error => error,
    })?;
    for sql in SELECTS {
        connection
            .prepare(sql)
            .map_err(|error| MetaError::Damaged {
                reason: error.to_string(),
            })?;
    }
    Ok(version)
}

/// Moves the file and its companions to the quarantine under the first free number.
fn set_aside(options: &SqliteOptions) -> Result<PathBuf> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| MetaError::Io { path, source }
    };
    std::fs::create_dir_all(&options.quarantine).map_err(failed(&options.quarantine))?;
    let base = options
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let free = (1..u32::MAX)
        .map(|number| options.quarantine.join(format!("{base}.{number}")))
        .find(|path| !path.exists())
        .unwrap_or_else(|| options.quarantine.join(&*base));
    for suffix in ["-wal", "-shm", ""] {
        let from = with_suffix(&options.path, suffix);
        match std::fs::rename(&from, with_suffix(&free, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(&from)(error));
            }
            _ => {}
        }
    }
    Ok(free)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How long closing waits for the last connection, which writes what is left in SQLite's log.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// A version beyond this is damage, not the future.
const VERSION_PLAUSIBLE_MAX: u32 = 1000;
const SELECT_APPLIED: &str = "SELECT position FROM applied WHERE one = 1";
const SELECT_DATABASES: &str = "SELECT id, name FROM databases ORDER BY id";
const SELECT_MEASUREMENTS: &str =
    "SELECT id, name FROM measurements WHERE database = ?1 ORDER BY name";
const SELECT_COLUMNS: &str =
    "SELECT id, field, type, first_seen, last_seen FROM columns WHERE measurement = ?1 ORDER BY id";
const SELECT_SERIES: &str = "SELECT id, database, tags FROM series
    WHERE measurement = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
/// Every statement that reads: prepared at open, to know that the tables are there.
pub(super) const SELECTS: [&str; 5] = [
    SELECT_APPLIED,
    SELECT_DATABASES,
    SELECT_MEASUREMENTS,
    SELECT_COLUMNS,
    SELECT_SERIES,
];

#[cfg(test)]
mod tests;
