//! Reading the values of one column of a chunk.

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW, POWERS_OF_TEN, SCALE_MAX};

use super::EXPANDED_BYTES;
use super::directory::{Codec, Entry, Known};
use crate::codec::bytes::Reader;
use crate::codec::cells::{CellColumn, heap_bytes};
use crate::codec::error::CodecError;
use crate::codec::vector::{BytesVector, ColumnVector, Validity, Values};
use crate::codec::{bools, gorilla, integers, quotient, strings};
use crate::types::FieldType;

/// Values of the rows that have one, as cells.
#[derive(Debug, Default)]
pub(super) struct Dense {
    /// Which rows have one, where not all do.
    present: Option<Vec<bool>>,
    bits: Vec<u64>,
    /// Of all values but the strangers.
    mark: u8,
    /// Index and IEEE 754 bits of doubles among decimals.
    strangers: Vec<(usize, u64)>,
    heap: Vec<u8>,
}

impl Dense {
    pub(super) fn read(chunk: &[u8], entry: &Entry, rows: usize) -> Result<Self, CodecError> {
        let mut reader = Reader::within(chunk, entry.body.start, entry.body.end)?;
        let mut dense = Self::default();
        let count = entry.count;
        if count == 0 {
            dense.present = Some(vec![false; rows]);
        } else if entry.has_nulls() {
            let present = bools::decode(&mut reader, rows)?;
            if present.iter().filter(|&&present| present).count() != count {
                return Err(reader.invalid("number of values"));
            }
            dense.present = Some(present);
        }
        match (entry.codec, &entry.known) {
            (Codec::Empty, _) => {}
            (Codec::Decimal, Known::Decimal(scale, known)) => {
                dense.mark = *scale;
                integers::decode(&mut reader, count, known.first, &mut dense.bits)?;
            }
            (Codec::Integers, Known::Integers(known)) => {
                integers::decode(&mut reader, count, known.first, &mut dense.bits)?;
            }
            (Codec::DecimalPatched, _) => dense.read_patched(&mut reader, count)?,
            (Codec::Flags, _) => {
                let flags = bools::decode(&mut reader, count)?;
                dense.bits = flags.into_iter().map(u64::from).collect();
            }
            (codec @ (Codec::Strings | Codec::StringsLz4), _) => {
                let form = if codec == Codec::Strings {
                    strings::Form::Plain
                } else {
                    strings::Form::Compressed
                };
                let strings = strings::decode(&mut reader, count, form)?;
                dense.bits = strings.cells;
                dense.heap = strings.heap;
            }
            (Codec::Dictionary, _) => {
                dense.mark = MARK_RAW;
                dense.bits = read_dictionary(&mut reader, count)?;
            }
            (codec, _) => {
                dense.mark = MARK_RAW;
                read_doubles(&mut reader, codec, count, &mut dense.bits)?;
            }
        }
        if !reader.rest().is_empty() {
            return Err(reader.invalid("end of a column"));
        }
        Ok(dense)
    }

    fn read_patched(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), CodecError> {
        self.mark = reader.byte()?;
        if self.mark > SCALE_MAX {
            return Err(reader.invalid("scale"));
        }
        let strangers = reader.bounded("doubles among decimals", count)?;
        let mut index = 0;
        for _ in 0..strangers {
            index += reader.bounded("index of a double", count - 1 - index)?;
            self.strangers.push((index, reader.word()?));
        }
        let first = reader.zigzag()?;
        integers::decode(reader, count, first as u64, &mut self.bits)
    }

    pub(super) fn append_to(self, column: &mut CellColumn, rows: usize) -> Result<(), CodecError> {
        let before = column.bits.len();
        let mut bits = self.bits;
        if !self.heap.is_empty() {
            let base = column.heap.len() as u64;
            if base + self.heap.len() as u64 > u64::from(u32::MAX) {
                return Err(CodecError::Limit {
                    what: "size of a heap",
                    offset: 0,
                    found: base + self.heap.len() as u64,
                });
            }
            column.heap.extend_from_slice(&self.heap);
            for cell in &mut bits {
                *cell += base << 32;
            }
        }
        let mut marks = vec![self.mark; bits.len()];
        for (index, double) in self.strangers {
            bits[index] = double;
            marks[index] = MARK_RAW;
        }
        let Some(present) = self.present else {
            column.bits.append(&mut bits);
            column.marks.append(&mut marks);
            return Ok(());
        };
        let mut dense = bits.into_iter().zip(marks);
        for present in present {
            match present.then(|| dense.next()).flatten() {
                Some((bits, mark)) => column.push(bits, mark),
                None => column.push(0, MARK_NULL),
            }
        }
        debug_assert_eq!(column.bits.len(), before + rows);
        Ok(())
    }

