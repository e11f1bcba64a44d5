//! Packed integers: groups of up to 128 numbers, each a base and fixed-width offsets from it or between neighbours.
//!
//! What is regular takes no bits: equal numbers, equal steps. A group explains itself. Reading is bounded by the
//! bytes at hand except where the width is 0; the caller bounds the count. Layout in `SPEC.md`.

use alloc::vec::Vec;

use crate::wire::{PayloadError, Reader, put_varint, put_zigzag};

/// Numbers of one group.
pub(crate) const GROUP: usize = 128;

/// Head bit of a group whose offsets are steps from one number to the next.
const STEPS: u8 = 0x80;

/// Whether the encoder looks for a divisor that all offsets have. Times have one, measured values rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factor {
    /// Look for it.
    Sought,
    /// Take 1.
    One,
}

/// Appends the numbers, group by group.
pub(crate) fn put_packed(out: &mut Vec<u8>, numbers: &[i64], factor: Factor) {
    for group in numbers.chunks(GROUP) {
        put_group(out, group, factor);
    }
}

/// Appends one group of at most [`GROUP`] numbers.
pub(crate) fn put_group(out: &mut Vec<u8>, numbers: &[i64], factor: Factor) {
    let Some(&first) = numbers.first() else {
        return;
    };
    let mut plain = Form::default();
    let mut steps = Form::default();
    let mut previous = first;
    for &number in numbers {
        plain.widen(number);
    }
    for &number in &numbers[1..] {
        steps.widen(number.wrapping_sub(previous));
        previous = number;
    }
    if factor == Factor::Sought {
        plain.factor = common(numbers.iter().map(|&number| plain.offset(number)));
        steps.factor = common(differences(numbers).map(|step| steps.offset(step)));
    }
    let (plain_bits, steps_bits) = (
        plain.width() as usize * numbers.len() + zigzag_bits(plain.least),
        steps.width() as usize * (numbers.len() - 1)
            + zigzag_bits(first)
            + zigzag_bits(steps.least),
    );
    if numbers.len() > 1 && steps_bits < plain_bits {
        out.push(STEPS | steps.width());
        put_zigzag(out, first);
        steps.put(out, differences(numbers));
    } else {
        out.push(plain.width());
        plain.put(out, numbers.iter().copied());
    }
}

/// Reads `count` numbers behind those that are in `out`.
pub(crate) fn read_packed(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), PayloadError> {
    let mut left = count;
    while left > 0 {
        let group = left.min(GROUP);
        read_group(reader, group, out)?;
        left -= group;
    }
    Ok(())
}

/// Reads one group of `count` numbers, from 1 to [`GROUP`].
pub(crate) fn read_group(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), PayloadError> {
    let error = reader.error("a width up to 64");
    let head = reader.byte()?;
    let width = u32::from(head & !STEPS);
    if width > 64 {
        return Err(error);
    }
    let steps = head & STEPS != 0;
    let mut number = 0;
    let mut packed = count;
    if steps {
        number = reader.zigzag()? as u64;
        out.push(number);
        packed -= 1;
    }
    let base = reader.zigzag()? as u64;
    if width == 0 {
        if steps {
            out.extend((0..packed).map(|_| {
                number = number.wrapping_add(base);
                number
            }));
        } else {
            out.resize(out.len() + packed, base);
        }
        return Ok(());
    }
    let factor = reader.varint()?;
    let mut bits = Bits::new(reader.rest(), width);
    reader.take((packed * width as usize).div_ceil(8))?;
    if steps {
        out.extend((0..packed).map(|_| {
            let step = base.wrapping_add(factor.wrapping_mul(bits.next()));
            number = number.wrapping_add(step);
            number
        }));
    } else if factor == 1 {
        out.extend((0..packed).map(|_| base.wrapping_add(bits.next())));
    } else {
        out.extend((0..packed).map(|_| base.wrapping_add(factor.wrapping_mul(bits.next()))));
    }
    Ok(())
}

/// Numbers as offsets from their least, divided by what divides them all.
#[derive(Clone, Copy, Debug)]
struct Form {
    least: i64,
    greatest: i64,
    factor: u64,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            least: i64::MAX,
            greatest: i64::MIN,
            factor: 1,
        }
    }
}

impl Form {
    fn widen(&mut self, number: i64) {
        self.least = self.least.min(number);
        self.greatest = self.greatest.max(number);
    }

    fn offset(&self, number: i64) -> u64 {
        number.wrapping_sub(self.least) as u64
    }

