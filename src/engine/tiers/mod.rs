//! Rollup tiers: what is known of rows that are no longer there one by one.
//!
//! A row that was too old, or one too many, is in its chunk until a checkpoint takes it out. The same checkpoint puts
//! what the row comes to into the buckets of every tier, and one manifest has both: there is no moment, and no crash,
//! between which a row is in neither or in both. Until then a query that buckets answer reads the row itself. So
//! nothing of a tier is ever in the log, and nothing of it has to be corrected while there is raw.
//!
//! A ring of a series and tier is a list of chunks of buckets in block files, in the order of their first buckets. Two
//! buckets of one ring may start at one time where a chunk could not be read when it should have been merged: they are
//! of different rows. The lock of the settled counts is held while rows move, and while a reader takes both sides.

mod build;
mod choose;
mod read;

use std::collections::BTreeMap;

use crate::blocks::ChunkEntry;
use crate::engine::Engine;
use crate::rollup::{LaneColumn, Tier};
use crate::types::{LayoutColumn, SeriesId, TimeRange};

pub(super) use self::build::Leaving;
pub use self::read::{RolledReader, TierReader};

/// The tiers, finest first; chunks have the number of theirs, from 1.
pub const TIERS: [Tier; 3] = [Tier::TEN_SECONDS, Tier::MINUTE, Tier::HOUR];

/// The chunks of a series, by tier.
pub(super) type Rings = [Vec<ChunkEntry>; TIERS.len()];

/// The tiers of the series of a shard; most series have none.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    by_slot: BTreeMap<usize, Rings>,
}

/// What there is of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierUse {
    /// Series that have a bucket of it.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Buckets.
    pub buckets: u64,
    /// Bytes of the chunks.
    pub bytes: u64,
}

impl Tiers {
    /// Takes a chunk; false where it is of a tier that there is not.
    pub(super) fn insert(&mut self, slot: usize, entry: ChunkEntry) -> bool {
        let Some(tier) = usize::from(entry.meta.tier).checked_sub(1) else {
            return false;
        };
        if tier >= TIERS.len() {
            return false;
        }
        let ring = &mut self.by_slot.entry(slot).or_default()[tier];
        let at = ring.partition_point(|known| known.meta.first_time <= entry.meta.first_time);
        ring.insert(at, entry);
        true
    }

    /// Lets go of a chunk.
    fn take_out(&mut self, slot: usize, entry: &ChunkEntry) {
        if let Some(rings) = self.by_slot.get_mut(&slot) {
            for ring in &mut *rings {
                ring.retain(|known| known != entry);
            }
            if rings.iter().all(Vec::is_empty) {
                self.by_slot.remove(&slot);
            }
        }
    }

    /// The chunks of a series.
    pub(super) fn get(&self, slot: usize) -> Option<&Rings> {
        self.by_slot.get(&slot)
    }

    /// Lets go of a series; its chunks.
    pub(super) fn remove(&mut self, slot: usize) -> Vec<ChunkEntry> {
        let rings = self.by_slot.remove(&slot);
        rings.into_iter().flatten().flatten().collect()
    }

    fn slots(&self) -> impl Iterator<Item = usize> {
        self.by_slot.keys().copied()
    }
}

/// The time that a chunk of a tier is of: from the start of its first bucket to the end of its last one.
fn covered(tier: Tier, entry: &ChunkEntry) -> TimeRange {
    TimeRange {
        start: entry.meta.first_time,
        end: entry.meta.last_time.saturating_add(tier.width_ns()),
    }
}

impl Engine {
    /// Whether rows leave for buckets, or have left.
    pub fn makes_buckets(&self) -> bool {
        let revised = self.retention.current();
        let ages = revised.policy.classes.iter();
        let mut ages = ages.flat_map(|class| class.tier_ages_s);
        let has_tiers = || {
            self.shards
                .iter()
                .any(|s| !s.read().tiers.by_slot.is_empty())
        };
        ages.any(|age| age.is_some()) || has_tiers()
    }

    /// What there is of each tier.
    pub fn tier_uses(&self) -> [TierUse; TIERS.len()] {
        let mut uses = [TierUse::default(); TIERS.len()];
        for shard in &self.shards {
            let shard = shard.read();
            for rings in shard.tiers.by_slot.values() {
                for (known, ring) in uses.iter_mut().zip(rings) {
                    known.series += u64::from(!ring.is_empty());
                    known.chunks += ring.len() as u64;
                    for entry in ring {
                        known.buckets += u64::from(entry.meta.rows);
                        known.bytes += entry.record_bytes();
                    }
                }
            }
        }
        uses
    }

    /// Where rows of a series have left that buckets know of, if that is in a range: from the first such bucket to the
    /// end of the last one, as nearly as any tier tells it.
    pub fn rolled_range(&self, series: SeriesId, range: TimeRange) -> Option<TimeRange> {
        let shard = self.shards[self.placement.shard(series)].read();
        let rings = shard.tiers.get(self.placement.slot(series))?;
        let rings = TIERS.iter().zip(rings).filter_map(|(tier, ring)| {
            let covered = ring.iter().map(|entry| covered(*tier, entry));
            covered.reduce(|one, other| TimeRange {
                start: one.start.min(other.start),
                end: one.end.max(other.end),
            })
        });
        // What has left last is in each of them.
        let rolled = rings.reduce(|one, other| TimeRange {
            start: one.start.min(other.start),
            end: one.end.min(other.end),
        })?;
        (!rolled.intersect(range).is_empty()).then_some(rolled)
    }

    /// All columns of a series' measurement.
    fn columns_of_series(&self, series: SeriesId) -> Vec<LayoutColumn> {
        let catalog = self.catalog.read();
        let entry = catalog.series(series);
        let measurement = entry.and_then(|entry| catalog.measurement_by_id(entry.measurement));
        let columns = measurement.into_iter().flat_map(|found| {
            let columns = found.columns().iter();
            columns.filter_map(|column| found.layout_column(column.id))
        });
        columns.collect()
    }
}

/// Columns as the lanes of buckets.
fn lanes_of(columns: &[LayoutColumn]) -> Vec<LaneColumn> {
    let lanes = columns.iter().map(|column| LaneColumn {
        id: column.id,
        field_type: column.field_type,
    });
    lanes.collect()
}
