//! Numbers of a fixed width in bits, behind one another, least significant bit first.
//!
//! Value `i` of width `w` stands in bits `i*w .. (i+1)*w`; bit `b` is bit `b % 8` of byte `b / 8`.
//! The last byte is filled with zeros.

use super::simd;

/// Bytes that `count` numbers of `width` bits take.
#[inline]
pub(crate) const fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Bits needed for a number.
#[inline(always)]
pub(crate) const fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// All numbers of `width` bits have no bit outside.
#[inline(always)]
pub(crate) const fn mask(width: u32) -> u64 {
    if width >= 64 {
        u64::MAX
    } else {
        (1 << width) - 1
    }
}

/// Appends numbers. Bits above the width must be zero.
#[inline(always)]
pub(crate) fn pack_slice(values: &[u64], width: u32, out: &mut Vec<u8>) {
    // Several at a time become one: fewer steps that wait for the one before.
    let (groups, rest) = match width {
        0..=16 => values.split_at(values.len() / 4 * 4),
        17..=32 => values.split_at(values.len() / 2 * 2),
        _ => return pack(values.iter().copied(), width, out),
    };
    let mut packer = Packer::default();
    if width <= 16 {
        for four in groups.as_chunks::<4>().0 {
            let low = four[0] | four[1] << width;
            let high = four[2] | four[3] << width;
            packer.put(low | high << (2 * width), 4 * width, out);
        }
    } else {
        for two in groups.as_chunks::<2>().0 {
            packer.put(two[0] | two[1] << width, 2 * width, out);
        }
    }
    for &value in rest {
        packer.put(value, width, out);
    }
    packer.finish(out);
}

/// Writes groups of eight numbers, each of which takes as many bytes as a number has bits. Bits above the width
/// must be zero. In `out` is room for 32 bytes more than the numbers take, which may be written over.
#[inline(always)]
pub(crate) fn pack_groups(groups: &[[u64; 8]], width: u32, out: &mut [u8]) {
    let each = width as usize;
    // Eight become one without waiting for the eight before.
    match width {
        0..=16 => {
            for (index, group) in groups.iter().enumerate() {
                let [low, high] = fours(group, width);
                let word = u128::from(low) | u128::from(high) << (4 * width);
                out[index * each..][..16].copy_from_slice(&word.to_le_bytes());
            }
        }
        17..=32 => {
            for (index, group) in groups.iter().enumerate() {
                let two = |at: usize| u128::from(group[at] | group[at + 1] << width);
                let low = two(0) | two(2) << (2 * width);
                let high = two(4) | two(6) << (2 * width);
                let words = [
                    low | high.checked_shl(4 * width).unwrap_or(0),
                    high >> (128 - 4 * width),
                ];
                let out = &mut out[index * each..][..32];
                out[..16].copy_from_slice(&words[0].to_le_bytes());
                out[16..].copy_from_slice(&words[1].to_le_bytes());
            }
        }
        _ => pack_wide(groups.as_flattened(), width, out),
    }
}

/// Two of four numbers each, of at most 16 bits.
#[inline(always)]
const fn fours(group: &[u64; 8], width: u32) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h] = *group;
    let [ab, cd, ef, gh] = [
        a | b << width,
        c | d << width,
        e | f << width,
        g | h << width,
    ];
    [ab | cd << (2 * width), ef | gh << (2 * width)]
}

#[inline(never)]
fn pack_wide(values: &[u64], width: u32, out: &mut [u8]) {
    if width <= 56 {
        // Whole bytes leave after each number.
        let (mut word, mut filled, mut at) = (0, 0, 0);
        for &value in values {
            word |= value << filled;
            out[at..][..8].copy_from_slice(&word.to_le_bytes());
            filled += width;
            at += filled as usize / 8;
            word >>= filled / 8 * 8;
            filled %= 8;
        }
        out[at..][..8].copy_from_slice(&word.to_le_bytes());
        return;
    }
    let mut word = 0;
    for (index, &value) in values.iter().enumerate() {
        let bit = index * width as usize;
        let (at, shift) = (bit / 8, bit as u32 % 8);
        word |= u128::from(value) << shift;
        out[at..][..16].copy_from_slice(&word.to_le_bytes());
        word >>= (shift + width) / 8 * 8;
    }
}

/// Bits that are not a whole word yet.
#[derive(Default)]
struct Packer {
    word: u64,
    filled: u32,
}

impl Packer {
    #[inline(always)]
    fn put(&mut self, bits: u64, width: u32, out: &mut Vec<u8>) {
        self.word |= bits << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            out.extend_from_slice(&self.word.to_le_bytes());
            self.filled -= 64;
            self.word = bits.checked_shr(width - self.filled).unwrap_or(0);
        }
    }

    #[inline(always)]
    fn finish(self, out: &mut Vec<u8>) {
        let len = out.len() + self.filled.div_ceil(8) as usize;
        out.extend_from_slice(&self.word.to_le_bytes());
        out.truncate(len);
    }
}

