//! Series of which no row is left: their place is free, their rows stay counted, and who still holds one loses nothing.

use std::path::Path;
use std::sync::Arc;

use super::{NOW, SECOND, options, read_all, try_write, write_row};
use crate::clock::ManualClock;
use crate::engine::{Access, CatalogError, Engine, EngineError, EngineOptions, Ledger};
use crate::meta::{MemoryMeta, MetaStore};
use crate::storage::FileStorage;
use crate::types::{DatabaseId, FieldType, SeriesId, StoreId, TimeRange};

const EMPTY: u64 = 60 * SECOND as u64;

fn roomy() -> EngineOptions {
    EngineOptions {
        chunk_rows: 16,
        empty_series_ns: EMPTY,
        ..options()
    }
}

fn narrow() -> EngineOptions {
    let mut narrow = roomy();
    narrow.catalog.series_max = 3;
    narrow
}

struct Store {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    meta: Arc<MemoryMeta>,
}

impl Store {
    fn open(folder: &Path, options: EngineOptions) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Self::engine(folder, options, &clock, &meta);
        Self {
            engine,
            clock,
            meta,
        }
    }

    fn engine(
        folder: &Path,
        options: EngineOptions,
        clock: &Arc<ManualClock>,
        meta: &Arc<MemoryMeta>,
    ) -> Arc<Engine> {
        let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
        let meta: Arc<dyn MetaStore> = Arc::clone(meta) as _;
        let engine = Engine::open(storage, meta, Arc::clone(clock) as _, StoreId(7), options);
        Arc::new(engine.expect("opens"))
    }

    /// As a kill leaves it and a start finds it.
    fn again(self, folder: &Path, options: EngineOptions) -> Self {
        let Self {
            engine,
            clock,
            meta,
        } = self;
        engine.sync().expect("syncs");
        drop(engine);
        let engine = Self::engine(folder, options, &clock, &meta);
        assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
        Self {
            engine,
            clock,
            meta,
        }
    }

    /// As many rounds as it takes; series that were retired.
    fn rounds(&self) -> u64 {
        let mut retired = 0;
        for _ in 0..3 {
            self.clock.advance(EMPTY);
            retired += self.engine.tick().expect("ticks").retired_series;
        }
        retired
    }

    fn empty(&self, host: &str) -> SeriesId {
        let access = Access::full();
        let view = self.engine.measurement(&access, "default", "cpu");
        let view = view.expect("allowed").expect("written");
        let of_host = |tags: &[(Arc<str>, Arc<str>)]| tags.iter().any(|(_, v)| &**v == host);
        let chosen = self.engine.select_series(view.id, &of_host);
        let ids: Vec<SeriesId> = chosen.iter().map(|series| series.id).collect();
        let deleted = self
            .engine
            .delete(&access, "default", view.id, &ids, TimeRange::ALL);
        deleted.expect("deletes");
        ids[0]
    }

    fn ledger(&self) -> Ledger {
        let ledgers = self.engine.ledgers();
        assert_eq!(ledgers.len(), 1);
        assert!(ledgers[0].ledger.is_balanced(), "{ledgers:?}");
        ledgers[0].ledger
    }
}

fn fill(engine: &Engine, host: &str, rows: i64) {
    for second in 0..rows {
        write_row(
            engine,
            host,
            Some(NOW - (200 - second) * SECOND),
            second,
            "t",
        );
    }
}

