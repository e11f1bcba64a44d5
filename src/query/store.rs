//! The engine as a source of queries, with the rights of one caller.

use std::sync::Arc;

use edgetime_protocol::error::Code;

use super::cache::{ResultCache, Watched};
use super::rolled::{self, RolledScan};
use super::source::{
    Buckets, ChunkSummary, ColumnInfo, ColumnSummary, MeasurementInfo, ReadCounts, ScanBatch,
    ScanPart, ScanRequest, SeriesChoice, SeriesInfo, SeriesScan, Source, SourceError,
    SummaryRequest,
};
use super::value::Scalar;
use crate::engine::{
    Access, BucketDemand, Engine, EngineError, Lanes, Parts, RulesView, SeenState, SeriesReader,
    Verb,
};
use crate::series::{self, ChunkFacts, Demand, LaneUse, Part, Statistics, Summaries, Summary};
use crate::types::{ColumnId, MeasurementId, Position, SeriesId, TimeRange};

/// A store and what the caller may do with it.
#[derive(Debug)]
pub struct Store {
    engine: Arc<Engine>,
    access: Access,
    watched: Option<Watched>,
}

impl Store {
    /// The engine with the rights of a caller.
    #[must_use]
    pub const fn new(engine: Arc<Engine>, access: Access) -> Self {
        Self {
            engine,
            access,
            watched: None,
        }
    }

    /// The same, with results that are kept. A cache is for one engine.
    #[must_use]
    pub fn with_cache(mut self, results: &Arc<ResultCache>) -> Self {
        let watched = || Watched::new(Arc::clone(&self.engine), Arc::clone(results));
        self.watched = (!results.is_off()).then(watched);
        self
    }

    /// What lies before a position is durable when it returns.
    fn settle(&self, position: Position) -> Result<(), SourceError> {
        if self.engine.durable() < position {
            self.engine.sync().map_err(refused)?;
        }
        Ok(())
    }
}

impl Source for Store {
    fn databases(&self) -> Vec<Arc<str>> {
        self.engine.databases(&self.access)
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        self.engine
            .measurements(&self.access, database)
            .map_err(failed)?
            .ok_or_else(|| SourceError::UnknownDatabase(database.to_owned()))
    }

    fn measurement(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<MeasurementInfo>, SourceError> {
        let found = self.engine.measurement(&self.access, database, name);
        Ok(found.map_err(failed)?.map(|view| MeasurementInfo {
            id: view.id,
            name: view.name,
            tag_keys: view.tag_names,
            columns: view
                .columns
                .into_iter()
                .map(|column| ColumnInfo {
                    id: column.id,
                    name: column.name,
                    field_type: column.field_type,
                })
                .collect(),
        }))
    }

    fn rules(&self, database: &str, measurement: MeasurementId) -> Result<RulesView, SourceError> {
        self.access.check(Verb::Read, database).map_err(failed)?;
        Ok(self.engine.rules(measurement))
    }

    fn lane_uses(
        &self,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<Vec<(ColumnId, LaneUse)>, SourceError> {
        self.engine
            .lane_uses(&self.access, database, measurement)
            .map_err(failed)
    }

    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.access.check(Verb::Read, database).map_err(failed)?;
        let all = self.engine.select_series(measurement, &|_| true);
        Ok(all
            .into_iter()
            .map(|view| SeriesInfo {
                id: view.id,
                tags: view.tags,
            })
            .filter(|info| accept(info))
            .collect())
    }

    fn choose(
        &self,
        database: &str,
        measurement: MeasurementId,
        choice: SeriesChoice<'_>,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.access.check(Verb::Read, database).map_err(failed)?;
        let found = self.engine.find_series(measurement, choice.by_tags);
        let infos = found.into_iter().map(|view| SeriesInfo {
            id: view.id,
            tags: view.tags,
        });
        Ok(match choice.rest {
            Some(accept) => infos.filter(accept).collect(),
            None => infos.collect(),
        })
    }

    fn hash_seed(&self) -> u64 {
        self.engine.hash_seed()
    }

    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        let lanes = self.engine.lanes_in(series, &request.columns);
        let request = Arc::new(request.clone());
        let ranges = [request.range];
        let asked = request.summaries.as_ref();
        let asked = asked.map_or(Buckets::One, |summaries| summaries.buckets.clone());
        let (scan, _) = scan_of(&self.engine, series, &ranges, &lanes, (&request, &asked));
        Ok(scan)
    }

    fn newest(&self, series: &[SeriesId], request: &ScanRequest) -> Vec<Option<ScanBatch>> {
        let found = self
            .engine
            .newest_rows(series, request.range, &request.columns);
        let batch = |(times, columns)| ScanBatch { times, columns };
        found.into_iter().map(|row| row.map(batch)).collect()
    }

    fn watched(&self) -> Option<&Watched> {
        self.watched.as_ref()
    }

    fn rolled(&self, series: SeriesId, range: TimeRange) -> Option<TimeRange> {
        self.engine.rolled_range(series, range)
    }

    fn delete(
        &self,
        database: &str,
        measurement: MeasurementId,
        series: &[SeriesId],
        range: TimeRange,
    ) -> Result<u64, SourceError> {
        let left = self.engine.left_range(series, range);
        if let Some(left) = left.as_ref().filter(|left| left.whole != range) {
            return Err(rolled::cut(left.whole));
        }
        let deleted = self
            .engine
            .delete(&self.access, database, measurement, series, range)
            .map_err(refused)?;
        self.settle(deleted.position)?;
        let mut rows = deleted.rows;
        if let Some(left) = left {
            let of_buckets =
                self.engine
                    .delete_buckets(&self.access, database, &left.series, range);
            rows += of_buckets.map_err(refused)?;
        }
        Ok(rows)
    }

