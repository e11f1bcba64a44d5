//! Whose series are: by which token's rows they came into being, and how many each token has.
//!
//! A series has the owner that it began with for as long as it is there. What nobody's token made has none, and takes
//! no memory here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogError};
use crate::paged::Paged;
use crate::types::{MeasurementId, SeriesId, TokenId};

/// By whose rows a series comes into being, and how many it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The token.
    pub token: TokenId,
    /// Its name.
    pub name: Arc<str>,
    /// Series that it may have; 0: no limit.
    pub series_max: u64,
}

/// The series of all tokens.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By series; 0: nobody.
    of: Paged<TokenId>,
    held: BTreeMap<TokenId, Held>,
}

/// What a token has.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) series: u64,
    pub(super) by_measurement: BTreeMap<MeasurementId, u64>,
}

const NOBODY: TokenId = TokenId(0);

impl Catalog {
    /// The token by whose rows a series came into being.
    pub fn owner(&self, series: SeriesId) -> Option<TokenId> {
        let owner = self.owners.of.get(series.0 as usize).copied();
        owner.filter(|&owner| owner != NOBODY)
    }

    /// How many series a token has.
    pub fn series_of_token(&self, token: TokenId) -> u64 {
        self.owners.held.get(&token).map_or(0, |held| held.series)
    }

    /// The highest number of a token that has series.
    pub fn highest_owner(&self) -> Option<TokenId> {
        self.owners.held.last_key_value().map(|(&token, _)| token)
    }

    /// Adopts the owner of a series.
    pub fn define_owner(&mut self, series: SeriesId, token: TokenId) -> Result<(), CatalogError> {
        if let Some(known) = self.owner(series) {
            if known == token {
                return Ok(());
            }
            return Err(CatalogError::Contradiction {
                what: "owner of series",
                id: series.0,
                known: known.to_string(),
                given: token.to_string(),
            });
        }
        let Some(entry) = self.series(series) else {
            if self.is_dropped(series) || self.is_retired(series) {
                return Ok(());
            }
            return Err(CatalogError::Unknown {
                what: "series",
                id: series.0,
            });
        };
        let measurement = entry.measurement;
        *self
            .owners
            .of
            .get_or_make(series.0 as usize, TokenId::default) = token;
        let held = self.owners.held.entry(token).or_default();
        held.series += 1;
        *held.by_measurement.entry(measurement).or_default() += 1;
        self.touch();
        Ok(())
    }

