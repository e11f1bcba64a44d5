//! Work that no writer waits for: expiry, sealing by age, checkpoints, the metadata index.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use crate::blocks::{ChunkEntry, SideRecord};
use crate::engine::ledger::is_uncounted;
use crate::engine::{CheckpointReport, Engine, EngineError, MemoryLevel};
use crate::log::expiry::{Expiry, up_to};
use crate::log::{FrameParts, FrameType};
use crate::series::{Cause, Sealed, Series, Tombstone};
use crate::types::{SeriesId, Timestamp};

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Rows that expired.
    pub expired_rows: u64,
    /// Rows that were evicted, by their number or for their bytes.
    pub evicted_rows: u64,
    /// Of these, rows for which the log had no room: the next checkpoint makes it last.
    pub unlogged_rows: u64,
    /// Whether files take more bytes than they should: a checkpoint gives some back to the device.
    pub over_budget: bool,
    /// Series whose open chunk was sealed because of its age.
    pub sealed_series: usize,
    /// Series that gave their place back, because no row of them was left.
    pub retired_series: u64,
    /// The checkpoint, if the log was full enough for one, bytes were over their budget, or tiers are to be filled.
    pub checkpoint: Option<CheckpointReport>,
}

/// Slows down work that nobody waits for.
pub trait Pace: Send + Sync {
    /// Called between slices of such work, where no writer and no reader can be kept waiting: it may sleep a little.
    fn pause(&self);
}

impl Engine {
    /// Keeps background work to a pace from now on. Once.
    pub fn set_pace(&self, pace: Box<dyn Pace>) {
        assert!(self.pace.set(pace).is_ok(), "there is a pace already");
    }

    /// Lets others have the core, unless the work that is done is waited for: log, memory or device run short.
    pub(super) fn pause(&self) {
        let Some(pace) = self.pace.get() else {
            return;
        };
        let usage = self.log.usage();
        let is_pressed = usage.used_bytes * 4 > usage.capacity_bytes * 3
            || self.memory.level() >= MemoryLevel::Flush
            || self.space.is_short();
        if !is_pressed {
            pace.pause();
        }
    }

    /// Whether a checkpoint is due: half of the log is in use.
    pub fn checkpoint_is_due(&self) -> bool {
        let usage = self.log.usage();
        usage.used_bytes * 2 > usage.capacity_bytes
    }

    /// Does what is due. Called every second or so.
    pub fn tick(&self) -> Result<TickReport, EngineError> {
        let mut report = TickReport::default();
        self.note_damage(&self.blocks.take_damage());
        self.retire(&mut report)?;
        report.evicted_rows += self.trim_rejects()?;
        if report.expired_rows > 0 {
            self.space.note_expired();
        }
        // Where there is no room nothing is filled.
        let fills = self.tier_fill.is_due() && !self.space.is_short();
        let wants_one = report.over_budget || fills;
        if self.checkpoint_is_due() || (wants_one && self.may_compact()) {
            report.checkpoint = Some(self.checkpoint_in_passing()?);
        }
        self.vacate(&mut report);
        self.index_some();
        Ok(report)
    }

    /// Whether the last checkpoint is long enough ago for one that only gives bytes back, or fills tiers.
    fn may_compact(&self) -> bool {
        let began_ns = self.checkpoint_began_ns.load(Ordering::Relaxed);
        self.clock.monotonic_ns().saturating_sub(began_ns) >= COMPACTION_INTERVAL_NS
    }

    /// Seals every series, so that all rows are in sealed chunks.
    pub fn seal_all(&self) -> Result<usize, EngineError> {
        let mut sealed = 0;
        for shard in &self.shards {
            let mut shard = shard.write();
            for slot in 0..shard.len() {
                if let Some((series, scratch)) = shard.existing(slot) {
                    sealed += usize::from(series.seal(scratch)?);
                }
            }
        }
        Ok(sealed)
    }

    /// Expires by age, evicts by rows and by bytes, seals what has been open for too long.
    pub(super) fn retire(&self, report: &mut TickReport) -> Result<(), EngineError> {
        let revised = self.retention.current();
        let keeps = self.keeps(&revised);
        let seal_before = self
            .server_time()
            .now
            .saturating_sub(self.options.chunk_age_max_ns);
        let rejected: HashSet<SeriesId> = self.series_of_rejects().into_iter().flatten().collect();
        for index in 0..self.shards.len() {
            self.classify(index);
            let classes = self.shards[index].read().classes.clone();
            // Horizon, and rows at most.
            let keep = |slot| {
                let class = classes.get(slot, revised.revision);
                let keep = class.and_then(|class| keeps.get(class));
                // What has no class yet keeps everything.
                let (horizon, rows_max) =
                    keep.map_or((Timestamp::MIN, 0), |keep| (keep.horizon, keep.rows_max));
                if rejected.contains(&self.placement.id(index, slot)) {
                    return (horizon, self.options.rejected_rows_max);
                }
                (horizon, rows_max)
            };
            let due = self.due(index, seal_before, &keep);
            for slots in due.chunks(SLICE_SERIES) {
                self.pause();
                report.sealed_series += self.seal_stale(index, slots, seal_before)?;
                let (expired, is_logged) = self.leave(index, slots, false, &|slot, series| {
                    series.ring.expired_through(keep(slot).0)
                });
                report.expired_rows += expired;
                report.unlogged_rows += if is_logged { 0 } else { expired };
                let (evicted, is_logged) = self.leave(index, slots, true, &|slot, series| {
                    let (_, rows_max) = keep(slot);
                    let through = || series.ring.evicted_through(rows_max);
                    (rows_max > 0).then(through).flatten()
                });
                report.evicted_rows += evicted;
                report.unlogged_rows += if is_logged { 0 } else { evicted };
            }
        }
        self.keep_budgets(&revised, report);
        Ok(())
    }

