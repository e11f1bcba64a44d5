//! Buckets as a sealed chunk and back: a row a bucket, a column for each thing that a partial knows of a lane. The
//! layout is in `FORMAT.md`.
//!
//! What comes from bytes is checked before it becomes a partial: times lie in their bucket, counts are no more than
//! rows, types are those that were asked for.

use edgetime_protocol::cell::MARK_RAW;

use super::bucket::Bucket;
use super::partial::{Bounds, Edge, Lane, Numbers, Partial};
use super::sum::FloatSum;
use super::tier::Tier;
use crate::codec::chunk::{self, Chunk, Hints};
use crate::codec::vector::{ColumnVector, Values};
use crate::codec::{CellColumn, Cells, CodecError, Effort};
use crate::limits::COLUMNS;
use crate::types::{ColumnId, FieldType, Position, Timestamp};

/// Lanes of one chunk at most: all their columns are columns of it.
pub const LANES_MAX: usize = COLUMNS / PARTS;
/// Rows that a bucket may claim to have.
pub const ROWS_MAX: u64 = 1 << 48;
/// Column numbers that a lane takes.
const PARTS: usize = 16;

/// A lane: the column whose values they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneColumn {
    /// The column of the measurement.
    pub id: ColumnId,
    /// Its type.
    pub field_type: FieldType,
}

/// Why a chunk is not one of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollupError {
    /// It does not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A column is missing, or of another type.
    #[error("column {id} is not that of a tier")]
    Column {
        /// The column of the chunk.
        id: ColumnId,
    },
    /// A bucket that no rows make.
    #[error("bucket {bucket} has an impossible {what}")]
    Impossible {
        /// Its number in the chunk.
        bucket: usize,
        /// What cannot be.
        what: &'static str,
    },
    /// More lanes than one chunk holds.
    #[error("{found} lanes do not fit a chunk; at most {LANES_MAX} do")]
    TooManyLanes {
        /// How many there are.
        found: usize,
    },
}

/// Parts of a lane, by the low bits of their column's number.
mod part {
    pub(super) const COUNT: u16 = 0;
    pub(super) const MIN: u16 = 1;
    pub(super) const MAX: u16 = 2;
    pub(super) const FIRST: u16 = 3;
    pub(super) const LAST: u16 = 4;
    pub(super) const FIRST_AFTER: u16 = 5;
    pub(super) const LAST_AFTER: u16 = 6;
    pub(super) const SUM: u16 = 7;
    pub(super) const SUM_HIGH: u16 = 8;
    pub(super) const SQUARES: u16 = 9;
    /// Of the chunk, not of a lane.
    pub(super) const ROWS: u16 = 15;
}

fn column_of(lane: ColumnId, part: u16) -> Result<ColumnId, RollupError> {
    let first = lane.0.checked_mul(PARTS as u16);
    let first = first.ok_or(RollupError::Column { id: lane })?;
    Ok(ColumnId(first + part))
}

/// The chunk of some buckets, ascending; at least one.
pub fn encode(
    buckets: &[Bucket],
    lanes: &[LaneColumn],
    positions: (Position, Position),
    hints: &mut Hints,
) -> Result<Vec<u8>, RollupError> {
    if lanes.len() > LANES_MAX {
        let found = lanes.len();
        return Err(RollupError::TooManyLanes { found });
    }
    let mut cells = Cells::new();
    cells
        .times
        .extend(buckets.iter().map(|bucket| bucket.start));
    let rows = buckets.iter().map(|bucket| Some(bucket.rows));
    cells
        .columns
        .push(numbers(ColumnId(part::ROWS), FieldType::Unsigned, rows));
    for (index, lane) in lanes.iter().enumerate() {
        put_lane(&mut cells, *lane, buckets, index)?;
    }
    cells.columns.sort_unstable_by_key(|column| column.id);
    Ok(chunk::encode(&cells, positions, hints, Effort::Full))
}

