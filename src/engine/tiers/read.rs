//! Reading a series with its tiers: rows that are there, or have left and are in their chunks still, and buckets of
//! those that are not.

use std::collections::VecDeque;
use std::sync::Arc;

use super::choose::{Stretch, choose};
use super::{covered, lanes_of};
use crate::blocks::{ChunkEntry, Pin};
use crate::engine::retention::{RetentionClass, class_of};
use crate::engine::{Engine, EngineError, Lanes, SeriesReader};
use crate::rollup::{BucketColumns, LaneColumn, Parts, TierCounts};
use crate::types::{ColumnId, FieldType, SeriesId, TimeRange, Timestamp};

/// The buckets that stand for rows of a series that are no longer there.
#[derive(Debug)]
pub struct TierReader {
    engine: Arc<Engine>,
    lanes: Vec<(LaneColumn, Parts)>,
    newest_first: bool,
    /// By their first bucket.
    pieces: VecDeque<Piece>,
    /// The chunks that are read.
    open: Vec<BucketColumns>,
    /// Which of them a bucket is in, and where.
    ready: VecDeque<(usize, usize)>,
    rolled: Option<TimeRange>,
    /// Chunks that are to be read.
    chunks: TierCounts,
    /// Keeps the files of the chunks.
    _pin: Pin,
}

/// What is wanted of buckets.
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct BucketDemand<'a> {
    /// For each column that is wanted.
    pub parts: &'a [Parts],
    /// When the first and the last value of any column were.
    pub times: bool,
    /// Buckets come newest first.
    pub newest_first: bool,
    /// Where the query's bucket of a time starts, and where the next one does; buckets of a tier are taken whole by their
    /// start.
    pub bounds: &'a dyn Fn(Timestamp) -> (Timestamp, Option<Timestamp>),
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
    /// The rows of a series in some ranges, with those that are beyond their age as long as they are there, and buckets
    /// for those that are not, as they are at one moment. The ranges do not overlap.
    pub fn read_rolled(
        self: &Arc<Self>,
        series: SeriesId,
        ranges: &[TimeRange],
        (lanes, columns): (&Arc<Lanes>, &[ColumnId]),
        demand: &BucketDemand<'_>,
    ) -> RolledReader {
        let pin = self.blocks.pin();
        let (rows, stretches) = if self.is_rolled(series) {
            self.read_with_buckets(series, ranges, lanes, demand)
        } else {
            (self.read_ranges(series, ranges, lanes), Vec::new())
        };
        let mut pieces = Vec::new();
        let mut rolled: Option<TimeRange> = None;
        let mut counts = TierCounts::default();
        for Stretch {
            tier,
            range,
            chunks,
        } in stretches
        {
            counts.add(tier, chunks.len() as u64);
            for entry in chunks {
                let covered = covered(tier, &entry);
                let known = rolled.get_or_insert(covered);
                known.start = known.start.min(covered.start);
                known.end = known.end.max(covered.end);
                pieces.push(Piece { entry, range });
            }
        }
        pieces.sort_by_key(|piece| piece.entry.meta.first_time);
        let lanes = if pieces.is_empty() {
            Vec::new()
        } else {
            wanted(&lanes_of(&self.columns_of_series(series)), columns, demand)
        };
        RolledReader {
            rows,
            buckets: TierReader {
                engine: Arc::clone(self),
                lanes,
                newest_first: demand.newest_first,
                pieces: pieces.into(),
                open: Vec::new(),
                ready: VecDeque::new(),
                rolled,
                chunks: counts,
                _pin: pin,
            },
        }
    }

    /// The rows, whatever their age, and which buckets answer for those that are not there.
    fn read_with_buckets(
        self: &Arc<Self>,
        series: SeriesId,
        ranges: &[TimeRange],
        lanes: &Arc<Lanes>,
        demand: &BucketDemand<'_>,
    ) -> (SeriesReader, Vec<Stretch>) {
        let slot = self.placement.slot(series);
        // Nothing moves from chunks to buckets while this is held.
        let _settled = self.settled.read();
        let rows = self.read_snapshots(series, lanes, |found| {
            let ranges = ranges.iter();
            let snapshots = ranges.map(|&range| found.snapshot_with_left(range));
            snapshots.collect()
        });
        let shard = self.shards[self.placement.shard(series)].read();
        let rows = rows.whole_from(shard.left_until(slot));
        let rings = shard.tiers.get(slot);
        let chosen = rings.into_iter().flat_map(|rings| {
            let of_range = |&range: &TimeRange| choose(rings, range, demand.bounds);
            ranges.iter().flat_map(of_range)
        });
        (rows, chosen.collect())
    }

    /// What is wanted of a chunk of a tier.
    fn bucket_columns(
        &self,
        entry: &ChunkEntry,
        lanes: &[(LaneColumn, Parts)],
    ) -> Result<BucketColumns, EngineError> {
        let (chunk, tier) = self.tier_chunk(entry)?;
        Ok(BucketColumns::read(&chunk, tier, lanes)?)
    }

    /// Whether buckets are made of the rows of a series that leave.
    fn is_rolled(&self, series: SeriesId) -> bool {
        let revised = self.retention.current();
        let has_tiers = |class: &RetentionClass| !class.tiers_or(&self.options.tiers).is_empty();
        let classes = &revised.policy.classes;
        let with_tiers = classes.iter().filter(|class| has_tiers(class)).count();
        // As a rule all of them have some, or none has.
        if with_tiers == 0 || with_tiers == classes.len() {
            return with_tiers > 0;
        }
        let class = class_of(&self.catalog.read(), &revised.policy, series);
        classes.get(class).is_some_and(has_tiers)
    }
}

