//! Sequences of 64-bit integers in few bits: the common ground of times, decimals, counters and indexes.
//!
//! Numbers are taken as offsets from the first one (which the caller keeps), divided by their greatest
//! common divisor, then differenced up to twice; what is left is bit-packed with patches for the few that
//! do not fit, given codes, or stored as runs; or they are indexes of a dictionary. All arithmetic wraps, so
//! that signed and unsigned numbers of any size come back exactly. The layout is in `FORMAT.md`.

mod dictionary;
mod entropy;
mod factor;
mod lagged;
mod lanes;
mod numbers;
mod packed;
mod runs;
mod stream;

use std::ops::Range;

use super::bits::Word;
use super::bytes::{Reader, put_varint};
use super::error::CodecError;
use super::simd::widest;
use entropy::Model;
use lagged::Lag;
use lanes::{Lanes, Seeds};
use packed::Plan;

pub(crate) use dictionary::Distinct;
pub(crate) use numbers::Numbers;

/// How hard to look for the smallest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// One good guess, a few nanoseconds a value. Of a chunk: what the write path makes, its blocks as they are.
    Cheap,
    /// Maintenance: everything is tried, up to 150 ns a value.
    Full,
}

/// What fitted the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habit {
    /// Divisor of all offsets; 0 where nothing is known.
    pub(crate) factor: u64,
}

/// Bits of the byte that opens a sequence.
const HEAD_ORDER: u8 = 0b0000_0011;
/// In place of an order: differences of those a while before.
const ORDER_LAGGED: u8 = 3;
const HEAD_FACTOR: u8 = 0b0000_0100;
const HEAD_PATCHES: u8 = 0b0000_1000;
const HEAD_KIND_SHIFT: u32 = 4;
const HEAD_KIND: u8 = 0b11;
/// All offsets, and what they are made of, fit 32 bits.
const HEAD_NARROW: u8 = 0b0100_0000;

const KIND_PACKED: u8 = 0;
const KIND_RUNS: u8 = 1;
const KIND_ENTROPY: u8 = 2;
const KIND_DICTIONARY: u8 = 3;

/// Where a sequence stands, which limits what it may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// In nothing: it may be anything.
    Outer,
    /// The indexes of a dictionary: no dictionary.
    Indexes,
    /// In runs, or the entries of a dictionary: neither runs nor a dictionary.
    Inner,
}

/// Appends `values` without the first, which the reader has to know. `range` is an upper bound of the
/// distance between any two of them, `u64::MAX` where it is not known.
pub(crate) fn encode(
    values: &[u64],
    range: u64,
    habit: &mut Habit,
    effort: Effort,
    out: &mut Vec<u8>,
) {
    let [first, rest @ ..] = values else { return };
    if rest.is_empty() {
        return;
    }
    let guess = if effort == Effort::Cheap {
        habit.factor
    } else {
        0
    };
    let (offsets, factor) = divided(*first, rest, range, guess);
    habit.factor = factor;
    encode_offsets(&offsets, range / factor, factor, effort, Depth::Outer, out);
}

/// [`encode`] for numbers that are indexes already, with full effort.
pub(crate) fn encode_indexes(indexes: &[u64], range: u64, out: &mut Vec<u8>) {
    let [first, rest @ ..] = indexes else { return };
    if !rest.is_empty() {
        let (offsets, _) = divided(*first, rest, u64::MAX, 0);
        encode_offsets(&offsets, range, 1, Effort::Full, Depth::Indexes, out);
    }
}

/// About how many bytes [`encode`] takes with full effort.
pub(crate) fn reckon(values: &[u64], range: u64) -> usize {
    let [first, rest @ ..] = values else { return 0 };
    if range == 0 {
        return 0;
    }
    let (offsets, factor) = divided(*first, rest, range, 0);
    let bits = [0, 1].map(|order| {
        let (_, widths) = Plan::deltas(&offsets, range / factor, order, &Seeds::default());
        widths.information()
    });
    bits[0].min(bits[1]) / 8
}

/// Offsets from the first value, and what they were divided by.
fn divided(first: u64, rest: &[u64], range: u64, guess: u64) -> (Vec<u64>, u64) {
    let offsets = rest.iter().map(|value| value.wrapping_sub(first));
    let mut offsets: Vec<u64> = offsets.collect();
    let factor = if range >> 63 == 0 {
        factor::divide(&mut offsets, guess)
    } else {
        1
    };
    (offsets, factor)
}