    /// A series of a measurement goes, and its owner has one less.
    pub(super) fn disown(&mut self, series: SeriesId, measurement: MeasurementId) {
        let Some(owner) = self.owner(series) else {
            return;
        };
        let index = series.0 as usize;
        self.owners.of[index] = NOBODY;
        self.owners.of.give_back(index, |&owner| owner == NOBODY);
        let Some(held) = self.owners.held.get_mut(&owner) else {
            return;
        };
        held.series = held.series.saturating_sub(1);
        if let Some(count) = held.by_measurement.get_mut(&measurement) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.by_measurement.remove(&measurement);
            }
        }
        if held.series == 0 {
            self.owners.held.remove(&owner);
        }
    }

    /// What a token has.
    pub(super) fn held(&self, token: TokenId) -> Option<&Held> {
        self.owners.held.get(&token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CatalogLimits, HashSeed, SeriesKey};

    fn catalog() -> Catalog {
        let limits = CatalogLimits {
            databases_max: 9,
            series_max: 100,
            series_per_database_max: 0,
            columns_max: 9,
        };
        Catalog::new(limits, HashSeed(1))
    }

    fn maker(token: u32, series_max: u64) -> Maker {
        Maker {
            token: TokenId(token),
            name: format!("t{token}").into(),
            series_max,
        }
    }

    fn add(
        catalog: &mut Catalog,
        (measurement, host): (&str, &str),
        maker: Option<&Maker>,
    ) -> Result<SeriesId, CatalogError> {
        let database = catalog.ensure_database("d")?;
        let measurement = catalog.ensure_measurement(database, measurement)?;
        let tags = &[("host", host)];
        catalog.ensure_series_of(&SeriesKey { measurement, tags }, maker)
    }

    #[test]
    fn a_token_has_as_many_series_as_it_made_and_no_more_than_it_may() {
        let mut catalog = catalog();
        let (one, two) = (maker(1, 3), maker(2, 0));
        let a = add(&mut catalog, ("m", "a"), Some(&one)).expect("room");
        add(&mut catalog, ("m", "b"), Some(&one)).expect("room");
        add(&mut catalog, ("n", "a"), Some(&one)).expect("room");
        let of_two = add(&mut catalog, ("n", "b"), Some(&two)).expect("room");
        let nobodys = add(&mut catalog, ("n", "c"), None).expect("room");
        assert_eq!(catalog.owner(a), Some(TokenId(1)));
        assert_eq!(catalog.owner(of_two), Some(TokenId(2)));
        assert_eq!(catalog.owner(nobodys), None);
        assert_eq!(catalog.series_of_token(TokenId(1)), 3);
        let refused = add(&mut catalog, ("n", "d"), Some(&one)).expect_err("no room");
        assert!(refused.is_limit());
        assert_eq!(
            refused.to_string(),
            "series_max = 3 of token \"t1\" is reached; \
             measurement \"m\" of database \"d\" holds 2 of its series"
        );
        // What is there stays whose it is, whoever writes to it.
        assert_eq!(add(&mut catalog, ("n", "b"), Some(&one)), Ok(of_two));
        assert_eq!(catalog.series_of_token(TokenId(1)), 3);
        assert_eq!(catalog.highest_owner(), Some(TokenId(2)));
    }

    #[test]
    fn what_goes_gives_its_place_to_its_owner() {
        let mut catalog = catalog();
        let one = maker(1, 2);
        let a = add(&mut catalog, ("m", "a"), Some(&one)).expect("room");
        add(&mut catalog, ("n", "a"), Some(&one)).expect("room");
        catalog.retire_series(a.0..a.0 + 1);
        assert_eq!(catalog.series_of_token(TokenId(1)), 1);
        assert_eq!(catalog.owner(a), None);
        add(&mut catalog, ("n", "b"), Some(&one)).expect("room again");
        assert!(add(&mut catalog, ("n", "c"), Some(&one)).is_err());
        let n = catalog.measurement("d", "n").expect("known").id;
        catalog.drop_measurement(n, &[]);
        assert_eq!(catalog.series_of_token(TokenId(1)), 0);
        assert_eq!(catalog.highest_owner(), None);
        // Definitions that come back change nothing.
        catalog.define_owner(a, TokenId(1)).expect("passed over");
        assert_eq!(catalog.series_of_token(TokenId(1)), 0);
    }

    #[test]
    fn an_owner_is_for_ever() {
        let mut catalog = catalog();
        let a = add(&mut catalog, ("m", "a"), Some(&maker(1, 0))).expect("room");
        catalog.define_owner(a, TokenId(1)).expect("the same");
        assert!(catalog.define_owner(a, TokenId(2)).is_err());
        assert!(catalog.define_owner(SeriesId(9), TokenId(1)).is_err());
        assert_eq!(catalog.series_of_token(TokenId(1)), 1);
    }

    #[test]
    fn the_successor_of_a_series_has_its_owner_and_needs_its_room() {
        let mut catalog = catalog();
        let one = maker(1, 1);
        let old = add(&mut catalog, ("m", "a"), Some(&one)).expect("room");
        catalog.retire_series(old.0..old.0 + 1);
        let makers = |_| one.clone();
        let new = catalog.successor(old, &makers).expect("room");
        assert_eq!(catalog.owner(new), Some(TokenId(1)));
        catalog.retire_series(new.0..new.0 + 1);
        add(&mut catalog, ("m", "b"), Some(&one)).expect("room");
        assert!(catalog.successor(new, &makers).is_err(), "it is taken");
    }
}
