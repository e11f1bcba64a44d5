//! The cells of one column of a section, as they are packed.
//!
//! Floats travel as the decimals they were written as, 128 at a time with one scale, and as doubles where that
//! cannot be. A row without a value takes a bit and nothing else. Cells are those of [`crate::cell`]; those of
//! strings and binary values point into the payload.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::bitmap::Bitmap;
use crate::cell::{self, MANTISSA_MAX, MARK_NULL, MARK_RAW, POWERS_OF_TEN, SCALE_MAX};
use crate::packed::{Factor, GROUP, put_group, put_packed, read_group, read_packed};
use crate::types::FieldType;
use crate::wire::{PayloadError, Reader, put_bytes, put_varint};

use super::HEAP_BYTES_MAX;

/// Bit of a column's head: which rows have no value follows.
const NULLS: u8 = 0x80;

/// How the bytes of strings and binary values stand.
mod form {
    pub const EACH: u8 = 0;
    pub const DICTIONARY: u8 = 1;
}

/// One column of a section that was read. Its storage is used again.
#[derive(Debug, Default)]
pub struct Column {
    field_type: Option<FieldType>,
    bits: Vec<u64>,
    marks: Vec<u8>,
}

impl Column {
    /// The type of its values.
    #[must_use]
    pub fn field_type(&self) -> FieldType {
        self.field_type.unwrap_or(FieldType::Float)
    }

    /// The bits of each row's cell. Those of strings and binary values are [`cell::heap`] in the payload.
    #[must_use]
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// The mark of each row's cell.
    #[must_use]
    pub fn marks(&self) -> &[u8] {
        &self.marks
    }

    /// Reads a column of `rows` rows. `heap_left` is what strings may still take.
    pub(super) fn read(
        &mut self,
        reader: &mut Reader<'_>,
        rows: usize,
        heap_left: &mut usize,
    ) -> Result<(), PayloadError> {
        self.bits.clear();
        self.marks.clear();
        let error = reader.error("a type of fields");
        let head = reader.byte()?;
        let field_type = FieldType::from_number(head & !NULLS).ok_or(error)?;
        self.field_type = Some(field_type);
        let nulls = if head & NULLS == 0 {
            None
        } else {
            Some(Bitmap::decode(reader, rows)?)
        };
        let count = match &nulls {
            Some(nulls) => rows - nulls.count(),
            None => rows,
        };
        match field_type {
            FieldType::Float => self.read_floats(reader, count)?,
            FieldType::Integer | FieldType::Unsigned => {
                read_packed(reader, count, &mut self.bits)?;
            }
            FieldType::Boolean => {
                let values = Bitmap::decode(reader, count)?;
                self.bits.extend(values.iter().map(u64::from));
            }
            FieldType::String | FieldType::Binary => {
                self.read_bytes(reader, count, field_type, heap_left)?;
            }
        }
        if field_type != FieldType::Float {
            self.marks.resize(count, 0);
        }
        if let Some(nulls) = nulls {
            self.spread(&nulls, rows);
        }
        Ok(())
    }

