//! One parsed row, borrowed from the buffer and from the parser's reused storage.
//!
//! Invariant: keys, kinds, cells and marks have the same length, at least 1.

use super::text::unescape_string;
use crate::cell;
use crate::types::FieldType;
use alloc::string::String;
use alloc::vec::Vec;

/// The fields of one row, column by column; storage that the parser reuses.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Start and end of the raw key in the line.
    pub keys: Vec<(u32, u32)>,
    pub kinds: Vec<FieldType>,
    pub cells: Vec<u64>,
    pub marks: Vec<u8>,
}

impl Fields {
    #[inline(always)]
    pub fn clear(&mut self) {
        self.keys.clear();
        self.kinds.clear();
        self.cells.clear();
        self.marks.clear();
    }

    #[inline(always)]
    pub fn push(&mut self, key: (usize, usize), kind: FieldType, bits: u64, mark: u8) {
        self.keys.push((key.0 as u32, key.1 as u32));
        self.kinds.push(kind);
        self.cells.push(bits);
        self.marks.push(mark);
    }

    /// Makes room for `len` fields; what they hold is of no meaning.
    #[inline(always)]
    pub fn resize(&mut self, len: usize) {
        self.keys.resize(len, (0, 0));
        self.kinds.resize(len, FieldType::Float);
        self.cells.resize(len, 0);
        self.marks.resize(len, 0);
    }

    #[inline(always)]
    pub fn truncate(&mut self, len: usize) {
        self.keys.truncate(len);
        self.kinds.truncate(len);
        self.cells.truncate(len);
        self.marks.truncate(len);
    }

    pub fn shrink(&mut self) {
        *self = Self::default();
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The whole line as written, without its newline. String cells are offsets into it.
    pub raw: &'a [u8],
    /// `measurement,tags` as written; `key::parse` decodes it.
    pub key: &'a [u8],
    /// True where `key` is exactly what the hints predicted.
    pub key_predicted: bool,
    /// True where the field keys are exactly those of the hinted layout, in order.
    pub layout_matched: bool,
    /// Nanoseconds since the epoch, where the line has a timestamp.
    pub time: Option<i64>,
    /// Number of the line's first physical line on its connection, from 1.
    pub line: u64,
    pub(crate) fields: &'a Fields,
}

impl<'a> Row<'a> {
    /// How many fields; at least 1. The same key may occur twice: two fields, in the order written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.cells.len()
    }

    /// Never true: a line without a field is an error.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.cells.is_empty()
    }

    /// The type of each field.
    #[must_use]
    pub fn kinds(&self) -> &'a [FieldType] {
        &self.fields.kinds
    }

    /// The bits of each field's cell, see [`cell`]. A string is [`cell::heap`] of offset and length in `raw`,
    /// between its quotes, still escaped.
    #[must_use]
    pub fn cells(&self) -> &'a [u64] {
        &self.fields.cells
    }

    /// The mark of each field's cell, see [`cell`]. Of a string: 1 where it contains escapes
    /// ([`unescape_string`] removes them), 0 where it can be taken as it is.
    #[must_use]
    pub fn marks(&self) -> &'a [u8] {
        &self.fields.marks
    }

    /// The raw keys in their order, escapes included, without `=`.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let raw = self.raw;
        self.fields
            .keys
            .iter()
            .map(move |&(start, end)| &raw[start as usize..end as usize])
    }

    /// The bytes of a string cell, still escaped.
    #[must_use]
    pub fn string(&self, bits: u64) -> &'a [u8] {
        let (offset, len) = cell::heap_range(bits);
        self.raw
            .get(offset as usize..)
            .and_then(|rest| rest.get(..len as usize))
            .unwrap_or_default()
    }

    /// The fields one after another, decoded; for everything that is not the hot path.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let row = *self;
        row.keys().enumerate().map(move |(index, key)| Field {
            key,
            value: row.value(index),
        })
    }

    fn value(&self, index: usize) -> Value {
        let (bits, mark) = (self.fields.cells[index], self.fields.marks[index]);
        match self.fields.kinds[index] {
            FieldType::Float => Value::Float(cell::float(bits, mark)),
            FieldType::Integer => Value::Integer(bits as i64),
            FieldType::Unsigned => Value::Unsigned(bits),
            FieldType::Boolean => Value::Boolean(bits != 0),
            FieldType::String | FieldType::Binary => {
                let mut text = Vec::new();
                unescape_string(self.string(bits), &mut text);
                Value::String(String::from_utf8_lossy(&text).into_owned())
            }
        }
    }
}

/// One field of a row, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<'a> {
    /// The key, raw, without `=`.
    pub key: &'a [u8],
    /// The value.
    pub value: Value,
}

/// A value of line protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `1.5`
    Float(f64),
    /// `1i`
    Integer(i64),
    /// `1u`
    Unsigned(u64),
    /// `true`
    Boolean(bool),
    /// `"text"`
    String(String),
}
