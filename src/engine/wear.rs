//! What checkpoints have written, since the store was opened.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// The same, counted.
#[derive(Debug, Default)]
pub(super) struct Wear {
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    chunk_values: AtomicU64,
    recompressed_chunks: AtomicU64,
    recompressed_from_bytes: AtomicU64,
    recompressed_to_bytes: AtomicU64,
    images: AtomicU64,
    image_bytes: AtomicU64,
}

impl Wear {
    /// Counts a chunk as it was sealed and as it was written.
    pub(super) fn chunk(&self, sealed: &[u8], written: &[u8]) {
        add(&self.chunks, 1);
        add(&self.chunk_bytes, written.len() as u64);
        if let Ok(chunk) = Chunk::reopen(written) {
            let values: u64 = chunk.columns().map(|column| column.count as u64).sum();
            add(&self.chunk_values, values);
        }
        if written.len() < sealed.len() {
            add(&self.recompressed_chunks, 1);
            add(&self.recompressed_from_bytes, sealed.len() as u64);
            add(&self.recompressed_to_bytes, written.len() as u64);
        }
    }

    /// Counts an image.
    pub(super) fn image(&self, bytes: &[u8]) {
        add(&self.images, 1);
        add(&self.image_bytes, bytes.len() as u64);
    }

    /// The sums.
    pub(super) fn sums(&self, checkpoints: u64) -> CheckpointUse {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CheckpointUse {
            checkpoints,
            chunks: of(&self.chunks),
            chunk_bytes: of(&self.chunk_bytes),
            chunk_values: of(&self.chunk_values),
            recompressed_chunks: of(&self.recompressed_chunks),
            recompressed_from_bytes: of(&self.recompressed_from_bytes),
            recompressed_to_bytes: of(&self.recompressed_to_bytes),
            images: of(&self.images),
            image_bytes: of(&self.image_bytes),
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
