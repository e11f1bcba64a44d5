//! Series of which no row is left give their place back: number, key and memory.
//!
//! A round looks at every series, a slice at a time. One that was found empty in two rounds running is retired: the
//! log says so, then the catalog forgets its key. Empty means that no chunk is left of it, so that a manifest which
//! counts its rows is in force already. Whoever resolved it before and writes to it afterwards is led to the series
//! that has its key then (see [`Engine::write`]): no row is lost to it.

use std::sync::atomic::Ordering;

use crate::blocks::ChunkEntry;
use crate::catalog::{Catalog, REJECTED, SeriesSet};
use crate::engine::{Batch, Engine, EngineError, TickReport};
use crate::log::definitions::encode_retired;
use crate::log::{FrameParts, FrameType};
use crate::mutants::{self, Mutant};
use crate::series::{Sealed, Series};
use crate::types::{MeasurementId, SeriesId};

/// Where the round is.
#[derive(Debug, Default)]
pub(super) struct Vacancies {
    /// When it began, monotonic nanoseconds; `None` before the first.
    began_ns: Option<u64>,
    /// Series below this have been looked at.
    looked: u32,
    /// Series from this on are for the next round.
    end: u32,
    /// Series that it found empty.
    found: SeriesSet,
    /// Series that the round before found empty.
    before: SeriesSet,
}

/// Series that are looked at under one hold of the catalog.
const SLICE_SERIES: usize = 1024;
/// Series that are looked at in one tick.
const TICK_SERIES: usize = 64 * SLICE_SERIES;
/// Series that are retired with one frame, while nobody writes.
const RETIRED_SERIES: usize = 256;

impl Engine {
    /// Looks at the next series of the round, and retires those that were empty in the one before, too.
    pub(super) fn vacate(&self, report: &mut TickReport) {
        let age_ns = self.options.empty_series_ns;
        if age_ns == 0 {
            return;
        }
        let mut state = self.vacancies.lock();
        let now_ns = self.clock.monotonic_ns();
        let is_over = state.looked >= state.end;
        match state.began_ns {
            Some(began_ns) if !is_over || now_ns.saturating_sub(began_ns) < age_ns => {}
            _ => {
                state.before = std::mem::take(&mut state.found);
                state.looked = 0;
                state.began_ns = Some(now_ns);
                let mut catalog = self.catalog.write();
                catalog.forget_retired();
                state.end = catalog.series_end();
            }
        }
        for _ in 0..TICK_SERIES / SLICE_SERIES {
            if state.looked >= state.end {
                break;
            }
            let empty = self.empty_series(&mut state.looked);
            let (again, new): (Vec<_>, Vec<_>) =
                empty.into_iter().partition(|&id| state.before.contains(id));
            for id in new {
                state.found.insert(id);
            }
            for ids in again.chunks(RETIRED_SERIES) {
                match self.retire_empty(ids) {
                    Ok(retired) => report.retired_series += retired,
                    // The log takes nothing now: the next rounds find them again.
                    Err(_) => return,
                }
            }
        }
    }

    /// Those of the next series that are empty.
    fn empty_series(&self, looked: &mut u32) -> Vec<SeriesId> {
        let catalog = self.catalog.read();
        let mut empty = Vec::new();
        let slice = catalog.series_from(*looked).take(SLICE_SERIES);
        *looked = catalog.series_end();
        let mut count = 0;
        for entry in slice {
            count += 1;
            if count == SLICE_SERIES {
                *looked = entry.id.0 + 1;
            }
            let shard = self.shards[self.placement.shard(entry.id)].read();
            let series = shard.get(self.placement.slot(entry.id));
            let is_rolled = shard.tiers.get(self.placement.slot(entry.id)).is_some();
            let is_empty = series.is_none_or(is_vacant) && !is_rolled;
            if is_empty && !is_own(&catalog, entry.measurement) {
                empty.push(entry.id);
            }
        }
        empty
    }

    /// Retires those of some series that are empty, ascending; how many.
    fn retire_empty(&self, ids: &[SeriesId]) -> Result<u64, EngineError> {
        let mut catalog = self.catalog.write();
        // Whoever holds several shards takes them in the order of their numbers.
        let mut shards: Vec<_> = self.shards.iter().map(|shard| shard.write()).collect();
        let place = |id| (self.placement.shard(id), self.placement.slot(id));
        let mut gone = SeriesSet::default();
        for &id in ids {
            let (shard, slot) = place(id);
            let is_rolled = shards[shard].tiers.get(slot).is_some();
            let is_empty = shards[shard].get(slot).is_none_or(is_vacant) && !is_rolled;
            if is_empty && catalog.series(id).is_some() {
                gone.insert(id);
            }
        }
        let runs = gone.runs_beyond(&SeriesSet::default());
        if runs.is_empty() {
            return Ok(0);
        }
        let mut payload = Vec::new();
        encode_retired(&mut payload, &runs);
        let frame = FrameParts::new(FrameType::Definitions, &payload);
        let appended = self.log.append_in_any_epoch(&[frame]);
        appended.map_err(super::write::refusal)?;
        for run in runs {
            for entry in catalog.retire_series(run) {
                let (shard, slot) = place(entry.id);
                shards[shard].vacate(slot);
            }
        }
        // Whoever remembers one of them begins anew.
        self.drops.fetch_add(1, Ordering::Release);
        Ok(gone.len())
    }

    /// Leads rows of series that were retired since they were resolved to the series that have their keys now. Those for
    /// which there is none are taken out of the batch: with the reason, and the others do not wait for them.
    #[cold]
    pub(super) fn lead_on(&self, batch: &mut Batch) -> (Batch, Option<EngineError>) {
        let mut catalog = self.catalog.write();
        let gone = batch.split_off(|series| catalog.is_retired(series));
        let (mut stuck, mut reason) = (gone.emptied(), None);
        for (index, rows) in gone.shards.iter().enumerate() {
            for row in &rows.rows {
                match catalog.successor(row.series, &|token| self.tokens.maker(token)) {
                    Ok(id) => batch.copy(rows, row, (self.placement.shard(id), id)),
                    Err(error) => {
                        stuck.copy(rows, row, (index, row.series));
                        reason = Some(error.into());
                    }
                }
            }
        }
        (stuck, reason)
    }
}

/// Whether nothing is left of a series, here or on its way to a manifest.
fn is_vacant(series: &Series<ChunkEntry>) -> bool {
    if mutants::is(Mutant::RetiredUnsettled) {
        return series.is_sealed() && series.ring.iter().all(Sealed::is_gone);
    }
    series.is_vacant()
}

/// Whether only the server writes to it.
fn is_own(catalog: &Catalog, measurement: MeasurementId) -> bool {
    let found = catalog.measurement_by_id(measurement);
    found.is_some_and(|found| &*found.name == REJECTED)
}
