//! The greatest common divisor of many numbers, and exact division by it.

/// Divides all numbers by their greatest common divisor and returns it. `guess` is tried first; 0 stands
/// for no guess. Numbers are signed and below 2^63 in magnitude.
pub(super) fn divide(numbers: &mut [u64], guess: u64) -> u64 {
    let mut divisor = guess;
    loop {
        let exact = Exact::new(divisor.max(1));
        let stranger = match divisor {
            0 => numbers.iter().find(|&&number| number != 0),
            1 => return 1,
            _ => numbers.iter().find(|&&number| !exact.divides(number)),
        };
        match stranger {
            Some(&number) => divisor = gcd(divisor, (number as i64).unsigned_abs()),
            None if divisor == 0 => return 1,
            None => {
                for number in &mut *numbers {
                    *number = exact.quotient(*number);
                }
                return divisor;
            }
        }
    }
}

/// Division without remainder by multiplication with the inverse modulo 2^64.
#[derive(Clone, Copy)]
struct Exact {
    inverse: u64,
    twos: u32,
    /// Largest quotient of a magnitude below 2^63.
    most: u64,
}

impl Exact {
    fn new(divisor: u64) -> Self {
        let twos = divisor.trailing_zeros();
        let odd = divisor >> twos;
        // Each step doubles the number of correct bits; an odd number is its own inverse modulo 8.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self {
            inverse,
            twos,
            most: (i64::MAX as u64) / odd,
        }
    }

    /// The quotient, where there is no remainder.
    #[inline]
    fn quotient(self, number: u64) -> u64 {
        ((number as i64 >> self.twos) as u64).wrapping_mul(self.inverse)
    }

    #[inline]
    fn divides(self, number: u64) -> bool {
        number & ((1 << self.twos) - 1) == 0
            && (self.quotient(number) as i64).unsigned_abs() <= self.most
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quotients_are_exact(numbers in prop::collection::vec(-1_000_000i64..1_000_000, 1..50), divisor in 1i64..1_000_000, guess in 0u64..100) {
            let mut divided: Vec<u64> = numbers.iter().map(|n| (n * divisor) as u64).collect();
            let found = divide(&mut divided, guess) as i64;
            for (number, quotient) in numbers.iter().zip(&divided) {
                prop_assert_eq!(number * divisor, found * *quotient as i64);
            }
        }
    }

    #[test]
    fn extremes() {
        let mut numbers = [i64::MAX as u64, (-i64::MAX) as u64, 0];
        assert_eq!(divide(&mut numbers, 0), i64::MAX as u64);
        assert_eq!(numbers, [1, u64::MAX, 0]);
        assert_eq!(divide(&mut [0, 0], 0), 1);
        assert_eq!(divide(&mut [], 7), 7);
    }
}
