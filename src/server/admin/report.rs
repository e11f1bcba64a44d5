//! `status` and `stats` as JSON objects.

use serde_json::{Value, json};

use crate::engine::{Ledger, Status, TimeDoubt};
use crate::server::Shared;

/// The server's state, what became of rows, positions, memory, gaps.
pub fn status(shared: &Shared) -> Value {
    let status = shared.engine.status();
    let opened = shared.engine.opened();
    let gaps = shared.engine.losses();
    let memory = shared.engine.memory();
    let damage: Vec<String> = opened.damage.iter().map(ToString::to_string).collect();
    json!({
        "state": status.state,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": shared.started.elapsed().as_secs(),
        "databases": status.databases,
        "measurements": status.measurements,
        "series": status.series,
        "ledger": ledgers(&status),
        "rows": { "sealed": status.sealed_rows, "open": status.open_rows },
        "log": {
            "position_end": status.position_end.0,
            "position_durable": status.position_durable.0,
            "used_bytes": status.log.used_bytes,
            "capacity_bytes": status.log.capacity_bytes,
        },
        "memory": {
            "level": memory.level.name(),
            "limit_bytes": memory.limit_bytes,
            "anonymous_bytes": memory.anonymous_bytes,
            "log_bytes": memory.log_bytes,
            "series_bytes": status.memory.series_bytes,
            "tiers_bytes": status.memory.tiers_bytes,
            "unflushed_bytes": status.memory.unflushed_bytes,
            "cache_bytes": status.memory.cache_bytes,
            "results_bytes": shared.results.stats().total.bytes,
            "log_unsynced_bytes": status.memory.log_unsynced_bytes,
        },
        "time": {
            "now_ns": status.time.now,
            "retention_paused": status.time.doubt.is_some(),
            "doubt": status.time.doubt.map(TimeDoubt::name),
        },
        "disk": {
            "level": status.space.level.name(),
            "free_bytes": status.space.free_bytes,
            "low_bytes": status.space.limits.low_bytes,
            "full_bytes": status.space.limits.full_bytes,
        },
        "archive": shared.engine.archive().map(|archive| json!({
            "rows": archive.rows,
            "chunks": archive.chunks,
            "lost_rows": archive.lost_rows,
            "failures": archive.failures,
            "failing": archive.failing,
        })),
        "gaps": gaps,
        "damage": damage,
        "problems": opened.problems,
        "opened": {
            "chunks": opened.chunks,
            "chunk_rows": opened.chunk_rows,
            "images": opened.images,
            "replayed_rows": opened.replayed_rows,
            "torn_tail": opened.log.torn_tail.is_some(),
        },
    })
}

/// Rows by their state, in total and by database.
fn ledgers(status: &Status) -> Value {
    let mut all = ledger(&status.ledger);
    let databases = status.ledgers.iter();
    let databases: serde_json::Map<String, Value> = databases
        .map(|database| (database.name.to_string(), ledger(&database.ledger)))
        .collect();
    all["databases"] = databases.into();
    all
}

fn ledger(ledger: &Ledger) -> Value {
    json!({
        "received": ledger.received,
        "stored": ledger.stored,
        "pending_merge": ledger.pending_merge,
        "overwritten": ledger.overwritten,
        "deleted": ledger.deleted,
        "expired": ledger.expired,
        "evicted": ledger.evicted,
        "rejected": ledger.rejected,
        "duplicate": ledger.duplicate,
        "late_merged": ledger.late_merged,
        "balanced": ledger.is_balanced(),
    })
}

