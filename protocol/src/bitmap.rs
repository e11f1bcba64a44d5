//! Bits, one a row: which rows of a result are null, and booleans on the wire.
//!
//! Invariant: the bits behind the last one, up to the byte's end, are 0.

use crate::wire::{PayloadError, Reader};
use alloc::vec;
use alloc::vec::Vec;

/// One bit a row, growing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    /// Bit `row % 8` of byte `row / 8`; bits behind the last are 0.
    bytes: Vec<u8>,
    len: usize,
}

impl Bitmap {
    /// `len` bits, none set.
    #[must_use]
    pub fn unset(len: usize) -> Self {
        Self {
            bytes: vec![0; len.div_ceil(8)],
            len,
        }
    }

    /// How many bits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without a single bit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bit; false behind the end.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        self.bytes
            .get(index / 8)
            .is_some_and(|byte| byte >> (index % 8) & 1 != 0)
    }

    /// Sets a bit. Panics behind the end.
    #[inline]
    pub fn set(&mut self, index: usize) {
        assert!(index < self.len, "bit {index} of {}", self.len);
        self.bytes[index / 8] |= 1 << (index % 8);
    }

    /// Appends a bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.len += 1;
        if bit {
            self.set(self.len - 1);
        }
    }

    /// True where any bit is set.
    #[must_use]
    pub fn any(&self) -> bool {
        self.bytes.iter().any(|&byte| byte != 0)
    }

    /// How many bits are set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }

    /// The bits in their order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|index| self.get(index))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, len: usize) -> Result<Self, PayloadError> {
        let bytes = reader.take(len.div_ceil(8))?.to_vec();
        let spare = bytes.last().map_or(0, |last| {
            if len.is_multiple_of(8) {
                0
            } else {
                last >> (len % 8)
            }
        });
        if spare != 0 {
            return Err(reader.error("zeros behind a bitmap"));
        }
        Ok(Self { bytes, len })
    }
}

impl FromIterator<bool> for Bitmap {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut bitmap = Self::default();
        for bit in bits {
            bitmap.push(bit);
        }
        bitmap
    }
}
