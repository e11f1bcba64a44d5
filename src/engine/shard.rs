//! A shard: the series whose number leaves the same remainder, under one lock.

use crate::blocks::ChunkEntry;
use crate::engine::retention::Classes;
use crate::engine::tiers::Tiers;
use crate::log::rows::RowsEncoder;
use crate::paged::Paged;
use crate::series::{Applied, Scratch, Series};
use crate::types::{MeasurementId, SeriesId, Timestamp};

/// The series of a shard and what writing them needs.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// In pages: a new series never moves the others while the lock is held.
    series: Paged<Series<ChunkEntry>>,
    pub scratch: Scratch,
    pub encoder: RowsEncoder,
    pub definitions: Vec<u8>,
    /// By layout number: the epoch in which its columns were last defined.
    pub layouts_defined: Vec<u64>,
    pub counts: RowCounts,
    /// By measurement: rows that were received since the server started.
    pub received: Vec<u64>,
    /// Retention classes of the series.
    pub classes: Classes,
    /// Rollup tiers of the series.
    pub tiers: Tiers,
}

/// Rows by what became of them, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// New rows.
    pub stored: u64,
    /// Rows that replaced values of a row with the same time.
    pub overwritten: u64,
    /// Rows older than what was staged, merged when read and when sealed.
    pub late: u64,
    /// Values of all these, nulls included.
    pub values: u64,
    /// Rows that were dropped because of their age.
    pub expired: u64,
    /// Rows that were dropped because their series was full.
    pub evicted: u64,
    /// Rows that statements deleted.
    pub deleted: u64,
}

impl RowCounts {
    /// Counts applied rows.
    #[inline]
    pub(super) fn count(&mut self, applied: Applied, rows: usize) {
        let rows = rows as u64;
        match applied {
            Applied::Appended | Applied::Inserted => self.stored += rows,
            Applied::Overwritten => self.overwritten += rows,
            Applied::Late => self.late += rows,
            Applied::Dropped => self.deleted += rows,
        }
    }

    /// Adds another shard's.
    pub(super) fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.overwritten += other.overwritten;
        self.late += other.late;
        self.values += other.values;
        self.expired += other.expired;
        self.evicted += other.evicted;
        self.deleted += other.deleted;
    }
}

/// Which shard a series is in, and where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    shards: u32,
}

impl Placement {
    pub fn new(shards: usize) -> Self {
        Self {
            shards: shards as u32,
        }
    }

    #[inline]
    pub fn shard(self, id: SeriesId) -> usize {
        (id.0 % self.shards) as usize
    }

    #[inline]
    pub fn slot(self, id: SeriesId) -> usize {
        (id.0 / self.shards) as usize
    }

    pub fn id(self, shard: usize, slot: usize) -> SeriesId {
        SeriesId(slot as u32 * self.shards + shard as u32)
    }
}

impl Shard {
    /// All rows of a series from this time on are there: earlier ones have gone into buckets, or are about to.
    pub fn left_until(&self, slot: usize) -> Timestamp {
        let of_rows = self.get(slot).map(Series::left_until);
        let of_rows = of_rows.unwrap_or(Timestamp::MIN);
        of_rows.max(self.tiers.end(slot))
    }

    /// A shard without series, whose chunks seal at this many rows.
    pub fn sealing_at(chunk_rows: usize) -> Self {
        Self {
            scratch: Scratch::sealing_at(chunk_rows),
            ..Self::default()
        }
    }

    /// The series in a slot, if anything was written to it.
    pub fn get(&self, slot: usize) -> Option<&Series<ChunkEntry>> {
        self.series.get(slot)
    }

    /// The series in a slot, and the scratch buffers beside it.
    #[inline]
    pub fn series_and_scratch(&mut self, slot: usize) -> (&mut Series<ChunkEntry>, &mut Scratch) {
        let series = self.series.get_or_make(slot, Series::default);
        (series, &mut self.scratch)
    }

    /// The series in a slot.
    #[inline]
    pub fn series_mut(&mut self, slot: usize) -> &mut Series<ChunkEntry> {
        self.series_and_scratch(slot).0
    }

    /// The epoch in which a layout's columns were last defined.
    #[inline]
    pub fn layout_defined(&mut self, id: u32) -> &mut u64 {
        let index = id as usize;
        if index >= self.layouts_defined.len() {
            self.layouts_defined.resize(index + 1, 0);
        }
        &mut self.layouts_defined[index]
    }

    /// Counts rows of a measurement that were received.
    #[inline]
    pub fn receive(&mut self, measurement: MeasurementId, rows: u64) {
        let index = measurement.0 as usize;
        if index >= self.received.len() {
            self.received.resize(index + 1, 0);
        }
        self.received[index] += rows;
    }

    /// A row of a measurement that was just counted had been received before.
    pub fn take_back(&mut self, measurement: MeasurementId) {
        if let Some(received) = self.received.get_mut(measurement.0 as usize) {
            *received = received.saturating_sub(1);
        }
    }

    /// The series in a slot and the scratch buffers, if anything was written to it.
    #[inline]
    pub fn existing(&mut self, slot: usize) -> Option<(&mut Series<ChunkEntry>, &mut Scratch)> {
        Some((self.series.get_mut(slot)?, &mut self.scratch))
    }

    /// All series with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Series<ChunkEntry>)> {
        self.series.iter_from(0)
    }

    /// The same, from a slot on.
    pub fn iter_from(&self, slot: usize) -> impl Iterator<Item = (usize, &Series<ChunkEntry>)> {
        self.series.iter_from(slot)
    }

    /// Forgets the series of a slot, which holds nothing; gives the memory of its page back where that holds nothing
    /// else.
    pub fn vacate(&mut self, slot: usize) {
        if let Some(series) = self.series.get_mut(slot) {
            *series = Series::default();
            self.series.give_back(slot, Series::is_blank);
        }
    }

    /// One more than the highest slot in use.
    pub fn len(&self) -> usize {
        self.series.len()
    }
}
