//! Reading a chunk of buckets: as columns with what is asked for, and as buckets with all of it.

use super::{LaneColumn, ROWS_MAX, RollupError, column_of, part};
use crate::codec::chunk::Chunk;
use crate::codec::vector::{ColumnVector, Validity, Values};
use crate::rollup::bucket::Bucket;
use crate::rollup::partial::{Bounds, Edge, Lane, Numbers, Partial};
use crate::rollup::sum::FloatSum;
use crate::rollup::tier::Tier;
use crate::types::{ColumnId, FieldType, Timestamp};

/// What is read of a lane besides the number of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The sum.
    pub sum: bool,
    /// The least and the greatest.
    pub range: bool,
    /// The first and the last, with their times.
    pub edges: bool,
    /// The squares.
    pub squares: bool,
}

impl Parts {
    /// All of it: what makes a [`Partial`].
    pub const ALL: Self = Self {
        sum: true,
        range: true,
        edges: true,
        squares: true,
    };
}

/// The buckets of a chunk, column by column, of as many lanes as were asked for.
#[derive(Clone, Debug)]
pub struct BucketColumns {
    starts: Vec<Timestamp>,
    rows: Vec<u64>,
    lanes: Vec<Option<LaneBuckets>>,
}

/// What is known of a lane, a bucket after the other. What a bucket without a value has is undefined.
#[derive(Clone, Debug)]
pub struct LaneBuckets {
    validity: Validity,
    /// None where each bucket has as many values as rows.
    counts: Option<Vec<Option<u64>>>,
    /// The least and the greatest of each bucket.
    pub range: Option<[ColumnVector; 2]>,
    /// The first and the last of each bucket.
    pub edges: Option<Edges>,
    /// The sum of each bucket.
    pub sums: Option<Sums>,
    /// The squares of the distances from the first value.
    squares: Option<Vec<f64>>,
}

/// First and last values, with their times.
#[derive(Clone, Debug)]
pub struct Edges {
    /// The first and the last of each bucket.
    pub values: [ColumnVector; 2],
    /// When these were.
    pub times: [Vec<Timestamp>; 2],
}

/// Sums, by the type of the lane.
#[derive(Clone, Debug, PartialEq)]
pub enum Sums {
    /// Of doubles, rounded once.
    Float(Vec<f64>),
    /// Of integers of either kind.
    Integer(Vec<i128>),
    /// How many are true.
    Trues(Vec<u64>),
}

/// The buckets of a chunk, with these lanes; a lane that the chunk lacks has no values in it.
pub fn decode<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    tier: Tier,
    lanes: &[LaneColumn],
) -> Result<Vec<Bucket>, RollupError> {
    let lanes: Vec<_> = lanes.iter().map(|&lane| (lane, Parts::ALL)).collect();
    let columns = BucketColumns::read(chunk, tier, &lanes)?;
    let bucket = |index| Bucket {
        start: columns.start(index),
        rows: columns.rows(index),
        lanes: (0..lanes.len())
            .map(|lane| columns.partial(lane, index))
            .collect(),
    };
    Ok((0..columns.len()).map(bucket).collect())
}

