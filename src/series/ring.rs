//! The circular buffer of a series: its sealed chunks in time order, bounded at the old end.

use std::collections::VecDeque;

use crate::series::{Sealed, Tombstone};
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

    /// Takes out every chunk whose last row is older than `horizon`.
    pub fn expire(&mut self, horizon: Timestamp) -> Vec<Sealed<E>> {
        self.take_while_old(|chunk| chunk.last_time < horizon)
    }

    /// Hides what a deletion hits. Chunks that are in memory alone and show nothing any more go; whether the
    /// others have rows of it.
    pub fn delete(&mut self, tombstone: Tombstone) -> bool {
        let mut hit = false;
        let mut gone = false;
        for chunk in &mut self.chunks {
            if chunk.hide(tombstone) {
                let is_gone = chunk.is_unflushed() && chunk.shown().is_empty();
                gone |= is_gone;
                hit |= !is_gone;
            }
        }
        if gone {
            self.take(|chunk| {
                chunk.is_unflushed() && chunk.hidden.is_some() && chunk.shown().is_empty()
            });
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
        true
    }

    /// Takes out the chunks that end first, as long as `rows_max` rows are left. Chunks that overlap those no
    /// longer show what they have of the same times: a value that one of those had replaced must not come back.
    pub fn evict(&mut self, rows_max: u64) -> Vec<Sealed<E>> {
        let mut taken: Vec<Sealed<E>> = Vec::new();
        while let Some(oldest) = self.ends_first() {
            let rows = self
                .chunks
                .get(oldest)
                .map_or(0, |chunk| u64::from(chunk.rows));
            if self.rows.saturating_sub(rows) < rows_max {
                break;
            }
            self.rows -= rows;
            taken.extend(self.chunks.remove(oldest));
        }
        if let Some(through) = taken.iter().map(|chunk| chunk.last_time).max() {
            for chunk in self
                .chunks
                .iter_mut()
                .take_while(|c| c.first_time <= through)
            {
                chunk.hidden_through = chunk.hidden_through.max(through);
            }
        }
        if self.chunks.is_empty() {
            self.overlapping = false;
        }
        taken
    }

    /// Takes out the chunk that ends first, as [`Self::evict`] does.
    pub fn evict_one(&mut self) -> Vec<Sealed<E>> {
        let oldest = self.ends_first().and_then(|at| self.chunks.get(at));
        let rows = oldest.map_or(0, |chunk| u64::from(chunk.rows));
        self.evict(self.rows.saturating_sub(rows).max(1))
    }

    /// Index of the chunk whose last row is the oldest.
    fn ends_first(&self) -> Option<usize> {
        if !self.overlapping {
            return (!self.chunks.is_empty()).then_some(0);
        }
        let indices = 0..self.chunks.len();
        indices.min_by_key(|&index| self.chunks.get(index).map(|chunk| chunk.last_time))
    }

    /// All chunks.
    pub fn iter(&self) -> impl Iterator<Item = &Sealed<E>> {
        self.chunks.iter()
    }

    /// All chunks, to change where their bytes are.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sealed<E>> {
        self.chunks.iter_mut()
    }

    /// Rows in all chunks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that deletions hide, at most: all of a chunk's where nobody has counted.
    pub fn hidden_rows_max(&self) -> u64 {
        let hidden = self.chunks.iter().filter_map(|chunk| {
            let hidden = chunk.hidden.as_ref()?;
            Some(u64::from(hidden.rows().unwrap_or(chunk.rows)))
        });
        hidden.sum()
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

    /// Takes out chunks, wherever they are.
    fn take(&mut self, is_gone: impl Fn(&Sealed<E>) -> bool) {
        let rows = &mut self.rows;
        self.chunks.retain(|chunk| {
            let is_gone = is_gone(chunk);
            *rows -= if is_gone { u64::from(chunk.rows) } else { 0 };
            !is_gone
        });
        if self.chunks.is_empty() {
            self.overlapping = false;
        }
    }

    fn take_while_old(&mut self, old: impl Fn(&Sealed<E>) -> bool) -> Vec<Sealed<E>> {
        let mut taken = Vec::new();
        let mut index = 0;
        while let Some(chunk) = self.chunks.get(index) {
            if old(chunk) {
                self.rows -= u64::from(chunk.rows);
                taken.extend(self.chunks.remove(index));
            } else if self.overlapping {
                index += 1;
            } else {
                break;
            }
        }
        if self.chunks.is_empty() {
            self.overlapping = false;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Location;
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
            hidden_through: i64::MIN,
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

    #[test]
    fn expiry_finds_old_chunks_behind_a_long_one() {
        let mut ring = Ring::default();
        ring.insert(chunk(0, 100, 1));
        ring.insert(chunk(10, 20, 2));
        ring.insert(chunk(30, 40, 3));
        let gone: Vec<_> = ring.expire(35).iter().map(|c| c.first_time).collect();
        assert_eq!((gone, ring.rows()), (vec![10], 20));
    }

    #[test]
    fn eviction_keeps_at_least_the_rows_asked_for() {
        let mut ring = Ring::default();
        for i in 0..5 {
            ring.insert(chunk(i * 10, i * 10 + 9, i as u64));
        }
        assert_eq!(ring.evict(25).len(), 2);
        assert_eq!(ring.rows(), 30);
    }

    #[test]
    fn eviction_goes_by_the_last_row_and_hides_what_overlaps() {
        let mut ring = Ring::default();
        ring.insert(chunk(0, 95, 9));
        for i in 0..10 {
            ring.insert(chunk(i * 10, i * 10 + 9, i as u64));
        }
        let gone: Vec<_> = ring.evict(80).iter().map(|c| c.last_time).collect();
        assert_eq!(gone, [9, 19, 29]);
        let hidden: Vec<_> = ring.iter().map(|c| c.hidden_through.max(-1)).collect();
        assert_eq!(hidden, [29, -1, -1, -1, -1, -1, -1, -1]);
    }
}
