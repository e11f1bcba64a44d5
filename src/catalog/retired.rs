//! Series that have given their place back because no row of them is left.
//!
//! Their number is never used again; their key is free for a new series. What still names the number for a
//! while, because it was resolved before, finds the key here.

use std::collections::HashMap;
use std::ops::Range;

use roaring::RoaringBitmap;

use crate::catalog::{Catalog, CatalogError, Maker, SeriesEntry, SeriesKey};
use crate::types::{SeriesId, TokenId};

/// Numbers of series. Long runs of them take few bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesSet(RoaringBitmap);

impl SeriesSet {
    /// Whether a number is in it.
    #[inline]
    pub fn contains(&self, id: SeriesId) -> bool {
        self.0.contains(id.0)
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs of numbers that are in it and not in another set, ascending.
    pub fn runs_beyond(&self, other: &Self) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for id in &(&self.0 - &other.0) {
            match runs.last_mut() {
                Some(run) if run.end == id => run.end += 1,
                _ => runs.push(id..id + 1),
            }
        }
        runs
    }

    /// Adds a number.
    pub fn insert(&mut self, id: SeriesId) {
        self.0.insert(id.0);
    }

    /// Adds a run of numbers.
    pub fn insert_run(&mut self, run: Range<u32>) {
        self.0.insert_range(run);
    }
}

/// What is known of series that are no longer there.
#[derive(Debug, Default)]
pub(super) struct Retired {
    all: SeriesSet,
    /// Those of this round, for whoever has resolved them before.
    recent: HashMap<SeriesId, Gone>,
    /// Those of the round before.
    earlier: HashMap<SeriesId, Gone>,
}

/// A series that was retired, and whose it was.
type Gone = (SeriesEntry, Option<TokenId>);

impl Catalog {
    /// Whether a series has given its place back.
    #[inline]
    pub fn is_retired(&self, id: SeriesId) -> bool {
        self.retired.all.contains(id)
    }

    /// All series that have given their place back.
    pub fn retired(&self) -> &SeriesSet {
        &self.retired.all
    }

    /// Series of a run of numbers, as far as they are there, give their place back; which.
    pub fn retire_series(&mut self, run: Range<u32>) -> Vec<SeriesEntry> {
        self.reserve(0, 0, run.end);
        let there = self.series_from(run.start);
        let there = there.take_while(|series| series.id.0 < run.end);
        let gone: Vec<SeriesEntry> = there.cloned().collect();
        for series in &gone {
            let owner = self.owner(series.id);
            self.take_series(series.id);
            let gone = (series.clone(), owner);
            self.retired.recent.insert(series.id, gone);
        }
        self.retired.all.insert_run(run);
        self.touch();
        gone
    }

    /// Begins a round: the keys of series that were retired before the last one are forgotten.
    pub fn forget_retired(&mut self) {
        self.retired.all.0.optimize();
        let recent = std::mem::take(&mut self.retired.recent);
        for (_, (series, _)) in std::mem::replace(&mut self.retired.earlier, recent) {
            for (name, value) in &*series.tags {
                self.forget(name);
                self.forget(value);
            }
        }
    }

