//! Rows that retention lets go are given away before they leave, where somebody takes them.
//!
//! The rows of a series that are due are read, without a lock, and handed to the sink; only when it has them for good do
//! they leave. What has changed meanwhile, a late row, a deletion, is looked at again with the next tick. A crash in
//! between hands rows over twice: a sink has to take the same row again.
//!
//! Where the sink fails, rows that are too old stay, unseen, and are offered again; rows that are one too many for their
//! series, their class or the device leave all the same, and are counted: the bounds of the store come first.

mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use self::store::StoreArchive;
use crate::blocks::{BlockError, ChunkEntry};
use crate::catalog::Tag;
use crate::codec::Cells;
use crate::codec::chunk::Chunk;
use crate::engine::ledger::owner_of_series;
use crate::engine::{Engine, EngineError};
use crate::log::expiry::up_to;
use crate::series::{Location, Sealed, Series, retain_rows};
use crate::types::{FieldType, Position, SeriesId, Timestamp};

/// Rows of one series that are about to leave.
#[derive(Debug)]
pub struct ArchiveRows<'a> {
    /// Its database.
    pub database: &'a str,
    /// Its measurement.
    pub measurement: &'a str,
    /// Its tags.
    pub tags: &'a [Tag],
    /// Name and type of each column of the cells.
    pub fields: &'a [(Arc<str>, FieldType)],
    /// The rows, ascending by time.
    pub cells: &'a Cells,
}

/// Why a sink takes nothing.
#[derive(Debug, thiserror::Error)]
#[error("the archive takes no rows: {reason}")]
pub struct ArchiveError {
    /// What it said.
    pub reason: String,
}

/// Where rows go that leave.
pub trait ArchiveSink: std::fmt::Debug + Send + Sync {
    /// Takes rows. It may have them already.
    fn keep(&self, rows: &ArchiveRows<'_>) -> Result<(), ArchiveError>;

    /// Returns when all that was taken is there for good.
    fn sync(&self) -> Result<(), ArchiveError>;

    /// Ends in order; nothing is taken any more.
    fn close(&self) -> Result<(), ArchiveError>;
}

/// What was archived since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveView {
    /// Rows that were taken, again ones included.
    pub rows: u64,
    /// Chunks that they were in.
    pub chunks: u64,
    /// Rows that left although the sink did not take them, or that could not be read.
    pub lost_rows: u64,
    /// Times the sink failed.
    pub failures: u64,
    /// What it said last, if that was no success.
    pub failing: Option<String>,
}

/// The sink, and how it goes.
#[derive(Debug)]
pub(super) struct Archive {
    sink: Box<dyn ArchiveSink>,
    rows: AtomicU64,
    chunks: AtomicU64,
    lost_rows: AtomicU64,
    failures: AtomicU64,
    failing: Mutex<Option<String>>,
}

/// A chunk as it was when its rows were handed over: which one, and how many deletions it had seen.
type Seen = Vec<((Position, u8), usize)>;

/// What the sink has of the series that are due.
#[derive(Debug)]
pub(super) enum HandedOver {
    /// There is no sink: everything may leave.
    NoSink,
    /// The sink has failed: everything leaves that has to.
    Failed,
    /// The sink has what these slots had, each up to a time.
    Taken(BTreeMap<usize, (Timestamp, Seen)>),
}

/// What the rows of a series are called.
struct Names {
    database: Arc<str>,
    measurement: Arc<str>,
    tags: Vec<Tag>,
    fields: Vec<(Arc<str>, FieldType)>,
}

impl Archive {
    fn note(&self, result: &Result<(), ArchiveError>) {
        let mut failing = self.failing.lock();
        match result {
            Ok(()) => {
                if failing.take().is_some() {
                    tracing::info!("the archive takes rows again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if failing.replace(error.reason.clone()).is_none() {
                    tracing::warn!(%error, "rows that are too old stay until it does");
                }
            }
        }
    }
}

impl HandedOver {
    /// Up to when rows of a series may leave; `through` tells up to when they are due, `must` whether they cannot stay.
    pub(super) fn lets_go(
        &self,
        (slot, series): (usize, &Series<ChunkEntry>),
        through: impl FnOnce() -> Option<Timestamp>,
        must: bool,
    ) -> Option<Timestamp> {
        match self {
            Self::NoSink => through(),
            Self::Failed if must => through(),
            Self::Failed => None,
            Self::Taken(taken) => {
                let (until, before) = taken.get(&slot)?;
                let is_same = *before == seen(&due(series, *until))
                    && !series.may_have_unsealed_in(up_to(*until));
                is_same.then_some(*until)
            }
        }
    }

    /// Whether the sink lacks what leaves.
    pub(super) const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// The chunks that have rows to leave.
fn due(series: &Series<ChunkEntry>, through: Timestamp) -> Vec<Sealed<ChunkEntry>> {
    let chunks = series.ring.overlapping(up_to(through));
    chunks.filter(|chunk| !chunk.is_gone()).cloned().collect()
}

fn seen(chunks: &[Sealed<ChunkEntry>]) -> Seen {
    let of = |chunk: &Sealed<ChunkEntry>| {
        let hidden = chunk.hidden.as_ref();
        let tombstones = hidden.map_or(0, |hidden| hidden.tombstones().len());
        (chunk.precedence(), tombstones)
    };
    chunks.iter().map(of).collect()
}

impl Engine {
    /// Gives rows that leave to a sink from now on. Once, before rows come.
    pub fn set_archive(&self, sink: Box<dyn ArchiveSink>) {
        let archive = Archive {
            sink,
            rows: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            lost_rows: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failing: Mutex::new(None),
        };
        assert!(self.archive.set(archive).is_ok(), "there is a sink already");
    }

