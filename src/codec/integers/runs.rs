//! Runs of equal numbers: each number once, and how often it stands there.

use super::{Effort, decode_offsets, encode_offsets};
use crate::codec::bits::width_of;
use crate::codec::bytes::{Reader, put_varint};
use crate::codec::error::CodecError;

/// About how many bits runs take.
pub(super) fn estimate(changes: usize, count: usize, range: u64) -> usize {
    let runs = changes + 1;
    let len_width = width_of((count / runs) as u64) + 1;
    runs * (width_of(range) + len_width) as usize + 64
}

pub(super) fn put(offsets: &[u64], effort: Effort, out: &mut Vec<u8>) {
    let mut numbers = Vec::new();
    let mut lens = Vec::new();
    for run in offsets.chunk_by(|a, b| a == b) {
        numbers.push(run[0]);
        lens.push(run.len() as u64 - 1);
    }
    put_varint(out, numbers.len() as u64);
    let range = |numbers: &[u64]| {
        let signed = || numbers.iter().map(|&number| number as i64).chain([0]);
        let (least, most) = (signed().min(), signed().max());
        most.unwrap_or(0).wrapping_sub(least.unwrap_or(0)) as u64
    };
    encode_offsets(&numbers, range(&numbers), 1, effort, false, out);
    encode_offsets(&lens, range(&lens), 1, effort, false, out);
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    count: usize,
    first: u64,
    factor: u64,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let runs = reader.bounded("runs", count)?;
    let (mut numbers, mut lens) = (Vec::new(), Vec::new());
    if runs == 0 {
        return Err(reader.invalid("runs"));
    }
    decode_offsets(reader, runs, 0, false, &mut numbers)?;
    decode_offsets(reader, runs, 0, false, &mut lens)?;
    let end = out.len() + count;
    for (number, len) in numbers.into_iter().zip(lens) {
        let number = number.wrapping_mul(factor).wrapping_add(first);
        if len >= (end - out.len()) as u64 {
            return Err(reader.invalid("length of a run"));
        }
        out.resize(out.len() + len as usize + 1, number);
    }
    if out.len() == end {
        Ok(())
    } else {
        Err(reader.invalid("length of all runs"))
    }
}
