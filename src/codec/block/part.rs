//! One column in one block: parsed without unpacking it, so that it can be skipped, counted or read.

use edgetime_protocol::cell::{self, MARK_RAW, SCALE_MAX};

use super::{
    LAYOUT_ABSENT, LAYOUT_BITS, LAYOUT_DICTIONARY, LAYOUT_PACKED, LAYOUT_PLAIN, LAYOUT_SCALES,
    LAYOUT_XOR, ROWS_MAX, TAG_LAYOUT_SHIFT, TAG_NULLS, TAG_TYPE, WIDTH_DELTA,
};
use crate::codec::bits::{get, packed_len, unpack, width_of};
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::limits::VALUE_BYTES;
use crate::types::FieldType;

/// The values of one column in one block.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Part<'a> {
    pub(in crate::codec) field_type: FieldType,
    /// One bit a row: whether it has a value.
    pub(in crate::codec) present: u64,
    /// Rows that have a value.
    pub(in crate::codec) count: usize,
    form: Form<'a>,
}

/// How the values are laid out. Slices of packed numbers go on behind them, up to the end of what is read.
#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    /// No value at all.
    Absent,
    /// Integers, or the mantissas of decimals.
    Packed { scale: u8, integers: Integers<'a> },
    /// Doubles.
    Xor {
        first: u64,
        width: u32,
        trailing: u32,
        packed: &'a [u8],
    },
    /// Truth values.
    Bits(&'a [u8]),
    /// Strings and binary values: `lens` stands at the lengths of the distinct ones; indexes follow where
    /// not all values are distinct.
    Strings {
        lens: Reader<'a>,
        distinct: usize,
        indexes: Option<&'a [u8]>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Integers<'a> {
    base: u64,
    /// Least difference, where differences are packed.
    least_delta: Option<u64>,
    width: u32,
    packed: &'a [u8],
}

impl<'a> Part<'a> {
    /// Reads the part of a block of `rows`, 1 to [`ROWS_MAX`]; the reader goes on behind it.
    #[inline(always)]
    pub(in crate::codec) fn read(reader: &mut Reader<'a>, rows: usize) -> Result<Self, CodecError> {
        let tag = reader.byte()?;
        let field_type =
            FieldType::from_number(tag & TAG_TYPE).ok_or_else(|| reader.invalid("type"))?;
        let layout = tag >> TAG_LAYOUT_SHIFT;
        let mut present = u64::MAX >> (64 - rows);
        if tag & TAG_NULLS != 0 {
            let mut word = [0; 8];
            let bitmap = reader.take(rows.div_ceil(8))?;
            word[..bitmap.len()].copy_from_slice(bitmap);
            present &= u64::from_le_bytes(word);
        }
        if layout == LAYOUT_ABSENT && tag & TAG_NULLS == 0 {
            return Ok(Self {
                field_type,
                present: 0,
                count: 0,
                form: Form::Absent,
            });
        }
        let count = present.count_ones() as usize;
        if count == 0 {
            return Err(reader.invalid("column without values"));
        }
        let form = match (layout, field_type) {
            (LAYOUT_SCALES.., FieldType::Float) => Form::Packed {
                scale: layout - LAYOUT_SCALES,
                integers: Integers::read(reader, count)?,
            },
            (LAYOUT_PACKED, FieldType::Float) => {
                let scale = reader.byte()?;
                if scale > SCALE_MAX {
                    return Err(reader.invalid("scale"));
                }
                let integers = Integers::read(reader, count)?;
                Form::Packed { scale, integers }
            }
            (LAYOUT_PACKED, FieldType::Integer | FieldType::Unsigned) => Form::Packed {
                scale: 0,
                integers: Integers::read(reader, count)?,
            },
            (LAYOUT_XOR, FieldType::Float) => read_xor(reader, count)?,
            (LAYOUT_BITS, FieldType::Boolean) => Form::Bits(take_packed(reader, count, 1)?),
            (LAYOUT_DICTIONARY | LAYOUT_PLAIN, FieldType::String | FieldType::Binary) => {
                read_strings(reader, count, layout == LAYOUT_DICTIONARY)?
            }
            _ => return Err(reader.invalid("layout of a column")),
        };
        Ok(Self {
            field_type,
            present,
            count,
            form,
        })
    }

    /// Bytes of a part without a value.
    pub(in crate::codec) const fn absent(field_type: FieldType) -> u8 {
        field_type.number() | LAYOUT_ABSENT << TAG_LAYOUT_SHIFT
    }

    /// The mark of all cells: the scale of decimals, [`MARK_RAW`] of doubles.
    #[inline]
    pub(in crate::codec) const fn mark(&self) -> u8 {
        match self.form {
            Form::Packed { scale, .. } => scale,
            Form::Xor { .. } => MARK_RAW,
            _ => 0,
        }
    }

    /// Unpacks the values, as many as there are, to the bits of cells. Those of strings refer to `heap`, to
    /// which their bytes are appended.
    #[inline]
    pub(in crate::codec) fn unpack(
        &self,
        values: &mut [u64; ROWS_MAX],
        heap: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let values = &mut values[..self.count];
        match self.form {
            Form::Absent => {}
            Form::Packed { integers, .. } => integers.unpack(values),
            Form::Xor {
                first,
                width,
                trailing,
                packed,
            } => {
                let mut value = first;
                unpack(packed, width, &mut values[1..]);
                values[0] = value;
                for next in &mut values[1..] {
                    value ^= *next << trailing;
                    *next = value;
                }
            }
            Form::Bits(bits) => unpack(bits, 1, values),
            Form::Strings {
                lens,
                distinct,
                indexes,
            } => unpack_strings(lens, distinct, indexes, values, heap)?,
        }
        Ok(())
    }

    /// Number of true values, the first and the last.
    #[inline]
    pub(in crate::codec) fn flags(&self) -> Option<(usize, bool, bool)> {
        let Form::Bits(bits) = self.form else {
            return None;
        };
        let flags = get(bits, 0, self.count as u32);
        let last = flags >> (self.count - 1) & 1 == 1;
        Some((flags.count_ones() as usize, flags & 1 == 1, last))
    }
}

impl<'a> Integers<'a> {
    #[inline(always)]
    fn read(reader: &mut Reader<'a>, count: usize) -> Result<Self, CodecError> {
        let byte = reader.byte()?;
        let base = reader.zigzag()? as u64;
        let mut packed = count;
        let mut least_delta = None;
        if byte & WIDTH_DELTA != 0 {
            least_delta = Some(reader.zigzag()? as u64);
            packed -= 1;
        }
        let width = checked_width(reader, byte & !WIDTH_DELTA)?;
        Ok(Self {
            base,
            least_delta,
            width,
            packed: take_packed(reader, packed, width)?,
        })
    }

    #[inline]
    fn unpack(&self, values: &mut [u64]) {
        let Some(least) = self.least_delta else {
            unpack(self.packed, self.width, values);
            for value in values {
                *value = value.wrapping_add(self.base);
            }
            return;
        };
        let mut value = self.base;
        unpack(self.packed, self.width, &mut values[1..]);
        values[0] = value;
        for delta in &mut values[1..] {
            value = value.wrapping_add(*delta).wrapping_add(least);
            *delta = value;
        }
    }
}

fn read_xor<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Form<'a>, CodecError> {
    let first = reader.word()?;
    let width = reader.byte()?;
    let width = checked_width(reader, width)?;
    let trailing = if width > 0 { reader.byte()? } else { 0 };
    if width + u32::from(trailing) > 64 {
        return Err(reader.invalid("window of bits"));
    }
    Ok(Form::Xor {
        first,
        width,
        trailing: u32::from(trailing),
        packed: take_packed(reader, count - 1, width)?,
    })
}

fn read_strings<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    dictionary: bool,
) -> Result<Form<'a>, CodecError> {
    let distinct = if dictionary {
        reader.bounded("entries of a dictionary", count)?
    } else {
        count
    };
    let lens = *reader;
    let mut total = 0;
    for _ in 0..distinct {
        total += reader.bounded("length of a string", VALUE_BYTES)?;
    }
    reader.take(total)?;
    let indexes = if dictionary {
        Some(take_packed(reader, count, index_width(distinct))?)
    } else {
        None
    };
    Ok(Form::Strings {
        lens,
        distinct,
        indexes,
    })
}

