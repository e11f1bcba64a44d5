//! Reading a block, from bytes that may be anything.

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW, SCALE_MAX};

use super::{
    LAYOUT_BITS, LAYOUT_DICTIONARY, LAYOUT_PACKED, LAYOUT_PLAIN, LAYOUT_XOR, Preamble, ROWS_MAX,
    TAG_LAYOUT_SHIFT, TAG_NULLS, TAG_TYPE, WIDTH_DELTA,
};
use crate::codec::bits::{packed_len, unpack};
use crate::codec::bytes::Reader;
use crate::codec::cells::Cells;
use crate::codec::error::CodecError;
use crate::limits::VALUE_BYTES;
use crate::types::{ColumnId, FieldType};

/// Appends the rows of the block that `bytes` begins with, and returns how many bytes it takes.
///
/// Columns that are new get nulls for the rows before, columns that the block lacks get nulls for its
/// rows. After an error `into` holds the rows that it held before.
pub fn decode(bytes: &[u8], into: &mut Cells) -> Result<usize, CodecError> {
    let before = into.rows();
    let decoded = decode_rows(bytes, into);
    if decoded.is_err() {
        into.truncate(before);
    }
    into.pad();
    decoded
}

fn decode_rows(bytes: &[u8], into: &mut Cells) -> Result<usize, CodecError> {
    let mut reader = Reader::new(bytes);
    let preamble = Preamble::read(&mut reader)?;
    let mut reader = Reader::within(bytes, reader.offset(), preamble.header.len)?;
    let before = into.rows();
    read_times(&mut reader, &preamble, &mut into.times)?;
    let mut values = [0; ROWS_MAX];
    for index in 0..preamble.columns {
        let rows = preamble.header.rows;
        read_column(&mut reader, rows, before, index, &mut values, into)?;
    }
    if !reader.rest().is_empty() {
        return Err(reader.invalid("end of a block"));
    }
    Ok(preamble.header.len)
}

fn read_times(
    reader: &mut Reader<'_>,
    preamble: &Preamble,
    times: &mut Vec<i64>,
) -> Result<(), CodecError> {
    let rows = preamble.header.rows;
    let mut time = preamble.header.first_time;
    times.push(time);
    if rows == 1 {
        return Ok(());
    }
    let width = read_width(reader)?;
    let mut deltas = [0; ROWS_MAX];
    let deltas = &mut deltas[..rows - 1];
    if width == 0 {
        deltas.fill(preamble.span / (rows as u64 - 1));
    } else {
        let least = reader.varint()?;
        read_packed(reader, width, deltas)?;
        for delta in &mut *deltas {
            *delta = delta.wrapping_add(least);
        }
    }
    let mut ascending = true;
    for delta in deltas {
        let next = time.wrapping_add_unsigned(delta.wrapping_mul(preamble.unit));
        ascending &= next > time;
        time = next;
        times.push(time);
    }
    if ascending && time == preamble.header.last_time {
        Ok(())
    } else {
        Err(reader.invalid("order of times"))
    }
}

fn read_column(
    reader: &mut Reader<'_>,
    rows: usize,
    before: usize,
    guess: usize,
    values: &mut [u64; ROWS_MAX],
    into: &mut Cells,
) -> Result<(), CodecError> {
    let id = ColumnId(reader.bounded("column id", usize::from(u16::MAX))? as u16);
    let tag = reader.byte()?;
    let field_type =
        FieldType::from_number(tag & TAG_TYPE).ok_or_else(|| reader.invalid("type"))?;
    let mut present = u64::MAX >> (64 - rows);
    if tag & TAG_NULLS != 0 {
        let mut word = [0; 8];
        let bitmap = reader.take(rows.div_ceil(8))?;
        word[..bitmap.len()].copy_from_slice(bitmap);
        present &= u64::from_le_bytes(word);
    }
    let count = present.count_ones() as usize;
    if count == 0 {
        return Err(reader.invalid("column without values"));
    }
    let at = reader.offset();
    let column = into
        .column_mut(guess, id, field_type, before)
        .filter(|column| column.bits.len() == before)
        .ok_or(CodecError::Invalid {
            what: "column that is there twice",
            offset: at,
        })?;
    let values = &mut values[..count];
    let mut mark = 0;
    match (tag >> TAG_LAYOUT_SHIFT, field_type) {
        (LAYOUT_PACKED, FieldType::Float) => {
            mark = reader.byte()?;
            if mark > SCALE_MAX {
                return Err(reader.invalid("scale"));
            }
            read_integers(reader, values)?;
        }
        (LAYOUT_PACKED, FieldType::Integer | FieldType::Unsigned) => {
            read_integers(reader, values)?;
        }
        (LAYOUT_XOR, FieldType::Float) => {
            mark = MARK_RAW;
            read_xor(reader, values)?;
        }
        (LAYOUT_BITS, FieldType::Boolean) => read_packed(reader, 1, values)?,
        (layout @ (LAYOUT_DICTIONARY | LAYOUT_PLAIN), FieldType::String | FieldType::Binary) => {
            read_strings(reader, layout, values, &mut column.heap)?;
        }
        _ => return Err(reader.invalid("layout of a column")),
    }
    if count == rows {
        column.bits.extend_from_slice(values);
        column.marks.resize(before + rows, mark);
        return Ok(());
    }
    let mut values = values.iter();
    for row in 0..rows {
        match (present >> row & 1 == 1).then(|| values.next()).flatten() {
            Some(&value) => column.push(value, mark),
            None => column.push(0, MARK_NULL),
        }
    }
    Ok(())
}

