//! Room on the device: what is done when it runs low, and when writers are refused because there is none.
//!
//! Two bounds of free bytes. Below the first (`low`) the log is checkpointed and what is expired goes; below
//! the second (`full`), or where a checkpoint or the bytes of a failed sync found no room, rows are refused before
//! they reach the log. What is in the log already stays there, is synced and read. Whoever syncs the log calls
//! [`Engine::check_space`] several times a second, so that writing resumes by itself.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::engine::maintenance::TickReport;
use crate::engine::{Engine, EngineError};

/// Free bytes below which something is done. 0 and 0: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceLimits {
    /// Below this the log is checkpointed and what is expired goes.
    pub low_bytes: u64,
    /// Below this rows are refused.
    pub full_bytes: u64,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceLevel {
    /// Enough.
    #[default]
    Enough,
    /// Less than [`SpaceLimits::low_bytes`], or the log could not grow.
    Low,
    /// Less than [`SpaceLimits::full_bytes`], or a checkpoint or the bytes of a failed sync found no room.
    Full,
}

impl SpaceLevel {
    /// The name in `status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enough => "ok",
            Self::Low => "low",
            Self::Full => "full",
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Enough,
            1 => Self::Low,
            _ => Self::Full,
        }
    }
}

/// Figures of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceUse {
    /// How much room there is.
    pub level: SpaceLevel,
    /// Bytes that were free when last looked.
    pub free_bytes: u64,
    /// The bounds.
    pub limits: SpaceLimits,
    /// Checkpoints that found no room, since the store was opened.
    pub checkpoints_failed: u64,
    /// How often rows began to be refused, since the store was opened.
    pub times_full: u64,
    /// Rows refused for it, since the store was opened.
    pub rows_refused: u64,
}

/// What is known of the device.
#[derive(Debug)]
pub(super) struct Space {
    limits: SpaceLimits,
    level: AtomicU8,
    free_bytes: AtomicU64,
    /// Free bytes when a checkpoint found no room; [`ROOM`] where the last one found some.
    no_room_at: AtomicU64,
    /// Whether the log wanted another segment and there was no room for it.
    log_short: AtomicBool,
    /// Whether there is a reason to make room at once: less of it, or rows that expired.
    risen: AtomicBool,
    /// When room was last made, monotonic nanoseconds.
    made_ns: AtomicU64,
    /// Where the log ended then.
    made_end: AtomicU64,
    checkpoints_failed: AtomicU64,
    times_full: AtomicU64,
    rows_refused: AtomicU64,
}

/// No checkpoint has failed for want of room.
const ROOM: u64 = u64::MAX;
/// Bytes that must have come free before a checkpoint that found no room is tried again early.
const GROWTH_BYTES: u64 = 64 * 1024;
/// While room is short and rows come, it is made this often.
const INTERVAL_NS: u64 = 60_000_000_000;
/// A checkpoint that found no room is tried again this often, whatever is free.
const RETRY_NS: u64 = 10_000_000_000;
/// Writing resumes when this part of the bound is free beyond it: one in so many.
const HYSTERESIS: u64 = 8;

