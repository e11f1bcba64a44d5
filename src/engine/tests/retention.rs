//! Retention classes: who is of which, what leaves, and that a policy lasts.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::clock::ManualClock;
use crate::engine::tests::{NOW, Rows, SECOND, options, read_all, try_write, write_row};
use crate::engine::{
    Access, Engine, EngineError, EngineOptions, PolicyError, RetentionBound, RetentionChange,
    RetentionRule, RetentionSelector, RetentionTier, Verb,
};
use crate::meta::MemoryMeta;
use crate::rollup::Tier;
use crate::storage::FileStorage;
use crate::types::{StoreId, TimeRange};

fn small_chunks() -> EngineOptions {
    EngineOptions {
        chunk_rows: 16,
        ..options()
    }
}

fn open(folder: &Path, options: EngineOptions) -> (Arc<Engine>, Arc<ManualClock>) {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let time = Arc::clone(&clock) as _;
    let engine = Engine::open(storage, meta, time, StoreId(7), options).expect("opens");
    (Arc::new(engine), clock)
}

/// A store that keeps rows for 1,000 seconds.
fn open_aged(folder: &Path) -> (Arc<Engine>, Arc<ManualClock>) {
    let configured = EngineOptions {
        raw_age_max_ns: 1_000 * SECOND,
        ..small_chunks()
    };
    open(folder, configured)
}

fn change(engine: &Engine, change: &RetentionChange) {
    let access = Access::full();
    engine.change_retention(&access, change).expect("taken");
}

/// Limits of a class: age in seconds, bytes, rows a series; `None` leaves them as they are.
fn limits(class: &str, age: Option<u64>, bytes: Option<u64>, rows: Option<u64>) -> RetentionChange {
    RetentionChange::Class {
        name: class.to_owned(),
        importance: None,
        raw_age_s: age.map(RetentionBound::At),
        raw_bytes: bytes,
        rows_per_series: rows.map(RetentionBound::At),
        tiers: Vec::new(),
    }
}

fn of_host(class: &str, host: &str) -> RetentionChange {
    RetentionChange::Assign(RetentionRule {
        class: class.to_owned(),
        series: RetentionSelector {
            tags: [("host".to_owned(), host.to_owned())].into(),
            ..RetentionSelector::default()
        },
    })
}

/// A row a second from a time on; where it ends.
fn fill(engine: &Engine, host: &str, from: i64, seconds: i64) -> i64 {
    for second in 0..seconds {
        let time = from + second * SECOND;
        write_row(engine, host, Some(time), second, "text");
    }
    from + seconds * SECOND
}

fn first(rows: &Rows) -> i64 {
    *rows.keys().next().expect("there are rows")
}

#[test]
fn rows_of_each_class_are_as_old_as_their_class_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open_aged(folder.path());
    for host in ["kept", "aged", "short"] {
        fill(&engine, host, NOW - 100 * SECOND, 96);
    }
    change(&engine, &limits("critical", Some(0), None, None));
    change(&engine, &limits("bulk", Some(50), None, None));
    change(&engine, &of_host("critical", "kept"));
    change(&engine, &of_host("bulk", "short"));
    // At once, of rows that were there before.
    assert_eq!(read_all(&engine, "short").len(), 46);
    assert_eq!(read_all(&engine, "aged").len(), 96);
    engine.seal_all().expect("seals");
    assert_eq!(engine.tick().expect("ticks").expired_rows, 48);
    clock.advance(1_200 * SECOND as u64);
    assert_eq!(engine.tick().expect("ticks").expired_rows, 48 + 96);
    let left = ["kept", "aged", "short"].map(|host| read_all(&engine, host).len());
    assert_eq!(left, [96, 0, 0]);
    // New rows are refused by the same bounds.
    let bounds = engine.time_bounds();
    let database = engine.resolve_database(&Access::full(), "default");
    let database = database.expect("known");
    for (host, age, is_taken) in [
        ("kept", 100_000, true),
        ("aged", 999, true),
        ("aged", 1_001, false),
        ("short", 51, false),
        ("short", 49, true),
    ] {
        let tags = &mut [("zone", "z"), ("host", host)];
        let series = engine.resolve_series(database, "cpu", tags).expect("known");
        let time = NOW + (1_200 - age) * SECOND;
        assert!(bounds.check(time).is_ok());
        let checked = bounds.check_class(series, time);
        assert_eq!(checked.is_ok(), is_taken, "{host} {age}: {checked:?}");
    }
    // Numbers of classes say nothing under another policy.
    let tags = &mut [("zone", "z"), ("host", "aged")];
    let before = engine.resolve_series(database, "cpu", tags);
    let before = before.expect("known");
    change(&engine, &limits("critical", Some(1), None, None));
    let expired = NOW + (1_200 - 1_001) * SECOND;
    let after = engine.time_bounds();
    assert!(bounds.check_class(before, expired).is_err());
    assert!(after.check_class(before, expired).is_ok());
}