fn unpack_strings(
    mut lens: Reader<'_>,
    distinct: usize,
    indexes: Option<&[u8]>,
    values: &mut [u64],
    heap: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let mut entries = [0; ROWS_MAX];
    let entries = &mut entries[..distinct];
    for entry in &mut *entries {
        *entry = lens.bounded("length of a string", VALUE_BYTES)? as u64;
    }
    let mut strings = lens;
    for entry in &mut *entries {
        let bytes = strings.take(*entry as usize)?;
        let offset = u32::try_from(heap.len() + bytes.len())
            .map_err(|_| strings.invalid("size of a heap"))?
            - bytes.len() as u32;
        heap.extend_from_slice(bytes);
        *entry = cell::heap(offset, bytes.len() as u32);
    }
    let Some(indexes) = indexes else {
        values.copy_from_slice(entries);
        return Ok(());
    };
    unpack(indexes, index_width(distinct), values);
    for value in values {
        *value = *entries
            .get(*value as usize)
            .ok_or_else(|| strings.invalid("entry of a dictionary"))?;
    }
    Ok(())
}

const fn index_width(distinct: usize) -> u32 {
    width_of((distinct as u64).saturating_sub(1))
}

#[inline]
pub(super) fn checked_width(reader: &Reader<'_>, width: u8) -> Result<u32, CodecError> {
    if width > 64 {
        return Err(reader.invalid("width"));
    }
    Ok(u32::from(width))
}

/// Numbers of one width, and all that follows them in the buffer: it may be looked at, but is not consumed.
#[inline]
pub(super) fn take_packed<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    width: u32,
) -> Result<&'a [u8], CodecError> {
    let rest = reader.rest();
    reader.take(packed_len(count, width))?;
    Ok(rest)
}
