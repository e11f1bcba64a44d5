//! Reading prefix codes: their lengths, a table of what each code stands for, and the streams of a sequence.

use std::ops::Range;

use super::{ABSENT, ANY, LENGTH_MAX, LENGTH_START, NEAR, SAME, SYMBOLS, halves, join, symbols};
use crate::codec::bits::Word;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::codec::integers::lanes::{LANES, Lanes};
use crate::codec::integers::stream::{ahead, back};
use crate::codec::simd::widest;

/// Reads the wanted residuals, from the start of the first lane of them on, to the end of `out`;
/// returns which was the first. The reader goes on behind all of them.
pub(in crate::codec::integers) fn read<W: Word>(
    reader: &mut Reader<'_>,
    lanes: Lanes,
    wanted: Range<usize>,
    out: &mut Vec<W>,
) -> Result<usize, CodecError> {
    let center = W::cut(reader.zigzag()? as u64);
    let symbols = if W::BITS == 64 { SYMBOLS } else { symbols(32) };
    let (lengths, count) = read_lengths(reader, symbols)?;
    let mut ends = [0; LANES];
    let mut end = 0;
    for lane in &mut ends[..lanes.count()] {
        end += reader.bounded("length of a lane", reader.rest().len())?;
        *lane = end;
    }
    // What follows the lanes may be looked at.
    let bytes = reader.rest();
    reader.take(end)?;
    let mut table = [Step::default(); PLACES + TOGETHER];
    let most = widest(
        #[inline(always)]
        || fill(&lengths[..count], &mut table),
    )
    .ok_or_else(|| reader.invalid("lengths of codes"))?;
    let table = table
        .first_chunk()
        .ok_or_else(|| reader.invalid("lengths of codes"))?;
    if wanted.is_empty() {
        return Ok(wanted.start);
    }
    let (first, last) = (lanes.lane(wanted.start), lanes.lane(wanted.end - 1));
    let from = out.len();
    let numbers = lanes.start(first)..lanes.start(last + 1).min(lanes.numbers);
    out.resize(from + numbers.len(), W::default());
    let mut rest = &mut out[from..];
    let mut pairs: [[Stream<'_, W>; 2]; LANES] = Default::default();
    for ((lane, part), pair) in lanes.parts(numbers).zip(&mut pairs) {
        let start = lane.checked_sub(1).map_or(0, |before| ends[before]);
        let places = [8 * start, 8 * ends[lane]];
        for ((half, at), stream) in halves(part).into_iter().zip(places).zip(pair) {
            let (half, behind) = rest.split_at_mut(half.len());
            rest = behind;
            *stream = Stream { at, out: half };
        }
    }
    let used = &mut pairs[..=last - first];
    take(table, most, bytes, used);
    for ([ahead, back], lane) in used.iter().zip(first..) {
        let start = lane.checked_sub(1).map_or(0, |before| ends[before]);
        let ahead = ahead.at.div_ceil(8) - start;
        let back = (8 * ends[lane]).wrapping_sub(back.at).div_ceil(8);
        if ahead + back > ends[lane] - start {
            return Err(reader.truncated());
        }
    }
    out.truncate(from + wanted.end - lanes.start(first));
    widest(
        #[inline(always)]
        || {
            for number in &mut out[from..] {
                *number = number.unzigzag().plus(center);
            }
        },
    );
    Ok(lanes.start(first))
}

/// How a length follows from the one before, by the next eight bits.
#[derive(Clone, Copy)]
struct Rule {
    /// Bits that say it.
    used: u8,
    /// All bits of the length before, or none.
    keep: u8,
    /// What is added to them.
    add: u8,
    /// All bits, or none where the symbol does not occur.
    present: u8,
}

const RULES: [Rule; 256] = rules();

const fn rules() -> [Rule; 256] {
    let same = Rule {
        used: SAME as u8 + 1,
        keep: u8::MAX,
        add: 0,
        present: u8::MAX,
    };
    let mut rules = [same; 256];
    let mut bits = 0;
    while bits < rules.len() {
        let zeros = (bits as u8).leading_zeros();
        if zeros == NEAR {
            rules[bits].used = NEAR as u8 + 2;
            rules[bits].add = if bits >> 5 & 1 == 1 { 1 } else { u8::MAX };
        } else if zeros == ABSENT {
            rules[bits].used = ABSENT as u8 + 1;
            rules[bits].present = 0;
        } else if zeros >= ANY {
            rules[bits] = Rule {
                used: ANY as u8 + 5,
                keep: 0,
                add: bits as u8 & 15,
                present: u8::MAX,
            };
        }
        bits += 1;
    }
    rules
}

/// Lengths of codes, and of how many symbols.
pub(super) fn read_lengths(
    reader: &mut Reader<'_>,
    symbols: usize,
) -> Result<([u8; SYMBOLS], usize), CodecError> {
    let count = usize::from(reader.byte()?) + 1;
    if count > symbols {
        return Err(reader.invalid("symbols"));
    }
    let mut lengths = [0u8; SYMBOLS];
    let (at, valid) = widest(
        #[inline(always)]
        || {
            let bytes = reader.rest();
            let (mut at, mut previous, mut valid) = (0, LENGTH_START, true);
            for group in lengths[..count].chunks_mut(TO_A_WORD) {
                let mut word = ahead(bytes, at);
                for length in group {
                    let rule = RULES[(word >> 56) as usize];
                    word <<= rule.used & 63;
                    at += usize::from(rule.used);
                    previous = (previous & rule.keep).wrapping_add(rule.add);
                    valid &= u32::from(previous.wrapping_sub(1)) < LENGTH_MAX;
                    *length = previous & rule.present;
                }
            }
            (at, valid)
        },
    );
    if !valid {
        return Err(reader.invalid("length of a code"));
    }
    reader.take(at.div_ceil(8))?;
    Ok((lengths, count))
}

/// Lengths of codes that surely stand in a word.
const TO_A_WORD: usize = 7;

/// What a code stands for.
#[derive(Clone, Copy, Default)]
struct Step<W> {
    /// Least number of the symbol, less the code with zeros for the bits that are added.
    base: W,
    /// Bits of the code and of what is added.
    total: u8,
    /// Bits of a word behind them.
    behind: u8,
}

/// Least numbers of all symbols, and how many bits are added.
const JOINED: [(u64, u32); SYMBOLS] = joined();

const fn joined() -> [(u64, u32); SYMBOLS] {
    let mut all = [(0, 0); SYMBOLS];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        all[symbol] = join(symbol);
        symbol += 1;
    }
    all
}

const PLACES: usize = 1 << LENGTH_MAX;

/// By the next [`LENGTH_MAX`] bits of a stream.
type Table<W> = [Step<W>; PLACES];

/// Steps that are stored at once, whether there is room for so many or not.
const TOGETHER: usize = 8;

/// Fills the table; returns the most bits of a number, or nothing where the codes do not fill it.
#[inline(always)]
fn fill<W: Word>(lengths: &[u8], table: &mut [Step<W>; PLACES + TOGETHER]) -> Option<u32> {
    const LENGTHS: usize = 16;
    let mut counts = [0; LENGTHS];
    for &length in lengths {
        counts[usize::from(length) % LENGTHS] += 1;
    }
    let mut starts = [0; LENGTHS];
    let (mut present, mut room) = (0, 0);
    for length in 1..=LENGTH_MAX as usize {
        starts[length] = present;
        present += counts[length];
        room += counts[length] << (LENGTH_MAX as usize - length);
    }
    if room != PLACES {
        return None;
    }
    // Symbols in the order of their codes; behind them those that do not occur.
    starts[0] = present;
    let mut order = [0u8; 256];
    for (symbol, &length) in (0..=u8::MAX).zip(lengths) {
        let place = &mut starts[usize::from(length) % LENGTHS];
        order[*place % 256] = symbol;
        *place += 1;
    }
    let mut most = 0;
    let mut place = 0;
    for &symbol in order.get(..present)? {
        let length = u32::from(*lengths.get(usize::from(symbol))?);
        let (base, rest) = *JOINED.get(usize::from(symbol))?;
        let code = (place >> (LENGTH_MAX - length)) as u64;
        let total = length + rest;
        most = most.max(total);
        let step = Step {
            base: W::cut(base.wrapping_sub(code << rest)),
            total: total as u8,
            behind: (64 - total) as u8,
        };
        // What is stored beyond its room is overwritten by the next one.
        let end = place + (PLACES >> length);
        for steps in table
            .get_mut(place..end + TOGETHER - 1)?
            .chunks_exact_mut(TOGETHER)
        {
            steps.fill(step);
        }
        place = end;
    }
    Some(most)
}

/// Half of a lane.
#[derive(Default)]
struct Stream<'a, W> {
    /// Bits before what comes next, or up to its end if it is read backwards.
    at: usize,
    out: &'a mut [W],
}

