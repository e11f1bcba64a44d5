//! Staged rows: the newest rows of a series, uncompressed and row-major.
//!
//! Appending a row touches one or two cache lines, however many fields it has. The owner knows the
//! layout; every row has one cell a column of it. Invariant: `bits.len() == marks.len() == len * stride`.

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::codec::RowsView;
use crate::limits::STAGING_ROWS;
use crate::types::{FieldType, Layout, LayoutColumn, Timestamp};

/// One row on its way into a series: the cells stand in the order of its layout.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    /// Nanoseconds.
    pub time: Timestamp,
    /// One a column, see [`edgetime_protocol::cell`].
    pub bits: &'a [u64],
    /// One a column.
    pub marks: &'a [u8],
    /// What cells of strings and binary values point into.
    pub heap: &'a [u8],
}

/// Rows behind one another.
#[derive(Debug, Default)]
pub struct Rows {
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    marks: Vec<u8>,
    heap: Vec<u8>,
}

impl Rows {
    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The times, in the order of the rows.
    #[inline]
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// Bytes of memory behind this.
    pub fn memory_bytes(&self) -> usize {
        self.times.capacity() * 8
            + self.bits.capacity() * 8
            + self.marks.capacity()
            + self.heap.capacity()
    }

    /// Appends a row whose cells match the layout one to one.
    #[inline]
    pub fn push(&mut self, layout: &Layout, row: RowRef<'_>) {
        debug_assert_eq!(row.bits.len(), layout.stride());
        if self.times.len() == self.times.capacity() {
            self.reserve(layout.stride());
        }
        self.times.push(row.time);
        self.marks.extend_from_slice(row.marks);
        let at = self.bits.len();
        self.bits.extend_from_slice(row.bits);
        if layout.has_bytes {
            self.adopt_heap(layout, at, row.heap);
        }
    }

    /// Inserts a row before index `at`.
    pub fn insert(&mut self, layout: &Layout, at: usize, row: RowRef<'_>) {
        let stride = layout.stride();
        self.times.insert(at, row.time);
        let cell = at * stride;
        self.bits.splice(cell..cell, row.bits.iter().copied());
        self.marks.splice(cell..cell, row.marks.iter().copied());
        if layout.has_bytes {
            self.adopt_heap(layout, cell, row.heap);
        }
    }

    /// Writes a row's values over the row at index `at`, field by field: what the row does not have
    /// stays, and another lane of a field that it has goes.
    pub fn overwrite(&mut self, layout: &Layout, at: usize, row: RowRef<'_>) {
        let base = at * layout.stride();
        for (i, column) in layout.columns.iter().enumerate() {
            if row.marks[i] == MARK_NULL {
                let other_lane_written = layout.columns.iter().enumerate().any(|(j, other)| {
                    j != i && other.field == column.field && row.marks[j] != MARK_NULL
                });
                if other_lane_written {
                    self.bits[base + i] = 0;
                    self.marks[base + i] = MARK_NULL;
                }
            } else {
                self.bits[base + i] = adopt(*column, row.bits[i], row.heap, &mut self.heap);
                self.marks[base + i] = row.marks[i];
            }
        }
    }

    /// Removes the first `count` rows.
    pub fn remove_front(&mut self, layout: &Layout, count: usize) {
        let stride = layout.stride();
        self.times.drain(..count);
        self.bits.drain(..count * stride);
        self.marks.drain(..count * stride);
        if layout.has_bytes {
            let old = std::mem::take(&mut self.heap);
            self.adopt_heap_range(layout, 0, self.times.len(), &old);
        }
    }

    /// Removes all rows and gives the memory of a burst back.
    pub fn clear(&mut self) {
        self.times.clear();
        self.bits.clear();
        self.marks.clear();
        self.heap = Vec::new();
    }

    /// Changes from one layout to a wider one: `places[i]` says where old column `i` went.
    pub fn widen(&mut self, old_stride: usize, new_stride: usize, places: &[usize]) {
        let rows = self.len();
        let mut bits = vec![0; rows * new_stride];
        let mut marks = vec![MARK_NULL; rows * new_stride];
        for row in 0..rows {
            for (i, &place) in places.iter().enumerate() {
                bits[row * new_stride + place] = self.bits[row * old_stride + i];
                marks[row * new_stride + place] = self.marks[row * old_stride + i];
            }
        }
        self.bits = bits;
        self.marks = marks;
    }

    /// The first `count` rows, for a block of the open chunk.
    pub fn view<'a>(&'a self, layout: &'a Layout, count: usize) -> RowsView<'a> {
        let stride = layout.stride();
        RowsView {
            times: &self.times[..count],
            columns: &layout.specs,
            bits: &self.bits[..count * stride],
            marks: &self.marks[..count * stride],
            stride,
            heap: &self.heap,
        }
    }

    fn reserve(&mut self, stride: usize) {
        // Staged rows fill up to a fixed number; late ones may become many.
        let more = match self.times.capacity() {
            0 => 4,
            rows if rows < STAGING_ROWS => rows.min(STAGING_ROWS - rows),
            rows => rows / 2,
        };
        self.times.reserve_exact(more);
        let rows = self.times.capacity();
        self.bits.reserve_exact(rows * stride - self.bits.len());
        self.marks.reserve_exact(rows * stride - self.marks.len());
    }

    fn adopt_heap(&mut self, layout: &Layout, at: usize, heap: &[u8]) {
        for (i, column) in layout.columns.iter().enumerate() {
            if self.marks[at + i] != MARK_NULL {
                self.bits[at + i] = adopt(*column, self.bits[at + i], heap, &mut self.heap);
            }
        }
    }

    fn adopt_heap_range(&mut self, layout: &Layout, from: usize, to: usize, heap: &[u8]) {
        for row in from..to {
            self.adopt_heap(layout, row * layout.stride(), heap);
        }
    }
}

/// The cell as it is, or its bytes copied from one heap to another.
fn adopt(column: LayoutColumn, bits: u64, from: &[u8], into: &mut Vec<u8>) -> u64 {
    match column.field_type {
        FieldType::String | FieldType::Binary => {
            let (offset, len) = cell::heap_range(bits);
            let start = into.len() as u32;
            into.extend_from_slice(&from[offset as usize..][..len as usize]);
            cell::heap(start, len)
        }
        _ => bits,
    }
}
