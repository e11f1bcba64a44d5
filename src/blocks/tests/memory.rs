//! A device in memory that tells synced bytes from those that are not, and stops at any operation.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::{File, Result, Segment, Storage, StorageError};

/// What a power cut does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Kept,
    Dropped,
    /// Every other sector of 512 bytes is kept.
    Torn,
}

#[derive(Clone, Default)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    live: BTreeMap<String, Arc<Mutex<Content>>>,
    durable: BTreeMap<String, Arc<Mutex<Content>>>,
    /// Operations that change something, so far.
    operations: u64,
    stop_at: Option<u64>,
    fail_at: Option<u64>,
    /// Names that were touched by an operation, in order.
    journal: Vec<(&'static str, String)>,
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    synced: Vec<u8>,
}

struct MemoryFile {
    name: String,
    disk: Arc<Mutex<Disk>>,
    content: Arc<Mutex<Content>>,
}

impl Memory {
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// From this operation on everything that changes something fails.
    pub fn stop_at(&self, operation: u64) {
        self.disk.lock().stop_at = Some(operation);
    }

    /// This one operation fails.
    pub fn fail_at(&self, operation: u64) {
        self.disk.lock().fail_at = Some(operation);
    }

    pub fn journal(&self) -> Vec<(&'static str, String)> {
        self.disk.lock().journal.clone()
    }

    /// The device after a power cut.
    pub fn cut(&self, unsynced: Unsynced) -> Self {
        let disk = self.disk.lock();
        let names = match unsynced {
            Unsynced::Kept => &disk.live,
            Unsynced::Dropped | Unsynced::Torn => &disk.durable,
        };
        let survived = names.iter().map(|(name, content)| {
            let content = content.lock();
            let bytes = match unsynced {
                Unsynced::Kept => content.live.clone(),
                Unsynced::Dropped => content.synced.clone(),
                Unsynced::Torn => torn(&content),
            };
            (name.clone(), bytes)
        });
        Self::of(survived.collect::<Vec<_>>())
    }

    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let this = Self::default();
        for (name, bytes) in files {
            this.put(&name, bytes);
        }
        this
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        Some(disk.live.get(name)?.lock().live.clone())
    }

    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Arc::new(Mutex::new(Content {
            live: bytes.clone(),
            synced: bytes,
        }));
        let mut disk = self.disk.lock();
        disk.live.insert(name.to_owned(), Arc::clone(&content));
        disk.durable.insert(name.to_owned(), content);
    }

    pub fn names(&self) -> Vec<String> {
        self.disk.lock().live.keys().cloned().collect()
    }

    /// A device with the same files that shares nothing with this one.
    pub fn copy(&self) -> Self {
        self.cut(Unsynced::Kept)
    }
}

fn torn(content: &Content) -> Vec<u8> {
    let mut bytes = content.synced.clone();
    bytes.resize(content.live.len().max(bytes.len()), 0);
    for (at, sector) in content.live.chunks(512).enumerate() {
        if at % 2 == 0 {
            bytes[at * 512..at * 512 + sector.len()].copy_from_slice(sector);
        }
    }
    bytes
}

impl Disk {
    fn change(&mut self, operation: &'static str, name: &str) -> Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.stop_at.is_some_and(|stop| number >= stop) || self.fail_at == Some(number) {
            return Err(failure(operation, name, io::ErrorKind::Other));
        }
        self.journal.push((operation, name.to_owned()));
        Ok(())
    }
}

fn failure(operation: &'static str, name: &str, kind: io::ErrorKind) -> StorageError {
    StorageError::Io {
        operation,
        name: name.to_owned(),
        source: kind.into(),
    }
}

impl Storage for Memory {
    fn create_segment(&self, name: &str, _: u64) -> Result<Arc<dyn Segment>> {
        Err(failure("create", name, io::ErrorKind::Unsupported))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        Err(failure("open", name, io::ErrorKind::Unsupported))
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let mut disk = self.disk.lock();
        disk.change("create", name)?;
        let content = disk.live.entry(name.to_owned()).or_default();
        content.lock().live.clear();
        Ok(Arc::new(MemoryFile {
            name: name.to_owned(),
            disk: Arc::clone(&self.disk),
            content: Arc::clone(content),
        }))
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let disk = self.disk.lock();
        let content = disk
            .live
            .get(name)
            .ok_or_else(|| failure("open", name, io::ErrorKind::NotFound))?;
        Ok(Arc::new(MemoryFile {
            name: name.to_owned(),
            disk: Arc::clone(&self.disk),
            content: Arc::clone(content),
        }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = format!("{folder}/");
        let disk = self.disk.lock();
        let names = disk.live.keys();
        Ok(names
            .filter_map(|name| name.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect())
    }

    fn create_folder(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.change("remove", name)?;
        let removed = disk.live.remove(name);
        removed.map_or_else(
            || Err(failure("remove", name, io::ErrorKind::NotFound)),
            |_| Ok(()),
        )
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.change("rename", to)?;
        let content = disk
            .live
            .remove(from)
            .ok_or_else(|| failure("rename", from, io::ErrorKind::NotFound))?;
        disk.live.insert(to.to_owned(), content);
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.change("sync_folder", folder)?;
        let inside = |name: &String| name.rsplit_once('/').map_or("", |(at, _)| at) == folder;
        let live: Vec<_> = disk
            .live
            .iter()
            .filter(|(name, _)| inside(name))
            .map(|(name, content)| (name.clone(), Arc::clone(content)))
            .collect();
        disk.durable.retain(|name, _| !inside(name));
        disk.durable.extend(live);
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

impl File for MemoryFile {
    fn len_bytes(&self) -> Result<u64> {
        Ok(self.content.lock().live.len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.disk.lock().change("write", &self.name)?;
        let mut content = self.content.lock();
        let end = offset as usize + bytes.len();
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        content.live[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let content = self.content.lock();
        let range = offset..offset + into.len() as u64;
        let found = content.live.get(range.start as usize..range.end as usize);
        let found = found.ok_or_else(|| StorageError::OutOfBounds {
            name: self.name.clone(),
            range,
            size: content.live.len() as u64,
        })?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.disk.lock().change("sync", &self.name)?;
        let mut content = self.content.lock();
        content.synced = content.live.clone();
        Ok(())
    }
}
