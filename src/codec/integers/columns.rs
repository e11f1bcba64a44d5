//! The numbers of a sequence in eight columns, each of them half a lane, as the streams of a prefix code give them.
//!
//! Row `i` has the number `i` of each column. What is done to all numbers is done to a row at a time, which is
//! one step with vectors, and none of them waits for the one beside it. Cells below the end of a column count for nothing.

use std::ops::Range;

use super::lanes::{LANES, Lanes, Seeds};
use crate::codec::bits::Word;
use crate::codec::simd::widest;

/// Two a lane.
pub(super) const COLUMNS: usize = 2 * LANES;

pub(super) type Row<W> = [W; COLUMNS];

/// Rows that something is added to at a time: so many that the compiler makes a loop of it.
const TOGETHER: usize = 16;

/// Numbers of lanes, or of some of them: the others have zeros.
#[derive(Debug)]
pub(super) struct Columns<W> {
    pub(super) rows: Vec<Row<W>>,
    lanes: Lanes,
}

impl<W: Word> Columns<W> {
    pub(super) fn new(lanes: Lanes) -> Self {
        let rows = lanes.halves(0)[0].len();
        Self {
            rows: vec![[W::default(); COLUMNS]; rows],
            lanes,
        }
    }

    /// Makes residuals of numbers in zigzag form less a center.
    pub(super) fn center(&mut self, center: W) {
        let cells = self.rows.as_flattened_mut();
        widest(
            #[inline(always)]
            || {
                for cell in cells {
                    *cell = cell.unzigzag().plus(center);
                }
            },
        );
    }

    /// Makes offsets of numbers that are, in zigzag form and less a center, their differences of first order.
    pub(super) fn integrate_once(&mut self, center: W, seeds: &Seeds) {
        let rows = &mut self.rows[..];
        widest(
            #[inline(always)]
            || add_up_residuals(rows, center),
        );
        let mut starts = [W::default(); COLUMNS];
        for lane in 0..self.lanes.count() {
            let first = 2 * lane;
            starts[first] = W::cut(seeds.before(lane));
            starts[first + 1] = starts[first].plus(self.end(first));
        }
        self.begin(starts);
    }

    /// The last number of a column.
    fn end(&self, column: usize) -> W {
        let height = self.lanes.height(column);
        let row = height.checked_sub(1).and_then(|end| self.rows.get(end));
        row.map_or(W::default(), |row| row[column])
    }

    /// Adds to each number what its column begins with.
    fn begin(&mut self, starts: Row<W>) {
        let starts: [Row<W>; TOGETHER] = [starts; TOGETHER];
        let (starts, rows) = (starts.as_flattened(), &mut self.rows[..]);
        widest(
            #[inline(always)]
            || {
                for rows in rows.chunks_mut(TOGETHER) {
                    for (cell, start) in rows.as_flattened_mut().iter_mut().zip(starts) {
                        *cell = cell.plus(*start);
                    }
                }
            },
        );
    }

    /// The same of differences of second order.
    pub(super) fn integrate_twice(&mut self, center: W, seeds: &Seeds) {
        let rows = &mut self.rows[..];
        let (sums, sums_of_sums) = widest(
            #[inline(always)]
            || sum_twice(rows, center),
        );
        let (mut values, mut slopes) = ([W::default(); COLUMNS], [W::default(); COLUMNS]);
        for lane in 0..self.lanes.count() {
            let (first, second) = (2 * lane, 2 * lane + 1);
            let height = self.lanes.halves(lane)[0].len();
            let (sum, sum_of_sums) = if height == rows.len() {
                (sums[first], sums_of_sums[first])
            } else {
                let cells = rows[..height].iter().map(|row| row[first]);
                cells.fold((W::default(), W::default()), |(sum, of_sums), cell| {
                    let sum = sum.plus(cell);
                    (sum, of_sums.plus(sum))
                })
            };
            values[first] = W::cut(seeds.before(lane));
            slopes[first] = W::cut(seeds.slope(lane));
            let straight = W::cut(slopes[first].extend().wrapping_mul(height as u64));
            values[second] = values[first].plus(straight).plus(sum_of_sums);
            slopes[second] = slopes[first].plus(sum);
        }
        widest(
            #[inline(always)]
            || add_up_twice(rows, values, slopes),
        );
    }

    /// Adds to each number half of what the one before has become, through all columns.
    pub(super) fn damp(&mut self) {
        let rows = &mut self.rows[..];
        widest(
            #[inline(always)]
            || damp(rows),
        );
        // Each column was begun with 0. What the end of the one before makes of it is soon the same.
        for column in 1..COLUMNS {
            let Some(end) = self.lanes.height(column - 1).checked_sub(1) else {
                return;
            };
            let (mut before, mut taken) = (self.rows[end][column - 1], W::default());
            for row in &mut self.rows {
                let found = row[column];
                let number = found.minus(taken.half()).plus(before.half());
                if number == found {
                    break;
                }
                row[column] = number;
                (before, taken) = (number, found);
            }
        }
    }

