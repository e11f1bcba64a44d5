//! How many series may come into being: so many a second, and a burst beyond that after a quiet time.
//!
//! Goes by monotonic time. What is refused may be tried again.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::EngineError;

/// The limits of new series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewSeriesLimits {
    /// New series a second, of the whole store; 0: no limit.
    pub per_second_max: u32,
    /// New series at once, after a quiet time; at least one.
    pub burst_max: u32,
}

/// New series of the recent past.
#[derive(Debug)]
pub(super) struct Newcomers {
    limits: NewSeriesLimits,
    recent: Mutex<Recent>,
}

/// Since nobody was near the limit.
#[derive(Debug, Default)]
struct Recent {
    /// When all that came will have been allowed for, at the rate of the limit.
    even_at_ns: u64,
    total: u64,
    by_measurement: BTreeMap<Arc<str>, u64>,
}

/// Measurements that are told apart; beyond, counting begins anew.
const MEASUREMENTS_MAX: usize = 1_000;

impl Newcomers {
    pub fn new(limits: NewSeriesLimits) -> Self {
        Self {
            limits,
            recent: Mutex::default(),
        }
    }

    /// Refuses a new series where too many came; takes nothing.
    pub fn check(&self, now_ns: u64) -> Result<(), EngineError> {
        if self.limits.per_second_max == 0 {
            return Ok(());
        }
        self.check_recent(&self.recent.lock(), now_ns)
    }

    /// Takes a place for a new series of a measurement.
    pub fn take(&self, now_ns: u64, measurement: &str) -> Result<(), EngineError> {
        if self.limits.per_second_max == 0 {
            return Ok(());
        }
        let mut recent = self.recent.lock();
        self.check_recent(&recent, now_ns)?;
        if recent.even_at_ns <= now_ns || recent.by_measurement.len() >= MEASUREMENTS_MAX {
            let even_at_ns = recent.even_at_ns.max(now_ns);
            *recent = Recent {
                even_at_ns,
                ..Recent::default()
            };
        }
        recent.even_at_ns += self.interval_ns();
        recent.total += 1;
        if let Some(count) = recent.by_measurement.get_mut(measurement) {
            *count += 1;
        } else {
            recent.by_measurement.insert(measurement.into(), 1);
        }
        Ok(())
    }

    fn check_recent(&self, recent: &Recent, now_ns: u64) -> Result<(), EngineError> {
        let ahead = u64::from(self.limits.burst_max.max(1) - 1) * self.interval_ns();
        if recent.even_at_ns <= now_ns.saturating_add(ahead) {
            return Ok(());
        }
        let most = recent
            .by_measurement
            .iter()
            .max_by_key(|(_, count)| **count);
        let (measurement, share) = most.map_or(("", 0), |(name, count)| (&**name, *count));
        Err(EngineError::TooManyNewSeries {
            per_second_max: self.limits.per_second_max,
            measurement: measurement.to_owned(),
            share,
            total: recent.total,
        })
    }

    fn interval_ns(&self) -> u64 {
        (NS_PER_S / u64::from(self.limits.per_second_max)).max(1)
    }
}

const NS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let newcomers = Newcomers::new(NewSeriesLimits {
            per_second_max: 10,
            burst_max: 3,
        });
        let taken = |now_ns, name| newcomers.take(now_ns, name).is_ok();
        let mut now = 5 * NS_PER_S;
        assert!(taken(now, "a") && taken(now, "b") && taken(now, "b"));
        assert!(!taken(now, "a") && newcomers.check(now).is_err());
        let refused = newcomers.take(now, "a").expect_err("too many");
        assert_eq!(
            refused.to_string(),
            "limits.new_series_per_second_max = 10 is used up; \
             measurement \"b\" took 2 of the last 3; try again"
        );
        for _ in 0..100 {
            now += NS_PER_S / 10;
            assert!(taken(now, "a") && !taken(now, "a"));
        }
        // A quiet time brings the burst back, and no more than that.
        now += 60 * NS_PER_S;
        assert!(taken(now, "a") && taken(now, "a") && taken(now, "a") && !taken(now, "a"));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let newcomers = Newcomers::new(NewSeriesLimits::default());
        assert!((0..1_000).all(|_| newcomers.take(0, "a").is_ok()));
    }
}
