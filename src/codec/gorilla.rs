//! Doubles that are no decimals: the XOR codec of the crate `tsz` over streams of our own.
//!
//! The crate interleaves times and values. Its times are row indexes here, beginning with 1, so that all of
//! its time codes are known beforehand; the streams drop them on the way out and make them up on the way
//! in, and what is stored are values only. The reader also refuses windows of bits that the crate would not
//! survive. There is no end marker: the number of values is known.

use tsz::stream::{Error, Read, Write};
use tsz::{Bit, DataPoint, Decode, Encode, StdDecoder, StdEncoder};

use super::bytes::Reader;
use super::error::CodecError;

/// Appends the values, most significant bit first, filled up to a whole byte.
pub(crate) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let mut encoder = StdEncoder::new(0, ValueWriter::default());
    for (row, &value) in values.iter().enumerate() {
        encoder.encode(DataPoint::new(row as u64 + 1, f64::from_bits(value)));
    }
    out.extend_from_slice(&encoder.close());
}

/// Reads `count` values, which take all that is left.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let bytes = reader.rest();
    let mut decoder = StdDecoder::new(ValueReader::new(bytes));
    // Every value takes one bit at least.
    if count > bytes.len().saturating_mul(8) {
        return Err(reader.truncated());
    }
    out.reserve(count);
    for _ in 0..count {
        let point = decoder
            .next()
            .map_err(|_| reader.invalid("stream of doubles"))?;
        out.push(point.get_value().to_bits());
    }
    reader.take(bytes.len())?;
    Ok(())
}

/// What the crate reads or writes next.
#[derive(Clone, Copy, Debug, Default)]
enum Expected {
    /// The start time, 64 bits.
    #[default]
    Start,
    /// A bit that says that values follow.
    Begin,
    /// The first difference of time, 14 bits.
    FirstDelta,
    /// The first value, 64 bits.
    FirstValue,
    /// The time code of a row.
    Time,
    /// Whether the value differs.
    Changed,
    /// Whether the window is new.
    Window,
    /// Leading zeros, 6 bits.
    Leading,
    /// Length of the window less one, 6 bits.
    Length,
    /// The bits inside the window.
    Inside,
}

/// Keeps values and drops times; gathers 64 bits at a time.
#[derive(Debug, Default)]
struct ValueWriter {
    bytes: Vec<u8>,
    word: u64,
    free: u32,
    expected: Expected,
}

impl ValueWriter {
    #[inline]
    fn put(&mut self, bits: u64, count: u32) {
        if self.free == 0 {
            // Nothing was written yet.
            self.free = 64;
        }
        if count < self.free {
            self.free -= count;
            self.word |= bits << self.free;
            return;
        }
        let rest = count - self.free;
        self.word |= bits.checked_shr(rest).unwrap_or(0);
        self.bytes.extend_from_slice(&self.word.to_be_bytes());
        self.free = 64 - rest;
        self.word = bits.checked_shl(self.free).unwrap_or(0);
    }
}

impl Write for ValueWriter {
    #[inline]
    fn write_bit(&mut self, bit: Bit) {
        let one = bit == Bit::One;
        self.expected = match self.expected {
            Expected::Begin => {
                self.expected = Expected::FirstDelta;
                return;
            }
            Expected::Time => {
                self.expected = Expected::Changed;
                return;
            }
            Expected::Changed if one => Expected::Window,
            Expected::Changed => Expected::Time,
            _ if one => Expected::Leading,
            _ => Expected::Inside,
        };
        self.put(u64::from(one), 1);
    }

    fn write_byte(&mut self, byte: u8) {
        self.write_bits(u64::from(byte), 8);
    }

    #[inline]
    fn write_bits(&mut self, bits: u64, count: u32) {
        self.expected = match self.expected {
            Expected::Start => {
                self.expected = Expected::Begin;
                return;
            }
            Expected::FirstDelta => {
                self.expected = Expected::FirstValue;
                return;
            }
            // The end marker stands where a time code would.
            Expected::Begin | Expected::Time => return,
            Expected::Leading => Expected::Length,
            Expected::Length => Expected::Inside,
            _ => Expected::Time,
        };
        let inside = if count >= 64 {
            bits
        } else {
            bits & ((1 << count) - 1)
        };
        self.put(inside, count);
    }

    fn close(mut self) -> Box<[u8]> {
        if self.free > 0 {
            let len = self.bytes.len() + (64 - self.free).div_ceil(8) as usize;
            self.bytes.extend_from_slice(&self.word.to_be_bytes());
            self.bytes.truncate(len);
        }
        self.bytes.into_boxed_slice()
    }
}

