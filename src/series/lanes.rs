//! What a series holds of each lane in memory alone: how many values, and from when to when.

use edgetime_protocol::cell::MARK_NULL;

use crate::codec::chunk::Chunk;
use crate::codec::{Cells, CodecError};
use crate::series::{Location, Series};
use crate::types::{ColumnId, Timestamp};

/// Values of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneUse {
    /// How many.
    pub rows: u64,
    /// Time of the earliest one.
    pub first_time: Timestamp,
    /// Time of the latest one.
    pub last_time: Timestamp,
}

impl LaneUse {
    /// No value.
    pub const NONE: Self = Self {
        rows: 0,
        first_time: Timestamp::MAX,
        last_time: Timestamp::MIN,
    };

    /// These and others.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.first_time = self.first_time.min(other.first_time);
        self.last_time = self.last_time.max(other.last_time);
    }
}

/// The lanes of a chunk. Only columns that lack values are looked into.
pub fn chunk_lanes<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    mut visit: impl FnMut(ColumnId, LaneUse),
) -> Result<(), CodecError> {
    let whole = (chunk.first_time(), chunk.last_time());
    let mut times = Vec::new();
    for column in chunk.columns().filter(|column| column.count > 0) {
        let (first_time, last_time) = if column.count == chunk.rows() {
            whole
        } else {
            if times.is_empty() {
                chunk.decode_times(&mut times)?;
            }
            let values = chunk.decode_column(column.id)?;
            let has = |row: &usize| values.as_ref().is_some_and(|v| v.validity.is_valid(*row));
            let mut rows = (0..times.len()).filter(has);
            let first = rows.next().unwrap_or(0);
            let last = rows.next_back().unwrap_or(first);
            (times[first], times[last])
        };
        let rows = column.count as u64;
        let used = LaneUse {
            rows,
            first_time,
            last_time,
        };
        visit(column.id, used);
    }
    Ok(())
}

impl<E: Clone> Series<E> {
    /// The lanes of all rows that no block file has.
    pub fn memory_lanes(&self, mut visit: impl FnMut(ColumnId, LaneUse)) -> Result<(), CodecError> {
        for chunk in self.ring.iter() {
            if let Location::Memory(bytes) = &chunk.location {
                chunk_lanes(&Chunk::reopen(bytes.as_ref())?, &mut visit)?;
            }
        }
        if let Some(rows) = self.image()? {
            cell_lanes(&rows.cells, visit);
        }
        Ok(())
    }
}

fn cell_lanes(cells: &Cells, mut visit: impl FnMut(ColumnId, LaneUse)) {
    for column in &cells.columns {
        let mut used = LaneUse::NONE;
        for (&mark, &time) in column.marks.iter().zip(&cells.times) {
            if mark != MARK_NULL {
                used.add(LaneUse {
                    rows: 1,
                    first_time: time,
                    last_time: time,
                });
            }
        }
        if used.rows > 0 {
            visit(column.id, used);
        }
    }
}
