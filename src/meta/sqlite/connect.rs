//! Opening a connection to the file under a name, and telling whether it is still that file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::statements::PROBE;
use crate::meta::{MetaError, Result};

/// Device and inode: another file under the same name has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    path: PathBuf,
    busy_timeout: Duration,
}

/// A connection, and the file it was opened on.
pub(super) struct Opened {
    pub(super) connection: Connection,
    file: FileId,
}

impl Opener {
    pub(super) fn new(path: &Path, busy_timeout: Duration) -> Self {
        Self {
            path: path.to_owned(),
            busy_timeout,
        }
    }

    /// The file that is there now.
    pub(super) fn file(&self) -> Option<FileId> {
        file_id(&self.path)
    }

    /// A connection to this file, and no other that may have taken its name. A missing file is not made: it
    /// would have no tables.
    pub(super) fn open(&self, file: FileId) -> Result<Opened> {
        // Asked before and behind: what was opened is what was there all the time.
        if self.file() != Some(file) {
            return Err(MetaError::Replaced);
        }
        let connection = self.connect(OpenFlags::empty())?;
        if self.file() != Some(file) {
            return Err(MetaError::Replaced);
        }
        Ok(Opened { connection, file })
    }

    /// A connection to whatever is there; the file is made if there is none.
    pub(super) fn create(&self) -> Result<Connection> {
        self.connect(OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// A connection with everything set that is not kept in the file.
    fn connect(&self, more: OpenFlags) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags | more)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
        Ok(connection)
    }
}

impl Opened {
    /// Whether it is a connection to this file, and answers.
    pub(super) fn is_valid(&self, file: FileId) -> bool {
        let answers = || -> rusqlite::Result<i64> {
            let mut statement = self.connection.prepare_cached(PROBE.sql)?;
            statement.query_row([], |row| row.get(0))
        };
        self.file == file && answers().is_ok()
    }

    /// Whether no transaction is open.
    pub(super) fn is_at_rest(&self) -> bool {
        self.connection.is_autocommit()
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(FileId(metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> Option<FileId> {
    path.exists().then_some(FileId(0, 0))
}

/// Prepared statements kept by each connection: more than there are in the code.
const STATEMENTS_CACHED: usize = 32;
/// The log of SQLite is cut to this size after a checkpoint.
const WAL_BYTES_MAX: u32 = 4 * 1024 * 1024;
