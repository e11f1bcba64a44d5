//! What happened to a series besides rows that were appended behind all others: the times that it concerns, and when.
//!
//! A shard counts changes; the count after a change is its version. Whoever keeps something of a series remembers the
//! count from before it was read: it still holds where no later change has touched its times, and where no row was
//! appended there, which the time of the newest row tells. Appending a row in order changes nothing here and costs
//! nothing.
//!
//! Invariant: everything that alters what a range below the newest row shows, or may, is noted under the lock of
//! the shard, before that lock is let go. What is remembered may name more than what has changed, never less.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutants::{self, Mutant};
use crate::types::{TimeRange, Timestamp};

/// How many changes the series of a shard have seen. Counted under the shard's lock, read by anybody.
#[derive(Clone, Debug, Default)]
pub struct ChangeCount(Arc<AtomicU64>);

impl ChangeCount {
    /// The version of the latest change.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The version of the next change. One caller at a time: the one that holds the lock.
    fn next(&self) -> u64 {
        let next = self.0.load(Ordering::Relaxed) + 1;
        self.0.store(next, Ordering::Release);
        next
    }
}

/// Times of which something changed, first and last, and the version of the latest change of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first time.
    pub first: Timestamp,
    /// The last time, included.
    pub last: Timestamp,
    /// The latest of these changes.
    pub version: u64,
}

/// The changes of one series: the latest ones one by one, older ones together, twice as many in each step back.
#[derive(Debug, Default)]
pub struct Changes {
    /// Oldest first, with the number of changes that each stands for.
    kept: Vec<(Change, u32)>,
}

/// As many changes as one entry stands for at most, but for the oldest.
const TOGETHER_MAX: u32 = 1 << 10;

impl Changes {
    /// Notes a change of the times from `first` to `last`, both included.
    pub fn note(&mut self, first: Timestamp, last: Timestamp, count: &ChangeCount) {
        let fault = if first == last {
            Mutant::ChangeUnnoted
        } else {
            Mutant::RemovalUnnoted
        };
        if mutants::is(fault) {
            return;
        }
        let version = count.next();
        if let Some((latest, 1)) = self.kept.last_mut()
            && latest.first <= first
            && last <= latest.last
        {
            latest.version = version;
            return;
        }
        let change = Change {
            first,
            last,
            version,
        };
        self.kept.push((change, 1));
        // Three that stand for as many: the two older ones become one.
        let mut end = self.kept.len();
        while let Some(start) = end.checked_sub(3) {
            let [(one, count), (two, second), (_, third)] = self.kept[start..end] else {
                break;
            };
            if count != second || second != third {
                break;
            }
            let together = Change {
                first: one.first.min(two.first),
                last: one.last.max(two.last),
                version: two.version,
            };
            self.kept[start] = (together, (2 * count).min(TOGETHER_MAX));
            self.kept.remove(start + 1);
            end = start + 1;
        }
    }

    /// Changes of a range behind a version, at least; the latest last.
    pub fn since(&self, version: u64, range: TimeRange) -> impl Iterator<Item = Change> {
        let from = self
            .kept
            .partition_point(|(change, _)| change.version <= version);
        let later = self.kept[from..].iter().map(|(change, _)| *change);
        later.filter(move |change| range.overlaps(change.first, change.last))
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(Change, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_times_take_one_place() {
        let (count, mut changes) = (ChangeCount::default(), Changes::default());
        changes.note(10, 20, &count);
        changes.note(15, 15, &count);
        assert_eq!(count.get(), 2);
        let all: Vec<_> = changes.since(0, TimeRange::ALL).collect();
        let version = 2;
        assert_eq!(
            all,
            [Change {
                first: 10,
                last: 20,
                version
            }]
        );
        assert_eq!(changes.since(2, TimeRange::ALL).count(), 0);
    }

    #[test]
    fn the_latest_changes_stay_apart_and_few_are_kept() {
        let (count, mut changes) = (ChangeCount::default(), Changes::default());
        for time in 0..100_000 {
            changes.note(time, time, &count);
        }
        assert!(changes.kept.len() < 130, "{}", changes.kept.len());
        // Ten changes ago: nothing of the times much before is named.
        let since = count.get() - 10;
        let first = changes.since(since, TimeRange::ALL).map(|c| c.first).min();
        assert!(
            first.is_some_and(|first| first >= 100_000 - 40),
            "{first:?}"
        );
    }

    proptest! {
        #[test]
        fn no_change_is_forgotten(
            noted in prop::collection::vec((0i64..1_000, 0i64..50), 1..400),
            (since, start, len) in (0u64..400, 0i64..1_000, 1i64..100),
        ) {
            let (count, mut changes) = (ChangeCount::default(), Changes::default());
            for &(first, len) in &noted {
                changes.note(first, first + len, &count);
            }
            let range = TimeRange { start, end: start + len };
            let real = noted.iter().zip(1u64..).any(|(&(first, len), version)| {
                version > since && range.overlaps(first, first + len)
            });
            let named = changes.since(since, range).count() > 0;
            prop_assert!(named || !real, "{:?}", changes);
        }
    }
}