    /// Makes of each number the sum of it and of all before, through all columns.
    pub(super) fn add_up(&mut self) {
        let rows = &mut self.rows[..];
        widest(
            #[inline(always)]
            || add_up_once(rows),
        );
        let mut starts = [W::default(); COLUMNS];
        for column in 1..COLUMNS {
            starts[column] = starts[column - 1].plus(self.end(column - 1));
        }
        self.begin(starts);
    }

    /// Appends some numbers, of lanes that were read.
    pub(super) fn append_to(&self, numbers: Range<usize>, out: &mut Vec<W>) {
        if numbers.is_empty() {
            return;
        }
        out.reserve(numbers.len());
        for (lane, _) in self.lanes.parts(numbers.clone()) {
            for (half, column) in self.lanes.halves(lane).into_iter().zip(2 * lane..) {
                let wanted = half.start.max(numbers.start)..half.end.min(numbers.end);
                if !wanted.is_empty() {
                    let rows = &self.rows[wanted.start - half.start..wanted.end - half.start];
                    out.extend(rows.iter().map(|row| row[column]));
                }
            }
        }
    }

    /// All cells of all rows, where they are just as many as the numbers with the one before the first: that takes
    /// the last cell, which no other has.
    pub(super) fn into_cells(mut self, first: W) -> Result<Vec<W>, Self> {
        let all = self.rows.len() * COLUMNS;
        if all != self.lanes.numbers + 1 || self.lanes.count() < LANES {
            return Err(self);
        }
        if let Some(cell) = self.rows.as_flattened_mut().last_mut() {
            *cell = first;
        }
        Ok(self.rows.into_flattened())
    }
}

#[inline(always)]
fn residuals<W: Word>(row: Row<W>, center: W) -> Row<W> {
    row.map(
        #[inline(always)]
        |cell| cell.unzigzag().plus(center),
    )
}

#[inline(always)]
fn plus<W: Word>(a: Row<W>, b: Row<W>) -> Row<W> {
    std::array::from_fn(
        #[inline(always)]
        |column| a[column].plus(b[column]),
    )
}

// Each of these loops hands something on from row to row that is stored as well, so that the compiler makes vectors of
// rows, not of columns.

/// Makes residuals, and of them sums.
#[inline(always)]
fn add_up_residuals<W: Word>(rows: &mut [Row<W>], center: W) {
    let mut values = [W::default(); COLUMNS];
    for row in rows {
        values = plus(values, residuals(*row, center));
        *row = values;
    }
}

/// Makes residuals; returns the sums of columns, and those of the sums of each row and those before.
#[inline(always)]
fn sum_twice<W: Word>(rows: &mut [Row<W>], center: W) -> (Row<W>, Row<W>) {
    let (mut sums, mut sums_of_sums) = ([W::default(); COLUMNS], [W::default(); COLUMNS]);
    for row in rows {
        let residuals = residuals(*row, center);
        *row = residuals;
        sums = plus(sums, residuals);
        sums_of_sums = plus(sums_of_sums, sums);
    }
    (sums, sums_of_sums)
}

#[inline(always)]
fn damp<W: Word>(rows: &mut [Row<W>]) {
    let mut values = [W::default(); COLUMNS];
    for row in rows {
        values = plus(*row, values.map(Word::half));
        *row = values;
    }
}

#[inline(always)]
fn add_up_once<W: Word>(rows: &mut [Row<W>]) {
    let mut values = [W::default(); COLUMNS];
    for row in rows {
        values = plus(values, *row);
        *row = values;
    }
}

#[inline(always)]
fn add_up_twice<W: Word>(rows: &mut [Row<W>], mut values: Row<W>, mut slopes: Row<W>) {
    for row in rows {
        slopes = plus(slopes, *row);
        values = plus(values, slopes);
        *row = values;
    }
}

/// Cells as [`Columns::into_cells`] makes them, in the order of the numbers.
pub(super) fn straighten<W: Word>(cells: &[W]) -> Vec<W> {
    let (rows, _) = cells.as_chunks::<COLUMNS>();
    let mut out = Vec::with_capacity(cells.len() + COLUMNS);
    out.extend(cells.last());
    for column in 0..COLUMNS {
        out.extend(rows.iter().map(|row| row[column]));
    }
    // The first one is the last cell.
    out.truncate(cells.len());
    out
}

/// Of `len` cells as [`Columns::into_cells`] makes them, the index of the one that a number has.
pub(super) const fn place(len: usize, number: usize) -> usize {
    match number.checked_sub(1) {
        None => len.saturating_sub(1),
        Some(offset) => {
            let rows = len / COLUMNS;
            offset % rows * COLUMNS + offset / rows
        }
    }
}
