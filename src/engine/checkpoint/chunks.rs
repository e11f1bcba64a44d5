//! The chunks of a checkpoint: each is written as soon as it is in its smallest form, and let go of.

use std::sync::Arc;

use bytes::Bytes;

use super::collect::Collected;
use crate::blocks::{ChunkEntry, ChunkMeta, ChunkWriter};
use crate::codec::Effort;
use crate::codec::chunk::{self, Hints};
use crate::engine::compaction::{Found, Shown, shown_of};
use crate::engine::ledger::owner_of_series;
use crate::engine::{Engine, EngineError};
use crate::series::{Cause, HiddenRows, Location, Sealed};
use crate::types::DatabaseId;

/// A chunk that was written to a block file.
pub(super) struct Ready {
    pub(super) found: Found,
    shown: Shown,
}

impl Engine {
    /// Writes all chunks that are new, or change; also stored chunks of which nothing is left.
    pub(super) fn write_chunks(
        &self,
        collected: &mut Collected,
        recompress_ns_max: u64,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<(Vec<Ready>, Vec<Found>), EngineError> {
        let began = self.clock.monotonic_ns();
        let mut ready = Vec::with_capacity(collected.flushes.len());
        let mut gone = std::mem::take(&mut collected.compaction.gone);
        // What fitted a series' last chunk is tried first for its next one.
        let (mut hints, mut hints_of) = (Hints::default(), None);
        for found in std::mem::take(&mut collected.flushes) {
            self.pause();
            let Location::Memory(sealed) = &found.chunk.location else {
                continue;
            };
            let spent = self.clock.monotonic_ns().saturating_sub(began);
            let in_time = recompress_ns_max == u64::MAX || spent < recompress_ns_max;
            let Some((mut bytes, shown)) = shown_of(&found.chunk, sealed, Effort::Cheap)? else {
                collected.hidden.push(found);
                continue;
            };
            if in_time {
                if hints_of.replace(found.series) != Some(found.series) {
                    hints = Hints::default();
                }
                if let Some(smaller) = chunk::recompress(&bytes, &mut hints)? {
                    bytes = smaller.into();
                }
            }
            collected.written.chunk(sealed, &bytes);
            let written = Ready { found, shown };
            self.write_chunk(&written, bytes, writer)?;
            ready.push(written);
        }
        for found in std::mem::take(&mut collected.compaction.rewrites) {
            self.pause();
            // What cannot be read stays where it is: reading notes the damage.
            let read = found.entry().map(|at| self.blocks.read_chunk_uncached(at));
            let Some(Ok(before)) = read else {
                continue;
            };
            let Ok(shown) = shown_of(&found.chunk, &before, Effort::Full) else {
                continue;
            };
            let Some((bytes, shown)) = shown else {
                gone.push(found);
                continue;
            };
            collected.written.chunk(&before, &bytes);
            let written = Ready { found, shown };
            self.write_chunk(&written, bytes, writer)?;
            ready.push(written);
        }
        Ok((ready, gone))
    }

    fn write_chunk(
        &self,
        ready: &Ready,
        bytes: Bytes,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<(), EngineError> {
        let entry = writer.append(self.meta_of(ready), &bytes)?;
        // Whoever asks next reads it from there; nobody does before it is listed.
        let cache = self.blocks.cache();
        cache.insert(entry.file, entry.offset, bytes);
        Ok(())
    }

    fn meta_of(&self, Ready { found, shown }: &Ready) -> ChunkMeta {
        let catalog = self.catalog.read();
        let measurement = catalog
            .series(found.series)
            .map(|series| series.measurement);
        let owner = measurement.and_then(|id| catalog.measurement_by_id(id));
        ChunkMeta {
            series: found.series,
            database: owner.map_or(DatabaseId(0), |owner| owner.database),
            measurement: measurement.unwrap_or_default(),
            tier: 0,
            rows: shown.rows,
            first_time: shown.first_time,
            last_time: shown.last_time,
            first_position: found.chunk.first_position,
            last_position: found.chunk.last_position,
        }
    }

    /// Reckons which rows are in no chunk any more once this manifest is in force.
    pub(super) fn settle(&self, collected: &mut Collected, ready: &[Ready], gone: &[Found]) {
        let owners = {
            let catalog = self.catalog.read();
            move |series| owner_of_series(&catalog, series)
        };
        for Ready { found, shown } in ready {
            if found.chunk.overwritten > 0 || shown.hidden.total() > 0 {
                let owner = owners(found.series);
                let overwritten = u64::from(found.chunk.overwritten);
                collected.settles.overwritten(owner, overwritten);
                collected.settles.hidden(owner, shown.hidden);
            }
        }
        for Found { series, chunk } in collected.hidden.iter().chain(gone) {
            let owner = owners(*series);
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
            let account = collected.accounts.entry(*series).or_default();
            account.through = account.through.max(chunk.last_position);
        }
    }

    /// What has settled is in its series no longer.
    pub(super) fn forget_gone(&self, collected: &Collected, gone: &[Found]) {
        let slot = |id| (self.placement.shard(id), self.placement.slot(id));
        for found in collected.hidden.iter().chain(gone) {
            let (shard, slot) = slot(found.series);
            let mut shard = self.shards[shard].write();
            let series = shard.series_mut(slot);
            series.ring.replace(|chunk| found.is(chunk), |_| None);
            series.leave_through(found.chunk.last_position);
        }
        for &(id, rows) in &collected.discarded {
            let (shard, slot) = slot(id);
            let mut shard = self.shards[shard].write();
            shard.series_mut(slot).forget_discarded(rows);
        }
    }

    /// Chunks that a manifest lists are read from their files from now on.
    pub(super) fn mark_stored(&self, ready: &[Ready], entries: &[ChunkEntry]) {
        for (Ready { found, shown }, entry) in ready.iter().zip(entries) {
            let mut shard = self.shards[self.placement.shard(found.series)].write();
            let series = shard.series_mut(self.placement.slot(found.series));
            let is_there = series.ring.replace(
                |chunk| found.is(chunk),
                |old| Some(stored_as(old, found, shown, *entry)),
            );
            if !is_there {
                // It expired meanwhile, or was deleted.
                self.blocks.release(entry);
            }
        }
    }
}

/// A chunk of the ring as it was written. What hid rows then hides nothing of it any more; what came since does.
fn stored_as(
    old: &Sealed<ChunkEntry>,
    found: &Found,
    shown: &Shown,
    entry: ChunkEntry,
) -> Sealed<ChunkEntry> {
    let is_same = match (&old.hidden, &found.chunk.hidden) {
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
