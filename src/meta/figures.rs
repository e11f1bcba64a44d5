//! What a pool of connections says of itself: counters, and how long callers waited for a connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// The figures of a pool, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Connections that are kept open.
    pub size_min: u32,
    /// Connections at most.
    pub size_max: u32,
    /// Connections now.
    pub size: u32,
    /// Connections nobody uses now.
    pub idle: u32,
    /// Callers that wait for one now.
    pub waiting: u32,
    /// Times a connection was taken.
    pub acquired: u64,
    /// Times a caller had to wait for another one's connection.
    pub waits: u64,
    /// Half of the acquisitions took no longer, nanoseconds, at most a quarter too much.
    pub acquire_p50_ns: u64,
    /// 99 in 100 acquisitions took no longer, nanoseconds, at most a quarter too much.
    pub acquire_p99_ns: u64,
    /// Acquisitions that were given up.
    pub timeouts: u64,
    /// Connections opened.
    pub connects: u64,
    /// Of these, how many took the place of one that was too old, failed, or was of a file that was replaced.
    pub reconnects: u64,
    /// Times the file was locked by somebody else for longer than the busy time-out.
    pub locked: u64,
    /// Statements executed.
    pub statements: u64,
    /// Statements that took longer than the threshold of the slow-statement log.
    pub slow_statements: u64,
}

/// Durations by their magnitude: four buckets each power of two.
#[derive(Debug)]
pub(super) struct Durations([AtomicU64; BUCKETS]);

impl Default for Durations {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Durations {
    pub(super) fn add(&self, ns: u64) {
        self.0[bucket(ns)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are, and for each share, in percent, a duration that so many of them do not exceed.
    pub(super) fn quantiles<const N: usize>(&self, percents: [u64; N]) -> (u64, [u64; N]) {
        let counts: Vec<u64> = self.0.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let quantile = |percent: u64| {
            let rank = (total * percent).div_ceil(100);
            let mut below = 0;
            let reaches = |count: &u64| {
                below += count;
                below >= rank
            };
            match counts.iter().position(reaches) {
                Some(index) if total > 0 => upper_end(index),
                _ => 0,
            }
        };
        (total, percents.map(quantile))
    }
}

fn bucket(ns: u64) -> usize {
    if ns < 8 {
        return ns as usize;
    }
    let magnitude = u64::BITS - 1 - ns.leading_zeros();
    let quarter = (ns >> (magnitude - 2)) & 3;
    ((magnitude as usize - 1) * 4 + quarter as usize).min(BUCKETS - 1)
}

/// The greatest duration of a bucket.
fn upper_end(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (magnitude, quarter) = (bucket / 4 + 1, bucket as u64 % 4);
    ((5 + quarter) << (magnitude - 2)) - 1
}

/// Up to 2^41 ns, half an hour; what took longer counts as that.
const BUCKETS: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_at_most_a_quarter_beyond_its_durations() {
        let mut last = 0;
        for ns in (0..5_000).chain((13..41).flat_map(|m| [(1 << m) - 1, 1 << m, (7 << m) / 4])) {
            let (index, end) = (bucket(ns), upper_end(bucket(ns)));
            assert!(end >= ns && end - ns <= ns / 4, "{ns}: {end}");
            assert!(index >= last || ns >= 5_000, "{ns}");
            assert_eq!(bucket(end), index, "{ns}");
            last = index;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let durations = Durations::default();
        assert_eq!(durations.quantiles([50, 99]), (0, [0, 0]));
        for ns in 1..=100 {
            durations.add(ns * 1_000);
        }
        let (count, [p50, p99]) = durations.quantiles([50, 99]);
        assert_eq!(count, 100);
        assert!((50_000..63_000).contains(&p50), "{p50}");
        assert!((99_000..124_000).contains(&p99), "{p99}");
    }
}
