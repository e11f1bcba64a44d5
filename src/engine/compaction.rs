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

/// A chunk of a block file that a checkpoint changes.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) series: SeriesId,
    pub(super) chunk: Sealed<ChunkEntry>,
    pub(super) entry: ChunkEntry,
}

/// What one checkpoint compacts.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    sparse: HashSet<FileId>,
    bytes_left: u64,
    /// To be written anew.
    pub(super) rewrites: Vec<Stored>,
    /// Nothing of them is shown.
    pub(super) gone: Vec<Stored>,
    /// Deletions that hide something.
    pub(super) needed: BTreeSet<Position>,
}

/// A chunk's rows that are shown, as they are written.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) bytes: Bytes,
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
        let stored = || Stored {
            series,
            chunk: chunk.clone(),
            entry: *entry,
        };
        if chunk.is_gone() {
            self.gone.push(stored());
        } else if self.bytes_left > 0 || !chunk.left().is_empty() {
            // Rows of one time leave together, whatever chunks they are in: a tier counts them once.
            self.bytes_left = self.bytes_left.saturating_sub(entry.record_bytes());
            self.rewrites.push(stored());
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
    /// Chunks are dead from the next commit on.
    pub(super) fn release_stored<'a>(&self, stored: impl Iterator<Item = &'a Stored>) {
        for one in stored {
            self.blocks.release(&one.entry);
        }
    }

    /// Takes that back, for those that nobody else has given up meanwhile.
    pub(super) fn revive_stored<'a>(&self, stored: impl Iterator<Item = &'a Stored>) {
        for one in stored {
            let shard = self.shards[self.placement.shard(one.series)].read();
            let series = shard.get(self.placement.slot(one.series));
            if series.is_some_and(|series| series.ring.iter().any(|chunk| one.is(chunk))) {
                self.blocks.revive(&one.entry);
            }
        }
    }
}

impl Stored {
    /// Whether a chunk of the ring is this one.
    pub(super) fn is(&self, chunk: &Sealed<ChunkEntry>) -> bool {
        matches!(&chunk.location, Location::Stored(entry) if *entry == self.entry)
    }
}

/// What is shown of a chunk's bytes, written anew; `None` where that is nothing.
pub(super) fn shown_of(
    chunk: &Sealed<ChunkEntry>,
    bytes: &Bytes,
    effort: Effort,
) -> Result<Option<Shown>, CodecError> {
    let Some(hidden) = &chunk.hidden else {
        return Ok(Some(Shown {
            bytes: bytes.clone(),
            rows: chunk.rows,
            first_time: chunk.first_time,
            last_time: chunk.last_time,
            hidden: HiddenRows::default(),
        }));
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
    Ok(Some(Shown {
        bytes: chunk::encode(&kept, positions, &mut Hints::default(), effort).into(),
        rows: kept.times.len() as u32,
        first_time,
        last_time,
        hidden: hidden_rows,
    }))
}
