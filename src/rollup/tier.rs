//! A tier: buckets of one width, aligned to the epoch.

use crate::types::{TimeRange, Timestamp};

/// Buckets of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tier {
    width_ns: i64,
}

impl Tier {
    /// Ten seconds.
    pub const TEN_SECONDS: Self = Self {
        width_ns: 10_000_000_000,
    };
    /// A minute.
    pub const MINUTE: Self = Self {
        width_ns: 60_000_000_000,
    };
    /// An hour.
    pub const HOUR: Self = Self {
        width_ns: 3_600_000_000_000,
    };

    /// Buckets of so many nanoseconds, at least one.
    #[must_use]
    pub const fn of_width(width_ns: i64) -> Option<Self> {
        if width_ns > 0 {
            Some(Self { width_ns })
        } else {
            None
        }
    }

    /// Nanoseconds of a bucket.
    #[must_use]
    pub const fn width_ns(self) -> i64 {
        self.width_ns
    }

    /// Whether the buckets of this tier are made of whole buckets of another.
    #[must_use]
    pub const fn is_made_of(self, finer: Self) -> bool {
        self.width_ns % finer.width_ns == 0
    }

    /// Where the bucket of a time starts. One that would start before the first time starts there.
    #[must_use]
    pub const fn start_of(self, time: Timestamp) -> Timestamp {
        time.saturating_sub(time.rem_euclid(self.width_ns))
    }

    /// The times of the bucket that a time lies in.
    #[must_use]
    pub const fn bucket_of(self, time: Timestamp) -> TimeRange {
        let into = time.rem_euclid(self.width_ns);
        TimeRange {
            start: time.saturating_sub(into),
            // The last one includes the greatest time.
            end: time.saturating_add(self.width_ns - into),
        }
    }
}
