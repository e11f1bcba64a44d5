//! Blocks, the units of an open chunk: a few rows, all their columns behind one another, readable alone.
//!
//! A block is made from 1 to [`ROWS_MAX`] staged rows and appended to the buffer of its chunk. It makes
//! one choice a column (frame of reference or deltas, one width for all) so that making it costs little
//! more than copying; the sealed chunk takes its time. The layout is in `FORMAT.md`.

mod decode;
mod encode;

use super::bytes::Reader;
use super::error::CodecError;

pub use decode::decode;
pub use encode::encode;

/// Most rows of a block.
pub const ROWS_MAX: usize = 64;

/// What a block says about itself before its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Rows, 1 to [`ROWS_MAX`].
    pub rows: usize,
    /// Time of the first row, nanoseconds.
    pub first_time: i64,
    /// Time of the last row, nanoseconds.
    pub last_time: i64,
    /// Bytes of the whole block: the next one begins there.
    pub len: usize,
}

/// Reads the header of the block that `bytes` begins with.
pub fn header(bytes: &[u8]) -> Result<Header, CodecError> {
    Preamble::read(&mut Reader::new(bytes)).map(|preamble| preamble.header)
}

/// The header and what else precedes the packed times.
struct Preamble {
    header: Header,
    columns: usize,
    unit: u64,
    /// Of the times of the rows, in units.
    span: u64,
}

impl Preamble {
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let payload = reader.bounded("length of a block", usize::MAX >> 1)?;
        let len = reader.offset() + payload;
        if payload > reader.rest().len() {
            return Err(reader.truncated());
        }
        let rows = reader.bounded("rows of a block", ROWS_MAX)?;
        let columns = reader.bounded("columns of a block", crate::limits::COLUMNS)?;
        let unit = *UNITS
            .get(usize::from(reader.byte()?))
            .ok_or_else(|| reader.invalid("unit of time"))?;
        let first = reader.zigzag()?;
        let span = if rows > 1 { reader.varint()? } else { 0 };
        let first_time = first.checked_mul(unit as i64);
        let last_time = span
            .checked_mul(unit)
            .and_then(|span| first_time?.checked_add_unsigned(span));
        match (rows, first_time, last_time) {
            (1.., Some(first_time), Some(last_time)) => Ok(Self {
                header: Header {
                    rows,
                    first_time,
                    last_time,
                    len,
                },
                columns,
                unit,
                span,
            }),
            _ => Err(reader.invalid("times of a block")),
        }
    }
}

/// Nanoseconds of the units of time that a block may count in.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Bits of the byte that opens a column: its type, whether a bitmap of the rows with a value follows,
/// and how the values are laid out.
const TAG_TYPE: u8 = 0b0000_0111;
const TAG_NULLS: u8 = 0b0000_1000;
const TAG_LAYOUT_SHIFT: u32 = 4;

const LAYOUT_PACKED: u8 = 0;
const LAYOUT_XOR: u8 = 1;
const LAYOUT_BITS: u8 = 2;
const LAYOUT_DICTIONARY: u8 = 3;
const LAYOUT_PLAIN: u8 = 4;

/// Set in the byte with the width of packed numbers: they are differences.
const WIDTH_DELTA: u8 = 0x80;

#[cfg(test)]
mod tests;
