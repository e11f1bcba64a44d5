//! Sums of doubles with their rounding errors carried along (Neumaier 1974, in Knuth's branch-free form).

/// A running sum. Its error does not grow with the number of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FloatSum {
    sum: f64,
    error: f64,
}

/// Independent sums side by side, so that additions need not wait for one another.
const LANES: usize = 8;

impl FloatSum {
    /// A sum that was rounded once.
    #[must_use]
    pub const fn rounded(sum: f64) -> Self {
        Self { sum, error: 0.0 }
    }

    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let (sum, error) = two_sum(self.sum, value);
        self.sum = sum;
        self.error += error;
    }

    /// Adds all values.
    pub fn add_all(&mut self, values: &[f64]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        if chunks.len() < 2 {
            for &value in values {
                self.add(value);
            }
            return;
        }
        let mut sums = [0.0; LANES];
        let mut errors = [0.0; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                let (sum, error) = two_sum(sums[lane], chunk[lane]);
                sums[lane] = sum;
                errors[lane] += error;
            }
        }
        for lane in 0..LANES {
            self.add(sums[lane]);
            self.error += errors[lane];
        }
        for &value in rest {
            self.add(value);
        }
    }

    /// Adds another sum with what it carries.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.error += other.error;
    }

    /// The sum. Infinities and NaN are what plain addition makes of them.
    #[must_use]
    pub fn value(self) -> f64 {
        let corrected = self.sum + self.error;
        // The error of an infinite sum is NaN.
        if self.sum.is_finite() && !corrected.is_nan() {
            corrected
        } else {
            self.sum
        }
    }
}

/// `a + b` and exactly what its rounding lost.
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_beside_large_ones() {
        for length in [3, 40] {
            let mut values = vec![1e16, 1.0, -1e16];
            values.resize(length, 0.0);
            let mut sum = FloatSum::default();
            sum.add_all(&values);
            assert_eq!(sum.value(), 1.0);
        }
    }

    #[test]
    fn infinities_add_as_usual() {
        let mut sum = FloatSum::default();
        sum.add_all(&[f64::INFINITY, 1.0]);
        assert_eq!(sum.value(), f64::INFINITY);
        sum.add(f64::NEG_INFINITY);
        assert!(sum.value().is_nan());
    }
}
