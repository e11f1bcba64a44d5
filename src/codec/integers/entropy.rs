//! Differences in as many bits as their frequency asks for: tabled asymmetric numeral systems.
//!
//! (J. Duda, "Asymmetric numeral systems", 2013.) A residual becomes a symbol and some bits as they are:
//! small ones are symbols themselves, larger ones share a symbol with those of about their size. The
//! frequencies of the symbols stand before them, in a sum of 2^log; each symbol takes log minus the binary
//! logarithm of its frequency in bits, fractions included.

use super::packed::{integrate, residuals};
use super::stream::{BitReader, BitWriter};
use crate::codec::bits::{mask, width_of};
use crate::codec::bytes::{Reader, put_varint, put_zigzag, unzigzag, zigzag};
use crate::codec::error::CodecError;

/// Numbers that have a symbol of their own.
const EXACT: u64 = 16;
/// Binary logarithm of the number of symbols a power of two is divided into, above that.
const PARTS: u32 = 2;
const SYMBOLS: usize = 256;
/// Numbers in flight: each has a state of its own, so that reading one does not wait for the one before.
const STATES: usize = 4;
/// Bounds of the table's binary logarithm.
const LOG_MIN: u32 = 5;
const LOG_MAX: u32 = 11;
const _: () = assert!(STATES * LOG_MAX as usize <= 57);

/// Symbol, number of bits as they are, and these bits.
#[inline]
fn split(number: u64) -> (usize, u32, u64) {
    if number < EXACT {
        return (number as usize, 0, 0);
    }
    let width = width_of(number);
    let rest = width - 1 - PARTS;
    let part = number >> rest & mask(PARTS);
    let symbol = EXACT + u64::from((width - 5) << PARTS) + part;
    (symbol as usize, rest, number & mask(rest))
}

/// The least number with this symbol, and how many bits are added to it.
const fn join(symbol: usize) -> (u64, u32) {
    if symbol < EXACT as usize {
        return (symbol as u64, 0);
    }
    let above = symbol - EXACT as usize;
    let rest = (above >> PARTS) as u32 + 4 - PARTS;
    let part = above as u64 & mask(PARTS);
    ((1 << PARTS | part) << rest, rest)
}

/// Residuals of one order as symbols, and about how many bytes they would take.
pub(super) struct Model {
    pub(super) order: u8,
    center: u64,
    /// Symbol, number of bits as they are, and these bits.
    parts: Vec<(usize, u32, u64)>,
    counts: [u32; SYMBOLS],
    log: u32,
    pub(super) bytes: usize,
}

impl Model {
    /// `None` where the symbols are too many to be worth it.
    pub(super) fn new(offsets: &[u64], order: u8) -> Option<Self> {
        let mut rests = Vec::with_capacity(offsets.len());
        residuals(offsets, order, |residual| rests.push(residual));
        if rests.is_empty() {
            return None;
        }
        let mut sample: Vec<u64> = rests
            .iter()
            .step_by(rests.len().div_ceil(128))
            .copied()
            .collect();
        let middle = sample.len() / 2;
        let center = *sample.select_nth_unstable_by_key(middle, |&r| r as i64).1;
        let mut counts = [0u32; SYMBOLS];
        let mut verbatim = 0;
        let parts: Vec<(usize, u32, u64)> = rests
            .iter()
            .map(|rest| {
                let part = split(zigzag(rest.wrapping_sub(center) as i64));
                counts[part.0] += 1;
                verbatim += part.1;
                part
            })
            .collect();
        let symbols = counts.iter().filter(|&&count| count > 0).count();
        let log = (width_of(symbols as u64) + 3).clamp(LOG_MIN, LOG_MAX - 1);
        let log = if rests.len() < 300 { log.min(8) } else { log };
        if symbols > 1 << (log - 1) {
            return None;
        }
        let total = (rests.len() as f64).log2();
        let information: f64 = counts
            .iter()
            .filter(|&&count| count > 0)
            .map(|&count| f64::from(count) * (total - f64::from(count).log2()))
            .sum();
        let bits = information as usize + verbatim as usize + symbols * 8 + 96;
        Some(Self {
            order,
            center,
            parts,
            counts,
            log,
            bytes: bits / 8,
        })
    }

