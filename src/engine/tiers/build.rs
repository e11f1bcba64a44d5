//! What a checkpoint does to the tiers: rows that it takes out of chunks go into buckets, buckets that are too old go,
//! and chunks of files that are mostly dead move.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::delete::BucketDeletion;
use super::fill::Plan;
use super::{Ring, Rings, lanes_of};
use crate::blocks::{ChunkEntry, ChunkMeta, ChunkWriter};
use crate::codec::Effort;
use crate::codec::chunk::{Chunk, Hints};
use crate::engine::compaction::Compaction;
use crate::engine::ledger::owner_of_series;
use crate::engine::retention::{Keep, class_of};
use crate::engine::{Engine, EngineError};
use crate::mutants::{self, Mutant};
use crate::rollup::{
    Bucket, LANES_MAX, LaneColumn, RollupError, Tier, coarsen, decode, encode, roll,
};
use crate::series::{Demand, Location, Part, Sealed, Series, Snapshot};
use crate::types::{DatabaseId, LayoutColumn, Position, SeriesId, TimeRange, Timestamp};

/// Chunks of which rows leave for good with a checkpoint, by series.
pub(in crate::engine) type Leaving<'a> = BTreeMap<SeriesId, Vec<&'a Sealed<ChunkEntry>>>;

/// What changes with a checkpoint.
#[derive(Debug, Default)]
pub(in crate::engine) struct TierChanges {
    /// To be written, of one series at a time.
    pub(super) chunks: Vec<(ChunkMeta, Bytes)>,
    /// What they take the place of, and what is too old.
    pub(in crate::engine) replaced: Vec<ChunkEntry>,
    /// Rows that buckets stood for which were deleted.
    pub(in crate::engine) deleted_rows: u64,
    /// Rows that went into buckets which were there before, by database.
    pub(in crate::engine) late_rows: BTreeMap<DatabaseId, u64>,
    /// Whether one of these reaches beyond what was to be deleted.
    cuts: bool,
    /// Rings that were filled.
    pub(super) filled: u64,
    /// Rings that have to be filled still.
    pub(super) pending: u64,
}

/// Buckets of one chunk at most: each takes its place in memory as long as it is kept.
const BUCKETS_MAX: u32 = 1024;
/// And where few are kept, which go by the chunk: so many, or this part of those that are kept.
const BUCKETS_MIN: u32 = 128;
const KEPT_PART: i64 = 8;
/// The last chunks of a ring that are not full are written anew with what comes behind them, if they have no more than so
/// many times its buckets: a bucket is written a few times, and few chunks are not full, however little comes at a time.
const JOINED_AT: u32 = 2;

/// One ring of one series, while it changes.
pub(super) struct Change<'a> {
    tier: Tier,
    /// Buckets of one chunk at most.
    buckets_max: u32,
    /// Buckets of this range are deleted.
    gone: Option<TimeRange>,
    deleted_rows: u64,
    /// Rows of buckets before the last one that was there.
    late_rows: u64,
    lanes: &'a [LaneColumn],
    meta: ChunkMeta,
    changes: &'a mut TierChanges,
}

