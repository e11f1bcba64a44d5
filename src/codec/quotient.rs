//! Averages: doubles that are an integer over a small divisor, but for a few units in the last place.
//!
//! A value is `d / divisor`, optionally rounded to 15 significant digits as many programs print doubles,
//! plus a correction: the difference of the IEEE 754 bits, taken as integers. Corrections that are all zero
//! take three bytes. Any double comes back exactly, since the correction may be anything.

use std::ops::Range;

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::bytes::{Reader, put_varint, put_zigzag};
use super::error::CodecError;
use super::integers::{self, Effort, Habit, Numbers};
use super::simd::widest;

/// What the values were found to be quotients of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    divisor: u32,
    /// To 15 significant digits.
    rounded: bool,
}

impl Form {
    /// The smallest divisor with which nearly all of a sample are close to a quotient.
    pub(crate) fn detect(doubles: &[u64]) -> Option<Self> {
        let step = doubles.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<f64> = doubles
            .iter()
            .step_by(step)
            .map(|&double| f64::from_bits(double))
            .filter(|value| value.is_normal())
            .collect();
        let divisor = DIVISORS.into_iter().find(|&divisor| {
            let allowed = sample.len() / 16;
            let far = sample.iter().filter(|&&value| !is_near(value, divisor));
            far.take(allowed + 1).count() <= allowed
        })?;
        let exact = |rounded| {
            let form = Self { divisor, rounded };
            let mut made: Vec<f64> = sample
                .iter()
                .map(|&value| form.integer(value) as f64)
                .collect();
            form.quotients(&mut made);
            made.iter().zip(&sample).filter(|(a, b)| a == b).count()
        };
        Some(Self {
            divisor,
            rounded: exact(true) > exact(false),
        })
    }

    /// The nearest integer that the value may be a quotient of.
    fn integer(self, value: f64) -> i64 {
        let scaled = value * f64::from(self.divisor);
        (scaled + 0.5f64.copysign(scaled)) as i64
    }

    /// Makes quotients of integers.
    fn quotients(self, values: &mut [f64]) {
        let divisor = f64::from(self.divisor);
        widest(
            #[inline(always)]
            || {
                if self.rounded {
                    let mut near = [None; 2];
                    for block in values.chunks_mut(BLOCK) {
                        round(divisor, &mut near, block);
                    }
                } else {
                    for value in values {
                        *value /= divisor;
                    }
                }
            },
        );
    }
}

fn is_near(value: f64, divisor: u32) -> bool {
    let scaled = value * f64::from(divisor);
    let nearest = (scaled + 0.5f64.copysign(scaled)) as i64 as f64;
    scaled.abs() < INTEGER_MAX && (scaled - nearest).abs() <= scaled.abs() * TOLERANCE
}

/// Makes of integers the doubles that are nearest to the 15 most significant digits of their quotients, or
/// nearly so: what counts is that it is the same everywhere, and that it is right most of the time. `near` are
/// the decades of the integers before.
#[inline(always)]
fn round(divisor: f64, near: &mut [Option<Decade>; 2], values: &mut [f64]) {
    // The bits of magnitudes ascend as they do, and integers are compared in any order.
    let (mut least, mut most) = (i64::MAX, 0);
    for value in &*values {
        let magnitude = value.abs().to_bits() as i64;
        least = least.min(magnitude);
        most = most.max(magnitude);
    }
    // What lies in between has no other number of digits.
    *near = [least, most].map(|bits| {
        let magnitude = f64::from_bits(bits as u64);
        let known = near.iter().flatten().find(|near| near.holds(magnitude));
        known.copied().or_else(|| Decade::of(magnitude, divisor))
    });
    match *near {
        [Some(one), Some(other)] if one == other => {
            for value in values {
                *value = one.round(*value);
            }
        }
        [Some(one), Some(other)] if other.from == one.to => {
            for value in values {
                let above = value.abs() >= other.from;
                let factor = if above { other.factor } else { one.factor };
                let power = if above { other.power } else { one.power };
                let decade = Decade {
                    factor,
                    power,
                    ..one
                };
                *value = decade.round(*value);
            }
        }
        _ => round_each(divisor, values),
    }
}

/// The same one by one.
fn round_each(divisor: f64, values: &mut [f64]) {
    let mut near: Option<Decade> = None;
    for value in values.iter_mut().filter(|value| **value != 0.0) {
        let magnitude = value.abs();
        if near.is_none_or(|near| !near.holds(magnitude)) {
            near = Decade::of(magnitude, divisor);
        }
        *value = near.map_or(*value / divisor, |near| near.round(*value));
    }
}

/// Integers whose quotients have the same number of digits before the point, or of zeros behind it.
#[derive(Clone, Copy, PartialEq)]
struct Decade {
    /// The least of their magnitudes.
    from: f64,
    /// Their magnitudes are less.
    to: f64,
    /// What makes them the first 15 digits of their quotients.
    factor: f64,
    /// What these are divided by.
    power: f64,
}

