//! Making a chunk of buckets.

use edgetime_protocol::cell::MARK_RAW;

use super::{LANES_MAX, LaneColumn, RollupError, column_of, decimals, part};
use crate::codec::chunk::{self, Hints};
use crate::codec::{CellColumn, Cells, Effort};
use crate::rollup::bucket::Bucket;
use crate::rollup::partial::{Bounds, Lane, Partial};
use crate::types::{ColumnId, FieldType, Position, Timestamp};

/// The chunk of some buckets, ascending; at least one.
pub fn encode(
    buckets: &[Bucket],
    lanes: &[LaneColumn],
    positions: (Position, Position),
    hints: &mut Hints,
    effort: Effort,
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
    Ok(chunk::encode(&cells, positions, hints, effort))
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
    let [first_after, last_after] = ends;
    let unsigned = FieldType::Unsigned;
    if last_after != first_after {
        let last_after = numbers(id(part::LAST_AFTER)?, unsigned, last_after);
        cells.columns.push(last_after);
    }
    let first_after = numbers(id(part::FIRST_AFTER)?, unsigned, first_after);
    cells.columns.push(first_after);
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
    let is_float = lane.field_type == FieldType::Float;
    let scale = if is_float {
        decimals::put(&mut values)
    } else {
        Some(0)
    };
    put_sums(cells, lane, &sums, scale)?;
    // Where each bucket has one value, as a rule, all are the first.
    let first = id(part::FIRST)?;
    if let Some(place) = values.iter().position(|column| column.id == first) {
        let first = values.swap_remove(place);
        values.extend(cells.columns.pop_if(|last| Ok(last.id) == id(part::SUM)));
        let is_same = |column: &CellColumn| {
            column.field_type == first.field_type
                && (&column.bits, &column.marks) == (&first.bits, &first.marks)
                && column.heap == first.heap
        };
        let others = values.into_iter().filter(|column| !is_same(column));
        cells.columns.extend(others);
        cells.columns.push(first);
    }
    if matches!(
        lane.field_type,
        FieldType::Float | FieldType::Integer | FieldType::Unsigned
    ) {
        let mut squares = doubles(id(part::SQUARES)?, squares);
        if let Some(scale) = scale {
            decimals::put_squares(&mut squares, scale);
        }
        cells.columns.push(squares);
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

fn put_sums(
    cells: &mut Cells,
    lane: LaneColumn,
    sums: &[Option<Sum>],
    scale: Option<u8>,
) -> Result<(), RollupError> {
    let id = |part| column_of(lane.id, part);
    match lane.field_type {
        FieldType::Float => {
            let bits = sums.iter().map(|sum| match sum {
                Some(Sum::Float(sum)) => Some(sum.to_bits()),
                _ => None,
            });
            let mut sums = doubles(id(part::SUM)?, bits);
            if let Some(scale) = scale {
                decimals::put_sums(&mut sums, scale);
            }
            cells.columns.push(sums);
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
