//! A checkpoint: sealed chunks go to a block file, the catalog's news to the state file, slow series get an
//! image of their open rows, a manifest joins them; only then may the log's segments be used again.
//!
//! Series are visited a few at a time, so that writers never wait for a checkpoint. What makes that
//! right: a chunk or image says up to which log position it holds its series, and the replay starts at the
//! lowest position that any series still needs.

mod chunks;
mod collect;

use std::sync::atomic::Ordering;

use self::collect::Collected;
use crate::blocks::{CommitInfo, SideRecord};
use crate::engine::compaction::Compaction;
use crate::engine::persisted::{Persisted, StateNews};
use crate::engine::producers::through_counter;
use crate::engine::tiers::BucketDeletion;
use crate::engine::{Engine, EngineError};
use crate::mutants::{self, Mutant};
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId};

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Chunks written.
    pub chunks: usize,
    /// Their bytes.
    pub chunk_bytes: u64,
    /// Series whose open rows were written as an image.
    pub images: usize,
    /// Where a replay would start now.
    pub replay_from: Position,
    /// Log segments that can be used again.
    pub segments_freed: u32,
    /// Rows that buckets stood for which were deleted with it.
    pub deleted_rows: u64,
}

/// What a checkpoint is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    /// Nanoseconds that recompression may take; `u64::MAX`: as long as it takes.
    recompress_ns_max: u64,
    /// Whether every series gets an image, so that a restart has nothing to replay.
    images_of_all: bool,
    /// Buckets that go.
    deletion: Option<&'a BucketDeletion>,
}

impl<'a> Wish<'a> {
    /// All of it, in the smallest form.
    const WHOLE: Self = Self {
        recompress_ns_max: u64::MAX,
        images_of_all: false,
        deletion: None,
    };

    /// What recompression has no time for is written as it was sealed.
    pub(super) const fn in_time(recompress_ns_max: u64) -> Self {
        Self {
            recompress_ns_max,
            ..Self::WHOLE
        }
    }

    /// Without some buckets.
    pub(super) const fn with_deletion(self, deletion: &'a BucketDeletion) -> Self {
        Self {
            deletion: Some(deletion),
            ..self
        }
    }

    /// With an image of every series.
    pub(super) const fn with_images(self) -> Self {
        Self {
            images_of_all: true,
            ..self
        }
    }
}

/// The part of the time that checkpoints in passing may spend on recompression: one in this many.
const RECOMPRESS_SHARE: u64 = 10;
/// Bytes of stored chunks that a checkpoint in passing reads to write them anew, and that any other does.
const PASSING_BYTES: u64 = 4 << 20;
const COMPACTED_BYTES: u64 = 64 << 20;

impl Engine {
    /// Writes what the log still holds alone to block files, and frees the log. One at a time.
    pub fn checkpoint(&self) -> Result<CheckpointReport, EngineError> {
        self.checkpoint_with(Wish::WHOLE)
    }

    /// As [`Self::checkpoint`], but recompresses for at most a tenth of the time since the last one: what is
    /// left is written as it was sealed. So rows that pour in do not wait for the smallest form.
    pub fn checkpoint_in_passing(&self) -> Result<CheckpointReport, EngineError> {
        let now = self.clock.monotonic_ns();
        let before = self.checkpoint_began_ns.swap(now, Ordering::Relaxed);
        self.checkpoint_with(Wish::in_time(now.saturating_sub(before) / RECOMPRESS_SHARE))
    }

    /// As [`Self::checkpoint`], with an image of every series, so that a restart has nothing to replay.
    pub fn checkpoint_everything(&self) -> Result<CheckpointReport, EngineError> {
        self.checkpoint_with(Wish::WHOLE.with_images())
    }

    /// A checkpoint as it is wished.
    pub(super) fn checkpoint_with(&self, wish: Wish<'_>) -> Result<CheckpointReport, EngineError> {
        let mut persisted = self.persisted.lock();
        self.within_room(|| self.checkpoint_locked(&mut persisted, wish))
    }

