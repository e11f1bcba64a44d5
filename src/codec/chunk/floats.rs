//! Choosing and making the form of a column of floats.

use std::borrow::Cow;

use edgetime_protocol::cell;

use super::directory::{Codec, Known};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::decimal::{self, Decimals, Floats};
use crate::codec::gorilla;
use crate::codec::integers::{self, Distinct, Effort, Habit};
use crate::codec::quotient::{Form, Quotients};
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
    let doubles = match &floats {
        Floats::Doubles(doubles) => Cow::Borrowed(doubles),
        Floats::Decimal(_) => {
            let cells = bits.iter().zip(marks);
            Cow::Owned(
                cells
                    .map(|(&bits, &mark)| cell::float(bits, mark).to_bits())
                    .collect(),
            )
        }
    };
    let known = Known::Doubles(Doubles::of(&values(&doubles)));
    let found_bytes = out.len() - start;
    let most = found_bytes + found.1.len();
    let price = most + toll(found.0, doubles.len());
    let own = known.len();
    let other = smallest(
        &doubles,
        most.saturating_sub(own),
        price.saturating_sub(own),
    );
    let (codec, known, body) = match (other, floats) {
        (Some((codec, body)), _) => (codec, known, body),
        (None, Floats::Decimal(decimals)) => {
            let mut body = Vec::new();
            let (codec, known) = put_decimals(&decimals, bits, marks, habit, effort, &mut body);
            (codec, known, body)
        }
        (None, Floats::Doubles(_)) => return found,
    };
    if body.len() + known.len() > most {
        return found;
    }
    out.truncate(start);
    out.extend_from_slice(&body);
    (codec, known)
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

/// Of the forms that take time to find, the one with the lowest price: bytes and toll. It has at most `most`
/// bytes, and its price is below `price`.
fn smallest(doubles: &[u64], most: usize, price: usize) -> Option<(Codec, Vec<u8>)> {
    let count = doubles.len();
    let mut candidates = [
        Form::detect(doubles).map(|form| Candidate::Quotients(Quotients::new(form, doubles))),
        decimal::widened(doubles).map(|(scale, integers)| Candidate::Widened(scale, integers)),
        Dictionary::new(doubles).map(Candidate::Dictionary),
    ]
    .map(|candidate| candidate.map(|candidate| (candidate.reckon(), candidate)));
    candidates.sort_by_key(|candidate| candidate.as_ref().map(|(bytes, _)| *bytes));
    let (mut price, mut best) = (price, None);
    for (bytes, candidate) in candidates.into_iter().flatten() {
        // What is reckoned is seldom more than what is made.
        if bytes + toll(candidate.codec(), count) >= price {
            continue;
        }
        let (codec, body) = (candidate.codec(), candidate.put());
        if body.len() <= most && body.len() + toll(codec, count) < price {
            price = body.len() + toll(codec, count);
            best = Some((codec, body));
        }
    }
    best
}

/// A form of doubles.
enum Candidate {
    Quotients(Quotients),
    /// Scale and integers.
    Widened(u8, Vec<u64>),
    Dictionary(Dictionary),
}

impl Candidate {
    /// About how many bytes it takes.
    fn reckon(&self) -> usize {
        match self {
            Self::Quotients(quotients) => quotients.reckon(),
            Self::Widened(_, integers) => {
                integers::reckon(integers, Integers::of(integers, false).range())
            }
            Self::Dictionary(dictionary) => dictionary.reckon(),
        }
    }

    const fn codec(&self) -> Codec {
        match self {
            Self::Quotients(_) => Codec::Quotient,
            Self::Widened(..) => Codec::Widened,
            Self::Dictionary(_) => Codec::Dictionary,
        }
    }

    fn put(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Quotients(quotients) => quotients.put(Effort::Full, &mut body),
            Self::Widened(scale, integers) => {
                body.push(*scale);
                let known = Integers::of(integers, false);
                put_zigzag(&mut body, known.first as i64);
                let habit = &mut Habit::default();
                integers::encode(integers, known.range(), habit, Effort::Full, &mut body);
            }
            Self::Dictionary(dictionary) => dictionary.put(&mut body),
        }
        body
    }
}

/// The distinct values in ascending order of their bits as signed numbers, which is close enough to that of the
/// values, and the index of each row.
struct Dictionary {
    distinct: Vec<u64>,
    indexes: Vec<u64>,
}

impl Dictionary {
    fn new(doubles: &[u64]) -> Option<Self> {
        let distinct = Distinct::of(doubles)?;
        if distinct.count() * 4 > doubles.len() {
            return None;
        }
        let (distinct, indexes) = distinct.sorted();
        Some(Self { distinct, indexes })
    }

    fn range(&self) -> u64 {
        self.distinct.len() as u64 - 1
    }

    fn reckon(&self) -> usize {
        // Entries take about a byte.
        self.distinct.len() + integers::reckon(&self.indexes, self.range())
    }

    fn put(&self, body: &mut Vec<u8>) {
        put_varint(body, self.distinct.len() as u64);
        let mut entries = Vec::new();
        let mut codec = put_xor(&self.distinct, &mut entries);
        let price = entries.len() + toll(codec, self.distinct.len());
        // Entries have no dictionary of their own: they are distinct.
        if let Some(found) = smallest(&self.distinct, price, price) {
            (codec, entries) = found;
        }
        body.push(codec as u8);
        put_varint(body, entries.len() as u64);
        body.extend_from_slice(&entries);
        put_varint(body, self.indexes[0]);
        integers::encode_indexes(&self.indexes, self.range(), body);
    }
}
