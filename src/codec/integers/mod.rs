//! Sequences of 64-bit integers in few bits: the common ground of times, decimals, counters and indexes.
//!
//! Numbers are taken as offsets from the first one (which the caller keeps), divided by their greatest
//! common divisor, then differenced up to twice; what is left is bit-packed with patches for the few that
//! do not fit, or stored as runs. All arithmetic wraps, so that signed and unsigned numbers of any size
//! come back exactly. The layout is in `FORMAT.md`.

mod entropy;
mod factor;
mod packed;
mod runs;
mod stream;

use super::bytes::{Reader, put_varint};
use super::error::CodecError;
use entropy::Model;
use packed::Plan;

/// How hard to look for the smallest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The write path: one good guess, a few nanoseconds a value.
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
const HEAD_FACTOR: u8 = 0b0000_0100;
const HEAD_PATCHES: u8 = 0b0000_1000;
const HEAD_KIND_SHIFT: u32 = 4;

const KIND_PACKED: u8 = 0;
const KIND_RUNS: u8 = 1;
const KIND_ENTROPY: u8 = 2;

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
    let mut offsets: Vec<u64> = rest
        .iter()
        .map(|value| value.wrapping_sub(*first))
        .collect();
    let factor = if range >> 63 == 0 {
        let guess = if effort == Effort::Cheap {
            habit.factor
        } else {
            0
        };
        factor::divide(&mut offsets, guess)
    } else {
        1
    };
    habit.factor = factor;
    encode_offsets(&offsets, range / factor, factor, effort, true, out);
}

/// Appends offsets from a first value, which is not among them.
fn encode_offsets(
    offsets: &[u64],
    range: u64,
    factor: u64,
    effort: Effort,
    runs: bool,
    out: &mut Vec<u8>,
) {
    let flag = if factor == 1 { 0 } else { HEAD_FACTOR };
    let (head, body) = match effort {
        Effort::Cheap => {
            let choice = cheap(offsets, range, runs);
            return put_choice(offsets, &choice, flag, factor, effort, out);
        }
        Effort::Full => full(offsets, range, runs),
    };
    out.push(flag | head);
    if factor != 1 {
        put_varint(out, factor);
    }
    out.extend_from_slice(&body);
}

enum Choice {
    Packed(Plan),
    Runs,
}

fn put_choice(
    offsets: &[u64],
    choice: &Choice,
    flag: u8,
    factor: u64,
    effort: Effort,
    out: &mut Vec<u8>,
) {
    out.push(
        flag | match choice {
            Choice::Packed(plan) => plan.head(),
            Choice::Runs => KIND_RUNS << HEAD_KIND_SHIFT,
        },
    );
    if factor != 1 {
        put_varint(out, factor);
    }
    match choice {
        Choice::Packed(plan) => plan.put(offsets, out),
        Choice::Runs => runs::put(offsets, effort, out),
    }
}

/// One order is guessed from a sample, runs from the number of changes.
fn cheap(offsets: &[u64], range: u64, runs: bool) -> Choice {
    let order = packed::likely_order(offsets);
    let flat = Plan::frame(offsets, range);
    let (plan, widths) = Plan::deltas(offsets, order);
    let plan = if flat.bits <= plan.bits { flat } else { plan };
    if runs && runs::estimate(widths.changes(), offsets.len(), range) < plan.bits {
        return Choice::Runs;
    }
    Choice::Packed(plan)
}

/// Everything is made, the smallest stays. Returns its head and its bytes.
fn full(offsets: &[u64], range: u64, runs: bool) -> (u8, Vec<u8>) {
    let mut plan = Plan::frame(offsets, range);
    let mut changes = 0;
    let mut likely = (usize::MAX, 0);
    for order in [0, 1, 2] {
        let (other, widths) = Plan::deltas(offsets, order);
        if order == 1 {
            changes = widths.changes();
        }
        likely = likely.min((widths.information(), order));
        if other.bits < plan.bits {
            plan = other;
        }
    }
    let mut body = Vec::new();
    plan.put(offsets, &mut body);
    let mut best = (plan.head(), body);
    if runs && changes * 2 < offsets.len() {
        let mut body = Vec::new();
        runs::put(offsets, Effort::Full, &mut body);
        if body.len() < best.1.len() {
            best = (KIND_RUNS << HEAD_KIND_SHIFT, body);
        }
    }
    if offsets.len() < ENTROPY_COUNT {
        return best;
    }
    // The order that bit-packing favours is a candidate too: it may be narrow far from zero.
    let mut model = Model::new(offsets, likely.1);
    if plan.order != likely.1 {
        let other = Model::new(offsets, plan.order);
        let models = model.into_iter().chain(other);
        model = models.min_by_key(|model| model.bytes);
    }
    // Slower to read, so it has to be worth it.
    let worth = |bytes: usize| bytes * 33 < best.1.len() * 32;
    if let Some(model) = model.filter(|model| worth(model.bytes)) {
        let mut body = Vec::new();
        model.put(offsets, &mut body);
        if worth(body.len()) {
            best = (KIND_ENTROPY << HEAD_KIND_SHIFT | model.order, body);
        }
    }
    best
}

/// Numbers from which on a table of frequencies may pay.
const ENTROPY_COUNT: usize = 32;

/// Reads `count` numbers, the first of which is `first`, to the end of `out`.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    first: u64,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    if count == 0 {
        return Ok(());
    }
    out.push(first);
    if count == 1 {
        return Ok(());
    }
    decode_offsets(reader, count - 1, first, true, out)
}

/// Reads `count` numbers and adds `first` to each.
fn decode_offsets(
    reader: &mut Reader<'_>,
    count: usize,
    first: u64,
    runs: bool,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let head = reader.byte()?;
    let factor = if head & HEAD_FACTOR == 0 {
        1
    } else {
        reader.varint()?
    };
    let order = head & HEAD_ORDER;
    match head >> HEAD_KIND_SHIFT {
        KIND_PACKED if order <= 2 => {
            let patched = head & HEAD_PATCHES != 0;
            packed::read(reader, count, order, patched, first, factor, out)
        }
        KIND_ENTROPY if order <= 2 => entropy::read(reader, count, order, first, factor, out),
        KIND_RUNS if runs => runs::read(reader, count, first, factor, out),
        _ => Err(reader.invalid("kind of integers")),
    }
}

/// The name of what a sequence opens with, for reports.
pub(crate) fn name(head: u8) -> &'static str {
    match (head >> HEAD_KIND_SHIFT, head & HEAD_ORDER) {
        (KIND_PACKED, 0) => "frame",
        (KIND_PACKED, 1) => "delta",
        (KIND_PACKED, 2) => "delta2",
        (KIND_RUNS, _) => "runs",
        (KIND_ENTROPY, 0) => "entropy",
        (KIND_ENTROPY, 1) => "delta entropy",
        (KIND_ENTROPY, 2) => "delta2 entropy",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