#[test]
fn a_series_without_rows_makes_room_for_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), narrow());
    for host in ["a", "b", "c"] {
        fill(&store.engine, host, 40);
    }
    let refused = try_write(&store.engine, "d", Some(NOW), 1, "t");
    let is_limit = |error: &EngineError| {
        matches!(
            error,
            EngineError::Catalog(CatalogError::TooManySeries { .. })
        )
    };
    assert!(refused.is_err_and(|error| is_limit(&error)));
    let old = store.empty("a");
    assert_eq!(store.rounds(), 0, "no manifest counts its rows yet");
    store.engine.checkpoint().expect("checkpoints");
    store.clock.advance(EMPTY);
    assert_eq!(
        store.engine.tick().expect("ticks").retired_series,
        0,
        "seen once"
    );
    assert_eq!(
        store.engine.tick().expect("ticks").retired_series,
        0,
        "too early"
    );
    store.clock.advance(EMPTY);
    assert_eq!(store.engine.tick().expect("ticks").retired_series, 1);
    assert_eq!(store.engine.status().series, 2);
    write_row(&store.engine, "d", Some(NOW), 7, "new");
    let before = store.ledger();
    assert_eq!(
        (before.deleted, before.stored, before.received),
        (40, 81, 121)
    );
    // From the log alone, then from the state file, too.
    for round in 0..4 {
        store = store.again(folder.path(), narrow());
        assert_eq!(store.ledger(), before, "round {round}");
        assert_eq!(store.engine.status().series, 3);
        assert_eq!(read_all(&store.engine, "a").len(), 0);
        assert_eq!(read_all(&store.engine, "d").len(), 1);
        assert_eq!(read_all(&store.engine, "b").len(), 40);
        assert!(
            try_write(&store.engine, "a", Some(NOW), 1, "t").is_err(),
            "no room"
        );
        if round > 0 {
            store.engine.checkpoint_everything().expect("checkpoints");
        }
    }
    // Its key comes back under another number, and its number does not.
    store.empty("b");
    store.engine.checkpoint().expect("checkpoints");
    assert_eq!(store.rounds(), 1);
    write_row(&store.engine, "a", Some(NOW), 9, "again");
    store = store.again(folder.path(), narrow());
    assert_eq!(read_all(&store.engine, "a").len(), 1);
    let resolved =
        store
            .engine
            .resolve_series(DatabaseId(0), "cpu", &mut [("zone", "z"), ("host", "a")]);
    assert!(resolved.expect("known").id > old);
}

#[test]
fn what_has_expired_stays_counted_once_when_its_series_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EngineOptions {
        raw_age_max_ns: 1_000 * SECOND,
        chunk_age_max_ns: 100 * SECOND,
        ..roomy()
    };
    let mut store = Store::open(folder.path(), options.clone());
    for host in ["a", "b"] {
        fill(&store.engine, host, 40);
    }
    // Something that nothing has sealed yet, and the log may still hold when its series is gone.
    write_row(&store.engine, "c", Some(NOW), 1, "t");
    store.clock.advance(900 * SECOND as u64);
    write_row(&store.engine, "b", Some(NOW + 900 * SECOND), 1, "t");
    store.clock.advance(200 * SECOND as u64);
    let report = store.engine.tick().expect("ticks");
    assert_eq!((report.expired_rows, report.retired_series), (73, 0));
    store.engine.checkpoint().expect("checkpoints");
    assert_eq!(store.rounds(), 2);
    let before = store.ledger();
    // The last chunk of b has a row that is young.
    assert_eq!((before.expired, before.stored), (73, 9));
    for round in 0..3 {
        store = store.again(folder.path(), options.clone());
        assert_eq!(store.ledger(), before, "round {round}");
        assert_eq!(store.engine.status().series, 1);
        store.engine.checkpoint().expect("checkpoints");
    }
}

