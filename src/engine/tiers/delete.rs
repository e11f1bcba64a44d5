//! Deleting from buckets: whole ones, by a checkpoint, whose manifest has what is left.
//!
//! What left is nowhere in the log, so neither is its deletion: it lasts when it returns, and a crash before leaves all of
//! it. Rows that are on their way into buckets go in and out again with the same checkpoint.

use std::collections::BTreeSet;

use super::{Rings, covered};
use crate::engine::checkpoint::Wish;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::rollup::Tier;
use crate::series::Sealed;
use crate::types::{SeriesId, TimeRange, Timestamp};

/// Buckets that go.
#[derive(Clone, Debug)]
pub(in crate::engine) struct BucketDeletion {
    series: BTreeSet<SeriesId>,
    range: TimeRange,
}

impl BucketDeletion {
    /// What goes of a series.
    pub(super) fn of(&self, series: SeriesId) -> Option<TimeRange> {
        self.series.contains(&series).then_some(self.range)
    }
}

/// What has left of a range that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftRange {
    /// The series of which rows have left there.
    pub series: Vec<SeriesId>,
    /// The least range around it that cuts no bucket, neither one that is there nor one that rows are on their way to.
    pub whole: TimeRange,
}

impl Engine {
    /// What has left of a range, of some series; `None` where all of it is rows.
    pub fn left_range(&self, series: &[SeriesId], range: TimeRange) -> Option<LeftRange> {
        let revised = self.retention.current();
        let mut left = LeftRange {
            series: Vec::new(),
            whole: range,
        };
        for &id in series {
            let coarsest = {
                let class = self.class_in(&self.catalog.read(), id).0;
                let class = revised.policy.classes.get(class);
                class
                    .and_then(|class| class.tiers_or(&self.options.tiers).last())
                    .map(|tier| tier.width)
            };
            let slot = self.placement.slot(id);
            let shard = self.shards[self.placement.shard(id)].read();
            let rings = shard.tiers.get(slot);
            let chunks = shard
                .get(slot)
                .into_iter()
                .flat_map(|found| found.ring.iter());
            let on_their_way: Vec<_> = match coarsest {
                Some(_) => chunks.flat_map(Sealed::left).collect(),
                None => Vec::new(),
            };
            let is_there = rings
                .and_then(Rings::rolled)
                .is_some_and(|rolled| !rolled.intersect(range).is_empty());
            let mut on_its_way = on_their_way.iter();
            if !is_there && !on_its_way.any(|&(first, last)| range.overlaps(first, last)) {
                continue;
            }
            left.series.push(id);
            let mut look = |tier: Tier, covered: TimeRange| {
                let widened = widened(range, tier, covered);
                left.whole.start = left.whole.start.min(widened.start);
                left.whole.end = left.whole.end.max(widened.end);
            };
            for ring in rings.into_iter().flat_map(|rings| rings.iter()) {
                for entry in &ring.chunks {
                    look(ring.tier, covered(ring.tier, entry));
                }
            }
            if let Some(tier) = coarsest {
                for (first, last) in on_their_way {
                    let (start, end) = (tier.start_of(first), tier.end_of(last));
                    look(tier, TimeRange { start, end });
                }
            }
        }
        (!left.series.is_empty()).then_some(left)
    }

    /// Deletes the buckets of some series that lie in a range, and what of rows that have left is on its way there. The
    /// range has to be whole, as [`Self::left_range`] tells. Durable when it returns; how many rows these buckets stood for.
    pub fn delete_buckets(
        &self,
        access: &Access,
        database: &str,
        series: &[SeriesId],
        range: TimeRange,
    ) -> Result<u64, EngineError> {
        access.check(Verb::Delete, database)?;
        let deletion = BucketDeletion {
            series: series.iter().copied().collect(),
            range,
        };
        let wish = Wish::in_time(RECOMPRESS_NS).with_deletion(&deletion);
        let report = self.checkpoint_with(wish)?;
        Ok(report.deleted_rows)
    }
}

/// A range that cuts no bucket of a tier that lies in a stretch of time.
fn widened(range: TimeRange, tier: Tier, covered: TimeRange) -> TimeRange {
    let is_inside = |border: Timestamp| covered.start < border && border < covered.end;
    TimeRange {
        start: if is_inside(range.start) {
            tier.start_of(range.start)
        } else {
            range.start
        },
        end: if is_inside(range.end) {
            tier.end_of(range.end - 1)
        } else {
            range.end
        },
    }
}

/// The time that its checkpoint may spend on recompression, nanoseconds: somebody waits for it.
const RECOMPRESS_NS: u64 = 500_000_000;
