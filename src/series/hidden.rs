//! What deletions hide of a sealed chunk, until a checkpoint writes it anew without those rows.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::types::{Position, TimeRange, Timestamp};

/// A deletion as a series sees it: rows of the range that came before the position are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Where in the log the deletion is.
    pub position: Position,
    /// What it deletes.
    pub range: TimeRange,
}

/// The tombstones of one chunk; never changed, only replaced.
#[derive(Debug)]
pub struct Hidden {
    /// By ascending position.
    tombstones: Box<[Tombstone]>,
    /// Rows that they hide, once counted.
    rows: AtomicU32,
}

impl Hidden {
    /// These and one more, which makes those dispensable that hide nothing else between two times, both included.
    pub(super) fn with(
        before: Option<&Self>,
        tombstone: Tombstone,
        (first, last): (Timestamp, Timestamp),
    ) -> Self {
        let known = before.map_or(&[][..], |before| &before.tombstones);
        let is_needed = |known: &&Tombstone| {
            let (from, to) = bounds(known.range);
            !tombstone.range.covers(from.max(first), to.min(last))
        };
        let kept = known.iter().filter(is_needed).copied();
        Self {
            tombstones: kept.chain([tombstone]).collect(),
            rows: AtomicU32::new(UNCOUNTED),
        }
    }

    /// The tombstones, by ascending position.
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }

    /// Whether a row of this time is hidden.
    pub fn hides(&self, time: Timestamp) -> bool {
        self.tombstones
            .iter()
            .any(|tombstone| tombstone.range.contains(time))
    }

    /// Notes how many rows are hidden.
    pub fn set_rows(&self, rows: u32) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Rows that are hidden, where they were counted.
    pub fn rows(&self) -> Option<u32> {
        let rows = self.rows.load(Ordering::Relaxed);
        (rows != UNCOUNTED).then_some(rows)
    }

    /// What is shown between two times, both included: first and last time of each stretch, ascending.
    pub(super) fn shown(&self, first: Timestamp, last: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut ranges: Vec<_> = self.tombstones.iter().map(|t| bounds(t.range)).collect();
        ranges.sort_unstable();
        let mut shown = Vec::new();
        let mut next = Some(first);
        for (from, to) in ranges {
            let Some(start) = next else { break };
            if start < from && start <= last {
                shown.push((start, last.min(from - 1)));
            }
            if to >= start {
                next = to.checked_add(1);
            }
        }
        if let Some(start) = next.filter(|start| *start <= last) {
            shown.push((start, last));
        }
        shown
    }
}

/// First and last time of a range that is not empty.
const fn bounds(range: TimeRange) -> (Timestamp, Timestamp) {
    let last = if range.end == Timestamp::MAX {
        Timestamp::MAX
    } else {
        range.end - 1
    };
    (range.start, last)
}

const UNCOUNTED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(position: u64, start: i64, end: i64) -> Tombstone {
        Tombstone {
            position: Position(position),
            range: TimeRange { start, end },
        }
    }

    fn hidden(ranges: &[(i64, i64)]) -> Hidden {
        let mut hidden: Option<Hidden> = None;
        for (index, &(start, end)) in ranges.iter().enumerate() {
            let next = tombstone(index as u64, start, end);
            hidden = Some(Hidden::with(hidden.as_ref(), next, (0, 100)));
        }
        hidden.expect("a range")
    }

    #[test]
    fn what_is_left_lies_between_the_ranges() {
        assert_eq!(hidden(&[(10, 20)]).shown(0, 100), [(0, 9), (20, 100)]);
        let two = hidden(&[(50, 60), (10, 20), (15, 30)]);
        assert_eq!(two.shown(0, 100), [(0, 9), (30, 49), (60, 100)]);
        assert_eq!(two.shown(12, 55), [(30, 49)]);
        assert_eq!(
            hidden(&[(-5, 40), (90, i64::MAX)]).shown(0, 100),
            [(40, 89)]
        );
        assert_eq!(hidden(&[(i64::MIN, i64::MAX)]).shown(0, i64::MAX), []);
        assert_eq!(hidden(&[(30, 90), (0, 200)]).shown(0, 100), []);
        assert_eq!(
            hidden(&[(10, 90), (20, 30)]).shown(0, 100),
            [(0, 9), (90, 100)]
        );
    }

    #[test]
    fn a_wider_tombstone_takes_the_place_of_others() {
        let one = hidden(&[(10, 20), (30, 40), (5, 25)]);
        let left: Vec<u64> = one.tombstones().iter().map(|t| t.position.0).collect();
        assert_eq!(left, [1, 2]);
        // Beyond the chunk nothing counts.
        assert_eq!(hidden(&[(-50, 20), (0, 30)]).tombstones().len(), 1);
    }
}
