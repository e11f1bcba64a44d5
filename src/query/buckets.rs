//! Buckets of time: of a fixed width, or by the clock and the calendar of a time zone.
//!
//! A bucket is named by the instant it starts at. Buckets follow one another without a gap, whatever clocks do. The
//! rules of time zones are those that the program was built with, so that the answer is the same on every device.

use std::sync::{Arc, LazyLock};

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase, TimeZoneName};
use jiff::{Timestamp as Instant, ToSpan as _};

use crate::types::Timestamp;

use super::names::near;

const SECOND_NS: i128 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// Days from the epoch, a Thursday, to the first Monday behind it.
const MONDAY: i64 = 4;
/// As long as time is, in months.
const MONTHS_MAX: i64 = 292 * 12;

/// What a chunk must lie inside of for its statistics to answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Buckets {
    /// All of time is one bucket.
    One,
    /// All have one width.
    Fixed {
        /// Nanoseconds, above zero.
        width_ns: i64,
        /// A time at which a bucket starts.
        origin: Timestamp,
    },
    /// By the clock or the calendar of a place.
    Local(Arc<Local>),
}

/// Buckets in a time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    zone: TimeZone,
    width: LocalWidth,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LocalWidth {
    /// On the clock, counted from the epoch's midnight on it.
    Nanoseconds(i64),
    /// Whole days, counted from the epoch's, whole weeks from a Monday.
    Days(i64),
    /// Whole months, counted from the epoch's.
    Months(i64),
}

/// The width of a bucket as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Nanoseconds(i64),
    Months(i64),
}

impl Width {
    /// Months, quarters and years, of which no two need be as long as each other; `None` for all else.
    pub(crate) fn months(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "month" | "months" => 1,
            "quarter" | "quarters" => 3,
            "year" | "years" => 12,
            _ => return None,
        };
        let months = number.parse::<i64>().ok()?.checked_mul(factor)?;
        (0..=MONTHS_MAX)
            .contains(&months)
            .then_some(Self::Months(months))
    }

    pub(crate) const fn is_positive(self) -> bool {
        match self {
            Self::Nanoseconds(width) | Self::Months(width) => width > 0,
        }
    }
}

impl Buckets {
    /// Buckets that start at the epoch, weeks on Monday, months on their first day; by UTC without a zone.
    pub(crate) fn aligned(width: Width, zone: Option<TimeZone>) -> Self {
        let (zone, width) = match (width, zone) {
            (Width::Nanoseconds(width_ns), None) => {
                let weeks = width_ns % (7 * DAY_NS) == 0;
                return Self::Fixed {
                    width_ns,
                    origin: if weeks { MONDAY * DAY_NS } else { 0 },
                };
            }
            (Width::Months(months), zone) => {
                (zone.unwrap_or(TimeZone::UTC), LocalWidth::Months(months))
            }
            (Width::Nanoseconds(width), Some(zone)) if width % DAY_NS == 0 => {
                (zone, LocalWidth::Days(width / DAY_NS))
            }
            (Width::Nanoseconds(width), Some(zone)) => (zone, LocalWidth::Nanoseconds(width)),
        };
        Self::Local(Arc::new(Local { zone, width }))
    }

    /// The start of the bucket that holds a time. A bucket that would start before the first representable
    /// time starts there.
    #[inline]
    pub(crate) fn start(&self, time: Timestamp) -> Timestamp {
        self.bounds(time).0
    }

    /// The start of the bucket that holds a time, and the start of the next one, if there is such a time.
    #[inline]
    pub(crate) fn bounds(&self, time: Timestamp) -> (Timestamp, Option<Timestamp>) {
        match self {
            Self::One => (Timestamp::MIN, None),
            Self::Fixed { width_ns, origin } => fixed_bounds(*width_ns, *origin, time),
            Self::Local(local) => local.bounds(time),
        }
    }
}

#[inline]
fn fixed_bounds(width: i64, origin: i64, time: i64) -> (i64, Option<i64>) {
    let behind = if let Some(since) = time.checked_sub(origin) {
        since.rem_euclid(width)
    } else {
        let since = i128::from(time) - i128::from(origin);
        since.rem_euclid(i128::from(width)) as i64
    };
    (
        time.saturating_sub(behind),
        time.checked_add(width - behind),
    )
}

impl Local {
    fn bounds(&self, time: i64) -> (i64, Option<i64>) {
        let time = i128::from(time);
        let (start, next) = match self.width {
            LocalWidth::Nanoseconds(width) => {
                let width = i128::from(width);
                (self.clock_start(width, time), self.clock_next(width, time))
            }
            LocalWidth::Days(_) | LocalWidth::Months(_) => self.dates(time),
        };
        let start = i64::try_from(start).unwrap_or(i64::MIN);
        (start, i64::try_from(next).ok())
    }

