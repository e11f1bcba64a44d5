//! Strings and binary values of one column of a block: as they are, or each distinct one once.

use super::numbers;
use super::pen::Pen;
use crate::codec::bits::width_of;
use crate::codec::block::{LAYOUT_DICTIONARY, LAYOUT_PLAIN, ROWS_MAX};
use crate::codec::cells::heap_bytes;

/// Bytes of all strings, each as often as it occurs.
pub(super) fn len_bytes(cells: impl Iterator<Item = u64>, heap: &[u8]) -> usize {
    cells.map(|cell| heap_bytes(heap, cell).len()).sum()
}

/// Writes strings, and returns their layout.
#[inline(never)]
pub(super) fn put(
    cells: &[u64],
    heap: &[u8],
    indexes: &mut [u64; ROWS_MAX],
    pen: &mut Pen<'_>,
) -> u8 {
    let mut distinct = [0u64; ROWS_MAX];
    let mut known = 0;
    for (index, &cell) in indexes.iter_mut().zip(cells) {
        let bytes = heap_bytes(heap, cell);
        let found = distinct[..known]
            .iter()
            .position(|&other| other == cell || heap_bytes(heap, other) == bytes);
        *index = found.unwrap_or(known) as u64;
        if found.is_none() {
            distinct[known] = cell;
            known += 1;
        }
    }
    if known < cells.len() {
        pen.varint(known as u64);
    }
    for &cell in &distinct[..known] {
        pen.varint(heap_bytes(heap, cell).len() as u64);
    }
    for &cell in &distinct[..known] {
        pen.slice(heap_bytes(heap, cell));
    }
    if known == cells.len() {
        return LAYOUT_PLAIN;
    }
    numbers::pack(indexes, cells.len(), width_of(known as u64 - 1), pen);
    LAYOUT_DICTIONARY
}