/// Reads the numbers of lanes, each half of which is a stream, the second one backwards. `most` are the bits
/// that a number may take.
fn take<W: Word>(table: &Table<W>, most: u32, bytes: &[u8], lanes: &mut [[Stream<'_, W>; 2]]) {
    widest(
        #[inline(always)]
        || {
            let done = match 56 / most {
                0 | 1 => side_by_side::<W, 1>(table, bytes, lanes),
                2 => side_by_side::<W, 2>(table, bytes, lanes),
                3 => side_by_side::<W, 3>(table, bytes, lanes),
                4 => side_by_side::<W, 4>(table, bytes, lanes),
                5 => side_by_side::<W, 5>(table, bytes, lanes),
                6 => side_by_side::<W, 6>(table, bytes, lanes),
                7 => side_by_side::<W, 7>(table, bytes, lanes),
                _ => side_by_side::<W, 8>(table, bytes, lanes),
            };
            for [a, b] in lanes {
                for number in a.out.iter_mut().skip(done) {
                    let (next, bits) = step(table, &mut ahead(bytes, a.at));
                    a.at += bits;
                    *number = next;
                }
                for number in b.out.iter_mut().skip(done) {
                    let (next, bits) = step(table, &mut back(bytes, b.at));
                    b.at = b.at.wrapping_sub(bits);
                    *number = next;
                }
            }
        },
    );
}

/// Takes the next number off a word.
#[inline(always)]
fn step<W: Word>(table: &Table<W>, word: &mut u64) -> (W, usize) {
    let step = &table[(*word >> (64 - LENGTH_MAX)) as usize];
    let bits = *word >> (step.behind & 63);
    *word <<= step.total & 63;
    (step.base.plus(W::cut(bits)), usize::from(step.total))
}

/// As many numbers of each stream as the shortest has, `GROUP` at a time from one word; returns how many.
#[inline(always)]
fn side_by_side<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    lanes: &mut [[Stream<'_, W>; 2]],
) -> usize {
    let lens = lanes.as_flattened().iter().map(|stream| stream.out.len());
    let groups = lens.min().unwrap_or(0) / GROUP;
    // Four streams keep the processor busy, and their words and places its registers.
    let (fours, twos) = lanes.as_chunks_mut::<2>();
    for [first, second] in fours {
        let [a, b] = first;
        let [c, d] = second;
        four::<W, GROUP>(table, bytes, [a, b, c, d], groups);
    }
    for [a, b] in twos {
        two::<W, GROUP>(table, bytes, [a, b], groups);
    }
    groups * GROUP
}

#[inline(always)]
fn part<W, const GROUP: usize>(out: &mut [W], groups: usize) -> &mut [[W; GROUP]] {
    let all = out.as_chunks_mut().0;
    all.get_mut(..groups).unwrap_or_default()
}

/// Of two lanes.
#[inline(always)]
fn four<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    [a, b, c, d]: [&mut Stream<'_, W>; 4],
    groups: usize,
) {
    let mut at = [a.at, b.at, c.at, d.at];
    let outs = part::<W, GROUP>(a.out, groups).iter_mut();
    let outs = outs.zip(part::<W, GROUP>(b.out, groups));
    let outs = outs.zip(part::<W, GROUP>(c.out, groups));
    let outs = outs.zip(part::<W, GROUP>(d.out, groups));
    for (((of_a, of_b), of_c), of_d) in outs {
        // A one below what is read: the zeros below it tell how many bits were consumed.
        let mut words = [
            ahead(bytes, at[0]) | 1,
            back(bytes, at[1]) | 1,
            ahead(bytes, at[2]) | 1,
            back(bytes, at[3]) | 1,
        ];
        for index in 0..GROUP {
            of_a[index] = step(table, &mut words[0]).0;
            of_b[index] = step(table, &mut words[1]).0;
            of_c[index] = step(table, &mut words[2]).0;
            of_d[index] = step(table, &mut words[3]).0;
        }
        let used = words.map(|word| word.trailing_zeros() as usize);
        at[0] += used[0];
        at[1] = at[1].wrapping_sub(used[1]);
        at[2] += used[2];
        at[3] = at[3].wrapping_sub(used[3]);
    }
    [a.at, b.at, c.at, d.at] = at;
}

/// Of one lane.
#[inline(always)]
fn two<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    [a, b]: [&mut Stream<'_, W>; 2],
    groups: usize,
) {
    let mut at = [a.at, b.at];
    let outs = part::<W, GROUP>(a.out, groups).iter_mut();
    for (of_a, of_b) in outs.zip(part::<W, GROUP>(b.out, groups)) {
        let mut words = [ahead(bytes, at[0]) | 1, back(bytes, at[1]) | 1];
        for index in 0..GROUP {
            of_a[index] = step(table, &mut words[0]).0;
            of_b[index] = step(table, &mut words[1]).0;
        }
        let used = words.map(|word| word.trailing_zeros() as usize);
        at[0] += used[0];
        at[1] = at[1].wrapping_sub(used[1]);
    }
    [a.at, b.at] = at;
}