impl Decade {
    fn of(magnitude: f64, divisor: f64) -> Option<Self> {
        // Of the quotient: digits before the point, less 1, or below 1 the zeros behind it, and 1 more, negative.
        let mut exponent = 0;
        while magnitude < Self::start(exponent, divisor) {
            exponent -= 1;
            if exponent < -ZEROS_MAX {
                return None;
            }
        }
        while magnitude >= Self::start(exponent + 1, divisor) {
            exponent += 1;
            if exponent == DIGITS {
                return None;
            }
        }
        let power = POWERS_OF_TEN.get(usize::try_from(DIGITS - 1 - exponent).ok()?)?;
        Some(Self {
            from: Self::start(exponent, divisor),
            to: Self::start(exponent + 1, divisor),
            factor: power / divisor,
            power: *power,
        })
    }

    const fn holds(self, magnitude: f64) -> bool {
        magnitude >= self.from && magnitude < self.to
    }

    /// The least magnitude whose quotient is a power of ten.
    fn start(exponent: i32, divisor: f64) -> f64 {
        let power = POWERS_OF_TEN[exponent.unsigned_abs() as usize];
        if exponent < 0 {
            divisor / power
        } else {
            divisor * power
        }
    }

    #[inline(always)]
    fn round(self, value: f64) -> f64 {
        let scaled = value * self.factor;
        // Adding zero makes zeros positive.
        ((scaled + 0.5f64.copysign(scaled)).trunc() + 0.0) / self.power
    }
}

/// Digits that are significant.
const DIGITS: i32 = 15;
/// Quotients with more zeros behind the point are not rounded: 10^22 is the last power that is exact.
const ZEROS_MAX: i32 = 7;
/// Integers whose range is looked at before they are divided.
const BLOCK: usize = 64;

/// Doubles as quotients of a form.
pub(crate) struct Quotients {
    form: Form,
    integers: Vec<u64>,
    /// What the bits of the quotients are short of.
    corrections: Vec<u64>,
}

impl Quotients {
    pub(crate) fn new(form: Form, doubles: &[u64]) -> Self {
        let integers: Vec<i64> = doubles
            .iter()
            .map(|&double| form.integer(f64::from_bits(double)))
            .collect();
        let mut made: Vec<f64> = integers.iter().map(|&integer| integer as f64).collect();
        form.quotients(&mut made);
        let corrections = doubles.iter().zip(made);
        Self {
            form,
            integers: integers.into_iter().map(|integer| integer as u64).collect(),
            corrections: corrections
                .map(|(double, made)| double.wrapping_sub(made.to_bits()))
                .collect(),
        }
    }

    /// About how many bytes they take.
    pub(crate) fn reckon(&self) -> usize {
        let parts = [&self.integers, &self.corrections].into_iter();
        parts.map(|part| integers::reckon(part, range(part))).sum()
    }

    /// Appends form, integers and corrections.
    pub(crate) fn put(&self, effort: Effort, out: &mut Vec<u8>) {
        let Self { form, .. } = self;
        put_varint(out, u64::from(form.divisor) << 1 | u64::from(form.rounded));
        for part in [&self.integers, &self.corrections] {
            put_zigzag(out, part.first().copied().unwrap_or(0) as i64);
            integers::encode(part, range(part), &mut Habit::default(), effort, out);
        }
    }
}

/// The distance between the least and the greatest.
fn range(numbers: &[u64]) -> u64 {
    let signed = || numbers.iter().map(|&number| number as i64);
    let (least, most) = (signed().min().unwrap_or(0), signed().max().unwrap_or(0));
    most.wrapping_sub(least) as u64
}

/// Reads the wanted of `count` values. The reader goes on behind all of them.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    wanted: Range<usize>,
) -> Result<Numbers, CodecError> {
    let form = reader.bounded("divisor", u32::MAX as usize)?;
    let form = Form {
        divisor: form as u32 >> 1,
        rounded: form & 1 == 1,
    };
    let first = reader.zigzag()? as u64;
    let integers = integers::decode_part(reader, count, first, wanted.clone())?;
    let first = reader.zigzag()? as u64;
    let corrections = integers::decode_part(reader, count, first, wanted)?;
    let values = integers.each(|integers| {
        let mut made = integers.doubles();
        form.quotients(&mut made);
        made.into_iter().map(f64::to_bits).collect()
    });
    if matches!(corrections, Numbers::Same(0, _)) {
        return Ok(values);
    }
    let mut values = values.into_words();
    corrections.add_to(&mut values);
    Ok(Numbers::Wide(values))
}

