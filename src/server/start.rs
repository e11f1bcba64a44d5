//! From a configuration to a running server, and back to silence.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::CatalogLimits;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::{Backend, ClockKind, Config, ConfigError, SyncPolicy as ConfiguredPolicy};
use crate::engine::{Engine, EngineError, EngineOptions};
use crate::log::LogOptions;
use crate::meta::{MetaError, SqliteMeta, SqliteOptions};
use crate::storage::{self, BackendChoice, DirectoryLock, LockError, StorageError};
use crate::types::StoreId;

use super::buffers::Buffers;
use super::clients::Clients;
use super::committer::{Committer, SyncPolicy};
use super::maintenance::{Maintenance, MaintenanceOptions};
use super::{Shared, admin, connection, monitor, udp};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration contradicts itself or the rules.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("data directory {path}: {source}; give one that this user may write with --data-dir", path = .path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another server has the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The device failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The metadata index cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The store cannot be opened.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A listener cannot be had.
    #[error("--{option} {address}: {source}; choose another address, or port 0 for a free one")]
    Listen {
        /// The option that named it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Something that is not there yet.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A thread or the runtime cannot be started.
    #[error("a thread could not be started: {0}")]
    Threads(std::io::Error),
}

/// Changes how much is logged, while the server runs.
pub trait LogLevel: Send + Sync {
    /// Sets the level: `error`, `warn`, `info`, `debug`, `trace`.
    fn set(&self, level: &str) -> Result<(), String>;
}

/// A running server.
pub struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    data: SocketAddr,
    admin: SocketAddr,
    udp: Option<SocketAddr>,
    _lock: DirectoryLock,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store and begins to accept connections. `fresh` becomes the identity of a new store.
    pub fn start(
        config: Config,
        fresh: StoreId,
        log_level: Box<dyn LogLevel>,
    ) -> Result<Self, ServerError> {
        config.validate_listeners(false)?;
        if config.general.http.is_some() {
            return Err(ServerError::Unsupported(
                "--http: this version has no HTTP interface; leave it out",
            ));
        }
        let folder = config.general.data_dir.clone();
        let directory_error = |source| ServerError::DataDirectory {
            path: folder.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(directory_error)?;
        let lock = DirectoryLock::acquire(&folder)?;
        let runtime = runtime(&config).map_err(ServerError::Threads)?;
        // Addresses first: a port in use should not cost the recovery of a store.
        let general = &config.general;
        let (data_listener, data) = bind(&runtime, "listen", general.listen)?;
        let (admin_listener, admin) = bind(&runtime, "admin", general.admin)?;
        let udp_socket = general
            .udp
            .map(|address| bind_udp(&runtime, address))
            .transpose()?;
        let engine = open_engine(&config, fresh)?;
        report(&engine);
        let stop = CancellationToken::new();
        let maintenance = Maintenance::start(
            Arc::clone(&engine),
            MaintenanceOptions {
                tick: Duration::from_secs(1),
                checkpoint: Duration::from_secs(config.checkpoint.interval_s),
            },
        )
        .map_err(ServerError::Threads)?;
        let policy = sync_policy(&config);
        let committer = Committer::start(Arc::clone(&engine), policy, maintenance.requester())
            .map_err(ServerError::Threads)?;
        let shared = Arc::new(Shared {
            engine,
            committer,
            maintenance,
            buffers: Buffers::default(),
            clients: Clients::new(config.limits.connections_max as usize, stop.clone()),
            queries: Arc::new(Semaphore::new(config.query.concurrency_max as usize)),
            log_level,
            started: Instant::now(),
            stop,
            config,
        });
        let tasks = TaskTracker::new();
        let server = Self {
            udp: udp_socket.as_ref().map(|(_, address)| *address),
            runtime,
            shared,
            tasks,
            data,
            admin,
            _lock: lock,
        };
        server.spawn(
            data_listener,
            admin_listener,
            udp_socket.map(|(socket, _)| socket),
        );
        Ok(server)
    }

    /// Where the data port listens.
    pub fn data_address(&self) -> SocketAddr {
        self.data
    }

    /// Where the admin port listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where datagrams are taken, if they are.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// Returns when the server was asked to stop, by a signal or by the admin port.
    pub fn wait(&self) -> Result<(), std::io::Error> {
        use tokio::signal::unix::{SignalKind, signal};
        self.runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
                _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
                () = self.shared.stop.cancelled() => tracing::info!("stopping: asked to"),
            }
            Ok(())
        })
    }

    /// Stops accepting, finishes what was accepted, syncs, and writes a checkpoint.
    pub fn stop(self) -> Result<(), EngineError> {
        self.shared.stop.cancel();
        self.tasks.close();
        let patience = Duration::from_secs(self.shared.config.server.shutdown_timeout_s);
        let tasks = &self.tasks;
        let ended = self
            .runtime
            .block_on(async move { tokio::time::timeout(patience, tasks.wait()).await });
        if ended.is_err() {
            tracing::warn!("some connections did not end in time and were cut");
        }
        self.shared.maintenance.stop();
        self.shared.committer.stop();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        let engine = &self.shared.engine;
        engine.sync()?;
        engine.index()?;
        engine.checkpoint_everything()?;
        engine.seal_log()?;
        Ok(())
    }

    fn spawn(&self, data: TcpListener, admin: TcpListener, udp: Option<UdpSocket>) {
        let shared = &self.shared;
        let _context = self.runtime.enter();
        let connections = connection::listen(Arc::clone(shared), data, self.tasks.clone());
        self.tasks.spawn(connections);
        self.tasks
            .spawn(admin::listen(Arc::clone(shared), admin, self.tasks.clone()));
        if let Some(socket) = udp {
            self.tasks
                .spawn(udp::serve(Arc::clone(shared), socket, shared.stop.clone()));
        }
        let general = &shared.config.general;
        if general.self_monitor {
            let interval = Duration::from_secs(general.self_monitor_interval_s);
            self.tasks.spawn(monitor::run(
                Arc::clone(shared),
                interval,
                shared.stop.clone(),
            ));
        }
    }
}

