//! Differences of order 0, 1 or 2, bit-packed in a window, with patches for those outside of it.
//!
//! A residual is stored as its distance from the lower end of the window, modulo 2^64. Where the distance
//! needs more bits than the window has, a patch holds the bits above.

use std::ops::Range;

use super::lanes::{Lanes, Seeds};
use super::{HEAD_KIND_SHIFT, HEAD_PATCHES, KIND_PACKED, NARROW_RANGE};
use crate::codec::bits::{Word, get, mask, pack, pack_slice, packed_len, unpack, width_of};
use crate::codec::bytes::{Reader, put_varint, put_zigzag, varint_len, zigzag};
use crate::codec::error::CodecError;
use crate::codec::simd::widest;

/// How to pack a sequence, and what it will cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) order: u8,
    /// Lower end of the window.
    base: u64,
    width: u32,
    patched: bool,
    /// What it takes, with its seeds.
    pub(super) bits: usize,
}

impl Plan {
    /// All numbers as they are, in the smallest window that holds all of them.
    pub(super) fn frame(offsets: &[u64], range: u64) -> Self {
        let least = if range == u64::MAX {
            0
        } else {
            offsets
                .iter()
                .map(|&offset| offset as i64)
                .min()
                .unwrap_or(0) as u64
        };
        let width = width_of(range);
        Self {
            order: 0,
            base: least,
            width,
            patched: false,
            bits: offsets.len() * width as usize + opening_bits(least, 0),
        }
    }

    /// The cheapest window for differences of an order, and how wide the differences are.
    pub(super) fn deltas(offsets: &[u64], range: u64, order: u8, seeds: &Seeds) -> (Self, Widths) {
        let (histogram, least, most) = widest(
            #[inline(always)]
            || measure(offsets, order, seeds.slope()),
        );
        let count = offsets.len();
        let whole = width_of(most.wrapping_sub(least) as u64);
        let seeds = seeds.len(Lanes::of(count));
        let mut plan = Self {
            order,
            base: least as u64,
            width: whole,
            patched: false,
            bits: count * whole as usize + opening_bits(least as u64, seeds),
        };
        // Around zero, each narrower window leaves more residuals to patches.
        let position = position_width(offsets.len());
        let widest = histogram.iter().rposition(|&count| count > 0).unwrap_or(0) as u32;
        let mut outside = 0;
        for width in (0..widest).rev() {
            outside += histogram[width as usize + 1] as usize;
            if outside * 4 > count {
                break;
            }
            let base = 0u64.wrapping_sub(1 << width >> 1);
            // Above the window, a residual below zero has all bits set; see `Plan::put`.
            let patches = outside * (position + bits_of(range) - width) as usize + PATCHES_BITS;
            let bits = count * width as usize + patches + opening_bits(base, seeds);
            if bits < plan.bits {
                plan = Self {
                    order,
                    base,
                    width,
                    patched: true,
                    bits,
                };
            }
        }
        (plan, Widths { histogram, count })
    }

    pub(super) fn head(&self) -> u8 {
        KIND_PACKED << HEAD_KIND_SHIFT | self.order | if self.patched { HEAD_PATCHES } else { 0 }
    }

    /// Appends the residuals of offsets that are at most `range` apart.
    pub(super) fn put(&self, offsets: &[u64], range: u64, seeds: &Seeds, out: &mut Vec<u8>) {
        put_zigzag(out, self.base as i64);
        out.push(self.width as u8);
        let mut distances = vec![0; offsets.len()];
        let all = mask(bits_of(range));
        let mut places = distances.iter_mut();
        residuals(offsets, self.order, seeds.slope(), |residual| {
            if let Some(distance) = places.next() {
                *distance = residual.wrapping_sub(self.base) & all;
            }
        });
        if !self.patched {
            return pack_slice(&distances, self.width, out);
        }
        let window = mask(self.width);
        let mut patches: Vec<(usize, u64)> = Vec::new();
        for (index, distance) in distances.iter_mut().enumerate() {
            if *distance > window {
                patches.push((index, *distance));
                *distance &= window;
            }
        }
        let above = |distance: u64| distance.checked_shr(self.width).unwrap_or(0);
        let excess = width_of(patches.iter().fold(0, |all, patch| all | above(patch.1)));
        put_varint(out, patches.len() as u64);
        out.push(excess as u8);
        pack_slice(&distances, self.width, out);
        let position = position_width(offsets.len());
        pack(patches.iter().map(|patch| patch.0 as u64), position, out);
        pack(patches.iter().map(|patch| above(patch.1)), excess, out);
    }
}

