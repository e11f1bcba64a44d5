//! A measurement: its columns (type lanes of fields), tag names and series.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::CatalogError;
use crate::types::{
    ColumnId, DatabaseId, FieldId, FieldType, LayoutColumn, MeasurementId, SeriesId,
};

/// One type lane of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its number within the measurement.
    pub id: ColumnId,
    /// The field's name.
    pub name: Arc<str>,
    /// The lane's type.
    pub field_type: FieldType,
    /// The field.
    pub field: FieldId,
}

/// A measurement of a database.
#[derive(Debug)]
pub struct Measurement {
    /// Its number.
    pub id: MeasurementId,
    /// Whose it is.
    pub database: DatabaseId,
    /// Its name.
    pub name: Arc<str>,
    columns: Vec<Column>,
    fields: HashMap<Arc<str>, FieldId>,
    /// Names of all tags that any series has.
    pub tag_names: BTreeSet<Arc<str>>,
    /// Its series, oldest first.
    pub series: Vec<SeriesId>,
}

impl Measurement {
    pub(super) fn new(id: MeasurementId, database: DatabaseId, name: Arc<str>) -> Self {
        Self {
            id,
            database,
            name,
            columns: Vec::new(),
            fields: HashMap::new(),
            tag_names: BTreeSet::new(),
            series: Vec::new(),
        }
    }

    /// All columns, in the order in which they were first written.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of a field and type, if there is one.
    pub fn column(&self, name: &str, field_type: FieldType) -> Option<&Column> {
        let field = *self.fields.get(name)?;
        self.columns
            .iter()
            .find(|column| column.field == field && column.field_type == field_type)
    }

    /// All lanes of a field.
    pub fn lanes(&self, field: FieldId) -> impl Iterator<Item = &Column> {
        self.columns
            .iter()
            .filter(move |column| column.field == field)
    }

    /// The column as layouts want it.
    pub fn layout_column(&self, id: ColumnId) -> Option<LayoutColumn> {
        let column = self.columns.get(usize::from(id.0))?;
        Some(LayoutColumn {
            id,
            field_type: column.field_type,
            field: column.field,
        })
    }

    /// The column of a field and type, made if it is new.
    pub(super) fn ensure_column(
        &mut self,
        name: &str,
        field_type: FieldType,
        limit: usize,
    ) -> Result<LayoutColumn, CatalogError> {
        if let Some(column) = self.column(name, field_type) {
            return Ok(LayoutColumn {
                id: column.id,
                field_type,
                field: column.field,
            });
        }
        if self.columns.len() >= limit {
            return Err(CatalogError::TooManyColumns {
                measurement: self.name.to_string(),
                limit,
            });
        }
        let id = ColumnId(self.columns.len() as u16);
        let next_field = FieldId(self.fields.len() as u16);
        let name = self
            .fields
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known));
        let field = *self.fields.entry(Arc::clone(&name)).or_insert(next_field);
        self.columns.push(Column {
            id,
            name,
            field_type,
            field,
        });
        Ok(LayoutColumn {
            id,
            field_type,
            field,
        })
    }
}
