//! The block store: everything of a store but its log, changed by commits and read at any time.
//!
//! A checkpoint finishes a [`ChunkWriter`], calls `append_state` (or `rewrite_state`), finishes an [`ImageWriter`], and
//! calls `commit`. Each of the first three is synced when it returns; `commit` makes a manifest durable that
//! refers to them; only after it has returned may log segments before its `replay_from` be recycled.
//! Until then the previous manifest is valid, and everything it refers to is there.
//!
//! Locks, in this order: `writer` (held over syncs and commits, by the one who checkpoints), `table`,
//! `open_files`, the cache's shards. Readers take the last two only, and never over a read.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use super::cache::{CacheStats, ChunkCache};
use super::checkpoint::Checkpoint;
use super::chunk::{ChunkEntry, FOLDER, FileId};
use super::error::{BlockError, Damage, Result};
use super::file::BlockFile;
use super::inventory::{Folder, Manifests};
use super::load::{Loader, Visitor, chunk_damage};
use super::manifest::{CommitInfo, MANIFEST_NAMES, Manifest};
use super::pending::{ChunkWriter, ImageWriter};
use super::pins::{Pin, Pins};
use super::records::RecordFile;
use super::table::{BlockUsage, FileInfo, Table};
use super::writer::FinishedFile;
use crate::limits::BLOCK_FILES_OPEN;
use crate::mutants::{self, Mutant};
use crate::storage::Storage;
use crate::types::StoreId;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct BlockOptions {
    /// The store that has to be there, where the caller knows it (from the log); a manifest of another
    /// store is then an error.
    pub expected: Option<StoreId>,
    /// The identity of the store if there is none yet: random, from the caller.
    pub fresh: StoreId,
    /// Whether the log names no store: manifests that do not validate, and nothing beside them, are then those
    /// of a store that was just being made.
    pub log_is_blank: bool,
    /// Bytes of the chunk cache.
    pub cache_bytes: usize,
}

/// What opening found.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The store's identity.
    pub store: StoreId,
    /// Whether there was nothing: the caller commits a first manifest, so that the identity lasts.
    pub created: bool,
    /// The manifest in force. `None` for a new store, and where both are damaged.
    pub manifest: Option<Manifest>,
    /// What was lost or is doubtful.
    pub damage: Vec<Damage>,
    /// Files no manifest lists that were kept, because a manifest is damaged that may have listed them.
    /// Where the log does not reach back to `replay_from`, call [`BlockStore::adopt_unreferenced`], elsewhere
    /// [`BlockStore::drop_unreferenced`].
    pub unreferenced: usize,
    /// Whether the device does not give a manifest that is there: a later start may be able to read it, so
    /// nothing is removed meanwhile.
    pub manifest_unread: bool,
    /// Whether the state has to be written anew before the next commit: the old file is damaged, or no
    /// manifest says how far it is valid.
    pub state_rewrite_needed: bool,
}

/// Sealed chunks, catalog state and images on disk.
pub struct BlockStore {
    pub(super) storage: Arc<dyn Storage>,
    store: StoreId,
    pub(super) writer: Mutex<Checkpoint>,
    /// Bytes of the state and of the image file, so that nobody waits for a checkpoint to learn them.
    record_bytes: [AtomicU64; 2],
    table: Mutex<Table>,
    open_files: Mutex<LruCache<FileId, Arc<BlockFile>>>,
    cache: ChunkCache,
    pins: Arc<Pins>,
    /// Damage that reads met, until somebody takes it.
    met: Mutex<Vec<Damage>>,
}

/// Files that the newest manifest does not list, and that are still there.
#[derive(Debug)]
#[must_use]
pub struct Unlisted(Vec<FileId>);

