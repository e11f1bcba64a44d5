//! Opening the store of a configuration: the one place where storage, metadata, clock and engine meet.

use std::sync::Arc;
use std::time::Duration;

use super::CommandError;
use crate::catalog::CatalogLimits;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::{Backend, ClockKind, Config, LogConfig, RetentionConfig};
use crate::engine::{Engine, EngineOptions, NewSeriesLimits, SpaceLimits, StoreArchive};
use crate::limits::MIB;
use crate::log::LogOptions;
use crate::meta::{SqliteMeta, SqliteOptions};
use crate::server::tiers_of;
use crate::storage::{self, BackendChoice, DirectoryLock, LockError};
use crate::types::StoreId;

/// Makes the data directory and keeps other servers out of it.
pub fn lock(config: &Config) -> Result<DirectoryLock, CommandError> {
    let folder = &config.general.data_dir;
    std::fs::create_dir_all(folder).map_err(|error| {
        CommandError::Failed(format!(
            "data directory {}: {error}; name one that this user may write with --data-dir",
            folder.display()
        ))
    })?;
    DirectoryLock::acquire(folder).map_err(failed)
}

/// Opens the store.
pub fn open(config: &Config) -> Result<Arc<Engine>, CommandError> {
    let choice = match config.log.backend {
        Backend::Auto => BackendChoice::Auto,
        Backend::Mmap => BackendChoice::Mmap,
        Backend::File => BackendChoice::File,
    };
    let folder = &config.general.data_dir;
    let storage = storage::open(folder, choice).map_err(failed)?;
    let index = SqliteOptions {
        pool_size_min: config.meta.pool_size_min,
        pool_size_max: config.meta.pool_size_max,
        acquire_timeout: Duration::from_millis(config.meta.acquire_timeout_ms),
        idle_timeout: Duration::from_secs(config.meta.idle_timeout_s),
        lifetime_max: Duration::from_secs(config.meta.lifetime_max_s),
        busy_timeout: Duration::from_millis(config.meta.busy_timeout_ms),
        slow_statement: Duration::from_millis(config.meta.slow_statement_ms),
        ..SqliteOptions::in_folder(folder)
    };
    // Its times are waited for by callers, whatever the data's own time is.
    let (meta, opened) = SqliteMeta::open(index, Arc::new(SystemClock::new())).map_err(failed)?;
    if let Some((moved, reason)) = &opened.quarantined {
        let to = moved.display();
        tracing::warn!(%to, reason, "the metadata index was damaged: set aside, built anew");
    }
    if let Some(reason) = &opened.locked {
        tracing::warn!(reason, "the metadata index is locked; it is tried again");
    }
    let follow =
        (config.general.clock == ClockKind::FollowData).then(|| Arc::new(ManualClock::at(0)));
    let clock: Arc<dyn Clock> = match &follow {
        Some(follow) => Arc::clone(follow) as _,
        None => Arc::new(SystemClock::new()),
    };
    let fresh = StoreId(random());
    let engine = Engine::open(
        storage,
        Arc::new(meta),
        clock,
        fresh,
        options(config, follow)?,
    );
    let engine = engine.map_err(failed)?;
    report(&engine);
    Ok(Arc::new(engine))
}

/// Opens the store that rows go to before they leave, if one is configured.
pub fn open_archive(config: &Config) -> Result<Option<StoreArchive>, CommandError> {
    if config.archive.path.is_empty() {
        return Ok(None);
    }
    let mut own = config.clone();
    own.general.data_dir = config.archive.path.clone().into();
    own.general.clock = ClockKind::System;
    own.log = LogConfig {
        segment_size_bytes: MIB,
        log_size_bytes: 4 * MIB,
        // It may be on a network.
        backend: Backend::File,
        ..config.log.clone()
    };
    own.engine.shards = 1;
    own.engine.chunk_cache_bytes = MIB;
    own.retention = RetentionConfig {
        raw_age_max_s: 0,
        rows_per_series_max: 0,
        tiers: String::new(),
        empty_series_age_s: 0,
    };
    // These are for clients: what was taken once has to find its place.
    own.limits.series_per_database_max = 0;
    own.limits.new_series_per_second_max = 0;
    // What it takes is weighed with everything else of the process.
    own.memory.limit_mb = 0;
    let folder = &own.general.data_dir;
    let lock = DirectoryLock::acquire(folder).map_err(|error| {
        let reason = match error {
            LockError::Held { .. } => "in use; it has to be a folder of its own".to_owned(),
            LockError::Io { source, .. } => {
                format!("{source}; name a folder that this user may write")
            }
        };
        CommandError::Failed(format!("archive.path {}: {reason}", folder.display()))
    })?;
    let engine = open(&own).map_err(|error| match error {
        CommandError::Failed(reason) => CommandError::Failed(format!("archive.path: {reason}")),
        other => other,
    })?;
    Ok(Some(StoreArchive::new(engine, Box::new(lock))))
}

