//! Integers as they come out of a sequence: offsets of 32 bits where the sequence says so.

use super::columns;
use crate::codec::bits::Word;
use crate::codec::simd::widest;
use crate::codec::statistics::Integers;

/// How numbers stand behind one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the rows that they belong to.
    Rows,
    /// As the cells of [`columns`](super::columns).
    Columns,
}

/// Some numbers of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// `first + factor * offset`, offsets as signed numbers.
    Narrow {
        first: u64,
        factor: u64,
        offsets: Vec<u32>,
        order: Order,
    },
    /// As they are.
    Wide(Vec<u64>),
    /// One number so many times.
    Same(u64, usize),
    /// One number so many times, but for some: their indexes, and what they are.
    Mostly(u64, usize, Vec<(usize, u64)>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Wide(Vec::new())
    }
}

impl Numbers {
    /// The same in the order of their rows.
    pub(crate) fn in_rows(self) -> Self {
        match self {
            Self::Narrow {
                first,
                factor,
                offsets,
                order: Order::Columns,
            } => Self::Narrow {
                first,
                factor,
                offsets: columns::straighten(&offsets),
                order: Order::Rows,
            },
            Self::Mostly(number, len, others) => {
                let mut numbers = vec![number; len];
                for (index, other) in others {
                    numbers[index] = other;
                }
                Self::Wide(numbers)
            }
            other => other,
        }
    }

    /// Where the number of a row stands.
    pub(crate) fn place(&self, row: usize) -> usize {
        match self {
            Self::Narrow {
                order: Order::Columns,
                offsets,
                ..
            } => columns::place(offsets.len(), row),
            _ => row,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(numbers) => numbers.len(),
            Self::Same(_, len) | Self::Mostly(_, len, _) => *len,
        }
    }

    pub(crate) fn into_words(self) -> Vec<u64> {
        match self.in_rows() {
            Self::Wide(numbers) => numbers,
            other => {
                let mut words = Vec::new();
                other.append_to(&mut words);
                words
            }
        }
    }

    pub(crate) fn append_to(&self, out: &mut Vec<u64>) {
        match self {
            Self::Narrow {
                first,
                factor,
                offsets,
                ..
            } => widest(
                #[inline(always)]
                || {
                    out.extend(offsets.iter().map(|offset| widen(*offset, *first, *factor)));
                },
            ),
            Self::Wide(numbers) => out.extend_from_slice(numbers),
            Self::Same(number, len) => out.resize(out.len() + len, *number),
            Self::Mostly(..) => self.clone().in_rows().append_to(out),
        }
    }

    /// Adds each number to one of as many words; `place` tells where that of a row stands, if they are not all in
    /// the order of these numbers.
    pub(crate) fn add_to(&self, words: &mut [u64], place: &dyn Fn(usize) -> usize) {
        debug_assert_eq!(words.len(), self.len());
        if let Self::Mostly(number, len, others) = self {
            Self::Same(*number, *len).add_to(words, place);
            for &(row, other) in others {
                if let Some(word) = words.get_mut(place(row)) {
                    *word = word.wrapping_add(other.wrapping_sub(*number));
                }
            }
            return;
        }
        widest(
            #[inline(always)]
            || match self {
                Self::Narrow {
                    first,
                    factor: 1,
                    offsets,
                    ..
                } => {
                    for (word, offset) in words.iter_mut().zip(offsets) {
                        *word = word.wrapping_add(offset.extend()).wrapping_add(*first);
                    }
                }
                Self::Narrow {
                    first,
                    factor,
                    offsets,
                    ..
                } => {
                    for (word, offset) in words.iter_mut().zip(offsets) {
                        *word = word.wrapping_add(widen(*offset, *first, *factor));
                    }
                }
                Self::Wide(numbers) => {
                    for (word, number) in words.iter_mut().zip(numbers) {
                        *word = word.wrapping_add(*number);
                    }
                }
                Self::Same(0, _) | Self::Mostly(..) => {}
                Self::Same(number, _) => {
                    for word in words {
                        *word = word.wrapping_add(*number);
                    }
                }
            },
        );
    }

