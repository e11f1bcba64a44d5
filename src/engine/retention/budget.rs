//! Budgets of bytes: the oldest chunks of a class leave when it has too many, and those of the least important
//! class when the store takes too much of its device.
//!
//! A sixteenth more goes than has to, so that it is not done for every chunk that comes. Rows that are not sealed
//! count nowhere: the log has them, and the log counts as a whole.

use std::collections::BinaryHeap;

use super::{PolicyError, RetentionPolicy, Revised};
use crate::blocks::{BlockUsage, ChunkEntry};
use crate::engine::maintenance::SLICE_SERIES;
use crate::engine::tiers::TierBytes;
use crate::engine::{Engine, TickReport};
use crate::limits::PAGE_BYTES;
use crate::series::Sealed;
use crate::types::Timestamp;

/// What there is of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassUse {
    /// Series.
    pub series: u64,
    /// Chunks of which something is shown.
    pub chunks: u64,
    /// Their bytes on the device; of those that are not there yet, what they would take as they are.
    pub bytes: u64,
}

/// Bytes that a block file has of a chunk beside those of the chunk itself: its record's header, its place in the
/// index, and a share of header, index and trailer.
const CHUNK_EXTRA_BYTES: u64 = 150;
/// Bytes that a manifest has of a file, at most.
const MANIFEST_FILE_BYTES: u64 = 32;
/// Bytes for the catalog that a budget has to leave beside the log.
const CATALOG_BYTES: u64 = 1 << 20;
/// The part of a budget that is freed beyond what has to be: one in so many.
const SLACK: u64 = 16;

impl Engine {
    /// Whether a store can keep the budget of a policy.
    pub(super) fn check_budget(&self, policy: &RetentionPolicy) -> Result<(), PolicyError> {
        let least = self.log.usage().capacity_bytes + CATALOG_BYTES;
        if policy.disk_bytes > 0 && policy.disk_bytes < least {
            return Err(PolicyError::Budget {
                asked: policy.disk_bytes,
                least,
            });
        }
        Ok(())
    }

    /// Bytes that the store takes on its device beside block files, with a log as large as it may become.
    fn overhead_bytes(&self, blocks: &BlockUsage) -> u64 {
        // A manifest lists files, and a bit for each of their chunks.
        let manifest = PAGE_BYTES as u64 + blocks.files * MANIFEST_FILE_BYTES + blocks.chunks / 8;
        let records = blocks.state_bytes + blocks.image_bytes;
        self.log.usage().capacity_bytes + records + 2 * manifest
    }

    /// Bytes that the store takes on its device.
    pub(super) fn disk_bytes(&self) -> u64 {
        let blocks = self.blocks.usage();
        self.overhead_bytes(&blocks) + blocks.bytes
    }

    /// Whether the store takes more of its device than it may.
    pub(in crate::engine) fn is_over_budget(&self) -> bool {
        let budget = self.retention.current().policy.disk_bytes;
        budget > 0 && self.disk_bytes() > budget
    }

    /// What there is of each class.
    pub(super) fn class_uses(&self, revised: &Revised) -> Vec<ClassUse> {
        let mut uses = vec![ClassUse::default(); revised.policy.classes.len()];
        for shard in &self.shards {
            let shard = shard.read();
            for (slot, series) in shard.iter() {
                let class = shard.classes.get(slot, revised.revision);
                let Some(class_use) = class.and_then(|class| uses.get_mut(class)) else {
                    continue;
                };
                class_use.series += 1;
                for chunk in series.ring.iter().filter(|chunk| !chunk.is_gone()) {
                    class_use.chunks += 1;
                    class_use.bytes += bytes_of(chunk);
                }
            }
        }
        uses
    }

    /// Lets the oldest chunks leave where there are too many bytes.
    pub(in crate::engine) fn keep_budgets(&self, revised: &Revised, report: &mut TickReport) {
        let policy = &revised.policy;
        let is_bounded = policy.classes.iter().any(|class| class.raw_bytes > 0);
        if !is_bounded && policy.disk_bytes == 0 {
            return;
        }
        let mut uses = self.class_uses(revised);
        for (class, limits) in policy.classes.iter().enumerate() {
            let bytes_max = limits.raw_bytes;
            let known = &mut uses[class];
            if bytes_max > 0 && known.bytes > bytes_max {
                let wanted = known.bytes - (bytes_max - bytes_max / SLACK);
                let freed = self.free(revised, class, wanted, report);
                known.bytes -= freed.min(known.bytes);
                report.over_budget = true;
            }
        }
        if policy.disk_bytes == 0 {
            return;
        }
        // What is dead in sparse files comes free with the next checkpoints: no more has to leave for it.
        let blocks = self.blocks.usage();
        let dead = blocks.dead_bytes - blocks.sparse_bytes;
        let alive: u64 = uses.iter().map(|class| class.bytes).sum();
        let buckets = self.tier_bytes(revised);
        let rolled: u64 = buckets.iter().flat_map(TierBytes::values).sum();
        let used = self.overhead_bytes(&blocks) + dead + alive + rolled;
        if used > policy.disk_bytes {
            let mut wanted = used - (policy.disk_bytes - policy.disk_bytes / SLACK);
            let mut order: Vec<usize> = (0..uses.len()).collect();
            order.sort_by_key(|&class| policy.classes[class].importance);
            for class in order {
                if wanted == 0 {
                    break;
                }
                let rolled = buckets[class].values().sum();
                let (rows, rolled) = shares(uses[class].bytes, rolled, wanted);
                wanted = wanted.saturating_sub(self.free(revised, class, rows, report));
                if rolled > 0 {
                    let freed = self.free_buckets(revised, class, &buckets[class], rolled);
                    wanted = wanted.saturating_sub(freed);
                }
            }
        }
        report.over_budget |= self.is_over_budget();
    }

