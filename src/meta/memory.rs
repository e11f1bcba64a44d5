//! The index in plain maps: for tests and simulation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use parking_lot::Mutex;

use super::{
    Batch, ColumnRecord, Counts, DatabaseRecord, FieldRecord, MeasurementRecord, MetaError,
    MetaStore, PoolFigures, Result, SeriesRecord,
};
use crate::types::{ColumnId, DatabaseId, MeasurementId, Position, SeriesId};

/// An index that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    content: Mutex<Content>,
}

/// What the lock guards.
#[derive(Clone, Debug, Default)]
struct Content {
    applied: Option<Position>,
    databases: BTreeMap<DatabaseId, DatabaseRecord>,
    measurements: BTreeMap<MeasurementId, MeasurementRecord>,
    columns: BTreeMap<(MeasurementId, ColumnId), ColumnRecord>,
    series: BTreeMap<(MeasurementId, SeriesId), SeriesRecord>,
    fields: BTreeMap<(MeasurementId, String), FieldRecord>,
    measurement_of: BTreeMap<SeriesId, MeasurementId>,
}

impl MetaStore for MemoryMeta {
    fn applied(&self) -> Result<Option<Position>> {
        Ok(self.content.lock().applied)
    }

    fn apply(&self, batch: &Batch, position: Position) -> Result<()> {
        let mut content = self.content.lock();
        let mut next = content.clone();
        next.apply(batch)?;
        next.applied = Some(position);
        *content = next;
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        *self.content.lock() = Content::default();
        Ok(())
    }

    fn rebuild(&self) -> Result<Option<PathBuf>> {
        self.clear()?;
        Ok(None)
    }

    fn counts(&self) -> Result<Counts> {
        let content = self.content.lock();
        Ok(Counts {
            databases: content.databases.len() as u64,
            measurements: content.measurements.len() as u64,
            columns: content.columns.len() as u64,
            series: content.series.len() as u64,
            fields: content.fields.len() as u64,
        })
    }

    fn pool(&self) -> Option<PoolFigures> {
        None
    }

    fn databases(&self) -> Result<Vec<DatabaseRecord>> {
        Ok(self.content.lock().databases.values().cloned().collect())
    }

    fn measurements(&self, database: DatabaseId) -> Result<Vec<MeasurementRecord>> {
        let content = self.content.lock();
        let all = content.measurements.values();
        let mut found: Vec<_> = all.filter(|m| m.database == database).cloned().collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn columns(&self, measurement: MeasurementId) -> Result<Vec<ColumnRecord>> {
        let content = self.content.lock();
        let from = (measurement, ColumnId(0));
        let to = (measurement, ColumnId(u16::MAX));
        Ok(content
            .columns
            .range(from..=to)
            .map(|(_, column)| column.clone())
            .collect())
    }

    fn fields(&self, measurement: MeasurementId) -> Result<Vec<FieldRecord>> {
        let content = self.content.lock();
        let all = content.fields.values();
        let found = all.filter(|field| field.measurement == measurement);
        Ok(found.cloned().collect())
    }

    fn series(
        &self,
        measurement: MeasurementId,
        after: Option<SeriesId>,
        limit: usize,
    ) -> Result<Vec<SeriesRecord>> {
        let content = self.content.lock();
        let from = (measurement, SeriesId(0));
        let to = (measurement, SeriesId(u32::MAX));
        let found = content.series.range(from..=to).map(|(_, series)| series);
        let behind = found.filter(|series| after.is_none_or(|after| series.id > after));
        Ok(behind.take(limit).cloned().collect())
    }
}

impl Content {
    fn apply(&mut self, batch: &Batch) -> Result<()> {
        for id in &batch.removed_series {
            if let Some(measurement) = self.measurement_of.remove(id) {
                self.series.remove(&(measurement, *id));
            }
        }
        for removed in &batch.removed_fields {
            self.fields.remove(removed);
        }
        for id in &batch.removed_measurements {
            self.remove_measurement(*id);
        }
        for id in &batch.removed_databases {
            self.remove_database(*id);
        }
        for database in &batch.databases {
            let same_name = |(_, d): &(&DatabaseId, &DatabaseRecord)| {
                d.name == database.name && d.id != database.id
            };
            if let Some(id) = self.databases.iter().find(same_name).map(|(id, _)| *id) {
                self.remove_database(id);
            }
            self.databases.insert(database.id, database.clone());
        }
        for measurement in &batch.measurements {
            require(
                self.databases.contains_key(&measurement.database),
                "database",
            )?;
            let same_name = self.measurements.values().find(|m| {
                m.database == measurement.database
                    && m.name == measurement.name
                    && m.id != measurement.id
            });
            if let Some(id) = same_name.map(|m| m.id) {
                self.remove_measurement(id);
            }
            self.measurements
                .insert(measurement.id, measurement.clone());
        }
        for column in &batch.columns {
            require(
                self.measurements.contains_key(&column.measurement),
                "measurement",
            )?;
            self.columns
                .insert((column.measurement, column.id), column.clone());
        }
        for field in &batch.fields {
            require(
                self.measurements.contains_key(&field.measurement),
                "measurement",
            )?;
            let key = (field.measurement, field.name.clone());
            self.fields.insert(key, field.clone());
        }
        for series in &batch.series {
            require(
                self.measurements.contains_key(&series.measurement),
                "measurement",
            )?;
            if let Some(old) = self.measurement_of.insert(series.id, series.measurement) {
                self.series.remove(&(old, series.id));
            }
            self.series
                .insert((series.measurement, series.id), series.clone());
        }
        Ok(())
    }

    fn remove_database(&mut self, id: DatabaseId) {
        self.databases.remove(&id);
        let gone = self.measurements.values().filter(|m| m.database == id);
        for measurement in gone.map(|m| m.id).collect::<Vec<_>>() {
            self.remove_measurement(measurement);
        }
    }

    fn remove_measurement(&mut self, id: MeasurementId) {
        self.measurements.remove(&id);
        self.columns
            .retain(|(measurement, _), _| *measurement != id);
        self.fields.retain(|(measurement, _), _| *measurement != id);
        self.series.retain(|(measurement, _), _| *measurement != id);
        self.measurement_of
            .retain(|_, measurement| *measurement != id);
    }
}

fn require(there: bool, what: &str) -> Result<()> {
    if there {
        return Ok(());
    }
    Err(MetaError::Contradiction {
        reason: format!("its {what} is not there"),
    })
}
