//! Quoted strings and escaped names: finding their ends, taking their escapes away.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use memchr::{memchr, memchr2};

use super::bytes::is;
use super::parse::{LineError, Stop};
use crate::error::Code;

/// A string value: where it ends, and whether it contains escapes.
pub(super) struct Quoted {
    /// Offset of the closing quote.
    pub close: usize,
    pub escaped: bool,
}

/// Finds the end of the string whose opening quote stands at `quote`.
pub(super) fn quoted(
    view: &[u8],
    quote: usize,
    ended: bool,
    bytes_max: usize,
) -> Result<Quoted, Stop> {
    let start = quote + 1;
    let (close, escaped, scanned) = closing_quote(view, start, start, bytes_max);
    if let Some(close) = close {
        if core::str::from_utf8(&view[start..close]).is_err() {
            return Err(LineError::new(Code::BadUtf8, start, "string is not UTF-8").into());
        }
        return Ok(Quoted { close, escaped });
    }
    if view.len() > start + bytes_max {
        Err(LineError::new(Code::StringTooLong, quote, "string longer than the limit").into())
    } else if ended {
        Err(LineError::new(Code::BadSyntax, quote, "no closing quote").into())
    } else {
        Err(Stop::Open { quote, scanned })
    }
}

/// Looks for the closing quote from `from` on, which must not be the second half of an escape. Gives the
/// quote, whether escapes were passed, and from where to go on when there are more bytes.
pub(crate) fn closing_quote(
    view: &[u8],
    start: usize,
    from: usize,
    bytes_max: usize,
) -> (Option<usize>, bool, usize) {
    let view = &view[..view
        .len()
        .min(start.saturating_add(bytes_max).saturating_add(1))];
    let mut at = from;
    let mut escaped = false;
    while let Some(found) = view.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if view[at] == b'"' {
            return (Some(at), escaped, at);
        }
        match view.get(at + 1) {
            Some(b'"' | b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
            None => return (None, escaped, at),
        }
    }
    (None, escaped, at.max(view.len()))
}

/// Appends the text of a string value: `\"` is a quote, `\\` a backslash, everything else stands for itself.
pub fn unescape_string(raw: &[u8], text: &mut Vec<u8>) {
    unescape(raw, b"\"\\", text);
}

fn unescape(raw: &[u8], special: &[u8], text: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(found) = memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..found]);
        match rest.get(found + 1) {
            Some(next) if special.contains(next) => {
                text.push(*next);
                rest = &rest[found + 2..];
            }
            _ => {
                text.push(b'\\');
                rest = &rest[found + 1..];
            }
        }
    }
    text.extend_from_slice(rest);
}

/// The text of a name in which `special` characters are escaped. The name must be UTF-8.
pub(super) fn name<'a>(raw: &'a [u8], special: &[u8]) -> Cow<'a, str> {
    if memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut text = Vec::with_capacity(raw.len());
    unescape(raw, special, &mut text);
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

/// The end of the name at `at`: the first byte of class `class` that is not escaped; the end of `view`
/// where there is none.
pub(super) fn name_end(view: &[u8], at: usize, class: u8, special: &[u8]) -> usize {
    let mut end = at;
    while let Some(&byte) = view.get(end) {
        if byte == b'\\' {
            let escapes = view.get(end + 1).is_some_and(|next| special.contains(next));
            end += 1 + usize::from(escapes);
        } else if is(byte, class) {
            break;
        } else {
            end += 1;
        }
    }
    end
}

/// Checks a whole name: its length and, unless it is known to be ASCII, that it is UTF-8.
#[inline]
pub(super) fn check_name(
    name: &[u8],
    at: usize,
    ascii: bool,
    bytes_max: usize,
) -> Result<(), LineError> {
    if name.len() > bytes_max {
        return Err(LineError::new(
            Code::NameTooLong,
            at,
            "name longer than the limit",
        ));
    }
    if !ascii && core::str::from_utf8(name).is_err() {
        return Err(LineError::new(Code::BadUtf8, at, "name is not UTF-8"));
    }
    Ok(())
}
