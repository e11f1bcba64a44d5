//! Declarations: a table, a layout of its rows, a series in it. Each kind counts from 0 in the order declared.
//!
//! [`Declarer`] writes them and keeps what it wrote, to say it again on the next connection. [`Names`] reads them
//! and keeps the bytes, for a name may have to be resolved more than once. What breaks the form ends the connection;
//! a name that cannot be stored costs only the rows that use it, and is looked at when they come.

use alloc::string::String;
use alloc::vec::Vec;

use crate::command::is_database_name;
use crate::error::Code;
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::types::FieldType;
use crate::wire::{PayloadError, Reader, put_bytes, put_varint};

use super::{COLUMNS_MAX, DECLARED_BYTES_MAX, LAYOUTS_MAX, NAME_BYTES_MAX, SERIES_MAX, TAGS_MAX};

/// Kinds of declarations.
mod kind {
    pub const TABLE: u8 = 1;
    pub const LAYOUT: u8 = 2;
    pub const SERIES: u8 = 3;
    pub const FORGET: u8 = 4;
}

/// One declaration, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declaration {
    /// A measurement of a database; empty is the default one.
    Table {
        /// The database.
        database: String,
        /// The measurement.
        measurement: String,
    },
    /// The columns of rows of a table.
    Layout {
        /// The table's number.
        table: u32,
        /// Name and type of each field.
        fields: Vec<(String, FieldType)>,
    },
    /// A series of a table.
    Series {
        /// The table's number.
        table: u32,
        /// Keys and values, in any order.
        tags: Vec<(String, String)>,
    },
    /// Everything declared is forgotten; numbers begin at 0 again.
    Forget,
}

impl Declaration {
    /// Appends the declaration.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Table {
                database,
                measurement,
            } => {
                out.push(kind::TABLE);
                put_bytes(out, database.as_bytes());
                put_bytes(out, measurement.as_bytes());
            }
            Self::Layout { table, fields } => {
                out.push(kind::LAYOUT);
                put_varint(out, u64::from(*table));
                put_varint(out, fields.len() as u64);
                for (name, field_type) in fields {
                    out.push(field_type.number());
                    put_bytes(out, name.as_bytes());
                }
            }
            Self::Series { table, tags } => {
                out.push(kind::SERIES);
                put_varint(out, u64::from(*table));
                put_varint(out, tags.len() as u64);
                for (key, value) in tags {
                    put_bytes(out, key.as_bytes());
                    put_bytes(out, value.as_bytes());
                }
            }
            Self::Forget => out.push(kind::FORGET),
        }
    }

    /// All declarations of a payload.
    pub fn decode_all(payload: &[u8]) -> Result<Vec<Self>, PayloadError> {
        let mut reader = Reader::new(payload);
        let mut all = Vec::new();
        while reader.remaining() > 0 {
            all.push(Self::decode(&mut reader)?);
        }
        Ok(all)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let unknown = reader.error("a kind of declaration");
        Ok(match reader.byte()? {
            kind::TABLE => Self::Table {
                database: reader.str()?.into(),
                measurement: reader.str()?.into(),
            },
            kind::LAYOUT => Self::Layout {
                table: number(reader)?,
                fields: (0..reader.count()?)
                    .map(|_| field(reader).map(|(name, field_type)| (name.into(), field_type)))
                    .collect::<Result<_, _>>()?,
            },
            kind::SERIES => Self::Series {
                table: number(reader)?,
                tags: (0..reader.count()?)
                    .map(|_| Ok((reader.str()?.into(), reader.str()?.into())))
                    .collect::<Result<_, _>>()?,
            },
            kind::FORGET => Self::Forget,
            _ => return Err(unknown),
        })
    }
}

fn number(reader: &mut Reader<'_>) -> Result<u32, PayloadError> {
    let error = reader.error("a number of 32 bits");
    u32::try_from(reader.varint()?).map_err(|_| error)
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, FieldType), PayloadError> {
    let error = reader.error("a type of fields");
    let field_type = FieldType::from_number(reader.byte()?).ok_or(error)?;
    Ok((reader.str()?, field_type))
}

/// A name or declaration that cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NameError {
    /// The code.
    pub code: Code,
    /// What is wrong with it.
    pub message: &'static str,
}

/// What a peer has declared on one connection.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    tables: Vec<(u32, u32)>,
    layouts: Vec<(u32, u32, u32)>,
    series: Vec<(u32, u32, u32)>,
    /// How often everything was forgotten.
    forgotten: u64,
}

/// A declared series.
#[derive(Clone, Copy, Debug)]
pub struct SeriesName<'a> {
    /// The table's number.
    pub table: u32,
    tags: &'a [u8],
}

