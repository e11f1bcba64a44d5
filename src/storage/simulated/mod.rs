//! A disk in memory that loses power: the back end of the seeded simulation.
//!
//! Whatever was not synced is lost, kept or torn, sector by sector, at a power cut; names are, until their
//! folder is synced. Calls fail as [`Faults`] say. All chance comes from one seed, so that a run on one
//! thread repeats itself exactly. Never part of a release: the feature `simulation` brings it in.

mod content;
mod faults;
mod names;
mod random;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use self::content::{Content, Cut, SECTOR_BYTES};
use self::faults::Planned;
use self::names::{Names, Shared};
use super::{File, Result, Segment, Storage, StorageError, TEMPORARY, check_bounds};

pub use self::faults::{Faults, Wrongs};
pub use self::random::Random;

/// A disk. Its clones are the same disk.
#[derive(Clone)]
pub struct SimulatedStorage {
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    names: Names,
    random: Random,
    faults: Faults,
    planned: Planned,
    /// Calls that changed something, or tried to.
    operations: u64,
    /// The call in the middle of which the power goes.
    cut_at: Option<u64>,
    is_off: bool,
    /// What the last file that was removed held: blocks that new files get.
    trash: Arc<Vec<u8>>,
    wrongs: Wrongs,
}

impl SimulatedStorage {
    /// An empty disk; its seed decides all that chance does to it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(Names::default(), Random::new(seed), Arc::default())
    }

    fn of(names: Names, random: Random, trash: Arc<Vec<u8>>) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk {
                names,
                random,
                faults: Faults::default(),
                planned: Planned::default(),
                operations: 0,
                cut_at: None,
                is_off: false,
                trash,
                wrongs: Wrongs::default(),
            })),
        }
    }

    /// From now on calls fail so often.
    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().faults = faults;
    }

    /// The power goes in the middle of the call that comes after so many others.
    pub fn cut_after(&self, operations: u64) {
        let mut disk = self.disk.lock();
        disk.cut_at = Some(disk.operations + operations);
    }

    /// The power stays.
    pub fn cut_never(&self) {
        self.disk.lock().cut_at = None;
    }

    /// Whether the power has gone: every call fails.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.disk.lock().is_off
    }

    /// Calls so far that changed something, or tried to.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// The disk when the power is back. What holds the old one sees nothing of it.
    #[must_use]
    pub fn after_cut(&self) -> Self {
        let mut disk = self.disk.lock();
        disk.is_off = true;
        let mut random = disk.random.fork();
        let cut = Cut {
            kept_of_8: random.below(5) * 2,
            torn_one_in: [0, 4, 16][random.below(3) as usize],
        };
        let mut names = Names::default();
        for (name, file) in disk.names.after_cut(&mut random) {
            let after = file.lock().after_cut(cut, &mut random, &disk.trash);
            names.put(&name, Arc::new(Mutex::new(after)));
        }
        Self::of(names, random, Arc::clone(&disk.trash))
    }

    /// The disk after a power cut that keeps a dirty sector where `survives` says so, and all names.
    #[must_use]
    pub fn after_cut_where(&self, survives: &mut dyn FnMut() -> bool) -> Self {
        let disk = self.disk.lock();
        let mut names = Names::default();
        let mut random = Random::new(0);
        for (name, file) in disk.names.iter() {
            let mut content = file.lock().clone();
            content.sync_len();
            content.keep_where(survives);
            let none = Cut {
                kept_of_8: 0,
                torn_one_in: 0,
            };
            let after = content.after_cut(none, &mut random, &[]);
            names.put(name, Arc::new(Mutex::new(after)));
        }
        Self::of(names, random, Arc::default())
    }

    /// The disk after the process was killed: nothing is lost, and nothing more is durable than before.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut disk = self.disk.lock();
        disk.is_off = true;
        let random = disk.random.fork();
        Self::of(disk.names.clone(), random, Arc::clone(&disk.trash))
    }

    /// A disk with the same files, all of it durable, that shares nothing with this one.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.disk.lock();
        let copy = Self::new(0);
        for (name, file) in disk.names.iter() {
            let content = Content::durable(Arc::clone(&file.lock().seen));
            let mut copied = copy.disk.lock();
            copied.names.put(name, Arc::new(Mutex::new(content)));
        }
        copy
    }

    /// Syncs of segments that will fail, the next ones, and take nothing to the device.
    pub fn fail_syncs(&self, count: u32) {
        self.disk.lock().planned.syncs = count;
    }

    /// Stores into segments that will fail, the next ones.
    pub fn fail_stores(&self, count: u32) {
        self.disk.lock().planned.stores = count;
    }

    /// Reads that will fail, the next ones.
    pub fn fail_reads(&self, count: u32) {
        self.disk.lock().planned.reads = count;
    }

    /// What other threads do while the disk syncs a segment: before each such call and behind it.
    pub fn meanwhile(&self, run: impl FnMut() + Send + 'static) {
        self.disk.lock().planned.meanwhile = Some(Box::new(run));
    }

    /// As [`Self::meanwhile`], at the next sync alone.
    pub fn during_sync(&self, run: impl FnOnce() + Send + 'static) {
        let mut run = Some(run);
        self.meanwhile(move || {
            if let Some(run) = run.take() {
                run();
            }
        });
    }

    /// Lets the others run, if they do not already.
    fn let_others_run(disk: &Mutex<Disk>) {
        crate::schedule::point();
        let run = disk.lock().planned.meanwhile.take();
        if let Some(mut run) = run {
            run();
            disk.lock().planned.meanwhile.get_or_insert(run);
        }
    }

    /// New files find no room, or stores into segments do not.
    pub fn fill_up(&self, files_full: bool, stores_full: bool) {
        let mut disk = self.disk.lock();
        disk.planned.files_full = files_full;
        disk.planned.stores_full = stores_full;
    }

    /// Bytes of a file cannot be read any more.
    pub fn lose(&self, name: &str, range: Range<u64>) {
        let lost = (name.to_owned(), range);
        self.disk.lock().planned.unreadable.push(lost);
    }

    /// What could not be read can be again.
    pub fn regain(&self) {
        self.disk.lock().planned.unreadable.clear();
    }

    /// All names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let disk = self.disk.lock();
        disk.names.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What the device did wrong since it was made, or since the power came back.
    #[must_use]
    pub fn wrongs(&self) -> Wrongs {
        self.disk.lock().wrongs
    }

    /// Sectors that hold something else now than they did before: file, offset, and the bytes of then.
    #[must_use]
    pub fn older_sectors(&self) -> Vec<(String, usize, Vec<u8>)> {
        let disk = self.disk.lock();
        let mut all = Vec::new();
        for (name, file) in disk.names.iter() {
            let file = file.lock();
            for (sector, before) in file.stale_sectors() {
                let offset = sector * SECTOR_BYTES;
                let end = (offset + SECTOR_BYTES).min(file.seen.len());
                if let Some(now) = file.seen.get(offset..end)
                    && now != &before[..now.len()]
                {
                    all.push((name.clone(), offset, before[..now.len()].to_vec()));
                }
            }
        }
        all
    }

    /// The bytes of a file, as processes see them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        let seen = Arc::clone(&disk.names.get(name)?.lock().seen);
        Some(Vec::clone(&seen))
    }

    /// Puts a file there, all of it durable.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = Arc::new(Mutex::new(Content::durable(bytes)));
        self.disk.lock().names.put(name, file);
    }

    /// Takes a file away, durably.
    pub fn delete(&self, name: &str) {
        let mut disk = self.disk.lock();
        disk.names.remove(name);
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        disk.names.sync(folder);
    }

    /// Changes the bytes of a file behind the store's back, on the device and in the cache.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(mut bytes) = self.bytes(name) {
            change(&mut bytes);
            let disk = self.disk.lock();
            if let Some(file) = disk.names.get(name) {
                *file.lock() = Content::durable(bytes);
            }
        }
    }

    fn handle(&self, name: &str, file: Shared) -> Handle {
        let size_bytes = file.lock().seen.len() as u64;
        Handle {
            name: name.to_owned(),
            disk: Arc::clone(&self.disk),
            file,
            size_bytes,
        }
    }

    fn open(&self, name: &str) -> Result<Handle> {
        let file = {
            let mut disk = self.disk.lock();
            disk.check_power("open", name)?;
            let found = disk.names.get(name).cloned();
            found.ok_or_else(|| failed("open", name, io::ErrorKind::NotFound))?
        };
        Ok(self.handle(name, file))
    }
}