    /// The series that has the key of one that was retired not long ago, made where there is none: for the same token,
    /// whose limit is asked for.
    pub fn successor(
        &mut self,
        retired: SeriesId,
        maker_of: &dyn Fn(TokenId) -> Maker,
    ) -> Result<SeriesId, CatalogError> {
        let Retired {
            recent, earlier, ..
        } = &self.retired;
        let entry = recent.get(&retired).or_else(|| earlier.get(&retired));
        let unknown = CatalogError::Unknown {
            what: "series",
            id: retired.0,
        };
        let (entry, owner) = entry.ok_or(unknown)?.clone();
        let tags: Vec<(&str, &str)> = entry.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        let measurement = entry.measurement;
        let key = SeriesKey {
            measurement,
            tags: &tags,
        };
        self.ensure_series_of(&key, owner.map(maker_of).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogLimits, HashSeed, TagFilter};
    use crate::types::MeasurementId;

    fn catalog() -> (Catalog, MeasurementId) {
        let limits = CatalogLimits {
            databases_max: 9,
            series_max: 3,
            series_per_database_max: 0,
            columns_max: 9,
        };
        let mut catalog = Catalog::new(limits, HashSeed(1));
        let database = catalog.ensure_database("d").expect("room");
        let m = catalog.ensure_measurement(database, "m").expect("room");
        (catalog, m)
    }

    fn nobody(_: TokenId) -> Maker {
        unreachable!("no token made any")
    }

    fn add(catalog: &mut Catalog, measurement: MeasurementId, host: &str) -> Option<SeriesId> {
        let tags = &[("host", host)];
        let key = SeriesKey { measurement, tags };
        catalog.ensure_series(&key).ok()
    }

    #[test]
    fn a_retired_series_makes_room_and_its_number_stays_its_own() {
        let (mut catalog, m) = catalog();
        for host in ["a", "b", "c"] {
            assert!(add(&mut catalog, m, host).is_some());
        }
        assert_eq!(add(&mut catalog, m, "d"), None, "three at most");
        let gone = catalog.retire_series(0..2);
        assert_eq!(gone.iter().map(|s| s.id.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(catalog.series_count(), 1);
        let of = catalog.measurement_by_id(m).expect("stays");
        assert_eq!(of.series().collect::<Vec<_>>(), [SeriesId(2)]);
        assert!(of.select(&TagFilter::Is("host", "a")).is_empty());
        assert_eq!(of.database, catalog.database("d").expect("stays").id);
        // The key is free, the number is not.
        assert_eq!(add(&mut catalog, m, "a"), Some(SeriesId(3)));
        assert!(catalog.is_retired(SeriesId(0)) && !catalog.is_retired(SeriesId(3)));
        // Its definition that comes back changes nothing.
        let again = catalog.define_series(SeriesId(1), m, &[("host", "b")]);
        again.expect("passed over");
        assert_eq!(catalog.series(SeriesId(1)).map(|s| s.id), None);
        assert_eq!(catalog.series_count(), 2);
        // Twice is once.
        assert!(catalog.retire_series(0..2).is_empty());
        assert_eq!(catalog.retired().len(), 2);
    }

    #[test]
    fn whoever_resolved_it_before_finds_its_successor() {
        let (mut catalog, m) = catalog();
        let old = add(&mut catalog, m, "a").expect("room");
        catalog.retire_series(0..1);
        let new = catalog.successor(old, &nobody).expect("made");
        assert_ne!(new, old);
        assert_eq!(catalog.successor(old, &nobody), Ok(new));
        assert_eq!(add(&mut catalog, m, "a"), Some(new));
        let unknown = |id| CatalogError::Unknown { what: "series", id };
        assert_eq!(catalog.successor(SeriesId(7), &nobody), Err(unknown(7)));
        assert_eq!(
            catalog.successor(new, &nobody),
            Err(unknown(new.0)),
            "it is there"
        );
    }

    #[test]
    fn runs_say_what_a_set_has_beyond_another() {
        let mut one = SeriesSet::default();
        one.insert_run(3..7);
        one.insert_run(9..10);
        let before = one.clone();
        assert_eq!(one.runs_beyond(&SeriesSet::default()), [3..7, 9..10]);
        one.insert_run(7..9);
        assert_eq!(one.runs_beyond(&before), std::slice::from_ref(&(7..9)));
        assert_eq!(one.runs_beyond(&one), []);
        assert_eq!((one.len(), one.is_empty()), (7, false));
    }

    #[test]
    fn names_that_nobody_has_any_more_are_forgotten() {
        let (mut catalog, m) = catalog();
        for round in 0..2_000_u32 {
            let host = format!("host-{round}");
            let id = add(&mut catalog, m, &host).expect("room");
            catalog.retire_series(id.0..id.0 + 1);
        }
        let last = add(&mut catalog, m, "last").expect("room");
        assert_eq!(last, SeriesId(2_000));
        let values = |catalog: &Catalog| {
            let of = catalog.measurement_by_id(m).expect("stays");
            of.tag_values("host", 0).count()
        };
        assert!(values(&catalog) <= 513, "{}", values(&catalog));
        // Who resolved them before finds them for two rounds.
        catalog.forget_retired();
        let strings = catalog.string_count();
        assert!(strings > 2_000);
        catalog.successor(SeriesId(7), &nobody).expect("known");
        catalog.forget_retired();
        catalog
            .successor(SeriesId(8), &nobody)
            .expect_err("forgotten");
        // host, d, m, host-7, last
        assert_eq!(catalog.string_count(), 5);
    }
}
