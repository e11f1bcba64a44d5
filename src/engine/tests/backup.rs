//! A copy made while rows are written has exactly what came before its position.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::engine::BackupReport;
use crate::storage::simulated::SimulatedStorage;

/// A row that was written: the position behind it, its host and its time.
type Noted = (u64, String, i64);

fn write_on(engine: &Engine, stop: &AtomicBool, writer: i64) -> Vec<Noted> {
    let mut noted = Vec::new();
    let mut i = 0;
    while !stop.load(Ordering::Relaxed) {
        let host = format!("w{writer}h{}", i % 5);
        let time = NOW + i * SECOND;
        match try_write(engine, &host, Some(time), i, &format!("{i}")) {
            Ok(position) => {
                noted.push((position, host, time));
                i += 1;
            }
            Err(EngineError::Busy) => {
                engine.checkpoint().expect("writes");
            }
            Err(error) => panic!("{error}"),
        }
    }
    noted
}

#[test]
fn a_backup_under_load_is_the_store_up_to_its_position() {
    let folder = tempfile::tempdir().expect("a folder");
    let copies = tempfile::tempdir().expect("a folder");
    let engine = open(&folder.path().join("data"), options());
    let stop = AtomicBool::new(false);
    let (noted, reports) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (engine, stop) = (&engine, &stop);
                scope.spawn(move || write_on(engine, stop, writer))
            })
            .collect();
        let mut reports: Vec<BackupReport> = Vec::new();
        for i in 0..3 {
            let before = engine.end();
            while engine.end().0 < before.0 + 100_000 {
                std::thread::yield_now();
            }
            let root = copies.path().join(format!("{i}"));
            let end = engine.end();
            let report = engine.backup(&root).expect("copies");
            assert!(report.position >= end, "{report:?}");
            reports.push(report);
        }
        stop.store(true, Ordering::Relaxed);
        let noted = writers
            .into_iter()
            .flat_map(|w| w.join().expect("no panic"));
        (noted.collect::<Vec<Noted>>(), reports)
    });
    for (i, report) in reports.iter().enumerate() {
        let copy = open(&copies.path().join(format!("{i}")), options());
        assert!(!copy.opened().is_damaged(), "{:?}", copy.opened());
        let mut expected: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (position, host, time) in &noted {
            if *position <= report.position.0 {
                expected.entry(host).or_default().push(*time);
            }
        }
        assert!(expected.len() >= 5, "both writers or one");
        for (host, times) in expected {
            let found: Vec<i64> = read_all(&copy, host).into_keys().collect();
            assert_eq!(found, times, "backup {i}, {host}");
        }
        // The log may have been full when it was copied.
        while let Err(error) = try_write(&copy, "new", Some(NOW), 1, "it goes on") {
            assert!(matches!(error, EngineError::Busy), "{error}");
            copy.checkpoint().expect("writes");
        }
        copy.checkpoint_everything().expect("writes");
    }
    // Nothing is written meanwhile, and the checkpoint has it all.
    let idle = copies.path().join("idle");
    engine.backup(&idle).expect("copies");
    let report = engine.backup(&copies.path().join("again")).expect("copies");
    assert_eq!(report.position, engine.durable());
    let copy = open(&copies.path().join("again"), options());
    assert!(!copy.opened().is_damaged(), "{:?}", copy.opened());
    drop(copy);
    // What copies share with the store is not touched by what becomes of them.
    let rows = |engine: &Arc<Engine>| read_all(engine, "w0h0").len();
    let all = rows(&engine);
    drop(engine);
    let engine = open(&folder.path().join("data"), options());
    assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(rows(&engine), all);
    assert!(reports[2].linked > 0 || reports[2].bytes > 0);
}

#[test]
fn a_backup_of_a_log_without_a_free_segment_opens_without_a_loss() {
    let folder = tempfile::tempdir().expect("a folder");
    let copies = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let engine = open(&data, options());
    let mut written = 0;
    let text = "x".repeat(1_000);
    while try_write(&engine, "a", Some(NOW + written), written, &text).is_ok() {
        written += 1;
    }
    engine.sync().expect("syncs");
    drop(engine);
    // All segments hold something, so that none is begun.
    let engine = open(&data, options());
    assert!(matches!(
        try_write(&engine, "a", Some(NOW + written), 0, ""),
        Err(EngineError::Busy)
    ));
    let copy = copies.path().join("full");
    engine.backup(&copy).expect("copies");
    for _ in 0..2 {
        let copy = open(&copy, options());
        assert!(!copy.opened().is_damaged(), "{:?}", copy.opened());
        assert_eq!(read_all(&copy, "a").len() as i64, written);
        write_row(&copy, "b", None, 1, "it goes on");
        copy.sync().expect("syncs");
    }
    let copy = open(&copy, options());
    assert_eq!(read_all(&copy, "b").len(), 2);
}

#[test]
fn a_store_that_cannot_be_written_is_backed_up_as_far_as_it_is_durable() {
    for read_only in [true, false] {
        let copies = tempfile::tempdir().expect("a folder");
        let disk = Arc::new(SimulatedStorage::new(1));
        let clock = Arc::new(ManualClock::at(NOW));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Engine::open(disk.clone(), meta, clock, StoreId(7), options());
        let engine = Arc::new(engine.expect("opens"));
        for i in 0..1_500 {
            write_row(&engine, "a", Some(NOW + i), i, "in a chunk and in the log");
            if i % 700 == 0 {
                engine.checkpoint_everything().expect("writes");
            }
        }
        engine.sync().expect("syncs");
        let durable = engine.durable();
        write_row(&engine, "b", Some(NOW), 1, "not durable");
        if read_only {
            disk.fail_syncs(3);
        } else {
            disk.fail_syncs(1);
            let full = Arc::clone(&disk);
            disk.during_sync(move || full.fill_up(true, false));
        }
        engine.sync().expect_err("the device fails");
        assert_eq!(engine.is_read_only(), read_only);
        let copy = copies.path().join("copy");
        let report = engine.backup(&copy).expect("copies");
        assert_eq!(report.position, durable);
        let copy = open(&copy, options());
        assert!(!copy.opened().is_damaged(), "{:?}", copy.opened());
        assert_eq!(read_all(&copy, "a"), read_all(&engine, "a"));
        assert_eq!(read_all(&copy, "b").len(), 0);
        write_row(&copy, "b", None, 1, "it goes on");
    }
}
