//! Why the engine refuses.

use crate::blocks::BlockError;
use crate::catalog::CatalogError;
use crate::codec::CodecError;
use crate::engine::{PolicyError, TokenError, Verb};
use crate::limits::MIB;
use crate::log::LogError;
use crate::rollup::RollupError;
use crate::storage::StorageError;
use crate::types::Timestamp;

/// A refusal or failure of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The caller has no right to it.
    #[error("no right to {verb:?} in database {database:?}")]
    Denied {
        /// What was asked.
        verb: Verb,
        /// Where.
        database: String,
    },
    /// A measurement that only the server writes.
    #[error("measurement {measurement:?} is the server's own; nobody else writes it")]
    Reserved {
        /// The measurement.
        measurement: &'static str,
    },
    /// A name cannot be had.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A rule that cannot be.
    #[error("{reason}")]
    BadRule {
        /// Why.
        reason: String,
    },
    /// Buckets of rollups that a deletion would cut.
    #[error(
        "rows have left meanwhile, into buckets that reach beyond what was to be deleted; nothing of these was: ask again"
    )]
    BucketsCut,
    /// A time that no device can have measured.
    #[error("time {time} ns lies before {min} ns, the earliest that is accepted")]
    TooEarly {
        /// The row's time.
        time: Timestamp,
        /// The bound.
        min: Timestamp,
    },
    /// A time too far ahead of the server's clock.
    #[error("time {time} ns lies after {max} ns, too far ahead of the server's clock")]
    TooLate {
        /// The row's time.
        time: Timestamp,
        /// The bound.
        max: Timestamp,
    },
    /// A time that the retention has passed already.
    #[error("time {time} ns is older than the retention, which keeps what is after {horizon} ns")]
    Expired {
        /// The row's time.
        time: Timestamp,
        /// The bound.
        horizon: Timestamp,
    },
    /// A series was retired since it was resolved. Resolve it again.
    #[error("the series gave its place back because it had no row any more; try again")]
    SeriesRetired,
    /// The log is full until a checkpoint frees a segment. Try again.
    #[error("the log is full until the next checkpoint; try again")]
    Busy,
    /// More new series than are allowed for. Try again.
    #[error(
        "limits.new_series_per_second_max = {per_second_max} is used up; \
         measurement {measurement:?} took {share} of the last {total}; try again"
    )]
    TooManyNewSeries {
        /// The limit.
        per_second_max: u32,
        /// The measurement that took most.
        measurement: String,
        /// How many it took.
        share: u64,
        /// Of how many.
        total: u64,
    },
    /// There is no memory for it. Try again.
    #[error(
        "no memory for {what}: memory.limit_mb = {} is used up ({} MiB beside the log); try again",
        .limit_bytes / MIB,
        .used_bytes / MIB
    )]
    MemoryShort {
        /// What was refused.
        what: &'static str,
        /// Anonymous memory of the process.
        used_bytes: u64,
        /// The limit, for that and the log.
        limit_bytes: u64,
    },
    /// The device has no room. Try again.
    #[error("the device is full ({free_bytes} bytes free); try again when there is room")]
    Full {
        /// Bytes that were free when last looked.
        free_bytes: u64,
    },
    /// A row, with the definition of its series, that no segment of the log can hold.
    #[error("the row takes {len_bytes} bytes of the log, whose segments take {max_bytes} at once")]
    TooLarge {
        /// Bytes it takes.
        len_bytes: u64,
        /// Bytes a segment takes at once.
        max_bytes: u64,
    },
    /// The store takes no writes any more.
    #[error("the store is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// A retention policy that cannot be.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A token that cannot be.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The log failed.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// Block files failed.
    #[error("block files: {0}")]
    Blocks(#[from] BlockError),
    /// The device failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Stored bytes do not decode.
    #[error("chunk: {0}")]
    Codec(#[from] CodecError),
    /// A chunk of a tier is none.
    #[error("tier: {0}")]
    Rollup(#[from] RollupError),
}

impl EngineError {
    /// Whether it passes by itself within moments: the log or the memory is full until maintenance has run.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::MemoryShort { .. })
    }

    /// Whether the device had no room for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Storage(error)
            | Self::Log(LogError::Storage(error) | LogError::NoRoom { source: error, .. })
            | Self::Blocks(BlockError::Storage(error)) => error.is_full(),
            _ => false,
        }
    }
}
