//! What the budget of the store takes of buckets: the oldest chunks of the tier that takes most, for as long as that
//! does. A time is noted for each class and tier, and the next checkpoint lets go of the chunks that end before it, as
//! it does with those that are too old.
//!
//! Nothing of it is kept: a store that is opened and still too large finds the same chunks again.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::covered;
use crate::engine::Engine;
use crate::engine::retention::{Keep, Oldest, Revised};
use crate::rollup::Tier;
use crate::types::Timestamp;

/// From when on the budget leaves buckets, by class and tier.
#[derive(Debug, Default)]
pub(in crate::engine) struct TierFloors(Mutex<Floors>);

#[derive(Debug, Default)]
struct Floors {
    /// Of which policy; classes of another one have other numbers.
    revision: u64,
    of: BTreeMap<(usize, Tier), Timestamp>,
    /// Chunks that have had to go, since the store was opened.
    chunks: u64,
}

/// Bytes of the buckets of a class, by tier.
pub(in crate::engine) type TierBytes = BTreeMap<Tier, u64>;

impl Engine {
    /// Chunks of buckets that the budget has taken since the store was opened.
    pub fn buckets_over_budget(&self) -> u64 {
        self.tier_floors.0.lock().chunks
    }

    /// The bytes of buckets of each class that stay.
    pub(in crate::engine) fn tier_bytes(&self, revised: &Revised) -> Vec<TierBytes> {
        let mut bytes = vec![TierBytes::new(); revised.policy.classes.len()];
        self.visit_buckets(revised, &mut |class, tier, _, chunk_bytes| {
            if let Some(of_class) = bytes.get_mut(class) {
                *of_class.entry(tier).or_default() += chunk_bytes;
            }
        });
        bytes
    }

    /// Lets the next checkpoint take the oldest buckets of a class, of so many bytes at least as far as there are as
    /// many; how many bytes these are.
    pub(in crate::engine) fn free_buckets(
        &self,
        revised: &Revised,
        class: usize,
        bytes: &TierBytes,
        wanted: u64,
    ) -> u64 {
        let level = level(bytes.values().copied(), wanted);
        let mut freed = 0;
        for (&tier, &of_tier) in bytes.iter().filter(|(_, bytes)| **bytes > level) {
            let mut oldest = Oldest::new(of_tier - level);
            self.visit_buckets(revised, &mut |of_class, of_tier, end, chunk_bytes| {
                if (of_class, of_tier) == (class, tier) {
                    oldest.look(end, chunk_bytes);
                }
            });
            if let Some(through) = oldest.through() {
                let mut floors = self.tier_floors.0.lock();
                floors.chunks += oldest.len();
                floors.of.insert((class, tier), through);
                freed += oldest.bytes();
            }
        }
        freed
    }

    /// What each class keeps, without what the budget takes.
    pub(in crate::engine) fn keeps_in_budget(&self, revised: &Revised) -> Vec<Keep> {
        let mut keeps = self.keeps(revised);
        let floors = self.tier_floors.0.lock();
        if floors.revision == revised.revision {
            for (&(class, tier), &floor) in &floors.of {
                let tiers = keeps.get_mut(class).map(|keep| &mut keep.tiers);
                let of_tier = |(known, _): &&mut (Tier, Timestamp)| *known == tier;
                let found = tiers.into_iter().flatten().find(of_tier);
                if let Some((_, horizon)) = found {
                    *horizon = floor.max(*horizon);
                }
            }
        }
        keeps
    }

    /// Every chunk of buckets that stays: its class, its tier, where its last bucket ends, its bytes.
    fn visit_buckets(&self, revised: &Revised, visit: &mut dyn FnMut(usize, Tier, Timestamp, u64)) {
        let floors = {
            let mut floors = self.tier_floors.0.lock();
            if floors.revision != revised.revision {
                floors.revision = revised.revision;
                floors.of.clear();
            }
            floors.of.clone()
        };
        for shard in &self.shards {
            let shard = shard.read();
            for slot in shard.tiers.slots() {
                let class = shard.classes.get(slot, revised.revision);
                let Some((class, rings)) = class.zip(shard.tiers.get(slot)) else {
                    continue;
                };
                for ring in rings.iter() {
                    let floor = floors.get(&(class, ring.tier));
                    for entry in &ring.chunks {
                        let end = covered(ring.tier, entry).end;
                        if floor.is_none_or(|&floor| end > floor) {
                            visit(class, ring.tier, end, entry.record_bytes());
                        }
                    }
                }
            }
        }
    }
}

/// What is left of the largest numbers where as much as is wanted is taken of them together: 0 if that is more than there
/// is.
fn level(numbers: impl Iterator<Item = u64>, wanted: u64) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable_by_key(|&number| std::cmp::Reverse(number));
    let mut above = 0;
    for (count, &number) in (1..).zip(&numbers) {
        above += number;
        let next = numbers.get(count as usize).copied().unwrap_or(0);
        if above - next * count >= wanted {
            return (above - wanted) / count;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_taken_from_the_largest() {
        let level = |wanted| level([10, 100, 40].into_iter(), wanted);
        assert_eq!(level(0), 100);
        assert_eq!(level(1), 99);
        assert_eq!(level(60), 40);
        assert_eq!(level(62), 39);
        assert_eq!(level(120), 10);
        assert_eq!(level(121), 9);
        assert_eq!([level(150), level(1_000)], [0, 0]);
    }
}
