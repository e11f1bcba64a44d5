//! How much memory the store may take, and what is done when it runs short.
//!
//! What counts is what the kernel says of the process, not a sum of what somebody remembered to count: whoever
//! calls [`Engine::check_memory`] tells it, several times a second. The limit is for that and for the log, which is
//! mapped. Where it runs short, these are done in turn, each where the one before was not enough: caches shrink;
//! new series are refused; sealed chunks go to block files; silent series are sealed, and go there too;
//! rows are refused, with an error that may be tried again. Nothing that was accepted is dropped.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::blocks::ChunkEntry;
use crate::engine::{Engine, EngineError};
use crate::series::Series;
use crate::storage;
use crate::types::Position;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryLevel {
    /// There is enough.
    #[default]
    Enough,
    /// Caches are made smaller.
    Shrink,
    /// And sealed chunks are written to block files.
    Flush,
    /// And series that are silent are sealed.
    Unload,
    /// And rows are refused.
    Full,
}

/// In the order of their numbers.
const LEVELS: [MemoryLevel; 5] = [
    MemoryLevel::Enough,
    MemoryLevel::Shrink,
    MemoryLevel::Flush,
    MemoryLevel::Unload,
    MemoryLevel::Full,
];

impl MemoryLevel {
    /// The name in `memory`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "ok",
            Self::Shrink => "shrink",
            Self::Flush => "flush",
            Self::Unload => "unload",
            Self::Full => "full",
        }
    }

    /// From which part of the bound on it holds, in hundredths.
    const fn percent(self) -> u64 {
        match self {
            Self::Enough => 0,
            Self::Shrink => 65,
            Self::Flush => 72,
            Self::Unload => 80,
            Self::Full => 94,
        }
    }

    const fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Self {
        LEVELS.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// What was done because memory ran short, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryRelief {
    /// How often caches were made smaller.
    pub shrinks: u64,
    /// Checkpoints that were made early.
    pub flushes: u64,
    /// Series that were sealed early.
    pub unloaded_series: u64,
    /// New series that were refused.
    pub refused_series: u64,
    /// Rows that were refused.
    pub refused_rows: u64,
    /// How often rows began to be refused.
    pub times_full: u64,
}

/// Memory of the process against its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// The limit, bytes; 0 for none.
    pub limit_bytes: u64,
    /// How short it is.
    pub level: MemoryLevel,
    /// Anonymous memory of the process when last looked, bytes.
    pub anonymous_bytes: u64,
    /// The most there was, bytes.
    pub anonymous_max_bytes: u64,
    /// Bytes of the log, which counts as well.
    pub log_bytes: u64,
    /// What caches may have of what they are configured to have, in eighths.
    pub cache_eighths: u8,
    /// What was done.
    pub relief: MemoryRelief,
}

/// What is known of the process's memory.
#[derive(Debug)]
pub(super) struct Memory {
    limit_bytes: u64,
    level: AtomicU8,
    anonymous_bytes: AtomicU64,
    anonymous_max_bytes: AtomicU64,
    /// What the limit leaves beside the log.
    bound_bytes: AtomicU64,
    /// What series take that have come since, about: many may come between two looks.
    newcomers_bytes: AtomicU64,
    cache_eighths: AtomicU8,
    marks: Mutex<Marks>,
    /// Whether it has become shorter since something was last done.
    risen: AtomicBool,
    /// When something was last done, or a cache grew again, monotonic nanoseconds.
    acted_ns: AtomicU64,
    shrinks: AtomicU64,
    flushes: AtomicU64,
    unloaded_series: AtomicU64,
    refused_series: AtomicU64,
    refused_rows: AtomicU64,
    times_full: AtomicU64,
}

/// New series are refused from this part of the bound on, in hundredths: those that are there may still grow.
const NEWCOMERS_PERCENT: u64 = 76;
/// What a series takes soon after it has come: name, tags, and the buffers of its first rows.
const NEWCOMER_BYTES: u64 = 2048;
/// Caches as large as they are configured to be.
const WHOLE: u8 = 8;
/// Rows are taken again below this part of the bound, in hundredths.
const RESUME_PERCENT: u64 = 90;
/// Caches grow again this long after memory was short.
const GROW_NS: u64 = 10_000_000_000;
/// Between two rounds of relief that a level has not risen between.
const ROUND_NS: u64 = 250_000_000;
/// Fewer bytes of sealed chunks are not worth a checkpoint.
const FLUSH_BYTES: u64 = 256 * 1024;

