//! A walk over a store that is not running: reads everything, changes nothing.

use super::error::{Damage, Result};
use super::inventory::{Folder, ManifestFound, Manifests};
use super::load::{Loader, Visitor};
use super::manifest::{MANIFEST_NAMES, Manifest, ManifestRecords};
use super::table::{BlockUsage, FileInfo, Table};
use crate::storage::Storage;
use crate::types::StoreId;

/// What a walk found.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The store, where anything names it.
    pub store: Option<StoreId>,
    /// Both manifest files by name.
    pub manifests: [(&'static str, ManifestFound); 2],
    /// The manifest in force.
    pub current: Option<Manifest>,
    /// The block files that belong to the store.
    pub files: Vec<FileInfo>,
    /// What these hold.
    pub usage: BlockUsage,
    /// Files that the manifest does not list: left by a checkpoint that was interrupted.
    pub unreferenced: Vec<String>,
    /// Everything that is not as it was written.
    pub damage: Vec<Damage>,
}

/// Walks over a store's files and tells the visitor what they hold. With `verify` every chunk is read
/// and its checksum compared; without, the indexes only.
pub fn walk(storage: &dyn Storage, verify: bool, visitor: &mut dyn Visitor) -> Result<Walk> {
    let manifests = Manifests::read(storage, None)?;
    let folder = Folder::read(storage)?;
    let current = manifests.manifest().cloned();
    let store = current
        .as_ref()
        .map(|manifest| manifest.store)
        .or_else(|| folder.store(storage));
    let mut loader = Loader {
        storage,
        store: store.unwrap_or_default(),
        verify,
        damage: manifests.damage,
    };
    let mut table = Table::default();
    let mut unreferenced = Vec::new();
    if let Some(manifest) = &current {
        loader.listed(manifest, &mut table, visitor)?;
        unreferenced = folder.unreferenced(manifest).names();
    } else if folder.files() > 0 {
        let files = folder.files();
        loader.damage.push(Damage::NoManifest { files });
        loader.found(&folder, &mut table, visitor)?;
    }
    let len = |records: Option<ManifestRecords>| records.map_or(0, |records| records.len_bytes);
    let usage = BlockUsage {
        state_bytes: current.as_ref().map_or(0, |manifest| len(manifest.state)),
        image_bytes: current.as_ref().map_or(0, |manifest| len(manifest.image)),
        ..table.usage()
    };
    let [a, b] = manifests.found;
    Ok(Walk {
        store,
        manifests: [(MANIFEST_NAMES[0], a), (MANIFEST_NAMES[1], b)],
        current,
        files: table.infos(),
        usage,
        unreferenced,
        damage: loader.damage,
    })
}
