//! Making a block from staged rows.

use edgetime_protocol::cell::{self, MARK_NULL, SCALE_MAX};

use super::{
    LAYOUT_BITS, LAYOUT_DICTIONARY, LAYOUT_PACKED, LAYOUT_PLAIN, LAYOUT_XOR, ROWS_MAX,
    TAG_LAYOUT_SHIFT, TAG_NULLS, UNITS, WIDTH_DELTA,
};
use crate::codec::bits::{pack, pack_slice, width_of};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::cells::{RowsView, heap_bytes};
use crate::codec::decimal::rescale;
use crate::types::{ColumnId, FieldType};

/// Appends the rows, 1 to [`ROWS_MAX`] with strictly ascending times, as one block.
///
/// # Panics
///
/// Where the number of rows is out of bounds, or the view is shorter than it claims.
pub fn encode(rows: &RowsView<'_>, out: &mut Vec<u8>) {
    let count = rows.times.len();
    assert!((1..=ROWS_MAX).contains(&count), "1 to 64 rows a block");
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    put_varint(out, count as u64);
    let columns_at = out.len();
    put_varint(out, rows.columns.len() as u64);
    let columns_end = out.len();
    put_times(rows.times, out);
    let mut column = Gathered {
        bits: [0; ROWS_MAX],
        marks: [0; ROWS_MAX],
        count: 0,
        rests: [0; ROWS_MAX],
    };
    let mut absent = 0;
    for (index, &(id, field_type)) in rows.columns.iter().enumerate() {
        let present = column.gather(rows, index);
        if column.count == 0 {
            absent += 1;
            continue;
        }
        put_column(id, field_type, present, count, &mut column, rows.heap, out);
    }
    if absent > 0 {
        let mut columns = Vec::with_capacity(3);
        put_varint(&mut columns, (rows.columns.len() - absent) as u64);
        out.splice(columns_at..columns_end, columns);
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

fn put_times(times: &[i64], out: &mut Vec<u8>) {
    let count = times.len();
    let mut deltas = [0u64; ROWS_MAX];
    let deltas = &mut deltas[..count - 1];
    let (mut least, mut most) = (u64::MAX, 0);
    for (delta, pair) in deltas.iter_mut().zip(times.windows(2)) {
        debug_assert!(pair[0] < pair[1], "times ascend strictly");
        *delta = pair[1].wrapping_sub(pair[0]) as u64;
        least = least.min(*delta);
        most = most.max(*delta);
    }
    // Where all spacings are equal, one of them speaks for all.
    let spoken_for = if least == most { 1 } else { count - 1 };
    let code = (1..UNITS.len())
        .rev()
        .find(|&code| {
            times[0] % UNITS[code] as i64 == 0
                && deltas.iter().take(spoken_for).all(|delta| match code {
                    3 => delta % UNITS[3] == 0,
                    2 => delta % UNITS[2] == 0,
                    _ => delta % UNITS[1] == 0,
                })
        })
        .unwrap_or(0);
    out.push(code as u8);
    let unit = UNITS[code];
    put_zigzag(out, times[0] / unit as i64);
    if count == 1 {
        return;
    }
    let span = times[count - 1].wrapping_sub(times[0]) as u64;
    put_varint(out, span / unit);
    let width = width_of((most - least) / unit);
    out.push(width as u8);
    if width == 0 {
        return;
    }
    put_varint(out, least / unit);
    let rests = deltas.iter().map(|delta| delta - least);
    match code {
        3 => pack(rests.map(|rest| rest / UNITS[3]), width, out),
        2 => pack(rests.map(|rest| rest / UNITS[2]), width, out),
        1 => pack(rests.map(|rest| rest / UNITS[1]), width, out),
        _ => pack(rests, width, out),
    }
}

/// The values of one column, without those that are missing.
struct Gathered {
    bits: [u64; ROWS_MAX],
    marks: [u8; ROWS_MAX],
    count: usize,
    /// Room for what is packed.
    rests: [u64; ROWS_MAX],
}

impl Gathered {
    /// Collects column `index` and returns the rows that have a value, one bit each.
    #[inline]
    fn gather(&mut self, rows: &RowsView<'_>, index: usize) -> u64 {
        let count = rows.times.len();
        let stride = rows.stride;
        let (bits, marks) = (&rows.bits[index..], &rows.marks[index..]);
        let (into_bits, into_marks) = (&mut self.bits[..count], &mut self.marks[..count]);
        let mut at = 0;
        let mut nulls = false;
        for (into, into_mark) in into_bits.iter_mut().zip(into_marks) {
            *into = bits[at];
            *into_mark = marks[at];
            nulls |= marks[at] == MARK_NULL;
            at += stride;
        }
        let mut present = u64::MAX >> (64 - count);
        self.count = count;
        if !nulls {
            return present;
        }
        let mut kept = 0;
        for row in 0..count {
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

#[inline]
fn put_column(
    id: ColumnId,
    field_type: FieldType,
    present: u64,
    rows: usize,
    column: &mut Gathered,
    heap: &[u8],
    out: &mut Vec<u8>,
) {
    put_varint(out, u64::from(id.0));
    let nulls = column.count < rows;
    let tag = field_type.number() | if nulls { TAG_NULLS } else { 0 };
    let tag_at = out.len();
    out.push(tag);
    if nulls {
        out.extend_from_slice(&present.to_le_bytes());
        out.truncate(tag_at + 1 + rows.div_ceil(8));
    }
    let count = column.count;
    let layout = match field_type {
        FieldType::Float => put_floats(column, out),
        FieldType::Integer | FieldType::Unsigned => {
            put_integers(&column.bits[..count], &mut column.rests, out);
            LAYOUT_PACKED
        }
        FieldType::Boolean => {
            pack(column.bits[..count].iter().map(|bit| bit & 1), 1, out);
            LAYOUT_BITS
        }
        FieldType::String | FieldType::Binary => put_strings(&column.bits[..count], heap, out),
    };
    out[tag_at] |= layout << TAG_LAYOUT_SHIFT;
}

fn put_floats(column: &mut Gathered, out: &mut Vec<u8>) -> u8 {
    let bits = &mut column.bits[..column.count];
    let marks = &column.marks[..column.count];
    let scale = marks[0];
    if scale <= SCALE_MAX && marks.iter().all(|&mark| mark == scale) {
        out.push(scale);
        put_integers(bits, &mut column.rests, out);
        return LAYOUT_PACKED;
    }
    if let Some(scale) = rescale(bits, marks) {
        out.push(scale);
        put_integers(bits, &mut column.rests, out);
        return LAYOUT_PACKED;
    }
    for (value, &mark) in bits.iter_mut().zip(marks) {
        *value = cell::float(*value, mark).to_bits();
    }
    put_xor(bits, out);
    LAYOUT_XOR
}

/// Numbers as offsets from the least, or as differences offset from the least difference.
fn put_integers(values: &[u64], rests: &mut [u64; ROWS_MAX], out: &mut Vec<u8>) {
    let first = values[0] as i64;
    let (mut least, mut most) = (first, first);
    let (mut least_delta, mut most_delta) = (i64::MAX, i64::MIN);
    let mut previous = first;
    for (rest, &value) in rests.iter_mut().zip(&values[1..]) {
        let value = value as i64;
        let delta = value.wrapping_sub(previous);
        *rest = delta as u64;
        previous = value;
        least = least.min(value);
        most = most.max(value);
        least_delta = least_delta.min(delta);
        most_delta = most_delta.max(delta);
    }
    if values.len() == 1 {
        out.push(0);
        return put_zigzag(out, first);
    }
    let width = width_of(most.wrapping_sub(least) as u64);
    let width_delta = width_of(most_delta.wrapping_sub(least_delta) as u64);
    let count = values.len() as u32;
    // Differences store one number less, but a base of their own.
    if count * width <= (count - 1) * width_delta + 8 {
        out.push(width as u8);
        put_zigzag(out, least);
        for (rest, value) in rests.iter_mut().zip(values) {
            *rest = value.wrapping_sub(least as u64);
        }
        return pack_slice(&rests[..values.len()], width, out);
    }
    out.push(width_delta as u8 | WIDTH_DELTA);
    put_zigzag(out, first);
    put_zigzag(out, least_delta);
    let rests = &mut rests[..values.len() - 1];
    for rest in &mut *rests {
        *rest = rest.wrapping_sub(least_delta as u64);
    }
    pack_slice(rests, width_delta, out);
}

/// The first value, then the bits in which any value differs from the one before it.
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
