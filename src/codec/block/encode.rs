//! Making a block from staged rows.

use std::ops::Range;

use edgetime_protocol::cell::{self, MARK_NULL, SCALE_MAX};

use super::{
    LAYOUT_BITS, LAYOUT_DICTIONARY, LAYOUT_PACKED, LAYOUT_PLAIN, LAYOUT_XOR, ROWS_MAX,
    TAG_LAYOUT_SHIFT, TAG_NULLS, Tallies, UNITS, WIDTH_DELTA, tally,
};
use crate::codec::bits::{pack, pack_slice, width_of};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::cells::{Cells, RowsView, heap_bytes};
use crate::codec::decimal::rescale;
use crate::codec::simd::widest;
use crate::types::{ColumnId, FieldType};

/// Appends the rows, 1 to [`ROWS_MAX`] with strictly ascending times, as one block, and counts them.
///
/// # Panics
///
/// Where the number of rows is out of bounds, or the view is shorter than it claims.
pub fn encode(rows: &RowsView<'_>, tallies: &mut Tallies, out: &mut Vec<u8>) {
    widest(
        #[inline(always)]
        || {
            put_block(
                rows.times,
                rows.columns.len(),
                out,
                #[inline(always)]
                |index, column, out| {
                    column.column = rows.columns[index];
                    let (bits, marks) = (&rows.bits[index..], &rows.marks[index..]);
                    let present = column.gather(bits, marks, rows.stride);
                    put_column(index, present, column, rows.heap, tallies, out)
                },
            );
        },
    );
}

/// The same of some rows of cells.
pub(in crate::codec) fn encode_cells(
    cells: &Cells,
    rows: Range<usize>,
    tallies: &mut Tallies,
    out: &mut Vec<u8>,
) {
    let times = &cells.times[rows.clone()];
    put_block(times, cells.columns.len(), out, |index, column, out| {
        let from = &cells.columns[index];
        column.column = (from.id, from.field_type);
        let (bits, marks) = (&from.bits[rows.clone()], &from.marks[rows.clone()]);
        let present = column.gather(bits, marks, 1);
        put_column(index, present, column, &from.heap, tallies, out)
    });
}

/// Appends a block whose columns are put by `put`, which returns false where a column has no value.
#[inline(always)]
fn put_block(
    times: &[i64],
    columns: usize,
    out: &mut Vec<u8>,
    mut put: impl FnMut(usize, &mut Gathered, &mut Vec<u8>) -> bool,
) {
    let count = times.len();
    assert!((1..=ROWS_MAX).contains(&count), "1 to 64 rows a block");
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    put_varint(out, count as u64);
    let columns_at = out.len();
    put_varint(out, columns as u64);
    let columns_end = out.len();
    put_times(times, out);
    let mut column = Gathered {
        column: (ColumnId(0), FieldType::Float),
        bits: [0; ROWS_MAX],
        marks: [0; ROWS_MAX],
        rows: count,
        count: 0,
        rests: [0; ROWS_MAX],
    };
    let mut absent = 0;
    for index in 0..columns {
        if !put(index, &mut column, out) {
            absent += 1;
        }
    }
    if absent > 0 {
        let mut present = Vec::with_capacity(3);
        put_varint(&mut present, (columns - absent) as u64);
        out.splice(columns_at..columns_end, present);
    }
    put_length(start, out);
}

/// Bytes kept free for the length: enough for all blocks but those with long strings.
const LENGTH_BYTES: usize = 2;

fn put_length(start: usize, out: &mut Vec<u8>) {
    let len = out.len() - start - LENGTH_BYTES;
    if len < 1 << 14 {
        out[start] = len as u8 | 0x80;
        out[start + 1] = (len >> 7) as u8;
    } else {
        let mut length = Vec::with_capacity(4);
        put_varint(&mut length, len as u64);
        out.splice(start..start + LENGTH_BYTES, length);
    }
}

#[inline(always)]
fn put_times(times: &[i64], out: &mut Vec<u8>) {
    let count = times.len();
    let (before, after) = (&times[..count - 1], &times[1..]);
    let distance = |after: i64, before: i64| after.wrapping_sub(before) as u64;
    let spacing = after
        .first()
        .map_or(0, |&second| distance(second, times[0]));
    let differ = before.iter().zip(after).fold(0, |differ, (&one, &next)| {
        debug_assert!(one < next, "times ascend strictly");
        differ | (distance(next, one) ^ spacing)
    });
    if differ == 0 {
        // One spacing speaks for all.
        let code = unit_of(times[0], &[spacing]);
        put_bounds(times, code, out);
        if count > 1 {
            out.push(0);
        }
        return;
    }
    let mut deltas = [0u64; ROWS_MAX];
    let deltas = &mut deltas[..count - 1];
    let (mut least, mut most) = (spacing, spacing);
    for ((delta, &one), &next) in deltas.iter_mut().zip(before).zip(after) {
        *delta = distance(next, one);
        least = least.min(*delta);
        most = most.max(*delta);
    }
    let code = unit_of(times[0], deltas);
    put_bounds(times, code, out);
    let width = width_of(in_units(most - least, code));
    out.push(width as u8);
    put_varint(out, in_units(least, code));
    match code {
        3 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[3]),
        2 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[2]),
        1 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[1]),
        _ => deltas.iter_mut().for_each(|d| *d -= least),
    }
    pack_slice(deltas, width, out);
}

