//! A few numbers that lie far apart, in ascending order, and an index of one of them for each offset.
//!
//! Set points, states and codes of errors: what they have in common is how few of them there are, not how
//! near they are to one another. Neither the entries nor the indexes have a dictionary of their own.

use std::ops::Range;

use super::{Depth, Effort, Opening, encode_offsets, spread};
use crate::codec::bits::{Word, width_of};
use crate::codec::bytes::{Reader, put_varint};
use crate::codec::error::CodecError;

/// Most entries that are written.
const ENTRIES_MAX: usize = 256;
/// Numbers that are looked at before all are, and most distinct ones among them.
const SAMPLE: usize = 128;
const SAMPLE_DISTINCT_MAX: usize = 96;
/// Bits that an index has to be shorter than an offset.
const BITS_SAVED: u32 = 2;

/// Entries and indexes of the offsets, where they and the toll of reading the indexes take less than `least`
/// bytes. Offsets are at most `range` apart, and change `changes` times.
pub(super) fn body(offsets: &[u64], range: u64, changes: usize, least: usize) -> Option<Vec<u8>> {
    if !seem_few(offsets) {
        return None;
    }
    let distinct = Distinct::of(offsets)?;
    let count = distinct.entries.len();
    if width_of(count as u64 - 1) + BITS_SAVED > width_of(range) {
        return None;
    }
    if distinct.estimate(changes) >= least {
        return None;
    }
    let (entries, indexes) = distinct.sorted();
    let mut out = Vec::new();
    put_varint(&mut out, count as u64);
    let full = Effort::Full;
    encode_offsets(&entries, spread(&entries), 1, full, Depth::Inner, &mut out);
    let most = count as u64 - 1;
    let toll = encode_offsets(&indexes, most, 1, full, Depth::Indexes, &mut out);
    (out.len() + toll < least).then_some(out)
}

/// Whether a sample has numbers that occur again.
fn seem_few(offsets: &[u64]) -> bool {
    let step = offsets.len().div_ceil(SAMPLE).max(1);
    let mut sample: Vec<u64> = offsets.iter().step_by(step).copied().collect();
    sample.sort_unstable();
    sample.dedup();
    sample.len() <= SAMPLE_DISTINCT_MAX
}

/// Numbers in the order in which they occur first.
pub(crate) struct Distinct {
    entries: Vec<u64>,
    /// How often each of them occurs.
    counts: [u32; ENTRIES_MAX],
    /// Of each offset.
    indexes: Vec<u64>,
}

impl Distinct {
    /// `None` where there are more than 256, or none.
    pub(crate) fn of(offsets: &[u64]) -> Option<Self> {
        // Where to look for an entry, behind the hash of the number; 0 is nowhere.
        let mut places = [0u16; 1 << PLACES_LOG];
        let mut entries: Vec<u64> = Vec::new();
        let mut counts = [0; ENTRIES_MAX];
        let mut indexes = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            let mut place = (offset.wrapping_mul(HASH) >> (64 - PLACES_LOG)) as usize;
            let index = loop {
                match usize::from(places[place]).checked_sub(1) {
                    Some(index) if entries[index] == offset => break index,
                    Some(_) => place = (place + 1) % places.len(),
                    None if entries.len() == ENTRIES_MAX => return None,
                    None => {
                        entries.push(offset);
                        places[place] = entries.len() as u16;
                        break entries.len() - 1;
                    }
                }
            };
            counts[index] += 1;
            indexes.push(index as u64);
        }
        (!entries.is_empty()).then_some(Self {
            entries,
            counts,
            indexes,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// About the least number of bytes that they take: by their frequency, or as runs.
    fn estimate(&self, changes: usize) -> usize {
        let count = self.indexes.len() as f64;
        let counts = self.counts[..self.entries.len()].iter();
        let information: f64 = counts
            .map(|&own| f64::from(own) * (count / f64::from(own)).log2())
            .sum();
        let runs = (changes + 1) as f64 * (information / count + RUN_BITS);
        (information.min(runs) / 8.0) as usize + self.entries.len()
    }

    /// The entries as signed numbers in ascending order, and the indexes that follow from it.
    pub(crate) fn sorted(mut self) -> (Vec<u64>, Vec<u64>) {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_unstable_by_key(|&index| self.entries[index] as i64);
        let mut ranks = [0u64; ENTRIES_MAX];
        for (rank, &index) in order.iter().enumerate() {
            ranks[index] = rank as u64;
        }
        for index in &mut self.indexes {
            *index = ranks[*index as usize];
        }
        let entries = order.iter().map(|&index| self.entries[index]).collect();
        (entries, self.indexes)
    }
}

/// Places to look for entries: four for each, so that few share one.
const PLACES_LOG: u32 = 10;
const _: () = assert!(1 << PLACES_LOG >= 4 * ENTRIES_MAX);
/// 2^64 by the golden ratio: neighbours go to places far apart.
const HASH: u64 = 0x9e37_79b9_7f4a_7c15;
/// About the bits of a run's length.
const RUN_BITS: f64 = 3.0;

/// Appends the wanted of `count` numbers, or one of each run of them and returns how often it is wanted.
pub(super) fn read<W: Word>(
    reader: &mut Reader<'_>,
    count: usize,
    wanted: Range<usize>,
    out: &mut Vec<W>,
) -> Result<Option<Vec<u32>>, CodecError> {
    let distinct = reader.bounded("distinct numbers", count)?;
    if distinct == 0 {
        return Err(reader.invalid("distinct numbers"));
    }
    let entries: Vec<W> = Opening::read(reader)?.read_all(reader, distinct)?;
    let opening = Opening::read(reader)?;
    let (all, lens) = if opening.narrow {
        let mut indexes: Vec<u32> = Vec::new();
        let lens = opening.read_offsets(reader, count, wanted, Depth::Indexes, &mut indexes)?;
        (look_up(&entries, &indexes, opening.factor, out), lens)
    } else {
        let mut indexes: Vec<u64> = Vec::new();
        let lens = opening.read_offsets(reader, count, wanted, Depth::Indexes, &mut indexes)?;
        (look_up(&entries, &indexes, opening.factor, out), lens)
    };
    if all {
        Ok(lens)
    } else {
        Err(reader.invalid("index of a number"))
    }
}

/// Appends an entry for each index; whether all of them had one.
fn look_up<W: Word, I: Word>(entries: &[W], indexes: &[I], factor: u64, out: &mut Vec<W>) -> bool {
    let mut all = true;
    out.extend(indexes.iter().map(|index| {
        let index = index.extend().wrapping_mul(factor);
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| entries.get(index));
        all &= entry.is_some();
        entry.copied().unwrap_or_default()
    }));
    all
}
