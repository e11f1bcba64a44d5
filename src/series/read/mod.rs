//! Reading a series: a snapshot taken under the owner's lock, decoded outside it.
//!
//! Pieces that overlap nothing are read one after another, and of a sealed chunk only what is asked for:
//! nothing where its statistics answer, or exclude every row; otherwise the rows of the range. Pieces that
//! overlap are merged, the later applied row winning field by field. Times are unique, clipped to the
//! range, and ascend within a part; parts come in the order that is asked for.

mod chunk;
mod demand;
mod newest;
mod overlap;
mod piece;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::{Cells, CodecError};
use crate::limits::CHUNK_ROWS;
use crate::series::merge::{append_rows, slice};
use crate::series::{Sealed, Series};
use crate::types::{LayoutColumn, Position, TimeRange, Timestamp};

use self::overlap::{Overlap, Step};
use self::piece::{Piece, Placed};

pub use self::piece::Decoded;

pub use self::demand::{
    ChunkFacts, ColumnSummary, Demand, Needs, Part, ReadCounts, Summaries, Summary,
};

/// What a series held at one moment in a range of time.
#[derive(Debug)]
pub struct Snapshot<E> {
    range: TimeRange,
    /// By ascending first time.
    pieces: VecDeque<Placed<E>>,
    /// The group of overlapping pieces that is being read.
    overlap: Option<Overlap<E>>,
    ready: VecDeque<Part>,
    rows: u64,
    counts: ReadCounts,
}

/// What all parts of a read have in common.
struct Reading<'a, E, X> {
    columns: &'a [LayoutColumn],
    lanes: &'a [LayoutColumn],
    demand: &'a Demand<'a>,
    fetch: &'a mut dyn FnMut(&E) -> Result<Bytes, X>,
    ready: &'a mut VecDeque<Part>,
    /// Rows that were handed out so far.
    rows: &'a mut u64,
    counts: &'a mut ReadCounts,
}

impl<E: Clone> Series<E> {
    /// Copies what is needed to read a range: references to sealed chunks, a copy of the open end.
    pub fn snapshot(&self, range: TimeRange) -> Snapshot<E> {
        self.snapshot_of(range, Sealed::shown)
    }

    /// The same, with rows that have left because they were too old or too many, as long as their chunks have them.
    pub fn snapshot_with_left(&self, range: TimeRange) -> Snapshot<E> {
        self.snapshot_of(range, |chunk| {
            let mut there = chunk.shown();
            there.extend(chunk.left());
            there
        })
    }

    fn snapshot_of(
        &self,
        range: TimeRange,
        of_hidden: impl Fn(&Sealed<E>) -> Vec<(Timestamp, Timestamp)>,
    ) -> Snapshot<E> {
        let mut pieces: Vec<Placed<E>> = Vec::new();
        for chunk in self.ring.overlapping(range) {
            if chunk.hidden.is_none() {
                pieces.push(Placed::of(chunk, (chunk.first_time, chunk.last_time)));
                continue;
            }
            let shown = of_hidden(chunk).into_iter();
            let shown = shown.filter(|&(first, last)| range.overlaps(first, last));
            pieces.extend(shown.map(|shown| Placed::of(chunk, shown)));
        }
        self.add_unsealed(range, &mut pieces);
        Snapshot::of(range, pieces)
    }

    /// Blocks, staged rows and late rows are pieces of their own, so that the newest rows can be read
    /// without the blocks before them.
    fn add_unsealed(&self, range: TimeRange, pieces: &mut Vec<Placed<E>>) {
        let Some((layout, open, rows, late)) = self.unsealed() else {
            return;
        };
        let mut add = |(first_time, last_time), rows, precedence, piece: &dyn Fn() -> Piece<E>| {
            if range.overlaps(first_time, last_time) {
                pieces.push(Placed {
                    first_time,
                    last_time,
                    clipped: false,
                    rows,
                    precedence: (Position(u64::MAX), precedence),
                    joined: false,
                    piece: piece(),
                });
            }
        };
        let cells_of = |rows| {
            let mut cells = Cells::default();
            append_rows(&mut cells, layout, rows);
            cells
        };
        let newest = self.newest().unwrap_or(Timestamp::MIN);
        let staged_from = rows.times().first().copied();
        if open.rows() > 0 {
            let last = staged_from.map_or(newest, |from| from.saturating_sub(1));
            add((open.first_time(), last), open.rows(), 0, &|| {
                Piece::Blocks(open.bytes().to_vec())
            });
        }
        if let Some(from) = staged_from {
            add((from, newest), rows.len(), 0, &|| {
                Piece::Rows(cells_of(rows))
            });
        }
        if let Some(late) = late.filter(|late| !late.times().is_empty()) {
            let first = late.times().iter().copied().min();
            let last = late.times().iter().copied().max();
            let bounds = (
                first.unwrap_or(Timestamp::MAX),
                last.unwrap_or(Timestamp::MIN),
            );
            add(bounds, late.len(), 1, &|| Piece::Late(cells_of(late)));
        }
    }
}

