//! The grammar of one row, from its key to the end of its line: the hot path of a write.
//!
//! Invariant: what is found out about a prefix of a line stays true whatever follows. So the parser may be
//! run on what has arrived, and gives [`Stop::Incomplete`] exactly where the answer depends on more.

use super::bytes::{FIELD_VALUE, begins_with, is};
use super::key;
use super::layout::{Hints, Key, Layout, RawKey};
use super::number::{number, short_number, timestamp, token_end};
use super::row::Fields;
use super::text::quoted;
use crate::cell;
use crate::error::Code;
use crate::limits::Limits;
use crate::types::{FieldType, Precision};

/// Why a line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (byte {})", offset + 1)]
pub struct LineError {
    /// The stable code.
    pub code: Code,
    /// Offset in the line, in bytes.
    pub offset: u32,
    /// What is wrong, in words.
    pub message: &'static str,
}

impl LineError {
    pub(crate) fn new(code: Code, offset: usize, message: &'static str) -> Self {
        Self {
            code,
            offset: offset as u32,
            message,
        }
    }
}

/// Why there is no row yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The line goes on behind the bytes at hand, outside a quoted string.
    Incomplete,
    /// The string that opens at `quote` goes on; its bytes before `scanned` need not be looked at again.
    Open { quote: usize, scanned: usize },
    /// The line is refused.
    Bad(LineError),
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        Self::Bad(error)
    }
}

/// A parsed line; its fields are in the storage that was passed.
#[derive(Debug)]
pub(crate) struct Line {
    pub key_end: usize,
    pub key_predicted: bool,
    pub layout_matched: bool,
    pub has_strings: bool,
    pub time: Option<i64>,
    /// End of the line without `\n`.
    pub raw_end: usize,
    /// Start of the next line.
    pub next: usize,
}

/// Parses the line whose key starts at `at`. With `ended` the end of `view` is the end of input.
#[inline]
pub(crate) fn parse<H: Hints>(
    view: &[u8],
    at: usize,
    ended: bool,
    precision: Precision,
    limits: &Limits,
    fields: &mut Fields,
    hints: &mut H,
) -> Result<Line, Stop> {
    let (key_end, key_predicted) = match predicted_end(view, at, hints.predicted()) {
        Some(end) => (end, true),
        None => (key::end(view, at, ended, limits)?, false),
    };
    let raw_key = RawKey {
        bytes: &view[at..key_end],
        predicted: key_predicted,
    };
    let layout = hints.layout(&raw_key);
    if layout.is_none() && !key_predicted {
        key::check(&view[..key_end], at, limits)?;
    }
    let start = spaces_end(view, key_end);
    let (fields_end, layout_matched, has_strings) =
        parse_fields(view, start, ended, limits, fields, layout)?;
    let (time, raw_end, next) = parse_tail(view, fields_end, ended, precision)?;
    Ok(Line {
        key_end,
        key_predicted,
        layout_matched,
        has_strings,
        time,
        raw_end,
        next,
    })
}

#[inline(always)]
fn predicted_end(view: &[u8], at: usize, predicted: &[u8]) -> Option<usize> {
    let end = at + predicted.len();
    (!predicted.is_empty() && view.get(end) == Some(&b' ') && view[at..end] == *predicted)
        .then_some(end)
}

#[inline(always)]
fn spaces_end(view: &[u8], mut at: usize) -> usize {
    while view.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// How far the hinted layout has been followed.
struct Followed {
    /// Fields that were read.
    count: usize,
    /// The start of the next field, or the end of the last.
    at: usize,
    /// All fields of the layout were read, and the line has no others.
    complete: bool,
}

/// Reads fields as long as they are those of the layout and hold short numbers, which is what most lines
/// consist of. Stops before the first that is anything else, and near the end of `view`.
#[inline(always)]
fn follow(view: &[u8], start: usize, layout: &Layout, fields: &mut Fields) -> Followed {
    let count_max = layout.len();
    fields.resize(count_max);
    let mut words = layout.words();
    let (mut count, mut at) = (0, start);
    let names = fields.keys.iter_mut().zip(&mut fields.kinds);
    let values = fields.cells.iter_mut().zip(&mut fields.marks);
    for (shape, ((name, kind), (bits, mark))) in layout.shapes().iter().zip(names.zip(values)) {
        let len = shape.len as usize;
        let Some((key, rest)) = words.split_at_checked(len.div_ceil(8)) else {
            break;
        };
        if !begins_with(view, at, key, shape.mask) {
            break;
        }
        let Some((number, behind)) = short_number(view, at + len) else {
            break;
        };
        let is_last = count + 1 == count_max;
        if behind != b',' && !(is_last && is(behind, FIELD_VALUE)) {
            break;
        }
        *name = (at as u32, (at + len - 1) as u32);
        *kind = number.kind;
        *bits = number.bits;
        *mark = number.mark;
        words = rest;
        count += 1;
        at = number.end + 1;
        if behind != b',' {
            return Followed {
                count,
                at: number.end,
                complete: true,
            };
        }
    }
    fields.truncate(count);
    Followed {
        count,
        at,
        complete: false,
    }
}

/// The fields from `at` on. Gives the end of the last, whether the layout matched, and whether there are strings.
#[inline(always)]
fn parse_fields(
    view: &[u8],
    at: usize,
    ended: bool,
    limits: &Limits,
    fields: &mut Fields,
    layout: Option<&Layout>,
) -> Result<(usize, bool, bool), Stop> {
    let Some(layout) = layout else {
        fields.clear();
        return parse_other_fields(view, at, ended, limits, fields, Hinted::default());
    };
    let followed = follow(view, at, layout, fields);
    if followed.complete {
        return Ok((followed.at, true, false));
    }
    let hinted = Hinted {
        joined: layout.joined(),
        keys: layout.shapes().get(followed.count..).unwrap_or_default(),
        matched: true,
    };
    parse_other_fields(view, followed.at, ended, limits, fields, hinted)
}

/// The part of a layout that still lies ahead.
#[derive(Default)]
struct Hinted<'a> {
    joined: &'a [u8],
    keys: &'a [Key],
    /// So far the fields are those of the layout.
    matched: bool,
}

