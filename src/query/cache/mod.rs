//! Finished buckets of earlier queries, found again by plan and series, and never shown once they no longer hold.
//!
//! What is kept is a part of the time of one plan over one set of series: the states of its groups there, the versions
//! of the shards from before they were read, and how far those series had come that had no row behind it yet. A part
//! holds as long as no change of these series touches its time and none of them has got rows in it since. Writers
//! take no lock of this cache and do not know of it.
//!
//! Invariant: the key of a plan names everything that decides what is added up, and its series one by one. A plan
//! whose series or columns have changed is another plan.

mod flights;
mod lru;
mod popular;
pub(crate) mod spans;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::flights::Flights;
use self::lru::{Lru, Weighed};
use self::popular::Popular;
use super::exec::Finished;
use crate::catalog::HashSeed;
use crate::types::{SeriesId, TimeRange, Timestamp};

pub(crate) use self::flights::{Flight, FlightKey};
pub use self::lru::ShardStats;
pub use self::popular::PopularQuery;
pub use self::watched::Watched;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Bytes at most; 0 keeps nothing.
    pub capacity_bytes: usize,
    /// Nanoseconds after which a part is read anew whatever happened; 0: never.
    pub ttl_ns: i64,
    /// The key of hashes: nothing that a client could know.
    pub hash_seed: u64,
}

/// The cache.
pub struct ResultCache {
    parts: Lru<PartKey, Finished>,
    plans: Mutex<Plans>,
    flights: Flights,
    popular: Popular,
    ttl_ns: i64,
    whole_bytes: usize,
    whole: AtomicU64,
    partial: AtomicU64,
    missed: AtomicU64,
    passed: AtomicU64,
    again: AtomicU64,
}

/// Where a part is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartKey {
    /// The plan and its series.
    plan: u64,
    range: TimeRange,
}

/// The figures of the cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CacheStats {
    /// Parts, by shard.
    pub shards: Vec<ShardStats>,
    /// Parts, of all shards.
    pub total: ShardStats,
    /// Bytes that may be kept.
    pub capacity_bytes: u64,
    /// Queries whose finished parts were all found.
    pub queries_whole: u64,
    /// Queries of which some were.
    pub queries_partial: u64,
    /// Queries of which none was.
    pub queries_missed: u64,
    /// Queries of which nothing can be kept.
    pub queries_passed: u64,
    /// Queries that were read a second time, because rows changed while they ran.
    pub queries_again: u64,
    /// Plans that are known, each with its series.
    pub plans: u64,
    /// Bytes that plans take.
    pub plans_bytes: u64,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryOutcome {
    Whole,
    Partial,
    Missed,
    Passed,
    Again,
}

/// Plans by their texts.
struct Plans {
    known: Weighed<Arc<str>, Known>,
    bytes_max: usize,
    next: u64,
}

/// A plan's number, and the series that it is the number for.
struct Known {
    id: u64,
    series: Box<[SeriesId]>,
}

impl std::fmt::Debug for ResultCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCache")
            .field("capacity_bytes", &self.parts.capacity_bytes())
            .finish_non_exhaustive()
    }
}