    /// Lets the oldest chunks of a class leave until at least so many bytes are free; how many bytes these are.
    fn free(&self, revised: &Revised, class: usize, wanted: u64, report: &mut TickReport) -> u64 {
        let mut oldest = Oldest::new(wanted);
        for shard in &self.shards {
            let shard = shard.read();
            for (slot, series) in shard.iter() {
                if shard.classes.get(slot, revised.revision) == Some(class) {
                    for chunk in series.ring.iter().filter(|chunk| !chunk.is_gone()) {
                        oldest.look(chunk.last_time, bytes_of(chunk));
                    }
                }
            }
        }
        let Some(through) = oldest.through() else {
            return 0;
        };
        for index in 0..self.shards.len() {
            let due: Vec<usize> = {
                let shard = self.shards[index].read();
                let of_class = |slot| shard.classes.get(slot, revised.revision) == Some(class);
                let all = shard.iter().filter(|(slot, _)| of_class(*slot));
                let due = all.filter(|(_, series)| {
                    let mut chunks = series.ring.iter().filter(|chunk| !chunk.is_gone());
                    chunks.any(|chunk| chunk.last_time <= through)
                });
                due.map(|(slot, _)| slot).collect()
            };
            for slots in due.chunks(SLICE_SERIES) {
                let (rows, is_logged) = self.leave(index, slots, true, &|_, _| Some(through));
                report.evicted_rows += rows;
                report.unlogged_rows += if is_logged { 0 } else { rows };
            }
        }
        oldest.bytes
    }
}

/// How much of what is wanted rows and buckets of a class give: whoever has more gives, until both have as much.
fn shares(rows: u64, rolled: u64, wanted: u64) -> (u64, u64) {
    let wanted = wanted.min(rows + rolled);
    let half = (rows + rolled - wanted) / 2;
    let of_rows = rows.saturating_sub(half.max((rows + rolled - wanted).saturating_sub(rolled)));
    (of_rows.min(wanted), wanted - of_rows.min(wanted))
}

fn bytes_of(chunk: &Sealed<ChunkEntry>) -> u64 {
    u64::from(chunk.len_bytes) + CHUNK_EXTRA_BYTES
}

/// The chunks that end first, as many as it takes to have so many bytes.
#[derive(Debug)]
pub(in crate::engine) struct Oldest {
    wanted: u64,
    bytes: u64,
    chunks: BinaryHeap<(Timestamp, u64)>,
}

impl Oldest {
    pub(in crate::engine) const fn new(wanted: u64) -> Self {
        Self {
            wanted,
            bytes: 0,
            chunks: BinaryHeap::new(),
        }
    }

    pub(in crate::engine) fn look(&mut self, last_time: Timestamp, bytes: u64) {
        let newest = self.chunks.peek();
        if self.bytes >= self.wanted && newest.is_none_or(|&(newest, _)| newest < last_time) {
            return;
        }
        self.chunks.push((last_time, bytes));
        self.bytes += bytes;
        while let Some(&(_, last)) = self.chunks.peek()
            && self.bytes - last >= self.wanted
        {
            self.bytes -= last;
            self.chunks.pop();
        }
    }

    /// The last time of the newest of them.
    pub(in crate::engine) fn through(&self) -> Option<Timestamp> {
        self.chunks.peek().map(|&(newest, _)| newest)
    }

    /// Their bytes.
    pub(in crate::engine) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many they are.
    pub(in crate::engine) fn len(&self) -> u64 {
        self.chunks.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_more_gives() {
        assert_eq!(shares(100, 0, 30), (30, 0));
        assert_eq!(shares(0, 100, 30), (0, 30));
        assert_eq!(shares(100, 40, 30), (30, 0));
        assert_eq!(shares(40, 100, 30), (0, 30));
        assert_eq!(shares(100, 40, 80), (70, 10));
        assert_eq!(shares(40, 100, 80), (10, 70));
        assert_eq!(shares(60, 60, 1_000), (60, 60));
        assert_eq!(shares(0, 0, 5), (0, 0));
    }

    #[test]
    fn the_oldest_chunks_are_found_in_any_order() {
        for wanted in [0, 1, 10, 11, 55, 1_000] {
            for turn in 0..10i64 {
                let mut oldest = Oldest::new(wanted);
                for index in 0..10 {
                    let time = (index * 7 + turn) % 10;
                    oldest.look(time, 10);
                }
                let expected = wanted.div_ceil(10).min(10);
                let through = (expected > 0).then(|| expected as i64 - 1);
                assert_eq!((oldest.through(), oldest.bytes), (through, expected * 10));
            }
        }
    }
}
