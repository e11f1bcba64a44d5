//! Days, weeks, shifts, strokes of a machine: differences that recur after a while, less those of that time.
//!
//! Of an offset's difference from the one before, the difference a period earlier is taken away, and where
//! that helps half of what was left the last time. The period is found by looking at a sample of the numbers
//! at every distance. There are no seeds: reading begins with the first number.

use super::NARROW_RANGE;
use crate::codec::bits::{Word, width_of};
use crate::codec::bytes::{Reader, put_varint};
use crate::codec::error::CodecError;
use crate::codec::simd::widest;

/// How far back a difference recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lag {
    /// In numbers, one at least.
    distance: usize,
    /// Whether half of the last remainder is taken away too.
    damped: bool,
}

impl Lag {
    /// The distance after which the differences of `offsets` are most alike, where that seems to save
    /// `least_bits`. Offsets are at most `range` apart.
    pub(super) fn detect(offsets: &[u64], range: u64, least_bits: usize) -> Option<Self> {
        if offsets.len() < NUMBERS_MIN || range >= RANGE_MAX {
            return None;
        }
        let shift = width_of(range).saturating_sub(SAMPLED_WIDTH);
        let differences = differences(offsets);
        let (distance, saved) = widest(
            #[inline(always)]
            || nearest(&differences, shift),
        );
        if saved <= least_bits as f64 {
            return None;
        }
        let undamped = Self {
            distance,
            damped: false,
        };
        let remainders = undamped.remainders(&differences);
        let size = |remainders: &[i32]| {
            let sizes = remainders.iter().map(|&r| u64::from(r.unsigned_abs()));
            sizes.sum::<u64>()
        };
        let damped = size(&damp(&remainders)) < size(&remainders);
        Some(Self { damped, ..undamped })
    }

    /// What is left of the offsets.
    pub(super) fn residuals(self, offsets: &[u64]) -> Vec<u64> {
        let remainders = self.remainders(&differences(offsets));
        let residuals = if self.damped {
            damp(&remainders)
        } else {
            remainders
        };
        residuals.into_iter().map(|r| i64::from(r) as u64).collect()
    }

    fn remainders(self, differences: &[i32]) -> Vec<i32> {
        let (first, others) = differences.split_at(self.distance);
        let then = differences.iter();
        let others = others.iter().zip(then).map(|(now, then)| now - then);
        first.iter().copied().chain(others).collect()
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_varint(out, (self.distance as u64) << 1 | u64::from(self.damped));
    }

    /// Of `count` numbers.
    pub(super) fn read(reader: &mut Reader<'_>, count: usize) -> Result<Self, CodecError> {
        let lag = reader.bounded("distance", 2 * count + 1)?;
        if lag < 2 {
            return Err(reader.invalid("distance"));
        }
        Ok(Self {
            distance: lag >> 1,
            damped: lag & 1 == 1,
        })
    }

    /// Makes offsets of all residuals from the first on.
    #[inline(always)]
    pub(super) fn integrate<W: Word>(self, numbers: &mut [W]) {
        if self.damped {
            let mut remainder = W::default();
            for number in &mut *numbers {
                remainder = number.plus(remainder.half());
                *number = remainder;
            }
        }
        for start in (self.distance..numbers.len()).step_by(self.distance) {
            let (then, now) = numbers.split_at_mut(start);
            let then = &then[start - self.distance..];
            for (now, then) in now.iter_mut().zip(then) {
                *now = now.plus(*then);
            }
        }
        W::integrate(numbers, W::default());
    }
}

/// The distance after which a sample of numbers is nearest to what it was, and about how many bits that saves
/// of all.
#[inline(always)]
fn nearest(numbers: &[i32], shift: u32) -> (usize, f64) {
    let distance_max = numbers.len() / 3;
    let room = numbers.len() - distance_max - WINDOW;
    let starts: [usize; WINDOWS] =
        std::array::from_fn(|window| distance_max + room * window / (WINDOWS - 1));
    let (some, others) = starts.split_at(WINDOWS / 4);
    let size = |start: usize| {
        let sizes = numbers[start..start + WINDOW].iter();
        sizes
            .map(|number| number.unsigned_abs() >> shift)
            .sum::<u32>()
    };
    let usual_of = |starts: &[usize]| {
        let plain: u32 = starts.iter().map(|&start| size(start)).sum();
        plain.min(apart(numbers, starts, 1, shift))
    };
    let usual = [some, others].map(usual_of);
    let usual_all = f64::from(usual[0] + usual[1]);
    let mut best = (0, 0.0);
    for distance in 2..=distance_max {
        // Most distances are out of the question after a few windows.
        let first = apart(numbers, some, distance, shift);
        if first > usual[0] {
            continue;
        }
        let all = f64::from(first + apart(numbers, others, distance, shift));
        if all * 16.0 < usual_all * 15.0 {
            let recurring = (numbers.len() - distance) as f64;
            let saved = recurring * ((usual_all + SMALL) / (all + SMALL)).log2();
            if saved > best.1 {
                best = (distance, saved);
            }
        }
    }
    best
}

/// How far numbers in windows are from those at a distance before them.
#[inline(always)]
fn apart(numbers: &[i32], starts: &[usize], distance: usize, shift: u32) -> u32 {
    let mut sum = 0;
    for &start in starts {
        let now = &numbers[start..start + WINDOW];
        let then = &numbers[start - distance..start - distance + WINDOW];
        for (now, then) in now.iter().zip(then) {
            sum += now.abs_diff(*then) >> shift;
        }
    }
    sum
}

/// Differences of offsets that follow a 0.
fn differences(offsets: &[u64]) -> Vec<i32> {
    let before = std::iter::once(&0).chain(offsets);
    let pairs = offsets.iter().zip(before);
    pairs
        .map(|(now, before)| now.wrapping_sub(*before) as i32)
        .collect()
}

/// Remainders less half of the one before.
fn damp(remainders: &[i32]) -> Vec<i32> {
    let before = std::iter::once(&0).chain(remainders);
    let pairs = remainders.iter().zip(before);
    pairs.map(|(now, before)| now - (before >> 1)).collect()
}

/// Distance of offsets from which on a residual might need more than the 32 bits of a zigzag number.
const RANGE_MAX: u64 = 1 << 28;
const _: () = assert!(2 * RANGE_MAX <= NARROW_RANGE);
/// Numbers from which on a period is looked for.
const NUMBERS_MIN: usize = 96;
/// Where differences are compared: windows at equal distances, and numbers of each.
const WINDOWS: usize = 8;
const WINDOW: usize = 16;
/// Sums of differences below which bits are not saved in proportion: half of one each.
const SMALL: f64 = (WINDOWS * WINDOW / 2) as f64;

/// Bits of the differences that are compared, so that their sum fits 32.
const SAMPLED_WIDTH: u32 = 23;
const _: () = assert!((2 << SAMPLED_WIDTH) * (WINDOWS * WINDOW) <= 1 << 31);
