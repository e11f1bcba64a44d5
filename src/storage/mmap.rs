//! Segments mapped into memory: a store is a `memcpy`, a sync is `msync` of the pages it touched.
//!
//! The only `unsafe` of this layer. Files are never shrunk while they are mapped, and their blocks
//! are allocated before they are, so that a full disk cannot surface as a fault. A device that fails
//! under the map raises SIGBUS: a handler puts an empty page of memory in the place of the one that is
//! lost and notes the segment, whose operations fail with [`StorageError::MapFault`] from then on. Faults
//! elsewhere go to the handler that was there before. The process's own memory is given back here as well.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::{Advice, MmapOptions, MmapRaw};
use parking_lot::RwLock;

use super::directory::{Directory, failed};
use super::{File, Result, Segment, Storage, StorageError, check_bounds};
use crate::limits::{MAPS, PAGE_BYTES};

/// Gives the pages of the heap that nothing lies in back to the system, which the allocator keeps for itself
/// otherwise. Others wait meanwhile: some milliseconds for a heap of 100 MiB.
pub fn give_back_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointer and moves nothing that is in use; it may be called from any thread.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// A data directory whose segments are mapped.
#[derive(Debug)]
pub struct MmapStorage {
    directory: Directory,
}

impl MmapStorage {
    /// Uses a directory, which is made if it is not there.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self {
            directory: Directory::open(root)?,
        })
    }
}

impl Storage for MmapStorage {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        let file = self.directory.prepare_segment(name, size_bytes)?;
        Ok(Arc::new(MmapSegment::map(name, &file)?))
    }

    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        let file = self.directory.reopen_segment(name)?;
        Ok(Arc::new(MmapSegment::map(name, &file)?))
    }

    fn settle(&self, name: &str) -> Result<()> {
        self.directory.reopen_segment(name).map(drop)
    }

    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        self.directory.create_file(name)
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        self.directory.open_file(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.directory.list(folder)
    }

    fn create_folder(&self, folder: &str) -> Result<()> {
        self.directory.create_folder(folder)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.directory.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)
    }

    fn link(&self, name: &str, other: &Path) -> Result<bool> {
        self.directory.link(name, other)
    }

    fn sync_folder(&self, folder: &str) -> Result<()> {
        self.directory.sync_folder(folder)
    }

    fn free_bytes(&self) -> Result<u64> {
        self.directory.free_bytes()
    }

    fn kind(&self) -> &'static str {
        "mmap"
    }
}

struct MmapSegment {
    name: String,
    /// Before the map, so that it goes first: a fault is never looked up for a map that is gone.
    watched: Watched,
    map: MmapRaw,
    /// Guards the mapped bytes: stores and loads of the same bytes must not race.
    bytes: RwLock<()>,
}

impl MmapSegment {
    fn map(name: &str, file: &fs::File) -> Result<Self> {
        install_handler().map_err(failed("watch", name))?;
        let map = MmapOptions::new()
            .map_raw(file)
            .map_err(failed("map", name))?;
        let watched = Watched::new(map.as_ptr() as usize, map.len()).ok_or_else(|| {
            failed("watch", name)(io::Error::other("too many segments are mapped"))
        })?;
        Ok(Self {
            name: name.to_owned(),
            watched,
            map,
            bytes: RwLock::new(()),
        })
    }

    /// Refuses once a page was lost: what lies in its place reaches no device.
    fn check_fault(&self) -> Result<()> {
        if self.watched.faulted() {
            return Err(StorageError::MapFault {
                name: self.name.clone(),
            });
        }
        Ok(())
    }
}