impl BlockStore {
    /// Opens the store, and tells the visitor what it holds. Leftovers of a checkpoint that a crash
    /// interrupted are removed.
    ///
    /// Damage never makes it fail: only the device, a newer format, and a store other than the expected do.
    pub fn open(
        storage: Arc<dyn Storage>,
        options: BlockOptions,
        visitor: &mut dyn Visitor,
    ) -> Result<(Self, Opened)> {
        storage.create_folder(FOLDER)?;
        let settled = MANIFEST_NAMES.map(|name| {
            if mutants::is(Mutant::UnsyncedRestart) {
                return Ok(());
            }
            storage.settle(name)
        });
        let manifests = Manifests::read(&*storage, options.expected)?;
        let folder = Folder::read(&*storage)?;
        let manifest = manifests.manifest();
        if let Some(current) = manifests.current
            && !mutants::is(Mutant::UnsyncedRestart)
        {
            // What it no longer lists goes now.
            settled.into_iter().nth(current).unwrap_or(Ok(()))?;
            storage.sync_folder("")?;
        }
        let untouched = manifests.damage.is_empty() || options.log_is_blank;
        let created = manifest.is_none() && untouched && folder.files() == 0;
        let store = manifest
            .map(|manifest| manifest.store)
            .or(options.expected)
            .or_else(|| folder.store(&*storage))
            .unwrap_or(options.fresh);
        let mut loader = Loader {
            storage: &*storage,
            store,
            verify: false,
            damage: if created {
                Vec::new()
            } else {
                manifests.damage.clone()
            },
        };
        let mut table = Table::default();
        let mut checkpoint = Checkpoint::new(Arc::clone(&storage), store, &manifests, &folder);
        if let Some(manifest) = manifest {
            loader.listed(manifest, &mut table, visitor)?;
            let state = manifest
                .state
                .map(|state| RecordFile::State.name(state.number));
            let of_state = |damage: &Damage| {
                state
                    .as_deref()
                    .is_some_and(|name| damage.file_name() == Some(name))
            };
            if loader.damage.iter().any(of_state) {
                checkpoint.require_state();
            }
            let image = manifest
                .image
                .map(|image| RecordFile::Image.name(image.number));
            if image
                .is_some_and(|image| loader.damage.iter().any(|d| d.file_name() == Some(&image)))
            {
                checkpoint.keep_evidence();
            }
            let unreferenced = folder.unreferenced(manifest);
            if manifests.damage.is_empty() {
                checkpoint.remove_leftovers(&unreferenced);
            } else {
                checkpoint.keep_unreferenced(unreferenced);
            }
        } else if !created {
            let files = folder.files();
            loader.damage.push(Damage::NoManifest { files });
            loader.found(&folder, &mut table, visitor)?;
            checkpoint.require_state();
        }
        let opened = Opened {
            store,
            created,
            manifest: manifest.cloned(),
            damage: loader.damage,
            unreferenced: checkpoint.unreferenced(),
            manifest_unread: manifests.unread,
            state_rewrite_needed: checkpoint.state_is_required(),
        };
        let record_bytes = checkpoint.record_bytes().map(AtomicU64::new);
        let this = Self {
            storage,
            record_bytes,
            store,
            writer: Mutex::new(checkpoint),
            table: Mutex::new(table),
            open_files: Mutex::new(LruCache::new(OPEN_FILES)),
            cache: ChunkCache::new(options.cache_bytes),
            pins: Arc::default(),
            met: Mutex::default(),
        };
        Ok((this, opened))
    }

    /// Takes over files that no manifest lists: needed where the newer manifest is lost and the log has
    /// been recycled behind the older one. The visitor hears state records, chunks and images again or for
    /// the first time; the newest log position decides. The state has to be rewritten before the next commit.
    pub fn adopt_unreferenced(&self, visitor: &mut dyn Visitor) -> Result<Vec<Damage>> {
        let mut writer = self.writer.lock();
        let Some(folder) = writer.take_unreferenced() else {
            return Ok(Vec::new());
        };
        let mut loader = Loader {
            storage: &*self.storage,
            store: self.store,
            verify: false,
            damage: Vec::new(),
        };
        let mut found = Table::default();
        loader.found(&folder, &mut found, visitor)?;
        self.table.lock().merge(found);
        writer.require_state();
        Ok(loader.damage)
    }

    /// Removes files that no manifest lists: where the log reaches back to `replay_from`, they are what a power
    /// cut left of a checkpoint.
    pub fn drop_unreferenced(&self) {
        self.writer.lock().drop_unreferenced();
    }

