//! What is counted of columns while their blocks are made, so that nobody unpacks them for it when they seal.

use crate::codec::decimal;
use crate::types::ColumnId;

/// Least, greatest and sum of each column of integers or decimals, over the blocks of one chunk.
#[derive(Debug, Default)]
pub struct Tallies(Vec<Tally>);

/// Of one column. The integers of decimals are mantissas at one scale.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Tally {
    id: ColumnId,
    scale: u8,
    state: State,
    min: i64,
    max: i64,
    sum: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Known,
    /// Doubles, scales that differ too much, or numbers too large to add: the blocks have to tell.
    Unknown,
}

impl Tallies {
    /// Forgets all columns and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Bytes of memory behind this.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Tally>()
    }

    /// That of a column, if it is known.
    pub(in crate::codec) fn get(&self, guess: usize, id: ColumnId) -> Option<&Tally> {
        let found = match self.0.get(guess) {
            Some(tally) if tally.id == id => Some(tally),
            _ => self.0.iter().find(|tally| tally.id == id),
        };
        found.filter(|tally| tally.state == State::Known)
    }

    /// Takes one block of a column in; `None` where it cannot be told.
    #[inline(always)]
    pub(super) fn take(&mut self, guess: usize, id: ColumnId, found: Option<(u8, Range)>) {
        let at = match self.0.get(guess) {
            Some(tally) if tally.id == id => guess,
            _ => self.find(guess, id),
        };
        match found {
            Some((scale, found)) => self.0[at].add(scale, found),
            None => self.0[at].state = State::Unknown,
        }
    }

    #[cold]
    fn find(&mut self, columns: usize, id: ColumnId) -> usize {
        if let Some(found) = self.0.iter().position(|tally| tally.id == id) {
            return found;
        }
        if self.0.len() == self.0.capacity() {
            // Columns come one after another, and most often all of them in the first block.
            self.0.reserve_exact(columns.max(1));
        }
        self.0.push(Tally {
            id,
            scale: 0,
            state: State::Empty,
            min: i64::MAX,
            max: i64::MIN,
            sum: 0,
        });
        self.0.len() - 1
    }
}

/// Least, greatest and sum of some numbers, the sum modulo 2^64.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) sum: i64,
}

impl Tally {
    /// The scale, least, greatest and sum.
    pub(in crate::codec) const fn known(&self) -> (u8, i64, i64, i64) {
        (self.scale, self.min, self.max, self.sum)
    }

    #[inline(always)]
    fn add(&mut self, scale: u8, mut found: Range) {
        match self.state {
            State::Known => {}
            State::Unknown => return,
            State::Empty => {
                self.state = State::Known;
                self.scale = scale;
            }
        }
        if self.scale != scale && !self.at_one_scale(scale, &mut found) {
            self.state = State::Unknown;
        }
        // Few enough numbers to be added without leaving 64 bits, and then sums of them.
        let small = found.min >= -SMALL && found.max <= SMALL;
        match self.sum.checked_add(found.sum) {
            Some(sum) if small => self.sum = sum,
            _ => self.state = State::Unknown,
        }
        self.min = self.min.min(found.min);
        self.max = self.max.max(found.max);
    }

    /// Raises what has the lower scale; false where it has no room.
    #[cold]
    fn at_one_scale(&mut self, scale: u8, found: &mut Range) -> bool {
        let raise = |range: &mut Range, by: u8| {
            let (factor, most) = decimal::raising(by);
            let (factor, most) = (factor as i64, most as i64);
            let sum = range.sum.checked_mul(factor);
            let fits = range.min >= -most && range.max <= most && sum.is_some();
            if fits {
                range.min *= factor;
                range.max *= factor;
                range.sum = sum.unwrap_or_default();
            }
            fits
        };
        if scale < self.scale {
            return raise(found, self.scale - scale);
        }
        let mut own = Range {
            min: self.min,
            max: self.max,
            sum: self.sum,
        };
        let fits = raise(&mut own, scale - self.scale);
        (self.min, self.max, self.sum) = (own.min, own.max, own.sum);
        self.scale = scale;
        fits
    }
}

/// Magnitude up to which the numbers of one block can be added in 64 bits.
const SMALL: i64 = i64::MAX / super::ROWS_MAX as i64;
