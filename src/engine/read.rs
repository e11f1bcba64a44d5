//! The read path: what there is, and a series' rows in a range of time.
//!
//! A reader holds a shard's lock only while it copies references to sealed chunks and the open end.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::blocks::{ChunkEntry, Pin};
use crate::catalog::{Column, Measurement, SeriesEntry, Tag, TagFilter};
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::series::{Decoded, Demand, Part, ReadCounts, Series, Snapshot};
use crate::types::{
    ColumnId, DatabaseId, LayoutColumn, MeasurementId, SeriesId, TimeRange, Timestamp,
};

/// A measurement as a reader sees it.
#[derive(Clone, Debug)]
pub struct MeasurementView {
    /// Its number.
    pub id: MeasurementId,
    /// Its database.
    pub database: DatabaseId,
    /// Its name.
    pub name: Arc<str>,
    /// Names of its tags, sorted.
    pub tag_names: Vec<Arc<str>>,
    /// Its columns, in the order in which they were first written.
    pub columns: Vec<Column>,
    /// Number of its series.
    pub series_count: usize,
}

/// A series as a reader sees it.
#[derive(Clone, Debug)]
pub struct SeriesView {
    /// Its number.
    pub id: SeriesId,
    /// Its tags, sorted by name.
    pub tags: Arc<[Tag]>,
}

impl SeriesView {
    fn of(entry: &SeriesEntry) -> Self {
        Self {
            id: entry.id,
            tags: Arc::clone(&entry.tags),
        }
    }
}

/// Columns of a measurement, with what reading them takes.
#[derive(Debug, Default)]
pub struct Lanes {
    columns: Vec<LayoutColumn>,
    /// The other lanes of their fields.
    others: Vec<LayoutColumn>,
}

/// How a series was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenState {
    /// Time of the newest row that came in order; the least of all without one.
    pub newest: Timestamp,
    /// All rows from this time on were there, and shown: see [`Engine::whole_from`].
    pub whole_from: Timestamp,
}

/// The rows of a series in a range, or in several, batch by batch.
#[derive(Debug)]
pub struct SeriesReader {
    engine: Arc<Engine>,
    /// The range that is read.
    snapshot: Snapshot<ChunkEntry>,
    /// Those behind it, of the same moment.
    next: VecDeque<Snapshot<ChunkEntry>>,
    /// What was read and spared of those before it.
    counted: ReadCounts,
    lanes: Arc<Lanes>,
    seen: SeenState,
    /// Keeps the files of the snapshot's chunks.
    _pin: Pin,
}

