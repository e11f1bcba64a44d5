//! Pieces of a snapshot: rows of one origin, not decoded yet.

use bytes::Bytes;

use crate::codec::chunk::Chunk;
use crate::codec::vector::ColumnVector;
use crate::codec::{Cells, CodecError};
use crate::series::merge::{merge_vectors, to_vector};
use crate::series::{Location, Sealed, open};
use crate::types::{FieldId, LayoutColumn, Position, Timestamp};

/// Times and one column for each that was asked for.
pub type Decoded = (Vec<Timestamp>, Vec<ColumnVector>);

/// Rows of one origin.
#[derive(Debug)]
pub(super) enum Piece<E> {
    /// A sealed chunk.
    Sealed(Location<E>),
    /// Blocks of the open chunk behind one another.
    Blocks(Vec<u8>),
    /// Staged rows, in order.
    Rows(Cells),
    /// Late rows, as they came.
    Late(Cells),
}

/// A piece and its place in time.
#[derive(Debug)]
pub(super) struct Placed<E> {
    /// No row that is shown is earlier.
    pub(super) first_time: Timestamp,
    /// No row that is shown is later.
    pub(super) last_time: Timestamp,
    /// Whether it may have rows before or behind that, which are not shown.
    pub(super) clipped: bool,
    /// Rows; late ones may share a time.
    pub(super) rows: usize,
    /// Of rows at one time those of the higher one win.
    pub(super) precedence: (Position, u8),
    /// Whether it overlaps a piece that begins earlier.
    pub(super) joined: bool,
    pub(super) piece: Piece<E>,
}

impl<E: Clone> Placed<E> {
    /// What a chunk shows between two times, both included.
    pub(super) fn of(chunk: &Sealed<E>, (first_time, last_time): (Timestamp, Timestamp)) -> Self {
        Self {
            first_time,
            last_time,
            clipped: (first_time, last_time) != (chunk.first_time, chunk.last_time),
            rows: chunk.rows as usize,
            precedence: chunk.precedence(),
            joined: false,
            piece: Piece::Sealed(chunk.location.clone()),
        }
    }
}

impl<E> Placed<E> {
    /// Whether rows lie in order, each time once.
    pub(super) const fn is_sorted(&self) -> bool {
        !matches!(self.piece, Piece::Late(_))
    }
}

impl<E> Piece<E> {
    /// The sealed chunk; an error for any other piece. What this process encoded and has never let go of
    /// needs no check of its sum.
    pub(super) fn open<X: From<CodecError>>(
        &self,
        fetch: &mut dyn FnMut(&E) -> Result<Bytes, X>,
    ) -> Result<Chunk<Bytes>, X> {
        Ok(match self {
            Self::Sealed(Location::Memory(bytes)) => Chunk::reopen(bytes.clone())?,
            Self::Sealed(Location::Stored(entry)) => Chunk::open(fetch(entry)?)?,
            _ => Chunk::open(Bytes::new())?,
        })
    }

    /// The rows of any piece that is not sealed, in order.
    pub(super) fn decode_unsealed(&self, columns: &[LayoutColumn]) -> Result<Decoded, CodecError> {
        match self {
            Self::Sealed(_) => Ok((Vec::new(), Vec::new())),
            Self::Blocks(bytes) => {
                let mut cells = Cells::default();
                open::decode(bytes, &mut cells)?;
                let columns = cells_columns(&cells, columns);
                Ok((cells.times, columns))
            }
            Self::Rows(cells) => Ok((cells.times.clone(), cells_columns(cells, columns))),
            Self::Late(cells) => {
                let fields: Vec<FieldId> = columns.iter().map(|column| column.field).collect();
                let rows = (cells.times.clone(), cells_columns(cells, columns));
                Ok(merge_vectors(&[rows], &fields))
            }
        }
    }
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
