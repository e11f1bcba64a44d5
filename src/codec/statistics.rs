//! Statistics of a column, kept in front of a chunk so that nobody has to decode it for them.

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::bits::mask;
use super::bytes::{Reader, put_varint, put_wide_zigzag, put_zigzag};
use super::error::CodecError;
use super::simd::widest;
use crate::limits::ROWS_CLAIMED;

/// Count aside, what a chunk knows about the values of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// Floats. Minimum and maximum leave NaN out and are NaN where there is nothing else.
    Float {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
        /// Sum: exact before one rounding for decimals, compensated for other doubles.
        sum: f64,
        /// Of the first row that has a value.
        first: f64,
        /// Of the last row that has a value.
        last: f64,
    },
    /// Signed integers.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
        /// Exact.
        sum: i128,
        /// Of the first row that has a value.
        first: i64,
        /// Of the last row that has a value.
        last: i64,
    },
    /// Unsigned integers.
    Unsigned {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
        /// Exact.
        sum: u128,
        /// Of the first row that has a value.
        first: u64,
        /// Of the last row that has a value.
        last: u64,
    },
    /// Truth values.
    Boolean {
        /// How many are true.
        trues: usize,
        /// Of the first row that has a value.
        first: bool,
        /// Of the last row that has a value.
        last: bool,
    },
    /// Strings, binary values, columns without any value.
    None,
}

/// Statistics of 64-bit integers, signed or not, as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers {
    pub(crate) first: u64,
    last: u64,
    pub(crate) min: u64,
    max: u64,
    /// Of the distances from the first.
    sum: i128,
}

impl Integers {
    /// Of one value at least. `unsigned` tells how to compare.
    pub(crate) fn of(values: &[u64], unsigned: bool) -> Self {
        let first = values.first().copied().unwrap_or(0);
        let last = values.last().copied().unwrap_or(0);
        let (min, max, total) = if unsigned {
            let bounds = values.iter().fold((first, first), |(min, max), &value| {
                (min.min(value), max.max(value))
            });
            let total: u128 = values.iter().map(|&value| u128::from(value)).sum();
            (
                bounds.0,
                bounds.1,
                total as i128 - i128::from(first) * values.len() as i128,
            )
        } else {
            let signed = first as i64;
            let mut bounds = (signed, signed);
            let mut total = 0i128;
            // Sums of a few values below 2^53 fit 64 bits; larger ones take the wide road.
            for some in values.chunks(512) {
                let before = bounds;
                for &value in some {
                    bounds = (bounds.0.min(value as i64), bounds.1.max(value as i64));
                }
                let small = bounds.0 >= -SMALL && bounds.1 <= SMALL;
                debug_assert!(bounds.0 <= before.0);
                total += if small {
                    i128::from(some.iter().map(|&value| value as i64).sum::<i64>())
                } else {
                    some.iter().map(|&value| i128::from(value as i64)).sum()
                };
            }
            let total = total - i128::from(signed) * values.len() as i128;
            (bounds.0 as u64, bounds.1 as u64, total)
        };
        Self {
            first,
            last,
            min,
            max,
            sum: total,
        }
    }

    /// Of `count` signed integers that were counted before, from their ends, bounds and sum.
    pub(crate) fn counted(ends: (i64, i64), bounds: (i64, i64), sum: i64, count: usize) -> Self {
        Self {
            first: ends.0 as u64,
            last: ends.1 as u64,
            min: bounds.0 as u64,
            max: bounds.1 as u64,
            sum: i128::from(sum) - i128::from(ends.0) * count as i128,
        }
    }

    /// Of `first + factor * offset`, given the least and the greatest offset, their sum, and the first and
    /// the last of them. `None` where one of the numbers does not fit its 64 bits.
    pub(crate) fn of_offsets(
        first: u64,
        factor: u64,
        (least, most, sum): (i32, i32, i64),
        ends: [i32; 2],
        count: usize,
        unsigned: bool,
    ) -> Option<Self> {
        let base = if unsigned {
            i128::from(first)
        } else {
            i128::from(first as i64)
        };
        let factor = i128::from(factor);
        let number = |offset: i32| {
            let number = base + factor * i128::from(offset);
            let fits = if unsigned {
                u64::try_from(number).is_ok()
            } else {
                i64::try_from(number).is_ok()
            };
            fits.then_some(number as u64)
        };
        Some(Self {
            first: number(ends[0])?,
            last: number(ends[1])?,
            min: number(least)?,
            max: number(most)?,
            sum: factor * (i128::from(sum) - i128::from(ends[0]) * count as i128),
        })
    }

    /// Of one number so many times.
    pub(crate) const fn of_same(number: u64) -> Self {
        Self {
            first: number,
            last: number,
            min: number,
            max: number,
            sum: 0,
        }
    }