#[test]
fn what_was_counted_is_not_counted_again_when_its_measurement_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path(), roomy());
    // A slow series, for whose sake the log keeps all that follows.
    let slow = &mut [("host", "slow")];
    let slow = store
        .engine
        .resolve_database(&Access::full(), "default")
        .and_then(|database| store.engine.resolve_series(database, "slow", slow));
    let slow = slow.expect("room");
    let fields = [("value", FieldType::Integer)];
    let plan = store.engine.resolve_layout(slow.measurement, &fields);
    let mut batch = store.engine.batch();
    let layout = batch.layout_index(&plan.expect("room").layout);
    batch.push(slow, layout, Some(NOW), (&[1], &[0], b""), 1);
    let written = store.engine.write(&mut batch);
    assert!(written.error.is_none(), "{written:?}");
    fill(&store.engine, "a", 3);
    fill(&store.engine, "b", 2);
    store.empty("a");
    let report = store.engine.checkpoint_in_passing().expect("checkpoints");
    assert!(
        report.replay_from < written.position,
        "the log has all of it"
    );
    assert_eq!(store.rounds(), 1);
    let access = Access::full();
    let cpu = store.engine.measurement(&access, "default", "cpu");
    let cpu = cpu.expect("allowed").expect("written").id;
    let dropped = store.engine.drop_measurement(&access, "default", cpu);
    assert_eq!(dropped.expect("drops").rows, 2);
    let report = store.engine.checkpoint_in_passing().expect("checkpoints");
    assert!(report.replay_from < written.position, "it still has");
    let before = store.ledger();
    assert_eq!((before.deleted, before.stored), (5, 1));
    for round in 0..3 {
        store = store.again(folder.path(), roomy());
        assert_eq!(store.ledger(), before, "round {round}");
        store.engine.checkpoint().expect("checkpoints");
    }
}

#[test]
fn whoever_resolved_it_before_is_led_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), roomy());
    let hosts = ["a", "b", "c", "d", "e"];
    for host in hosts {
        fill(&store.engine, host, 20);
    }
    let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
    let resolve = |host| {
        let mut tags = [("zone", "z"), ("host", host)];
        let series = store.engine.resolve_series(DatabaseId(0), "cpu", &mut tags);
        series.expect("known")
    };
    let series: Vec<_> = hosts.iter().map(|host| resolve(host)).collect();
    let plan = store.engine.resolve_layout(series[0].measurement, &fields);
    let plan = plan.expect("known");
    let mut batch = store.engine.batch();
    let layout = batch.layout_index(&plan.layout);
    for (i, target) in series.iter().cycle().take(15).enumerate() {
        let text = format!("text {i}");
        let bits = [
            i as u64,
            edgetime_protocol::cell::heap(0, text.len() as u32),
        ];
        let time = (i < 10).then_some(NOW + i as i64 * SECOND);
        batch.push(
            *target,
            layout,
            time,
            (&bits, &[0, 0], text.as_bytes()),
            i as u32,
        );
    }
    let drops = store.engine.drops();
    for host in ["a", "c"] {
        store.empty(host);
    }
    store.engine.checkpoint().expect("checkpoints");
    assert_eq!(store.rounds(), 2);
    assert!(store.engine.drops() > drops, "who remembers them is told");
    let size = batch.len();
    let written = store.engine.write(&mut batch);
    assert!(written.error.is_none(), "{written:?}");
    assert_eq!((written.rows, written.refused, size), (15, 0, 15));
    let check = |engine: &Arc<Engine>| {
        for (at, host) in hosts.into_iter().enumerate() {
            let kept = if ["a", "c"].contains(&host) { 0 } else { 20 };
            let rows = read_all(engine, host);
            assert_eq!(rows.len(), kept + 3, "{host}");
            for (time, (value, text)) in rows.into_iter().filter(|(time, _)| *time >= NOW) {
                assert_eq!(text, format!("text {value}"));
                assert_eq!(value % 5, at as i64);
                assert!(value >= 10 || time == NOW + value * SECOND);
            }
        }
    };
    check(&store.engine);
    assert_ne!(resolve("a").id, series[0].id);
    assert_eq!(resolve("b").id, series[1].id);
    let store = store.again(folder.path(), roomy());
    check(&store.engine);
    store.ledger();
}

