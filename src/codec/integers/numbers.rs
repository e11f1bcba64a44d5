//! Integers as they come out of a sequence: offsets of 32 bits where the sequence says so.

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
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Wide(Vec::new())
    }
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Narrow { offsets, .. } => offsets.len(),
            Self::Wide(numbers) => numbers.len(),
        }
    }

    pub(crate) fn into_words(self) -> Vec<u64> {
        match self {
            Self::Narrow { .. } => {
                let mut words = Vec::new();
                self.append_to(&mut words);
                words
            }
            Self::Wide(numbers) => numbers,
        }
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
        }
    }

    /// The entries that the numbers are indexes of, or `None` where one of them is no index.
    pub(crate) fn look_up(&self, entries: &[u64]) -> Option<Vec<u64>> {
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
            } => found.extend(
                offsets
                    .iter()
                    .map(|offset| look_up(widen(*offset, *first, *factor))),
            ),
            Self::Wide(numbers) => found.extend(numbers.iter().map(|number| look_up(*number))),
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
            } => (*first, *factor, offsets),
            Self::Wide(numbers) => return Integers::of(numbers, unsigned),
        };
        let folded = widest(
            #[inline(always)]
            || fold(offsets),
        );
        let ends = [offsets.first(), offsets.last()].map(|offset| offset.map_or(0, |&o| o as i32));
        Integers::of_offsets(first, factor, folded, ends, offsets.len(), unsigned).unwrap_or_else(
            || {
                // Numbers that wrapped around: no encoder makes them.
                let mut words = Vec::new();
                self.append_to(&mut words);
                Integers::of(&words, unsigned)
            },
        )
    }

    /// The quotients by a power of ten.
    pub(crate) fn decimals(&self, power: f64) -> Vec<f64> {
        match self {
            // Neither products nor sums are rounded within these bounds, so that the only rounding is that
            // of the quotient.
            Self::Narrow {
                first,
                factor,
                offsets,
            } if (*first as i64).unsigned_abs() <= 1 << 52 && *factor <= 1 << 20 => {
                let (first, factor) = (*first as i64 as f64, *factor as f64);
                widest(
                    #[inline(always)]
                    || {
                        let double =
                            |&offset: &u32| (f64::from(offset as i32) * factor + first) / power;
                        offsets.iter().map(double).collect()
                    },
                )
            }
            Self::Narrow {
                first,
                factor,
                offsets,
            } => {
                let double = |&offset: &u32| widen(offset, *first, *factor) as i64 as f64 / power;
                offsets.iter().map(double).collect()
            }
            Self::Wide(numbers) => {
                let double = |&number: &u64| number as i64 as f64 / power;
                numbers.iter().map(double).collect()
            }
        }
    }
}

#[inline(always)]
fn widen(offset: u32, first: u64, factor: u64) -> u64 {
    offset.extend().wrapping_mul(factor).wrapping_add(first)
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
