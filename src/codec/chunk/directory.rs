//! The directory of a chunk: of each column its type, codec, place and statistics.

use std::ops::Range;

use super::ColumnSummary;
use crate::codec::bytes::{Reader, put_varint};
use crate::codec::error::CodecError;
use crate::codec::integers;
use crate::codec::statistics::{Doubles, Integers, Statistics};
use crate::types::{ColumnId, FieldType};

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Codec {
    /// No row has a value.
    Empty = 0,
    /// Floats as integers at one decimal scale.
    Decimal = 1,
    /// The same, but for a few values that are stored apart.
    DecimalPatched = 2,
    /// Integers, signed or not.
    Integers = 3,
    /// Truth values, as a bitmap or as runs.
    Flags = 4,
    /// Strings or binary values, each distinct one once.
    Strings = 5,
    /// Doubles, each as the difference in bits from the one before it.
    Xor = 6,
    /// Doubles as they are.
    Raw = 7,
    /// Doubles as integers over a divisor, with corrections in units in the last place.
    Quotient = 8,
    /// Decimals rounded to single precision, as integers at one scale.
    Widened = 9,
    /// Doubles of which each distinct one is stored once.
    Dictionary = 10,
    /// As [`Codec::Strings`], with the bytes of the distinct values as one block of LZ4.
    StringsLz4 = 11,
}

impl Codec {
    /// The codec with this number.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Every codec, by number.
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::Decimal,
        Self::DecimalPatched,
        Self::Integers,
        Self::Flags,
        Self::Strings,
        Self::Xor,
        Self::Raw,
        Self::Quotient,
        Self::Widened,
        Self::Dictionary,
        Self::StringsLz4,
    ];

    /// For reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Decimal => "decimal",
            Self::DecimalPatched => "decimal+raw",
            Self::Integers => "integers",
            Self::Flags => "flags",
            Self::Strings => "strings",
            Self::Xor => "xor",
            Self::Raw => "raw",
            Self::Quotient => "quotient",
            Self::Widened => "widened",
            Self::Dictionary => "dictionary",
            Self::StringsLz4 => "strings+lz4",
        }
    }
}

/// What an entry knows about values, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    Nothing,
    Decimal(u8, Integers),
    Integers(Integers),
    Doubles(Doubles),
    /// Number of true values, the first and the last.
    Flags(usize, bool, bool),
}

impl Known {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => {}
            Self::Decimal(scale, integers) => {
                out.push(*scale);
                integers.put(out);
            }
            Self::Integers(integers) => integers.put(out),
            Self::Doubles(doubles) => doubles.put(out),
            Self::Flags(trues, first, last) => {
                put_varint(
                    out,
                    (*trues as u64) << 2 | u64::from(*first) << 1 | u64::from(*last),
                );
            }
        }
    }

    /// Bytes it takes in the directory.
    pub(super) fn len(&self) -> usize {
        let mut out = Vec::new();
        self.put(&mut out);
        out.len()
    }
}

/// One column of a chunk.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: ColumnId,
    pub(super) field_type: FieldType,
    pub(super) codec: Codec,
    /// Rows with a value.
    pub(super) count: usize,
    pub(super) known: Known,
    /// Where its values stand in the chunk.
    pub(super) body: Range<usize>,
    /// Bytes of the entry itself.
    len: usize,
    nulls: bool,
}

impl Entry {
    /// Appends an entry. `previous` is the id in the entry before.
    pub(super) fn put(
        id: ColumnId,
        previous: Option<ColumnId>,
        field_type: FieldType,
        (codec, known): (Codec, &Known),
        (count, rows): (usize, usize),
        body_len: usize,
        out: &mut Vec<u8>,
    ) {
        let gap = previous.map_or(id.0, |previous| id.0 - previous.0 - 1);
        put_varint(out, u64::from(gap));
        let nulls = if count < rows { TAG_NULLS } else { 0 };
        out.push(field_type.number() | nulls | (codec as u8) << TAG_CODEC_SHIFT);
        if count < rows {
            put_varint(out, count as u64);
        }
        put_varint(out, body_len as u64);
        known.put(out);
    }

