//! Why a name cannot be had.

/// A refusal of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// More series than the limit allows.
    #[error(
        "the limit of {limit} series is reached; measurement {measurement:?} holds {held} of them"
    )]
    TooManySeries {
        /// The limit.
        limit: usize,
        /// The measurement that was written to.
        measurement: String,
        /// Series it holds.
        held: usize,
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
                | Self::TooManyColumns { .. }
                | Self::TooManyDatabases { .. }
        )
    }
}
