//! A finished block file: opened by its trailer and index alone, chunks read one by one. Layout: FORMAT.md.
//!
//! Never writes. Every byte that is handed out has passed its checksum.

use std::sync::Arc;

use bytes::Bytes;

use super::bytes::{Reader, Seed};
use super::chunk::{ChunkEntry, FileId, INDEX_ENTRY_BYTES, RECORD_HEADER_BYTES};
use super::error::{BlockError, Damage, Result};
use super::scan;
use crate::limits::BLOCK_FILE_CHUNKS;
use crate::storage::File;
use crate::types::StoreId;

/// A block file that can be read.
pub struct BlockFile {
    file: Arc<dyn File>,
    id: FileId,
    seed: Seed,
}

/// What opening a block file found.
pub struct OpenedFile {
    /// The file.
    pub file: BlockFile,
    /// Its chunks. Their numbers may have gaps where the file is damaged.
    pub entries: Vec<ChunkEntry>,
    /// Its bytes.
    pub size_bytes: u64,
    /// Checksum of the trailer; `None` where the trailer or the index is damaged.
    pub footer_crc: Option<u32>,
    /// What is wrong with it.
    pub damage: Vec<Damage>,
}

impl BlockFile {
    /// Opens a file by its header, trailer and index. Where these are damaged, all of it is read and its
    /// records are found by their own checksums; what was lost is in `damage`.
    ///
    /// Fails where the device does, and for a file of a newer format.
    pub fn open(file: Arc<dyn File>, store: StoreId, id: FileId) -> Result<OpenedFile> {
        let size_bytes = file.len_bytes()?;
        let this = Self::unchecked(file, store, id);
        let header = read_header(&*this.file, size_bytes);
        let reason = match header {
            Ok((_, _, found)) if found > VERSION => {
                return Err(BlockError::Newer {
                    name: id.name(),
                    found,
                    supported: VERSION,
                });
            }
            Ok((header_store, _, _)) if header_store != store => "header of another store",
            Ok((_, header_id, _)) if header_id != id => "header of another file",
            Ok(_) => match this.read_index(size_bytes) {
                Ok((entries, footer_crc)) => {
                    return Ok(OpenedFile {
                        file: this,
                        entries,
                        size_bytes,
                        footer_crc: Some(footer_crc),
                        damage: Vec::new(),
                    });
                }
                Err(BlockError::Damaged { reason, .. }) => reason,
                Err(_) => "unreadable index",
            },
            Err(BlockError::Damaged { reason, .. }) => reason,
            Err(_) => "unreadable header",
        };
        let name = id.name();
        let (entries, mut damage) = scan::records(&*this.file, &name, &this.seed, id, size_bytes);
        damage.insert(
            0,
            Damage::Index {
                name,
                reason: reason.to_owned(),
                found: entries.len(),
                expected: None,
            },
        );
        Ok(OpenedFile {
            file: this,
            entries,
            size_bytes,
            footer_crc: None,
            damage,
        })
    }

    /// A file whose entries are known already: nothing is read.
    pub(super) fn unchecked(file: Arc<dyn File>, store: StoreId, id: FileId) -> Self {
        Self {
            file,
            id,
            seed: Seed::new(store.0, id.0),
        }
    }

    /// Reads a chunk's bytes and verifies them against their record and the entry.
    pub fn read_chunk(&self, entry: &ChunkEntry) -> Result<Bytes> {
        let damaged = |reason| BlockError::Damaged {
            name: self.id.name(),
            offset: entry.offset,
            reason,
        };
        if entry.file != self.id {
            return Err(damaged("entry of another file"));
        }
        if entry.end() > self.file.len_bytes()? {
            return Err(damaged("chunk beyond the end of the file"));
        }
        let mut record = vec![0; RECORD_HEADER_BYTES + entry.len_bytes as usize];
        self.file.read_patiently(entry.offset, &mut record)?;
        let header = ChunkEntry::decode_header(&self.seed, self.id, entry.offset, &record)
            .ok_or_else(|| damaged("chunk header"))?;
        if header != *entry {
            return Err(damaged("chunk header and index differ"));
        }
        let bytes = Bytes::from(record).slice(RECORD_HEADER_BYTES..);
        if ChunkEntry::crc_of(&self.seed, entry.ordinal, &bytes) != entry.crc {
            return Err(damaged("chunk checksum"));
        }
        Ok(bytes)
    }