#[test]
fn a_deletion_does_not_count_what_has_expired() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open_aged(folder.path());
    fill(&engine, "a", NOW - 100 * SECOND, 40);
    // All but ten of them are too old, and nobody has looked yet.
    clock.advance(929 * SECOND as u64);
    assert_eq!(read_all(&engine, "a").len(), 11);
    let found = engine.measurement(&Access::full(), "default", "cpu");
    let measurement = found.expect("known").expect("known").id;
    let series: Vec<_> = engine.select_series(measurement, &|_| true);
    let ids: Vec<_> = series.iter().map(|view| view.id).collect();
    let deleted = engine.delete(
        &Access::full(),
        "default",
        measurement,
        &ids,
        TimeRange::ALL,
    );
    assert_eq!(deleted.expect("deletes").rows, 11);
    assert!(read_all(&engine, "a").is_empty());
}

#[test]
fn a_changed_policy_finds_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) = open(folder.path(), small_chunks());
    let end = fill(&engine, "a", NOW - 500 * SECOND, 160);
    fill(&engine, "b", NOW - 500 * SECOND, 160);
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("checkpoints");
    assert_eq!(engine.tick().expect("ticks").evicted_rows, 0);
    change(&engine, &of_host("bulk", "a"));
    change(&engine, &limits("bulk", None, None, Some(32)));
    let drops = engine.drops();
    assert_eq!(engine.tick().expect("ticks").evicted_rows, 128);
    assert_eq!(first(&read_all(&engine, "a")), end - 32 * SECOND);
    assert_eq!(read_all(&engine, "b").len(), 160);
    // Back to another class: what is left stays.
    let rule = of_host("bulk", "a");
    let RetentionChange::Assign(rule) = rule else {
        panic!("it is a rule");
    };
    change(&engine, &RetentionChange::Unassign(rule.series));
    assert!(engine.drops() > drops, "writers resolve their series anew");
    fill(&engine, "a", end, 64);
    engine.seal_all().expect("seals");
    assert_eq!(engine.tick().expect("ticks").evicted_rows, 0);
    assert_eq!(read_all(&engine, "a").len(), 96);
}