fn read_integers(reader: &mut Reader<'_>, values: &mut [u64]) -> Result<(), CodecError> {
    let byte = reader.byte()?;
    let base = reader.zigzag()? as u64;
    if byte & WIDTH_DELTA == 0 {
        check_width(reader, byte)?;
        read_packed(reader, u32::from(byte), values)?;
        for value in values {
            *value = value.wrapping_add(base);
        }
        return Ok(());
    }
    let least = reader.zigzag()? as u64;
    check_width(reader, byte & !WIDTH_DELTA)?;
    let mut value = base;
    let (first, rest) = values
        .split_first_mut()
        .ok_or_else(|| reader.invalid("count"))?;
    read_packed(reader, u32::from(byte & !WIDTH_DELTA), rest)?;
    *first = value;
    for delta in rest {
        value = value.wrapping_add(*delta).wrapping_add(least);
        *delta = value;
    }
    Ok(())
}

fn read_xor(reader: &mut Reader<'_>, values: &mut [u64]) -> Result<(), CodecError> {
    let mut value = reader.word()?;
    let width = read_width(reader)?;
    let trailing = if width > 0 { reader.byte()? } else { 0 };
    if width + u32::from(trailing) > 64 {
        return Err(reader.invalid("window of bits"));
    }
    let (first, rest) = values
        .split_first_mut()
        .ok_or_else(|| reader.invalid("count"))?;
    read_packed(reader, width, rest)?;
    *first = value;
    for next in rest {
        value ^= *next << trailing;
        *next = value;
    }
    Ok(())
}

fn read_strings(
    reader: &mut Reader<'_>,
    layout: u8,
    values: &mut [u64],
    heap: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let known = if layout == LAYOUT_PLAIN {
        values.len()
    } else {
        reader.bounded("entries of a dictionary", values.len())?
    };
    let mut lens = [0; ROWS_MAX];
    for len in &mut lens[..known] {
        *len = reader.bounded("length of a string", VALUE_BYTES)?;
    }
    let mut entries = [0; ROWS_MAX];
    for (entry, &len) in entries.iter_mut().zip(&lens[..known]) {
        let bytes = reader.take(len)?;
        let offset = u32::try_from(heap.len() + len)
            .map_err(|_| reader.invalid("size of a heap"))?
            - len as u32;
        heap.extend_from_slice(bytes);
        *entry = cell::heap(offset, len as u32);
    }
    if layout == LAYOUT_PLAIN {
        values.copy_from_slice(&entries[..known]);
        return Ok(());
    }
    let width = crate::codec::bits::width_of((known as u64).saturating_sub(1));
    read_packed(reader, width, values)?;
    for value in values {
        *value = *entries[..known]
            .get(*value as usize)
            .ok_or_else(|| reader.invalid("entry of a dictionary"))?;
    }
    Ok(())
}

fn read_width(reader: &mut Reader<'_>) -> Result<u32, CodecError> {
    let width = reader.byte()?;
    check_width(reader, width)?;
    Ok(u32::from(width))
}

fn check_width(reader: &Reader<'_>, width: u8) -> Result<(), CodecError> {
    if width > 64 {
        return Err(reader.invalid("width"));
    }
    Ok(())
}

/// Numbers of one width; what follows them in the buffer may be looked at, but is not consumed.
fn read_packed(reader: &mut Reader<'_>, width: u32, out: &mut [u64]) -> Result<(), CodecError> {
    let rest = reader.rest();
    reader.take(packed_len(out.len(), width))?;
    unpack(rest, width, out);
    Ok(())
}
