//! Which chunks of which tier answer for a range of time.
//!
//! From its first bucket on a ring has all rows that have left, whatever the others have: so one is enough, but for times
//! that only others remember. They are before its first bucket because its own age limit, or the day it was switched on,
//! cuts it off.

use super::{Ring, Rings, covered};
use crate::blocks::ChunkEntry;
use crate::rollup::Tier;
use crate::types::{TimeRange, Timestamp};

/// Chunks of a tier, and which of their buckets count: those that start in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The tier.
    pub(super) tier: Tier,
    /// Where buckets have to start.
    pub(super) range: TimeRange,
    /// The chunks.
    pub(super) chunks: Vec<ChunkEntry>,
}

/// The coarsest tier whose buckets lie in the range and in one bucket of the query each; where there is none, the
/// finest. `bounds` tells where the query's bucket of a time starts, and where the next one does.
pub(super) fn choose(
    rings: &Rings,
    range: TimeRange,
    bounds: &dyn Fn(Timestamp) -> (Timestamp, Option<Timestamp>),
) -> Vec<Stretch> {
    let reaches_back = |at: usize| {
        let mut finer = rings[..at].iter();
        finer.all(|finer| rings[at].first() <= finer.first())
    };
    let chosen = (0..rings.len())
        .rev()
        .find(|&at| reaches_back(at) && fits(&rings[at], range, bounds));
    let mut stretches = Vec::new();
    let mut end = range.end;
    let mut at = chosen.unwrap_or(0);
    while let Some(ring) = rings.get(at) {
        // Of a bucket that a finer tier has in part the coarser one has all.
        let further =
            (at + 1..rings.len()).find(|&coarser| rings[coarser].reaches_beyond(ring.first()));
        let start = further.map_or(range.start, |coarser| {
            let coarser = rings[coarser].tier;
            let start = coarser.start_of(ring.first());
            let is_whole = start == ring.first();
            let cut = if is_whole {
                start
            } else {
                coarser.end_of(ring.first())
            };
            cut.max(range.start)
        });
        let of_tier = TimeRange { start, end };
        let chunks = ring
            .chunks
            .iter()
            .filter(|entry| of_tier.overlaps(entry.meta.first_time, entry.meta.last_time));
        let chunks: Vec<ChunkEntry> = chunks.copied().collect();
        if !chunks.is_empty() {
            stretches.push(Stretch {
                tier: ring.tier,
                range: of_tier,
                chunks,
            });
        }
        end = end.min(start);
        match further {
            Some(coarser) if end > range.start => at = coarser,
            _ => break,
        }
    }
    stretches
}