    /// The latest instant, not behind `time`, at which the clock shows a multiple of the width. What a clock that is
    /// set forward skips it shows at that moment.
    fn clock_start(&self, width: i128, time: i128) -> i128 {
        let mut at = time;
        loop {
            let offset = self.offset(at);
            let start = floor(at + offset, width) - offset;
            match self.change_up_to(at) {
                Some(change) if start < change => {
                    if self.begins_at(change, width) {
                        return change;
                    }
                    at = change - 1;
                }
                _ => return start,
            }
        }
    }

    /// The first instant behind `time` at which a bucket starts.
    fn clock_next(&self, width: i128, time: i128) -> i128 {
        let mut at = time;
        loop {
            let offset = self.offset(at);
            let next = floor(at + offset, width) + width - offset;
            match self.change_behind(at) {
                Some(change) if next >= change => {
                    if self.begins_at(change, width) {
                        return change;
                    }
                    at = change;
                }
                _ => return next,
            }
        }
    }

    /// Whether the clock shows a multiple of the width when it is set, or skips one.
    fn begins_at(&self, change: i128, width: i128) -> bool {
        let before = change + self.offset(change - 1);
        let behind = change + self.offset(change);
        floor(behind, width) >= before.min(behind)
    }

    fn dates(&self, time: i128) -> (i128, i128) {
        let local = time + self.offset(time);
        let day = local.div_euclid(i128::from(DAY_NS)) as i64;
        let mut index = match self.width {
            LocalWidth::Months(months) => months_of(day).div_euclid(months),
            LocalWidth::Days(days) => (day - first_day(days)).div_euclid(days),
            LocalWidth::Nanoseconds(_) => 0,
        };
        let (mut start, mut next) = (self.date_start(index), self.date_start(index + 1));
        // A clock that is set back over midnight shows yesterday's date again.
        while start > time {
            index -= 1;
            (start, next) = (self.date_start(index), start);
        }
        while next <= time {
            index += 1;
            (start, next) = (next, self.date_start(index + 1));
        }
        (start, next)
    }

    /// The first instant of a bucket of days or months.
    fn date_start(&self, index: i64) -> i128 {
        let date = match self.width {
            LocalWidth::Months(months) => {
                let month = index * months;
                let year = 1970 + month.div_euclid(12);
                Date::new(year as i16, (month.rem_euclid(12) + 1) as i8, 1).ok()
            }
            LocalWidth::Days(days) => date_of(first_day(days) + index * days),
            LocalWidth::Nanoseconds(_) => None,
        };
        let instant = date.and_then(|date| {
            let midnight = self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
            midnight.compatible().ok()
        });
        // Dates end thousands of years outside of time.
        let nowhere = if index < 0 { i128::MIN } else { i128::MAX };
        instant.map_or(nowhere, Instant::as_nanosecond)
    }

    /// What the clock is ahead of UTC, nanoseconds.
    fn offset(&self, time: i128) -> i128 {
        i128::from(self.zone.to_offset(instant(time)).seconds()) * SECOND_NS
    }

    /// When the clock was set last, `time` itself included.
    fn change_up_to(&self, time: i128) -> Option<i128> {
        let change = self.zone.preceding(instant(time + 1)).next()?;
        Some(change.timestamp().as_nanosecond())
    }

    fn change_behind(&self, time: i128) -> Option<i128> {
        let change = self.zone.following(instant(time)).next()?;
        Some(change.timestamp().as_nanosecond())
    }
}

fn floor(time: i128, width: i128) -> i128 {
    time - time.rem_euclid(width)
}

/// Times are within the years 1677 to 2262, instants within thousands.
fn instant(time: i128) -> Instant {
    Instant::from_nanosecond(time).unwrap_or(Instant::UNIX_EPOCH)
}

const fn first_day(days: i64) -> i64 {
    if days % 7 == 0 { MONDAY } else { 0 }
}

fn date_of(day: i64) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(day.days()).ok()
}

/// Months from the epoch's to that of a day.
fn months_of(day: i64) -> i64 {
    let date = date_of(day).unwrap_or(Date::constant(1970, 1, 1));
    (i64::from(date.year()) - 1970) * 12 + i64::from(date.month()) - 1
}

