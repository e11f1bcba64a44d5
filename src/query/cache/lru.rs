//! Values found by their keys: sharded, least recently used first out, bounded by bytes, gone after a time.
//!
//! A shard's lock is held for a look at a table, never for work on a
//! value. Who takes a value from here decides whether it still holds, and says so afterwards.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lru::LruCache;
use parking_lot::Mutex;

use crate::catalog::HashSeed;
use crate::types::Timestamp;

/// Parts with a lock of their own.
pub(super) const SHARDS: usize = 16;
/// What an entry costs beside its value: the key, two links, the table's slot, reference counts.
const ENTRY_OVERHEAD_BYTES: usize = 144;

/// The figures of a shard, or of all. Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Values that were found and held.
    pub hits: u64,
    /// Values that were not found, or no longer held.
    pub misses: u64,
    /// Values that made room for others.
    pub evictions: u64,
    /// Values that were too old.
    pub expirations: u64,
    /// Values that no longer held.
    pub invalidations: u64,
    /// Values kept now.
    pub entries: u64,
    /// Bytes kept now, overhead included.
    pub bytes: u64,
}

/// Values by key.
pub(super) struct Lru<K: Hash + Eq, V> {
    shards: [Shard<K, V>; SHARDS],
    capacity_bytes: AtomicUsize,
    seed: HashSeed,
}

struct Shard<K: Hash + Eq, V> {
    held: Mutex<Weighed<K, Kept<V>>>,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    expirations: AtomicU64,
    invalidations: AtomicU64,
}

/// Values with weights under one lock of the owner's, in the order of their use.
pub(super) struct Weighed<K: Hash + Eq, V> {
    values: LruCache<K, (V, usize), HashSeed>,
    weight: usize,
}

struct Kept<V> {
    value: Arc<V>,
    expires_ns: Timestamp,
}