fn put_lane(
    cells: &mut Cells,
    lane: LaneColumn,
    buckets: &[Bucket],
    index: usize,
) -> Result<(), RollupError> {
    let of = |bucket: &Bucket| bucket.lanes.get(index).and_then(Option::as_ref).cloned();
    let partials: Vec<Option<Partial>> = buckets.iter().map(of).collect();
    if partials.iter().all(Option::is_none) {
        return Ok(());
    }
    let id = |part| column_of(lane.id, part);
    let mut values: Vec<CellColumn> = Vec::with_capacity(4);
    for part in [part::MIN, part::MAX, part::FIRST, part::LAST] {
        values.push(CellColumn::nulls(id(part)?, lane.field_type, 0));
    }
    let mut ends = [Vec::new(), Vec::new()];
    let mut sums = Vec::new();
    let mut squares = Vec::new();
    for (bucket, partial) in buckets.iter().zip(&partials) {
        let after = |time: Timestamp| Some(time.wrapping_sub(bucket.start) as u64);
        let Some(partial) = partial else {
            for column in &mut values {
                column.pad(column.bits.len() + 1);
            }
            for end in &mut ends {
                end.push(None);
            }
            sums.push(None);
            squares.push(None);
            continue;
        };
        let (first, last) = match &partial.lane {
            Lane::Float(n) => {
                sums.push(Some(Sum::Float(n.sum.value())));
                squares.push(Some(n.squares.value().to_bits()));
                put_bounds(&mut values, &n.bounds, |_, value| {
                    (value.to_bits(), MARK_RAW)
                })
            }
            Lane::Integer(n) => {
                sums.push(Some(Sum::Integer(n.sum)));
                squares.push(Some(n.squares.value().to_bits()));
                put_bounds(&mut values, &n.bounds, |_, value| (*value as u64, 0))
            }
            Lane::Unsigned(n) => {
                sums.push(Some(Sum::Integer(n.sum)));
                squares.push(Some(n.squares.value().to_bits()));
                put_bounds(&mut values, &n.bounds, |_, value| (*value, 0))
            }
            Lane::Boolean(bounds, trues) => {
                sums.push(Some(Sum::Trues(*trues)));
                put_bounds(&mut values, bounds, |_, value| (u64::from(*value), 0))
            }
            Lane::String(bounds) | Lane::Binary(bounds) => {
                put_bounds(&mut values, bounds, |column, value| {
                    (column.intern(value), 0)
                })
            }
        };
        ends[0].push(after(first));
        ends[1].push(after(last));
    }
    cells.columns.append(&mut values);
    let [first_after, last_after] = ends;
    let unsigned = FieldType::Unsigned;
    cells
        .columns
        .push(numbers(id(part::FIRST_AFTER)?, unsigned, first_after));
    cells
        .columns
        .push(numbers(id(part::LAST_AFTER)?, unsigned, last_after));
    let is_whole = |(bucket, partial): (&Bucket, &Option<Partial>)| {
        partial
            .as_ref()
            .is_some_and(|partial| partial.count == bucket.rows)
    };
    if !buckets.iter().zip(&partials).all(is_whole) {
        let counts = partials.iter().map(|p| p.as_ref().map(|p| p.count));
        cells
            .columns
            .push(numbers(id(part::COUNT)?, unsigned, counts));
    }
    put_sums(cells, lane, &sums)?;
    if matches!(
        lane.field_type,
        FieldType::Float | FieldType::Integer | FieldType::Unsigned
    ) {
        cells.columns.push(doubles(id(part::SQUARES)?, squares));
    }
    Ok(())
}

/// The sum of a lane in one bucket.
#[derive(Clone, Copy)]
enum Sum {
    Float(f64),
    Integer(i128),
    Trues(u64),
}

