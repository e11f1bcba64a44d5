//! Differences in as many bits as their frequency asks for: prefix codes of least redundancy.
//!
//! (D. A. Huffman, "A method for the construction of minimum-redundancy codes", 1952.) A residual becomes a
//! symbol and some bits as they are: small ones are symbols themselves, larger ones share a symbol with
//! those of about their size. The lengths of the codes stand before them; the codes follow from the lengths.

mod decode;

use std::ops::Range;

use super::lanes::{Lanes, Seeds};
use super::packed::residuals;
use super::stream::BitWriter;
use crate::codec::bits::{mask, width_of};
use crate::codec::bytes::{put_varint, put_zigzag, varint_len, zigzag};
use crate::codec::simd::widest;

pub(super) use decode::read;

/// Bits of the numbers that have a symbol of their own.
const EXACT_WIDTH: u32 = 3;
const EXACT: u64 = 1 << EXACT_WIDTH;
/// Binary logarithm of the number of symbols a power of two is divided into, above that.
const PARTS: u32 = 1;
/// Bits of the largest number that has a symbol.
const WIDTH_MAX: u32 = 47;
const SYMBOLS: usize = symbols(WIDTH_MAX);
/// Longest code.
const LENGTH_MAX: u32 = 7;
const _: () = assert!(LENGTH_MAX + WIDTH_MAX - 1 - PARTS <= 56);

/// Symbols of numbers up to a width.
const fn symbols(width: u32) -> usize {
    EXACT as usize + (((width - EXACT_WIDTH) as usize) << PARTS)
}

/// Symbol, number of bits as they are, and these bits.
#[inline(always)]
fn split(number: u64) -> (usize, u32, u64) {
    if number < EXACT {
        return (number as usize, 0, 0);
    }
    let width = width_of(number);
    let rest = width - 1 - PARTS;
    let part = number >> rest & mask(PARTS);
    let symbol = EXACT + u64::from((width - EXACT_WIDTH - 1) << PARTS) + part;
    (symbol as usize, rest, number & mask(rest))
}

/// The least number with this symbol, and how many bits are added to it.
#[inline(always)]
const fn join(symbol: usize) -> (u64, u32) {
    if symbol < EXACT as usize {
        return (symbol as u64, 0);
    }
    let above = symbol - EXACT as usize;
    let rest = (above >> PARTS) as u32 + EXACT_WIDTH - PARTS;
    let part = above as u64 & mask(PARTS);
    ((1 << PARTS | part) << rest, rest)
}

/// Residuals of one order as symbols, and how many bytes they take.
pub(super) struct Model {
    pub(super) order: u8,
    center: u64,
    /// Of all residuals, in zigzag form, less the center.
    numbers: Vec<u64>,
    lengths: [u8; SYMBOLS],
    pub(super) bytes: usize,
}

impl Model {
    /// `None` where they are too far apart for symbols, or all the same.
    pub(super) fn new(offsets: &[u64], order: u8, seeds: &Seeds) -> Option<Self> {
        let mut numbers = Vec::with_capacity(offsets.len());
        residuals(offsets, order, seeds.slope(0), |residual| {
            numbers.push(residual);
        });
        let step = numbers.len().div_ceil(128).max(1);
        let mut sample: Vec<u64> = numbers.iter().step_by(step).copied().collect();
        let middle = sample.len() / 2;
        if sample.is_empty() {
            return None;
        }
        let center = *sample.select_nth_unstable_by_key(middle, |&r| r as i64).1;
        let mut all = 0;
        for number in &mut numbers {
            *number = zigzag(number.wrapping_sub(center) as i64);
            all |= *number;
        }
        if width_of(all) > WIDTH_MAX {
            return None;
        }
        let (counts, verbatim) = widest(
            #[inline(always)]
            || count(&numbers),
        );
        let lengths = lengths(&counts)?;
        let codes = counts.iter().zip(&lengths);
        let codes: usize = codes
            .map(|(&count, &length)| count as usize * usize::from(length))
            .sum();
        // Lengths of lanes, and bytes that are not filled.
        let lanes = Lanes::of(offsets.len());
        let opening = varint_len(zigzag(center as i64)) + 1 + seeds.len(lanes) + 3 * lanes.count();
        let bytes = (verbatim + codes + lengths_bits(&lengths)).div_ceil(8) + opening;
        Some(Self {
            order,
            center,
            numbers,
            lengths,
            bytes,
        })
    }

