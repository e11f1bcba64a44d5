//! The raw key of a line, `measurement,tag=value,...`: checking it and taking it apart.
//!
//! Done once when a series is first seen; afterwards its bytes are compared. Invariant: a [`SeriesKey`]
//! holds a key that was checked: UTF-8, within the limits, no tag twice.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use memchr::memchr2;

use super::bytes::{KEY, MEASUREMENT, TAG_VALUE};
use super::parse::{LineError, Stop};
use super::text::{check_name, name, name_end};
use crate::error::Code;
use crate::limits::Limits;

/// What a backslash escapes in a measurement.
const MEASUREMENT_SPECIAL: &[u8] = b", ";
/// What a backslash escapes in keys and tag values.
const KEY_SPECIAL: &[u8] = b",= ";

/// A checked raw key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesKey<'a> {
    measurement: &'a [u8],
    /// The tags behind the first comma; empty where there are none.
    tags: &'a [u8],
}

/// Checks a raw key and takes it apart.
pub fn parse<'a>(raw: &'a [u8], limits: &Limits) -> Result<SeriesKey<'a>, LineError> {
    let end = check(raw, 0, limits)?;
    if end != raw.len() {
        return Err(LineError::new(
            Code::BadSyntax,
            end,
            "unexpected character in the key",
        ));
    }
    let measurement_end = name_end(raw, 0, MEASUREMENT, MEASUREMENT_SPECIAL);
    Ok(SeriesKey {
        measurement: &raw[..measurement_end],
        tags: raw.get(measurement_end + 1..).unwrap_or_default(),
    })
}

/// A field key without its escapes. For keys of parsed rows.
#[must_use]
pub fn unescape_field_key(raw: &[u8]) -> Cow<'_, str> {
    name(raw, KEY_SPECIAL)
}

impl<'a> SeriesKey<'a> {
    /// The measurement's name, unescaped.
    #[must_use]
    pub fn measurement(&self) -> Cow<'a, str> {
        name(self.measurement, MEASUREMENT_SPECIAL)
    }

    /// Tag keys and values, unescaped, in the order written.
    pub fn tags(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        RawTags { rest: self.tags }
            .map(|(key, value)| (name(key, KEY_SPECIAL), name(value, KEY_SPECIAL)))
    }
}

/// Raw keys and values of checked tags.
struct RawTags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RawTags<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let equals = name_end(self.rest, 0, KEY, KEY_SPECIAL);
        let value = self.rest.get(equals + 1..).unwrap_or_default();
        let end = name_end(value, 0, TAG_VALUE, KEY_SPECIAL);
        let pair = (&self.rest[..equals], &value[..end]);
        self.rest = value.get(end + 1..).unwrap_or_default();
        Some(pair)
    }
}

/// Finds the unescaped space behind the key at `at`. A line that ends before it has no fields; then the
/// error is the key's own, if it has one.
pub(super) fn end(view: &[u8], at: usize, ended: bool, limits: &Limits) -> Result<usize, Stop> {
    let mut from = at;
    loop {
        let found = view.get(from..).and_then(|rest| memchr2(b' ', b'\n', rest));
        let end = match found {
            Some(found) if view[from + found] == b' ' => {
                if from + found > at && view[from + found - 1] == b'\\' {
                    from += found + 1;
                    continue;
                }
                return Ok(from + found);
            }
            Some(found) => from + found,
            None if ended => view.len(),
            None => return Err(Stop::Incomplete),
        };
        let end = check(&view[..end], at, limits)?;
        return Err(LineError::new(Code::BadSyntax, end, "no fields").into());
    }
}

