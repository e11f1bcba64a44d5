//! Runs of equal numbers: each number once, and how often it stands there.

use std::ops::Range;

use super::lanes::Seeds;
use super::packed::Plan;
use super::{Depth, Effort, Opening, encode_offsets, spread};
use crate::codec::bits::{Word, width_of};
use crate::codec::bytes::{Reader, put_varint};
use crate::codec::error::CodecError;

/// About how many bits runs take.
pub(super) fn estimate(changes: usize, count: usize, range: u64) -> usize {
    let runs = changes + 1;
    let len_width = width_of((count / runs) as u64) + 1;
    runs * (width_of(range) + len_width) as usize + 64
}

/// The runs of the offsets, as they are made in haste, and the toll of reading them.
pub(super) fn body(offsets: &[u64]) -> (Vec<u8>, usize) {
    let (numbers, lens) = split(offsets);
    join(&numbers, &lens, Effort::Cheap)
}

/// The runs of the offsets in their smallest form and the toll of reading them, where both are less than `least`
/// bytes.
pub(super) fn smaller_body(offsets: &[u64], least: usize) -> Option<(Vec<u8>, usize)> {
    let (numbers, lens) = split(offsets);
    // Few of them are made sooner than reckoned.
    if numbers.len() * RECKONED > offsets.len() {
        let bits = |part: &[u64], order| {
            let (_, widths) = Plan::deltas(part, u64::MAX, order, &Seeds::default());
            widths.information()
        };
        let bits = bits(&numbers, 0).min(bits(&numbers, 1)) + bits(&lens, 0);
        if bits / 9 > least {
            return None;
        }
    }
    let (body, toll) = join(&numbers, &lens, Effort::Full);
    (body.len() + toll < least).then_some((body, toll))
}

/// Numbers and lengths less 1 of all runs.
fn split(offsets: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let runs = offsets.chunk_by(|a, b| a == b);
    runs.map(|run| (run[0], run.len() as u64 - 1)).unzip()
}

fn join(numbers: &[u64], lens: &[u64], effort: Effort) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    put_varint(&mut out, numbers.len() as u64);
    let mut toll = numbers.len() / RUNS_A_BYTE;
    for part in [numbers, lens] {
        toll += encode_offsets(part, spread(part), 1, effort, Depth::Inner, &mut out);
    }
    (out, toll)
}

/// Runs that take as long to lay out as a byte is worth.
const RUNS_A_BYTE: usize = 24;
/// Of one run for so many numbers and more, the size is reckoned before they are made.
const RECKONED: usize = 16;

/// Appends the numbers of the runs in which the wanted of `count` numbers lie, and returns how many of each are wanted.
pub(super) fn read<W: Word>(
    reader: &mut Reader<'_>,
    count: usize,
    wanted: Range<usize>,
    out: &mut Vec<W>,
) -> Result<Vec<u32>, CodecError> {
    let runs = reader.bounded("runs", count)?;
    if runs == 0 {
        return Err(reader.invalid("runs"));
    }
    let numbers: Vec<W> = Opening::read(reader)?.read_all(reader, runs)?;
    let mut lens = read_lens(reader, runs)?;
    let all: u64 = lens.iter().map(|&len| u64::from(len) + 1).sum();
    if all != count as u64 {
        return Err(reader.invalid("length of all runs"));
    }
    for len in &mut lens {
        *len += 1;
    }
    if wanted == (0..count) {
        out.extend_from_slice(&numbers);
        return Ok(lens);
    }
    let mut start = 0;
    let mut kept = Vec::new();
    for (number, len) in numbers.into_iter().zip(lens) {
        let end = start + len as usize;
        let part = start.max(wanted.start)..end.min(wanted.end);
        if !part.is_empty() {
            out.push(number);
            kept.push(part.len() as u32);
        }
        start = end;
    }
    Ok(kept)
}

/// Lengths of runs, less 1.
fn read_lens(reader: &mut Reader<'_>, runs: usize) -> Result<Vec<u32>, CodecError> {
    let opening = Opening::read(reader)?;
    if opening.narrow && opening.factor == 1 {
        return opening.read_all(reader, runs);
    }
    let lens: Vec<u64> = opening.read_all(reader, runs)?;
    let lens = lens
        .into_iter()
        .map(u32::try_from)
        .collect::<Result<_, _>>();
    lens.map_err(|_| reader.invalid("length of a run"))
}

/// Each value as often as it is in a run, `count` in all.
pub(super) fn expand<T: Copy + Default>(values: &[T], lens: &[u32], count: usize) -> Vec<T> {
    let mut out = vec![T::default(); count + TOGETHER];
    let mut rest = &mut out[..];
    for (&value, &len) in values.iter().zip(lens) {
        let len = len as usize;
        // Most runs are short. What is stored beyond their end is overwritten by the next one.
        if let Some((some, more)) = rest.split_first_chunk_mut::<TOGETHER>() {
            *some = [value; TOGETHER];
            if let Some(len) = len.checked_sub(TOGETHER) {
                more[..len].fill(value);
            }
        }
        rest = &mut rest[len..];
    }
    out.truncate(count);
    out
}

/// Values that are stored at once.
const TOGETHER: usize = 8;
