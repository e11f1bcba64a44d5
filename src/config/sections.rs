//! Every option of the server, with its unit, default and least value.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::option::{choice, section};
use crate::limits::{MIB, PAGE_BYTES};

const KIB: u64 = 1024;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

choice! {
    /// Where the server's time comes from.
    ClockKind: "\"system\" or \"follow-data\"" {
        /// The machine's clock.
        #[default]
        System = "system",
        /// The newest row's time: for tests.
        FollowData = "follow-data",
    }
}

choice! {
    /// When the log reaches the device.
    SyncPolicy: "\"group\", \"always\", \"interval\" or \"os\"" {
        /// Within `group_interval_ms`, once for everybody who waits.
        #[default]
        Group = "group",
        /// After every batch.
        Always = "always",
        /// Every `interval_ms`, whether somebody waits or not.
        Interval = "interval",
        /// When the system sees fit, and where `durable` is asked for.
        Os = "os",
    }
}

choice! {
    /// How the log is written.
    Backend: "\"auto\", \"mmap\" or \"file\"" {
        /// `mmap` where the file system keeps what it preallocates, else `file`.
        #[default]
        Auto = "auto",
        /// Through a memory map.
        Mmap = "mmap",
        /// Through write calls.
        File = "file",
    }
}

section! {
    /// Where the server is and what it listens on.
    GeneralConfig = "" {
        /// The folder of all data. Relative to the working directory.
        data_dir: PathBuf = PathBuf::from("./edgetime-data");
        /// Address of the data port: line protocol and binary protocol.
        listen: SocketAddr = loopback(7480);
        /// Address of the admin port.
        admin: SocketAddr = loopback(7481);
        /// For an HTTP port, which this version does not have: leave it "".
        http: Option<SocketAddr> = None;
        /// Address that takes line protocol by UDP; "" for none.
        udp: Option<SocketAddr> = None;
        /// Whether the server writes its own and its host's figures into the database `_system`.
        self_monitor: bool = true;
        /// Seconds between these figures.
        self_monitor_interval_s: u64 = 10, min 1;
        /// Where time comes from: "system", or "follow-data" (the newest row's; for tests).
        clock: ClockKind = ClockKind::System;
    }
}

section! {
    /// The append log.
    LogConfig = "log" {
        /// Bytes of one segment file. A multiple of 4096.
        segment_size_bytes: u64 = 8 * MIB, min 64 * KIB;
        /// Bytes of all segments together: what recovery reads at most. At least four segments.
        log_size_bytes: u64 = 64 * MIB, min 256 * KIB;
        /// When the log reaches the device: "group" (within group_interval_ms), "always" (after every
        /// batch), "interval" (every interval_ms), "os" (when the system sees fit).
        sync_policy: SyncPolicy = SyncPolicy::Group;
        /// Milliseconds within which the policy "group" syncs.
        group_interval_ms: u64 = 100, min 1;
        /// Milliseconds between syncs of the policy "interval".
        interval_ms: u64 = 1000, min 1;
        /// How the log is written: "mmap", "file", or "auto" (by what the file system promises).
        backend: Backend = Backend::Auto;
    }
}

section! {
    /// Shards, the chunk cache and times that are accepted.
    EngineConfig = "engine" {
        /// Parts of the engine with a lock each. More than the cores bring nothing.
        shards: u32 = 4, min 1;
        /// Bytes of the cache of chunks read from block files.
        chunk_cache_bytes: u64 = 32 * MIB;
        /// Seconds a row may lie ahead of the server's time; later ones are rejected.
        time_future_max_s: u64 = 86_400;
        /// Earliest time of a row, seconds since 1970; earlier ones are rejected. 946684800 is the year 2000.
        time_past_min_unix_s: i64 = 946_684_800;
        /// The tag that names a device whose clock may be wrong; "" for the peer's address.
        clock_device_tag: String = String::new();
        /// Seconds over which rows tell together how far a device's clock is off.
        clock_window_s: u64 = 600, min 1;
        /// Seconds that offsets of one clock may differ by.
        clock_tolerance_s: u64 = 60, min 1;
        /// Seconds after which a chunk is sealed although it is not full.
        chunk_age_max_s: u64 = 3600, min 1;
    }
}

section! {
    /// How long rows are kept.
    RetentionConfig = "retention" {
        /// Seconds a raw row is kept, where its retention class says nothing else; 0 for no limit.
        raw_age_max_s: u64 = 0;
        /// Rows a series keeps, where its retention class says nothing else: beyond, the oldest go, a chunk at a
        /// time. 0 for no limit.
        rows_per_series_max: u64 = 0;
        /// Buckets that go on answering aggregates when rows leave, where the retention class says nothing else: widths, and
        /// how long each is kept. "" for none.
        tiers: String = "10s=2d 1m=30d 1h=1825d".to_owned();
        /// Seconds after which a series of which no row is left gives its place back, for the limits on series, too: it
        /// is seen empty twice, so long apart. 0 for never.
        empty_series_age_s: u64 = 3600;
    }
}

section! {
    /// Where rows go before they leave.
    ArchiveConfig = "archive" {
        /// A folder, best on another device: rows that expire, or are evicted, are written there before they leave. It
        /// is a store of its own, which `edgetime serve --data-dir` opens once this server has ended. "" for none.
        path: String = String::new();
    }
}

