//! Reading the values of one column of a chunk.

use std::ops::Range;

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW, POWERS_OF_TEN, SCALE_MAX};

use super::directory::{Codec, Entry, Known};
use super::{EXPANDED_BYTES, doubles};
use crate::codec::bytes::Reader;
use crate::codec::cells::{CellColumn, heap_bytes};
use crate::codec::error::CodecError;
use crate::codec::integers::{self, Numbers};
use crate::codec::statistics::{Doubles, Statistics};
use crate::codec::vector::{BytesVector, ColumnVector, Validity, Values};
use crate::codec::{bools, strings};
use crate::types::FieldType;

/// Values of the rows that have one, as cells.
#[derive(Debug, Default)]
pub(super) struct Dense {
    /// Which rows have one, where not all do.
    present: Option<Vec<bool>>,
    numbers: Numbers,
    /// Of all values but the strangers.
    mark: u8,
    /// Index and IEEE 754 bits of doubles among decimals.
    strangers: Vec<(usize, u64)>,
    /// Whether the whole column has any: then its values count as doubles.
    has_strangers: bool,
    heap: Vec<u8>,
}

impl Dense {
    /// Values at one mark, without strangers.
    pub(super) fn of(
        present: Option<Vec<bool>>,
        numbers: Numbers,
        mark: u8,
        heap: Vec<u8>,
    ) -> Self {
        Self {
            present,
            numbers,
            mark,
            heap,
            ..Self::default()
        }
    }

    /// Some of the rows of a chunk that has `rows` of them.
    pub(super) fn read(
        chunk: &[u8],
        entry: &Entry,
        rows: usize,
        wanted: Range<usize>,
    ) -> Result<Self, CodecError> {
        let mut reader = Reader::within(chunk, entry.body.start, entry.body.end)?;
        let mut dense = Self::default();
        let count = entry.count;
        // Among the values, which lie without gaps.
        let mut values = wanted.clone();
        if count == 0 {
            dense.present = Some(vec![false; wanted.len()]);
            values = 0..0;
        } else if entry.has_nulls() {
            let mut present = bools::decode(&mut reader, rows)?;
            let valid = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
            if valid(&present) != count {
                return Err(reader.invalid("number of values"));
            }
            let before = valid(&present[..wanted.start]);
            present.truncate(wanted.end);
            present.drain(..wanted.start);
            values = before..before + valid(&present);
            dense.present = Some(present);
        }
        match (entry.codec, &entry.known) {
            (Codec::Empty, _) => {}
            (Codec::Decimal, Known::Decimal(scale, known)) => {
                dense.mark = *scale;
                dense.numbers = integers::decode_part(&mut reader, count, known.first, values)?;
            }
            (Codec::Integers, Known::Integers(known)) => {
                dense.numbers = integers::decode_part(&mut reader, count, known.first, values)?;
            }
            (Codec::DecimalPatched, _) => dense.read_patched(&mut reader, count, values)?,
            (Codec::Flags, _) => {
                let flags = bools::decode(&mut reader, count)?;
                let flags = flags.get(values).unwrap_or_default();
                dense.numbers = Numbers::Wide(flags.iter().map(|&flag| u64::from(flag)).collect());
            }
            (codec @ (Codec::Strings | Codec::StringsLz4), _) => {
                let form = if codec == Codec::Strings {
                    strings::Form::Plain
                } else {
                    strings::Form::Compressed
                };
                let mut strings = strings::decode(&mut reader, count, form)?;
                strings.cells.truncate(values.end);
                strings.cells.drain(..values.start);
                dense.numbers = Numbers::Wide(strings.cells);
                dense.heap = strings.heap;
            }
            (codec, _) => {
                dense.mark = MARK_RAW;
                dense.numbers = doubles::read(&mut reader, codec, count, values)?;
            }
        }
        if !reader.rest().is_empty() {
            return Err(reader.invalid("end of a column"));
        }
        Ok(dense)
    }