impl Hinted<'_> {
    /// The offset of the `=` of the field key at `at`, where it is the next of the layout.
    fn equals(&mut self, view: &[u8], at: usize) -> Option<usize> {
        let (key, rest) = self.keys.split_first()?;
        self.keys = rest;
        let bytes = self
            .joined
            .get((key.end - key.len) as usize..key.end as usize)?;
        view.get(at..)?
            .starts_with(bytes)
            .then(|| at + bytes.len() - 1)
    }
}

/// The fields from `at` on, of any kind.
fn parse_other_fields(
    view: &[u8],
    mut at: usize,
    ended: bool,
    limits: &Limits,
    fields: &mut Fields,
    mut hinted: Hinted<'_>,
) -> Result<(usize, bool, bool), Stop> {
    let mut has_strings = false;
    loop {
        let equals = if let Some(equals) = hinted.equals(view, at) {
            equals
        } else {
            hinted = Hinted::default();
            if fields.cells.len() >= limits.fields_max {
                return Err(
                    LineError::new(Code::TooManyFields, at, "more fields than the limit").into(),
                );
            }
            key::field_key_end(view, at, ended, limits)?
        };
        let key = (at, equals);
        let start = equals + 1;
        at = match view.get(start) {
            Some(b'0'..=b'9' | b'-' | b'.') => {
                let number = number(view, start, ended)?;
                fields.push(key, number.kind, number.bits, number.mark);
                number.end
            }
            Some(b'"') => {
                let text = quoted(view, start, ended, limits.string_bytes_max)?;
                let reference = cell::heap(start as u32 + 1, (text.close - start - 1) as u32);
                fields.push(key, FieldType::String, reference, u8::from(text.escaped));
                has_strings = true;
                text.close + 1
            }
            Some(b't' | b'T' | b'f' | b'F') => {
                let (value, end) = boolean(view, start, ended)?;
                fields.push(key, FieldType::Boolean, u64::from(value), 0);
                end
            }
            None if !ended => return Err(Stop::Incomplete),
            _ => return Err(LineError::new(Code::BadValue, start, "no value of any type").into()),
        };
        match view.get(at) {
            Some(b',') => at += 1,
            Some(&byte) if !is(byte, FIELD_VALUE) => {
                return Err(LineError::new(
                    Code::BadSyntax,
                    at,
                    "unexpected character after a value",
                )
                .into());
            }
            None if !ended => return Err(Stop::Incomplete),
            _ => break,
        }
    }
    Ok((at, hinted.matched && hinted.keys.is_empty(), has_strings))
}

fn boolean(view: &[u8], at: usize, ended: bool) -> Result<(bool, usize), Stop> {
    let end = token_end(view, at, ended)?;
    match &view[at..end] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => Ok((true, end)),
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => Ok((false, end)),
        _ => Err(LineError::new(Code::BadValue, at, "not a boolean").into()),
    }
}

/// What follows the fields: a timestamp or none, then the end of the line.
#[inline(always)]
fn parse_tail(
    view: &[u8],
    at: usize,
    ended: bool,
    precision: Precision,
) -> Result<(Option<i64>, usize, usize), Stop> {
    let at = spaces_end(view, at);
    if let Some(b'0'..=b'9' | b'-') = view.get(at) {
        let (time, end) = timestamp(view, at, ended, precision)?;
        if view.get(end) == Some(&b'\n') {
            return Ok((Some(time), end, end + 1));
        }
        if view
            .get(end)
            .is_some_and(|&byte| !is(byte, FIELD_VALUE) || byte == b',')
        {
            return Err(LineError::new(Code::BadTimestamp, at, "not a timestamp").into());
        }
        let end = spaces_end(view, end);
        let (raw_end, next) = line_end(
            view,
            end,
            ended,
            Code::BadSyntax,
            "unexpected text after the timestamp",
        )?;
        return Ok((Some(time), raw_end, next));
    }
    let (raw_end, next) = line_end(view, at, ended, Code::BadTimestamp, "not a timestamp")?;
    Ok((None, raw_end, next))
}

/// The end of a line at `at`: `\n`, `\r\n`, or the end of input, before which a `\r` may stand.
pub(crate) fn line_end(
    view: &[u8],
    at: usize,
    ended: bool,
    code: Code,
    otherwise: &'static str,
) -> Result<(usize, usize), Stop> {
    match (view.get(at), view.get(at + 1)) {
        (Some(b'\n'), _) => Ok((at, at + 1)),
        (Some(b'\r'), Some(b'\n')) => Ok((at + 1, at + 2)),
        (None, _) | (Some(b'\r'), None) if ended => Ok((view.len(), view.len())),
        (None, _) | (Some(b'\r'), None) => Err(Stop::Incomplete),
        _ => Err(LineError::new(code, at, otherwise).into()),
    }
}
