//! Numbers of line protocol: field values and timestamps.
//!
//! Short numbers are read a word at a time, everything else bytewise. Invariant: both ways agree, and a
//! decimal keeps the scale it was written with (`21.0` is 210 with scale 1) as `cell` demands.

use super::bytes::{FIELD_VALUE, TENS, decimal, digits, is, load};
use super::parse::{LineError, Stop};
use crate::cell::{MANTISSA_MAX, MARK_RAW, SCALE_MAX};
use crate::error::Code;
use crate::types::{FieldType, Precision};

/// A value without a heap, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub kind: FieldType,
    pub bits: u64,
    pub mark: u8,
    /// Offset of the first byte behind it.
    pub end: usize,
}

/// Reads the number at `at`, whose first byte is a digit, `-` or `.`.
#[inline(always)]
pub(crate) fn number(view: &[u8], at: usize, ended: bool) -> Result<Number, Stop> {
    match short_number(view, at) {
        Some((number, behind)) if is(behind, FIELD_VALUE) => Ok(number),
        _ => any_number(view, at, ended),
    }
}

/// The common case: up to seven digits on either side of the point, and bytes enough behind. Gives the
/// number and the byte behind it, which the caller has to look at.
#[inline(always)]
pub(crate) fn short_number(view: &[u8], at: usize) -> Option<(Number, u8)> {
    let mut word = load(view, at)?;
    let negative = word as u8 == b'-';
    let first = at + usize::from(negative);
    if negative {
        word = load(view, first)?;
    }
    let whole_digits = digits(word);
    if whole_digits.wrapping_sub(1) >= 7 {
        return None;
    }
    let whole = decimal(word, whole_digits);
    // At most seven digits: the byte behind them is in the word, and mostly the one behind that.
    let behind = word >> (8 * whole_digits);
    let end = first + whole_digits as usize;
    let signed = |value: u64| {
        if negative {
            (value as i64).wrapping_neg() as u64
        } else {
            value
        }
    };
    match behind as u8 {
        b'i' if whole_digits < 7 => {
            let number = Number {
                kind: FieldType::Integer,
                bits: signed(whole),
                mark: 0,
                end: end + 1,
            };
            Some((number, (behind >> 8) as u8))
        }
        b'.' => {
            let word = load(view, end + 1)?;
            let scale = digits(word);
            if scale.wrapping_sub(1) >= 7 {
                return None;
            }
            let mantissa = whole * TENS[scale as usize] + decimal(word, scale);
            let number = Number {
                kind: FieldType::Float,
                bits: signed(mantissa),
                mark: scale as u8,
                end: end + 1 + scale as usize,
            };
            // Minus zero is no decimal.
            (mantissa != 0 || !negative).then_some((number, (word >> (8 * scale)) as u8))
        }
        b'u' if whole_digits < 7 && !negative => {
            let number = Number {
                kind: FieldType::Unsigned,
                bits: whole,
                mark: 0,
                end: end + 1,
            };
            Some((number, (behind >> 8) as u8))
        }
        byte if whole != 0 || !negative => {
            let number = Number {
                kind: FieldType::Float,
                bits: signed(whole),
                mark: 0,
                end,
            };
            Some((number, byte))
        }
        _ => None,
    }
}

/// Seven digits on either side of the point stay below the limit of a decimal cell.
const _: () = assert!(10_i64.pow(14) < MANTISSA_MAX);

/// Every number, of any length.
#[inline(never)]
fn any_number(view: &[u8], at: usize, ended: bool) -> Result<Number, Stop> {
    // Most of a token are digits, which are skipped by the word.
    let mut plain = at + usize::from(view.get(at) == Some(&b'-'));
    plain += digits_len(&view[plain..]);
    if view.get(plain) == Some(&b'.') {
        plain += 1 + digits_len(&view[plain + 1..]);
    }
    let end = token_end(view, plain, ended)?;
    let token = &view[at..end];
    let (kind, bits, mark) = match token {
        [rest @ .., b'i'] => (FieldType::Integer, integer(rest, at)? as u64, 0),
        [rest @ .., b'u'] => (FieldType::Unsigned, unsigned(rest, at)?, 0),
        _ => {
            let (bits, mark) = float(token, at)?;
            (FieldType::Float, bits, mark)
        }
    };
    Ok(Number {
        kind,
        bits,
        mark,
        end,
    })
}

