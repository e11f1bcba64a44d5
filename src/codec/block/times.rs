//! The times of one block: parsed without unpacking them.

use super::part::{checked_width, take_packed};
use super::{ROWS_MAX, UNIT_REGULAR, UNITS};
use crate::codec::bits::unpack;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;

/// Times of the rows of one block.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Times<'a> {
    /// Of the first row, nanoseconds.
    pub(in crate::codec) first: i64,
    /// Of the last row, nanoseconds.
    pub(in crate::codec) last: i64,
    rows: usize,
    unit: u64,
    /// Last less first, in units.
    span: u64,
    /// Bits of a distance; 0 where all are equal.
    width: u32,
    /// Least distance, in units.
    least: u64,
    packed: &'a [u8],
}

impl<'a> Times<'a> {
    /// Reads the times of a block of `rows`, 1 to [`ROWS_MAX`]; the reader goes on behind them.
    #[inline]
    pub(in crate::codec) fn read(reader: &mut Reader<'a>, rows: usize) -> Result<Self, CodecError> {
        let head = reader.byte()?;
        let unit = *UNITS
            .get(usize::from(head & !UNIT_REGULAR))
            .ok_or_else(|| reader.invalid("unit of time"))?;
        let first = reader.zigzag()?.checked_mul(unit as i64);
        let span = if rows > 1 { reader.varint()? } else { 0 };
        let last = span
            .checked_mul(unit)
            .and_then(|span| first?.checked_add_unsigned(span));
        let (Some(first), Some(last)) = (first, last) else {
            return Err(reader.invalid("times of a block"));
        };
        let mut times = Self {
            first,
            last,
            rows,
            unit,
            span,
            width: 0,
            least: 0,
            packed: &[],
        };
        if rows > 1 && head & UNIT_REGULAR == 0 {
            let width = reader.byte()?;
            times.width = checked_width(reader, width)?;
        }
        if times.width > 0 {
            times.least = reader.varint()?;
            times.packed = take_packed(reader, rows - 1, times.width)?;
        }
        Ok(times)
    }

    /// Nanoseconds between neighbours, where all distances are equal and there are two rows at least.
    #[inline]
    pub(in crate::codec) const fn spacing(&self) -> Option<u64> {
        if self.width == 0 && self.rows > 1 {
            Some(self.span / (self.rows as u64 - 1) * self.unit)
        } else {
            None
        }
    }

    /// Appends the times. They ascend strictly up to the last one, or there is an error and some of them.
    pub(in crate::codec) fn unpack(&self, times: &mut Vec<i64>) -> Result<(), CodecError> {
        let mut time = self.first;
        times.push(time);
        let mut distances = [0; ROWS_MAX];
        let distances = &mut distances[..self.rows - 1];
        if self.width == 0 {
            distances.fill(self.span / (self.rows as u64 - 1).max(1));
        } else {
            unpack(self.packed, self.width, distances);
            for distance in &mut *distances {
                *distance = distance.wrapping_add(self.least);
            }
        }
        let mut ascending = true;
        for distance in distances {
            let next = time.wrapping_add_unsigned(distance.wrapping_mul(self.unit));
            ascending &= next > time;
            time = next;
            times.push(time);
        }
        if ascending && time == self.last {
            Ok(())
        } else {
            Err(CodecError::Invalid {
                what: "order of times",
                offset: 0,
            })
        }
    }
}