impl Segment for MmapSegment {
    fn size_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        check_bounds(&self.name, offset, bytes.len(), self.size_bytes())?;
        let _exclusive = self.bytes.write();
        // SAFETY: `check_bounds` keeps offset + length inside the map, which lives as long as
        // `self`; the source is a slice of Rust memory and cannot overlap it; the write lock keeps
        // every other access of this process to the mapped bytes away, and no reference to them is
        // ever made. A page that the device lost is replaced by the handler before the copy goes on.
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.map.as_mut_ptr().add(offset as usize),
                bytes.len(),
            );
        }
        self.check_fault()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        check_bounds(&self.name, offset, into.len(), self.size_bytes())?;
        let _shared = self.bytes.read();
        // SAFETY: as in `write`; the read lock keeps stores away.
        unsafe {
            ptr::copy_nonoverlapping(
                self.map.as_ptr().add(offset as usize),
                into.as_mut_ptr(),
                into.len(),
            );
        }
        self.check_fault()
    }

    fn sync(&self, range: Range<u64>) -> Result<()> {
        let length = range.end.saturating_sub(range.start) as usize;
        check_bounds(&self.name, range.start, length, self.size_bytes())?;
        self.check_fault()?;
        self.map
            .flush_range(range.start as usize, length)
            .map_err(failed("sync", &self.name))?;
        self.check_fault()
    }

    fn prefetch(&self, range: Range<u64>) {
        let end = range.end.min(self.size_bytes());
        if range.start < end {
            // Reads ahead without making a page dirty, which populating for writing would.
            let _ = self.map.advise_range(
                Advice::WillNeed,
                range.start as usize,
                (end - range.start) as usize,
            );
        }
    }
}

/// A map that the handler knows. All fields are atomic: the handler may look at any moment.
struct Place {
    /// Address of the first byte; 0 where the place is free, 1 where it is being taken.
    start: AtomicUsize,
    end: AtomicUsize,
    faulted: AtomicBool,
}

/// The maps there are. A handler takes no lock, so that this is a table of fixed size.
static PLACES: [Place; MAPS] = [const {
    Place {
        start: AtomicUsize::new(FREE),
        end: AtomicUsize::new(0),
        faulted: AtomicBool::new(false),
    }
}; MAPS];

const FREE: usize = 0;
const TAKEN: usize = 1;

/// An entry of the table, given back when dropped.
struct Watched {
    place: &'static Place,
}

impl Watched {
    /// Enters a map; `None` where the table is full.
    fn new(start: usize, len: usize) -> Option<Self> {
        let place = PLACES.iter().find(|place| {
            let taken = (Ordering::Acquire, Ordering::Relaxed);
            place
                .start
                .compare_exchange(FREE, TAKEN, taken.0, taken.1)
                .is_ok()
        })?;
        place.faulted.store(false, Ordering::Relaxed);
        place.end.store(start + len, Ordering::Relaxed);
        place.start.store(start, Ordering::Release);
        Some(Self { place })
    }

    fn faulted(&self) -> bool {
        self.place.faulted.load(Ordering::Acquire)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.place.start.store(FREE, Ordering::Release);
    }
}

/// What handled SIGBUS before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Puts the handler in its place, once in a process.
fn install_handler() -> io::Result<()> {
    static INSTALLED: parking_lot::Mutex<bool> = parking_lot::Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    // SAFETY: `previous` is written by the first call before it is read, and both calls get valid
    // pointers. All bytes zero are a valid `sigaction`: no flags, an empty mask. The handler has the
    // signature that SA_SIGINFO asks for and calls nothing but what signal-safety(7) and a plain system
    // call allow. `PREVIOUS` is set before the handler can run.
    unsafe {
        let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
        if libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let _ = PREVIOUS.set(previous.assume_init());
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        if libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    *installed = true;
    Ok(())
}

/// Runs in the thread that touched a page the device does not have any more.
extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the system passes a valid `info` to a handler with SA_SIGINFO, and fills the address for
    // SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    for place in &PLACES {
        let start = place.start.load(Ordering::Acquire);
        if start > TAKEN && (start..place.end.load(Ordering::Relaxed)).contains(&address) {
            if replace_page(address) {
                place.faulted.store(true, Ordering::Release);
                return;
            }
            break;
        }
    }
    pass_on(signal, info, context);
}