/// Whether no bucket of a tier lies across an end of the range or of a bucket of the query, as far as its first and
/// last bucket show.
fn fits(
    ring: &Ring,
    range: TimeRange,
    bounds: &dyn Fn(Timestamp) -> (Timestamp, Option<Timestamp>),
) -> bool {
    let Ring { tier, chunks, .. } = ring;
    let is_border = |time: Timestamp| {
        let inside = chunks.iter().map(|entry| covered(*tier, entry));
        let mut inside = inside.filter(|covered| covered.start < time && time < covered.end);
        inside.next().is_none() || tier.start_of(time) == time
    };
    let is_cut = |time: Timestamp| {
        let bucket = tier.bucket_of(time);
        let (start, end) = bounds(bucket.start);
        let is_aligned = start == Timestamp::MIN || tier.start_of(start) == start;
        let ends_inside = end.is_some_and(|end| end < bucket.end || tier.start_of(end) != end);
        ends_inside || !is_aligned
    };
    let ends = chunks.first().into_iter().chain(chunks.last());
    let mut ends = ends.flat_map(|entry| [entry.meta.first_time, entry.meta.last_time]);
    is_border(range.start) && is_border(range.end) && !ends.any(is_cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{ChunkMeta, FileId};
    use crate::types::{DatabaseId, MeasurementId, Position, SeriesId};

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    fn chunk(tier: usize, first_time: Timestamp, last_time: Timestamp) -> ChunkEntry {
        ChunkEntry {
            meta: ChunkMeta {
                series: SeriesId(1),
                database: DatabaseId(0),
                measurement: MeasurementId(0),
                tier: Tier::USUAL[tier].number(),
                rows: 10,
                first_time,
                last_time,
                first_position: Position(0),
                last_position: Position(0),
            },
            file: FileId(1),
            ordinal: 0,
            offset: first_time as u64,
            len_bytes: 0,
            crc: 0,
        }
    }

    fn rings_of(chunks: &[ChunkEntry]) -> Rings {
        let mut rings = Rings::default();
        assert!(chunks.iter().all(|entry| rings.insert(*entry)));
        rings
    }

    /// Ten hours in all tiers, of which the finest has forgotten the first half.
    fn chunks() -> [ChunkEntry; 4] {
        let width = |tier: usize| Tier::USUAL[tier].width_ns();
        let end = 10 * HOUR;
        let cut = 5 * HOUR + 20 * SECOND;
        [
            chunk(0, cut, 7 * HOUR),
            chunk(0, 7 * HOUR + 10 * SECOND, end - width(0)),
            chunk(1, 0, end - width(1)),
            chunk(2, 0, end - width(2)),
        ]
    }

    fn chosen(range: (i64, i64), width: Option<i64>) -> Vec<(usize, i64, i64, usize)> {
        let bounds = |time: i64| match width {
            None => (i64::MIN, None),
            Some(width) => {
                let start = time - time.rem_euclid(width);
                (start, Some(start + width))
            }
        };
        let (start, end) = range;
        let stretches = choose(&rings_of(&chunks()), TimeRange { start, end }, &bounds);
        let all = stretches.into_iter();
        let number = |tier: Tier| usize::from(tier.number()) - 1;
        all.map(|s| (number(s.tier), s.range.start, s.range.end, s.chunks.len()))
            .collect()
    }

    #[test]
    fn the_coarsest_tier_that_answers_exactly_is_taken() {
        let all = (i64::MIN, i64::MAX);
        assert_eq!(chosen(all, None), [(2, i64::MIN, i64::MAX, 1)]);
        assert_eq!(chosen(all, Some(HOUR)), [(2, i64::MIN, i64::MAX, 1)]);
        assert_eq!(chosen(all, Some(24 * HOUR)), [(2, i64::MIN, i64::MAX, 1)]);
        let minutes = chosen(all, Some(300 * SECOND));
        assert_eq!(minutes, [(1, i64::MIN, i64::MAX, 1)]);
        // The ends of the range count as well.
        let half_past = (HOUR / 2, 9 * HOUR);
        assert_eq!(chosen(half_past, None), [(1, HOUR / 2, 9 * HOUR, 1)]);
        let outside = (-HOUR / 2, 11 * HOUR + 1);
        assert_eq!(chosen(outside, None), [(2, -HOUR / 2, 11 * HOUR + 1, 1)]);
    }

    #[test]
    fn what_the_finest_has_forgotten_the_next_one_remembers() {
        let cut = 5 * HOUR + 60 * SECOND;
        let all = (i64::MIN, i64::MAX);
        let finest = chosen(all, Some(10 * SECOND));
        assert_eq!(finest, [(0, cut, i64::MAX, 2), (1, i64::MIN, cut, 1)]);
        // Nothing of a bucket twice, and no more than the range has.
        let late = (8 * HOUR + 7, 9 * HOUR);
        assert_eq!(chosen(late, None), [(0, 8 * HOUR + 7, 9 * HOUR, 1)]);
        let early = (1, 2 * HOUR);
        assert_eq!(
            chosen(early, None),
            [(1, 1, cut, 1)].map(|(t, s, _, n)| (t, s, 2 * HOUR, n))
        );
    }

    #[test]
    fn a_tier_that_was_switched_on_late_does_not_answer_for_what_it_lacks() {
        let [_, _, minutes, _] = chunks();
        let rings = rings_of(&[
            chunks()[0],
            chunks()[1],
            minutes,
            chunk(2, 8 * HOUR, 9 * HOUR),
        ]);
        let all = TimeRange::ALL;
        let stretches = choose(&rings, all, &|_| (i64::MIN, None));
        let tiers: Vec<Tier> = stretches.iter().map(|stretch| stretch.tier).collect();
        assert_eq!(tiers, [Tier::MINUTE]);
        assert_eq!(choose(&Rings::default(), all, &|_| (0, None)), []);
    }
}
