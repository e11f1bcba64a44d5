//! The engine against plain maps: written, read, checkpointed, opened again.

mod archive;
mod backup;
mod clock;
mod deletions;
mod drops;
mod index;
mod limits;
mod losses;
mod memory;
mod producers;
mod rejects;
mod retention;
mod space;
mod tokens;
mod vacancy;
mod wear;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edgetime_protocol::cell;

use crate::catalog::CatalogLimits;
use crate::clock::ManualClock;
use crate::codec::vector::Values;
use crate::engine::{Access, Engine, EngineError, EngineOptions, SeriesRef};
use crate::log::LogOptions;
use crate::meta::MemoryMeta;
use crate::storage::FileStorage;
use crate::types::{FieldType, StoreId, TimeRange};

const NOW: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

pub(crate) fn options() -> EngineOptions {
    EngineOptions {
        shards: 3,
        log: LogOptions {
            segment_size_bytes: 64 * 1024,
            segment_count_max: 8,
            prefetch_bytes: 0,
            sync_failures_max: 3,
        },
        catalog: CatalogLimits {
            databases_max: 10,
            series_max: 1_000,
            series_per_database_max: 0,
            columns_max: 100,
        },
        new_series: crate::engine::NewSeriesLimits::default(),
        hash_seed: 1,
        time_future_max_ns: 3_600 * SECOND,
        time_min_ns: 0,
        raw_age_max_ns: 0,
        rows_per_series_max: 0,
        tiers: Vec::new(),
        empty_series_ns: 0,
        chunk_rows: crate::limits::CHUNK_ROWS,
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 1 << 20,
        memory_limit_bytes: 0,
        space: crate::engine::SpaceLimits::default(),
        rejected_rows_max: 1_000,
        rejected_bytes_max: 1 << 20,
        follow_data: None,
    }
}

pub(crate) fn open(folder: &Path, options: EngineOptions) -> Arc<Engine> {
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    Arc::new(Engine::open(storage, meta, clock, StoreId(7), options).expect("opens"))
}

fn write_row(engine: &Engine, host: &str, time: Option<i64>, value: i64, text: &str) -> u64 {
    try_write(engine, host, time, value, text).expect("accepted")
}

fn try_write(
    engine: &Engine,
    host: &str,
    time: Option<i64>,
    value: i64,
    text: &str,
) -> Result<u64, EngineError> {
    let database = engine.resolve_database(&Access::full(), "default")?;
    let series = engine.resolve_series(database, "cpu", &mut [("zone", "z"), ("host", host)])?;
    let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
    let plan = engine.resolve_layout(series.measurement, &fields)?;
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    let bits = [value as u64, cell::heap(0, text.len() as u32)];
    batch.push(series, layout, time, (&bits, &[0, 0], text.as_bytes()), 1);
    let written = engine.write(&mut batch);
    match written.error {
        Some(error) => Err(error),
        None => Ok(written.position.0),
    }
}

type Rows = BTreeMap<i64, (i64, String)>;

fn read_all(engine: &Arc<Engine>, host: &str) -> Rows {
    let access = Access::full();
    let Some(view) = engine
        .measurement(&access, "default", "cpu")
        .expect("allowed")
    else {
        return Rows::new();
    };
    let series = engine.select_series(view.id, &|tags| tags.iter().any(|(_, v)| &**v == host));
    let columns: Vec<_> = view.columns.iter().map(|column| column.id).collect();
    let mut rows = Rows::new();
    for series in series {
        let mut reader = engine.read_series(series.id, TimeRange::ALL, &columns);
        while let Some((times, columns)) = reader.next_batch().expect("reads") {
            let (Values::Integer(numbers), Values::String(texts)) =
                (&columns[0].values, &columns[1].values)
            else {
                panic!("columns of other types");
            };
            for (i, &time) in times.iter().enumerate() {
                let text = String::from_utf8_lossy(texts.get(i)).into_owned();
                assert_eq!(rows.insert(time, (numbers[i], text)), None);
            }
        }
    }
    rows
}

#[test]
fn what_was_durable_is_there_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected: BTreeMap<String, Rows> = BTreeMap::new();
    for round in 0..4 {
        let engine = open(folder.path(), options());
        assert!(!engine.opened().is_damaged(), "{:?}", engine.opened());
        for (host, rows) in &expected {
            assert_eq!(&read_all(&engine, host), rows, "round {round}, {host}");
        }
        for i in 0..3_000i64 {
            let host = format!("h{}", i % 5);
            // Every seventh row is late or an overwrite.
            let step = if i % 7 == 0 { i / 2 } else { i };
            let time = NOW - 10_000 * SECOND + (round * 1_500 + step) * SECOND;
            let text = format!("t{}", i % 11);
            write_row(&engine, &host, Some(time), round * 10_000 + i, &text);
            let rows = expected.entry(host).or_default();
            rows.insert(time, (round * 10_000 + i, text));
            if i % 1_000 == 499 {
                engine.checkpoint().expect("checkpoints");
            }
            if engine.checkpoint_is_due() {
                engine.checkpoint().expect("checkpoints");
            }
        }
        engine.sync().expect("syncs");
        // Dropped without a word: as a kill does it.
    }
    let engine = open(folder.path(), options());
    for (host, rows) in &expected {
        assert_eq!(&read_all(&engine, host), rows, "{host}");
    }
    let report = engine.opened();
    assert!(report.chunks > 0 && report.replayed_rows > 0, "{report:?}");
    let rows: usize = expected.values().map(BTreeMap::len).sum();
    let status = engine.status();
    assert!(
        status.sealed_rows + status.open_rows >= rows as u64,
        "{status:?}"
    );
}

