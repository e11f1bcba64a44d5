//! From a configuration to a running server, and back to silence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError, SyncPolicy as ConfiguredPolicy};
use crate::engine::{Engine, EngineError, MemoryLevel, MemoryState};
use crate::query::cache::{CacheOptions, ResultCache};
use crate::query::{QueryMemory, QueryWorkers, Statements};

use super::buffers::Buffers;
use super::clients::Clients;
use super::committer::{Committer, SyncPolicy};
use super::maintenance::{Maintenance, MaintenanceOptions};
use super::slowlog::SlowLog;
use super::threads::QueryThreads;
use super::{Shared, admin, connection, monitor, udp, warm};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration contradicts itself or the rules.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// Nobody could end the server in order.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
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
    terminate: Signal,
    interrupt: Signal,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// The listeners of a server that has no store yet: a port in use costs no recovery.
#[derive(Debug)]
pub struct Listeners {
    runtime: Runtime,
    data: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
    udp: Option<(UdpSocket, SocketAddr)>,
}

impl Listeners {
    /// Takes the addresses of a configuration.
    pub fn bind(config: &Config) -> Result<Self, ServerError> {
        config.validate_listeners()?;
        let general = &config.general;
        if general.http.is_some() {
            return Err(ServerError::Unsupported(
                "--http: this version has no HTTP interface; leave it out",
            ));
        }
        let runtime = runtime(config).map_err(ServerError::Threads)?;
        Ok(Self {
            data: bind(&runtime, "listen", general.listen)?,
            admin: bind(&runtime, "admin", general.admin)?,
            udp: general
                .udp
                .map(|address| bind_udp(&runtime, address))
                .transpose()?,
            runtime,
        })
    }
}

impl Server {
    /// Begins to accept connections.
    pub fn start(
        config: Config,
        listeners: Listeners,
        engine: Arc<Engine>,
        log_level: Box<dyn LogLevel>,
    ) -> Result<Self, ServerError> {
        let Listeners {
            runtime,
            data,
            admin,
            udp,
        } = listeners;
        let stop = CancellationToken::new();
        let results = Arc::new(results(&config, engine.hash_seed()));
        let buffers = Arc::new(Buffers::default());
        let followers = {
            let (results, buffers) = (Arc::clone(&results), Arc::clone(&buffers));
            move |state: &MemoryState| {
                results.shrink_to_eighths(state.cache_eighths);
                buffers.set_short(state.level > MemoryLevel::Enough);
            }
        };
        let maintenance = Maintenance::start(
            Arc::clone(&engine),
            MaintenanceOptions {
                tick: Duration::from_secs(1),
                checkpoint: Duration::from_secs(config.checkpoint.interval_s),
                core_share_percent: config.checkpoint.core_share_percent,
            },
            Box::new(followers),
        )
        .map_err(ServerError::Threads)?;
        let policy = sync_policy(&config);
        let committer = Committer::start(Arc::clone(&engine), policy, maintenance.waker())
            .map_err(ServerError::Threads)?;
        let shared = Arc::new(Shared {
            committer,
            maintenance,
            buffers,
            clients: Clients::new(stop.clone()),
            queries: Arc::new(Semaphore::new(config.query.concurrency_max as usize)),
            slow_queries: SlowLog::new(
                Duration::from_millis(config.query.slow_ms),
                config.query.slowlog_entries_max as usize,
            ),
            results,
            query_memory: Arc::new(query_memory(&config)),
            statements: Statements::default(),
            query_workers: QueryWorkers::new(config.query.helper_threads as usize, QueryThreads),
            engine,
            log_level,
            started: Instant::now(),
            stop,
            config,
        });
        let tasks = TaskTracker::new();
        // Before anybody is told that the server is ready, and may end it.
        let (terminate, interrupt) = {
            let _context = runtime.enter();
            let receive = |kind| signal(kind).map_err(ServerError::Signals);
            (
                receive(SignalKind::terminate())?,
                receive(SignalKind::interrupt())?,
            )
        };
        let server = Self {
            terminate,
            interrupt,
            udp: udp.as_ref().map(|(_, address)| *address),
            runtime,
            shared,
            tasks,
            data: data.1,
            admin: admin.1,
        };
        server.spawn(data.0, admin.0, udp.map(|(socket, _)| socket));
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

    /// Returns when the server was asked to stop, by a signal since its start or by the admin port.
    pub fn wait(&mut self) {
        let Self {
            runtime,
            shared,
            terminate,
            interrupt,
            ..
        } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
                _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
                () = shared.stop.cancelled() => tracing::info!("stopping: asked to"),
            }
        });
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
        warm::note(&self.shared);
        self.shared.maintenance.stop();
        self.shared.committer.stop();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        let engine = &self.shared.engine;
        engine.sync()?;
        engine.index();
        engine.checkpoint_everything()?;
        engine.seal_log()?;
        if let Err(error) = engine.close_archive() {
            tracing::warn!(%error, "the archive could not be closed in order; nothing of it is lost");
        }
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
        self.tasks.spawn(warm::run(Arc::clone(shared)));
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

/// The cache of finished buckets.
fn results(config: &Config, hash_seed: u64) -> ResultCache {
    let query = &config.query;
    let bytes = query.cache_mb.saturating_mul(1024 * 1024);
    let ttl = Duration::from_secs(query.cache_ttl_s);
    ResultCache::new(CacheOptions {
        capacity_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        ttl_ns: i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX),
        hash_seed,
    })
}

/// Half of what the limit leaves beside the log is for queries.
fn query_memory(config: &Config) -> QueryMemory {
    let left = config
        .memory
        .limit_bytes()
        .map(|limit| limit.saturating_sub(config.log.log_size_bytes) / 2);
    let bytes = left.unwrap_or(u64::MAX);
    QueryMemory::new(usize::try_from(bytes).unwrap_or(usize::MAX))
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
