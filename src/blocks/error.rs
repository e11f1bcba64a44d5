//! What can go wrong with block files, and what was found damaged.
//!
//! An error ends the operation. Damage does not: the store goes on with what is left and reports it.

use std::fmt;
use std::ops::Range;

use super::chunk::FileId;
use crate::storage::StorageError;
use crate::types::{SeriesId, StoreId};

/// Why an operation on the block store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The device refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Bytes that were read are not what was written.
    #[error("{name}: damaged at byte {offset}: {reason}")]
    Damaged {
        /// The file.
        name: String,
        /// Where, bytes from its start.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A file of a later version of the program.
    #[error(
        "{name}: format version {found} is newer than this program's {supported}; use a newer edgetime"
    )]
    Newer {
        /// The file.
        name: String,
        /// Its version.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The files belong to a store other than the one expected.
    #[error(
        "{name}: belongs to store {found}, not to store {expected}; restore the matching files"
    )]
    OtherStore {
        /// The file.
        name: String,
        /// The store it names.
        found: StoreId,
        /// The store that was asked for.
        expected: StoreId,
    },
    /// A chunk of a file that has been removed meanwhile.
    #[error("block file {file}: removed; take a pin before the chunk's entry is copied")]
    FileGone {
        /// The file.
        file: FileId,
    },
    /// A chunk whose first time or position is beyond its last.
    #[error("chunk of series {series}: its first time or position lies beyond its last")]
    Unordered {
        /// The chunk's series.
        series: SeriesId,
    },
    /// The state file cannot be continued, and has not been written anew yet.
    #[error("the state has to be written anew before the next commit")]
    StateMissing,
    /// What was given is larger than the format can hold.
    #[error("{what}: {found} is more than the limit of {limit}")]
    TooLarge {
        /// What was given.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// The result of an operation on the block store.
pub type Result<T, E = BlockError> = std::result::Result<T, E>;

/// Something that was lost or is doubtful. Found at open or by a walk; never silent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A manifest that cannot be used. After a power cut in the middle of a checkpoint this is expected,
    /// and nothing is lost as long as the log reaches back to the other manifest's replay position.
    Manifest {
        /// The file.
        name: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// No manifest could be used although there are block, state or image files: what they hold was
    /// found by a scan.
    NoManifest {
        /// Files that were scanned.
        files: usize,
    },
    /// A file the manifest lists is not there.
    FileMissing {
        /// The file.
        name: String,
    },
    /// A file could not be used at all.
    FileUnusable {
        /// The file.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file is not the one the manifest lists: another size or checksum. What validates is used.
    FileChanged {
        /// The file.
        name: String,
    },
    /// The index of a block file could not be read; its chunks were found by a scan.
    Index {
        /// The file.
        name: String,
        /// What does not fit.
        reason: String,
        /// Chunks that were found.
        found: usize,
        /// Chunks the manifest expects, where it is known.
        expected: Option<usize>,
    },
    /// A chunk's bytes do not match their checksum. Its rows are lost.
    Chunk {
        /// The file.
        name: String,
        /// Where the chunk's record begins.
        offset: u64,
        /// The series that lost rows.
        series: SeriesId,
        /// Rows lost.
        rows: u32,
        /// Times of the first and last row lost, nanoseconds.
        times: (i64, i64),
    },
    /// Bytes that are no record, or could not be read.
    Lost {
        /// The file.
        name: String,
        /// Which bytes.
        range: Range<u64>,
    },
}

impl Damage {
    /// The file it is about, if it is about one.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::Manifest { name, .. } => Some(name),
            Self::NoManifest { .. } => None,
            Self::FileMissing { name }
            | Self::FileUnusable { name, .. }
            | Self::FileChanged { name }
            | Self::Index { name, .. }
            | Self::Chunk { name, .. }
            | Self::Lost { name, .. } => Some(name),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest { name, reason } => write!(f, "{name}: not usable: {reason}"),
            Self::NoManifest { files } => {
                write!(f, "no usable manifest: {files} files were scanned instead")
            }
            Self::FileMissing { name } => write!(f, "{name}: listed, but not there"),
            Self::FileUnusable { name, reason } => write!(f, "{name}: not usable: {reason}"),
            Self::FileChanged { name } => {
                write!(
                    f,
                    "{name}: not the file the manifest lists (size or checksum)"
                )
            }
            Self::Index {
                name,
                reason,
                found,
                expected,
            } => {
                write!(
                    f,
                    "{name}: index not usable ({reason}): {found} chunks found by a scan"
                )?;
                match expected {
                    Some(expected) => write!(f, " of {expected}"),
                    None => Ok(()),
                }
            }
            Self::Chunk {
                name,
                offset,
                series,
                rows,
                times: (first, last),
            } => write!(
                f,
                "{name}: chunk at byte {offset} is damaged: {rows} rows of series {series}, times {first}..={last}, lost"
            ),
            Self::Lost { name, range } => {
                write!(f, "{name}: bytes {}..{} lost", range.start, range.end)
            }
        }
    }
}