    /// Distance from the least to the greatest.
    pub(crate) fn range(&self) -> u64 {
        self.max.wrapping_sub(self.min)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_zigzag(out, self.first as i64);
        put_zigzag(out, self.last.wrapping_sub(self.first) as i64);
        put_varint(out, self.first.wrapping_sub(self.min));
        put_varint(out, self.max.wrapping_sub(self.first));
        put_wide_zigzag(out, self.sum);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let first = reader.zigzag()? as u64;
        Ok(Self {
            first,
            last: first.wrapping_add(reader.zigzag()? as u64),
            min: first.wrapping_sub(reader.varint()?),
            max: first.wrapping_add(reader.varint()?),
            sum: reader.wide_zigzag()?,
        })
    }

    fn total(&self, count: usize, first: i128) -> i128 {
        self.sum.wrapping_add(first.wrapping_mul(count as i128))
    }

    pub(crate) fn signed(&self, count: usize) -> Statistics {
        Statistics::Integer {
            min: self.min as i64,
            max: self.max as i64,
            sum: self.total(count, i128::from(self.first as i64)),
            first: self.first as i64,
            last: self.last as i64,
        }
    }

    pub(crate) fn unsigned(&self, count: usize) -> Statistics {
        Statistics::Unsigned {
            min: self.min,
            max: self.max,
            sum: self.total(count, i128::from(self.first)) as u128,
            first: self.first,
            last: self.last,
        }
    }

    pub(crate) fn decimal(&self, count: usize, scale: u8) -> Statistics {
        let power = POWERS_OF_TEN
            .get(usize::from(scale))
            .copied()
            .unwrap_or(f64::NAN);
        let float = |mantissa: u64| mantissa as i64 as f64 / power;
        Statistics::Float {
            min: float(self.min),
            max: float(self.max),
            sum: self.total(count, i128::from(self.first as i64)) as f64 / power,
            first: float(self.first),
            last: float(self.last),
        }
    }
}

/// Magnitude up to which 512 values can be added in 64 bits.
const SMALL: i64 = 1 << 53;

/// Statistics of doubles as they are stored: five times 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubles([f64; 5]);

impl Doubles {
    /// Of one value at least.
    pub(crate) fn of(values: &[f64]) -> Self {
        Self::of_all(values, |value| value)
    }

    /// The same of their IEEE 754 bits.
    pub(crate) fn of_bits(values: &[u64]) -> Self {
        Self::of_all(values, f64::from_bits)
    }

    /// The same of runs, from their values' bits and how often each stands there; 2^16 at most in all. `None` where
    /// it might matter in which order they are added: else it is to the last bit what all of them give.
    pub(crate) fn of_runs(bits: &[u64], lens: &[u32]) -> Option<Self> {
        let (mut least, mut most) = (u64::MAX, 0);
        for &bits in bits.iter().filter(|&&bits| bits != 0) {
            // The bits of -0.0 are the least.
            let magnitude = bits & !SIGN;
            least = least.min(magnitude);
            most = most.max(magnitude);
        }
        let exponent = |magnitude: u64| magnitude >> (f64::MANTISSA_DIGITS - 1);
        let spread = exponent(most).saturating_sub(exponent(least));
        if least == 0 || exponent(most) > EXPONENT_MAX || spread > SPREAD_MAX {
            return None;
        }
        let Self([min, max, _, first, last]) = Self::of_bits(bits);
        let (mut sum, mut lost) = (0.0, 0.0);
        for (&bits, &len) in bits.iter().zip(lens) {
            // Of two parts, so that products are not rounded.
            let upper = f64::from_bits(bits & !mask(LOWER_BITS));
            for part in [upper, f64::from_bits(bits) - upper] {
                (sum, lost) = add(sum, lost, part * f64::from(len));
            }
        }
        Some(Self([min, max, corrected(sum, lost), first, last]))
    }

