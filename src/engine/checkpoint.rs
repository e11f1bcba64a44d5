//! A checkpoint: sealed chunks go to a block file, the catalog's news to the state file, slow series get an
//! image of their open rows, a manifest joins them; only then may the log's segments be used again.
//!
//! Series are visited a few at a time, so that writers never wait for a checkpoint. What makes that
//! right: a chunk or image says up to which log position it holds its series, and the replay starts at the
//! lowest position that any series still needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::blocks::{Account, ChunkEntry, ChunkMeta, CommitInfo, ImageRecord, SideRecord};
use crate::codec::chunk::{self, Hints};
use crate::codec::{CodecError, Effort};
use crate::engine::compaction::{Compaction, Shown, Stored, shown_of};
use crate::engine::ledger::{Owner, Settled, owner_of_series};
use crate::engine::persisted::{Persisted, StateNews};
use crate::engine::producers::through_counter;
use crate::engine::tiers::{BucketDeletion, Leaving};
use crate::engine::{Engine, EngineError};
use crate::limits::FRAME_BYTES;
use crate::mutants::{self, Mutant};
use crate::series::{Cause, HiddenRows, Location, Sealed, Series, UnsealedCells};
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

/// Series visited under one hold of a shard's lock.
const SLICE_SERIES: usize = 64;
/// The part of the time that checkpoints in passing may spend on recompression: one in this many.
const RECOMPRESS_SHARE: u64 = 10;
/// Bytes of stored chunks that a checkpoint in passing reads to write them anew, and that any other does.
const PASSING_BYTES: u64 = 4 << 20;
const COMPACTED_BYTES: u64 = 64 << 20;

struct Flush {
    series: SeriesId,
    chunk: Sealed<ChunkEntry>,
    bytes: Bytes,
}

impl Flush {
    /// Whether a chunk of the ring is this one.
    fn is(&self, chunk: &Sealed<ChunkEntry>) -> bool {
        chunk.is_unflushed() && chunk.precedence() == self.chunk.precedence()
    }
}

struct Image {
    series: SeriesId,
    first_position: Position,
    last_position: Position,
    bytes: Vec<u8>,
}

/// A chunk on its way to a block file.
struct Ready {
    flush: Flush,
    /// Where it was in a block file before.
    moved: Option<Stored>,
    shown: Shown,
}

