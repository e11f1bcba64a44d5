//! Clocks that jump, and devices that have none.

use super::*;
use crate::engine::TimeDoubt;

const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

fn open_at(folder: &Path, wall: i64) -> (Arc<ManualClock>, Arc<Engine>) {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(wall));
    let meta = Arc::new(MemoryMeta::default());
    let options = EngineOptions {
        raw_age_max_ns: 10 * DAY,
        time_future_max_ns: DAY,
        time_min_ns: 946_684_800 * SECOND,
        ..options()
    };
    let engine = Engine::open(storage, meta, Arc::clone(&clock) as _, StoreId(7), options);
    (clock, Arc::new(engine.expect("opens")))
}

/// Rows of the server's own time, in seconds from `NOW`.
fn stamped(engine: &Arc<Engine>) -> Vec<i64> {
    read_all(engine, "s")
        .keys()
        .map(|time| (time - NOW) / SECOND)
        .collect()
}

#[test]
fn nothing_expires_while_the_clock_is_in_doubt() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, engine) = open_at(folder.path(), NOW);
    write_row(&engine, "a", Some(NOW - 9 * DAY), 1, "old");
    write_row(&engine, "a", Some(NOW), 2, "new");
    engine.seal_all().expect("seals");
    clock.set_wall(NOW + 400 * DAY);
    let report = engine.tick().expect("ticks");
    assert_eq!(report.expired_rows, 0);
    assert_eq!(
        read_all(&engine, "a").len(),
        2,
        "nothing is invisible either"
    );
    assert_eq!(engine.status().time.doubt, Some(TimeDoubt::Jumped));
    write_row(
        &engine,
        "a",
        Some(NOW - 9 * DAY + 1),
        3,
        "not refused as expired",
    );
    engine.checkpoint().expect("writes");
    drop(engine);
    // The jump was not handed on: the next start does not take the true time for a clock that is behind.
    let (clock, engine) = open_at(folder.path(), NOW + HOUR);
    assert_eq!(engine.status().time.doubt, None);
    assert_eq!(read_all(&engine, "a").len(), 3);
    clock.advance(2 * DAY as u64);
    assert_eq!(
        engine.tick().expect("ticks").expired_rows,
        0,
        "its chunk has a newer row"
    );
    assert_eq!(read_all(&engine, "a").len(), 1);
    clock.advance(10 * DAY as u64);
    assert!(engine.tick().expect("ticks").expired_rows > 0);
}

#[test]
fn a_device_without_a_clock_goes_on_from_the_newest_time_it_knew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, engine) = open_at(folder.path(), NOW);
    write_row(&engine, "s", None, 1, "in order");
    write_row(&engine, "a", Some(NOW - 9 * DAY), 1, "old");
    engine.checkpoint_everything().expect("writes");
    drop(engine);
    let (clock, engine) = open_at(folder.path(), 0);
    assert_eq!(engine.status().time.doubt, Some(TimeDoubt::Behind));
    clock.advance(5 * SECOND as u64);
    write_row(&engine, "s", None, 2, "five seconds after the start");
    write_row(
        &engine,
        "a",
        Some(NOW + HOUR),
        2,
        "a sensor that knows the time",
    );
    assert_eq!(stamped(&engine), [0, 5]);
    clock.advance(5 * DAY as u64);
    assert_eq!(engine.tick().expect("ticks").expired_rows, 0);
    assert_eq!(
        read_all(&engine, "a").len(),
        2,
        "retention waits for the clock"
    );
    clock.set_wall(NOW + 2 * DAY);
    assert_eq!(engine.status().time.doubt, None);
    write_row(&engine, "s", None, 3, "the clock was set");
    assert_eq!(stamped(&engine), [0, 5, 2 * DAY / SECOND]);
    assert_eq!(read_all(&engine, "a").len(), 1);
}

#[test]
fn a_clock_that_falls_back_does_not_turn_rows_into_the_future() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, engine) = open_at(folder.path(), NOW);
    write_row(&engine, "s", None, 1, "");
    clock.advance(60 * SECOND as u64);
    clock.set_wall(0);
    write_row(&engine, "s", None, 2, "");
    assert_eq!(stamped(&engine), [0, 60]);
    let check = |time| engine.time_bounds().check(time);
    assert!(check(NOW + HOUR).is_ok());
    assert!(matches!(
        check(NOW + 2 * DAY),
        Err(EngineError::TooLate { .. })
    ));
    assert!(matches!(
        check(946_684_800 * SECOND - 1),
        Err(EngineError::TooEarly { .. })
    ));
}
