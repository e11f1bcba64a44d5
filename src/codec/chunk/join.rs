//! Sealing on the write path: the blocks of an open chunk become a chunk as they are, column by column.
//!
//! Nothing is packed anew. What the blocks say of a column is brought together, so that all of it lies in one
//! piece; its values are counted on the way, because a chunk knows the statistics of its columns.

use edgetime_protocol::cell::MARK_RAW;

use super::CELLS_MAX;
use super::directory::{Codec, Entry, Known};
use super::joined::{self, Place};
use super::seal::{Shape, assemble};
use crate::codec::block::{self, Encoder, Part, Preamble, Tallies, Tally};
use crate::codec::bytes::Reader;
use crate::codec::cells::Cells;
use crate::codec::decimal;
use crate::codec::error::CodecError;
use crate::codec::statistics::{Doubles, Integers};
use crate::limits::{BLOCK_ROWS, COLUMNS, ROWS_CLAIMED};
use crate::types::{ColumnId, FieldType, Position};

/// Buffers that joining blocks reuses.
#[derive(Debug, Default)]
pub struct Joiner {
    columns: Vec<Column>,
    spare: Vec<Column>,
    times: Vec<u8>,
    directory: Vec<u8>,
}

/// What is known of the blocks read so far.
struct Covered {
    rows: usize,
    blocks: usize,
    /// Rows of every block but the last, which may have fewer.
    block_rows: usize,
    first_time: i64,
    last_time: i64,
    spacing: Spacing,
}

/// Nanoseconds between neighbours.
#[derive(Clone, Copy)]
enum Spacing {
    Unknown,
    Regular(u64),
    Irregular,
}

impl Spacing {
    fn meet(&mut self, distance: Option<u64>) {
        *self = match (*self, distance) {
            (Self::Unknown, Some(found)) => Self::Regular(found),
            (Self::Regular(known), Some(found)) if known == found => Self::Regular(known),
            _ => Self::Irregular,
        };
    }
}

impl Joiner {
    /// Makes a chunk of the rows of all blocks, which stand behind one another in some buffers, at times that
    /// ascend strictly. All blocks but the last have equally many rows. The chunk has the columns of the
    /// blocks, and those named. The tallies are of just these blocks. `positions` are the log positions of the first and the last row.
    pub fn join(
        &mut self,
        buffers: &[&[u8]],
        tallies: &Tallies,
        columns: &[(ColumnId, FieldType)],
        positions: (Position, Position),
    ) -> Result<Vec<u8>, CodecError> {
        self.clear();
        for &(id, field_type) in columns {
            self.column(usize::MAX, id, field_type);
        }
        let mut covered = Covered {
            rows: 0,
            blocks: 0,
            block_rows: 0,
            first_time: 0,
            last_time: 0,
            spacing: Spacing::Unknown,
        };
        for buffer in buffers {
            let mut rest = *buffer;
            while !rest.is_empty() {
                let len = self.take_block(rest, &mut covered)?;
                rest = &rest[len..];
            }
        }
        self.finish(&covered, tallies, positions)
    }

    fn clear(&mut self) {
        self.spare.append(&mut self.columns);
        self.times.clear();
        self.directory.clear();
    }

    /// The place of a column, which is made where it is new; `guess` is where it is looked for first.
    #[inline]
    fn column(&mut self, guess: usize, id: ColumnId, field_type: FieldType) -> usize {
        match self.columns.get(guess) {
            Some(column) if column.id == id => guess,
            _ => self.find(id, field_type),
        }
    }

    fn find(&mut self, id: ColumnId, field_type: FieldType) -> usize {
        if let Some(found) = self.columns.iter().position(|column| column.id == id) {
            return found;
        }
        let mut body = self.spare.pop().map_or(Vec::new(), |column| column.body);
        body.clear();
        self.columns.push(Column {
            id,
            field_type,
            parts: 0,
            count: 0,
            ends: [(0, 0); 2],
            flags: (0, false, false),
            body,
        });
        self.columns.len() - 1
    }