impl Memory {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            level: AtomicU8::new(0),
            anonymous_bytes: AtomicU64::new(0),
            anonymous_max_bytes: AtomicU64::new(0),
            bound_bytes: AtomicU64::new(u64::MAX),
            newcomers_bytes: AtomicU64::new(0),
            cache_eighths: AtomicU8::new(WHOLE),
            marks: Mutex::default(),
            risen: AtomicBool::new(false),
            acted_ns: AtomicU64::new(0),
            shrinks: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            unloaded_series: AtomicU64::new(0),
            refused_series: AtomicU64::new(0),
            refused_rows: AtomicU64::new(0),
            times_full: AtomicU64::new(0),
        }
    }

    pub(super) fn level(&self) -> MemoryLevel {
        MemoryLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.level.load(Ordering::Relaxed) == MemoryLevel::Full.number()
    }

    /// The error of rows that are refused.
    #[cold]
    pub(super) fn refuse_rows(&self, rows: u64) -> EngineError {
        self.refused_rows.fetch_add(rows, Ordering::Relaxed);
        self.short("rows")
    }

    /// Refuses a new series where there is no memory for it.
    pub(super) fn check_new_series(&self) -> Result<(), EngineError> {
        let anonymous_bytes = self.anonymous_bytes.load(Ordering::Relaxed);
        let newcomers_bytes = self.newcomers_bytes.load(Ordering::Relaxed);
        let used_bytes = anonymous_bytes.saturating_add(newcomers_bytes);
        let bound_bytes = self.bound_bytes.load(Ordering::Relaxed);
        if self.limit_bytes == 0 || used_bytes < bound_bytes / 100 * NEWCOMERS_PERCENT {
            return Ok(());
        }
        self.refused_series.fetch_add(1, Ordering::Relaxed);
        Err(self.short("new series"))
    }

    /// Takes note of a series that has come.
    pub(super) fn note_new_series(&self) {
        self.newcomers_bytes
            .fetch_add(NEWCOMER_BYTES, Ordering::Relaxed);
    }

    fn short(&self, what: &'static str) -> EngineError {
        EngineError::MemoryShort {
            what,
            used_bytes: self.anonymous_bytes.load(Ordering::Relaxed),
            limit_bytes: self.limit_bytes,
        }
    }

    /// Takes note of the process's memory, beside a log of this many bytes.
    fn look(&self, anonymous_bytes: u64, log_bytes: u64) -> MemoryLevel {
        self.anonymous_bytes
            .store(anonymous_bytes, Ordering::Relaxed);
        self.anonymous_max_bytes
            .fetch_max(anonymous_bytes, Ordering::Relaxed);
        self.newcomers_bytes.store(0, Ordering::Relaxed);
        if self.limit_bytes == 0 {
            return MemoryLevel::Enough;
        }
        let bound = self.limit_bytes.saturating_sub(log_bytes).max(1);
        self.bound_bytes.store(bound, Ordering::Relaxed);
        let percent = anonymous_bytes.saturating_mul(100) / bound;
        let before = self.level();
        let reached = LEVELS.iter().rev().find(|level| percent >= level.percent());
        let mut level = reached.copied().unwrap_or_default();
        if before == MemoryLevel::Full && percent >= RESUME_PERCENT {
            level = MemoryLevel::Full;
        }
        if level > before {
            self.risen.store(true, Ordering::Relaxed);
            if level == MemoryLevel::Full {
                self.times_full.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.level.store(level.number(), Ordering::Relaxed);
        level
    }

    fn state(&self, log_bytes: u64) -> MemoryState {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryState {
            limit_bytes: self.limit_bytes,
            level: self.level(),
            anonymous_bytes: count(&self.anonymous_bytes),
            anonymous_max_bytes: count(&self.anonymous_max_bytes),
            log_bytes,
            cache_eighths: self.cache_eighths.load(Ordering::Relaxed),
            relief: MemoryRelief {
                shrinks: count(&self.shrinks),
                flushes: count(&self.flushes),
                unloaded_series: count(&self.unloaded_series),
                refused_series: count(&self.refused_series),
                refused_rows: count(&self.refused_rows),
                times_full: count(&self.times_full),
            },
        }
    }
}

impl Engine {
    /// Takes note of how much anonymous memory the process has. From now on rows are refused, or taken again, by
    /// what that comes to.
    pub fn check_memory(&self, anonymous_bytes: u64) -> MemoryLevel {
        let mut marks = self.memory.marks.lock();
        marks.note(self.clock.monotonic_ns(), self.log.end());
        drop(marks);
        let log_bytes = self.log.usage().capacity_bytes;
        self.memory.look(anonymous_bytes, log_bytes)
    }

    /// Whether [`Self::relieve_memory`] should be called.
    pub fn memory_is_due(&self) -> bool {
        let memory = &self.memory;
        let acted_ns = memory.acted_ns.load(Ordering::Relaxed);
        let since = self.clock.monotonic_ns().saturating_sub(acted_ns);
        let risen = memory.risen.load(Ordering::Relaxed);
        match memory.level() {
            MemoryLevel::Enough => {
                since >= GROW_NS && memory.cache_eighths.load(Ordering::Relaxed) < WHOLE
            }
            MemoryLevel::Shrink => {
                (risen || since >= ROUND_NS) && memory.cache_eighths.load(Ordering::Relaxed) > 1
            }
            _ => risen || since >= ROUND_NS,
        }
    }

    /// Does what the level asks for, one step of each kind; or lets caches grow again where there is enough.
    pub fn relieve_memory(&self) -> Result<MemoryState, EngineError> {
        let memory = &self.memory;
        let now = self.clock.monotonic_ns();
        memory.acted_ns.store(now, Ordering::Relaxed);
        memory.risen.store(false, Ordering::Relaxed);
        let level = memory.level();
        self.size_caches(level);
        let mut flush = level >= MemoryLevel::Flush && self.unflushed_bytes() >= FLUSH_BYTES;
        if level >= MemoryLevel::Unload {
            let unloaded = self.unload_silent()?;
            memory
                .unloaded_series
                .fetch_add(unloaded, Ordering::Relaxed);
            flush |= unloaded > 0;
        }
        if flush {
            memory.flushes.fetch_add(1, Ordering::Relaxed);
            self.checkpoint_in_passing()?;
        }
        Ok(self.memory())
    }

    /// Gives memory that was freed back to the system, so that the kernel's figure falls.
    pub fn give_back_heap(&self) {
        storage::give_back_heap();
    }

    /// Bytes of names, tags and what finds series by them, about. Holds the catalog while it looks at every series.
    pub fn catalog_bytes(&self) -> u64 {
        self.catalog.read().memory_bytes() as u64
    }

    /// Memory of the process against its limit.
    pub fn memory(&self) -> MemoryState {
        self.memory.state(self.log.usage().capacity_bytes)
    }

    fn size_caches(&self, level: MemoryLevel) {
        let memory = &self.memory;
        let before = memory.cache_eighths.load(Ordering::Relaxed);
        let eighths = match level {
            MemoryLevel::Enough => (before * 2).clamp(1, WHOLE),
            MemoryLevel::Shrink => (before / 2).max(1),
            MemoryLevel::Flush => before / 2,
            MemoryLevel::Unload | MemoryLevel::Full => 0,
        };
        if eighths < before {
            memory.shrinks.fetch_add(1, Ordering::Relaxed);
        }
        memory.cache_eighths.store(eighths, Ordering::Relaxed);
        let part = self.options.chunk_cache_bytes / usize::from(WHOLE);
        let cache = self.blocks.cache();
        cache.set_capacity_bytes(part * usize::from(eighths));
    }

    /// Bytes of sealed chunks that are in no block file yet.
    pub(super) fn unflushed_bytes(&self) -> u64 {
        let mut bytes = 0;
        for shard in &self.shards {
            let slots = shard.read().len();
            for first in (0..slots).step_by(SLICE_SERIES) {
                let shard = shard.read();
                let slice =
                    (first..slots.min(first + SLICE_SERIES)).filter_map(|slot| shard.get(slot));
                bytes += slice
                    .map(|series| series.ring.unflushed_bytes())
                    .sum::<u64>();
            }
        }
        bytes
    }

    /// Seals the series that have been silent for long; where there is none, those that have rows enough for a chunk that
    /// is worth its place. How many.
    fn unload_silent(&self) -> Result<u64, EngineError> {
        let before = self.memory.marks.lock().older;
        let unloaded = self.unload(&|series| series.last_position() < before)?;
        if unloaded > 0 {
            return Ok(unloaded);
        }
        let rows_min = UNLOADED_ROWS_MIN.min(self.options.chunk_rows / 2);
        self.unload(&|series| series.unsealed_rows() >= rows_min)
    }

    fn unload(&self, chosen: &dyn Fn(&Series<ChunkEntry>) -> bool) -> Result<u64, EngineError> {
        let mut unloaded = 0;
        for shard in &self.shards {
            let slots = shard.read().len();
            for first in (0..slots).step_by(SLICE_SERIES) {
                let mut shard = shard.write();
                for slot in first..slots.min(first + SLICE_SERIES) {
                    let Some((series, scratch)) = shard.existing(slot) else {
                        continue;
                    };
                    if !series.is_sealed() && chosen(series) {
                        unloaded += u64::from(series.seal(scratch)?);
                    }
                }
            }
        }
        Ok(unloaded)
    }
}

/// Where the log ended, so that what has been written since can be told.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// One to two [`MARK_NS`] ago; the beginning of the log where nobody knows yet.
    older: Position,
    newer: Position,
    newer_ns: u64,
}

impl Marks {
    fn note(&mut self, now_ns: u64, end: Position) {
        if now_ns.saturating_sub(self.newer_ns) >= MARK_NS {
            self.older = self.newer;
            self.newer = end;
            self.newer_ns = now_ns;
        }
    }
}

/// A series is silent that got no row for this long, and up to twice as long.
const MARK_NS: u64 = 30_000_000_000;
/// Fewer rows of a series that is not silent are not sealed early: each chunk takes its place for as long as it is kept.
const UNLOADED_ROWS_MIN: usize = 128;
/// Series looked at, or sealed, under one hold of their shard's lock.
const SLICE_SERIES: usize = 16;