    pub(super) fn summary(&self, chunk: &[u8]) -> ColumnSummary {
        let statistics = match (&self.known, self.field_type) {
            (Known::Nothing, _) => Statistics::None,
            (Known::Decimal(scale, integers), _) => integers.decimal(self.count, *scale),
            (Known::Integers(integers), FieldType::Unsigned) => integers.unsigned(self.count),
            (Known::Integers(integers), _) => integers.signed(self.count),
            (Known::Doubles(doubles), _) => doubles.statistics(),
            (&Known::Flags(trues, first, last), _) => Statistics::Boolean { trues, first, last },
        };
        let all = !self.has_nulls();
        let packing = match self.codec {
            Codec::Decimal | Codec::Integers if all && !self.body.is_empty() => chunk
                .get(self.body.start)
                .copied()
                .map_or("", integers::name),
            _ => "",
        };
        ColumnSummary {
            id: self.id,
            field_type: self.field_type,
            codec: self.codec,
            packing,
            count: self.count,
            statistics,
            encoded_bytes: self.len + self.body.len(),
        }
    }

    /// Whether the body opens with the rows that have a value.
    pub(super) fn has_nulls(&self) -> bool {
        self.nulls && self.count > 0
    }
}

/// Reads the entries one after another; ends after the first error.
pub(super) struct Entries<'a> {
    pub(super) reader: Reader<'a>,
    left: usize,
    rows: usize,
    previous: Option<ColumnId>,
    /// Where the next body begins.
    body: usize,
    chunk_len: usize,
    broken: Option<CodecError>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(
        chunk: &'a [u8],
        place: Range<usize>,
        bodies: usize,
        columns: usize,
        rows: usize,
    ) -> Self {
        let reader = Reader::within(chunk, place.start, place.end);
        Self {
            broken: reader.err(),
            reader: reader.unwrap_or(Reader::new(&[])),
            left: columns,
            rows,
            previous: None,
            body: bodies,
            chunk_len: chunk.len(),
        }
    }

    fn read(&mut self) -> Result<Entry, CodecError> {
        let reader = &mut self.reader;
        let start = reader.offset();
        let gap = reader.bounded("column id", usize::from(u16::MAX))?;
        let id = gap
            + self
                .previous
                .map_or(0, |previous| usize::from(previous.0) + 1);
        let id = u16::try_from(id).map_err(|_| reader.invalid("column id"))?;
        let tag = reader.byte()?;
        let field_type =
            FieldType::from_number(tag & TAG_TYPE).ok_or_else(|| reader.invalid("type"))?;
        let codec =
            Codec::from_number(tag >> TAG_CODEC_SHIFT).ok_or_else(|| reader.invalid("codec"))?;
        let nulls = tag & TAG_NULLS != 0;
        let count = if nulls {
            reader.bounded("values of a column", self.rows - 1)?
        } else {
            self.rows
        };
        if (codec == Codec::Empty) != (count == 0) {
            return Err(reader.invalid("values of a column"));
        }
        let body_len = reader.bounded("length of a column", self.chunk_len - self.body)?;
        let known = match (codec, field_type) {
            (Codec::Empty, _)
            | (Codec::Strings | Codec::StringsLz4, FieldType::String | FieldType::Binary) => {
                Known::Nothing
            }
            (Codec::Decimal, FieldType::Float) => {
                let scale = reader.byte()?;
                if scale > edgetime_protocol::cell::SCALE_MAX {
                    return Err(reader.invalid("scale"));
                }
                Known::Decimal(scale, Integers::read(reader)?)
            }
            (
                Codec::DecimalPatched
                | Codec::Xor
                | Codec::Raw
                | Codec::Quotient
                | Codec::Widened
                | Codec::Dictionary,
                FieldType::Float,
            ) => Known::Doubles(Doubles::read(reader)?),
            (Codec::Integers, FieldType::Integer | FieldType::Unsigned) => {
                Known::Integers(Integers::read(reader)?)
            }
            (Codec::Flags, FieldType::Boolean) => {
                let flags = reader.varint()?;
                let trues = usize::try_from(flags >> 2).unwrap_or(usize::MAX);
                if trues > count {
                    return Err(reader.invalid("number of true values"));
                }
                Known::Flags(trues, flags & 2 != 0, flags & 1 != 0)
            }
            _ => return Err(reader.invalid("codec of a type")),
        };
        let body = self.body..self.body + body_len;
        self.body = body.end;
        self.previous = Some(ColumnId(id));
        Ok(Entry {
            id: ColumnId(id),
            field_type,
            codec,
            count,
            known,
            body,
            len: self.reader.offset() - start,
            nulls,
        })
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.broken.take() {
            self.left = 0;
            return Some(Err(error));
        }
        self.left = self.left.checked_sub(1)?;
        let entry = self.read();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

const TAG_TYPE: u8 = 0b0000_0111;
const TAG_NULLS: u8 = 0b0000_1000;
const TAG_CODEC_SHIFT: u32 = 4;
