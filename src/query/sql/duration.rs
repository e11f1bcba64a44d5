//! Spans of time in words, `5 minutes`, and points in time, RFC 3339.

use jiff::Timestamp as Instant;
use jiff::civil::{Date, DateTime};

use crate::types::Timestamp;

/// The units an interval may have, for error messages.
pub(crate) const UNITS: &str = "ns, us, ms, s, minute, hour, day or week";

/// Nanoseconds of an interval such as `5 minutes`, `1h30m` or `-90 s`; the error says what is wrong.
pub(crate) fn parse_interval(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no interval: write a number and {UNITS}");
    let mut rest = text.trim();
    let negative = rest.starts_with('-');
    rest = rest.trim_start_matches(['-', '+']).trim_start();
    let mut total: i128 = 0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let behind = behind.trim_start();
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at(letters);
        let number: i128 = number.parse::<u64>().map_err(|_| wrong())?.into();
        let unit = unit_nanoseconds(unit).ok_or_else(wrong)?;
        total = total.saturating_add(number * i128::from(unit));
        any = true;
        rest = behind.trim_start();
    }
    if !any {
        return Err(wrong());
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| format!("`{text}` is longer than 292 years"))
}

/// Nanoseconds of a unit by any of its names.
pub(crate) fn unit_nanoseconds(unit: &str) -> Option<i64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1,
        "us" | "microsecond" | "microseconds" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * 1_000_000_000,
        "h" | "hour" | "hours" => 3_600 * 1_000_000_000,
        "d" | "day" | "days" => 86_400 * 1_000_000_000,
        "w" | "week" | "weeks" => 604_800 * 1_000_000_000,
        _ => return None,
    })
}

/// Nanoseconds of an RFC 3339 time; a date alone, or one without an offset, is in UTC.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let trimmed = text.trim();
    let instant = trimmed
        .parse::<Instant>()
        .ok()
        .or_else(|| {
            let civil = trimmed
                .parse::<DateTime>()
                .or_else(|_| trimmed.parse::<Date>().map(|date| date.at(0, 0, 0, 0)))
                .ok()?;
            Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        })
        .ok_or_else(|| {
            format!(
                "`{text}` is no time: write it as 2024-01-31T12:00:00Z or as integer nanoseconds"
            )
        })?;
    i64::try_from(instant.as_nanosecond())
        .map_err(|_| format!("`{text}` lies outside the years 1677 to 2262"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_take_words_and_letters() {
        assert_eq!(parse_interval("5 minutes"), Ok(300_000_000_000));
        assert_eq!(parse_interval("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_interval("-90 s"), Ok(-90_000_000_000));
        assert_eq!(parse_interval("1 day 2 hours"), Ok(93_600_000_000_000));
        for wrong in [
            "",
            "5",
            "minutes",
            "5 fortnights",
            "1 month",
            "99999999999999999999 s",
        ] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
        assert!(parse_interval("300 years").is_err());
        assert!(parse_interval("20000 weeks").is_err());
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        assert_eq!(parse_time("1970-01-01T00:00:00.000000001Z"), Ok(1));
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00"), Ok(0));
        assert_eq!(parse_time("1970-01-02"), Ok(86_400_000_000_000));
        assert_eq!(parse_time("1970-01-01 00:00:01"), Ok(1_000_000_000));
        assert!(parse_time("yesterday").is_err());
        assert!(parse_time("9999-01-01T00:00:00Z").is_err());
    }
}
