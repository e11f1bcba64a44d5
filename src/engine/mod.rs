//! The engine: shards, the log under them, block files behind them, and every lock.
//!
//! Lock order: the checkpoint's, a producer's turn, the ledger's, catalog, then shards in their order, then the log, then caches. Nothing here starts a thread, reads a
//! clock or opens a socket: clock, storage and metadata store come in as arguments, and the server calls
//! [`Engine::tick`] and [`Engine::sync`] from threads of its own.

mod access;
mod archive;
mod backup;
mod batch;
mod changes;
mod checkpoint;
mod compaction;
mod dead_letters;
mod delete;
mod error;
mod exchange;
mod history;
mod index;
mod ledger;
mod losses;
mod maintenance;
mod memory;
mod newcomers;
mod offsets;
mod open_report;
mod persisted;
pub(crate) mod producers;
mod read;
mod recovery;
mod rejects;
mod resolve;
mod retention;
mod rules;
mod server_time;
mod shard;
mod space;
mod status;
mod tiers;
mod tokens;
mod vacancy;
mod verify;
mod wear;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

pub use self::access::{Access, Verb};
pub use self::archive::{ArchiveError, ArchiveRows, ArchiveSink, ArchiveView, StoreArchive};
pub use self::backup::BackupReport;
pub use self::batch::Batch;
pub use self::changes::{Growth, SeriesChanges, Versions};
pub use self::checkpoint::CheckpointReport;
pub use self::dead_letters::{DeadLetter, Letters};
pub use self::delete::{Deleted, DroppedMeasurement};
pub use self::error::EngineError;
pub use self::index::IndexUse;
pub use self::ledger::{DatabaseLedger, Ledger};
pub use self::losses::{Loss, Losses};
pub use self::maintenance::{Pace, TickReport};
pub use self::memory::{MemoryLevel, MemoryRelief, MemoryState};
pub use self::newcomers::NewSeriesLimits;
pub use self::offsets::{OffsetRules, OffsetRun, Offsets};
pub use self::open_report::OpenReport;
pub use self::producers::Once;
pub use self::read::{Lanes, MeasurementView, SeenState, SeriesReader, SeriesView};
pub use self::rejects::{Reject, WrongClock};
pub use self::resolve::{RowPlan, SeriesRef};
pub use self::retention::{
    ClassUse, DEFAULT_CLASS, PolicyError, RetentionBound, RetentionChange, RetentionClass,
    RetentionPolicy, RetentionRule, RetentionSelector, RetentionTier, RetentionView, STATE_POLICY,
    decode_record as decode_policy_record,
};
pub use self::rules::RulesView;
pub use self::server_time::{ServerTime, TimeDoubt};
pub use self::shard::RowCounts;
pub use self::space::{SpaceLevel, SpaceLimits, SpaceUse};
pub use self::status::{MemoryUse, Status};
pub use self::tiers::{BucketDemand, LeftRange, RolledReader, TierFillView, TierReader, TierUse};
pub use self::tokens::{NewToken, STATE_TOKENS, TokenError, TokenView};
pub use self::verify::VerifyReport;
pub use self::wear::CheckpointUse;
pub use self::write::{TimeBounds, Written};
/// What the layers above meet of those below: refusals inside of errors, the history of lanes.
pub use crate::catalog::{CatalogError, Maker};
pub use crate::rollup::{BucketColumns, Parts, Tier};
pub use crate::series::LaneUse;

use self::archive::Archive;
use self::history::History;
use self::index::Indexed;
use self::ledger::Settled;
use self::memory::Memory;
use self::newcomers::Newcomers;
use self::persisted::Persisted;
use self::producers::Producers;
use self::rejects::Rejects;
use self::retention::Retention;
use self::server_time::Timekeeper;
use self::shard::{Placement, Shard};
use self::space::Space;
use self::tiers::{TierFill, TierFloors};
use self::tokens::Tokens;
use self::vacancy::Vacancies;
use self::wear::Wear;
use crate::blocks::{BlockStore, ChunkEntry, SideRecord};
use crate::catalog::{Catalog, CatalogLimits};
use crate::clock::{Clock, ManualClock};
use crate::log::{Log, LogOptions};
use crate::meta::MetaStore;
use crate::series::ChangeCount;
use crate::storage::Storage;
use crate::types::{DatabaseId, Position, Timestamp};

/// How an engine works. The server derives this from its configuration.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shards, 1 to 256.
    pub shards: usize,
    /// The log's sizes.
    pub log: LogOptions,
    /// Bounds of the catalog.
    pub catalog: CatalogLimits,
    /// How many series may come into being.
    pub new_series: NewSeriesLimits,
    /// The key of the catalog's hashes: nothing that a client could know.
    pub hash_seed: u64,
    /// Rows further ahead of the clock are refused, nanoseconds.
    pub time_future_max_ns: i64,
    /// Rows earlier than this are refused, nanoseconds.
    pub time_min_ns: Timestamp,
    /// Rows older than this expire, nanoseconds, where their retention class says nothing else; 0: never.
    pub raw_age_max_ns: i64,
    /// Rows a series keeps in its ring at most, where its retention class says nothing else; 0: no limit.
    pub rows_per_series_max: u64,
    /// The buckets that are made of rows that leave, finest first, where their class says nothing else.
    pub tiers: Vec<RetentionTier>,
    /// A series of which no row is left gives its place back, nanoseconds after that was seen; 0: never.
    pub empty_series_ns: u64,
    /// Rows at which a chunk is sealed. [`CHUNK_ROWS`](crate::limits::CHUNK_ROWS) is the default and the most,
    /// 16 the least; fewer cost space, and serve tests.
    pub chunk_rows: usize,
    /// An open chunk whose last row is older than this is sealed, nanoseconds.
    pub chunk_age_max_ns: i64,
    /// Bytes of the cache of stored chunks.
    pub chunk_cache_bytes: usize,
    /// Anonymous memory and the log take this at most, bytes; 0: no limit.
    pub memory_limit_bytes: u64,
    /// Room on the device that is kept free.
    pub space: SpaceLimits,
    /// Rejected lines that are kept of each database and reason, at least, and a chunk more at most; 0: no limit.
    pub rejected_rows_max: u64,
    /// Bytes of rejected lines that are kept of each database.
    pub rejected_bytes_max: u64,
    /// The clock that follows the newest row, where time is the data's own.
    pub follow_data: Option<Arc<ManualClock>>,
}

