//! Floats of one column of a block: the mantissas of decimals at one scale, or the bits in which doubles differ.

use edgetime_protocol::cell::{self, MARK_RAW};

use super::numbers;
use super::pen::Pen;
use crate::codec::bits::width_of;
use crate::codec::block::ROWS_MAX;
use crate::codec::decimal::rescale;

/// Brings floats to one mark, in place: to their largest scale, or to doubles.
#[inline(always)]
pub(super) fn at_one_mark(bits: &mut [u64], marks: &[u8]) -> u8 {
    let mark = marks[0];
    let differ = marks.iter().fold(0, |differ, &other| differ | other ^ mark);
    if differ == 0 {
        return mark;
    }
    rescale(bits, marks).unwrap_or_else(|| {
        for (value, &mark) in bits.iter_mut().zip(marks) {
            *value = cell::float(*value, mark).to_bits();
        }
        MARK_RAW
    })
}

/// The first value, then the bits in which any value differs from the one before it.
#[inline(never)]
pub(super) fn put_xor(values: &[u64], rests: &mut [u64; ROWS_MAX], pen: &mut Pen<'_>) {
    pen.word(values[0], 8);
    let differing = values
        .windows(2)
        .fold(0, |differing, pair| differing | pair[0] ^ pair[1]);
    let trailing = differing.trailing_zeros() % 64;
    let width = width_of(differing >> trailing);
    pen.byte(width as u8);
    if width > 0 {
        pen.byte(trailing as u8);
        for (rest, pair) in rests.iter_mut().zip(values.windows(2)) {
            *rest = (pair[0] ^ pair[1]) >> trailing;
        }
        numbers::pack(rests, values.len() - 1, width, pen);
    }
}
