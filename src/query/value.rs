//! Types and single values of expressions. Times and intervals are nanoseconds in an integer: only the
//! static type tells them apart.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::types::FieldType;

use super::result::ResultType;

/// The static type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// The literal `NULL`: fits everywhere.
    Null,
    /// True, false or null.
    Boolean,
    /// 64 bits, signed.
    Integer,
    /// 64 bits, unsigned.
    Unsigned,
    /// IEEE 754 double.
    Float,
    /// UTF-8 text.
    String,
    /// Bytes.
    Binary,
    /// Nanoseconds since the epoch.
    Time,
    /// Nanoseconds between two times.
    Interval,
}

impl Type {
    /// The name in errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Float => "float",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Time => "time",
            Self::Interval => "interval",
        }
    }

    /// Float, integer or unsigned.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::Float | Self::Integer | Self::Unsigned)
    }

    /// The type of the vectors that hold such values.
    #[must_use]
    pub const fn storage(self) -> FieldType {
        match self {
            Self::Boolean | Self::Null => FieldType::Boolean,
            Self::Integer | Self::Time | Self::Interval => FieldType::Integer,
            Self::Unsigned => FieldType::Unsigned,
            Self::Float => FieldType::Float,
            Self::String => FieldType::String,
            Self::Binary => FieldType::Binary,
        }
    }

    /// The type of a result column that shows such values.
    #[must_use]
    pub const fn result(self) -> ResultType {
        match self {
            Self::Null | Self::String => ResultType::String,
            Self::Boolean => ResultType::Boolean,
            Self::Integer | Self::Interval => ResultType::Integer,
            Self::Unsigned => ResultType::Unsigned,
            Self::Float => ResultType::Float,
            Self::Binary => ResultType::Binary,
            Self::Time => ResultType::Time,
        }
    }
}

impl From<FieldType> for Type {
    fn from(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Float => Self::Float,
            FieldType::Integer => Self::Integer,
            FieldType::Unsigned => Self::Unsigned,
            FieldType::Boolean => Self::Boolean,
            FieldType::String => Self::String,
            FieldType::Binary => Self::Binary,
        }
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// Signed; also a time or an interval.
    Integer(i64),
    /// Unsigned.
    Unsigned(u64),
    /// A double.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Bytes.
    Binary(Arc<[u8]>),
}

impl Scalar {
    /// Whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The order of sorting: false < true, NaN behind all numbers, null behind everything.
    /// Total among values of one type.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Greater,
            (_, Self::Null) => Ordering::Less,
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Unsigned(a), Self::Unsigned(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => order_floats(*a, *b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Appends bytes that are equal exactly where values fall into the same group: all NaN are one,
    /// and so are the two zeros.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        out.push(self.rank());
        match self {
            Self::Null => {}
            Self::Boolean(value) => out.push(u8::from(*value)),
            Self::Integer(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Unsigned(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Float(value) => {
                let canonical = if value.is_nan() {
                    f64::NAN
                } else if *value == 0.0 {
                    0.0
                } else {
                    *value
                };
                out.extend_from_slice(&canonical.to_bits().to_le_bytes());
            }
            Self::String(text) => write_bytes(out, text.as_bytes()),
            Self::Binary(bytes) => write_bytes(out, bytes),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Integer(_) => 1,
            Self::Unsigned(_) => 2,
            Self::Float(_) => 3,
            Self::String(_) => 4,
            Self::Binary(_) => 5,
            Self::Null => 6,
        }
    }
}

/// Doubles in the order of sorting: NaN last, the two zeros equal.
#[must_use]
pub fn order_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Compares a double with an integer exactly, whatever their size; `None` for NaN.
#[must_use]
pub fn compare_exact(float: f64, integer: i128) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Beyond every 64-bit integer, signed or not.
    if float >= 18_446_744_073_709_551_616.0 {
        return Some(Ordering::Greater);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    let whole = float.trunc();
    let by_whole = (whole as i128).cmp(&integer);
    Some(by_whole.then_with(|| float.partial_cmp(&whole).unwrap_or(Ordering::Equal)))
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_doubles_compare_exactly() {
        let beyond = (1i64 << 53) + 1;
        assert_eq!(
            compare_exact(beyond as f64, i128::from(beyond)),
            Some(Ordering::Less)
        );
        assert_eq!(compare_exact(0.5, 0), Some(Ordering::Greater));
        assert_eq!(compare_exact(-0.5, 0), Some(Ordering::Less));
        assert_eq!(compare_exact(f64::NAN, 0), None);
        assert_eq!(
            compare_exact(f64::INFINITY, i128::from(u64::MAX)),
            Some(Ordering::Greater)
        );
    }

    #[test]
    fn nan_sorts_behind_numbers_and_null_behind_all() {
        let nan = Scalar::Float(f64::NAN);
        assert_eq!(Scalar::Float(f64::INFINITY).order(&nan), Ordering::Less);
        assert_eq!(nan.order(&Scalar::Null), Ordering::Less);
        assert_eq!(nan.order(&Scalar::Float(-f64::NAN)), Ordering::Equal);
    }
}