    fn read_floats(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<(), PayloadError> {
        let mut left = count;
        while left > 0 {
            let group = left.min(GROUP);
            let error = reader.error("a scale up to 22, or 255");
            let mark = reader.byte()?;
            if mark == MARK_RAW {
                let doubles = reader.take(group * 8)?;
                let (doubles, _) = doubles.as_chunks::<8>();
                self.bits
                    .extend(doubles.iter().map(|&double| u64::from_le_bytes(double)));
            } else if mark <= SCALE_MAX {
                let start = self.bits.len();
                let error = reader.error("mantissas up to 2^53");
                read_group(reader, group, &mut self.bits)?;
                let is_large = |&bits: &u64| (bits as i64).unsigned_abs() > MANTISSA_MAX as u64;
                if self.bits[start..].iter().any(is_large) {
                    return Err(error);
                }
            } else {
                return Err(error);
            }
            self.marks.resize(self.marks.len() + group, mark);
            left -= group;
        }
        Ok(())
    }

    fn read_bytes(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        field_type: FieldType,
        heap_left: &mut usize,
    ) -> Result<(), PayloadError> {
        let error = reader.error("a form of strings");
        let dictionary = match reader.byte()? {
            form::EACH => false,
            form::DICTIONARY => true,
            _ => return Err(error),
        };
        let entries = if dictionary { reader.count()? } else { count };
        if entries > reader.remaining() {
            return Err(reader.error("as many values as rows"));
        }
        for _ in 0..entries {
            let value = if field_type == FieldType::String {
                reader.str()?.as_bytes()
            } else {
                reader.bytes()?
            };
            let offset = reader.offset() - value.len();
            self.bits
                .push(cell::heap(offset as u32, value.len() as u32));
        }
        if dictionary {
            let error = reader.error("numbers of the dictionary's entries");
            let start = self.bits.len();
            read_packed(reader, count, &mut self.bits)?;
            let (entries, numbers) = self.bits.split_at_mut(start);
            for number in numbers {
                let entry = usize::try_from(*number).ok();
                *number = *entry.and_then(|entry| entries.get(entry)).ok_or(error)?;
            }
            self.bits.drain(..start);
        }
        let error = reader.error("less text in all rows");
        for &bits in &self.bits {
            let len = cell::heap_range(bits).1 as usize;
            *heap_left = heap_left.checked_sub(len).ok_or(error)?;
        }
        Ok(())
    }

    /// Moves the values to the rows that have one.
    fn spread(&mut self, nulls: &Bitmap, rows: usize) {
        let mut from = self.bits.len();
        self.bits.resize(rows, 0);
        self.marks.resize(rows, MARK_NULL);
        for row in (0..rows).rev() {
            if nulls.get(row) {
                self.bits[row] = 0;
                self.marks[row] = MARK_NULL;
            } else {
                from -= 1;
                self.bits[row] = self.bits[from];
                self.marks[row] = self.marks[from];
            }
        }
    }
}

/// Appends a column. Cells of strings and binary values point into `heap`; marks of null are taken away from both.
pub(super) fn put_column(
    out: &mut Vec<u8>,
    field_type: FieldType,
    (bits, marks, heap): (&[u64], &[u8], &[u8]),
) {
    let has_nulls = marks.contains(&MARK_NULL);
    out.push(field_type.number() | if has_nulls { NULLS } else { 0 });
    let (kept_bits, kept_marks): (Vec<u64>, Vec<u8>);
    let (mut bits, mut marks) = (bits, marks);
    if has_nulls {
        let nulls: Bitmap = marks.iter().map(|&mark| mark == MARK_NULL).collect();
        out.extend_from_slice(nulls.as_bytes());
        let kept = bits.iter().copied().zip(marks.iter().copied());
        (kept_bits, kept_marks) = kept.filter(|&(_, mark)| mark != MARK_NULL).unzip();
        (bits, marks) = (&kept_bits, &kept_marks);
    }
    match field_type {
        FieldType::Float => put_floats(out, bits, marks),
        FieldType::Integer | FieldType::Unsigned => {
            let numbers: Vec<i64> = bits.iter().map(|&bits| bits as i64).collect();
            put_packed(out, &numbers, Factor::One);
        }
        FieldType::Boolean => {
            let values: Bitmap = bits.iter().map(|&bits| bits != 0).collect();
            out.extend_from_slice(values.as_bytes());
        }
        FieldType::String | FieldType::Binary => put_strings(out, bits, heap),
    }
}

fn put_floats(out: &mut Vec<u8>, bits: &[u64], marks: &[u8]) {
    let mut mantissas = [0i64; GROUP];
    for (bits, marks) in bits.chunks(GROUP).zip(marks.chunks(GROUP)) {
        let mantissas = &mut mantissas[..bits.len()];
        if let Some(scale) = common_scale(bits, marks, mantissas) {
            out.push(scale);
            put_group(out, mantissas, Factor::One);
        } else {
            out.push(MARK_RAW);
            for (&bits, &mark) in bits.iter().zip(marks) {
                out.extend_from_slice(&cell::float(bits, mark).to_bits().to_le_bytes());
            }
        }
    }
}

/// All cells with the largest of their scales; `None` where one is no decimal, or too large then.
fn common_scale(bits: &[u64], marks: &[u8], mantissas: &mut [i64]) -> Option<u8> {
    let scale = marks
        .iter()
        .copied()
        .max()
        .filter(|&max| max <= SCALE_MAX)?;
    for ((mantissa, &bits), &mark) in mantissas.iter_mut().zip(bits).zip(marks) {
        let missing = usize::from(scale - mark);
        // Of 2^53 only fifteen digits and a bit can be missing.
        let power = POWERS_OF_TEN.get(missing).filter(|_| missing <= 15)?;
        let scaled = (bits as i64).checked_mul(*power as i64)?;
        if scaled.unsigned_abs() > MANTISSA_MAX as u64 {
            return None;
        }
        *mantissa = scaled;
    }
    Some(scale)
}

fn put_strings(out: &mut Vec<u8>, bits: &[u64], heap: &[u8]) {
    let slice = |bits: u64| {
        let (offset, len) = cell::heap_range(bits);
        heap.get(offset as usize..)
            .and_then(|rest| rest.get(..len as usize))
            .unwrap_or_default()
    };
    let mut numbers: BTreeMap<&[u8], i64> = BTreeMap::new();
    let mut entries: Vec<&[u8]> = Vec::new();
    let mut indexes = Vec::with_capacity(bits.len());
    // More than half of them differ: a dictionary would not pay.
    let entries_max = bits.len() / 2;
    for &bits in bits {
        let value = slice(bits);
        let number = *numbers.entry(value).or_insert(entries.len() as i64);
        if number == entries.len() as i64 {
            entries.push(value);
        }
        if entries.len() > entries_max {
            break;
        }
        indexes.push(number);
    }
    if indexes.len() == bits.len() && !bits.is_empty() {
        out.push(form::DICTIONARY);
        put_varint(out, entries.len() as u64);
        for entry in &entries {
            put_bytes(out, entry);
        }
        put_packed(out, &indexes, Factor::One);
    } else {
        out.push(form::EACH);
        for &bits in bits {
            put_bytes(out, slice(bits));
        }
    }
}

const _: () = assert!(HEAP_BYTES_MAX < u32::MAX as usize);
