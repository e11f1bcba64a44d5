//! Which series of a measurement have a tag, and with which value: sets of series, in place of a walk over all.
//!
//! A condition on tags has three outcomes for a series, as in SQL: true, false, and unknown where a tag is
//! missing. So each condition answers with the series for which it is true, and, below a `NOT`, with those
//! for which it is false.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::catalog::Tag;
use crate::catalog::keyed::{HashSeed, KeyTable};
use crate::paged::Paged;
use crate::types::SeriesId;

/// What the tags of a series have to be.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub enum TagFilter<'a> {
    /// All of them.
    All(Vec<TagFilter<'a>>),
    /// Any of them.
    Any(Vec<TagFilter<'a>>),
    /// True where it is false.
    Not(Box<TagFilter<'a>>),
    /// The tag is there and has this value.
    Is(&'a str, &'a str),
    /// A condition on one tag.
    Test(&'a str, TagTest<'a>),
}

/// What a condition on one tag says of a value, and of a tag that is missing (`None`): true, false, or unknown.
/// It is asked once for each distinct value, however many series have it.
#[expect(missing_debug_implementations, reason = "holds a closure")]
pub struct TagTest<'a> {
    test: Box<Outcome<'a>>,
    /// What it says of the first values, in their order.
    known: Vec<Option<bool>>,
    /// The numbering of values under which that was asked.
    numbering: u64,
}

type Outcome<'a> = dyn Fn(Option<&Arc<str>>) -> Option<bool> + 'a;

impl<'a> TagTest<'a> {
    /// A condition. The same value has to have the same outcome each time.
    pub fn new(test: impl Fn(Option<&Arc<str>>) -> Option<bool> + 'a) -> Self {
        Self {
            test: Box::new(test),
            known: Vec::new(),
            numbering: 0,
        }
    }

    /// Number of values that were asked ahead under a numbering.
    pub fn known(&self, numbering: u64) -> usize {
        if self.numbering == numbering {
            self.known.len()
        } else {
            0
        }
    }

    /// Asks for the next values of a numbering ahead, where no lock is held.
    pub fn learn(&mut self, numbering: u64, values: &[Arc<str>]) {
        if self.numbering != numbering {
            self.numbering = numbering;
            self.known.clear();
        }
        let outcomes = values.iter().map(|value| (self.test)(Some(value)));
        self.known.extend(outcomes);
    }

    fn outcome(&self, numbering: u64, index: usize, value: &Arc<str>) -> Option<bool> {
        let known = self.known.get(index).copied();
        let known = known.filter(|_| self.numbering == numbering);
        known.unwrap_or_else(|| (self.test)(Some(value)))
    }
}

impl<'a> TagFilter<'a> {
    /// Visits every condition that is asked for each value.
    pub fn visit_tests(&mut self, visit: &mut dyn FnMut(&str, &mut TagTest<'a>)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.visit_tests(visit);
                }
            }
            Self::Not(inner) => inner.visit_tests(visit),
            Self::Is(..) => {}
            Self::Test(tag, test) => visit(tag, test),
        }
    }
}

/// The tags of a measurement's series.
#[derive(Debug)]
pub(super) struct Postings {
    seed: HashSeed,
    all: RoaringBitmap,
    tags: BTreeMap<Arc<str>, TagPostings>,
    /// Rises when values get other numbers.
    numbering: u64,
}

/// One tag.
#[derive(Debug, Default)]
struct TagPostings {
    /// Series that have it.
    present: RoaringBitmap,
    /// Those that no series has any more are empty, and have no posting.
    values: Paged<(Arc<str>, Posting)>,
    /// Numbers of values.
    by_value: KeyTable<u32>,
    /// Values that no series has any more.
    dead: usize,
}

/// The series that have a value. Many values have a single series, so that few bytes count.
#[derive(Debug)]
enum Posting {
    One(u32),
    #[expect(clippy::box_collection, reason = "a vector itself takes a word more")]
    Few(Box<Vec<u32>>),
    Many(Box<RoaringBitmap>),
}

