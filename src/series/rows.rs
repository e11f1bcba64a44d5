//! Staged rows: the newest rows of a series, uncompressed and row-major.
//!
//! Appending a row touches one or two cache lines, however many fields it has. The owner knows the
//! layout; every row has one cell a column of it. Invariant: `bits` and `marks` have room for as many rows of its
//! stride as `times`.

use std::ops::Range;

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::codec::RowsView;
use crate::limits::{BLOCK_ROWS, STAGING_ROWS};
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
    len: usize,
    /// With room behind the rows, as the other two: filled, so that a row is stored and nothing is grown.
    times: Vec<Timestamp>,
    bits: Vec<u64>,
    marks: Vec<u8>,
    heap: Vec<u8>,
}

impl Rows {
    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The times, in the order of the rows.
    #[inline]
    pub fn times(&self) -> &[Timestamp] {
        &self.times[..self.len]
    }

    /// Bytes of memory behind this.
    pub fn memory_bytes(&self) -> usize {
        self.times.capacity() * 8
            + self.bits.capacity() * 8
            + self.marks.capacity()
            + self.heap.capacity()
    }

    /// Appends a row whose cells match the layout one to one.
    #[inline(always)]
    pub fn push(&mut self, layout: &Layout, row: RowRef<'_>) {
        debug_assert_eq!(row.bits.len(), layout.stride());
        let at = self.len;
        if at >= self.times.len() {
            self.grow(layout.stride());
        }
        self.len = at + 1;
        self.times[at] = row.time;
        match (row.bits, row.marks) {
            // Not worth a copy of slices.
            (&[bits], &[mark]) if !layout.has_bytes => {
                self.bits[at] = bits;
                self.marks[at] = mark;
            }
            _ => self.put(layout, at, row.bits, row.marks, row.heap),
        }
    }

    /// Appends rows whose cells match the layout one to one and hold no bytes, as long as their times rise above
    /// `newest` and there is room; how many, and the time of the last one.
    #[inline(always)]
    pub fn push_rising(
        &mut self,
        layout: &Layout,
        newest: Timestamp,
        times: impl Iterator<Item = Timestamp>,
        (bits, marks): (&[u64], &[u8]),
    ) -> (usize, Timestamp) {
        debug_assert!(!layout.has_bytes);
        if self.len >= self.times.len() {
            self.grow(layout.stride());
        }
        let mut taken = 0;
        let mut last = newest;
        for (into, time) in self.times[self.len..].iter_mut().zip(times) {
            if time <= last {
                break;
            }
            *into = time;
            last = time;
            taken += 1;
        }
        let stride = layout.stride();
        let (start, cells) = (self.len * stride, taken * stride);
        self.bits[start..start + cells].copy_from_slice(&bits[..cells]);
        self.marks[start..start + cells].copy_from_slice(&marks[..cells]);
        self.len += taken;
        (taken, last)
    }

    /// Writes the cells of a row into a place of its own.
    #[inline(never)]
    fn put(&mut self, layout: &Layout, at: usize, bits: &[u64], marks: &[u8], heap: &[u8]) {
        let stride = layout.stride();
        let cells = at * stride..(at + 1) * stride;
        self.bits[cells.clone()].copy_from_slice(bits);
        self.marks[cells.clone()].copy_from_slice(marks);
        if layout.has_bytes {
            self.adopt_heap(layout, cells.start, heap);
        }
    }

    /// Inserts a row before index `at`.
    pub fn insert(&mut self, layout: &Layout, at: usize, row: RowRef<'_>) {
        let stride = layout.stride();
        if self.len == self.times.len() {
            self.grow(stride);
        }
        self.times.copy_within(at..self.len, at + 1);
        let cells = at * stride..self.len * stride;
        self.bits.copy_within(cells.clone(), cells.start + stride);
        self.marks.copy_within(cells.clone(), cells.start + stride);
        self.len += 1;
        self.times[at] = row.time;
        self.put(layout, at, row.bits, row.marks, row.heap);
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
        if (stride, count, self.len) == (1, BLOCK_ROWS, STAGING_ROWS) && !layout.has_bytes {
            return self.keep_last();
        }
        let cells = count * stride..self.len * stride;
        self.times.copy_within(count..self.len, 0);
        self.bits.copy_within(cells.clone(), 0);
        self.marks.copy_within(cells, 0);
        self.len -= count;
        if layout.has_bytes {
            let old = std::mem::take(&mut self.heap);
            for row in 0..self.len {
                self.adopt_heap(layout, row * stride, &old);
            }
        }
    }

    /// What is left of a staging that was full, when a block of a single column left it: of a size that is known
    /// when this is compiled, that is a few moves.
    fn keep_last(&mut self) {
        const LEFT: usize = STAGING_ROWS - BLOCK_ROWS;
        self.times.copy_within(BLOCK_ROWS..BLOCK_ROWS + LEFT, 0);
        self.bits.copy_within(BLOCK_ROWS..BLOCK_ROWS + LEFT, 0);
        self.marks.copy_within(BLOCK_ROWS..BLOCK_ROWS + LEFT, 0);
        self.len = LEFT;
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.len = 0;
        self.heap = Vec::new();
    }

    /// Prepares for rows of another stride, where there are none.
    pub fn restart(&mut self, stride: usize) {
        debug_assert!(self.is_empty());
        if self.bits.len() != self.times.len() * stride {
            *self = Self::default();
        }
    }

    /// Changes from one layout to a wider one: `places[i]` says where old column `i` went.
    pub fn widen(&mut self, old_stride: usize, new_stride: usize, places: &[usize]) {
        let room = self.times.len() * new_stride;
        let mut bits = vec![0; room];
        let mut marks = vec![MARK_NULL; room];
        for row in 0..self.len {
            for (i, &place) in places.iter().enumerate() {
                bits[row * new_stride + place] = self.bits[row * old_stride + i];
                marks[row * new_stride + place] = self.marks[row * old_stride + i];
            }
        }
        self.bits = bits;
        self.marks = marks;
    }

    /// Some rows, for a block of the open chunk.
    pub fn view<'a>(&'a self, layout: &'a Layout, rows: Range<usize>) -> RowsView<'a> {
        let stride = layout.stride();
        let cells = rows.start * stride..rows.end * stride;
        RowsView {
            times: &self.times[rows],
            columns: &layout.specs,
            bits: &self.bits[cells.clone()],
            marks: &self.marks[cells],
            stride,
            heap: &self.heap,
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, stride: usize) {
        // Staged rows fill up to a fixed number; late ones may become many.
        let rows = match self.times.len() {
            0 => 4,
            rows if rows < STAGING_ROWS => rows + rows.min(STAGING_ROWS - rows),
            rows => rows + rows / 2,
        };
        self.times.reserve_exact(rows - self.len);
        self.times.resize(rows, 0);
        let cells = rows * stride;
        self.bits.reserve_exact(cells - self.bits.len());
        self.bits.resize(cells, 0);
        self.marks.reserve_exact(cells - self.marks.len());
        self.marks.resize(cells, MARK_NULL);
    }

    #[inline(never)]
    fn adopt_heap(&mut self, layout: &Layout, at: usize, heap: &[u8]) {
        for (i, column) in layout.columns.iter().enumerate() {
            if self.marks[at + i] != MARK_NULL {
                self.bits[at + i] = adopt(*column, self.bits[at + i], heap, &mut self.heap);
            }
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
