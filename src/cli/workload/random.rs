//! Randomness that repeats: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014).
//!
//! Owns one 64-bit state and nothing else: the same seed gives the same numbers on every machine and in
//! every version. Not for secrets.

/// A generator of 64-bit numbers, seeded by whoever owns it.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator that starts at `seed`. Neighbouring seeds give unrelated numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// The next number, uniform over all 64 bits.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`, by multiplication: off uniform by at most `bound / 2^64`. `bound > 0`.
    #[inline]
    pub const fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// A double in `0.0..1.0`, of 53 bits.
    #[inline]
    pub const fn unit(&mut self) -> f64 {
        fraction(self.next_u64())
    }

    /// A number of mean 0 and variance 1, nearly normal: four uniform 16-bit numbers added (Irwin and Hall).
    /// Lies within +-3.47.
    #[inline]
    pub const fn normal(&mut self) -> f64 {
        let bits = self.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 - NORMAL_MEAN) * NORMAL_SCALE
    }
}

/// A number that depends on every bit of `value`: for decisions that must not depend on what came before.
#[inline]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A random number brought into `0..bound`.
#[inline]
pub const fn scale(random: u64, bound: u64) -> u64 {
    ((random as u128 * bound as u128) >> 64) as u64
}

/// A random number as a double in `0.0..1.0`.
#[inline]
pub const fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// 2^64 divided by the golden ratio, odd: the step of the state.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
/// Mean of the sum of four uniform 16-bit numbers.
const NORMAL_MEAN: f64 = 2.0 * 65_535.0;
/// One over its standard deviation, sqrt(4 (2^32 - 1) / 12).
const NORMAL_SCALE: f64 = 1.0 / 37_837.227;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        // The first outputs for state 0, as published with the algorithm.
        let mut random = SplitMix64 { state: 0 };
        assert_eq!(random.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next_u64(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(random.next_u64(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn moments_and_ranges() {
        let mut random = SplitMix64::new(7);
        let (mut sum, mut square, mut below, mut unit) = (0.0, 0.0, 0, 0.0);
        let count = 100_000;
        for _ in 0..count {
            let normal = random.normal();
            assert!(normal.abs() < 3.5);
            sum += normal;
            square += normal * normal;
            let number = random.below(10);
            assert!(number < 10);
            below += number;
            let part = random.unit();
            assert!((0.0..1.0).contains(&part));
            unit += part;
        }
        let n = f64::from(count);
        assert!((sum / n).abs() < 0.02, "mean {}", sum / n);
        assert!((square / n - 1.0).abs() < 0.02, "variance {}", square / n);
        assert!((below as f64 / n - 4.5).abs() < 0.05);
        assert!((unit / n - 0.5).abs() < 0.01);
    }
}