    /// The entries that the numbers are indexes of, or `None` where one of them is no index.
    pub(crate) fn look_up(&self, entries: &[u64]) -> Option<Vec<u64>> {
        if let Self::Narrow {
            first,
            factor: 1,
            offsets,
            ..
        } = self
            && *first < 1 << 31
            && entries.len() <= 1 << 31
        {
            return look_up(*first as u32, offsets, entries);
        }
        let mut found = Vec::with_capacity(self.len());
        let mut all = true;
        let mut look_up = |index: u64| {
            let entry = usize::try_from(index)
                .ok()
                .and_then(|index| entries.get(index));
            all &= entry.is_some();
            entry.copied().unwrap_or_default()
        };
        match self {
            Self::Narrow {
                first,
                factor,
                offsets,
                ..
            } => found.extend(
                offsets
                    .iter()
                    .map(|offset| look_up(widen(*offset, *first, *factor))),
            ),
            Self::Wide(numbers) => found.extend(numbers.iter().map(|number| look_up(*number))),
            Self::Same(number, len) => found.resize(*len, look_up(*number)),
            Self::Mostly(..) => return self.clone().in_rows().look_up(entries),
        }
        all.then_some(found)
    }

    /// Of one number at least.
    pub(crate) fn statistics(&self, unsigned: bool) -> Integers {
        let (first, factor, offsets) = match self {
            Self::Narrow {
                first,
                factor,
                offsets,
                ..
            } => (*first, *factor, offsets),
            Self::Wide(numbers) => return Integers::of(numbers, unsigned),
            Self::Same(number, _) => return Integers::of_same(*number),
            Self::Mostly(..) => return self.clone().in_rows().statistics(unsigned),
        };
        let folded = widest(
            #[inline(always)]
            || fold(offsets),
        );
        let ends = [0, offsets.len().saturating_sub(1)].map(|row| {
            let end = offsets.get(self.place(row));
            end.map_or(0, |&offset| offset as i32)
        });
        Integers::of_offsets(first, factor, folded, ends, offsets.len(), unsigned).unwrap_or_else(
            || {
                // Numbers that wrapped around: no encoder makes them.
                Integers::of(&self.clone().in_rows().into_words(), unsigned)
            },
        )
    }

    /// The quotients by a power of ten.
    pub(crate) fn decimals(&self, power: f64) -> Vec<f64> {
        let mut doubles = self.doubles();
        if power != 1.0 {
            widest(
                #[inline(always)]
                || doubles.iter_mut().for_each(|double| *double /= power),
            );
        }
        doubles
    }

    /// The nearest doubles.
    pub(crate) fn doubles(&self) -> Vec<f64> {
        match self {
            // Neither products nor sums are rounded within these bounds.
            Self::Narrow {
                first,
                factor,
                offsets,
                ..
            } if (*first as i64).unsigned_abs() <= 1 << 52 && *factor <= 1 << 20 => {
                let (first, factor) = (*first as i64 as f64, *factor as f64);
                widest(
                    #[inline(always)]
                    || {
                        let double = |&offset: &u32| f64::from(offset as i32) * factor + first;
                        offsets.iter().map(double).collect()
                    },
                )
            }
            Self::Narrow {
                first,
                factor,
                offsets,
                ..
            } => {
                let double = |&offset: &u32| widen(offset, *first, *factor) as i64 as f64;
                offsets.iter().map(double).collect()
            }
            Self::Wide(numbers) => numbers.iter().map(|&number| number as i64 as f64).collect(),
            Self::Same(number, len) => vec![*number as i64 as f64; *len],
            Self::Mostly(..) => self.clone().in_rows().doubles(),
        }
    }
}

#[inline(always)]
fn widen(offset: u32, first: u64, factor: u64) -> u64 {
    offset.extend().wrapping_mul(factor).wrapping_add(first)
}

/// The entries that `first + offset` are indexes of, where all are: below 2^31, so that sums that are
/// negative or wrap around are none.
fn look_up(first: u32, offsets: &[u32], entries: &[u64]) -> Option<Vec<u64>> {
    widest(
        #[inline(always)]
        || {
            let index = |offset: &u32| first.wrapping_add(*offset);
            let most = offsets.iter().map(index).fold(0, u32::max);
            if most as usize >= entries.len() {
                return None;
            }
            let entry = |offset| entries.get(index(offset) as usize);
            let found = offsets.iter().map(|offset| entry(offset).copied());
            Some(found.map(Option::unwrap_or_default).collect())
        },
    )
}

/// Least and greatest offset, and their sum.
#[inline(always)]
fn fold(offsets: &[u32]) -> (i32, i32, i64) {
    let (mut least, mut most, mut sum) = (i32::MAX, i32::MIN, 0i64);
    for &offset in offsets {
        let offset = offset as i32;
        least = least.min(offset);
        most = most.max(offset);
        sum += i64::from(offset);
    }
    (least, most, sum)
}