impl BucketColumns {
    /// Reads what is asked of these lanes; one that the chunk lacks has no values in it.
    pub fn read<B: AsRef<[u8]>>(
        chunk: &Chunk<B>,
        tier: Tier,
        lanes: &[(LaneColumn, Parts)],
    ) -> Result<Self, RollupError> {
        let mut starts = Vec::new();
        chunk.decode_times(&mut starts)?;
        let mut last = None;
        for (bucket, &start) in starts.iter().enumerate() {
            if tier.start_of(start) != start || last.is_some_and(|last| last >= start) {
                let what = "start";
                return Err(RollupError::Impossible { bucket, what });
            }
            last = Some(start);
        }
        let claimed = unsigned_of(chunk, ColumnId(part::ROWS))?;
        let mut rows = Vec::with_capacity(starts.len());
        for bucket in 0..starts.len() {
            let claimed = claimed.get(bucket).copied().flatten();
            let what = "number of rows";
            let is_possible = |rows: &u64| (1..=ROWS_MAX).contains(rows);
            let found = claimed.filter(is_possible);
            rows.push(found.ok_or(RollupError::Impossible { bucket, what })?);
        }
        let mut read = Self {
            starts,
            rows,
            lanes: Vec::with_capacity(lanes.len()),
        };
        for &(lane, parts) in lanes {
            let found = read.read_lane(chunk, tier, lane, parts)?;
            read.lanes.push(found);
        }
        Ok(read)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Where a bucket starts.
    ///
    /// # Panics
    /// Panics if there are not as many.
    #[must_use]
    pub fn start(&self, bucket: usize) -> Timestamp {
        self.starts[bucket]
    }

    /// Rows of a bucket.
    ///
    /// # Panics
    /// Panics if there are not as many buckets.
    #[must_use]
    pub fn rows(&self, bucket: usize) -> u64 {
        self.rows[bucket]
    }

    /// How many values a bucket has of a lane, and what is known of the lane; none where it has no value of it.
    #[must_use]
    pub fn lane(&self, lane: usize, bucket: usize) -> Option<(u64, &LaneBuckets)> {
        let lane = self.lanes.get(lane)?.as_ref()?;
        lane.count(bucket, &self.rows).map(|count| (count, lane))
    }

    /// All that a bucket knows of a lane of which all was read.
    #[must_use]
    pub fn partial(&self, lane: usize, bucket: usize) -> Option<Partial> {
        let (count, lane) = self.lane(lane, bucket)?;
        let lane = lane.whole(bucket)?;
        Some(Partial { count, lane })
    }

    /// When the first value and the last one of a bucket were, of those lanes whose edges were read.
    #[must_use]
    pub fn edge_times(&self, bucket: usize) -> Option<(Timestamp, Timestamp)> {
        let lanes = (0..self.lanes.len()).filter_map(|lane| self.lane(lane, bucket));
        let edges = lanes.filter_map(|(_, lane)| {
            let [first, last] = &lane.edges.as_ref()?.times;
            Some((first[bucket], last[bucket]))
        });
        edges.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
    }

    fn read_lane<B: AsRef<[u8]>>(
        &self,
        chunk: &Chunk<B>,
        tier: Tier,
        lane: LaneColumn,
        parts: Parts,
    ) -> Result<Option<LaneBuckets>, RollupError> {
        let id = |part| column_of(lane.id, part);
        let has = |part| Ok::<_, RollupError>(chunk.column(id(part)?).is_some());
        if !has(part::FIRST)? {
            return Ok(None);
        }
        let counts = has(part::COUNT)?
            .then(|| unsigned_of(chunk, id(part::COUNT)?))
            .transpose()?;
        let read = LaneBuckets {
            validity: match &counts {
                Some(counts) => Validity::from_flags(counts.iter().map(Option::is_some)),
                None => Validity::all(),
            },
            counts,
            range: None,
            edges: None,
            sums: None,
            squares: None,
        };
        for bucket in 0..self.len() {
            let what = "number of values";
            let is_possible = |count: u64| (1..=self.rows[bucket]).contains(&count);
            if !read.count(bucket, &self.rows).is_none_or(is_possible) {
                return Err(RollupError::Impossible { bucket, what });
            }
        }
        let value = |part| read.column(chunk, or_first(chunk, lane, part)?, lane.field_type);
        let range = parts
            .range
            .then(|| Ok::<_, RollupError>([value(part::MIN)?, value(part::MAX)?]))
            .transpose()?;
        let edges = parts
            .edges
            .then(|| {
                Ok::<_, RollupError>(Edges {
                    values: [value(part::FIRST)?, value(part::LAST)?],
                    times: self.times_of_edges(chunk, tier, lane, &read)?,
                })
            })
            .transpose()?;
        let sums = if parts.sum {
            self.sums(chunk, lane, &read)?
        } else {
            None
        };
        let squares = if parts.squares && is_number(lane.field_type) {
            let squares = read.column(chunk, id(part::SQUARES)?, FieldType::Float)?;
            doubles(squares.values)
        } else {
            None
        };
        Ok(Some(LaneBuckets {
            range,
            edges,
            sums,
            squares,
            ..read
        }))
    }

    /// When the first and the last value of each bucket were.
    fn times_of_edges<B: AsRef<[u8]>>(
        &self,
        chunk: &Chunk<B>,
        tier: Tier,
        lane: LaneColumn,
        read: &LaneBuckets,
    ) -> Result<[Vec<Timestamp>; 2], RollupError> {
        let last = column_of(lane.id, part::LAST_AFTER)?;
        let last = chunk
            .column(last)
            .map_or(part::FIRST_AFTER, |_| part::LAST_AFTER);
        let parts = [part::FIRST_AFTER, last];
        let mut times = parts.map(|_| vec![0; self.len()]);
        for (part, times) in parts.into_iter().zip(&mut times) {
            let after = unsigned_of(chunk, column_of(lane.id, part)?)?;
            for bucket in read.buckets(self.len()) {
                let after = after.get(bucket).copied().flatten();
                let after = after.and_then(|after| i64::try_from(after).ok());
                let after = after.filter(|&after| after < tier.width_ns());
                let time = after.and_then(|after| self.starts[bucket].checked_add(after));
                let what = "time";
                times[bucket] = time.ok_or(RollupError::Impossible { bucket, what })?;
            }
        }
        let mut buckets = read.buckets(self.len());
        if let Some(bucket) = buckets.find(|&bucket| times[0][bucket] > times[1][bucket]) {
            let what = "time";
            return Err(RollupError::Impossible { bucket, what });
        }
        Ok(times)
    }

    fn sums<B: AsRef<[u8]>>(
        &self,
        chunk: &Chunk<B>,
        lane: LaneColumn,
        read: &LaneBuckets,
    ) -> Result<Option<Sums>, RollupError> {
        let id = |part| column_of(lane.id, part);
        let what = "sum";
        let impossible = |bucket| RollupError::Impossible { bucket, what };
        Ok(match lane.field_type {
            FieldType::Float => {
                let sum = or_first(chunk, lane, part::SUM)?;
                let sums = read.column(chunk, sum, FieldType::Float)?;
                doubles(sums.values).map(Sums::Float)
            }
            FieldType::Integer | FieldType::Unsigned => {
                let whole = |id| {
                    let column = read.column(chunk, id, FieldType::Integer)?;
                    Ok::<_, RollupError>(integers(column.values).unwrap_or_default())
                };
                let low = whole(or_first(chunk, lane, part::SUM)?)?;
                let high = id(part::SUM_HIGH)?;
                let high = if chunk.column(high).is_some() {
                    whole(high)?
                } else {
                    vec![0; low.len()]
                };
                let mut sums = vec![0; self.len()];
                for bucket in read.buckets(self.len()) {
                    let (low, high) = (i128::from(low[bucket]), i128::from(high[bucket]));
                    // At most what so many numbers of 64 bits come to.
                    let count = read.count(bucket, &self.rows).unwrap_or_default();
                    let most = i128::from(count) << 64;
                    let sum = high.checked_mul(1 << 64).and_then(|s| s.checked_add(low));
                    let sum = sum.filter(|sum| (-most..=most).contains(sum));
                    sums[bucket] = sum.ok_or_else(|| impossible(bucket))?;
                }
                Some(Sums::Integer(sums))
            }
            FieldType::Boolean => {
                let trues = read.column(chunk, id(part::SUM)?, FieldType::Unsigned)?;
                let Values::Unsigned(trues) = trues.values else {
                    return Ok(None);
                };
                let mut buckets = read.buckets(self.len());
                let is_too_many = |&bucket: &usize| {
                    let count = read.count(bucket, &self.rows);
                    count.is_some_and(|count| trues[bucket] > count)
                };
                if let Some(bucket) = buckets.find(is_too_many) {
                    return Err(impossible(bucket));
                }
                Some(Sums::Trues(trues))
            }
            FieldType::String | FieldType::Binary => None,
        })
    }
}

impl LaneBuckets {
    fn count(&self, bucket: usize, rows: &[u64]) -> Option<u64> {
        match &self.counts {
            Some(counts) => counts.get(bucket).copied().flatten(),
            None => rows.get(bucket).copied(),
        }
    }

