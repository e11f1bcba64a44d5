//! Choosing and making the form of a column of floats.

use edgetime_protocol::cell;

use super::directory::{Codec, Known};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::decimal::{self, Decimals, Floats};
use crate::codec::gorilla;
use crate::codec::integers::{self, Effort, Habit};
use crate::codec::quotient::{self, Form};
use crate::codec::statistics::{Doubles, Integers};

/// What fitted the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FloatHabit {
    pub(super) integers: Habit,
    /// Of doubles that turned out to be decimals.
    scale: Option<u8>,
}

/// Appends values, none of which is null.
pub(super) fn put(
    bits: &[u64],
    marks: &[u8],
    habit: &mut FloatHabit,
    effort: Effort,
    out: &mut Vec<u8>,
) -> (Codec, Known) {
    let start = out.len();
    let floats = Floats::new(bits, marks, habit.scale);
    let found = match &floats {
        // Long decimals are averages as a rule, and not worth much time.
        Floats::Decimal(decimals) if !decimals.is_plain() => {
            put_decimals(decimals, bits, marks, habit, Effort::Cheap, out)
        }
        Floats::Decimal(decimals) => put_decimals(decimals, bits, marks, habit, effort, out),
        Floats::Doubles(doubles) => {
            let known = Known::Doubles(Doubles::of(&values(doubles)));
            (put_xor(doubles, out), known)
        }
    };
    if effort == Effort::Cheap || matches!(&floats, Floats::Decimal(d) if d.is_plain()) {
        return found;
    }
    let doubles = match floats {
        Floats::Doubles(doubles) => doubles,
        Floats::Decimal(_) => bits
            .iter()
            .zip(marks)
            .map(|(&bits, &mark)| cell::float(bits, mark).to_bits())
            .collect(),
    };
    let known = Known::Doubles(Doubles::of(&values(&doubles)));
    let mut best = (found.0, found.1, out.split_off(start));
    let count = doubles.len();
    let mut consider = |codec, body: Vec<u8>| {
        let price = body.len() + known.len() + toll(codec, count);
        if price < best.2.len() + best.1.len() + toll(best.0, count) {
            best = (codec, known, body);
        }
    };
    for (codec, body) in alternatives(&doubles) {
        consider(codec, body);
    }
    if let Some(body) = dictionary(&doubles) {
        consider(Codec::Dictionary, body);
    }
    out.extend_from_slice(&best.2);
    (best.0, best.1)
}

fn put_decimals(
    decimals: &Decimals<'_>,
    bits: &[u64],
    marks: &[u8],
    habit: &mut FloatHabit,
    effort: Effort,
    out: &mut Vec<u8>,
) -> (Codec, Known) {
    habit.scale = Some(decimals.scale);
    let integers = Integers::of(&decimals.mantissas, false);
    let mut put = |out: &mut Vec<u8>| {
        let habit = &mut habit.integers;
        integers::encode(&decimals.mantissas, integers.range(), habit, effort, out);
    };
    if decimals.strangers.is_empty() {
        put(out);
        return (Codec::Decimal, Known::Decimal(decimals.scale, integers));
    }
    out.push(decimals.scale);
    put_varint(out, decimals.strangers.len() as u64);
    let mut previous = 0;
    for &(index, bits) in &decimals.strangers {
        put_varint(out, (index - previous) as u64);
        out.extend_from_slice(&bits.to_le_bytes());
        previous = index;
    }
    put_zigzag(out, integers.first as i64);
    put(out);
    let doubles: Vec<f64> = bits
        .iter()
        .zip(marks)
        .map(|(&bits, &mark)| cell::float(bits, mark))
        .collect();
    (Codec::DecimalPatched, Known::Doubles(Doubles::of(&doubles)))
}

fn values(doubles: &[u64]) -> Vec<f64> {
    doubles.iter().map(|&bits| f64::from_bits(bits)).collect()
}

fn put_xor(doubles: &[u64], out: &mut Vec<u8>) -> Codec {
    let start = out.len();
    gorilla::encode(doubles, out);
    if out.len() - start < doubles.len() * 8 {
        return Codec::Xor;
    }
    out.truncate(start);
    for double in doubles {
        out.extend_from_slice(&double.to_le_bytes());
    }
    Codec::Raw
}

/// Bytes that a form has to save: one for about 30 ns that it is slower to read.
const fn toll(codec: Codec, count: usize) -> usize {
    match codec {
        Codec::Xor => count / 4,
        Codec::Quotient => count / 16,
        _ => 0,
    }
}

/// The forms of doubles that take time to find.
fn alternatives(doubles: &[u64]) -> Vec<(Codec, Vec<u8>)> {
    let mut found = Vec::new();
    if let Some(form) = Form::detect(doubles) {
        let mut body = Vec::new();
        quotient::encode(form, doubles, Effort::Full, &mut body);
        found.push((Codec::Quotient, body));
    }
    if let Some((scale, integers)) = decimal::widened(doubles) {
        let known = Integers::of(&integers, false);
        let mut body = vec![scale];
        put_zigzag(&mut body, known.first as i64);
        let habit = &mut Habit::default();
        integers::encode(&integers, known.range(), habit, Effort::Full, &mut body);
        found.push((Codec::Widened, body));
    }
    found
}

/// The distinct values in ascending order, in the smallest form of their own, and the index of each row.
fn dictionary(doubles: &[u64]) -> Option<Vec<u8>> {
    let mut distinct = doubles.to_vec();
    // Signed order of the bits is a total order, and close enough to that of the values.
    distinct.sort_unstable_by_key(|&double| double as i64);
    distinct.dedup();
    if distinct.len() * 4 > doubles.len() {
        return None;
    }
    let mut body = Vec::new();
    put_varint(&mut body, distinct.len() as u64);
    let mut entries = Vec::new();
    let mut codec = put_xor(&distinct, &mut entries);
    for (other, alternative) in alternatives(&distinct) {
        let count = distinct.len();
        if alternative.len() + toll(other, count) < entries.len() + toll(codec, count) {
            codec = other;
            entries = alternative;
        }
    }
    body.push(codec as u8);
    put_varint(&mut body, entries.len() as u64);
    body.extend_from_slice(&entries);
    let indexes: Vec<u64> = doubles
        .iter()
        .map(|&double| {
            let found = distinct.binary_search_by_key(&(double as i64), |&other| other as i64);
            found.unwrap_or_default() as u64
        })
        .collect();
    put_varint(&mut body, indexes[0]);
    let range = distinct.len() as u64 - 1;
    integers::encode(
        &indexes,
        range,
        &mut Habit::default(),
        Effort::Full,
        &mut body,
    );
    Some(body)
}