#[derive(Default)]
struct Collected {
    flushes: Vec<Flush>,
    images: Vec<Image>,
    compaction: Compaction,
    /// Chunks in memory of which nothing is shown.
    hidden: Vec<Flush>,
    /// By series: up to where its rows are accounted for though no chunk may have them, and rows of its image
    /// that were overwritten.
    accounts: BTreeMap<SeriesId, Account>,
    /// Rows that came for series that were dropped.
    discarded: Vec<(SeriesId, u32)>,
    /// Rows that leave chunks with this manifest.
    settles: Settled,
    /// Where the log ended when it began.
    began: Position,
    replay_from: Position,
}

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
        let mut collected = self.collect(pinning_below, self.compaction(passing))?;
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
        self.log.sync()?;
        if mutants::is(Mutant::UnsyncedProducers) {
            producers = self.producers.copy(&self.log).0;
        }
        for entry in self.orphans.lock().drain(..orphans) {
            self.blocks.release(&entry);
        }
        let (ready, gone) = self.prepare_chunks(&mut collected, recompress_ns_max)?;
        let new = ready.iter().filter(|ready| ready.moved.is_none());
        let new = new.map(|ready| (ready.flush.series, &ready.flush.bytes));
        let history = self.history_with(new)?;
        self.settle(&mut collected, &ready, &gone);
        let leaving = collected.leaving(&ready, &gone);
        let tiers = self.roll_up(&leaving, deletion, &mut collected.compaction)?;
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
        let metas = ready.iter().map(|ready| self.meta_of(ready));
        let chunks = ready.iter().map(|ready| ready.shown.bytes.clone());
        let chunks = metas.zip(chunks).chain(tiers.chunks.iter().cloned());
        let all_entries = self.blocks.write_chunks(chunks)?;
        let (entries, tier_entries) = all_entries.split_at(ready.len());
        let (lost, lost_reached) = {
            let losses = self.losses.lock();
            (losses.records(is_whole), losses.reached())
        };
        if mutants::is(Mutant::RecycledBeforeManifest) {
            self.log.recycle(collected.replay_from)?;
        }
        let written = self.write_records(is_whole, &records, &lost, &sides, &collected.images);
        if let Err(error) = written {
            // They are written anew by the next checkpoint: these only take room.
            self.blocks.discard_chunks(&all_entries);
            return Err(error);
        }
        let given_up = || {
            ready
                .iter()
                .filter_map(|ready| ready.moved.as_ref())
                .chain(&gone)
        };
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
        for ready in &ready {
            self.wear.chunk(&ready.flush.bytes, &ready.shown.bytes);
        }
        for image in &collected.images {
            self.wear.image(&image.bytes);
        }
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
            images: collected.images.len(),
            replay_from: collected.replay_from,
            segments_freed,
            deleted_rows: tiers.deleted_rows,
        })
    }

    /// The catalog's news and what is newly known to be lost, or all of both in a file of their own; and all images.
    fn write_records(
        &self,
        is_whole: bool,
        records: &[(u8, Vec<u8>)],
        lost: &[(u8, Vec<u8>)],
        sides: &[SideRecord],
        images: &[Image],
    ) -> Result<(), EngineError> {
        let records = records.iter().chain(lost);
        let records = records.map(|(kind, record)| (*kind, record));
        if is_whole {
            self.blocks.rewrite_state(records)?;
        } else {
            self.blocks.append_state(records)?;
        }
        let images = images.iter().map(|image| ImageRecord {
            series: image.series,
            first_position: image.first_position,
            last_position: image.last_position,
            bytes: &image.bytes,
        });
        Ok(self.blocks.write_images(sides, images)?)
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

    /// The bytes of all chunks that are written, and stored chunks of which nothing is left.
    fn prepare_chunks(
        &self,
        collected: &mut Collected,
        recompress_ns_max: u64,
    ) -> Result<(Vec<Ready>, Vec<Stored>), EngineError> {
        let began = self.clock.monotonic_ns();
        let mut ready = Vec::with_capacity(collected.flushes.len());
        let mut gone = std::mem::take(&mut collected.compaction.gone);
        // What fitted a series' last chunk is tried first for its next one.
        let (mut hints, mut hints_of) = (Hints::default(), None);
        for flush in std::mem::take(&mut collected.flushes) {
            self.pause();
            let spent = self.clock.monotonic_ns().saturating_sub(began);
            let in_time = recompress_ns_max == u64::MAX || spent < recompress_ns_max;
            let Some(mut shown) = shown_of(&flush.chunk, &flush.bytes, Effort::Cheap)? else {
                collected.hidden.push(flush);
                continue;
            };
            if in_time {
                if hints_of.replace(flush.series) != Some(flush.series) {
                    hints = Hints::default();
                }
                if let Some(smaller) = chunk::recompress(&shown.bytes, &mut hints)? {
                    shown.bytes = smaller.into();
                }
            }
            ready.push(Ready {
                flush,
                moved: None,
                shown,
            });
        }
        for stored in std::mem::take(&mut collected.compaction.rewrites) {
            self.pause();
            // What cannot be read stays where it is: reading notes the damage.
            let Ok(bytes) = self.blocks.read_chunk_uncached(&stored.entry) else {
                continue;
            };
            let Ok(shown) = shown_of(&stored.chunk, &bytes, Effort::Full) else {
                continue;
            };
            let Some(shown) = shown else {
                gone.push(stored);
                continue;
            };
            let flush = Flush {
                series: stored.series,
                chunk: stored.chunk.clone(),
                bytes,
            };
            ready.push(Ready {
                flush,
                moved: Some(stored),
                shown,
            });
        }
        Ok((ready, gone))
    }

    /// Unflushed chunks of all series, and images of those that hold rows from before `pinning_below`.
    fn collect(
        &self,
        pinning_below: Position,
        compaction: Compaction,
    ) -> Result<Collected, EngineError> {
        let end = self.log.end();
        let mut collected = Collected {
            began: end,
            replay_from: end,
            compaction,
            ..Collected::default()
        };
        for (index, shard) in self.shards.iter().enumerate() {
            let mut slot = 0;
            loop {
                let shard = shard.read();
                let end = shard.len().min(slot + SLICE_SERIES);
                let first = slot;
                slot = end;
                let slice = shard.iter_from(first).take_while(|(slot, _)| *slot < end);
                for (slot, series) in slice {
                    let id = self.placement.id(index, slot);
                    for chunk in series.ring.iter() {
                        collected.compaction.look(id, chunk);
                        if let Location::Memory(bytes) = &chunk.location {
                            collected.flushes.push(Flush {
                                series: id,
                                chunk: chunk.clone(),
                                bytes: bytes.clone(),
                            });
                        }
                    }
                    collected.account(id, series);
                    if let Some(first) = series.first_unsealed() {
                        if first < pinning_below {
                            collected.add_image(id, series)?;
                        } else {
                            collected.replay_from = collected.replay_from.min(first);
                        }
                    }
                }
                if slot >= shard.len() {
                    break;
                }
                drop(shard);
                self.pause();
            }
        }
        Ok(collected)
    }

    fn meta_of(&self, Ready { flush, shown, .. }: &Ready) -> ChunkMeta {
        let catalog = self.catalog.read();
        let measurement = catalog
            .series(flush.series)
            .map(|series| series.measurement);
        let owner = measurement.and_then(|id| catalog.measurement_by_id(id));
        ChunkMeta {
            series: flush.series,
            database: owner.map_or(DatabaseId(0), |owner| owner.database),
            measurement: measurement.unwrap_or_default(),
            tier: 0,
            rows: shown.rows,
            first_time: shown.first_time,
            last_time: shown.last_time,
            first_position: flush.chunk.first_position,
            last_position: flush.chunk.last_position,
        }
    }

    /// Reckons which rows are in no chunk any more once this manifest is in force.
    fn settle(&self, collected: &mut Collected, ready: &[Ready], gone: &[Stored]) {
        let owners = {
            let catalog = self.catalog.read();
            move |series| owner_of_series(&catalog, series)
        };
        for Ready { flush, shown, .. } in ready {
            if flush.chunk.overwritten > 0 || shown.hidden.total() > 0 {
                let owner = owners(flush.series);
                let overwritten = u64::from(flush.chunk.overwritten);
                collected.settles.overwritten(owner, overwritten);
                collected.settles.hidden(owner, shown.hidden);
            }
        }
        let hidden = collected.hidden.iter();
        let left = hidden.map(|flush| (flush.series, &flush.chunk));
        let left = left.chain(gone.iter().map(|stored| (stored.series, &stored.chunk)));
        for (series, chunk) in left {
            let owner = owners(series);
            // Of what cannot be read the last cause is known.
            let rows = self.count_chunk(chunk).unwrap_or_else(|| {
                let hidden = chunk.hidden.iter();
                let last = hidden.flat_map(|hidden| hidden.tombstones()).next_back();
                let cause = match last.map(|last| last.cause) {
                    // Not all of them can have.
                    None | Some(Cause::Moved) => Cause::Deleted,
                    Some(cause) => cause,
                };
                HiddenRows::all(cause, chunk.rows)
            });
            collected.settles.hidden(owner, rows);
            let overwritten = u64::from(chunk.overwritten);
            collected.settles.overwritten(owner, overwritten);
            let account = collected.accounts.entry(series).or_default();
            account.through = account.through.max(chunk.last_position);
        }
    }

    /// What has settled is in its series no longer.
    fn forget_gone(&self, collected: &Collected, gone: &[Stored]) {
        let slot = |id| (self.placement.shard(id), self.placement.slot(id));
        for flush in &collected.hidden {
            let (shard, slot) = slot(flush.series);
            let mut shard = self.shards[shard].write();
            let series = shard.series_mut(slot);
            series.ring.replace(|chunk| flush.is(chunk), |_| None);
            series.leave_through(flush.chunk.last_position);
        }
        for stored in gone {
            let (shard, slot) = slot(stored.series);
            let mut shard = self.shards[shard].write();
            let series = shard.series_mut(slot);
            series.ring.replace(|chunk| stored.is(chunk), |_| None);
            series.leave_through(stored.chunk.last_position);
        }
        for &(id, rows) in &collected.discarded {
            let (shard, slot) = slot(id);
            let mut shard = self.shards[shard].write();
            shard.series_mut(slot).forget_discarded(rows);
        }
    }

    /// Chunks that a manifest lists are read from their files from now on.
    fn mark_stored(&self, ready: &[Ready], entries: &[ChunkEntry]) {
        for (ready, entry) in ready.iter().zip(entries) {
            let Ready {
                flush,
                moved,
                shown,
            } = ready;
            let bytes = shown.bytes.clone();
            self.blocks.cache().insert(entry.file, entry.offset, bytes);
            let is_old = |chunk: &Sealed<ChunkEntry>| match moved {
                Some(stored) => stored.is(chunk),
                None => flush.is(chunk),
            };
            let mut shard = self.shards[self.placement.shard(flush.series)].write();
            let series = shard.series_mut(self.placement.slot(flush.series));
            let found = series
                .ring
                .replace(is_old, |old| Some(stored_as(old, flush, shown, *entry)));
            if !found {
                // It expired meanwhile, or was deleted.
                self.blocks.release(entry);
            }
        }
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

/// A chunk of the ring as it was written. What hid rows then hides nothing of it any more; what came since does.
fn stored_as(
    old: &Sealed<ChunkEntry>,
    flush: &Flush,
    shown: &Shown,
    entry: ChunkEntry,
) -> Sealed<ChunkEntry> {
    let is_same = match (&old.hidden, &flush.chunk.hidden) {
        (Some(now), Some(then)) => Arc::ptr_eq(now, then),
        _ => false,
    };
    let hidden = old.hidden.as_ref().filter(|_| !is_same);
    let hidden = hidden.map(|hidden| Arc::new(hidden.uncounted()));
    Sealed {
        overwritten: 0,
        rows: shown.rows,
        first_time: shown.first_time,
        last_time: shown.last_time,
        len_bytes: entry.len_bytes,
        hidden,
        location: Location::Stored(entry),
        ..old.clone()
    }
}

impl Collected {
    /// Chunks of which rows leave that were too old or too many, with the bytes that have them.
    fn leaving(&self, ready: &[Ready], gone: &[Stored]) -> Leaving {
        let mut leaving = Leaving::new();
        let mut add = |series, chunk: Sealed<ChunkEntry>| {
            if !chunk.left().is_empty() {
                leaving.entry(series).or_default().push(chunk);
            }
        };
        for flush in ready.iter().map(|ready| &ready.flush).chain(&self.hidden) {
            let location = Location::Memory(flush.bytes.clone());
            let chunk = flush.chunk.clone();
            add(flush.series, Sealed { location, ..chunk });
        }
        for stored in gone {
            add(stored.series, stored.chunk.clone());
        }
        leaving
    }

    /// Notes what is accounted for of a series beside its chunks.
    fn account(&mut self, id: SeriesId, series: &Series<ChunkEntry>) {
        let through = series.left_through();
        let mut chunks = series.ring.iter().filter(|chunk| !chunk.is_gone());
        if through > Position(0) && chunks.all(|chunk| chunk.last_position < through) {
            self.accounts.entry(id).or_default().through = through;
        }
        if let Some((database, rows)) = series.discarded().filter(|(_, rows)| *rows > 0) {
            let owner = Owner {
                database,
                reject: None,
            };
            self.settles.deleted(owner, rows.into());
            self.discarded.push((id, rows));
        }
    }

    fn add_image(&mut self, id: SeriesId, series: &Series<ChunkEntry>) -> Result<(), CodecError> {
        let Some(rows) = series.image()? else {
            return Ok(());
        };
        let merged = series.unsealed_rows().saturating_sub(rows.cells.rows());
        let overwritten = series.overwritten() + merged as u32;
        if overwritten > 0 {
            self.accounts.entry(id).or_default().overwritten = overwritten;
        }
        self.images.push(image_of(id, &rows));
        Ok(())
    }

    /// What a restart has to know: of rows before the replay nobody asks any more, but for those that share a frame
    /// with its first one.
    fn account_records(&self) -> Vec<SideRecord> {
        let mut records = Vec::new();
        if mutants::is(Mutant::CountedTwice) {
            return records;
        }
        for (&series, account) in &self.accounts {
            let is_asked = account.through.0 + FRAME_BYTES as u64 >= self.replay_from.0;
            let through = if is_asked {
                account.through
            } else {
                Position(0)
            };
            if account.overwritten > 0 || through > Position(0) {
                records.push(SideRecord::Account(Account {
                    series,
                    through,
                    ..*account
                }));
            }
        }
        records
    }
}

fn image_of(series: SeriesId, rows: &UnsealedCells) -> Image {
    let positions = (rows.first_position, rows.last_position);
    Image {
        series,
        first_position: rows.first_position,
        last_position: rows.last_position,
        bytes: chunk::encode(&rows.cells, positions, &mut Hints::default(), Effort::Cheap),
    }
}