    fn drop_measurement(
        &self,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<u64, SourceError> {
        let dropped = self
            .engine
            .drop_measurement(&self.access, database, measurement)
            .map_err(refused)?;
        self.settle(dropped.position)?;
        Ok(dropped.rows)
    }
}

/// What there is of a series in some ranges, as a query wants it, and how the series was then. The query's own buckets
/// say which of a tier's answer, whatever rows are added up in.
pub(super) fn scan_of(
    engine: &Arc<Engine>,
    series: SeriesId,
    ranges: &[TimeRange],
    lanes: &Arc<Lanes>,
    (request, asked): (&Arc<ScanRequest>, &Buckets),
) -> (Box<dyn SeriesScan>, SeenState) {
    let scan = |reader: SeriesReader| {
        let seen = reader.seen();
        let request = Arc::clone(request);
        (Scan { reader, request }, seen)
    };
    let Some(summaries) = &request.summaries else {
        let (scan, seen) = scan(engine.read_ranges(series, ranges, lanes));
        return (Box::new(scan), seen);
    };
    let parts: Vec<Parts> = rolled::parts(summaries).collect();
    let demand = BucketDemand {
        parts: &parts,
        times: summaries.times,
        newest_first: request.newest_first,
        bounds: &|time| asked.bounds(time),
    };
    let read = engine.read_rolled(series, ranges, (lanes, &request.columns), &demand);
    let (scan, seen) = scan(read.rows);
    if read.buckets.rolled().is_none() {
        return (Box::new(scan), seen);
    }
    let request = SummaryRequest {
        buckets: asked.clone(),
        ..summaries.clone()
    };
    let scan = RolledScan::new(scan, read.buckets, request);
    (Box::new(scan), seen)
}

pub(super) struct Scan {
    reader: SeriesReader,
    pub(super) request: Arc<ScanRequest>,
}

impl SeriesScan for Scan {
    fn next(&mut self) -> Result<Option<ScanPart>, SourceError> {
        let Self { reader, request } = self;
        let may_match = |facts: &ChunkFacts<'_>| {
            let column = |id| facts.column(id);
            request
                .conditions
                .iter()
                .all(|condition| condition.may_hold(&column))
        };
        let bucket_end = |time| {
            let summaries = request.summaries.as_ref()?;
            summaries.buckets.bounds(time).1
        };
        let statistics = request.summaries.as_ref();
        let statistics = statistics.filter(|summaries| !summaries.moments);
        let demand = Demand {
            newest_first: request.newest_first,
            rows_max: request.rows_max,
            may_match: (!request.conditions.is_empty()).then_some(&may_match),
            summaries: statistics.map(|summaries| Summaries {
                needs: &summaries.needs,
                bucket_end: &bucket_end,
            }),
        };
        let part = reader.next_part(&demand).map_err(failed)?;
        Ok(part.map(|part| match part {
            Part::Rows((times, columns)) => ScanPart::Rows(ScanBatch { times, columns }),
            Part::Summary(summary) => ScanPart::Summary(chunk_summary(&summary)),
        }))
    }

    fn counts(&self) -> ReadCounts {
        self.reader.counts()
    }
}

fn chunk_summary(summary: &Summary) -> ChunkSummary {
    ChunkSummary {
        rows: summary.rows,
        first_time: summary.first_time,
        last_time: summary.last_time,
        columns: summary.columns.iter().map(column_summary).collect(),
    }
}

fn column_summary(column: &series::ColumnSummary) -> ColumnSummary {
    let (mut sum_integer, mut sum_float) = (0, 0.0);
    let (min, max, first, last) = match column.statistics {
        Statistics::Float {
            min,
            max,
            sum,
            first,
            last,
        } => {
            sum_float = sum;
            let float = Scalar::Float;
            (float(min), float(max), float(first), float(last))
        }
        Statistics::Integer {
            min,
            max,
            sum,
            first,
            last,
        } => {
            sum_integer = sum;
            let integer = Scalar::Integer;
            (integer(min), integer(max), integer(first), integer(last))
        }
        Statistics::Unsigned {
            min,
            max,
            sum,
            first,
            last,
        } => {
            sum_integer = sum as i128;
            let unsigned = Scalar::Unsigned;
            (
                unsigned(min),
                unsigned(max),
                unsigned(first),
                unsigned(last),
            )
        }
        Statistics::Boolean { trues, first, last } => {
            let flag = Scalar::Boolean;
            let all = trues as u64 == column.count;
            (flag(all), flag(trues > 0), flag(first), flag(last))
        }
        Statistics::None => (Scalar::Null, Scalar::Null, Scalar::Null, Scalar::Null),
    };
    ColumnSummary {
        count: column.count,
        sum_integer,
        sum_float,
        min,
        max,
        first: column.edges.map(|(time, _)| (time, first)),
        last: column.edges.map(|(_, time)| (time, last)),
        moments: None,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
pub(super) fn failed(error: EngineError) -> SourceError {
    match error {
        EngineError::Denied { .. } => refused(error),
        other => SourceError::Failed(other.to_string()),
    }
}

/// What the engine does not do, with the code of the wire.
#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn refused(error: EngineError) -> SourceError {
    let code = match &error {
        EngineError::Denied { .. } => Code::NotAllowed,
        EngineError::Busy | EngineError::BucketsCut => Code::Busy,
        EngineError::Full { .. } => Code::Full,
        EngineError::ReadOnly { .. } => Code::ReadOnly,
        _ => Code::Internal,
    };
    SourceError::Refused {
        code,
        message: error.to_string(),
    }
}
