//! How far the clock of a device is off, learned from rows that were refused for their time.
//!
//! A sample is the time of such a row less the time of its refusal, which is when the server read it. The samples of a
//! device, in the order of refusal, fall into runs: a run ends where the next sample comes more than the window behind
//! the run's first one, or where its offset differs from the one before by more than the tolerance (the clock was set,
//! or the device began anew). The estimate of a run is the median of its offsets. It is refused as unstable where the
//! run has fewer than [`SAMPLES_MIN`] samples, or where more than a tenth of them lie further from the median than the
//! tolerance. A row is mended by the estimate of its own run alone, and only where its own offset lies within the
//! tolerance of it. Pure: no clock, no state.

use std::collections::BTreeMap;

use crate::types::Timestamp;

/// Samples that a run has at least.
pub const SAMPLES_MIN: usize = 3;

/// How offsets are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRules {
    /// How long a run may last, nanoseconds.
    pub window_ns: i64,
    /// How far an offset may lie from the one before it and from the median, nanoseconds.
    pub tolerance_ns: i64,
}

/// A run of samples of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRun {
    /// When the first and the last sample were refused.
    pub received: (Timestamp, Timestamp),
    /// How many there are.
    pub samples: usize,
    /// The median of the offsets, nanoseconds: of an even number the lower one of the middle.
    pub offset_ns: i64,
    /// The largest distance of an offset from the median, nanoseconds.
    pub spread_ns: i64,
    /// Why nothing is mended by it.
    pub unstable: Option<&'static str>,
}

/// What was learned, by device.
#[derive(Debug, Default)]
pub struct Offsets {
    runs: BTreeMap<String, Vec<OffsetRun>>,
    tolerance_ns: i64,
}

impl Offsets {
    /// Learns from samples of any order: device, time of refusal, offset.
    pub fn learn(
        samples: impl IntoIterator<Item = (String, Timestamp, i64)>,
        rules: OffsetRules,
    ) -> Self {
        let mut of_device: BTreeMap<String, Vec<(Timestamp, i64)>> = BTreeMap::new();
        for (device, received, offset) in samples {
            of_device
                .entry(device)
                .or_default()
                .push((received, offset));
        }
        let learn = |(device, mut samples): (String, Vec<(Timestamp, i64)>)| {
            samples.sort_unstable();
            (device, runs(&samples, rules))
        };
        Self {
            runs: of_device.into_iter().map(learn).collect(),
            tolerance_ns: rules.tolerance_ns,
        }
    }

    /// All runs, by device and time.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OffsetRun)> {
        let all = self.runs.iter();
        all.flat_map(|(device, runs)| runs.iter().map(move |run| (&**device, run)))
    }

    /// The offset by which a row is mended that was refused then; or why there is none.
    pub fn offset(&self, device: &str, received: Timestamp, own: i64) -> Result<i64, &'static str> {
        let runs = self.runs.get(device).map_or(&[][..], |runs| runs);
        let at = runs.partition_point(|run| run.received.1 < received);
        let run = runs.get(at).filter(|run| run.received.0 <= received);
        let run = run.ok_or("nothing is known of its clock")?;
        if let Some(reason) = run.unstable {
            return Err(reason);
        }
        if distance(own, run.offset_ns) > self.tolerance_ns {
            return Err("its time does not fit the clock's offset");
        }
        Ok(run.offset_ns)
    }
}

/// Runs of samples that are sorted by their time of refusal.
fn runs(samples: &[(Timestamp, i64)], rules: OffsetRules) -> Vec<OffsetRun> {
    let mut runs = Vec::new();
    let mut rest = samples;
    while let Some(&(first, _)) = rest.first() {
        let joined = rest.windows(2).take_while(|pair| {
            pair[1].0.saturating_sub(first) <= rules.window_ns
                && distance(pair[1].1, pair[0].1) <= rules.tolerance_ns
        });
        let (run, behind) = rest.split_at(1 + joined.count());
        runs.push(estimate(run, rules.tolerance_ns));
        rest = behind;
    }
    runs
}

/// The estimate of one run, which has a sample.
fn estimate(run: &[(Timestamp, i64)], tolerance_ns: i64) -> OffsetRun {
    let mut offsets: Vec<i64> = run.iter().map(|&(_, offset)| offset).collect();
    offsets.sort_unstable();
    let offset_ns = offsets[(offsets.len() - 1) / 2];
    let distances = offsets.iter().map(|&offset| distance(offset, offset_ns));
    let far = distances.clone().filter(|&far| far > tolerance_ns).count();
    let unstable = if offsets.len() < SAMPLES_MIN {
        Some("too few rows tell how far its clock is off")
    } else if far * 10 > offsets.len() {
        Some("its clock does not run evenly")
    } else {
        None
    };
    OffsetRun {
        received: (run[0].0, run[run.len() - 1].0),
        samples: run.len(),
        offset_ns,
        spread_ns: distances.max().unwrap_or(0),
        unstable,
    }
}