impl SeriesReader {
    /// The next rows: ascending unique times, and one column for each that was asked for. Not to be mixed
    /// with [`SeriesReader::next_part`].
    pub fn next_batch(&mut self) -> Result<Option<Decoded>, EngineError> {
        while let Some(part) = self.next_part(&Demand::default())? {
            // Statistics come only where they are asked for.
            if let Part::Rows(rows) = part {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The next part, in the way that is demanded, which must be the same in every call.
    pub fn next_part(&mut self, demand: &Demand<'_>) -> Result<Option<Part>, EngineError> {
        let Self {
            engine,
            snapshot,
            next,
            counted,
            lanes,
            ..
        } = self;
        let mut fetch = |entry: &ChunkEntry| -> Result<Bytes, EngineError> {
            Ok(engine.blocks.read_chunk(entry)?)
        };
        loop {
            let part = snapshot.next(&lanes.columns, &lanes.others, demand, &mut fetch)?;
            if part.is_some() {
                return Ok(part);
            }
            let Some(following) = next.pop_front() else {
                return Ok(None);
            };
            *counted = counted.and(snapshot.counts());
            *snapshot = following;
        }
    }

    /// What was read and what was spared so far.
    pub const fn counts(&self) -> ReadCounts {
        self.counted.and(self.snapshot.counts())
    }

    /// How the series was when the reader was made.
    pub const fn seen(&self) -> SeenState {
        self.seen
    }

    /// Rows from before this time have left.
    pub(super) const fn whole_from(mut self, time: Timestamp) -> Self {
        self.seen.whole_from = time;
        self
    }
}

impl Engine {
    /// Names of the databases that the caller sees, sorted.
    pub fn databases(&self, access: &Access) -> Vec<Arc<str>> {
        let catalog = self.catalog.read();
        let mut names: Vec<Arc<str>> = catalog
            .databases()
            .filter(|database| access.sees(&database.name))
            .map(|database| Arc::clone(&database.name))
            .collect();
        names.sort_unstable();
        names
    }

    /// Names of a database's measurements, sorted; `None` where there is no such database.
    pub fn measurements(
        &self,
        access: &Access,
        database: &str,
    ) -> Result<Option<Vec<Arc<str>>>, EngineError> {
        access.check(Verb::Read, database)?;
        let catalog = self.catalog.read();
        Ok(catalog.database(database).map(|found| {
            let mut names: Vec<_> = found
                .measurements()
                .map(|(name, _)| Arc::clone(name))
                .collect();
            names.sort_unstable();
            names
        }))
    }

    /// A measurement, if there is one of that name.
    pub fn measurement(
        &self,
        access: &Access,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementView>, EngineError> {
        access.check(Verb::Read, database)?;
        let catalog = self.catalog.read();
        Ok(catalog
            .measurement(database, name)
            .map(|found| MeasurementView {
                id: found.id,
                database: found.database,
                name: Arc::clone(&found.name),
                tag_names: found.tag_names().cloned().collect(),
                columns: {
                    let known = found.columns().iter().filter(|column| column.is_known());
                    known.cloned().collect()
                },
                series_count: found.series_count(),
            }))
    }

    /// The series of a measurement whose tags are accepted, oldest first.
    pub fn select_series(
        &self,
        measurement: MeasurementId,
        accept: &dyn Fn(&[Tag]) -> bool,
    ) -> Vec<SeriesView> {
        let catalog = self.catalog.read();
        let found = catalog.measurement_by_id(measurement);
        let ids = found.into_iter().flat_map(Measurement::series);
        ids.filter_map(|id| catalog.series(id))
            .filter(|series| accept(&series.tags))
            .map(SeriesView::of)
            .collect()
    }

    /// The series of a measurement whose tags meet a condition, oldest first. Only those are looked at, and the
    /// catalog is never held for long.
    pub fn find_series(
        &self,
        measurement: MeasurementId,
        mut filter: TagFilter<'_>,
    ) -> Vec<SeriesView> {
        filter.visit_tests(&mut |tag, test| {
            loop {
                let (numbering, values): (u64, Vec<Arc<str>>) = {
                    let catalog = self.catalog.read();
                    let Some(found) = catalog.measurement_by_id(measurement) else {
                        break;
                    };
                    let numbering = found.tag_numbering();
                    let values = found.tag_values(tag, test.known(numbering));
                    (numbering, values.take(SLICE).cloned().collect())
                };
                test.learn(numbering, &values);
                if values.len() < SLICE {
                    break;
                }
            }
        });
        let ids: Vec<SeriesId> = {
            let catalog = self.catalog.read();
            let found = catalog.measurement_by_id(measurement);
            let chosen = found.map(|found| found.select(&filter));
            chosen.into_iter().flatten().map(SeriesId).collect()
        };
        let mut views = Vec::with_capacity(ids.len());
        for slice in ids.chunks(SLICE) {
            let catalog = self.catalog.read();
            let entries = slice.iter().filter_map(|&id| catalog.series(id));
            views.extend(entries.map(SeriesView::of));
        }
        views
    }

    /// The rows of a series in a range, of the columns named.
    pub fn read_series(
        self: &Arc<Self>,
        series: SeriesId,
        range: TimeRange,
        columns: &[ColumnId],
    ) -> SeriesReader {
        self.read_ranges(series, &[range], &self.lanes_in(series, columns))
    }

    /// The newest rows of some series of a measurement in a range, of the columns named, each where it is known without
    /// reading: see [`Series::newest_row`].
    pub fn newest_rows(
        &self,
        series: &[SeriesId],
        range: TimeRange,
        columns: &[ColumnId],
    ) -> Vec<Option<Decoded>> {
        let Some(&first) = series.first() else {
            return Vec::new();
        };
        let lanes = self.lanes_in(first, columns);
        let revised = self.retention.current();
        let keeps = self.keeps(&revised);
        let newest = |&id: &SeriesId| {
            // What has left may have had later rows.
            let shown = TimeRange {
                start: self.whole_from_in(&revised, &keeps, id, false),
                end: Timestamp::MAX,
            };
            let shard = self.shards[self.placement.shard(id)].read();
            let found = shard.get(self.placement.slot(id))?;
            found.newest_row(range.intersect(shown), &lanes.columns)
        };
        series.iter().map(newest).collect()
    }

    /// The rows of a series in some ranges, as they are at one moment. The ranges do not overlap.
    pub fn read_ranges(
        self: &Arc<Self>,
        series: SeriesId,
        ranges: &[TimeRange],
        lanes: &Arc<Lanes>,
    ) -> SeriesReader {
        let horizon = self.horizon_of(series);
        let shown = TimeRange {
            start: horizon,
            end: Timestamp::MAX,
        };
        let ranges = ranges.iter().map(|range| range.intersect(shown));
        let ranges = ranges.filter(|range| !range.is_empty());
        let reader = self.read_snapshots(series, lanes, |found| {
            ranges.map(|range| found.snapshot(range)).collect()
        });
        reader.whole_from(horizon)
    }

    /// The rows of a series as snapshots of one moment have them, whatever their age.
    pub(super) fn read_snapshots(
        self: &Arc<Self>,
        series: SeriesId,
        lanes: &Arc<Lanes>,
        snap: impl FnOnce(&Series<ChunkEntry>) -> VecDeque<Snapshot<ChunkEntry>>,
    ) -> SeriesReader {
        let pin = self.blocks.pin();
        let shard = self.shards[self.placement.shard(series)].read();
        let found = shard.get(self.placement.slot(series));
        let mut snapshots = found.map(snap).unwrap_or_default();
        let newest = found.and_then(Series::newest);
        drop(shard);
        SeriesReader {
            engine: Arc::clone(self),
            snapshot: snapshots.pop_front().unwrap_or_else(Snapshot::empty),
            next: snapshots,
            counted: ReadCounts::default(),
            lanes: Arc::clone(lanes),
            seen: SeenState {
                newest: newest.unwrap_or(Timestamp::MIN),
                whole_from: Timestamp::MIN,
            },
            _pin: pin,
        }
    }

    /// The lanes of columns of a series' measurement.
    pub fn lanes_in(&self, series: SeriesId, columns: &[ColumnId]) -> Arc<Lanes> {
        let measurement = self.catalog.read().series(series).map(|s| s.measurement);
        let lanes = measurement.map(|measurement| self.lanes(measurement, columns));
        Arc::new(lanes.unwrap_or_default())
    }

    /// The columns asked for, and the other lanes of their fields.
    pub fn lanes(&self, measurement: MeasurementId, columns: &[ColumnId]) -> Lanes {
        let catalog = self.catalog.read();
        let Some(measurement) = catalog.measurement_by_id(measurement) else {
            return Lanes::default();
        };
        let asked: Vec<LayoutColumn> = columns
            .iter()
            .filter_map(|&id| measurement.layout_column(id))
            .collect();
        let others = asked
            .iter()
            .flat_map(|column| measurement.lanes(column.field))
            .filter(|lane| !columns.contains(&lane.id))
            .filter_map(|lane| measurement.layout_column(lane.id))
            .collect();
        Lanes {
            columns: asked,
            others,
        }
    }
}

/// Values or series that are looked at under one hold of the catalog's lock.
const SLICE: usize = 4096;
