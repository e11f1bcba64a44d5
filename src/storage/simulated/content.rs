//! The bytes of one file: as processes see them, and as the device holds them.
//!
//! Sectors are the unit in which bytes reach the device. A sector that is not dirty reads as it was seen
//! until its page leaves the cache, whatever the device holds: so a failed sync leaves it. Bytes are shared
//! with the disks of before a cut until they differ.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::random::Random;
use crate::limits::PAGE_BYTES;

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) seen: Arc<Vec<u8>>,
    held: Arc<Vec<u8>>,
    /// By sector: what the device held before.
    older: BTreeMap<usize, [u8; SECTOR_BYTES]>,
    /// By sector: bytes that were stored and that no sync or write-back has taken.
    dirty: Vec<bool>,
    /// The length that is seen was changed, and no sync has taken it.
    len_dirty: bool,
}

/// What a power cut does to what was not synced: chosen once a cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Of 8 dirty sectors, so many have reached the device.
    pub(super) kept_of_8: u64,
    /// One dirty sector in so many is torn: its first bytes are new, the rest old.
    pub(super) torn_one_in: u32,
}

impl Content {
    /// A file whose bytes are on the device.
    pub(super) fn durable(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self {
            dirty: vec![false; bytes.len().div_ceil(SECTOR_BYTES)],
            held: Arc::clone(&bytes),
            seen: bytes,
            older: BTreeMap::new(),
            len_dirty: false,
        }
    }

    /// Empties the file, as opening with truncation does.
    pub(super) fn truncate(&mut self) {
        self.len_dirty |= !self.seen.is_empty();
        self.seen = Arc::default();
    }

