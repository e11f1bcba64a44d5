//! Hashing of names that come from the network: keyed, so that nobody outside can choose names that collide.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};

/// The key of a store's hashes: secret, new with every start, given by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSeed(pub u64);

/// By name.
pub(super) type NameMap<V> = HashMap<Arc<str>, V, HashSeed>;

impl BuildHasher for HashSeed {
    type Hasher = DefaultHasher;

    /// SipHash whose state has taken in the secret before it takes in a name.
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher.write_u64(self.0.rotate_left(32) ^ u64::MAX);
        hasher
    }
}

/// Items found by the hash of a key that they know themselves. A large table is kept in parts that grow one
/// by one, and remembers hashes, so that no insertion moves more than a small part or looks at another key.
#[derive(Debug)]
pub(super) struct KeyTable<T> {
    /// One, or [`PARTS`].
    parts: Vec<HashTable<(u32, T)>>,
}

impl<T> Default for KeyTable<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> KeyTable<T> {
    /// The item of that hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<&T> {
        let hash = hash as u32;
        let part = self.parts.get(part_of(hash, self.parts.len()))?;
        let found = part.find(spread(hash), |(known, item)| *known == hash && is(item));
        found.map(|(_, item)| item)
    }

    /// Adds an item whose key is not there yet.
    pub(super) fn insert(&mut self, hash: u64, item: T) {
        let hash = hash as u32;
        if self.parts.is_empty() {
            self.parts.push(HashTable::new());
        } else if self.parts.len() == 1 && self.parts[0].len() == SPLIT_ITEMS {
            self.split();
        }
        let part = part_of(hash, self.parts.len());
        self.parts[part].insert_unique(spread(hash), (hash, item), |(hash, _)| spread(*hash));
    }

    /// Takes out the item of that hash for which `is` holds.
    pub(super) fn remove(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool) {
        let hash = hash as u32;
        let part = part_of(hash, self.parts.len());
        let Some(part) = self.parts.get_mut(part) else {
            return;
        };
        let found = part.find_entry(spread(hash), |(known, item)| *known == hash && is(item));
        if let Ok(found) = found {
            found.remove();
        }
    }

    /// All items, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flatten().map(|(_, item)| item)
    }

    /// Bytes of memory, without what items point at.
    pub(super) fn memory_bytes(&self) -> usize {
        let slots = self.parts.iter().map(HashTable::capacity).sum::<usize>();
        slots * (size_of::<(u32, T)>() + 1)
    }

    /// Number of items.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    /// Takes out the items for which `keep` does not hold.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for part in &mut self.parts {
            part.retain(|(_, item)| keep(item));
        }
    }

    fn split(&mut self) {
        let mut parts: Vec<HashTable<(u32, T)>> = Vec::new();
        parts.resize_with(PARTS, HashTable::new);
        for (hash, item) in self.parts.drain(..).flatten() {
            let part = &mut parts[part_of(hash, PARTS)];
            part.insert_unique(spread(hash), (hash, item), |(hash, _)| spread(*hash));
        }
        self.parts = parts;
    }
}

/// The part is chosen by the upper bits, the place in it by all of them.
fn part_of(hash: u32, parts: usize) -> usize {
    (hash >> (u32::BITS - PARTS.ilog2())) as usize % parts.max(1)
}

/// The tables want hashes of 64 bits: Fibonacci hashing makes them of 32.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Parts of a large table.
const PARTS: usize = 64;
/// Items from which on a table is large.
const SPLIT_ITEMS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_seed_gives_other_hashes() {
        let hash = |seed| HashSeed(seed).hash_one("host=a");
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
        // Whoever does not know the seed finds no pair of names by their hashes under another.
        let names: Vec<String> = (0..200_000).map(|i| format!("host-{i}")).collect();
        let low = |seed: u64, name: &String| HashSeed(seed).hash_one(name) & 0xffff;
        let colliding: Vec<&String> = names.iter().filter(|name| low(1, name) == 0).collect();
        assert!(colliding.len() > 1);
        let all_again = colliding
            .iter()
            .all(|name| low(2, name) == low(2, colliding[0]));
        assert!(!all_again);
    }

    #[test]
    fn items_are_found_before_and_after_the_table_becomes_large() {
        let seed = HashSeed(7);
        let mut table = KeyTable::default();
        assert_eq!(table.find(seed.hash_one(0), |_| true), None);
        for i in 0..SPLIT_ITEMS * 5 {
            table.insert(seed.hash_one(i), i);
            if i.is_multiple_of(97) || i == SPLIT_ITEMS {
                for known in 0..=i {
                    let found = table.find(seed.hash_one(known), |item| *item == known);
                    assert_eq!(found, Some(&known));
                }
            }
        }
        assert_eq!(table.parts.len(), PARTS);
        let (least, most) = table
            .parts
            .iter()
            .fold((usize::MAX, 0), |(least, most), part| {
                (least.min(part.len()), most.max(part.len()))
            });
        assert!(least > SPLIT_ITEMS * 5 / PARTS / 2 && most < SPLIT_ITEMS * 5 / PARTS * 2);
        assert_eq!(table.find(seed.hash_one(-1), |_| true), None);
        table.remove(seed.hash_one(3_usize), |item| *item == 3);
        table.remove(seed.hash_one(3_usize), |item| *item == 3);
        table.retain(|item| item % 2 == 1);
        for known in 0..SPLIT_ITEMS * 5 {
            let found = table.find(seed.hash_one(known), |item| *item == known);
            assert_eq!(found.is_some(), known % 2 == 1 && known != 3, "{known}");
        }
    }

    #[test]
    fn keys_of_the_same_hash_are_told_apart() {
        let mut table = KeyTable::default();
        for item in 0..100 {
            table.insert(42, item);
        }
        assert!((0..100).all(|item| table.find(42, |known| *known == item) == Some(&item)));
    }
}
