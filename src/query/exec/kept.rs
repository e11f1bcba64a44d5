//! Values that an aggregate has to keep: all of them for percentiles, each different one for `mode` and
//! `count(distinct)`.
//!
//! Numbers are kept as keys of 64 bits whose order is that of the values. Nothing is hashed, so that no choice of values
//! is slow. What is kept is reported in bytes, for the limit of the query.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::query::value::{Scalar, Type};
use crate::series::vector::{ColumnVector, Values};

/// A number or truth value as a key; all NaN are one, behind all numbers, and the two zeros are one.
fn key_of(values: &Values, row: usize) -> u64 {
    match values {
        Values::Float(values) => float_key(values[row]),
        Values::Integer(values) => (values[row] as u64) ^ SIGN,
        Values::Unsigned(values) => values[row],
        Values::Boolean(values) => u64::from(values[row]),
        Values::String(_) | Values::Binary(_) => 0,
    }
}

fn float_key(value: f64) -> u64 {
    if value.is_nan() {
        return NAN_KEY;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    // Negative numbers fall as their bits rise.
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
}

fn float_of(key: u64) -> f64 {
    if key == NAN_KEY {
        return f64::NAN;
    }
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
}

const SIGN: u64 = 1 << 63;
const NAN_KEY: u64 = u64::MAX;

/// Numbers of which one is wanted by its rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranked {
    keys: Vec<u64>,
    nan: bool,
}

impl Ranked {
    /// Takes the values of some rows; how many bytes more are kept now.
    pub(super) fn add(&mut self, vector: &ColumnVector, rows: Range<usize>) -> usize {
        let before = self.keys.capacity();
        for row in rows {
            if vector.validity.is_valid(row) {
                let key = key_of(&vector.values, row);
                if key == NAN_KEY && matches!(vector.values, Values::Float(_)) {
                    self.nan = true;
                } else {
                    self.keys.push(key);
                }
            }
        }
        (self.keys.capacity() - before) * size_of::<u64>()
    }

    /// Takes what another one has.
    pub(super) fn absorb(&mut self, other: Self) {
        self.nan |= other.nan;
        if self.keys.is_empty() {
            self.keys = other.keys;
        } else {
            self.keys.extend_from_slice(&other.keys);
        }
    }

    /// Bytes of the values that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<u64>()
    }

    /// The percentile, interpolated between the two values beside its rank; NaN counts only where there is
    /// nothing else.
    pub(super) fn percentile(&mut self, percent: f64, kind: Type) -> Scalar {
        let Some(last) = self.keys.len().checked_sub(1) else {
            return if self.nan {
                Scalar::Float(f64::NAN)
            } else {
                Scalar::Null
            };
        };
        let rank = (percent / 100.0 * last as f64).clamp(0.0, last as f64);
        let below = rank.floor() as usize;
        let fraction = rank - below as f64;
        let (_, &mut low, above) = self.keys.select_nth_unstable(below);
        let low = number(low, kind);
        let value = match above.iter().min() {
            Some(&high) if fraction > 0.0 => between(low, number(high, kind), fraction),
            _ => low,
        };
        Scalar::Float(value)
    }
}

fn number(key: u64, kind: Type) -> f64 {
    match kind {
        Type::Float => float_of(key),
        Type::Unsigned => key as f64,
        _ => ((key ^ SIGN) as i64) as f64,
    }
}

/// The value a fraction of the way from one to another; equal infinities have no distance.
pub(super) fn between(low: f64, high: f64, fraction: f64) -> f64 {
    if low == high {
        return low;
    }
    let distance = high - low;
    if distance.is_finite() {
        low + distance * fraction
    } else {
        low * (1.0 - fraction) + high * fraction
    }
}

/// Different values, and how often each occurs.
#[derive(Clone, Debug)]
pub(super) enum Distinct {
    Numbers(BTreeMap<u64, u64>),
    Texts(BTreeMap<Box<[u8]>, u64>),
}

impl Distinct {
    pub(super) fn new(kind: Type) -> Self {
        if matches!(kind, Type::String | Type::Binary) {
            Self::Texts(BTreeMap::new())
        } else {
            Self::Numbers(BTreeMap::new())
        }
    }

