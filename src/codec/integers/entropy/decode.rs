//! Reading prefix codes: their lengths, a table of what each code stands for, and the streams of a sequence.

use std::ops::Range;

use super::{ABSENT, ANY, LENGTH_MAX, LENGTH_START, NEAR, SAME, SYMBOLS, join, symbols};
use crate::codec::bits::Word;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::codec::integers::columns::{COLUMNS, Columns, Row};
use crate::codec::integers::lanes::{LANES, Lanes};
use crate::codec::integers::stream::{peek, peek_back};
use crate::codec::simd::widest;

/// Reads the lanes that the wanted residuals lie in, in zigzag form less a center, and the center. The reader goes on
/// behind all lanes.
pub(in crate::codec::integers) fn read<W: Word>(
    reader: &mut Reader<'_>,
    lanes: Lanes,
    wanted: Range<usize>,
) -> Result<(Columns<W>, W), CodecError> {
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
    let mut columns = Columns::new(lanes);
    if wanted.is_empty() {
        return Ok((columns, center));
    }
    let (first, last) = (lanes.lane(wanted.start), lanes.lane(wanted.end - 1));
    let mut pairs: [Pair; LANES] = Default::default();
    for (lane, pair) in pairs.iter_mut().enumerate().take(last + 1).skip(first) {
        let start = lane.checked_sub(1).map_or(0, |before| ends[before]);
        *pair = Pair {
            at: [8 * start, 8 * ends[lane]],
            heights: lanes.halves(lane).map(|half| half.len()),
        };
    }
    let before = pairs;
    let used = first..last + 1;
    take(
        table,
        most,
        bytes,
        &mut columns.rows,
        &mut pairs,
        used.clone(),
    );
    for lane in used {
        let (before, now) = (before[lane].at, pairs[lane].at);
        let taken = [
            now[0].wrapping_sub(before[0]),
            before[1].wrapping_sub(now[1]),
        ];
        let taken: usize = taken.iter().map(|bits| bits.div_ceil(8)).sum();
        if taken > (before[1] - before[0]) / 8 {
            return Err(reader.truncated());
        }
    }
    Ok((columns, center))
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
                let mut word = peek(bytes, at);
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

/// The two streams of a lane, the first read forwards, the second backwards.
#[derive(Clone, Copy, Default)]
struct Pair {
    /// The bits before the next one, or in front of which the next one stands.
    at: [usize; 2],
    /// How many numbers there are.
    heights: [usize; 2],
}

/// Reads the numbers of lanes into the columns that are theirs. `most` are the bits that a number may take.
fn take<W: Word>(
    table: &Table<W>,
    most: u32,
    bytes: &[u8],
    rows: &mut [Row<W>],
    pairs: &mut [Pair; LANES],
    lanes: Range<usize>,
) {
    widest(
        #[inline(always)]
        || match 56 / most {
            0 | 1 => by_twos::<W, 1>(table, bytes, rows, pairs, lanes),
            2 => by_twos::<W, 2>(table, bytes, rows, pairs, lanes),
            3 => by_twos::<W, 3>(table, bytes, rows, pairs, lanes),
            4 => by_twos::<W, 4>(table, bytes, rows, pairs, lanes),
            5 => by_twos::<W, 5>(table, bytes, rows, pairs, lanes),
            6 => by_twos::<W, 6>(table, bytes, rows, pairs, lanes),
            _ => by_twos::<W, 7>(table, bytes, rows, pairs, lanes),
        },
    );
}

/// Takes the next number off a word.
#[inline(always)]
fn step<W: Word>(table: &Table<W>, word: &mut u64) -> W {
    let step = &table[(*word >> (64 - LENGTH_MAX)) as usize];
    let bits = *word >> (step.behind & 63);
    *word <<= step.total & 63;
    step.base.plus(W::cut(bits))
}

/// Two lanes at a time, `GROUP` numbers of each stream from one word: four streams keep the processor busy, and their
/// words and places its registers.
#[inline(always)]
fn by_twos<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    rows: &mut [Row<W>],
    pairs: &mut [Pair; LANES],
    lanes: Range<usize>,
) {
    for lane in lanes.clone().step_by(2) {
        let streams = 2 * (lanes.end - lane).min(2);
        let (some, _) = pairs[lane..].split_at_mut(streams / 2);
        let heights = some.iter().flat_map(|pair| pair.heights);
        let groups = heights.min().unwrap_or(0) / GROUP;
        match some {
            [a, b] => four::<W, GROUP>(table, bytes, rows, [a, b], 2 * lane, groups),
            [a] => two::<W, GROUP>(table, bytes, rows, a, 2 * lane, groups),
            _ => {}
        }
        for (pair, column) in some.iter_mut().zip((2 * lane..).step_by(2)) {
            for half in 0..2 {
                let rest = groups * GROUP..pair.heights[half];
                last::<W, GROUP>(
                    table,
                    bytes,
                    &mut rows[rest],
                    column + half,
                    &mut pair.at[half],
                );
            }
        }
    }
}