    fn read_patched(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        values: Range<usize>,
    ) -> Result<(), CodecError> {
        self.mark = reader.byte()?;
        if self.mark > SCALE_MAX {
            return Err(reader.invalid("scale"));
        }
        let strangers = reader.bounded("doubles among decimals", count)?;
        self.has_strangers = true;
        let mut index = 0;
        for _ in 0..strangers {
            index += reader.bounded("index of a double", count - 1 - index)?;
            let double = reader.word()?;
            if values.contains(&index) {
                self.strangers.push((index - values.start, double));
            }
        }
        let first = reader.zigzag()?;
        self.numbers = integers::decode_part(reader, count, first as u64, values)?;
        Ok(())
    }

    /// How many values there are, and their statistics.
    pub(super) fn statistics(self, field_type: FieldType) -> (usize, Statistics) {
        let count = self.numbers.len();
        if count == 0 {
            return (0, Statistics::None);
        }
        let statistics = match field_type {
            FieldType::Float if self.mark <= SCALE_MAX && !self.has_strangers => {
                self.numbers.statistics(false).decimal(count, self.mark)
            }
            FieldType::Float => {
                let known = match &self.numbers {
                    Numbers::Wide(bits) if self.mark == MARK_RAW => Some(Doubles::of_bits(bits)),
                    Numbers::Runs(numbers, lens, _) if self.mark == MARK_RAW => {
                        Doubles::of_runs(&numbers.to_words(), lens)
                    }
                    _ => None,
                };
                let known = known.unwrap_or_else(|| Doubles::of(&self.into_doubles()));
                known.statistics()
            }
            FieldType::Integer => self.numbers.statistics(false).signed(count),
            FieldType::Unsigned => self.numbers.statistics(true).unsigned(count),
            FieldType::Boolean => {
                let flags = self.numbers.into_words();
                let at = |flag: Option<&u64>| flag.is_some_and(|flag| flag & 1 == 1);
                Statistics::Boolean {
                    trues: flags.iter().filter(|&&flag| flag & 1 == 1).count(),
                    first: at(flags.first()),
                    last: at(flags.last()),
                }
            }
            FieldType::String | FieldType::Binary => Statistics::None,
        };
        (count, statistics)
    }

    /// The values of a column of floats.
    fn into_doubles(self) -> Vec<f64> {
        let mut doubles: Vec<f64> = if let Some(&power) = POWERS_OF_TEN.get(usize::from(self.mark))
        {
            self.numbers.decimals(power)
        } else {
            let words = self.numbers.into_words().into_iter();
            words.map(f64::from_bits).collect()
        };
        for &(index, double) in &self.strangers {
            doubles[index] = f64::from_bits(double);
        }
        doubles
    }

    pub(super) fn append_to(self, column: &mut CellColumn, rows: usize) -> Result<(), CodecError> {
        let before = column.bits.len();
        let mut bits = self.numbers.into_words();
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
        mut self,
        field_type: FieldType,
        rows: usize,
    ) -> Result<ColumnVector, CodecError> {
        let present = self.present.take();
        let present = present.as_deref();
        let values = match field_type {
            FieldType::Float => Values::Float(spread(self.into_doubles(), present)),
            FieldType::Integer => {
                let words = self.numbers.into_words().into_iter();
                Values::Integer(spread(words.map(|word| word as i64).collect(), present))
            }
            FieldType::Unsigned => Values::Unsigned(spread(self.numbers.into_words(), present)),
            FieldType::Boolean => {
                let words = self.numbers.into_words().into_iter();
                Values::Boolean(spread(words.map(|word| word & 1 == 1).collect(), present))
            }
            FieldType::String | FieldType::Binary => {
                let cells = spread(self.numbers.into_words(), present);
                let bytes = expand(&cells, &self.heap)?;
                if field_type == FieldType::String {
                    Values::String(bytes)
                } else {
                    Values::Binary(bytes)
                }
            }
        };
        debug_assert_eq!(values.len(), rows);
        let validity = present.map_or(Validity::all(), |present| {
            Validity::from_flags(present.iter().copied())
        });
        Ok(ColumnVector { values, validity })
    }
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