    fn of_all<T: Copy>(values: &[T], double: impl Fn(T) -> f64) -> Self {
        let (min, max, total) = widest(
            #[inline(always)]
            || fold(values, &double),
        );
        let at = |value: Option<&T>| value.map_or(f64::NAN, |&value| double(value));
        let ends = [at(values.first()), at(values.last())];
        Self([min, max, total, ends[0], ends[1]])
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for value in self.0 {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut values = [0.0; 5];
        for value in &mut values {
            *value = f64::from_bits(reader.word()?);
        }
        Ok(Self(values))
    }

    pub(crate) const fn statistics(&self) -> Statistics {
        let [min, max, sum, first, last] = self.0;
        Statistics::Float {
            min,
            max,
            sum,
            first,
            last,
        }
    }
}

const SIGN: u64 = 1 << 63;
/// Bits of a double's lower part: those of each part and of a number of rows fit a double together.
const LOWER_BITS: u32 = 27;
/// With greater exponents, sums of 2^16 values might be infinite.
const EXPONENT_MAX: u64 = 2_046 - 17;
/// Distance of exponents up to which sums of 2^16 values and what they lose are exact, in any order: what is lost is a
/// multiple of the last bit of the least value, 2^-52 of it, and at most 2^16 times half of the last bit of the
/// sum, which is at most 2^16 times the greatest value: 16 + 16 - 53 + 22 + 52 bits.
const SPREAD_MAX: u64 = 21;
const _: () = assert!(ROWS_CLAIMED <= 1 << 16);

/// Least and greatest value, and the sum: of every 16th value first, then of these 16.
#[inline(always)]
fn fold<T: Copy>(values: &[T], double: &impl Fn(T) -> f64) -> (f64, f64, f64) {
    // So many that the compiler makes a loop over vectors of them, and so few that registers hold all of it.
    const TOGETHER: usize = 16;
    let mut least = [f64::INFINITY; TOGETHER];
    let mut most = [f64::NEG_INFINITY; TOGETHER];
    let (mut sums, mut lost) = ([0.0; TOGETHER], [0.0; TOGETHER]);
    let (groups, rest) = values.as_chunks::<TOGETHER>();
    // Twice: registers do not hold both.
    for group in groups {
        for index in 0..TOGETHER {
            let value = double(group[index]);
            least[index] = lesser(value, least[index]);
            most[index] = greater(value, most[index]);
        }
    }
    for group in groups {
        for index in 0..TOGETHER {
            (sums[index], lost[index]) = add(sums[index], lost[index], double(group[index]));
        }
    }
    for (index, &value) in rest.iter().enumerate() {
        let value = double(value);
        least[index] = lesser(value, least[index]);
        most[index] = greater(value, most[index]);
        (sums[index], lost[index]) = add(sums[index], lost[index], value);
    }
    let (mut sum, mut all_lost) = (0.0, 0.0);
    for index in 0..TOGETHER {
        (sum, all_lost) = add(sum, all_lost, sums[index]);
        all_lost += lost[index];
    }
    let sum = corrected(sum, all_lost);
    let least = least.into_iter().fold(f64::INFINITY, lesser);
    let most = most.into_iter().fold(f64::NEG_INFINITY, greater);
    if least > most {
        // Nothing but NaN was there to compare.
        return (f64::NAN, f64::NAN, sum);
    }
    (least, most, sum)
}

/// A sum and what its roundings took.
fn corrected(sum: f64, lost: f64) -> f64 {
    // With infinities nothing can be said of what is lost.
    let corrected = sum + lost;
    if corrected.is_nan() { sum } else { corrected }
}

/// The second where the first is NaN.
#[inline(always)]
fn lesser(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The second where the first is NaN.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Adds without losing anything: what the rounding takes goes to `lost`. (D. E. Knuth, TAOCP 4.2.2.)
#[inline(always)]
fn add(sum: f64, lost: f64, value: f64) -> (f64, f64) {
    let next = sum + value;
    let added = next - sum;
    (next, lost + ((sum - (next - added)) + (value - added)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(bits: &[u64], lens: &[u32]) -> Vec<u64> {
        let runs = bits.iter().zip(lens);
        runs.flat_map(|(&bits, &len)| std::iter::repeat_n(bits, len as usize))
            .collect()
    }

    fn any_bits() -> impl Strategy<Value = u64> {
        let special = [
            0.0,
            -0.0,
            1.0,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::NAN,
        ];
        prop_oneof![
            any::<u64>(),
            prop::sample::select(special.map(f64::to_bits).to_vec()),
            (-1e6f64..1e6).prop_map(f64::to_bits),
        ]
    }

    proptest! {
        #[test]
        fn runs_count_like_their_rows(
            runs in prop::collection::vec((any_bits(), 1u32..300), 1..40),
            near in prop::collection::vec((0.0f64..1e3, 1u32..300), 1..40),
            unit in prop::sample::select(vec![1.0, 1e-300, 1e300]),
        ) {
            let near = near.into_iter().map(|(value, len)| ((value * unit).to_bits(), len)).collect();
            for runs in [runs, near] {
                let (bits, lens): (Vec<u64>, Vec<u32>) = runs.into_iter().unzip();
                if let Some(found) = Doubles::of_runs(&bits, &lens) {
                    let all = Doubles::of_bits(&expanded(&bits, &lens));
                    prop_assert_eq!(format!("{found:?}"), format!("{all:?}"));
                }
            }
        }
    }

    #[test]
    fn the_order_of_readings_does_not_matter() {
        for values in [
            &[0.0, 7.1, 1_000_000.3][..],
            &[-3.25, 0.0, 4.0],
            &[1e-310, 1e-309],
            &[0.0],
        ] {
            let bits: Vec<u64> = values.iter().map(|value: &f64| value.to_bits()).collect();
            assert!(
                Doubles::of_runs(&bits, &vec![7; bits.len()]).is_some(),
                "{values:?}"
            );
        }
    }

    #[test]
    fn the_order_of_other_doubles_may_matter() {
        for values in [
            [1.0, -0.0],
            [0.0, -0.0],
            [1.0, f64::NAN],
            [1.0, f64::NEG_INFINITY],
            [1.0, 5e6],
            [f64::MAX, f64::MAX],
        ] {
            let bits = values.map(f64::to_bits);
            assert!(Doubles::of_runs(&bits, &[1, 2]).is_none(), "{values:?}");
        }
    }
}
