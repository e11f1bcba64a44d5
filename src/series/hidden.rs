//! What deletions, expiry and eviction hide of a sealed chunk, until a checkpoint takes those rows out.

use std::sync::OnceLock;

use crate::types::{Position, TimeRange, Timestamp};

/// Why rows are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A statement deleted them.
    Deleted,
    /// They were too old.
    Expired,
    /// Their series had too many.
    Evicted,
    /// They are elsewhere now, and count there.
    Moved,
}

/// What takes rows away, as a series sees it: those of the range that came before the position are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Where in the log it is.
    pub position: Position,
    /// Which times it hits.
    pub range: TimeRange,
    /// Why.
    pub cause: Cause,
}

/// Rows of a chunk that are hidden, by what hid them first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HiddenRows {
    /// By statements.
    pub deleted: u32,
    /// By their age.
    pub expired: u32,
    /// By the number of rows.
    pub evicted: u32,
    /// By a row elsewhere that they have become.
    pub moved: u32,
}

impl HiddenRows {
    /// All of a chunk's rows for one cause.
    #[must_use]
    pub fn all(cause: Cause, rows: u32) -> Self {
        let mut all = Self::default();
        *all.of(cause) = rows;
        all
    }

    /// Rows, whatever hid them.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.deleted + self.expired + self.evicted + self.moved
    }

    /// The count of one cause.
    pub const fn of(&mut self, cause: Cause) -> &mut u32 {
        match cause {
            Cause::Deleted => &mut self.deleted,
            Cause::Expired => &mut self.expired,
            Cause::Evicted => &mut self.evicted,
            Cause::Moved => &mut self.moved,
        }
    }
}

/// The tombstones of one chunk; never changed, only replaced.
#[derive(Debug)]
pub struct Hidden {
    /// By ascending position.
    tombstones: Box<[Tombstone]>,
    /// Rows that they hide, once counted.
    rows: OnceLock<HiddenRows>,
}

impl Hidden {
    /// These and one more, which makes those dispensable that hide nothing else between two times, both included,
    /// as long as nobody behind them hid rows for another cause: who was first counts.
    pub(super) fn with(
        before: Option<&Self>,
        tombstone: Tombstone,
        (first, last): (Timestamp, Timestamp),
    ) -> Self {
        let known = before.map_or(&[][..], |before| &before.tombstones);
        let other = |known: &Tombstone| known.cause != tombstone.cause;
        let same_from = known.iter().rposition(other).map_or(0, |other| other + 1);
        let is_needed = |(index, known): &(usize, &Tombstone)| {
            let (from, to) = bounds(known.range);
            *index < same_from || !tombstone.range.covers(from.max(first), to.min(last))
        };
        let kept = known.iter().enumerate().filter(is_needed);
        let kept = kept.map(|(_, known)| *known);
        Self {
            tombstones: kept.chain([tombstone]).collect(),
            rows: OnceLock::new(),
        }
    }

    /// The same tombstones, for the chunk as it was written anew: nobody has counted what they hide of that.
    pub(crate) fn uncounted(&self) -> Self {
        Self {
            tombstones: self.tombstones.clone(),
            rows: OnceLock::new(),
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

    /// Counts the rows that are hidden, each for the first that hid it. `rows_within` tells which of so many
    /// rows lie in a range of times.
    pub fn count<E>(
        &self,
        rows: u32,
        rows_within: impl Fn(TimeRange) -> Result<std::ops::Range<usize>, E>,
    ) -> Result<HiddenRows, E> {
        let mut counted = HiddenRows::default();
        let mut is_hidden = vec![false; rows as usize];
        for tombstone in &self.tombstones {
            for row in rows_within(tombstone.range)? {
                if let Some(is_hidden) = is_hidden.get_mut(row)
                    && !std::mem::replace(is_hidden, true)
                {
                    *counted.of(tombstone.cause) += 1;
                }
            }
        }
        Ok(counted)
    }

    /// The cause that all have in common.
    pub fn only_cause(&self) -> Option<Cause> {
        let (first, others) = self.tombstones.split_first()?;
        let same = others.iter().all(|other| other.cause == first.cause);
        same.then_some(first.cause)
    }

    /// Notes how many rows are hidden; what was noted before stays.
    pub fn set_rows(&self, rows: HiddenRows) {
        let _ = self.rows.set(rows);
    }

    /// Rows that are hidden, where they were counted.
    pub fn rows(&self) -> Option<HiddenRows> {
        self.rows.get().copied()
    }

    /// What is shown between two times, both included: first and last time of each stretch, ascending.
    pub(super) fn shown(&self, first: Timestamp, last: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        beside(&self.tombstones, first, last)
    }

    /// What left between two times, both included, because it was too old or too many: first and last time of each
    /// stretch, in no order. What was deleted or moved before is not in it.
    pub(super) fn left(&self, first: Timestamp, last: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut left = Vec::new();
        for (index, tombstone) in self.tombstones.iter().enumerate() {
            if matches!(tombstone.cause, Cause::Expired | Cause::Evicted) {
                let (from, to) = bounds(tombstone.range);
                let (from, to) = (from.max(first), to.min(last));
                if from <= to {
                    left.extend(beside(&self.tombstones[..index], from, to));
                }
            }
        }
        left
    }
}

/// What tombstones leave between two times, both included: first and last time of each stretch, ascending.
fn beside(
    tombstones: &[Tombstone],
    first: Timestamp,
    last: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let mut ranges: Vec<_> = tombstones.iter().map(|t| bounds(t.range)).collect();
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

/// First and last time of a range that is not empty.
const fn bounds(range: TimeRange) -> (Timestamp, Timestamp) {
    let last = if range.end == Timestamp::MAX {
        Timestamp::MAX
    } else {
        range.end - 1
    };
    (range.start, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(position: u64, start: i64, end: i64) -> Tombstone {
        Tombstone {
            position: Position(position),
            range: TimeRange { start, end },
            cause: Cause::Deleted,
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

    #[test]
    fn a_row_counts_for_what_hid_it_first() {
        let of = |cause, position, end| Tombstone {
            cause,
            ..tombstone(position, 0, end)
        };
        let bounds = (0, 100);
        let one = Hidden::with(None, of(Cause::Deleted, 1, 10), bounds);
        let two = Hidden::with(Some(&one), of(Cause::Expired, 2, 30), bounds);
        let all = Hidden::with(Some(&two), of(Cause::Deleted, 3, 40), bounds);
        let within = |range: TimeRange| Ok::<_, ()>(range.start as usize..range.end as usize);
        let counted = all.count(100, within).expect("nothing fails");
        let (deleted, expired) = (counted.deleted, counted.expired);
        assert_eq!((deleted, expired, counted.evicted), (20, 20, 0));
        assert_eq!(all.left(0, 100), [(10, 29)]);
        assert_eq!(
            (all.left(15, 20), one.left(0, 100)),
            (vec![(15, 20)], vec![])
        );
        assert_eq!(
            (one.only_cause(), all.only_cause()),
            (Some(Cause::Deleted), None)
        );
    }
}