impl Postings {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            seed,
            all: RoaringBitmap::new(),
            tags: BTreeMap::new(),
            numbering: 1,
        }
    }

    /// Bytes of memory, about, without the values themselves.
    pub(super) fn memory_bytes(&self) -> usize {
        let tags = self.tags.values().map(|tag| {
            let values = tag.values.iter_from(0).map(|(_, (_, posting))| {
                size_of::<(Arc<str>, Posting)>()
                    + match posting {
                        Posting::One(_) => 0,
                        Posting::Few(few) => {
                            size_of::<Vec<u32>>() + few.capacity() * size_of::<u32>()
                        }
                        Posting::Many(many) => size_of::<RoaringBitmap>() + many.serialized_size(),
                    }
            });
            tag.present.serialized_size() + tag.by_value.memory_bytes() + values.sum::<usize>()
        });
        self.all.serialized_size() + tags.sum::<usize>()
    }

    /// The numbering of values: where it is another, so may be the order of values.
    pub(super) fn numbering(&self) -> u64 {
        self.numbering
    }

    /// Number of series.
    pub(super) fn len(&self) -> usize {
        self.all.len() as usize
    }

    /// All series, by number.
    pub(super) fn all(&self) -> impl Iterator<Item = SeriesId> + '_ {
        self.all.iter().map(SeriesId)
    }

    /// Names of all tags, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tags.keys()
    }

    /// Distinct values of a tag from a number on, in the order in which they were first seen. Those that no series
    /// has any more are among them, as empty ones.
    pub(super) fn values(&self, tag: &str, from: usize) -> impl Iterator<Item = &Arc<str>> {
        let found = self.tags.get(tag).into_iter();
        found.flat_map(move |tag| tag.values.iter_from(from).map(|(_, (value, _))| value))
    }

    /// Adds a series, which is not there yet.
    pub(super) fn insert(&mut self, id: SeriesId, tags: &[Tag]) {
        self.all.insert(id.0);
        for (name, value) in tags {
            if !self.tags.contains_key(name) {
                self.tags.insert(Arc::clone(name), TagPostings::default());
            }
            if let Some(tag) = self.tags.get_mut(name) {
                tag.insert(self.seed, id.0, value);
            }
        }
    }

    /// Takes a series out. Values that no other has are forgotten; names are not, so that who asks for them is told
    /// that nothing has them.
    pub(super) fn remove(&mut self, id: SeriesId, tags: &[Tag]) {
        if !self.all.remove(id.0) {
            return;
        }
        for (name, value) in tags {
            let Some(tag) = self.tags.get_mut(name) else {
                continue;
            };
            tag.remove(self.seed, id.0, value);
            if tag.present.is_empty() {
                *tag = TagPostings::default();
                self.numbering += 1;
            } else if tag.dead >= DEAD_MIN && tag.dead * 2 > tag.values.len() {
                tag.renumber(self.seed);
                self.numbering += 1;
            }
        }
    }

    /// The series for which a condition is true, by number.
    pub(super) fn select(&self, filter: &TagFilter<'_>) -> RoaringBitmap {
        self.outcome(filter, true)
    }

    /// The series for which a condition is true, or those for which it is false.
    fn outcome(&self, filter: &TagFilter<'_>, wanted: bool) -> RoaringBitmap {
        match filter {
            TagFilter::Not(inner) => self.outcome(inner, !wanted),
            TagFilter::All(parts) if wanted => self.every(parts, wanted),
            TagFilter::Any(parts) if !wanted => self.every(parts, wanted),
            TagFilter::All(parts) | TagFilter::Any(parts) => {
                let mut found = RoaringBitmap::new();
                for part in parts {
                    found |= self.outcome(part, wanted);
                }
                found
            }
            TagFilter::Is(name, value) => {
                let Some(tag) = self.tags.get(*name) else {
                    return RoaringBitmap::new();
                };
                let same = tag.find(self.seed, value);
                let same = same.map(Posting::to_set).unwrap_or_default();
                if wanted { same } else { &tag.present - same }
            }
            TagFilter::Test(name, test) => self.tested(name, test, wanted),
        }
    }

    fn every(&self, parts: &[TagFilter<'_>], wanted: bool) -> RoaringBitmap {
        let mut parts = parts.iter();
        let Some(first) = parts.next() else {
            return self.all.clone();
        };
        let mut found = self.outcome(first, wanted);
        for part in parts {
            if found.is_empty() {
                break;
            }
            found &= self.outcome(part, wanted);
        }
        found
    }

    fn tested(&self, name: &str, test: &TagTest<'_>, wanted: bool) -> RoaringBitmap {
        let mut few: Vec<u32> = Vec::new();
        let mut found = RoaringBitmap::new();
        let tag = self.tags.get(name);
        if let Some(tag) = tag {
            for (index, (value, posting)) in tag.values.iter_from(0) {
                if posting.is_empty() {
                    continue;
                }
                if test.outcome(self.numbering, index, value) == Some(wanted) {
                    match posting {
                        Posting::One(id) => few.push(*id),
                        Posting::Few(ids) => few.extend(&**ids),
                        Posting::Many(set) => found |= &**set,
                    }
                }
            }
        }
        few.sort_unstable();
        found |= sorted(&few);
        if (test.test)(None) == Some(wanted) {
            found |= tag.map_or_else(|| self.all.clone(), |tag| &self.all - &tag.present);
        }
        found
    }
}