/// Of two lanes.
#[inline(always)]
fn four<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    rows: &mut [Row<W>],
    [first, second]: [&mut Pair; 2],
    column: usize,
    groups: usize,
) {
    // So that none of the four has to be looked for.
    let column = column.min(COLUMNS - 4);
    let (mut a, mut b) = (first.at[0], first.at[1]);
    let (mut c, mut d) = (second.at[0], second.at[1]);
    for group in rows.as_chunks_mut::<GROUP>().0.iter_mut().take(groups) {
        // A one below what is read: the zeros below it tell how many bits were consumed.
        let mut words = [
            peek(bytes, a) | 1,
            peek_back(bytes, b) | 1,
            peek(bytes, c) | 1,
            peek_back(bytes, d) | 1,
        ];
        for row in group {
            row[column] = step(table, &mut words[0]);
            row[column + 1] = step(table, &mut words[1]);
            row[column + 2] = step(table, &mut words[2]);
            row[column + 3] = step(table, &mut words[3]);
        }
        a += words[0].trailing_zeros() as usize;
        b = b.wrapping_sub(words[1].trailing_zeros() as usize);
        c += words[2].trailing_zeros() as usize;
        d = d.wrapping_sub(words[3].trailing_zeros() as usize);
    }
    (first.at, second.at) = ([a, b], [c, d]);
}

/// Of one lane.
#[inline(always)]
fn two<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    rows: &mut [Row<W>],
    pair: &mut Pair,
    column: usize,
    groups: usize,
) {
    let column = column.min(COLUMNS - 2);
    let [mut a, mut b] = pair.at;
    for group in rows.as_chunks_mut::<GROUP>().0.iter_mut().take(groups) {
        let mut words = [peek(bytes, a) | 1, peek_back(bytes, b) | 1];
        for row in group {
            row[column] = step(table, &mut words[0]);
            row[column + 1] = step(table, &mut words[1]);
        }
        a += words[0].trailing_zeros() as usize;
        b = b.wrapping_sub(words[1].trailing_zeros() as usize);
    }
    pair.at = [a, b];
}

/// What is left of a stream.
#[inline(always)]
fn last<W: Word, const GROUP: usize>(
    table: &Table<W>,
    bytes: &[u8],
    rows: &mut [Row<W>],
    column: usize,
    at: &mut usize,
) {
    let column = column.min(COLUMNS - 1);
    let backwards = column % 2 == 1;
    for group in rows.chunks_mut(GROUP) {
        let word = if backwards {
            peek_back(bytes, *at)
        } else {
            peek(bytes, *at)
        };
        let mut word = word | 1;
        for row in group {
            row[column] = step(table, &mut word);
        }
        let consumed = word.trailing_zeros() as usize;
        *at = if backwards {
            at.wrapping_sub(consumed)
        } else {
            *at + consumed
        };
    }
}
