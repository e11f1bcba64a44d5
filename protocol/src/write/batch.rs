//! A batch as it is read: a head, then sections of rows that have one layout each.
//!
//! Read in place into storage that is used again: no allocation per row. Invariant: no more rows, cells or bytes
//! are made than the limits of a batch allow, whatever the payload claims.

use alloc::vec::Vec;

use crate::bitmap::Bitmap;
use crate::packed::read_packed;
use crate::types::AckLevel;
use crate::wire::{PayloadError, Reader, put_varint};

use super::column::Column;
use super::{CELLS_MAX, COLUMNS_MAX, HEAP_BYTES_MAX, ROWS_MAX};

/// Bit of a batch's flags: producer and sequence follow.
const PRODUCER: u8 = 0x04;
/// Bits of a batch's flags that are the level of its acknowledgement.
const LEVEL: u8 = 0x03;

/// How the times of a section stand.
pub(super) mod times {
    pub const NONE: u8 = 0;
    pub const ALL: u8 = 1;
    pub const SOME: u8 = 2;
}

/// Who made a batch, and which of its batches it is: a second one with the same sequence is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The producer, by chance and not 0.
    pub id: u64,
    /// Ascends by one with every batch of the producer.
    pub sequence: u64,
}

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// What is answered when.
    pub ack: AckLevel,
    /// Who made it, where it is to be stored once however often it is sent.
    pub producer: Option<Producer>,
}

impl BatchHead {
    pub(super) fn encode(&self, sections: usize, out: &mut Vec<u8>) {
        let level = self.ack as u8;
        match self.producer {
            None => out.push(level),
            Some(producer) => {
                out.push(level | PRODUCER);
                out.extend_from_slice(&producer.id.to_le_bytes());
                put_varint(out, producer.sequence);
            }
        }
        put_varint(out, sections as u64);
    }
}

/// Reads the sections of a batch, one after another.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    reader: Reader<'a>,
    head: BatchHead,
    sections_left: usize,
    rows_left: usize,
    cells_left: usize,
    heap_left: usize,
}

impl<'a> BatchReader<'a> {
    /// Reads the head.
    pub fn open(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(payload);
        let error = reader.error("known flags");
        let flags = reader.byte()?;
        let ack = match flags & LEVEL {
            0 => AckLevel::None,
            1 => AckLevel::Accepted,
            2 => AckLevel::Durable,
            _ => return Err(error),
        };
        if flags & !(LEVEL | PRODUCER) != 0 {
            return Err(error);
        }
        let producer = if flags & PRODUCER == 0 {
            None
        } else {
            let error = reader.error("a producer that is not 0");
            let id = u64::from_le_bytes(reader.array()?);
            if id == 0 {
                return Err(error);
            }
            Some(Producer {
                id,
                sequence: reader.varint()?,
            })
        };
        Ok(Self {
            sections_left: reader.count()?,
            reader,
            head: BatchHead { ack, producer },
            rows_left: ROWS_MAX,
            cells_left: CELLS_MAX,
            heap_left: HEAP_BYTES_MAX,
        })
    }

    /// What the batch says of itself.
    #[must_use]
    pub fn head(&self) -> BatchHead {
        self.head
    }

    /// Reads the next section; false behind the last.
    pub fn next_section(&mut self, section: &mut Section) -> Result<bool, PayloadError> {
        if self.sections_left == 0 {
            self.reader.end()?;
            return Ok(false);
        }
        self.sections_left -= 1;
        let reader = &mut self.reader;
        let error = reader.error("a layout's number");
        section.layout = u32::try_from(reader.varint()?).map_err(|_| error)?;
        let error = reader.error("rows, and no more than a batch may have");
        let rows = usize::try_from(reader.varint()?).map_err(|_| error)?;
        self.rows_left = self.rows_left.checked_sub(rows).ok_or(error)?;
        if rows == 0 {
            return Err(error);
        }
        section.rows = rows;
        section.read_series(reader)?;
        section.read_times(reader)?;
        let error = reader.error("columns, and no more cells than a batch may have");
        let columns = reader.count()?;
        if columns == 0 || columns > COLUMNS_MAX {
            return Err(error);
        }
        self.cells_left = self.cells_left.checked_sub(rows * columns).ok_or(error)?;
        section.columns.resize_with(columns, Column::default);
        for column in &mut section.columns {
            column.read(reader, rows, &mut self.heap_left)?;
        }
        Ok(true)
    }
}

/// Rows that have one layout.
#[derive(Debug, Default)]
pub struct Section {
    layout: u32,
    rows: usize,
    series: Vec<u64>,
    times: Vec<u64>,
    timeless: Option<Bitmap>,
    columns: Vec<Column>,
}

impl Section {
    /// The layout's number.
    #[must_use]
    pub fn layout(&self) -> u32 {
        self.layout
    }

    /// How many rows; at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of a row's series.
    #[inline]
    #[must_use]
    pub fn series(&self, row: usize) -> u32 {
        self.series[row] as u32
    }

    /// The time of a row, nanoseconds since the epoch; `None`: the server's.
    #[inline]
    #[must_use]
    pub fn time(&self, row: usize) -> Option<i64> {
        match &self.timeless {
            Some(timeless) if timeless.get(row) => None,
            _ => self.times.get(row).map(|&time| time as i64),
        }
    }

    /// The columns, those of the layout in their order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read_series(&mut self, reader: &mut Reader<'_>) -> Result<(), PayloadError> {
        self.series.clear();
        let error = reader.error("numbers of series");
        read_packed(reader, self.rows, &mut self.series)?;
        let any = self.series.iter().fold(0, |any, series| any | series);
        if any > u64::from(u32::MAX) {
            return Err(error);
        }
        Ok(())
    }

    fn read_times(&mut self, reader: &mut Reader<'_>) -> Result<(), PayloadError> {
        self.times.clear();
        self.timeless = None;
        let error = reader.error("a form of times");
        match reader.byte()? {
            times::NONE => Ok(()),
            times::ALL => read_packed(reader, self.rows, &mut self.times),
            times::SOME => {
                let timeless = Bitmap::decode(reader, self.rows)?;
                let mut from = self.rows - timeless.count();
                read_packed(reader, from, &mut self.times)?;
                self.times.resize(self.rows, 0);
                for row in (0..self.rows).rev() {
                    if !timeless.get(row) {
                        from -= 1;
                        self.times[row] = self.times[from];
                    }
                }
                self.timeless = Some(timeless);
                Ok(())
            }
            _ => Err(error),
        }
    }
}
