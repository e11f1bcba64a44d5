//! What checkpoints have written, since the store was opened.

use parking_lot::Mutex;

use crate::codec::chunk::Chunk;

/// Sums of what checkpoints wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointUse {
    /// Checkpoints that were completed.
    pub checkpoints: u64,
    /// Chunks they wrote.
    pub chunks: u64,
    /// Bytes of these.
    pub chunk_bytes: u64,
    /// Values in these, nulls and times not counted.
    pub chunk_values: u64,
    /// Chunks that the full codec made smaller.
    pub recompressed_chunks: u64,
    /// Bytes of these before.
    pub recompressed_from_bytes: u64,
    /// Bytes of these after.
    pub recompressed_to_bytes: u64,
    /// Images of unsealed rows they wrote.
    pub images: u64,
    /// Bytes of these.
    pub image_bytes: u64,
}

/// The same, of all checkpoints.
#[derive(Debug, Default)]
pub(super) struct Wear(Mutex<CheckpointUse>);

impl CheckpointUse {
    /// Counts a chunk as it was sealed and as it is written.
    pub(super) fn chunk(&mut self, sealed: &[u8], written: &[u8]) {
        self.chunks += 1;
        self.chunk_bytes += written.len() as u64;
        if let Ok(chunk) = Chunk::reopen(written) {
            let values: u64 = chunk.columns().map(|column| column.count as u64).sum();
            self.chunk_values += values;
        }
        if written.len() < sealed.len() {
            self.recompressed_chunks += 1;
            self.recompressed_from_bytes += sealed.len() as u64;
            self.recompressed_to_bytes += written.len() as u64;
        }
    }

    /// Counts an image.
    pub(super) fn image(&mut self, bytes: &[u8]) {
        self.images += 1;
        self.image_bytes += bytes.len() as u64;
    }
}

impl Wear {
    /// Adds what a checkpoint wrote that was completed.
    pub(super) fn add(&self, written: &CheckpointUse) {
        let mut sums = self.0.lock();
        sums.chunks += written.chunks;
        sums.chunk_bytes += written.chunk_bytes;
        sums.chunk_values += written.chunk_values;
        sums.recompressed_chunks += written.recompressed_chunks;
        sums.recompressed_from_bytes += written.recompressed_from_bytes;
        sums.recompressed_to_bytes += written.recompressed_to_bytes;
        sums.images += written.images;
        sums.image_bytes += written.image_bytes;
    }

    /// The sums.
    pub(super) fn sums(&self, checkpoints: u64) -> CheckpointUse {
        CheckpointUse {
            checkpoints,
            ..*self.0.lock()
        }
    }
}
