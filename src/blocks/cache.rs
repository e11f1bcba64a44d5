//! Chunk bytes kept in memory: sharded, least recently used first out, bounded by bytes.
//!
//! A chunk is found by (file, offset). Files are immutable and ids are never reused, so nothing here is
//! ever out of date; a removed file's chunks are dropped to give the memory back.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use super::chunk::FileId;

/// Independent parts, each with its own lock.
const SHARDS: usize = 8;
/// What an entry costs beside its bytes: the key, two links, the table's slot, reference counts.
const ENTRY_OVERHEAD_BYTES: usize = 128;

type Key = (FileId, u64);

/// A byte-weighted cache of chunks.
pub struct ChunkCache {
    shards: [Mutex<Shard>; SHARDS],
    capacity_bytes: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// What a shard's lock guards.
struct Shard {
    chunks: LruCache<Key, Bytes, FxBuildHasher>,
    weight_bytes: usize,
}

/// The figures of a cache. Counts since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Chunks found.
    pub hits: u64,
    /// Chunks not found.
    pub misses: u64,
    /// Chunks that made room for others.
    pub evictions: u64,
    /// Chunks held now.
    pub chunks: u64,
    /// Bytes held now, overhead included.
    pub weight_bytes: u64,
    /// Bytes that may be held.
    pub capacity_bytes: u64,
}

impl ChunkCache {
    /// A cache of at most this many bytes; 0 keeps nothing.
    #[must_use]
    pub fn new(capacity_bytes: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    chunks: LruCache::unbounded_with_hasher(FxBuildHasher),
                    weight_bytes: 0,
                })
            }),
            capacity_bytes: AtomicUsize::new(capacity_bytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// The chunk at this place, which becomes the most recently used.
    #[must_use]
    pub fn get(&self, file: FileId, offset: u64) -> Option<Bytes> {
        let key = (file, offset);
        let found = self.shard(&key).lock().chunks.get(&key).cloned();
        let counter = if found.is_some() {
            &self.hits
        } else {
            &self.misses
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a chunk, and drops others where the shard's share of the capacity is exceeded. A chunk
    /// larger than that share is not kept.
    pub fn insert(&self, file: FileId, offset: u64, chunk: Bytes) {
        let share = self.share_bytes();
        let weight = weight_of(&chunk);
        if weight > share {
            return;
        }
        let key = (file, offset);
        let mut shard = self.shard(&key).lock();
        if let Some(old) = shard.chunks.put(key, chunk) {
            shard.weight_bytes -= weight_of(&old);
        }
        shard.weight_bytes += weight;
        let evicted = shard.shrink_to(share);
        self.evictions.fetch_add(evicted, Ordering::Relaxed);
    }

    /// Drops the chunks of a file.
    pub fn remove_file(&self, file: FileId) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let keys: Vec<Key> = shard
                .chunks
                .iter()
                .map(|(key, _)| *key)
                .filter(|key| key.0 == file)
                .collect();
            for key in keys {
                if let Some(chunk) = shard.chunks.pop(&key) {
                    shard.weight_bytes -= weight_of(&chunk);
                }
            }
        }
    }

    /// Changes the capacity and drops what no longer fits.
    pub fn set_capacity_bytes(&self, capacity_bytes: usize) {
        self.capacity_bytes.store(capacity_bytes, Ordering::Relaxed);
        let share = self.share_bytes();
        for shard in &self.shards {
            let evicted = shard.lock().shrink_to(share);
            self.evictions.fetch_add(evicted, Ordering::Relaxed);
        }
    }

    /// Drops everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.lock().shrink_to(0);
        }
    }

    /// The figures now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            capacity_bytes: self.capacity_bytes.load(Ordering::Relaxed) as u64,
            ..CacheStats::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            stats.chunks += shard.chunks.len() as u64;
            stats.weight_bytes += shard.weight_bytes as u64;
        }
        stats
    }

    fn share_bytes(&self) -> usize {
        self.capacity_bytes.load(Ordering::Relaxed) / SHARDS
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        let hash = FxBuildHasher.hash_one(key);
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl Shard {
    /// Drops the least recently used until the weight fits; returns how many.
    fn shrink_to(&mut self, weight_bytes: usize) -> u64 {
        let mut evicted = 0;
        while self.weight_bytes > weight_bytes {
            let Some((_, chunk)) = self.chunks.pop_lru() else {
                break;
            };
            self.weight_bytes -= weight_of(&chunk);
            evicted += 1;
        }
        evicted
    }
}

fn weight_of(chunk: &Bytes) -> usize {
    chunk.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    #[test]
    fn the_weight_stays_below_the_capacity() {
        let cache = ChunkCache::new(64 * 1024);
        for offset in 0..1000 {
            cache.insert(FileId(1), offset, chunk(1000));
            assert!(cache.stats().weight_bytes <= 64 * 1024);
        }
        let stats = cache.stats();
        assert_eq!(stats.chunks + stats.evictions, 1000);
        assert!(stats.chunks >= 40, "{stats:?}");
        cache.set_capacity_bytes(8 * 1200);
        assert!(cache.stats().weight_bytes <= 8 * 1200);
        cache.clear();
        assert_eq!(cache.stats().weight_bytes, 0);
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = ChunkCache::new(usize::MAX);
        let same_shard: Vec<u64> = (0..1000)
            .filter(|offset| {
                std::ptr::eq(
                    cache.shard(&(FileId(1), *offset)),
                    cache.shard(&(FileId(1), 0)),
                )
            })
            .take(3)
            .collect();
        cache.set_capacity_bytes(SHARDS * 2 * (100 + ENTRY_OVERHEAD_BYTES));
        cache.insert(FileId(1), same_shard[0], chunk(100));
        cache.insert(FileId(1), same_shard[1], chunk(100));
        assert!(cache.get(FileId(1), same_shard[0]).is_some());
        cache.insert(FileId(1), same_shard[2], chunk(100));
        assert!(cache.get(FileId(1), same_shard[0]).is_some());
        assert!(cache.get(FileId(1), same_shard[1]).is_none());
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.evictions), (2, 1, 1));
    }

    #[test]
    fn a_chunk_too_large_is_not_kept_and_a_file_is_dropped_as_a_whole() {
        let cache = ChunkCache::new(8 * 1024);
        cache.insert(FileId(1), 0, chunk(2000));
        assert_eq!(cache.stats().chunks, 0);
        for offset in 0..4 {
            cache.insert(FileId(1), offset, chunk(10));
            cache.insert(FileId(2), offset, chunk(10));
        }
        cache.insert(FileId(2), 0, chunk(20));
        cache.remove_file(FileId(1));
        let stats = cache.stats();
        assert_eq!(stats.chunks, 4);
        assert_eq!(stats.weight_bytes, 3 * 138 + 148);
    }
}