impl Disk {
    fn check_power(&mut self, operation: &'static str, name: &str) -> Result<()> {
        if self.is_off {
            return Err(failed(operation, name, io::ErrorKind::BrokenPipe));
        }
        Ok(())
    }

    /// Counts a call. True: the power goes in the middle of it.
    fn begin(&mut self, operation: &'static str, name: &str) -> Result<bool> {
        self.check_power(operation, name)?;
        let number = self.operations;
        self.operations += 1;
        self.is_off = self.cut_at == Some(number);
        Ok(self.is_off)
    }

    /// Counts a change of names, which may fail. When the power goes, it has happened or has not.
    fn begin_name(&mut self, operation: &'static str, name: &str) -> Result<()> {
        let cut = self.begin(operation, name)?;
        if cut && self.random.below(2) == 0 {
            return Err(failed(operation, name, io::ErrorKind::BrokenPipe));
        }
        if self.random.one_in(self.faults.name) {
            return Err(failed(operation, name, io::ErrorKind::Other));
        }
        Ok(())
    }

    /// What the caller of a call hears in whose middle the power went.
    fn end(&mut self, operation: &'static str, name: &str) -> Result<()> {
        self.check_power(operation, name)
    }

    /// Whether a sync that succeeds takes nothing to the device.
    fn lies(&mut self) -> bool {
        let lies = self.random.one_in(self.faults.lie);
        self.wrongs.lies += u64::from(lies);
        lies
    }

