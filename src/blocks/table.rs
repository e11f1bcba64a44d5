//! The block files of the store: which of their chunks are alive. Plain state, no input or output.

use std::collections::BTreeMap;

use super::chunk::{ChunkEntry, FileId, INDEX_ENTRY_BYTES};
use super::load::LoadedFile;
use super::manifest::ManifestFile;
use super::writer::FinishedFile;
use crate::types::Timestamp;

/// A block file and how much of it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The file.
    pub id: FileId,
    /// Its bytes.
    pub size_bytes: u64,
    /// Its chunks, dead ones included.
    pub chunks: u32,
    /// Chunks that are alive.
    pub live_chunks: u32,
    /// Bytes of the records of these.
    pub live_bytes: u64,
    /// Least and greatest time of a chunk that was alive at open or when it was written, nanoseconds.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Whether damage was found in it.
    pub damaged: bool,
}

/// The part of a file that has to be dead for a store over its budget to write the rest anew: one in so many.
const DEAD_SHARE: u64 = 16;

impl FileInfo {
    /// Bytes of the records of dead chunks.
    fn dead_bytes(&self) -> u64 {
        let index_bytes = u64::from(self.chunks) * INDEX_ENTRY_BYTES as u64;
        let records_bytes = self.size_bytes.saturating_sub(index_bytes);
        records_bytes.saturating_sub(self.live_bytes)
    }

    /// Whether it is worth to write anew what is alive of it: where that is less than half; for a store that is over its
    /// budget already where a sixteenth is dead.
    fn is_sparse(&self, over_budget: bool) -> bool {
        let is_partly_dead = 0 < self.live_chunks && self.live_chunks < self.chunks;
        let live_bytes = self.live_bytes / if over_budget { DEAD_SHARE } else { 1 };
        is_partly_dead && !self.damaged && live_bytes < self.dead_bytes()
    }
}

/// What all block files hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockUsage {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks, dead ones included.
    pub chunks: u64,
    /// Chunks that are alive.
    pub live_chunks: u64,
    /// Bytes of the records of these.
    pub live_bytes: u64,
    /// Bytes of the records of dead chunks, in files that have others.
    pub dead_bytes: u64,
    /// Of these, the bytes in files that checkpoints of a store over its budget write anew.
    pub sparse_bytes: u64,
    /// Bytes of the state file.
    pub state_bytes: u64,
    /// Bytes of the image file.
    pub image_bytes: u64,
}

struct TableFile {
    info: FileInfo,
    footer_crc: u32,
    dead: Vec<u64>,
}

/// All block files, by id.
#[derive(Default)]
pub(super) struct Table {
    files: BTreeMap<FileId, TableFile>,
}

impl Table {
    pub(super) fn add_loaded(&mut self, loaded: LoadedFile) {
        let mut dead = Vec::new();
        for ordinal in &loaded.listed.dead {
            set(&mut dead, *ordinal);
        }
        let info = FileInfo {
            id: loaded.listed.id,
            size_bytes: loaded.listed.size_bytes,
            chunks: loaded.listed.chunks,
            live_chunks: loaded.live_chunks,
            live_bytes: loaded.live_bytes,
            times: loaded.times,
            damaged: loaded.damaged,
        };
        let footer_crc = loaded.listed.footer_crc;
        self.files.insert(
            info.id,
            TableFile {
                info,
                footer_crc,
                dead,
            },
        );
    }

    pub(super) fn add_finished(&mut self, finished: &FinishedFile) {
        let entries = &finished.entries;
        let first = entries.iter().map(|entry| entry.meta.first_time).min();
        let last = entries.iter().map(|entry| entry.meta.last_time).max();
        let info = FileInfo {
            id: finished.id,
            size_bytes: finished.size_bytes,
            chunks: entries.len() as u32,
            live_chunks: entries.len() as u32,
            live_bytes: entries.iter().map(ChunkEntry::record_bytes).sum(),
            times: first.zip(last),
            damaged: false,
        };
        self.files.insert(
            info.id,
            TableFile {
                info,
                footer_crc: finished.footer_crc,
                dead: Vec::new(),
            },
        );
    }

