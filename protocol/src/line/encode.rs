//! Line protocol, written: a point into one line that [`super`] reads back as the same point.
//!
//! Strict in what it sends: what some reader would refuse or read differently is an error here, and then
//! nothing is appended. Floats are written as the shortest text that reads back exactly.

use super::row::Value;
use crate::types::Precision;
use crate::wire::append;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A point to write.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Measurement.
    pub measurement: &'a str,
    /// Tags, written in this order; their keys must ascend strictly.
    pub tags: &'a [(&'a str, &'a str)],
    /// Fields, at least one, written in this order.
    pub fields: &'a [(&'a str, Value)],
    /// Nanoseconds since the epoch; `None` leaves the time to the receiver.
    pub time: Option<i64>,
}

/// Why a point cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Empty, with a control character, with a backslash at its end; or a measurement that looks like a comment.
    #[error("a name or tag value that line protocol cannot carry: {0:?}")]
    Name(String),
    /// Tags must ascend by key, each key once.
    #[error("tag key out of order or twice: {0:?}")]
    TagOrder(String),
    /// No field.
    #[error("a point without fields")]
    NoFields,
    /// An infinity or NaN.
    #[error("a float that is not a number in field {0:?}")]
    NotFinite(String),
}

/// Appends the point as one line without its newline. The time is truncated to `precision`.
pub fn point(
    out: &mut Vec<u8>,
    point: &Point<'_>,
    precision: Precision,
) -> Result<(), EncodeError> {
    let start = out.len();
    let result = append_point(out, point, precision);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append_point(
    out: &mut Vec<u8>,
    point: &Point<'_>,
    precision: Precision,
) -> Result<(), EncodeError> {
    measurement(out, point.measurement)?;
    let mut previous = None;
    for &(key, value) in point.tags {
        if previous.is_some_and(|previous| previous >= key) {
            return Err(EncodeError::TagOrder(key.to_owned()));
        }
        previous = Some(key);
        out.push(b',');
        self::key(out, key)?;
        out.push(b'=');
        self::key(out, value)?;
    }
    if point.fields.is_empty() {
        return Err(EncodeError::NoFields);
    }
    for (index, (key, value)) in point.fields.iter().enumerate() {
        out.push(if index == 0 { b' ' } else { b',' });
        self::key(out, key)?;
        out.push(b'=');
        field_value(out, value).ok_or_else(|| EncodeError::NotFinite((*key).to_owned()))?;
    }
    if let Some(time) = point.time {
        append(out, format_args!(" {}", time / precision.nanoseconds()));
    }
    Ok(())
}

/// Appends a measurement, escaped.
pub fn measurement(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    if text.starts_with('#') {
        return Err(EncodeError::Name(text.to_owned()));
    }
    name(out, text, b", ")
}

/// Appends a tag key, tag value or field key, escaped. After an error `out` may hold a part of it.
pub fn key(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    name(out, text, b",= ")
}

/// Appends a name with `special` characters escaped.
fn name(out: &mut Vec<u8>, name: &str, special: &[u8]) -> Result<(), EncodeError> {
    let bytes = name.as_bytes();
    // A backslash at the end would escape what follows.
    if bytes.is_empty() || bytes.ends_with(b"\\") || bytes.iter().any(u8::is_ascii_control) {
        return Err(EncodeError::Name(name.to_owned()));
    }
    for &byte in bytes {
        if special.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    Ok(())
}

/// Appends a field value. `None`: a float that is not finite.
pub fn field_value(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    match value {
        Value::Float(value) if !value.is_finite() => return None,
        Value::Float(value) => float(out, *value),
        Value::Integer(value) => append(out, format_args!("{value}i")),
        Value::Unsigned(value) => append(out, format_args!("{value}u")),
        Value::Boolean(value) => append(out, format_args!("{value}")),
        Value::String(text) => {
            out.push(b'"');
            for &byte in text.as_bytes() {
                if byte == b'"' || byte == b'\\' {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    Some(())
}

/// Appends the shortest decimal that reads back exactly: plain from 0.0001 to below a million, with a signed
/// exponent of at least two digits beyond.
fn float(out: &mut Vec<u8>, value: f64) {
    let scientific = format!("{value:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or_default();
    if (EXPONENT_PLAIN_MIN..=EXPONENT_PLAIN_MAX).contains(&exponent) {
        append(out, format_args!("{value}"));
    } else {
        let mantissa = scientific
            .split_once('e')
            .map_or("", |(mantissa, _)| mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        append(
            out,
            format_args!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()),
        );
    }
}

const EXPONENT_PLAIN_MIN: i32 = -4;
const EXPONENT_PLAIN_MAX: i32 = 5;
