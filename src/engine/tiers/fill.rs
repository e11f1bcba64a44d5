//! Which tiers a series has with a checkpoint, and from when on its rows go into each.
//!
//! A ring has everything that left from its first bucket on: the rule by which readers choose. So a ring that is new
//! begins with what a finer one has, or behind what others have; and none takes a row from before its first bucket
//! where another one reaches further back, for it would seem to know what lies between.
//!
//! A ring that is outdone lacks rows of the bucket of a coarser one that it begins in, where they came late. That shows as
//! long as another one reaches further back (`cut.rs`); where that one is switched off, these rows go with it. What is filled begins with the first whole bucket of it where its
//! source is outdone itself: rows may have left since then that are older than the source.
//!
//! Filling reads a series' finer ring, as many series a checkpoint as that may read bytes for. Until its turn the new
//! tier of a series has nothing. Tiers that were switched off go when nothing of the series is left to be filled from
//! them, and go on as they were until then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Ring, Rings};
use crate::blocks::{BlockError, ChunkEntry};
use crate::codec::chunk::Chunk;
use crate::engine::retention::Keep;
use crate::engine::{Engine, EngineError};
use crate::rollup::{Bucket, LaneColumn, Tier, coarsen, decode};
use crate::types::{Position, Timestamp};

/// How far tiers that were switched on are filled from finer ones.
#[derive(Debug, Default)]
pub(in crate::engine) struct TierFill {
    /// Nobody has looked since the policy changed.
    is_unknown: AtomicBool,
    filled: AtomicU64,
    pending: AtomicU64,
}

/// The same, as it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierFillView {
    /// Whether the policy has changed since anybody looked.
    pub is_unknown: bool,
    /// Tiers of series that were filled since the server started.
    pub filled: u64,
    /// Tiers of series that have to be filled still.
    pub pending: u64,
}

/// What becomes of the rings of a series.
pub(super) struct RingPlan {
    /// What takes rows, finest first.
    pub(super) rings: Vec<Plan>,
    /// Chunks of tiers that were switched off.
    pub(super) dropped: Vec<ChunkEntry>,
    /// Rings that have to wait for their turn to be filled.
    pub(super) pending: u64,
}

/// A ring that takes rows.
pub(super) struct Plan {
    pub(super) tier: Tier,
    /// Buckets that end before are too old.
    pub(super) horizon: Timestamp,
    /// Buckets that come have to start there, or later.
    pub(super) from: Timestamp,
    /// What a new one begins with.
    pub(super) begun: Option<Begun>,
}

/// Buckets of a finer tier, put together.
pub(super) struct Begun {
    pub(super) buckets: Vec<Bucket>,
    pub(super) positions: (Position, Position),
}

impl TierFill {
    /// The policy has changed.
    pub(in crate::engine) fn look_again(&self) {
        self.is_unknown.store(true, Ordering::Relaxed);
    }

    /// A checkpoint is about to look: changes from now on are for the next one.
    pub(super) fn begin(&self) {
        self.is_unknown.store(false, Ordering::Relaxed);
    }

    /// A checkpoint has filled so many, and left so many.
    pub(super) fn note(&self, filled: u64, pending: u64) {
        self.filled.fetch_add(filled, Ordering::Relaxed);
        self.pending.store(pending, Ordering::Relaxed);
    }

    /// Whether a checkpoint has something to fill, as far as is known.
    pub(in crate::engine) fn is_due(&self) -> bool {
        self.is_unknown.load(Ordering::Relaxed) || self.pending.load(Ordering::Relaxed) > 0
    }
}

impl RingPlan {
    /// Rings that are filled.
    pub(super) fn filled(&self) -> u64 {
        let begun = self.rings.iter().filter_map(|plan| plan.begun.as_ref());
        begun.filter(|begun| !begun.buckets.is_empty()).count() as u64
    }
}

impl Engine {
    /// How far tiers that were switched on are filled.
    pub fn tier_fill(&self) -> TierFillView {
        TierFillView {
            is_unknown: self.tier_fill.is_unknown.load(Ordering::Relaxed),
            filled: self.tier_fill.filled.load(Ordering::Relaxed),
            pending: self.tier_fill.pending.load(Ordering::Relaxed),
        }
    }