    /// Takes the block that `bytes` begins with, and returns how many bytes it takes.
    fn take_block(&mut self, bytes: &[u8], covered: &mut Covered) -> Result<usize, CodecError> {
        let mut reader = Reader::new(bytes);
        let preamble = Preamble::read(&mut reader)?;
        covered.take(&preamble, &reader)?;
        self.times
            .extend_from_slice(&bytes[preamble.times_at..reader.offset()]);
        for guess in 0..preamble.columns {
            let id = block::read_id(&mut reader)?;
            let start = reader.offset();
            let part = Part::read(&mut reader, preamble.rows)?;
            let at = self.column(guess, id, part.field_type);
            let column = &mut self.columns[at];
            column.pad(covered.blocks - 1);
            if column.field_type != part.field_type || column.parts == covered.blocks {
                return Err(reader.invalid("column that is there twice"));
            }
            column.take(&part, preamble.rows);
            column
                .body
                .extend_from_slice(&bytes[start..reader.offset()]);
        }
        if !reader.rest().is_empty() {
            return Err(reader.invalid("end of a block"));
        }
        Ok(preamble.len)
    }

    fn finish(
        &mut self,
        covered: &Covered,
        tallies: &Tallies,
        positions: (Position, Position),
    ) -> Result<Vec<u8>, CodecError> {
        let rows = covered.rows;
        let cells = rows * self.columns.len();
        if rows == 0 || rows > ROWS_CLAIMED || self.columns.len() > COLUMNS || cells > CELLS_MAX {
            return Err(CodecError::Limit {
                what: "cells of a chunk",
                offset: 0,
                found: cells as u64,
            });
        }
        if !matches!(covered.spacing, Spacing::Irregular) {
            self.times.clear();
        }
        self.columns.sort_unstable_by_key(|column| column.id);
        let mut previous = None;
        for (guess, column) in self.columns.iter_mut().enumerate() {
            if column.count > 0 {
                column.pad(covered.blocks);
            }
            let place = Place {
                body: &column.body,
                rows,
                block_rows: covered.block_rows,
            };
            let tally = tallies.get(guess, column.id);
            let (codec, known) = column.known(tally, &place)?;
            Entry::put(
                column.id,
                previous,
                column.field_type,
                (codec, &known),
                (column.count, rows),
                column.body.len(),
                &mut self.directory,
            );
            previous = Some(column.id);
        }
        let shape = Shape {
            rows,
            columns: self.columns.len(),
            positions,
            bounds: (covered.first_time, covered.last_time),
            block_rows: Some(covered.block_rows as u8),
        };
        let bodies = || self.columns.iter().map(|column| &column.body[..]);
        Ok(assemble(&shape, &self.directory, &self.times, bodies))
    }
}

impl Covered {
    fn take(&mut self, preamble: &Preamble<'_>, reader: &Reader<'_>) -> Result<(), CodecError> {
        let times = &preamble.times;
        if self.blocks == 0 {
            self.block_rows = preamble.rows;
            self.first_time = times.first;
        } else {
            // The one before was no last one.
            let full = self.rows == self.blocks * self.block_rows;
            if !full || preamble.rows > self.block_rows {
                return Err(reader.invalid("rows of a block"));
            }
            if times.first <= self.last_time {
                return Err(reader.invalid("order of times"));
            }
            let distance = times.first.wrapping_sub(self.last_time) as u64;
            self.spacing.meet(Some(distance));
        }
        if preamble.rows > 1 {
            self.spacing.meet(times.spacing());
        }
        self.rows += preamble.rows;
        self.blocks += 1;
        self.last_time = times.last;
        Ok(())
    }
}

/// What is known of a column, and its parts behind one another.
#[derive(Debug)]
struct Column {
    id: ColumnId,
    field_type: FieldType,
    /// Blocks that have their part in the body.
    parts: usize,
    count: usize,
    /// Where the first and the last part with a value begin, and the rows of their blocks.
    ends: [(usize, usize); 2],
    /// Number of true values, the first and the last.
    flags: (usize, bool, bool),
    body: Vec<u8>,
}

