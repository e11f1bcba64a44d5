//! Rows on their way into and out of the codecs: row-major as staged, column-major as compressed.
//!
//! A cell is 64 bits and a mark, see [`edgetime_protocol::cell`].

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::types::{ColumnId, FieldType};

/// The cells of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct CellColumn {
    /// Which column of the measurement.
    pub id: ColumnId,
    /// What the bits mean.
    pub field_type: FieldType,
    /// One entry a row.
    pub bits: Vec<u64>,
    /// One entry a row.
    pub marks: Vec<u8>,
    /// What strings and binary values refer to; cells may share a range.
    pub heap: Vec<u8>,
}

impl CellColumn {
    /// A column of `rows` rows without a value.
    #[must_use]
    pub fn nulls(id: ColumnId, field_type: FieldType, rows: usize) -> Self {
        Self {
            id,
            field_type,
            bits: vec![0; rows],
            marks: vec![MARK_NULL; rows],
            heap: Vec::new(),
        }
    }

    /// Appends a row.
    #[inline]
    pub fn push(&mut self, bits: u64, mark: u8) {
        self.bits.push(bits);
        self.marks.push(mark);
    }

    /// Appends rows without a value until there are `rows`.
    pub fn pad(&mut self, rows: usize) {
        self.bits.resize(rows, 0);
        self.marks.resize(rows, MARK_NULL);
    }

    /// Appends bytes to the heap and returns the bits of a cell that refers to them.
    pub fn intern(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.heap.len() as u32;
        self.heap.extend_from_slice(bytes);
        cell::heap(offset, bytes.len() as u32)
    }

    /// The string or binary value of a row: nothing where the reference leads nowhere.
    #[must_use]
    pub fn bytes(&self, row: usize) -> &[u8] {
        heap_bytes(&self.heap, self.bits[row])
    }
}

/// Column-major cells of some rows: what blocks decode to and what a chunk is made from.
///
/// Invariants: every column has as many rows as there are times; no id is there twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    /// Nanoseconds since the epoch, ascending.
    pub times: Vec<i64>,
    /// Columns in the order in which they appeared.
    pub columns: Vec<CellColumn>,
    /// Buffers of columns that were cleared.
    spare: Vec<CellColumn>,
}

impl Cells {
    /// No rows.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            times: Vec::new(),
            columns: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// Forgets rows and columns and keeps the allocations.
    pub fn clear(&mut self) {
        self.times.clear();
        self.spare.append(&mut self.columns);
    }

    /// The column with this id, made with nulls for all rows before `rows` where it is new.
    ///
    /// `guess` is where it is looked for first. `None` where the id is there with another type.
    pub(crate) fn column_mut(
        &mut self,
        guess: usize,
        id: ColumnId,
        field_type: FieldType,
        rows: usize,
    ) -> Option<&mut CellColumn> {
        let found = match self.columns.get(guess) {
            Some(column) if column.id == id => Some(guess),
            _ => self.columns.iter().position(|column| column.id == id),
        };
        let index = if let Some(index) = found {
            index
        } else {
            let mut column = self
                .spare
                .pop()
                .unwrap_or_else(|| CellColumn::nulls(id, field_type, 0));
            column.id = id;
            column.field_type = field_type;
            column.bits.clear();
            column.marks.clear();
            column.heap.clear();
            self.columns.push(column);
            self.columns.len() - 1
        };
        let column = &mut self.columns[index];
        // One that has more was there before: the caller sees it by its length.
        if column.bits.len() < rows {
            column.pad(rows);
        }
        (column.field_type == field_type).then_some(column)
    }

    /// Forgets the rows behind the first `rows`.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.times.truncate(rows);
        for column in &mut self.columns {
            column.bits.truncate(rows);
            column.marks.truncate(rows);
        }
    }

    /// Fills columns that have fewer rows than there are times with nulls.
    pub(crate) fn pad(&mut self) {
        let rows = self.times.len();
        for column in &mut self.columns {
            if column.bits.len() < rows {
                column.pad(rows);
            }
        }
    }
}

/// Row-major staged rows.
///
/// Invariants: the cell of row `r` and column `c` is `bits[r * stride + c]` with the mark at the same
/// index; `stride >= columns.len()`; `bits` and `marks` hold all rows.
#[derive(Clone, Copy, Debug)]
pub struct RowsView<'a> {
    /// Nanoseconds since the epoch, strictly ascending.
    pub times: &'a [i64],
    /// What the cells of a row are.
    pub columns: &'a [(ColumnId, FieldType)],
    /// Values.
    pub bits: &'a [u64],
    /// Marks.
    pub marks: &'a [u8],
    /// Cells from one row to the next.
    pub stride: usize,
    /// What strings and binary values refer to.
    pub heap: &'a [u8],
}

/// The bytes a cell refers to: nothing where the reference leads nowhere.
pub(crate) fn heap_bytes(heap: &[u8], bits: u64) -> &[u8] {
    let (offset, len) = cell::heap_range(bits);
    heap.get(offset as usize..offset as usize + len as usize)
        .unwrap_or_default()
}