fn options(
    config: &Config,
    follow_data: Option<Arc<ManualClock>>,
) -> Result<EngineOptions, CommandError> {
    let tiers = tiers_of(&config.retention.tiers).map_err(|reason| {
        let tiers = &config.retention.tiers;
        CommandError::Usage(format!("retention.tiers = {tiers:?}: {reason}"))
    })?;
    let seconds =
        |seconds: u64| i64::try_from(seconds.saturating_mul(NS_PER_S)).unwrap_or(i64::MAX);
    let ahead = if follow_data.is_some() {
        i64::MAX
    } else {
        seconds(config.engine.time_future_max_s)
    };
    Ok(EngineOptions {
        shards: config.engine.shards as usize,
        log: LogOptions {
            segment_size_bytes: config.log.segment_size_bytes,
            segment_count_max: (config.log.log_size_bytes / config.log.segment_size_bytes) as u32,
            ..LogOptions::default()
        },
        catalog: CatalogLimits {
            databases_max: config.limits.databases_max as usize,
            series_max: config.limits.series_max as usize,
            series_per_database_max: config.limits.series_per_database_max as usize,
            columns_max: crate::limits::COLUMNS,
        },
        new_series: NewSeriesLimits {
            per_second_max: config.limits.new_series_per_second_max,
            burst_max: config.limits.new_series_burst_max,
        },
        hash_seed: random(),
        time_future_max_ns: ahead,
        time_min_ns: config
            .engine
            .time_past_min_unix_s
            .saturating_mul(NS_PER_S as i64),
        raw_age_max_ns: seconds(config.retention.raw_age_max_s),
        rows_per_series_max: config.retention.rows_per_series_max,
        tiers,
        empty_series_ns: config.retention.empty_series_age_s.saturating_mul(NS_PER_S),
        chunk_rows: crate::limits::CHUNK_ROWS,
        chunk_age_max_ns: seconds(config.engine.chunk_age_max_s),
        chunk_cache_bytes: config.engine.chunk_cache_bytes as usize,
        memory_limit_bytes: config.memory.limit_bytes().unwrap_or(0),
        space: SpaceLimits {
            low_bytes: config.limits.disk_low_bytes,
            full_bytes: config.limits.disk_full_bytes,
        },
        rejected_rows_max: u64::from(config.limits.rejected_rows_max),
        rejected_bytes_max: config.limits.rejected_bytes_max,
        follow_data,
    })
}

/// Says what was found, once, in the server's log.
fn report(engine: &Engine) {
    let found = engine.opened();
    tracing::info!(
        created = found.created,
        chunks = found.chunks,
        chunk_rows = found.chunk_rows,
        replayed_rows = found.replayed_rows,
        torn_tail = found.log.torn_tail.is_some(),
        "store opened"
    );
    for damage in &found.damage {
        tracing::warn!(%damage, "damage in block files");
    }
    for gap in &found.log.corruption {
        tracing::warn!(from = %gap.from, to = %gap.to, "a part of the log is lost; see quarantine/");
    }
    for problem in &found.problems {
        tracing::warn!(problem, "while opening the store");
    }
}

/// A number that nobody can guess, from the randomness that the standard library seeds hashing with.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::Failed(error.to_string())
}

const NS_PER_S: u64 = 1_000_000_000;