/// Counters by part.
pub fn stats(shared: &Shared) -> Value {
    let status = shared.engine.status();
    let (log, blocks, cache) = (&status.log, &status.blocks, &status.cache);
    json!({
        "log": {
            "bytes_appended": log.bytes_appended,
            "payload_bytes": log.payload_bytes,
            "bytes_synced": log.bytes_synced,
            "syncs": log.syncs,
            "sync_failures": log.sync_failures,
            "segments": log.segments,
            "segments_ready": log.segments_ready,
            "segments_retired": log.segments_retired,
            "used_bytes": log.used_bytes,
            "capacity_bytes": log.capacity_bytes,
            "unsynced_bytes": log.unsynced_bytes,
        },
        "blocks": {
            "files": blocks.files,
            "bytes": blocks.bytes,
            "chunks": blocks.chunks,
            "live_chunks": blocks.live_chunks,
            "live_bytes": blocks.live_bytes,
            "state_bytes": blocks.state_bytes,
            "image_bytes": blocks.image_bytes,
        },
        "cache": {
            "hits": cache.hits,
            "misses": cache.misses,
            "evictions": cache.evictions,
            "chunks": cache.chunks,
            "bytes": cache.weight_bytes,
            "capacity_bytes": cache.capacity_bytes,
        },
        "results": super::cache::figures(&shared.results.stats()),
        "wear": wear(&status),
        "disk": {
            "free_bytes": status.space.free_bytes,
            "checkpoints_failed": status.space.checkpoints_failed,
            "times_full": status.space.times_full,
            "rows_refused": status.space.rows_refused,
        },
        "pool": pool(shared),
        "connections": shared.clients.list().len(),
    })
}

/// The metadata index and its connections, since the server started.
pub fn pool(shared: &Shared) -> Value {
    let index = shared.engine.index_use();
    let pool = index.pool.unwrap_or_default();
    json!({
        "whole": index.is_whole,
        "position_applied": index.applied.map(|position| position.0),
        "trouble": index.trouble,
        "size": pool.size,
        "size_min": pool.size_min,
        "size_max": pool.size_max,
        "idle": pool.idle,
        "waiting": pool.waiting,
        "acquired": pool.acquired,
        "waits": pool.waits,
        "acquire_p50_us": micros(pool.acquire_p50_ns),
        "acquire_p99_us": micros(pool.acquire_p99_ns),
        "timeouts": pool.timeouts,
        "connects": pool.connects,
        "reconnects": pool.reconnects,
        "locked": pool.locked,
        "statements": pool.statements,
        "slow_statements": pool.slow_statements,
    })
}

/// With a digit behind the point.
fn micros(ns: u64) -> f64 {
    (ns as f64 / 100.0).round() / 10.0
}

/// What writing has cost the device since the server started.
fn wear(status: &Status) -> Value {
    let (log, checkpoints) = (&status.log, &status.checkpoints);
    let values = status.rows.values;
    let device = device_bytes();
    json!({
        "values": values,
        "bytes_logged_per_value": ratio(log.bytes_appended, values),
        "bytes_stored_per_value": ratio(checkpoints.chunk_bytes, checkpoints.chunk_values),
        // Frame headers, padding and definitions among it: 1 is the least.
        "log_amplification": ratio(log.bytes_synced, log.payload_bytes),
        "log_bytes_per_sync": ratio(log.bytes_synced, log.syncs),
        // The process's own counter, so that checkpoints and prepared segments are in it.
        "device_bytes": device,
        "device_bytes_per_sync": device.and_then(|bytes| ratio(bytes, log.syncs)),
        "checkpoints": checkpoints.checkpoints,
        "chunks_written": checkpoints.chunks,
        "chunk_bytes_written": checkpoints.chunk_bytes,
        "chunks_recompressed": checkpoints.recompressed_chunks,
        "recompressed_from_bytes": checkpoints.recompressed_from_bytes,
        "recompressed_to_bytes": checkpoints.recompressed_to_bytes,
        "images_written": checkpoints.images,
        "image_bytes_written": checkpoints.image_bytes,
    })
}

/// Bytes that this process made the devices write, where the system counts them (proc_pid_io(5)).
fn device_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    let mut lines = text.lines();
    let bytes = lines.find_map(|line| line.strip_prefix("write_bytes:"))?;
    bytes.trim().parse().ok()
}

/// Rounded to thousandths; none of none is not a number.
fn ratio(of: u64, to: u64) -> Option<f64> {
    (to > 0).then(|| (of as f64 / to as f64 * 1_000.0).round() / 1_000.0)
}
