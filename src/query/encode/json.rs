//! JSON: an array of objects, or an object a line. Null, NaN and infinities are `null`, 64-bit integers
//! keep all their digits, binary values are base64.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Encoder;
use super::time::TimeFormat;
use crate::query::result::{ResultBatch, ResultCell, ResultColumn};

/// How objects follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonLayout {
    /// One array of them.
    Array,
    /// One a line.
    Lines,
}

/// Writes JSON.
#[derive(Clone, Debug)]
pub struct JsonEncoder {
    layout: JsonLayout,
    time: TimeFormat,
    /// `"name":` of every column.
    keys: Vec<String>,
    any: bool,
}

impl JsonEncoder {
    /// An encoder of this layout that writes times like this.
    #[must_use]
    pub const fn new(layout: JsonLayout, time: TimeFormat) -> Self {
        Self {
            layout,
            time,
            keys: Vec::new(),
            any: false,
        }
    }
}

impl Encoder for JsonEncoder {
    fn begin(&mut self, columns: &[ResultColumn], out: &mut dyn Write) -> io::Result<()> {
        self.keys = columns
            .iter()
            .map(|column| Ok(serde_json::to_string(&column.name)? + ":"))
            .collect::<Result<_, serde_json::Error>>()?;
        self.any = false;
        match self.layout {
            JsonLayout::Array => out.write_all(b"["),
            JsonLayout::Lines => Ok(()),
        }
    }

    fn batch(&mut self, batch: &ResultBatch, out: &mut dyn Write) -> io::Result<()> {
        let mut line = Vec::new();
        for row in 0..batch.rows() {
            line.clear();
            if self.layout == JsonLayout::Array {
                line.extend_from_slice(if self.any { b",\n" } else { b"\n" });
            }
            self.any = true;
            for (index, (column, key)) in batch.columns.iter().zip(&self.keys).enumerate() {
                line.push(if index == 0 { b'{' } else { b',' });
                line.extend_from_slice(key.as_bytes());
                write_cell(column.cell(row), self.time, &mut line)?;
            }
            line.push(b'}');
            if self.layout == JsonLayout::Lines {
                line.push(b'\n');
            }
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self.layout {
            JsonLayout::Array => out.write_all(if self.any { b"\n]\n" } else { b"]\n" }),
            JsonLayout::Lines => Ok(()),
        }
    }
}

fn write_cell(cell: ResultCell<'_>, time: TimeFormat, out: &mut Vec<u8>) -> io::Result<()> {
    match cell {
        ResultCell::Null => out.write_all(b"null"),
        ResultCell::Time(ns) => {
            let mut text = String::new();
            time.write(ns, &mut text);
            if time.is_number() {
                out.write_all(text.as_bytes())
            } else {
                write!(out, "\"{text}\"")
            }
        }
        ResultCell::Float(value) if !value.is_finite() => out.write_all(b"null"),
        ResultCell::Float(value) => Ok(serde_json::to_writer(out, &value)?),
        ResultCell::Integer(value) => write!(out, "{value}"),
        ResultCell::Unsigned(value) => write!(out, "{value}"),
        ResultCell::Boolean(value) => write!(out, "{value}"),
        ResultCell::String(text) => Ok(serde_json::to_writer(out, text)?),
        ResultCell::Binary(bytes) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
    }
}
