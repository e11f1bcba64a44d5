//! Results of queries: typed columns, in batches, and their bytes on the wire.
//!
//! The query engine produces these types, encoders of CSV and JSON consume them, frames carry them.
//! Invariant of a batch: all its vectors have the same length; a row that is null has some value of no
//! meaning in the values.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

pub use crate::bitmap::Bitmap;
use crate::wire::{PayloadError, Reader, put_bytes, put_varint, put_zigzag};

/// Most rows of one batch on the wire.
pub const BATCH_ROWS_MAX: usize = 65_536;

/// The type of a result's column. The numbers are part of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResultType {
    /// IEEE 754 double.
    Float = 1,
    /// Signed, 64 bits.
    Integer = 2,
    /// Unsigned, 64 bits.
    Unsigned = 3,
    /// True or false.
    Boolean = 4,
    /// UTF-8 text.
    String = 5,
    /// Any bytes.
    Binary = 6,
    /// Nanoseconds since the epoch.
    Time = 7,
}

impl ResultType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Float,
        Self::Integer,
        Self::Unsigned,
        Self::Boolean,
        Self::String,
        Self::Binary,
        Self::Time,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Time => "time",
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub column_type: ResultType,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum ResultValues {
    /// Nanoseconds since the epoch.
    Time(Vec<i64>),
    /// Doubles.
    Float(Vec<f64>),
    /// Signed integers.
    Integer(Vec<i64>),
    /// Unsigned integers.
    Unsigned(Vec<u64>),
    /// Booleans.
    Boolean(Vec<bool>),
    /// Text.
    String(Vec<String>),
    /// Bytes.
    Binary(Vec<Vec<u8>>),
}

impl ResultValues {
    /// No values of this type, with room for `capacity`.
    #[must_use]
    pub fn with_capacity(column_type: ResultType, capacity: usize) -> Self {
        match column_type {
            ResultType::Float => Self::Float(Vec::with_capacity(capacity)),
            ResultType::Integer => Self::Integer(Vec::with_capacity(capacity)),
            ResultType::Unsigned => Self::Unsigned(Vec::with_capacity(capacity)),
            ResultType::Boolean => Self::Boolean(Vec::with_capacity(capacity)),
            ResultType::String => Self::String(Vec::with_capacity(capacity)),
            ResultType::Binary => Self::Binary(Vec::with_capacity(capacity)),
            ResultType::Time => Self::Time(Vec::with_capacity(capacity)),
        }
    }

