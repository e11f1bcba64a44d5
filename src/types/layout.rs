//! The shape of a row: which columns it writes, in which order. Shared by every row and series that has it.

use std::sync::Arc;

use super::{ColumnId, FieldType, MeasurementId};

/// One column of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayoutColumn {
    /// The column: one type lane of a field.
    pub id: ColumnId,
    /// Its type.
    pub field_type: FieldType,
    /// The field it is a lane of. Writing one lane takes the value of the others away.
    pub field: FieldId,
}

/// A field of a measurement, over all its type lanes. Counts from 0 within its measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// The columns of a row, in order, each at most once, at most one lane of a field.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Equal numbers mean equal layouts; [`Layout::PRIVATE`] is never equal to anything.
    pub id: u32,
    /// The measurement whose columns these are.
    pub measurement: MeasurementId,
    /// The columns.
    pub columns: Box<[LayoutColumn]>,
    /// The same columns as codecs want them.
    pub specs: Box<[(ColumnId, FieldType)]>,
    /// Whether a column holds bytes, so that rows have a heap.
    pub has_bytes: bool,
}

impl Layout {
    /// The number of a layout that only its owner knows.
    pub const PRIVATE: u32 = u32::MAX;

    /// A layout of these columns.
    #[must_use]
    pub fn new(id: u32, measurement: MeasurementId, columns: Box<[LayoutColumn]>) -> Arc<Self> {
        let has_bytes = columns
            .iter()
            .any(|c| matches!(c.field_type, FieldType::String | FieldType::Binary));
        let specs = columns.iter().map(|c| (c.id, c.field_type)).collect();
        Arc::new(Self {
            id,
            measurement,
            columns,
            specs,
            has_bytes,
        })
    }

    /// Where a column stands.
    #[must_use]
    pub fn index_of(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }

    /// Number of columns: the stride of row-major cells.
    #[inline]
    #[must_use]
    pub fn stride(&self) -> usize {
        self.columns.len()
    }
}
