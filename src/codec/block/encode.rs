//! Making a block from staged rows.

mod floats;
mod numbers;
mod pen;
mod strings;
mod times;

use std::ops::Range;

use edgetime_protocol::cell::{MARK_NULL, MARK_RAW, SCALE_MAX};

use self::pen::Pen;
use super::{
    LAYOUT_BITS, LAYOUT_PACKED, LAYOUT_SCALES, LAYOUT_XOR, ROWS_MAX, ROWS_SHIFT, SCALES,
    TAG_LAYOUT_SHIFT, TAG_NULLS, Tallies,
};
use crate::codec::bytes::{varint, varint_len};
use crate::codec::cells::{Cells, RowsView};
use crate::codec::simd::widest;
use crate::limits::BLOCK_ROWS;
use crate::types::{ColumnId, FieldType};

/// Makes blocks. What it keeps from one to the next is memory.
#[derive(Debug)]
pub struct Encoder {
    /// The block that is being made, behind [`HEAD_BYTES`] for what is known at its end.
    bytes: Vec<u8>,
    work: Work,
}

/// Room for one column.
#[derive(Debug)]
struct Work {
    bits: [u64; ROWS_MAX],
    marks: [u8; ROWS_MAX],
    /// What is packed.
    rests: [u64; ROWS_MAX],
}

/// The cells of a column in some rows, one every `stride`.
#[derive(Clone, Copy)]
struct Column<'a> {
    id: ColumnId,
    field_type: FieldType,
    bits: &'a [u64],
    marks: &'a [u8],
    stride: usize,
    heap: &'a [u8],
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            work: Work {
                bits: [0; ROWS_MAX],
                marks: [0; ROWS_MAX],
                rests: [0; ROWS_MAX],
            },
        }
    }
}

impl Encoder {
    /// Appends the rows, 1 to [`ROWS_MAX`] with strictly ascending times, as one block, and counts them.
    ///
    /// # Panics
    ///
    /// Where the number of rows is out of bounds, or the view is shorter than it claims.
    pub fn encode(&mut self, rows: &RowsView<'_>, tallies: &mut Tallies, out: &mut Vec<u8>) {
        widest(
            #[inline(always)]
            || {
                let columns = rows.columns.len();
                self.put_block(
                    (rows.times, columns),
                    #[inline(always)]
                    |index| Column::of(rows, index),
                    tallies,
                    out,
                );
            },
        );
    }

    /// The same of some rows of cells.
    pub(in crate::codec) fn encode_cells(
        &mut self,
        cells: &Cells,
        rows: Range<usize>,
        tallies: &mut Tallies,
        out: &mut Vec<u8>,
    ) {
        let times = &cells.times[rows.clone()];
        let columns = (times, cells.columns.len());
        let column = |index: usize| {
            let from = &cells.columns[index];
            Column {
                id: from.id,
                field_type: from.field_type,
                bits: &from.bits[rows.clone()],
                marks: &from.marks[rows.clone()],
                stride: 1,
                heap: &from.heap,
            }
        };
        self.put_block(columns, column, tallies, out);
    }

    #[inline(always)]
    fn put_block<'a>(
        &mut self,
        (times, columns): (&[i64], usize),
        column: impl Fn(usize) -> Column<'a>,
        tallies: &mut Tallies,
        out: &mut Vec<u8>,
    ) {
        let rows = times.len();
        assert!((1..=ROWS_MAX).contains(&rows), "1 to 64 rows a block");
        let Self { bytes, work } = self;
        // Of a length that is known when this is compiled, loops need no rest.
        let (present, end) = if rows == BLOCK_ROWS {
            work.put_all(bytes, &times[..BLOCK_ROWS], columns, column, tallies)
        } else {
            work.put_few(bytes, times, columns, column, tallies)
        };
        // What stands before the times is known by now: it is written up to them.
        let shape = (present << ROWS_SHIFT | (rows - 1)) as u64;
        let start = put_before(bytes, HEAD_BYTES, shape);
        let start = put_before(bytes, start, (end - start) as u64);
        out.extend_from_slice(&bytes[start..end]);
        if bytes.len() > KEPT_BYTES {
            *bytes = Vec::new();
        }
    }
}

/// Fills up to `len` bytes, which is seldom anything to do.
#[inline(always)]
fn make_room(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        grow(bytes, len);
    }
}

#[cold]
#[inline(never)]
fn grow(bytes: &mut Vec<u8>, len: usize) {
    bytes.resize(len.next_multiple_of(NUMBERS_BYTES * 4), 0);
}

