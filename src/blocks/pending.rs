//! What a checkpoint writes piece by piece, so that no more than a piece of it is in memory: the chunks of one new block
//! file, and the images. Either makes no file before there is something to write, and removes it again where it is not
//! finished.

use super::chunk::{ChunkEntry, ChunkMeta};
use super::error::Result;
use super::image::{ImageRecord, KIND_END, KIND_ROWS, SideRecord};
use super::record_writer::RecordWriter;
use super::store::BlockStore;
use super::writer::BlockFileWriter;

/// Chunks on their way to one new block file.
pub struct ChunkWriter<'a> {
    store: &'a BlockStore,
    file: Option<BlockFileWriter>,
}

/// Images on their way to the file that takes the place of the one of before.
pub struct ImageWriter<'a> {
    store: &'a BlockStore,
    file: Option<RecordWriter>,
}

impl<'a> ChunkWriter<'a> {
    pub(super) const fn new(store: &'a BlockStore) -> Self {
        Self { store, file: None }
    }

    /// Writes a chunk. Nobody can read it before [`Self::finish`].
    pub fn append(&mut self, meta: ChunkMeta, bytes: &[u8]) -> Result<ChunkEntry> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.store.writer.lock().begin_chunks()?),
        };
        file.append(meta, bytes)
    }

    /// Syncs the file. The next commit makes its chunks part of the store. In the order in which they were written.
    pub fn finish(mut self) -> Result<Vec<ChunkEntry>> {
        let Some(file) = self.file.take() else {
            return Ok(Vec::new());
        };
        let finished = self.store.writer.lock().finish_chunks(file)?;
        self.store.add_finished(&finished);
        Ok(finished.entries)
    }
}

impl Drop for ChunkWriter<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.store.writer.lock().discard(file.id());
        }
    }
}

impl<'a> ImageWriter<'a> {
    pub(super) const fn new(store: &'a BlockStore) -> Self {
        Self { store, file: None }
    }

    /// Writes an image.
    pub fn append(&mut self, image: &ImageRecord<'_>) -> Result<()> {
        self.file()?
            .record(KIND_ROWS, &[&image.prefix(), image.bytes])
    }

    /// Writes what belongs to the images, and syncs the file. The next commit puts it in the place of the one of before;
    /// where nothing was written there is none from then on. A checkpoint that does not call this keeps the old.
    pub fn finish(mut self, sides: &[SideRecord]) -> Result<()> {
        for side in sides {
            let (kind, payload) = side.encode();
            self.file()?.record(kind, &[&payload])?;
        }
        if let Some(file) = &mut self.file {
            file.record(KIND_END, &[])?;
        }
        let finished = self.store.writer.lock().finish_images(self.file.take());
        self.store.note_bytes();
        finished
    }

    fn file(&mut self) -> Result<&mut RecordWriter> {
        Ok(match &mut self.file {
            Some(file) => file,
            none => none.insert(self.store.writer.lock().begin_images()?),
        })
    }
}

impl Drop for ImageWriter<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.store.writer.lock().discard_images(file.number());
        }
    }
}
