//! Whether there is room for one more series, and who takes it up where there is none.
//!
//! Rows that are refused may come as fast as others: which measurement is the largest is looked up once for
//! each state of the catalog.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::catalog::{Catalog, CatalogError, Maker, Measurement};
use crate::types::{DatabaseId, MeasurementId, TokenId};

/// The largest measurements, as of a generation of the catalog.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    known: Mutex<(u64, BTreeMap<Whole, MeasurementId>)>,
}

/// What a measurement is the largest of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whole {
    Store,
    Database(DatabaseId),
    /// Of the series of a token.
    Token(TokenId),
}

impl Catalog {
    /// Refuses one more series of a database where a limit is reached: its own, the store's or its maker's.
    pub fn check_room(
        &self,
        database: DatabaseId,
        maker: Option<&Maker>,
    ) -> Result<(), CatalogError> {
        let limit = self.limits.series_per_database_max;
        let held = self
            .database_by_id(database)
            .map_or(0, |found| found.series_count);
        if limit > 0 && held >= limit {
            let of = Whole::Database(database);
            return Err(self.too_many(of, "limits.series_per_database_max", limit));
        }
        let limit = self.limits.series_max;
        if self.series_count() >= limit {
            return Err(self.too_many(Whole::Store, "limits.series_max", limit));
        }
        match maker {
            Some(maker)
                if maker.series_max > 0
                    && self.series_of_token(maker.token) >= maker.series_max =>
            {
                Err(self.too_many_of(maker))
            }
            _ => Ok(()),
        }
    }

    fn too_many_of(&self, maker: &Maker) -> CatalogError {
        let largest = self.largest(Whole::Token(maker.token));
        let owner = largest.and_then(|found| self.database_by_id(found.database));
        let held = self.held(maker.token);
        let held = largest.and_then(|found| held?.by_measurement.get(&found.id));
        CatalogError::TooManySeriesOfToken {
            token: maker.name.to_string(),
            limit: maker.series_max,
            database: owner.map_or_else(String::new, |owner| owner.name.to_string()),
            measurement: largest.map_or_else(String::new, |found| found.name.to_string()),
            held: held.copied().unwrap_or(0),
        }
    }

    fn too_many(&self, of: Whole, option: &'static str, limit: usize) -> CatalogError {
        let largest = self.largest(of);
        let owner = largest.and_then(|found| self.database_by_id(found.database));
        CatalogError::TooManySeries {
            option,
            limit,
            database: owner.map_or_else(String::new, |owner| owner.name.to_string()),
            measurement: largest.map_or_else(String::new, |found| found.name.to_string()),
            held: largest.map_or(0, Measurement::series_count),
        }
    }

    /// The measurement with most series, of the store, of a database or of a token.
    fn largest(&self, of: Whole) -> Option<&Measurement> {
        let mut known = self.crowd.known.lock();
        if known.0 != self.generation() {
            *known = (self.generation(), BTreeMap::new());
        }
        if let Some(&id) = known.1.get(&of) {
            return self.measurement_by_id(id);
        }
        let mut all = self.measurements();
        let largest = match of {
            Whole::Store => all.max_by_key(|found| found.series_count()),
            Whole::Database(database) => all
                .by_ref()
                .filter(|found| found.database == database)
                .max_by_key(|found| found.series_count()),
            Whole::Token(token) => {
                let held = self.held(token)?.by_measurement.iter();
                let most = held.max_by_key(|(_, count)| **count);
                most.and_then(|(&id, _)| self.measurement_by_id(id))
            }
        };
        if let Some(found) = largest {
            known.1.insert(of, found.id);
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogLimits, HashSeed, SeriesKey};

    fn catalog(series_max: usize, series_per_database_max: usize) -> Catalog {
        let limits = CatalogLimits {
            databases_max: 9,
            series_max,
            series_per_database_max,
            columns_max: 9,
        };
        Catalog::new(limits, HashSeed(1))
    }

    fn add(
        catalog: &mut Catalog,
        database: &str,
        measurement: &str,
        host: &str,
    ) -> Result<(), CatalogError> {
        let database = catalog.ensure_database(database)?;
        let measurement = catalog.ensure_measurement(database, measurement)?;
        let tags = &[("host", host)];
        catalog.ensure_series(&SeriesKey { measurement, tags })?;
        Ok(())
    }

    #[test]
    fn the_refusal_names_the_limit_and_who_has_most_of_it() {
        let mut catalog = catalog(5, 3);
        for host in ["1", "2", "3"] {
            add(&mut catalog, "a", "big", host).expect("room");
        }
        let refused = add(&mut catalog, "a", "small", "1").expect_err("no room");
        assert_eq!(
            refused.to_string(),
            "limits.series_per_database_max = 3 is reached; \
             measurement \"big\" of database \"a\" holds 3 of them"
        );
        add(&mut catalog, "b", "some", "1").expect("room");
        add(&mut catalog, "b", "other", "1").expect("room");
        let refused = add(&mut catalog, "b", "some", "2").expect_err("no room");
        assert_eq!(
            refused.to_string(),
            "limits.series_max = 5 is reached; \
             measurement \"big\" of database \"a\" holds 3 of them"
        );
        // What is known already is there as before.
        add(&mut catalog, "a", "big", "2").expect("known");
    }

    #[test]
    fn a_measurement_that_is_dropped_makes_room_and_is_not_named_any_more() {
        let mut catalog = catalog(4, 0);
        for host in ["1", "2", "3"] {
            add(&mut catalog, "a", "big", host).expect("room");
        }
        add(&mut catalog, "b", "some", "1").expect("room");
        add(&mut catalog, "b", "some", "2").expect_err("no room");
        let big = catalog.measurement("a", "big").expect("known").id;
        catalog.drop_measurement(big, &[]);
        let of_a = catalog.database("a").expect("known").series_count;
        assert_eq!((catalog.series_count(), of_a), (1, 0));
        for host in ["2", "3", "4"] {
            add(&mut catalog, "b", "some", host).expect("room");
        }
        let refused = add(&mut catalog, "a", "big", "1").expect_err("no room");
        assert!(refused.to_string().contains("\"some\""), "{refused}");
    }
}
