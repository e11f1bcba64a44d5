//! Times of many answers, and their percentiles.

use std::time::Duration;

/// Measured times.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Vec<u64>);

impl Latencies {
    pub(super) fn push(&mut self, time: Duration) {
        self.0
            .push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this share of all did not exceed, milliseconds; nearest rank.
    pub(super) fn percentile_ms(&mut self, share: f64) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        let rank = ((self.0.len() as f64 * share).ceil() as usize)
            .saturating_sub(1)
            .min(last);
        let (_, time, _) = self.0.select_nth_unstable(rank);
        Some((*time as f64 / 1e3).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile_ms(0.5), None);
        for ms in (1..=100).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        assert_eq!(latencies.len(), 100);
        assert_eq!(latencies.percentile_ms(0.5), Some(50.0));
        assert_eq!(latencies.percentile_ms(0.99), Some(99.0));
        assert_eq!(latencies.percentile_ms(1.0), Some(100.0));
    }
}