/// Appends offsets from a first value, which is not among them. Returns the toll of reading them.
fn encode_offsets(
    offsets: &[u64],
    range: u64,
    factor: u64,
    effort: Effort,
    depth: Depth,
    out: &mut Vec<u8>,
) -> usize {
    let choice = match effort {
        Effort::Cheap => cheap(offsets, range, depth),
        Effort::Full => full(offsets, range, depth),
    };
    let mut head = choice.head();
    if factor != 1 {
        head |= HEAD_FACTOR;
    }
    if range < NARROW_RANGE {
        head |= HEAD_NARROW;
    }
    out.push(head);
    if factor != 1 {
        put_varint(out, factor);
    }
    let lanes = Lanes::of(offsets.len());
    match choice {
        Choice::Packed(plan, seeds) => {
            seeds.put(lanes, out);
            plan.put(offsets, range, &seeds, out);
            0
        }
        Choice::LaggedPacked(lag, plan, residuals) => {
            lag.put(out);
            plan.put(&residuals, range, &Seeds::default(), out);
            toll_lagged(offsets.len())
        }
        Choice::Runs(body, toll) => {
            out.extend_from_slice(&body);
            toll
        }
        Choice::Entropy(model, seeds) => {
            seeds.put(lanes, out);
            model.put(lanes, out);
            toll(offsets.len())
        }
        Choice::LaggedEntropy(lag, model) => {
            lag.put(out);
            model.put(lanes, out);
            toll(offsets.len()) + toll_lagged(offsets.len())
        }
        Choice::Dictionary(body) => {
            out.extend_from_slice(&body);
            toll(offsets.len())
        }
    }
}

enum Choice {
    Packed(Plan, Seeds),
    Runs(Vec<u8>, usize),
    Entropy(Box<Model>, Seeds),
    Dictionary(Vec<u8>),
    /// With the residuals.
    LaggedPacked(Lag, Plan, Vec<u64>),
    LaggedEntropy(Lag, Box<Model>),
}

impl Choice {
    /// Order, patches and kind.
    fn head(&self) -> u8 {
        match self {
            Self::Packed(plan, _) => plan.head(),
            Self::Runs(..) => KIND_RUNS << HEAD_KIND_SHIFT,
            Self::Entropy(model, _) => KIND_ENTROPY << HEAD_KIND_SHIFT | model.order,
            Self::Dictionary(_) => KIND_DICTIONARY << HEAD_KIND_SHIFT,
            Self::LaggedPacked(_, plan, _) => plan.head() | ORDER_LAGGED,
            Self::LaggedEntropy(..) => KIND_ENTROPY << HEAD_KIND_SHIFT | ORDER_LAGGED,
        }
    }
}

/// One order is guessed from a sample, runs from the number of changes.
fn cheap(offsets: &[u64], range: u64, depth: Depth) -> Choice {
    let order = packed::likely_order(offsets);
    let flat = Plan::frame(offsets, range);
    let seeds = Seeds::of(offsets, order, Lanes::of(offsets.len()));
    let (plan, widths) = Plan::deltas(offsets, range, order, &seeds);
    let plan = if flat.bits <= plan.bits { flat } else { plan };
    // Of order 2 the widths tell nothing of how often the numbers change.
    let runs = runs::estimate(widths.changes(), offsets.len(), range);
    if depth != Depth::Inner && order == 1 && runs < plan.bits {
        let (body, toll) = runs::body(offsets);
        return Choice::Runs(body, toll);
    }
    let seeds = if plan.order == order {
        seeds
    } else {
        Seeds::default()
    };
    Choice::Packed(plan, seeds)
}

