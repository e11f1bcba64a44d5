//! Reading doubles that are no decimals.

use std::ops::Range;

use edgetime_protocol::cell::POWERS_OF_TEN;

use super::directory::Codec;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::codec::integers::{self, Numbers};
use crate::codec::{gorilla, quotient};

/// The wanted of `count` values, as IEEE 754 bits. The reader goes on behind all of them.
pub(super) fn read(
    reader: &mut Reader<'_>,
    codec: Codec,
    count: usize,
    wanted: Range<usize>,
) -> Result<Numbers, CodecError> {
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
) -> Result<Numbers, CodecError> {
    match codec {
        Codec::Xor => {
            let mut values = Vec::new();
            gorilla::decode(reader, count, &mut values)?;
            values.truncate(wanted.end);
            values.drain(..wanted.start);
            Ok(Numbers::Wide(values))
        }
        Codec::Quotient => quotient::decode(reader, count, wanted),
        Codec::Widened => {
            let scale = reader.byte()?;
            let power = *POWERS_OF_TEN
                .get(usize::from(scale))
                .ok_or_else(|| reader.invalid("scale"))?;
            let first = reader.zigzag()? as u64;
            let numbers = integers::decode_part(reader, count, first, wanted)?;
            Ok(numbers.each(|numbers| {
                let doubles = numbers.decimals(power).into_iter();
                let widened = doubles.map(|double| f64::from(double as f32));
                widened.map(f64::to_bits).collect()
            }))
        }
        Codec::Raw => {
            let (words, _) = reader.take(count * 8)?.as_chunks();
            let words = words.get(wanted).unwrap_or_default();
            let words = words.iter().copied().map(u64::from_le_bytes);
            Ok(Numbers::Wide(words.collect()))
        }
        _ => Err(reader.invalid("codec")),
    }
}

fn read_dictionary(
    reader: &mut Reader<'_>,
    count: usize,
    wanted: Range<usize>,
) -> Result<Numbers, CodecError> {
    let distinct = reader.bounded("entries of a dictionary", count)?;
    let codec = reader.byte()?;
    let codec = Codec::from_number(codec).ok_or_else(|| reader.invalid("codec"))?;
    let len = reader.bounded("length of a dictionary", reader.rest().len())?;
    let mut inner = Reader::new(reader.take(len)?);
    let entries = read_plain(&mut inner, codec, distinct, 0..distinct)?.into_words();
    let first = reader.varint()?;
    integers::decode_part(reader, count, first, wanted)?
        .look_up(&entries)
        .ok_or_else(|| reader.invalid("entry of a dictionary"))
}