/// How many residuals there are of each width in zigzag form, the least and the greatest.
#[inline(always)]
fn measure(offsets: &[u64], order: u8, slope: u64) -> ([u32; 65], i64, i64) {
    // Four in turn, so that one count does not wait for the one before.
    let mut histograms = [[0u32; 65]; 4];
    let mut turn = 0;
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    residuals(offsets, order, slope, |residual| {
        let residual = residual as i64;
        least = least.min(residual);
        most = most.max(residual);
        histograms[turn & 3][width_of(zigzag(residual)) as usize] += 1;
        turn += 1;
    });
    let mut histogram = [0u32; 65];
    for (width, count) in histogram.iter_mut().enumerate() {
        *count = histograms.iter().map(|histogram| histogram[width]).sum();
    }
    (histogram, least, most)
}

/// Bits of base, width and seeds.
const fn opening_bits(base: u64, seeds_bytes: usize) -> usize {
    8 * (varint_len(zigzag(base as i64)) + 1 + seeds_bytes)
}

/// Bits that patches take beside their own: how many there are and how wide, and what fills the last bytes.
const PATCHES_BITS: usize = 8 * 3;

/// Bits in which sequences of a range are counted.
const fn bits_of(range: u64) -> u32 {
    if range < NARROW_RANGE { 32 } else { 64 }
}

/// How many differences there are of each width, in zigzag form.
pub(super) struct Widths {
    histogram: [u32; 65],
    count: usize,
}

impl Widths {
    /// Differences that are not 0.
    pub(super) fn changes(&self) -> usize {
        self.count - self.histogram[0] as usize
    }

    /// About how many bits it takes to tell the width of each and the bits below the top one.
    pub(super) fn information(&self) -> usize {
        let total = (self.count as f64).log2();
        let widths = self.histogram.iter().enumerate();
        let bits = widths
            .filter(|&(_, &count)| count > 0)
            .map(|(width, &count)| {
                let count = f64::from(count);
                count * (total - count.log2() + width.saturating_sub(1) as f64)
            });
        bits.sum::<f64>() as usize
    }
}

/// Whether differences of second order are smaller than those of first order, in a sample.
pub(super) fn likely_order(offsets: &[u64]) -> u8 {
    let sample = &offsets[..offsets.len().min(64)];
    let mut widths = [0, 0];
    for (order, widths) in (1..).zip(&mut widths) {
        let mut sum = 0;
        let slope = sample.first().copied().unwrap_or(0);
        residuals(sample, order, slope, |residual| {
            sum += width_of(zigzag(residual as i64));
        });
        *widths = sum;
    }
    if widths[1] + 8 < widths[0] { 2 } else { 1 }
}

/// The orders whose differences may be the smallest: order 2 only where a sample does not speak against it.
pub(super) fn promising_orders(offsets: &[u64]) -> &'static [u8] {
    let (mut first, mut second) = (0, 0);
    let step = (offsets.len() / SAMPLES).max(SAMPLE);
    for sample in offsets.chunks(step) {
        let sample = &sample[..sample.len().min(SAMPLE)];
        for three in sample.windows(3) {
            let delta = three[2].wrapping_sub(three[1]);
            let before = three[1].wrapping_sub(three[0]);
            first += width_of(zigzag(delta as i64));
            second += width_of(zigzag(delta.wrapping_sub(before) as i64));
        }
    }
    if second > first + first / 4 + SLACK_BITS {
        &[0, 1]
    } else {
        &[0, 1, 2]
    }
}

/// Parts of a sequence that are looked at, and numbers of each.
const SAMPLES: usize = 4;
const SAMPLE: usize = 32;
/// Bits by which the sum of a sample may be larger in any case.
const SLACK_BITS: u32 = 64;

