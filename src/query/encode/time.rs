//! Times as text: RFC 3339 in UTC with as many digits as needed, or whole units since the epoch.

use std::fmt::Write;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use crate::types::Timestamp;

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2024-01-31T12:00:00.5Z` with 0, 3, 6 or 9 digits behind the point.
    #[default]
    Rfc3339,
    /// Whole nanoseconds since the epoch.
    Nanoseconds,
    /// Whole microseconds, rounded down.
    Microseconds,
    /// Whole milliseconds, rounded down.
    Milliseconds,
    /// Whole seconds, rounded down.
    Seconds,
}

impl TimeFormat {
    /// The format of that name, `rfc3339`, `ns`, `us`, `ms` or `s`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "rfc3339" => Self::Rfc3339,
            "ns" => Self::Nanoseconds,
            "us" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            _ => return None,
        })
    }

    /// Nanoseconds of the unit; `None` for RFC 3339.
    const fn unit_ns(self) -> Option<i64> {
        match self {
            Self::Rfc3339 => None,
            Self::Nanoseconds => Some(1),
            Self::Microseconds => Some(1_000),
            Self::Milliseconds => Some(1_000_000),
            Self::Seconds => Some(1_000_000_000),
        }
    }

    /// Whether a time is written as a number.
    #[must_use]
    pub const fn is_number(self) -> bool {
        self.unit_ns().is_some()
    }

    /// Appends a time.
    pub fn write(self, time: Timestamp, out: &mut String) {
        // Writing into a string does not fail.
        let _ = match self.unit_ns() {
            Some(unit) => write!(out, "{}", time.div_euclid(unit)),
            None => write_rfc3339(time, out),
        };
    }
}

/// A time by RFC 3339, in UTC.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let mut out = String::with_capacity(30);
    TimeFormat::Rfc3339.write(time, &mut out);
    out
}

fn write_rfc3339(time: Timestamp, out: &mut String) -> std::fmt::Result {
    let seconds = time.div_euclid(1_000_000_000);
    let fraction = time.rem_euclid(1_000_000_000);
    // Every 64-bit count of nanoseconds lies within the years 1677 to 2262.
    let civil = TimeZone::UTC.to_datetime(Instant::from_second(seconds).unwrap_or_default());
    write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )?;
    if fraction == 0 {
    } else if fraction % 1_000_000 == 0 {
        write!(out, ".{:03}", fraction / 1_000_000)?;
    } else if fraction % 1_000 == 0 {
        write!(out, ".{:06}", fraction / 1_000)?;
    } else {
        write!(out, ".{fraction:09}")?;
    }
    out.write_char('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_written_as_needed() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(1_000_001_000), "1970-01-01T00:00:01.000001Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn units_round_down() {
        let mut out = String::new();
        TimeFormat::Seconds.write(-1, &mut out);
        assert_eq!(out, "-1");
    }
}