section! {
    /// Checkpoints: what lets the log be reused.
    CheckpointConfig = "checkpoint" {
        /// Seconds between checkpoints at most. One is also made when the log is half full.
        interval_s: u64 = 300, min 1;
        /// Percent of one core that checkpoints, expiry and rollups take together, as long as neither log nor memory nor
        /// the device runs short; 100 for all of one.
        core_share_percent: u32 = 50, min 1;
    }
}

section! {
    /// How much memory the server may take.
    MemoryConfig = "memory" {
        /// MiB that the process's anonymous memory and the log take together; 0 for no limit. Where it runs short,
        /// caches shrink, chunks go to block files early, silent series are sealed, and at last rows are refused with
        /// `busy`; nothing is dropped.
        limit_mb: u64 = 256;
    }
}

impl MemoryConfig {
    /// The limit in bytes.
    #[must_use]
    pub const fn limit_bytes(&self) -> Option<u64> {
        match self.limit_mb {
            0 => None,
            limit_mb => Some(limit_mb.saturating_mul(MIB)),
        }
    }
}

section! {
    /// Limits that protect the server from its clients.
    LimitsConfig = "limits" {
        /// Connections at a time, those to the admin port included.
        connections_max: u32 = 1024, min 1;
        /// Connections to the admin port at a time.
        admin_connections_max: u32 = 16, min 1;
        /// Databases of the store, `_system` included.
        databases_max: u32 = 256, min 2;
        /// Series of the store.
        series_max: u32 = 1_000_000, min 1;
        /// Series of one database. 0 for no limit but that of the store.
        series_per_database_max: u32 = 0;
        /// New series a second, of the whole store: rows beyond are refused with `busy`. 0 for no limit.
        new_series_per_second_max: u32 = 0;
        /// New series at once, after a quiet time, where their rate is limited.
        new_series_burst_max: u32 = 1000, min 1;
        /// Free bytes of the device below which checkpoints free the log and what is expired goes.
        disk_low_bytes: u64 = 64 * MIB;
        /// Free bytes of the device below which rows are refused with `full` until there is room again.
        disk_full_bytes: u64 = 16 * MIB;
        /// Rejected lines that are kept to be read back, of each database and reason. 0 for no limit.
        rejected_rows_max: u32 = 10_000;
        /// Bytes of rejected lines that are kept of each database: beyond, the oldest go.
        rejected_bytes_max: u64 = 16 * MIB, min 64 * KIB;
    }
}

section! {
    /// Sockets and threads.
    ServerConfig = "server" {
        /// Threads that serve connections; 0 for one a core.
        worker_threads: u32 = 0;
        /// Seconds after which a silent connection to the admin port is closed.
        admin_idle_timeout_s: u64 = 3600, min 1;
        /// Seconds to finish what was acknowledged when the server stops.
        shutdown_timeout_s: u64 = 10, min 1;
    }
}

section! {
    /// Who may use the data port.
    AuthConfig = "auth" {
        /// Whether every connection to the data port has to give a token, as `token create` on the admin port makes
        /// them. Then the data port may listen on addresses that others can reach. UDP knows no tokens.
        required: bool = false;
    }
}

section! {
    /// Queries.
    QueryConfig = "query" {
        /// Rows of one result.
        rows_max: u64 = 10_000_000, min 1;
        /// Seconds one query may take.
        time_max_s: u64 = 60, min 1;
        /// Queries that run at a time; others wait.
        concurrency_max: u32 = 4, min 1;
        /// Of these, queries of one connection that run at a time.
        connection_concurrency_max: u32 = 2, min 1;
        /// Threads that all queries may have beside those they run on, to add up many series at once; 0 for none.
        helper_threads: u32 = 1;
        /// MiB, about, that one query may hold: groups, the values kept for them, rows to be sorted.
        memory_max_mb: u64 = 64, min 1;
        /// MiB of the cache of finished buckets; 0 keeps none.
        cache_mb: u64 = 16;
        /// Seconds after which a cached bucket is read anew although nothing has changed it; 0 for never.
        cache_ttl_s: u64 = 3600;
        /// Milliseconds beyond which a query is noted in the log of slow queries; 0 notes every one.
        slow_ms: u64 = 1000;
        /// Slow queries that are remembered, the newest.
        slowlog_entries_max: u32 = 100, min 1;
    }
}

section! {
    /// The index of metadata in SQLite.
    MetaConfig = "meta" {
        /// Connections that are always open.
        pool_size_min: u32 = 1, min 1;
        /// Connections at most.
        pool_size_max: u32 = 4, min 1;
        /// Milliseconds to wait for a connection.
        acquire_timeout_ms: u64 = 5000, min 1;
        /// Seconds a connection beyond the minimum may be unused.
        idle_timeout_s: u64 = 60, min 1;
        /// Seconds a connection may live.
        lifetime_max_s: u64 = 3600, min 1;
        /// Milliseconds to wait for a lock that another program has on the file.
        busy_timeout_ms: u64 = 5000, min 1;
        /// Milliseconds beyond which a statement is logged as slow; 0 for none.
        slow_statement_ms: u64 = 100;
    }
}

/// Segments the log has at least: one that is written, one that is prepared, two that wait for a checkpoint.
pub(super) const SEGMENTS_MIN: u64 = 4;
/// The unit of a segment's size.
pub(super) const SEGMENT_UNIT_BYTES: u64 = PAGE_BYTES as u64;