    pub(super) fn put(&self, offsets: &[u64], out: &mut Vec<u8>) {
        let log = self.log;
        let shares = normalise(&self.counts, self.parts.len(), log);
        if self.order == 2 {
            put_zigzag(out, offsets[0] as i64);
        }
        put_zigzag(out, self.center as i64);
        let mut codes = BitWriter::default();
        let last = shares.iter().rposition(|&share| share > 0).unwrap_or(0);
        for &share in &shares[..=last] {
            let width = (share + 1).ilog2();
            codes.put(1 << width, width + 1);
            codes.put(u64::from(share + 1) & mask(width), width);
        }
        let places = Places::new(&shares, log);
        // Backwards, so that the reader goes forwards.
        let mut states = [1u32 << log; STATES];
        let mut steps = vec![(0, 0); self.parts.len()];
        for (index, &(symbol, _, _)) in self.parts.iter().enumerate().rev() {
            let state = &mut states[index % STATES];
            let share = shares[symbol];
            let mut bits = log - share.ilog2();
            if *state >> bits < share {
                bits -= 1;
            }
            steps[index] = (u64::from(*state) & mask(bits), bits);
            *state = (1 << log) + places.slot(symbol, (*state >> bits) - share);
        }
        for state in states {
            codes.put(u64::from(state) & mask(log), log);
        }
        for (bits, width) in steps {
            codes.put(bits, width);
        }
        let mut verbatim = BitWriter::default();
        for part in &self.parts {
            verbatim.put(part.2, part.1);
        }
        out.push(log as u8);
        put_varint(out, last as u64);
        for bytes in [codes.finish(), verbatim.finish()] {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Where in the table the slots of a symbol are, in ascending order.
struct Places {
    starts: [u32; SYMBOLS],
    slots: Vec<u32>,
}

impl Places {
    fn new(shares: &[u32; SYMBOLS], log: u32) -> Self {
        let mut starts = [0u32; SYMBOLS];
        let mut sum = 0;
        for (start, share) in starts.iter_mut().zip(shares) {
            *start = sum;
            sum += share;
        }
        let mut filled = starts;
        let mut slots = vec![0; 1 << log];
        for (slot, symbol) in spread(shares, log).into_iter().enumerate() {
            let filled = &mut filled[usize::from(symbol)];
            slots[*filled as usize] = slot as u32;
            *filled += 1;
        }
        Self { starts, slots }
    }

    fn slot(&self, symbol: usize, rank: u32) -> u32 {
        self.slots[(self.starts[symbol] + rank) as usize]
    }
}

/// Shares of 2^log in proportion to the counts, none less than one where there is a count.
fn normalise(counts: &[u32; SYMBOLS], total: usize, log: u32) -> [u32; SYMBOLS] {
    let mut shares = [0u32; SYMBOLS];
    let mut sum = 0i64;
    for (share, &count) in shares.iter_mut().zip(counts) {
        if count > 0 {
            let scaled = ((u64::from(count) << (log + 1)) / total as u64).div_ceil(2);
            *share = (scaled as u32).max(1);
            sum += i64::from(*share);
        }
    }
    let mut missing = (1i64 << log) - sum;
    while missing != 0 {
        // The largest share bears it with the least loss.
        let Some(largest) = shares.iter_mut().max() else {
            break;
        };
        let change = missing.clamp(-(i64::from(*largest) / 4).max(1), i64::from(*largest));
        *largest = (i64::from(*largest) + change) as u32;
        missing -= change;
    }
    shares
}

/// Which symbol owns which slot of the table: each spread over all of it.
fn spread(shares: &[u32], log: u32) -> Vec<u8> {
    let size = 1usize << log;
    let step = (size >> 1) + (size >> 3) + 3;
    let mut slots = vec![0; size];
    let mut at = 0;
    for (symbol, &share) in shares.iter().enumerate() {
        for _ in 0..share {
            slots[at] = symbol as u8;
            at = (at + step) & (size - 1);
        }
    }
    slots
}

/// What a state of the reader stands for.
#[derive(Clone, Copy, Default)]
struct Step {
    /// Least number of the symbol.
    base: u64,
    /// The residual less the center, where there are no bits to add.
    exact: u64,
    /// Bits to add to it.
    rest: u8,
    /// Bits of the next state.
    bits: u8,
    /// The next state without them.
    next: u16,
}

/// Reads numbers, multiplied by `factor` and added to `first`, to the end of `out`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    count: usize,
    order: u8,
    first: u64,
    factor: u64,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let seed = usize::from(order == 2);
    let delta = if seed == 1 {
        reader.zigzag()? as u64
    } else {
        0
    };
    let center = reader.zigzag()? as u64;
    let log = u32::from(reader.byte()?);
    let last = reader.bounded("symbols", SYMBOLS - 1)?;
    if !(LOG_MIN..=LOG_MAX).contains(&log) {
        return Err(reader.invalid("size of a table"));
    }
    let mut codes = BitReader::new(reader)?;
    let mut verbatim = BitReader::new(reader)?;
    let mut shares = [0u32; SYMBOLS];
    let mut sum = 0;
    for share in &mut shares[..=last] {
        let width = codes.zeros();
        if width > log {
            return Err(reader.invalid("share of a symbol"));
        }
        *share = (1 << width | codes.get(width) as u32) - 1;
        sum += *share;
    }
    if sum != 1 << log {
        return Err(reader.invalid("sum of shares"));
    }
    let steps = steps(&shares, log);
    let mut states = [0; STATES];
    for state in &mut states {
        *state = codes.get(log) as usize;
    }
    let start = out.len();
    out.resize(start + count, 0);
    let numbers = &mut out[start + seed..];
    if verbatim.is_empty() {
        take(&steps, states, &mut codes, numbers, |step| step.exact);
    } else {
        take(&steps, states, &mut codes, numbers, |step| {
            let rest = verbatim.get(u32::from(step.rest));
            unzigzag(step.base.wrapping_add(rest)) as u64
        });
    }
    if codes.is_beyond() || verbatim.is_beyond() {
        return Err(reader.truncated());
    }
    integrate(&mut out[start..], order, delta, center, first, factor);
    Ok(())
}

/// Takes one step a number; `number` says what a step stands for.
#[inline]
fn take(
    steps: &[Step],
    mut states: [usize; STATES],
    codes: &mut BitReader,
    numbers: &mut [u64],
    mut number: impl FnMut(&Step) -> u64,
) {
    let mut step_on = |state: &mut usize, word: &mut u64| {
        let step = &steps[*state & (steps.len() - 1)];
        *state = usize::from(step.next) + (*word & ((1 << step.bits) - 1)) as usize;
        *word >>= step.bits;
        (number(step), usize::from(step.bits))
    };
    let mut groups = numbers.chunks_exact_mut(STATES);
    for group in &mut groups {
        // All states advance by bits of one word: they take at most 4 * LOG_MAX of its 57.
        let mut word = codes.peek();
        for (into, state) in group.iter_mut().zip(&mut states) {
            let (number, bits) = step_on(state, &mut word);
            *into = number;
            codes.at += bits;
        }
    }
    let mut word = codes.peek();
    for (into, state) in groups.into_remainder().iter_mut().zip(&mut states) {
        let (number, bits) = step_on(state, &mut word);
        *into = number;
        codes.at += bits;
    }
}

fn steps(shares: &[u32; SYMBOLS], log: u32) -> Vec<Step> {
    let mut next = *shares;
    let slots = spread(shares, log);
    let step = |symbol: u8| {
        let state = &mut next[usize::from(symbol)];
        let bits = log - state.ilog2();
        let (base, rest) = join(usize::from(symbol));
        let step = Step {
            base,
            exact: unzigzag(base) as u64,
            rest: rest as u8,
            bits: bits as u8,
            next: ((*state << bits) - (1 << log)) as u16,
        };
        *state += 1;
        step
    };
    slots.into_iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn symbols_and_bits_are_the_number(number in any::<u64>(), shift in 0u32..64) {
            let number = number >> shift;
            let (symbol, rest, bits) = split(number);
            prop_assert!(symbol < SYMBOLS);
            prop_assert_eq!(join(symbol), (number - bits, rest));
        }

        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<i64>(), 0u32..64), 1..600), order in 0u8..3, narrow in any::<bool>()) {
            let offsets: Vec<u64> = numbers.iter().map(|&(number, shift)| (number >> if narrow { 60 } else { shift }) as u64).collect();
            let mut bytes = Vec::new();
            if let Some(model) = Model::new(&offsets, order) {
                model.put(&offsets, &mut bytes);
                let mut out = Vec::new();
                read(&mut Reader::new(&bytes), offsets.len(), order, 0, 1, &mut out).expect("just encoded");
                prop_assert_eq!(out, offsets);
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&mut Reader::new(&bytes), 500, 1, 0, 1, &mut Vec::new());
        }
    }
}
