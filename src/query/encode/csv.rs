//! CSV by RFC 4180: a header line, CRLF never inside unquoted cells, nothing for null.
//!
//! Lines end with a line feed alone, which readers of CSV take as well and text tools prefer. Doubles
//! have the fewest digits that read back exactly; NaN and infinities are `NaN`, `inf` and `-inf`.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use csv::{Writer, WriterBuilder};

use super::Encoder;
use super::time::TimeFormat;
use crate::query::result::{ResultBatch, ResultCell, ResultColumn};

/// Writes CSV.
#[derive(Clone, Copy, Debug)]
pub struct CsvEncoder {
    time: TimeFormat,
}

impl CsvEncoder {
    /// An encoder that writes times like this.
    #[must_use]
    pub const fn new(time: TimeFormat) -> Self {
        Self { time }
    }
}

impl Encoder for CsvEncoder {
    fn begin(&mut self, columns: &[ResultColumn], out: &mut dyn Write) -> io::Result<()> {
        let mut writer = writer(out);
        writer.write_record(columns.iter().map(|column| column.name.as_str()))?;
        writer.flush()
    }

    fn batch(&mut self, batch: &ResultBatch, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = writer(out);
        let mut text = String::new();
        for row in 0..batch.rows() {
            for column in &batch.columns {
                text.clear();
                cell_text(column.cell(row), self.time, &mut text);
                writer.write_field(&text)?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer.flush()
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn writer(out: &mut dyn Write) -> Writer<&mut dyn Write> {
    WriterBuilder::new()
        .flexible(true)
        .terminator(csv::Terminator::CRLF)
        .from_writer(out)
}

/// Appends a value as plain text; nothing for null.
pub(super) fn cell_text(cell: ResultCell<'_>, time: TimeFormat, out: &mut String) {
    use std::fmt::Write as _;
    // Writing into a string does not fail.
    let _ = match cell {
        ResultCell::Null => Ok(()),
        ResultCell::Time(ns) => {
            time.write(ns, out);
            Ok(())
        }
        ResultCell::Float(value) => write!(out, "{value}"),
        ResultCell::Integer(value) => write!(out, "{value}"),
        ResultCell::Unsigned(value) => write!(out, "{value}"),
        ResultCell::Boolean(value) => write!(out, "{value}"),
        ResultCell::String(text) => out.write_str(text),
        ResultCell::Binary(bytes) => {
            STANDARD.encode_string(bytes, out);
            Ok(())
        }
    };
}