    /// The buckets that have a value, of so many.
    fn buckets(&self, len: usize) -> impl Iterator<Item = usize> {
        (0..len).filter(|&bucket| self.validity.is_valid(bucket))
    }

    /// A column that has something wherever there is a value.
    fn column<B: AsRef<[u8]>>(
        &self,
        chunk: &Chunk<B>,
        id: ColumnId,
        field_type: FieldType,
    ) -> Result<ColumnVector, RollupError> {
        let column = typed(chunk, id, field_type)?;
        let mut buckets = self.buckets(column.len());
        if !column.validity.is_all()
            && let Some(bucket) = buckets.find(|&bucket| !column.validity.is_valid(bucket))
        {
            let what = "number of values";
            return Err(RollupError::Impossible { bucket, what });
        }
        Ok(column)
    }

    fn whole(&self, bucket: usize) -> Option<Lane> {
        let [min, max] = self.range.as_ref()?;
        let Edges { values, times } = self.edges.as_ref()?;
        let [first, last] = values;
        let ends = (times[0][bucket], times[1][bucket]);
        let values = (&min.values, &max.values, &first.values, &last.values);
        Some(match values {
            (Values::Float(a), Values::Float(b), Values::Float(c), Values::Float(d)) => {
                let bounds = bounds([a[bucket], b[bucket], c[bucket], d[bucket]], ends);
                let Sums::Float(sums) = self.sums.as_ref()? else {
                    return None;
                };
                Lane::Float(self.numbers(bucket, bounds, FloatSum::rounded(sums[bucket]))?)
            }
            (Values::Integer(a), Values::Integer(b), Values::Integer(c), Values::Integer(d)) => {
                let bounds = bounds([a[bucket], b[bucket], c[bucket], d[bucket]], ends);
                Lane::Integer(self.numbers(bucket, bounds, self.whole_sum(bucket)?)?)
            }
            (
                Values::Unsigned(a),
                Values::Unsigned(b),
                Values::Unsigned(c),
                Values::Unsigned(d),
            ) => {
                let bounds = bounds([a[bucket], b[bucket], c[bucket], d[bucket]], ends);
                Lane::Unsigned(self.numbers(bucket, bounds, self.whole_sum(bucket)?)?)
            }
            (Values::Boolean(a), Values::Boolean(b), Values::Boolean(c), Values::Boolean(d)) => {
                let bounds = bounds([a[bucket], b[bucket], c[bucket], d[bucket]], ends);
                let Sums::Trues(trues) = self.sums.as_ref()? else {
                    return None;
                };
                Lane::Boolean(bounds, trues[bucket])
            }
            (Values::String(a), Values::String(b), Values::String(c), Values::String(d)) => {
                let texts = [a, b, c, d].map(|texts| Box::from(texts.get(bucket)));
                Lane::String(bounds(texts, ends))
            }
            (Values::Binary(a), Values::Binary(b), Values::Binary(c), Values::Binary(d)) => {
                let bytes = [a, b, c, d].map(|bytes| Box::from(bytes.get(bucket)));
                Lane::Binary(bounds(bytes, ends))
            }
            _ => return None,
        })
    }

