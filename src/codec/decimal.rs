//! Decimals as integers: one scale for all values of a column.

use std::borrow::Cow;

use edgetime_protocol::cell::{self, MANTISSA_MAX, POWERS_OF_TEN, SCALE_MAX};

/// Brings decimal cells to their largest scale, in place, and returns it.
///
/// `None`, and the cells as they were, where one of them is no decimal or where a mantissa would leave
/// the integers that a double holds exactly.
#[inline(always)]
pub(crate) fn rescale(bits: &mut [u64], marks: &[u8]) -> Option<u8> {
    let (mut least, mut scale) = (u8::MAX, 0);
    for &mark in marks {
        least = least.min(mark);
        scale = scale.max(mark);
    }
    if scale > SCALE_MAX || marks.is_empty() {
        return None;
    }
    // As if all had the farthest way to go; only where that is too far each is looked at.
    let bound = bits.iter().fold(0, |bound, &value| {
        bound | (value as i64 >> 63) as u64 ^ value
    });
    if bound >= LIMITS[usize::from(scale - least)] && !all_fit(bits, marks, scale) {
        return None;
    }
    if scale - least > STEPS_MAX {
        for (value, &mark) in bits.iter_mut().zip(marks) {
            *value = value.wrapping_mul(FACTORS[usize::from(scale - mark)]);
        }
        return Some(scale);
    }
    // A digit at a time takes several values at once.
    for digit in least..scale {
        for (value, &mark) in bits.iter_mut().zip(marks) {
            let lacking = if mark <= digit { u64::MAX } else { 0 };
            *value = value.wrapping_add(value.wrapping_mul(9) & lacking);
        }
    }
    Some(scale)
}

#[cold]
#[inline(never)]
fn all_fit(bits: &[u64], marks: &[u8], scale: u8) -> bool {
    bits.iter()
        .zip(marks)
        .all(|(&value, &mark)| (value as i64).unsigned_abs() <= LIMITS[usize::from(scale - mark)])
}

/// Digits up to which each step takes less time than a table.
const STEPS_MAX: u8 = 4;

/// Powers of ten by exponent: 0 where they are beyond [`MANTISSA_MAX`], and zero is all that can be scaled.
const FACTORS: [u64; SCALE_MAX as usize + 1] = {
    let mut factors = [0; SCALE_MAX as usize + 1];
    let mut factor = 1;
    let mut index = 0;
    while factor <= MANTISSA_MAX as u64 {
        factors[index] = factor;
        factor *= 10;
        index += 1;
    }
    factors
};

/// Largest magnitudes that can be multiplied with each of [`FACTORS`].
const LIMITS: [u64; FACTORS.len()] = {
    let mut limits = [0; FACTORS.len()];
    let mut index = 0;
    while index < limits.len() && FACTORS[index] > 0 {
        limits[index] = MANTISSA_MAX as u64 / FACTORS[index];
        index += 1;
    }
    limits
};

/// What mantissas are multiplied with to raise their scale by so much, and up to which magnitude they may be.
#[inline]
pub(crate) fn raising(by: u8) -> (u64, u64) {
    let at = usize::from(by);
    let get = |all: &[u64]| all.get(at).copied().unwrap_or(0);
    (get(&FACTORS), get(&LIMITS))
}

/// A column of floats, seen as decimals where it is one.
pub(crate) enum Floats<'a> {
    /// Integers at one scale.
    Decimal(Decimals<'a>),
    /// IEEE 754 bits.
    Doubles(Vec<u64>),
}

/// Decimals of one scale.
pub(crate) struct Decimals<'a> {
    pub(crate) scale: u8,
    /// Two's complement; at the place of a stranger stands the number before it.
    pub(crate) mantissas: Cow<'a, [u64]>,
    /// Index and IEEE 754 bits of the values that are no decimals of this scale.
    pub(crate) strangers: Vec<(usize, u64)>,
}

impl<'a> Floats<'a> {
    /// Finds out whether cells, none of which is null, are decimals. `guess` is the scale tried first for
    /// doubles that do not come with a scale.
    pub(crate) fn new(bits: &'a [u64], marks: &[u8], guess: Option<u8>) -> Self {
        let scale = marks.first().copied().unwrap_or(0);
        if scale <= SCALE_MAX && marks.iter().all(|&mark| mark == scale) {
            return Self::Decimal(Decimals {
                scale,
                mantissas: Cow::Borrowed(bits),
                strangers: Vec::new(),
            });
        }
        let mut own = bits.to_vec();
        if let Some(scale) = rescale(&mut own, marks) {
            return Self::Decimal(Decimals {
                scale,
                mantissas: Cow::Owned(own),
                strangers: Vec::new(),
            });
        }
        for (value, &mark) in own.iter_mut().zip(marks) {
            *value = cell::float(*value, mark).to_bits();
        }
        let guess = common_scale(marks).or(guess).unwrap_or(0);
        match detect(&own, guess) {
            Some(decimals) => Self::Decimal(decimals),
            None => Self::Doubles(own),
        }
    }
}