#[test]
fn a_checkpoint_of_everything_leaves_nothing_to_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let engine = open(folder.path(), options());
        for i in 0..100 {
            write_row(&engine, "a", Some(NOW - i * SECOND), i, "x");
        }
        let report = engine.checkpoint_everything().expect("checkpoints");
        assert_eq!((report.images, report.chunks), (1, 0));
    }
    let engine = open(folder.path(), options());
    assert_eq!(
        (engine.opened().replayed_rows, engine.opened().images),
        (0, 1)
    );
    assert_eq!(read_all(&engine, "a").len(), 100);
    write_row(&engine, "a", Some(NOW + SECOND), 5, "after");
    drop(engine);
    let engine = open(folder.path(), options());
    assert_eq!(read_all(&engine, "a").len(), 101);
}

#[test]
fn rows_of_an_image_survive_the_checkpoints_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    for i in 0..100 {
        write_row(&engine, "a", Some(NOW - i * SECOND), i, "x");
    }
    let text = "y".repeat(1_000);
    for i in 0..100 {
        write_row(&engine, "c", Some(NOW - i * SECOND), i, &text);
    }
    // The log no longer holds the rows; a checkpoint that thinks them young must keep their image.
    let report = engine.checkpoint_everything().expect("checkpoints");
    assert!(report.segments_freed > 0, "{report:?}");
    write_row(&engine, "b", Some(NOW), 1, "y");
    engine.checkpoint().expect("checkpoints");
    engine.sync().expect("syncs");
    drop(engine);
    let engine = open(folder.path(), options());
    assert_eq!(
        (read_all(&engine, "a").len(), read_all(&engine, "b").len()),
        (100, 1)
    );
}

#[test]
fn a_log_that_is_gone_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    write_row(&engine, "a", Some(NOW), 1, "x");
    engine.checkpoint_everything().expect("checkpoints");
    write_row(&engine, "a", Some(NOW + 1), 2, "lost");
    engine.sync().expect("syncs");
    drop(engine);
    std::fs::remove_dir_all(folder.path().join("log")).expect("removed");
    let engine = open(folder.path(), options());
    assert!(engine.opened().is_damaged(), "{:?}", engine.opened());
    assert_eq!(read_all(&engine, "a").len(), 1);
}

#[test]
fn a_full_log_pushes_back_until_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let text = "x".repeat(1_000);
    let mut accepted = 0;
    let refused = loop {
        match try_write(
            &engine,
            "a",
            Some(NOW - 1_000 * SECOND + accepted),
            accepted,
            &text,
        ) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100_000, "the log never fills");
    };
    assert!(matches!(refused, EngineError::Busy), "{refused}");
    engine.checkpoint_everything().expect("checkpoints");
    try_write(&engine, "a", Some(NOW), 1, "y").expect("room again");
    assert_eq!(read_all(&engine, "a").len() as i64, accepted + 1);
}

#[test]
fn a_batch_larger_than_a_segment_is_written_in_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    let series = engine
        .resolve_series(database, "cpu", &mut [("host", "a")])
        .expect("room");
    let fields = [("value", FieldType::Integer), ("text", FieldType::String)];
    let plan = engine
        .resolve_layout(series.measurement, &fields)
        .expect("room");
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    let text = "x".repeat(10_000);
    for i in 0..20 {
        let bits = [i, cell::heap(0, text.len() as u32)];
        let time = Some(NOW - i as i64 * SECOND);
        batch.push(
            series,
            layout,
            time,
            (&bits, &[0, 0], text.as_bytes()),
            i as u32,
        );
    }
    let written = engine.write(&mut batch);
    assert!(written.error.is_none(), "{:?}", written.error);
    assert_eq!((written.rows, batch.len()), (20, 0));
    assert_eq!(read_all(&engine, "a").len(), 20);
    let huge = "y".repeat(65_000);
    let refused = try_write(&engine, "a", Some(NOW), 1, &huge);
    assert!(
        matches!(refused, Err(EngineError::TooLarge { .. })),
        "{refused:?}"
    );
    write_row(&engine, "a", Some(NOW), 1, "small");
}

