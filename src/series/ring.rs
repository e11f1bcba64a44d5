//! The circular buffer of a series: its sealed chunks in time order, bounded at the old end.

use std::collections::VecDeque;

use crate::series::{HiddenRows, Sealed, Tombstone};
use crate::types::{TimeRange, Timestamp};

/// Sealed chunks, sorted by first time; chunks of late rows may overlap others.
#[derive(Debug)]
pub struct Ring<E> {
    chunks: VecDeque<Sealed<E>>,
    rows: u64,
    overlapping: bool,
}

impl<E> Default for Ring<E> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            rows: 0,
            overlapping: false,
        }
    }
}

impl<E: Clone> Ring<E> {
    /// Puts a chunk where its first time belongs.
    pub fn insert(&mut self, chunk: Sealed<E>) {
        self.rows += u64::from(chunk.rows);
        let at = self
            .chunks
            .partition_point(|c| c.first_time <= chunk.first_time);
        let before = at.checked_sub(1).and_then(|i| self.chunks.get(i));
        let after = self.chunks.get(at);
        self.overlapping |= before.is_some_and(|c| c.last_time >= chunk.first_time)
            || after.is_some_and(|c| c.first_time <= chunk.last_time);
        if self.chunks.len() == self.chunks.capacity() {
            // Many series have a chunk or two for most of their life.
            self.chunks.reserve_exact(1 + self.chunks.len() / 4);
        }
        self.chunks.insert(at, chunk);
    }

    /// Chunks that have a row in the range, in order of their first times.
    pub fn overlapping(&self, range: TimeRange) -> impl Iterator<Item = &Sealed<E>> {
        let from = if self.overlapping {
            0
        } else {
            self.chunks.partition_point(|c| c.last_time < range.start)
        };
        self.chunks
            .range(from..)
            .take_while(move |c| range.overlaps(c.first_time, i64::MAX))
            .filter(move |c| range.overlaps(c.first_time, c.last_time))
    }

    /// Hides what a tombstone hits; whether any chunk may have rows of it. Chunks of which nothing is left stay
    /// until a checkpoint has counted their rows.
    pub fn hide(&mut self, tombstone: Tombstone) -> bool {
        let mut hit = false;
        for chunk in self.chunks.iter_mut().filter(|chunk| !chunk.is_gone()) {
            hit |= chunk.hide(tombstone);
        }
        hit
    }

    /// Puts a chunk in the place of another, or nothing; false where that one is not there any more.
    pub fn replace(
        &mut self,
        is_old: impl Fn(&Sealed<E>) -> bool,
        new: impl FnOnce(&Sealed<E>) -> Option<Sealed<E>>,
    ) -> bool {
        let Some(at) = self.chunks.iter().position(is_old) else {
            return false;
        };
        let Some(old) = self.chunks.remove(at) else {
            return false;
        };
        self.rows -= u64::from(old.rows);
        if let Some(new) = new(&old) {
            self.insert(new);
        }
        if self.chunks.is_empty() {
            self.overlapping = false;
        }
        true
    }

    /// The time up to which rows expire: the last one of the chunks that show something and end before `horizon`.
    pub fn expired_through(&self, horizon: Timestamp) -> Option<Timestamp> {
        let old = self.chunks.iter().filter(|chunk| chunk.last_time < horizon);
        let old = old.filter(|chunk| !chunk.is_gone());
        old.map(|chunk| chunk.last_time).max()
    }

    /// The time up to which rows are evicted, so that at least `rows_max` are left: whole chunks go, those
    /// first that end first, and with them what others have of their times: a value that one of those had
    /// replaced must not come back.
    pub fn evicted_through(&self, rows_max: u64) -> Option<Timestamp> {
        let mut left = self.rows.saturating_sub(self.hidden_rows_max());
        if left <= rows_max {
            return None;
        }
        let shown = self.chunks.iter().filter(|chunk| !chunk.is_gone());
        let mut by_end: Vec<_> = shown
            .map(|chunk| {
                let hidden = chunk.hidden.as_ref().map(|hidden| hidden.rows());
                let hidden = hidden.map_or(0, |rows| rows.map_or(chunk.rows, HiddenRows::total));
                (
                    chunk.last_time,
                    u64::from(chunk.rows.saturating_sub(hidden)),
                )
            })
            .collect();
        by_end.sort_unstable();
        let mut through = None;
        for (last_time, rows) in by_end {
            if left.saturating_sub(rows) < rows_max {
                break;
            }
            left -= rows;
            through = Some(last_time);
        }
        through
    }