/// Numbers of readings that are averaged.
const SMALL: [u32; 12] = [1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 16];
/// Resolutions of a reading.
const TENS: [u32; 6] = [1, 5, 10, 100, 1_000, 10_000];
/// Resolutions of decimals that were reckoned with: a few end far from where they were.
const FINE: [u32; 4] = [100_000, 1_000_000, 10_000_000, 100_000_000];
/// Products of the first two, and the third, in ascending order; some occur twice.
const DIVISORS: [u32; SMALL.len() * TENS.len() + FINE.len()] = {
    let mut all = [0; SMALL.len() * TENS.len() + FINE.len()];
    let mut count = 0;
    while count < all.len() {
        let next = match count.checked_sub(SMALL.len() * TENS.len()) {
            Some(fine) => FINE[fine],
            None => SMALL[count / TENS.len()] * TENS[count % TENS.len()],
        };
        let mut at = count;
        while at > 0 && all[at - 1] > next {
            all[at] = all[at - 1];
            at -= 1;
        }
        all[at] = next;
        count += 1;
    }
    all
};
/// Relative distance from a quotient that still counts: about a thousand units in the last place.
const TOLERANCE: f64 = 2.5e-13;
/// Beyond it, chance alone comes close to an integer.
const INTEGER_MAX: f64 = 1e11;
/// Doubles looked at.
const SAMPLE: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_double_comes_back(doubles in prop::collection::vec(prop_oneof![any::<u64>(), (-1e6f64..1e6).prop_map(f64::to_bits)], 1..100), divisor in 1u32..1000, rounded in any::<bool>()) {
            let mut bytes = Vec::new();
            Quotients::new(Form { divisor, rounded }, &doubles).put(Effort::Full, &mut bytes);
            let out = decode(&mut Reader::new(&bytes), doubles.len(), 0..doubles.len());
            prop_assert_eq!(out.map(Numbers::into_words), Ok(doubles));
        }
    }

    /// As the format says it, one integer at a time.
    fn by_the_book(integer: f64, divisor: f64) -> f64 {
        let start = |exponent: i32| {
            let power = POWERS_OF_TEN[exponent.unsigned_abs() as usize];
            if exponent < 0 {
                divisor / power
            } else {
                divisor * power
            }
        };
        let magnitude = integer.abs();
        let found = (-7..=14).find(|&e| magnitude >= start(e) && magnitude < start(e + 1));
        let Some(power) = found.map(|e| POWERS_OF_TEN[(14 - e) as usize]) else {
            return integer / divisor;
        };
        let scaled = integer * (power / divisor);
        ((scaled + 0.5f64.copysign(scaled)).trunc() + 0.0) / power
    }

    proptest! {
        #[test]
        fn quotients_are_rounded_by_the_book(
            integers in prop::collection::vec((any::<i64>(), 0u32..64), 1..200),
            same_width in any::<bool>(),
            divisor in 1u32..100_000,
        ) {
            let shift = |own: u32| if same_width { integers[0].1 + own % 4 } else { own };
            let mut values: Vec<f64> = integers.iter().map(|&(integer, own)| (integer >> shift(own).min(63)) as f64).collect();
            let expected: Vec<u64> = values.iter().map(|&value| by_the_book(value, f64::from(divisor)).to_bits()).collect();
            Form { divisor, rounded: true }.quotients(&mut values);
            let found: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn powers_of_ten_begin_another_decade() {
        for (divisor, power) in [(1, 10), (3, 10), (7, 1_000), (90_000, 10), (12, 1)] {
            let border = i64::from(divisor) * power;
            let mut values: Vec<f64> = (border - 9..border + 9).map(|i| i as f64).collect();
            values.extend(values.clone().iter().map(|value| -value));
            let book = values
                .iter()
                .map(|&value| by_the_book(value, f64::from(divisor)));
            let expected: Vec<u64> = book.map(f64::to_bits).collect();
            Form {
                divisor,
                rounded: true,
            }
            .quotients(&mut values);
            let found: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
            assert_eq!(found, expected, "{divisor}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "sizes: of many rows")]
    fn printed_thirds_are_recognised() {
        let doubles: Vec<u64> = (0..200)
            .map(|row| f64::from(1300 + row * 7 % 50) / 3.0)
            .map(|value| format!("{value:.12}").parse::<f64>().expect("a number"))
            .map(f64::to_bits)
            .collect();
        let form = Form::detect(&doubles).expect("thirds");
        assert_eq!(
            form,
            Form {
                divisor: 3,
                rounded: true
            }
        );
        let mut bytes = Vec::new();
        Quotients::new(form, &doubles).put(Effort::Full, &mut bytes);
        assert!(bytes.len() < 200);
    }

    #[test]
    #[cfg_attr(miri, ignore = "sizes: of many rows")]
    fn decimals_that_were_reckoned_with_are_recognised() {
        // A tenth added up: a part of the sums ends in many nines or zeros.
        let mut sum = 70.123_456_78;
        let doubles: Vec<u64> = std::iter::repeat_with(|| {
            sum += 0.100_000_01;
            f64::to_bits(sum)
        })
        .take(200)
        .collect();
        let form = Form::detect(&doubles).expect("decimals");
        assert_eq!(form.divisor, 100_000_000);
        let mut bytes = Vec::new();
        Quotients::new(form, &doubles).put(Effort::Full, &mut bytes);
        assert!(bytes.len() < 400, "{} bytes", bytes.len());
    }
}
