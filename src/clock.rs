//! Time as an argument: nothing below the server reads a clock of its own.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::Timestamp;

/// A source of wall time and of time that never goes back.
pub trait Clock: Send + Sync {
    /// Wall time, nanoseconds since the Unix epoch. May jump either way.
    fn wall_ns(&self) -> Timestamp;
    /// Monotonic time, nanoseconds since some fixed moment.
    fn monotonic_ns(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::try_from(since.as_nanos()).unwrap_or(Timestamp::MAX),
            Err(before) => {
                Timestamp::try_from(before.duration().as_nanos()).map_or(Timestamp::MIN, |n| -n)
            }
        }
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is told otherwise: for tests, simulation and `--clock follow-data`.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// A clock at this wall time.
    #[must_use]
    pub fn at(wall_ns: Timestamp) -> Self {
        Self {
            wall_ns: AtomicI64::new(wall_ns),
            monotonic_ns: AtomicU64::new(0),
        }
    }

    /// Moves both times forward.
    pub fn advance(&self, by_ns: u64) {
        self.wall_ns.fetch_add(by_ns as i64, Ordering::Relaxed);
        self.monotonic_ns.fetch_add(by_ns, Ordering::Relaxed);
    }

    /// Sets the wall time, as somebody who sets a clock does: monotonic time goes on as it was.
    pub fn set_wall(&self, wall_ns: Timestamp) {
        self.wall_ns.store(wall_ns, Ordering::Relaxed);
    }

    /// Raises the wall time to at least this.
    pub fn follow(&self, wall_ns: Timestamp) {
        let before = self.wall_ns.fetch_max(wall_ns, Ordering::Relaxed);
        if wall_ns > before {
            self.monotonic_ns
                .fetch_add(wall_ns.abs_diff(before), Ordering::Relaxed);
        }
    }
}

impl Clock for ManualClock {
    fn wall_ns(&self) -> Timestamp {
        self.wall_ns.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_clock_never_goes_back() {
        let clock = ManualClock::at(100);
        clock.follow(50);
        assert_eq!(clock.wall_ns(), 100);
        clock.follow(130);
        assert_eq!((clock.wall_ns(), clock.monotonic_ns()), (130, 30));
    }
}