/// Hands out the differences of an order, of numbers that follow a 0, and of a slope that follows `slope`.
#[inline(always)]
pub(super) fn residuals(offsets: &[u64], order: u8, slope: u64, mut take: impl FnMut(u64)) {
    match order {
        0 => offsets.iter().for_each(|&offset| take(offset)),
        1 => {
            let mut previous = 0u64;
            for &offset in offsets {
                take(offset.wrapping_sub(previous));
                previous = offset;
            }
        }
        _ => {
            let (mut previous, mut delta) = (0u64, slope);
            for &offset in offsets {
                let next = offset.wrapping_sub(previous);
                take(next.wrapping_sub(delta));
                previous = offset;
                delta = next;
            }
        }
    }
}

/// Bits of a patch's position.
fn position_width(count: usize) -> u32 {
    width_of(count as u64)
}

/// Numbers and their indexes, in ascending order.
pub(super) type Others = Vec<(usize, u64)>;

/// Reads residuals of order 0 in a window without width: the number that all have but those with patches, and
/// these. `None` where there is a width, or patches are in no order.
pub(super) fn read_without_width(
    reader: &mut Reader<'_>,
    count: usize,
    patched: bool,
) -> Result<Option<(u64, Others)>, CodecError> {
    let base = reader.zigzag()? as u64;
    if reader.byte()? != 0 {
        return Ok(None);
    }
    if !patched {
        return Ok(Some((base, Others::new())));
    }
    let patches = reader.bounded("patches", count)?;
    let width = u32::from(reader.byte()?);
    if width > u64::BITS {
        return Err(reader.invalid("width"));
    }
    let position_width = position_width(count);
    let positions = reader.take(packed_len(patches, position_width))?;
    let above = reader.take(packed_len(patches, width))?;
    let patch = |index| {
        let position = get(positions, index, position_width) as usize;
        (position, base.wrapping_add(get(above, index, width)))
    };
    let others: Others = (0..patches).map(patch).collect();
    if others.last().is_some_and(|last| last.0 >= count) {
        return Err(reader.invalid("position of a patch"));
    }
    let ascending = others.is_sorted_by(|a, b| a.0 < b.0);
    Ok(ascending.then_some((base, others)))
}

/// Reads the wanted residuals, from a number of the first lane of them on, to the end of `out`; returns
/// which was the first. The reader goes on behind all of them.
pub(super) fn read<W: Word>(
    reader: &mut Reader<'_>,
    lanes: Lanes,
    (order, patched): (u8, bool),
    wanted: Range<usize>,
    out: &mut Vec<W>,
) -> Result<usize, CodecError> {
    let base = W::cut(reader.zigzag()? as u64);
    let width = u32::from(reader.byte()?);
    let patches = if patched {
        let patches = reader.bounded("patches", lanes.numbers)?;
        (patches, u32::from(reader.byte()?))
    } else {
        (0, 0)
    };
    if width + patches.1 > W::BITS {
        return Err(reader.invalid("width"));
    }
    let rest = reader.rest();
    reader.take(packed_len(lanes.numbers, width))?;
    let position_width = position_width(lanes.numbers);
    let positions = reader.take(packed_len(patches.0, position_width))?;
    let above = reader.take(packed_len(patches.0, patches.1))?;
    if wanted.is_empty() {
        return Ok(wanted.start);
    }
    // Without differences any number is as good as the first of a lane, if it begins with a byte.
    let first = match order {
        0 => wanted.start / 8 * 8,
        _ => lanes.start(lanes.lane(wanted.start)),
    };
    let from = out.len();
    out.resize(from + wanted.end - first, W::default());
    let numbers = &mut out[from..];
    let packed = rest.get(packed_len(first, width)..).unwrap_or_default();
    if width > 0 {
        widest(
            #[inline(always)]
            || unpack(packed, width, numbers),
        );
    }
    for index in 0..patches.0 {
        let position = get(positions, index, position_width) as usize;
        if position >= lanes.numbers {
            return Err(reader.invalid("position of a patch"));
        }
        let number = position.checked_sub(first);
        if let Some(number) = number.and_then(|number| numbers.get_mut(number)) {
            let above = get(above, index, patches.1);
            *number = number.plus(W::cut(above.checked_shl(width).unwrap_or(0)));
        }
    }
    if base != W::default() {
        widest(
            #[inline(always)]
            || {
                for number in numbers {
                    *number = number.plus(base);
                }
            },
        );
    }
    Ok(first)
}
