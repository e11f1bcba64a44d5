//! The newest row of a series, where it is found without reading any other.

use edgetime_protocol::cell::MARK_NULL;

use super::Decoded;
use crate::codec::CellColumn;
use crate::series::merge::{copy_bytes, to_vector};
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
            let mut column = CellColumn::nulls(wanted.id, wanted.field_type, 1);
            let place = layout.specs.iter().position(|&(id, _)| id == wanted.id);
            if let Some(at) = place.filter(|&at| view.marks[at] != MARK_NULL) {
                column.bits[0] = match wanted.field_type {
                    FieldType::String | FieldType::Binary => {
                        copy_bytes(view.bits[at], view.heap, &mut column.heap)
                    }
                    _ => view.bits[at],
                };
                column.marks[0] = view.marks[at];
            }
            to_vector(&column)
        });
        Some((vec![time], columns.collect()))
    }
}
