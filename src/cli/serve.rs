//! `edgetime serve`: flags of the server, and the configuration that they lead to.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::{CommandError, store};
use crate::config::{ClockKind, Config, Loaded, Overrides};
use crate::server::{Listeners, LogLevel, Server, ServerError};

/// Flags of `edgetime serve`. What is not given comes from the environment, the file, or the default.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeArgs {
    /// Folder of the data, made if it is not there [default: ./edgetime-data].
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Configuration, TOML.
    #[arg(long, value_name = "FILE", env = "EDGETIME_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data port [default: 127.0.0.1:7480]; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Admin port [default: 127.0.0.1:7481].
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// HTTP port [default: off].
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// UDP port for line protocol [default: off].
    #[arg(long, value_name = "ADDR")]
    pub udp: Option<SocketAddr>,
    /// Do not write the server's and its host's own figures into database `_system`.
    #[arg(long)]
    pub no_self_monitor: bool,
    /// Where time comes from; follow-data is for tests: time is the newest row's [default: system].
    #[arg(long, value_enum)]
    pub clock: Option<ClockArg>,
    /// Any other option by its key, such as log.sync_policy=always; see --print-config.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Print the effective configuration with every option explained, and end.
    #[arg(long)]
    pub print_config: bool,
}

/// Where the server's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockArg {
    /// The machine's clock.
    System,
    /// The time of the newest row.
    FollowData,
}

impl ServeArgs {
    /// What the flags set.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            listen: self.listen,
            admin: self.admin,
            http: self.http,
            udp: self.udp,
            self_monitor: self.no_self_monitor.then_some(false),
            clock: self.clock.map(|clock| match clock {
                ClockArg::System => ClockKind::System,
                ClockArg::FollowData => ClockKind::FollowData,
            }),
            others: self.set.clone(),
        }
    }

    /// The configuration from flags, environment, file and defaults.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, CommandError> {
        let own = ["CONFIG", "ADDR", "DB", "TOKEN"];
        let prefix = crate::config::ENVIRONMENT_PREFIX;
        let environment = environment.into_iter().filter(|(name, _)| {
            // These belong to the command line's own flags.
            !name
                .strip_prefix(prefix)
                .is_some_and(|rest| own.contains(&rest))
        });
        Config::load(self.config.as_deref(), environment, &self.overrides())
            .map_err(|error| CommandError::Failed(error.to_string()))
    }
}

/// Runs the server until it is told to stop.
pub fn run(args: &ServeArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let variables = std::env::vars_os();
    let variables =
        variables.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let loaded = args.load(variables)?;
    for warning in &loaded.warnings {
        super::say(format_args!("edgetime: {warning}"));
    }
    if args.print_config {
        return out
            .write_all(loaded.config.print_config().as_bytes())
            .map_err(CommandError::output);
    }
    serve(loaded.config, out)
}

/// Runs the server until a signal or the admin port ends it.
fn serve(config: Config, out: &mut dyn Write) -> Result<(), CommandError> {
    let log_level = start_logging()?;
    let failed = |error: ServerError| CommandError::Failed(error.to_string());
    // Addresses before the store: a port in use should not cost a recovery.
    let listeners = Listeners::bind(&config).map_err(failed)?;
    let _lock = store::lock(&config)?;
    let engine = store::open(&config)?;
    if let Some(archive) = store::open_archive(&config)? {
        engine.set_archive(Box::new(archive));
    }
    let mut server =
        Server::start(config, listeners, engine, Box::new(log_level)).map_err(failed)?;
    let udp = server.udp_address().map(|udp| format!(" udp={udp}"));
    let ready = format!(
        "ready data={} admin={}{}",
        server.data_address(),
        server.admin_address(),
        udp.unwrap_or_default()
    );
    writeln!(out, "{ready}")
        .and_then(|()| out.flush())
        .map_err(CommandError::output)?;
    server.wait();
    server.stop().map_err(|error| {
        CommandError::Failed(format!("the store could not be closed in order: {error}"))
    })
}

/// The level filter of the server's log, changed by the admin port.
struct LevelHandle(reload::Handle<EnvFilter, Registry>);

impl LogLevel for LevelHandle {
    fn set(&self, level: &str) -> Result<(), String> {
        const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
        if !LEVELS.contains(&level) {
            return Err(format!(
                "{level:?} is no level; use one of {}",
                LEVELS.join(", ")
            ));
        }
        self.0
            .reload(EnvFilter::new(level))
            .map_err(|error| error.to_string())
    }
}

/// The server's log on standard error; `RUST_LOG` chooses what is in it at start.
fn start_logging() -> Result<LevelHandle, CommandError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(LevelHandle(handle))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "not KEY=VALUE; write for example log.sync_policy=always".to_owned())
}