impl<'a> SeriesName<'a> {
    /// Keys and values as they were declared, or what is wrong with them.
    pub fn tags(&self) -> Result<Vec<(&'a str, &'a str)>, NameError> {
        let mut reader = Reader::new(self.tags);
        let mut read = || -> Result<Vec<(&'a str, &'a str)>, PayloadError> {
            let count = reader.count()?;
            (0..count)
                .map(|_| Ok((reader.str()?, reader.str()?)))
                .collect()
        };
        let mut tags = read().map_err(|_| NOT_UTF8)?;
        if tags.len() > TAGS_MAX {
            return Err(NameError {
                code: Code::TooManyTags,
                message: "more tags than the limit",
            });
        }
        tags.sort_unstable();
        for &(key, value) in &tags {
            check_name(key)?;
            check_tag_value(value)?;
        }
        if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(NameError {
                code: Code::DuplicateTag,
                message: "the same tag key twice",
            });
        }
        Ok(tags)
    }
}

impl Names {
    /// Takes the declarations of a payload. An error ends the connection.
    pub fn declare(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        let mut reader = Reader::new(payload);
        while reader.remaining() > 0 {
            self.take(&mut reader)?;
        }
        Ok(())
    }

    fn take(&mut self, reader: &mut Reader<'_>) -> Result<(), PayloadError> {
        let unknown = reader.error("a kind of declaration");
        let full = reader.error("fewer declarations; forget some first");
        let (rows, max) = match reader.byte()? {
            kind::TABLE => {
                let from = reader.rest();
                reader.bytes()?;
                reader.bytes()?;
                let range = self.keep(from, reader).ok_or(full)?;
                self.tables.push(range);
                (self.tables.len(), LAYOUTS_MAX)
            }
            kind::LAYOUT => {
                let table = self.table_number(reader)?;
                let from = reader.rest();
                let error = reader.error("fewer columns");
                let columns = reader.count()?;
                if columns == 0 || columns > COLUMNS_MAX {
                    return Err(error);
                }
                for _ in 0..columns {
                    let error = reader.error("a type of fields");
                    FieldType::from_number(reader.byte()?).ok_or(error)?;
                    reader.bytes()?;
                }
                let (start, end) = self.keep(from, reader).ok_or(full)?;
                self.layouts.push((table, start, end));
                (self.layouts.len(), LAYOUTS_MAX)
            }
            kind::SERIES => {
                let table = self.table_number(reader)?;
                let from = reader.rest();
                for _ in 0..reader.count()? {
                    reader.bytes()?;
                    reader.bytes()?;
                }
                let (start, end) = self.keep(from, reader).ok_or(full)?;
                self.series.push((table, start, end));
                (self.series.len(), SERIES_MAX)
            }
            kind::FORGET => {
                *self = Self {
                    forgotten: self.forgotten + 1,
                    ..Self::default()
                };
                (0, 0)
            }
            _ => return Err(unknown),
        };
        if rows > max { Err(full) } else { Ok(()) }
    }

    fn table_number(&self, reader: &mut Reader<'_>) -> Result<u32, PayloadError> {
        let error = reader.error("a declared table");
        let table = number(reader)?;
        if (table as usize) < self.tables.len() {
            Ok(table)
        } else {
            Err(error)
        }
    }

    /// Keeps what was read since `from`.
    fn keep(&mut self, from: &[u8], reader: &Reader<'_>) -> Option<(u32, u32)> {
        let len = from.len() - reader.remaining();
        let start = self.bytes.len();
        if start + len > DECLARED_BYTES_MAX {
            return None;
        }
        self.bytes.extend_from_slice(&from[..len]);
        Some((start as u32, (start + len) as u32))
    }