impl<K: Hash + Eq + Clone, V> Lru<K, V> {
    /// At most this many bytes; 0 keeps nothing.
    pub(super) fn new(capacity_bytes: usize, seed: HashSeed) -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard {
                held: Mutex::new(Weighed::new(seed)),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                evictions: AtomicU64::new(0),
                expirations: AtomicU64::new(0),
                invalidations: AtomicU64::new(0),
            }),
            capacity_bytes: AtomicUsize::new(capacity_bytes),
            seed,
        }
    }

    /// The values of some keys, in their order. Each shard is locked once.
    pub(super) fn get_many(&self, keys: &[K], now_ns: Timestamp) -> Vec<Option<Arc<V>>> {
        let mut found: Vec<Option<Arc<V>>> = keys.iter().map(|_| None).collect();
        for (shard, places) in self.shards.iter().zip(self.by_shard(keys.iter())) {
            if places.is_empty() {
                continue;
            }
            let mut expired = 0;
            let mut held = shard.held.lock();
            for place in places {
                let key = &keys[place];
                match held.get(key) {
                    Some(kept) if now_ns < kept.expires_ns => {
                        found[place] = Some(Arc::clone(&kept.value));
                    }
                    Some(_) => {
                        held.remove(key);
                        expired += 1;
                    }
                    None => {}
                }
            }
            drop(held);
            shard.expirations.fetch_add(expired, Ordering::Relaxed);
        }
        found
    }

    /// Keeps values with their weights until a time. What no longer fits goes, and what is larger than a shard's
    /// share is not kept. Each shard is locked once.
    pub(super) fn put_many(&self, values: Vec<(K, Arc<V>, usize)>, expires_ns: Timestamp) {
        let share = self.capacity_bytes() / SHARDS;
        let places = self.by_shard(values.iter().map(|(key, ..)| key));
        let mut values: Vec<Option<(K, Arc<V>, usize)>> = values.into_iter().map(Some).collect();
        for (shard, places) in self.shards.iter().zip(places) {
            if places.is_empty() {
                continue;
            }
            let mut held = shard.held.lock();
            for place in places {
                let Some((key, value, weight_bytes)) = values[place].take() else {
                    continue;
                };
                let weight_bytes = weight_bytes + ENTRY_OVERHEAD_BYTES;
                if weight_bytes > share {
                    held.remove(&key);
                    continue;
                }
                held.put(key, Kept { value, expires_ns }, weight_bytes);
            }
            let evicted = held.shrink_to(share);
            drop(held);
            shard.evictions.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    /// Counts a value that was found and held.
    pub(super) fn note_hit(&self, key: &K) {
        self.shard(key).hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a value that was not there.
    pub(super) fn note_miss(&self, key: &K) {
        self.shard(key).misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops a value that no longer holds, unless another one has taken its place.
    pub(super) fn invalidate(&self, key: &K, value: &Arc<V>) {
        let shard = self.shard(key);
        shard.invalidations.fetch_add(1, Ordering::Relaxed);
        let mut held = shard.held.lock();
        let same = held.peek(key);
        if same.is_some_and(|kept| Arc::ptr_eq(&kept.value, value)) {
            held.remove(key);
        }
    }

    /// Drops everything; how many values there were.
    pub(super) fn clear(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.held.lock().shrink_to(0))
            .sum()
    }

    /// Changes how many bytes may be kept, and drops what no longer fits.
    pub(super) fn set_capacity_bytes(&self, capacity_bytes: usize) {
        self.capacity_bytes.store(capacity_bytes, Ordering::Relaxed);
        for shard in &self.shards {
            let evicted = shard.held.lock().shrink_to(capacity_bytes / SHARDS);
            shard.evictions.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    /// Bytes that may be kept.
    pub(super) fn capacity_bytes(&self) -> usize {
        self.capacity_bytes.load(Ordering::Relaxed)
    }

    /// The figures of each shard.
    pub(super) fn stats(&self) -> Vec<ShardStats> {
        let of = |shard: &Shard<K, V>| {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let held = shard.held.lock();
            ShardStats {
                hits: count(&shard.hits),
                misses: count(&shard.misses),
                evictions: count(&shard.evictions),
                expirations: count(&shard.expirations),
                invalidations: count(&shard.invalidations),
                entries: held.len() as u64,
                bytes: held.weight() as u64,
            }
        };
        self.shards.iter().map(of).collect()
    }

    /// The places of keys, by their shards.
    fn by_shard<'k>(&self, keys: impl Iterator<Item = &'k K>) -> [Vec<usize>; SHARDS]
    where
        K: 'k,
    {
        let mut places: [Vec<usize>; SHARDS] = Default::default();
        for (place, key) in keys.enumerate() {
            places[self.index(key)].push(place);
        }
        places
    }

    fn index(&self, key: &K) -> usize {
        (self.seed.hash_one(key) >> 32) as usize % SHARDS
    }

    fn shard(&self, key: &K) -> &Shard<K, V> {
        &self.shards[self.index(key)]
    }
}

impl<K: Hash + Eq, V> Weighed<K, V> {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self {
            values: LruCache::unbounded_with_hasher(seed),
            weight: 0,
        }
    }

    /// A value, which becomes the most recently used.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|(value, _)| value)
    }

    /// A value as it lies.
    fn peek(&self, key: &K) -> Option<&V> {
        self.values.peek(key).map(|(value, _)| value)
    }

    pub(super) fn put(&mut self, key: K, value: V, weight: usize) {
        self.weight += weight;
        if let Some((_, old)) = self.values.put(key, (value, weight)) {
            self.weight -= old;
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some((_, weight)) = self.values.pop(key) {
            self.weight -= weight;
        }
    }

    /// Drops the least recently used until the weight fits; how many.
    pub(super) fn shrink_to(&mut self, weight: usize) -> u64 {
        let mut dropped = 0;
        while self.weight > weight {
            let Some((_, (_, old))) = self.values.pop_lru() else {
                break;
            };
            self.weight -= old;
            dropped += 1;
        }
        dropped
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// All of them, the most recently used first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.values.iter().map(|(key, (value, _))| (key, value))
    }
}

impl ShardStats {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            evictions: self.evictions + other.evictions,
            expirations: self.expirations + other.expirations,
            invalidations: self.invalidations + other.invalidations,
            entries: self.entries + other.entries,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Of a hundred values that were asked for, how many were found and held.
    #[must_use]
    pub fn hit_percent(&self) -> f64 {
        let asked = self.hits + self.misses;
        if asked == 0 {
            return 0.0;
        }
        self.hits as f64 * 100.0 / asked as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(capacity_bytes: usize) -> Lru<u64, u64> {
        Lru::new(capacity_bytes, HashSeed(7))
    }

    fn total(cache: &Lru<u64, u64>) -> ShardStats {
        let stats = cache.stats().into_iter();
        stats.fold(ShardStats::default(), ShardStats::and)
    }

    fn put(cache: &Lru<u64, u64>, keys: impl IntoIterator<Item = u64>, weight: usize) {
        let values = keys.into_iter().map(|key| (key, Arc::new(key), weight));
        cache.put_many(values.collect(), 100);
    }

    #[test]
    fn the_weight_stays_below_the_capacity() {
        let cache = cache(64 * 1024);
        for key in 0..1_000 {
            put(&cache, [key], 500);
            assert!(total(&cache).bytes <= 64 * 1024);
        }
        let stats = total(&cache);
        assert_eq!(stats.entries + stats.evictions, 1_000);
        assert!(stats.entries >= 60, "{stats:?}");
        // Larger than a shard's share.
        put(&cache, [5_000], 5_000);
        assert_eq!(cache.get_many(&[5_000], 0), [None]);
        assert_eq!(cache.clear(), stats.entries);
        assert_eq!(total(&cache).bytes, 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = cache(SHARDS * 2 * (100 + ENTRY_OVERHEAD_BYTES));
        let same = |key: &u64| cache.index(key) == cache.index(&0);
        let keys: Vec<u64> = (0..1_000).filter(same).take(3).collect();
        put(&cache, keys[..2].iter().copied(), 100);
        assert!(cache.get_many(&keys[..1], 0)[0].is_some());
        put(&cache, [keys[2]], 100);
        let found = cache.get_many(&keys, 0);
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, false, true]);
        assert_eq!(total(&cache).evictions, 1);
    }

    #[test]
    fn values_expire_and_give_way() {
        let cache = cache(1 << 20);
        put(&cache, 0..50, 10);
        let keys: Vec<u64> = (0..50).collect();
        let all = cache.get_many(&keys, 99);
        assert!(
            keys.iter()
                .zip(&all)
                .all(|(key, found)| found.as_deref() == Some(key))
        );
        put(&cache, [3], 10);
        let old = all[3].clone().expect("found");
        cache.invalidate(&3, &old);
        assert!(cache.get_many(&[3], 99)[0].is_some(), "another one by now");
        let new = cache.get_many(&[3], 99)[0].clone().expect("found");
        cache.invalidate(&3, &new);
        assert!(cache.get_many(&keys, 100).iter().all(Option::is_none));
        let stats = total(&cache);
        assert_eq!((stats.expirations, stats.invalidations), (49, 2));
        assert_eq!((stats.entries, stats.bytes), (0, 0));
    }
}
