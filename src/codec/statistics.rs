//! Statistics of a column, kept in front of a chunk so that nobody has to decode it for them.

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::bytes::{Reader, put_varint, put_wide_zigzag, put_zigzag};
use super::error::CodecError;
use super::simd::widest;

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

    /// The same where the first and the last are not those of their row.
    pub(crate) fn of_unordered(values: &[u64], ends: [u64; 2]) -> Self {
        let Self([min, max, total, ..]) = Self::of_bits(values);
        let [first, last] = ends.map(f64::from_bits);
        Self([min, max, total, first, last])
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

/// Least and greatest value, and the sum: of every 16th value first, then of these 16.
#[inline(always)]
fn fold<T: Copy>(values: &[T], double: &impl Fn(T) -> f64) -> (f64, f64, f64) {
    // So many that the compiler makes a loop over vectors of them, and so few that registers hold all of it.
    const TOGETHER: usize = 16;
    let mut least = [f64::INFINITY; TOGETHER];
    let mut most = [f64::NEG_INFINITY; TOGETHER];
    let (mut sums, mut lost) = ([0.0; TOGETHER], [0.0; TOGETHER]);
    let (groups, rest) = values.as_chunks::<TOGETHER>();
    for group in groups {
        for index in 0..TOGETHER {
            let value = double(group[index]);
            least[index] = lesser(value, least[index]);
            most[index] = greater(value, most[index]);
            (sums[index], lost[index]) = add(sums[index], lost[index], value);
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
    // With infinities nothing can be said of what is lost.
    let corrected: f64 = sum + all_lost;
    let sum = if corrected.is_nan() { sum } else { corrected };
    let least = least.into_iter().fold(f64::INFINITY, lesser);
    let most = most.into_iter().fold(f64::NEG_INFINITY, greater);
    if least > most {
        // Nothing but NaN was there to compare.
        return (f64::NAN, f64::NAN, sum);
    }
    (least, most, sum)
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
