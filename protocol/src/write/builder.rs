//! A batch as it is made: rows of any series and layout, in any order, become one payload.
//!
//! Rows are gathered by layout, so that columns are long; the order of a series' rows is kept. Each row carries
//! the caller's own number for it, and a refusal of the answer leads back to it.

use alloc::vec::Vec;

use crate::bitmap::Bitmap;
use crate::cell::{self, MANTISSA_MAX, MARK_NULL, MARK_RAW, POWERS_OF_TEN};
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::packed::{Factor, put_packed};
use crate::types::FieldType;
use crate::wire::put_varint;

use super::batch::{BatchHead, times};
use super::column::put_column;
use super::{CELLS_MAX, HEAP_BYTES_MAX, ROWS_MAX};

/// The batch has no room for this row: it is to be sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the batch is full")]
pub struct Full;

/// The cells of a row, in the order of its layout. Those of strings and binary values point into `heap`.
#[derive(Clone, Copy, Debug)]
pub struct RowCells<'a> {
    /// A cell's bits, see [`crate::cell`].
    pub bits: &'a [u64],
    /// A cell's mark; that of a string is 0.
    pub marks: &'a [u8],
    /// The bytes of strings.
    pub heap: &'a [u8],
}

/// Gathers rows.
#[derive(Debug, Default)]
pub struct RowsBuilder {
    sections: Vec<Rows>,
    /// Sections by layout, of those that have rows or had some.
    section_of: Vec<usize>,
    rows: usize,
    cells: usize,
    heap_bytes: usize,
}

#[derive(Debug, Default)]
struct Rows {
    layout: u32,
    types: Vec<FieldType>,
    series: Vec<i64>,
    times: Vec<i64>,
    timeless: Bitmap,
    any_timeless: bool,
    /// One a column.
    bits: Vec<Vec<u64>>,
    marks: Vec<Vec<u8>>,
    heap: Vec<u8>,
    tags: Vec<u64>,
}

const NO_SECTION: usize = usize::MAX;

impl RowsBuilder {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes that the batch takes at most.
    #[must_use]
    pub fn size_bytes_max(&self) -> usize {
        self.cells * CELL_BYTES + self.rows * ROW_BYTES + self.heap_bytes
    }

    /// Adds a row; `tag` is the caller's own number for it. The layout's types are told with its first row.
    pub fn push(
        &mut self,
        (layout, types): (u32, &[FieldType]),
        series: u32,
        time: Option<i64>,
        row: RowCells<'_>,
        tag: u64,
    ) -> Result<(), Full> {
        let is_bytes = |kind: FieldType| matches!(kind, FieldType::String | FieldType::Binary);
        let mut heap_bytes = 0;
        for (i, &kind) in types.iter().enumerate() {
            if is_bytes(kind) && row.marks[i] != MARK_NULL {
                heap_bytes += cell::heap_range(row.bits[i]).1 as usize;
            }
        }
        let cells = types.len();
        let size = self.size_bytes_max() + ROW_BYTES + cells * CELL_BYTES + heap_bytes;
        if self.rows == ROWS_MAX
            || self.cells + cells > CELLS_MAX
            || self.heap_bytes + heap_bytes > HEAP_BYTES_MAX
            || size > PAYLOAD_BYTES_MAX - SPARE_BYTES
        {
            return Err(Full);
        }
        self.rows += 1;
        self.cells += cells;
        self.heap_bytes += heap_bytes;
        let rows = self.section(layout, types);
        rows.series.push(i64::from(series));
        rows.timeless.push(time.is_none());
        rows.any_timeless |= time.is_none();
        rows.times.extend(time);
        rows.tags.push(tag);
        for (i, &kind) in types.iter().enumerate() {
            let (mut bits, mark) = (row.bits[i], row.marks[i]);
            if is_bytes(kind) && mark != MARK_NULL {
                let (offset, len) = cell::heap_range(bits);
                let start = rows.heap.len();
                let value = row.heap.get(offset as usize..).unwrap_or_default();
                rows.heap
                    .extend_from_slice(value.get(..len as usize).unwrap_or_default());
                bits = cell::heap(start as u32, (rows.heap.len() - start) as u32);
            }
            rows.bits[i].push(bits);
            rows.marks[i].push(mark);
        }
        Ok(())
    }