/// An empty page of memory instead of the mapped one.
fn replace_page(address: usize) -> bool {
    // SAFETY: `sysconf` only reads. The address lies in a map of this module, whose owner is inside an
    // access to it and so keeps it alive; the page that holds it is wholly inside that map, which begins
    // on a page. Nothing but copies through raw pointers ever touches it. The thread's `errno` is put
    // back, because the code that was interrupted may be about to read it.
    unsafe {
        let errno = *libc::__errno_location();
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(PAGE_BYTES);
        let mapped = libc::mmap(
            (address & !(page - 1)) as *mut libc::c_void,
            page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        *libc::__errno_location() = errno;
        mapped != libc::MAP_FAILED
    }
}

/// A fault that is not ours: to the handler of before, or to the system's default, which ends the process.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let previous = PREVIOUS.get();
    let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // SAFETY: sets the default; on return the faulting instruction runs again and ends the process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
        return;
    }
    let with_info = previous.is_some_and(|previous| previous.sa_flags & libc::SA_SIGINFO != 0);
    // SAFETY: the address is a handler that somebody installed with `sigaction`; SA_SIGINFO tells which of
    // the two signatures it has.
    unsafe {
        if with_info {
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(handler);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_the_device_lost_fails_the_segment_and_not_the_process() {
        let folder = tempfile::tempdir().expect("a directory for the test");
        let storage = MmapStorage::open(folder.path()).expect("opens");
        let size_bytes = 16 * PAGE_BYTES as u64;
        let whole = storage.create_segment("whole", size_bytes).expect("made");
        let cut = storage.create_segment("cut", size_bytes).expect("made");
        cut.write(0, b"before").expect("there");
        cut.sync(0..PAGE_BYTES as u64).expect("there");
        let file = fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join("cut"))
            .expect("opens");
        file.set_len(8 * PAGE_BYTES as u64).expect("cut");
        let lost = |result: Result<()>| match result {
            Err(StorageError::MapFault { name }) => assert_eq!(name, "cut"),
            other => panic!("{other:?}"),
        };
        // Over the edge: the first pages are there, the others are not.
        lost(cut.write(7 * PAGE_BYTES as u64, &vec![7; 3 * PAGE_BYTES]));
        lost(cut.sync(0..size_bytes));
        lost(cut.read(12 * PAGE_BYTES as u64, &mut [0; 8]));
        lost(cut.write(0, b"after"));
        whole.write(0, b"untouched").expect("another segment");
        whole.sync(0..size_bytes).expect("another segment");
        drop(cut);
        // The entry of a map that is gone is used again, and knows nothing of what was.
        let next = storage.create_segment("next", size_bytes).expect("made");
        next.write(0, b"fresh").expect("there");
        next.sync(0..size_bytes).expect("there");
    }

    /// In a process of its own: it ends of it.
    #[test]
    fn a_fault_in_a_map_of_somebody_else_ends_the_process_as_ever() {
        use std::os::unix::process::ExitStatusExt;
        if let Some(root) = std::env::var_os(INSIDE) {
            let root = Path::new(&root);
            let storage = MmapStorage::open(root).expect("opens");
            let ours = storage.create_segment("ours", PAGE_BYTES as u64);
            let ours = ours.expect("made, with the handler");
            ours.write(0, b"there").expect("there");
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(root.join("foreign"))
                .expect("made");
            file.set_len(2 * PAGE_BYTES as u64).expect("sized");
            let map = MmapOptions::new().map_raw_read_only(&file).expect("mapped");
            file.set_len(PAGE_BYTES as u64).expect("cut");
            println!("{REACHED}");
            // SAFETY: inside the map; that its page is gone is what the test is about.
            let byte = unsafe { ptr::read_volatile(map.as_ptr().add(PAGE_BYTES)) };
            panic!("read {byte} where there is nothing");
        }
        let folder = tempfile::tempdir().expect("a directory for the test");
        let output = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("storage::mmap::tests::a_fault_in_a_map_of_somebody_else_ends_the_process_as_ever")
            .env(INSIDE, folder.path())
            .output()
            .expect("runs");
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(REACHED));
    }

    const INSIDE: &str = "EDGETIME_TEST_FOREIGN_FAULT";
    const REACHED: &str = "about to read a page that is gone";
}