    pub(super) fn put(&self, lanes: Lanes, out: &mut Vec<u8>) {
        put_zigzag(out, self.center as i64);
        put_lengths(&self.lengths, out);
        let codes = codes(&self.lengths);
        let mut streams = Vec::new();
        for lane in 0..lanes.count() {
            let [first, second] = lanes.halves(lane).map(|half| {
                widest(
                    #[inline(always)]
                    || self.stream(&codes, half),
                )
            });
            put_varint(out, (first.len() + second.len()) as u64);
            streams.extend_from_slice(&first);
            streams.extend(second.iter().rev());
        }
        out.extend_from_slice(&streams);
    }

    /// The codes of some numbers.
    #[inline(always)]
    fn stream(&self, codes: &[u16; SYMBOLS], numbers: Range<usize>) -> Vec<u8> {
        let mut stream = BitWriter::default();
        for &number in &self.numbers[numbers] {
            let (symbol, rest, bits) = split(number);
            let length = u32::from(self.lengths[symbol]);
            stream.put(u64::from(codes[symbol]) << rest | bits, length + rest);
        }
        stream.finish()
    }
}

/// How often each symbol occurs, and how many bits are added to all of them.
#[inline(always)]
fn count(numbers: &[u64]) -> ([u32; SYMBOLS], usize) {
    let mut counts = [0; SYMBOLS];
    let mut verbatim = 0;
    for &number in numbers {
        let (symbol, rest, _) = split(number);
        counts[symbol] += 1;
        verbatim += rest as usize;
    }
    (counts, verbatim)
}

/// Lengths of the codes of all symbols that occur, which have to be two at least.
fn lengths(counts: &[u32; SYMBOLS]) -> Option<[u8; SYMBOLS]> {
    let mut weights: Vec<(u32, usize)> = (0..SYMBOLS)
        .filter(|&symbol| counts[symbol] > 0)
        .map(|symbol| (counts[symbol], symbol))
        .collect();
    if weights.len() < 2 {
        return None;
    }
    loop {
        weights.sort_unstable();
        let depths = depths(&weights);
        if depths.iter().all(|&depth| u32::from(depth) <= LENGTH_MAX) {
            let mut lengths = [0; SYMBOLS];
            for (&(_, symbol), depth) in weights.iter().zip(depths) {
                lengths[symbol] = depth;
            }
            return Some(lengths);
        }
        // Rare ones count as less rare, until the longest code is short enough.
        for weight in &mut weights {
            weight.0 = weight.0 / 2 + 1;
        }
    }
}

/// How deep in the tree each weight stands; weights ascend.
fn depths(weights: &[(u32, usize)]) -> Vec<u8> {
    let count = weights.len();
    // Nodes in the order in which they were made ascend, too, so that the two least are always in front.
    let mut nodes: Vec<u32> = Vec::with_capacity(count);
    let mut parents = vec![0; 2 * count];
    let (mut leaf, mut node) = (0, 0);
    while nodes.len() + 1 < count {
        let parent = count + nodes.len();
        let mut weight = 0;
        for _ in 0..2 {
            let lighter = match (weights.get(leaf), nodes.get(node)) {
                (Some(a), Some(b)) => a.0 <= *b,
                (Some(_), None) => true,
                _ => false,
            };
            if lighter {
                parents[leaf] = parent;
                weight += weights[leaf].0;
                leaf += 1;
            } else {
                parents[count + node] = parent;
                weight += nodes[node];
                node += 1;
            }
        }
        nodes.push(weight);
    }
    let root = 2 * count - 2;
    let mut depths = vec![0u8; root + 1];
    for index in (0..root).rev() {
        depths[index] = depths[parents[index]] + 1;
    }
    depths.truncate(count);
    depths
}