    pub(super) fn into_vector(
        self,
        field_type: FieldType,
        rows: usize,
    ) -> Result<ColumnVector, CodecError> {
        let Self {
            present,
            bits,
            mark,
            strangers,
            heap,
        } = self;
        let present = present.as_deref();
        let values = match field_type {
            FieldType::Float => {
                let mut doubles: Vec<f64> = match POWERS_OF_TEN.get(usize::from(mark)) {
                    Some(power) => bits
                        .iter()
                        .map(|&bits| bits as i64 as f64 / power)
                        .collect(),
                    None => bits.iter().map(|&bits| f64::from_bits(bits)).collect(),
                };
                for (index, double) in strangers {
                    doubles[index] = f64::from_bits(double);
                }
                Values::Float(spread(doubles, present))
            }
            FieldType::Integer => Values::Integer(spread(
                bits.into_iter().map(|bits| bits as i64).collect(),
                present,
            )),
            FieldType::Unsigned => Values::Unsigned(spread(bits, present)),
            FieldType::Boolean => Values::Boolean(spread(
                bits.into_iter().map(|bits| bits & 1 == 1).collect(),
                present,
            )),
            FieldType::String => Values::String(expand(&spread(bits, present), &heap)?),
            FieldType::Binary => Values::Binary(expand(&spread(bits, present), &heap)?),
        };
        debug_assert_eq!(values.len(), rows);
        let validity = present.map_or(Validity::all(), |present| {
            Validity::from_flags(present.iter().copied())
        });
        Ok(ColumnVector { values, validity })
    }
}

/// Doubles in a form that holds their bits and nothing else.
fn read_doubles(
    reader: &mut Reader<'_>,
    codec: Codec,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    match codec {
        Codec::Xor => gorilla::decode(reader, count, out),
        Codec::Quotient => quotient::decode(reader, count, out),
        Codec::Widened => {
            let scale = reader.byte()?;
            let power = *POWERS_OF_TEN
                .get(usize::from(scale))
                .ok_or_else(|| reader.invalid("scale"))?;
            let first = reader.zigzag()? as u64;
            let start = out.len();
            integers::decode(reader, count, first, out)?;
            for value in &mut out[start..] {
                *value = f64::from((*value as i64 as f64 / power) as f32).to_bits();
            }
            Ok(())
        }
        Codec::Raw => {
            let words = reader.take(count * 8)?.chunks_exact(8);
            out.extend(words.map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())));
            Ok(())
        }
        _ => Err(reader.invalid("codec")),
    }
}

fn read_dictionary(reader: &mut Reader<'_>, count: usize) -> Result<Vec<u64>, CodecError> {
    let distinct = reader.bounded("entries of a dictionary", count)?;
    let codec = reader.byte()?;
    let codec = Codec::from_number(codec).ok_or_else(|| reader.invalid("codec"))?;
    let len = reader.bounded("length of a dictionary", reader.rest().len())?;
    let mut inner = Reader::new(reader.take(len)?);
    let mut entries = Vec::new();
    read_doubles(&mut inner, codec, distinct, &mut entries)?;
    let first = reader.varint()?;
    let mut values = Vec::new();
    integers::decode(reader, count, first, &mut values)?;
    for value in &mut values {
        *value = *usize::try_from(*value)
            .ok()
            .and_then(|index| entries.get(index))
            .ok_or_else(|| reader.invalid("entry of a dictionary"))?;
    }
    Ok(values)
}

/// Puts values at the rows that have one, and zeros at the others.
fn spread<T: Copy + Default>(values: Vec<T>, present: Option<&[bool]>) -> Vec<T> {
    let Some(present) = present else {
        return values;
    };
    let mut values = values.into_iter();
    present
        .iter()
        .map(|&present| present.then(|| values.next()).flatten().unwrap_or_default())
        .collect()
}

/// Each row its own copy, within bounds: a small chunk may claim a long string for every row.
fn expand(cells: &[u64], heap: &[u8]) -> Result<BytesVector, CodecError> {
    let total: u64 = cells
        .iter()
        .map(|&cell| u64::from(cell::heap_range(cell).1))
        .sum();
    if total > EXPANDED_BYTES as u64 {
        return Err(CodecError::Limit {
            what: "length of all strings",
            offset: 0,
            found: total,
        });
    }
    let mut bytes = BytesVector::default();
    bytes.data.reserve(total as usize);
    bytes.offsets.reserve(cells.len());
    for &cell in cells {
        bytes.push(heap_bytes(heap, cell));
    }
    Ok(bytes)
}
