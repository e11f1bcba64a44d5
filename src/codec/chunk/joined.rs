//! Reading chunks that are made of blocks: a part a block, behind one another, of each column and of the times.

use std::ops::Range;

use edgetime_protocol::cell::{MARK_RAW, POWERS_OF_TEN};

use super::column::Dense;
use super::directory::{Codec, Entry, Known};
use crate::codec::block::{Part, ROWS_MAX, Times};
use crate::codec::bytes::Reader;
use crate::codec::decimal;
use crate::codec::error::CodecError;
use crate::codec::integers::Numbers;
use crate::types::FieldType;

/// Parts, and the rows that they cover.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) body: &'a [u8],
    pub(super) rows: usize,
    /// Rows of every block but the last.
    pub(super) block_rows: usize,
}

impl Place<'_> {
    /// The rows of each block.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, block_rows) = (self.rows, self.block_rows);
        (0..rows)
            .step_by(block_rows)
            .map(move |start| start..rows.min(start + block_rows))
    }
}

/// The wanted rows of a column.
pub(super) fn read(
    place: &Place<'_>,
    entry: &Entry,
    wanted: Range<usize>,
) -> Result<Dense, CodecError> {
    let mut found = Found::default();
    let mark = match (&entry.known, entry.codec) {
        (Known::Decimal(scale, _), _) => *scale,
        (_, Codec::Xor) => MARK_RAW,
        (_, Codec::Integers | Codec::Flags | Codec::Strings) => 0,
        _ => return Err(Reader::new(place.body).invalid("codec in blocks")),
    };
    let whole = wanted == (0..place.rows);
    found.read(place, entry.field_type, mark, wanted.clone())?;
    let missing = wanted.len() - found.values.len();
    if (whole && found.values.len() != entry.count) || (!entry.has_nulls() && missing > 0) {
        return Err(Reader::new(place.body).invalid("number of values"));
    }
    let present = entry.has_nulls().then_some(found.present);
    let numbers = Numbers::Wide(found.values);
    Ok(Dense::of(present, numbers, mark, found.heap))
}

/// All values there are, floats at the scale `mark` or as doubles.
pub(super) fn values(
    place: &Place<'_>,
    field_type: FieldType,
    mark: u8,
) -> Result<Vec<u64>, CodecError> {
    let mut found = Found::default();
    found.read(place, field_type, mark, 0..place.rows)?;
    Ok(found.values)
}

#[derive(Default)]
struct Found {
    /// Which of the rows have a value.
    present: Vec<bool>,
    /// Of those that have.
    values: Vec<u64>,
    heap: Vec<u8>,
}

impl Found {
    /// Appends the wanted rows, floats at the scale `mark` or as doubles. Behind them nothing is looked at.
    fn read(
        &mut self,
        place: &Place<'_>,
        field_type: FieldType,
        mark: u8,
        wanted: Range<usize>,
    ) -> Result<(), CodecError> {
        let mut reader = Reader::new(place.body);
        let mut values = [0; ROWS_MAX];
        for rows in place.blocks() {
            if rows.start >= wanted.end {
                return Ok(());
            }
            let part = Part::read(&mut reader, rows.len())?;
            if part.field_type != field_type {
                return Err(reader.invalid("type of a part"));
            }
            if rows.end <= wanted.start {
                continue;
            }
            part.unpack(&mut values, &mut self.heap)?;
            let values = &mut values[..part.count];
            if part.count > 0 && !convert(values, part.mark(), mark) {
                return Err(reader.invalid("scale of a part"));
            }
            let wanted = rows.start.max(wanted.start)..rows.end.min(wanted.end);
            self.append(
                &part,
                values,
                wanted.start - rows.start..wanted.end - rows.start,
            );
        }
        if reader.rest().is_empty() {
            Ok(())
        } else {
            Err(reader.invalid("end of a column"))
        }
    }

    /// Appends some rows of a part.
    fn append(&mut self, part: &Part<'_>, values: &[u64], rows: Range<usize>) {
        if part.present.trailing_ones() as usize >= rows.end {
            self.present.resize(self.present.len() + rows.len(), true);
            return self.values.extend_from_slice(&values[rows]);
        }
        let before = part.present & !(u64::MAX << rows.start);
        let mut at = before.count_ones() as usize;
        for row in rows {
            let present = part.present >> row & 1 == 1;
            self.present.push(present);
            if present {
                self.values.push(values[at]);
                at += 1;
            }
        }
    }
}

/// Brings floats from one mark to another; false where that cannot be. Other values have no mark but 0.
fn convert(values: &mut [u64], from: u8, to: u8) -> bool {
    if from == to {
        return true;
    }
    if to == MARK_RAW {
        let Some(power) = POWERS_OF_TEN.get(usize::from(from)) else {
            return false;
        };
        for value in values {
            *value = (*value as i64 as f64 / power).to_bits();
        }
        return true;
    }
    if from > to {
        return false;
    }
    let (factor, _) = decimal::raising(to - from);
    for value in values {
        *value = value.wrapping_mul(factor);
    }
    true
}

/// Appends the times of the wanted rows. They ascend strictly, or there is an error and some of them.
pub(super) fn decode_times(
    place: &Place<'_>,
    wanted: Range<usize>,
    times: &mut Vec<i64>,
) -> Result<(), CodecError> {
    let mut reader = Reader::new(place.body);
    let before = times.len();
    for rows in place.blocks() {
        if rows.start >= wanted.end {
            break;
        }
        let part = Times::read(&mut reader, rows.len())?;
        if rows.end <= wanted.start {
            continue;
        }
        let from = times.len();
        part.unpack(times)?;
        let ascending = from == before || times[from - 1] < times[from];
        if !ascending {
            return Err(reader.invalid("order of times"));
        }
        times.truncate(from + wanted.end.min(rows.end) - rows.start);
        let skipped = wanted.start.saturating_sub(rows.start);
        times.drain(from..from + skipped);
    }
    if wanted.end < place.rows || reader.rest().is_empty() {
        Ok(())
    } else {
        Err(reader.invalid("end of times"))
    }
}

/// Rows whose times are known without unpacking any other: row and time, in ascending order of the rows.
pub(super) fn landmarks(place: &Place<'_>) -> Result<Vec<(usize, i64)>, CodecError> {
    let mut reader = Reader::new(place.body);
    let mut known = Vec::new();
    for rows in place.blocks() {
        let part = Times::read(&mut reader, rows.len())?;
        known.push((rows.start, part.first));
        known.push((rows.end - 1, part.last));
    }
    Ok(known)
}