impl Engine {
    /// Reckons what changes when rows leave, and writes the chunks of buckets that are new.
    pub(in crate::engine) fn roll_up(
        &self,
        leaving: &Leaving<'_>,
        deletion: Option<&BucketDeletion>,
        compaction: &mut Compaction,
        writer: &mut ChunkWriter<'_>,
    ) -> Result<TierChanges, EngineError> {
        let mut changes = TierChanges::default();
        self.tier_fill.begin();
        let revised = self.retention.current();
        let keeps = self.keeps_in_budget(&revised);
        let mut visited: BTreeSet<SeriesId> = leaving.keys().copied().collect();
        for (index, shard) in self.shards.iter().enumerate() {
            let shard = shard.read();
            visited.extend(
                shard
                    .tiers
                    .slots()
                    .map(|slot| self.placement.id(index, slot)),
            );
        }
        for series in visited {
            self.pause();
            let (rings, class) = {
                let slot = self.placement.slot(series);
                let shard = self.shards[self.placement.shard(series)].read();
                let rings = shard.tiers.get(slot).cloned().unwrap_or_default();
                (rings, shard.classes.get(slot, revised.revision))
            };
            let class = class.unwrap_or_else(|| {
                let catalog = self.catalog.read();
                class_of(&catalog, &revised.policy, series)
            });
            let Some(keep) = keeps.get(class) else {
                continue;
            };
            let left = leaving.get(&series).map_or(&[][..], Vec::as_slice);
            let mut own = TierChanges::default();
            let gone = deletion.and_then(|deletion| deletion.of(series));
            self.roll_series((series, &rings), keep, left, gone, compaction, &mut own)?;
            if own.cuts {
                return Err(EngineError::BucketsCut);
            }
            for entry in rings.chunks() {
                if !own.replaced.contains(entry)
                    && compaction.takes(entry)
                    && let Ok(bytes) = self.blocks.read_chunk_uncached(entry)
                {
                    own.chunks.push((entry.meta, bytes));
                    own.replaced.push(*entry);
                }
            }
            for (meta, bytes) in &own.chunks {
                writer.append(*meta, bytes)?;
            }
            changes.replaced.append(&mut own.replaced);
            changes.filled += own.filled;
            changes.pending += own.pending;
            changes.deleted_rows += own.deleted_rows;
            for (database, rows) in own.late_rows {
                *changes.late_rows.entry(database).or_default() += rows;
            }
        }
        Ok(changes)
    }

    /// Chunks of tiers are dead from the next commit on.
    pub(in crate::engine) fn release_tiers(&self, replaced: &[ChunkEntry]) {
        for entry in replaced {
            self.blocks.release(entry);
        }
    }

    /// Takes that back, for those that nobody else has given up meanwhile.
    pub(in crate::engine) fn revive_tiers(&self, replaced: &[ChunkEntry]) {
        for entry in replaced {
            let series = entry.meta.series;
            let shard = self.shards[self.placement.shard(series)].read();
            let rings = shard.tiers.get(self.placement.slot(series));
            if rings.is_some_and(|rings| rings.chunks().any(|known| known == entry)) {
                self.blocks.revive(entry);
            }
        }
    }

    /// Swaps what was written for what it takes the place of. Under the lock of the settled counts.
    pub(in crate::engine) fn change_tiers(&self, changes: &TierChanges, written: &[ChunkEntry]) {
        for entry in &changes.replaced {
            let series = entry.meta.series;
            let mut shard = self.shards[self.placement.shard(series)].write();
            shard.tiers.take_out(self.placement.slot(series), entry);
        }
        for entry in written {
            let series = entry.meta.series;
            let slot = self.placement.slot(series);
            let mut shard = self.shards[self.placement.shard(series)].write();
            if shard.get(slot).is_some_and(Series::is_dropped) {
                self.blocks.release(entry);
            } else {
                shard.tiers.insert(slot, *entry);
            }
        }
        self.tier_fill.note(changes.filled, changes.pending);
    }