/// The largest unit of which a time and all distances are multiples.
#[inline(always)]
fn unit_of(first: i64, distances: &[u64]) -> usize {
    let divides = |code: usize| match code {
        3 => first % UNITS[3] as i64 == 0 && distances.iter().all(|d| d % UNITS[3] == 0),
        2 => first % UNITS[2] as i64 == 0 && distances.iter().all(|d| d % UNITS[2] == 0),
        _ => first % UNITS[1] as i64 == 0 && distances.iter().all(|d| d % UNITS[1] == 0),
    };
    if divides(3) {
        3
    } else if divides(2) {
        2
    } else {
        usize::from(divides(1))
    }
}

/// Division by what is known when this is compiled.
#[inline(always)]
const fn in_units(distance: u64, code: usize) -> u64 {
    match code {
        3 => distance / UNITS[3],
        2 => distance / UNITS[2],
        1 => distance / UNITS[1],
        _ => distance,
    }
}

/// The unit, the first time, and the span where there are two rows.
#[inline(always)]
fn put_bounds(times: &[i64], code: usize, out: &mut Vec<u8>) {
    let (first, last) = (times[0], times[times.len() - 1]);
    out.push(code as u8);
    let whole = in_units(first.unsigned_abs(), code) as i64;
    put_zigzag(
        out,
        if first < 0 {
            whole.wrapping_neg()
        } else {
            whole
        },
    );
    if times.len() > 1 {
        put_varint(out, in_units(last.wrapping_sub(first) as u64, code));
    }
}

/// The values of one column, without those that are missing.
struct Gathered {
    column: (ColumnId, FieldType),
    bits: [u64; ROWS_MAX],
    marks: [u8; ROWS_MAX],
    /// Of the block.
    rows: usize,
    count: usize,
    /// Room for what is packed.
    rests: [u64; ROWS_MAX],
}

impl Gathered {
    /// Collects the cells of a column, `stride` apart, and returns the rows that have a value, one bit each.
    #[inline(always)]
    fn gather(&mut self, bits: &[u64], marks: &[u8], stride: usize) -> u64 {
        let count = self.rows;
        let (into_bits, into_marks) = (&mut self.bits[..count], &mut self.marks[..count]);
        if stride == 1 {
            into_bits.copy_from_slice(&bits[..count]);
            into_marks.copy_from_slice(&marks[..count]);
        } else {
            let mut at = 0;
            for (into, into_mark) in into_bits.iter_mut().zip(&mut *into_marks) {
                *into = bits[at];
                *into_mark = marks[at];
                at += stride;
            }
        }
        let mut nulls = false;
        for &mut mark in into_marks {
            nulls |= mark == MARK_NULL;
        }
        self.count = count;
        let present = u64::MAX >> (64 - count);
        if nulls {
            self.close_ranks(present)
        } else {
            present
        }
    }

    /// Takes cells without a value out of all.
    #[inline(never)]
    fn close_ranks(&mut self, mut present: u64) -> u64 {
        let mut kept = 0;
        for row in 0..self.count {
            if self.marks[row] == MARK_NULL {
                present &= !(1 << row);
            } else {
                self.bits[kept] = self.bits[row];
                self.marks[kept] = self.marks[row];
                kept += 1;
            }
        }
        self.count = kept;
        present
    }
}

/// Appends a column; false, and nothing is appended, where it has no value. `index` is its place.
#[inline(always)]
fn put_column(
    index: usize,
    present: u64,
    column: &mut Gathered,
    heap: &[u8],
    tallies: &mut Tallies,
    out: &mut Vec<u8>,
) -> bool {
    let (rows, count) = (column.rows, column.count);
    if count == 0 {
        return false;
    }
    let (id, field_type) = column.column;
    put_varint(out, u64::from(id.0));
    let nulls = count < rows;
    let tag = field_type.number() | if nulls { TAG_NULLS } else { 0 };
    let tag_at = out.len();
    out.push(tag);
    if nulls {
        out.extend_from_slice(&present.to_le_bytes());
        out.truncate(tag_at + 1 + rows.div_ceil(8));
    }
    let layout = match field_type {
        FieldType::Float => {
            let found = put_floats(column, out);
            tallies.take(index, id, found);
            if found.is_some() {
                LAYOUT_PACKED
            } else {
                LAYOUT_XOR
            }
        }
        FieldType::Integer | FieldType::Unsigned => {
            let found = put_integers(&column.bits[..count], &mut column.rests, out);
            // Unsigned numbers of 64 bits are no signed ones.
            let told = field_type == FieldType::Integer || found.min >= 0;
            tallies.take(index, id, told.then_some((0, found)));
            LAYOUT_PACKED
        }
        FieldType::Boolean => {
            pack(column.bits[..count].iter().map(|bit| bit & 1), 1, out);
            LAYOUT_BITS
        }
        FieldType::String | FieldType::Binary => put_strings(&column.bits[..count], heap, out),
    };
    out[tag_at] |= layout << TAG_LAYOUT_SHIFT;
    true
}

