//! Whether what was read of series still holds: versions of shards, and what has changed since.
//!
//! Versions are read without a lock, before anything is read of the series. Where they have moved, the changes of the
//! series themselves tell which times are concerned; they are looked at under the shard's lock, some hundred series at
//! a time, so that no writer waits for long.

use crate::engine::Engine;
use crate::engine::retention::{Keep, Revised, class_of};
use crate::series::{Change, Series};
use crate::types::{SeriesId, TimeRange, Timestamp};

/// How many changes the shards of some series had seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// By ascending shard.
    of: Box<[(u16, u64)]>,
}

/// What has changed in some series, besides rows that were appended behind all others.
#[derive(Debug, Default)]
pub struct SeriesChanges {
    /// With their shards.
    found: Vec<(u16, Change)>,
}

/// What was appended to a series behind a row and before a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing so far.
    Nothing,
    /// Nothing, nor will anything be: later rows are there.
    Never,
    /// Rows, perhaps.
    Some,
}

impl Versions {
    /// Bytes of memory behind this.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.of)
    }

    /// The earlier of the two for each shard. Both are of the same series.
    #[must_use]
    pub fn earlier(&self, other: &Self) -> Self {
        let both = self.of.iter().zip(&other.of);
        Self {
            of: both.map(|(a, b)| (a.0, a.1.min(b.1))).collect(),
        }
    }

    /// The later of the two for each shard. Both are of the same series.
    #[must_use]
    pub fn later(&self, other: &Self) -> Self {
        let both = self.of.iter().zip(&other.of);
        Self {
            of: both.map(|(a, b)| (a.0, a.1.max(b.1))).collect(),
        }
    }

    fn of_shard(&self, shard: u16) -> Option<u64> {
        let at = self.of.binary_search_by_key(&shard, |(shard, _)| *shard);
        Some(self.of[at.ok()?].1)
    }
}

impl SeriesChanges {
    /// Whether something of a range has changed since.
    #[must_use]
    pub fn touch(&self, range: TimeRange, since: &Versions) -> bool {
        self.found.iter().any(|(shard, change)| {
            let known = since.of_shard(*shard);
            known.is_none_or(|known| change.version > known)
                && range.overlaps(change.first, change.last)
        })
    }
}