    fn slice(&self, start: u32, end: u32) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    /// Changes whenever numbers have lost their meaning.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.forgotten
    }

    /// How many layouts there are.
    #[must_use]
    pub fn layouts(&self) -> usize {
        self.layouts.len()
    }

    /// How many series there are.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// Database and measurement of a table, or what is wrong with them. Panics for a table that is not declared.
    pub fn table(&self, table: u32) -> Result<(&str, &str), NameError> {
        let (start, end) = self.tables[table as usize];
        let mut reader = Reader::new(self.slice(start, end));
        let mut read = || Ok::<_, PayloadError>((reader.str()?, reader.str()?));
        let (database, measurement) = read().map_err(|_| NOT_UTF8)?;
        if !database.is_empty() && !is_database_name(database) {
            return Err(NameError {
                code: Code::BadDatabaseName,
                message: "a database name is [A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
            });
        }
        check_name(measurement)?;
        if measurement.starts_with('#') {
            return Err(NameError {
                code: Code::BadSyntax,
                message: "a measurement cannot begin with #",
            });
        }
        Ok((database, measurement))
    }

    /// Table and types of a layout, if it is declared.
    #[must_use]
    pub fn layout(&self, layout: u32) -> Option<(u32, impl ExactSizeIterator<Item = FieldType>)> {
        let &(table, start, end) = self.layouts.get(layout as usize)?;
        let mut reader = Reader::new(self.slice(start, end));
        let count = reader.count().ok()?;
        let types = (0..count).map(move |_| {
            let field_type = reader.byte().ok().and_then(FieldType::from_number);
            // Checked when it was declared.
            let _ = reader.bytes();
            field_type.unwrap_or(FieldType::Float)
        });
        Some((table, types))
    }

    /// The fields of a layout, or what is wrong with them. Panics for a layout that is not declared.
    pub fn fields(&self, layout: u32) -> Result<Vec<(&str, FieldType)>, NameError> {
        let (_, start, end) = self.layouts[layout as usize];
        let mut reader = Reader::new(self.slice(start, end));
        let mut read = || -> Result<Vec<(&str, FieldType)>, PayloadError> {
            let count = reader.count()?;
            (0..count).map(|_| field(&mut reader)).collect()
        };
        let fields = read().map_err(|_| NOT_UTF8)?;
        for &(name, _) in &fields {
            check_name(name)?;
        }
        Ok(fields)
    }

    /// A series, if it is declared.
    #[must_use]
    pub fn series(&self, series: u32) -> Option<SeriesName<'_>> {
        let &(table, start, end) = self.series.get(series as usize)?;
        Some(SeriesName {
            table,
            tags: self.slice(start, end),
        })
    }
}

const NOT_UTF8: NameError = NameError {
    code: Code::BadUtf8,
    message: "a name that is not UTF-8",
};

/// What a measurement or key must be, so that line protocol can say it too.
fn check_name(name: &str) -> Result<(), NameError> {
    if name.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(NameError {
            code: Code::BadSyntax,
            message: "a control character in a name",
        });
    }
    check_tag_value(name)
}

fn check_tag_value(value: &str) -> Result<(), NameError> {
    let message = if value.is_empty() {
        "an empty name or tag value"
    } else if value.ends_with('\\') {
        "a name or tag value with a backslash at its end"
    } else if value.contains(['\r', '\n']) {
        "a line break in a tag value"
    } else if value.len() > NAME_BYTES_MAX {
        return Err(NameError {
            code: Code::NameTooLong,
            message: "a name or tag value longer than the limit",
        });
    } else {
        return Ok(());
    };
    Err(NameError {
        code: Code::BadSyntax,
        message,
    })
}

/// Declarations as they are made: numbers them, and keeps what was said.
#[derive(Debug, Default)]
pub struct Declarer {
    payloads: Vec<Vec<u8>>,
    /// Payloads that the peer has been given on this connection; the last of them may have grown since.
    said: (usize, usize),
    tables: u32,
    layouts: u32,
    series: u32,
}

impl Declarer {
    /// Declares a table; its number.
    pub fn table(&mut self, database: &str, measurement: &str) -> u32 {
        self.push(|out| {
            out.push(kind::TABLE);
            put_bytes(out, database.as_bytes());
            put_bytes(out, measurement.as_bytes());
        });
        self.tables += 1;
        self.tables - 1
    }

    /// Declares a layout; its number.
    pub fn layout<'a>(
        &mut self,
        table: u32,
        fields: impl ExactSizeIterator<Item = (&'a str, FieldType)>,
    ) -> u32 {
        self.push(|out| {
            out.push(kind::LAYOUT);
            put_varint(out, u64::from(table));
            put_varint(out, fields.len() as u64);
            for (name, field_type) in fields {
                out.push(field_type.number());
                put_bytes(out, name.as_bytes());
            }
        });
        self.layouts += 1;
        self.layouts - 1
    }

    /// Declares a series; its number.
    pub fn series<'a>(
        &mut self,
        table: u32,
        tags: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> u32 {
        self.push(|out| {
            out.push(kind::SERIES);
            put_varint(out, u64::from(table));
            put_varint(out, tags.len() as u64);
            for (key, value) in tags {
                put_bytes(out, key.as_bytes());
                put_bytes(out, value.as_bytes());
            }
        });
        self.series += 1;
        self.series - 1
    }

