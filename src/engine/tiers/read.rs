//! Reading a series with its tiers: rows that are there, or have left and are in their chunks still, and buckets of
//! those that are not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::choose::{Stretch, choose};
use super::{Rings, covered, lanes_of};
use crate::blocks::{ChunkEntry, Pin};
use crate::engine::{Engine, EngineError, SeriesReader};
use crate::rollup::{Bucket, LaneColumn};
use crate::types::{ColumnId, SeriesId, TimeRange, Timestamp};

/// The buckets that stand for rows of a series that are no longer there.
#[derive(Debug)]
pub struct TierReader {
    engine: Arc<Engine>,
    lanes: Vec<LaneColumn>,
    newest_first: bool,
    /// By their first bucket.
    pieces: VecDeque<Piece>,
    ready: VecDeque<Bucket>,
    rolled: Option<TimeRange>,
    /// Keeps the files of the chunks.
    _pin: Pin,
}

/// A chunk, and where its buckets have to start.
#[derive(Clone, Copy, Debug)]
struct Piece {
    entry: ChunkEntry,
    range: TimeRange,
}

/// The rows of a series, and buckets of those that are not there.
#[derive(Debug)]
pub struct RolledReader {
    /// The rows.
    pub rows: SeriesReader,
    /// The buckets.
    pub buckets: TierReader,
}

impl Engine {
    /// The rows of a series in a range, with those that are beyond their age as long as they are there, and buckets
    /// for those that are not. `bounds` tells where the query's bucket of a time starts, and where the next one does;
    /// buckets of a tier are taken whole by their start.
    pub fn read_rolled(
        self: &Arc<Self>,
        series: SeriesId,
        range: TimeRange,
        columns: &[ColumnId],
        newest_first: bool,
        bounds: &dyn Fn(Timestamp) -> (Timestamp, Option<Timestamp>),
    ) -> RolledReader {
        let pin = self.blocks.pin();
        let lanes = lanes_of(&self.columns_of_series(series));
        let slot = self.placement.slot(series);
        let is_rolled = self.is_rolled(series);
        // Nothing moves from chunks to buckets while this is held.
        let settled = self.settled.read();
        let (rows, rings) = if is_rolled {
            let rows = self.read_with(series, columns, |found| found.snapshot_with_left(range));
            let shard = self.shards[self.placement.shard(series)].read();
            (rows, shard.tiers.get(slot).cloned().unwrap_or_default())
        } else {
            (self.read_series(series, range, columns), Rings::default())
        };
        drop(settled);
        let mut pieces = Vec::new();
        let mut rolled: Option<TimeRange> = None;
        for Stretch {
            tier,
            range,
            chunks,
        } in choose(&rings, range, bounds)
        {
            for entry in chunks {
                let covered = covered(tier, &entry);
                let known = rolled.get_or_insert(covered);
                known.start = known.start.min(covered.start);
                known.end = known.end.max(covered.end);
                pieces.push(Piece { entry, range });
            }
        }
        pieces.sort_by_key(|piece| piece.entry.meta.first_time);
        RolledReader {
            rows,
            buckets: TierReader {
                engine: Arc::clone(self),
                lanes,
                newest_first,
                pieces: pieces.into(),
                ready: VecDeque::new(),
                rolled,
                _pin: pin,
            },
        }
    }

    /// Whether buckets are made of the rows of a series that leave.
    fn is_rolled(&self, series: SeriesId) -> bool {
        let (class, _) = self.class_in(&self.catalog.read(), series);
        let revised = self.retention.current();
        let class = revised.policy.classes.get(class);
        class.is_some_and(|class| !class.tiers.is_empty())
    }
}

impl TierReader {
    /// What the buckets are of, whole buckets counted.
    pub const fn rolled(&self) -> Option<TimeRange> {
        self.rolled
    }

    /// Where a column is among the lanes of a bucket.
    pub fn lane_of(&self, column: ColumnId) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.id == column)
    }

    /// The next bucket, in the order that was asked for.
    pub fn next_bucket(&mut self) -> Result<Option<Bucket>, EngineError> {
        while self.ready.is_empty() {
            let group = self.next_group();
            if group.is_empty() {
                return Ok(None);
            }
            let mut buckets = Vec::new();
            for piece in group {
                let of_piece = self.engine.buckets_of(&piece.entry, &self.lanes)?;
                let wanted = of_piece.into_iter();
                buckets.extend(wanted.filter(|bucket| piece.range.contains(bucket.start)));
            }
            buckets.sort_by_key(|bucket| bucket.start);
            if self.newest_first {
                buckets.reverse();
            }
            self.ready = buckets.into();
        }
        Ok(self.ready.pop_front())
    }

    /// The next chunk, and those that overlap it.
    fn next_group(&mut self) -> Vec<Piece> {
        let mut group: Vec<Piece> = Vec::new();
        while let Some(next) = if self.newest_first {
            self.pieces.back()
        } else {
            self.pieces.front()
        } {
            let overlaps = |known: &Piece| {
                let (known, next) = (known.entry.meta, next.entry.meta);
                known.first_time <= next.last_time && next.first_time <= known.last_time
            };
            if !group.is_empty() && !group.iter().any(overlaps) {
                break;
            }
            let taken = if self.newest_first {
                self.pieces.pop_back()
            } else {
                self.pieces.pop_front()
            };
            group.extend(taken);
        }
        group
    }
}