#[test]
fn rows_without_a_time_get_rising_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    for i in 0..50 {
        write_row(&engine, "a", None, i, "");
    }
    let rows = read_all(&engine, "a");
    assert_eq!(rows.len(), 50);
    assert_eq!(rows.keys().next(), Some(&NOW));
    assert!(rows.values().map(|(value, _)| *value).eq(0..50));
}

#[test]
fn old_rows_expire_and_their_space_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options();
    options.raw_age_max_ns = 100 * SECOND;
    let storage = Arc::new(FileStorage::open(folder.path()).expect("a folder"));
    let clock = Arc::new(ManualClock::at(NOW));
    let meta = Arc::new(MemoryMeta::default());
    let time = Arc::clone(&clock) as _;
    let engine = Arc::new(Engine::open(storage, meta, time, StoreId(7), options).expect("opens"));
    for i in 0..100 {
        write_row(&engine, "a", Some(NOW - 99 * SECOND + i * SECOND), i, "x");
    }
    engine.seal_all().expect("seals");
    engine.checkpoint().expect("checkpoints");
    assert_eq!(engine.status().blocks.live_chunks, 1);
    clock.advance(50 * SECOND as u64);
    let bounds = engine.time_bounds();
    assert!(bounds.check(NOW - 99 * SECOND).is_err() && bounds.check(NOW).is_ok());
    assert_eq!(
        read_all(&engine, "a").len(),
        51,
        "what is too old is invisible at once"
    );
    clock.advance(200 * SECOND as u64);
    assert_eq!(engine.tick().expect("ticks").expired_rows, 100);
    engine.checkpoint().expect("checkpoints");
    assert_eq!(engine.status().blocks.files, 0);
    assert_eq!(engine.row_counts().expired, 100);
}

#[test]
fn one_series_is_the_same_however_its_tags_are_ordered() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    let of = |tags: &mut [(&str, &str)]| -> SeriesRef {
        engine.resolve_series(database, "m", tags).expect("room")
    };
    assert_eq!(
        of(&mut [("a", "1"), ("b", "2")]),
        of(&mut [("b", "2"), ("a", "1")])
    );
    assert_ne!(of(&mut [("a", "1")]), of(&mut [("a", "2")]));
}

#[test]
fn every_type_comes_back_bit_for_bit_from_memory_and_from_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path(), options());
    let database = engine
        .resolve_database(&Access::full(), "default")
        .expect("room");
    let series = engine
        .resolve_series(database, "all", &mut [])
        .expect("room");
    let fields: Vec<(&str, FieldType)> = FieldType::ALL
        .iter()
        .map(|&field_type| (field_type.name(), field_type))
        .collect();
    let plan = engine
        .resolve_layout(series.measurement, &fields)
        .expect("room");
    let heap = b"text\x00\xff\xfe";
    let doubles = [
        f64::NAN.to_bits() | 5,
        (-0.0f64).to_bits(),
        f64::MIN_POSITIVE.to_bits() >> 3,
        f64::INFINITY.to_bits(),
    ];
    for (i, &double) in doubles.iter().enumerate() {
        let mut batch = engine.batch();
        let layout = batch.layout_index(&plan.layout);
        let bits = [
            double,
            i64::MIN as u64,
            u64::MAX - i as u64,
            i as u64 % 2,
            cell::heap(0, 4),
            cell::heap(4, 3),
        ];
        let marks = [cell::MARK_RAW, 0, 0, 0, 0, 0];
        batch.push(
            series,
            layout,
            Some(NOW + i as i64),
            (&bits, &marks, heap),
            0,
        );
        assert!(engine.write(&mut batch).error.is_none());
    }
    let check = |engine: &Arc<Engine>| {
        let columns: Vec<_> = plan.layout.columns.iter().map(|column| column.id).collect();
        let mut reader = engine.read_series(series.id, TimeRange::ALL, &columns);
        let (times, columns) = reader.next_batch().expect("reads").expect("rows");
        assert_eq!(times, [NOW, NOW + 1, NOW + 2, NOW + 3]);
        let Values::Float(floats) = &columns[0].values else {
            panic!("{:?}", columns[0])
        };
        assert!(
            floats
                .iter()
                .zip(&doubles)
                .all(|(ours, bits)| ours.to_bits() == *bits)
        );
        assert_eq!(columns[1].values, Values::Integer(vec![i64::MIN; 4]));
        assert_eq!(
            columns[2].values,
            Values::Unsigned((0..4).map(|i| u64::MAX - i).collect())
        );
        assert_eq!(
            columns[3].values,
            Values::Boolean(vec![false, true, false, true])
        );
        assert!(matches!(&columns[4].values, Values::String(text) if text.get(3) == b"text"));
        assert!(
            matches!(&columns[5].values, Values::Binary(bytes) if bytes.get(2) == b"\x00\xff\xfe")
        );
    };
    check(&engine);
    engine.seal_all().expect("seals");
    check(&engine);
    engine.checkpoint().expect("checkpoints");
    check(&engine);
    drop(engine);
    check(&open(folder.path(), options()));
}