/// Writes a varint below 2^56 that ends before `end`, and returns where it begins.
#[inline(always)]
fn put_before(bytes: &mut [u8], end: usize, value: u64) -> usize {
    let len = varint_len(value);
    let start = end - len;
    bytes[start..end].copy_from_slice(&varint(value).to_le_bytes()[..len]);
    start
}

/// Room for the length of a block, at most 2^35, and its shape.
const HEAD_BYTES: usize = 8;
/// Bytes that times or a column take at most, without those of strings: 64 numbers of 64 bits or 64 lengths, what
/// stands before them, and what is written behind them in passing.
const NUMBERS_BYTES: usize = 1024;
/// A buffer that long strings have made larger than this is given back.
const KEPT_BYTES: usize = 64 * 1024;

impl<'a> Column<'a> {
    #[inline(always)]
    fn of(rows: &RowsView<'a>, index: usize) -> Self {
        let (id, field_type) = rows.columns[index];
        Self {
            id,
            field_type,
            bits: &rows.bits[index..],
            marks: &rows.marks[index..],
            stride: rows.stride,
            heap: rows.heap,
        }
    }

    /// Bytes that the strings of some rows take at most.
    #[inline(never)]
    fn heap_bytes(&self, rows: usize) -> usize {
        let cells = self.bits.iter().zip(self.marks).step_by(self.stride);
        let cells = cells
            .take(rows)
            .filter(|&(_, &mark)| mark != MARK_NULL)
            .map(|(&cell, _)| cell);
        strings::len_bytes(cells, self.heap)
    }
}

impl Work {
    /// Writes times and columns; returns how many columns have a value, and where they end.
    #[inline(always)]
    fn put_all<'a>(
        &mut self,
        bytes: &mut Vec<u8>,
        times: &[i64],
        columns: usize,
        column: impl Fn(usize) -> Column<'a>,
        tallies: &mut Tallies,
    ) -> (usize, usize) {
        make_room(bytes, HEAD_BYTES + NUMBERS_BYTES);
        let mut pen = Pen::new(&mut bytes[HEAD_BYTES..]);
        times::put(times, &mut self.rests, &mut pen);
        let mut end = HEAD_BYTES + pen.written();
        let mut present = 0;
        for index in 0..columns {
            let column = column(index);
            let mut len = NUMBERS_BYTES;
            if matches!(column.field_type, FieldType::String | FieldType::Binary) {
                len += column.heap_bytes(times.len());
            }
            make_room(bytes, end + len);
            let mut pen = Pen::new(&mut bytes[end..]);
            present += usize::from(self.put(times.len(), index, &column, tallies, &mut pen));
            end += pen.written();
        }
        (present, end)
    }

    /// The same of any number of rows.
    #[inline(never)]
    fn put_few<'a>(
        &mut self,
        bytes: &mut Vec<u8>,
        times: &[i64],
        columns: usize,
        column: impl Fn(usize) -> Column<'a>,
        tallies: &mut Tallies,
    ) -> (usize, usize) {
        self.put_all(bytes, times, columns, column, tallies)
    }

    /// Writes a column; false, and nothing is written, where it has no value. `index` is its place.
    #[inline(always)]
    fn put(
        &mut self,
        rows: usize,
        index: usize,
        column: &Column<'_>,
        tallies: &mut Tallies,
        pen: &mut Pen<'_>,
    ) -> bool {
        let whole = column.stride == 1;
        if !whole {
            self.gather(rows, column);
        }
        let (mut bits, marks) = if whole {
            (column.bits, column.marks)
        } else {
            (&self.bits[..], &self.marks[..])
        };
        let (mut mark, most) = range_of(&marks[..rows]);
        let mut count = rows;
        let mut present = u64::MAX >> (64 - rows);
        if mark != most || mark == MARK_NULL {
            if whole {
                self.bits[..rows].copy_from_slice(&column.bits[..rows]);
                self.marks[..rows].copy_from_slice(&column.marks[..rows]);
            }
            if most >= MARK_NULL && self.marks[..rows].contains(&MARK_NULL) {
                (present, count) = self.close_ranks(rows);
                if count == 0 {
                    return false;
                }
                if column.field_type == FieldType::Float {
                    mark = self.level_some(count);
                }
            } else if column.field_type == FieldType::Float {
                mark = floats::at_one_mark(&mut self.bits[..rows], &self.marks[..rows]);
            }
            bits = &self.bits[..];
        }
        pen.varint(u64::from(column.id.0));
        let tag_at = pen.written();
        pen.byte(0);
        let mut tag = column.field_type.number();
        if count < rows {
            tag |= TAG_NULLS;
            pen.word(present, rows.div_ceil(8));
        }
        let values = Values {
            index,
            column,
            mark,
            rests: &mut self.rests,
        };
        let layout = if count == rows {
            values.put(&bits[..rows], tallies, pen)
        } else {
            values.put_some(&bits[..count], tallies, pen)
        };
        pen.set(tag_at, tag | layout << TAG_LAYOUT_SHIFT);
        true
    }

    /// Collects the cells of a column, several at a time, for they are loaded several at a time soon.
    #[inline(always)]
    fn gather(&mut self, rows: usize, column: &Column<'_>) {
        let stride = column.stride;
        let mut at = 0;
        let (fours, rest) = self.bits[..rows].as_chunks_mut::<4>();
        for four in fours {
            *four = [0, 1, 2, 3].map(|row| column.bits[at + row * stride]);
            at += 4 * stride;
        }
        for bits in rest {
            *bits = column.bits[at];
            at += stride;
        }
        at = 0;
        let (eights, rest) = self.marks[..rows].as_chunks_mut::<8>();
        for eight in eights {
            *eight = [0, 1, 2, 3, 4, 5, 6, 7].map(|row| column.marks[at + row * stride]);
            at += 8 * stride;
        }
        for mark in rest {
            *mark = column.marks[at];
            at += stride;
        }
    }

    /// Brings the first floats to one mark.
    #[inline(never)]
    fn level_some(&mut self, count: usize) -> u8 {
        floats::at_one_mark(&mut self.bits[..count], &self.marks[..count])
    }

    /// Takes cells without a value out of all; returns which rows have one, and how many.
    #[inline(never)]
    fn close_ranks(&mut self, rows: usize) -> (u64, usize) {
        let (mut present, mut kept) = (0, 0);
        for row in 0..rows {
            if self.marks[row] != MARK_NULL {
                present |= 1 << row;
                self.bits[kept] = self.bits[row];
                self.marks[kept] = self.marks[row];
                kept += 1;
            }
        }
        (present, kept)
    }
}

