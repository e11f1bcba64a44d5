//! A series from a `ts_ms,value` file: sorted by time, and of rows with the same time the last.

use std::io::Read as _;
use std::path::Path;

use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::NoHints;
use edgetime_protocol::session::{Item, Session};

use crate::cli::CommandError;
use crate::cli::write::Input;
use crate::types::{FieldType, Timestamp};

/// Points of one float column.
#[derive(Debug)]
pub(super) struct Series {
    /// The file.
    pub name: String,
    /// Nanoseconds, strictly ascending.
    pub times: Vec<Timestamp>,
    /// Values, as cells.
    pub bits: Vec<u64>,
    /// Marks of the cells.
    pub marks: Vec<u8>,
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
        let mut rows: Vec<(Timestamp, (u64, u8))> = Vec::new();
        for record in reader.records() {
            let record = record.map_err(unreadable)?;
            let line = record.position().map_or(0, csv::Position::line);
            let (time, value) = (record[0].trim(), record[1].trim());
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
            let cell = float_cell(value)
                .ok_or_else(|| failed(line, format!("`{value}` is not a decimal number")))?;
            rows.push((time_ns, cell));
        }
        if rows.is_empty() {
            return Err(CommandError::Failed(format!(
                "{name}: no points; write a line for each"
            )));
        }
        // Stable: of the rows with the same time the last one stays last.
        rows.sort_by_key(|(time, _)| *time);
        let mut series = Self {
            name,
            times: Vec::with_capacity(rows.len()),
            bits: Vec::with_capacity(rows.len()),
            marks: Vec::with_capacity(rows.len()),
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
