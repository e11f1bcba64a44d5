//! What is read of one sealed chunk: nothing, its statistics, or some of its rows.

use std::ops::Range;

use bytes::Bytes;

use super::overlap::closed;
use super::piece::Placed;
use super::{ChunkFacts, ColumnSummary, Needs, Part, Reading, Summaries, Summary};
use crate::codec::chunk::Chunk;
use crate::codec::vector::ColumnVector;
use crate::codec::{CodecError, Statistics};
use crate::limits::CHUNK_ROWS;
use crate::types::{FieldType, LayoutColumn, TimeRange, Timestamp};

/// Rows a bucket must have on the average, so that a chunk is summed up on packed values. Each bucket's rows
/// are unpacked on their own, which was measured to take half as long as to decode and add up all rows of a
/// chunk: two buckets break even.
const BUCKET_ROWS_MIN: usize = CHUNK_ROWS / 2;

/// Reads the rows of a chunk that lie within a range, where no other piece has rows.
pub(super) fn read<E, X: From<CodecError>>(
    placed: &Placed<E>,
    within: TimeRange,
    reading: &mut Reading<'_, E, X>,
) -> Result<(), X> {
    let within = within.intersect(closed(placed.first_time, placed.last_time));
    let whole = !placed.clipped && within.covers(placed.first_time, placed.last_time);
    let demand = reading.demand;
    if let Some(summaries) = &demand.summaries
        && whole
        && reading.columns.is_empty()
        && demand.may_match.is_none()
        && summaries.one_bucket(placed.first_time, placed.last_time)
    {
        reading.counts.chunks_summarised += 1;
        reading.ready.push_back(Part::Summary(Summary {
            rows: placed.rows as u64,
            first_time: placed.first_time,
            last_time: placed.last_time,
            columns: Vec::new(),
        }));
        return Ok(());
    }
    let chunk = placed.piece.open(reading.fetch)?;
    let matches = demand
        .may_match
        .is_none_or(|may_match| may_match(&ChunkFacts { chunk: &chunk }));
    if !matches {
        reading.counts.chunks_skipped += 1;
        return Ok(());
    }
    let rows = if whole {
        0..chunk.rows()
    } else {
        chunk.rows_within(within)?
    };
    if rows.is_empty() {
        return Ok(());
    }
    if let Some(summaries) = &demand.summaries
        && let Some(found) = summarise(&chunk, &rows, reading.columns, summaries)?
    {
        reading.counts.chunks_summarised += 1;
        reading.ready.extend(found.into_iter().map(Part::Summary));
        return Ok(());
    }
    let rows = reading.wanted(rows);
    if rows.is_empty() {
        return Ok(());
    }
    reading.counts.chunks_decoded += 1;
    let batches = if rows.len() <= 2 * CHUNK_ROWS {
        vec![rows]
    } else {
        reading.batches(rows)
    };
    for rows in batches {
        let mut times = Vec::with_capacity(rows.len());
        chunk.decode_times_of(rows.clone(), &mut times)?;
        let columns = reading
            .columns
            .iter()
            .map(|&column| decode_column(&chunk, column, rows.clone()))
            .collect::<Result<_, CodecError>>()?;
        reading.ready.push_back(Part::Rows((times, columns)));
    }
    Ok(())
}

/// Some rows of a column, null where the chunk does not have it.
pub(super) fn decode_column(
    chunk: &Chunk<Bytes>,
    column: LayoutColumn,
    rows: Range<usize>,
) -> Result<ColumnVector, CodecError> {
    let count = rows.len();
    let decoded = chunk.decode_column_of(column.id, rows)?;
    Ok(decoded.unwrap_or_else(|| ColumnVector::nulls(column.field_type, count)))
}

/// One summary a bucket, where that is possible and faster than decoding.
fn summarise(
    chunk: &Chunk<Bytes>,
    rows: &Range<usize>,
    columns: &[LayoutColumn],
    summaries: &Summaries<'_>,
) -> Result<Option<Vec<Summary>>, CodecError> {
    let needs = |index: usize| summaries.needs.get(index).copied().unwrap_or_default();
    let told = columns.iter().enumerate().all(|(index, column)| {
        let text = matches!(column.field_type, FieldType::String | FieldType::Binary);
        !text || needs(index).only_count()
    });
    if !told {
        return Ok(None);
    }
    let all = 0..chunk.rows();
    let times = if *rows == all && summaries.one_bucket(chunk.first_time(), chunk.last_time()) {
        Times::Bounds(chunk)
    } else {
        Times::of(chunk, rows)?
    };
    let Some(runs) = runs(&times, rows, summaries) else {
        return Ok(None);
    };
    let summary = |run: Range<usize>| {
        Ok(Summary {
            rows: run.len() as u64,
            first_time: times.at(run.start)?,
            last_time: times.at(run.end - 1)?,
            columns: columns
                .iter()
                .enumerate()
                .map(|(index, &column)| {
                    summarise_column(chunk, column, run.clone(), needs(index), &times)
                })
                .collect::<Result<_, CodecError>>()?,
        })
    };
    let found: Result<_, CodecError> = runs.into_iter().map(summary).collect();
    Ok(Some(found?))
}

