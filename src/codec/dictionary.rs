//! Strings and binary values: each distinct one once where that is smaller, else one behind another.

use edgetime_protocol::cell;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxBuildHasher;

use super::bytes::{Reader, put_varint};
use super::cells::heap_bytes;
use super::error::CodecError;
use super::integers::{self, Effort, Habit};
use crate::limits::VALUE_BYTES;

/// Strings before they are expanded to rows.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    /// All distinct strings, or those of all rows.
    pub(crate) heap: Vec<u8>,
    /// A reference into the heap for each row, as cells have them.
    pub(crate) cells: Vec<u64>,
}

/// Appends the strings that the cells refer to: how many are stored, their lengths, their bytes, and the
/// index of each row where not all rows have a string of their own.
pub(crate) fn encode(cells: &[u64], heap: &[u8], effort: Effort, out: &mut Vec<u8>) {
    let mut seen: HashMap<&[u8], u64, FxBuildHasher> = HashMap::default();
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut indexes = Vec::with_capacity(cells.len());
    for &cell in cells {
        let bytes = heap_bytes(heap, cell);
        let next = distinct.len() as u64;
        indexes.push(match seen.entry(bytes) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                distinct.push(bytes);
                *entry.insert(next)
            }
        });
    }
    put_varint(out, distinct.len() as u64);
    let lens: Vec<u64> = distinct.iter().map(|bytes| bytes.len() as u64).collect();
    if let Some(&first) = lens.first() {
        put_varint(out, first);
        let longest = lens.iter().copied().max().unwrap_or(0);
        integers::encode(&lens, longest, &mut Habit::default(), effort, out);
    }
    for bytes in &distinct {
        out.extend_from_slice(bytes);
    }
    if distinct.len() < cells.len() {
        let range = distinct.len() as u64 - 1;
        integers::encode(&indexes, range, &mut Habit::default(), effort, out);
    }
}

/// Reads the strings of `count` rows.
pub(crate) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Strings, CodecError> {
    let mut strings = Strings::default();
    let distinct = reader.bounded("entries of a dictionary", count)?;
    if distinct == 0 {
        return if count == 0 {
            Ok(strings)
        } else {
            Err(reader.invalid("entries of a dictionary"))
        };
    }
    let first = reader.varint()?;
    let mut lens = Vec::new();
    integers::decode(reader, distinct, first, &mut lens)?;
    let mut total = 0u64;
    let mut entries = Vec::with_capacity(distinct);
    for len in lens {
        if len > VALUE_BYTES as u64 {
            return Err(reader.invalid("length of a string"));
        }
        entries.push(cell::heap(total as u32, len as u32));
        total += len;
    }
    if total > u64::from(u32::MAX) {
        return Err(reader.invalid("length of all strings"));
    }
    strings.heap = reader.take(total as usize)?.to_vec();
    if distinct == count {
        strings.cells = entries;
        return Ok(strings);
    }
    integers::decode(reader, count, 0, &mut strings.cells)?;
    for cell in &mut strings.cells {
        *cell = *usize::try_from(*cell)
            .ok()
            .and_then(|index| entries.get(index))
            .ok_or_else(|| reader.invalid("entry of a dictionary"))?;
    }
    Ok(strings)
}