/// The end of the unquoted value at `at`.
pub(crate) fn token_end(view: &[u8], at: usize, ended: bool) -> Result<usize, Stop> {
    let rest = view.get(at..).unwrap_or_default();
    match rest.iter().position(|&byte| is(byte, FIELD_VALUE)) {
        Some(len) => Ok(at + len),
        None if ended => Ok(view.len()),
        None => Err(Stop::Incomplete),
    }
}

fn bad(at: usize, message: &'static str) -> LineError {
    LineError::new(Code::BadValue, at, message)
}

fn out_of_range(at: usize) -> LineError {
    LineError::new(
        Code::ValueOutOfRange,
        at,
        "number out of the range of its type",
    )
}

fn integer(token: &[u8], at: usize) -> Result<i64, LineError> {
    let (negative, magnitude) = match token {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, token),
    };
    let magnitude = unsigned(magnitude, at)?;
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
    .ok_or_else(|| out_of_range(at))
}

fn unsigned(token: &[u8], at: usize) -> Result<u64, LineError> {
    if token.is_empty() || !token.iter().all(u8::is_ascii_digit) {
        return Err(bad(at, "not a whole number"));
    }
    token
        .iter()
        .try_fold(0u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or_else(|| out_of_range(at))
}

/// The cell of a float: a decimal where it fits, the nearest double otherwise.
fn float(token: &[u8], at: usize) -> Result<(u64, u8), LineError> {
    let syntax = || bad(at, "not a number");
    let negative = token.first() == Some(&b'-');
    let body = &token[usize::from(negative)..];
    let (whole, rest) = body.split_at(digits_len(body));
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits_len(rest)),
        _ => (&[][..], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(syntax());
    }
    let exponent = match rest {
        [] => false,
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..]
            if !digits.is_empty() && digits_len(digits) == digits.len() =>
        {
            true
        }
        _ => return Err(syntax()),
    };
    if !exponent
        && let Some(mantissa) = mantissa(whole, fraction)
        && (mantissa != 0 || !negative)
    {
        let signed = if negative { -mantissa } else { mantissa };
        return Ok((signed as u64, fraction.len() as u8));
    }
    let text = core::str::from_utf8(token).map_err(|_| syntax())?;
    let value: f64 = text.parse().map_err(|_| syntax())?;
    if value.is_finite() {
        Ok((value.to_bits(), MARK_RAW))
    } else {
        Err(out_of_range(at))
    }
}

/// How many digits `bytes` begins with.
fn digits_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = load(bytes, len) {
        let count = digits(word) as usize;
        len += count;
        if count < 8 {
            return len;
        }
    }
    len + bytes[len..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// The digits of a decimal as one integer, where they satisfy the limits of a cell.
fn mantissa(whole: &[u8], fraction: &[u8]) -> Option<i64> {
    if fraction.len() > usize::from(SCALE_MAX) {
        return None;
    }
    let mut value = 0i64;
    for part in [whole, fraction] {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            let word = decimal(u64::from_le_bytes(*word), 8) as i64;
            value = value.checked_mul(100_000_000)?.checked_add(word)?;
            if value > MANTISSA_MAX {
                return None;
            }
        }
        for digit in rest {
            value = value * 10 + i64::from(digit - b'0');
            if value > MANTISSA_MAX {
                return None;
            }
        }
    }
    Some(value)
}

/// Reads the timestamp at `at` (first byte a digit or `-`) and gives nanoseconds and where it ends.
#[inline(always)]
pub(crate) fn timestamp(
    view: &[u8],
    at: usize,
    ended: bool,
    precision: Precision,
) -> Result<(i64, usize), Stop> {
    if let Some((value, end)) = long_timestamp(view, at)
        && precision == Precision::Nanoseconds
    {
        return Ok((value, end));
    }
    any_timestamp(view, at, ended, precision)
}

/// The common case: 17 to 19 digits, positive, followed by a newline.
#[inline(always)]
fn long_timestamp(view: &[u8], at: usize) -> Option<(i64, usize)> {
    let high = load(view, at)?;
    let middle = load(view, at + 8)?;
    if digits(high) != 8 || digits(middle) != 8 {
        return None;
    }
    // The line may be the last of the buffer: its last digits and the newline are taken singly.
    let mut value = decimal(high, 8) * 100_000_000 + decimal(middle, 8);
    let mut end = at + 16;
    while end < at + 19 {
        let digit = view.get(end)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u64::from(digit);
        end += 1;
    }
    (view.get(end) == Some(&b'\n')).then_some(())?;
    Some((i64::try_from(value).ok()?, end))
}

