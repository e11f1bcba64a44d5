//! Why a name cannot be had.

use crate::types::FieldType;

/// A refusal of the catalog.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// More series than a limit allows.
    #[error(
        "{option} = {limit} is reached; measurement {measurement:?} of database {database:?} holds {held} of them"
    )]
    TooManySeries {
        /// The option that sets the limit.
        option: &'static str,
        /// The limit.
        limit: usize,
        /// The database of the measurement.
        database: String,
        /// The measurement that has most of them, whichever was written to.
        measurement: String,
        /// Series it holds.
        held: usize,
    },
    /// More series than a token may have.
    #[error(
        "series_max = {limit} of token {token:?} is reached; \
         measurement {measurement:?} of database {database:?} holds {held} of its series"
    )]
    TooManySeriesOfToken {
        /// The token's name.
        token: String,
        /// Its limit.
        limit: u64,
        /// The database of the measurement.
        database: String,
        /// The measurement that has most of them, whichever was written to.
        measurement: String,
        /// Series of the token that it holds.
        held: u64,
    },
    /// More columns than a measurement may have.
    #[error("measurement {measurement:?} already has {limit} columns, its limit")]
    TooManyColumns {
        /// The measurement.
        measurement: String,
        /// The limit.
        limit: usize,
    },
    /// More databases than the limit allows.
    #[error("the limit of {limit} databases is reached")]
    TooManyDatabases {
        /// The limit.
        limit: usize,
    },
    /// A value of another type than the field's, where the measurement does not take it.
    #[error("field {field:?} of measurement {measurement:?} is {known}, not {given}")]
    TypeConflict {
        /// The measurement.
        measurement: String,
        /// The field.
        field: String,
        /// Its type.
        known: FieldType,
        /// The value's.
        given: FieldType,
    },
    /// A field that nobody declared, of a measurement that takes no other.
    #[error("measurement {measurement:?} is strict, and field {field:?} is not declared")]
    FieldNotDeclared {
        /// The measurement.
        measurement: String,
        /// The field.
        field: String,
    },
    /// A value outside the declared range of its field.
    #[error("field {field:?}: {value} is not between {min} and {max}")]
    OutOfRange {
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// The least value.
        min: f64,
        /// The greatest value.
        max: f64,
    },
    /// A definition that contradicts what is known.
    #[error("{what} {id} is already defined as {known:?}, not {given:?}")]
    Contradiction {
        /// The kind of thing.
        what: &'static str,
        /// Its number.
        id: u32,
        /// Its name so far.
        known: String,
        /// The other name.
        given: String,
    },
    /// A definition whose owner is not known.
    #[error("{what} {id} is not defined")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// Its number.
        id: u32,
    },
}

impl CatalogError {
    /// Whether a limit on the number of names was reached.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManySeries { .. }
                | Self::TooManySeriesOfToken { .. }
                | Self::TooManyColumns { .. }
                | Self::TooManyDatabases { .. }
        )
    }
}