impl Engine {
    /// The versions of the shards of some series. Takes no lock.
    pub fn versions(&self, series: &[SeriesId]) -> Versions {
        let mut touched = vec![false; self.shards.len()];
        let mut missing = touched.len();
        for &id in series {
            let seen = &mut touched[self.placement.shard(id)];
            if !std::mem::replace(seen, true) {
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        let shards = touched.iter().enumerate().filter(|(_, seen)| **seen);
        let of = shards.map(|(shard, _)| (shard as u16, self.changes[shard].get()));
        Versions { of: of.collect() }
    }

    /// What has changed in some series since, of a range of time; and versions for what was not: it holds up to these.
    pub fn changes_since(
        &self,
        series: &[SeriesId],
        since: &Versions,
        range: TimeRange,
    ) -> (Versions, SeriesChanges) {
        let mut now = since.clone();
        let mut changes = SeriesChanges::default();
        for (shard, version) in &mut now.of {
            let index = usize::from(*shard);
            let known = *version;
            // From before anything is looked at: what comes later may be missed.
            let current = self.changes[index].get();
            if current == known {
                continue;
            }
            let of_shard = |id: &&SeriesId| self.placement.shard(**id) == index;
            let mut left = series.iter().filter(of_shard).peekable();
            while left.peek().is_some() {
                let guard = self.shards[index].read();
                for &id in left.by_ref().take(SLICE_SERIES) {
                    let found = guard.get(self.placement.slot(id));
                    let noted = found.and_then(|series| series.changes());
                    let noted = noted
                        .into_iter()
                        .flat_map(|noted| noted.since(known, range));
                    changes.found.extend(noted.map(|change| (*shard, change)));
                }
            }
            // Of one that was retired before it was looked at, it is not known any more what changed: whoever empties
            // its slot has the catalog say so first.
            let catalog = self.catalog.read();
            let mut of_shard = series.iter().filter(of_shard);
            if !catalog.retired().is_empty() && of_shard.any(|id| catalog.is_retired(*id)) {
                let all = Change {
                    version: u64::MAX,
                    first: Timestamp::MIN,
                    last: Timestamp::MAX,
                };
                changes.found.push((*shard, all));
            }
            *version = current;
        }
        (now, changes)
    }

    /// What has come to a series in order, since its newest row was the one of a time, to a range that ends behind that.
    pub fn growth(&self, series: SeriesId, behind: Timestamp, range: TimeRange) -> Growth {
        let shard = self.shards[self.placement.shard(series)].read();
        let found = shard.get(self.placement.slot(series));
        let newest = found.and_then(Series::newest);
        let (Some(next), Some(found)) = (behind.checked_add(1), found) else {
            return Growth::Nothing;
        };
        let (start, end) = (range.start.max(next), range.end);
        if newest.is_none_or(|newest| newest <= behind) {
            return Growth::Nothing;
        }
        if found.may_have(TimeRange { start, end }) {
            Growth::Some
        } else if newest.is_some_and(|newest| newest >= end - 1) {
            Growth::Never
        } else {
            Growth::Nothing
        }
    }

    /// The times of the earliest and the latest row of some series, or wider; `None` without a row.
    pub fn extent(&self, series: &[SeriesId]) -> Option<(Timestamp, Timestamp)> {
        let mut extent: Option<(Timestamp, Timestamp)> = None;
        for &id in series {
            let shard = self.shards[self.placement.shard(id)].read();
            let found = shard.get(self.placement.slot(id));
            let times = found.and_then(|found| Some((found.oldest()?, found.newest()?)));
            if let Some((first, last)) = times {
                let (low, high) = extent.unwrap_or((first, last));
                extent = Some((low.min(first), high.max(last)));
            }
        }
        extent
    }

    /// All rows of some series from this time on are there, and shown; earlier ones have expired of one at least, or have
    /// left for buckets. Who takes buckets sees rows that are beyond their age until they leave.
    pub fn whole_from(&self, series: &[SeriesId], takes_buckets: bool) -> Timestamp {
        let revised = self.retention.current();
        let keeps = self.keeps(&revised);
        let first = keeps.first().map_or(Timestamp::MIN, |keep| keep.horizon);
        let is_same = |keep: &Keep| keep.tiers.is_empty() && keep.horizon == first;
        if keeps.iter().all(is_same) {
            return first;
        }
        let all = series.iter();
        let all = all.map(|&id| self.whole_from_in(&revised, &keeps, id, takes_buckets));
        all.max().unwrap_or(Timestamp::MIN)
    }

    /// The same of one series, by what each class keeps under a policy.
    pub(super) fn whole_from_in(
        &self,
        revised: &Revised,
        keeps: &[Keep],
        series: SeriesId,
        takes_buckets: bool,
    ) -> Timestamp {
        if keeps.iter().all(|keep| keep.tiers.is_empty()) {
            return self.horizon_in(revised, keeps, series);
        }
        let slot = self.placement.slot(series);
        let (class, left) = {
            let shard = self.shards[self.placement.shard(series)].read();
            let class = shard.classes.get(slot, revised.revision);
            (class, shard.left_until(slot))
        };
        let class =
            class.unwrap_or_else(|| class_of(&self.catalog.read(), &revised.policy, series));
        match keeps.get(class) {
            Some(keep) if keep.tiers.is_empty() => keep.horizon,
            Some(keep) if !takes_buckets => keep.horizon.max(left),
            _ => left,
        }
    }
}

/// Series that are looked at under one hold of their shard's lock.
const SLICE_SERIES: usize = 512;
