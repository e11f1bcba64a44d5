//! A series from a `ts_ms,value` file: sorted by time, and of rows with the same time the last.

use std::io::Read as _;
use std::path::Path;

use edgetime_protocol::cell;
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::NoHints;
use edgetime_protocol::session::{Item, Session};

use crate::cli::CommandError;
use crate::cli::write::Input;
use crate::limits::VALUE_BYTES;
use crate::types::{ColumnId, FieldType, Timestamp};

/// Points of one column: of floats where the first value is a number, else of strings.
#[derive(Debug)]
pub(super) struct Series {
    /// The file.
    pub name: String,
    /// Float or string.
    pub field_type: FieldType,
    /// Nanoseconds, strictly ascending.
    pub times: Vec<Timestamp>,
    /// Values, as cells; those of strings refer to the heap of the whole series.
    pub bits: Vec<u64>,
    /// Marks of the cells.
    pub marks: Vec<u8>,
    heap: Vec<u8>,
}

impl Series {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let mut input = Input::open(path)?;
        let name = input.name.clone();
        let mut text = Vec::new();
        let read = std::io::Read::by_ref(&mut input).read_to_end(&mut text);
        read.map_err(|error| CommandError::input(&name, &error))?;
        let failed =
            |line: u64, problem: String| CommandError::Failed(format!("{name}:{line}: {problem}"));
        let mut reader = csv::ReaderBuilder::new().from_reader(&text[..]);
        let unreadable =
            |error: csv::Error| CommandError::Failed(format!("{name}: cannot be read: {error}"));
        let header = reader.headers().map_err(unreadable)?;
        if header.iter().map(str::trim).ne(["ts_ms", "value"]) {
            return Err(failed(
                1,
                "not the columns `ts_ms,value`; name them in the first line".to_owned(),
            ));
        }
        let mut field_type = None;
        let mut heap = Vec::new();
        let mut rows: Vec<(Timestamp, (u64, u8))> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(unreadable)?;
            let line = record.position().map_or(0, csv::Position::line);
            let (time, value) = (record[0].trim(), &record[1]);
            let time_ns = time
                .parse::<i64>()
                .ok()
                .and_then(|ms| ms.checked_mul(1_000_000));
            let time_ns = time_ns.ok_or_else(|| {
                failed(
                    line,
                    format!("`{time}` is not a time in whole milliseconds"),
                )
            })?;
            let number = match field_type {
                Some(FieldType::String) => None,
                _ => float_cell(value.trim()),
            };
            let cell = match (field_type, number) {
                (None | Some(FieldType::Float), Some(cell)) => cell,
                (Some(FieldType::Float), None) => {
                    return Err(failed(
                        line,
                        format!("`{value}` is not a decimal number, as the first value is"),
                    ));
                }
                _ => text_cell(value, &mut heap).map_err(|problem| failed(line, problem))?,
            };
            field_type = field_type.or(Some(if number.is_some() {
                FieldType::Float
            } else {
                FieldType::String
            }));
            rows.push((time_ns, cell));
        }
        let Some(field_type) = field_type else {
            return Err(CommandError::Failed(format!(
                "{name}: no points; write a line for each"
            )));
        };
        // Stable: of the rows with the same time the last one stays last.
        rows.sort_by_key(|(time, _)| *time);
        let mut series = Self {
            name,
            field_type,
            times: Vec::with_capacity(rows.len()),
            bits: Vec::with_capacity(rows.len()),
            marks: Vec::with_capacity(rows.len()),
            heap,
        };
        for (index, (time, (bits, mark))) in rows.iter().enumerate() {
            if rows.get(index + 1).is_none_or(|(next, _)| next != time) {
                series.times.push(*time);
                series.bits.push(*bits);
                series.marks.push(*mark);
            }
        }
        Ok(series)
    }

    /// The string of a row.
    pub(super) fn text(&self, row: usize) -> &[u8] {
        let (offset, len) = cell::heap_range(self.bits[row]);
        &self.heap[offset as usize..][..len as usize]
    }

    /// Eight bytes a time, and eight a number or those of a string.
    pub(super) fn raw_bytes(&self) -> u64 {
        let rows = self.times.len();
        let values = match self.field_type {
            FieldType::String => (0..rows).map(|row| self.text(row).len()).sum(),
            _ => rows * 8,
        };
        (rows * 8 + values) as u64
    }
}

/// The cell of a string, whose bytes go to the heap.
fn text_cell(text: &str, heap: &mut Vec<u8>) -> Result<(u64, u8), String> {
    if text.len() > VALUE_BYTES {
        return Err(format!(
            "a value of {} bytes, at most {VALUE_BYTES}",
            text.len()
        ));
    }
    let offset = u32::try_from(heap.len()).map_err(|_| "more than 4 GiB of text".to_owned())?;
    heap.extend_from_slice(text.as_bytes());
    Ok((cell::heap(offset, text.len() as u32), 0))
}

/// The cell that the server would make of a float: its own parser makes it.
fn float_cell(text: &str) -> Option<(u64, u8)> {
    if text.contains([',', ' ', '\n']) {
        return None;
    }
    let line = format!("m v={text} 0\n");
    let mut session = Session::new(Limits::default());
    match session.next(line.as_bytes(), &mut NoHints) {
        Item::Row(row) if row.kinds() == [FieldType::Float] => {
            Some((row.cells()[0], row.marks()[0]))
        }
        _ => None,
    }
}

/// The column of values.
pub(super) const COLUMN: ColumnId = ColumnId(0);
