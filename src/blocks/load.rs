//! Reads state, block and image files without changing any, and tells a visitor what they hold.
//!
//! Shared by open and by the walk. Damage is gathered, never fatal: only a file of a newer format ends it.

use std::sync::Arc;

use super::chunk::{ChunkEntry, FileId};
use super::error::{BlockError, Damage, Result};
use super::file::BlockFile;
use super::image::{
    Account, ImageRecord, KIND_ACCOUNT, KIND_DELETION, KIND_END, KIND_EXPIRY, KIND_PRODUCERS,
    KIND_ROWS,
};
use super::inventory::Folder;
use super::manifest::{Manifest, ManifestFile};
use super::records::{self, RecordFile};
use super::table::Table;
use crate::storage::{self, File, Storage};
use crate::types::StoreId;

/// Hears what a store holds, in this order: state records as they were written, chunks by file and
/// number, deletions and expiries, accounts, producers, images.
pub trait Visitor {
    /// A record of the state: databases, measurements, schemas, series, as the engine encoded them.
    fn state(&mut self, kind: u8, payload: &[u8]);
    /// A chunk that is alive.
    fn chunk(&mut self, entry: &ChunkEntry);
    /// The bytes of the chunk before, where they are read.
    fn chunk_bytes(&mut self, _entry: &ChunkEntry, _bytes: &[u8]) {}
    /// A deletion that chunks still need, as the engine encoded it. Whether it was understood.
    fn deletion(&mut self, payload: &[u8]) -> bool;
    /// An expiry that chunks still need, likewise.
    fn expiry(&mut self, _payload: &[u8]) -> bool {
        true
    }
    /// Producers whose batches are known, likewise.
    fn producers(&mut self, _payload: &[u8]) -> bool {
        true
    }
    /// What is accounted for of a series.
    fn account(&mut self, _account: Account) {}
    /// The rows of a series that were not yet sealed.
    fn image(&mut self, image: ImageRecord<'_>);
}

/// A block file as it was loaded.
pub(super) struct LoadedFile {
    /// As the next manifest lists it.
    pub(super) listed: ManifestFile,
    /// Chunks that are alive and were found, and their bytes.
    pub(super) live_chunks: u32,
    pub(super) live_bytes: u64,
    pub(super) times: Option<(i64, i64)>,
    pub(super) damaged: bool,
}

/// Reads files of one store.
pub(super) struct Loader<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) store: StoreId,
    /// Read and verify every chunk, not the index alone.
    pub(super) verify: bool,
    pub(super) damage: Vec<Damage>,
}