    /// All chunks.
    pub fn iter(&self) -> impl Iterator<Item = &Sealed<E>> {
        self.chunks.iter()
    }

    /// All chunks, to change where their bytes are.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Sealed<E>> {
        self.chunks.iter_mut()
    }

    /// Rows in all chunks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that are hidden, at most: all of a chunk's where nobody has counted.
    pub fn hidden_rows_max(&self) -> u64 {
        let hidden = self.chunks.iter().filter_map(|chunk| {
            let hidden = chunk.hidden.as_ref()?;
            let counted = hidden.rows().map(HiddenRows::total);
            Some(u64::from(counted.unwrap_or(chunk.rows)))
        });
        hidden.sum()
    }

    /// Bytes of chunks that are in memory alone.
    pub fn unflushed_bytes(&self) -> u64 {
        let unflushed = self.chunks.iter().filter(|chunk| chunk.is_unflushed());
        unflushed.map(|chunk| u64::from(chunk.len_bytes)).sum()
    }

    /// Chunks.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of memory behind the ring itself, without the chunks' bytes.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Sealed<E>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Cause, Location};
    use crate::types::Position;

    fn chunk(first_time: i64, last_time: i64, position: u64) -> Sealed<()> {
        Sealed {
            first_time,
            last_time,
            rows: 10,
            len_bytes: 0,
            first_position: Position(position),
            last_position: Position(position),
            rank: 0,
            overwritten: 0,
            hidden: None,
            location: Location::Stored(()),
        }
    }

    fn firsts(ring: &Ring<()>, start: i64, end: i64) -> Vec<i64> {
        ring.overlapping(TimeRange { start, end })
            .map(|c| c.first_time)
            .collect()
    }

    #[test]
    fn finds_what_overlaps_a_range() {
        let mut ring = Ring::default();
        for i in 0..10 {
            ring.insert(chunk(i * 10, i * 10 + 9, i as u64));
        }
        assert_eq!(firsts(&ring, 25, 40), [20, 30]);
        assert_eq!(firsts(&ring, 95, i64::MAX), [90]);
        assert_eq!(firsts(&ring, 100, 200), [0i64; 0]);
        ring.insert(chunk(5, 95, 11));
        assert_eq!(firsts(&ring, 25, 40), [5, 20, 30]);
    }

    fn hide_through(ring: &mut Ring<()>, through: Option<i64>, cause: Cause) {
        let end = through.expect("something goes") + 1;
        ring.hide(Tombstone {
            position: Position(100),
            range: TimeRange {
                start: i64::MIN,
                end,
            },
            cause,
        });
        for chunk in ring.iter().filter(|chunk| chunk.is_gone()) {
            let hidden = chunk.hidden.as_ref().expect("it is gone");
            hidden.set_rows(HiddenRows::all(cause, chunk.rows));
        }
    }

    fn left(ring: &Ring<()>) -> Vec<Vec<(i64, i64)>> {
        let shown = ring.iter().map(Sealed::shown);
        shown.filter(|shown| !shown.is_empty()).collect()
    }

    #[test]
    fn expiry_finds_old_chunks_behind_a_long_one() {
        let mut ring = Ring::default();
        ring.insert(chunk(0, 100, 1));
        ring.insert(chunk(10, 20, 2));
        ring.insert(chunk(30, 40, 3));
        let through = ring.expired_through(35);
        assert_eq!(through, Some(20));
        hide_through(&mut ring, through, Cause::Expired);
        assert_eq!(left(&ring), [[(21, 100)], [(30, 40)]]);
        assert_eq!(ring.expired_through(35), None);
    }

    #[test]
    fn eviction_keeps_at_least_the_rows_asked_for() {
        let mut ring = Ring::default();
        for i in 0..5 {
            ring.insert(chunk(i * 10, i * 10 + 9, i as u64));
        }
        let through = ring.evicted_through(25);
        assert_eq!(through, Some(19));
        hide_through(&mut ring, through, Cause::Evicted);
        assert_eq!(ring.rows() - ring.hidden_rows_max(), 30);
        assert_eq!(ring.evicted_through(25), None);
    }

    #[test]
    fn eviction_goes_by_the_last_row_and_hides_what_overlaps() {
        let mut ring = Ring::default();
        ring.insert(chunk(0, 95, 9));
        for i in 0..10 {
            ring.insert(chunk(i * 10, i * 10 + 9, i as u64));
        }
        let through = ring.evicted_through(80);
        assert_eq!(through, Some(29));
        hide_through(&mut ring, through, Cause::Evicted);
        assert_eq!(left(&ring)[..2], [[(30, 95)], [(30, 39)]]);
    }
}
