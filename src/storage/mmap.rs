//! Segments mapped into memory: a store is a `memcpy`, a sync is `msync` of the pages it touched.
//!
//! The only `unsafe` of this layer. Files are never shrunk while they are mapped, and their blocks
//! are allocated before they are, so that a full disk cannot surface as a fault. A device that fails
//! under the map raises SIGBUS, which ends the process by the system's default: after the restart,
//! recovery reads with `pread` and reports the damage as a gap.
#![allow(unsafe_code)]

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw};
use parking_lot::RwLock;

use super::directory::{Directory, failed};
use super::{File, Result, Segment, Storage, check_bounds};

/// A data directory whose segments are mapped.
#[derive(Debug)]
pub struct MmapStorage {
    directory: Directory,
}

impl MmapStorage {
    /// Uses a directory, which is made if it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self {
            directory: Directory::open(root)?,
        })
    }
}

impl Storage for MmapStorage {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        let file = self.directory.prepare_segment(name, size_bytes)?;
        Ok(Arc::new(MmapSegment::map(name, &file)?))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        let file = self.directory.reopen_segment(name)?;
        Ok(Arc::new(MmapSegment::map(name, &file)?))
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        self.directory.create_file(name)
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        self.directory.open_file(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.directory.list(folder)
    }

    fn create_folder(&self, folder: &str) -> Result<()> {
        self.directory.create_folder(folder)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        self.directory.sync_folder(folder)
    }

    fn free_bytes(&self) -> Result<u64> {
        self.directory.free_bytes()
    }

    fn kind(&self) -> &'static str {
        "mmap"
    }
}

struct MmapSegment {
    name: String,
    map: MmapRaw,
    /// Guards the mapped bytes: stores and loads of the same bytes must not race.
    bytes: RwLock<()>,
}

impl MmapSegment {
    fn map(name: &str, file: &fs::File) -> Result<Self> {
        let map = MmapOptions::new()
            .map_raw(file)
            .map_err(failed("map", name))?;
        Ok(Self {
            name: name.to_owned(),
            map,
            bytes: RwLock::new(()),
        })
    }
}

impl Segment for MmapSegment {
    fn size_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_bounds(&self.name, offset, bytes.len(), self.size_bytes())?;
        let _exclusive = self.bytes.write();
        // SAFETY: `check_bounds` keeps offset + length inside the map, which lives as long as
        // `self`; the source is a slice of Rust memory and cannot overlap it; the write lock keeps
        // every other access of this process to the mapped bytes away, and no reference to them is
        // ever made.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.map.as_mut_ptr().add(offset as usize),
                bytes.len(),
            );
        }
        Ok(())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        check_bounds(&self.name, offset, into.len(), self.size_bytes())?;
        let _shared = self.bytes.read();
        // SAFETY: as in `write`; the read lock keeps stores away.
        unsafe {
            ptr::copy_nonoverlapping(
                self.map.as_ptr().add(offset as usize),
                into.as_mut_ptr(),
                into.len(),
            );
        }
        Ok(())
    }

    fn sync(&self, range: Range<u64>) -> Result<()> {
        let length = range.end.saturating_sub(range.start) as usize;
        check_bounds(&self.name, range.start, length, self.size_bytes())?;
        self.map
            .flush_range(range.start as usize, length)
            .map_err(failed("sync", &self.name))
    }

    fn prefetch(&self, range: Range<u64>) {
        let end = range.end.min(self.size_bytes());
        if range.start < end {
            // Reads ahead without making a page dirty, which populating for writing would.
            let _ = self.map.advise_range(
                Advice::WillNeed,
                range.start as usize,
                (end - range.start) as usize,
            );
        }
    }
}
