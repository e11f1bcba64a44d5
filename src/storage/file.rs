//! Segments as plain files: `pwrite` and `fdatasync`.
//!
//! For file systems where a preallocated block is no promise: a full disk is an error of the write
//! here, where a map would raise SIGBUS.

use std::fs;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Advice;

use super::directory::{Directory, failed};
use super::{File, Result, Segment, Storage, check_bounds};

/// A data directory whose segments are written with `pwrite`.
#[derive(Debug)]
pub struct FileStorage {
    directory: Directory,
}

impl FileStorage {
    /// Uses a directory, which is made if it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self {
            directory: Directory::open(root)?,
        })
    }
}

impl Storage for FileStorage {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        let file = self.directory.prepare_segment(name, size_bytes)?;
        Ok(Arc::new(FileSegment {
            name: name.to_owned(),
            file,
            size_bytes,
        }))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        let file = self.directory.reopen_segment(name)?;
        let size_bytes = file.metadata().map_err(failed("stat", name))?.len();
        Ok(Arc::new(FileSegment {
            name: name.to_owned(),
            file,
            size_bytes,
        }))
    }

    fn settle(&self, name: &str) -> Result<()> {
        self.directory.reopen_segment(name).map(drop)
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

    fn link(&self, name: &str, other: &Path) -> Result<bool> {
        self.directory.link(name, other)
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        self.directory.sync_folder(folder)
    }

    fn free_bytes(&self) -> Result<u64> {
        self.directory.free_bytes()
    }

    fn kind(&self) -> &'static str {
        "file"
    }
}

struct FileSegment {
    name: String,
    file: fs::File,
    size_bytes: u64,
}

impl Segment for FileSegment {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_bounds(&self.name, offset, bytes.len(), self.size_bytes)?;
        self.file
            .write_all_at(bytes, offset)
            .map_err(failed("write", &self.name))
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        check_bounds(&self.name, offset, into.len(), self.size_bytes)?;
        self.file
            .read_exact_at(into, offset)
            .map_err(failed("read", &self.name))
    }

    fn sync(&self, _range: Range<u64>) -> Result<()> {
        self.file.sync_data().map_err(failed("sync", &self.name))
    }

    fn prefetch(&self, range: Range<u64>) {
        // A frame rarely ends on a page: what is not cached is read within the write.
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        let _ = rustix::fs::fadvise(&self.file, range.start, length, Advice::WillNeed);
    }
}
