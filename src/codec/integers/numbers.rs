//! Integers as they come out of a sequence: offsets of 32 bits where the sequence says so.

use super::runs::expand;
use crate::codec::bits::Word;
use crate::codec::simd::widest;
use crate::codec::statistics::Integers;

/// Some numbers of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// `first + factor * offset`, offsets as signed numbers.
    Narrow {
        first: u64,
        factor: u64,
        offsets: Vec<u32>,
    },
    /// As they are.
    Wide(Vec<u64>),
    /// One number so many times.
    Same(u64, usize),
    /// The same but for some, with their indexes.
    SameBut(u64, usize, Vec<(usize, u64)>),
    /// Numbers of runs, how often each stands there, and how many that are in all.
    Runs(Box<Numbers>, Vec<u32>, usize),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Wide(Vec::new())
    }
}

impl Numbers {
    /// One number so many times, but for some.
    pub(super) fn same_but(number: u64, len: usize, others: Vec<(usize, u64)>) -> Self {
        if others.is_empty() {
            Self::Same(number, len)
        } else {
            Self::SameBut(number, len, others)
        }
    }

    /// The same as runs where lengths are given: of all numbers but the first `lead`, which stand there once.
    pub(super) fn repeated(self, lens: Option<Vec<u32>>, lead: usize) -> Self {
        let Some(mut lens) = lens else { return self };
        lens.splice(0..0, std::iter::repeat_n(1, lead));
        debug_assert_eq!(lens.len(), self.len());
        let count = lens.iter().map(|&len| len as usize).sum();
        Self::Runs(Box::new(self), lens, count)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(numbers) => numbers.len(),
            Self::Same(_, len) | Self::SameBut(_, len, _) | Self::Runs(_, _, len) => *len,
        }
    }

    pub(crate) fn into_words(self) -> Vec<u64> {
        match self {
            Self::Narrow { .. } | Self::SameBut(..) => self.to_words(),
            Self::Wide(numbers) => numbers,
            Self::Same(number, len) => vec![number; len],
            Self::Runs(numbers, lens, len) => expand(&numbers.into_words(), &lens, len),
        }
    }

    pub(crate) fn to_words(&self) -> Vec<u64> {
        let mut words = Vec::new();
        self.append_to(&mut words);
        words
    }

    pub(crate) fn append_to(&self, out: &mut Vec<u64>) {
        match self {
            Self::Narrow {
                first,
                factor,
                offsets,
            } => widest(
                #[inline(always)]
                || {
                    out.extend(offsets.iter().map(|offset| widen(*offset, *first, *factor)));
                },
            ),
            Self::Wide(numbers) => out.extend_from_slice(numbers),
            Self::Same(number, len) => out.resize(out.len() + len, *number),
            Self::SameBut(number, len, others) => {
                let from = out.len();
                out.resize(from + len, *number);
                for &(index, other) in others {
                    out[from + index] = other;
                }
            }
            Self::Runs(numbers, lens, len) => {
                out.extend(expand(&numbers.to_words(), lens, *len));
            }
        }
    }

    /// Adds each number to one of as many words.
    pub(crate) fn add_to(&self, words: &mut [u64]) {
        debug_assert_eq!(words.len(), self.len());
        match self {
            Self::Narrow {
                first,
                factor,
                offsets,
            } => widest(
                #[inline(always)]
                || {
                    if *factor == 1 {
                        for (word, offset) in words.iter_mut().zip(offsets) {
                            *word = word.wrapping_add(offset.extend()).wrapping_add(*first);
                        }
                    } else {
                        for (word, offset) in words.iter_mut().zip(offsets) {
                            *word = word.wrapping_add(widen(*offset, *first, *factor));
                        }
                    }
                },
            ),
            Self::Wide(numbers) => {
                for (word, number) in words.iter_mut().zip(numbers) {
                    *word = word.wrapping_add(*number);
                }
            }
            Self::Same(number, _) => add(*number, words),
            Self::SameBut(number, _, others) => {
                add(*number, words);
                for &(index, other) in others {
                    words[index] = words[index].wrapping_add(other.wrapping_sub(*number));
                }
            }
            Self::Runs(numbers, lens, _) => {
                let mut rest = words;
                for (number, len) in numbers.to_words().into_iter().zip(lens) {
                    let (run, behind) = rest.split_at_mut(*len as usize);
                    add(number, run);
                    rest = behind;
                }
            }
        }
    }

    /// What a function makes of the numbers, of a run once.
    pub(crate) fn each(self, make: impl FnOnce(&Self) -> Vec<u64>) -> Self {
        match self {
            Self::Runs(numbers, lens, len) => {
                Self::Runs(Box::new(Self::Wide(make(&numbers))), lens, len)
            }
            numbers => Self::Wide(make(&numbers)),
        }
    }

    /// The entries that the numbers are indexes of, or `None` where one of them is no index.
    pub(crate) fn look_up(&self, entries: &[u64]) -> Option<Self> {
        let entry = |index: u64| entries.get(usize::try_from(index).ok()?).copied();
        let each: Option<Vec<u64>> = match self {
            Self::Narrow {
                first,
                factor: 1,
                offsets,
            } if *first < 1 << 31 && entries.len() <= 1 << 31 => {
                look_up(*first as u32, offsets, entries)
            }
            Self::Narrow {
                first,
                factor,
                offsets,
            } => {
                let indexes = offsets.iter();
                let indexes = indexes.map(|offset| widen(*offset, *first, *factor));
                indexes.map(entry).collect()
            }
            Self::Wide(numbers) => numbers.iter().map(|&number| entry(number)).collect(),
            Self::SameBut(..) => self.to_words().into_iter().map(entry).collect(),
            Self::Same(number, len) => return Some(Self::Same(entry(*number)?, *len)),
            Self::Runs(numbers, lens, len) => {
                let numbers = Box::new(numbers.look_up(entries)?);
                return Some(Self::Runs(numbers, lens.clone(), *len));
            }
        };
        each.map(Self::Wide)
    }

    /// Of one number at least.
    pub(crate) fn statistics(&self, unsigned: bool) -> Integers {
        let (first, factor, offsets) = match self {
            Self::Narrow {
                first,
                factor,
                offsets,
            } => (*first, *factor, offsets),
            Self::Wide(numbers) => return Integers::of(numbers, unsigned),
            Self::SameBut(..) => return Integers::of(&self.to_words(), unsigned),
            Self::Same(number, _) => return Integers::of_same(*number),
            Self::Runs(numbers, lens, count) => {
                return numbers.statistics_of_runs(lens, *count, unsigned);
            }
        };
        let folded = widest(
            #[inline(always)]
            || fold(offsets),
        );
        let ends = [offsets.first(), offsets.last()].map(|offset| offset.map_or(0, |&o| o as i32));
        Integers::of_offsets(first, factor, folded, ends, offsets.len(), unsigned).unwrap_or_else(
            || {
                // Numbers that wrapped around: no encoder makes them.
                Integers::of(&self.to_words(), unsigned)
            },
        )
    }

    /// The same of runs of the numbers, `count` in all.
    fn statistics_of_runs(&self, lens: &[u32], count: usize, unsigned: bool) -> Integers {
        let found = match self {
            Self::Narrow {
                first,
                factor,
                offsets,
            } => {
                let (least, most, _) = fold(offsets);
                let pairs = offsets.iter().zip(lens);
                // No more than 2^31 times the rows of a chunk.
                let sum = pairs.map(|(&offset, &len)| i64::from(offset as i32) * i64::from(len));
                let folded = (least, most, sum.sum());
                let ends = [offsets.first(), offsets.last()];
                let ends = ends.map(|offset| offset.map_or(0, |&offset| offset as i32));
                Integers::of_offsets(*first, *factor, folded, ends, count, unsigned)
            }
            _ => None,
        };
        found.unwrap_or_else(|| Integers::of(&expand(&self.to_words(), lens, count), unsigned))
    }

    /// The quotients by a power of ten.
    pub(crate) fn decimals(&self, power: f64) -> Vec<f64> {
        if let Self::Runs(numbers, lens, len) = self {
            return expand(&numbers.decimals(power), lens, *len);
        }
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
            } => {
                let double = |&offset: &u32| widen(offset, *first, *factor) as i64 as f64;
                offsets.iter().map(double).collect()
            }
            Self::Wide(numbers) => numbers.iter().map(|&number| number as i64 as f64).collect(),
            Self::Same(number, len) => vec![*number as i64 as f64; *len],
            Self::SameBut(..) => {
                let words = self.to_words().into_iter();
                words.map(|number| number as i64 as f64).collect()
            }
            Self::Runs(numbers, lens, len) => expand(&numbers.doubles(), lens, *len),
        }
    }
}

/// Adds a number to all words.
fn add(number: u64, words: &mut [u64]) {
    if number != 0 {
        for word in words {
            *word = word.wrapping_add(number);
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
    let index = |offset: &u32| first.wrapping_add(*offset);
    let most = widest(
        #[inline(always)]
        || offsets.iter().map(index).fold(0, u32::max),
    );
    if most as usize >= entries.len() {
        return None;
    }
    if most > u32::from(u8::MAX) {
        let found = offsets.iter().map(|offset| entries[index(offset) as usize]);
        return Some(found.collect());
    }
    // A byte is always an index of so many.
    let mut few = [0; 1 << u8::BITS];
    let len = entries.len().min(few.len());
    few[..len].copy_from_slice(&entries[..len]);
    let entry = |offset: u32| few[usize::from(index(&offset) as u8)];
    let (groups, rest) = offsets.as_chunks::<8>();
    let mut found = Vec::with_capacity(offsets.len());
    for group in groups {
        found.extend_from_slice(&group.map(entry));
    }
    found.extend(rest.iter().copied().map(entry));
    Some(found)
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
