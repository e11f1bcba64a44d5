//! Sealed chunks: up to a thousand or so rows of one series, each column in the smallest form found.
//!
//! A chunk explains itself: version, checksum, number of rows, times and log positions of the first and
//! last row, and of each column its type, codec and statistics, so that nobody decodes it for them. The
//! layout is in `FORMAT.md`. Chunks are made by [`encode`], or by a [`Joiner`] of blocks as they are, and read
//! through [`Chunk`].

mod column;
mod directory;
mod doubles;
mod floats;
mod join;
mod joined;
mod parts;
mod seal;

use std::ops::Range;

use super::block::ROWS_MAX;
use super::bytes::Reader;
use super::cells::Cells;
use super::error::CodecError;
use super::statistics::Statistics;
use super::vector::ColumnVector;
use crate::limits::{CHUNK_ROWS, COLUMNS, ROWS_CLAIMED, VALUE_BYTES};
use crate::types::{ColumnId, FieldType, Position};
use directory::Entry;
use joined::Place;

pub use directory::Codec;
pub use join::Joiner;
pub use seal::{Hints, encode, recompress};

/// The version that [`encode`] writes.
pub const VERSION: u8 = 1;

/// Most bytes that the strings of one column may take once every row has its own copy. Chunks of more than
/// [`CHUNK_ROWS`] rows have to be made with this in mind.
pub const EXPANDED_BYTES: usize = CHUNK_ROWS * VALUE_BYTES;

/// Most cells (rows times columns) of a chunk, so that a small one cannot claim to be a huge one.
pub const CELLS_MAX: usize = CHUNK_ROWS * COLUMNS;

/// What a chunk says about one of its columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Which column of the measurement.
    pub id: ColumnId,
    /// The type of its values.
    pub field_type: FieldType,
    /// How they are stored.
    pub codec: Codec,
    /// How the integers beneath are packed, for reports: `frame`, `delta`, `runs` and so on; nothing where
    /// there are none.
    pub packing: &'static str,
    /// Rows that have a value.
    pub count: usize,
    /// What is known of the values.
    pub statistics: Statistics,
    /// Bytes it takes, its entry in the directory included.
    pub encoded_bytes: usize,
}

/// A parsed chunk. Small: the bytes and a few offsets.
#[derive(Clone, Debug)]
pub struct Chunk<B> {
    bytes: B,
    rows: u32,
    columns: u16,
    first_time: i64,
    last_time: i64,
    first_position: u64,
    last_position: u64,
    directory: (u32, u32),
    times_end: u32,
    /// Rows of a block, 0 where the chunk is not made of blocks.
    block_rows: u8,
}

impl<B: AsRef<[u8]>> Chunk<B> {
    /// Checks the checksum and the header. The slice must be the whole chunk and nothing else.
    pub fn open(bytes: B) -> Result<Self, CodecError> {
        let whole = bytes.as_ref();
        let mut reader = Reader::new(whole);
        let found = reader.byte()?;
        if found != VERSION {
            return Err(CodecError::Version { found });
        }
        let stored = reader.take(4)?;
        let stored = u32::from_le_bytes(stored.try_into().unwrap_or_default());
        let computed = checksum(whole);
        if stored != computed {
            return Err(CodecError::Checksum { stored, computed });
        }
        Self::reopen(bytes)
    }

    /// Opens bytes whose checksum has been verified before. Decoding anything else is safe, and yields
    /// errors or nonsense.
    pub fn reopen(bytes: B) -> Result<Self, CodecError> {
        let whole = bytes.as_ref();
        let mut reader = Reader::within(whole, CHECKED_FROM, whole.len())?;
        let rows = reader.bounded("rows of a chunk", ROWS_CLAIMED)?;
        let columns = reader.bounded("columns of a chunk", COLUMNS)?;
        let first_position = reader.varint()?;
        let last_position = first_position.wrapping_add(reader.zigzag()? as u64);
        let unit = reader.byte()?;
        let mut block_rows = 0;
        if unit & UNIT_BLOCKS != 0 {
            block_rows = reader.byte()?;
            if !(1..=ROWS_MAX).contains(&usize::from(block_rows)) {
                return Err(reader.invalid("rows of a block"));
            }
        }
        let unit = *UNITS
            .get(usize::from(unit & !UNIT_BLOCKS))
            .ok_or_else(|| reader.invalid("unit of time"))?;
        let first_time = reader.zigzag()?.checked_mul(unit as i64);
        let span = reader.varint()?.checked_mul(unit);
        let times_len = reader.bounded("length of times", whole.len())?;
        let directory_len = reader.bounded("length of a directory", whole.len())?;
        let start = reader.offset();
        let end = start + directory_len;
        let last_time = span.and_then(|span| first_time?.checked_add_unsigned(span));
        let (Some(first_time), Some(last_time)) = (first_time, last_time) else {
            return Err(reader.invalid("times of a chunk"));
        };
        if rows == 0 || rows * columns > CELLS_MAX {
            return Err(reader.invalid("number of cells"));
        }
        if end + times_len > whole.len() || whole.len() > u32::MAX as usize {
            return Err(reader.invalid("size of a chunk"));
        }
        let chunk = Self {
            rows: rows as u32,
            columns: columns as u16,
            first_time,
            last_time,
            first_position,
            last_position,
            directory: (start as u32, end as u32),
            times_end: (end + times_len) as u32,
            block_rows,
            bytes,
        };
        let mut walk = chunk.entries();
        let mut seen = 0;
        let mut body_end = chunk.times_end as usize;
        for entry in &mut walk {
            body_end = entry?.body.end;
            seen += 1;
        }
        let len = chunk.bytes.as_ref().len();
        if seen != columns || walk.reader.offset() != end || body_end != len {
            return Err(CodecError::Invalid {
                what: "directory",
                offset: start,
            });
        }
        Ok(chunk)
    }

