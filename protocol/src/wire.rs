//! The primitives of payloads: varints, zigzag, and strings with their length before them.
//!
//! Reading is bounded by the bytes at hand: no length in a payload is believed before it was compared.

use alloc::vec::Vec;
use core::fmt;

/// A payload that does not hold what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad payload at byte {offset}: {what}")]
pub struct PayloadError {
    /// Offset in the payload.
    pub offset: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// Reads a payload from its front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn error(&self, what: &'static str) -> PayloadError {
        PayloadError {
            offset: self.at,
            what,
        }
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// How far was read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], PayloadError> {
        let end = self
            .at
            .checked_add(len)
            .filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.error("more bytes"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PayloadError> {
        let error = self.error("more bytes");
        self.take(N)?.try_into().map_err(|_| error)
    }

    pub fn byte(&mut self) -> Result<u8, PayloadError> {
        Ok(self.array::<1>()?[0])
    }

    /// LEB128, at most ten bytes, in its shortest form only.
    pub fn varint(&mut self) -> Result<u64, PayloadError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || byte == 0 && shift > 0 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("a varint"))
    }

    pub fn zigzag(&mut self) -> Result<i64, PayloadError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of things that take at least one byte each.
    pub fn count(&mut self) -> Result<usize, PayloadError> {
        let error = self.error("a smaller count");
        let count = usize::try_from(self.varint()?).map_err(|_| error)?;
        if count > self.remaining() {
            Err(error)
        } else {
            Ok(count)
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], PayloadError> {
        let len = self.count()?;
        self.take(len)
    }

    pub fn str(&mut self) -> Result<&'a str, PayloadError> {
        let error = self.error("UTF-8");
        core::str::from_utf8(self.bytes()?).map_err(|_| error)
    }

    pub fn end(&self) -> Result<(), PayloadError> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(self.error("the end"))
        }
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends text.
pub(crate) fn append(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Sink<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    fmt::write(&mut Sink(out), text).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn varints_round_trip_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_zigzag(&mut out, value);
            assert_eq!(Reader::new(&out).zigzag(), Ok(value));
        }
        for bad in [&[0x80u8][..], &[0x80, 0], &[0xff; 10], &[0xff; 11]] {
            assert!(Reader::new(bad).varint().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        assert!(Reader::new(&[5, 1, 2]).bytes().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f])
                .count()
                .is_err()
        );
    }
}