impl Column {
    /// Appends parts without a value until there are `parts`.
    #[inline]
    fn pad(&mut self, parts: usize) {
        if self.parts < parts {
            let len = self.body.len() + parts - self.parts;
            self.body.resize(len, Part::absent(self.field_type));
            self.parts = parts;
        }
    }

    /// Counts the part that comes next.
    #[inline]
    fn take(&mut self, part: &Part<'_>, rows: usize) {
        let place = (self.body.len(), rows);
        if self.count == 0 {
            self.ends[0] = place;
        }
        self.ends[1] = place;
        if let Some((trues, first, last)) = part.flags() {
            let first = if self.count == 0 { first } else { self.flags.1 };
            self.flags = (self.flags.0 + trues, first, last);
        }
        self.parts += 1;
        self.count += part.count;
    }

    /// What the directory says.
    fn known(
        &self,
        tally: Option<&Tally>,
        place: &Place<'_>,
    ) -> Result<(Codec, Known), CodecError> {
        if self.count == 0 {
            return Ok((Codec::Empty, Known::Nothing));
        }
        let unsigned = self.field_type == FieldType::Unsigned;
        Ok(match self.field_type {
            FieldType::Float | FieldType::Integer | FieldType::Unsigned if tally.is_some() => {
                let (scale, min, max, sum) = tally.map(Tally::known).unwrap_or_default();
                let ends = self.end_values(scale)?;
                let integers = Integers::counted(ends, (min, max), sum, self.count);
                if self.field_type == FieldType::Float {
                    (Codec::Decimal, Known::Decimal(scale, integers))
                } else {
                    (Codec::Integers, Known::Integers(integers))
                }
            }
            FieldType::Float => {
                let doubles = joined::values(place, FieldType::Float, MARK_RAW)?.into_iter();
                let doubles: Vec<f64> = doubles.map(f64::from_bits).collect();
                (Codec::Xor, Known::Doubles(Doubles::of(&doubles)))
            }
            FieldType::Integer | FieldType::Unsigned => {
                let values = joined::values(place, self.field_type, 0)?;
                let integers = Integers::of(&values, unsigned);
                (Codec::Integers, Known::Integers(integers))
            }
            FieldType::Boolean => {
                let (trues, first, last) = self.flags;
                (Codec::Flags, Known::Flags(trues, first, last))
            }
            FieldType::String | FieldType::Binary => (Codec::Strings, Known::Nothing),
        })
    }

    /// The first and the last value, of floats at a scale.
    fn end_values(&self, scale: u8) -> Result<(i64, i64), CodecError> {
        let mut ends = [0; 2];
        for (index, end) in ends.iter_mut().enumerate() {
            let (start, rows) = self.ends[index];
            let mut reader = Reader::within(&self.body, start, self.body.len())?;
            let part = Part::read(&mut reader, rows)?;
            let mut values = [0; block::ROWS_MAX];
            part.unpack(&mut values, &mut Vec::new())?;
            let value = values[if index == 0 { 0 } else { part.count - 1 }];
            let (factor, _) = decimal::raising(scale - part.mark().min(scale));
            *end = value.wrapping_mul(factor) as i64;
        }
        Ok((ends[0], ends[1]))
    }
}

/// Makes a chunk of cells by way of blocks.
pub(super) fn of_cells(
    cells: &Cells,
    positions: (Position, Position),
) -> Result<Vec<u8>, CodecError> {
    let mut blocks = Vec::new();
    let mut tallies = Tallies::default();
    let mut encoder = Encoder::default();
    for start in (0..cells.rows()).step_by(BLOCK_ROWS) {
        let rows = start..(start + BLOCK_ROWS).min(cells.rows());
        encoder.encode_cells(cells, rows, &mut tallies, &mut blocks);
    }
    let columns: Vec<_> = cells
        .columns
        .iter()
        .map(|column| (column.id, column.field_type))
        .collect();
    Joiner::default().join(&[&blocks], &tallies, &columns, positions)
}
