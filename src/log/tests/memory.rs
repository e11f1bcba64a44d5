//! A disk in memory that forgets: the part of a simulation that the log's own rules need.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::storage::{File, Result, Segment, Storage, StorageError};

/// A file as processes see it, and as the device holds it.
#[derive(Clone, Default)]
struct Bytes {
    seen: Vec<u8>,
    held: Vec<u8>,
}

type Shared = Arc<Mutex<Bytes>>;

/// The disk. Names are durable at once; bytes are when they are synced, or when a cut leaves them.
#[derive(Default)]
pub(super) struct Memory {
    files: Mutex<BTreeMap<String, Shared>>,
    faults: Arc<Faults>,
}

/// What the disk refuses.
#[derive(Default)]
struct Faults {
    /// Syncs of segments that will fail, dropping what they should have written.
    syncs: AtomicU32,
    /// Stores into segments that will fail.
    stores: AtomicU32,
    /// Runs once, within a sync.
    during_sync: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// New files and segments find no room.
    files_full: AtomicBool,
    /// Nor do stores into segments, as on file systems that write elsewhere.
    stores_full: AtomicBool,
    /// Bytes of files that cannot be read.
    unreadable: Mutex<Vec<(String, Range<u64>)>>,
}

impl Memory {
    pub(super) fn fail_syncs(&self, count: u32) {
        self.faults.syncs.store(count, Ordering::Relaxed);
    }

    pub(super) fn fail_stores(&self, count: u32) {
        self.faults.stores.store(count, Ordering::Relaxed);
    }

    /// What another thread does while the next sync is on its way to the device.
    pub(super) fn during_sync(&self, run: impl FnOnce() + Send + 'static) {
        *self.faults.during_sync.lock() = Some(Box::new(run));
    }

    pub(super) fn fill_up(&self, files_full: bool, stores_full: bool) {
        self.faults.files_full.store(files_full, Ordering::Relaxed);
        self.faults
            .stores_full
            .store(stores_full, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, name: &str, range: Range<u64>) {
        self.faults.unreadable.lock().push((name.to_owned(), range));
    }

    /// The disk after a power cut: of every sector that was not synced, `survives` decides.
    pub(super) fn cut(&self, survives: &mut dyn FnMut() -> bool) -> Self {
        let files = self.files.lock();
        let mut after = BTreeMap::new();
        for (name, file) in &*files {
            let bytes = file.lock();
            let mut held = bytes.held.clone();
            held.resize(bytes.seen.len(), 0);
            for (sector, new) in bytes.seen.chunks(SECTOR_BYTES).enumerate() {
                let old = &mut held[sector * SECTOR_BYTES..][..new.len()];
                if old != new && survives() {
                    old.copy_from_slice(new);
                }
            }
            let seen = held.clone();
            after.insert(name.clone(), Arc::new(Mutex::new(Bytes { seen, held })));
        }
        Self {
            files: Mutex::new(after),
            faults: Arc::default(),
        }
    }

    /// Everything, as if all of it had reached the device.
    pub(super) fn copy(&self) -> Self {
        self.cut(&mut || true)
    }

    /// Changes a file behind the log's back.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let file = self.file(name).expect("there");
        let mut bytes = file.lock();
        change(&mut bytes.seen);
        bytes.held = bytes.seen.clone();
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        self.file(name).expect("there").lock().seen.clone()
    }