    fn roll_series(
        &self,
        (series, before): (SeriesId, &Rings),
        keep: &Keep,
        left: &[&Sealed<ChunkEntry>],
        gone: Option<TimeRange>,
        compaction: &mut Compaction,
        changes: &mut TierChanges,
    ) -> Result<(), EngineError> {
        let mut rings = before.clone();
        rings.retain(|ring, entry| {
            let horizon = keep.tiers.iter().find(|(tier, _)| *tier == ring.tier);
            let end = entry.meta.last_time.saturating_add(ring.tier.width_ns());
            let is_kept = horizon.is_none_or(|(_, horizon)| end > *horizon);
            if !is_kept {
                changes.replaced.push(*entry);
            }
            is_kept
        });
        if rings.is_empty() && (left.is_empty() || keep.tiers.is_empty()) {
            return Ok(());
        }
        if mutants::is(Mutant::ForgottenBuckets) {
            return Ok(());
        }
        let (owner, measurement) = {
            let catalog = self.catalog.read();
            let measurement = catalog.series(series).map(|entry| entry.measurement);
            (owner_of_series(&catalog, series), measurement)
        };
        let Some(measurement) = measurement.filter(|_| owner.reject.is_none()) else {
            return Ok(());
        };
        let columns = self.columns_of_series(series);
        let lanes = lanes_of(&columns);
        let mut may_read = |bytes| compaction.reads(bytes);
        let plan = self.plan_rings(&rings, keep, &lanes, &mut may_read);
        changes.filled += plan.filled();
        changes.pending += plan.pending;
        changes.replaced.extend(&plan.dropped);
        // What cannot be read is lost: reading notes the damage.
        let read: Vec<_> = left
            .iter()
            .filter_map(|chunk| self.in_memory(chunk))
            .collect();
        let positions = (
            read.iter().map(|chunk| chunk.first_position).min(),
            read.iter().map(|chunk| chunk.last_position).max(),
        );
        let meta = ChunkMeta {
            series,
            database: owner.database,
            measurement,
            tier: 0,
            rows: 0,
            first_time: 0,
            last_time: 0,
            first_position: positions.0.unwrap_or(Position(u64::MAX)),
            last_position: positions.1.unwrap_or_default(),
        };
        let mut made: Vec<(Tier, Vec<Bucket>)> = Vec::new();
        for Plan {
            tier,
            horizon,
            from,
            begun,
        } in plan.rings
        {
            let finer = made.iter().rev().find(|(finer, _)| tier.is_made_of(*finer));
            let buckets = match finer {
                Some((_, buckets)) => coarsen(tier, buckets.iter().cloned()),
                None => match of_rows(tier, &columns, &read) {
                    Ok(buckets) => buckets,
                    Err(_) => continue,
                },
            };
            made.push((tier, buckets.clone()));
            // A ring has all from its first bucket on, also of what is too old and stays with its chunk.
            let first = rings.of(tier).map(Ring::first);
            let is_there = |start| first.is_some_and(|first| start >= first);
            let is_kept = |bucket: &Bucket| {
                let is_young = tier.end_of(bucket.start) > horizon;
                bucket.start >= from && (is_young || is_there(bucket.start))
            };
            let kept: Vec<Bucket> = buckets.into_iter().filter(is_kept).collect();
            let ends = rings.of(tier).map(|ring| ring.covered().end);
            let ends = ends.max(kept.last().map(|bucket| tier.end_of(bucket.start)));
            let mut change = Change {
                gone,
                buckets_max: buckets_max(tier, horizon, ends),
                ..Change::new(tier, &lanes, meta, changes)
            };
            if let Some(begun) = begun {
                change.write_merged(begun.buckets, kept, Some(begun.positions), Effort::Cheap);
            } else {
                let ring = rings.of(tier).map_or(&[][..], |ring| &ring.chunks);
                let read = |entry: &ChunkEntry| self.buckets_of(entry, &lanes);
                change.merge(ring, kept, &read);
                change.delete(ring, &read)?;
            }
            let (deleted, late) = (change.deleted_rows, change.late_rows);
            // Every tier tells of the same rows.
            changes.deleted_rows = changes.deleted_rows.max(deleted);
            if late > 0 {
                let known = changes.late_rows.entry(owner.database).or_default();
                *known = late.max(*known);
            }
        }
        self.cut_outdone(before, (&lanes, meta), changes);
        Ok(())
    }

    /// The buckets of a chunk of a tier.
    pub(super) fn buckets_of(
        &self,
        entry: &ChunkEntry,
        lanes: &[LaneColumn],
    ) -> Result<Vec<Bucket>, EngineError> {
        let (chunk, tier) = self.tier_chunk(entry)?;
        Ok(decode(&chunk, tier, lanes)?)
    }