    /// Whether the peer takes no more names before it has forgotten these.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let bytes: usize = self.payloads.iter().map(Vec::len).sum();
        self.tables as usize >= LAYOUTS_MAX
            || self.layouts as usize >= LAYOUTS_MAX
            || self.series as usize >= SERIES_MAX
            || bytes > DECLARED_BYTES_MAX - PAYLOAD_BYTES_MAX
    }

    /// Says everything again: the connection is a new one.
    pub fn begin_again(&mut self) {
        self.said = (0, 0);
    }

    /// Payloads that were not said yet, each for a frame of its own.
    pub fn take_unsaid(&mut self) -> impl Iterator<Item = &[u8]> {
        let (first, offset) = self.said;
        self.said = match self.payloads.last() {
            Some(last) => (self.payloads.len() - 1, last.len()),
            None => (0, 0),
        };
        self.payloads
            .iter()
            .enumerate()
            .skip(first)
            .map(move |(i, payload)| &payload[if i == first { offset } else { 0 }..])
            .filter(|payload| !payload.is_empty())
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        // A declaration has at most 1024 names of 1024 bytes and a tag a name: one a payload, where they are large.
        if self
            .payloads
            .last()
            .is_none_or(|last| last.len() > DECLARE_BYTES)
        {
            self.payloads.push(Vec::new());
        }
        if let Some(last) = self.payloads.last_mut() {
            write(last);
        }
    }
}

/// Bytes of declarations that go into one frame, about.
const DECLARE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn numbers_count_each_kind_and_what_was_said_is_said_again() {
        let mut declarer = Declarer::default();
        let table = declarer.table("plant", "cpu");
        let layout = declarer.layout(table, [("a", FieldType::Float)].into_iter());
        let said: Vec<Vec<u8>> = declarer.take_unsaid().map(<[u8]>::to_vec).collect();
        assert_eq!(said.len(), 1);
        assert_eq!(declarer.take_unsaid().count(), 0);
        let series = declarer.series(table, [("z", "1"), ("a", "2")].into_iter());
        assert_eq!((table, layout, series), (0, 0, 0));
        let mut names = Names::default();
        names.declare(&said[0]).expect("well formed");
        for payload in declarer.take_unsaid() {
            names.declare(payload).expect("well formed");
        }
        assert_eq!(names.table(0), Ok(("plant", "cpu")));
        assert_eq!(names.fields(0), Ok(vec![("a", FieldType::Float)]));
        let tags = names.series(0).expect("declared").tags();
        assert_eq!(tags, Ok(vec![("a", "2"), ("z", "1")]));
        assert!(names.series(1).is_none() && names.layout(1).is_none());
        declarer.begin_again();
        let again: Vec<u8> = declarer.take_unsaid().flatten().copied().collect();
        assert_eq!(Declaration::decode_all(&again).map(|all| all.len()), Ok(3));
    }

    #[test]
    fn bad_names_cost_only_those_who_use_them() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let mut bytes = Vec::new();
        let table = |database: &str, measurement: &str| Declaration::Table {
            database: database.into(),
            measurement: measurement.into(),
        };
        let bad = [
            (table("a b", "m"), Code::BadDatabaseName),
            (table("", ""), Code::BadSyntax),
            (table("", "#m"), Code::BadSyntax),
            (table("", "m\n"), Code::BadSyntax),
            (table("", "m\\"), Code::BadSyntax),
            (table("", &long), Code::NameTooLong),
        ];
        for (declaration, _) in &bad {
            declaration.encode(&mut bytes);
        }
        let tags = [
            (vec![("a", "1"), ("a", "2")], Code::DuplicateTag),
            (vec![("a", "")], Code::BadSyntax),
            (vec![("a", "x\ny")], Code::BadSyntax),
        ];
        for (tags, _) in &tags {
            let tags = tags.iter().map(|&(k, v)| (k.into(), v.into())).collect();
            Declaration::Series { table: 0, tags }.encode(&mut bytes);
        }
        let mut names = Names::default();
        names.declare(&bytes).expect("well formed");
        for (number, (_, code)) in bad.iter().enumerate() {
            let error = names.table(number as u32).expect_err("bad");
            assert_eq!(error.code, *code, "{number}");
        }
        for (number, (_, code)) in tags.iter().enumerate() {
            let series = names.series(number as u32).expect("declared");
            assert_eq!(series.tags().expect_err("bad").code, *code);
        }
    }

    #[test]
    fn tables_come_first_and_all_can_be_forgotten() {
        let mut names = Names::default();
        assert!(names.declare(&[kind::SERIES, 0, 0]).is_err());
        names.declare(&[kind::TABLE, 0, 1, b'm']).expect("a table");
        names.declare(&[kind::SERIES, 0, 0]).expect("a series");
        assert_eq!((names.series_count(), names.generation()), (1, 0));
        names.declare(&[kind::FORGET]).expect("well formed");
        assert_eq!((names.series_count(), names.generation()), (0, 1));
        assert!(names.declare(&[kind::LAYOUT, 0, 1, 1, 1, b'a']).is_err());
        assert!(names.declare(&[9]).is_err());
    }
}
