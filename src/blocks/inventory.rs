//! What lies on the device before anything of it is used: the two manifests, and the names in the folder.

use super::chunk::{FOLDER, FileId};
use super::error::{BlockError, Damage, Result};
use super::file;
use super::manifest::{MANIFEST_NAMES, Manifest, ManifestError, ManifestRecords, VERSION};
use super::records::{self, RecordFile};
use crate::storage::Storage;
use crate::types::StoreId;

/// A manifest file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestFound {
    /// Not there.
    Absent,
    /// There, and not usable.
    Damaged(String),
    /// Valid.
    Valid(Manifest),
}

/// Both manifests.
pub(super) struct Manifests {
    pub(super) found: [ManifestFound; 2],
    /// Whether the device does not give one that is there: it may be the newer one.
    pub(super) unread: bool,
    /// The one that counts: slot of the valid one with the higher sequence number.
    pub(super) current: Option<usize>,
    pub(super) damage: Vec<Damage>,
}

impl Manifests {
    pub(super) fn read(storage: &dyn Storage, expected: Option<StoreId>) -> Result<Self> {
        let mut found = [ManifestFound::Absent, ManifestFound::Absent];
        let mut damage = Vec::new();
        let mut unread = false;
        for (slot, name) in MANIFEST_NAMES.into_iter().enumerate() {
            found[slot] = read_manifest(storage, name, &mut unread)?;
            if let ManifestFound::Damaged(reason) = &found[slot] {
                damage.push(Damage::Manifest {
                    name,
                    reason: reason.clone(),
                });
            }
        }
        let sequence = |slot: usize| match &found[slot] {
            ManifestFound::Valid(manifest) => Some(manifest.sequence),
            _ => None,
        };
        let current = (0..2).filter(|slot| sequence(*slot).is_some());
        let current = current.max_by_key(|slot| sequence(*slot));
        if let Some(slot) = current
            && let ManifestFound::Valid(manifest) = &found[slot]
        {
            if let Some(expected) = expected.filter(|expected| *expected != manifest.store) {
                return Err(BlockError::OtherStore {
                    name: MANIFEST_NAMES[slot].to_owned(),
                    found: manifest.store,
                    expected,
                });
            }
            if manifest.sequence > 1 && found[1 - slot] == ManifestFound::Absent {
                damage.push(Damage::Manifest {
                    name: MANIFEST_NAMES[1 - slot],
                    reason: "missing".to_owned(),
                });
            }
        }
        Ok(Self {
            found,
            unread,
            current,
            damage,
        })
    }

    pub(super) fn manifest(&self) -> Option<&Manifest> {
        match &self.found[self.current?] {
            ManifestFound::Valid(manifest) => Some(manifest),
            _ => None,
        }
    }
}

fn read_manifest(
    storage: &dyn Storage,
    name: &'static str,
    unread: &mut bool,
) -> Result<ManifestFound> {
    let file = match storage.open_file(name) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(ManifestFound::Absent),
        Err(error) => {
            *unread = true;
            return Ok(ManifestFound::Damaged(error.to_string()));
        }
    };
    let bytes = file.len_bytes().and_then(|len| {
        let mut bytes = vec![0; len.min(MANIFEST_BYTES) as usize];
        file.read_patiently(0, &mut bytes)?;
        Ok(bytes)
    });
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            *unread = true;
            return Ok(ManifestFound::Damaged(error.to_string()));
        }
    };
    match Manifest::decode(&bytes) {
        Ok(manifest) => Ok(ManifestFound::Valid(manifest)),
        Err(ManifestError::Newer { found }) => Err(BlockError::Newer {
            name: name.to_owned(),
            found,
            supported: VERSION,
        }),
        Err(error) => Ok(ManifestFound::Damaged(error.to_string())),
    }
}

/// The names in the folder that are ours.
#[derive(Default)]
pub(super) struct Folder {
    pub(super) blocks: Vec<FileId>,
    pub(super) states: Vec<u32>,
    pub(super) images: Vec<u32>,
}

impl Folder {
    pub(super) fn read(storage: &dyn Storage) -> Result<Self> {
        let mut folder = Self::default();
        for name in storage.list(FOLDER)? {
            if let Some(id) = FileId::from_base_name(&name) {
                folder.blocks.push(id);
            } else if let Some(number) = RecordFile::State.number(&name) {
                folder.states.push(number);
            } else if let Some(number) = RecordFile::Image.number(&name) {
                folder.images.push(number);
            }
        }
        folder.blocks.sort_unstable();
        folder.states.sort_unstable();
        folder.images.sort_unstable();
        Ok(folder)
    }

    pub(super) fn files(&self) -> usize {
        self.blocks.len() + self.states.len() + self.images.len()
    }

    /// What the manifest does not list.
    pub(super) fn unreferenced(&self, manifest: &Manifest) -> Self {
        let listed = |id: &FileId| {
            manifest
                .files
                .binary_search_by_key(id, |file| file.id)
                .is_ok()
        };
        let other = |numbers: &[u32], current: Option<ManifestRecords>| {
            let current = current.map(|records| records.number);
            let others = numbers.iter().filter(|number| Some(**number) != current);
            others.copied().collect()
        };
        Self {
            blocks: self
                .blocks
                .iter()
                .filter(|id| !listed(id))
                .copied()
                .collect(),
            states: other(&self.states, manifest.state),
            images: other(&self.images, manifest.image),
        }
    }

    /// The names, relative to the data directory.
    pub(super) fn names(&self) -> Vec<String> {
        let states = self.states.iter().map(|n| RecordFile::State.name(*n));
        let images = self.images.iter().map(|n| RecordFile::Image.name(*n));
        let blocks = self.blocks.iter().map(|id| id.name());
        blocks.chain(states).chain(images).collect()
    }

    /// The store that the files' headers name: the first that validates.
    pub(super) fn store(&self, storage: &dyn Storage) -> Option<StoreId> {
        let of_block = |id: &FileId| {
            let file = storage.open_file(&id.name()).ok()?;
            let (store, found, _) = file::read_header(&*file, file.len_bytes().ok()?).ok()?;
            (found == *id).then_some(store)
        };
        let of_records = |kind: RecordFile, number: &u32| {
            let name = kind.name(*number);
            let file = storage.open_file(&name).ok()?;
            let (store, found) = records::read_file_header(kind, &*file, &name).ok()?;
            (found == *number).then_some(store)
        };
        let kinds = [
            (RecordFile::State, &self.states),
            (RecordFile::Image, &self.images),
        ];
        self.blocks.iter().find_map(of_block).or_else(|| {
            let mut kinds = kinds.into_iter();
            kinds.find_map(|(kind, numbers)| {
                numbers.iter().find_map(|number| of_records(kind, number))
            })
        })
    }
}

/// More than the largest manifest: the bound of what is read of one.
const MANIFEST_BYTES: u64 = 1 << 30;
