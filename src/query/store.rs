//! The engine as a source of queries, with the rights of one caller.

use std::sync::Arc;

use super::source::{
    ColumnInfo, MeasurementInfo, ScanBatch, SeriesInfo, SeriesScan, Source, SourceError,
};
use crate::engine::{Access, Engine, EngineError, SeriesReader, Verb};
use crate::types::{ColumnId, MeasurementId, SeriesId, TimeRange};

/// A store and what the caller may read of it.
#[derive(Debug)]
pub struct Store {
    engine: Arc<Engine>,
    access: Access,
}

impl Store {
    /// The engine with the rights of a caller.
    #[must_use]
    pub const fn new(engine: Arc<Engine>, access: Access) -> Self {
        Self { engine, access }
    }
}

impl Source for Store {
    fn databases(&self) -> Vec<Arc<str>> {
        self.engine.databases(&self.access)
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        self.engine
            .measurements(&self.access, database)
            .map_err(failed)?
            .ok_or_else(|| SourceError::UnknownDatabase(database.to_owned()))
    }

    fn measurement(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementInfo>, SourceError> {
        let found = self.engine.measurement(&self.access, database, name);
        Ok(found.map_err(failed)?.map(|view| MeasurementInfo {
            id: view.id,
            name: view.name,
            tag_keys: view.tag_names,
            columns: view
                .columns
                .into_iter()
                .map(|column| ColumnInfo {
                    id: column.id,
                    name: column.name,
                    field_type: column.field_type,
                })
                .collect(),
        }))
    }

    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.access.check(Verb::Read, database).map_err(failed)?;
        let all = self.engine.select_series(measurement, &|_| true);
        Ok(all
            .into_iter()
            .map(|view| SeriesInfo {
                id: view.id,
                tags: view.tags,
            })
            .filter(|info| accept(info))
            .collect())
    }

    fn scan(
        &self,
        series: SeriesId,
        range: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        Ok(Box::new(Scan(
            self.engine.read_series(series, range, columns),
        )))
    }
}

struct Scan(SeriesReader);

impl SeriesScan for Scan {
    fn next(&mut self) -> Result<Option<ScanBatch>, SourceError> {
        let batch = self.0.next_batch().map_err(failed)?;
        Ok(batch.map(|(times, columns)| ScanBatch { times, columns }))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failed(error: EngineError) -> SourceError {
    SourceError::Failed(error.to_string())
}
