//! What the index holds, as plain records, and a batch of changes to it.

use crate::types::{
    ColumnId, DatabaseId, FieldRule, FieldType, MeasurementId, SchemaMode, SeriesId,
};

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRecord {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
}

/// A measurement of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasurementRecord {
    /// Its id.
    pub id: MeasurementId,
    /// Its database.
    pub database: DatabaseId,
    /// Its name.
    pub name: String,
    /// What it does with what is new to it.
    pub mode: SchemaMode,
}

/// What is declared of a field of a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRecord {
    /// Its measurement.
    pub measurement: MeasurementId,
    /// The field's name.
    pub name: String,
    /// What is declared.
    pub rule: FieldRule,
}

/// One type lane of a field of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRecord {
    /// Its measurement.
    pub measurement: MeasurementId,
    /// Its number in the measurement.
    pub id: ColumnId,
    /// The field's name.
    pub field: String,
    /// The lane's type.
    pub field_type: FieldType,
}

/// A series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRecord {
    /// Its id.
    pub id: SeriesId,
    /// Its database.
    pub database: DatabaseId,
    /// Its measurement.
    pub measurement: MeasurementId,
    /// Its tags in canonical text.
    pub tags: String,
}

/// Numbers of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Databases.
    pub databases: u64,
    /// Measurements.
    pub measurements: u64,
    /// Columns.
    pub columns: u64,
    /// Series.
    pub series: u64,
    /// Declared fields.
    pub fields: u64,
}

/// Changes that belong together. Removals are applied first; what depends on a removed record goes with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Databases that are gone.
    pub removed_databases: Vec<DatabaseId>,
    /// Measurements that are gone.
    pub removed_measurements: Vec<MeasurementId>,
    /// Series that are gone.
    pub removed_series: Vec<SeriesId>,
    /// Fields of which nothing is declared any more.
    pub removed_fields: Vec<(MeasurementId, String)>,
    /// New or changed databases.
    pub databases: Vec<DatabaseRecord>,
    /// New or changed measurements.
    pub measurements: Vec<MeasurementRecord>,
    /// New or changed columns.
    pub columns: Vec<ColumnRecord>,
    /// New or changed series.
    pub series: Vec<SeriesRecord>,
    /// New or changed declarations of fields.
    pub fields: Vec<FieldRecord>,
}

impl Batch {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.removed_databases.len()
            + self.removed_measurements.len()
            + self.removed_series.len()
            + self.removed_fields.len()
            + self.databases.len()
            + self.measurements.len()
            + self.columns.len()
            + self.series.len()
            + self.fields.len()
    }
}
