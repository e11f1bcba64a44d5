//! Blocks, the units of an open chunk: a few rows, all their columns behind one another, readable alone.
//!
//! A block is made from 1 to [`ROWS_MAX`] staged rows and appended to the buffer of its chunk. It makes
//! one choice a column (frame of reference or deltas, one width for all) so that making it costs little
//! more than copying; the sealed chunk takes its time. The layout is in `FORMAT.md`.

mod decode;
mod encode;
mod part;
mod tally;
mod times;

use super::bytes::Reader;
use super::error::CodecError;

pub use decode::decode;
pub(super) use decode::read_id;
pub use encode::Encoder;
pub(super) use part::Part;
pub use tally::Tallies;
pub(super) use tally::Tally;
pub(super) use times::Times;

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
    let preamble = Preamble::read(&mut Reader::new(bytes))?;
    Ok(Header {
        rows: preamble.rows,
        first_time: preamble.times.first,
        last_time: preamble.times.last,
        len: preamble.len,
    })
}

/// What precedes the columns.
pub(in crate::codec) struct Preamble<'a> {
    /// Of the whole block.
    pub(in crate::codec) len: usize,
    pub(in crate::codec) rows: usize,
    pub(in crate::codec) columns: usize,
    /// Where the times begin; they end where the reader stands.
    pub(in crate::codec) times_at: usize,
    pub(in crate::codec) times: Times<'a>,
}

impl<'a> Preamble<'a> {
    /// Reads it, and leaves a reader that ends with the block.
    pub(in crate::codec) fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let start = reader.offset();
        let payload = reader.bounded("length of a block", usize::MAX >> 1)?;
        reader.narrow(payload)?;
        let len = reader.offset() + payload - start;
        let most = crate::limits::COLUMNS << ROWS_SHIFT | (ROWS_MAX - 1);
        let shape = reader.bounded("columns of a block", most)?;
        let rows = shape % ROWS_MAX + 1;
        let columns = shape >> ROWS_SHIFT;
        let times_at = reader.offset();
        Ok(Self {
            len,
            rows,
            columns,
            times_at,
            times: Times::read(reader, rows)?,
        })
    }
}

/// Bits of the rows of a block, less 1, below the number of its columns.
const ROWS_SHIFT: u32 = ROWS_MAX.trailing_zeros();
const _: () = assert!(ROWS_MAX.is_power_of_two() && ROWS_MAX <= 64);

/// Nanoseconds of the units of time that a block may count in.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];
/// Set beside the unit of times where all distances are equal.
const UNIT_REGULAR: u8 = 0b100;

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
/// No value at all: in a chunk only, for a block leaves such columns out.
const LAYOUT_ABSENT: u8 = 5;
/// From here on: packed decimals, whose scale is the layout less this.
const LAYOUT_SCALES: u8 = 6;
/// Scales that have a layout.
const SCALES: u8 = 16 - LAYOUT_SCALES;

/// Set in the byte with the width of packed numbers: they are differences.
const WIDTH_DELTA: u8 = 0x80;

#[cfg(test)]
mod tests;
