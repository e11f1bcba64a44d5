//! Rows on their way into the engine, gathered per shard so that each shard is locked once a batch.
//!
//! A batch belongs to one connection and is reused: no allocation per row.

use std::sync::Arc;

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::engine::SeriesRef;
use crate::types::{FieldType, Layout, SeriesId, Timestamp};

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

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<BatchRow>()
            + self.bits.capacity() * size_of::<u64>()
            + self.marks.capacity()
            + self.heap.capacity()
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
        cells: (&[u64], &[u8], &[u8]),
        tag: u32,
    ) {
        let to = (usize::from(series.shard), series.id);
        self.push_to(to, layout_index, time.unwrap_or(NO_TIME), cells, tag);
    }

    #[inline]
    fn push_to(
        &mut self,
        (shard, series): (usize, SeriesId),
        layout_index: u16,
        time: Timestamp,
        (bits, marks, heap): (&[u64], &[u8], &[u8]),
        tag: u32,
    ) {
        let shard = &mut self.shards[shard];
        let at = shard.bits.len();
        shard.rows.push(BatchRow {
            time,
            series,
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

    /// Takes the rows of some series out, into a batch of their own.
    pub(super) fn split_off(&mut self, is_wanted: impl Fn(SeriesId) -> bool) -> Self {
        let mut taken = self.emptied();
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let wanted = shard.rows.extract_if(.., |row| is_wanted(row.series));
            let rows: Vec<BatchRow> = wanted.collect();
            self.rows -= rows.len();
            for row in &rows {
                taken.copy(shard, row, (index, row.series));
            }
        }
        taken
    }

    /// A batch without rows that has the same layouts.
    pub(super) fn emptied(&self) -> Self {
        Self {
            layouts: self.layouts.clone(),
            ..Self::new(self.shards.len())
        }
    }

    /// Adds a row of a batch with the same layouts, for a series of a shard.
    pub(super) fn copy(&mut self, from: &ShardRows, row: &BatchRow, to: (usize, SeriesId)) {
        let stride = self.layouts[usize::from(row.layout)].stride();
        let cells = row.cells as usize..row.cells as usize + stride;
        let cells = (
            &from.bits[cells.clone()],
            &from.marks[cells],
            &from.heap[..],
        );
        self.push_to(to, row.layout, row.time, cells, row.tag);
    }

    /// Adds all rows of a batch with the same layouts.
    pub(super) fn append(&mut self, other: &Self) {
        for (index, shard) in other.shards.iter().enumerate() {
            for row in &shard.rows {
                self.copy(shard, row, (index, row.series));
            }
        }
    }

    /// Bytes of memory that it takes, or keeps for rows to come.
    pub fn memory_bytes(&self) -> usize {
        self.shards.iter().map(ShardRows::memory_bytes).sum()
    }

    /// Gives back what an empty batch keeps for rows to come, where it is more than so many bytes.
    pub fn give_back(&mut self, bytes_max: usize) {
        if self.is_empty() && self.memory_bytes() > bytes_max {
            self.shards.fill_with(ShardRows::default);
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
