//! Averages: doubles that are an integer over a small divisor, but for a few units in the last place.
//!
//! A value is `d / divisor`, optionally rounded to 15 significant digits as many programs print doubles,
//! plus a correction: the difference of the IEEE 754 bits, taken as integers. Corrections that are all zero
//! take three bytes. Any double comes back exactly, since the correction may be anything.

use std::ops::Range;

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::bytes::{Reader, put_varint, put_zigzag};
use super::error::CodecError;
use super::integers::{self, Effort, Habit};
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
            let hits = sample
                .iter()
                .filter(|&&value| form.value(form.integer(value)) == value);
            hits.count()
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

    fn value(self, integer: i64) -> f64 {
        let quotient = integer as f64 / f64::from(self.divisor);
        if self.rounded {
            to_15_digits(quotient)
        } else {
            quotient
        }
    }
}

fn is_near(value: f64, divisor: u32) -> bool {
    let scaled = value * f64::from(divisor);
    let nearest = (scaled + 0.5f64.copysign(scaled)) as i64 as f64;
    scaled.abs() < INTEGER_MAX && (scaled - nearest).abs() <= scaled.abs() * TOLERANCE
}

/// The double nearest to the 15 most significant digits, or nearly so: what counts is that it is the same
/// everywhere, and that it is right most of the time.
fn to_15_digits(value: f64) -> f64 {
    match Decade::of(value.abs()) {
        Some(decade) => decade.round(value),
        None => value,
    }
}

/// [`to_15_digits`] of all values, which mostly have the same number of digits.
fn round(values: &mut [f64]) {
    let decade = values.first().and_then(|value| Decade::of(value.abs()));
    let done = decade.is_some_and(|decade| {
        widest(
            #[inline(always)]
            || {
                let all = values
                    .iter()
                    .fold(true, |all, value| all & decade.holds(value.abs()));
                if all {
                    for value in values.iter_mut() {
                        *value = decade.round(*value);
                    }
                }
                all
            },
        )
    });
    if !done {
        let mut decade = decade;
        for value in values.iter_mut().filter(|value| **value != 0.0) {
            if decade.is_none_or(|decade| !decade.holds(value.abs())) {
                decade = Decade::of(value.abs());
            }
            *value = decade.map_or(*value, |decade| decade.round(*value));
        }
    }
}

/// Magnitudes with the same number of digits before the point, or of zeros behind it.
#[derive(Clone, Copy)]
struct Decade {
    /// Magnitudes times the first are at least 1, times the second below.
    scales: (f64, f64),
    /// Magnitudes are at least the first and below the second.
    bounds: (f64, f64),
    /// What makes integers of 15 digits.
    power: f64,
}

impl Decade {
    fn of(magnitude: f64) -> Option<Self> {
        // Digits before the point, and never less than one.
        let digits = POWERS_OF_TEN[1..16]
            .iter()
            .position(|&power| magnitude < power)?;
        let power = |exponent: usize| POWERS_OF_TEN[exponent];
        if magnitude >= 1.0 {
            return Some(Self {
                scales: (f64::INFINITY, 0.0),
                bounds: (power(digits), power(digits + 1)),
                power: power(14 - digits),
            });
        }
        let zeros = POWERS_OF_TEN[1..8]
            .iter()
            .position(|&power| magnitude * power >= 1.0)?;
        Some(Self {
            scales: (power(zeros + 1), power(zeros)),
            bounds: (0.0, 1.0),
            power: power(14 + zeros + 1),
        })
    }

    #[inline(always)]
    fn holds(self, magnitude: f64) -> bool {
        magnitude >= self.bounds.0
            && magnitude < self.bounds.1
            && magnitude * self.scales.0 >= 1.0
            && magnitude * self.scales.1 < 1.0
    }

    #[inline(always)]
    fn round(self, value: f64) -> f64 {
        let scaled = value * self.power;
        // Adding zero makes zeros positive.
        ((scaled + 0.5f64.copysign(scaled)).trunc() + 0.0) / self.power
    }
}

/// Doubles as quotients of a form.
pub(crate) struct Quotients {
    form: Form,
    integers: Vec<u64>,
    /// What the bits of the quotients are short of.
    corrections: Vec<u64>,
}

impl Quotients {
    pub(crate) fn new(form: Form, doubles: &[u64]) -> Self {
        let mut integers = Vec::with_capacity(doubles.len());
        let mut corrections = Vec::with_capacity(doubles.len());
        for &double in doubles {
            let integer = form.integer(f64::from_bits(double));
            integers.push(integer as u64);
            corrections.push(double.wrapping_sub(form.value(integer).to_bits()));
        }
        Self {
            form,
            integers,
            corrections,
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
) -> Result<Vec<u64>, CodecError> {
    let form = reader.bounded("divisor", u32::MAX as usize)?;
    let form = Form {
        divisor: form as u32 >> 1,
        rounded: form & 1 == 1,
    };
    let first = reader.zigzag()? as u64;
    let integers = integers::decode_part(reader, count, first, wanted.clone())?;
    let first = reader.zigzag()? as u64;
    let mut values = integers::decode_part(reader, count, first, wanted)?.into_words();
    let mut quotients = integers.decimals(f64::from(form.divisor));
    if form.rounded {
        quotients.chunks_mut(64).for_each(round);
    }
    for (value, quotient) in values.iter_mut().zip(quotients) {
        *value = value.wrapping_add(quotient.to_bits());
    }
    Ok(values)
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
            prop_assert_eq!(out, Ok(doubles));
        }
    }

    #[test]
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
