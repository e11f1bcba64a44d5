//! The index in a SQLite file: one writer at a time, readers beside it, a small pool under both.
//!
//! A file that is damaged is moved to the quarantine folder and made anew; one of a newer schema is left
//! alone and refused. A file that is replaced, removed or locked while it is in use costs the calls that meet
//! it, and nothing else: each call asks whether the file under the name is the one that was prepared.

mod apply;
mod check;
mod connect;
mod migrations;
mod pool;
mod session;
mod statements;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{
    Batch, ColumnRecord, Counts, DatabaseRecord, FieldRecord, MeasurementRecord, MetaError,
    MetaStore, PoolFigures, Result, SeriesRecord,
};
use crate::clock::Clock;
use crate::types::{
    ColumnId, DatabaseId, FieldRule, FieldType, MeasurementId, Position, SchemaMode, SeriesId,
};
use connect::{FileId, Opener};
use pool::{Lease, Pool, PoolOptions};
use session::{Session, Watch};
use statements::{
    COUNT_ALL, SELECT_APPLIED, SELECT_COLUMNS, SELECT_DATABASES, SELECT_FIELDS,
    SELECT_MEASUREMENTS, SELECT_SERIES,
};

pub use check::check_index;

/// Where the index is, and how its pool works.
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
    /// How long to wait for a lock that another process has on the file.
    pub busy_timeout: Duration,
    /// A statement that takes longer is logged; zero: none is.
    pub slow_statement: Duration,
    /// Whether the whole file is checked before its first use. Its cost grows with the file.
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
            busy_timeout: Duration::from_secs(5),
            slow_statement: Duration::from_millis(100),
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
    /// Why the file could not be used yet; each call tries again.
    pub locked: Option<String>,
}

/// The index in a SQLite file.
pub struct SqliteMeta {
    options: SqliteOptions,
    opener: Opener,
    watch: Watch,
    /// Times that the file was locked for too long.
    locked: AtomicU64,
    /// Held over a transaction that writes.
    writer: Mutex<()>,
    /// The file that was checked and migrated. Read-locked while a connection to it is in use.
    ready: RwLock<Option<FileId>>,
    pool: Pool,
}

impl SqliteMeta {
    /// Opens the file, or makes it; brings an older schema forward; sets a damaged file aside. A file that
    /// somebody else has locked is opened by a later call.
    pub fn open(options: SqliteOptions, clock: Arc<dyn Clock>) -> Result<(Self, MetaOpened)> {
        let opener = Opener::new(&options.path, options.busy_timeout);
        let pool_options = PoolOptions {
            size_min: options.pool_size_min,
            size_max: options.pool_size_max,
            acquire_timeout: options.acquire_timeout,
            idle_timeout: options.idle_timeout,
            lifetime_max: options.lifetime_max,
        };
        let slow_ns = u64::try_from(options.slow_statement.as_nanos()).unwrap_or(u64::MAX);
        let this = Self {
            watch: Watch::new(Arc::clone(&clock), slow_ns),
            locked: AtomicU64::new(0),
            writer: Mutex::new(()),
            ready: RwLock::new(None),
            pool: Pool::new(opener.clone(), pool_options, clock),
            opener,
            options,
        };
        let mut opened = MetaOpened::default();
        let prepared = match this.prepare() {
            Err(MetaError::Damaged { reason }) => {
                opened.quarantined = Some((set_aside(&this.options)?, reason));
                this.prepare()
            }
            other => other,
        };
        match prepared {
            Ok((version, file)) => {
                opened.version_before = version;
                this.pool.fill(file)?;
                *this.ready.write() = Some(file);
                opened.applied = this.applied()?;
            }
            Err(MetaError::Locked { reason }) => opened.locked = Some(reason),
            Err(error) => return Err(error),
        }
        Ok((this, opened))
    }

