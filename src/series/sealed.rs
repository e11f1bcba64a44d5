//! A sealed chunk as the ring knows it: what it covers and where its bytes are.

use std::sync::Arc;

use bytes::Bytes;

use crate::series::hidden::{Hidden, HiddenRows, Tombstone};
use crate::types::{Position, Timestamp};

/// Where the bytes of a sealed chunk are.
#[derive(Clone, Debug)]
pub enum Location<E> {
    /// In memory only: not in a block file yet.
    Memory(Bytes),
    /// In a block file, at this entry.
    Stored(E),
}

/// A sealed chunk. `E` is the block store's name for a place in a block file.
#[derive(Clone, Debug)]
pub struct Sealed<E> {
    /// Time of the first row.
    pub first_time: Timestamp,
    /// Time of the last row.
    pub last_time: Timestamp,
    /// Rows, at least one.
    pub rows: u32,
    /// Bytes, encoded.
    pub len_bytes: u32,
    /// Log position of the earliest row.
    pub first_position: Position,
    /// Log position of the latest row: of two chunks with rows at one time the higher one wins.
    pub last_position: Position,
    /// Among chunks sealed at the same position, the one that wins.
    pub rank: u8,
    /// Rows whose place others took before it was sealed, until a checkpoint has counted them.
    pub overwritten: u32,
    /// Which rows are gone, and why; `None`: none.
    pub hidden: Option<Arc<Hidden>>,
    /// The bytes.
    pub location: Location<E>,
}

impl<E> Sealed<E> {
    /// What decides between rows with the same time.
    pub fn precedence(&self) -> (Position, u8) {
        (self.last_position, self.rank)
    }

    /// Hides what a tombstone hits; whether it can hit anything. Rows behind the tombstone's position are safe:
    /// a series seals what it has of the range first, so that no chunk has rows of both sides there.
    pub fn hide(&mut self, tombstone: Tombstone) -> bool {
        let bounds = (self.first_time, self.last_time);
        if self.last_position >= tombstone.position || !tombstone.range.overlaps(bounds.0, bounds.1)
        {
            return false;
        }
        let hidden = Hidden::with(self.hidden.as_deref(), tombstone, bounds);
        self.hidden = Some(Arc::new(hidden));
        true
    }

    /// What it may show: first and last time of each stretch, ascending.
    pub fn shown(&self) -> Vec<(Timestamp, Timestamp)> {
        let (first, last) = (self.first_time, self.last_time);
        match &self.hidden {
            None => vec![(first, last)],
            Some(hidden) => hidden.shown(first, last),
        }
    }

    /// What left it because it was too old or too many, and is in it still: first and last time of each stretch.
    pub fn left(&self) -> Vec<(Timestamp, Timestamp)> {
        let hidden = self.hidden.as_ref();
        hidden.map_or_else(Vec::new, |hidden| {
            hidden.left(self.first_time, self.last_time)
        })
    }

    /// Whether nothing of it is shown any more.
    pub fn is_gone(&self) -> bool {
        self.hidden.is_some() && self.shown().is_empty()
    }

    /// Rows that are hidden, as far as they were counted.
    pub fn hidden_rows(&self) -> HiddenRows {
        let hidden = self.hidden.as_ref();
        hidden.and_then(|hidden| hidden.rows()).unwrap_or_default()
    }

    /// Whether it is in memory only.
    pub fn is_unflushed(&self) -> bool {
        matches!(self.location, Location::Memory(_))
    }
}
