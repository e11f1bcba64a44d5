//! The engine in this process: rows through its batches, without text and sockets.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::{NoHints, key};
use edgetime_protocol::session::{Item, Session};

use super::load::Load;
use super::report::Report;
use super::{BenchArgs, Stop, in_parallel};
use crate::catalog::CatalogLimits;
use crate::cli::CommandError;
use crate::clock::SystemClock;
use crate::engine::{Access, Engine, EngineError, EngineOptions, RowPlan, SeriesRef};
use crate::limits::CHUNK_ROWS;
use crate::log::LogOptions;
use crate::meta::MemoryMeta;
use crate::storage::{self, BackendChoice};
use crate::types::{DatabaseId, FieldType, MeasurementId, StoreId, Timestamp};

/// Runs the engine on a folder that is removed afterwards.
pub(super) fn run(args: &BenchArgs) -> Result<Report, CommandError> {
    let folder = TemporaryFolder::create()?;
    let failed =
        |error: &dyn std::fmt::Display| CommandError::Failed(format!("embedded engine: {error}"));
    let storage = storage::open(&folder.0, BackendChoice::Auto).map_err(|error| failed(&error))?;
    let (meta, clock) = (
        Arc::new(MemoryMeta::default()),
        Arc::new(SystemClock::new()),
    );
    let engine = Engine::open(storage, meta, clock, StoreId(1), options(args))
        .map_err(|error| failed(&error))?;
    let parts = args
        .loads()?
        .into_iter()
        .map(|load| Prepared::new(&engine, &load));
    let parts = parts
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&error))?;
    let stop = Stop::after(args.seconds);
    let started = Instant::now();
    let finished = AtomicBool::new(false);
    let (written, maintained) = thread::scope(|scope| {
        let maintenance = scope.spawn(|| maintain(&engine, &finished));
        let written = in_parallel(parts, &stop, |part, stop| {
            part.write(&engine, stop).map_err(|error| failed(&error))
        });
        finished.store(true, Ordering::Relaxed);
        (written, maintenance.join())
    });
    let (rows, values) = written?
        .iter()
        .fold((0, 0), |(r, v), part| (r + part.0, v + part.1));
    let writing = started.elapsed();
    match maintained {
        Ok(result) => result.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&"its maintenance panicked")),
    }
    engine.sync().map_err(|error| failed(&error))?;
    let mut report = Report::new("ingest", args, started.elapsed());
    report.add_embedded(rows, values, writing);
    let status = engine.status();
    report.set(
        "stored_rows",
        (status.sealed_rows + status.open_rows).into(),
    );
    Ok(report)
}

/// What the server's threads do: sync, room ahead of the log, checkpoints.
fn maintain(engine: &Engine, finished: &AtomicBool) -> Result<(), EngineError> {
    while !finished.load(Ordering::Relaxed) {
        engine.prepare_log()?;
        engine.sync()?;
        if engine.checkpoint_is_due() {
            engine.checkpoint()?;
        }
        thread::sleep(SYNC_EVERY);
    }
    Ok(())
}

fn options(args: &BenchArgs) -> EngineOptions {
    EngineOptions {
        shards: thread::available_parallelism().map_or(4, |n| (n.get() * 4).min(256)),
        log: LogOptions::default(),
        catalog: CatalogLimits {
            databases_max: 1,
            series_max: args.series as usize,
            series_per_database_max: 0,
            columns_max: 4096,
        },
        new_series: crate::engine::NewSeriesLimits::default(),
        hash_seed: 1,
        time_future_max_ns: i64::MAX,
        time_min_ns: 0,
        raw_age_max_ns: 0,
        rows_per_series_max: 64 * CHUNK_ROWS as u64,
        tiers: Vec::new(),
        empty_series_ns: 0,
        chunk_rows: CHUNK_ROWS,
        chunk_age_max_ns: i64::MAX,
        chunk_cache_bytes: 16 << 20,
        memory_limit_bytes: 0,
        space: crate::engine::SpaceLimits::default(),
        rejected_rows_max: 1,
        rejected_bytes_max: 1 << 20,
        follow_data: None,
    }
}

/// A measurement, and raw keys and types of fields in their order.
type Shape = (MeasurementId, Vec<(Vec<u8>, FieldType)>);

/// A row whose names are resolved.
struct PreparedRow {
    series: SeriesRef,
    plan: u32,
    time: Timestamp,
    /// Where its cells begin.
    cells: usize,
    /// The text that cells of strings refer to.
    heap: (usize, usize),
}

/// The rows of one connection, parsed.
struct Prepared {
    rows: Vec<PreparedRow>,
    plans: Vec<RowPlan>,
    bits: Vec<u64>,
    marks: Vec<u8>,
    heap: Vec<u8>,
    round_ns: u64,
}

