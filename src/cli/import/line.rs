//! One CSV record to one line of line protocol.

use csv::ByteRecord;
use edgetime_protocol::line::Value;
use edgetime_protocol::line::encode;

use super::columns::{Columns, Field, TagSpec};
use super::time;
use crate::types::{FieldType, Precision};

/// Why a record is no row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RowError {
    /// What it is counted as.
    pub reason: &'static str,
    /// In words.
    pub problem: String,
}

/// What is the same for all rows of an import.
#[derive(Debug)]
pub(super) struct LineBuilder {
    unit: Precision,
    measurement: Vec<u8>,
    /// By name, as line protocol likes them.
    pub tags: Vec<TagSpec>,
    /// `,NAME=VALUE` of a fixed tag, `,NAME=` of a column.
    prefixes: Vec<Vec<u8>>,
}

impl LineBuilder {
    /// Checks the names. The error says what is wrong with the flags.
    pub(super) fn new(
        measurement: &str,
        unit: Precision,
        mut tags: Vec<TagSpec>,
    ) -> Result<Self, String> {
        tags.sort_by(|a, b| a.name().cmp(b.name()));
        if let Some(pair) = tags
            .windows(2)
            .find(|pair| pair[0].name() == pair[1].name())
        {
            return Err(format!(
                "tag `{}` is given twice; give it once",
                pair[0].name()
            ));
        }
        let mut escaped = Vec::new();
        encode::measurement(&mut escaped, measurement)
            .map_err(|error| format!("--measurement: {error}"))?;
        let prefix = |tag: &TagSpec| {
            let mut prefix = vec![b','];
            encode::key(&mut prefix, tag.name()).map_err(|error| format!("tag: {error}"))?;
            prefix.push(b'=');
            if let TagSpec::Fixed(_, value) = tag {
                encode::key(&mut prefix, value).map_err(|error| format!("tag: {error}"))?;
            }
            Ok::<_, String>(prefix)
        };
        Ok(Self {
            unit,
            measurement: escaped,
            prefixes: tags.iter().map(prefix).collect::<Result<_, _>>()?,
            tags,
        })
    }

    /// Appends the line of a record with its newline, or nothing.
    pub(super) fn push(
        &self,
        record: &ByteRecord,
        columns: &Columns,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let start = out.len();
        let result = self.append(record, columns, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn append(
        &self,
        record: &ByteRecord,
        columns: &Columns,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        if record.len() != columns.count {
            let (found, expected) = (record.len(), columns.count);
            return Err(RowError {
                reason: "bad_syntax",
                problem: format!("{found} cells where the header has {expected}"),
            });
        }
        out.extend_from_slice(&self.measurement);
        let mut of_columns = columns.tags.iter();
        for (tag, prefix) in self.tags.iter().zip(&self.prefixes) {
            match tag {
                TagSpec::Fixed(..) => out.extend_from_slice(prefix),
                TagSpec::Column(name) => {
                    let cell = of_columns.next().and_then(|&column| record.get(column));
                    let value = text(cell.unwrap_or_default(), name)?;
                    if !value.is_empty() {
                        out.extend_from_slice(prefix);
                        encode::key(out, value).map_err(|error| RowError {
                            reason: "bad_value",
                            problem: format!("column `{name}`: {error}"),
                        })?;
                    }
                }
            }
        }
        let mut separator = b' ';
        for field in &columns.fields {
            let cell = record.get(field.column).unwrap_or_default();
            if cell.is_empty() {
                continue;
            }
            let before = out.len();
            out.push(separator);
            encode::key(out, &field.name).map_err(|error| RowError {
                reason: "bad_syntax",
                problem: format!("field: {error}"),
            })?;
            out.push(b'=');
            if value(field, cell, out)? {
                separator = b',';
            } else {
                out.truncate(before);
            }
        }
        if separator == b' ' {
            return Err(RowError {
                reason: "no_value",
                problem: "every field is empty".to_owned(),
            });
        }
        let cell = record.get(columns.time).map(trimmed).unwrap_or_default();
        let time = text(cell, "time")?;
        let time = time::parse(time, self.unit).map_err(|problem| RowError {
            reason: "bad_timestamp",
            problem: format!("`{time}` is {problem}"),
        })?;
        out.push(b' ');
        out.extend_from_slice(time.to_string().as_bytes());
        out.push(b'\n');
        Ok(())
    }
}

/// Appends a value; false where the cell holds none.
fn value(field: &Field, cell: &[u8], out: &mut Vec<u8>) -> Result<bool, RowError> {
    let field_type = field.field_type.unwrap_or(FieldType::Float);
    if matches!(field_type, FieldType::String | FieldType::Binary) {
        let value = Value::String(text(cell, &field.column_name)?.to_owned());
        // A string is always finite.
        let _ = encode::field_value(out, &value);
        return Ok(true);
    }
    let cell = trimmed(cell);
    if cell.is_empty() {
        return Ok(false);
    }
    let is_good = match field_type {
        FieldType::Float => is_decimal(cell),
        FieldType::Integer => parses::<i64>(cell),
        FieldType::Unsigned => parses::<u64>(cell),
        _ => boolean(cell).is_some(),
    };
    if !is_good {
        let found = String::from_utf8_lossy(cell);
        return Err(RowError {
            reason: "bad_value",
            problem: format!(
                "column `{}`: `{found}` is no {field_type}",
                field.column_name
            ),
        });
    }
    let digits = cell.strip_prefix(b"+").unwrap_or(cell);
    match (field_type, boolean(cell)) {
        (FieldType::Boolean, Some(true)) => out.extend_from_slice(b"true"),
        (FieldType::Boolean, _) => out.extend_from_slice(b"false"),
        (FieldType::Integer, _) => out.extend([digits, b"i"].concat()),
        (FieldType::Unsigned, _) => out.extend([digits, b"u"].concat()),
        _ => out.extend_from_slice(digits),
    }
    Ok(true)
}

/// Whether a cell is a decimal number: sign, digits with or without a point, exponent. The names of what is
/// no number (NaN, infinities) are none.
pub(super) fn is_decimal(cell: &[u8]) -> bool {
    let unsigned = cell
        .strip_prefix(b"-")
        .or(cell.strip_prefix(b"+"))
        .unwrap_or(cell);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(unsigned);
    let rest = &unsigned[whole..];
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => rest.split_at(digits(rest)),
        _ => (&[][..], rest),
    };
    let exponent = match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => {
            !rest.is_empty() && digits(rest) == rest.len()
        }
        _ => false,
    };
    exponent && whole + fraction.len() > 0
}

fn boolean(cell: &[u8]) -> Option<bool> {
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|name| cell.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is(&["true", "t", "1"]) {
        Some(true)
    } else if is(&["false", "f", "0"]) {
        Some(false)
    } else {
        None
    }
}

fn parses<T: std::str::FromStr>(cell: &[u8]) -> bool {
    std::str::from_utf8(cell).is_ok_and(|cell| cell.parse::<T>().is_ok())
}

/// Without spaces around it.
pub(super) fn trimmed(cell: &[u8]) -> &[u8] {
    cell.trim_ascii()
}

fn text<'a>(cell: &'a [u8], column: &str) -> Result<&'a str, RowError> {
    std::str::from_utf8(cell).map_err(|_| RowError {
        reason: "bad_utf8",
        problem: format!("column `{column}`: text that is not UTF-8"),
    })
}