/// The rows of each bucket; `None` where there are too many buckets.
fn runs(
    times: &Times<'_>,
    rows: &Range<usize>,
    summaries: &Summaries<'_>,
) -> Option<Vec<Range<usize>>> {
    if matches!(times, Times::Bounds(_)) {
        return Some(vec![rows.clone()]);
    }
    let runs_max = (rows.len() / BUCKET_ROWS_MIN).max(1);
    let mut runs = Vec::new();
    let mut start = rows.start;
    while start < rows.end {
        if runs.len() == runs_max {
            return None;
        }
        let end = match (summaries.bucket_end)(times.at(start).ok()?) {
            Some(next) => times.first_from(next, start..rows.end),
            None => rows.end,
        };
        runs.push(start..end);
        start = end;
    }
    Some(runs)
}

fn summarise_column(
    chunk: &Chunk<Bytes>,
    column: LayoutColumn,
    rows: Range<usize>,
    needs: Needs,
    times: &Times<'_>,
) -> Result<ColumnSummary, CodecError> {
    let counted = needs
        .only_count()
        .then(|| chunk.column(column.id))
        .flatten()
        .filter(|known| known.count == chunk.rows())
        .map(|_| (rows.len(), Statistics::None));
    let known = match counted {
        Some(counted) => Some(counted),
        None => chunk.aggregate(column.id, rows.clone())?,
    };
    let (count, statistics) = known.unwrap_or((0, Statistics::None));
    let edges = if !needs.edges || count == 0 {
        None
    } else if count == rows.len() {
        Some((times.at(rows.start)?, times.at(rows.end - 1)?))
    } else {
        // Which rows have a value is known to the column alone.
        let values = decode_column(chunk, column, rows.clone())?;
        let valid = |&row: &usize| values.validity.is_valid(row);
        let edge = |row: Option<usize>| row.map(|row| times.at(rows.start + row)).transpose();
        let first = edge((0..rows.len()).find(valid))?;
        let last = edge((0..rows.len()).rfind(valid))?;
        first.zip(last)
    };
    Ok(ColumnSummary {
        count: count as u64,
        statistics,
        edges,
    })
}

/// Times of rows of a chunk, decoded only where they have to be.
enum Times<'a> {
    /// The first and the last are enough; others are decoded one by one.
    Bounds(&'a Chunk<Bytes>),
    /// The same distance everywhere.
    Regular { first: Timestamp, spacing: u64 },
    /// Those of the rows from one on.
    Listed { from: usize, times: Vec<Timestamp> },
}

impl<'a> Times<'a> {
    fn of(chunk: &'a Chunk<Bytes>, rows: &Range<usize>) -> Result<Self, CodecError> {
        if let Some(spacing) = chunk.spacing().filter(|&spacing| spacing > 0) {
            return Ok(Self::Regular {
                first: chunk.first_time(),
                spacing,
            });
        }
        let mut times = Vec::with_capacity(rows.len());
        chunk.decode_times_of(rows.clone(), &mut times)?;
        Ok(Self::Listed {
            from: rows.start,
            times,
        })
    }

    /// The time of a row that is there.
    fn at(&self, row: usize) -> Result<Timestamp, CodecError> {
        let missing = CodecError::Invalid {
            what: "row of a chunk",
            offset: 0,
        };
        match self {
            Self::Bounds(_) if row == 0 => Ok(self.first()),
            Self::Bounds(chunk) if row + 1 == chunk.rows() => Ok(chunk.last_time()),
            Self::Bounds(chunk) => match Self::of(chunk, &(row..row + 1))? {
                Self::Bounds(_) => Err(missing),
                times => times.at(row),
            },
            Self::Regular { first, spacing } => first
                .checked_add_unsigned(*spacing * row as u64)
                .ok_or(missing),
            Self::Listed { from, times } => {
                let place = row.checked_sub(*from);
                place.and_then(|at| times.get(at)).copied().ok_or(missing)
            }
        }
    }

    fn first(&self) -> Timestamp {
        match self {
            Self::Bounds(chunk) => chunk.first_time(),
            Self::Regular { first, .. } => *first,
            Self::Listed { times, .. } => times.first().copied().unwrap_or(Timestamp::MAX),
        }
    }

    /// The first of some rows that is not before a time, at least the second of them.
    fn first_from(&self, time: Timestamp, rows: Range<usize>) -> usize {
        let found = match self {
            Self::Bounds(_) => rows.end,
            Self::Regular { first, spacing } => {
                let distance = i128::from(time) - i128::from(*first);
                let row = (distance.max(0) as u128).div_ceil(u128::from(*spacing));
                usize::try_from(row).unwrap_or(usize::MAX)
            }
            Self::Listed { from, times } => {
                let rest = rows.start - from..rows.end - from;
                let before = times
                    .get(rest)
                    .map_or(0, |rest| rest.partition_point(|&at| at < time));
                rows.start + before
            }
        };
        found.clamp(rows.start + 1, rows.end)
    }
}