    fn find_room(&mut self, operation: &'static str, name: &str) -> Result<()> {
        if self.planned.files_full || self.random.one_in(self.faults.full) {
            return Err(failed(operation, name, io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Storage for SimulatedStorage {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        let temporary = format!("{name}{TEMPORARY}");
        let zeros = Content::durable(vec![0; size_bytes as usize]);
        let file = Arc::new(Mutex::new(zeros));
        {
            let mut disk = self.disk.lock();
            disk.begin_name("create", &temporary)?;
            disk.find_room("allocate", &temporary)?;
            disk.names.create(&temporary, Arc::clone(&file));
            disk.end("create", &temporary)?;
        }
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let named = self
            .rename(&temporary, name)
            .and_then(|()| self.sync_folder(folder));
        if let Err(error) = named {
            let _ = self.remove(&temporary);
            return Err(error);
        }
        Ok(Arc::new(self.handle(name, file)))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        let handle = self.open(name)?;
        // Only clean pages leave the cache.
        File::sync(&handle)?;
        handle.file.lock().drop_cache();
        Ok(Arc::new(handle))
    }

    fn settle(&self, name: &str) -> Result<()> {
        self.open_segment(name).map(drop)
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = {
            let mut disk = self.disk.lock();
            disk.begin_name("create", name)?;
            disk.find_room("create", name)?;
            let file = if let Some(file) = disk.names.get(name) {
                let file = Arc::clone(file);
                file.lock().truncate();
                file
            } else {
                let file = Shared::default();
                disk.names.create(name, Arc::clone(&file));
                file
            };
            disk.end("create", name)?;
            file
        };
        Ok(Arc::new(self.handle(name, file)))
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        Ok(Arc::new(self.open(name)?))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut disk = self.disk.lock();
        disk.check_power("list", folder)?;
        let prefix = format!("{folder}/");
        let names = disk.names.iter().map(|(name, _)| name);
        let inside = names.filter_map(|name| {
            let name = if folder.is_empty() {
                name
            } else {
                name.strip_prefix(&prefix)?
            };
            (!name.contains('/')).then(|| name.to_owned())
        });
        Ok(inside.collect())
    }

    fn create_folder(&self, folder: &str) -> Result<()> {
        // A folder is there when something is in it.
        self.disk.lock().check_power("create", folder)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin_name("remove", name)?;
        let Some(gone) = disk.names.remove(name) else {
            return Err(failed("remove", name, io::ErrorKind::NotFound));
        };
        disk.trash = Arc::clone(&gone.lock().seen);
        disk.end("remove", name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin_name("rename", from)?;
        if !disk.names.rename(from, to) {
            return Err(failed("rename", from, io::ErrorKind::NotFound));
        }
        disk.end("rename", from)
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin_name("sync", folder)?;
        if !disk.lies() {
            disk.names.sync(folder);
        }
        disk.end("sync", folder)
    }

    fn free_bytes(&self) -> Result<u64> {
        let mut disk = self.disk.lock();
        disk.check_power("statvfs", "")?;
        Ok(if disk.planned.files_full { 0 } else { 1 << 40 })
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }
}

/// An open file or segment.
struct Handle {
    name: String,
    disk: Arc<Mutex<Disk>>,
    file: Shared,
    /// Bytes when it was opened: those of a segment.
    size_bytes: u64,
}

impl Handle {
    fn store(&self, offset: u64, bytes: &[u8], one_in: u32) -> Result<()> {
        let operation = "write";
        let mut disk = self.disk.lock();
        let cut = disk.begin(operation, &self.name)?;
        let fails = disk.random.one_in(one_in);
        let mut file = self.file.lock();
        if cut || fails {
            // Some of it was stored, as far as whole sectors go, and not all.
            let part = disk.random.below(bytes.len() as u64) as usize;
            let end = (offset as usize + part) / SECTOR_BYTES * SECTOR_BYTES;
            let stored = end.saturating_sub(offset as usize);
            file.write(offset as usize, &bytes[..stored]);
            let kind = if cut {
                io::ErrorKind::BrokenPipe
            } else {
                io::ErrorKind::Other
            };
            return Err(failed(operation, &self.name, kind));
        }
        file.write(offset as usize, bytes);
        let write_back = disk.faults.write_back;
        if disk.random.one_in(write_back) {
            let range = offset as usize..offset as usize + bytes.len();
            file.write_back(range, &mut disk.random);
        }
        Ok(())
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(into.len() as u64);
        let mut disk = self.disk.lock();
        disk.check_power("read", &self.name)?;
        let lost = disk.planned.unreadable.iter().any(|(name, lost)| {
            *name == self.name && lost.start < range.end && range.start < lost.end
        });
        let lost = lost || disk.planned.reads > 0;
        disk.planned.reads = disk.planned.reads.saturating_sub(1);
        let one_in = disk.faults.read;
        if lost || disk.random.one_in(one_in) {
            disk.wrongs.reads += 1;
            return Err(failed("read", &self.name, io::ErrorKind::Other));
        }
        let file = self.file.lock();
        let found = file.seen.get(range.start as usize..range.end as usize);
        let found =
            found.ok_or_else(|| failed("read", &self.name, io::ErrorKind::UnexpectedEof))?;
        into.copy_from_slice(found);
        Ok(())
    }

    fn flush(&self, range: Range<usize>, one_in: u32, planned: bool) -> Result<()> {
        let mut disk = self.disk.lock();
        let cut = disk.begin("sync", &self.name)?;
        let fails = disk.random.one_in(one_in);
        let mut file = self.file.lock();
        if cut {
            file.write_back(range, &mut disk.random);
            return Err(failed("sync", &self.name, io::ErrorKind::BrokenPipe));
        }
        if planned {
            file.throw_away(range);
            return Err(failed("sync", &self.name, io::ErrorKind::Other));
        }
        if fails {
            file.fail_sync(range, &mut disk.random);
            return Err(failed("sync", &self.name, io::ErrorKind::Other));
        }
        if !disk.lies() {
            file.sync(range);
            file.sync_len();
        }
        Ok(())
    }
}

impl Segment for Handle {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_bounds(&self.name, offset, bytes.len(), self.size_bytes)?;
        let (full, fails, one_in) = {
            let mut disk = self.disk.lock();
            let fails = disk.planned.stores > 0;
            disk.planned.stores = disk.planned.stores.saturating_sub(1);
            (disk.planned.stores_full, fails, disk.faults.store)
        };
        if full {
            return Err(failed("write", &self.name, io::ErrorKind::StorageFull));
        }
        if fails {
            return Err(failed("write", &self.name, io::ErrorKind::Other));
        }
        self.store(offset, bytes, one_in)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        check_bounds(&self.name, offset, into.len(), self.size_bytes)?;
        self.load(offset, into)
    }

    fn sync(&self, range: Range<u64>) -> Result<()> {
        SimulatedStorage::let_others_run(&self.disk);
        let (planned, one_in) = {
            let mut disk = self.disk.lock();
            let planned = disk.planned.syncs > 0;
            disk.planned.syncs = disk.planned.syncs.saturating_sub(1);
            (planned, disk.faults.sync_segment)
        };
        let synced = self.flush(range.start as usize..range.end as usize, one_in, planned);
        SimulatedStorage::let_others_run(&self.disk);
        synced
    }

    fn prefetch(&self, _: Range<u64>) {}
}

impl File for Handle {
    fn len_bytes(&self) -> Result<u64> {
        self.disk.lock().check_power("stat", &self.name)?;
        Ok(self.file.lock().seen.len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let one_in = {
            let mut disk = self.disk.lock();
            let grows = offset + bytes.len() as u64 > self.file.lock().seen.len() as u64;
            if grows {
                disk.find_room("write", &self.name)?;
            }
            disk.faults.write
        };
        self.store(offset, bytes, one_in)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.load(offset, into)
    }

    fn sync(&self) -> Result<()> {
        let one_in = self.disk.lock().faults.sync_file;
        self.flush(0..usize::MAX / 2, one_in, false)
    }
}

fn failed(operation: &'static str, name: &str, kind: io::ErrorKind) -> StorageError {
    StorageError::Io {
        operation,
        name: name.to_owned(),
        source: kind.into(),
    }
}