    /// Slots of the series of a shard that have to expire, to evict or to seal something. What is hidden of those
    /// that may have too many rows is counted. `keep` tells the horizon of a slot, and its rows at most.
    fn due(
        &self,
        index: usize,
        seal_before: Timestamp,
        keep: &dyn Fn(usize) -> (Timestamp, u64),
    ) -> Vec<usize> {
        let mut due = Vec::new();
        let mut uncounted = Vec::new();
        let pin = self.blocks.pin();
        let slots = self.shards[index].read().len();
        for slot in 0..slots {
            let shard = self.shards[index].read();
            let Some(series) = shard.get(slot) else {
                continue;
            };
            let (horizon, rows_max) = keep(slot);
            let ring = &series.ring;
            let many = rows_max > 0 && ring.rows() > rows_max;
            if many {
                uncounted.extend(ring.iter().filter(|chunk| is_uncounted(chunk)).cloned());
            }
            let is_stale =
                !series.is_sealed() && series.newest().is_none_or(|newest| newest < seal_before);
            if many || is_stale || ring.expired_through(horizon).is_some() {
                due.push(slot);
            }
        }
        for chunk in &uncounted {
            self.count_chunk(chunk);
        }
        drop(pin);
        due
    }

    fn seal_stale(
        &self,
        index: usize,
        slots: &[usize],
        seal_before: Timestamp,
    ) -> Result<usize, EngineError> {
        let mut sealed = 0;
        let mut shard = self.shards[index].write();
        for &slot in slots {
            let (series, scratch) = shard.series_and_scratch(slot);
            if series.newest().is_none_or(|newest| newest < seal_before) {
                sealed += usize::from(series.seal(scratch)?);
            }
        }
        Ok(sealed)
    }

    /// Lets rows leave up to the time that is told for each series: a frame of the log for all of them. Where
    /// the log takes none they leave all the same, or the log would never have room again: the next checkpoint
    /// keeps it, and until then a restart finds them again and lets them go once more. How many rows left, and
    /// whether the log has it.
    pub(super) fn leave(
        &self,
        index: usize,
        slots: &[usize],
        evicted: bool,
        through: &dyn Fn(usize, &Series<ChunkEntry>) -> Option<Timestamp>,
    ) -> (u64, bool) {
        let cause = if evicted {
            Cause::Evicted
        } else {
            Cause::Expired
        };
        let handed = self.hand_over(index, slots, through);
        let pin = self.blocks.pin();
        let mut shard = self.shards[index].write();
        let told = slots.iter().filter_map(|&slot| {
            let series = shard.get(slot)?;
            let through = handed.lets_go((slot, series), || through(slot, series), evicted)?;
            Some((self.placement.id(index, slot), through))
        });
        let mut expiry = Expiry {
            evicted,
            series: told.collect(),
        };
        if expiry.series.is_empty() {
            return (0, true);
        }
        expiry.series.sort_unstable();
        let payload = expiry.encode();
        let frame = FrameParts::new(FrameType::Expire, &payload);
        let (position, is_logged) = match self.log.append_in_any_epoch(&[frame]) {
            Ok(appended) => (appended.last_frame, true),
            Err(_) => (self.log.end(), false),
        };
        let mut hit = Vec::new();
        for (id, through) in expiry.series {
            let tombstone = Tombstone {
                position,
                range: up_to(through),
                cause,
            };
            let (series, scratch) = shard.series_and_scratch(self.placement.slot(id));
            let before = counted(series, tombstone);
            if series.hide(tombstone, scratch) {
                let chunks = series.ring.overlapping(tombstone.range);
                hit.push((before, chunks.cloned().collect::<Vec<_>>()));
            }
        }
        self.keep_side(position, SideRecord::Expiry(payload));
        drop(shard);
        let mut left = 0;
        for (before, chunks) in hit {
            let counted = chunks.iter().filter_map(|chunk| self.count_chunk(chunk));
            let after: u32 = counted.map(|mut rows| *rows.of(cause)).sum();
            left += u64::from(after.saturating_sub(before));
        }
        drop(pin);
        if handed.is_failed() {
            self.note_unarchived(left);
        }
        let mut shard = self.shards[index].write();
        if evicted {
            shard.counts.evicted += left;
        } else {
            shard.counts.expired += left;
        }
        (left, is_logged)
    }
}

/// Rows in the range of a tombstone that are known to have left for its cause.
fn counted(series: &Series<ChunkEntry>, tombstone: Tombstone) -> u32 {
    let chunks = series.ring.overlapping(tombstone.range);
    let hidden = chunks.map(Sealed::hidden_rows);
    hidden.map(|mut rows| *rows.of(tombstone.cause)).sum()
}

/// Checkpoints that only give bytes back to the device, or fill tiers, are made this often, nanoseconds.
const COMPACTION_INTERVAL_NS: u64 = 10_000_000_000;
/// Series whose rows leave with one frame, under one hold of their shard's lock.
pub(super) const SLICE_SERIES: usize = 256;