/// Hands out stored values and made-up times.
#[derive(Debug)]
struct ValueReader<'a> {
    bytes: &'a [u8],
    /// Bits consumed.
    at: usize,
    expected: Expected,
    leading: u32,
}

impl<'a> ValueReader<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            expected: Expected::Start,
            leading: 0,
        }
    }

    #[inline]
    fn get(&mut self, count: u32) -> Result<u64, Error> {
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(Error::EOF);
        }
        if count == 0 {
            return Ok(0);
        }
        let (byte, shift) = (self.at / 8, self.at as u32 % 8);
        self.at = end;
        let word = self.load(byte) << shift;
        let word = if shift + count > 64 {
            word | self.load(byte + 8) >> (64 - shift)
        } else {
            word
        };
        Ok(word >> (64 - count))
    }

    #[inline]
    fn load(&self, at: usize) -> u64 {
        if let Some(word) = self.bytes.get(at..at + 8).and_then(|w| w.try_into().ok()) {
            return u64::from_be_bytes(word);
        }
        let mut word = [0; 8];
        if let Some(rest) = self.bytes.get(at..) {
            word[..rest.len()].copy_from_slice(rest);
        }
        u64::from_be_bytes(word)
    }
}

impl Read for ValueReader<'_> {
    #[inline]
    fn read_bit(&mut self) -> Result<Bit, Error> {
        match self.expected {
            Expected::Begin => {
                self.expected = Expected::FirstDelta;
                return Ok(Bit::Zero);
            }
            Expected::Time => {
                self.expected = Expected::Changed;
                return Ok(Bit::Zero);
            }
            _ => {}
        }
        let one = self.get(1)? == 1;
        self.expected = match self.expected {
            Expected::Changed if one => Expected::Window,
            Expected::Changed => Expected::Time,
            _ if one => Expected::Leading,
            _ => Expected::Inside,
        };
        Ok(if one { Bit::One } else { Bit::Zero })
    }

    fn read_byte(&mut self) -> Result<u8, Error> {
        self.read_bits(8).map(|bits| bits as u8)
    }

    #[inline]
    fn read_bits(&mut self, count: u32) -> Result<u64, Error> {
        let next = match self.expected {
            Expected::Start => {
                self.expected = Expected::Begin;
                return Ok(0);
            }
            Expected::FirstDelta => {
                self.expected = Expected::FirstValue;
                return Ok(1);
            }
            Expected::Leading => {
                self.leading = self.get(count)? as u32;
                self.expected = Expected::Length;
                return Ok(u64::from(self.leading));
            }
            Expected::Length => {
                let length = self.get(count)?;
                if u64::from(self.leading) + length + 1 > 64 {
                    return Err(Error::EOF);
                }
                self.expected = Expected::Inside;
                return Ok(length);
            }
            _ => Expected::Time,
        };
        self.expected = next;
        self.get(count)
    }

    fn peak_bits(&mut self, _count: u32) -> Result<u64, Error> {
        // Asked once, before the first value: whether the stream ends here.
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tsz::stream::{BufferedReader, BufferedWriter};

    fn values() -> impl Strategy<Value = Vec<u64>> {
        prop_oneof![
            prop::collection::vec(any::<u64>(), 1..200),
            prop::collection::vec((-1e3f64..1e3).prop_map(f64::to_bits), 1..200),
            prop::collection::vec(
                prop::sample::select(vec![0u64, 1, 1 << 63, u64::MAX]),
                1..200
            ),
        ]
    }

    proptest! {
        #[test]
        fn values_agree_with_the_crate_alone(values in values()) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            let mut out = Vec::new();
            decode(&mut Reader::new(&bytes), values.len(), &mut out).expect("just encoded");
            prop_assert_eq!(&out, &values);

            let mut alone = StdEncoder::new(0, BufferedWriter::new());
            for (row, &value) in values.iter().enumerate() {
                alone.encode(DataPoint::new(row as u64 + 1, f64::from_bits(value)));
            }
            let alone = alone.close();
            // Less by the start, the first delta, a bit a row and the end marker.
            prop_assert!(bytes.len() + 14 <= alone.len());
            let mut decoder = StdDecoder::new(BufferedReader::new(alone));
            for value in values {
                prop_assert_eq!(decoder.next().expect("the oracle").get_value().to_bits(), value);
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..300) {
            let _ = decode(&mut Reader::new(&bytes), count, &mut Vec::new());
        }
    }
}