/// A time zone by its name in the IANA database; names near it where there is none.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Vec<String>> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    ZONES.get(name).map_err(|_| {
        let known: Vec<_> = ZONES.available().collect();
        near(name, known.iter().map(TimeZoneName::as_str))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::encode::time::rfc3339;
    use crate::query::sql::duration::{parse_interval, parse_time};

    fn at(text: &str) -> i64 {
        parse_time(text).expect("a time")
    }

    fn local(width: &str, place: &str) -> Buckets {
        let width = Width::months(width)
            .unwrap_or_else(|| Width::Nanoseconds(parse_interval(width).expect("a width")));
        Buckets::aligned(width, Some(zone(place).expect("a zone")))
    }

    /// The starts of all buckets from the one that holds `from` to the one that holds `to`.
    fn starts(buckets: &Buckets, from: &str, to: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut time = at(from);
        while time <= at(to) {
            let (start, next) = buckets.bounds(time);
            found.push(rfc3339(start));
            time = next.expect("more time");
        }
        found
    }

    #[test]
    fn days_have_23_and_25_hours_where_clocks_are_set() {
        let days = local("1 day", "Europe/Berlin");
        assert_eq!(
            starts(&days, "2024-03-30T12:00:00Z", "2024-04-01T12:00:00Z"),
            [
                "2024-03-29T23:00:00Z",
                "2024-03-30T23:00:00Z",
                "2024-03-31T22:00:00Z"
            ]
        );
        assert_eq!(
            starts(&days, "2024-10-27T12:00:00Z", "2024-10-28T12:00:00Z"),
            ["2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"]
        );
    }

    #[test]
    fn hours_that_come_twice_are_two_and_one_that_is_skipped_is_none() {
        let hours = local("1 hour", "Europe/Berlin");
        assert_eq!(
            starts(&hours, "2024-10-27T00:10:00Z", "2024-10-27T02:10:00Z"),
            [
                "2024-10-27T00:00:00Z",
                "2024-10-27T01:00:00Z",
                "2024-10-27T02:00:00Z"
            ]
        );
        let pairs = local("2 hours", "Europe/Berlin");
        // 00:00, then 02:00 that is shown as 03:00, then 04:00.
        assert_eq!(
            starts(&pairs, "2024-03-30T23:30:00Z", "2024-03-31T02:30:00Z"),
            [
                "2024-03-30T23:00:00Z",
                "2024-03-31T01:00:00Z",
                "2024-03-31T02:00:00Z"
            ]
        );
        let quarters = local("6 hours", "Europe/Berlin");
        assert_eq!(
            starts(&quarters, "2024-03-30T23:30:00Z", "2024-03-31T05:00:00Z"),
            ["2024-03-30T23:00:00Z", "2024-03-31T04:00:00Z"]
        );
        assert_eq!(
            starts(&quarters, "2024-10-26T22:30:00Z", "2024-10-27T06:00:00Z"),
            ["2024-10-26T22:00:00Z", "2024-10-27T05:00:00Z"]
        );
    }

    #[test]
    fn a_day_starts_at_one_where_midnight_is_skipped() {
        let days = local("1 day", "America/Sao_Paulo");
        assert_eq!(
            starts(&days, "2018-11-03T12:00:00Z", "2018-11-04T12:00:00Z"),
            ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"]
        );
        // Clocks go back from midnight to 23:00.
        assert_eq!(
            starts(&days, "2018-02-17T12:00:00Z", "2018-02-18T12:00:00Z"),
            ["2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"]
        );
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let weeks = local("1 week", "Asia/Kolkata");
        let found = weeks.start(at("2024-03-01T00:00:00+05:30"));
        assert_eq!(found, at("2024-02-26T00:00:00+05:30"));
        let months = local("1 month", "Asia/Kolkata");
        assert_eq!(
            months.bounds(at("2024-02-29T12:00:00Z")),
            (
                at("2024-02-01T00:00:00+05:30"),
                Some(at("2024-03-01T00:00:00+05:30"))
            )
        );
        let years = Buckets::aligned(Width::Months(12), None);
        assert_eq!(years.start(at("1969-05-01")), at("1969-01-01"));
    }

    #[test]
    fn buckets_follow_one_another_everywhere() {
        for place in [
            "Europe/Berlin",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Pacific/Apia",
            "America/Havana",
            "Antarctica/Troll",
        ] {
            for width in [
                "15 minutes",
                "1 hour",
                "7 hours",
                "36 hours",
                "1 day",
                "1 week",
                "1 month",
            ] {
                let buckets = local(width, place);
                let mut time = at("2010-12-25T00:00:00Z");
                while time < at("2012-01-05T00:00:00Z") {
                    let (start, next) = buckets.bounds(time);
                    let next = next.expect("more time");
                    assert!(start <= time && time < next, "{place} {width} {time}");
                    for inside in [start, i64::midpoint(start, next), next - 1] {
                        assert_eq!(
                            buckets.bounds(inside),
                            (start, Some(next)),
                            "{place} {width} {time} {inside}"
                        );
                    }
                    assert_eq!(buckets.start(next), next, "{place} {width}");
                    time = next;
                }
            }
        }
    }

    #[test]
    fn both_ends_of_time_lie_in_a_bucket() {
        for width in ["1 hour", "1 day", "1 month"] {
            let buckets = local(width, "Europe/Berlin");
            let (start, next) = buckets.bounds(i64::MIN);
            assert!(start == i64::MIN && next.is_some());
            let (start, next) = buckets.bounds(i64::MAX);
            assert!(start > 0 && next.is_none());
        }
    }

    #[test]
    fn a_zone_that_is_not_there_has_neighbours() {
        let near = zone("Europe/Berln").expect_err("no such place");
        assert_eq!(near[0], "Europe/Berlin");
    }
}
