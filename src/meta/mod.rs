//! An index of what exists: databases, measurements, columns, declared fields, series. Never a data point, never the truth.
//!
//! The truth is the log and the checkpoint. Every batch is applied together with the log position it
//! reaches to, so that after a crash the caller knows from where to apply again; what is damaged is set
//! aside and built anew. The caller never applies beyond the durable position.

mod error;
mod figures;
mod memory;
mod record;
mod sqlite;

pub use error::{MetaError, Result};
pub use figures::PoolFigures;
pub use memory::MemoryMeta;
pub use record::{
    Batch, ColumnRecord, Counts, DatabaseRecord, FieldRecord, MeasurementRecord, SeriesRecord,
};
pub use sqlite::{MetaOpened, SqliteMeta, SqliteOptions, check_index};

use std::path::PathBuf;

use crate::types::{DatabaseId, MeasurementId, Position, SeriesId};

/// A place for the index.
pub trait MetaStore: Send + Sync {
    /// The log position up to which batches have been applied; `None` where nothing was ever applied, and
    /// everything has to be.
    fn applied(&self) -> Result<Option<Position>>;

    /// Writes a batch and the position it reaches to: both or neither. Removals come first. Applying a
    /// batch again changes nothing.
    fn apply(&self, batch: &Batch, position: Position) -> Result<()>;

    /// Forgets everything, the position included: the caller applies all anew.
    fn clear(&self) -> Result<()>;

    /// Sets aside what cannot be used, after [`MetaError::Damaged`], and begins empty: the caller applies all
    /// anew. Returns where the old file is, if there is one.
    fn rebuild(&self) -> Result<Option<PathBuf>>;

    /// How many records there are.
    fn counts(&self) -> Result<Counts>;

    /// The figures of the pool of connections; `None` where there is none.
    fn pool(&self) -> Option<PoolFigures>;

    /// All databases, by id.
    fn databases(&self) -> Result<Vec<DatabaseRecord>>;

    /// The measurements of a database, by name.
    fn measurements(&self, database: DatabaseId) -> Result<Vec<MeasurementRecord>>;

    /// The columns of a measurement, by id.
    fn columns(&self, measurement: MeasurementId) -> Result<Vec<ColumnRecord>>;

    /// What is declared of the fields of a measurement, by name.
    fn fields(&self, measurement: MeasurementId) -> Result<Vec<FieldRecord>>;

    /// At most `limit` series of a measurement, by id, behind `after`.
    fn series(
        &self,
        measurement: MeasurementId,
        after: Option<SeriesId>,
        limit: usize,
    ) -> Result<Vec<SeriesRecord>>;
}

#[cfg(test)]
mod tests;
