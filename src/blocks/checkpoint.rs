//! The writing side of a checkpoint: block files, state, images, and the two manifests.
//!
//! Holds to these rules. A file is referred to only after it is synced. The manifest in force is never
//! touched: the other slot is written. A file is removed only after a durable manifest no longer lists it.

use std::sync::Arc;

use super::chunk::{FOLDER, FileId};
use super::error::{BlockError, Result};
use super::inventory::{Folder, ManifestFound, Manifests};
use super::manifest::{CommitInfo, MANIFEST_NAMES, Manifest, ManifestFile, ManifestRecords};
use super::pins::Pins;
use super::record_writer::RecordWriter;
use super::records::RecordFile;
use super::writer::{BlockFileWriter, FinishedFile};
use crate::limits::MANIFEST_COUNTERS;
use crate::mutants::{self, Mutant};
use crate::storage::Storage;
use crate::types::StoreId;

/// Where damaged files go instead of being removed.
const QUARANTINE: &str = "quarantine";

/// What the next commit will refer to.
pub(super) struct Checkpoint {
    storage: Arc<dyn Storage>,
    store: StoreId,
    committed: Option<Arc<Manifest>>,
    /// The manifest file written next.
    slot: usize,
    /// Whether that file has to be made anew: it is not there, or a write to it failed.
    slot_is_new: bool,
    next_file: FileId,
    next_number: u32,
    state: Option<ManifestRecords>,
    image: Option<ManifestRecords>,
    state_required: bool,
    /// Whether the state and image files of before are evidence of damage, to be kept aside.
    records_are_evidence: bool,
    unreferenced: Option<Folder>,
    /// State and image files that are on the device.
    record_files: Vec<(RecordFile, u32)>,
    graveyard: Vec<Grave>,
}

/// A file no durable manifest lists any more.
struct Grave {
    generation: u64,
    name: String,
    block_file: Option<FileId>,
    damaged: bool,
}

