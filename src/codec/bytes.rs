//! Bytes and variable-length integers: a checked cursor for reading, plain functions for writing.
//!
//! A varint holds seven bits a byte, least significant first, the top bit set on all but the last.

use super::error::CodecError;

/// A cursor over untrusted bytes. Every read is checked; nothing panics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A reader that ends at `end` (or the end of the bytes) and starts at `start`.
    pub(crate) fn within(bytes: &'a [u8], start: usize, end: usize) -> Result<Self, CodecError> {
        match bytes.get(..end) {
            Some(bytes) if start <= end => Ok(Self { bytes, at: start }),
            _ => Err(CodecError::Truncated {
                offset: bytes.len(),
            }),
        }
    }

    /// Ends `len` bytes from here.
    pub(crate) fn narrow(&mut self, len: usize) -> Result<(), CodecError> {
        match self.bytes.get(..self.at.saturating_add(len)) {
            Some(bytes) => self.bytes = bytes,
            None => return Err(self.truncated()),
        }
        Ok(())
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    /// What has not been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, CodecError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.truncated())?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(len).ok_or_else(|| self.truncated())?;
        let taken = self
            .bytes
            .get(self.at..end)
            .ok_or_else(|| self.truncated())?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn word(&mut self) -> Result<u64, CodecError> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, CodecError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.longer_varint(),
        }
    }

    #[inline(never)]
    fn longer_varint(&mut self) -> Result<u64, CodecError> {
        let word = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.first_chunk());
        if let Some(word) = word.map(|word| u64::from_le_bytes(*word)) {
            // Up to eight bytes without a branch that could be guessed wrong.
            let ends = !word & TOPS;
            if ends != 0 {
                let below = ends ^ (ends - 1);
                self.at += (below.count_ones() / 8) as usize;
                return Ok(join_sevens(word & below));
            }
        }
        self.varint_slowly()
    }

    fn varint_slowly(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.invalid("varint"))
    }

    #[inline]
    pub(crate) fn zigzag(&mut self) -> Result<i64, CodecError> {
        self.varint().map(unzigzag)
    }

    /// A varint of up to 128 bits.
    pub(crate) fn wide_zigzag(&mut self) -> Result<i128, CodecError> {
        let mut value = 0u128;
        for shift in (0..133).step_by(7) {
            let byte = self.byte()?;
            if shift == 126 && byte > 3 {
                break;
            }
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i128 ^ -((value & 1) as i128));
            }
        }
        Err(self.invalid("wide varint"))
    }

    /// A varint that may not exceed `max`.
    #[inline]
    pub(crate) fn bounded(&mut self, what: &'static str, max: usize) -> Result<usize, CodecError> {
        let found = self.varint()?;
        if found > max as u64 {
            return Err(CodecError::Limit {
                what,
                offset: self.at,
                found,
            });
        }
        Ok(found as usize)
    }

    pub(crate) const fn truncated(&self) -> CodecError {
        CodecError::Truncated { offset: self.at }
    }

    pub(crate) const fn invalid(&self, what: &'static str) -> CodecError {
        CodecError::Invalid {
            what,
            offset: self.at,
        }
    }
}

/// The top bit of each byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The lower seven bits of each byte behind one another.
#[inline]
const fn join_sevens(word: u64) -> u64 {
    let word = word & !TOPS;
    let word = word & 0x007f_007f_007f_007f | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = word & 0x0000_3fff_0000_3fff | (word & 0x3fff_0000_3fff_0000) >> 2;
    word & 0x0fff_ffff | (word & 0x0fff_ffff_0000_0000) >> 4
}

/// The lower 56 bits in groups of seven, a byte each: the opposite of [`join_sevens`].
#[inline(always)]
const fn split_sevens(value: u64) -> u64 {
    let word = value & 0x0fff_ffff | (value & 0x00ff_ffff_f000_0000) << 4;
    let word = word & 0x0000_3fff_0000_3fff | (word & 0x0fff_c000_0fff_c000) << 2;
    word & 0x007f_007f_007f_007f | (word & 0x3f80_3f80_3f80_3f80) << 1
}

/// The bytes of a varint of a number below 2^56, the first one lowest, and zeros behind them.
#[inline(always)]
pub(crate) const fn varint(value: u64) -> u64 {
    let followed = TOPS & ((1 << (8 * (varint_len(value) - 1))) - 1);
    split_sevens(value) | followed
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that a number takes as a varint.
#[inline(always)]
pub(crate) const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[inline]
pub(crate) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

pub(crate) fn put_wide_zigzag(out: &mut Vec<u8>, value: i128) {
    let mut value = (value << 1 ^ value >> 127) as u128;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small magnitudes of either sign to small numbers.
#[inline(always)]
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

#[inline]
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_borders() {
        let ones = (1..64).map(|bits| (1 << bits) - 1);
        let borders = [0, 1, 127, 128, 1 << 62, 0x0123_4567_89ab_cdef, u64::MAX];
        for value in ones.chain(borders) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            if value >> 56 == 0 {
                assert_eq!(varint(value).to_le_bytes()[..out.len()], out);
                assert_eq!(varint(value) >> (8 * out.len() - 1), 0);
            }
            assert_eq!(Reader::new(&out).varint(), Ok(value));
            assert!(Reader::new(&out[..out.len() - 1]).varint().is_err());
            // What follows changes nothing but how it is read.
            let len = out.len();
            for behind in [0, 0x7f, 0xff] {
                out.truncate(len);
                out.resize(len + 8, behind);
                let mut reader = Reader::new(&out);
                assert_eq!(reader.varint(), Ok(value));
                assert_eq!(reader.offset(), len);
            }
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        for value in [0, -1, i128::MAX, i128::MIN, 1 << 70] {
            let mut out = Vec::new();
            put_wide_zigzag(&mut out, value);
            assert_eq!(Reader::new(&out).wide_zigzag(), Ok(value));
        }
        assert!(Reader::new(&[0xff; 20]).varint().is_err());
        assert!(Reader::new(&[0xff; 20]).wide_zigzag().is_err());
    }
}