/// The least and the greatest mark.
#[inline(always)]
fn range_of(marks: &[u8]) -> (u8, u8) {
    let (mut least, mut most) = (u8::MAX, 0);
    for &mark in marks {
        least = least.min(mark);
        most = most.max(mark);
    }
    (least, most)
}

const _: () = assert!(MARK_NULL > SCALE_MAX && MARK_NULL < MARK_RAW);

/// What is known of the values of a column, but for themselves.
struct Values<'a> {
    index: usize,
    column: &'a Column<'a>,
    mark: u8,
    rests: &'a mut [u64; ROWS_MAX],
}

impl Values<'_> {
    /// Writes values, of floats all of one mark, counts them, and returns their layout.
    #[inline(always)]
    fn put(self, values: &[u64], tallies: &mut Tallies, pen: &mut Pen<'_>) -> u8 {
        let Self {
            index,
            column,
            mark,
            rests,
        } = self;
        match column.field_type {
            FieldType::Float if mark > SCALE_MAX => {
                floats::put_xor(values, rests, pen);
                tallies.take(index, column.id, None);
                LAYOUT_XOR
            }
            FieldType::Float | FieldType::Integer | FieldType::Unsigned => {
                let float = column.field_type == FieldType::Float;
                let layout = match mark {
                    scale if float && scale < SCALES => LAYOUT_SCALES + scale,
                    scale => {
                        if float {
                            pen.byte(scale);
                        }
                        LAYOUT_PACKED
                    }
                };
                let range = numbers::put(values, rests, pen);
                // Unsigned numbers of 64 bits are no signed ones.
                let told = column.field_type != FieldType::Unsigned || range.min >= 0;
                let scale = if float { mark } else { 0 };
                tallies.take(index, column.id, told.then_some((scale, range)));
                layout
            }
            FieldType::Boolean => {
                for (rest, bit) in rests.iter_mut().zip(values) {
                    *rest = bit & 1;
                }
                numbers::pack(rests, values.len(), 1, pen);
                LAYOUT_BITS
            }
            FieldType::String | FieldType::Binary => strings::put(values, column.heap, rests, pen),
        }
    }

    /// The same of any number of values.
    #[inline(never)]
    fn put_some(self, values: &[u64], tallies: &mut Tallies, pen: &mut Pen<'_>) -> u8 {
        self.put(values, tallies, pen)
    }
}
