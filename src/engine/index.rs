//! The metadata index follows the catalog: SQLite is told what is new, behind the durable position.
//!
//! At start everything is told again, which changes nothing where it is known: so a damaged or deleted
//! index is whole after the first tick.

use crate::catalog::Catalog;
use crate::engine::{Engine, EngineError};
use crate::meta::{Batch, ColumnRecord, DatabaseRecord, MeasurementRecord, SeriesRecord};
use crate::types::Timestamp;

/// How much of the catalog the index has.
#[derive(Debug, Default)]
pub(super) struct Indexed {
    generation: u64,
    dropped: usize,
    databases: usize,
    measurements: usize,
    columns: Vec<usize>,
    series: u32,
}

/// Series told in one transaction.
const SERIES_MAX: usize = 20_000;

impl Engine {
    /// Brings the index up to the catalog. Called by [`Self::tick`].
    pub fn index(&self) -> Result<(), EngineError> {
        let mut indexed = self.indexed.lock();
        loop {
            let durable = self.log.durable();
            let now = self.server_time().now;
            let (batch, reached, more) = {
                let catalog = self.catalog.read();
                if catalog.generation() == indexed.generation {
                    return Ok(());
                }
                news(&catalog, &indexed, now)
            };
            if !batch.is_empty() {
                self.meta.apply(&batch, durable)?;
            }
            *indexed = reached;
            if !more {
                return Ok(());
            }
        }
    }
}

fn news(catalog: &Catalog, since: &Indexed, now: Timestamp) -> (Batch, Indexed, bool) {
    let mut batch = Batch::default();
    let mut reached = Indexed {
        generation: since.generation,
        dropped: catalog.dropped().len(),
        databases: since.databases,
        measurements: since.measurements,
        columns: since.columns.clone(),
        series: since.series,
    };
    let dropped = &catalog.dropped()[since.dropped..];
    let removed = dropped.iter().map(|dropped| dropped.measurement);
    batch.removed_measurements.extend(removed);
    for database in catalog.databases() {
        if database.id.0 as usize >= since.databases {
            reached.databases = database.id.0 as usize + 1;
            batch.databases.push(DatabaseRecord {
                id: database.id,
                name: database.name.to_string(),
            });
        }
    }
    for measurement in catalog.measurements() {
        let index = measurement.id.0 as usize;
        if index >= since.measurements {
            reached.measurements = index + 1;
            batch.measurements.push(MeasurementRecord {
                id: measurement.id,
                database: measurement.database,
                name: measurement.name.to_string(),
            });
        }
        if reached.columns.len() <= index {
            reached.columns.resize(index + 1, 0);
        }
        let known = std::mem::replace(&mut reached.columns[index], measurement.columns().len());
        batch.columns.extend(
            measurement.columns()[known..]
                .iter()
                .map(|column| ColumnRecord {
                    measurement: measurement.id,
                    id: column.id,
                    field: column.name.to_string(),
                    field_type: column.field_type,
                    first_seen: now,
                    last_seen: now,
                }),
        );
    }
    let mut more = false;
    for series in catalog.series_from(since.series) {
        if batch.series.len() == SERIES_MAX {
            more = true;
            break;
        }
        reached.series = series.id.0 + 1;
        let measurement = catalog.measurement_by_id(series.measurement);
        batch.series.push(SeriesRecord {
            id: series.id,
            database: measurement.map_or_else(Default::default, |m| m.database),
            measurement: series.measurement,
            tags: tags_text(&series.tags),
        });
    }
    if !more {
        reached.generation = catalog.generation();
    }
    (batch, reached, more)
}

/// `name=value,name=value`, with the escapes of line protocol.
fn tags_text(tags: &[crate::catalog::Tag]) -> String {
    let mut text = String::new();
    for (i, (name, value)) in tags.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        for (part, end) in [(name, "="), (value, "")] {
            for character in part.chars() {
                if matches!(character, ',' | '=' | ' ') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.push_str(end);
        }
    }
    text
}
