//! A tier: buckets of one width, aligned to the epoch. Widths come from a list, so that a chunk says with one byte what
//! its buckets are, and one width has one name everywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::{TimeRange, Timestamp};

/// Buckets of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&str", try_from = "String")]
pub struct Tier {
    width_ns: i64,
}

/// A width that buckets cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no buckets of {name:?}; there are {}", Tier::names())]
pub struct UnknownTier {
    /// What was named.
    pub name: String,
}

/// All widths: the number in a chunk, the name, the seconds. Numbers are for good.
const ALL: [(u8, &str, i64); 15] = [
    (4, "1s", 1),
    (5, "5s", 5),
    (1, "10s", 10),
    (6, "15s", 15),
    (7, "30s", 30),
    (2, "1m", 60),
    (8, "5m", 300),
    (9, "10m", 600),
    (10, "15m", 900),
    (11, "30m", 1_800),
    (3, "1h", 3_600),
    (12, "3h", 10_800),
    (13, "6h", 21_600),
    (14, "12h", 43_200),
    (15, "1d", 86_400),
];

/// Something that is counted by tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierCounts([u64; ALL.len()]);

impl TierCounts {
    /// Counts some more of a tier.
    pub fn add(&mut self, tier: Tier, count: u64) {
        let of_tier = Tier::all().position(|known| known == tier);
        if let Some(known) = of_tier.and_then(|place| self.0.get_mut(place)) {
            *known += count;
        }
    }

    /// Counts as many more of each tier.
    pub fn absorb(&mut self, other: &Self) {
        for (known, more) in self.0.iter_mut().zip(other.0) {
            *known += more;
        }
    }

    /// The tiers of which there is something, finest first.
    pub fn iter(&self) -> impl Iterator<Item = (Tier, u64)> {
        let all = Tier::all().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}

impl Tier {
    /// Ten seconds.
    pub const TEN_SECONDS: Self = Self::of_seconds(10);
    /// A minute.
    pub const MINUTE: Self = Self::of_seconds(60);
    /// An hour.
    pub const HOUR: Self = Self::of_seconds(3_600);
    /// Those that are meant where nobody says which.
    pub const USUAL: [Self; 3] = [Self::TEN_SECONDS, Self::MINUTE, Self::HOUR];

    const fn of_seconds(seconds: i64) -> Self {
        Self {
            width_ns: seconds * NS_PER_S,
        }
    }

    /// All of them, finest first.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|&(_, _, seconds)| Self::of_seconds(seconds))
    }

    /// The one that a chunk names by a number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        let found = ALL.iter().find(|known| known.0 == number);
        found.map(|&(_, _, seconds)| Self::of_seconds(seconds))
    }

    /// How a chunk names it.
    #[must_use]
    pub fn number(self) -> u8 {
        self.known().0
    }

    /// How people name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.known().1
    }

    fn known(self) -> (u8, &'static str, i64) {
        let found = ALL
            .iter()
            .find(|known| Self::of_seconds(known.2) == self)
            .copied();
        found.expect("tiers are made of the list alone")
    }

    fn names() -> String {
        let names: Vec<&str> = ALL.iter().map(|known| known.1).collect();
        names.join(", ")
    }

    /// Nanoseconds of a bucket.
    #[must_use]
    pub const fn width_ns(self) -> i64 {
        self.width_ns
    }

    /// Whether the buckets of this tier are made of whole buckets of another.
    #[must_use]
    pub const fn is_made_of(self, finer: Self) -> bool {
        self.width_ns % finer.width_ns == 0
    }

    /// Where the bucket of a time starts. One that would start before the first time starts there.
    #[must_use]
    pub const fn start_of(self, time: Timestamp) -> Timestamp {
        time.saturating_sub(time.rem_euclid(self.width_ns))
    }

    /// Where the bucket of a time ends.
    #[must_use]
    pub const fn end_of(self, time: Timestamp) -> Timestamp {
        self.bucket_of(time).end
    }

    /// The times of the bucket that a time lies in.
    #[must_use]
    pub const fn bucket_of(self, time: Timestamp) -> TimeRange {
        let into = time.rem_euclid(self.width_ns);
        TimeRange {
            start: time.saturating_sub(into),
            // The last one includes the greatest time.
            end: time.saturating_add(self.width_ns - into),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<Self, UnknownTier> {
        let found = ALL.iter().find(|known| known.1 == name);
        let tier = found.map(|&(_, _, seconds)| Self::of_seconds(seconds));
        tier.ok_or_else(|| UnknownTier {
            name: name.to_owned(),
        })
    }
}

impl From<Tier> for &str {
    fn from(tier: Tier) -> Self {
        tier.name()
    }
}

impl TryFrom<String> for Tier {
    type Error = UnknownTier;

    fn try_from(name: String) -> Result<Self, UnknownTier> {
        name.parse()
    }
}

const NS_PER_S: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_has_one_name_and_one_number() {
        let all: Vec<Tier> = Tier::all().collect();
        assert!(all.is_sorted_by(|finer, coarser| finer < coarser));
        for (index, &tier) in all.iter().enumerate() {
            assert_eq!(Tier::of_number(tier.number()), Some(tier));
            assert_eq!(tier.name().parse(), Ok(tier));
            let (count, unit) = tier.name().split_at(tier.name().len() - 1);
            let seconds = ["s", "m", "h", "d"].iter().zip([1, 60, 3_600, 86_400]);
            let seconds = seconds.filter(|(known, _)| **known == unit);
            let seconds: i64 = seconds.map(|(_, seconds)| seconds).sum();
            let width_s = count.parse::<i64>().map(|count| count * seconds);
            assert_eq!(width_s, Ok(tier.width_ns() / NS_PER_S), "{tier}");
            for other in &all[..index] {
                assert_ne!(other.number(), tier.number());
            }
        }
        assert_eq!(format!("{:<4}|", Tier::MINUTE), "1m  |");
        // What stores have.
        assert_eq!(Tier::USUAL.map(Tier::number), [1, 2, 3]);
        assert_eq!((Tier::of_number(0), Tier::of_number(16)), (None, None));
        let error = "2s".parse::<Tier>().expect_err("is none");
        assert!(error.to_string().contains("1s, 5s, 10s"), "{error}");
    }
}
