//! Identifiers, positions and times. Newtypes only, so that no id is taken for another.

mod layout;
mod rules;

pub use self::layout::{FieldId, Layout, LayoutColumn};
pub use self::rules::{FieldRule, SchemaMode, is_numeric};
pub use edgetime_protocol::types::{AckLevel, FieldType, Precision};

/// Nanoseconds since the Unix epoch. Never rounded inside.
pub type Timestamp = i64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A database. Never reused within a store.
    DatabaseId(u32)
}
id! {
    /// A measurement of one database. Unique in the store, never reused.
    MeasurementId(u32)
}
id! {
    /// A series: measurement and tag set. Unique in the store, never reused.
    SeriesId(u32)
}
id! {
    /// A column of a measurement: one type lane of one field. Counts from 0 within its measurement.
    ColumnId(u16)
}
id! {
    /// A token. Never reused within a store; 0 is none.
    TokenId(u32)
}
id! {
    /// A place in the log: bytes since the store began, over all segments. Strictly increasing.
    Position(u64)
}
id! {
    /// A generation of one log segment. Strictly increasing over the life of a store.
    Epoch(u64)
}
id! {
    /// A store's random identity: log segments and block files of another store never validate.
    StoreId(u64)
}

/// A half-open range of time: `start <= t < end`, except that `end == i64::MAX` includes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First time inside, nanoseconds.
    pub start: Timestamp,
    /// First time beyond, nanoseconds; `i64::MAX` means no end.
    pub end: Timestamp,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self {
        start: i64::MIN,
        end: i64::MAX,
    };

    /// Whether a time lies inside.
    #[inline]
    #[must_use]
    pub const fn contains(self, time: Timestamp) -> bool {
        self.start <= time && (time < self.end || self.end == i64::MAX)
    }

    /// Whether anything of the closed range `first..=last` lies inside.
    #[inline]
    #[must_use]
    pub const fn overlaps(self, first: Timestamp, last: Timestamp) -> bool {
        !self.is_empty() && self.start <= last && (first < self.end || self.end == i64::MAX)
    }

    /// Whether all of the closed range `first..=last` lies inside.
    #[inline]
    #[must_use]
    pub const fn covers(self, first: Timestamp, last: Timestamp) -> bool {
        self.contains(first) && self.contains(last)
    }

    /// Whether nothing can lie inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start >= self.end && self.end != i64::MAX
    }

    /// What lies in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_nanosecond_can_be_included() {
        assert!(TimeRange::ALL.contains(i64::MAX));
        assert!(TimeRange::ALL.contains(i64::MIN));
        let upside_down = TimeRange { start: 10, end: 5 };
        assert!(upside_down.is_empty() && !upside_down.overlaps(0, 20));
        let half = TimeRange { start: 0, end: 10 };
        assert!(half.contains(0) && !half.contains(10));
        assert!(half.overlaps(-5, 0) && !half.overlaps(10, 20));
        assert!(half.covers(0, 9) && !half.covers(0, 10));
    }
}