impl Prepared {
    fn new(engine: &Engine, load: &Load) -> Result<Self, EngineError> {
        let database = engine.resolve_database(&Access::full(), "default")?;
        let mut series: HashMap<Vec<u8>, SeriesRef> = HashMap::new();
        let mut plans: HashMap<Shape, u32> = HashMap::new();
        let mut prepared = Self {
            rows: Vec::new(),
            plans: Vec::new(),
            bits: Vec::new(),
            marks: Vec::new(),
            heap: Vec::new(),
            round_ns: load.round_ns(),
        };
        let mut session = Session::new(Limits::default());
        while let Item::Row(row) = session.next(load.text(), &mut NoHints) {
            let series = if let Some(&known) = series.get(row.key) {
                known
            } else {
                let found = resolve(engine, database, row.key)?;
                series.insert(row.key.to_vec(), found);
                found
            };
            let fields = row
                .keys()
                .map(<[u8]>::to_vec)
                .zip(row.kinds().iter().copied());
            let shape = (series.measurement, fields.collect());
            let plan = if let Some(&known) = plans.get(&shape) {
                known
            } else {
                prepared.plans.push(resolve_layout(engine, &shape)?);
                let plan = prepared.plans.len() as u32 - 1;
                plans.insert(shape, plan);
                plan
            };
            let has_bytes = prepared.plans[plan as usize].layout.has_bytes;
            let heap = prepared.heap.len();
            if has_bytes {
                prepared.heap.extend_from_slice(row.raw);
            }
            prepared.rows.push(PreparedRow {
                series,
                plan,
                time: row.time.unwrap_or_default(),
                cells: prepared.bits.len(),
                heap: (heap, prepared.heap.len()),
            });
            // Strings of generated loads have no escapes, and their marks no meaning to the engine.
            prepared.bits.extend_from_slice(row.cells());
            prepared.marks.extend_from_slice(row.marks());
        }
        Ok(prepared)
    }

    /// Writes round after round. Gives rows and values.
    fn write(self, engine: &Engine, stop: &Stop) -> Result<(u64, u64), EngineError> {
        let mut batch = engine.batch();
        let (mut rows, mut values) = (0, 0);
        let mut shift = 0;
        loop {
            for chunk in self.rows.chunks(BATCH_ROWS) {
                if stop.is_over() {
                    return Ok((rows, values));
                }
                for row in chunk {
                    let layout = &self.plans[row.plan as usize].layout;
                    let index = batch.layout_index(layout);
                    let cells = row.cells..row.cells + layout.stride();
                    let heap = &self.heap[row.heap.0..row.heap.1];
                    let cells = (&self.bits[cells.clone()], &self.marks[cells], heap);
                    batch.push(row.series, index, Some(row.time + shift), cells, 0);
                    values += layout.stride() as u64;
                }
                rows += chunk.len() as u64;
                loop {
                    match engine.write(&mut batch).error {
                        None => break,
                        // The log is full until the next checkpoint.
                        Some(EngineError::Busy) if !stop.is_over() => thread::sleep(RETRY_AFTER),
                        Some(error) => return Err(error),
                    }
                }
            }
            shift += self.round_ns as i64;
        }
    }
}

fn resolve(engine: &Engine, database: DatabaseId, raw: &[u8]) -> Result<SeriesRef, EngineError> {
    let limits = Limits::default();
    let parsed = key::parse(raw, &limits).expect("the session has parsed this key");
    let tags: Vec<_> = parsed.tags().collect();
    let mut tags: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
    engine.resolve_series(database, &parsed.measurement(), &mut tags)
}

fn resolve_layout(engine: &Engine, (measurement, fields): &Shape) -> Result<RowPlan, EngineError> {
    let fields = fields
        .iter()
        .map(|(raw, kind)| (key::unescape_field_key(raw), *kind));
    let fields: Vec<_> = fields.collect();
    let fields: Vec<_> = fields.iter().map(|(name, kind)| (&**name, *kind)).collect();
    engine.resolve_layout(*measurement, &fields)
}

/// A folder that goes when it is no longer needed.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn create() -> Result<Self, CommandError> {
        let path = std::env::temp_dir().join(format!("edgetime-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| {
            CommandError::Failed(format!(
                "{}: {error}; set TMPDIR to a folder with room",
                path.display()
            ))
        })?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What stays behind is only temporary.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Rows written at a time: what a read of 128 KiB of text holds, about.
const BATCH_ROWS: usize = 512;
const SYNC_EVERY: Duration = Duration::from_millis(100);
const RETRY_AFTER: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::What;
    use crate::cli::workload::{START_NS, Workload};
    use crate::cli::{AckArg, ServerArgs};
    use crate::types::AckLevel;

    #[test]
    fn a_short_run_counts_what_it_stored() {
        let args = BenchArgs {
            what: What::Ingest,
            server: ServerArgs {
                addr: String::new(),
                db: None,
                token: None,
            },
            embedded: true,
            workload: Workload::Iot,
            protocol: crate::cli::bench::Protocol::Line,
            series: 1_000,
            values: None,
            connections: 2,
            seconds: 0,
            start_ns: START_NS,
            ack: AckArg {
                ack: AckLevel::Durable,
            },
            sql: None,
            server_pid: None,
            json: true,
        };
        let report = run(&args).expect("measured");
        let mut out = Vec::new();
        report
            .print(true, &mut out)
            .expect("a vector takes every byte");
        let report: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(report["rows"], report["stored_rows"], "{report:#}");
    }
}
