//! Bytes on a device: segments of the log, and plain files for everything else.
//!
//! The traits are the seam where a seeded simulation puts a disk that tears and forgets. Nothing here
//! knows what the bytes mean. Names are relative to the data directory, with `/` between folders.

mod choice;
mod directory;
mod file;
mod lock;
mod mmap;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::limits::READ_ATTEMPTS;

pub use choice::{BackendChoice, open};
pub use directory::TEMPORARY;
pub use file::FileStorage;
pub use lock::{DirectoryLock, LockError};
pub use mmap::{MmapStorage, give_back_heap};

/// What went wrong on the device, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An operation of the system failed.
    #[error("{operation} {name}: {source}")]
    Io {
        /// The operation, as a verb: "open", "sync".
        operation: &'static str,
        /// The file.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A range that is not inside the file or segment.
    #[error("{name}: bytes {start}..{end} are outside its {size} bytes", start = .range.start, end = .range.end)]
    OutOfBounds {
        /// The file.
        name: String,
        /// What was asked for.
        range: Range<u64>,
        /// What there is.
        size: u64,
    },
    /// Reading or writing the map raised SIGBUS: the device lost the page.
    #[error("{name}: the device failed under the memory map (SIGBUS)")]
    MapFault {
        /// The file.
        name: String,
    },
}

impl StorageError {
    /// Whether the device is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the bytes are not there, as against a device that fails to give them: asking again is in vain.
    #[must_use]
    pub fn is_beyond_end(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
            Self::OutOfBounds { .. } => true,
            Self::MapFault { .. } => false,
        }
    }

    /// Whether the file does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The result of a storage operation.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// A directory tree on a device.
pub trait Storage: Send + Sync {
    /// Makes a segment of exactly this size, zero-filled, on blocks that are really there, durable
    /// under its name when this returns.
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>>;
    /// Opens a segment to be written anew: its pages leave the page cache first. No other handle of
    /// the segment may be alive. What is only read is read with [`open_file`](Self::open_file),
    /// which sees the same bytes: a page that cannot be read is an error there, and a fault in a map.
    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>>;
    /// Brings what a process that was killed has left of a file to the device, and lets what the device has not
    /// taken leave the page cache: after a sync that failed pages are clean, and read as they were stored. Nobody else
    /// may have the file open.
    fn settle(&self, name: &str) -> Result<()> {
        self.open_file(name)?.sync()
    }
    /// Makes an empty file, or empties it.
    fn create_file(&self, name: &str) -> Result<Arc<dyn File>>;
    /// Opens a file for reading and appending.
    fn open_file(&self, name: &str) -> Result<Arc<dyn File>>;
    /// Names (without the folder) of what a folder holds, sorted; a folder that is not there is empty.
    fn list(&self, folder: &str) -> Result<Vec<String>>;
    /// Makes a folder and those above it, if they are not there.
    fn create_folder(&self, folder: &str) -> Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;
    /// Renames a file, replacing what has the new name.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &str) -> Result<()>;
    /// Gives a file another name outside of the data directory, on the same bytes. False where that cannot be
    /// had: then it has to be copied.
    fn link(&self, _name: &str, _other: &Path) -> Result<bool> {
        Ok(false)
    }
    /// Bytes free for this process on the device.
    fn free_bytes(&self) -> Result<u64>;
    /// The name of the back end, for `status`: `mmap`, `file`, `simulated`.
    fn kind(&self) -> &'static str;
}

/// One segment of the log: fixed size, written at any offset, made durable range by range.
pub trait Segment: Send + Sync {
    /// Bytes.
    fn size_bytes(&self) -> u64;
    /// Stores bytes. They may reach the device at any time from now on, whole sectors in any order.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Fills the buffer from an offset.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()>;
    /// Returns when all bytes of the range that were stored before the call are on the device.
    fn sync(&self, range: Range<u64>) -> Result<()>;
    /// Asks for the pages of the range, so that a later write does not wait for them. A hint.
    fn prefetch(&self, range: Range<u64>);
}

/// A plain file: appended to, synced, read at any offset.
pub trait File: Send + Sync {
    /// Bytes now.
    fn len_bytes(&self) -> Result<u64>;
    /// Writes all bytes at an offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Fills the buffer from an offset; an end of file before that is an error.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;
    /// As [`Self::read_at`], and asks again where the device fails: up to [`READ_ATTEMPTS`] times in all.
    fn read_patiently(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut attempts = 1;
        loop {
            match self.read_at(offset, into) {
                Err(error) if attempts < READ_ATTEMPTS && !error.is_beyond_end() => attempts += 1,
                read => return read,
            }
        }
    }
    /// Returns when everything written before the call is on the device.
    fn sync(&self) -> Result<()>;
}

/// Refuses what is not inside a segment.
fn check_bounds(name: &str, offset: u64, length: usize, size_bytes: u64) -> Result<()> {
    let end = offset.saturating_add(length as u64);
    if end <= size_bytes {
        return Ok(());
    }
    Err(StorageError::OutOfBounds {
        name: name.to_owned(),
        range: offset..end,
        size: size_bytes,
    })
}

#[cfg(test)]
mod tests;
