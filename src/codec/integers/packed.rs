//! Differences of order 0, 1 or 2, bit-packed in a window, with patches for those outside of it.
//!
//! A residual is stored as its distance from the lower end of the window, modulo 2^64. Where the distance
//! needs more bits than the window has, a patch holds the bits above.

use super::{HEAD_KIND_SHIFT, HEAD_PATCHES, KIND_PACKED};
use crate::codec::bits::{get, mask, pack, pack_slice, packed_len, unpack, width_of};
use crate::codec::bytes::{Reader, put_varint, put_zigzag, zigzag};
use crate::codec::error::CodecError;

/// How to pack a sequence, and what it will cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) order: u8,
    /// Lower end of the window.
    base: u64,
    width: u32,
    patched: bool,
    /// What it takes, without the few bytes before the numbers.
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
            bits: offsets.len() * width as usize,
        }
    }

    /// The cheapest window for differences of an order, and how wide the differences are.
    pub(super) fn deltas(offsets: &[u64], order: u8) -> (Self, Widths) {
        // Four in turn, so that one count does not wait for the one before.
        let mut histograms = [[0u32; 65]; 4];
        let mut turn = 0;
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        residuals(offsets, order, |residual| {
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
        let count = offsets.len() - usize::from(order == 2).min(offsets.len());
        if count == 0 {
            least = 0;
            most = 0;
        }
        let whole = width_of(most.wrapping_sub(least) as u64);
        let mut plan = Self {
            order,
            base: least as u64,
            width: whole,
            patched: false,
            bits: count * whole as usize,
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
            let bits = count * width as usize + outside * (position + 64 - width) as usize;
            // Above the window, a residual below zero has all bits set; see `Plan::put`.
            if bits + 16 < plan.bits {
                plan = Self {
                    order,
                    base: 0u64.wrapping_sub(1 << width >> 1),
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

    pub(super) fn put(&self, offsets: &[u64], out: &mut Vec<u8>) {
        if self.order == 2 {
            put_zigzag(out, offsets.first().copied().unwrap_or(0) as i64);
        }
        put_zigzag(out, self.base as i64);
        out.push(self.width as u8);
        let mut distances = vec![0; offsets.len()];
        let mut count = 0;
        residuals(offsets, self.order, |residual| {
            if let Some(distance) = distances.get_mut(count) {
                *distance = residual.wrapping_sub(self.base);
            }
            count += 1;
        });
        distances.truncate(count);
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
        residuals(sample, order, |residual| {
            sum += width_of(zigzag(residual as i64));
        });
        *widths = sum;
    }
    if widths[1] + 8 < widths[0] { 2 } else { 1 }
}

/// Hands out the differences of an order, of numbers that follow a 0.
#[inline]
pub(super) fn residuals(offsets: &[u64], order: u8, mut take: impl FnMut(u64)) {
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
            let Some((&first, rest)) = offsets.split_first() else {
                return;
            };
            let (mut previous, mut delta) = (first, first);
            for &offset in rest {
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

/// Reads numbers, multiplied by `factor` and added to `first`, to the end of `out`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    count: usize,
    order: u8,
    patched: bool,
    first: u64,
    factor: u64,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let delta = if order == 2 {
        reader.zigzag()? as u64
    } else {
        0
    };
    let base = reader.zigzag()? as u64;
    let width = u32::from(reader.byte()?);
    if width > 64 {
        return Err(reader.invalid("width"));
    }
    let start = out.len();
    let seed = usize::from(order == 2);
    let stored = count - seed;
    let patches = if patched {
        let patches = reader.bounded("patches", stored)?;
        (patches, u32::from(reader.byte()?))
    } else {
        (0, 0)
    };
    if width + patches.1 > 64 {
        return Err(reader.invalid("width of patches"));
    }
    let rest = reader.rest();
    reader.take(packed_len(stored, width))?;
    out.resize(start + count, 0);
    unpack(rest, width, &mut out[start + seed..]);
    if patched {
        read_patches(reader, patches, width, count, &mut out[start + seed..])?;
    }
    integrate(&mut out[start..], order, delta, base, first, factor);
    Ok(())
}

/// Undoes the differences: residuals, less by `base`, become numbers times `factor` behind `first`.
pub(super) fn integrate(
    numbers: &mut [u64],
    order: u8,
    mut delta: u64,
    base: u64,
    first: u64,
    factor: u64,
) {
    match order {
        0 if factor == 1 => {
            let base = base.wrapping_add(first);
            for number in numbers {
                *number = number.wrapping_add(base);
            }
        }
        0 => {
            for number in numbers {
                *number = number
                    .wrapping_add(base)
                    .wrapping_mul(factor)
                    .wrapping_add(first);
            }
        }
        1 => {
            let mut value = first;
            for number in numbers {
                value = value.wrapping_add(number.wrapping_add(base).wrapping_mul(factor));
                *number = value;
            }
        }
        _ => {
            delta = delta.wrapping_mul(factor);
            let mut value = first.wrapping_add(delta);
            let mut numbers = numbers.iter_mut();
            if let Some(number) = numbers.next() {
                *number = value;
            }
            for number in numbers {
                delta = delta.wrapping_add(number.wrapping_add(base).wrapping_mul(factor));
                value = value.wrapping_add(delta);
                *number = value;
            }
        }
    }
}

fn read_patches(
    reader: &mut Reader<'_>,
    (patches, excess): (usize, u32),
    width: u32,
    count: usize,
    numbers: &mut [u64],
) -> Result<(), CodecError> {
    let position_width = position_width(count);
    let positions = reader.take(packed_len(patches, position_width))?;
    let above = reader.take(packed_len(patches, excess))?;
    for index in 0..patches {
        let position = get(positions, index, position_width) as usize;
        let number = numbers
            .get_mut(position)
            .ok_or_else(|| reader.invalid("position of a patch"))?;
        *number |= get(above, index, excess).checked_shl(width).unwrap_or(0);
    }
    Ok(())
}
