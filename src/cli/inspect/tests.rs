//! Inspection of stores that an engine made.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::catalog::CatalogLimits;
use crate::clock::ManualClock;
use crate::engine::{Access, Engine, EngineOptions};
use crate::log::LogOptions;
use crate::meta::MemoryMeta;
use crate::storage::{DirectoryLock, FileStorage};
use crate::types::{FieldType, StoreId};

const NOW: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn open(folder: &Path) -> Engine {
    let options = EngineOptions {
        shards: 2,
        log: LogOptions {
            segment_size_bytes: 64 * 1024,
            segment_count_max: 8,
            prefetch_bytes: 0,
            sync_failures_max: 3,
        },
        catalog: CatalogLimits {
            databases_max: 10,
            series_max: 100,
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
        rejected_rows_max: 100,
        rejected_bytes_max: 1 << 20,
        follow_data: None,
    };
    let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
    let (meta, clock) = (
        Arc::new(MemoryMeta::default()),
        Arc::new(ManualClock::at(NOW)),
    );
    Engine::open(storage, meta, clock, StoreId(0xabc), options).expect("opens")
}

fn write(engine: &Engine, room: &str, rows: i64) {
    let database = engine
        .resolve_database(&Access::full(), "plant")
        .expect("room");
    let series = engine
        .resolve_series(database, "air", &mut [("room", room)])
        .expect("room");
    let plan = engine
        .resolve_layout(series.measurement, &[("temperature", FieldType::Float)])
        .expect("room");
    let mut batch = engine.batch();
    let layout = batch.layout_index(&plan.layout);
    for row in 0..rows {
        let time = NOW - 3_600 * SECOND + row * SECOND;
        let bits = [(200 + row % 7) as u64];
        batch.push(series, layout, Some(time), (&bits, &[1], b""), 0);
    }
    assert!(engine.write(&mut batch).error.is_none());
}

/// A store with stored chunks, an image and rows that only the log has.
fn store(folder: &Path) {
    let engine = open(folder);
    write(&engine, "a", 1_500);
    write(&engine, "b", 100);
    engine.seal_all().expect("seals");
    engine.checkpoint_everything().expect("checkpoints");
    write(&engine, "c", 10);
    engine.sync().expect("syncs");
}

fn inspect(folder: &Path, flags: [bool; 3]) -> (serde_json::Value, Result<(), CommandError>) {
    let args = InspectArgs {
        data_dir: folder.to_owned(),
        log: flags[0],
        blocks: flags[1],
        verify: flags[2],
        json: true,
    };
    let mut out = Vec::new();
    let result = run(&args, &mut out);
    (serde_json::from_slice(&out).unwrap_or_default(), result)
}

/// All files with their bytes.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
    files.sort_unstable();
    files
}

#[test]
fn blocks_are_summed_by_series_and_nothing_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let before = content(folder.path());
    let (report, result) = inspect(folder.path(), [false, true, false]);
    result.expect("inspected");
    assert!(report["log"].is_null());
    let blocks = &report["blocks"];
    assert_eq!(blocks["store"], "0000000000000abc");
    assert_eq!(blocks["points"], 1_600, "{blocks:#}");
    let series = blocks["series"].as_array().expect("a list");
    let names: Vec<_> = series
        .iter()
        .map(|s| (&s["database"], &s["series"], &s["points"]))
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(
        (names[0].0, names[0].1),
        (&"plant".into(), &"air,room=a".into())
    );
    assert_eq!((names[0].2, names[1].2), (&1_500.into(), &100.into()));
    assert_eq!(series[1]["last_time"], NOW - 3_501 * SECOND);
    let bytes: u64 = series.iter().filter_map(|s| s["bytes"].as_u64()).sum();
    assert_eq!(blocks["bytes"], bytes);
    let per_point = blocks["bytes_per_point"].as_f64().expect("a number");
    assert!((bytes as f64 / 1_600.0 - per_point).abs() < 0.001);

    let (report, result) = inspect(folder.path(), [true, false, false]);
    result.expect("inspected");
    assert!(report["blocks"].is_null());
    assert!(report["log"]["rows"].as_u64() >= Some(10), "{report:#}");
    assert!(report["log"]["frames"]["rows"]["count"].as_u64() >= Some(1));
    assert_eq!(report["log"]["corruption"], serde_json::json!([]));

    let (report, result) = inspect(folder.path(), [false, false, true]);
    result.expect("sound");
    assert!(report["log"].is_object() && report["blocks"].is_object());
    assert!(report["blocks"]["series"].is_null());
    assert!(content(folder.path()) == before, "a look changes nothing");
}

#[test]
fn damage_is_found_by_verify() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    let path = folder.path().join("blocks/00000001.blk");
    let mut bytes = fs::read(&path).expect("a block file");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).expect("written");
    let (report, result) = inspect(folder.path(), [false, false, true]);
    let error = result.expect_err("damaged").to_string();
    assert!(error.contains("damaged"), "{error}");
    let damage = report["blocks"]["damage"].as_array().expect("a list");
    assert!(
        damage[0].as_str().expect("text").contains("00000001.blk"),
        "{damage:?}"
    );
}

#[test]
fn verify_reads_every_kind_of_file() {
    let folder = tempfile::tempdir().expect("a folder");
    store(folder.path());
    // With an image of what was in the log alone.
    let engine = open(folder.path());
    engine.checkpoint_everything().expect("checkpoints");
    drop(engine);
    fs::write(folder.path().join("meta.sqlite"), "").expect("an empty index is one");
    let verify = || inspect(folder.path(), [false, false, true]);
    let (report, result) = verify();
    result.expect("sound");
    let blocks = &report["blocks"];
    assert!(blocks["chunks_decoded"].as_u64() > Some(0), "{blocks:#}");
    assert_eq!(blocks["chunks_decoded"], blocks["chunks"]);
    assert_eq!(report["index"]["present"], true);
    let mut kinds = Vec::new();
    for (path, bytes) in content(folder.path()) {
        let at = match path.rsplit(['.', '-', '/']).next() {
            Some("cat" | "img" | "A" | "B") => 60,
            Some("sqlite") => 0,
            _ => continue,
        };
        let mut altered = bytes.clone();
        altered.resize(bytes.len().max(4096), 0);
        altered[at] ^= 1;
        fs::write(&path, &altered).expect("written");
        let (report, result) = verify();
        assert!(result.is_err(), "{path}: {report:#}");
        fs::write(&path, &bytes).expect("written");
        kinds.push(path);
    }
    assert!(kinds.len() >= 5, "{kinds:?}");
    verify().1.expect("sound again");
}

#[test]
fn a_directory_in_use_or_without_a_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |part: &str| {
        let (_, result) = inspect(folder.path(), [false; 3]);
        let error = result.expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    refused("neither a manifest nor a log");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    store(folder.path());
    let lock = DirectoryLock::acquire(folder.path()).expect("free");
    refused(&format!("in use by process {}", std::process::id()));
    drop(lock);
    assert!(inspect(folder.path(), [false; 3]).1.is_ok());
    let gone = InspectArgs {
        data_dir: folder.path().join("none"),
        log: false,
        blocks: false,
        verify: false,
        json: false,
    };
    let error = run(&gone, &mut Vec::new())
        .expect_err("not there")
        .to_string();
    assert!(error.contains("not a folder"), "{error}");
}