/// Everything that may be the smallest is made, the smallest stays.
fn full(offsets: &[u64], range: u64, depth: Depth) -> Choice {
    let seeds = [0, 1, 2].map(|order| Seeds::of(offsets, order, Lanes::of(offsets.len())));
    let mut plan = Plan::frame(offsets, range);
    if range == 0 {
        return Choice::Packed(plan, seeds[0]);
    }
    let mut changes = 0;
    let mut information = [usize::MAX; 3];
    for &order in packed::promising_orders(offsets) {
        let (other, widths) = Plan::deltas(offsets, range, order, &seeds[usize::from(order)]);
        if order == 1 {
            changes = widths.changes();
        }
        information[usize::from(order)] = widths.information();
        if other.bits < plan.bits {
            plan = other;
        }
    }
    let likely = (0..3)
        .min_by_key(|&order| information[usize::from(order)])
        .unwrap_or(1);
    let mut least = plan.bits.div_ceil(8);
    let mut best = Choice::Packed(plan, seeds[usize::from(plan.order)]);
    let codes = offsets.len() >= ENTROPY_COUNT;
    let toll = toll(offsets.len());
    if codes {
        // The order that bit-packing favours is a candidate too: it may be narrow far from zero.
        let model = |order: u8| Model::new(offsets, order, &seeds[usize::from(order)]);
        let mut found = model(likely);
        if plan.order != likely {
            let models = found.into_iter().chain(model(plan.order));
            found = models.min_by_key(|model| model.bytes);
        }
        if let Some(model) = found
            && model.bytes + toll < least
        {
            least = model.bytes + toll;
            let seeds = seeds[usize::from(model.order)];
            best = Choice::Entropy(Box::new(model), seeds);
        }
    }
    let runs = runs::estimate(changes, offsets.len(), range);
    if depth != Depth::Inner
        && (changes * 2 < offsets.len() || runs < least * 8)
        && let Some((body, toll)) = runs::smaller_body(offsets, least)
    {
        least = body.len() + toll;
        best = Choice::Runs(body, toll);
    }
    if !codes || depth != Depth::Outer {
        return best;
    }
    if least > offsets.len() / LAGGED_SHARE
        && let Some((bytes, choice)) = lagged(offsets, range, least)
    {
        least = bytes;
        best = choice;
    }
    if let Some(body) = dictionary::body(offsets, range, changes, least.saturating_sub(toll)) {
        best = Choice::Dictionary(body);
    }
    best
}

/// What is left of numbers that recur, where that takes less than `least` bytes; and how many, with the toll.
fn lagged(offsets: &[u64], range: u64, least: usize) -> Option<(usize, Choice)> {
    let toll_lagged = toll_lagged(offsets.len());
    let lag = Lag::detect(offsets, range, toll_lagged * 8)?;
    let residuals = lag.residuals(offsets);
    let none = Seeds::default();
    let (plan, _) = Plan::deltas(&residuals, range, 0, &none);
    let packed = plan.bits.div_ceil(8) + 2 + toll_lagged;
    let model = Model::new(&residuals, 0, &none);
    let codes = model.as_ref().map_or(usize::MAX, |model| {
        model.bytes + 2 + toll_lagged + toll(offsets.len())
    });
    match model {
        Some(model) if codes < packed.min(least) => {
            Some((codes, Choice::LaggedEntropy(lag, Box::new(model))))
        }
        _ if packed < least => Some((packed, Choice::LaggedPacked(lag, plan, residuals))),
        _ => None,
    }
}

/// Bytes that codes and dictionaries have to save: one for about 30 ns that they are slower to read.
const fn toll(numbers: usize) -> usize {
    10 + numbers / 28
}

/// Bytes that differences of differences a while before have to save: they are added up twice, and no part of
/// them can be read alone.
const fn toll_lagged(numbers: usize) -> usize {
    4 + numbers / 64
}

/// Numbers for each byte below which it is not worth while to look whether they recur.
const LAGGED_SHARE: usize = 8;

/// Numbers from which on a table of frequencies may pay.
const ENTROPY_COUNT: usize = 32;

/// Distance between any two offsets below which differences of all orders fit 32 bits.
const NARROW_RANGE: u64 = 1 << 29;

/// The distance between the least and the greatest of some numbers and 0, all of them signed.
fn spread(numbers: &[u64]) -> u64 {
    let signed = || numbers.iter().map(|&number| number as i64).chain([0]);
    let (least, most) = (signed().min(), signed().max());
    most.unwrap_or(0).wrapping_sub(least.unwrap_or(0)) as u64
}

/// Reads `count` numbers, the first of which is `first`, to the end of `out`.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    first: u64,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    decode_part(reader, count, first, 0..count)?.append_to(out);
    Ok(())
}

