//! Conversions. What a text cannot be read as is null; a number outside the range of its new type is an
//! overflow; doubles lose their fraction.

use std::borrow::Cow;
use std::sync::Arc;

use crate::query::encode::time::rfc3339;
use crate::query::error::QueryError;
use crate::query::sql::duration::parse_time;
use crate::query::value::{Scalar, Type};

use super::lane::map;
use super::vector::{Collector, Operand};

/// Whether there is such a conversion.
pub(crate) const fn can_cast(from: Type, to: Type) -> bool {
    use Type::{Binary, Boolean, Integer, Interval, Null, String, Time};
    match (from, to) {
        (Null, _) | (_, String) => !matches!(from, Binary),
        (Binary, Binary)
        | (String, Binary | Boolean | Time)
        | (Boolean, Boolean)
        | (Integer, Time | Interval) => true,
        (String | Boolean, _) => to.is_numeric(),
        (Time | Interval, _) => matches!(to, Integer | Time | Interval),
        (_, Boolean) => matches!(from, Integer | Type::Unsigned),
        _ => from.is_numeric() && to.is_numeric(),
    }
}

/// Converts an operand that [`can_cast`] allows.
pub(super) fn cast(
    operand: Operand<'_>,
    from: Type,
    to: Type,
    rows: usize,
) -> Result<Operand<'_>, QueryError> {
    if from.storage() == to.storage() && from != Type::Null && to != Type::String {
        return Ok(operand);
    }
    match (operand, from, to) {
        (Operand::Constant(value), ..) => convert(&value, from, to).map(Operand::Constant),
        (vector, Type::Integer, Type::Float) => Ok(map(&vector, rows, |a: i64| a as f64)),
        (vector, Type::Unsigned, Type::Float) => Ok(map(&vector, rows, |a: u64| a as f64)),
        (vector, ..) => {
            let mut converted = Collector::new(to);
            for row in 0..rows {
                converted.push(&convert(&vector.scalar(row), from, to)?);
            }
            Ok(Operand::Vector(Cow::Owned(converted.finish())))
        }
    }
}

/// Converts one value.
pub(crate) fn convert(value: &Scalar, from: Type, to: Type) -> Result<Scalar, QueryError> {
    let overflow = QueryError::Overflow { what: "cast" };
    Ok(match (value, to) {
        (Scalar::Null, _) => Scalar::Null,
        (Scalar::Integer(ns), Type::String) if from == Type::Time => {
            Scalar::String(Arc::from(rfc3339(*ns)))
        }
        (_, Type::String) => Scalar::String(match value {
            Scalar::String(text) => Arc::clone(text),
            Scalar::Float(value) => Arc::from(value.to_string()),
            Scalar::Integer(value) => Arc::from(value.to_string()),
            Scalar::Unsigned(value) => Arc::from(value.to_string()),
            Scalar::Boolean(value) => Arc::from(value.to_string()),
            Scalar::Binary(_) | Scalar::Null => return Ok(Scalar::Null),
        }),
        (Scalar::String(text), _) => parse_text(text.trim(), to),
        (Scalar::Float(value), Type::Integer) => match float_to_integer(*value) {
            Some(value) => Scalar::Integer(i64::try_from(value).map_err(|_| overflow)?),
            None => return Err(overflow),
        },
        (Scalar::Float(value), Type::Unsigned) => match float_to_integer(*value) {
            Some(value) => Scalar::Unsigned(u64::try_from(value).map_err(|_| overflow)?),
            None => return Err(overflow),
        },
        (Scalar::Integer(value), Type::Float) => Scalar::Float(*value as f64),
        (Scalar::Integer(value), Type::Unsigned) => {
            Scalar::Unsigned(u64::try_from(*value).map_err(|_| overflow)?)
        }
        (Scalar::Integer(value), Type::Boolean) => Scalar::Boolean(*value != 0),
        (Scalar::Unsigned(value), Type::Float) => Scalar::Float(*value as f64),
        (Scalar::Unsigned(value), Type::Integer) => {
            Scalar::Integer(i64::try_from(*value).map_err(|_| overflow)?)
        }
        (Scalar::Unsigned(value), Type::Boolean) => Scalar::Boolean(*value != 0),
        (Scalar::Boolean(value), Type::Float) => Scalar::Float(f64::from(u8::from(*value))),
        (Scalar::Boolean(value), Type::Integer) => Scalar::Integer(i64::from(*value)),
        (Scalar::Boolean(value), Type::Unsigned) => Scalar::Unsigned(u64::from(*value)),
        (other, _) => other.clone(),
    })
}

/// The whole part of a double, if it is anywhere near 64 bits.
fn float_to_integer(value: f64) -> Option<i128> {
    (value.abs() < 2e19).then_some(value.trunc() as i128)
}

fn parse_text(text: &str, to: Type) -> Scalar {
    let parsed = match to {
        Type::Float => text.parse().ok().map(Scalar::Float),
        Type::Integer => text.parse().ok().map(Scalar::Integer),
        Type::Unsigned => text.parse().ok().map(Scalar::Unsigned),
        Type::Time => parse_time(text).ok().map(Scalar::Integer),
        Type::Binary => Some(Scalar::Binary(Arc::from(text.as_bytes()))),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(Scalar::Boolean(true)),
            "false" | "f" | "0" => Some(Scalar::Boolean(false)),
            _ => None,
        },
        _ => None,
    };
    parsed.unwrap_or(Scalar::Null)
}
