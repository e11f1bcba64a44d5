//! Bits of any number behind one another, most significant first.

use crate::codec::bits::mask;

/// Gathers bits, 64 at a time.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    word: u64,
    filled: u32,
}

impl BitWriter {
    /// Appends up to 56 bits.
    #[inline(always)]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(bits & !mask(count) == 0 && count <= 56);
        let free = 64 - self.filled;
        if count < free {
            self.filled += count;
            self.word |= bits << (64 - self.filled);
            return;
        }
        let rest = count - free;
        self.word |= bits >> rest;
        self.bytes.extend_from_slice(&self.word.to_be_bytes());
        self.filled = rest;
        self.word = if rest == 0 { 0 } else { bits << (64 - rest) };
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = self.bytes.len() + self.filled.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.word.to_be_bytes());
        self.bytes.truncate(len);
        self.bytes
    }
}

/// The 57 bits or more from bit `at` on, the first of them on top; zeros beyond the end.
#[inline(always)]
pub(super) fn ahead(bytes: &[u8], at: usize) -> u64 {
    let from = at / 8;
    let word = bytes.get(from..from + 8);
    let word = word.and_then(|word| word.try_into().ok());
    let word = word.map_or_else(|| last_word(bytes, from), u64::from_be_bytes);
    word << (at % 8)
}

/// The same of a stream that is read backwards: its first byte is the last one, and `left` bits are left of it and
/// all that stands before it. Less than none are none.
#[inline(always)]
pub(super) fn back(bytes: &[u8], left: usize) -> u64 {
    let end = left.wrapping_add(7) / 8;
    let word = bytes.get(..end).and_then(|left| left.last_chunk());
    let word = word.map_or_else(|| first_word(bytes, end), |&word| u64::from_le_bytes(word));
    word << (left.wrapping_neg() % 8)
}

#[cold]
fn last_word(bytes: &[u8], from: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(from..).unwrap_or_default();
    word[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(word)
}

#[cold]
fn first_word(bytes: &[u8], end: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(..end).unwrap_or_default();
    word[8 - rest.len()..].copy_from_slice(rest);
    u64::from_le_bytes(word)
}
