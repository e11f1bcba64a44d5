//! A copy of the store as it was at one position of the log, while it is written.

use std::path::Path;

use crate::blocks::BlockCopy;
use crate::engine::checkpoint::Wish;
use crate::engine::{Engine, EngineError};
use crate::storage::{FileStorage, Storage};
use crate::types::Position;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// It has every row accepted before this position, and none from behind it.
    pub position: Position,
    /// Files, manifests not counted.
    pub files: u64,
    /// Of these, files that share their bytes with the store's.
    pub linked: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

impl Engine {
    /// Copies the store into an empty folder, which opens as a store of its own. Writers go on; only
    /// checkpoints wait, and not for the block files. A store that is full or read-only is copied as it is durable.
    pub fn backup(&self, root: &Path) -> Result<BackupReport, EngineError> {
        let to: &dyn Storage = &FileStorage::open(root)?;
        let mut persisted = self.persisted.lock();
        // Files of the manifest stay until this goes, whatever is committed behind it.
        let pin = self.blocks.pin();
        match self.within_room(|| {
            self.checkpoint_locked(&mut persisted, Wish::in_time(RECOMPRESS_NS).with_images())
        }) {
            Ok(_) => {}
            // The log reaches back to the checkpoint before.
            Err(error) if error.is_full() || self.is_read_only() => {}
            Err(error) => return Err(error),
        }
        let Some(manifest) = self.blocks.committed() else {
            return Err(EngineError::Busy);
        };
        let records = self.blocks.copy_records(to, &manifest)?;
        let log = self.log.copy_to(to, manifest.info.replay_from)?;
        drop(persisted);
        let chunks = self.blocks.copy_chunks(to, root, &manifest)?;
        self.blocks.copy_manifest(to, &manifest)?;
        drop(pin);
        let sum = |of: fn(&BlockCopy) -> u64| of(&records) + of(&chunks);
        Ok(BackupReport {
            position: log.end,
            files: sum(|copy| copy.files) + log.segments as u64,
            linked: chunks.linked,
            bytes: sum(|copy| copy.bytes) + log.bytes,
        })
    }
}

/// The time its checkpoint may spend on recompression, nanoseconds: other checkpoints wait for it.
const RECOMPRESS_NS: u64 = 500_000_000;