impl TagPostings {
    fn find(&self, seed: HashSeed, value: &str) -> Option<&Posting> {
        let is = |&index: &u32| *self.values[index as usize].0 == *value;
        let index = self.by_value.find(seed.hash_one(value), is)?;
        Some(&self.values[*index as usize].1)
    }

    fn insert(&mut self, seed: HashSeed, id: u32, value: &Arc<str>) {
        self.present.insert(id);
        let hash = seed.hash_one(&**value);
        let is = |&index: &u32| self.values[index as usize].0 == *value;
        if let Some(&index) = self.by_value.find(hash, is) {
            self.values[index as usize].1.insert(id);
        } else {
            let index = self.values.push((Arc::clone(value), Posting::One(id)));
            self.by_value.insert(hash, index as u32);
        }
    }

    fn remove(&mut self, seed: HashSeed, id: u32, value: &Arc<str>) {
        self.present.remove(id);
        let hash = seed.hash_one(&**value);
        let is = |&index: &u32| self.values[index as usize].0 == *value;
        let Some(&index) = self.by_value.find(hash, is) else {
            return;
        };
        let posting = &mut self.values[index as usize].1;
        posting.remove(id);
        if posting.is_empty() {
            self.by_value.remove(hash, |known| *known == index);
            self.values[index as usize] = Default::default();
            self.dead += 1;
        }
    }

    /// Closes the gaps that dead values have left.
    fn renumber(&mut self, seed: HashSeed) {
        let mut alive = Self {
            present: std::mem::take(&mut self.present),
            ..Self::default()
        };
        let values = std::mem::take(&mut self.values);
        for (value, posting) in values.into_items() {
            if !posting.is_empty() {
                let hash = seed.hash_one(&*value);
                let index = alive.values.push((value, posting));
                alive.by_value.insert(hash, index as u32);
            }
        }
        *self = alive;
    }
}

impl Default for Posting {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

impl Posting {
    fn insert(&mut self, id: u32) {
        match self {
            Self::One(one) => {
                let (low, high) = ((*one).min(id), (*one).max(id));
                *self = Self::Few(Box::new(vec![low, high]));
            }
            Self::Few(ids) => {
                if let Err(at) = ids.binary_search(&id) {
                    ids.insert(at, id);
                }
                if ids.len() > FEW_MAX {
                    *self = Self::Many(Box::new(sorted(ids)));
                }
            }
            Self::Many(set) => {
                set.insert(id);
            }
        }
    }

    fn remove(&mut self, id: u32) {
        match self {
            Self::One(one) if *one == id => *self = Self::default(),
            Self::One(_) => {}
            Self::Few(ids) => ids.retain(|known| *known != id),
            Self::Many(set) => {
                set.remove(id);
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Few(ids) => ids.is_empty(),
            Self::Many(set) => set.is_empty(),
        }
    }

    fn to_set(&self) -> RoaringBitmap {
        match self {
            Self::One(id) => RoaringBitmap::from_iter([*id]),
            Self::Few(ids) => sorted(ids),
            Self::Many(set) => (**set).clone(),
        }
    }
}

/// A set of numbers, built without a search for each where they ascend.
fn sorted(ids: &[u32]) -> RoaringBitmap {
    let ascending = RoaringBitmap::from_sorted_iter(ids.iter().copied());
    ascending.unwrap_or_else(|_| ids.iter().copied().collect())
}

/// Series that a value has before they become a set of their own.
const FEW_MAX: usize = 16;
/// Values that no series has any more which are left where they are.
const DEAD_MIN: usize = 256;

#[cfg(test)]
#[path = "tests/postings.rs"]
mod tests;