#[inline(never)]
fn any_timestamp(
    view: &[u8],
    at: usize,
    ended: bool,
    precision: Precision,
) -> Result<(i64, usize), Stop> {
    let rest = view.get(at..).unwrap_or_default();
    let len = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'-');
    let len = match len {
        Some(len) => len,
        None if ended => rest.len(),
        None => return Err(Stop::Incomplete),
    };
    let value = integer(&rest[..len], at)
        .ok()
        .and_then(|value| value.checked_mul(precision.nanoseconds()))
        .ok_or_else(|| {
            LineError::new(Code::BadTimestamp, at, "not a time in 64-bit nanoseconds")
        })?;
    Ok((value, at + len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;

    fn read(text: &str) -> Result<(FieldType, u64, u8), Code> {
        let padded = format!("{text},next=12345678");
        let word = number(padded.as_bytes(), 0, false);
        let byte = any_number(text.as_bytes(), 0, true);
        match (word, byte) {
            (Ok(word), Ok(byte)) => {
                assert_eq!(word, byte, "{text}");
                assert_eq!(word.end, text.len(), "{text}");
                Ok((word.kind, word.bits, word.mark))
            }
            (Err(Stop::Bad(word)), Err(Stop::Bad(byte))) => {
                assert_eq!(word, byte, "{text}");
                Err(word.code)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(read("21.3"), Ok((FieldType::Float, 213, 1)));
        assert_eq!(read("21.0"), Ok((FieldType::Float, 210, 1)));
        assert_eq!(read("5."), Ok((FieldType::Float, 5, 0)));
        assert_eq!(read(".5"), Ok((FieldType::Float, 5, 1)));
        assert_eq!(read("-0.25"), Ok((FieldType::Float, (-25i64) as u64, 2)));
        assert_eq!(read("9007199254740992"), Ok((FieldType::Float, 1 << 53, 0)));
        assert_eq!(read("0"), Ok((FieldType::Float, 0, 0)));
    }

    #[test]
    fn what_is_no_decimal_stays_a_double() {
        for text in [
            "-0",
            "-0.0",
            "-.0",
            "1e3",
            "1.5E-7",
            "9007199254740993",
            "1e+2",
        ] {
            let (kind, bits, mark) = read(text).expect(text);
            assert_eq!((kind, mark), (FieldType::Float, MARK_RAW), "{text}");
            let expected: f64 = text.parse().expect(text);
            assert_eq!(
                cell::float(bits, mark).to_bits(),
                expected.to_bits(),
                "{text}"
            );
        }
    }

    #[test]
    fn integers_have_their_whole_range() {
        assert_eq!(read("58i"), Ok((FieldType::Integer, 58, 0)));
        assert_eq!(read("-0i"), Ok((FieldType::Integer, 0, 0)));
        assert_eq!(
            read("-9223372036854775808i"),
            Ok((FieldType::Integer, i64::MIN as u64, 0))
        );
        assert_eq!(read("9223372036854775808i"), Err(Code::ValueOutOfRange));
        assert_eq!(
            read("18446744073709551615u"),
            Ok((FieldType::Unsigned, u64::MAX, 0))
        );
        assert_eq!(read("18446744073709551616u"), Err(Code::ValueOutOfRange));
        assert_eq!(read("7u"), Ok((FieldType::Unsigned, 7, 0)));
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "-", ".", "-.", "1e", "1e+", "1.1.1", "0x1p4", "1_0", "--1", "1-", "-1u", "1.0i", "i",
            "-i", "1ii", "12a", "-inf", "-nan", "0.-1", "1i2",
        ] {
            assert_eq!(read(text), Err(Code::BadValue), "{text}");
        }
        assert_eq!(read("1e999"), Err(Code::ValueOutOfRange));
    }

    #[test]
    fn timestamps_are_scaled_and_checked() {
        let time = |text: &str, precision| timestamp(text.as_bytes(), 0, true, precision).ok();
        let ns = Precision::Nanoseconds;
        assert_eq!(
            time("1451606400000000000\n", ns),
            Some((1_451_606_400_000_000_000, 19))
        );
        assert_eq!(time("9223372036854775807\n", ns), Some((i64::MAX, 19)));
        assert_eq!(time("-9223372036854775808\n", ns), Some((i64::MIN, 20)));
        assert_eq!(time("9223372036854775808\n", ns), None);
        assert_eq!(time("00000000000000000000001 ", ns), Some((1, 23)));
        assert_eq!(
            time("14516064", Precision::Seconds),
            Some((14_516_064_000_000_000, 8))
        );
        assert_eq!(time("9223372036854775807", Precision::Microseconds), None);
        assert_eq!(time("1-", ns), None);
        assert_eq!(time("-", ns), None);
    }
}
