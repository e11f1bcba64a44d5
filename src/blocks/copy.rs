//! A copy of what a manifest lists, while the store runs.

use std::path::Path;

use super::chunk::FOLDER;
use super::error::Result;
use super::manifest::{MANIFEST_NAMES, Manifest};
use super::records::RecordFile;
use super::store::BlockStore;
use crate::storage::Storage;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCopy {
    /// Files of all kinds but the manifests.
    pub files: u64,
    /// Of these, block files that share their bytes with the store's.
    pub linked: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

impl BlockStore {
    /// Copies state and images as far as a manifest counts them. No commit may happen meanwhile.
    pub fn copy_records(&self, to: &dyn Storage, manifest: &Manifest) -> Result<BlockCopy> {
        to.create_folder(FOLDER)?;
        let kinds = [
            (RecordFile::State, manifest.state),
            (RecordFile::Image, manifest.image),
        ];
        let mut copy = BlockCopy::default();
        for (kind, records) in kinds {
            if let Some(records) = records {
                self.copy_file(to, &kind.name(records.number), records.len_bytes)?;
                copy.files += 1;
                copy.bytes += records.len_bytes;
            }
        }
        Ok(copy)
    }

    /// Copies the block files of a manifest, under a pin that is older than it; where the file system can, the
    /// copy is another name of the same bytes, which are never written again. `root` is the folder of `to`.
    pub fn copy_chunks(
        &self,
        to: &dyn Storage,
        root: &Path,
        manifest: &Manifest,
    ) -> Result<BlockCopy> {
        let mut copy = BlockCopy::default();
        for file in &manifest.files {
            let name = file.id.name();
            if self.storage.link(&name, &root.join(&name))? {
                copy.linked += 1;
            } else {
                self.copy_file(to, &name, file.size_bytes)?;
                copy.bytes += file.size_bytes;
            }
            copy.files += 1;
        }
        to.sync_folder(FOLDER)?;
        Ok(copy)
    }

    /// Writes a manifest to both of its files: the copy is a store from then on.
    pub fn copy_manifest(&self, to: &dyn Storage, manifest: &Manifest) -> Result<()> {
        let mut manifest = manifest.clone();
        for name in MANIFEST_NAMES {
            manifest.sequence += 1;
            let file = to.create_file(name)?;
            file.write_at(0, &manifest.encode())?;
            file.sync()?;
        }
        to.sync_folder("")?;
        Ok(())
    }

    fn copy_file(&self, to: &dyn Storage, name: &str, len_bytes: u64) -> Result<()> {
        let (from, to) = (self.storage.open_file(name)?, to.create_file(name)?);
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        while offset < len_bytes {
            let part = &mut buffer[..(len_bytes - offset).min(COPY_BYTES as u64) as usize];
            from.read_patiently(offset, part)?;
            to.write_at(offset, part)?;
            offset += part.len() as u64;
        }
        to.sync()?;
        Ok(())
    }
}

const COPY_BYTES: usize = 256 * 1024;
