//! Buckets: the partials of all lanes of a series in one stretch of time; made from rows, put together again.

use super::partial::Partial;
use super::tier::Tier;
use crate::codec::vector::ColumnVector;
use crate::types::Timestamp;

/// What a tier knows of a series in one of its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Where it starts.
    pub start: Timestamp,
    /// Rows, at least 1, whatever they have values of.
    pub rows: u64,
    /// One entry a lane; none where no row has a value of it.
    pub lanes: Vec<Option<Partial>>,
}

impl Bucket {
    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        for (lane, more) in self.lanes.iter_mut().zip(other.lanes) {
            match (lane, more) {
                (Some(lane), Some(more)) => lane.merge(&more),
                (lane @ None, more) => *lane = more,
                (Some(_), None) => {}
            }
        }
    }
}

/// The buckets of some rows: times, ascending, and a column a lane.
#[must_use]
pub fn roll(tier: Tier, times: &[Timestamp], lanes: &[ColumnVector]) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut from = 0;
    while let Some(&first) = times.get(from) {
        let bucket = tier.bucket_of(first);
        let rows = times[from..].partition_point(|&time| bucket.contains(time));
        let until = from + rows.max(1);
        let of = |lane: &ColumnVector| Partial::of(lane, times, from..until);
        buckets.push(Bucket {
            start: bucket.start,
            rows: (until - from) as u64,
            lanes: lanes.iter().map(of).collect(),
        });
        from = until;
    }
    buckets
}

/// The buckets of a coarser tier, from buckets in the order of their starts. Buckets that are in one bucket of it
/// have to be of different rows, and may be the same bucket twice.
#[must_use]
pub fn coarsen(tier: Tier, buckets: impl IntoIterator<Item = Bucket>) -> Vec<Bucket> {
    let mut coarse: Vec<Bucket> = Vec::new();
    for mut bucket in buckets {
        bucket.start = tier.start_of(bucket.start);
        match coarse.last_mut() {
            Some(last) if last.start == bucket.start => last.merge(bucket),
            _ => coarse.push(bucket),
        }
    }
    coarse
}
