//! Bytes written one behind another into room that is there already, so that nothing grows in between.
//!
//! Writing beyond the room is a broken promise of whoever asked for it, and panics.

use crate::codec::bits;
use crate::codec::bytes::{self, varint_len};

/// Where the next byte goes. Behind it anything may stand, for it is written over.
pub(super) struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
}

impl<'a> Pen<'a> {
    /// Writes from the first byte on.
    #[inline(always)]
    pub(super) const fn new(room: &'a mut [u8]) -> Self {
        Self { room, at: 0 }
    }

    /// Bytes written.
    #[inline(always)]
    pub(super) const fn written(&self) -> usize {
        self.at
    }

    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        self.room[self.at] = byte;
        self.at += 1;
    }

    /// Writes over a byte.
    #[inline(always)]
    pub(super) fn set(&mut self, at: usize, byte: u8) {
        self.room[at] = byte;
    }

    /// The first `len` bytes of a word, at most 8; there is room for all.
    #[inline(always)]
    pub(super) fn word(&mut self, word: u64, len: usize) {
        self.room[self.at..][..8].copy_from_slice(&word.to_le_bytes());
        self.at += len;
    }

    #[inline(always)]
    pub(super) fn slice(&mut self, bytes: &[u8]) {
        self.room[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline(always)]
    pub(super) fn varint(&mut self, value: u64) {
        if value >> 56 == 0 {
            self.word(bytes::varint(value), varint_len(value));
        } else {
            self.long_varint(value);
        }
    }

    #[inline(always)]
    pub(super) fn zigzag(&mut self, value: i64) {
        self.varint(bytes::zigzag(value));
    }

    /// The same where it is asked for, without a branch.
    #[inline(always)]
    pub(super) fn zigzag_if(&mut self, asked: bool, value: i64) {
        let value = bytes::zigzag(value);
        if value >> 56 == 0 {
            let len = varint_len(value) * usize::from(asked);
            self.word(bytes::varint(value), len);
        } else if asked {
            self.long_varint(value);
        }
    }

    /// Numbers of `width` bits, the first `count` of the groups; what follows them there are zeros. There is
    /// room for 32 bytes more.
    #[inline(always)]
    pub(super) fn packed(&mut self, groups: &[[u64; 8]], count: usize, width: u32) {
        bits::pack_groups(groups, width, &mut self.room[self.at..]);
        self.at += bits::packed_len(count, width);
    }

    #[cold]
    #[inline(never)]
    fn long_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
}
