//! Bits of any number behind one another, least significant first.

use crate::codec::bits::mask;
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;

/// Gathers bits, 64 at a time.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    word: u64,
    filled: u32,
}

impl BitWriter {
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.word |= bits.checked_shl(self.filled).unwrap_or(0);
        self.filled += count;
        if self.filled >= 64 {
            self.bytes.extend_from_slice(&self.word.to_le_bytes());
            self.filled -= 64;
            self.word = bits.checked_shr(count - self.filled).unwrap_or(0);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = self.bytes.len() + self.filled.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.word.to_le_bytes());
        self.bytes.truncate(len);
        self.bytes
    }
}

/// Bits beyond the end are zeros; the caller looks at `is_beyond` when all is read.
pub(super) struct BitReader {
    /// With a word of zeros at the end, so that words can be loaded up to the last bit.
    bytes: Vec<u8>,
    pub(super) at: usize,
}

impl BitReader {
    /// Of as many bytes as stand in front of them.
    pub(super) fn new(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = reader.bounded("length of bits", reader.rest().len())?;
        let taken = reader.take(len)?;
        let mut bytes = Vec::with_capacity(len + 8);
        bytes.extend_from_slice(taken);
        bytes.extend_from_slice(&[0; 8]);
        Ok(Self { bytes, at: 0 })
    }

    pub(super) const fn is_beyond(&self) -> bool {
        self.at > (self.bytes.len() - 8) * 8
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.len() == 8
    }

    /// At least 57 bits.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        self.load(self.at / 8) >> (self.at % 8)
    }

    #[inline]
    fn load(&self, at: usize) -> u64 {
        let word = self.bytes.get(at..at + 8).and_then(|w| w.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn get(&mut self, count: u32) -> u64 {
        let (byte, shift) = (self.at / 8, self.at as u32 % 8);
        self.at += count as usize;
        let word = self.load(byte) >> shift;
        if shift + count > 64 {
            return (word | self.load(byte + 8) << (64 - shift)) & mask(count);
        }
        word & mask(count)
    }

    /// Zeros up to the next one, which is consumed too; 64 where there is none near.
    pub(super) fn zeros(&mut self) -> u32 {
        let (byte, shift) = (self.at / 8, self.at as u32 % 8);
        let zeros = (self.load(byte) >> shift).trailing_zeros();
        self.at += zeros as usize + 1;
        zeros
    }
}
