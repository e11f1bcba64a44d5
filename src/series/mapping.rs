//! Rows of one layout as rows of another.

use edgetime_protocol::cell::MARK_NULL;

use crate::series::RowRef;
use crate::types::{ColumnId, FieldId, Layout};

/// The field of a column, by a layout that has it.
pub(super) fn field_of(layout: &Layout, id: ColumnId) -> FieldId {
    // A column that the layout lacks cannot be in a block of this series: a field of its own is safe.
    layout
        .index_of(id)
        .map_or(FieldId(u16::MAX), |at| layout.columns[at].field)
}

/// The row's cells in the order of the series' own layout.
pub(super) fn map_row<'a>(
    own: &Layout,
    layout: &Layout,
    row: RowRef<'a>,
    bits: &'a mut Vec<u64>,
    marks: &'a mut Vec<u8>,
) -> RowRef<'a> {
    if own.id == layout.id && own.id != Layout::PRIVATE {
        return row;
    }
    bits.clear();
    bits.resize(own.stride(), 0);
    marks.clear();
    marks.resize(own.stride(), MARK_NULL);
    for (i, column) in layout.columns.iter().enumerate() {
        if let Some(at) = own.index_of(column.id) {
            bits[at] = row.bits[i];
            marks[at] = row.marks[i];
        }
    }
    RowRef {
        time: row.time,
        bits,
        marks,
        heap: row.heap,
    }
}
