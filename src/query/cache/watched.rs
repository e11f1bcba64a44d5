//! A store whose results are kept: what tells whether they still hold, and how what is missing is read.

use std::sync::Arc;

use super::ResultCache;
use crate::engine::{Engine, Growth, Lanes, SeenState, SeriesChanges, Versions};
use crate::query::source::{Buckets, ScanRequest, SeriesScan};
use crate::query::store::scan_of;
use crate::types::{ColumnId, MeasurementId, SeriesId, TimeRange, Timestamp};

/// An engine and the cache of its results.
#[derive(Debug)]
pub struct Watched {
    engine: Arc<Engine>,
    results: Arc<ResultCache>,
}

impl Watched {
    /// The results of this engine, and of no other.
    pub(crate) const fn new(engine: Arc<Engine>, results: Arc<ResultCache>) -> Self {
        Self { engine, results }
    }

    pub(crate) fn results(&self) -> &ResultCache {
        &self.results
    }

    pub(crate) fn versions(&self, series: &[SeriesId]) -> Versions {
        self.engine.versions(series)
    }

    pub(crate) fn changes_since(
        &self,
        series: &[SeriesId],
        since: &Versions,
        range: TimeRange,
    ) -> (Versions, SeriesChanges) {
        self.engine.changes_since(series, since, range)
    }

    pub(crate) fn growth(&self, series: SeriesId, behind: Timestamp, range: TimeRange) -> Growth {
        self.engine.growth(series, behind, range)
    }

    pub(crate) fn extent(&self, series: &[SeriesId]) -> Option<(Timestamp, Timestamp)> {
        self.engine.extent(series)
    }

    pub(crate) fn whole_from(&self, series: &[SeriesId], takes_buckets: bool) -> Timestamp {
        self.engine.whole_from(series, takes_buckets)
    }

    pub(crate) fn lanes(&self, measurement: MeasurementId, columns: &[ColumnId]) -> Arc<Lanes> {
        Arc::new(self.engine.lanes(measurement, columns))
    }

    /// What there is of a series in some ranges, all of one moment, and how the series was then.
    pub(crate) fn scan(
        &self,
        series: SeriesId,
        ranges: &[TimeRange],
        lanes: &Arc<Lanes>,
        request: (&Arc<ScanRequest>, &Buckets),
    ) -> (Box<dyn SeriesScan>, SeenState) {
        scan_of(&self.engine, series, ranges, lanes, request)
    }
}