    /// How the archive does, if there is one.
    pub fn archive(&self) -> Option<ArchiveView> {
        let archive = self.archive.get()?;
        Some(ArchiveView {
            rows: archive.rows.load(Ordering::Relaxed),
            chunks: archive.chunks.load(Ordering::Relaxed),
            lost_rows: archive.lost_rows.load(Ordering::Relaxed),
            failures: archive.failures.load(Ordering::Relaxed),
            failing: archive.failing.lock().clone(),
        })
    }

    /// Ends the archive in order.
    pub fn close_archive(&self) -> Result<(), ArchiveError> {
        self.archive
            .get()
            .map_or(Ok(()), |archive| archive.sink.close())
    }

    /// Gives the sink what some series of a shard let go. `through` tells up to when each of them does.
    pub(super) fn hand_over(
        &self,
        index: usize,
        slots: &[usize],
        through: &dyn Fn(usize, &Series<ChunkEntry>) -> Option<Timestamp>,
    ) -> HandedOver {
        let Some(archive) = self.archive.get() else {
            return HandedOver::NoSink;
        };
        let _pin = self.blocks.pin();
        let mut taken = BTreeMap::new();
        for &slot in slots {
            let (chunks, until) = {
                let mut shard = self.shards[index].write();
                let Some(until) = shard.get(slot).and_then(|series| through(slot, series)) else {
                    continue;
                };
                let (series, scratch) = shard.series_and_scratch(slot);
                series.seal_in(up_to(until), scratch);
                (due(series, until), until)
            };
            let series = self.placement.id(index, slot);
            for chunk in &chunks {
                let given = self.give(archive, series, chunk, until);
                if let Err(error) = given {
                    archive.note(&Err(error));
                    return HandedOver::Failed;
                }
            }
            taken.insert(slot, (until, seen(&chunks)));
        }
        if !taken.is_empty() {
            let synced = archive.sink.sync();
            archive.note(&synced);
            if synced.is_err() {
                return HandedOver::Failed;
            }
        }
        HandedOver::Taken(taken)
    }

    /// Counts rows that left although the sink had failed.
    pub(super) fn note_unarchived(&self, rows: u64) {
        if let Some(archive) = self.archive.get() {
            archive.lost_rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// Gives the sink the rows of a chunk that are shown, up to a time. What is damaged is lost, and counted.
    fn give(
        &self,
        archive: &Archive,
        series: SeriesId,
        chunk: &Sealed<ChunkEntry>,
        until: Timestamp,
    ) -> Result<(), ArchiveError> {
        if owner_of_series(&self.catalog.read(), series)
            .reject
            .is_some()
        {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| ArchiveError {
            reason: error.to_string(),
        };
        let bytes = match &chunk.location {
            Location::Memory(bytes) => Ok(bytes.clone()),
            Location::Stored(entry) => self.blocks.read_chunk_uncached(entry),
        };
        let mut cells = Cells::default();
        let decoded = match bytes {
            Ok(bytes) => Chunk::open(&bytes)
                .and_then(|chunk| chunk.decode_cells(&mut cells))
                .map_err(EngineError::from),
            Err(error @ BlockError::Damaged { .. }) => Err(error.into()),
            Err(error) => return Err(failed(&error)),
        };
        if decoded.is_err() {
            self.note_unarchived(chunk.rows.into());
            return Ok(());
        }
        let is_shown = |time| {
            time <= until
                && chunk
                    .hidden
                    .as_ref()
                    .is_none_or(|hidden| !hidden.hides(time))
        };
        if !cells.times.iter().copied().all(is_shown) {
            cells = retain_rows(&cells, is_shown);
        }
        if cells.times.is_empty() {
            return Ok(());
        }
        let Some(names) = self.names_of(series, &cells) else {
            return Ok(());
        };
        archive.sink.keep(&ArchiveRows {
            database: &names.database,
            measurement: &names.measurement,
            tags: &names.tags,
            fields: &names.fields,
            cells: &cells,
        })?;
        archive.chunks.fetch_add(1, Ordering::Relaxed);
        let rows = cells.times.len() as u64;
        archive.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    /// What a series, and the columns of its cells, are called.
    fn names_of(&self, series: SeriesId, cells: &Cells) -> Option<Names> {
        let catalog = self.catalog.read();
        let entry = catalog.series(series)?;
        let measurement = catalog.measurement_by_id(entry.measurement)?;
        let database = catalog.database_by_id(measurement.database)?;
        let fields = cells.columns.iter().map(|column| {
            let known = measurement
                .columns()
                .iter()
                .find(|known| known.id == column.id);
            let name = known.map_or_else(|| Arc::from(""), |known| Arc::clone(&known.name));
            (name, column.field_type)
        });
        Some(Names {
            database: Arc::clone(&database.name),
            measurement: Arc::clone(&measurement.name),
            tags: entry.tags.to_vec(),
            fields: fields.collect(),
        })
    }
}
