//! Memory that runs short: each level does its part, nothing that was accepted is lost, and all goes on by itself.

use super::*;
use crate::engine::{MemoryLevel, MemoryRelief};

const LIMIT: u64 = 64 << 20;

fn limited() -> EngineOptions {
    EngineOptions {
        memory_limit_bytes: LIMIT,
        ..options()
    }
}

fn start(folder: &Path) -> (Arc<ManualClock>, Arc<Engine>) {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let engine = Engine::open(
        storage,
        meta,
        Arc::clone(&clock) as _,
        StoreId(7),
        limited(),
    );
    (clock, Arc::new(engine.expect("opens")))
}

/// Says that the process takes so many hundredths of what the limit leaves beside the log.
fn take(engine: &Engine, percent: u64) -> MemoryLevel {
    let log_bytes = engine.log_usage().capacity_bytes;
    engine.check_memory((LIMIT - log_bytes) * percent / 100 + 1)
}

const ROUND: u64 = SECOND as u64 / 4;

#[test]
fn each_level_does_its_part_and_all_of_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, engine) = start(folder.path());
    clock.advance(60 * SECOND as u64);
    for i in 0..20 {
        write_row(&engine, "silent", Some(NOW + i), i, "x");
        write_row(&engine, "loud", Some(NOW + i), i, "x");
    }
    assert_eq!(take(&engine, 64), MemoryLevel::Enough);
    assert!(!engine.memory_is_due());

    assert_eq!(take(&engine, 65), MemoryLevel::Shrink);
    assert!(engine.memory_is_due());
    let relieved = engine.relieve_memory().expect("works");
    assert_eq!((relieved.cache_eighths, relieved.relief.shrinks), (4, 1));
    assert_eq!(
        engine.status().cache.capacity_bytes,
        options().chunk_cache_bytes as u64 / 2
    );
    assert!(!engine.memory_is_due(), "not all at once");
    clock.advance(ROUND);
    assert!(engine.memory_is_due());

    assert_eq!(take(&engine, 72), MemoryLevel::Flush);
    let relieved = engine.relieve_memory().expect("works");
    assert_eq!(relieved.relief.flushes, 0, "there is nothing to flush");

    // Half a minute in which one series is silent, and half a minute that is seen to have passed.
    for _ in 0..2 {
        clock.advance(30 * SECOND as u64);
        take(&engine, 72);
        write_row(&engine, "loud", Some(NOW + 100), 100, "x");
    }
    let new = || try_write(&engine, "new", Some(NOW), 1, "x");
    take(&engine, 75);
    new().expect("there is room");
    assert_eq!(take(&engine, 80), MemoryLevel::Unload);
    assert!(engine.memory_is_due(), "at once, where it gets worse");
    let relieved = engine.relieve_memory().expect("works");
    let relief = relieved.relief;
    assert_eq!((relief.unloaded_series, relief.flushes), (1, 1));
    assert_eq!(relieved.cache_eighths, 0);
    assert_eq!(
        engine.status().open_rows,
        22,
        "those of the loud one and the new one"
    );
    let refused = try_write(&engine, "newer", Some(NOW), 1, "x");
    assert!(
        matches!(
            refused,
            Err(EngineError::MemoryShort {
                what: "new series",
                ..
            })
        ),
        "{refused:?}"
    );
    write_row(&engine, "silent", Some(NOW + 200), 200, "x");

    assert_eq!(take(&engine, 94), MemoryLevel::Full);
    assert_eq!(engine.status().state, "full");
    let refused = try_write(&engine, "loud", Some(NOW + 201), 1, "x").expect_err("is refused");
    assert!(refused.is_passing(), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "no memory for rows: memory.limit_mb = 64 is used up (59 MiB beside the log); try again"
    );
    assert_eq!(read_all(&engine, "silent").len(), 21, "reads go on");
    assert_eq!(take(&engine, 91), MemoryLevel::Full, "not yet enough");
    assert_eq!(take(&engine, 89), MemoryLevel::Unload);
    write_row(&engine, "loud", Some(NOW + 202), 202, "x");

    assert_eq!(take(&engine, 10), MemoryLevel::Enough);
    assert_eq!(engine.status().state, "ok");
    for eighths in [1, 2, 4, 8] {
        assert!(!engine.memory_is_due());
        clock.advance(10 * SECOND as u64);
        assert!(engine.memory_is_due());
        let relieved = engine.relieve_memory().expect("works");
        assert_eq!(relieved.cache_eighths, eighths);
    }
    clock.advance(60 * SECOND as u64);
    assert!(!engine.memory_is_due(), "caches are whole again");
    let state = engine.memory();
    assert_eq!(
        state.relief,
        MemoryRelief {
            shrinks: 3,
            flushes: 1,
            unloaded_series: 1,
            refused_series: 1,
            refused_rows: 1,
            times_full: 1,
        }
    );
    assert!(state.anonymous_max_bytes > state.anonymous_bytes);
    engine.sync().expect("works");
    drop(engine);
    let (_, engine) = start(folder.path());
    assert_eq!(read_all(&engine, "silent").len(), 21);
    assert_eq!(read_all(&engine, "loud").len(), 22);
}

#[test]
fn series_that_are_not_silent_are_sealed_where_a_chunk_is_worth_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, engine) = start(folder.path());
    for i in 0..128 {
        write_row(&engine, "much", Some(NOW + i), i, "x");
    }
    for i in 0..127 {
        write_row(&engine, "little", Some(NOW + i), i, "x");
    }
    assert_eq!(take(&engine, 94), MemoryLevel::Full);
    let relief = engine.relieve_memory().expect("works").relief;
    assert_eq!((relief.unloaded_series, relief.flushes), (1, 1));
    assert_eq!(engine.status().open_rows, 127);
    assert_eq!(engine.unflushed_bytes(), 0);
}

#[test]
fn series_that_come_between_two_looks_count_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, engine) = start(folder.path());
    assert_eq!(take(&engine, 75), MemoryLevel::Flush);
    let taken = (0..900)
        .take_while(|i| try_write(&engine, &format!("host{i}"), Some(NOW), 1, "x").is_ok())
        .count();
    // A hundredth of the bound, and a little that is rounded away.
    assert!((300..340).contains(&taken), "{taken}");
    take(&engine, 75);
    try_write(&engine, "another", Some(NOW), 1, "x").expect("the kernel knows better");
}

#[test]
fn without_a_limit_nothing_is_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    assert_eq!(engine.check_memory(u64::MAX), MemoryLevel::Enough);
    assert!(!engine.memory_is_due());
    write_row(&engine, "a", Some(NOW), 1, "x");
    assert_eq!(engine.memory().anonymous_bytes, u64::MAX);
}
