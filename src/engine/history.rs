//! The history of lanes: how many values each has had, and the times of the earliest and the latest one.
//!
//! Nothing is counted while rows are written. What went to block files is added up by checkpoints, from the counts
//! that chunks have in front, and stands in the manifest that lists them; what is in memory alone is looked at when
//! somebody asks. A replay brings back exactly what no block file has, so a restart changes nothing.
//!
//! A value that was overwritten before its chunk sealed counts once, later on twice. Values stay counted when they
//! expire or are deleted; only those that never reached a block file leave the count with their chunk.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::catalog::{Catalog, Measurement};
use crate::codec::chunk::Chunk;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::limits::LANES_COUNTED;
use crate::series::{LaneUse, chunk_lanes};
use crate::types::{ColumnId, MeasurementId, SeriesId};

/// What block files have had of each lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History(BTreeMap<(MeasurementId, ColumnId), LaneUse>);

impl History {
    /// What the counters of a manifest say; those of others are passed over.
    pub fn of_counters(counters: &[(u64, u64)]) -> Self {
        let mut history = Self::default();
        for &(key, value) in counters {
            let Some((lane, part)) = lane_of(key) else {
                continue;
            };
            let used = history.0.entry(lane).or_insert(LaneUse::NONE);
            match part {
                PART_ROWS => used.rows = value,
                PART_FIRST => used.first_time = value as i64,
                _ => used.last_time = value as i64,
            }
        }
        history
    }

    /// As counters of a manifest, without lanes of measurements that are gone.
    pub fn counters(&self, catalog: &Catalog) -> Vec<(u64, u64)> {
        let there = |id| catalog.measurement_by_id(id).is_some();
        let lanes = self.0.iter().filter(|((id, _), _)| there(*id));
        lanes
            .flat_map(|(&lane, used)| {
                [
                    (key_of(lane, PART_ROWS), used.rows),
                    (key_of(lane, PART_FIRST), used.first_time as u64),
                    (key_of(lane, PART_LAST), used.last_time as u64),
                ]
            })
            .collect()
    }

    fn add(&mut self, lane: (MeasurementId, ColumnId), used: LaneUse) {
        if self.0.len() < LANES_COUNTED || self.0.contains_key(&lane) {
            self.0.entry(lane).or_insert(LaneUse::NONE).add(used);
        }
    }
}

impl Engine {
    /// What block files will have had once these chunks are in them too.
    pub(super) fn history_with<'a>(
        &self,
        chunks: impl Iterator<Item = (SeriesId, &'a Bytes)>,
    ) -> Result<History, EngineError> {
        let mut history = self.history.lock().clone();
        for (series, bytes) in chunks {
            let owner = self.catalog.read().series(series).map(|s| s.measurement);
            let Some(owner) = owner else { continue };
            let chunk = Chunk::reopen(bytes.as_ref())?;
            chunk_lanes(&chunk, |column, used| history.add((owner, column), used))?;
        }
        Ok(history)
    }

    /// The history of the lanes of a measurement, by column; of one that has had no value there is none.
    pub fn lane_uses(
        &self,
        access: &Access,
        database: &str,
        measurement: MeasurementId,
    ) -> Result<Vec<(ColumnId, LaneUse)>, EngineError> {
        access.check(Verb::Read, database)?;
        let series: Vec<SeriesId> = {
            let catalog = self.catalog.read();
            let found = catalog.measurement_by_id(measurement).into_iter();
            found.flat_map(Measurement::series).collect()
        };
        // Held until the end: no chunk goes from memory to a block file meanwhile.
        let history = self.history.lock();
        let range = (measurement, ColumnId(0))..=(measurement, ColumnId(u16::MAX));
        let known = history.0.range(range);
        let mut lanes: BTreeMap<ColumnId, LaneUse> =
            known.map(|(&(_, column), &used)| (column, used)).collect();
        for id in series {
            let shard = self.shards[self.placement.shard(id)].read();
            if let Some(series) = shard.get(self.placement.slot(id)) {
                series.memory_lanes(|column, used| {
                    lanes.entry(column).or_insert(LaneUse::NONE).add(used);
                })?;
            }
        }
        Ok(lanes.into_iter().collect())
    }
}

const fn key_of((measurement, column): (MeasurementId, ColumnId), part: u8) -> u64 {
    (KEYS as u64) << 56 | (measurement.0 as u64) << 24 | (column.0 as u64) << 8 | part as u64
}

const fn lane_of(key: u64) -> Option<((MeasurementId, ColumnId), u8)> {
    let part = key as u8;
    if (key >> 56) as u8 != KEYS || part > PART_LAST {
        return None;
    }
    let lane = (
        MeasurementId((key >> 24) as u32),
        ColumnId((key >> 8) as u16),
    );
    Some((lane, part))
}

/// The highest byte of the keys of these counters.
const KEYS: u8 = b'L';
const PART_ROWS: u8 = 0;
const PART_FIRST: u8 = 1;
const PART_LAST: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_others_are_passed_over() {
        for lane in [(0, 0), (7, 3), (u32::MAX, u16::MAX)] {
            let lane = (MeasurementId(lane.0), ColumnId(lane.1));
            for part in [PART_ROWS, PART_FIRST, PART_LAST] {
                assert_eq!(lane_of(key_of(lane, part)), Some((lane, part)));
            }
        }
        let others = [
            (0, 1),
            (u64::MAX, 1),
            (key_of((MeasurementId(1), ColumnId(1)), 3), 1),
        ];
        assert_eq!(History::of_counters(&others), History::default());
    }
}