    /// A chunk of a tier, and which tier that is.
    pub(super) fn tier_chunk(
        &self,
        entry: &ChunkEntry,
    ) -> Result<(Chunk<Bytes>, Tier), EngineError> {
        let chunk = Chunk::open(self.blocks.read_chunk(entry)?)?;
        let tier = Tier::of_number(entry.meta.tier).unwrap_or(Tier::TEN_SECONDS);
        Ok((chunk, tier))
    }

    /// The chunk with its bytes, if these can be had.
    fn in_memory(&self, chunk: &Sealed<ChunkEntry>) -> Option<Sealed<ChunkEntry>> {
        let bytes = match &chunk.location {
            Location::Memory(bytes) => bytes.clone(),
            Location::Stored(entry) => self.blocks.read_chunk_uncached(entry).ok()?,
        };
        Chunk::open(&bytes).ok()?;
        Some(Sealed {
            location: Location::Memory(bytes),
            ..chunk.clone()
        })
    }
}

/// The buckets that rows come to which leave chunks in memory.
fn of_rows(
    tier: Tier,
    columns: &[LayoutColumn],
    chunks: &[Sealed<ChunkEntry>],
) -> Result<Vec<Bucket>, EngineError> {
    let mut snapshot = Snapshot::of_left(chunks);
    let mut fetch = |_: &ChunkEntry| Ok::<_, EngineError>(Bytes::new());
    let mut buckets = Vec::new();
    while let Some(part) = snapshot.next(columns, &[], &Demand::default(), &mut fetch)? {
        // Statistics come only where they are asked for.
        if let Part::Rows((times, vectors)) = part {
            buckets.extend(roll(tier, &times, &vectors));
        }
    }
    // Of a bucket whose rows came in two parts there are two.
    Ok(coarsen(tier, buckets))
}

impl<'a> Change<'a> {
    /// Of a series that a meta names, with the positions of the rows that leave.
    pub(super) fn new(
        tier: Tier,
        lanes: &'a [LaneColumn],
        meta: ChunkMeta,
        changes: &'a mut TierChanges,
    ) -> Self {
        Self {
            tier,
            buckets_max: BUCKETS_MAX,
            gone: None,
            deleted_rows: 0,
            late_rows: 0,
            lanes,
            meta: ChunkMeta {
                tier: tier.number(),
                ..meta
            },
            changes,
        }
    }

    /// Puts buckets where they belong: into the chunk that has their time, or behind the last one, with as many of the last
    /// chunks as join them. A chunk that cannot be read stays, and what belongs to it stands beside it.
    fn merge(
        &mut self,
        ring: &[ChunkEntry],
        buckets: Vec<Bucket>,
        read: &dyn Fn(&ChunkEntry) -> Result<Vec<Bucket>, EngineError>,
    ) {
        let last = ring.iter().map(|entry| entry.meta.last_time).max();
        let is_behind = |bucket: &&Bucket| last.is_none_or(|last| bucket.start > last);
        let more = buckets.iter().filter(is_behind).count();
        let late = buckets
            .iter()
            .filter(|bucket| last.is_some_and(|last| bucket.start < last));
        self.late_rows = late.map(|bucket| bucket.rows).sum();
        let rows = ring.iter().map(|entry| entry.meta.rows);
        let (others, tail) =
            ring.split_at(ring.len() - joined(rows.rev(), more as u32, self.buckets_max));
        let mut buckets = buckets.into_iter().peekable();
        for entry in others {
            let mut new = Vec::new();
            while let Some(bucket) = buckets.next_if(|b| b.start <= entry.meta.last_time) {
                new.push(bucket);
            }
            if !new.is_empty() {
                self.write_anew(std::slice::from_ref(entry), new, Effort::Full, read);
            }
        }
        let rest: Vec<Bucket> = buckets.collect();
        if !rest.is_empty() {
            // Those that do not fill a chunk are soon written again.
            self.write_anew(tail, rest, Effort::Cheap, read);
        }
    }