    fn read_index(&self, size_bytes: u64) -> Result<(Vec<ChunkEntry>, u32)> {
        let damaged = |offset, reason| BlockError::Damaged {
            name: self.id.name(),
            offset,
            reason,
        };
        let trailer_offset = size_bytes
            .checked_sub(TRAILER_BYTES)
            .filter(|offset| *offset >= HEADER_BYTES)
            .ok_or_else(|| damaged(size_bytes, "no room for a trailer"))?;
        let mut trailer = [0; TRAILER_BYTES as usize];
        self.file.read_patiently(trailer_offset, &mut trailer)?;
        let trailer = Trailer::decode(&self.seed, &trailer)
            .ok_or_else(|| damaged(trailer_offset, "trailer"))?;
        let len_bytes = (INDEX_MAGIC.len() + trailer.chunks as usize * INDEX_ENTRY_BYTES) as u64;
        if trailer.chunks as usize > BLOCK_FILE_CHUNKS
            || trailer.index_offset < HEADER_BYTES
            || trailer.index_offset.checked_add(len_bytes) != Some(trailer_offset)
        {
            return Err(damaged(trailer_offset, "place of the index"));
        }
        let mut index = vec![0; len_bytes as usize];
        self.file.read_patiently(trailer.index_offset, &mut index)?;
        if self.seed.crc(&[&index]) != trailer.index_crc {
            return Err(damaged(trailer.index_offset, "index checksum"));
        }
        let entries = decode_index(self.id, &index, trailer.chunks, trailer.index_offset)
            .ok_or_else(|| damaged(trailer.index_offset, "index"))?;
        Ok((entries, trailer.crc))
    }
}

/// Entries that lie behind one another from the header to the index, without a gap.
fn decode_index(
    file: FileId,
    index: &[u8],
    chunks: u32,
    index_offset: u64,
) -> Option<Vec<ChunkEntry>> {
    let mut reader = Reader::new(index.strip_prefix(&INDEX_MAGIC)?);
    let mut entries = Vec::with_capacity(chunks as usize);
    let mut offset = HEADER_BYTES;
    for ordinal in 0..chunks {
        let entry = ChunkEntry::decode_index(file, &mut reader)?;
        if entry.ordinal != ordinal || entry.offset != offset {
            return None;
        }
        offset = entry.end();
        entries.push(entry);
    }
    (offset == index_offset && reader.remaining() == 0).then_some(entries)
}

/// The store, id and format version a file's header names.
pub(super) fn read_header(file: &dyn File, size_bytes: u64) -> Result<(StoreId, FileId, u32)> {
    let damaged = |reason| BlockError::Damaged {
        name: "header".to_owned(),
        offset: 0,
        reason,
    };
    if size_bytes < HEADER_BYTES {
        return Err(damaged("no room for a header"));
    }
    let mut header = [0; HEADER_BYTES as usize];
    file.read_patiently(0, &mut header)?;
    decode_header(&header).ok_or_else(|| damaged("header"))
}

pub(super) fn encode_header(store: StoreId, id: FileId, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&FILE_MAGIC);
    into.extend_from_slice(&VERSION.to_le_bytes());
    into.extend_from_slice(&id.0.to_le_bytes());
    into.extend_from_slice(&store.0.to_le_bytes());
    let crc = crc32fast::hash(&into[start..]);
    into.extend_from_slice(&crc.to_le_bytes());
}

fn decode_header(bytes: &[u8]) -> Option<(StoreId, FileId, u32)> {
    let mut reader = Reader::new(bytes);
    let body = reader.take(HEADER_BYTES as usize - 4)?;
    if reader.u32()? != crc32fast::hash(body) {
        return None;
    }
    let mut fields = Reader::new(body.strip_prefix(&FILE_MAGIC)?);
    let version = fields.u32()?;
    let id = FileId(fields.u32()?);
    Some((StoreId(fields.u64()?), id, version))
}

struct Trailer {
    index_offset: u64,
    chunks: u32,
    index_crc: u32,
    crc: u32,
}

impl Trailer {
    fn decode(seed: &Seed, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let body = reader.take(TRAILER_BYTES as usize - 4)?;
        let crc = reader.u32()?;
        if crc != seed.crc(&[body]) {
            return None;
        }
        let mut fields = Reader::new(body.strip_prefix(&TRAILER_MAGIC)?);
        Some(Self {
            chunks: fields.u32()?,
            index_offset: fields.u64()?,
            index_crc: fields.u32()?,
            crc,
        })
    }
}

/// Appends the trailer; returns its checksum.
pub(super) fn encode_trailer(
    seed: &Seed,
    index_offset: u64,
    chunks: u32,
    index_crc: u32,
    into: &mut Vec<u8>,
) -> u32 {
    let start = into.len();
    into.extend_from_slice(&TRAILER_MAGIC);
    into.extend_from_slice(&chunks.to_le_bytes());
    into.extend_from_slice(&index_offset.to_le_bytes());
    into.extend_from_slice(&index_crc.to_le_bytes());
    let crc = seed.crc(&[&into[start..]]);
    into.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// Begins a block file.
const FILE_MAGIC: [u8; 8] = *b"EDGEBLK\n";
/// The format written, and the newest that is read.
const VERSION: u32 = 1;
/// Magic, version, file id, store id, checksum.
pub(super) const HEADER_BYTES: u64 = 8 + 4 + 4 + 8 + 4;
/// Begins the index.
pub(super) const INDEX_MAGIC: [u8; 4] = *b"INDX";
/// Begins the trailer.
const TRAILER_MAGIC: [u8; 4] = *b"TAIL";
/// Magic, chunks, offset of the index, checksum of the index, checksum of the trailer.
const TRAILER_BYTES: u64 = 4 + 4 + 8 + 4 + 4;
