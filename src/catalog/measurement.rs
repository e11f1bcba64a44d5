//! A measurement: its columns (type lanes of fields), tag names, series and rules.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::catalog::keyed::{HashSeed, NameMap};
use crate::catalog::postings::{Postings, TagFilter};
use crate::catalog::{CatalogError, Rules, Tag};
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

impl Column {
    /// The number of a column whose definition is lost: nobody else gets it, or the lost one's values would be read
    /// as the new one's.
    fn lost(id: ColumnId) -> Self {
        Self {
            id,
            name: Arc::from(""),
            field_type: FieldType::Float,
            field: FieldId(u16::MAX),
        }
    }

    /// Whether it has a definition: fields have names.
    pub fn is_known(&self) -> bool {
        !self.name.is_empty()
    }
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
    fields: NameMap<FieldId>,
    postings: Postings,
    rules: Rules,
}

impl Measurement {
    pub(super) fn new(
        id: MeasurementId,
        database: DatabaseId,
        name: Arc<str>,
        seed: HashSeed,
    ) -> Self {
        Self {
            id,
            database,
            name,
            columns: Vec::new(),
            fields: NameMap::with_hasher(seed),
            postings: Postings::new(seed),
            rules: Rules::default(),
        }
    }

    /// Bytes of memory, about, without names.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns = self.columns.capacity() * size_of::<Column>();
        let fields = self.fields.capacity() * (size_of::<(Arc<str>, FieldId)>() + 1);
        size_of::<Self>() + columns + fields + self.postings.memory_bytes()
    }

    /// Number of its series.
    pub fn series_count(&self) -> usize {
        self.postings.len()
    }

    /// Its series, oldest first.
    pub fn series(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.postings.all()
    }

    /// The series whose tags meet a condition, oldest first: a set, found without a look at each series.
    pub fn select(&self, filter: &TagFilter<'_>) -> RoaringBitmap {
        self.postings.select(filter)
    }

    /// Names of all tags that any series has, sorted.
    pub fn tag_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.postings.names()
    }

    /// The numbering of tag values: where it is another, so may be the numbers of values.
    pub fn tag_numbering(&self) -> u64 {
        self.postings.numbering()
    }

    /// Distinct values of a tag, oldest first, from a number on. Those that no series has any more are empty.
    pub fn tag_values(&self, tag: &str, from: usize) -> impl Iterator<Item = &Arc<str>> {
        self.postings.values(tag, from)
    }

    pub(super) fn add_series(&mut self, id: SeriesId, tags: &[Tag]) {
        self.postings.insert(id, tags);
    }

    pub(super) fn remove_series(&mut self, id: SeriesId, tags: &[Tag]) {
        self.postings.remove(id, tags);
    }

    /// All columns, in the order in which they were first written, those that are lost among them.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Sees to it that numbers below this are not given out.
    pub(super) fn reserve_columns(&mut self, end: u16) {
        for id in self.columns.len() as u16..end {
            self.columns.push(Column::lost(ColumnId(id)));
        }
    }

    /// What it takes, and what is declared of its fields.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
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

    /// All lanes of the field of a name, in the order in which they were first written.
    pub(super) fn lanes_of(&self, name: &str) -> impl Iterator<Item = &Column> + Clone {
        let field = self.fields.get(name).copied();
        let columns = self.columns.iter();
        columns.filter(move |column| Some(column.field) == field)
    }

    /// The column as layouts want it.
    pub fn layout_column(&self, id: ColumnId) -> Option<LayoutColumn> {
        let column = self.columns.get(usize::from(id.0));
        let column = column.filter(|column| column.is_known())?;
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
        self.reserve_columns(id.0 + 1);
        Ok(self.adopt_column(id, name, field_type))
    }

    /// Makes a column of a number that has none.
    pub(super) fn adopt_column(
        &mut self,
        id: ColumnId,
        name: &str,
        field_type: FieldType,
    ) -> LayoutColumn {
        let next_field = FieldId(self.fields.len() as u16);
        let name = self
            .fields
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known));
        let field = *self.fields.entry(Arc::clone(&name)).or_insert(next_field);
        self.columns[usize::from(id.0)] = Column {
            id,
            name,
            field_type,
            field,
        };
        LayoutColumn {
            id,
            field_type,
            field,
        }
    }
}