fn runtime(config: &Config) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .enable_all()
        .thread_name("worker")
        .max_blocking_threads(64);
    if config.server.worker_threads > 0 {
        builder.worker_threads(config.server.worker_threads as usize);
    }
    builder.build()
}

fn bind(
    runtime: &Runtime,
    option: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Listen {
        option,
        address,
        source,
    };
    let listener = runtime
        .block_on(TcpListener::bind(address))
        .map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

fn bind_udp(
    runtime: &Runtime,
    address: SocketAddr,
) -> Result<(UdpSocket, SocketAddr), ServerError> {
    let failed = |source| ServerError::Listen {
        option: "udp",
        address,
        source,
    };
    let socket = runtime.block_on(UdpSocket::bind(address)).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    Ok((socket, local))
}

fn open_engine(config: &Config, fresh: StoreId) -> Result<Arc<Engine>, ServerError> {
    let choice = match config.log.backend {
        Backend::Auto => BackendChoice::Auto,
        Backend::Mmap => BackendChoice::Mmap,
        Backend::File => BackendChoice::File,
    };
    let folder = &config.general.data_dir;
    let storage = storage::open(folder, choice)?;
    let (meta, opened) = SqliteMeta::open(SqliteOptions {
        pool_size_min: config.meta.pool_size_min,
        pool_size_max: config.meta.pool_size_max,
        acquire_timeout: Duration::from_millis(config.meta.acquire_timeout_ms),
        idle_timeout: Duration::from_secs(config.meta.idle_timeout_s),
        lifetime_max: Duration::from_secs(config.meta.lifetime_max_s),
        ..SqliteOptions::in_folder(folder)
    })?;
    if let Some((moved, reason)) = &opened.quarantined {
        tracing::warn!(to = %moved.display(), reason, "the metadata index was damaged: set aside, built anew");
    }
    let follow =
        (config.general.clock == ClockKind::FollowData).then(|| Arc::new(ManualClock::at(0)));
    let clock: Arc<dyn Clock> = match &follow {
        Some(follow) => Arc::clone(follow) as _,
        None => Arc::new(SystemClock::new()),
    };
    let options = engine_options(config, follow);
    Ok(Arc::new(Engine::open(
        storage,
        Arc::new(meta),
        clock,
        fresh,
        options,
    )?))
}

fn engine_options(config: &Config, follow_data: Option<Arc<ManualClock>>) -> EngineOptions {
    let seconds =
        |seconds: u64| i64::try_from(seconds.saturating_mul(NS_PER_S)).unwrap_or(i64::MAX);
    let ahead = if follow_data.is_some() {
        i64::MAX
    } else {
        seconds(config.engine.time_future_max_s)
    };
    EngineOptions {
        shards: config.engine.shards as usize,
        log: LogOptions {
            segment_size_bytes: config.log.segment_size_bytes,
            segment_count_max: (config.log.log_size_bytes / config.log.segment_size_bytes) as u32,
            ..LogOptions::default()
        },
        catalog: CatalogLimits {
            databases_max: config.limits.databases_max as usize,
            series_max: config.limits.series_per_database_max as usize,
            columns_max: crate::limits::COLUMNS,
        },
        time_future_max_ns: ahead,
        time_min_ns: config
            .engine
            .time_past_min_unix_s
            .saturating_mul(NS_PER_S as i64),
        raw_age_max_ns: seconds(config.retention.raw_age_max_s),
        rows_per_series_max: config.retention.rows_per_series_max,
        chunk_age_max_ns: seconds(config.engine.chunk_age_max_s),
        chunk_cache_bytes: config.engine.chunk_cache_bytes as usize,
        rejected_rows_max: u64::from(config.limits.rejected_rows_max),
        follow_data,
    }
}

fn sync_policy(config: &Config) -> SyncPolicy {
    match config.log.sync_policy {
        ConfiguredPolicy::Group => {
            SyncPolicy::After(Duration::from_millis(config.log.group_interval_ms))
        }
        ConfiguredPolicy::Interval => {
            SyncPolicy::After(Duration::from_millis(config.log.interval_ms))
        }
        ConfiguredPolicy::Always => SyncPolicy::Always,
        ConfiguredPolicy::Os => SyncPolicy::Never,
    }
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

const NS_PER_S: u64 = 1_000_000_000;
