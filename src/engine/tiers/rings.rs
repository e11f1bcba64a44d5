//! The chunks of buckets of the series of a shard.

use std::collections::BTreeMap;

use crate::blocks::ChunkEntry;
use crate::rollup::Tier;
use crate::types::{TimeRange, Timestamp};

/// The chunks of one tier of a series, at least one, in the order of their first buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Ring {
    pub(super) tier: Tier,
    pub(super) chunks: Vec<ChunkEntry>,
    /// Where its last bucket ends.
    end: Timestamp,
}

/// The rings of a series, finest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Rings(Vec<Ring>);

/// The tiers of the series of a shard; most series have none.
#[derive(Debug, Default)]
pub(in crate::engine) struct Tiers {
    by_slot: BTreeMap<usize, Rings>,
}

impl Ring {
    /// Where its first bucket starts.
    pub(super) fn first(&self) -> Timestamp {
        self.chunks.first().map_or(0, |entry| entry.meta.first_time)
    }

    /// The time that its buckets are of.
    pub(super) fn covered(&self) -> TimeRange {
        TimeRange {
            start: self.first(),
            end: self.end,
        }
    }

    /// Where the last of its buckets ends now.
    fn reckon_end(&mut self) {
        let ends = self
            .chunks
            .iter()
            .map(|entry| covered(self.tier, entry).end);
        self.end = ends.max().unwrap_or(Timestamp::MIN);
    }

    /// Whether it has buckets from before the first one of another ring, that aside in which that one starts.
    pub(super) fn reaches_beyond(&self, first: Timestamp) -> bool {
        self.first() < self.tier.start_of(first)
    }
}

impl Rings {
    /// Takes a chunk; false where it is of a tier that there is not.
    pub(super) fn insert(&mut self, entry: ChunkEntry) -> bool {
        let Some(tier) = Tier::of_number(entry.meta.tier) else {
            return false;
        };
        let at = self.0.partition_point(|ring| ring.tier < tier);
        if self.0.get(at).is_none_or(|ring| ring.tier != tier) {
            let ring = Ring {
                tier,
                chunks: Vec::new(),
                end: Timestamp::MIN,
            };
            self.0.insert(at, ring);
        }
        let ring = &mut self.0[at];
        ring.end = ring.end.max(covered(tier, &entry).end);
        let behind = |known: &ChunkEntry| known.meta.first_time <= entry.meta.first_time;
        let place = ring.chunks.partition_point(behind);
        if ring.chunks.len() == ring.chunks.capacity() {
            // Many series have few.
            ring.chunks.reserve_exact(1 + ring.chunks.len() / 4);
        }
        ring.chunks.insert(place, entry);
        true
    }

    /// Lets go of some chunks.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(&Ring, &ChunkEntry) -> bool) {
        for at in (0..self.0.len()).rev() {
            let mut chunks = std::mem::take(&mut self.0[at].chunks);
            let before = chunks.len();
            chunks.retain(|entry| keeps(&self.0[at], entry));
            let is_less = chunks.len() < before;
            if chunks.is_empty() {
                self.0.remove(at);
                continue;
            }
            self.0[at].chunks = chunks;
            if is_less {
                self.0[at].reckon_end();
            }
        }
    }

    /// That of a tier.
    pub(super) fn of(&self, tier: Tier) -> Option<&Ring> {
        self.iter().find(|ring| ring.tier == tier)
    }

    /// The time of which rows have left that buckets know of, as nearly as any tier tells it.
    pub(super) fn rolled(&self) -> Option<TimeRange> {
        // What has left last is in each of them.
        let covered = self.iter().map(Ring::covered);
        covered.reduce(|one, other| TimeRange {
            start: one.start.min(other.start),
            end: one.end.min(other.end),
        })
    }

    /// Where the last bucket of any of them ends.
    fn end(&self) -> Option<Timestamp> {
        self.iter().map(|ring| ring.end).max()
    }

    /// The chunks of all of them.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &ChunkEntry> {
        self.0.iter().flat_map(|ring| &ring.chunks)
    }
}

impl std::ops::Deref for Rings {
    type Target = [Ring];

    fn deref(&self) -> &[Ring] {
        &self.0
    }
}

impl Tiers {
    /// Takes a chunk; false where it is of a tier that there is not.
    pub(in crate::engine) fn insert(&mut self, slot: usize, entry: ChunkEntry) -> bool {
        Tier::of_number(entry.meta.tier).is_some()
            && self.by_slot.entry(slot).or_default().insert(entry)
    }

    /// Lets go of a chunk.
    pub(super) fn take_out(&mut self, slot: usize, entry: &ChunkEntry) {
        if let Some(rings) = self.by_slot.get_mut(&slot) {
            rings.retain(|_, known| known != entry);
            if rings.is_empty() {
                self.by_slot.remove(&slot);
            }
        }
    }

    /// The rings of a series.
    pub(in crate::engine) fn get(&self, slot: usize) -> Option<&Rings> {
        self.by_slot.get(&slot)
    }

    /// Rows of a series from this time on have not gone into buckets.
    pub(in crate::engine) fn end(&self, slot: usize) -> Timestamp {
        let end = self.get(slot).and_then(Rings::end);
        end.unwrap_or(Timestamp::MIN)
    }

    /// Lets go of a series; its chunks.
    pub(in crate::engine) fn remove(&mut self, slot: usize) -> Vec<ChunkEntry> {
        let rings = self.by_slot.remove(&slot);
        rings.iter().flat_map(Rings::chunks).copied().collect()
    }

    /// The series that have any.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.by_slot.keys().copied()
    }

    /// Bytes of memory behind this.
    pub(in crate::engine) fn memory_bytes(&self) -> usize {
        let of_ring =
            |ring: &Ring| size_of::<Ring>() + ring.chunks.capacity() * size_of::<ChunkEntry>();
        let of_slot = |rings: &Rings| NODE_BYTES + rings.iter().map(of_ring).sum::<usize>();
        self.by_slot.values().map(of_slot).sum()
    }

    /// The rings of all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Rings> {
        self.by_slot.values()
    }
}

/// Bytes of a map's node a series, about.
const NODE_BYTES: usize = 48;

/// The time that a chunk of a tier is of: from the start of its first bucket to the end of its last one.
pub(super) fn covered(tier: Tier, entry: &ChunkEntry) -> TimeRange {
    TimeRange {
        start: entry.meta.first_time,
        end: entry.meta.last_time.saturating_add(tier.width_ns()),
    }
}
