//! A device that runs full: writers are refused and told so, readers served, and all goes on by itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::engine::{SpaceLevel, SpaceLimits};
use crate::storage::simulated::SimulatedStorage;
use crate::storage::{File, Result, Segment, Storage, StorageError};

/// A folder whose free bytes the test decides, and that takes no new files when it is told so.
struct Narrow {
    inner: FileStorage,
    free_bytes: AtomicU64,
    full: AtomicBool,
    /// Room comes free while a file finds none.
    freed_meanwhile: AtomicBool,
}

impl Narrow {
    fn room(&self, name: &str) -> Result<()> {
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(StorageError::Io {
            operation: "create",
            name: name.to_owned(),
            source: io::ErrorKind::StorageFull.into(),
        })
    }
}

impl Storage for Narrow {
    fn create_segment(&self, name: &str, size_bytes: u64) -> Result<Arc<dyn Segment>> {
        self.room(name)?;
        self.inner.create_segment(name, size_bytes)
    }
    fn open_segment(&self, name: &str) -> Result<Arc<dyn Segment>> {
        self.inner.open_segment(name)
    }
    fn create_file(&self, name: &str) -> Result<Arc<dyn File>> {
        if self.freed_meanwhile.load(Ordering::Relaxed) {
            self.free_bytes.fetch_add(1_000_000, Ordering::Relaxed);
        }
        self.room(name)?;
        self.inner.create_file(name)
    }
    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        self.inner.open_file(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.inner.list(folder)
    }
    fn create_folder(&self, folder: &str) -> Result<()> {
        self.inner.create_folder(folder)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn sync_folder(&self, folder: &str) -> Result<()> {
        self.inner.sync_folder(folder)
    }
    fn free_bytes(&self) -> Result<u64> {
        Ok(self.free_bytes.load(Ordering::Relaxed))
    }
    fn kind(&self) -> &'static str {
        "narrow"
    }
}

const LIMITS: SpaceLimits = SpaceLimits {
    low_bytes: 1_000_000,
    full_bytes: 100_000,
};

fn narrow(folder: &Path, options: EngineOptions) -> (Arc<Narrow>, Arc<ManualClock>, Arc<Engine>) {
    let storage = Arc::new(Narrow {
        inner: FileStorage::open(folder).expect("a folder"),
        free_bytes: AtomicU64::new(10_000_000),
        full: AtomicBool::new(false),
        freed_meanwhile: AtomicBool::new(false),
    });
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let engine = Engine::open(
        Arc::clone(&storage) as _,
        meta,
        Arc::clone(&clock) as _,
        StoreId(7),
        options,
    );
    (storage, clock, Arc::new(engine.expect("opens")))
}

fn limited() -> EngineOptions {
    EngineOptions {
        space: LIMITS,
        ..options()
    }
}

#[test]
fn little_room_brings_a_checkpoint_and_none_refuses_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, clock, engine) = narrow(folder.path(), limited());
    let free = |bytes: u64| storage.free_bytes.store(bytes, Ordering::Relaxed);
    write_row(&engine, "a", Some(NOW), 1, "one");
    assert_eq!(engine.check_space(), SpaceLevel::Enough);
    assert!(!engine.room_is_due());
    free(999_999);
    assert_eq!(engine.check_space(), SpaceLevel::Low);
    assert!(engine.room_is_due());
    let report = engine.make_room().expect("there is some");
    let checkpoint = report.checkpoint.expect("written");
    // An image of every series, so that none of the log is needed.
    assert_eq!(checkpoint.images, 1);
    clock.advance(60 * SECOND as u64);
    assert!(!engine.room_is_due(), "once, until something changes");
    write_row(&engine, "a", Some(NOW + 1), 2, "two");
    assert!(
        engine.room_is_due(),
        "a minute later there is something to gain"
    );
    free(99_999);
    assert_eq!(engine.check_space(), SpaceLevel::Full);
    assert_eq!(engine.status().state, "full");
    let refused = try_write(&engine, "a", Some(NOW + 2), 3, "three");
    assert!(
        matches!(refused, Err(EngineError::Full { free_bytes: 99_999 })),
        "{refused:?}"
    );
    assert_eq!(read_all(&engine, "a").len(), 2, "reads go on");
    engine.sync().expect("what was taken becomes durable");
    free(105_000);
    assert_eq!(engine.check_space(), SpaceLevel::Full, "not yet enough");
    free(200_000);
    assert_eq!(engine.check_space(), SpaceLevel::Low);
    write_row(&engine, "a", Some(NOW + 2), 3, "three");
    let space = engine.space();
    assert_eq!((space.times_full, space.rows_refused), (1, 1));
    drop(engine);
    let (.., engine) = narrow(folder.path(), limited());
    assert_eq!(read_all(&engine, "a").len(), 3);
}

