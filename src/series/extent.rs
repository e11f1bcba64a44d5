//! Which times a series has rows of, as far as that can be told without decoding anything.

use crate::series::{Cause, Rows, Series};
use crate::types::{TimeRange, Timestamp};

impl<E: Clone> Series<E> {
    /// Time of the earliest row, or earlier.
    pub fn oldest(&self) -> Option<Timestamp> {
        let chunk = self.ring.iter().map(|chunk| chunk.first_time).next();
        let mut times: Vec<Timestamp> = chunk.into_iter().collect();
        if let Some((_, open, rows, late)) = self.unsealed() {
            times.extend((open.rows() > 0).then(|| open.first_time()));
            times.extend(rows.times().first());
            times.extend(late.into_iter().flat_map(Rows::times));
        }
        times.into_iter().min()
    }

    /// All rows from this time on are there; earlier ones have left because they were too old or too many, and are in
    /// their chunks still.
    pub fn left_until(&self) -> Timestamp {
        let chunks = self.ring.iter();
        let tombstones = chunks.filter_map(|chunk| chunk.hidden.as_ref());
        let tombstones = tombstones.flat_map(|hidden| hidden.tombstones());
        let leaves = |cause| matches!(cause, Cause::Expired | Cause::Evicted);
        let left = tombstones.filter(|tombstone| leaves(tombstone.cause));
        let ends = left.map(|tombstone| tombstone.range.end);
        ends.max().unwrap_or(Timestamp::MIN)
    }

    /// Whether rows may lie in a range: not if it says no.
    pub fn may_have(&self, range: TimeRange) -> bool {
        if self.ring.overlapping(range).any(|chunk| !chunk.is_gone()) {
            return true;
        }
        let Some((_, open, rows, late)) = self.unsealed() else {
            return false;
        };
        let touches = |times: &[Timestamp]| times.iter().any(|&time| range.contains(time));
        let newest = self.newest().unwrap_or(Timestamp::MIN);
        let staged = rows.times();
        let blocks_end = staged
            .first()
            .map_or(newest, |&from| from.saturating_sub(1));
        touches(staged)
            || late.is_some_and(|late| touches(late.times()))
            || open.rows() > 0 && range.overlaps(open.first_time(), blocks_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{RowRef, Scratch};
    use crate::types::{
        ColumnId, FieldId, FieldType, Layout, LayoutColumn, MeasurementId, Position,
    };

    fn series(times: impl IntoIterator<Item = i64>) -> Series<()> {
        let column = LayoutColumn {
            id: ColumnId(0),
            field: FieldId(0),
            field_type: FieldType::Integer,
        };
        let layout = Layout::new(1, MeasurementId(0), Box::new([column]));
        let (mut series, mut scratch) = (Series::default(), Scratch::default());
        for (position, time) in (1..).zip(times) {
            let row = RowRef {
                time,
                bits: &[1],
                marks: &[0],
                heap: &[],
            };
            series.apply(&layout, row, Position(position), &mut scratch);
        }
        series
    }

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange { start, end }
    }

    #[test]
    fn times_without_rows_are_told_where_rows_are_staged() {
        let empty = series([]);
        assert_eq!(empty.oldest(), None);
        assert!(!empty.may_have(TimeRange::ALL));
        // Sealed chunks, blocks of the open one, staged rows.
        let all = series((0..2_000).map(|n| n * 10));
        assert_eq!(all.oldest(), Some(0));
        assert!(all.may_have(range(0, 10)) && all.may_have(range(15_000, 15_010)));
        assert!(all.may_have(range(19_990, 20_000)));
        assert!(!all.may_have(range(19_981, 19_990)));
        assert!(!all.may_have(range(19_991, 30_000)));
        let late = series((10..100).map(|n| n * 10).chain([7]));
        assert_eq!(late.oldest(), Some(7));
        assert!(late.may_have(range(0, 10)) && !late.may_have(range(0, 7)));
    }
}