/// Codes in ascending order of their lengths, then of their symbols.
fn codes(lengths: &[u8; SYMBOLS]) -> [u16; SYMBOLS] {
    let mut next = 0u32;
    let mut codes = [0; SYMBOLS];
    for length in 1..=LENGTH_MAX {
        for (code, _) in codes
            .iter_mut()
            .zip(lengths)
            .filter(|&(_, &other)| u32::from(other) == length)
        {
            *code = (next >> (LENGTH_MAX - length)) as u16;
            next += 1 << (LENGTH_MAX - length);
        }
    }
    codes
}

/// How a length stands to the last one that was not 0, as a number of zeros before a one.
const SAME: u32 = 0;
/// One more or less: a bit tells which.
const NEAR: u32 = 1;
/// The symbol does not occur.
const ABSENT: u32 = 2;
/// Four bits have it.
const ANY: u32 = 3;
/// What the first is compared with.
const LENGTH_START: u8 = 4;

/// For each symbol up to the last one that occurs: zeros, and a bit and how many more behind the one.
fn steps(lengths: &[u8; SYMBOLS]) -> impl Iterator<Item = (u32, u64, u32)> {
    let last = lengths.iter().rposition(|&length| length > 0).unwrap_or(0);
    let mut previous = LENGTH_START;
    lengths[..=last].iter().map(move |&length| {
        let step = match length {
            0 => (ABSENT, 0, 0),
            same if same == previous => (SAME, 0, 0),
            near if near.abs_diff(previous) == 1 => (NEAR, u64::from(near > previous), 1),
            any => (ANY, u64::from(any), 4),
        };
        if length > 0 {
            previous = length;
        }
        step
    })
}

fn put_lengths(lengths: &[u8; SYMBOLS], out: &mut Vec<u8>) {
    let place = out.len();
    out.push(0);
    let mut bits = BitWriter::default();
    let mut symbols = 0;
    for (zeros, more, count) in steps(lengths) {
        bits.put(1 << count | more, zeros + 1 + count);
        symbols += 1;
    }
    out[place] = symbols - 1;
    out.extend_from_slice(&bits.finish());
}

/// Bits that [`put_lengths`] takes.
fn lengths_bits(lengths: &[u8; SYMBOLS]) -> usize {
    let bits = steps(lengths).map(|(zeros, _, count)| zeros + 1 + count);
    bits.sum::<u32>() as usize
}

#[cfg(test)]
mod tests {
    use super::decode::read_lengths;
    use super::*;
    use crate::codec::bytes::Reader;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn symbols_and_bits_are_the_number(number in any::<u64>(), shift in 17u32..64) {
            let number = number >> shift;
            let (symbol, rest, bits) = split(number);
            prop_assert!(symbol < SYMBOLS);
            prop_assert_eq!(join(symbol), (number - bits, rest));
        }

        #[test]
        fn codes_are_never_longer_than_their_bound(counts in prop::collection::vec(0u32..100_000, 2..SYMBOLS), shift in prop::collection::vec(0u32..32, SYMBOLS)) {
            let mut all = [0; SYMBOLS];
            for ((count, other), shift) in all.iter_mut().zip(counts).zip(shift) {
                *count = other >> shift;
            }
            if let Some(lengths) = lengths(&all) {
                let sum: u32 = lengths.iter().filter(|&&l| l > 0).map(|&l| 1 << LENGTH_MAX >> l).sum();
                prop_assert_eq!(sum, 1 << LENGTH_MAX);
                let mut bytes = Vec::new();
                put_lengths(&lengths, &mut bytes);
                let mut reader = Reader::new(&bytes);
                prop_assert_eq!(read_lengths(&mut reader, SYMBOLS).map(|read| read.0), Ok(lengths));
                prop_assert!(reader.rest().is_empty());
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), from in 0usize..500) {
            let _ = read::<u32>(&mut Reader::new(&bytes), Lanes::of(500), from..500);
            let _ = read::<u64>(&mut Reader::new(&bytes), Lanes::of(500), from..500);
        }
    }
}