/// Reads some of `count` numbers, the first of which is `first`. The reader goes on behind all of them.
pub(crate) fn decode_part(
    reader: &mut Reader<'_>,
    count: usize,
    first: u64,
    wanted: Range<usize>,
) -> Result<Numbers, CodecError> {
    debug_assert!(wanted.start <= wanted.end && wanted.end <= count);
    if count < 2 {
        return Ok(Numbers::Wide(vec![first; wanted.len()]));
    }
    let opening = Opening::read(reader)?;
    // The first one is not stored.
    let lead = usize::from(wanted.start == 0 && wanted.end > 0);
    let stored = wanted.start.saturating_sub(1)..wanted.end.saturating_sub(1);
    if let Some((usual, others)) = opening.nearly_constant(reader, count - 1)? {
        let number = |offset: u64| opening.factor.wrapping_mul(offset).wrapping_add(first);
        let others = others.into_iter();
        let others = others.map(|(index, offset)| (index + 1, number(offset)));
        let usual = number(usual);
        let lead = (first != usual).then_some((0, first));
        let others = lead.into_iter().chain(others);
        let others = others.filter(|(index, _)| wanted.contains(index));
        let others = others.map(|(index, other)| (index - wanted.start, other));
        return Ok(Numbers::same_but(usual, wanted.len(), others.collect()));
    }
    if opening.narrow {
        let mut offsets = Vec::with_capacity(opening.room(wanted.len()));
        offsets.resize(lead, 0);
        let lens = opening.read_offsets(reader, count - 1, stored, Depth::Outer, &mut offsets)?;
        let numbers = Numbers::Narrow {
            first,
            factor: opening.factor,
            offsets,
        };
        return Ok(numbers.repeated(lens, lead));
    }
    let mut numbers = Vec::with_capacity(opening.room(wanted.len()));
    numbers.resize(lead, 0);
    let lens = opening.read_offsets(reader, count - 1, stored, Depth::Outer, &mut numbers)?;
    if (first, opening.factor) != (0, 1) {
        for number in &mut numbers {
            *number = opening.factor.wrapping_mul(*number).wrapping_add(first);
        }
    }
    Ok(Numbers::Wide(numbers).repeated(lens, lead))
}

/// Which of `count` numbers the seeds of lanes tell, and these numbers. The reader stays where it is.
pub(crate) fn landmarks(
    reader: &Reader<'_>,
    count: usize,
    first: u64,
) -> Result<Vec<(usize, u64)>, CodecError> {
    let mut reader = *reader;
    let mut known = Vec::new();
    if count < 2 {
        return Ok(known);
    }
    let opening = Opening::read(&mut reader)?;
    let order = opening.head & HEAD_ORDER;
    if matches!(order, 1 | 2) && matches!(opening.kind(), KIND_PACKED | KIND_ENTROPY) {
        let lanes = Lanes::of(count - 1);
        let seeds = Seeds::read(&mut reader, order, lanes)?;
        for lane in 1..lanes.count() {
            let offset = if opening.narrow {
                u32::cut(seeds.before(lane)).extend()
            } else {
                seeds.before(lane)
            };
            let number = opening.factor.wrapping_mul(offset).wrapping_add(first);
            // The first number has no offset, so that they lie one apart.
            known.push((lanes.start(lane), number));
        }
    }
    Ok(known)
}

/// Numbers that may be read before those that are wanted.
const SLACK: usize = 8;

/// What a sequence begins with.
struct Opening {
    head: u8,
    narrow: bool,
    factor: u64,
}