/// Appends floats, and returns scale and range where they are decimals.
#[inline(always)]
fn put_floats(column: &mut Gathered, out: &mut Vec<u8>) -> Option<(u8, tally::Range)> {
    let bits = &mut column.bits[..column.count];
    let marks = &column.marks[..column.count];
    let scale = marks[0];
    let differ = marks
        .iter()
        .fold(0, |differ, &mark| differ | (mark ^ scale));
    let scale = if scale <= SCALE_MAX && differ == 0 {
        Some(scale)
    } else {
        rescale(bits, marks)
    };
    if let Some(scale) = scale {
        out.push(scale);
        return Some((scale, put_integers(bits, &mut column.rests, out)));
    }
    for (value, &mark) in bits.iter_mut().zip(marks) {
        *value = cell::float(*value, mark).to_bits();
    }
    put_xor(bits, out);
    None
}

/// Numbers as offsets from the least, or as differences offset from the least difference.
#[inline(always)]
fn put_integers(values: &[u64], rests: &mut [u64; ROWS_MAX], out: &mut Vec<u8>) -> tally::Range {
    let first = values[0] as i64;
    let mut range = tally::Range {
        min: first,
        max: first,
        sum: 0,
    };
    for &value in values {
        let value = value as i64;
        range.min = range.min.min(value);
        range.max = range.max.max(value);
        range.sum = range.sum.wrapping_add(value);
    }
    if values.len() == 1 {
        out.push(0);
        put_zigzag(out, first);
        return range;
    }
    let deltas = &mut rests[..values.len() - 1];
    let (mut least_delta, mut most_delta) = (i64::MAX, i64::MIN);
    for ((delta, &next), &one) in deltas.iter_mut().zip(&values[1..]).zip(values) {
        *delta = next.wrapping_sub(one);
        least_delta = least_delta.min(*delta as i64);
        most_delta = most_delta.max(*delta as i64);
    }
    let width = width_of(range.max.wrapping_sub(range.min) as u64);
    let width_delta = width_of(most_delta.wrapping_sub(least_delta) as u64);
    let count = values.len() as u32;
    // Differences store one number less, but a base of their own.
    if count * width <= (count - 1) * width_delta + 8 {
        out.push(width as u8);
        put_zigzag(out, range.min);
        for (rest, value) in rests.iter_mut().zip(values) {
            *rest = value.wrapping_sub(range.min as u64);
        }
        pack_slice(&rests[..values.len()], width, out);
        return range;
    }
    out.push(width_delta as u8 | WIDTH_DELTA);
    put_zigzag(out, first);
    put_zigzag(out, least_delta);
    for delta in &mut *deltas {
        *delta = delta.wrapping_sub(least_delta as u64);
    }
    pack_slice(deltas, width_delta, out);
    range
}

/// The first value, then the bits in which any value differs from the one before it.
#[inline(never)]
fn put_xor(values: &[u64], out: &mut Vec<u8>) {
    out.extend_from_slice(&values[0].to_le_bytes());
    let differing = values
        .windows(2)
        .fold(0, |differing, pair| differing | pair[0] ^ pair[1]);
    let trailing = differing.trailing_zeros() % 64;
    let width = width_of(differing >> trailing);
    out.push(width as u8);
    if width > 0 {
        out.push(trailing as u8);
        let rests = values
            .windows(2)
            .map(|pair| (pair[0] ^ pair[1]) >> trailing);
        pack(rests, width, out);
    }
}

#[inline(never)]
fn put_strings(cells: &[u64], heap: &[u8], out: &mut Vec<u8>) -> u8 {
    let mut distinct = [0u64; ROWS_MAX];
    let mut known = 0;
    let mut indexes = [0u64; ROWS_MAX];
    for (index, &cell) in indexes.iter_mut().zip(cells) {
        let bytes = heap_bytes(heap, cell);
        let found = distinct[..known]
            .iter()
            .position(|&other| other == cell || heap_bytes(heap, other) == bytes);
        *index = found.unwrap_or(known) as u64;
        if found.is_none() {
            distinct[known] = cell;
            known += 1;
        }
    }
    if known < cells.len() {
        put_varint(out, known as u64);
    }
    for &cell in &distinct[..known] {
        put_varint(out, heap_bytes(heap, cell).len() as u64);
    }
    for &cell in &distinct[..known] {
        out.extend_from_slice(heap_bytes(heap, cell));
    }
    if known == cells.len() {
        return LAYOUT_PLAIN;
    }
    let indexes = indexes[..cells.len()].iter().copied();
    pack(indexes, width_of(known as u64 - 1), out);
    LAYOUT_DICTIONARY
}
