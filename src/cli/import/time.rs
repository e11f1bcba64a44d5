//! Times of CSV cells as nanoseconds: numbers in a unit, or RFC 3339.

use crate::types::{Precision, Timestamp};

/// Reads a time. A number may have decimals as far as nanoseconds go; nothing is rounded.
pub(super) fn parse(cell: &str, unit: Precision) -> Result<Timestamp, &'static str> {
    let looks_like_a_date = cell.len() > 10 && cell.as_bytes().get(4) == Some(&b'-');
    if looks_like_a_date {
        let time: jiff::Timestamp = cell.parse().map_err(
            |_| "not a time; write a number, or RFC 3339 with its zone: 2026-01-31T08:00:00Z",
        )?;
        return Timestamp::try_from(time.as_nanosecond()).map_err(|_| OUT_OF_RANGE);
    }
    number(cell, unit)
}

fn number(cell: &str, unit: Precision) -> Result<Timestamp, &'static str> {
    let (negative, digits) = match cell.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, cell),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err("not a time; write a number, or RFC 3339 such as 2026-01-31T08:00:00Z");
    }
    let unit_ns = unit.nanoseconds();
    let places = unit_ns.ilog10() as usize;
    if fraction.len() > places {
        return Err("finer than a nanosecond, which is the least time there is");
    }
    let whole_ns = whole
        .parse::<i64>()
        .ok()
        .and_then(|whole| whole.checked_mul(unit_ns));
    // At most nine digits.
    let rest = fraction.parse::<i64>().unwrap_or(0) * 10_i64.pow((places - fraction.len()) as u32);
    let time = whole_ns
        .and_then(|ns| ns.checked_add(rest))
        .ok_or(OUT_OF_RANGE)?;
    Ok(if negative { -time } else { time })
}

const OUT_OF_RANGE: &str = "outside the years 1677 to 2262; is the --time-unit right?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_unit() {
        use Precision::{Milliseconds, Nanoseconds, Seconds};
        for (cell, unit, expected) in [
            ("1600000000000", Milliseconds, 1_600_000_000_000_000_000),
            ("1600000000", Seconds, 1_600_000_000_000_000_000),
            ("1600000000.25", Seconds, 1_600_000_000_250_000_000),
            ("-1.5", Milliseconds, -1_500_000),
            ("0", Nanoseconds, 0),
            ("7.000", Nanoseconds, 7),
        ] {
            assert_eq!(parse(cell, unit), Ok(expected), "{cell}");
        }
        for cell in ["", "x", "1e9", "1.5", "--1", ".5", "9223372036854775808"] {
            assert!(parse(cell, Nanoseconds).is_err(), "{cell}");
        }
        assert_eq!(parse("1600000000000000", Seconds), Err(OUT_OF_RANGE));
    }

    #[test]
    fn dates_carry_their_zone() {
        let ms = Precision::Milliseconds;
        let expected = 1_600_000_000_000_000_000;
        assert_eq!(parse("2020-09-13T12:26:40Z", ms), Ok(expected));
        assert_eq!(
            parse("2020-09-13 14:26:40.000000001+02:00", ms),
            Ok(expected + 1)
        );
        let error = parse("2020-09-13T12:26:40", ms).expect_err("no zone");
        assert!(error.contains("zone"), "{error}");
    }
}