#[test]
fn a_policy_lasts_in_log_and_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected = {
        let (engine, _) = open(folder.path(), small_chunks());
        let before = engine.retention().policy;
        change(&engine, &limits("bulk", Some(77), None, None));
        let after = engine.retention().policy;
        assert_ne!(before, after);
        engine.sync().expect("syncs");
        after
    };
    for round in 0..6 {
        let (engine, _) = open(folder.path(), small_chunks());
        assert_eq!(engine.opened().problems, [""; 0]);
        assert_eq!(engine.retention().policy, expected, "round {round}");
        // From the log, from the state file, and from the log behind a state file.
        if round % 3 != 0 {
            engine.checkpoint_everything().expect("checkpoints");
        }
        if round % 2 == 1 {
            change(&engine, &limits("critical", None, None, Some(round)));
            change(&engine, &of_host("critical", &format!("h{round}")));
        }
        expected = engine.retention().policy;
        engine.sync().expect("syncs");
    }
    assert_eq!(expected.rules.len(), 4);
    let (engine, _) = open(folder.path(), small_chunks());
    let report = engine.verify().expect("reads");
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn a_class_with_too_many_bytes_loses_its_oldest_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) = open(folder.path(), small_chunks());
    for host in ["a", "b", "other"] {
        fill(&engine, host, NOW - 1_000 * SECOND, 320);
    }
    engine.seal_all().expect("seals");
    change(&engine, &of_host("bulk", "a"));
    change(&engine, &of_host("bulk", "b"));
    let bulk = |engine: &Engine| engine.retention().uses[2];
    let before = bulk(&engine);
    assert_eq!((before.series, before.chunks), (2, 40));
    let half = before.bytes / 2;
    change(&engine, &limits("bulk", None, Some(half), None));
    let report = engine.tick().expect("ticks");
    let left = bulk(&engine).bytes;
    assert!(
        left <= half - half / 16 && left * 3 > half * 2,
        "{left} of {half}"
    );
    let (a, b) = (read_all(&engine, "a"), read_all(&engine, "b"));
    assert_eq!(first(&a), first(&b), "the same age of all series");
    assert_eq!(report.evicted_rows as usize, 640 - a.len() - b.len());
    assert_eq!(read_all(&engine, "other").len(), 320);
    // It is enough for now.
    assert_eq!(engine.tick().expect("ticks").evicted_rows, 0);
}

#[test]
fn a_store_keeps_its_budget_and_what_matters() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open(folder.path(), small_chunks());
    change(&engine, &of_host("critical", "pump"));
    change(&engine, &of_host("bulk", "noise"));
    let budget = 1_800_000;
    let small = RetentionChange::DiskBytes(1_000_000);
    let refused = engine.change_retention(&Access::full(), &small);
    let refused = refused.expect_err("the log alone takes more");
    assert!(
        matches!(refused, EngineError::Policy(PolicyError::Budget { .. })),
        "{refused}"
    );
    change(&engine, &RetentionChange::DiskBytes(budget));
    let hosts = ["pump", "normal", "noise"];
    let mut number = 1_u64;
    for round in 0..ROUNDS {
        fill_with_noise(&engine, &hosts, round, &mut number);
        engine.seal_all().expect("seals");
        // What leaves makes files sparse, and the next checkpoint writes them anew.
        tick_thrice(&engine, &clock);
        let taken = size_of_folder(folder.path());
        assert!(taken <= budget, "round {round}: {taken} bytes");
    }
    let [pump, normal, noise] = hosts.map(|host| read_all(&engine, host).len());
    let all = ROUNDS as usize * 32;
    let uses = engine.retention();
    assert_eq!(pump, all, "what is critical stays: {uses:?}");
    assert!(noise <= all / 10, "what matters least goes first: {noise}");
    assert!((all / 20..all / 2).contains(&normal), "{normal}");
    assert_eq!(first(&read_all(&engine, "pump")), NOW - 5_000 * SECOND);
}

#[test]
fn no_more_leaves_than_a_budget_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open(folder.path(), small_chunks());
    change(&engine, &of_host("critical", "pump"));
    change(&engine, &of_host("critical", "motor"));
    change(&engine, &of_host("bulk", "noise"));
    // Every file has chunks of both: two thirds of it stay alive whatever leaves.
    let hosts = ["pump", "motor", "noise"];
    let mut number = 1;
    for round in 0..ROUNDS {
        fill_with_noise(&engine, &hosts, round, &mut number);
    }
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("checkpoints");
    let budget = engine.retention().disk_used_bytes - 40_000;
    change(&engine, &RetentionChange::DiskBytes(budget));
    for _ in 0..5 {
        tick_thrice(&engine, &clock);
    }
    let uses = engine.retention();
    assert!(uses.disk_used_bytes <= budget, "{budget}: {uses:?}");
    assert!(size_of_folder(folder.path()) <= budget);
    let [pump, motor, noise] = hosts.map(|host| read_all(&engine, host).len());
    let all = ROUNDS as usize * 32;
    assert_eq!([pump, motor], [all; 2]);
    assert!(
        (all / 2..all).contains(&noise),
        "{noise} of {all}: {uses:?}"
    );
}

