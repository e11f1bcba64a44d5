//! What one seed chooses for its run: sizes, habits of the writers, faults of the device.

use edgetimedb::catalog::CatalogLimits;
use edgetimedb::engine::EngineOptions;
use edgetimedb::log::LogOptions;
use edgetimedb::storage::simulated::{Faults, Random};

pub const SECOND: i64 = 1_000_000_000;
pub const NOW: i64 = 1_700_000_000 * SECOND;
/// What memory and the log may take together: more than they do.
pub const MEMORY: u64 = 64 << 20;

/// A run's habits.
#[derive(Clone, Debug)]
pub struct Plan {
    pub engine: EngineOptions,
    /// Power cuts, and lives between them.
    pub lives: u64,
    /// Calls of the device in one life, at most.
    pub operations: u64,
    pub databases: u64,
    pub measurements: u64,
    pub tags: u64,
    pub fields: u64,
    pub batch_rows: u64,
    /// One row in so many is late, or overwrites another.
    pub late_one_in: u32,
    pub overwrite_one_in: u32,
    /// One text in so many is long.
    pub long_one_in: u32,
    /// Of 100 steps, so many sync, make checkpoints, seal.
    pub syncs: u64,
    pub checkpoints: u64,
    pub seals: u64,
    pub reads: u64,
    /// One step in so many lets the wall clock jump.
    pub jump_one_in: u32,
    /// One life in so many ends with a killed process, or in order.
    pub kill_one_in: u32,
    pub stop_one_in: u32,
    /// One write in so many is a deletion.
    pub delete_one_in: u32,
    /// One write in so many has a row without a time; one in so many a line that is rejected.
    pub stamp_one_in: u32,
    pub reject_one_in: u32,
    /// One of these in so many is a rejected line that is written again, or kept under another reason.
    pub replay_one_in: u32,
    /// One start in so many has no clock of its own.
    pub clockless_one_in: u32,
    /// One step in so many empties a series.
    pub empty_one_in: u32,
    /// One step in so many finds that memory is short.
    pub relieve_one_in: u32,
    /// One step in so many copies the store.
    pub backup_one_in: u32,
    /// One start in so many loses power again.
    pub cut_again_one_in: u32,
    /// Whether the disk may lose what was durable, the names of databases too.
    pub may_lose: bool,
    pub faults: Faults,
}

impl Plan {
    pub fn of(random: &mut Random) -> Self {
        let ages = random.one_in(4);
        let evicts = random.one_in(8);
        let faults = random.one_in(2);
        let chance = |random: &mut Random, likely: u64, n: u32| {
            if faults && random.below(4) < likely {
                n
            } else {
                0
            }
        };
        Self {
            engine: EngineOptions {
                shards: 1 + random.below(3) as usize,
                log: LogOptions {
                    segment_size_bytes: 64 << 10,
                    segment_count_max: 3 + random.below(4) as u32,
                    prefetch_bytes: random.below(2) * (128 << 10),
                    sync_failures_max: 3,
                },
                catalog: CatalogLimits {
                    databases_max: 4,
                    series_max: 100,
                    series_per_database_max: 0,
                    columns_max: 100,
                },
                new_series: edgetimedb::engine::NewSeriesLimits::default(),
                hash_seed: 1,
                time_future_max_ns: 24 * 3_600 * SECOND,
                time_min_ns: 0,
                raw_age_max_ns: if ages { 60 * SECOND } else { 0 },
                rows_per_series_max: if evicts { 64 } else { 0 },
                tiers: Vec::new(),
                empty_series_ns: 0,
                chunk_rows: 16 << random.below(3),
                chunk_age_max_ns: if random.one_in(3) {
                    20 * SECOND
                } else {
                    i64::MAX
                },
                chunk_cache_bytes: 1 << 20,
                rejected_rows_max: 100,
                rejected_bytes_max: 1 << 20,
                follow_data: None,
                memory_limit_bytes: MEMORY,
                space: edgetimedb::engine::SpaceLimits::default(),
            },
            lives: 2 + random.below(5),
            operations: [8, 40, 120, 400][random.below(4) as usize],
            databases: 1 + random.below(2),
            measurements: 1 + random.below(2),
            tags: 1 + random.below(5),
            fields: 1 + random.below(FIELDS.len() as u64),
            batch_rows: [1, 4, 24][random.below(3) as usize],
            late_one_in: [0, 3, 10][random.below(3) as usize],
            overwrite_one_in: [0, 4, 10][random.below(3) as usize],
            long_one_in: [0, 6, 40][random.below(3) as usize],
            syncs: [5, 15, 40][random.below(3) as usize],
            checkpoints: [1, 5, 15][random.below(3) as usize],
            seals: [0, 2, 10][random.below(3) as usize],
            reads: 2,
            jump_one_in: if random.one_in(8) { 20 } else { 0 },
            kill_one_in: [0, 3, 8][random.below(3) as usize],
            stop_one_in: [0, 6][random.below(2) as usize],
            // Chosen behind everything else.
            delete_one_in: 0,
            stamp_one_in: 0,
            reject_one_in: 0,
            replay_one_in: 0,
            clockless_one_in: 0,
            empty_one_in: 0,
            relieve_one_in: 0,
            backup_one_in: 0,
            may_lose: false,
            cut_again_one_in: [0, 3][random.below(2) as usize],
            faults: Faults {
                read: 0,
                write: chance(random, 1, 60),
                store: chance(random, 1, 200),
                full: chance(random, 2, 20),
                sync_segment: chance(random, 2, 25),
                sync_file: chance(random, 1, 30),
                name: chance(random, 1, 30),
                lie: 0,
                write_back: [0, 2, 10][random.below(3) as usize],
            },
        }
    }
}

/// Names of fields; what types each has is [`types_of`](super::world::value)'s to say.
pub const FIELDS: [&str; 10] = ["i", "f", "u", "b", "s", "x", "y", "z", "raw", "w"];
pub const DATABASES: [&str; 2] = ["default", "plant"];
pub const MEASUREMENTS: [&str; 2] = ["boiler", "pump"];
