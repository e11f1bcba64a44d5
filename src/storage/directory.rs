//! A directory of the operating system: plain files, folders, and the preparation of segments.
//!
//! Both back ends share it. It never maps memory, and keeps no state but the path of its root.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags};

use super::{File, Result, StorageError};

/// A data directory. Names are relative to it, with `/` between folders.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Uses a directory, which is made if it is not there.
    pub(super) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(failed("create", &root.display().to_string()))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(name))
            .map_err(failed("create", name))?;
        Ok(Arc::new(PlainFile::new(name, file)))
    }

    /// Opens for reading and writing, or only for reading where the device allows no more.
    pub(super) fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let path = self.path(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    OpenOptions::new().read(true).open(&path)
                }
                _ => Err(error),
            })
            .map_err(failed("open", name))?;
        Ok(Arc::new(PlainFile::new(name, file)))
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", folder))?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create_folder(&self, folder: &str) -> Result<()> {
        let path = self.path(folder);
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path).map_err(failed("create", folder))?;
        // The name of each new folder stands in the one above it.
        let mut above = Path::new(folder).parent();
        while let Some(parent) = above {
            self.sync_folder(&parent.to_string_lossy())?;
            above = parent.parent();
        }
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path(name)).map_err(failed("remove", name))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.path(from), self.path(to)).map_err(failed("rename", from))
    }

    pub(super) fn link(&self, name: &str, other: &Path) -> Result<bool> {
        match fs::hard_link(self.path(name), other) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(failed("link", name)(error))
            }
            // Another device, or a file system without links.
            Err(_) => Ok(false),
        }
    }

    pub(super) fn sync_folder(&self, folder: &str) -> Result<()> {
        fs::File::open(self.path(folder))
            .and_then(|file| file.sync_all())
            .map_err(failed("sync", folder))
    }

    pub(super) fn free_bytes(&self) -> Result<u64> {
        let name = self.root.display().to_string();
        let status = rustix::fs::statvfs(&self.root)
            .map_err(|error| failed("statvfs", &name)(error.into()))?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    /// Makes a segment file: real blocks, zero-filled, on the device under its final name, and none
    /// of it left in the page cache. What fails leaves no file behind.
    pub(super) fn prepare_segment(&self, name: &str, size_bytes: u64) -> Result<fs::File> {
        let temporary = format!("{name}{TEMPORARY}");
        let made = self.fill_segment(&temporary, size_bytes);
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                let _ = self.remove(&temporary);
                return Err(error);
            }
        };
        self.rename(&temporary, name)?;
        let folder = Path::new(name).parent().unwrap_or_else(|| Path::new(""));
        self.sync_folder(&folder.to_string_lossy())?;
        Ok(file)
    }

    fn fill_segment(&self, temporary: &str, size_bytes: u64) -> Result<fs::File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(temporary))
            .map_err(failed("create", temporary))?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size_bytes) {
            // Where the file system knows no preallocation, the zeros take the blocks.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(failed("allocate", temporary)(error.into())),
        }
        // Zeros are written even so: an allocated block that was never written costs a metadata
        // update at its first sync.
        let zeros = vec![0_u8; FILL_BYTES];
        let mut offset = 0;
        while offset < size_bytes {
            let count = (size_bytes - offset).min(FILL_BYTES as u64);
            file.write_all_at(&zeros[..count as usize], offset)
                .map_err(failed("write", temporary))?;
            offset += count;
        }
        file.sync_all().map_err(failed("sync", temporary))?;
        drop_from_cache(&file);
        Ok(file)
    }

    /// Opens a segment file, and drops it from the page cache.
    ///
    /// Pages that stay cached from a sequential write lie in large folios, and a store into one
    /// byte of a folio makes all of it dirty: the next sync would write a megabyte.
    pub(super) fn reopen_segment(&self, name: &str) -> Result<fs::File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))
            .map_err(failed("open", name))?;
        // Only clean pages leave the cache.
        file.sync_data().map_err(failed("sync", name))?;
        drop_from_cache(&file);
        Ok(file)
    }
}

/// A plain file: `pwrite`, `pread`, `fdatasync`.
#[derive(Debug)]
struct PlainFile {
    name: String,
    file: fs::File,
}

impl PlainFile {
    fn new(name: &str, file: fs::File) -> Self {
        Self {
            name: name.to_owned(),
            file,
        }
    }
}

impl File for PlainFile {
    fn len_bytes(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(failed("stat", &self.name))?;
        Ok(metadata.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(failed("write", &self.name))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(into, offset)
            .map_err(failed("read", &self.name))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(failed("sync", &self.name))
    }
}

/// Names an error of the system.
pub(super) fn failed<'a>(
    operation: &'static str,
    name: &'a str,
) -> impl FnOnce(io::Error) -> StorageError + use<'a> {
    move |source| StorageError::Io {
        operation,
        name: name.to_owned(),
        source,
    }
}

fn drop_from_cache(file: &fs::File) {
    // Advice: where it is not taken, syncs write more and nothing else changes.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// Ending of a segment's name while it is prepared.
pub const TEMPORARY: &str = ".new";
const FILL_BYTES: usize = 1 << 20;