    fn numbers<T, S>(&self, bucket: usize, bounds: Bounds<T>, sum: S) -> Option<Numbers<T, S>> {
        let squares = FloatSum::rounded(self.squares.as_ref()?[bucket]);
        Some(Numbers {
            bounds,
            sum,
            squares,
        })
    }

    fn whole_sum(&self, bucket: usize) -> Option<i128> {
        match self.sums.as_ref()? {
            Sums::Integer(sums) => Some(sums[bucket]),
            _ => None,
        }
    }
}

/// The column of a part of a lane; that of the first values where there is none, as all are the same.
fn or_first<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    lane: LaneColumn,
    part: u16,
) -> Result<ColumnId, RollupError> {
    let id = column_of(lane.id, part)?;
    if chunk.column(id).is_some() {
        return Ok(id);
    }
    column_of(lane.id, part::FIRST)
}

const fn is_number(field_type: FieldType) -> bool {
    matches!(
        field_type,
        FieldType::Float | FieldType::Integer | FieldType::Unsigned
    )
}

fn doubles(values: Values) -> Option<Vec<f64>> {
    match values {
        Values::Float(values) => Some(values),
        _ => None,
    }
}

fn integers(values: Values) -> Option<Vec<i64>> {
    match values {
        Values::Integer(values) => Some(values),
        _ => None,
    }
}

fn bounds<T>([min, max, first, last]: [T; 4], ends: (Timestamp, Timestamp)) -> Bounds<T> {
    Bounds {
        min,
        max,
        first: Edge {
            time: ends.0,
            value: first,
        },
        last: Edge {
            time: ends.1,
            value: last,
        },
    }
}

fn typed<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    id: ColumnId,
    field_type: FieldType,
) -> Result<ColumnVector, RollupError> {
    let column = chunk.decode_column(id)?;
    let column = column.filter(|column| column.values.field_type() == field_type);
    column.ok_or(RollupError::Column { id })
}

fn unsigned_of<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    id: ColumnId,
) -> Result<Vec<Option<u64>>, RollupError> {
    let column = typed(chunk, id, FieldType::Unsigned)?;
    let Values::Unsigned(values) = &column.values else {
        return Err(RollupError::Column { id });
    };
    let rows = values.iter().enumerate();
    let rows = rows.map(|(row, &value)| column.validity.is_valid(row).then_some(value));
    Ok(rows.collect())
}
