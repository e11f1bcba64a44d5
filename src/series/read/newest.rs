//! The newest row of a series, where it is found without reading any other.

use edgetime_protocol::cell::{self, MARK_NULL};

use super::Decoded;
use crate::codec::vector::{BytesVector, ColumnVector, Validity, Values};
use crate::series::{Rows, Series};
use crate::types::{FieldType, LayoutColumn, TimeRange};

impl<E: Clone> Series<E> {
    /// The newest row, if it lies in the range and is staged: a value of it is the newest of its column; where it has
    /// none, only reading tells, for a piece before it may have a row of the same time. `None` where only reading tells
    /// anything.
    pub fn newest_row(&self, range: TimeRange, columns: &[LayoutColumn]) -> Option<Decoded> {
        let (layout, _, rows, late) = self.unsealed()?;
        let time = *rows.times().last()?;
        let mut late = late.into_iter().flat_map(Rows::times);
        if !range.contains(time) || self.newest() != Some(time) || late.any(|&late| late >= time) {
            return None;
        }
        let view = rows.view(layout, rows.len() - 1..rows.len());
        let columns = columns.iter().map(|wanted| {
            let place = layout.specs.iter().position(|&(id, _)| id == wanted.id);
            let (bits, mark) = place.map_or((0, MARK_NULL), |at| (view.bits[at], view.marks[at]));
            vector_of(wanted.field_type, (bits, mark), view.heap)
        });
        Some((vec![time], columns.collect()))
    }
}

/// A vector of one cell, made without a column of cells: many series are asked for theirs.
fn vector_of(field_type: FieldType, (bits, mark): (u64, u8), heap: &[u8]) -> ColumnVector {
    let is_there = mark != MARK_NULL;
    let bytes = || {
        let mut bytes = BytesVector::default();
        let (offset, len) = if is_there {
            cell::heap_range(bits)
        } else {
            (0, 0)
        };
        bytes.push(&heap[offset as usize..][..len as usize]);
        bytes
    };
    let values = match field_type {
        FieldType::Float if is_there => Values::Float(vec![cell::float(bits, mark)]),
        FieldType::Float => Values::Float(vec![0.0]),
        FieldType::Integer => Values::Integer(vec![bits as i64]),
        FieldType::Unsigned => Values::Unsigned(vec![bits]),
        FieldType::Boolean => Values::Boolean(vec![bits != 0]),
        FieldType::String => Values::String(bytes()),
        FieldType::Binary => Values::Binary(bytes()),
    };
    ColumnVector {
        values,
        validity: Validity::from_flags([is_there]),
    }
}