impl Loader<'_> {
    /// Visits a state file: its first `len` bytes, or as far as it validates.
    pub(super) fn state(&mut self, number: u32, len: Option<u64>, visitor: &mut dyn Visitor) {
        self.records(RecordFile::State, number, len, &mut |kind, payload| {
            visitor.state(kind, payload);
            true
        });
    }

    /// Visits an image file, likewise: what stands behind the images first.
    pub(super) fn image(&mut self, number: u32, len: Option<u64>, visitor: &mut dyn Visitor) {
        let before = self.damage.len();
        self.records(RecordFile::Image, number, len, &mut |kind, payload| {
            match kind {
                KIND_DELETION => visitor.deletion(payload),
                KIND_EXPIRY => visitor.expiry(payload),
                KIND_PRODUCERS => visitor.producers(payload),
                KIND_ACCOUNT => {
                    let account = Account::decode(payload);
                    account.map(|account| visitor.account(account)).is_some()
                }
                // Those are next.
                KIND_ROWS | KIND_END => true,
                _ => false,
            }
        });
        let known = self.damage.split_off(before);
        self.records(RecordFile::Image, number, len, &mut |kind, payload| {
            if kind != KIND_ROWS {
                return true;
            }
            let image = ImageRecord::decode(payload);
            image.map(|image| visitor.image(image)).is_some()
        });
        // What is damaged is so both times.
        for damage in known {
            if !self.damage[before..].contains(&damage) {
                self.damage.push(damage);
            }
        }
    }

    /// Whether an image file was written to its end.
    fn is_complete(&self, number: u32) -> bool {
        let name = RecordFile::Image.name(number);
        let Ok((file, len_bytes)) = self.file_and_len(&name) else {
            return false;
        };
        let seed = records::seed(self.store, number);
        let mut ended = false;
        let mut visit = |kind: u8, _: &[u8]| {
            ended |= kind == KIND_END;
            true
        };
        records::visit_records(&*file, &name, &seed, len_bytes, &mut visit);
        ended
    }

    fn records(
        &mut self,
        kind: RecordFile,
        number: u32,
        len: Option<u64>,
        visit: &mut dyn FnMut(u8, &[u8]) -> bool,
    ) {
        let name = kind.name(number);
        let Some((file, size)) = self.open(&name) else {
            return;
        };
        match records::read_file_header(kind, &*file, &name) {
            Ok(found) if found == (self.store, number) => {}
            Ok(_) => self.damage.push(Damage::FileChanged { name: name.clone() }),
            Err(error) => self.damage.push(Damage::FileUnusable {
                name: name.clone(),
                reason: error.to_string(),
            }),
        }
        let end = len.unwrap_or(size);
        if end > size {
            self.damage.push(Damage::Lost {
                name: name.clone(),
                range: size..end,
            });
        }
        let seed = records::seed(self.store, number);
        let end = end.min(size);
        let lost = records::visit_records(&*file, &name, &seed, end, visit);
        self.damage.extend(lost);
    }

    /// Visits a block file. `None` where it is not there; a file that cannot be read now stays listed. Of a file that
    /// no manifest lists every chunk is read, and only those that are whole are visited.
    pub(super) fn block_file(
        &mut self,
        id: FileId,
        listed: Option<&ManifestFile>,
        visitor: &mut dyn Visitor,
    ) -> Result<Option<LoadedFile>> {
        let name = id.name();
        let unreadable = |damage: &mut Vec<Damage>, reason: Option<String>| {
            if let Some(reason) = reason {
                let name = name.clone();
                damage.push(Damage::FileUnusable { name, reason });
            }
            listed.map(|listed| LoadedFile {
                live_chunks: listed.chunks - listed.dead.len() as u32,
                live_bytes: listed.size_bytes,
                listed: listed.clone(),
                times: None,
                damaged: true,
            })
        };
        let file = match self.storage.open_file(&name) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => {
                self.damage.push(Damage::FileMissing { name });
                return Ok(None);
            }
            Err(error) => return Ok(unreadable(&mut self.damage, Some(error.to_string()))),
        };
        let mut opened = match BlockFile::open(file, self.store, id) {
            Ok(opened) => opened,
            Err(error @ BlockError::Newer { .. }) => return Err(error),
            Err(error) => return Ok(unreadable(&mut self.damage, Some(error.to_string()))),
        };
        if let Some(listed) = listed {
            for damage in &mut opened.damage {
                if let Damage::Index { expected, .. } = damage {
                    *expected = Some(listed.chunks as usize);
                }
            }
            let same = opened.size_bytes == listed.size_bytes
                && opened.footer_crc.unwrap_or(listed.footer_crc) == listed.footer_crc;
            if !same {
                let name = name.clone();
                opened.damage.push(Damage::FileChanged { name });
            }
        }
        let mut loaded = LoadedFile {
            listed: ManifestFile {
                id,
                size_bytes: opened.size_bytes,
                footer_crc: opened.footer_crc.unwrap_or_default(),
                chunks: opened.entries.last().map_or(0, |entry| entry.ordinal + 1),
                dead: listed.map_or_else(Vec::new, |listed| listed.dead.clone()),
            },
            live_chunks: 0,
            live_bytes: 0,
            times: None,
            damaged: !opened.damage.is_empty(),
        };
        if let Some(listed) = listed {
            loaded.listed.chunks = loaded.listed.chunks.max(listed.chunks);
        }
        self.damage.append(&mut opened.damage);
        for entry in &opened.entries {
            if loaded.listed.dead.binary_search(&entry.ordinal).is_ok() {
                continue;
            }
            let read = (self.verify || listed.is_none()).then(|| opened.file.read_chunk(entry));
            if let Some(Err(error)) = &read {
                loaded.damaged = true;
                self.damage.push(chunk_damage(&name, entry, error));
                // No manifest says that this file was ever synced: a power cut may have kept its index alone.
                if listed.is_none() && matches!(error, BlockError::Damaged { .. }) {
                    loaded.listed.dead.push(entry.ordinal);
                    continue;
                }
            }
            let (first, last) = (entry.meta.first_time, entry.meta.last_time);
            let (least, most) = loaded.times.unwrap_or((first, last));
            loaded.times = Some((least.min(first), most.max(last)));
            loaded.live_chunks += 1;
            loaded.live_bytes += entry.record_bytes();
            visitor.chunk(entry);
            if self.verify
                && let Some(Ok(bytes)) = read
            {
                visitor.chunk_bytes(entry, &bytes);
            }
        }
        Ok(Some(loaded))
    }

    /// Visits what a manifest lists.
    pub(super) fn listed(
        &mut self,
        manifest: &Manifest,
        table: &mut Table,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        if let Some(state) = manifest.state {
            self.state(state.number, Some(state.len_bytes), visitor);
        }
        for listed in &manifest.files {
            if let Some(file) = self.block_file(listed.id, Some(listed), visitor)? {
                table.add_loaded(file);
            }
        }
        if let Some(image) = manifest.image {
            self.image(image.number, Some(image.len_bytes), visitor);
        }
        Ok(())
    }

    /// Visits files that no manifest describes: all states in their order, all chunks, the newest images that are complete.
    pub(super) fn found(
        &mut self,
        folder: &Folder,
        table: &mut Table,
        visitor: &mut dyn Visitor,
    ) -> Result<()> {
        for number in &folder.states {
            self.state(*number, None, visitor);
        }
        for id in &folder.blocks {
            if let Some(file) = self.block_file(*id, None, visitor)? {
                table.add_loaded(file);
            }
        }
        let images = &folder.images;
        let complete = images.iter().rfind(|number| self.is_complete(**number));
        if let Some(number) = complete.or(images.last()) {
            self.image(*number, None, visitor);
        }
        Ok(())
    }

    fn file_and_len(&self, name: &str) -> storage::Result<(Arc<dyn File>, u64)> {
        let file = self.storage.open_file(name)?;
        let len_bytes = file.len_bytes()?;
        Ok((file, len_bytes))
    }

    fn open(&mut self, name: &str) -> Option<(Arc<dyn File>, u64)> {
        match self.file_and_len(name) {
            Ok(opened) => Some(opened),
            Err(error) => {
                let name = name.to_owned();
                self.damage.push(if error.is_not_found() {
                    Damage::FileMissing { name }
                } else {
                    let reason = error.to_string();
                    Damage::FileUnusable { name, reason }
                });
                None
            }
        }
    }
}

/// An error of reading a chunk as damage of its file.
pub(super) fn chunk_damage(name: &str, entry: &ChunkEntry, error: &BlockError) -> Damage {
    match error {
        BlockError::Damaged { .. } => Damage::Chunk {
            name: name.to_owned(),
            offset: entry.offset,
            series: entry.meta.series,
            rows: entry.meta.rows,
            times: (entry.meta.first_time, entry.meta.last_time),
        },
        error => Damage::FileUnusable {
            name: name.to_owned(),
            reason: error.to_string(),
        },
    }
}