    /// The chunk's bytes, as they are stored.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Gives the bytes back.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// Rows, at least 1.
    pub const fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Time of the first row, nanoseconds.
    pub const fn first_time(&self) -> i64 {
        self.first_time
    }

    /// Time of the last row, nanoseconds.
    pub const fn last_time(&self) -> i64 {
        self.last_time
    }

    /// Log position of the first row, as given to [`encode`].
    pub const fn first_position(&self) -> Position {
        Position(self.first_position)
    }

    /// Log position of the last row, as given to [`encode`].
    pub const fn last_position(&self) -> Position {
        Position(self.last_position)
    }

    /// What is known of the columns, by ascending id.
    pub fn columns(&self) -> impl Iterator<Item = ColumnSummary> + '_ {
        // Opening walked over all entries, so none is left out.
        self.entries()
            .map_while(Result::ok)
            .map(|entry| self.summary(&entry))
    }

    /// What is known of one column.
    pub fn column(&self, id: ColumnId) -> Option<ColumnSummary> {
        self.entry(id).map(|entry| self.summary(&entry))
    }

    fn summary(&self, entry: &Entry) -> ColumnSummary {
        let mut summary = entry.summary(self.bytes.as_ref());
        if self.block_rows > 0 && entry.count > 0 {
            summary.packing = "blocks";
        }
        summary
    }

    /// Nanoseconds between rows, where that is the same for all: row `r` is at first time + `r` times this.
    pub fn spacing(&self) -> Option<u64> {
        let steps = u64::from(self.rows) - 1;
        (self.directory.1 == self.times_end && steps > 0)
            .then(|| self.last_time.wrapping_sub(self.first_time) as u64 / steps)
    }

    /// Appends the times of all rows.
    pub fn decode_times(&self, times: &mut Vec<i64>) -> Result<(), CodecError> {
        if self.times_in_blocks().is_some() {
            return self.decode_times_of(0..self.rows(), times);
        }
        super::timestamps::decode(
            &mut self.times()?,
            self.rows(),
            self.first_time,
            self.last_time,
            times,
        )
    }

    /// Where the times are, if they are parts of blocks.
    fn times_in_blocks(&self) -> Option<Place<'_>> {
        let (start, end) = (self.directory.1 as usize, self.times_end as usize);
        let body = self.bytes.as_ref().get(start..end)?;
        (self.block_rows > 0 && !body.is_empty()).then_some(self.place(body))
    }

    fn place<'a>(&self, body: &'a [u8]) -> Place<'a> {
        Place {
            body,
            rows: self.rows(),
            block_rows: usize::from(self.block_rows),
        }
    }

    fn times(&self) -> Result<Reader<'_>, CodecError> {
        let (start, end) = (self.directory.1 as usize, self.times_end as usize);
        Reader::within(self.bytes.as_ref(), start, end)
    }

    /// The values of one column, or `None` where the chunk does not have it.
    pub fn decode_column(&self, id: ColumnId) -> Result<Option<ColumnVector>, CodecError> {
        let Some(entry) = self.entry(id) else {
            return Ok(None);
        };
        self.read(&entry, 0..self.rows())?
            .into_vector(entry.field_type, self.rows())
            .map(Some)
    }

    /// Appends all rows with all columns. Columns that `cells` has and the chunk lacks get nulls. After an
    /// error `cells` holds the rows that it held before.
    pub fn decode_cells(&self, cells: &mut Cells) -> Result<(), CodecError> {
        let before = cells.rows();
        let decoded = self.decode_rows(before, cells);
        if decoded.is_err() {
            cells.truncate(before);
        }
        cells.pad();
        decoded
    }

    fn decode_rows(&self, before: usize, cells: &mut Cells) -> Result<(), CodecError> {
        self.decode_times(&mut cells.times)?;
        for (guess, entry) in self.entries().enumerate() {
            let entry = entry?;
            let column = cells
                .column_mut(guess, entry.id, entry.field_type, before)
                .ok_or(CodecError::Invalid {
                    what: "type of a column",
                    offset: entry.body.start,
                })?;
            self.read(&entry, 0..self.rows())?
                .append_to(column, self.rows())?;
        }
        Ok(())
    }

    fn entry(&self, id: ColumnId) -> Option<Entry> {
        self.entries()
            .map_while(Result::ok)
            .take_while(|entry| entry.id <= id)
            .find(|entry| entry.id == id)
    }

    fn entries(&self) -> directory::Entries<'_> {
        directory::Entries::new(
            self.bytes.as_ref(),
            Range {
                start: self.directory.0 as usize,
                end: self.directory.1 as usize,
            },
            self.times_end as usize,
            usize::from(self.columns),
            self.rows(),
        )
    }
}

/// Of all bytes but those of the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..1).unwrap_or_default());
    hasher.update(bytes.get(CHECKED_FROM..).unwrap_or_default());
    hasher.finalize()
}

/// Behind the version and the checksum.
const CHECKED_FROM: usize = 5;

/// Set in the byte of the unit: the chunk is made of blocks.
const UNIT_BLOCKS: u8 = 0x80;

/// Nanoseconds of the units of time that a header may count in.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

#[cfg(test)]
mod join_tests;
#[cfg(test)]
mod parts_tests;
#[cfg(test)]
mod tests;
