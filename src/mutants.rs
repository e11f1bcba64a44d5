//! Planted faults: each is a mistake that would lose or falsify rows, and that the simulation must find.
//!
//! Without the feature `mutants` every question is answered `false` at compile time. With it one fault may be
//! planted for the current thread, so that tests beside each other do not meet.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code))]
pub enum Mutant {
    /// One sync of the log in fifty does nothing.
    SkippedSync,
    /// Positions count as durable before their sync has begun.
    EarlyAcknowledgement,
    /// All segments of a run have one epoch.
    FrozenEpoch,
    /// The first header of a start is synced with its first frames, so that the next start may use its epoch again.
    UnsyncedHeader,
    /// Segments are recycled before the manifest is durable that makes them dispensable.
    RecycledBeforeManifest,
    /// Segments are recycled that the replay still needs.
    RecycledAboveCheckpoint,
    /// Names of new block, state and image files are not synced.
    NoFolderSync,
    /// New block, state and image files are not synced.
    NoFileSync,
    /// A failed sync of the log is tried again on the same pages.
    RetriedSync,
    /// Frames and headers say that nothing is durable.
    DurableStuck,
    /// Frames of another epoch or position validate.
    UnseededFrames,
    /// A manifest counts whatever its checksum says.
    UncheckedManifest,
    /// What stands before a gap in the log is handed over once more behind it.
    ReplayedTwice,
    /// The last chunk of a checkpoint is not written.
    DroppedChunk,
    /// The last image of a checkpoint is not written.
    DroppedImage,
    /// A checkpoint does not write the deletions that its chunks need.
    ForgottenDeletion,
    /// Expiries of the log are not replayed.
    ForgottenExpiry,
    /// A checkpoint does not say that rows are accounted for which no chunk has, and a replay counts them again.
    CountedTwice,
    /// What has left the chunks of a checkpoint is not in its counters.
    CountedNever,
    /// A series gives its place back before a manifest counts its rows.
    RetiredUnsettled,
    /// A rejected line that has become a row still counts as one.
    CountedMoved,
    /// Rows that leave with a checkpoint come into no bucket.
    ForgottenBuckets,
    /// A chunk of a tier that was written anew stays beside the new one.
    RolledTwice,
    /// A deletion leaves chunks of buckets alone that nothing else changes.
    KeptBuckets,
    /// The mark that says whose a batch is is no part of the unit of its rows.
    MarkedApart,
    /// A checkpoint does not keep the batches of producers that are known.
    ForgottenProducers,
    /// A checkpoint looks at the batches of producers behind its sync of the log.
    UnsyncedProducers,
    /// A checkpoint does not write a retention policy that was changed.
    ForgottenPolicy,
    /// A checkpoint does not write tokens that were made or revoked.
    ForgottenTokens,
    /// Pages of log and manifest that a killed process left are not synced before they count.
    UnsyncedRestart,
    /// What the device does not give counts as never written.
    UnreadIgnored,
    /// Rows that come late or overwrite others are not noted as changes.
    ChangeUnnoted,
    /// What is deleted, expires or is evicted is not noted as a change.
    RemovalUnnoted,
    /// Buckets that still get rows are cached as if they were finished.
    GrowthIgnored,
    /// Cached buckets whose rows have expired are shown.
    ExpiredKept,
    /// Cached buckets hold for all that happened until they were read to the end.
    VersionsReadLate,
    /// What changes between a look into the cache and reading the rest is not noticed.
    ChangesUncheckedAtEnd,
}

#[cfg(feature = "mutants")]
mod planted {
    use std::cell::Cell;

    use crate::mutants::Mutant;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
        static ASKED: Cell<u64> = const { Cell::new(0) };
    }

    /// Plants a fault on this thread, or takes it out again.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
        ASKED.set(0);
    }

    /// Whether this fault is planted.
    pub fn is(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }

    /// Whether this fault is planted, and it is its turn: once in `n` times.
    pub fn is_one_in(mutant: Mutant, n: u64) -> bool {
        if !is(mutant) {
            return false;
        }
        ASKED.set(ASKED.get() + 1);
        ASKED.get().is_multiple_of(n)
    }
}

#[cfg(feature = "mutants")]
pub use planted::{is, is_one_in, plant};

/// Whether this fault is planted: never.
#[cfg(not(feature = "mutants"))]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Whether this fault is planted, and it is its turn: never.
#[cfg(not(feature = "mutants"))]
pub const fn is_one_in(_: Mutant, _: u64) -> bool {
    false
}