    /// A checkpoint under the lock that keeps others away.
    pub(super) fn checkpoint_locked(
        &self,
        persisted: &mut Persisted,
        wish: Wish<'_>,
    ) -> Result<CheckpointReport, EngineError> {
        let Wish {
            recompress_ns_max,
            images_of_all,
            deletion,
        } = wish;
        let usage = self.log.usage();
        // Where room is short the log may be far smaller than it is allowed to be.
        let keep = if images_of_all || self.space.is_short() {
            0
        } else {
            usage.capacity_bytes / 2
        };
        // What the log no longer holds needs an image again, however young it is.
        let recycled = self
            .blocks
            .committed()
            .map(|manifest| manifest.info.replay_from);
        let half = Position(self.log.end().0.saturating_sub(keep));
        let pinning_below = half.max(recycled.unwrap_or_default());
        let passing = recompress_ns_max != u64::MAX;
        let mut images = self.blocks.image_writer();
        let compaction = self.compaction(passing);
        let mut collected = self.collect(pinning_below, compaction, &mut images)?;
        let deletions = self.needed_deletions(&collected);
        let orphans = self.orphans.lock().len();
        if mutants::is(Mutant::DroppedChunk) {
            collected.flushes.pop();
        }
        if mutants::is(Mutant::DroppedImage) {
            collected.images.pop();
        }
        let StateNews {
            records,
            reached,
            layouts,
            is_whole,
        } = self.state_news(persisted);
        // Behind the visit of all shards and before the sync: it knows every batch whose rows a visited shard has,
        // and none that may be lost.
        let (mut producers, repeated_through) = self.producers.copy(&self.log);
        // Nothing that is not durable in the log may be durable in a block file.
        self.write_images(&mut collected, &mut images)?;
        if mutants::is(Mutant::UnsyncedProducers) {
            producers = self.producers.copy(&self.log).0;
        }
        for entry in self.orphans.lock().drain(..orphans) {
            self.blocks.release(&entry);
        }
        let mut chunks = self.blocks.chunk_writer();
        let (ready, gone) = self.write_chunks(&mut collected, recompress_ns_max, &mut chunks)?;
        let new = ready.iter().filter_map(|ready| ready.found.unflushed());
        let history = self.history_with(new)?;
        self.settle(&mut collected, &ready, &gone);
        let mut compaction = std::mem::take(&mut collected.compaction);
        let leaving = collected.leaving(&ready, &gone);
        let tiers = self.roll_up(&leaving, deletion, &mut compaction, &mut chunks)?;
        drop(leaving);
        let mut sides = deletions;
        sides.extend(collected.account_records());
        if !mutants::is(Mutant::ForgottenProducers) {
            // A clock that was set meanwhile makes nobody silent.
            let now = self.server_time().retention.min(producers.newest());
            let record = producers.encode(now);
            sides.extend(record.map(SideRecord::Producers));
        }
        let settled = {
            let mut settled = self.settled.read().clone();
            if !mutants::is(Mutant::CountedNever) {
                settled.add(&collected.settles);
            }
            for (&database, &rows) in &tiers.late_rows {
                settled.late_merged(database, rows);
            }
            settled
        };
        let mut counters = history.counters(&self.catalog.read());
        let counted = settled.clone().with_repeated(producers.repeated());
        counters.extend(counted.counters());
        if !producers.repeated().is_empty() {
            counters.push(through_counter(repeated_through));
        }
        counters.extend(reached.column_counters());
        counters.extend(self.tokens.counter());
        let all_entries = chunks.finish()?;
        let (entries, tier_entries) = all_entries.split_at(ready.len());
        let (lost, lost_reached) = {
            let losses = self.losses.lock();
            (losses.records(is_whole), losses.reached())
        };
        if mutants::is(Mutant::RecycledBeforeManifest) {
            self.log.recycle(collected.replay_from)?;
        }
        let records = records.iter().chain(&lost);
        let records = records.map(|(kind, record)| (*kind, record));
        let written = if is_whole {
            self.blocks.rewrite_state(records)
        } else {
            self.blocks.append_state(records)
        };
        if let Err(error) = written.and_then(|()| images.finish(&sides)) {
            // They are written anew by the next checkpoint: these only take room.
            self.blocks.discard_chunks(&all_entries);
            return Err(error.into());
        }
        let given_up = || ready.iter().map(|ready| &ready.found).chain(&gone);
        self.release_stored(given_up());
        self.release_tiers(&tiers.replaced);
        let committed = self.blocks.commit_manifest(CommitInfo {
            replay_from: collected.replay_from,
            durable: self.log.durable(),
            newest_wall: self.server_time().durable,
            highest_database: DatabaseId(reached.databases as u32),
            highest_measurement: MeasurementId(reached.measurements as u32),
            highest_series: SeriesId(reached.series),
            counters,
        });
        let unlisted = match committed {
            Ok((_, unlisted)) => unlisted,
            Err(error) => {
                // The manifest may have reached the device all the same, so the file stays until the next.
                for entry in &all_entries {
                    self.blocks.release(entry);
                }
                self.revive_stored(given_up());
                self.revive_tiers(&tiers.replaced);
                return Err(error.into());
            }
        };
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.wear.add(&collected.written);
        {
            // Whoever adds rows up finds them here or there.
            let mut now = self.settled.write();
            *now = settled;
            // A series that has buckets does not give its place back.
            self.change_tiers(&tiers, tier_entries);
            self.forget_gone(&collected, &gone);
            self.mark_stored(&ready, entries);
            *self.history.lock() = history;
        }
        self.blocks.retire(unlisted);
        self.mark_defined(reached.series, layouts);
        *persisted = reached;
        self.losses.lock().keep(lost_reached);
        let segments_freed = if mutants::is(Mutant::RecycledAboveCheckpoint) {
            self.log.recycle(self.log.end())?
        } else {
            self.log.recycle(collected.replay_from)?
        };
        Ok(CheckpointReport {
            chunks: entries.len(),
            chunk_bytes: entries.iter().map(|entry| u64::from(entry.len_bytes)).sum(),
            images: collected.written.images as usize,
            replay_from: collected.replay_from,
            segments_freed,
            deleted_rows: tiers.deleted_rows,
        })
    }

