//! Reading a block, from bytes that may be anything.

use edgetime_protocol::cell::MARK_NULL;

use super::part::Part;
use super::{Preamble, ROWS_MAX};
use crate::codec::bytes::Reader;
use crate::codec::cells::Cells;
use crate::codec::error::CodecError;
use crate::types::ColumnId;

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
    let before = into.rows();
    preamble.times.unpack(&mut into.times)?;
    let mut values = [0; ROWS_MAX];
    for index in 0..preamble.columns {
        let rows = preamble.rows;
        read_column(&mut reader, rows, before, index, &mut values, into)?;
    }
    if !reader.rest().is_empty() {
        return Err(reader.invalid("end of a block"));
    }
    Ok(preamble.len)
}

fn read_column(
    reader: &mut Reader<'_>,
    rows: usize,
    before: usize,
    guess: usize,
    values: &mut [u64; ROWS_MAX],
    into: &mut Cells,
) -> Result<(), CodecError> {
    let id = read_id(reader)?;
    let at = reader.offset();
    let part = Part::read(reader, rows)?;
    let column = into
        .column_mut(guess, id, part.field_type, before)
        .filter(|column| column.bits.len() == before && part.count > 0)
        .ok_or(CodecError::Invalid {
            what: "column that is there twice",
            offset: at,
        })?;
    part.unpack(values, &mut column.heap)?;
    let values = &values[..part.count];
    if part.count == rows {
        column.bits.extend_from_slice(values);
        column.marks.resize(before + rows, part.mark());
        return Ok(());
    }
    let mut values = values.iter();
    for row in 0..rows {
        match (part.present >> row & 1 == 1)
            .then(|| values.next())
            .flatten()
        {
            Some(&value) => column.push(value, part.mark()),
            None => column.push(0, MARK_NULL),
        }
    }
    Ok(())
}

/// What stands before a part in a block.
pub(in crate::codec) fn read_id(reader: &mut Reader<'_>) -> Result<ColumnId, CodecError> {
    let id = reader.bounded("column id", usize::from(u16::MAX))?;
    Ok(ColumnId(id as u16))
}
