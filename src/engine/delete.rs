//! Deletions: logged, then hidden from every reader at once; checkpoints take the rows out of the files. And
//! measurements that are dropped, with their series and columns, while no checkpoint runs.
//!
//! The series are chosen before; the log has their numbers and the range of time. A frame is appended and
//! applied under the lock of one shard, as rows are, so that its position decides what it hits.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::blocks::{ChunkEntry, SideRecord};
use crate::engine::ledger::owner_of;
use crate::engine::retention::Keep;
use crate::engine::shard::Shard;
use crate::engine::write::refusal;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::log::definitions::encode_dropped;
use crate::log::deletion::Deletion;
use crate::log::{AppendError, FrameParts, FrameType};
use crate::series::{Cause, Demand, Location, Part, Ring, Sealed, Snapshot, Summaries, Tombstone};
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId, TimeRange, Timestamp};

/// What a deletion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// It is durable when the log is durable up to here.
    pub position: Position,
    /// Rows that were shown before and no longer are, as far as their chunks can be read.
    pub rows: u64,
}

/// What went with a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedMeasurement {
    /// It is durable when the log is durable up to here.
    pub position: Position,
    /// Its series.
    pub series: u64,
    /// Rows that were shown before, as far as their chunks can be read.
    pub rows: u64,
}

/// Series whose rows go with one frame, under one hold of their shard's lock.
const SLICE_SERIES: usize = 256;

/// What is looked at again behind the lock.
#[derive(Default)]
struct Hit {
    /// What the range showed before.
    before: Vec<Snapshot<ChunkEntry>>,
    /// The chunks that have rows of it.
    chunks: Vec<Sealed<ChunkEntry>>,
}

impl Engine {
    /// Deletes the rows of some series of a measurement in a range of time that were accepted before. Gone for
    /// every reader when it returns, and for good when the log is durable up to the position. After an error
    /// some of the series may have lost theirs; it can be tried again.
    pub fn delete(
        &self,
        access: &Access,
        database: &str,
        measurement: MeasurementId,
        series: &[SeriesId],
        range: TimeRange,
    ) -> Result<Deleted, EngineError> {
        access.check(Verb::Delete, database)?;
        if self.space.is_full() {
            return Err(self.space.refused(0));
        }
        // An answer that finds nothing left must outlast what an earlier deletion has done.
        let mut deleted = Deleted {
            position: self.log.end(),
            rows: 0,
        };
        if range.is_empty() {
            return Ok(deleted);
        }
        let database = {
            let catalog = self.catalog.read();
            let found = catalog.measurement_by_id(measurement);
            found.map_or(DatabaseId(0), |found| found.database)
        };
        let mut of_shards = vec![Vec::new(); self.shards.len()];
        for &id in series {
            of_shards[self.placement.shard(id)].push(id);
        }
        for (index, mut ids) in of_shards.into_iter().enumerate() {
            ids.sort_unstable();
            ids.dedup();
            for slice in ids.chunks(SLICE_SERIES) {
                let part = Deletion {
                    database,
                    measurement,
                    range,
                    series: slice.to_vec(),
                    moved: false,
                };
                self.delete_slice(index, part, &mut deleted)?;
            }
        }
        Ok(deleted)
    }