impl Space {
    pub(super) fn new(limits: SpaceLimits) -> Self {
        Self {
            limits,
            level: AtomicU8::new(0),
            free_bytes: AtomicU64::new(0),
            no_room_at: AtomicU64::new(ROOM),
            log_short: AtomicBool::new(false),
            risen: AtomicBool::new(false),
            made_ns: AtomicU64::new(0),
            made_end: AtomicU64::new(0),
            checkpoints_failed: AtomicU64::new(0),
            times_full: AtomicU64::new(0),
            rows_refused: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.level() == SpaceLevel::Full
    }

    fn level(&self) -> SpaceLevel {
        SpaceLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Whether a checkpoint should free all of the log that it can.
    pub(super) fn is_short(&self) -> bool {
        self.level() != SpaceLevel::Enough || self.log_short.load(Ordering::Relaxed)
    }

    /// Notes that rows have expired, whose files a checkpoint can remove.
    pub(super) fn note_expired(&self) {
        if self.level() != SpaceLevel::Enough {
            self.risen.store(true, Ordering::Relaxed);
        }
    }

    /// Notes whether the log's next segment found room.
    pub(super) fn note_log(&self, short: bool) {
        self.log_short.store(short, Ordering::Relaxed);
    }

    /// Notes that a checkpoint found room.
    pub(super) fn note_room(&self) {
        self.no_room_at.store(ROOM, Ordering::Relaxed);
    }

    /// Notes that a checkpoint found none, with what was free then.
    fn note_no_room(&self, free_bytes: u64) {
        self.checkpoints_failed.fetch_add(1, Ordering::Relaxed);
        self.no_room_at.store(free_bytes, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, rows: u64) -> EngineError {
        self.rows_refused.fetch_add(rows, Ordering::Relaxed);
        EngineError::Full {
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
        }
    }

    fn look(&self, free_bytes: u64, log_awaits_room: bool) -> SpaceLevel {
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        let before = self.level();
        let SpaceLimits {
            low_bytes,
            full_bytes,
        } = self.limits;
        let resume_bytes = if before == SpaceLevel::Full {
            full_bytes.saturating_add(full_bytes / HYSTERESIS)
        } else {
            full_bytes
        };
        let no_room = self.no_room_at.load(Ordering::Relaxed) != ROOM;
        let level = if no_room || log_awaits_room || free_bytes < resume_bytes {
            SpaceLevel::Full
        } else if free_bytes < low_bytes || self.log_short.load(Ordering::Relaxed) {
            SpaceLevel::Low
        } else {
            SpaceLevel::Enough
        };
        if level > before {
            self.risen.store(true, Ordering::Relaxed);
            if level == SpaceLevel::Full {
                self.times_full.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.level.store(level as u8, Ordering::Relaxed);
        level
    }

    fn usage(&self) -> SpaceUse {
        SpaceUse {
            level: self.level(),
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            limits: self.limits,
            checkpoints_failed: self.checkpoints_failed.load(Ordering::Relaxed),
            times_full: self.times_full.load(Ordering::Relaxed),
            rows_refused: self.rows_refused.load(Ordering::Relaxed),
        }
    }
}

impl Engine {
    /// Looks how much room the device has. From now on rows are refused, or taken again, by what it finds.
    pub fn check_space(&self) -> SpaceLevel {
        match self.storage.free_bytes() {
            Ok(free_bytes) => self.space.look(free_bytes, self.awaits_room()),
            Err(_) => self.space.level(),
        }
    }

    /// Whether [`Self::make_room`] should be called: room is short and was not made since it became so, or
    /// has grown since nothing could be made, or it was long ago.
    pub fn room_is_due(&self) -> bool {
        let space = &self.space;
        // A checkpoint begins with a sync.
        if space.level() == SpaceLevel::Enough || self.awaits_room() {
            return false;
        }
        let no_room_at = space.no_room_at.load(Ordering::Relaxed);
        let free_bytes = space.free_bytes.load(Ordering::Relaxed);
        let grown = no_room_at != ROOM && free_bytes >= no_room_at.saturating_add(GROWTH_BYTES);
        let made = space.made_ns.load(Ordering::Relaxed);
        let since = self.clock.monotonic_ns().saturating_sub(made);
        let long_ago = if no_room_at == ROOM {
            // Nothing to gain where nothing was written.
            since >= INTERVAL_NS && self.end().0 != space.made_end.load(Ordering::Relaxed)
        } else {
            since >= RETRY_NS
        };
        grown || long_ago || space.risen.load(Ordering::Relaxed)
    }

    /// Drops what is expired, and writes a checkpoint that frees as much of the log as it can.
    pub fn make_room(&self) -> Result<TickReport, EngineError> {
        self.space.risen.store(false, Ordering::Relaxed);
        self.space
            .made_ns
            .store(self.clock.monotonic_ns(), Ordering::Relaxed);
        let mut report = TickReport::default();
        self.retire(&mut report)?;
        report.checkpoint = Some(self.checkpoint_in_passing()?);
        // Behind it, because its sync fills a page of the log.
        let end = self.end().0;
        self.space.made_end.store(end, Ordering::Relaxed);
        self.check_space();
        Ok(report)
    }

    /// Figures of the device.
    pub fn space(&self) -> SpaceUse {
        self.space.usage()
    }

    /// Writes a checkpoint, and notes whether it found room.
    pub(super) fn within_room<T>(
        &self,
        checkpoint: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        // Looked at before as well: room that comes free while it fails has to be seen as growth.
        let before = self.storage.free_bytes().unwrap_or_default();
        let result = checkpoint();
        match &result {
            Ok(_) => self.space.note_room(),
            Err(error) if error.is_full() => {
                let after = self.storage.free_bytes().unwrap_or_default();
                self.space.note_no_room(before.min(after));
                self.check_space();
            }
            Err(_) => {}
        }
        result
    }
}