    /// Takes over the files of another table.
    pub(super) fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// Marks a chunk dead; whether it was alive.
    pub(super) fn release(&mut self, entry: &ChunkEntry) -> bool {
        let Some(file) = self.files.get_mut(&entry.file) else {
            return false;
        };
        if entry.ordinal >= file.info.chunks || !set(&mut file.dead, entry.ordinal) {
            return false;
        }
        file.info.live_chunks = file.info.live_chunks.saturating_sub(1);
        file.info.live_bytes = file.info.live_bytes.saturating_sub(entry.record_bytes());
        true
    }

    /// Marks a chunk as alive again.
    pub(super) fn revive(&mut self, entry: &ChunkEntry) {
        let Some(file) = self.files.get_mut(&entry.file) else {
            return;
        };
        if clear(&mut file.dead, entry.ordinal) {
            file.info.live_chunks += 1;
            file.info.live_bytes += entry.record_bytes();
        }
    }

    /// What a manifest lists, and the files it no longer does because nothing in them is alive.
    pub(super) fn snapshot(&self) -> (Vec<ManifestFile>, Vec<FileId>) {
        let mut listed = Vec::with_capacity(self.files.len());
        let mut obsolete = Vec::new();
        for (id, file) in &self.files {
            if file.info.live_chunks == 0 {
                obsolete.push(*id);
            } else {
                listed.push(ManifestFile {
                    id: *id,
                    size_bytes: file.info.size_bytes,
                    footer_crc: file.footer_crc,
                    chunks: file.info.chunks,
                    dead: ordinals(&file.dead),
                });
            }
        }
        (listed, obsolete)
    }

    /// Forgets a file; whether it was damaged.
    pub(super) fn remove(&mut self, id: FileId) -> Option<bool> {
        self.files.remove(&id).map(|file| file.info.damaged)
    }

    /// Files that are worth to be written anew.
    pub(super) fn sparse(&self, over_budget: bool) -> impl Iterator<Item = FileId> {
        let infos = self.files.values().map(|file| &file.info);
        let sparse = infos.filter(move |info| info.is_sparse(over_budget));
        sparse.map(|info| info.id)
    }

    pub(super) fn infos(&self) -> Vec<FileInfo> {
        self.files.values().map(|file| file.info).collect()
    }

    pub(super) fn usage(&self) -> BlockUsage {
        let mut usage = BlockUsage::default();
        for file in self.files.values() {
            usage.files += 1;
            usage.bytes += file.info.size_bytes;
            usage.chunks += u64::from(file.info.chunks);
            usage.live_chunks += u64::from(file.info.live_chunks);
            usage.live_bytes += file.info.live_bytes;
            if file.info.live_chunks > 0 {
                usage.dead_bytes += file.info.dead_bytes();
            }
            if file.info.is_sparse(true) {
                usage.sparse_bytes += file.info.dead_bytes();
            }
        }
        usage
    }
}

/// Sets a bit; whether it was clear.
fn set(bits: &mut Vec<u64>, ordinal: u32) -> bool {
    let word = ordinal as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    let mask = 1 << (ordinal % 64);
    let was_clear = bits[word] & mask == 0;
    bits[word] |= mask;
    was_clear
}

/// Clears a bit; whether it was set.
fn clear(bits: &mut [u64], ordinal: u32) -> bool {
    let mask = 1 << (ordinal % 64);
    bits.get_mut(ordinal as usize / 64).is_some_and(|word| {
        let was_set = *word & mask != 0;
        *word &= !mask;
        was_set
    })
}

/// The numbers of the bits that are set, ascending.
fn ordinals(bits: &[u64]) -> Vec<u32> {
    let mut ordinals = Vec::new();
    for (at, word) in bits.iter().enumerate() {
        let mut rest = *word;
        while rest != 0 {
            ordinals.push(at as u32 * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    ordinals
}
