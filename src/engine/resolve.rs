//! From names to numbers: databases, series and layouts, made where they are new.

use std::sync::Arc;

use crate::catalog::{Catalog, FieldRange, Maker, REJECTED, SeriesKey};
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::types::{
    DatabaseId, FieldType, Layout, LayoutColumn, MeasurementId, SchemaMode, SeriesId,
};

/// A series as writers hold it: its number and its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesRef {
    /// The series.
    pub id: SeriesId,
    /// Its measurement.
    pub measurement: MeasurementId,
    pub(super) shard: u16,
    /// Its retention class when it was resolved.
    pub(super) class: u8,
    /// Under which policy: the last byte of its revision.
    pub(super) policy: u8,
}

/// How the fields of a row become the cells of a layout.
#[derive(Clone, Debug)]
pub struct RowPlan {
    /// The layout.
    pub layout: Arc<Layout>,
    /// For each of its columns the field it comes from; `None`: they stand one to one.
    pub sources: Option<Box<[u16]>>,
    /// Ranges that the values of each row have to keep to.
    pub ranges: Option<Arc<[FieldRange]>>,
    /// Whether rows go into the batch as they are: one to one, without bytes, without ranges.
    pub is_plain: bool,
}

impl RowPlan {
    fn new(
        layout: Arc<Layout>,
        sources: Option<Box<[u16]>>,
        ranges: Option<Arc<[FieldRange]>>,
    ) -> Self {
        Self {
            is_plain: sources.is_none() && !layout.has_bytes && ranges.is_none(),
            layout,
            sources,
            ranges,
        }
    }

    /// Refuses a row whose values lie outside of the declared ranges. Cells and marks stand in the order of the
    /// fields that were resolved.
    pub fn check(&self, cells: &[u64], marks: &[u8]) -> Result<(), EngineError> {
        check_ranges(self.ranges.as_deref(), cells, marks)
    }
}

