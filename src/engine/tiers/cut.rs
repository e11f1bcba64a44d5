//! Where a ring would pass for whole that is not.
//!
//! A ring lacks rows that came late, from before its first bucket, where a coarser one reaches further back. That shows
//! as long as that one does: readers take it for the time before. When all that it has of before goes, by a deletion or
//! by its age, but for the very bucket in which the finer one begins, nothing shows it any more. So what the finer one
//! has of that bucket goes with it; the coarser one has all of that.

use std::collections::BTreeMap;

use super::Rings;
use super::build::{Change, TierChanges};
use crate::blocks::ChunkMeta;
use crate::codec::Effort;
use crate::codec::chunk::Chunk;
use crate::engine::Engine;
use crate::rollup::{Bucket, LaneColumn, Tier, decode};
use crate::types::{Position, TimeRange, Timestamp};

/// Where the first bucket of each ring starts.
type Firsts = BTreeMap<Tier, Timestamp>;

impl Engine {
    /// Takes such buckets out of what a series has behind some changes.
    pub(super) fn cut_outdone(
        &self,
        before: &Rings,
        (lanes, meta): (&[LaneColumn], ChunkMeta),
        changes: &mut TierChanges,
    ) {
        if changes.replaced.is_empty() {
            return;
        }
        let firsts = before
            .iter()
            .map(|ring| (ring.tier, ring.first()))
            .collect();
        for (tier, gone) in outdone(&firsts, &firsts_behind(before, changes)) {
            let left = self.without(before, tier, gone, lanes, changes);
            let mut change = Change::new(tier, lanes, meta, changes);
            for (buckets, positions) in left {
                change.write(&buckets, Some(positions), Effort::Full);
            }
        }
    }

    /// Takes chunks out that have buckets of a tier that start in a range, be they there or still to be written; what they
    /// have beside those.
    fn without(
        &self,
        before: &Rings,
        tier: Tier,
        gone: TimeRange,
        lanes: &[LaneColumn],
        changes: &mut TierChanges,
    ) -> Vec<(Vec<Bucket>, (Position, Position))> {
        let is_hit = |meta: &ChunkMeta| gone.overlaps(meta.first_time, meta.last_time);
        let mut left = Vec::new();
        let mut take = |meta: &ChunkMeta, mut buckets: Vec<Bucket>| {
            buckets.retain(|bucket| !gone.contains(bucket.start));
            left.push((buckets, (meta.first_position, meta.last_position)));
        };
        let rings = before.of(tier).into_iter();
        for entry in rings.flat_map(|ring| &ring.chunks) {
            // What cannot be read stays.
            if is_hit(&entry.meta)
                && !changes.replaced.contains(entry)
                && let Ok(buckets) = self.buckets_of(entry, lanes)
            {
                take(&entry.meta, buckets);
                changes.replaced.push(*entry);
            }
        }
        changes.chunks.retain(|(meta, bytes)| {
            if meta.tier != tier.number() || !is_hit(meta) {
                return true;
            }
            let chunk = Chunk::open(bytes.clone()).ok();
            let buckets = chunk.and_then(|chunk| decode(&chunk, tier, lanes).ok());
            let is_read = buckets.is_some();
            if let Some(buckets) = buckets {
                take(meta, buckets);
            }
            !is_read
        });
        left
    }
}

/// Where the first buckets are behind some changes.
fn firsts_behind(before: &Rings, changes: &TierChanges) -> Firsts {
    let stay = before.chunks();
    let stay = stay.filter(|entry| !changes.replaced.contains(entry));
    let metas = stay.map(|entry| &entry.meta);
    let mut firsts = Firsts::new();
    for meta in metas.chain(changes.chunks.iter().map(|(meta, _)| meta)) {
        if let Some(tier) = Tier::of_number(meta.tier) {
            let known = firsts.entry(tier).or_insert(meta.first_time);
            *known = meta.first_time.min(*known);
        }
    }
    firsts
}

/// Which tiers pass for whole from now on that do not have all of the bucket in which they begin, and that bucket.
fn outdone(before: &Firsts, behind: &Firsts) -> Vec<(Tier, TimeRange)> {
    let mut found: Vec<(Tier, TimeRange)> = Vec::new();
    for (&fine, &first) in before {
        let Some(&first_behind) = behind.get(&fine) else {
            continue;
        };
        let coarser = before.range(fine..).skip(1);
        let hides = coarser.filter_map(|(&coarse, &reached)| {
            let bucket = coarse.bucket_of(first);
            let was_seen = reached < bucket.start;
            let is_left = behind.get(&coarse) == Some(&bucket.start);
            let begins_inside = bucket.start < first_behind && first_behind < bucket.end;
            (was_seen && is_left && begins_inside).then_some(bucket)
        });
        // The widest has all that the others have.
        found.extend(hides.last().map(|bucket| (fine, bucket)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const HOUR: i64 = 60 * MINUTE;

    #[test]
    fn a_ring_is_cut_where_nothing_shows_any_more_what_it_lacks() {
        let [ten, _, hour] = Tier::USUAL;
        let firsts = |fine, coarse| Firsts::from([(ten, fine), (hour, coarse)]);
        let before = firsts(5 * HOUR + 20 * MINUTE, 2 * HOUR);
        let bucket = TimeRange {
            start: 5 * HOUR,
            end: 6 * HOUR,
        };
        let same = 5 * HOUR + 20 * MINUTE;
        assert_eq!(outdone(&before, &firsts(same, 5 * HOUR)), [(ten, bucket)]);
        // The coarser one still shows it, or has nothing of that bucket any more.
        for coarse in [2 * HOUR, 4 * HOUR, 6 * HOUR] {
            assert_eq!(outdone(&before, &firsts(same, coarse)), []);
        }
        // Nothing is left of the bucket, and what begins with it is whole.
        assert_eq!(outdone(&before, &firsts(6 * HOUR, 5 * HOUR)), []);
        let whole = firsts(5 * HOUR, 2 * HOUR);
        assert_eq!(outdone(&whole, &firsts(5 * HOUR, 5 * HOUR)), []);
        // A ring that never lacked anything.
        let seen = firsts(5 * HOUR + 20 * MINUTE, 5 * HOUR);
        assert_eq!(outdone(&seen, &seen), []);
    }
}