/// The engine.
pub struct Engine {
    options: EngineOptions,
    clock: Arc<dyn Clock>,
    time: Timekeeper,
    storage: Arc<dyn Storage>,
    space: Space,
    memory: Memory,
    retention: Retention,
    tier_fill: TierFill,
    tier_floors: TierFloors,
    archive: OnceLock<Archive>,
    pace: OnceLock<Box<dyn Pace>>,
    tokens: Tokens,
    catalog: RwLock<Catalog>,
    placement: Placement,
    shards: Box<[RwLock<Shard>]>,
    /// By shard, the count of changes that is kept under its lock.
    changes: Box<[ChangeCount]>,
    log: Log,
    blocks: BlockStore,
    /// By position, the deletions and expiries that chunks may still need, as the log has them. Taken behind a
    /// shard.
    deletions: Mutex<BTreeMap<Position, Vec<SideRecord>>>,
    /// Rows that have left chunks and images. Taken before the catalog, behind the checkpoint's lock.
    settled: RwLock<Settled>,
    /// Rows that had been received when the store was opened.
    received_before: BTreeMap<DatabaseId, u64>,
    /// Chunks of block files whose series were dropped: dead from the next checkpoint on. Taken behind a shard.
    orphans: Mutex<Vec<ChunkEntry>>,
    drops: AtomicU64,
    /// What block files have had of each lane. Taken before a shard.
    history: Mutex<History>,
    meta: Arc<dyn MetaStore>,
    indexed: Mutex<Indexed>,
    /// How much of the catalog the state file has. Its lock also keeps checkpoints one at a time.
    persisted: Mutex<Persisted>,
    opened: OpenReport,
    /// Taken behind the catalog; nothing is taken behind it.
    losses: Mutex<Losses>,
    rejects: Rejects,
    newcomers: Newcomers,
    /// Taken before the catalog.
    vacancies: Mutex<Vacancies>,
    producers: Producers,
    checkpoints: AtomicU64,
    wear: Wear,
    /// When the last checkpoint in passing began, monotonic nanoseconds.
    checkpoint_began_ns: AtomicU64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("shards", &self.shards.len())
            .field("log_end", &self.log.end())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The clock that rows are checked against.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What tables of values that come from outside are keyed with.
    #[must_use]
    pub const fn hash_seed(&self) -> u64 {
        self.options.hash_seed
    }

    /// The server's time, as far as its clock can be believed.
    pub fn server_time(&self) -> ServerTime {
        self.time.read(&*self.clock)
    }

    /// Makes everything durable that was written before the call. One caller at a time. Where a sync fails and
    /// its bytes find no room elsewhere, rows are refused until a later call finds some.
    pub fn sync(&self) -> Result<Position, EngineError> {
        let synced = self.log.sync().map_err(EngineError::from);
        if synced.as_ref().is_err_and(EngineError::is_full) {
            self.check_space();
        }
        synced
    }

    /// Whether bytes that could not be synced wait for room: every [`Self::sync`] tries again.
    pub fn awaits_room(&self) -> bool {
        self.log.awaits_room()
    }

    /// Says in the log that it ends in order: damage to it is told from a torn tail then.
    pub fn seal_log(&self) -> Result<Position, EngineError> {
        Ok(self.log.seal()?)
    }

    /// Everything before this position survives a loss of power.
    pub fn durable(&self) -> Position {
        self.log.durable()
    }

    /// Everything accepted so far lies before this position.
    pub fn end(&self) -> Position {
        self.log.end()
    }

    /// Makes room ahead of the log's writer. Called by the thread that syncs.
    pub fn prepare_log(&self) -> Result<(), EngineError> {
        let prepared = self.log.prepare().map_err(EngineError::from);
        self.space
            .note_log(prepared.as_ref().is_err_and(EngineError::is_full));
        prepared
    }

    /// The log's figures.
    pub fn log_usage(&self) -> crate::log::LogUsage {
        self.log.usage()
    }

    /// Whether the store takes no writes any more.
    pub fn is_read_only(&self) -> bool {
        self.log.usage().read_only.is_some()
    }

    /// What was found when the store was opened.
    pub fn opened(&self) -> &OpenReport {
        &self.opened
    }

    /// Rows by what became of them, since the server started.
    pub fn row_counts(&self) -> RowCounts {
        let mut counts = RowCounts::default();
        for shard in &self.shards {
            counts.add(shard.read().counts);
        }
        counts
    }
}
