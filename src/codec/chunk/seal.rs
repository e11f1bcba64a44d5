//! Making a chunk.

use edgetime_protocol::cell::MARK_NULL;

use super::directory::{Codec, Entry, Known};
use super::floats::{self, FloatHabit};
use super::{CELLS_MAX, CHECKED_FROM, Chunk, UNIT_BLOCKS, UNITS, VERSION, checksum, join};
use crate::codec::bytes::{put_varint, put_zigzag};
use crate::codec::cells::{CellColumn, Cells};
use crate::codec::error::CodecError;
use crate::codec::integers::{self, Effort, Habit};
use crate::codec::statistics::Integers;
use crate::codec::{bools, strings, timestamps};
use crate::limits::{COLUMNS, ROWS_CLAIMED};
use crate::types::{ColumnId, FieldType, Position};

/// What fitted the last chunk of a series, tried first the next time. Losing it costs time, nothing else.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    times: Habit,
    columns: Vec<ColumnHints>,
}

#[derive(Clone, Copy, Debug)]
struct ColumnHints {
    id: ColumnId,
    habit: FloatHabit,
}

impl Hints {
    fn column(&mut self, id: ColumnId) -> &mut ColumnHints {
        let index = self.columns.iter().position(|hints| hints.id == id);
        let index = index.unwrap_or_else(|| {
            self.columns.push(ColumnHints {
                id,
                habit: FloatHabit::default(),
            });
            self.columns.len() - 1
        });
        &mut self.columns[index]
    }
}

/// Makes a chunk of all rows. `positions` are the log positions of the first and the last row.
///
/// # Panics
///
/// Where there is no row, more than [`ROWS_CLAIMED`] rows or [`COLUMNS`] columns, or a column without as
/// many cells as there are rows, more than [`CELLS_MAX`] cells, or two columns of one id. Times have to ascend
/// strictly, or nobody will read the chunk.
pub fn encode(
    cells: &Cells,
    positions: (Position, Position),
    hints: &mut Hints,
    effort: Effort,
) -> Vec<u8> {
    let rows = cells.rows();
    assert!((1..=ROWS_CLAIMED).contains(&rows), "rows of a chunk");
    assert!(cells.columns.len() <= COLUMNS, "columns of a chunk");
    assert!(rows * cells.columns.len() <= CELLS_MAX, "cells of a chunk");
    debug_assert!(cells.times.is_sorted_by(|a, b| a < b), "times ascend");
    let mut columns: Vec<&CellColumn> = cells.columns.iter().collect();
    columns.sort_by_key(|column| column.id);
    let differ = columns.is_sorted_by(|a, b| a.id < b.id);
    assert!(differ, "a column that is there twice");
    if effort == Effort::Cheap
        && let Ok(joined) = join::of_cells(cells, positions)
    {
        return joined;
    }
    let mut times = Vec::new();
    timestamps::encode(&cells.times, &mut hints.times, effort, &mut times);
    let mut directory = Vec::with_capacity(columns.len() * 32);
    let mut bodies = Vec::with_capacity(columns.len() * rows * 2);
    let mut previous = None;
    for column in columns {
        assert!(
            column.bits.len() == rows && column.marks.len() == rows,
            "a cell for each row"
        );
        let start = bodies.len();
        let (count, codec, known) =
            put_column(column, hints.column(column.id), effort, &mut bodies);
        Entry::put(
            column.id,
            previous,
            column.field_type,
            (codec, &known),
            (count, rows),
            bodies.len() - start,
            &mut directory,
        );
        previous = Some(column.id);
    }
    let shape = Shape {
        rows,
        columns: cells.columns.len(),
        positions,
        bounds: (cells.times[0], cells.times[rows - 1]),
        block_rows: None,
    };
    assemble(&shape, &directory, &times, || std::iter::once(&bodies[..]))
}

/// The smallest form of a chunk; nothing where it has it. The hints are those of the series' chunk before.
pub fn recompress(bytes: &[u8], hints: &mut Hints) -> Result<Option<Vec<u8>>, CodecError> {
    let opened = Chunk::open(bytes)?;
    let mut cells = Cells::default();
    opened.decode_cells(&mut cells)?;
    let positions = (opened.first_position(), opened.last_position());
    let smaller = encode(&cells, positions, hints, Effort::Full);
    Ok((smaller.len() < bytes.len()).then_some(smaller))
}