/// Checks the key at `at` and gives the offset of what ends it: a space, something that may not stand
/// there, or the end of `view`.
pub(super) fn check(view: &[u8], at: usize, limits: &Limits) -> Result<usize, LineError> {
    let bad = |at, message| LineError::new(Code::BadSyntax, at, message);
    // Nearly always true, and then no name has to be checked for UTF-8 by itself.
    let ascii = view.get(at..).is_some_and(<[u8]>::is_ascii);
    let check_name = |name: &[u8], at| check_name(name, at, ascii, limits.name_bytes_max);
    let mut end = name_end(view, at, MEASUREMENT, MEASUREMENT_SPECIAL);
    check_name(&view[at..end], at)?;
    if end == at {
        return Err(bad(at, "no measurement"));
    }
    let first_tag = end + 1;
    let mut tags = 0;
    let mut keys: [&[u8]; TAGS_FEW] = [&[]; TAGS_FEW];
    while view.get(end) == Some(&b',') {
        let key_start = end + 1;
        let key_end = name_end(view, key_start, KEY, KEY_SPECIAL);
        let key = &view[key_start..key_end];
        check_name(key, key_start)?;
        if key.is_empty() {
            return Err(bad(key_start, "no tag key after the comma"));
        }
        if view.get(key_end) != Some(&b'=') {
            return Err(bad(key_end, "no '=' after the tag key"));
        }
        end = name_end(view, key_end + 1, TAG_VALUE, KEY_SPECIAL);
        let value = &view[key_end + 1..end];
        check_name(value, key_end + 1)?;
        if value.is_empty() {
            return Err(bad(end, "no tag value"));
        }
        if tags == limits.tags_max {
            return Err(LineError::new(
                Code::TooManyTags,
                key_start,
                "more tags than the limit",
            ));
        }
        if let Some(slot) = keys.get_mut(tags) {
            *slot = key;
        }
        tags += 1;
    }
    let twice = match keys.get(..tags) {
        Some(keys) => (1..tags).any(|index| keys[..index].contains(&keys[index])),
        None => has_duplicate(RawTags {
            rest: &view[first_tag..end],
        }),
    };
    if twice {
        return Err(LineError::new(
            Code::DuplicateTag,
            first_tag,
            "the same tag key twice",
        ));
    }
    match view.get(end) {
        None | Some(b' ') => Ok(end),
        Some(_) => Err(bad(end, "unexpected character in the key")),
    }
}

/// True where two tags have the same key. A name has one spelling only, so raw keys can be compared.
fn has_duplicate(tags: RawTags<'_>) -> bool {
    let mut keys: Vec<&[u8]> = tags.map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Up to so many tags are compared each with each; more are sorted.
const TAGS_FEW: usize = 16;

/// The end of the field key at `at`, which is the offset of its `=`.
pub(super) fn field_key_end(
    view: &[u8],
    at: usize,
    ended: bool,
    limits: &Limits,
) -> Result<usize, Stop> {
    let end = name_end(view, at, KEY, KEY_SPECIAL);
    if end >= view.len() && !ended {
        return Err(Stop::Incomplete);
    }
    let key = &view[at..end];
    check_name(key, at, key.is_ascii(), limits.name_bytes_max)?;
    if key.is_empty() {
        return Err(LineError::new(Code::BadSyntax, at, "no field key").into());
    }
    if view.get(end) != Some(&b'=') {
        return Err(LineError::new(Code::BadSyntax, end, "no '=' after the field key").into());
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;
    use std::string::String;
    use std::vec::Vec;

    fn decoded(raw: &str) -> Result<(String, Vec<(String, String)>), Code> {
        let limits = Limits {
            tags_max: 3,
            name_bytes_max: 20,
            ..Limits::default()
        };
        let key = parse(raw.as_bytes(), &limits).map_err(|error| error.code)?;
        let tags = key
            .tags()
            .map(|(key, value)| (key.into_owned(), value.into_owned()));
        Ok((key.measurement().into_owned(), tags.collect()))
    }

    #[test]
    fn escapes_are_taken_away() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            decoded(r"a\,b\ c\=d=e,k\=\,=v\ 1,x=y\z\\"),
            Ok((
                r"a,b c\=d=e".to_owned(),
                vec![tag("k=,", "v 1"), tag("x", r"y\z\\")]
            ))
        );
        assert_eq!(decoded("m"), Ok(("m".to_owned(), Vec::new())));
    }

    #[test]
    fn bad_keys_have_their_codes() {
        for (raw, code) in [
            ("", Code::BadSyntax),
            (",a=b", Code::BadSyntax),
            ("m,", Code::BadSyntax),
            ("m,=b", Code::BadSyntax),
            ("m,a=", Code::BadSyntax),
            ("m,a=b=c", Code::BadSyntax),
            ("m,a=b,", Code::BadSyntax),
            ("m,a=b\n", Code::BadSyntax),
            ("m\t,a=b", Code::BadSyntax),
            ("m ", Code::BadSyntax),
            ("m,a=1,b=2,a=3", Code::DuplicateTag),
            ("m,a=1,b=2,c=3,d=4", Code::TooManyTags),
            ("m,a=abcdefghijklmnopqrstuvwxyz", Code::NameTooLong),
        ] {
            assert_eq!(decoded(raw), Err(code), "{raw:?}");
        }
        let many: Vec<String> = (0..40).map(|tag| format!(",t{tag}=v")).collect();
        let many = format!("m{}", many.concat());
        assert!(parse(many.as_bytes(), &Limits::default()).is_ok());
        let many = format!("{many},t7=v");
        let error = parse(many.as_bytes(), &Limits::default());
        assert_eq!(error.map_err(|error| error.code), Err(Code::DuplicateTag));
        let error = parse(b"m,a=\xff", &Limits::default()).expect_err("not UTF-8");
        assert_eq!(error.code, Code::BadUtf8);
    }
}
