//! What a checkpoint takes out of block files: chunks of which nothing is shown go, those of which something
//! is hidden are written anew without it, and what lives in files that are mostly dead moves to a new one.
//!
//! A chunk that is written anew keeps its positions: its rows are had up to there, those that are gone too.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use crate::blocks::{ChunkEntry, FileId};
use crate::codec::chunk::{self, Chunk, Hints};
use crate::codec::{Cells, CodecError, Effort};
use crate::engine::Engine;
use crate::series::{HiddenRows, Location, Sealed, retain_rows};
use crate::types::{Position, SeriesId, Timestamp};

/// A chunk of a series as a checkpoint found it: there are as many as there are series, so it knows no more.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) series: SeriesId,
    pub(super) chunk: Sealed<ChunkEntry>,
}

/// What one checkpoint compacts.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    sparse: HashSet<FileId>,
    bytes_left: u64,
    /// To be written anew.
    pub(super) rewrites: Vec<Found>,
    /// Nothing of them is shown.
    pub(super) gone: Vec<Found>,
    /// Deletions that hide something.
    pub(super) needed: BTreeSet<Position>,
}

/// What is shown of a chunk's rows.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) rows: u32,
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
    /// Rows that are not written, because they are hidden.
    pub(super) hidden: HiddenRows,
}

impl Compaction {
    /// Reads at most so many bytes of chunks.
    pub(super) fn new(sparse: HashSet<FileId>, bytes_max: u64) -> Self {
        Self {
            sparse,
            bytes_left: bytes_max,
            ..Self::default()
        }
    }

    /// Decides what becomes of a chunk.
    pub(super) fn look(&mut self, series: SeriesId, chunk: &Sealed<ChunkEntry>) {
        if let Some(hidden) = &chunk.hidden {
            let positions = hidden.tombstones().iter().map(|known| known.position);
            self.needed.extend(positions);
        }
        let Location::Stored(entry) = &chunk.location else {
            return;
        };
        let is_hidden = chunk.hidden.is_some();
        if !is_hidden && !self.sparse.contains(&entry.file) {
            return;
        }
        let found = || Found {
            series,
            chunk: chunk.clone(),
        };
        if chunk.is_gone() {
            self.gone.push(found());
        } else if self.bytes_left > 0 || !chunk.left().is_empty() {
            // Rows of one time leave together, whatever chunks they are in: a tier counts them once.
            self.bytes_left = self.bytes_left.saturating_sub(entry.record_bytes());
            self.rewrites.push(found());
        }
    }

    /// Whether chunks of so many bytes are read for something else.
    pub(super) fn reads(&mut self, bytes: u64) -> bool {
        let reads = self.bytes_left > 0;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        reads
    }

    /// Whether a chunk of a tier moves, because its file is mostly dead.
    pub(super) fn takes(&mut self, entry: &ChunkEntry) -> bool {
        let takes = self.bytes_left > 0 && self.sparse.contains(&entry.file);
        if takes {
            self.bytes_left = self.bytes_left.saturating_sub(entry.record_bytes());
        }
        takes
    }
}

impl Engine {
    /// Those of these chunks that are in block files are dead from the next commit on.
    pub(super) fn release_stored<'a>(&self, found: impl Iterator<Item = &'a Found>) {
        for entry in found.filter_map(Found::entry) {
            self.blocks.release(entry);
        }
    }

    /// Takes that back, for those that nobody else has given up meanwhile.
    pub(super) fn revive_stored<'a>(&self, found: impl Iterator<Item = &'a Found>) {
        for one in found {
            let Some(entry) = one.entry() else {
                continue;
            };
            let shard = self.shards[self.placement.shard(one.series)].read();
            let series = shard.get(self.placement.slot(one.series));
            if series.is_some_and(|series| series.ring.iter().any(|chunk| one.is(chunk))) {
                self.blocks.revive(entry);
            }
        }
    }
}

impl Found {
    /// Where it is in a block file.
    pub(super) const fn entry(&self) -> Option<&ChunkEntry> {
        match &self.chunk.location {
            Location::Stored(entry) => Some(entry),
            Location::Memory(_) => None,
        }
    }

    /// The bytes of one that is in no block file, and whose they are.
    pub(super) const fn unflushed(&self) -> Option<(SeriesId, &Bytes)> {
        match &self.chunk.location {
            Location::Stored(_) => None,
            Location::Memory(bytes) => Some((self.series, bytes)),
        }
    }

    /// Whether a chunk of the ring is this one.
    pub(super) fn is(&self, chunk: &Sealed<ChunkEntry>) -> bool {
        match &self.chunk.location {
            Location::Stored(entry) => {
                matches!(&chunk.location, Location::Stored(other) if other == entry)
            }
            Location::Memory(_) => {
                chunk.is_unflushed() && chunk.precedence() == self.chunk.precedence()
            }
        }
    }
}

/// A chunk's bytes, written anew with what is shown of them, and what that is; `None` where it is nothing.
pub(super) fn shown_of(
    chunk: &Sealed<ChunkEntry>,
    bytes: &Bytes,
    effort: Effort,
) -> Result<Option<(Bytes, Shown)>, CodecError> {
    let Some(hidden) = &chunk.hidden else {
        let shown = Shown {
            rows: chunk.rows,
            first_time: chunk.first_time,
            last_time: chunk.last_time,
            hidden: HiddenRows::default(),
        };
        return Ok(Some((bytes.clone(), shown)));
    };
    let mut cells = Cells::default();
    Chunk::open(bytes)?.decode_cells(&mut cells)?;
    let hidden_rows = hidden.count(chunk.rows, |range| {
        let from = cells.times.partition_point(|&time| time < range.start);
        let within = cells.times[from..].partition_point(|&time| range.contains(time));
        Ok::<_, CodecError>(from..from + within)
    })?;
    hidden.set_rows(hidden_rows);
    let kept = retain_rows(&cells, |time| !hidden.hides(time));
    let (Some(&first_time), Some(&last_time)) = (kept.times.first(), kept.times.last()) else {
        return Ok(None);
    };
    let positions = (chunk.first_position, chunk.last_position);
    let shown = Shown {
        rows: kept.times.len() as u32,
        first_time,
        last_time,
        hidden: hidden_rows,
    };
    let bytes = chunk::encode(&kept, positions, &mut Hints::default(), effort);
    Ok(Some((bytes.into(), shown)))
}
