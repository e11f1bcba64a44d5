//! The times of a block: where it begins and ends in the largest unit that fits, and the distances between them
//! where not all are equal.

use super::numbers;
use super::pen::Pen;
use crate::codec::bits::width_of;
use crate::codec::block::{ROWS_MAX, UNIT_REGULAR, UNITS};

/// Writes times that ascend strictly, 1 to [`ROWS_MAX`]; `rests` is room for distances.
#[inline(always)]
pub(super) fn put(times: &[i64], rests: &mut [u64; ROWS_MAX], pen: &mut Pen<'_>) {
    let count = times.len();
    let (before, after) = (&times[..count - 1], &times[1..]);
    let distance = |after: i64, before: i64| after.wrapping_sub(before) as u64;
    let spacing = after
        .first()
        .map_or(0, |&second| distance(second, times[0]));
    let differ = before.iter().zip(after).fold(0, |differ, (&one, &next)| {
        debug_assert!(one < next, "times ascend strictly");
        differ | (distance(next, one) ^ spacing)
    });
    if differ == 0 {
        // One spacing speaks for all.
        let code = unit_of(times[0], &[spacing]);
        let regular = if count > 1 { UNIT_REGULAR } else { 0 };
        put_bounds(times, code, regular, pen);
        return;
    }
    let deltas = &mut rests[..count - 1];
    let (mut least, mut most) = (spacing, spacing);
    for ((delta, &one), &next) in deltas.iter_mut().zip(before).zip(after) {
        *delta = distance(next, one);
        least = least.min(*delta);
        most = most.max(*delta);
    }
    let code = unit_of(times[0], deltas);
    put_bounds(times, code, 0, pen);
    let width = width_of(in_units(most - least, code));
    pen.byte(width as u8);
    pen.varint(in_units(least, code));
    match code {
        3 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[3]),
        2 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[2]),
        1 => deltas.iter_mut().for_each(|d| *d = (*d - least) / UNITS[1]),
        _ => deltas.iter_mut().for_each(|d| *d -= least),
    }
    numbers::pack(rests, count - 1, width, pen);
}

/// The largest unit of which a time and all distances are multiples.
#[inline(always)]
fn unit_of(first: i64, distances: &[u64]) -> usize {
    let divides = |code: usize| match code {
        3 => first % UNITS[3] as i64 == 0 && distances.iter().all(|d| d % UNITS[3] == 0),
        2 => first % UNITS[2] as i64 == 0 && distances.iter().all(|d| d % UNITS[2] == 0),
        _ => first % UNITS[1] as i64 == 0 && distances.iter().all(|d| d % UNITS[1] == 0),
    };
    if divides(3) {
        3
    } else if divides(2) {
        2
    } else {
        usize::from(divides(1))
    }
}

/// Division by what is known when this is compiled.
#[inline(always)]
const fn in_units(distance: u64, code: usize) -> u64 {
    match code {
        3 => distance / UNITS[3],
        2 => distance / UNITS[2],
        1 => distance / UNITS[1],
        _ => distance,
    }
}

/// The unit, the first time, and the span where there are two rows.
#[inline(always)]
fn put_bounds(times: &[i64], code: usize, regular: u8, pen: &mut Pen<'_>) {
    let (first, last) = (times[0], times[times.len() - 1]);
    pen.byte(code as u8 | regular);
    let whole = in_units(first.unsigned_abs(), code) as i64;
    pen.zigzag(if first < 0 {
        whole.wrapping_neg()
    } else {
        whole
    });
    if times.len() > 1 {
        pen.varint(in_units(last.wrapping_sub(first) as u64, code));
    }
}
