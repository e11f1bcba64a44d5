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

/// The 57 bits or more from bit `at` on, the first of them on top; zeros beyond the end. Backwards, the
/// first byte is the last of the slice.
#[inline(always)]
pub(super) fn peek(bytes: &[u8], at: usize, backwards: bool) -> u64 {
    let from = at / 8;
    let word = if backwards {
        let end = bytes.len().wrapping_sub(from);
        bytes
            .get(end.wrapping_sub(8)..end)
            .and_then(|word| word.try_into().ok())
            .map(u64::from_le_bytes)
    } else {
        bytes
            .get(from..from + 8)
            .and_then(|word| word.try_into().ok())
            .map(u64::from_be_bytes)
    };
    word.unwrap_or_else(|| last_word(bytes, from, backwards)) << (at % 8)
}

#[cold]
fn last_word(bytes: &[u8], from: usize, backwards: bool) -> u64 {
    let mut word = [0; 8];
    if backwards {
        let rest = bytes.iter().rev().skip(from);
        word.iter_mut()
            .zip(rest)
            .for_each(|(into, byte)| *into = *byte);
    } else {
        let rest = bytes.get(from..).unwrap_or_default();
        word[..rest.len()].copy_from_slice(rest);
    }
    u64::from_be_bytes(word)
}