    /// The store's identity.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// Begins to write chunks to one new block file.
    pub const fn chunk_writer(&self) -> ChunkWriter<'_> {
        ChunkWriter::new(self)
    }

    /// Gives up chunks that were written and not committed: their file goes at once.
    pub fn discard_chunks(&self, entries: &[ChunkEntry]) {
        let Some(file) = entries.first().map(|entry| entry.file) else {
            return;
        };
        let mut writer = self.writer.lock();
        self.table.lock().remove(file);
        writer.discard(file);
    }

    /// Appends records (kind and payload) to the state and syncs it. After an error nothing of them is
    /// there, and they have to be given again.
    pub fn append_state<B: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = (u8, B)>,
    ) -> Result<()> {
        let written = self.writer.lock().append_state(records);
        self.note_bytes();
        written
    }

    /// Writes the whole state anew, to a file that replaces the old one at the next commit. For a state
    /// that has grown much beyond what it holds, or whose file is damaged.
    pub fn rewrite_state<B: AsRef<[u8]>>(
        &self,
        records: impl IntoIterator<Item = (u8, B)>,
    ) -> Result<()> {
        let written = self.writer.lock().rewrite_state(records);
        self.note_bytes();
        written
    }

    /// Begins to write all images anew.
    pub const fn image_writer(&self) -> ImageWriter<'_> {
        ImageWriter::new(self)
    }

    /// Makes all that was written since the last commit the store: durable when it returns. Then removes
    /// the files that are no longer part of it. Returns the manifest's sequence number.
    ///
    /// After an error the previous commit is in force, or this one: recycle nothing, and try again.
    pub fn commit(&self, info: CommitInfo) -> Result<u64> {
        let (sequence, unlisted) = self.commit_manifest(info)?;
        self.retire(unlisted);
        Ok(sequence)
    }

    /// The same, but files that are no longer part of the store stay until [`Self::retire`]: whoever has entries of
    /// theirs in memory replaces these first, so that nobody copies one behind a pin that does not hold it.
    pub fn commit_manifest(&self, info: CommitInfo) -> Result<(u64, Unlisted)> {
        let mut writer = self.writer.lock();
        let (listed, obsolete) = self.table.lock().snapshot();
        let sequence = writer.commit(info, listed)?;
        Ok((sequence, Unlisted(obsolete)))
    }

    /// Removes files that a commit has left out, as soon as no pin from before this call is left.
    pub fn retire(&self, Unlisted(obsolete): Unlisted) {
        let mut writer = self.writer.lock();
        let generation = self.pins.advance();
        for id in obsolete {
            let damaged = self.table.lock().remove(id).unwrap_or(false);
            writer.bury(generation, id, damaged);
        }
        for id in writer.remove_obsolete(&self.pins) {
            self.open_files.lock().pop(&id);
            self.cache.remove_file(id);
        }
    }

    /// Reads a chunk through the cache. Take a [`Self::pin`] before copying the entry where a commit may
    /// happen in between.
    pub fn read_chunk(&self, entry: &ChunkEntry) -> Result<Bytes> {
        let len = entry.len_bytes as usize;
        let cached = self.cache.get(entry.file, entry.offset);
        if let Some(bytes) = cached.filter(|bytes| bytes.len() == len) {
            return Ok(bytes);
        }
        let bytes = self.read_chunk_uncached(entry)?;
        self.cache.insert(entry.file, entry.offset, bytes.clone());
        Ok(bytes)
    }

    /// Reads a chunk without displacing others from the cache: for compaction, backup and verification.
    pub fn read_chunk_uncached(&self, entry: &ChunkEntry) -> Result<Bytes> {
        let read = self.file(entry.file)?.read_chunk(entry);
        if let Err(error @ BlockError::Damaged { .. }) = &read {
            let damage = chunk_damage(&entry.file.name(), entry, error);
            let mut met = self.met.lock();
            if met.len() < MET_MAX && !met.contains(&damage) {
                met.push(damage);
            }
        }
        read
    }

    /// Whether reads met damage that nobody has taken.
    pub fn has_met_damage(&self) -> bool {
        !self.met.lock().is_empty()
    }

    /// Damage that reads met since the last call.
    pub fn take_damage(&self) -> Vec<Damage> {
        std::mem::take(&mut *self.met.lock())
    }

    /// Keeps files from being removed while entries of theirs are in use.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pins.pin()
    }

    /// Declares a chunk dead: expired, deleted or rewritten elsewhere. Takes effect on disk with the next
    /// commit; a file without a living chunk is removed then. Returns whether it was alive.
    pub fn release(&self, entry: &ChunkEntry) -> bool {
        self.table.lock().release(entry)
    }

    /// Takes [`Self::release`] back, where the commit that was to make it last has failed.
    pub fn revive(&self, entry: &ChunkEntry) {
        self.table.lock().revive(entry);
    }

    /// Files of which less than half is alive, or of a store over its budget all but a sixteenth, and that can be read.
    #[must_use]
    pub fn sparse_files(&self, over_budget: bool) -> HashSet<FileId> {
        self.table.lock().sparse(over_budget).collect()
    }

    /// All block files, by id.
    #[must_use]
    pub fn files(&self) -> Vec<FileInfo> {
        self.table.lock().infos()
    }

    /// What is on disk.
    #[must_use]
    pub fn usage(&self) -> BlockUsage {
        let [state, image] = &self.record_bytes;
        BlockUsage {
            state_bytes: state.load(Ordering::Relaxed),
            image_bytes: image.load(Ordering::Relaxed),
            ..self.table.lock().usage()
        }
    }

    /// The manifest of the last commit: with a pin taken before, the list of a consistent backup.
    #[must_use]
    pub fn committed(&self) -> Option<Arc<Manifest>> {
        self.writer.lock().committed()
    }

    /// The cache's figures.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// The cache, to resize or clear it.
    #[must_use]
    pub const fn cache(&self) -> &ChunkCache {
        &self.cache
    }

    /// A file whose chunks the next commit makes part of the store.
    pub(super) fn add_finished(&self, finished: &FinishedFile) {
        self.table.lock().add_finished(finished);
    }

    pub(super) fn note_bytes(&self) {
        let bytes = self.writer.lock().record_bytes();
        for (noted, now) in self.record_bytes.iter().zip(bytes) {
            noted.store(now, Ordering::Relaxed);
        }
    }

    fn file(&self, id: FileId) -> Result<Arc<BlockFile>> {
        if let Some(file) = self.open_files.lock().get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = self.storage.open_file(&id.name()).map_err(|error| {
            if error.is_not_found() {
                BlockError::FileGone { file: id }
            } else {
                error.into()
            }
        })?;
        let file = Arc::new(BlockFile::unchecked(file, self.store, id));
        self.open_files.lock().put(id, Arc::clone(&file));
        Ok(file)
    }
}

/// Damage that reads met and nobody has taken, at most.
const MET_MAX: usize = 100;
/// Handles held open at a time.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(BLOCK_FILES_OPEN).expect("asserted in limits");
