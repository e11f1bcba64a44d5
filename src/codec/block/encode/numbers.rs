//! Integers of one column of a block: as offsets from the least, or as differences offset from the least one.

use super::pen::Pen;
use crate::codec::bits::width_of;
use crate::codec::block::tally::Range;
use crate::codec::block::{ROWS_MAX, WIDTH_DELTA};

/// Writes numbers, 1 to [`ROWS_MAX`], and counts them; `rests` is room for what is packed.
#[inline(always)]
pub(super) fn put(values: &[u64], rests: &mut [u64; ROWS_MAX], pen: &mut Pen<'_>) -> Range {
    let count = values.len();
    let first = values[0] as i64;
    let mut range = Range {
        min: first,
        max: first,
        sum: 0,
    };
    for &value in values {
        let value = value as i64;
        range.min = range.min.min(value);
        range.max = range.max.max(value);
        range.sum = range.sum.wrapping_add(value);
    }
    if count == 1 {
        pen.byte(0);
        pen.zigzag(first);
        return range;
    }
    let mut deltas = [0; ROWS_MAX];
    let (mut least_delta, mut most_delta) = (i64::MAX, i64::MIN);
    for ((delta, &next), &one) in deltas.iter_mut().zip(&values[1..]).zip(values) {
        *delta = next.wrapping_sub(one);
        least_delta = least_delta.min(*delta as i64);
        most_delta = most_delta.max(*delta as i64);
    }
    // Stands behind the last one and is not written.
    deltas[count - 1] = least_delta as u64;
    let width = width_of(range.max.wrapping_sub(range.min) as u64);
    let width_delta = width_of(most_delta.wrapping_sub(least_delta) as u64);
    // Differences store one number less, but a base of their own. Which of the two it is cannot be guessed: no branch.
    let frame = count as u32 * width <= (count as u32 - 1) * width_delta + 8;
    let (source, base, width, packed) = if frame {
        (values, range.min as u64, width, count)
    } else {
        (&deltas[..count], least_delta as u64, width_delta, count - 1)
    };
    let flag = if frame { 0 } else { WIDTH_DELTA };
    pen.byte(width as u8 | flag);
    pen.zigzag(if frame { range.min } else { first });
    pen.zigzag_if(!frame, least_delta);
    for (rest, &number) in rests.iter_mut().zip(source) {
        *rest = number.wrapping_sub(base);
    }
    let filled = count.next_multiple_of(8);
    rests[count..filled].fill(0);
    pen.packed(rests[..filled].as_chunks().0, packed, width);
    range
}

/// Packs the first `count` numbers, at most [`ROWS_MAX`], in groups that are filled with zeros.
#[inline(always)]
pub(super) fn pack(numbers: &mut [u64; ROWS_MAX], count: usize, width: u32, pen: &mut Pen<'_>) {
    let filled = count.next_multiple_of(8);
    numbers[count..filled].fill(0);
    pen.packed(numbers[..filled].as_chunks().0, count, width);
}