#[test]
fn buckets_leave_for_the_budget_as_well_the_oldest_of_the_finest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, clock) = open(folder.path(), small_chunks());
    let budget = 1_800_000;
    change(&engine, &RetentionChange::DiskBytes(budget));
    let [second, minute] = ["1s", "1m"].map(|name| name.parse::<Tier>().expect("a tier"));
    change(&engine, &limits("normal", None, None, Some(64)));
    let of_width = |width| RetentionTier { width, age_s: 0 };
    let class = RetentionChange::Tiers {
        class: "normal".to_owned(),
        tiers: Some([second, minute].map(of_width).to_vec()),
    };
    change(&engine, &class);
    let hosts = ["a", "b", "c"];
    let mut number = 1;
    for round in 0..ROUNDS {
        fill_with_noise(&engine, &hosts, round, &mut number);
        engine.seal_all().expect("seals");
        tick_thrice(&engine, &clock);
        let taken = size_of_folder(folder.path());
        assert!(taken <= budget, "round {round}: {taken} bytes");
    }
    // What has left and is in its chunks still.
    engine.checkpoint().expect("checkpoints");
    let uses = engine.tier_uses();
    let all = ROUNDS as u64 * 32 * hosts.len() as u64;
    let buckets = [second, minute].map(|tier| uses[&tier].buckets);
    assert!((all / 10..all / 2).contains(&buckets[0]), "{uses:?}");
    let rows = hosts.map(|host| read_all(&engine, host).len() as u64);
    assert!(
        rows.iter().all(|&rows| rows >= 64),
        "those that their class keeps stay: {rows:?}"
    );
    let rows: u64 = rows.iter().sum();
    assert!(buckets[1] >= (all - rows) / 60, "{rows} rows, {uses:?}");
    assert!(engine.buckets_over_budget() > 0);
}

/// Batches of a row a second that are written under a budget.
const ROUNDS: i64 = 160;

/// 32 rows a host with texts that have nothing in common.
fn fill_with_noise(engine: &Engine, hosts: &[&str], round: i64, number: &mut u64) {
    for host in hosts {
        for row in 0..32 {
            let mut text = String::new();
            for _ in 0..20 {
                *number = number
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                write!(text, "{:08x}", *number >> 32).expect("writing to a string");
            }
            let time = NOW - 5_000 * SECOND + (round * 32 + row) * SECOND;
            while let Err(error) = try_write(engine, host, Some(time), row, &text) {
                assert!(matches!(error, EngineError::Busy), "{error}");
                engine.checkpoint().expect("checkpoints");
            }
        }
    }
}

/// With time enough between them for whatever gives bytes back.
fn tick_thrice(engine: &Engine, clock: &ManualClock) {
    for _ in 0..3 {
        clock.advance(11 * SECOND as u64);
        engine.tick().expect("ticks");
    }
}

fn size_of_folder(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let sizes = entries.map(|entry| {
        let entry = entry.expect("it is listed");
        match entry.metadata().expect("it is there") {
            data if data.is_dir() => size_of_folder(&entry.path()),
            data => data.len(),
        }
    });
    sizes.sum()
}

#[test]
fn who_may_not_administer_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) = open(folder.path(), options());
    let before = engine.retention().policy;
    let budget = RetentionChange::DiskBytes(0);
    for access in [
        Access::restricted(&["default"], &[Verb::Administer, Verb::Write]),
        Access::restricted(&[], &[Verb::Read]),
    ] {
        let denied = engine.change_retention(&access, &budget);
        assert!(
            matches!(denied, Err(EngineError::Denied { .. })),
            "{denied:?}"
        );
    }
    let unknown = limits("none", Some(1), None, None);
    assert!(engine.change_retention(&Access::full(), &unknown).is_err());
    assert_eq!(engine.retention().policy, before);
}
