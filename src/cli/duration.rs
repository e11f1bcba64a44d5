//! Spans of time as people write them: `10s`, `90m`, `1h30m`, `30d`.
//!
//! Owns the units and the error messages; knows nothing of calendars, so a day is 24 hours and there are
//! neither months nor years.

/// What is wrong with a span of time. The message says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Nothing to read.
    #[error("a span of time is empty; write a number and a unit, such as 10s, 90m or 30d")]
    Empty,
    /// A unit where a number had to stand.
    #[error("`{text}`: a number is missing before `{found}`; write for example 10s, 90m or 30d")]
    NumberMissing {
        /// The whole text.
        text: String,
        /// What stood in the number's place.
        found: String,
    },
    /// A number without a unit, or with one that is not known.
    #[error("`{text}`: `{found}` is not a unit of time; use ns, us, ms, s, m, h, d or w")]
    UnitUnknown {
        /// The whole text.
        text: String,
        /// What stood in the unit's place; empty at the end of the text.
        found: String,
    },
    /// More than 64 bits of nanoseconds can count.
    #[error("`{text}` is too long; at most 292 years (106751d) can be counted")]
    TooLong {
        /// The whole text.
        text: String,
    },
}

/// Reads a span of time, nanoseconds. Parts add up (`1h30m`); zero is allowed, signs and fractions are not.
pub fn parse_duration_ns(text: &str) -> Result<u64, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let too_long = || DurationError::TooLong {
        text: text.to_owned(),
    };
    let mut total_ns = 0_u64;
    while !rest.is_empty() {
        let (number, behind) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(behind, |c| !c.is_ascii_digit());
        if number.is_empty() {
            return Err(DurationError::NumberMissing {
                text: text.to_owned(),
                found: unit.to_owned(),
            });
        }
        let (_, unit_ns) = *UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnitUnknown {
                text: text.to_owned(),
                found: unit.to_owned(),
            })?;
        let count: u64 = number.parse().map_err(|_| too_long())?;
        total_ns = count
            .checked_mul(unit_ns)
            .and_then(|part_ns| total_ns.checked_add(part_ns))
            .filter(|sum_ns| i64::try_from(*sum_ns).is_ok())
            .ok_or_else(too_long)?;
        rest = after;
    }
    Ok(total_ns)
}

/// The longest beginning whose characters all satisfy `inside`, and what follows it.
fn split(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

/// Names of the units and their lengths, nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_sums() {
        for (text, seconds) in [
            ("10s", 10),
            ("90m", 5_400),
            ("1h", 3_600),
            ("1h30m", 5_400),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("0s", 0),
            (" 5s ", 5),
        ] {
            assert_eq!(
                parse_duration_ns(text),
                Ok(seconds * 1_000_000_000),
                "{text}"
            );
        }
        assert_eq!(parse_duration_ns("1ms2us3ns"), Ok(1_002_003));
        assert_eq!(
            parse_duration_ns("106751d"),
            Ok(106_751 * 86_400_000_000_000)
        );
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let message = |text: &str| parse_duration_ns(text).map_err(|e| e.to_string());
        assert_eq!(parse_duration_ns("  "), Err(DurationError::Empty));
        for (text, part) in [
            ("10", "`10`: `` is not a unit"),
            ("10x", "`x` is not a unit"),
            ("10 s", "` s` is not a unit"),
            ("1.5h", "`.` is not a unit"),
            ("-1h", "a number is missing before `-`"),
            ("h", "a number is missing before `h`"),
            ("106752d", "too long"),
            ("99999999999999999999s", "too long"),
            ("1µs", "`µs` is not a unit"),
        ] {
            let error = message(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