    /// Takes the values of some rows; how many bytes more are kept now.
    pub(super) fn add(&mut self, vector: &ColumnVector, rows: Range<usize>) -> usize {
        let mut kept = 0;
        for row in rows.filter(|&row| vector.validity.is_valid(row)) {
            match (&mut *self, &vector.values) {
                (Self::Texts(known), Values::String(texts) | Values::Binary(texts)) => {
                    let text = texts.get(row);
                    if let Some(count) = known.get_mut(text) {
                        *count += 1;
                    } else {
                        kept += ENTRY_BYTES + size_of::<Box<[u8]>>() + text.len();
                        known.insert(Box::from(text), 1);
                    }
                }
                (Self::Numbers(known), values) => {
                    let before = known.len();
                    *known.entry(key_of(values, row)).or_default() += 1;
                    kept += (known.len() - before) * ENTRY_BYTES;
                }
                // Types agree by construction.
                (Self::Texts(_), _) => {}
            }
        }
        kept
    }

    /// Takes what another one has.
    pub(super) fn absorb(&mut self, other: Self) {
        match (self, other) {
            (Self::Numbers(known), Self::Numbers(others)) => {
                for (key, count) in others {
                    *known.entry(key).or_default() += count;
                }
            }
            (Self::Texts(known), Self::Texts(others)) => {
                for (text, count) in others {
                    *known.entry(text).or_default() += count;
                }
            }
            // Types agree by construction.
            (Self::Numbers(_), Self::Texts(_)) | (Self::Texts(_), Self::Numbers(_)) => {}
        }
    }

    /// Bytes of the values that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            Self::Numbers(known) => known.len() * ENTRY_BYTES,
            Self::Texts(known) => {
                let each = ENTRY_BYTES + size_of::<Box<[u8]>>();
                let texts: usize = known.keys().map(|text| text.len()).sum();
                known.len() * each + texts
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Numbers(known) => known.len(),
            Self::Texts(known) => known.len(),
        }
    }

    /// The one that occurs most often; of several the least.
    pub(super) fn mode(&self, kind: Type) -> Scalar {
        match self {
            Self::Numbers(known) => most(known).map_or(Scalar::Null, |&key| match kind {
                Type::Float => Scalar::Float(float_of(key)),
                Type::Unsigned => Scalar::Unsigned(key),
                Type::Boolean => Scalar::Boolean(key != 0),
                _ => Scalar::Integer((key ^ SIGN) as i64),
            }),
            Self::Texts(known) => most(known).map_or(Scalar::Null, |bytes| {
                if kind == Type::Binary {
                    Scalar::Binary(Arc::from(&**bytes))
                } else {
                    Scalar::String(Arc::from(String::from_utf8_lossy(bytes).as_ref()))
                }
            }),
        }
    }
}

fn most<K>(known: &BTreeMap<K, u64>) -> Option<&K> {
    let mut best: Option<(&K, u64)> = None;
    for (value, &count) in known {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((value, count));
        }
    }
    best.map(|(value, _)| value)
}

/// What an entry of a tree takes, its share of the nodes included.
const ENTRY_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::vector::Validity;

    fn floats(values: &[f64]) -> ColumnVector {
        ColumnVector {
            values: Values::Float(values.to_vec()),
            validity: Validity::all(),
        }
    }

    #[test]
    fn keys_keep_the_order_and_the_values_of_doubles() {
        let rising = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.0,
            -f64::MIN_POSITIVE,
            0.0,
            5e-324,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(rising.is_sorted_by_key(|&value| float_key(value)));
        for value in rising {
            assert_eq!(float_of(float_key(value)), value);
        }
        assert_eq!(float_key(-0.0), float_key(0.0));
        assert!(float_key(f64::NAN) > float_key(f64::INFINITY));
    }

    #[test]
    fn percentiles_lie_between_values() {
        let mut ranked = Ranked::default();
        assert!(ranked.percentile(50.0, Type::Float).is_null());
        ranked.add(&floats(&[f64::NAN]), 0..1);
        assert!(matches!(ranked.percentile(50.0, Type::Float), Scalar::Float(v) if v.is_nan()));
        ranked.add(&floats(&[4.0, 1.0, 2.0, 3.0]), 0..4);
        for (percent, expected) in [(0.0, 1.0), (50.0, 2.5), (90.0, 3.7), (100.0, 4.0)] {
            let found = ranked.percentile(percent, Type::Float);
            assert_eq!(found, Scalar::Float(expected), "{percent}");
        }
    }

    #[test]
    fn equal_infinities_have_no_distance() {
        assert_eq!(between(f64::INFINITY, f64::INFINITY, 0.5), f64::INFINITY);
        assert_eq!(between(f64::MIN, f64::MAX, 0.5), 0.0);
    }

    #[test]
    fn of_several_modes_the_least_is_taken() {
        let mut distinct = Distinct::new(Type::Float);
        distinct.add(&floats(&[2.0, 1.0, 2.0, 1.0, 7.0, -0.0, 0.0]), 0..7);
        assert_eq!(distinct.count(), 4);
        assert_eq!(distinct.mode(Type::Float), Scalar::Float(0.0));
    }
}