#[test]
fn where_there_is_no_room_for_its_successor_the_rest_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), narrow());
    for host in ["a", "b", "c"] {
        fill(&store.engine, host, 20);
    }
    let mut tags = [("zone", "z"), ("host", "a")];
    let old = store.engine.resolve_series(DatabaseId(0), "cpu", &mut tags);
    let old = old.expect("known");
    let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
    let plan = store.engine.resolve_layout(old.measurement, &fields);
    let plan = plan.expect("known");
    store.empty("a");
    store.engine.checkpoint().expect("checkpoints");
    assert_eq!(store.rounds(), 1);
    write_row(&store.engine, "d", Some(NOW), 1, "took its place");
    let mut batch = store.engine.batch();
    let layout = batch.layout_index(&plan.layout);
    let bits = [5, edgetime_protocol::cell::heap(0, 0)];
    batch.push(old, layout, Some(NOW), (&bits, &[0, 0], b""), 3);
    // One of the same shard that can be written.
    let mut tags = [("zone", "z"), ("host", "d")];
    let other = store.engine.resolve_series(DatabaseId(0), "cpu", &mut tags);
    let other = other.expect("known");
    assert_eq!(other.id.0 % 3, old.id.0 % 3);
    batch.push(other, layout, Some(NOW + 1), (&bits, &[0, 0], b""), 4);
    let written = store.engine.write(&mut batch);
    let error = written.error.expect("no room");
    assert!(matches!(error, EngineError::Catalog(_)), "{error}");
    assert_eq!((written.rows, written.refused), (1, 1));
    assert_eq!(batch.tags().collect::<Vec<_>>(), [3]);
    assert_eq!(store.ledger().stored, 42);
    assert_eq!(read_all(&store.engine, "d").len(), 2);
}

#[test]
fn the_index_of_the_metadata_and_the_state_file_forget_them() {
    const SERIES: i64 = 1_500;
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = roomy();
    options.catalog.series_max = 4_000;
    options.raw_age_max_ns = 1_000 * SECOND;
    options.chunk_age_max_ns = 100 * SECOND;
    let state_bytes = || -> u64 {
        let files = std::fs::read_dir(folder.path().join("blocks")).expect("a folder");
        let files = files.map(|file| file.expect("a file"));
        let states = files.filter(|file| file.file_name().to_string_lossy().contains("state"));
        states
            .map(|file| file.metadata().expect("a file").len())
            .sum()
    };
    let mut store = Store::open(folder.path(), options.clone());
    for host in 0..SERIES {
        write_row(&store.engine, &format!("host-{host}"), Some(NOW), 1, "t");
        if store.engine.checkpoint_is_due() {
            store.engine.checkpoint().expect("checkpoints");
        }
    }
    store.engine.checkpoint().expect("checkpoints");
    store.engine.tick().expect("ticks");
    let known = |store: &Store| store.meta.counts().expect("counts").series;
    assert_eq!(known(&store), SERIES as u64);
    let full = state_bytes();
    assert!(full > SERIES as u64 * 10, "{full}");
    store.clock.advance(2_000 * SECOND as u64);
    write_row(&store.engine, "other", Some(NOW + 2_000 * SECOND), 1, "t");
    store.engine.tick().expect("ticks");
    store.engine.checkpoint().expect("checkpoints");
    assert_eq!(store.rounds(), SERIES as u64);
    assert_eq!(known(&store), 1);
    let memory = store.engine.status().memory.series_bytes;
    assert!(memory < 2_000_000, "{memory}");
    for _ in 0..2 {
        store.engine.checkpoint().expect("checkpoints");
    }
    assert!(state_bytes() < full / 4, "{} of {full}", state_bytes());
    store = store.again(folder.path(), options);
    assert_eq!(store.engine.status().series, 1);
    assert_eq!(store.ledger().expired, SERIES as u64);
    assert!(store.engine.index());
    assert_eq!(known(&store), 1);
    let mut tags = [("host", "new")];
    let new = store.engine.resolve_series(DatabaseId(0), "cpu", &mut tags);
    assert!(i64::from(new.expect("room").id.0) > SERIES);
}