    /// Drops a measurement: its rows, series and columns. Whoever writes to its name then starts afresh; what a
    /// writer still holds of it leads nowhere, see [`Self::drops`].
    pub fn drop_measurement(
        &self,
        access: &Access,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<DroppedMeasurement, EngineError> {
        access.check(Verb::Delete, database)?;
        if self.space.is_full() {
            return Err(self.space.refused(0));
        }
        // Its rows settle: no checkpoint may have looked at some of them, and nobody adds them up meanwhile.
        let _one = self.persisted.lock();
        let mut settled = self.settled.write();
        let owner = owner_of(self.catalog.read().measurement_by_id(measurement));
        let (position, series) = self.drop_names(measurement)?;
        let mut rows = 0;
        for slice in series.chunks(SLICE_SERIES) {
            let pin = self.blocks.pin();
            let mut hit = Hit::default();
            for &id in slice {
                let mut shard = self.shards[self.placement.shard(id)].write();
                let slot = self.placement.slot(id);
                if let Some((series, scratch)) = shard.existing(slot) {
                    hit.before.push(series.snapshot(TimeRange::ALL));
                    let gone = series.drop_rows(owner.database, scratch);
                    settled.dropped(owner, &gone);
                    let mut orphans = self.orphans.lock();
                    orphans.extend(stored_in(&gone.ring));
                    orphans.extend(shard.tiers.remove(slot));
                }
            }
            rows += self.count_hit(hit);
            drop(pin);
        }
        drop(settled);
        self.shards[0].write().counts.deleted += rows;
        Ok(DroppedMeasurement {
            position,
            series: series.len() as u64,
            rows,
        })
    }

    /// Takes a measurement out of the catalog. Nobody resolves a name of it meanwhile.
    fn drop_names(
        &self,
        measurement: MeasurementId,
    ) -> Result<(Position, Vec<SeriesId>), EngineError> {
        let mut catalog = self.catalog.write();
        let Some(found) = catalog.measurement_by_id(measurement) else {
            return Ok((self.log.end(), Vec::new()));
        };
        let mut payload = Vec::new();
        let mut series: Vec<SeriesId> = found.series().collect();
        series.sort_unstable();
        encode_dropped(&mut payload, measurement, &series);
        let frame = FrameParts::new(FrameType::Definitions, &payload);
        let appended = self.log.append_in_any_epoch(&[frame]);
        let position = appended.map_err(refusal)?.end;
        catalog.drop_measurement(measurement, &series);
        self.drops.fetch_add(1, Ordering::Release);
        Ok((position, series))
    }

    /// Rises when measurements were dropped, series retired, rules or retention policies changed: series and layouts
    /// that were resolved before may be gone, of another class, or not be taken any more.
    #[inline]
    pub fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    /// Deletes of some series of one shard.
    fn delete_slice(
        &self,
        index: usize,
        mut deletion: Deletion,
        deleted: &mut Deleted,
    ) -> Result<(), EngineError> {
        let pin = self.blocks.pin();
        let range = deletion.range;
        let revised = self.retention.current();
        let keeps = self.keeps(&revised);
        // What has expired was not shown, and is not counted.
        let from = |shard: &Shard, id| {
            let slot = self.placement.slot(id);
            shown_from(&keeps, shard.classes.get(slot, revised.revision))
        };
        let hit = loop {
            let mut guard = self.shards[index].write();
            let shard = &mut *guard;
            let epoch = self.log.epoch();
            let ahead = Tombstone {
                position: Position(u64::MAX),
                range,
                cause: Cause::Deleted,
            };
            deletion.series.retain(|&id| {
                let found = shard.get(self.placement.slot(id));
                found.is_some_and(|series| series.may_hold(ahead))
            });
            if deletion.series.is_empty() {
                return Ok(());
            }
            let payload = deletion.encode();
            match self
                .log
                .append(epoch, &[FrameParts::new(FrameType::Delete, &payload)])
            {
                Ok(appended) => {
                    deleted.position = deleted.position.max(appended.end);
                    let position = appended.last_frame;
                    let tombstone = Tombstone {
                        position,
                        range,
                        cause: Cause::Deleted,
                    };
                    let hit = self.hide(shard, &deletion.series, tombstone, &from);
                    if !hit.chunks.is_empty() {
                        self.keep_side(position, SideRecord::Deletion(payload));
                    }
                    break hit;
                }
                Err(AppendError::EpochChanged(_)) => {}
                Err(error) => return Err(refusal(error)),
            }
        };
        let rows = self.count_hit(hit);
        drop(pin);
        self.shards[index].write().counts.deleted += rows;
        deleted.rows += rows;
        Ok(())
    }

    fn hide(
        &self,
        shard: &mut Shard,
        series: &[SeriesId],
        tombstone: Tombstone,
        shown_from: &dyn Fn(&Shard, SeriesId) -> Timestamp,
    ) -> Hit {
        let mut hit = Hit::default();
        for &id in series {
            let shown = TimeRange {
                start: shown_from(shard, id),
                end: Timestamp::MAX,
            };
            let (series, scratch) = shard.series_and_scratch(self.placement.slot(id));
            let shown = tombstone.range.intersect(shown);
            hit.before
                .extend((!shown.is_empty()).then(|| series.snapshot(shown)));
            if series.hide(tombstone, scratch) {
                let hidden = series.ring.overlapping(tombstone.range);
                let hidden = hidden.filter(|chunk| chunk.hidden.is_some());
                hit.chunks.extend(hidden.cloned());
            }
        }
        hit
    }

    /// Rows that were shown, outside of every lock; and how many each chunk hides now.
    fn count_hit(&self, hit: Hit) -> u64 {
        for chunk in &hit.chunks {
            self.count_chunk(chunk);
        }
        let mut rows = 0;
        let demand = Demand {
            summaries: Some(Summaries {
                needs: &[],
                bucket_end: &|_| None,
            }),
            ..Demand::default()
        };
        let mut fetch = |entry: &ChunkEntry| -> Result<Bytes, EngineError> {
            Ok(self.blocks.read_chunk(entry)?)
        };
        for mut snapshot in hit.before {
            while let Ok(Some(part)) = snapshot.next(&[], &[], &demand, &mut fetch) {
                rows += match part {
                    Part::Rows((times, _)) => times.len() as u64,
                    Part::Summary(summary) => summary.rows,
                };
            }
        }
        rows
    }

    /// Keeps what hides rows of chunks, under the lock of their shard: whoever sees the chunks finds it.
    pub(super) fn keep_side(&self, position: Position, side: SideRecord) {
        let mut kept = self.deletions.lock();
        kept.entry(position).or_default().push(side);
    }
}

/// From when on rows of a class are shown, or of any where that is not known.
fn shown_from(keeps: &[Keep], class: Option<usize>) -> Timestamp {
    let of_class = |keep: &Keep| {
        if keep.tiers.is_empty() {
            keep.horizon
        } else {
            // They are shown until they leave.
            Timestamp::MIN
        }
    };
    let known = class.and_then(|class| keeps.get(class)).map(of_class);
    let least = || keeps.iter().map(of_class).min();
    known.or_else(least).unwrap_or(Timestamp::MIN)
}

/// The chunks of a ring that are in block files.
pub(super) fn stored_in(ring: &Ring<ChunkEntry>) -> impl Iterator<Item = ChunkEntry> {
    ring.iter().filter_map(|chunk| match &chunk.location {
        Location::Stored(entry) => Some(*entry),
        Location::Memory(_) => None,
    })
}