/// What a header says.
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) positions: (Position, Position),
    /// The first and the last time.
    pub(super) bounds: (i64, i64),
    /// Rows of a block, where the chunk is made of blocks.
    pub(super) block_rows: Option<u8>,
}

/// A chunk of all its pieces.
pub(super) fn assemble<'a, Bodies: Iterator<Item = &'a [u8]>>(
    shape: &Shape,
    directory: &[u8],
    times: &[u8],
    bodies: impl Fn() -> Bodies,
) -> Vec<u8> {
    let bodies_len: usize = bodies().map(<[u8]>::len).sum();
    let mut out = Vec::with_capacity(48 + directory.len() + times.len() + bodies_len);
    out.push(VERSION);
    out.extend_from_slice(&[0; 4]);
    put_varint(&mut out, shape.rows as u64);
    put_varint(&mut out, shape.columns as u64);
    let (first, last) = shape.positions;
    put_varint(&mut out, first.0);
    put_zigzag(&mut out, last.0.wrapping_sub(first.0) as i64);
    put_bounds(shape.bounds, shape.block_rows, &mut out);
    put_varint(&mut out, times.len() as u64);
    put_varint(&mut out, directory.len() as u64);
    out.extend_from_slice(directory);
    out.extend_from_slice(times);
    bodies().for_each(|body| out.extend_from_slice(body));
    let checksum = checksum(&out);
    out[1..CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// The first time and the distance to the last, in the largest unit that both are multiples of, and between unit
/// and times the rows of a block.
fn put_bounds((first, last): (i64, i64), block_rows: Option<u8>, out: &mut Vec<u8>) {
    let span = last.wrapping_sub(first) as u64;
    let divides =
        |&code: &usize| first % UNITS[code] as i64 == 0 && span.is_multiple_of(UNITS[code]);
    let code = (0..UNITS.len()).rev().find(divides).unwrap_or(0);
    out.push(code as u8 | if block_rows.is_some() { UNIT_BLOCKS } else { 0 });
    out.extend(block_rows);
    put_zigzag(out, first / UNITS[code] as i64);
    put_varint(out, span / UNITS[code]);
}

/// Appends the values, and before them the rows that have one where not all do. Returns how many.
fn put_column(
    column: &CellColumn,
    hints: &mut ColumnHints,
    effort: Effort,
    out: &mut Vec<u8>,
) -> (usize, Codec, Known) {
    if !column.marks.contains(&MARK_NULL) {
        let (codec, known) = put_values(column, &column.bits, &column.marks, hints, effort, out);
        return (column.bits.len(), codec, known);
    }
    let present = column.marks.iter().map(|&mark| mark != MARK_NULL);
    let mut bits = Vec::with_capacity(column.bits.len());
    let mut marks = Vec::with_capacity(column.bits.len());
    for (&value, &mark) in column.bits.iter().zip(&column.marks) {
        if mark != MARK_NULL {
            bits.push(value);
            marks.push(mark);
        }
    }
    if bits.is_empty() {
        return (0, Codec::Empty, Known::Nothing);
    }
    bools::encode(present, out);
    let (codec, known) = put_values(column, &bits, &marks, hints, effort, out);
    (bits.len(), codec, known)
}

fn put_values(
    column: &CellColumn,
    bits: &[u64],
    marks: &[u8],
    hints: &mut ColumnHints,
    effort: Effort,
    out: &mut Vec<u8>,
) -> (Codec, Known) {
    match column.field_type {
        FieldType::Float => floats::put(bits, marks, &mut hints.habit, effort, out),
        FieldType::Integer | FieldType::Unsigned => {
            let unsigned = column.field_type == FieldType::Unsigned;
            let known = Integers::of(bits, unsigned);
            integers::encode(bits, known.range(), &mut hints.habit.integers, effort, out);
            (Codec::Integers, Known::Integers(known))
        }
        FieldType::Boolean => {
            let flags = bits.iter().map(|&bit| bit & 1 == 1);
            let trues = flags.clone().filter(|&flag| flag).count();
            let at = |bit: Option<&u64>| bit.is_some_and(|bit| bit & 1 == 1);
            bools::encode(flags, out);
            let known = Known::Flags(trues, at(bits.first()), at(bits.last()));
            (Codec::Flags, known)
        }
        FieldType::String | FieldType::Binary => {
            let codec = match strings::encode(bits, &column.heap, effort, out) {
                strings::Form::Plain => Codec::Strings,
                strings::Form::Compressed => Codec::StringsLz4,
            };
            (codec, Known::Nothing)
        }
    }
}
