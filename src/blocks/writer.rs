//! Writes a block file, once, front to back: header, chunk records, index, trailer. Layout: FORMAT.md.
//!
//! Nothing refers to the file before `finish` has returned: a crash before that leaves a file without a
//! trailer, which no manifest lists.

use std::sync::Arc;

use super::bytes::Seed;
use super::chunk::{ChunkEntry, ChunkMeta, FOLDER, FileId};
use super::error::{BlockError, Result};
use super::file::{HEADER_BYTES, INDEX_MAGIC, encode_header, encode_trailer};
use crate::limits::{BLOCK_FILE_CHUNKS, CHECKPOINT_RECORD_BYTES, ROWS_CLAIMED};
use crate::mutants::{self, Mutant};
use crate::storage::{File, Storage};
use crate::types::StoreId;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A block file in the making.
pub struct BlockFileWriter {
    file: Arc<dyn File>,
    id: FileId,
    seed: Seed,
    entries: Vec<ChunkEntry>,
    buffer: Vec<u8>,
    written: u64,
}

/// A block file that is complete and synced.
#[derive(Clone, Debug)]
pub struct FinishedFile {
    /// The file.
    pub id: FileId,
    /// Its bytes.
    pub size_bytes: u64,
    /// Checksum of its trailer, and so of its index.
    pub footer_crc: u32,
    /// Its chunks, in the order they were appended.
    pub entries: Vec<ChunkEntry>,
}

impl BlockFileWriter {
    /// Makes the file. The folder must be there.
    pub fn create(storage: &dyn Storage, store: StoreId, id: FileId) -> Result<Self> {
        let file = storage.create_file(&id.name())?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        encode_header(store, id, &mut buffer);
        debug_assert_eq!(buffer.len() as u64, HEADER_BYTES);
        Ok(Self {
            file,
            id,
            seed: Seed::new(store.0, id.0),
            entries: Vec::new(),
            buffer,
            written: 0,
        })
    }

    /// The file.
    pub(super) const fn id(&self) -> FileId {
        self.id
    }

    /// Appends a chunk.
    pub fn append(&mut self, meta: ChunkMeta, bytes: &[u8]) -> Result<ChunkEntry> {
        check(&meta, bytes, self.entries.len())?;
        let ordinal = self.entries.len() as u32;
        let entry = ChunkEntry {
            meta,
            file: self.id,
            ordinal,
            offset: self.written + self.buffer.len() as u64,
            len_bytes: bytes.len() as u32,
            crc: ChunkEntry::crc_of(&self.seed, ordinal, bytes),
        };
        entry.encode_header(&self.seed, &mut self.buffer);
        self.buffer.extend_from_slice(bytes);
        self.entries.push(entry);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(entry)
    }

    /// Writes index and trailer and syncs the file and its name.
    pub fn finish(mut self, storage: &dyn Storage) -> Result<FinishedFile> {
        let index_offset = self.written + self.buffer.len() as u64;
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&INDEX_MAGIC);
        for entry in &self.entries {
            entry.encode_index(&mut self.buffer);
        }
        let index_crc = self.seed.crc(&[&self.buffer[start..]]);
        let footer_crc = encode_trailer(
            &self.seed,
            index_offset,
            self.entries.len() as u32,
            index_crc,
            &mut self.buffer,
        );
        self.flush()?;
        if !mutants::is(Mutant::NoFileSync) {
            self.file.sync()?;
        }
        if !mutants::is(Mutant::NoFolderSync) {
            storage.sync_folder(FOLDER)?;
        }
        Ok(FinishedFile {
            id: self.id,
            size_bytes: self.written,
            footer_crc,
            entries: self.entries,
        })
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn check(meta: &ChunkMeta, bytes: &[u8], chunks: usize) -> Result<()> {
    let bounds = [
        ("bytes of a chunk", bytes.len(), CHECKPOINT_RECORD_BYTES),
        ("rows of a chunk", meta.rows as usize, ROWS_CLAIMED),
        ("chunks of a block file", chunks + 1, BLOCK_FILE_CHUNKS),
    ];
    for (what, found, limit) in bounds {
        if found > limit {
            return Err(BlockError::TooLarge {
                what,
                found: found as u64,
                limit: limit as u64,
            });
        }
    }
    if meta.first_time > meta.last_time || meta.first_position > meta.last_position {
        return Err(BlockError::Unordered {
            series: meta.series,
        });
    }
    Ok(())
}
