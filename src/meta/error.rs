//! Why an operation on the index failed.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why an operation on the index failed. The store itself is not affected by any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The file is of a later version of the program.
    #[error(
        "{path}: schema version {found} is newer than this program's {supported}; use a newer edgetime, or move the file away to have it built anew"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
    /// The file is damaged: call [`rebuild`](super::MetaStore::rebuild), then apply everything.
    #[error("the metadata index is damaged: {reason}")]
    Damaged {
        /// What SQLite says.
        reason: String,
    },
    /// A record refers to another that is not there.
    #[error("a record contradicts the metadata index: {reason}")]
    Contradiction {
        /// What SQLite says.
        reason: String,
    },
    /// No connection became free in time.
    #[error(
        "none of the {size} connections to the metadata index became free within {waited_ms} ms"
    )]
    Exhausted {
        /// How long the caller waited.
        waited_ms: u64,
        /// Connections at most.
        size: u32,
    },
    /// Somebody else has locked the file: try again.
    #[error("the metadata index is locked by another process: {reason}")]
    Locked {
        /// What SQLite says.
        reason: String,
    },
    /// The file is replaced or removed again and again: try again.
    #[error("the file of the metadata index was replaced while it was opened")]
    Replaced,
    /// A file could not be moved or opened.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Anything else that SQLite refuses.
    #[error("metadata index: {0}")]
    Sqlite(rusqlite::Error),
}

/// The result of an operation on the index.
pub type Result<T, E = MetaError> = std::result::Result<T, E>;

impl MetaError {
    /// Whether the connection that met it is of no more use.
    pub(super) const fn is_of_connection(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Sqlite(_))
    }
}

impl From<rusqlite::Error> for MetaError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { reason },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { reason },
            Some(ErrorCode::ConstraintViolation) => Self::Contradiction { reason },
            _ => match error {
                // A value of another type than the schema says, or a table that is not there.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Damaged { reason },
                error => Self::Sqlite(error),
            },
        }
    }
}
