//! Sums of doubles with their rounding errors carried along (Neumaier 1974, in Knuth's branch-free form).

/// A running sum. Its error does not grow with the number of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FloatSum {
    sum: f64,
    error: f64,
}

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