    fn with<T>(&self, run: impl FnOnce(&mut Session<'_>) -> Result<T>) -> Result<T> {
        let result = self.with_connection(run);
        if matches!(result, Err(MetaError::Locked { .. })) {
            self.locked.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn with_connection<T>(&self, run: impl FnOnce(&mut Session<'_>) -> Result<T>) -> Result<T> {
        let (_ready, mut lease) = self.lease()?;
        let opened = lease.opened().ok_or(MetaError::Replaced)?;
        let result = run(&mut Session::new(&mut opened.connection, &self.watch));
        if result.as_ref().is_err_and(MetaError::is_of_connection) {
            lease.discard();
        }
        result
    }

    /// A connection to the file that is there, and what keeps others from replacing it by a new one.
    fn lease(&self) -> Result<(RwLockReadGuard<'_, Option<FileId>>, Lease<'_>)> {
        for _ in 0..REPLACED_MAX {
            let ready = self.ready()?;
            let Some(file) = *ready else { continue };
            match self.pool.acquire(file) {
                Err(MetaError::Replaced) => {}
                other => return Ok((ready, other?)),
            }
        }
        Err(MetaError::Replaced)
    }

    /// The file under the name, checked and migrated.
    fn ready(&self) -> Result<RwLockReadGuard<'_, Option<FileId>>> {
        let ready = self.ready.read();
        if ready.is_some() && *ready == self.opener.file() {
            return Ok(ready);
        }
        drop(ready);
        let mut ready = self.ready.write();
        if ready.is_none() || *ready != self.opener.file() {
            *ready = None;
            self.pool.close_idle();
            *ready = Some(self.prepare()?.1);
        }
        Ok(RwLockWriteGuard::downgrade(ready))
    }

    /// Checks and migrates the file before the pool opens it; the version it had, and which file it is.
    fn prepare(&self) -> Result<(u32, FileId)> {
        let mut connection = self.opener.create()?;
        let file = self.opener.file().ok_or(MetaError::Replaced)?;
        let supported = migrations::STEPS.len() as u32;
        let found = migrations::version_of(&connection)?;
        if found > VERSION_PLAUSIBLE_MAX {
            return Err(MetaError::Damaged {
                reason: format!("schema version {found}"),
            });
        }
        if found > supported {
            return Err(MetaError::Newer {
                path: self.options.path.clone(),
                found,
                supported,
            });
        }
        if self.options.check_at_open && found > 0 {
            migrations::check(&connection)?;
        }
        let migrated = migrations::migrate(&mut connection, &self.options.path, migrations::STEPS);
        let version = migrated.map_err(|error| match error {
            // Tables that the version says are not there yet.
            MetaError::Sqlite(error) if error.to_string().contains("already exists") => {
                MetaError::Damaged {
                    reason: error.to_string(),
                }
            }
            error => error,
        })?;
        for statement in statements::ALL {
            let prepared = connection.prepare(statement.sql);
            prepared.map_err(|error| MetaError::Damaged {
                reason: error.to_string(),
            })?;
        }
        Ok((version, file))
    }
}

impl MetaStore for SqliteMeta {
    fn applied(&self) -> Result<Option<Position>> {
        self.with(|session| {
            let found = session.list(&SELECT_APPLIED, [], |row| row.get::<_, i64>(0))?;
            Ok(found.first().map(|position| Position(*position as u64)))
        })
    }

    fn apply(&self, batch: &Batch, position: Position) -> Result<()> {
        let _writer = self.writer.lock();
        self.with(|session| apply::batch(session, batch, position))
    }

    fn clear(&self) -> Result<()> {
        let _writer = self.writer.lock();
        self.with(apply::clear)
    }

    fn rebuild(&self) -> Result<Option<PathBuf>> {
        let _writer = self.writer.lock();
        let mut ready = self.ready.write();
        *ready = None;
        self.pool.close_idle();
        let moved = set_aside(&self.options)?;
        *ready = Some(self.prepare()?.1);
        Ok(Some(moved))
    }

    fn counts(&self) -> Result<Counts> {
        self.with(|session| {
            let found = session.list(&COUNT_ALL, [], |row| {
                let count = |index| row.get(index).map(i64::unsigned_abs);
                Ok(Counts {
                    databases: count(0)?,
                    measurements: count(1)?,
                    columns: count(2)?,
                    series: count(3)?,
                    fields: count(4)?,
                })
            })?;
            Ok(found.first().copied().unwrap_or_default())
        })
    }

    fn pool(&self) -> Option<PoolFigures> {
        Some(PoolFigures {
            locked: self.locked.load(Ordering::Relaxed),
            statements: self.watch.statements.load(Ordering::Relaxed),
            slow_statements: self.watch.slow.load(Ordering::Relaxed),
            ..self.pool.figures()
        })
    }

    fn databases(&self) -> Result<Vec<DatabaseRecord>> {
        self.with(|session| {
            session.list(&SELECT_DATABASES, [], |row| {
                Ok(DatabaseRecord {
                    id: DatabaseId(row.get(0)?),
                    name: row.get(1)?,
                })
            })
        })
    }

    fn measurements(&self, database: DatabaseId) -> Result<Vec<MeasurementRecord>> {
        self.with(|session| {
            session.list(&SELECT_MEASUREMENTS, [database.0], |row| {
                Ok(MeasurementRecord {
                    id: MeasurementId(row.get(0)?),
                    database,
                    name: row.get(1)?,
                    mode: known(2, row.get(2)?, SchemaMode::from_number)?,
                })
            })
        })
    }

    fn columns(&self, measurement: MeasurementId) -> Result<Vec<ColumnRecord>> {
        self.with(|session| {
            session.list(&SELECT_COLUMNS, [measurement.0], |row| {
                Ok(ColumnRecord {
                    measurement,
                    id: ColumnId(row.get(0)?),
                    field: row.get(1)?,
                    field_type: known(2, row.get(2)?, FieldType::from_number)?,
                })
            })
        })
    }

    fn fields(&self, measurement: MeasurementId) -> Result<Vec<FieldRecord>> {
        self.with(|session| {
            session.list(&SELECT_FIELDS, [measurement.0], |row| {
                let text = |index| row.get::<_, Option<String>>(index);
                let field_type: Option<u8> = row.get(1)?;
                let field_type = field_type.map(|n| known(1, n, FieldType::from_number));
                let rule = FieldRule {
                    field_type: field_type.transpose()?,
                    unit: text(2)?.map(Into::into),
                    description: text(3)?.map(Into::into),
                    min: row.get(4)?,
                    max: row.get(5)?,
                };
                Ok(FieldRecord {
                    measurement,
                    name: row.get(0)?,
                    rule,
                })
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
        self.with(|session| {
            session.list(&SELECT_SERIES, (measurement.0, after, limit), |row| {
                Ok(SeriesRecord {
                    id: SeriesId(row.get(0)?),
                    database: DatabaseId(row.get(1)?),
                    measurement,
                    tags: row.get(2)?,
                })
            })
        })
    }
}

/// What a number in a column stands for.
fn known<T>(column: usize, number: u8, of: impl FnOnce(u8) -> Option<T>) -> rusqlite::Result<T> {
    of(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(
        column,
        number.into(),
    ))
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

/// A version beyond this is damage, not the future.
const VERSION_PLAUSIBLE_MAX: u32 = 1000;
/// How often a call meets a file that is replaced meanwhile, before it gives up.
const REPLACED_MAX: usize = 3;

#[cfg(test)]
mod tests;