    /// Writes chunks anew with more buckets. One that cannot be read stays.
    fn write_anew(
        &mut self,
        entries: &[ChunkEntry],
        more: Vec<Bucket>,
        effort: Effort,
        read: &dyn Fn(&ChunkEntry) -> Result<Vec<Bucket>, EngineError>,
    ) {
        let mut buckets = Vec::new();
        let mut positions: Option<(Position, Position)> = None;
        let mut replaced = Vec::new();
        for entry in entries {
            let Ok(mut known) = read(entry) else {
                continue;
            };
            buckets.append(&mut known);
            let (first, last) = (entry.meta.first_position, entry.meta.last_position);
            let (from, to) = positions.unwrap_or((first, last));
            positions = Some((from.min(first), to.max(last)));
            replaced.push(*entry);
        }
        let is_written = self.write_merged(buckets, more, positions, effort);
        if is_written && !mutants::is(Mutant::RolledTwice) {
            self.changes.replaced.append(&mut replaced);
        }
    }

    /// Deletes from chunks that were left as they are.
    fn delete(
        &mut self,
        ring: &[ChunkEntry],
        read: &dyn Fn(&ChunkEntry) -> Result<Vec<Bucket>, EngineError>,
    ) -> Result<(), EngineError> {
        let Some(gone) = self.gone.filter(|_| !mutants::is(Mutant::KeptBuckets)) else {
            return Ok(());
        };
        for entry in ring {
            let meta = &entry.meta;
            let last = meta.last_time.saturating_add(self.tier.width_ns() - 1);
            if gone.overlaps(meta.first_time, last) && !self.changes.replaced.contains(entry) {
                let positions = (meta.first_position, meta.last_position);
                self.write(&read(entry)?, Some(positions), Effort::Full);
                self.changes.replaced.push(*entry);
            }
        }
        Ok(())
    }

    /// What is not deleted of some buckets.
    fn kept(&mut self, buckets: &[Bucket], gone: TimeRange) -> Vec<Bucket> {
        let mut kept = Vec::with_capacity(buckets.len());
        for bucket in buckets {
            let of = self.tier.bucket_of(bucket.start);
            let is_cut = |border| of.start < border && border < of.end;
            self.changes.cuts |= is_cut(gone.start) || is_cut(gone.end);
            if gone.contains(bucket.start) {
                self.deleted_rows += bucket.rows;
            } else {
                kept.push(bucket.clone());
            }
        }
        kept
    }

    /// Chunks of these buckets and those; false where there can be none.
    fn write_merged(
        &mut self,
        mut buckets: Vec<Bucket>,
        mut more: Vec<Bucket>,
        also: Option<(Position, Position)>,
        effort: Effort,
    ) -> bool {
        buckets.append(&mut more);
        buckets.sort_by_key(|bucket| bucket.start);
        self.write(&coarsen(self.tier, buckets), also, effort)
    }

    /// Chunks of these buckets, with that effort for one that is not full; false where there can be none.
    pub(super) fn write(
        &mut self,
        buckets: &[Bucket],
        also: Option<(Position, Position)>,
        effort: Effort,
    ) -> bool {
        let kept = self.gone.map(|gone| self.kept(buckets, gone));
        let buckets = kept.as_deref().unwrap_or(buckets);
        let (mut first, mut last) = (self.meta.first_position, self.meta.last_position);
        if let Some((other_first, other_last)) = also {
            (first, last) = (first.min(other_first), last.max(other_last));
        }
        let mut chunks = Vec::new();
        for part in buckets.chunks(self.buckets_max as usize) {
            let is_full = part.len() == self.buckets_max as usize;
            let effort = if is_full { Effort::Full } else { effort };
            let encoded = self.encode(part, (first, last), effort);
            let (Some(from), Some(to), Ok(bytes)) = (part.first(), part.last(), encoded) else {
                return false;
            };
            let meta = ChunkMeta {
                rows: part.len() as u32,
                first_time: from.start,
                last_time: to.start,
                first_position: first,
                last_position: last,
                ..self.meta
            };
            chunks.push((meta, Bytes::from(bytes)));
        }
        self.changes.chunks.append(&mut chunks);
        true
    }