    /// What becomes of the rings of a series. `may_read` is asked before as many
    /// bytes are read.
    pub(super) fn plan_rings(
        &self,
        rings: &Rings,
        keep: &Keep,
        lanes: &[LaneColumn],
        may_read: &mut dyn FnMut(u64) -> bool,
    ) -> RingPlan {
        let mut plan = RingPlan {
            rings: Vec::new(),
            dropped: Vec::new(),
            pending: 0,
        };
        for &(tier, horizon) in &keep.tiers {
            let mut begun = None;
            if rings.of(tier).is_none()
                && let Some(source) = source_of(rings, tier, horizon)
            {
                let bytes = source.chunks.iter().map(ChunkEntry::record_bytes).sum();
                let filled = may_read(bytes).then(|| self.fill(source, tier, lanes));
                let Some(Ok(mut filled)) = filled else {
                    plan.pending += 1;
                    continue;
                };
                // Of the bucket that its source begins in, another ring may know more.
                let is_outdone = rings.iter().any(|ring| ring.reaches_beyond(source.first()));
                let from = if is_outdone {
                    source.first()
                } else {
                    Timestamp::MIN
                };
                let is_kept = |start| start >= from && tier.end_of(start) > horizon;
                filled.buckets.retain(|bucket| is_kept(bucket.start));
                begun = Some(filled);
            }
            let own = match &begun {
                Some(begun) => begun.buckets.first().map(|bucket| bucket.start),
                None => rings.of(tier).map(Ring::first),
            };
            // One that begins with nothing begins with a bucket of every coarser one, or would lack a part of it.
            let coarser = keep.tiers.iter().filter(|(other, _)| *other > tier);
            let from = match (own, takes_from(rings, tier, own)) {
                (None, from) if from > Timestamp::MIN => {
                    let starts = coarser.map(|(other, _)| other.end_of(from - 1));
                    starts.fold(from, Timestamp::max)
                }
                (_, from) => from,
            };
            plan.rings.push(Plan {
                tier,
                horizon,
                from,
                begun,
            });
        }
        let is_off = |ring: &&Ring| !keep.tiers.iter().any(|(tier, _)| *tier == ring.tier);
        for ring in rings.iter().filter(is_off) {
            if plan.pending == 0 {
                plan.dropped.extend(&ring.chunks);
                continue;
            }
            plan.rings.push(Plan {
                tier: ring.tier,
                horizon: Timestamp::MIN,
                from: takes_from(rings, ring.tier, Some(ring.first())),
                begun: None,
            });
        }
        plan.rings.sort_by_key(|plan| plan.tier);
        plan
    }

    /// The buckets of a tier that a finer one knows.
    fn fill(&self, source: &Ring, tier: Tier, lanes: &[LaneColumn]) -> Result<Begun, EngineError> {
        let mut buckets = Vec::new();
        let mut positions = (Position(u64::MAX), Position::default());
        for entry in &source.chunks {
            let bytes = match self.blocks.read_chunk_uncached(entry) {
                Ok(bytes) => bytes,
                // It is lost to both, and reading has noted it.
                Err(BlockError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let Ok(of_chunk) = Chunk::open(bytes)
                .map_err(Into::into)
                .and_then(|chunk| decode(&chunk, source.tier, lanes))
            else {
                continue;
            };
            buckets.extend(of_chunk);
            positions.0 = positions.0.min(entry.meta.first_position);
            positions.1 = positions.1.max(entry.meta.last_position);
        }
        buckets.sort_by_key(|bucket| bucket.start);
        Ok(Begun {
            buckets: coarsen(tier, buckets),
            positions,
        })
    }
}

/// What a ring that is not there can be filled from: of finer rings with buckets that are young enough the one that
/// reaches back furthest, of several the coarsest.
fn source_of(rings: &Rings, tier: Tier, horizon: Timestamp) -> Option<&Ring> {
    let finer = rings.iter().filter(|ring| {
        ring.tier < tier
            && tier.is_made_of(ring.tier)
            && tier.end_of(ring.covered().end - 1) > horizon
    });
    finer.min_by_key(|ring| (tier.start_of(ring.first()), std::cmp::Reverse(ring.tier)))
}

/// From when on a tier takes rows, whose first bucket starts at `own`, if it has any.
fn takes_from(rings: &Rings, tier: Tier, own: Option<Timestamp>) -> Timestamp {
    let mut others = rings.iter().filter(|ring| ring.tier != tier);
    let Some(first) = own else {
        let ends = others.map(|ring| ring.covered().end);
        return ends.max().unwrap_or(Timestamp::MIN);
    };
    let is_outdone = others.any(|other| other.reaches_beyond(first));
    if is_outdone { first } else { Timestamp::MIN }
}
