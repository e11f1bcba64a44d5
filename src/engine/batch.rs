//! Rows on their way into the engine, gathered per shard so that each shard is locked once a batch.
//!
//! A batch belongs to one connection and is reused: no allocation per row.

use std::sync::Arc;

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::engine::SeriesRef;
use crate::types::{FieldType, Layout, MeasurementId, SeriesId, Timestamp};

/// Rows of one shard.
#[derive(Debug, Default)]
pub(super) struct ShardRows {
    pub rows: Vec<BatchRow>,
    pub bits: Vec<u64>,
    pub marks: Vec<u8>,
    pub heap: Vec<u8>,
}

impl ShardRows {
    fn clear(&mut self) {
        self.rows.clear();
        self.bits.clear();
        self.marks.clear();
        self.heap.clear();
    }
}

/// One row: where its cells are, whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchRow {
    /// Nanoseconds; [`NO_TIME`] asks for the server's.
    pub time: Timestamp,
    pub series: SeriesId,
    pub cells: u32,
    pub layout: u16,
    /// What the caller calls this row, for its report of a refusal.
    pub tag: u32,
}

/// Rows gathered for one call of [`crate::engine::Engine::write`].
#[derive(Debug)]
pub struct Batch {
    pub(super) shards: Vec<ShardRows>,
    pub(super) layouts: Vec<Arc<Layout>>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    /// An empty batch for an engine with this many shards.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| ShardRows::default()).collect(),
            layouts: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of all cells, about; a batch should be written before it holds a few hundred KiB.
    #[inline]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// The batch's number of a layout; valid until [`Self::clear`].
    pub fn layout_index(&mut self, layout: &Arc<Layout>) -> u16 {
        let found = self
            .layouts
            .iter()
            .position(|known| Arc::ptr_eq(known, layout));
        let index = found.unwrap_or_else(|| {
            self.layouts.push(Arc::clone(layout));
            self.layouts.len() - 1
        });
        index as u16
    }

    /// Adds a row. The cells stand in the order of the layout; those of bytes point into `heap`. A row
    /// without a time gets the server's. `tag` is the caller's name for the row.
    #[inline]
    pub fn push(
        &mut self,
        series: SeriesRef,
        layout_index: u16,
        time: Option<Timestamp>,
        (bits, marks, heap): (&[u64], &[u8], &[u8]),
        tag: u32,
    ) {
        let shard = &mut self.shards[usize::from(series.shard)];
        let at = shard.bits.len();
        shard.rows.push(BatchRow {
            time: time.unwrap_or(NO_TIME),
            series: series.id,
            cells: at as u32,
            layout: layout_index,
            tag,
        });
        shard.bits.extend_from_slice(bits);
        shard.marks.extend_from_slice(marks);
        self.rows += 1;
        self.bytes += 32 + bits.len() * 9;
        let layout = &self.layouts[usize::from(layout_index)];
        if layout.has_bytes {
            for (i, column) in layout.columns.iter().enumerate() {
                let is_bytes = matches!(column.field_type, FieldType::String | FieldType::Binary);
                if is_bytes && marks[i] != MARK_NULL {
                    let (offset, len) = cell::heap_range(bits[i]);
                    let start = shard.heap.len() as u32;
                    shard
                        .heap
                        .extend_from_slice(&heap[offset as usize..][..len as usize]);
                    shard.bits[at + i] = cell::heap(start, len);
                    self.bytes += len as usize;
                }
            }
        }
    }

    /// The caller's names for the rows in the batch.
    pub fn tags(&self) -> impl Iterator<Item = u32> {
        self.shards
            .iter()
            .flat_map(|shard| shard.rows.iter().map(|row| row.tag))
    }

    /// Forgets the first rows of one shard.
    pub(super) fn remove(&mut self, index: usize, rows: usize) {
        let shard = &mut self.shards[index];
        self.rows -= rows;
        if rows == shard.rows.len() {
            shard.clear();
        } else {
            shard.rows.drain(..rows);
        }
    }

    /// Gives rows to other series, as told for each and its measurement: behind those that are there.
    pub(super) fn redirect(
        &mut self,
        target: impl Fn(SeriesId, MeasurementId) -> Option<SeriesRef>,
    ) {
        for index in 0..self.shards.len() {
            let rows = std::mem::take(&mut self.shards[index].rows);
            self.rows -= rows.len();
            let (mut left, mut moved) = (Vec::with_capacity(rows.len()), Vec::new());
            for row in rows {
                let measurement = self.layouts[usize::from(row.layout)].measurement;
                match target(row.series, measurement) {
                    Some(series) => moved.push((row, series)),
                    None => left.push(row),
                }
            }
            self.rows += left.len();
            self.shards[index].rows = left;
            for (row, series) in moved {
                let stride = self.layouts[usize::from(row.layout)].stride();
                let from = &self.shards[index];
                let cells = row.cells as usize..row.cells as usize + stride;
                let (bits, marks) = (
                    from.bits[cells.clone()].to_vec(),
                    from.marks[cells].to_vec(),
                );
                let heap = from.heap.clone();
                let time = (row.time != NO_TIME).then_some(row.time);
                self.push(series, row.layout, time, (&bits, &marks, &heap), row.tag);
            }
        }
    }

    /// Forgets all rows and layouts.
    pub fn clear(&mut self) {
        for shard in &mut self.shards {
            shard.clear();
        }
        self.layouts.clear();
        self.rows = 0;
        self.bytes = 0;
    }
}

/// Time of a row that came without one. No row can have it: it lies before every accepted time.
pub(super) const NO_TIME: Timestamp = Timestamp::MIN;