/// Appends numbers. Bits above the width must be zero.
#[inline(always)]
pub(crate) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut packer = Packer::default();
    for value in values {
        debug_assert!(value & !mask(width) == 0);
        packer.put(value, width, out);
    }
    packer.finish(out);
}

/// The number at an index; bits beyond the end are zeros.
#[inline]
pub(crate) fn get(bytes: &[u8], index: usize, width: u32) -> u64 {
    let bit = index * width as usize;
    let (at, shift) = (bit / 8, bit as u32 % 8);
    let word = load(bytes, at) >> shift;
    let value = if shift + width > 64 {
        word | load(bytes, at + 8) << (64 - shift)
    } else {
        word
    };
    value & mask(width)
}

#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    if let Some(word) = bytes.get(at..at + 8).and_then(|word| word.try_into().ok()) {
        return u64::from_le_bytes(word);
    }
    let mut word = [0; 8];
    if let Some(rest) = bytes.get(at..) {
        word[..rest.len()].copy_from_slice(rest);
    }
    u64::from_le_bytes(word)
}

/// Unsigned integers that numbers are unpacked to and counted in: of 32 bits where all fit, of 64 else.
pub(crate) trait Word: Copy + Default + PartialEq {
    const BITS: u32;

    /// Without the bits that do not fit.
    fn cut(number: u64) -> Self;
    /// The same number as a signed one of 64 bits.
    fn extend(self) -> u64;
    fn plus(self, other: Self) -> Self;
    fn unzigzag(self) -> Self;
    /// Of a signed number, rounded down.
    fn half(self) -> Self;
    /// Makes numbers of their differences; see [`simd::integrate`].
    fn integrate(numbers: &mut [Self], before: Self);
}

macro_rules! word {
    ($word:ty, $signed:ty, $integrate:path) => {
        impl Word for $word {
            const BITS: u32 = <$word>::BITS;

            #[inline(always)]
            fn cut(number: u64) -> Self {
                number as Self
            }

            #[inline(always)]
            fn extend(self) -> u64 {
                i64::from(self as $signed) as u64
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn unzigzag(self) -> Self {
                self >> 1 ^ (self & 1).wrapping_neg()
            }

            #[inline(always)]
            fn half(self) -> Self {
                (self as $signed >> 1) as Self
            }

            #[inline]
            fn integrate(numbers: &mut [Self], before: Self) {
                $integrate(numbers, before);
            }
        }
    };
}

word!(u32, i32, simd::integrate);
word!(u64, i64, simd::integrate_portably);

/// Reads as many numbers as `out` holds. Bytes behind the numbers may follow and make it faster.
#[inline]
pub(crate) fn unpack<W: Word>(bytes: &[u8], width: u32, out: &mut [W]) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                0 => {
                    out.fill(W::default());
                    return;
                }
                $($width => unpack_groups::<W, $width>(bytes, out),)*
                _ => 0,
            }
        };
    }
    let done = by_width!(
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57
    );
    for (index, value) in out.iter_mut().enumerate().skip(done) {
        *value = W::cut(get(bytes, index, width));
    }
}

/// Eight numbers at a time, as long as whole words can be loaded; returns how many were read.
fn unpack_groups<W: Word, const WIDTH: usize>(bytes: &[u8], out: &mut [W]) -> usize {
    let mut done = 0;
    for (group, values) in bytes
        .windows(WIDTH + 8)
        .step_by(WIDTH)
        .zip(out.chunks_exact_mut(8))
    {
        for (index, value) in values.iter_mut().enumerate() {
            let bit = index * WIDTH;
            let mut word = [0; 8];
            word.copy_from_slice(&group[bit / 8..bit / 8 + 8]);
            *value = W::cut(u64::from_le_bytes(word) >> (bit % 8) & mask(WIDTH as u32));
        }
        done += 8;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_widths_round_trip(width in 0u32..=64, values in prop::collection::vec(any::<u64>(), 0..200), slack in 0usize..20) {
            let values: Vec<u64> = values.iter().map(|value| value & mask(width)).collect();
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(bytes.len(), packed_len(values.len(), width));
            let mut again = Vec::new();
            pack_slice(&values, width, &mut again);
            prop_assert_eq!(&again, &bytes);
            let mut groups = values.clone();
            groups.resize(values.len().next_multiple_of(8), 0);
            let mut room = vec![0xa5; bytes.len() + width as usize + 32];
            pack_groups(groups.as_chunks().0, width, &mut room);
            prop_assert_eq!(&room[..bytes.len()], &bytes);
            bytes.extend(std::iter::repeat_n(0xa5, slack));
            let mut out = vec![7; values.len()];
            unpack(&bytes, width, &mut out);
            prop_assert_eq!(&out, &values);
            if width <= 32 {
                let mut narrow = vec![7u32; values.len()];
                unpack(&bytes, width, &mut narrow);
                prop_assert!(narrow.iter().zip(&values).all(|(&a, &b)| u64::from(a) == b));
            }
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(get(&bytes, index, width), *value);
            }
        }
    }
}
