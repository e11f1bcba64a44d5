//! The write path: check, log, apply, under one shard's lock, once a batch and not once a row.
//!
//! Only what is in the log is applied, in the order of the log, so that a replay gives the same state.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use crate::catalog::Catalog;
use crate::engine::batch::{BatchRow, NO_TIME, ShardRows};
use crate::engine::persisted::encode_column;
use crate::engine::shard::Shard;
use crate::engine::{Batch, Engine, EngineError, SeriesRef};
use crate::limits::RETENTION_CLASSES;
use crate::log::definitions::{Definition, encode_series};
use crate::log::{AppendError, FrameParts, FrameType};
use crate::series::RowRef;
use crate::types::{Layout, MeasurementId, Position, Timestamp};

/// What a batch came to.
#[derive(Debug, Default)]
pub struct Written {
    /// Everything accepted lies before this position.
    pub position: Position,
    /// Rows accepted.
    pub rows: usize,
    /// Rows refused, which are still in the batch.
    pub refused: usize,
    /// Why they were refused.
    pub error: Option<EngineError>,
}

/// What was taken of some rows.
#[derive(Clone, Copy, Debug, Default)]
struct Accepted {
    rows: usize,
    position: Position,
}

/// Which accepted times there are.
#[derive(Clone, Copy, Debug)]
pub struct TimeBounds {
    /// Earliest.
    pub min: Timestamp,
    /// Latest.
    pub max: Timestamp,
    /// Rows before this have expired already, whatever their retention class.
    pub horizon: Timestamp,
    /// The same of each class, by its number.
    class_horizons: [Timestamp; RETENTION_CLASSES],
    /// Under which policy these are the classes: the last byte of its revision.
    policy: u8,
}

impl TimeBounds {
    /// Refuses a time that cannot be stored.
    #[inline]
    pub fn check(&self, time: Timestamp) -> Result<(), EngineError> {
        if time >= self.min && time <= self.max && time >= self.horizon {
            return Ok(());
        }
        Err(self.refusal(time))
    }