impl Opening {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let head = reader.byte()?;
        let factor = if head & HEAD_FACTOR == 0 {
            1
        } else {
            reader.varint()?
        };
        Ok(Self {
            head,
            narrow: head & HEAD_NARROW != 0,
            factor,
        })
    }

    /// For how many of the wanted numbers, as they are read, there should be room.
    const fn room(&self, wanted: usize) -> usize {
        if self.kind() == KIND_RUNS {
            0
        } else {
            wanted + SLACK
        }
    }

    const fn kind(&self) -> u8 {
        self.head >> HEAD_KIND_SHIFT & HEAD_KIND
    }

    /// The offset that takes no room, where most of `count` are the same, and the others with their indexes. Else
    /// the reader stays where it is.
    fn nearly_constant(
        &self,
        reader: &mut Reader<'_>,
        count: usize,
    ) -> Result<Option<(u64, packed::Others)>, CodecError> {
        if self.kind() != KIND_PACKED || self.head & HEAD_ORDER != 0 {
            return Ok(None);
        }
        let patched = self.head & HEAD_PATCHES != 0;
        let mut ahead = *reader;
        let found = packed::read_without_width(&mut ahead, count, patched)?;
        if found.is_some() {
            *reader = ahead;
        }
        Ok(found.map(|(usual, mut others)| {
            if !self.narrow {
                return (usual, others);
            }
            let cut = |offset: u64| u32::cut(offset).extend();
            for (_, other) in &mut others {
                *other = cut(*other);
            }
            (cut(usual), others)
        }))
    }

    /// All of `count` offsets, which are neither runs nor a dictionary.
    fn read_all<W: Word>(
        &self,
        reader: &mut Reader<'_>,
        count: usize,
    ) -> Result<Vec<W>, CodecError> {
        let multiplied = |offset: u64| W::cut(self.factor.wrapping_mul(offset));
        if self.narrow {
            let mut narrow: Vec<u32> = Vec::new();
            self.read_offsets(reader, count, 0..count, Depth::Inner, &mut narrow)?;
            let words = narrow.into_iter().map(Word::extend);
            if self.factor == 1 {
                return Ok(words.map(W::cut).collect());
            }
            return Ok(words.map(multiplied).collect());
        }
        let mut wide: Vec<u64> = Vec::new();
        self.read_offsets(reader, count, 0..count, Depth::Inner, &mut wide)?;
        Ok(wide.into_iter().map(multiplied).collect())
    }

    /// Appends the wanted of `count` offsets, not yet multiplied. Where they are runs these are one of each run, and
    /// how often it is wanted is returned.
    fn read_offsets<W: Word>(
        &self,
        reader: &mut Reader<'_>,
        count: usize,
        wanted: Range<usize>,
        depth: Depth,
        out: &mut Vec<W>,
    ) -> Result<Option<Vec<u32>>, CodecError> {
        let order = self.head & HEAD_ORDER;
        let kind = self.kind();
        match (kind, depth) {
            (KIND_RUNS, Depth::Outer | Depth::Indexes) => {
                return runs::read(reader, count, wanted, out).map(Some);
            }
            (KIND_DICTIONARY, Depth::Outer) => {
                return dictionary::read(reader, count, wanted, out);
            }
            (KIND_PACKED | KIND_ENTROPY, Depth::Outer) => {}
            (KIND_PACKED | KIND_ENTROPY, _) if order != ORDER_LAGGED => {}
            _ => return Err(reader.invalid("kind of integers")),
        }
        let lanes = Lanes::of(count);
        // Each number that recurs is told by all before it.
        let (lag, order, needed) = if order == ORDER_LAGGED {
            let needed = if wanted.is_empty() { 0 } else { wanted.end };
            (Some(Lag::read(reader, count)?), 0, 0..needed)
        } else {
            (None, order, wanted.clone())
        };
        let seeds = Seeds::read(reader, order, lanes)?;
        let from = out.len();
        let first = if kind == KIND_PACKED {
            let patched = self.head & HEAD_PATCHES != 0;
            packed::read(reader, lanes, (order, patched), needed, out)?
        } else {
            entropy::read(reader, lanes, needed, out)?
        };
        if wanted.is_empty() {
            return Ok(None);
        }
        if let Some(lag) = lag {
            widest(
                #[inline(always)]
                || lag.integrate(&mut out[from..]),
            );
        } else if order > 0 {
            let lane = lanes.lane(first);
            seeds.integrate(lanes, lane, &mut out[from..]);
        }
        out.drain(from..from + wanted.start - first);
        Ok(None)
    }
}

/// The name of what a sequence opens with, for reports.
pub(crate) fn name(head: u8) -> &'static str {
    match (head >> HEAD_KIND_SHIFT & HEAD_KIND, head & HEAD_ORDER) {
        (KIND_PACKED, 0) => "frame",
        (KIND_PACKED, 1) => "delta",
        (KIND_PACKED, 2) => "delta2",
        (KIND_PACKED, ORDER_LAGGED) => "lagged",
        (KIND_RUNS, _) => "runs",
        (KIND_ENTROPY, 0) => "entropy",
        (KIND_ENTROPY, 1) => "delta entropy",
        (KIND_ENTROPY, 2) => "delta2 entropy",
        (KIND_ENTROPY, ORDER_LAGGED) => "lagged entropy",
        (KIND_DICTIONARY, _) => "dictionary",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
