//! Names of series, from the definitions of state files and the log.

use std::collections::HashMap;
use std::ops::Range;

use crate::log::PayloadError;
use crate::log::definitions::{self, Definition};
use crate::types::{DatabaseId, MeasurementId, SeriesId};

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    databases: HashMap<DatabaseId, String>,
    measurements: HashMap<MeasurementId, String>,
    /// Measurement and `,tag=value` of each.
    series: HashMap<SeriesId, (MeasurementId, String)>,
    /// Series that gave their place back: their names may be forgotten.
    retired: Vec<Range<u32>>,
}

impl Names {
    /// Learns what a payload defines.
    pub(super) fn learn(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        definitions::decode(payload, |definition| match definition {
            Definition::Database { id, name } => {
                self.databases.insert(id, name.to_owned());
            }
            Definition::Measurement { id, name, .. } => {
                self.measurements.insert(id, name.to_owned());
            }
            Definition::Series {
                id,
                measurement,
                tags,
            } => {
                let tags = tags.iter().map(|(name, value)| format!(",{name}={value}"));
                self.series.insert(id, (measurement, tags.collect()));
            }
            Definition::Retired { runs } => self.retired.extend(runs),
            // What is dropped keeps its name here: chunks of it may still lie in files.
            Definition::Column { .. }
            | Definition::Dropped { .. }
            | Definition::Mode { .. }
            | Definition::Field { .. }
            | Definition::Owner { .. } => {}
        })
    }

    /// Whether the series is known.
    pub(super) fn has(&self, series: SeriesId) -> bool {
        let is_retired = || self.retired.iter().any(|run| run.contains(&series.0));
        self.series.contains_key(&series) || is_retired()
    }

    /// `measurement,tag=value`, or a number where nothing names it.
    pub(super) fn series(&self, id: SeriesId, measurement: MeasurementId) -> String {
        let name = |measurement| match self.measurements.get(&measurement) {
            Some(name) => name.clone(),
            None => format!("measurement#{measurement}"),
        };
        match self.series.get(&id) {
            Some((measurement, tags)) => format!("{}{tags}", name(*measurement)),
            None => format!("{},series#{id}", name(measurement)),
        }
    }

    /// The database's name, or its number where nothing names it.
    pub(super) fn database(&self, id: DatabaseId) -> String {
        match self.databases.get(&id) {
            Some(name) => name.clone(),
            None => format!("database#{id}"),
        }
    }
}