impl Decimals<'_> {
    /// Whether no other form is likely to be smaller.
    pub(crate) fn is_plain(&self) -> bool {
        self.strangers.is_empty() && self.scale <= PLAIN_SCALE_MAX
    }
}

/// Scale and integers of decimals that went through single precision, where all of them did.
pub(crate) fn widened(doubles: &[u64]) -> Option<(u8, Vec<u64>)> {
    (0..=PLAIN_SCALE_MAX).find_map(|scale| {
        let power = POWERS_OF_TEN[usize::from(scale)];
        let integer = |&double: &u64| {
            let scaled = f64::from_bits(double) * power;
            let integer = (scaled + 0.5f64.copysign(scaled)) as i64;
            let back = f64::from((integer as f64 / power) as f32);
            (back.to_bits() == double && integer.unsigned_abs() < 1 << 31).then_some(integer as u64)
        };
        // Zeros are anything: a few of the others tell more, and sooner.
        let mut some = doubles
            .iter()
            .step_by(SAMPLE)
            .filter(|&&double| double != 0);
        if !some.all(|double| integer(double).is_some()) {
            return None;
        }
        let integers: Option<Vec<u64>> = doubles.iter().map(integer).collect();
        Some((scale, integers?))
    })
}

/// The least scale that nearly all of the values that were written as decimals have room in.
fn common_scale(marks: &[u8]) -> Option<u8> {
    let mut counts = [0usize; SCALE_MAX as usize + 1];
    for &mark in marks {
        if let Some(count) = counts.get_mut(usize::from(mark)) {
            *count += 1;
        }
    }
    let written: usize = counts.iter().sum();
    let mut above = written;
    (0..=SCALE_MAX).find(|&scale| {
        above -= counts[usize::from(scale)];
        written > 0 && above * STRANGERS < written
    })
}

/// The decimals that doubles were made from, where nearly all of them are decimals of one scale.
fn detect(doubles: &[u64], guess: u8) -> Option<Decimals<'static>> {
    let guess = guess.min(DETECTED_SCALE_MAX);
    let step = doubles.len().div_ceil(SAMPLE).max(1);
    let sample = doubles.iter().step_by(step);
    let count = sample.len();
    let mut scales: Vec<u8> = sample
        .filter_map(|&double| {
            let value = f64::from_bits(double);
            (guess..=DETECTED_SCALE_MAX).find(|&scale| mantissa(value, scale).is_some())
        })
        .collect();
    if (count - scales.len()) * 8 > count {
        return None;
    }
    // A few longer ones may be strangers.
    scales.sort_unstable();
    let mut scale = *scales.get(scales.len().checked_sub(1 + scales.len() / 16)?)?;
    for _ in 0..3 {
        let decimals = at_scale(doubles, scale);
        if decimals.strangers.len() * STRANGERS <= doubles.len() {
            return Some(decimals);
        }
        let more = decimals.strangers.iter().find_map(|&(_, double)| {
            (scale + 1..=DETECTED_SCALE_MAX)
                .find(|&scale| mantissa(f64::from_bits(double), scale).is_some())
        });
        scale = more?;
    }
    None
}

fn at_scale(doubles: &[u64], scale: u8) -> Decimals<'static> {
    let mut strangers = Vec::new();
    let mut previous = 0;
    let mantissas = doubles.iter().enumerate().map(|(index, &double)| {
        match mantissa(f64::from_bits(double), scale) {
            Some(found) => previous = found as u64,
            None => strangers.push((index, double)),
        }
        previous
    });
    let mantissas = mantissas.collect();
    Decimals {
        scale,
        mantissas: Cow::Owned(mantissas),
        strangers,
    }
}

/// The integer whose quotient by 10^scale is this double, bit for bit.
#[inline]
pub(crate) fn mantissa(value: f64, scale: u8) -> Option<i64> {
    let power = POWERS_OF_TEN[usize::from(scale)];
    let scaled = value * power;
    let mantissa = (scaled + 0.5f64.copysign(scaled)) as i64;
    let exact = mantissa.unsigned_abs() <= MANTISSA_MAX as u64
        && (mantissa as f64 / power).to_bits() == value.to_bits();
    exact.then_some(mantissa)
}

/// Largest scale of readings as sensors give them, rather than of averages.
const PLAIN_SCALE_MAX: u8 = 5;
/// Largest scale that is looked for: beyond it nearly every double is some decimal.
const DETECTED_SCALE_MAX: u8 = 14;
/// One of so many values may be no decimal of the common scale.
const STRANGERS: usize = 32;
/// Doubles looked at before all are.
const SAMPLE: usize = 32;
