//! Reading some rows of a chunk, and counting them without making rows of them.

use std::ops::Range;

use super::column::Dense;
use super::directory::Entry;
use super::{Chunk, joined};
use crate::codec::bytes::Reader;
use crate::codec::error::CodecError;
use crate::codec::statistics::Statistics;
use crate::codec::timestamps;
use crate::codec::vector::ColumnVector;
use crate::types::{ColumnId, TimeRange};

impl<B: AsRef<[u8]>> Chunk<B> {
    /// The rows whose times lie in a range. Nothing is decoded where the times are regularly spaced, and only
    /// what lies around the ends of the range where they are not.
    pub fn rows_within(&self, range: TimeRange) -> Result<Range<usize>, CodecError> {
        if range.is_empty() || !range.overlaps(self.first_time, self.last_time) {
            return Ok(0..0);
        }
        let end = if range.contains(self.last_time) {
            self.rows()
        } else {
            self.rows_before(range.end)?
        };
        let start = if range.contains(self.first_time) {
            0
        } else {
            self.rows_before(range.start)?
        };
        Ok(start.min(end)..end)
    }

    /// How many rows have earlier times.
    fn rows_before(&self, time: i64) -> Result<usize, CodecError> {
        if let Some(spacing) = self.spacing().filter(|&spacing| spacing > 0) {
            let distance = i128::from(time) - i128::from(self.first_time);
            let rows = (distance.max(0) as u64).div_ceil(spacing);
            return Ok(usize::try_from(rows).unwrap_or(usize::MAX).min(self.rows()));
        }
        let mut near = 0..self.rows();
        let landmarks = match self.times_in_blocks() {
            Some(place) => joined::landmarks(&place)?,
            None => timestamps::landmarks(&self.times()?, self.rows(), self.first_time)?,
        };
        for (row, known) in landmarks {
            if known < time {
                near.start = row + 1;
            } else {
                near.end = near.end.min(row);
            }
        }
        let mut times = Vec::new();
        self.decode_times_of(near.start..near.end.max(near.start), &mut times)?;
        Ok(near.start + times.partition_point(|&other| other < time))
    }

    /// Appends the times of some rows; rows that the chunk does not have are left out.
    pub fn decode_times_of(
        &self,
        rows: Range<usize>,
        times: &mut Vec<i64>,
    ) -> Result<(), CodecError> {
        let ends = (self.first_time, self.last_time);
        let rows = self.existing(rows);
        if let Some(place) = self.times_in_blocks() {
            let before = times.len();
            let decoded = joined::decode_times(&place, rows.clone(), times);
            let fits = |row: usize, at: usize, time: i64| {
                !rows.contains(&row) || times.get(at).is_none_or(|&found| found == time)
            };
            let last = times.len().saturating_sub(1);
            let agree = fits(0, before, ends.0) && fits(self.rows() - 1, last, ends.1);
            if decoded.is_err() || !agree {
                times.truncate(before);
                decoded?;
                return Err(self.times()?.invalid("order of times"));
            }
            return Ok(());
        }
        timestamps::decode_part(&mut self.times()?, self.rows(), ends, rows, times)
    }

    /// The values of some rows of a column, or `None` where the chunk does not have the column. Rows that
    /// the chunk does not have are left out.
    pub fn decode_column_of(
        &self,
        id: ColumnId,
        rows: Range<usize>,
    ) -> Result<Option<ColumnVector>, CodecError> {
        let Some(entry) = self.entry(id) else {
            return Ok(None);
        };
        let rows = self.existing(rows);
        let count = rows.len();
        self.read(&entry, rows)?
            .into_vector(entry.field_type, count)
            .map(Some)
    }

    /// How many of some rows have a value in a column, and the statistics of these values;
    /// [`Statistics::None`] where no row has one. `None` where the chunk does not have the column. Rows that
    /// the chunk does not have are left out. Of all rows the header knows it.
    pub fn aggregate(
        &self,
        id: ColumnId,
        rows: Range<usize>,
    ) -> Result<Option<(usize, Statistics)>, CodecError> {
        if self.existing(rows.clone()) != (0..self.rows()) {
            return self.aggregate_decoded(id, rows);
        }
        let summary = self.column(id);
        Ok(summary.map(|summary| (summary.count, summary.statistics)))
    }

    /// The same from the values alone, whatever the header knows.
    pub fn aggregate_decoded(
        &self,
        id: ColumnId,
        rows: Range<usize>,
    ) -> Result<Option<(usize, Statistics)>, CodecError> {
        let Some(entry) = self.entry(id) else {
            return Ok(None);
        };
        let rows = self.existing(rows);
        if self.block_rows > 0 {
            let dense = self.read(&entry, rows)?;
            return Ok(Some(dense.statistics(entry.field_type)));
        }
        Dense::count(self.bytes.as_ref(), &entry, self.rows(), rows).map(Some)
    }

    pub(super) fn read(&self, entry: &Entry, rows: Range<usize>) -> Result<Dense, CodecError> {
        if self.block_rows > 0 && entry.count > 0 {
            let body = Reader::within(self.bytes.as_ref(), entry.body.start, entry.body.end)?;
            return joined::read(&self.place(body.rest()), entry, rows);
        }
        Dense::read(self.bytes.as_ref(), entry, self.rows(), rows)
    }

    fn existing(&self, rows: Range<usize>) -> Range<usize> {
        let end = rows.end.min(self.rows());
        rows.start.min(end)..end
    }
}