impl Checkpoint {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        store: StoreId,
        manifests: &Manifests,
        folder: &Folder,
    ) -> Self {
        let manifest = manifests.manifest();
        let slot = manifests.current.map_or(0, |current| 1 - current);
        let highest = folder.blocks.last().map_or(0, |id| id.0);
        let next_file = manifest.map_or(1, |manifest| manifest.next_file.0);
        let numbers = [folder.states.last(), folder.images.last()];
        let number = numbers.into_iter().flatten().max().copied().unwrap_or(0);
        let next_number = manifest.map_or(1, |manifest| manifest.next_number);
        let states = folder.states.iter().map(|n| (RecordFile::State, *n));
        let images = folder.images.iter().map(|n| (RecordFile::Image, *n));
        Self {
            storage,
            store,
            committed: manifest.cloned().map(Arc::new),
            slot,
            slot_is_new: !matches!(manifests.found[slot], ManifestFound::Valid(_)),
            next_file: FileId(next_file.max(highest.saturating_add(1))),
            next_number: next_number.max(number.saturating_add(1)),
            state: manifest.and_then(|manifest| manifest.state),
            image: manifest.and_then(|manifest| manifest.image),
            state_required: false,
            records_are_evidence: false,
            unreferenced: None,
            record_files: states.chain(images).collect(),
            graveyard: Vec::new(),
        }
    }

    /// Removes what a crash left behind. What cannot be removed now is tried again at the next commit.
    pub(super) fn remove_leftovers(&mut self, leftovers: &Folder) {
        for id in &leftovers.blocks {
            self.bury(0, *id, false);
        }
        let states = leftovers.states.iter().map(|n| (RecordFile::State, *n));
        let images = leftovers.images.iter().map(|n| (RecordFile::Image, *n));
        for file in states.chain(images) {
            self.bury_records(file, false);
        }
        self.remove_obsolete(&Pins::default());
    }

    pub(super) fn keep_unreferenced(&mut self, folder: Folder) {
        self.unreferenced = Some(folder);
    }

    /// They hold nothing that is not elsewhere.
    pub(super) fn drop_unreferenced(&mut self) {
        if let Some(folder) = self.unreferenced.take() {
            self.remove_leftovers(&folder);
        }
    }

    /// The files that may have been listed by the manifest that is lost: among them the state in force, which
    /// may go on behind its valid length.
    pub(super) fn take_unreferenced(&mut self) -> Option<Folder> {
        let mut folder = self.unreferenced.take()?;
        folder.states.extend(self.state.map(|state| state.number));
        folder.states.sort_unstable();
        Some(folder)
    }

    pub(super) fn unreferenced(&self) -> usize {
        self.unreferenced.as_ref().map_or(0, Folder::files)
    }

    /// From now on a commit fails until the state has been rewritten.
    pub(super) fn require_state(&mut self) {
        self.state = None;
        self.state_required = true;
        self.records_are_evidence = true;
    }

    /// From now on the state and image files of before are moved aside, not removed.
    pub(super) const fn keep_evidence(&mut self) {
        self.records_are_evidence = true;
    }

    pub(super) const fn state_is_required(&self) -> bool {
        self.state_required
    }

    pub(super) fn committed(&self) -> Option<Arc<Manifest>> {
        self.committed.clone()
    }

    /// Bytes of the state and of the image file.
    pub(super) fn record_bytes(&self) -> [u64; 2] {
        let len = |records: Option<ManifestRecords>| records.map_or(0, |records| records.len_bytes);
        [len(self.state), len(self.image)]
    }

    /// Begins the next block file.
    pub(super) fn begin_chunks(&mut self) -> Result<BlockFileWriter> {
        let id = self.next_file;
        self.next_file = FileId(next(id.0, "block file ids")?);
        BlockFileWriter::create(&*self.storage, self.store, id).inspect_err(|_| self.discard(id))
    }

    /// Completes it.
    pub(super) fn finish_chunks(&mut self, writer: BlockFileWriter) -> Result<FinishedFile> {
        let id = writer.id();
        let finished = writer.finish(&*self.storage);
        finished.inspect_err(|_| self.discard(id))
    }

    /// Removes a block file that no manifest has listed.
    pub(super) fn discard(&mut self, id: FileId) {
        if self.storage.remove(&id.name()).is_err() {
            self.bury(0, id, false);
        }
    }

    pub(super) fn append_state<B: AsRef<[u8]>>(
        &mut self,
        records: impl IntoIterator<Item = (u8, B)>,
    ) -> Result<()> {
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        if self.state_required {
            return Err(BlockError::StateMissing);
        }
        let Some(state) = self.state else {
            return self.rewrite_state(records);
        };
        let file = self
            .storage
            .open_file(&RecordFile::State.name(state.number))?;
        let mut writer = RecordWriter::append(file, self.store, state);
        for (kind, payload) in records {
            writer.record(kind, &[payload.as_ref()])?;
        }
        self.state = Some(writer.finish()?);
        Ok(())
    }

    pub(super) fn rewrite_state<B: AsRef<[u8]>>(
        &mut self,
        records: impl IntoIterator<Item = (u8, B)>,
    ) -> Result<()> {
        let mut writer = self.begin_records(RecordFile::State)?;
        let number = writer.number();
        let written = records
            .into_iter()
            .try_for_each(|(kind, payload)| writer.record(kind, &[payload.as_ref()]));
        if let Err(error) = written {
            drop(writer);
            self.discard_records(RecordFile::State, number);
            return Err(error);
        }
        self.state = Some(self.finish_records(RecordFile::State, writer)?);
        self.state_required = false;
        Ok(())
    }

    /// Begins the next file of images.
    pub(super) fn begin_images(&mut self) -> Result<RecordWriter> {
        self.begin_records(RecordFile::Image)
    }

    /// Completes it, for the next commit; without one there are no images from then on.
    pub(super) fn finish_images(&mut self, writer: Option<RecordWriter>) -> Result<()> {
        self.image = match writer {
            Some(writer) => Some(self.finish_records(RecordFile::Image, writer)?),
            None => None,
        };
        Ok(())
    }

    /// Removes a file of images that no manifest has listed.
    pub(super) fn discard_images(&mut self, number: u32) {
        self.discard_records(RecordFile::Image, number);
    }

    /// Begins a new file of records.
    fn begin_records(&mut self, kind: RecordFile) -> Result<RecordWriter> {
        let number = self.next_number;
        self.next_number = next(number, "state and image numbers")?;
        let file = self.storage.create_file(&kind.name(number));
        let file = file.inspect_err(|_| self.discard_records(kind, number))?;
        Ok(RecordWriter::create(file, kind, self.store, number))
    }

    /// Syncs a new file of records and its name.
    fn finish_records(
        &mut self,
        kind: RecordFile,
        writer: RecordWriter,
    ) -> Result<ManifestRecords> {
        let number = writer.number();
        let finished = writer.finish().and_then(|written| {
            if !mutants::is(Mutant::NoFolderSync) {
                self.storage.sync_folder(FOLDER)?;
            }
            Ok(written)
        });
        match finished {
            Ok(_) => self.record_files.push((kind, number)),
            Err(_) => self.discard_records(kind, number),
        }
        finished
    }

    fn discard_records(&mut self, kind: RecordFile, number: u32) {
        if self.storage.remove(&kind.name(number)).is_err() {
            self.record_files.push((kind, number));
        }
    }

    /// Writes the manifest and makes it durable.
    pub(super) fn commit(&mut self, info: CommitInfo, files: Vec<ManifestFile>) -> Result<u64> {
        if self.state_required {
            return Err(BlockError::StateMissing);
        }
        if info.counters.len() > MANIFEST_COUNTERS {
            return Err(BlockError::TooLarge {
                what: "counters of a manifest",
                found: info.counters.len() as u64,
                limit: MANIFEST_COUNTERS as u64,
            });
        }
        let mut manifest = Manifest {
            store: self.store,
            sequence: self.committed.as_ref().map_or(0, |last| last.sequence),
            info,
            next_file: self.next_file,
            next_number: self.next_number,
            state: self.state,
            image: self.image,
            files,
        };
        // The first commit writes both files, so that a manifest that is missing later is known to be lost.
        loop {
            manifest.sequence += 1;
            self.write_manifest(&manifest.encode())
                .inspect_err(|_| self.slot_is_new = true)?;
            self.slot = 1 - self.slot;
            self.slot_is_new = manifest.sequence == 1;
            self.committed = Some(Arc::new(manifest.clone()));
            if manifest.sequence > 1 {
                break;
            }
        }
        self.bury_what_is_not_listed();
        Ok(manifest.sequence)
    }

    /// In place where the file is there, which needs no space on a full device.
    fn write_manifest(&mut self, bytes: &[u8]) -> Result<()> {
        let name = MANIFEST_NAMES[self.slot];
        let file = if self.slot_is_new {
            self.storage.create_file(name)?
        } else {
            self.storage.open_file(name)?
        };
        file.write_at(0, bytes)?;
        file.sync()?;
        if self.slot_is_new {
            self.storage.sync_folder("")?;
        }
        Ok(())
    }

    fn bury_what_is_not_listed(&mut self) {
        let current = [
            self.state.map(|state| (RecordFile::State, state.number)),
            self.image.map(|image| (RecordFile::Image, image.number)),
        ];
        let record_files = std::mem::take(&mut self.record_files);
        for file in record_files {
            if current.contains(&Some(file)) {
                self.record_files.push(file);
            } else {
                self.bury_records(file, self.records_are_evidence);
            }
        }
        self.records_are_evidence = false;
        if let Some(unreferenced) = self.unreferenced.take() {
            for id in unreferenced.blocks {
                self.bury(0, id, true);
            }
        }
    }

    /// Notes a block file for removal, once nobody has a pin older than the generation.
    pub(super) fn bury(&mut self, generation: u64, id: FileId, damaged: bool) {
        self.graveyard.push(Grave {
            generation,
            name: id.name(),
            block_file: Some(id),
            damaged,
        });
    }

    fn bury_records(&mut self, (kind, number): (RecordFile, u32), damaged: bool) {
        self.graveyard.push(Grave {
            generation: 0,
            name: kind.name(number),
            block_file: None,
            damaged,
        });
    }

    /// Removes what is noted and not pinned; returns the block files among it. A file that resists stays
    /// noted: the store is whole without it.
    pub(super) fn remove_obsolete(&mut self, pins: &Pins) -> Vec<FileId> {
        let mut removed = Vec::new();
        let graveyard = std::mem::take(&mut self.graveyard);
        for grave in graveyard {
            if !pins.is_free(grave.generation) || !self.remove(&grave) {
                self.graveyard.push(grave);
            } else {
                removed.extend(grave.block_file);
            }
        }
        removed
    }

    fn remove(&self, grave: &Grave) -> bool {
        let done = if grave.damaged {
            let base = grave.name.rsplit('/').next().unwrap_or(&grave.name);
            self.storage.create_folder(QUARANTINE).and_then(|()| {
                self.storage
                    .rename(&grave.name, &format!("{QUARANTINE}/{base}"))
            })
        } else {
            self.storage.remove(&grave.name)
        };
        done.map_or_else(|error| error.is_not_found(), |()| true)
    }
}

fn next(number: u32, what: &'static str) -> Result<u32> {
    number.checked_add(1).ok_or(BlockError::TooLarge {
        what,
        found: u64::from(number) + 1,
        limit: u64::from(u32::MAX),
    })
}
