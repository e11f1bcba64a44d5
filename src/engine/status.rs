//! What the engine says of itself.

use std::sync::atomic::Ordering;

use crate::blocks::{BlockUsage, CacheStats};
use crate::engine::{
    CheckpointUse, DatabaseLedger, Engine, Ledger, RowCounts, ServerTime, SpaceLevel, SpaceUse,
};
use crate::log::LogUsage;
use crate::types::Position;

/// Bytes of memory, by pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Staged rows, open chunks and rings.
    pub series_bytes: u64,
    /// What is known of the chunks of rollup tiers; their buckets are in block files.
    pub tiers_bytes: u64,
    /// Sealed chunks that are in no block file yet.
    pub unflushed_bytes: u64,
    /// The cache of stored chunks.
    pub cache_bytes: u64,
    /// Appended to the log and not synced yet.
    pub log_unsynced_bytes: u64,
}

/// A moment's figures.
#[derive(Clone, Debug)]
pub struct Status {
    /// `ok`, `degraded`, `read_only` or `full`.
    pub state: &'static str,
    /// Databases.
    pub databases: usize,
    /// Measurements.
    pub measurements: usize,
    /// Series.
    pub series: usize,
    /// Rows by what became of them, since the server started.
    pub rows: RowCounts,
    /// Rows refused, since the server started.
    pub rejected_rows: u64,
    /// Rows by their state, of all databases.
    pub ledger: Ledger,
    /// The same by database, in the order of their names.
    pub ledgers: Vec<DatabaseLedger>,
    /// Rows in sealed chunks.
    pub sealed_rows: u64,
    /// Rows that are not sealed yet.
    pub open_rows: u64,
    /// Accepted up to here.
    pub position_end: Position,
    /// Durable up to here.
    pub position_durable: Position,
    /// The log.
    pub log: LogUsage,
    /// Block files.
    pub blocks: BlockUsage,
    /// The chunk cache.
    pub cache: CacheStats,
    /// Memory.
    pub memory: MemoryUse,
    /// What checkpoints wrote.
    pub checkpoints: CheckpointUse,
    /// The server's time.
    pub time: ServerTime,
    /// The device.
    pub space: SpaceUse,
}

impl Engine {
    /// The figures of this moment.
    pub fn status(&self) -> Status {
        let log = self.log.usage();
        let mut memory = MemoryUse {
            log_unsynced_bytes: log.unsynced_bytes,
            ..MemoryUse::default()
        };
        let ledgers = self.ledgers();
        let mut ledger = Ledger::default();
        for database in &ledgers {
            ledger.add(&database.ledger);
        }
        let (mut sealed_rows, mut open_rows) = (0, 0);
        for shard in &self.shards {
            let shard = shard.read();
            memory.tiers_bytes += shard.tiers.memory_bytes() as u64;
            for (_, series) in shard.iter() {
                memory.series_bytes += (series.memory_bytes() + size_of_val(series)) as u64;
                let hidden = series
                    .ring
                    .iter()
                    .map(|chunk| u64::from(chunk.hidden_rows().total()));
                sealed_rows += series.ring.rows().saturating_sub(hidden.sum());
                open_rows += series.unsealed_rows() as u64;
                memory.unflushed_bytes += series.ring.unflushed_bytes();
            }
        }
        let cache = self.blocks.cache_stats();
        memory.cache_bytes = cache.weight_bytes;
        let space = self.space();
        let state = if log.read_only.is_some() {
            "read_only"
        } else if space.level == SpaceLevel::Full || self.memory.is_full() {
            "full"
        } else if self.is_degraded() {
            "degraded"
        } else {
            "ok"
        };
        let catalog = self.catalog.read();
        Status {
            state,
            databases: catalog.databases().count(),
            measurements: catalog.measurements().count(),
            series: catalog.series_count(),
            rows: self.row_counts(),
            rejected_rows: self.rejected_rows(),
            ledger,
            ledgers,
            sealed_rows,
            open_rows,
            position_end: self.log.end(),
            position_durable: self.log.durable(),
            log,
            blocks: self.blocks.usage(),
            cache,
            memory,
            checkpoints: self.wear.sums(self.checkpoints.load(Ordering::Relaxed)),
            time: self.server_time(),
            space,
        }
    }
}
