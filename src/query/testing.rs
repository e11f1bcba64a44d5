//! A source in memory for tests: plain rows, batches of a chosen size, and a count of what was scanned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::types::{ColumnId, FieldType, MeasurementId, SeriesId, Timestamp};

use super::expr::vector::Collector;
use super::result::{ResultBatch, ResultCell, ResultColumn};
use super::source::{
    ColumnInfo, MeasurementInfo, ScanBatch, ScanPart, ScanRequest, SeriesInfo, SeriesScan, Source,
    SourceError,
};
use super::value::Scalar;
use super::{ExecutionStats, Executor, Job, QueryContext, QueryError, QueryLimits, QueryWorkers};

/// The measurement `m`.
const ONLY: MeasurementId = MeasurementId(1);

/// The rows of one series: a value for each column of the measurement.
pub(super) type SeriesRows = BTreeMap<Timestamp, Vec<Scalar>>;

#[derive(Clone)]
pub(super) struct Memory {
    pub(super) columns: Vec<(&'static str, FieldType)>,
    pub(super) series: Vec<(SeriesInfo, Arc<SeriesRows>)>,
    pub(super) batch_rows: usize,
    /// Parts that a query may be divided in beside its own, where there are as many series.
    pub(super) helpers: usize,
    pub(super) batches: Arc<AtomicUsize>,
}

/// Does the last part first, on one thread.
struct Backwards;

impl Executor for Backwards {
    fn run_all(&self, jobs: &mut [Job<'_>]) {
        for job in jobs.iter_mut().rev() {
            job();
        }
    }
}

impl Memory {
    /// The measurement `m` of database `db`, without series.
    pub(super) fn new(columns: &[(&'static str, FieldType)]) -> Self {
        Self {
            columns: columns.to_vec(),
            series: Vec::new(),
            batch_rows: 4,
            helpers: 0,
            batches: Arc::default(),
        }
    }

    /// Adds a series; later rows of the same time replace earlier ones.
    pub(super) fn add(
        &mut self,
        tags: &[(&str, &str)],
        rows: impl IntoIterator<Item = (Timestamp, Vec<Scalar>)>,
    ) {
        let mut tags: Vec<(Arc<str>, Arc<str>)> = tags
            .iter()
            .map(|&(key, value)| (Arc::from(key), Arc::from(value)))
            .collect();
        tags.sort();
        let info = SeriesInfo {
            id: SeriesId(self.series.len() as u32),
            tags: Arc::from(tags),
        };
        self.series
            .push((info, Arc::new(rows.into_iter().collect())));
    }

    /// Batches that scans have delivered so far.
    pub(super) fn scanned(&self) -> usize {
        self.batches.load(Ordering::Relaxed)
    }

    /// The answer as text: a line a row, cells joined by `|`, after the names.
    pub(super) fn ask(&self, text: &str) -> Result<(Vec<String>, ExecutionStats), QueryError> {
        self.ask_with(text, QueryLimits::default(), &|| false)
    }

    pub(super) fn ask_with(
        &self,
        text: &str,
        limits: QueryLimits,
        cancel: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<String>, ExecutionStats), QueryError> {
        let workers = QueryWorkers::new(self.helpers, Backwards).with_series_min(1);
        let context = QueryContext {
            memory: None,
            database: "db",
            now_ns: 1_000_000,
            limits,
            monotonic_ns: None,
            workers: Some(&workers),
            cancel,
        };
        let mut names = Vec::new();
        let mut lines = Vec::new();
        let mut header = |columns: &[ResultColumn]| {
            names.extend(columns.iter().map(|column| column.name.clone()));
            Ok(())
        };
        let mut sink = |batch: ResultBatch| {
            for row in 0..batch.rows() {
                let cells: Vec<String> = batch
                    .columns
                    .iter()
                    .map(|column| cell(column.cell(row)))
                    .collect();
                lines.push(cells.join("|"));
            }
            Ok(())
        };
        let stats = super::query(self, text, &context, &mut header, &mut sink)?;
        lines.insert(0, names.join("|"));
        Ok((lines, stats))
    }
}

fn cell(cell: ResultCell<'_>) -> String {
    match cell {
        ResultCell::Null => "NULL".to_owned(),
        ResultCell::Time(ns) => format!("t{ns}"),
        ResultCell::Float(value) => format!("{value:?}"),
        ResultCell::Integer(value) => value.to_string(),
        ResultCell::Unsigned(value) => format!("{value}u"),
        ResultCell::Boolean(value) => value.to_string(),
        ResultCell::String(text) => text.to_owned(),
        ResultCell::Binary(bytes) => format!("{bytes:?}"),
    }
}

impl Source for Memory {
    fn databases(&self) -> Vec<Arc<str>> {
        vec![Arc::from("db")]
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        if database == "db" {
            Ok(vec![Arc::from("m")])
        } else {
            Err(SourceError::UnknownDatabase(database.to_owned()))
        }
    }

    fn measurement(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementInfo>, SourceError> {
        self.measurements(database)?;
        if name != "m" {
            return Ok(None);
        }
        let mut tag_keys: Vec<Arc<str>> = self
            .series
            .iter()
            .flat_map(|(info, _)| info.tags.iter().map(|(key, _)| Arc::clone(key)))
            .collect();
        tag_keys.sort();
        tag_keys.dedup();
        let columns = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, &(name, field_type))| ColumnInfo {
                id: ColumnId(index as u16),
                name: Arc::from(name),
                field_type,
            })
            .collect();
        Ok(Some(MeasurementInfo {
            id: ONLY,
            name: Arc::from("m"),
            tag_keys,
            columns,
        }))
    }

    fn series(
        &self,
        _: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        Ok(self
            .series
            .iter()
            .filter(|_| measurement == ONLY)
            .map(|(info, _)| info.clone())
            .filter(|info| accept(info))
            .collect())
    }

    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        let rows = self
            .series
            .get(series.0 as usize)
            .map(|(_, rows)| Arc::clone(rows))
            .ok_or_else(|| SourceError::Failed("no such series".to_owned()))?;
        let times = rows
            .keys()
            .copied()
            .filter(|&time| request.range.contains(time))
            .collect();
        Ok(Box::new(MemoryScan {
            rows,
            times,
            next: 0,
            newest_first: request.newest_first,
            columns: request
                .columns
                .iter()
                .map(|&id| (id, self.columns[usize::from(id.0)].1))
                .collect(),
            batch_rows: self.batch_rows,
            batches: Arc::clone(&self.batches),
        }))
    }
}

struct MemoryScan {
    rows: Arc<SeriesRows>,
    times: Vec<Timestamp>,
    next: usize,
    newest_first: bool,
    columns: Vec<(ColumnId, FieldType)>,
    batch_rows: usize,
    batches: Arc<AtomicUsize>,
}

impl SeriesScan for MemoryScan {
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError> {
        let end = (self.next + self.batch_rows).min(self.times.len());
        let len = self.times.len();
        let times = if self.newest_first {
            self.times[len - end..len - self.next].to_vec()
        } else {
            self.times[self.next..end].to_vec()
        };
        self.next = end;
        if times.is_empty() {
            return Ok(None);
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        let columns = self
            .columns
            .iter()
            .map(|&(id, field_type)| {
                let mut column = Collector::new(field_type.into());
                for time in &times {
                    column.push(&self.rows[time][usize::from(id.0)]);
                }
                column.finish()
            })
            .collect();
        Ok(Some(ScanPart::Rows(ScanBatch { times, columns })))
    }
}
