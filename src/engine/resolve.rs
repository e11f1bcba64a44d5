//! From names to numbers: databases, series and layouts, made where they are new.

use std::sync::Arc;

use crate::catalog::{REJECTED, SeriesKey};
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::types::{DatabaseId, FieldType, Layout, LayoutColumn, MeasurementId, SeriesId};

/// A series as writers hold it: its number and its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesRef {
    /// The series.
    pub id: SeriesId,
    /// Its measurement.
    pub measurement: MeasurementId,
    pub(super) shard: u16,
}

/// How the fields of a row become the cells of a layout.
#[derive(Clone, Debug)]
pub struct RowPlan {
    /// The layout.
    pub layout: Arc<Layout>,
    /// For each of its columns the field it comes from; `None`: they stand one to one.
    pub sources: Option<Box<[u16]>>,
}

impl Engine {
    /// The database of that name, made if it is new.
    pub fn resolve_database(&self, access: &Access, name: &str) -> Result<DatabaseId, EngineError> {
        access.check(Verb::Write, name)?;
        if let Some(database) = self.catalog.read().database(name) {
            return Ok(database.id);
        }
        Ok(self.catalog.write().ensure_database(name)?)
    }

    /// The series of a measurement with these tags, made if it is new. Sorts the tags by name.
    pub fn resolve_series(
        &self,
        database: DatabaseId,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesRef, EngineError> {
        if measurement == REJECTED {
            return Err(EngineError::Reserved {
                measurement: REJECTED,
            });
        }
        self.resolve_any_series(database, measurement, tags)
    }

    /// The same, for a measurement of the server's own, too.
    pub(super) fn resolve_any_series(
        &self,
        database: DatabaseId,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesRef, EngineError> {
        tags.sort_unstable();
        let found = {
            let catalog = self.catalog.read();
            catalog
                .database_by_id(database)
                .and_then(|d| catalog.measurement(&d.name, measurement))
                .and_then(|m| {
                    catalog
                        .find_series(&SeriesKey {
                            measurement: m.id,
                            tags,
                        })
                        .map(|id| (id, m.id))
                })
        };
        let (id, measurement) = if let Some(found) = found {
            found
        } else {
            let mut catalog = self.catalog.write();
            let measurement = catalog.ensure_measurement(database, measurement)?;
            (
                catalog.ensure_series(&SeriesKey { measurement, tags })?,
                measurement,
            )
        };
        Ok(SeriesRef {
            id,
            measurement,
            shard: self.placement.shard(id) as u16,
        })
    }

    /// The layout of rows with these fields, whose columns are made where they are new. Of a field that
    /// stands twice in a row the last one counts.
    pub fn resolve_layout(
        &self,
        measurement: MeasurementId,
        fields: &[(&str, FieldType)],
    ) -> Result<RowPlan, EngineError> {
        // A new series mostly has a layout that is known: then nobody is kept from the catalog.
        let known = self.catalog.read().find_layout(measurement, fields);
        if let Some(layout) = known.filter(|layout| is_each_field_once(layout)) {
            return Ok(RowPlan {
                layout,
                sources: None,
            });
        }
        let mut catalog = self.catalog.write();
        let mut columns: Vec<LayoutColumn> = Vec::with_capacity(fields.len());
        let mut sources: Vec<u16> = Vec::with_capacity(fields.len());
        for (index, (name, field_type)) in fields.iter().enumerate() {
            let column = catalog.ensure_column(measurement, name, *field_type)?;
            if let Some(at) = columns.iter().position(|known| known.field == column.field) {
                columns[at] = column;
                sources[at] = index as u16;
            } else {
                columns.push(column);
                sources.push(index as u16);
            }
        }
        let identity = sources.len() == fields.len()
            && sources
                .iter()
                .enumerate()
                .all(|(i, &source)| i == usize::from(source));
        Ok(RowPlan {
            layout: catalog.layout(measurement, &columns),
            sources: (!identity).then(|| sources.into()),
        })
    }
}

fn is_each_field_once(layout: &Layout) -> bool {
    let columns = &layout.columns;
    (1..columns.len()).all(|at| columns[..at].iter().all(|c| c.field != columns[at].field))
}