fn put_sums(cells: &mut Cells, lane: LaneColumn, sums: &[Option<Sum>]) -> Result<(), RollupError> {
    let id = |part| column_of(lane.id, part);
    match lane.field_type {
        FieldType::Float => {
            let bits = sums.iter().map(|sum| match sum {
                Some(Sum::Float(sum)) => Some(sum.to_bits()),
                _ => None,
            });
            cells.columns.push(doubles(id(part::SUM)?, bits));
        }
        FieldType::Integer | FieldType::Unsigned => {
            let whole = |sum: &Option<Sum>| match sum {
                Some(Sum::Integer(sum)) => Some(*sum),
                _ => None,
            };
            let low = sums.iter().map(|sum| whole(sum).map(|sum| sum as u64));
            cells
                .columns
                .push(numbers(id(part::SUM)?, FieldType::Integer, low));
            // What is left where the low half is taken for a signed number.
            let high = |sum: i128| (sum - i128::from(sum as i64)) >> 64;
            if sums.iter().filter_map(whole).any(|sum| high(sum) != 0) {
                let high = sums
                    .iter()
                    .map(|sum| whole(sum).map(|sum| high(sum) as u64));
                cells
                    .columns
                    .push(numbers(id(part::SUM_HIGH)?, FieldType::Integer, high));
            }
        }
        FieldType::Boolean => {
            let trues = sums.iter().map(|sum| match sum {
                Some(Sum::Trues(trues)) => Some(*trues),
                _ => None,
            });
            cells
                .columns
                .push(numbers(id(part::SUM)?, FieldType::Unsigned, trues));
        }
        FieldType::String | FieldType::Binary => {}
    }
    Ok(())
}

/// Appends what lies between what; the times of first and last.
fn put_bounds<T>(
    columns: &mut [CellColumn],
    bounds: &Bounds<T>,
    mut cell: impl FnMut(&mut CellColumn, &T) -> (u64, u8),
) -> (Timestamp, Timestamp) {
    let Bounds {
        min,
        max,
        first,
        last,
    } = bounds;
    for (column, value) in columns
        .iter_mut()
        .zip([min, max, &first.value, &last.value])
    {
        let (bits, mark) = cell(column, value);
        column.push(bits, mark);
    }
    (first.time, last.time)
}

fn numbers(
    id: ColumnId,
    field_type: FieldType,
    bits: impl IntoIterator<Item = Option<u64>>,
) -> CellColumn {
    filled(id, field_type, bits, 0)
}

fn doubles(id: ColumnId, bits: impl IntoIterator<Item = Option<u64>>) -> CellColumn {
    filled(id, FieldType::Float, bits, MARK_RAW)
}

fn filled(
    id: ColumnId,
    field_type: FieldType,
    bits: impl IntoIterator<Item = Option<u64>>,
    mark: u8,
) -> CellColumn {
    let mut column = CellColumn::nulls(id, field_type, 0);
    for bits in bits {
        match bits {
            Some(bits) => column.push(bits, mark),
            None => column.pad(column.bits.len() + 1),
        }
    }
    column
}

/// The buckets of a chunk, with these lanes; a lane that the chunk lacks has no values in it.
pub fn decode<B: AsRef<[u8]>>(
    chunk: &Chunk<B>,
    tier: Tier,
    lanes: &[LaneColumn],
) -> Result<Vec<Bucket>, RollupError> {
    let mut starts = Vec::new();
    chunk.decode_times(&mut starts)?;
    let rows = unsigned_of(chunk, ColumnId(part::ROWS))?;
    let mut buckets = Vec::with_capacity(starts.len());
    for (bucket, &start) in starts.iter().enumerate() {
        let impossible = |what| RollupError::Impossible { bucket, what };
        let is_behind = buckets
            .last()
            .is_none_or(|last: &Bucket| last.start < start);
        if tier.start_of(start) != start || !is_behind {
            return Err(impossible("start"));
        }
        let rows = rows.get(bucket).copied().flatten();
        let rows = rows.filter(|rows| (1..=ROWS_MAX).contains(rows));
        buckets.push(Bucket {
            start,
            rows: rows.ok_or_else(|| impossible("number of rows"))?,
            lanes: Vec::with_capacity(lanes.len()),
        });
    }
    for lane in lanes {
        let read = LaneReader::open(chunk, *lane)?;
        for (bucket, known) in buckets.iter_mut().enumerate() {
            let partial = match &read {
                Some(read) => read.partial(bucket, known, tier)?,
                None => None,
            };
            known.lanes.push(partial);
        }
    }
    Ok(buckets)
}