    /// Refuses a time that has expired for the class of a series. Where the policy has changed between the two, nobody
    /// can tell: the row is taken, and expires.
    #[inline]
    pub fn check_class(&self, series: SeriesRef, time: Timestamp) -> Result<(), EngineError> {
        let horizons = self.class_horizons.get(usize::from(series.class));
        match horizons {
            Some(&horizon) if time < horizon && series.policy == self.policy => {
                Err(EngineError::Expired { time, horizon })
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn refusal(&self, time: Timestamp) -> EngineError {
        let Self {
            min, max, horizon, ..
        } = *self;
        if time < min {
            EngineError::TooEarly { time, min }
        } else if time > max {
            EngineError::TooLate { time, max }
        } else {
            EngineError::Expired { time, horizon }
        }
    }
}

impl Engine {
    /// An empty batch for this engine.
    pub fn batch(&self) -> Batch {
        Batch::new(self.shards.len())
    }

    /// Which times are accepted now.
    pub fn time_bounds(&self) -> TimeBounds {
        self.time_bounds_at(self.server_time().now)
    }

    /// Which times were to be accepted at some time, as far as they have not expired since.
    pub fn time_bounds_at(&self, now: Timestamp) -> TimeBounds {
        let ahead = self.options.time_future_max_ns;
        let (class_horizons, classes, revision) = self.horizons();
        let horizons = class_horizons.iter().take(classes);
        TimeBounds {
            min: self.options.time_min_ns,
            max: now.saturating_add(ahead),
            horizon: horizons.copied().min().unwrap_or(Timestamp::MIN),
            class_horizons,
            policy: revision as u8,
        }
    }

    /// Writes a batch. Rows of a shard are accepted or refused together; what was accepted leaves the
    /// batch, what was refused stays in it, to be written again or cleared.
    pub fn write(&self, batch: &mut Batch) -> Written {
        let mut written = Written::default();
        if let Err(error) = self.check_room(batch.len() as u64) {
            written.refused = batch.len();
            written.error = Some(error);
            return written;
        }
        self.write_shards(batch, &mut written);
        if matches!(written.error, Some(EngineError::SeriesRetired)) {
            (written.refused, written.error) = (0, None);
            let (stuck, reason) = self.lead_on(batch);
            self.write_shards(batch, &mut written);
            if let Some(reason) = reason {
                written.refused += stuck.len();
                batch.append(&stuck);
                // Of a batch that may be written again this is found again.
                written.error.get_or_insert(reason);
            }
        }
        if written.error.is_none() {
            batch.clear();
        }
        written
    }

    /// Refuses so many rows where the device or the memory is full.
    #[inline]
    pub(super) fn check_room(&self, rows: u64) -> Result<(), EngineError> {
        if self.space.is_full() {
            return Err(self.space.refused(rows));
        }
        if self.memory.is_full() {
            return Err(self.memory.refuse_rows(rows));
        }
        Ok(())
    }

    fn write_shards(&self, batch: &mut Batch, written: &mut Written) {
        for index in 0..batch.shards.len() {
            let rows = &batch.shards[index];
            if rows.rows.is_empty() {
                continue;
            }
            let (accepted, result) = self.write_rows(index, rows, &rows.rows, &batch.layouts);
            written.rows += accepted.rows;
            written.position = written.position.max(accepted.position);
            batch.remove(index, accepted.rows);
            if let Err(error) = result {
                written.refused += batch.shards[index].rows.len();
                written.error = Some(error);
            }
        }
    }

    /// Writes rows of a shard, in parts where the log takes no more at once. Tells how many of them,
    /// from the first on, were accepted.
    fn write_rows(
        &self,
        index: usize,
        cells: &ShardRows,
        rows: &[BatchRow],
        layouts: &[Arc<Layout>],
    ) -> (Accepted, Result<(), EngineError>) {
        match self.write_shard(index, cells, rows, layouts) {
            Ok(position) => (
                Accepted {
                    rows: rows.len(),
                    position,
                },
                Ok(()),
            ),
            Err(EngineError::TooLarge { .. }) if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                let (mut accepted, result) = self.write_rows(index, cells, first, layouts);
                if result.is_err() {
                    return (accepted, result);
                }
                let (more, result) = self.write_rows(index, cells, second, layouts);
                accepted.rows += more.rows;
                accepted.position = accepted.position.max(more.position);
                (accepted, result)
            }
            Err(error) => (Accepted::default(), Err(error)),
        }
    }

    fn write_shard(
        &self,
        index: usize,
        cells: &ShardRows,
        rows: &[BatchRow],
        layouts: &[Arc<Layout>],
    ) -> Result<Position, EngineError> {
        let now = self.server_time().now;
        let mut catalog: Option<RwLockReadGuard<'_, Catalog>> = None;
        loop {
            let mut guard = self.shards[index].write();
            let shard = &mut *guard;
            let epoch = self.log.epoch();
            if self.lacks_definitions(shard, rows, layouts, epoch.0) {
                let Some(catalog) = &catalog else {
                    // Lock order: the catalog comes before a shard.
                    drop(guard);
                    catalog = Some(self.catalog.read());
                    continue;
                };
                if let Err(error) = self.gather_definitions(shard, rows, layouts, catalog, epoch.0)
                {
                    self.forget_definitions(shard, rows, layouts, epoch.0);
                    return Err(error);
                }
            } else {
                shard.definitions.clear();
            }
            let times = self.encode_rows(shard, (cells, rows), layouts, now);
            let frames = [
                FrameParts::new(FrameType::Definitions, &shard.definitions),
                FrameParts::new(FrameType::Rows, shard.encoder.payload()),
            ];
            let first = usize::from(shard.definitions.is_empty());
            match self.log.append(epoch, &frames[first..]) {
                Ok(appended) => {
                    let frame = appended.last_frame;
                    self.apply_rows(shard, (cells, rows), layouts, times.as_deref(), frame);
                    return Ok(appended.end);
                }
                Err(AppendError::EpochChanged(_)) => {}
                Err(error) => {
                    self.forget_definitions(shard, rows, layouts, epoch.0);
                    return Err(refusal(error));
                }
            }
        }
    }

    /// Whether a row's series is not defined in this epoch's segment. Touching every series here also
    /// brings it into the cache before rows are applied.
    #[inline]
    pub(super) fn lacks_definitions(
        &self,
        shard: &mut Shard,
        rows: &[BatchRow],
        layouts: &[Arc<Layout>],
        epoch: u64,
    ) -> bool {
        let mut lacking = false;
        for layout in layouts {
            lacking |= *shard.layout_defined(layout.id) < epoch;
        }
        for row in rows {
            lacking |= shard.series_mut(self.placement.slot(row.series)).defined < epoch;
        }
        lacking
    }

    /// Encodes the definitions that this epoch's segment lacks, and marks them as given. An error where a series was
    /// retired meanwhile.
    #[cold]
    pub(super) fn gather_definitions(
        &self,
        shard: &mut Shard,
        rows: &[BatchRow],
        layouts: &[Arc<Layout>],
        catalog: &Catalog,
        epoch: u64,
    ) -> Result<(), EngineError> {
        let mut out = std::mem::take(&mut shard.definitions);
        out.clear();
        for layout in layouts {
            let defined = shard.layout_defined(layout.id);
            if *defined < epoch {
                *defined = epoch;
                define_measurement(&mut out, catalog, layout);
            }
        }
        let mut is_retired = false;
        for row in rows {
            let series = shard.series_mut(self.placement.slot(row.series));
            if series.defined >= epoch {
                continue;
            }
            if catalog.is_retired(row.series) {
                is_retired = true;
                continue;
            }
            series.defined = epoch;
            if let Some(entry) = catalog.series(row.series) {
                let tags = entry.tags.iter().map(|(name, value)| (&**name, &**value));
                encode_series(
                    &mut out,
                    entry.id,
                    entry.measurement,
                    entry.tags.len(),
                    tags,
                );
                if let Some(token) = catalog.owner(row.series) {
                    let series = row.series;
                    Definition::Owner { series, token }.encode(&mut out);
                }
            }
        }
        shard.definitions = out;
        if is_retired {
            return Err(EngineError::SeriesRetired);
        }
        Ok(())
    }

    /// Takes back what [`Self::gather_definitions`] marked, where it did not reach the log.
    #[cold]
    pub(super) fn forget_definitions(
        &self,
        shard: &mut Shard,
        rows: &[BatchRow],
        layouts: &[Arc<Layout>],
        epoch: u64,
    ) {
        for layout in layouts {
            let defined = shard.layout_defined(layout.id);
            if *defined == epoch {
                *defined = 0;
            }
        }
        for row in rows {
            let series = shard.series_mut(self.placement.slot(row.series));
            if series.defined == epoch {
                series.defined = 0;
            }
        }
    }

    /// Encodes the rows; gives the times back where the server had to set any.
    #[inline]
    pub(super) fn encode_rows(
        &self,
        shard: &mut Shard,
        (cells, rows): (&ShardRows, &[BatchRow]),
        layouts: &[Arc<Layout>],
        now: Timestamp,
    ) -> Option<Vec<Timestamp>> {
        let timeless = rows.iter().any(|row| row.time == NO_TIME);
        let times: Option<Vec<Timestamp>> = timeless.then(|| {
            let stamp = |row: &BatchRow| match row.time {
                NO_TIME => shard.series_mut(self.placement.slot(row.series)).stamp(now),
                time => time,
            };
            rows.iter().map(stamp).collect()
        });
        let encoder = &mut shard.encoder;
        encoder.begin(layouts.iter().map(|layout| &**layout), rows.len());
        for (i, row) in rows.iter().enumerate() {
            let layout = &*layouts[usize::from(row.layout)];
            let time = times.as_ref().map_or(row.time, |times| times[i]);
            let values = cells_of(cells, row, layout);
            encoder.push(row.series, (usize::from(row.layout), layout), time, values);
        }
        times
    }

    /// Applies rows whose frame of the log begins at a position.
    #[inline]
    pub(super) fn apply_rows(
        &self,
        shard: &mut Shard,
        (cells, rows): (&ShardRows, &[BatchRow]),
        layouts: &[Arc<Layout>],
        times: Option<&[Timestamp]>,
        frame: Position,
    ) {
        let mut newest = Timestamp::MIN;
        let mut counts = shard.counts;
        // Rows of one measurement mostly come together.
        let (mut received, mut of) = (0, MeasurementId(0));
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            let layout = &layouts[usize::from(row.layout)];
            let more = following(&rows[at..], layout.stride());
            if layout.measurement != of {
                shard.receive(of, std::mem::take(&mut received));
                of = layout.measurement;
            }
            received += more as u64 + 1;
            let time =
                |index: usize| times.map_or(rows[at + index].time, |times| times[at + index]);
            newest = (0..=more).map(time).fold(newest, Timestamp::max);
            counts.values += (layout.columns.len() * (more + 1)) as u64;
            let position = row_position(frame, at as u64);
            let (series, scratch) = shard.series_and_scratch(self.placement.slot(row.series));
            if more == 0 {
                let (bits, marks, heap) = cells_of(cells, row, layout);
                let row = RowRef {
                    time: time(0),
                    bits,
                    marks,
                    heap,
                };
                counts.count(series.apply(layout, row, position, scratch), 1);
            } else {
                let start = row.cells as usize;
                let cells = (&cells.bits[start..], &cells.marks[start..], &cells.heap[..]);
                let counted = |applied, rows| counts.count(applied, rows);
                series.apply_all(layout, (more + 1, time), cells, position, scratch, counted);
            }
            at += more + 1;
        }
        shard.counts = counts;
        shard.receive(of, received);
        if let Some(follow) = &self.options.follow_data {
            follow.follow(newest);
        }
    }
}

/// Why the log took nothing.
pub(super) fn refusal(error: AppendError) -> EngineError {
    match error {
        AppendError::Full => EngineError::Busy,
        AppendError::TooLarge {
            len_bytes,
            max_bytes,
        } => EngineError::TooLarge {
            len_bytes,
            max_bytes,
        },

        other => EngineError::ReadOnly {
            reason: other.to_string(),
        },
    }
}

/// The position of a row: its frame's, and its ordinal in it.
#[inline]
pub(super) fn row_position(frame: Position, ordinal: u64) -> Position {
    Position(frame.0 + 1 + ordinal)
}

/// How many rows of the same series and layout come right behind the first one, with their cells.
#[inline]
fn following(rows: &[BatchRow], stride: usize) -> usize {
    let follows = |pair: &&[BatchRow]| {
        let [one, next] = [pair[0], pair[1]];
        next.series == one.series
            && next.layout == one.layout
            && next.cells as usize == one.cells as usize + stride
    };
    rows.windows(2).take_while(follows).count()
}

#[inline]
fn cells_of<'a>(
    rows: &'a ShardRows,
    row: &BatchRow,
    layout: &Layout,
) -> (&'a [u64], &'a [u8], &'a [u8]) {
    let range = row.cells as usize..row.cells as usize + layout.stride();
    (&rows.bits[range.clone()], &rows.marks[range], &rows.heap)
}

fn define_measurement(out: &mut Vec<u8>, catalog: &Catalog, layout: &Layout) {
    let Some(measurement) = catalog.measurement_by_id(layout.measurement) else {
        return;
    };
    if let Some(database) = catalog.database_by_id(measurement.database) {
        Definition::Database {
            id: database.id,
            name: &database.name,
        }
        .encode(out);
    }
    Definition::Measurement {
        id: measurement.id,
        database: measurement.database,
        name: &measurement.name,
    }
    .encode(out);
    let columns = measurement.columns().iter();
    for column in columns.filter(|column| column.is_known()) {
        encode_column(out, measurement.id, column);
    }
}
