//! Rollup tiers: what is known of rows that are no longer there one by one.
//!
//! A row that was too old, or one too many, is in its chunk until a checkpoint takes it out. The same checkpoint puts
//! what the row comes to into the buckets of every tier, and one manifest has both: there is no moment, and no crash,
//! between which a row is in neither or in both. Until then a query that buckets answer reads the row itself. So
//! nothing of a tier is ever in the log, and nothing of it has to be corrected while there is raw.
//!
//! What tiers there are is said by the class of a series. One that is new is filled from a finer one, a few series with
//! each checkpoint, and takes rows of a series from then on; one that is switched off goes when nothing has to be
//! filled any more (`fill.rs`).
//!
//! A ring of a series and tier is a list of chunks of buckets in block files, in the order of their first buckets. Two
//! buckets of one ring may start at one time where a chunk could not be read when it should have been merged: they are
//! of different rows. The lock of the settled counts is held while rows move, and while a reader takes both sides.

mod budget;
mod build;
mod choose;
mod cut;
mod delete;
mod fill;
mod read;
mod rings;

use std::collections::BTreeMap;

pub(super) use self::budget::{TierBytes, TierFloors};
pub(super) use self::build::Leaving;
pub(super) use self::delete::BucketDeletion;
pub use self::delete::LeftRange;
pub(super) use self::fill::TierFill;
pub use self::fill::TierFillView;
pub use self::read::{BucketDemand, RolledReader, TierReader};
pub(super) use self::rings::Tiers;
use self::rings::{Ring, Rings, covered};
use crate::engine::Engine;
use crate::rollup::{LaneColumn, Tier};
use crate::types::{LayoutColumn, SeriesId, TimeRange};

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

impl Engine {
    /// Whether any class has tiers.
    pub fn has_tiers(&self) -> bool {
        let revised = self.retention.current();
        let mut classes = revised.policy.classes.iter();
        classes.any(|class| !class.tiers_or(&self.options.tiers).is_empty())
    }

    /// What there is of each tier that a class has, or buckets are of.
    pub fn tier_uses(&self) -> BTreeMap<Tier, TierUse> {
        let revised = self.retention.current();
        let classes = revised.policy.classes.iter();
        let of_classes = classes.flat_map(|class| class.tiers_or(&self.options.tiers));
        let none = TierUse::default();
        let mut uses: BTreeMap<Tier, TierUse> = of_classes.map(|tier| (tier.width, none)).collect();
        for shard in &self.shards {
            let shard = shard.read();
            for ring in shard.tiers.all().flat_map(|rings| rings.iter()) {
                let known = uses.entry(ring.tier).or_default();
                known.series += 1;
                known.chunks += ring.chunks.len() as u64;
                for entry in &ring.chunks {
                    known.buckets += u64::from(entry.meta.rows);
                    known.bytes += entry.record_bytes();
                }
            }
        }
        uses
    }

    /// Where rows of a series have left that buckets know of, if that is in a range: from the first such bucket to the
    /// end of the last one, as nearly as any tier tells it.
    pub fn rolled_range(&self, series: SeriesId, range: TimeRange) -> Option<TimeRange> {
        let shard = self.shards[self.placement.shard(series)].read();
        let rolled = shard.tiers.get(self.placement.slot(series))?.rolled()?;
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