    /// Stores bytes.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        let seen = Arc::make_mut(&mut self.seen);
        if seen.len() < end {
            seen.resize(end, 0);
            self.len_dirty = true;
        }
        seen[offset..end].copy_from_slice(bytes);
        let sectors = offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        if self.dirty.len() < sectors.end {
            self.dirty.resize(sectors.end, false);
        }
        self.dirty[sectors].fill(true);
    }

    /// Takes some dirty sectors of a range to the device, as the kernel does when it likes.
    pub(super) fn write_back(&mut self, range: Range<usize>, random: &mut Random) {
        for sector in self.dirty_sectors(range) {
            if random.below(2) == 0 {
                self.persist(sector);
            }
        }
    }

    /// Takes the dirty pages of a range to the device.
    pub(super) fn sync(&mut self, range: Range<usize>) {
        for sector in self.dirty_sectors(pages(range)) {
            self.persist(sector);
        }
    }

    /// The length that is seen becomes the device's.
    pub(super) fn sync_len(&mut self) {
        if self.held.len() != self.seen.len() {
            Arc::make_mut(&mut self.held).resize(self.seen.len(), 0);
        }
        self.len_dirty = false;
    }

    /// A sync that fails: some sectors reach the device, the others are forgotten, and all are clean
    /// from now on. They read as they were stored, or as the device has them.
    pub(super) fn fail_sync(&mut self, range: Range<usize>, random: &mut Random) {
        for sector in self.dirty_sectors(pages(range)) {
            match random.below(3) {
                0 => self.persist(sector),
                1 => self.forget(sector),
                _ => self.dirty[sector] = false,
            }
        }
    }

    /// A sync that fails and takes nothing: all pages of the range read as the device has them.
    pub(super) fn throw_away(&mut self, range: Range<usize>) {
        for sector in self.dirty_sectors(pages(range)) {
            self.forget(sector);
        }
    }

    /// Pages that are clean leave the cache: what is read next comes from the device.
    pub(super) fn drop_cache(&mut self) {
        if !self.len_dirty && !self.dirty.contains(&true) {
            self.seen = Arc::clone(&self.held);
            return;
        }
        for sector in 0..self.seen.len().div_ceil(SECTOR_BYTES) {
            if !self.is_dirty(sector) {
                self.forget(sector);
            }
        }
    }

    /// The file after a power cut.
    pub(super) fn after_cut(&self, cut: Cut, random: &mut Random, trash: &[u8]) -> Self {
        let dirty = self.dirty_sectors(0..self.seen.len());
        let mut older = self.older.clone();
        if dirty.is_empty() && !self.len_dirty {
            let mut after = Self::durable(Arc::clone(&self.held));
            after.older = older;
            return after;
        }
        let mut after = Vec::clone(&self.held);
        if self.len_dirty {
            let (short, long) = (
                self.held.len().min(self.seen.len()),
                self.held.len().max(self.seen.len()),
            );
            let len = match random.below(3) {
                0 => self.held.len(),
                1 => self.seen.len(),
                _ => short + random.below((long - short + 1) as u64) as usize,
            };
            let before = after.len();
            after.resize(len, 0);
            // Blocks that were given to the file and never written show what was there before.
            if len > before && random.one_in(4) {
                let stale = before..len.min(trash.len());
                if let (Some(into), Some(from)) = (after.get_mut(stale.clone()), trash.get(stale)) {
                    into.copy_from_slice(from);
                }
            }
        }
        for sector in dirty {
            let start = sector * SECTOR_BYTES;
            let mut end = (start + SECTOR_BYTES).min(self.seen.len()).min(after.len());
            let kept = random.below(8) < cut.kept_of_8;
            let torn = random.one_in(cut.torn_one_in);
            if start >= end || !(kept || torn) {
                continue;
            }
            if torn {
                end = start + random.below((end - start) as u64) as usize;
            }
            note_older(&mut older, sector, &after[start..end]);
            after[start..end].copy_from_slice(&self.seen[start..end]);
        }
        let mut after = Self::durable(after);
        after.older = older;
        after
    }

    /// Sectors that the device may serve as they were before, and what each was.
    pub(super) fn stale_sectors(&self) -> impl Iterator<Item = (usize, &[u8; SECTOR_BYTES])> {
        self.older.iter().map(|(sector, bytes)| (*sector, bytes))
    }

    /// Takes the dirty sectors to the device that a caller chooses.
    pub(super) fn keep_where(&mut self, survives: &mut dyn FnMut() -> bool) {
        for sector in self.dirty_sectors(0..self.seen.len()) {
            if survives() {
                self.persist(sector);
            }
        }
    }

    fn persist(&mut self, sector: usize) {
        let range = self.range(sector);
        let held = Arc::make_mut(&mut self.held);
        if held.len() < range.end {
            held.resize(range.end, 0);
        }
        note_older(&mut self.older, sector, &held[range.clone()]);
        held[range.clone()].copy_from_slice(&self.seen[range]);
        self.dirty[sector] = false;
    }

    /// The sector reads as the device has it.
    fn forget(&mut self, sector: usize) {
        let range = self.range(sector);
        let there = self.held.len().clamp(range.start, range.end);
        let seen = Arc::make_mut(&mut self.seen);
        if let Some(held) = self.held.get(range.start..there) {
            seen[range.start..there].copy_from_slice(held);
        }
        seen[there..range.end].fill(0);
        if let Some(dirty) = self.dirty.get_mut(sector) {
            *dirty = false;
        }
    }

    fn range(&self, sector: usize) -> Range<usize> {
        let start = sector * SECTOR_BYTES;
        start..(start + SECTOR_BYTES).min(self.seen.len())
    }

    fn is_dirty(&self, sector: usize) -> bool {
        self.dirty.get(sector).copied().unwrap_or(false)
    }

    fn dirty_sectors(&self, range: Range<usize>) -> Vec<usize> {
        let end = range.end.min(self.seen.len()).div_ceil(SECTOR_BYTES);
        (range.start / SECTOR_BYTES..end)
            .filter(|&sector| self.is_dirty(sector))
            .collect()
    }
}

/// Keeps what a sector was before it changes, if it does.
fn note_older(older: &mut BTreeMap<usize, [u8; SECTOR_BYTES]>, sector: usize, before: &[u8]) {
    let mut bytes = [0; SECTOR_BYTES];
    bytes[..before.len()].copy_from_slice(before);
    older.insert(sector, bytes);
}

/// The pages that hold a range.
fn pages(range: Range<usize>) -> Range<usize> {
    range.start / PAGE_BYTES * PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) * PAGE_BYTES
}

/// What a device writes whole, most of the time.
pub(super) const SECTOR_BYTES: usize = 512;
