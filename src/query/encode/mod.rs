//! Results as text: tables for people, CSV and JSON for programs, a batch at a time.

mod csv;
mod json;
mod table;
pub mod time;

pub use self::csv::CsvEncoder;
pub use self::json::{JsonEncoder, JsonLayout};
pub use self::table::TableEncoder;
pub use self::time::TimeFormat;

use std::io::{self, Write};

use super::result::{ResultBatch, ResultColumn};

/// Writes one result: [`Encoder::begin`] once, any number of batches, [`Encoder::end`] once.
pub trait Encoder {
    /// The header.
    fn begin(&mut self, columns: &[ResultColumn], out: &mut dyn Write) -> io::Result<()>;

    /// Some rows of these columns.
    fn batch(&mut self, batch: &ResultBatch, out: &mut dyn Write) -> io::Result<()>;

    /// What closes the result.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// A form of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// RFC 4180 with a header line.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    NdJson,
}

impl Format {
    /// The format of that name, `table`, `csv`, `json` or `ndjson`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "ndjson" => Self::NdJson,
            _ => return None,
        })
    }

    /// A new encoder of this format.
    #[must_use]
    pub fn encoder(self, time: TimeFormat) -> Box<dyn Encoder + Send> {
        match self {
            Self::Table => Box::new(TableEncoder::new(time)),
            Self::Csv => Box::new(CsvEncoder::new(time)),
            Self::Json => Box::new(JsonEncoder::new(JsonLayout::Array, time)),
            Self::NdJson => Box::new(JsonEncoder::new(JsonLayout::Lines, time)),
        }
    }
}