#[test]
fn a_checkpoint_without_room_refuses_rows_until_one_succeeds_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    // No bounds: the failure alone tells.
    let (storage, _, engine) = narrow(folder.path(), options());
    for i in 0..2_000 {
        write_row(&engine, "a", Some(NOW + i), i, "text");
    }
    let files = || storage.list("blocks").expect("lists");
    let before = files();
    storage.full.store(true, Ordering::Relaxed);
    let error = engine.checkpoint().expect_err("no room");
    assert!(error.is_full(), "{error}");
    assert_eq!(files(), before);
    assert_eq!(engine.status().state, "full");
    let refused = try_write(&engine, "a", Some(NOW + 5_000), 0, "");
    assert!(matches!(refused, Err(EngineError::Full { .. })));
    // It is tried again at once, then only when something came free or after a while.
    assert!(engine.room_is_due());
    assert!(engine.make_room().expect_err("still none").is_full());
    assert!(!engine.room_is_due());
    storage.full.store(false, Ordering::Relaxed);
    storage.free_bytes.fetch_add(65_536, Ordering::Relaxed);
    assert_eq!(engine.check_space(), SpaceLevel::Full);
    assert!(engine.room_is_due());
    engine.make_room().expect("there is room");
    assert_eq!(engine.status().state, "ok");
    write_row(&engine, "a", Some(NOW + 5_000), 5, "resumed");
    engine.sync().expect("syncs");
    let blocks = files().iter().filter(|name| name.contains(".blk")).count();
    assert_eq!(blocks, 1, "nothing is there twice: {:?}", files());
    drop(engine);
    let (.., engine) = narrow(folder.path(), options());
    assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(read_all(&engine, "a").len(), 2_001);
    assert_eq!(
        engine.status().sealed_rows + engine.status().open_rows,
        2_001
    );
}

#[test]
fn a_failed_sync_without_room_refuses_rows_until_there_is_some() {
    let disk = Arc::new(SimulatedStorage::new(1));
    let start = || {
        let clock = Arc::new(ManualClock::at(NOW));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Engine::open(disk.clone(), meta, clock, StoreId(7), options());
        Arc::new(engine.expect("opens"))
    };
    let engine = start();
    write_row(&engine, "a", Some(NOW), 1, "durable");
    engine.sync().expect("syncs");
    write_row(&engine, "a", Some(NOW + 1), 2, "waits");
    disk.fail_syncs(1);
    let full = Arc::clone(&disk);
    disk.during_sync(move || full.fill_up(true, false));
    assert!(engine.sync().expect_err("nowhere to go").is_full());
    assert!(engine.awaits_room() && !engine.is_read_only());
    assert_eq!(engine.status().state, "full");
    assert!(!engine.room_is_due(), "a checkpoint would fail likewise");
    let refused = try_write(&engine, "a", Some(NOW + 2), 3, "");
    assert!(matches!(refused, Err(EngineError::Full { .. })));
    assert_eq!(read_all(&engine, "a").len(), 2, "reads go on");
    assert!(engine.sync().expect_err("still none").is_full());
    disk.fill_up(false, false);
    engine.sync().expect("moved and synced");
    engine.check_space();
    assert_eq!(engine.status().state, "ok");
    write_row(&engine, "a", Some(NOW + 2), 3, "resumed");
    engine.sync().expect("syncs");
    drop(engine);
    let engine = start();
    assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(read_all(&engine, "a").len(), 3);
}

#[test]
fn room_that_comes_free_while_a_checkpoint_fails_is_used_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _, engine) = narrow(folder.path(), options());
    write_row(&engine, "a", Some(NOW), 1, "one");
    storage.full.store(true, Ordering::Relaxed);
    assert!(
        engine
            .checkpoint_everything()
            .expect_err("no room")
            .is_full()
    );
    assert!(engine.make_room().expect_err("no room").is_full());
    assert!(!engine.room_is_due());
    storage.freed_meanwhile.store(true, Ordering::Relaxed);
    assert!(engine.make_room().expect_err("no room").is_full());
    assert!(engine.room_is_due(), "a megabyte came free since it began");
}

#[test]
fn a_log_that_cannot_grow_goes_on_with_the_segments_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (storage, _, engine) = narrow(folder.path(), options());
    engine.prepare_log().expect("a second segment");
    storage.full.store(true, Ordering::Relaxed);
    let text = "x".repeat(1_000);
    let (mut written, mut rounds) = (0, 0);
    // Half of what the log may take: no checkpoint is due by that measure.
    while written < 200 {
        match try_write(
            &engine,
            &format!("h{}", written % 7),
            Some(NOW + written),
            written,
            &text,
        ) {
            Ok(_) => written += 1,
            Err(EngineError::Busy) => {
                assert!(engine.prepare_log().expect_err("no room").is_full());
                assert_eq!(engine.check_space(), SpaceLevel::Low);
                assert!(engine.room_is_due() || rounds > 0);
                storage.full.store(false, Ordering::Relaxed);
                let report = engine.make_room().expect("files of a checkpoint find room");
                storage.full.store(true, Ordering::Relaxed);
                assert!(report.checkpoint.expect("written").segments_freed > 0);
                rounds += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(rounds > 0, "the log never ran out of segments");
    let rows: usize = (0..7)
        .map(|h| read_all(&engine, &format!("h{h}")).len())
        .sum();
    assert_eq!(rows, 200);
}