impl ResultCache {
    /// An empty cache. Plans take an eighth of its bytes.
    #[must_use]
    pub fn new(options: CacheOptions) -> Self {
        let seed = HashSeed(options.hash_seed);
        let plans_bytes = options.capacity_bytes / 8;
        Self {
            parts: Lru::new(options.capacity_bytes - plans_bytes, seed),
            plans: Mutex::new(Plans {
                known: Weighed::new(seed),
                bytes_max: plans_bytes,
                next: 0,
            }),
            flights: Flights::default(),
            popular: Popular::new(seed),
            ttl_ns: options.ttl_ns,
            whole_bytes: options.capacity_bytes,
            whole: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    /// Keeps at most so many eighths of the bytes it was made with, from now on.
    pub fn shrink_to_eighths(&self, eighths: u8) {
        let bytes = self.whole_bytes / 8 * usize::from(eighths.min(8));
        let plans_bytes = bytes / 8;
        self.parts.set_capacity_bytes(bytes - plans_bytes);
        let mut plans = self.plans.lock();
        plans.bytes_max = plans_bytes;
        plans.known.shrink_to(plans_bytes);
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.parts.capacity_bytes() == 0
    }

    /// Forgets all parts and plans; how many parts there were.
    pub fn clear(&self) -> u64 {
        self.plans.lock().known.shrink_to(0);
        self.parts.clear()
    }

    /// The figures now.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let shards = self.parts.stats();
        let total = shards.iter().copied();
        let total = total.fold(ShardStats::default(), ShardStats::and);
        let (plans, plans_bytes, plans_max) = {
            let Plans {
                known, bytes_max, ..
            } = &*self.plans.lock();
            (known.len() as u64, known.weight() as u64, *bytes_max)
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            capacity_bytes: (self.parts.capacity_bytes() + plans_max) as u64,
            shards,
            total,
            queries_whole: count(&self.whole),
            queries_partial: count(&self.partial),
            queries_missed: count(&self.missed),
            queries_passed: count(&self.passed),
            queries_again: count(&self.again),
            plans,
            plans_bytes,
        }
    }

    /// The queries that were asked most often.
    pub fn popular(&self, count: usize) -> Vec<PopularQuery> {
        self.popular.first(count)
    }

    /// Takes note that a query was asked whose answers are worth keeping.
    pub fn note_query(&self, database: &str, sql: &str, times: u64) {
        self.popular.note(database, sql, times);
    }

    /// The number of a plan over some series. `None` where there is no room for it.
    pub(crate) fn plan(&self, text: &Arc<str>, series: &[SeriesId]) -> Option<u64> {
        self.plans.lock().number(text, series)
    }

    pub(crate) fn get_many(
        &self,
        keys: &[PartKey],
        now_ns: Timestamp,
    ) -> Vec<Option<Arc<Finished>>> {
        self.parts.get_many(keys, now_ns)
    }

    pub(crate) fn put_many(&self, parts: Vec<(PartKey, Arc<Finished>)>, now_ns: Timestamp) {
        let expires_ns = match self.ttl_ns {
            0 => Timestamp::MAX,
            ttl_ns => now_ns.saturating_add(ttl_ns),
        };
        let weighed = parts.into_iter().map(|(key, part)| {
            let weight = part.weight_bytes();
            (key, part, weight)
        });
        self.parts.put_many(weighed.collect(), expires_ns);
    }

    pub(crate) fn note_hit(&self, key: &PartKey) {
        self.parts.note_hit(key);
    }

    pub(crate) fn note_miss(&self, key: &PartKey) {
        self.parts.note_miss(key);
    }

    pub(crate) fn invalidate(&self, key: &PartKey, part: &Arc<Finished>) {
        self.parts.invalidate(key, part);
    }

    pub(crate) fn note_outcome(&self, outcome: QueryOutcome) {
        let counter = match outcome {
            QueryOutcome::Whole => &self.whole,
            QueryOutcome::Partial => &self.partial,
            QueryOutcome::Missed => &self.missed,
            QueryOutcome::Passed => &self.passed,
            QueryOutcome::Again => &self.again,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for another query that reads the very same, or is the one that others wait for.
    pub(crate) fn board(&self, key: FlightKey, given_up: &dyn Fn() -> bool) -> Option<Flight<'_>> {
        self.flights.board(key, given_up)
    }
}

impl PartKey {
    pub(crate) const fn new(plan: u64, range: TimeRange) -> Self {
        Self { plan, range }
    }

    pub(crate) const fn plan(self) -> u64 {
        self.plan
    }
}

impl Plans {
    fn number(&mut self, text: &Arc<str>, series: &[SeriesId]) -> Option<u64> {
        if let Some(known) = self.known.get(text)
            && *known.series == *series
        {
            return Some(known.id);
        }
        let bytes = PLAN_OVERHEAD_BYTES + text.len() + size_of_val(series);
        if bytes > self.bytes_max {
            return None;
        }
        self.next += 1;
        let known = Known {
            id: self.next,
            series: series.into(),
        };
        self.known.put(Arc::clone(text), known, bytes);
        self.known.shrink_to(self.bytes_max);
        Some(self.next)
    }
}

/// What a plan takes besides its text and series.
const PLAN_OVERHEAD_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(capacity_bytes: usize) -> ResultCache {
        ResultCache::new(CacheOptions {
            capacity_bytes,
            ttl_ns: 0,
            hash_seed: 1,
        })
    }

    #[test]
    fn another_set_of_series_is_another_plan() {
        let cache = cache(1 << 20);
        let text: Arc<str> = Arc::from("a plan");
        let series = [SeriesId(1), SeriesId(2)];
        let first = cache.plan(&text, &series);
        assert!(first.is_some());
        assert_eq!(cache.plan(&text, &series), first);
        assert_ne!(cache.plan(&text, &series[..1]), first);
        // And it is not the one that it was before.
        assert_ne!(cache.plan(&text, &series), first);
        assert_ne!(
            cache.plan(&Arc::from("another"), &series),
            cache.plan(&text, &series)
        );
    }

    #[test]
    fn plans_take_their_share_at_most() {
        let cache = cache(64 * 1024);
        for index in 0..1_000 {
            let text: Arc<str> = Arc::from(format!("plan {index}"));
            assert!(cache.plan(&text, &[SeriesId(1)]).is_some());
            assert!(cache.stats().plans_bytes <= 8 * 1024);
        }
        assert!(cache.stats().plans > 30);
        let many: Vec<SeriesId> = (0..10_000).map(SeriesId).collect();
        assert_eq!(cache.plan(&Arc::from("all"), &many), None);
        cache.clear();
        assert_eq!(cache.stats().plans_bytes, 0);
    }
}