const fn distance(a: i64, b: i64) -> i64 {
    let far = a.abs_diff(b);
    if far > i64::MAX as u64 {
        i64::MAX
    } else {
        far as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000_000;
    const RULES: OffsetRules = OffsetRules {
        window_ns: 600 * S,
        tolerance_ns: 60 * S,
    };

    fn learn(samples: &[(i64, i64)]) -> Offsets {
        let named = samples
            .iter()
            .map(|&(at, offset)| ("a".to_owned(), at * S, offset * S));
        Offsets::learn(named, RULES)
    }

    #[test]
    fn a_steady_clock_is_learned_by_its_median() {
        let offsets = learn(&[(100, -1000), (101, -1004), (102, -1001), (103, -1002)]);
        assert_eq!(offsets.offset("a", 102 * S, -1001 * S), Ok(-1002 * S));
        let run = offsets.iter().next().expect("a run").1;
        assert_eq!((run.samples, run.spread_ns), (4, 2 * S));
        assert!(offsets.offset("b", 102 * S, -1001 * S).is_err());
        assert!(offsets.offset("a", 99 * S, -1001 * S).is_err());
        assert!(offsets.offset("a", 104 * S, -1001 * S).is_err());
    }

    #[test]
    fn a_clock_that_starts_anew_has_an_offset_of_each_start() {
        let first = (0..5).map(|i| (100 + i, -1000));
        let again = (0..5).map(|i| (200 + i, -1100));
        let offsets = learn(&first.chain(again).collect::<Vec<_>>());
        assert_eq!(offsets.iter().count(), 2);
        assert_eq!(offsets.offset("a", 103 * S, -1000 * S), Ok(-1000 * S));
        assert_eq!(offsets.offset("a", 203 * S, -1100 * S), Ok(-1100 * S));
    }

    #[test]
    fn few_rows_and_clocks_that_jump_about_tell_nothing() {
        let two = learn(&[(1, -9), (2, -9)]);
        assert!(two.offset("a", S, -9 * S).is_err());
        let two_behind_one_address: Vec<_> = (0..20)
            .map(|i| (i, if i % 2 == 0 { -1000 } else { -5000 }))
            .collect();
        let offsets = learn(&two_behind_one_address);
        assert_eq!(offsets.iter().count(), 20);
        assert!(offsets.offset("a", 4 * S, -1000 * S).is_err());
        // Each step is small, all together are not.
        let drifting: Vec<_> = (0..20).map(|i| (i, i * 50)).collect();
        let offsets = learn(&drifting);
        assert_eq!(offsets.iter().count(), 1);
        assert!(offsets.offset("a", 10 * S, 500 * S).is_err());
    }

    #[test]
    fn one_row_that_does_not_fit_is_left_alone() {
        let mut samples: Vec<_> = (0..20).map(|i| (i, 1000)).collect();
        samples[9].1 = 1059;
        samples[10].1 = 1070;
        samples[11].1 = 1059;
        let offsets = learn(&samples);
        assert_eq!(offsets.offset("a", 5 * S, 1000 * S), Ok(1000 * S));
        assert!(offsets.offset("a", 10 * S, 1070 * S).is_err());
    }

    #[test]
    fn a_window_ends() {
        let samples: Vec<_> = (0..10).map(|i| (i * 100, 5)).collect();
        let counts: Vec<_> = learn(&samples).iter().map(|(_, run)| run.samples).collect();
        assert_eq!(counts, [7, 3]);
    }

    proptest! {
        #[test]
        fn every_sample_is_in_one_run_and_no_row_moves_further_than_allowed(
            samples in prop::collection::vec((0i64..5_000, -500i64..500), 0..60)
        ) {
            let offsets = learn(&samples);
            let all: usize = offsets.iter().map(|(_, run)| run.samples).sum();
            prop_assert_eq!(all, samples.len());
            for &(at, own) in &samples {
                if let Ok(offset) = offsets.offset("a", at * S, own * S) {
                    prop_assert!((offset - own * S).abs() <= RULES.tolerance_ns);
                }
            }
            let extremes = [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (0, 0)];
            let named = extremes.iter().map(|&(at, own)| ("a".to_owned(), at, own));
            prop_assert_eq!(Offsets::learn(named, RULES).iter().count(), 3);
        }
    }
}
