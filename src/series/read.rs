//! Reading a series: a snapshot taken under the owner's lock, decoded outside it.
//!
//! Pieces that do not overlap in time are decoded one after another; those that do are merged, the later
//! applied row winning field by field. Times come out ascending and unique, clipped to the range.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::codec::vector::ColumnVector;
use crate::codec::{Cells, CodecError, chunk::Chunk};
use crate::limits::CHUNK_ROWS;
use crate::series::merge::{append_rows, merge_vectors, slice, to_vector};
use crate::series::open;
use crate::series::{Location, Series};
use crate::types::{FieldId, LayoutColumn, Position, TimeRange, Timestamp};

/// Rows of one origin, not decoded yet.
#[derive(Debug)]
pub enum Piece<E> {
    /// A sealed chunk.
    Sealed(Location<E>),
    /// Blocks of the open chunk, and rows behind them that are not compressed.
    Unsealed {
        /// Blocks behind one another.
        open: Vec<u8>,
        /// Rows; sorted only where they follow the blocks.
        rows: Cells,
    },
}

#[derive(Debug)]
struct Placed<E> {
    first_time: Timestamp,
    last_time: Timestamp,
    precedence: (Position, u8),
    /// Rows up to this time are not shown.
    hidden_through: Timestamp,
    piece: Piece<E>,
}

impl<E> Placed<E> {
    /// Late rows that are not sealed lie as they came.
    fn is_sorted(&self) -> bool {
        matches!(self.piece, Piece::Sealed(_)) || self.precedence.1 == 0
    }
}

/// What a series held at one moment in a range of time.
#[derive(Debug)]
pub struct Snapshot<E> {
    range: TimeRange,
    pieces: VecDeque<Placed<E>>,
    ready: VecDeque<Decoded>,
}

/// Times and one column for each that was asked for.
pub type Decoded = (Vec<Timestamp>, Vec<ColumnVector>);

impl<E: Clone> Series<E> {
    /// Copies what is needed to read a range: references to sealed chunks, a copy of the open end.
    pub fn snapshot(&self, range: TimeRange) -> Snapshot<E> {
        let mut pieces: Vec<Placed<E>> = self
            .ring
            .overlapping(range)
            .map(|chunk| Placed {
                first_time: chunk.first_time,
                last_time: chunk.last_time,
                precedence: chunk.precedence(),
                hidden_through: chunk.hidden_through,
                piece: Piece::Sealed(chunk.location.clone()),
            })
            .collect();
        if let Some((layout, open, rows, late)) = self.unsealed() {
            let staged_from = rows.times().first().copied();
            let first = if open.rows() > 0 {
                Some(open.first_time())
            } else {
                staged_from
            };
            let newest = self.newest().unwrap_or(Timestamp::MIN);
            if let Some(first_time) = first.filter(|&first| range.overlaps(first, newest)) {
                let only_staged = staged_from.is_some_and(|from| range.start >= from);
                let mut tail = Cells::default();
                append_rows(&mut tail, layout, rows);
                pieces.push(Placed {
                    first_time,
                    last_time: newest,
                    precedence: (Position(u64::MAX), 0),
                    hidden_through: Timestamp::MIN,
                    piece: Piece::Unsealed {
                        open: if only_staged {
                            Vec::new()
                        } else {
                            open.bytes().to_vec()
                        },
                        rows: tail,
                    },
                });
            }
            if let Some(late) = late {
                let (first_time, last_time) = bounds(late.times());
                if range.overlaps(first_time, last_time) {
                    let mut cells = Cells::default();
                    append_rows(&mut cells, layout, late);
                    pieces.push(Placed {
                        first_time,
                        last_time,
                        precedence: (Position(u64::MAX), 1),
                        hidden_through: Timestamp::MIN,
                        piece: Piece::Unsealed {
                            open: Vec::new(),
                            rows: cells,
                        },
                    });
                }
            }
        }
        pieces.sort_by_key(|placed| placed.first_time);
        Snapshot {
            range,
            pieces: pieces.into(),
            ready: VecDeque::new(),
        }
    }
}