impl<E: Clone> Snapshot<E> {
    /// Rows that have left these chunks because they were too old or too many, and are in them still.
    pub fn of_left<'a>(chunks: impl IntoIterator<Item = &'a Sealed<E>>) -> Self
    where
        E: 'a,
    {
        let left = chunks.into_iter().flat_map(|chunk| {
            let left = chunk.left().into_iter();
            left.map(move |left| Placed::of(chunk, left))
        });
        Self::of(TimeRange::ALL, left.collect())
    }
}

impl<E> Snapshot<E> {
    fn of(range: TimeRange, mut pieces: Vec<Placed<E>>) -> Self {
        pieces.sort_by_key(|placed| placed.first_time);
        let mut end = None;
        for placed in &mut pieces {
            placed.joined = end.is_some_and(|end| placed.first_time <= end);
            end = end.max(Some(placed.last_time));
        }
        Self {
            pieces: pieces.into(),
            range,
            ..Self::empty()
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self {
            range: TimeRange::ALL,
            pieces: VecDeque::new(),
            overlap: None,
            ready: VecDeque::new(),
            rows: 0,
            counts: ReadCounts::default(),
        }
    }

    /// What was read and what was spared so far.
    pub const fn counts(&self) -> ReadCounts {
        self.counts
    }

    /// The next part, or `None` at the end. `columns` are those asked for; `lanes` are the other lanes of
    /// their fields, which a merge must know; `fetch` brings the bytes of a stored chunk. All of these must
    /// be the same in every call.
    pub fn next<X: From<CodecError>>(
        &mut self,
        columns: &[LayoutColumn],
        lanes: &[LayoutColumn],
        demand: &Demand<'_>,
        fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
    ) -> Result<Option<Part>, X> {
        loop {
            if let Some(part) = self.ready.pop_front() {
                return Ok(Some(part));
            }
            if demand
                .rows_max
                .is_some_and(|rows_max| self.rows >= rows_max)
            {
                return Ok(None);
            }
            let mut reading = Reading {
                columns,
                lanes,
                demand,
                fetch: &mut *fetch,
                ready: &mut self.ready,
                rows: &mut self.rows,
                counts: &mut self.counts,
            };
            if let Some(overlap) = &mut self.overlap {
                match overlap.next(&mut reading)? {
                    Step::Read => {}
                    Step::End => self.overlap = None,
                }
                continue;
            }
            let mut group = next_group(&mut self.pieces, demand.newest_first);
            match group.len() {
                0 => return Ok(None),
                1 if group[0].is_sorted() => {
                    if let Some(alone) = group.pop() {
                        reading.read_alone(&alone, self.range)?;
                    }
                }
                _ => self.overlap = Some(Overlap::new(group, self.range)),
            }
        }
    }
}

/// The pieces at one end that overlap one another.
fn next_group<E>(pieces: &mut VecDeque<Placed<E>>, newest_first: bool) -> Vec<Placed<E>> {
    let mut group = Vec::new();
    if newest_first {
        while let Some(piece) = pieces.pop_back() {
            let joined = piece.joined;
            group.push(piece);
            if !joined {
                break;
            }
        }
    } else {
        group.extend(pieces.pop_front());
        while let Some(piece) = pieces.pop_front_if(|next| next.joined) {
            group.push(piece);
        }
    }
    group
}

impl<E, X: From<CodecError>> Reading<'_, E, X> {
    /// Reads what no other piece touches.
    fn read_alone(&mut self, placed: &Placed<E>, within: TimeRange) -> Result<(), X> {
        if let Piece::Sealed(_) = &placed.piece {
            return chunk::read(placed, within, self);
        }
        let (times, columns) = placed.piece.decode_unsealed(self.columns)?;
        self.counts.open_parts += 1;
        let from = times.partition_point(|&time| time < within.start);
        let inside = times[from..].partition_point(|&time| within.contains(time));
        self.emit((times, columns), from..from + inside);
        Ok(())
    }

    /// Hands out some rows, as far as more are wanted, about a thousand at a time.
    fn emit(&mut self, (times, columns): Decoded, rows: std::ops::Range<usize>) {
        let rows = self.wanted(rows);
        if rows == (0..times.len()) && rows.len() <= 2 * CHUNK_ROWS {
            if !rows.is_empty() {
                self.ready.push_back(Part::Rows((times, columns)));
            }
            return;
        }
        for part in self.batches(rows) {
            let columns = columns
                .iter()
                .map(|column| slice(column, part.clone()))
                .collect();
            self.ready
                .push_back(Part::Rows((times[part].to_vec(), columns)));
        }
    }

    /// Those of some rows that are still wanted; counts them.
    fn wanted(&mut self, mut rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
        if let Some(rows_max) = self.demand.rows_max {
            let left = usize::try_from(rows_max.saturating_sub(*self.rows)).unwrap_or(usize::MAX);
            let count = rows.len().min(left);
            if self.demand.newest_first {
                rows.start = rows.end - count;
            } else {
                rows.end = rows.start + count;
            }
        }
        *self.rows += rows.len() as u64;
        rows
    }

    /// Rows in batches, in the order in which they are wanted.
    fn batches(&self, rows: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let mut batches: Vec<_> = rows
            .clone()
            .step_by(CHUNK_ROWS)
            .map(|start| start..rows.end.min(start + CHUNK_ROWS))
            .collect();
        if self.demand.newest_first {
            batches.reverse();
        }
        batches
    }
}