    fn width(&self) -> u8 {
        (64 - (self.offset(self.greatest) / self.factor).leading_zeros()) as u8
    }

    fn put(&self, out: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
        put_zigzag(out, self.least);
        let width = u32::from(self.width());
        if width == 0 {
            return;
        }
        put_varint(out, self.factor);
        let (mut word, mut used) = (0u64, 0u32);
        for number in numbers {
            let value = self.offset(number) / self.factor;
            word |= value << used;
            used += width;
            if used >= 64 {
                out.extend_from_slice(&word.to_le_bytes());
                used -= 64;
                word = value.unbounded_shr(width - used);
            }
        }
        out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
    }
}

fn differences(numbers: &[i64]) -> impl Iterator<Item = i64> {
    numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))
}

/// The greatest number that divides all; 1 where they are all 0.
fn common(offsets: impl Iterator<Item = u64>) -> u64 {
    let mut all = 0u64;
    for offset in offsets {
        let (mut a, mut b) = (all, offset);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        all = a;
        if all == 1 {
            break;
        }
    }
    all.max(1)
}

fn zigzag_bits(number: i64) -> usize {
    let value = ((number << 1) ^ (number >> 63)) as u64;
    (64 - value.leading_zeros() as usize).max(1).div_ceil(7) * 8
}

/// Fixed-width numbers, one behind the other. Sees what lies behind them too, so that one is one load.
struct Bits<'a> {
    bytes: &'a [u8],
    width: u32,
    bit: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], width: u32) -> Self {
        Self {
            bytes,
            width,
            bit: 0,
        }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let (at, shift) = (self.bit / 8, (self.bit % 8) as u32);
        self.bit += self.width as usize;
        let mask = u64::MAX >> (64 - self.width);
        // Up to 57 bits lie in eight bytes wherever they begin.
        if self.width <= 57
            && let Some(window) = self.bytes.get(at..).and_then(|rest| rest.first_chunk())
        {
            return (u64::from_le_bytes(*window) >> shift) & mask;
        }
        let mut window = [0u8; 16];
        let from = self.bytes.get(at..).unwrap_or_default();
        let len = from.len().min(9);
        window[..len].copy_from_slice(&from[..len]);
        (u128::from_le_bytes(window) >> shift) as u64 & mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn packed(numbers: &[i64], factor: Factor) -> Vec<u8> {
        let mut out = Vec::new();
        put_packed(&mut out, numbers, factor);
        let mut reader = Reader::new(&out);
        let mut read = Vec::new();
        read_packed(&mut reader, numbers.len(), &mut read).expect("as written");
        reader.end().expect("nothing more");
        let read: Vec<i64> = read.into_iter().map(|number| number as i64).collect();
        assert_eq!(read, numbers);
        out
    }

    #[test]
    fn what_is_regular_takes_no_bits() {
        assert_eq!(packed(&[7; 128], Factor::One), [0, 14]);
        let steps: Vec<i64> = (0..128).map(|i| 5 + 3 * i).collect();
        assert_eq!(packed(&steps, Factor::One), [STEPS, 10, 6]);
        assert_eq!(packed(&[], Factor::One), []);
        assert_eq!(packed(&[-1], Factor::One), [0, 1]);
    }

    #[test]
    fn a_jump_among_equal_times_takes_a_bit_a_row() {
        let second = 1_000_000_000;
        let times: Vec<i64> = (0..128)
            .map(|row| 1_700_000_000 * second + row / 10 * second)
            .collect();
        assert!(packed(&times, Factor::Sought).len() < 16 + 12 + 10);
        assert!(packed(&times, Factor::One).len() > 400);
    }

    #[test]
    fn widths_beyond_64_are_refused() {
        let read = |bytes: &[u8]| read_packed(&mut Reader::new(bytes), 1, &mut vec![]);
        assert!(read(&[65, 0, 1, 0]).is_err());
        assert!(read(&[STEPS | 127, 0, 1, 0]).is_err());
        assert!(read(&[64, 0, 1, 0]).is_err(), "seven bytes are missing");
    }

    proptest! {
        #[test]
        fn numbers_round_trip(
            numbers in prop::collection::vec(any::<i64>(), 0..300),
            shift in 0u32..64,
            seek in any::<bool>(),
        ) {
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number >> shift).collect();
            packed(&numbers, if seek { Factor::Sought } else { Factor::One });
        }
    }
}