impl<E> Snapshot<E> {
    /// Nothing.
    pub fn empty() -> Self {
        Self {
            range: TimeRange::ALL,
            pieces: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next rows, or `None` at the end. `columns` are those asked for; `lanes` are the other lanes of
    /// their fields, which a merge must know; `fetch` brings the bytes of a stored chunk.
    pub fn next<X: From<CodecError>>(
        &mut self,
        columns: &[LayoutColumn],
        lanes: &[LayoutColumn],
        fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
    ) -> Result<Option<Decoded>, X> {
        loop {
            if let Some(decoded) = self.ready.pop_front() {
                return Ok(Some(decoded));
            }
            let Some(first) = self.pieces.pop_front() else {
                return Ok(None);
            };
            let mut end = first.last_time;
            let mut group = vec![first];
            while let Some(next) = self.pieces.pop_front_if(|next| next.first_time <= end) {
                end = end.max(next.last_time);
                group.push(next);
            }
            let decoded = if group.len() == 1 && group[0].is_sorted() {
                decode(&group[0], columns, fetch)?
            } else {
                merge_group(group, columns, lanes, fetch)?
            };
            self.emit(decoded);
        }
    }

    fn emit(&mut self, (times, columns): Decoded) {
        let from = times.partition_point(|&time| time < self.range.start);
        let to =
            times.partition_point(|&time| time < self.range.start || self.range.contains(time));
        if from == 0 && to == times.len() && to <= 2 * CHUNK_ROWS {
            if to > 0 {
                self.ready.push_back((times, columns));
            }
            return;
        }
        let mut start = from;
        while start < to {
            let end = to.min(start + CHUNK_ROWS);
            let part = columns
                .iter()
                .map(|column| slice(column, start..end))
                .collect();
            self.ready.push_back((times[start..end].to_vec(), part));
            start = end;
        }
    }
}

fn merge_group<E, X: From<CodecError>>(
    mut group: Vec<Placed<E>>,
    columns: &[LayoutColumn],
    lanes: &[LayoutColumn],
    fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
) -> Result<Decoded, X> {
    group.sort_by_key(|placed| placed.precedence);
    let all: Vec<LayoutColumn> = columns.iter().chain(lanes).copied().collect();
    let fields: Vec<FieldId> = all.iter().map(|column| column.field).collect();
    let sources = group
        .iter()
        .map(|placed| decode(placed, &all, fetch))
        .collect::<Result<Vec<_>, X>>()?;
    let (times, mut merged) = merge_vectors(&sources, &fields);
    merged.truncate(columns.len());
    Ok((times, merged))
}

fn decode<E, X: From<CodecError>>(
    placed: &Placed<E>,
    columns: &[LayoutColumn],
    fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
) -> Result<Decoded, X> {
    let (times, columns) = decode_piece(&placed.piece, columns, fetch)?;
    if placed.hidden_through == Timestamp::MIN {
        return Ok((times, columns));
    }
    let from = times.partition_point(|&time| time <= placed.hidden_through);
    let shown = columns
        .iter()
        .map(|column| slice(column, from..times.len()));
    Ok((times[from..].to_vec(), shown.collect()))
}

fn decode_piece<E, X: From<CodecError>>(
    piece: &Piece<E>,
    columns: &[LayoutColumn],
    fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
) -> Result<Decoded, X> {
    match piece {
        Piece::Sealed(Location::Memory(bytes)) => Ok(decode_chunk(bytes, columns)?),
        Piece::Sealed(Location::Stored(entry)) => Ok(decode_chunk(&fetch(entry)?, columns)?),
        Piece::Unsealed { open, rows } => {
            let mut cells = Cells::default();
            open::decode(open, &mut cells)?;
            let blocks = cells_columns(&cells, columns);
            let staged = cells_columns(rows, columns);
            Ok(concatenate(
                (cells.times, blocks),
                (rows.times.clone(), staged),
            ))
        }
    }
}

fn decode_chunk(bytes: &[u8], columns: &[LayoutColumn]) -> Result<Decoded, CodecError> {
    let chunk = Chunk::open(bytes)?;
    let mut times = Vec::new();
    chunk.decode_times(&mut times)?;
    let rows = times.len();
    let columns = columns
        .iter()
        .map(|column| {
            Ok(chunk
                .decode_column(column.id)?
                .unwrap_or_else(|| ColumnVector::nulls(column.field_type, rows)))
        })
        .collect::<Result<_, CodecError>>()?;
    Ok((times, columns))
}

fn cells_columns(cells: &Cells, columns: &[LayoutColumn]) -> Vec<ColumnVector> {
    columns
        .iter()
        .map(|wanted| {
            cells
                .columns
                .iter()
                .find(|column| column.id == wanted.id)
                .map_or_else(
                    || ColumnVector::nulls(wanted.field_type, cells.times.len()),
                    to_vector,
                )
        })
        .collect()
}

fn concatenate(first: Decoded, second: Decoded) -> Decoded {
    if first.0.is_empty() {
        return second;
    }
    if second.0.is_empty() {
        return first;
    }
    let (mut times, mut columns) = first;
    times.extend_from_slice(&second.0);
    for (column, more) in columns.iter_mut().zip(second.1) {
        column.append(&more);
    }
    (times, columns)
}

fn bounds(times: &[Timestamp]) -> (Timestamp, Timestamp) {
    let first = times.iter().copied().min().unwrap_or(Timestamp::MAX);
    let last = times.iter().copied().max().unwrap_or(Timestamp::MIN);
    (first, last)
}