    /// What this checkpoint may compact. Where there is no room, nothing is moved.
    fn compaction(&self, passing: bool) -> Compaction {
        let bytes_max = match (self.space.is_short(), passing) {
            (true, _) => 0,
            (false, true) => PASSING_BYTES,
            (false, false) => COMPACTED_BYTES,
        };
        let sparse = self.blocks.sparse_files(self.is_over_budget());
        Compaction::new(sparse, bytes_max)
    }

    /// Records of the deletions and expiries that chunks need; the others are forgotten. One that no chunk needs any more
    /// was still in the checkpoint before, so that it is there as long as a manifest lists such a chunk.
    fn needed_deletions(&self, collected: &Collected) -> Vec<SideRecord> {
        let mut deletions = self.deletions.lock();
        let needed = &collected.compaction.needed;
        deletions.retain(|at, _| *at >= collected.began || needed.contains(at));
        if mutants::is(Mutant::ForgottenDeletion) {
            return Vec::new();
        }
        let at_position = |at: &Position, payload: &Vec<u8>| {
            let at = at.0.to_le_bytes();
            [&at[..], payload].concat()
        };
        let all = deletions.iter();
        let all = all.flat_map(|(at, sides)| sides.iter().map(move |side| (at, side)));
        let record = all.map(|(at, side)| match side {
            SideRecord::Deletion(payload) => SideRecord::Deletion(at_position(at, payload)),
            SideRecord::Expiry(payload) => SideRecord::Expiry(at_position(at, payload)),
            SideRecord::Account(_) | SideRecord::Producers(_) => side.clone(),
        });
        record.collect()
    }

    /// What the state file has need not be repeated in the log.
    fn mark_defined(&self, series_end: u32, layouts: usize) {
        for (index, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.write();
            for slot in 0..shard.len() {
                let Some((series, _)) = shard.existing(slot) else {
                    continue;
                };
                // One that no segment defines may have been retired.
                let is_there = series.defined > 0 && !series.is_dropped();
                if is_there && self.placement.id(index, slot).0 < series_end {
                    series.defined = u64::MAX;
                }
            }
            for id in 0..layouts {
                *shard.layout_defined(id as u32) = u64::MAX;
            }
        }
    }
}