    fn section(&mut self, layout: u32, types: &[FieldType]) -> &mut Rows {
        let at = layout as usize;
        if self.section_of.len() <= at {
            self.section_of.resize(at + 1, NO_SECTION);
        }
        if self.section_of[at] == NO_SECTION {
            self.section_of[at] = self.sections.len();
            self.sections.push(Rows {
                layout,
                types: types.to_vec(),
                bits: types.iter().map(|_| Vec::new()).collect(),
                marks: types.iter().map(|_| Vec::new()).collect(),
                ..Rows::default()
            });
        }
        &mut self.sections[self.section_of[at]]
    }

    /// Appends the payload and begins anew. Gives the callers' numbers of the rows, in the order of the batch.
    pub fn finish(&mut self, head: BatchHead, out: &mut Vec<u8>) -> Vec<u64> {
        let filled = self.sections.iter().filter(|rows| !rows.series.is_empty());
        head.encode(filled.count(), out);
        let mut tags = Vec::with_capacity(self.rows);
        for rows in &mut self.sections {
            if !rows.series.is_empty() {
                rows.put(out);
                tags.append(&mut rows.tags);
                rows.clear();
            }
        }
        (self.rows, self.cells, self.heap_bytes) = (0, 0, 0);
        tags
    }

    /// Forgets layouts and rows: their numbers have lost their meaning.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Rows {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.layout));
        put_varint(out, self.series.len() as u64);
        put_packed(out, &self.series, Factor::One);
        if self.times.is_empty() {
            out.push(times::NONE);
        } else if self.any_timeless {
            out.push(times::SOME);
            out.extend_from_slice(self.timeless.as_bytes());
        } else {
            out.push(times::ALL);
        }
        put_packed(out, &self.times, Factor::Sought);
        put_varint(out, self.types.len() as u64);
        for (i, &field_type) in self.types.iter().enumerate() {
            put_column(out, field_type, (&self.bits[i], &self.marks[i], &self.heap));
        }
    }

    fn clear(&mut self) {
        self.series.clear();
        self.times.clear();
        self.timeless = Bitmap::default();
        self.any_timeless = false;
        self.heap.clear();
        self.bits.iter_mut().for_each(Vec::clear);
        self.marks.iter_mut().for_each(Vec::clear);
    }
}

/// The cell of a double: as the decimal that a person would have written, where there is one of few digits.
#[must_use]
pub fn decimal(value: f64) -> (u64, u8) {
    if value == 0.0 && value.is_sign_negative() || !value.is_finite() {
        return (value.to_bits(), MARK_RAW);
    }
    for scale in 0..=SCALE_TRIED_MAX {
        let power = POWERS_OF_TEN[usize::from(scale)];
        let scaled = value * power;
        if scaled.abs() > MANTISSA_MAX as f64 {
            break;
        }
        let mantissa = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i64;
        if mantissa.unsigned_abs() <= MANTISSA_MAX as u64 && mantissa as f64 / power == value {
            return (mantissa as u64, scale);
        }
    }
    (value.to_bits(), MARK_RAW)
}

/// Scales that are tried: what sensors say has no more digits behind its point.
const SCALE_TRIED_MAX: u8 = 9;
/// Bytes of a cell at most, its length and its share of a group's head included.
const CELL_BYTES: usize = 9;
/// Bytes of a row's series and time at most.
const ROW_BYTES: usize = 18;
/// Bytes left for heads of batch, sections and columns.
const SPARE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_become_the_decimals_they_were() {
        assert_eq!(decimal(21.5), (215, 1));
        assert_eq!(decimal(-0.07), ((-7i64) as u64, 2));
        assert_eq!(decimal(100.0), (100, 0));
        assert_eq!(decimal(0.0), (0, 0));
        for value in [-0.0, f64::NAN, f64::INFINITY, 0.1 + 0.2, 1e300, 1e-300] {
            assert_eq!(decimal(value), (value.to_bits(), MARK_RAW), "{value}");
        }
        assert_eq!(decimal(9_007_199_254_740_992.0).1, 0);
    }
}
