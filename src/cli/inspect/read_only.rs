//! A storage that cannot write: whatever is asked of it, the directory stays as it is.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blocks::MANIFEST_NAMES;
use crate::log::FOLDER;
use crate::storage::{File, Result, Segment, Storage, StorageError};

/// A data directory, read only.
#[derive(Debug)]
pub(super) struct ReadOnly {
    root: PathBuf,
}

impl ReadOnly {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether anything looks like a store.
    pub(super) fn holds_a_store(&self) -> bool {
        let mut names = MANIFEST_NAMES
            .into_iter()
            .chain([FOLDER, crate::blocks::FOLDER]);
        names.any(|name| self.root.join(name).exists())
    }
}

impl Storage for ReadOnly {
    fn create_segment(&self, name: &str, _: u64) -> Result<Arc<dyn Segment>> {
        Err(refused("create", name))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        Err(refused("open for writing", name))
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        Err(refused("create", name))
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = fs::File::open(self.root.join(name)).map_err(failed("open", name))?;
        Ok(Arc::new(ReadOnlyFile {
            name: name.to_owned(),
            file,
        }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("list", folder))?.file_name();
            names.extend(name.into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_folder(&self, folder: &str) -> Result<()> {
        Err(refused("create", folder))
    }

    fn remove(&self, name: &str) -> Result<()> {
        Err(refused("remove", name))
    }

    fn rename(&self, from: &str, _: &str) -> Result<()> {
        Err(refused("rename", from))
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        Err(refused("sync", folder))
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(0)
    }

    fn kind(&self) -> &'static str {
        "read-only"
    }
}

struct ReadOnlyFile {
    name: String,
    file: fs::File,
}

impl File for ReadOnlyFile {
    fn len_bytes(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(failed("stat", &self.name))?;
        Ok(metadata.len())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(refused("write", &self.name))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(into, offset)
            .map_err(failed("read", &self.name))
    }

    fn sync(&self) -> Result<()> {
        Err(refused("sync", &self.name))
    }
}

fn refused(operation: &'static str, name: &str) -> StorageError {
    failed(operation, name)(io::ErrorKind::ReadOnlyFilesystem.into())
}

fn failed<'a>(
    operation: &'static str,
    name: &'a str,
) -> impl FnOnce(io::Error) -> StorageError + use<'a> {
    move |source| StorageError::Io {
        operation,
        name: name.to_owned(),
        source,
    }
}