/// The decoded columns of a lane.
struct LaneReader {
    count: Option<Vec<Option<u64>>>,
    /// Least, greatest, first, last.
    values: [ColumnVector; 4],
    first_after: Vec<Option<u64>>,
    last_after: Vec<Option<u64>>,
    sum: Option<ColumnVector>,
    sum_high: Option<ColumnVector>,
    squares: Option<ColumnVector>,
}

impl LaneReader {
    fn open<B: AsRef<[u8]>>(
        chunk: &Chunk<B>,
        lane: LaneColumn,
    ) -> Result<Option<Self>, RollupError> {
        let id = |part| column_of(lane.id, part);
        if chunk.column(id(part::MIN)?).is_none() {
            return Ok(None);
        }
        let of = |part, field_type| typed(chunk, id(part)?, field_type);
        let value = |part| of(part, lane.field_type);
        let has = |part| Ok::<_, RollupError>(chunk.column(id(part)?).is_some());
        let (sum, squares) = match lane.field_type {
            FieldType::Float => (Some(FieldType::Float), true),
            FieldType::Integer | FieldType::Unsigned => (Some(FieldType::Integer), true),
            FieldType::Boolean => (Some(FieldType::Unsigned), false),
            FieldType::String | FieldType::Binary => (None, false),
        };
        Ok(Some(Self {
            count: has(part::COUNT)?
                .then(|| unsigned_of(chunk, id(part::COUNT)?))
                .transpose()?,
            values: [
                value(part::MIN)?,
                value(part::MAX)?,
                value(part::FIRST)?,
                value(part::LAST)?,
            ],
            first_after: unsigned_of(chunk, id(part::FIRST_AFTER)?)?,
            last_after: unsigned_of(chunk, id(part::LAST_AFTER)?)?,
            sum: sum.map(|kind| of(part::SUM, kind)).transpose()?,
            sum_high: has(part::SUM_HIGH)?
                .then(|| of(part::SUM_HIGH, FieldType::Integer))
                .transpose()?,
            squares: squares
                .then(|| of(part::SQUARES, FieldType::Float))
                .transpose()?,
        }))
    }

    /// What it knows of one bucket; none where no row of it has a value.
    fn partial(
        &self,
        index: usize,
        bucket: &Bucket,
        tier: Tier,
    ) -> Result<Option<Partial>, RollupError> {
        let impossible = |what| RollupError::Impossible {
            bucket: index,
            what,
        };
        let [min, ..] = &self.values;
        if !min.validity.is_valid(index) {
            return Ok(None);
        }
        let is_there = self
            .values
            .iter()
            .all(|value| value.validity.is_valid(index));
        let count = match &self.count {
            Some(counts) => counts.get(index).copied().flatten(),
            None => Some(bucket.rows),
        };
        let count = count.filter(|count| (1..=bucket.rows).contains(count) && is_there);
        let count = count.ok_or_else(|| impossible("number of values"))?;
        let time = |after: &[Option<u64>]| {
            let after = after.get(index).copied().flatten()?;
            let after = i64::try_from(after)
                .ok()
                .filter(|&after| after < tier.width_ns())?;
            bucket.start.checked_add(after)
        };
        let ends = time(&self.first_after).zip(time(&self.last_after));
        let ends = ends.filter(|(first, last)| first <= last);
        let ends = ends.ok_or_else(|| impossible("time"))?;
        let lane = self.lane(index, count, ends);
        let lane = lane.ok_or_else(|| impossible("sum"))?;
        Ok(Some(Partial { count, lane }))
    }