    /// Lanes without a value take no room in a chunk, and none of those that it may have.
    fn encode(
        &self,
        buckets: &[Bucket],
        positions: (Position, Position),
        effort: Effort,
    ) -> Result<Vec<u8>, RollupError> {
        let mut hints = Hints::default();
        if self.lanes.len() <= LANES_MAX {
            return encode(buckets, self.lanes, positions, &mut hints, effort);
        }
        let has_value = |lane: usize| {
            let mut of_lane = buckets.iter().map(|bucket| bucket.lanes.get(lane));
            of_lane.any(|partial| matches!(partial, Some(Some(_))))
        };
        let used: Vec<usize> = (0..self.lanes.len())
            .filter(|&lane| has_value(lane))
            .collect();
        let lanes: Vec<LaneColumn> = used.iter().map(|&lane| self.lanes[lane]).collect();
        let buckets = buckets.iter().map(|bucket| {
            let partial = |&lane: &usize| bucket.lanes.get(lane).cloned().flatten();
            Bucket {
                lanes: used.iter().map(partial).collect(),
                ..bucket.clone()
            }
        });
        let buckets: Vec<Bucket> = buckets.collect();
        encode(&buckets, &lanes, positions, &mut hints, effort)
    }
}

/// Buckets of one chunk of a ring that ends here and keeps those that end behind a horizon.
fn buckets_max(tier: Tier, horizon: Timestamp, end: Option<Timestamp>) -> u32 {
    let kept_ns = end.unwrap_or(horizon).saturating_sub(horizon);
    let part = kept_ns / tier.width_ns() / KEPT_PART;
    part.clamp(BUCKETS_MIN.into(), BUCKETS_MAX.into()) as u32
}

/// How many of the last chunks of a ring, the last one first, so many buckets behind them are written with.
fn joined(rows: impl Iterator<Item = u32>, more: u32, buckets_max: u32) -> usize {
    let mut joined = more;
    let joins = |&rows: &u32| {
        let is_small = rows < buckets_max && rows <= joined.saturating_mul(JOINED_AT);
        joined = joined.saturating_add(rows);
        is_small
    };
    rows.take_while(joins).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_written_a_few_times_and_few_chunks_are_not_full() {
        let cases = [128, 1024].map(|max| [1, 2, 7, 100, 256, 600].map(|more| (max, more)));
        for (max, more) in cases.into_iter().flatten() {
            let (mut ring, mut written, mut came) = (Vec::new(), 0, 0);
            for _ in 0..2_000 {
                let tail = joined(ring.iter().copied().rev(), more, max);
                let tail: u32 = ring.drain(ring.len() - tail..).sum();
                let mut rest = tail + more;
                written += rest;
                came += more;
                while rest > 0 {
                    ring.push(rest.min(max));
                    rest -= rest.min(max);
                }
                let not_full = ring.iter().filter(|&&rows| rows < max).count();
                assert!(not_full <= 8, "{more} at a time: {ring:?}");
            }
            assert_eq!(ring.iter().sum::<u32>(), came);
            assert!(written <= 9 * came, "{more} at a time: {written} of {came}");
        }
    }

    #[test]
    fn chunks_of_a_tier_that_keeps_little_are_small() {
        let of = |kept_s: i64| buckets_max(Tier::TEN_SECONDS, 0, Some(kept_s * 1_000_000_000));
        assert_eq!(
            [of(0), of(3_600), of(20_000), of(200_000)],
            [128, 128, 250, 1024]
        );
        assert_eq!(
            buckets_max(Tier::TEN_SECONDS, Timestamp::MIN, None),
            BUCKETS_MIN
        );
        let all = buckets_max(Tier::TEN_SECONDS, Timestamp::MIN, Some(i64::MAX));
        assert_eq!(all, BUCKETS_MAX);
    }
}