    /// Their type.
    #[must_use]
    pub const fn column_type(&self) -> ResultType {
        match self {
            Self::Time(_) => ResultType::Time,
            Self::Float(_) => ResultType::Float,
            Self::Integer(_) => ResultType::Integer,
            Self::Unsigned(_) => ResultType::Unsigned,
            Self::Boolean(_) => ResultType::Boolean,
            Self::String(_) => ResultType::String,
            Self::Binary(_) => ResultType::Binary,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Time(values) | Self::Integer(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Unsigned(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::String(values) => values.len(),
            Self::Binary(values) => values.len(),
        }
    }

    /// True without values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a value of no meaning, for a null.
    pub fn push_default(&mut self) {
        match self {
            Self::Time(values) | Self::Integer(values) => values.push(0),
            Self::Float(values) => values.push(0.0),
            Self::Unsigned(values) => values.push(0),
            Self::Boolean(values) => values.push(false),
            Self::String(values) => values.push(String::new()),
            Self::Binary(values) => values.push(Vec::new()),
        }
    }

    fn slice(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Time(values) => Self::Time(values[rows].to_vec()),
            Self::Float(values) => Self::Float(values[rows].to_vec()),
            Self::Integer(values) => Self::Integer(values[rows].to_vec()),
            Self::Unsigned(values) => Self::Unsigned(values[rows].to_vec()),
            Self::Boolean(values) => Self::Boolean(values[rows].to_vec()),
            Self::String(values) => Self::String(values[rows].to_vec()),
            Self::Binary(values) => Self::Binary(values[rows].to_vec()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Time(values) | Self::Integer(values) => deltas(out, values.iter().copied()),
            Self::Unsigned(values) => deltas(out, values.iter().map(|&value| value as i64)),
            Self::Float(values) => {
                for value in values {
                    out.extend_from_slice(&value.to_bits().to_le_bytes());
                }
            }
            Self::Boolean(values) => {
                let bits: Bitmap = values.iter().copied().collect();
                out.extend_from_slice(bits.as_bytes());
            }
            Self::String(values) => values
                .iter()
                .for_each(|value| put_bytes(out, value.as_bytes())),
            Self::Binary(values) => values.iter().for_each(|value| put_bytes(out, value)),
        }
    }

    fn decode(
        reader: &mut Reader<'_>,
        column_type: ResultType,
        rows: usize,
    ) -> Result<Self, PayloadError> {
        // Every type but Boolean takes a byte a value at least, so that room is made for real values only.
        if column_type != ResultType::Boolean && rows > reader.remaining() {
            return Err(reader.error("as many values as rows"));
        }
        Ok(match column_type {
            ResultType::Time => Self::Time(read_deltas(reader, rows)?),
            ResultType::Integer => Self::Integer(read_deltas(reader, rows)?),
            ResultType::Unsigned => {
                let values = read_deltas(reader, rows)?;
                Self::Unsigned(values.into_iter().map(|value| value as u64).collect())
            }
            ResultType::Float => Self::Float(read_each(rows, || {
                Ok(f64::from_bits(u64::from_le_bytes(reader.array()?)))
            })?),
            ResultType::Boolean => Self::Boolean(Bitmap::decode(reader, rows)?.iter().collect()),
            ResultType::String => Self::String(read_each(rows, || Ok(reader.str()?.to_owned()))?),
            ResultType::Binary => Self::Binary(read_each(rows, || Ok(reader.bytes()?.to_vec()))?),
        })
    }
}

fn deltas(out: &mut Vec<u8>, values: impl Iterator<Item = i64>) {
    let mut previous = 0i64;
    for value in values {
        put_zigzag(out, value.wrapping_sub(previous));
        previous = value;
    }
}

fn read_deltas(reader: &mut Reader<'_>, rows: usize) -> Result<Vec<i64>, PayloadError> {
    let mut previous = 0i64;
    read_each(rows, || {
        previous = previous.wrapping_add(reader.zigzag()?);
        Ok(previous)
    })
}

fn read_each<T>(
    rows: usize,
    mut read: impl FnMut() -> Result<T, PayloadError>,
) -> Result<Vec<T>, PayloadError> {
    (0..rows).map(|_| read()).collect()
}

/// One value of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ResultCell<'a> {
    /// No value.
    Null,
    /// Nanoseconds since the epoch.
    Time(i64),
    /// A double.
    Float(f64),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// One column of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultVector {
    /// A value for every row, of no meaning where the row is null.
    pub values: ResultValues,
    /// Set bits are nulls; absent where there are none.
    pub nulls: Option<Bitmap>,
}

impl From<ResultValues> for ResultVector {
    fn from(values: ResultValues) -> Self {
        Self {
            values,
            nulls: None,
        }
    }
}

impl ResultVector {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// True where the row has no value.
    #[inline]
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.get(row))
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        let row = self.len();
        self.values.push_default();
        let nulls = self.nulls.get_or_insert_default();
        while nulls.len() < row {
            nulls.push(false);
        }
        nulls.push(true);
    }

    /// The value of a row; null behind the end.
    #[must_use]
    pub fn cell(&self, row: usize) -> ResultCell<'_> {
        if self.is_null(row) {
            return ResultCell::Null;
        }
        let cell = match &self.values {
            ResultValues::Time(values) => values.get(row).map(|&value| ResultCell::Time(value)),
            ResultValues::Float(values) => values.get(row).map(|&value| ResultCell::Float(value)),
            ResultValues::Integer(values) => {
                values.get(row).map(|&value| ResultCell::Integer(value))
            }
            ResultValues::Unsigned(values) => {
                values.get(row).map(|&value| ResultCell::Unsigned(value))
            }
            ResultValues::Boolean(values) => {
                values.get(row).map(|&value| ResultCell::Boolean(value))
            }
            ResultValues::String(values) => values.get(row).map(|value| ResultCell::String(value)),
            ResultValues::Binary(values) => values.get(row).map(|value| ResultCell::Binary(value)),
        };
        cell.unwrap_or(ResultCell::Null)
    }

    fn slice(&self, rows: Range<usize>) -> Self {
        let nulls = self
            .nulls
            .as_ref()
            .map(|nulls| rows.clone().map(|row| nulls.get(row)).collect());
        Self {
            values: self.values.slice(rows),
            nulls,
        }
    }
}

/// Some rows of a result, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultBatch {
    /// The columns, in the order of the result's header, all of the same length.
    pub columns: Vec<ResultVector>,
}

impl ResultBatch {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, ResultVector::len)
    }

    /// A copy of some rows. Panics where they reach behind the end.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let columns = self
            .columns
            .iter()
            .map(|column| column.slice(rows.clone()))
            .collect();
        Self { columns }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let rows = self.rows();
        put_varint(out, rows as u64);
        put_varint(out, self.columns.len() as u64);
        for column in &self.columns {
            assert_eq!(
                column.len(),
                rows,
                "columns of a batch have the same length"
            );
            out.push(column.values.column_type().number());
            let nulls = column.nulls.as_ref().filter(|nulls| nulls.any());
            out.push(u8::from(nulls.is_some()));
            if let Some(nulls) = nulls {
                let end = out.len() + rows.div_ceil(8);
                out.extend_from_slice(nulls.as_bytes());
                out.resize(end, 0);
            }
            column.values.encode(out);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(payload);
        let rows = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        if rows > BATCH_ROWS_MAX {
            return Err(reader.error("fewer rows"));
        }
        let count = reader.count()?;
        if count == 0 && rows != 0 {
            return Err(reader.error("columns for the rows"));
        }
        let columns = read_each(count, || {
            let column_type = ResultType::from_number(reader.byte()?);
            let column_type = column_type.ok_or_else(|| reader.error("a type of values"))?;
            let nulls = match reader.byte()? {
                0 => None,
                // A map without a null is none: there is one way to say that all rows have values.
                1 => Some(Bitmap::decode(&mut reader, rows)?)
                    .filter(|nulls| nulls.iter().any(|null| null)),
                _ => return Err(reader.error("0 or 1")),
            };
            let values = ResultValues::decode(&mut reader, column_type, rows)?;
            Ok(ResultVector { values, nulls })
        })?;
        reader.end()?;
        Ok(Self { columns })
    }
}