    fn file(&self, name: &str) -> Result<Shared> {
        let files = self.files.lock();
        files.get(name).cloned().ok_or_else(|| StorageError::Io {
            operation: "open",
            name: name.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn insert(&self, name: &str, bytes: Bytes) -> Result<Handle> {
        if self.faults.files_full.load(Ordering::Relaxed) {
            return Err(full("create", name));
        }
        let shared = Arc::new(Mutex::new(bytes));
        self.files
            .lock()
            .insert(name.to_owned(), Arc::clone(&shared));
        Ok(self.handle(name, shared))
    }

    fn handle(&self, name: &str, bytes: Shared) -> Handle {
        Handle {
            name: name.to_owned(),
            bytes,
            faults: Arc::clone(&self.faults),
        }
    }
}

impl Storage for Memory {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        let zeros = vec![0; size_bytes as usize];
        let (seen, held) = (zeros.clone(), zeros);
        Ok(Arc::new(self.insert(name, Bytes { seen, held })?))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        Ok(Arc::new(self.handle(name, self.file(name)?)))
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.insert(name, Bytes::default())?))
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.handle(name, self.file(name)?)))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.files.lock();
        let prefix = format!("{folder}/");
        let names = files.keys().filter_map(|name| name.strip_prefix(&prefix));
        Ok(names.map(str::to_owned).collect())
    }

    fn create_folder(&self, _folder: &str) -> Result<()> {
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.file(name)?;
        self.files.lock().remove(name);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let file = self.file(from)?;
        let mut files = self.files.lock();
        files.remove(from);
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_folder(&self, _folder: &str) -> Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

struct Handle {
    name: String,
    bytes: Shared,
    faults: Arc<Faults>,
}

impl Handle {
    fn failed(&self, operation: &'static str) -> StorageError {
        StorageError::Io {
            operation,
            name: self.name.clone(),
            source: io::ErrorKind::Other.into(),
        }
    }

    fn copy_out(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let range = offset..offset + into.len() as u64;
        let lost = self.faults.unreadable.lock();
        if lost.iter().any(|(name, lost)| {
            *name == self.name && lost.start < range.end && range.start < lost.end
        }) {
            return Err(self.failed("read"));
        }
        let bytes = self.bytes.lock();
        let from = bytes
            .seen
            .get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(from.ok_or_else(|| self.failed("read"))?);
        Ok(())
    }
}

impl Segment for Handle {
    fn size_bytes(&self) -> u64 {
        self.bytes.lock().seen.len() as u64
    }

    fn write(&self, offset: u64, new: &[u8]) -> Result<()> {
        if self.faults.stores_full.load(Ordering::Relaxed) {
            return Err(full("write", &self.name));
        }
        let left = self.faults.stores.load(Ordering::Relaxed);
        if left > 0 {
            self.faults.stores.store(left - 1, Ordering::Relaxed);
            return Err(self.failed("write"));
        }
        let mut bytes = self.bytes.lock();
        let range = offset as usize..offset as usize + new.len();
        let into = bytes
            .seen
            .get_mut(range)
            .ok_or_else(|| self.failed("write"))?;
        into.copy_from_slice(new);
        Ok(())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.copy_out(offset, into)
    }

    fn sync(&self, range: Range<u64>) -> Result<()> {
        if let Some(run) = self.faults.during_sync.lock().take() {
            run();
        }
        let mut bytes = self.bytes.lock();
        let Bytes { seen, held } = &mut *bytes;
        held.resize(seen.len(), 0);
        let page = PAGE_BYTES as u64;
        let range = (range.start / page * page) as usize
            ..(range.end.next_multiple_of(page) as usize).min(seen.len());
        let left = self.faults.syncs.load(Ordering::Relaxed);
        if left > 0 {
            self.faults.syncs.store(left - 1, Ordering::Relaxed);
            // The pages are clean and gone, as the kernel leaves them.
            seen[range.clone()].copy_from_slice(&held[range]);
            return Err(self.failed("sync"));
        }
        held[range.clone()].copy_from_slice(&seen[range]);
        Ok(())
    }

    fn prefetch(&self, _range: Range<u64>) {}
}

impl File for Handle {
    fn len_bytes(&self) -> Result<u64> {
        Ok(self.bytes.lock().seen.len() as u64)
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> Result<()> {
        let mut bytes = self.bytes.lock();
        let end = offset as usize + new.len();
        if bytes.seen.len() < end {
            bytes.seen.resize(end, 0);
        }
        bytes.seen[offset as usize..end].copy_from_slice(new);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.copy_out(offset, into)
    }

    fn sync(&self) -> Result<()> {
        let mut bytes = self.bytes.lock();
        bytes.held = bytes.seen.clone();
        Ok(())
    }
}

fn full(operation: &'static str, name: &str) -> StorageError {
    StorageError::Io {
        operation,
        name: name.to_owned(),
        source: io::ErrorKind::StorageFull.into(),
    }
}

use crate::limits::PAGE_BYTES;

const SECTOR_BYTES: usize = 512;