    fn lane(&self, index: usize, count: u64, ends: (Timestamp, Timestamp)) -> Option<Lane> {
        let [min, max, first, last] = &self.values;
        let values = (&min.values, &max.values, &first.values, &last.values);
        Some(match values {
            (Values::Float(a), Values::Float(b), Values::Float(c), Values::Float(d)) => {
                let bounds = bounds([a[index], b[index], c[index], d[index]], ends);
                let sum = FloatSum::rounded(double_of(self.sum.as_ref(), index)?);
                Lane::Float(self.numbers(index, bounds, sum)?)
            }
            (Values::Integer(a), Values::Integer(b), Values::Integer(c), Values::Integer(d)) => {
                let bounds = bounds([a[index], b[index], c[index], d[index]], ends);
                let sum = self.whole_sum(index, count)?;
                Lane::Integer(self.numbers(index, bounds, sum)?)
            }
            (
                Values::Unsigned(a),
                Values::Unsigned(b),
                Values::Unsigned(c),
                Values::Unsigned(d),
            ) => {
                let bounds = bounds([a[index], b[index], c[index], d[index]], ends);
                let sum = self.whole_sum(index, count)?;
                Lane::Unsigned(self.numbers(index, bounds, sum)?)
            }
            (Values::Boolean(a), Values::Boolean(b), Values::Boolean(c), Values::Boolean(d)) => {
                let bounds = bounds([a[index], b[index], c[index], d[index]], ends);
                let Values::Unsigned(trues) = &valid(self.sum.as_ref(), index)?.values else {
                    return None;
                };
                let trues = trues.get(index).copied().filter(|&trues| trues <= count)?;
                Lane::Boolean(bounds, trues)
            }
            (Values::String(a), Values::String(b), Values::String(c), Values::String(d)) => {
                let texts = [a, b, c, d].map(|texts| Box::from(texts.get(index)));
                Lane::String(bounds(texts, ends))
            }
            (Values::Binary(a), Values::Binary(b), Values::Binary(c), Values::Binary(d)) => {
                let bytes = [a, b, c, d].map(|bytes| Box::from(bytes.get(index)));
                Lane::Binary(bounds(bytes, ends))
            }
            _ => return None,
        })
    }

    fn numbers<T, S>(&self, index: usize, bounds: Bounds<T>, sum: S) -> Option<Numbers<T, S>> {
        let squares = double_of(self.squares.as_ref(), index)?;
        Some(Numbers {
            bounds,
            sum,
            squares: FloatSum::rounded(squares),
        })
    }

    /// At most what so many numbers of 64 bits come to.
    fn whole_sum(&self, index: usize, count: u64) -> Option<i128> {
        let low = i128::from(integer_of(self.sum.as_ref(), index)?);
        let high = match &self.sum_high {
            Some(high) => i128::from(integer_of(Some(high), index)?),
            None => 0,
        };
        let sum = high.checked_mul(1 << 64)?.checked_add(low)?;
        let most = i128::from(count) << 64;
        (-most..=most).contains(&sum).then_some(sum)
    }
}

fn double_of(column: Option<&ColumnVector>, index: usize) -> Option<f64> {
    match &valid(column, index)?.values {
        Values::Float(values) => values.get(index).copied(),
        _ => None,
    }
}

fn integer_of(column: Option<&ColumnVector>, index: usize) -> Option<i64> {
    match &valid(column, index)?.values {
        Values::Integer(values) => values.get(index).copied(),
        _ => None,
    }
}

/// The column, where it has a value in this row.
fn valid(column: Option<&ColumnVector>, index: usize) -> Option<&ColumnVector> {
    column.filter(|column| column.validity.is_valid(index))
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
