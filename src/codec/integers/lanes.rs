//! A long sequence in four lanes of consecutive numbers, so that reading may begin at each of them.
//!
//! Before a lane stands what its first difference is added to. Lanes are read side by side: none of them
//! waits for the one before.

use std::ops::Range;

use crate::codec::bits::Word;
use crate::codec::bytes::{Reader, put_zigzag, varint_len, zigzag};
use crate::codec::error::CodecError;

/// Most lanes of a sequence.
pub(super) const LANES: usize = 4;
/// Numbers from which on a sequence has lanes.
const LANES_FROM: usize = 128;
/// Lanes begin at multiples of this, so that packed numbers begin with a byte there.
const ALIGNED: usize = 8;

/// How many numbers there are, and where they are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    pub(super) numbers: usize,
    /// Numbers of each lane but the last.
    len: usize,
}

impl Lanes {
    pub(super) fn of(numbers: usize) -> Self {
        let len = if numbers < LANES_FROM {
            numbers.max(1)
        } else {
            numbers.div_ceil(LANES).next_multiple_of(ALIGNED)
        };
        Self { numbers, len }
    }

    pub(super) const fn count(self) -> usize {
        self.numbers.div_ceil(self.len)
    }

    /// The lane that a number belongs to.
    pub(super) const fn lane(self, number: usize) -> usize {
        number / self.len
    }

    /// First number of a lane.
    pub(super) const fn start(self, lane: usize) -> usize {
        lane * self.len
    }

    /// The parts of a range of numbers that lie in each lane: lane and numbers, none of them empty.
    pub(super) fn parts(
        self,
        numbers: Range<usize>,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let lanes = self.lane(numbers.start)..self.count();
        lanes
            .map(move |lane| {
                let start = self.start(lane).max(numbers.start);
                (lane, start..(self.start(lane + 1)).min(numbers.end))
            })
            .take_while(|(_, part)| !part.is_empty())
    }
}

/// What the first difference of each lane is added to: the offset before it, and for differences of
/// second order the difference before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seeds {
    order: u8,
    seeds: [(u64, u64); LANES],
}

impl Seeds {
    /// Of no lane but one that begins at zero.
    pub(super) fn of(offsets: &[u64], order: u8, lanes: Lanes) -> Self {
        let mut seeds = [(0, 0); LANES];
        let at = |index: usize| offsets.get(index).copied().unwrap_or(0);
        for (lane, seed) in seeds.iter_mut().enumerate().take(lanes.count()) {
            let start = lanes.start(lane);
            *seed = match start {
                // A slope that makes the first residual like the second.
                0 if lanes.numbers > 1 => (0, at(0).wrapping_mul(3).wrapping_sub(at(1))),
                0 => (0, at(0)),
                _ => (
                    at(start - 1),
                    at(start - 1).wrapping_sub(if start > 1 { at(start - 2) } else { 0 }),
                ),
            };
        }
        Self { order, seeds }
    }

    /// The offset before a lane, of order 1 or 2.
    pub(super) const fn before(&self, lane: usize) -> u64 {
        self.seeds[lane].0
    }

    /// The slope before the first offset.
    pub(super) const fn slope(&self) -> u64 {
        self.seeds[0].1
    }

    /// Bytes that they take.
    pub(super) fn len(&self, lanes: Lanes) -> usize {
        if self.order == 0 {
            return 0;
        }
        let mut len = 0;
        for (lane, &(value, delta)) in self.seeds.iter().enumerate().take(lanes.count()) {
            if lane > 0 {
                len += varint_len(zigzag(value as i64));
            }
            if self.order == 2 {
                len += varint_len(zigzag(delta as i64));
            }
        }
        len
    }

    pub(super) fn put(&self, lanes: Lanes, out: &mut Vec<u8>) {
        if self.order == 0 {
            return;
        }
        for (lane, &(value, delta)) in self.seeds.iter().enumerate().take(lanes.count()) {
            if lane > 0 {
                put_zigzag(out, value as i64);
            }
            if self.order == 2 {
                put_zigzag(out, delta as i64);
            }
        }
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        order: u8,
        lanes: Lanes,
    ) -> Result<Self, CodecError> {
        let mut seeds = [(0, 0); LANES];
        if order > 0 {
            for (lane, seed) in seeds.iter_mut().enumerate().take(lanes.count()) {
                if lane > 0 {
                    seed.0 = reader.zigzag()? as u64;
                }
                if order == 2 {
                    seed.1 = reader.zigzag()? as u64;
                }
            }
        }
        Ok(Self { order, seeds })
    }

    /// Makes offsets of residuals, which begin with the first of a lane.
    pub(super) fn integrate<W: Word>(&self, lanes: Lanes, first_lane: usize, numbers: &mut [W]) {
        let seeds = self.seeds[first_lane..].iter();
        for (&(value, delta), numbers) in seeds.zip(numbers.chunks_mut(lanes.len)) {
            match self.order {
                0 => {}
                1 => W::integrate(numbers, W::cut(value)),
                _ => {
                    let (mut value, mut delta) = (W::cut(value), W::cut(delta));
                    for number in numbers {
                        delta = delta.plus(*number);
                        value = value.plus(delta);
                        *number = value;
                    }
                }
            }
        }
    }
}