/// The columns that are wanted as lanes, in that order; where times are, all others behind them.
fn wanted(
    lanes: &[LaneColumn],
    columns: &[ColumnId],
    demand: &BucketDemand<'_>,
) -> Vec<(LaneColumn, Parts)> {
    let edges = demand.times;
    let of_column = |(&id, &parts): (&ColumnId, &Parts)| {
        let lane = lanes.iter().find(|lane| lane.id == id).copied();
        // Of a column that the series' measurement lacks no chunk has anything.
        let field_type = FieldType::Float;
        let parts = Parts {
            edges: parts.edges || edges,
            ..parts
        };
        (lane.unwrap_or(LaneColumn { id, field_type }), parts)
    };
    let mut wanted: Vec<_> = columns.iter().zip(demand.parts).map(of_column).collect();
    if edges {
        let others = lanes.iter().filter(|lane| !columns.contains(&lane.id));
        let parts = Parts {
            edges,
            ..Parts::default()
        };
        wanted.extend(others.map(|&lane| (lane, parts)));
    }
    wanted
}

impl TierReader {
    /// What the buckets are of, whole buckets counted.
    pub const fn rolled(&self) -> Option<TimeRange> {
        self.rolled
    }

    /// The chunks of buckets that are read, by tier.
    pub const fn chunks(&self) -> TierCounts {
        self.chunks
    }

    /// The next bucket, in the order that was asked for: which one it is of what was read. Its lanes are the columns that
    /// were asked for, in that order, and maybe others behind them.
    pub fn next_bucket(&mut self) -> Result<Option<(&BucketColumns, usize)>, EngineError> {
        while self.ready.is_empty() {
            let group = self.next_group();
            if group.is_empty() {
                return Ok(None);
            }
            self.open.clear();
            let mut buckets = Vec::new();
            for piece in group {
                let open = self.engine.bucket_columns(&piece.entry, &self.lanes)?;
                let inside =
                    (0..open.len()).filter(|&index| piece.range.contains(open.start(index)));
                buckets.extend(inside.map(|index| (open.start(index), self.open.len(), index)));
                self.open.push(open);
            }
            buckets.sort_unstable();
            if self.newest_first {
                buckets.reverse();
            }
            let places = buckets.into_iter().map(|(_, open, index)| (open, index));
            self.ready = places.collect();
        }
        let next = self.ready.pop_front();
        Ok(next.map(|(open, index)| (&self.open[open], index)))
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