fn check_ranges(
    ranges: Option<&[FieldRange]>,
    cells: &[u64],
    marks: &[u8],
) -> Result<(), EngineError> {
    let mut ranges = ranges.unwrap_or_default().iter();
    Ok(ranges.try_for_each(|range| range.check(cells, marks))?)
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

    /// The series of a measurement with these tags, made if it is new, and nobody's then. Sorts the tags by name.
    pub fn resolve_series(
        &self,
        database: DatabaseId,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesRef, EngineError> {
        self.resolve_series_for(None, database, measurement, tags)
    }

    /// The same for the rows of a token, whose the series is if it is new.
    pub fn resolve_series_for(
        &self,
        maker: Option<&Maker>,
        database: DatabaseId,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesRef, EngineError> {
        if measurement == REJECTED {
            return Err(EngineError::Reserved {
                measurement: REJECTED,
            });
        }
        self.resolve_any_series(maker, database, measurement, tags)
    }

    /// The same, for a measurement of the server's own, too.
    pub(super) fn resolve_any_series(
        &self,
        maker: Option<&Maker>,
        database: DatabaseId,
        measurement: &str,
        tags: &mut [(&str, &str)],
    ) -> Result<SeriesRef, EngineError> {
        tags.sort_unstable();
        let is_own = measurement == REJECTED;
        let now_ns = self.clock.monotonic_ns();
        let found = {
            let catalog = self.catalog.read();
            let found = known_series(&catalog, database, measurement, tags);
            if found.is_none() && !is_own {
                // Whoever is refused again and again keeps nobody from the catalog.
                catalog.check_room(database, maker)?;
                self.newcomers.check(now_ns)?;
                self.memory.check_new_series()?;
            }
            found
        };
        let (id, measurement) = if let Some(found) = found {
            found
        } else {
            let mut catalog = self.catalog.write();
            // Somebody else may have been faster.
            if let Some(found) = known_series(&catalog, database, measurement, tags) {
                found
            } else {
                if !is_own {
                    // No measurement comes into being by a row that is refused.
                    catalog.check_room(database, maker)?;
                    self.newcomers.take(now_ns, measurement)?;
                }
                let measurement = catalog.ensure_measurement(database, measurement)?;
                let key = SeriesKey { measurement, tags };
                let id = catalog.ensure_series_of(&key, maker)?;
                self.memory.note_new_series();
                (id, measurement)
            }
        };
        let (class, revision) = self.class_in(&self.catalog.read(), id);
        Ok(SeriesRef {
            id,
            measurement,
            shard: self.placement.shard(id) as u16,
            class: class as u8,
            policy: revision as u8,
        })
    }

    /// Whether a measurement takes every row.
    pub fn is_open(&self, database: DatabaseId, measurement: &str) -> bool {
        let catalog = self.catalog.read();
        let database = catalog.database_by_id(database);
        let found = database.and_then(|d| catalog.measurement(&d.name, measurement));
        found.is_none_or(|found| found.rules().mode() == SchemaMode::Open)
    }

    /// Refuses a row that the rules of a measurement do not let in, before a series is made for it.
    pub fn admit_row(
        &self,
        database: DatabaseId,
        measurement: &str,
        fields: &[(&str, FieldType)],
        (cells, marks): (&[u64], &[u8]),
    ) -> Result<(), EngineError> {
        let catalog = self.catalog.read();
        let database = catalog.database_by_id(database);
        if let Some(found) = database.and_then(|d| catalog.measurement(&d.name, measurement)) {
            found.admit(fields)?;
            check_ranges(found.ranges(fields).as_deref(), cells, marks)?;
        }
        Ok(())
    }

    /// The layout of rows with these fields, whose columns are made where they are new and the measurement's rules
    /// let them in. Of a field that stands twice in a row the last one counts. Each row has to pass
    /// [`RowPlan::check`].
    pub fn resolve_layout(
        &self,
        measurement: MeasurementId,
        fields: &[(&str, FieldType)],
    ) -> Result<RowPlan, EngineError> {
        // A new series mostly has a layout that is known: then nobody is kept from the catalog.
        let (known, ranges) = {
            let catalog = self.catalog.read();
            let ranges = admitted(&catalog, measurement, fields)?;
            (catalog.find_layout(measurement, fields), ranges)
        };
        if let Some(layout) = known.filter(|layout| is_each_field_once(layout)) {
            return Ok(RowPlan::new(layout, None, ranges));
        }
        let mut catalog = self.catalog.write();
        // The rules may be others by now.
        let ranges = admitted(&catalog, measurement, fields)?;
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
        let layout = catalog.layout(measurement, &columns);
        let sources = (!identity).then(|| sources.into());
        Ok(RowPlan::new(layout, sources, ranges))
    }
}

/// The series of a name, and its measurement, where it is known. The tags are sorted.
fn known_series(
    catalog: &Catalog,
    database: DatabaseId,
    measurement: &str,
    tags: &[(&str, &str)],
) -> Option<(SeriesId, MeasurementId)> {
    let database = catalog.database_by_id(database)?;
    let measurement = catalog.measurement(&database.name, measurement)?.id;
    let key = SeriesKey { measurement, tags };
    Some((catalog.find_series(&key)?, measurement))
}

/// Refuses what the rules do not let in; the ranges of the rest.
fn admitted(
    catalog: &Catalog,
    measurement: MeasurementId,
    fields: &[(&str, FieldType)],
) -> Result<Option<Arc<[FieldRange]>>, EngineError> {
    let Some(found) = catalog.measurement_by_id(measurement) else {
        return Ok(None);
    };
    found.admit(fields)?;
    Ok(found.ranges(fields))
}

fn is_each_field_once(layout: &Layout) -> bool {
    let columns = &layout.columns;
    (1..columns.len()).all(|at| columns[..at].iter().all(|c| c.field != columns[at].field))
}
