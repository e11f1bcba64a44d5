//! Reading doubles that are no decimals.

use std::ops::Range;

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::directory::Codec;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::codec::integers::{self, Numbers};
use crate::codec::statistics::Doubles;
use crate::codec::{gorilla, quotient};

/// The wanted of `count` values, as IEEE 754 bits. The reader goes on behind all of them.
pub(super) fn read(
    reader: &mut Reader<'_>,
    codec: Codec,
    count: usize,
    wanted: Range<usize>,
) -> Result<Vec<u64>, CodecError> {
    match codec {
        Codec::Dictionary => read_dictionary(reader, count, wanted),
        _ => read_plain(reader, codec, count, wanted),
    }
}

fn read_plain(
    reader: &mut Reader<'_>,
    codec: Codec,
    count: usize,
    wanted: Range<usize>,
) -> Result<Vec<u64>, CodecError> {
    match codec {
        Codec::Xor => {
            let mut values = Vec::new();
            gorilla::decode(reader, count, &mut values)?;
            values.truncate(wanted.end);
            values.drain(..wanted.start);
            Ok(values)
        }
        Codec::Quotient => quotient::decode(reader, count, wanted),
        Codec::Widened => {
            let scale = reader.byte()?;
            let power = *POWERS_OF_TEN
                .get(usize::from(scale))
                .ok_or_else(|| reader.invalid("scale"))?;
            let first = reader.zigzag()? as u64;
            let doubles = integers::decode_part(reader, count, first, wanted)?.decimals(power);
            let widened = doubles.into_iter().map(|double| f64::from(double as f32));
            Ok(widened.map(f64::to_bits).collect())
        }
        Codec::Raw => {
            let (words, _) = reader.take(count * 8)?.as_chunks();
            let words = words.get(wanted).unwrap_or_default();
            Ok(words.iter().copied().map(u64::from_le_bytes).collect())
        }
        _ => Err(reader.invalid("codec")),
    }
}

/// Statistics of the wanted of `count` values, of which there has to be one. The reader goes on behind all of them.
pub(super) fn count(
    reader: &mut Reader<'_>,
    codec: Codec,
    count: usize,
    wanted: Range<usize>,
) -> Result<Doubles, CodecError> {
    let (ends, values) = match codec {
        Codec::Quotient => quotient::decode_unordered(reader, count, wanted)?,
        Codec::Dictionary => {
            let last = wanted.len().saturating_sub(1);
            let (entries, first) = read_entries(reader, count)?;
            let indexes = integers::decode_unordered(reader, count, first, wanted)?;
            let values = look_up(reader, &indexes, &entries)?;
            let end = |row| values.get(indexes.place(row)).copied().unwrap_or_default();
            ([end(0), end(last)], values)
        }
        _ => {
            let values = read_plain(reader, codec, count, wanted)?;
            return Ok(Doubles::of_bits(&values));
        }
    };
    Ok(Doubles::of_unordered(&values, ends))
}

fn read_dictionary(
    reader: &mut Reader<'_>,
    count: usize,
    wanted: Range<usize>,
) -> Result<Vec<u64>, CodecError> {
    let (entries, first) = read_entries(reader, count)?;
    let indexes = integers::decode_part(reader, count, first, wanted)?;
    look_up(reader, &indexes, &entries)
}

fn look_up(
    reader: &Reader<'_>,
    indexes: &Numbers,
    entries: &[u64],
) -> Result<Vec<u64>, CodecError> {
    let found = indexes.look_up(entries);
    found.ok_or_else(|| reader.invalid("entry of a dictionary"))
}

/// The entries of a dictionary, and the index of the first value.
fn read_entries(reader: &mut Reader<'_>, count: usize) -> Result<(Vec<u64>, u64), CodecError> {
    let distinct = reader.bounded("entries of a dictionary", count)?;
    let codec = reader.byte()?;
    let codec = Codec::from_number(codec).ok_or_else(|| reader.invalid("codec"))?;
    let len = reader.bounded("length of a dictionary", reader.rest().len())?;
    let mut inner = Reader::new(reader.take(len)?);
    let entries = read_plain(&mut inner, codec, distinct, 0..distinct)?;
    Ok((entries, reader.varint()?))
}
