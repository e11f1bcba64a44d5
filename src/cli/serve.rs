//! `edgetime serve`: flags of the server, and the configuration that they lead to.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use super::CommandError;
use crate::config::{ClockKind, Config, Loaded, Overrides};
use crate::server::{LogLevel, Server};
use crate::types::StoreId;

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
    /// How much the server says on standard error; the admin command `log-level` changes it later.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub log_level: String,
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
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());
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
    let fresh = fresh_store().map_err(|error| failed(&format_args!("{RANDOM}: {error}")))?;
    let level = start_logging(&args.log_level).map_err(|error| failed(&error))?;
    let server =
        Server::start(loaded.config, fresh, Box::new(level)).map_err(|error| failed(&error))?;
    let ready = announce(&server, out);
    // A closed output is no reason to stop: the data comes by other ways.
    if let Err(error) = ready {
        tracing::warn!(%error, "nobody reads the ready line");
    }
    server
        .wait()
        .map_err(|error| failed(&format_args!("signals: {error}")))?;
    server.stop().map_err(|error| failed(&error))
}

fn announce(server: &Server, out: &mut dyn Write) -> std::io::Result<()> {
    write!(
        out,
        "ready data={} admin={}",
        server.data_address(),
        server.admin_address()
    )?;
    if let Some(address) = server.udp_address() {
        write!(out, " udp={address}")?;
    }
    writeln!(out)?;
    out.flush()
}

/// The identity of a store that is yet to be made.
fn fresh_store() -> std::io::Result<StoreId> {
    let mut bytes = [0; 8];
    File::open(RANDOM)?.read_exact(&mut bytes)?;
    Ok(StoreId(u64::from_le_bytes(bytes)))
}

/// Lines of the server's log go to standard error.
fn start_logging(level: &str) -> Result<Level, String> {
    let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
    Ok(Level(handle))
}

/// Changes the level of the log.
struct Level(reload::Handle<EnvFilter, Registry>);

impl LogLevel for Level {
    fn set(&self, level: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Where the system gives out random bytes.
const RANDOM: &str = "/dev/urandom";

fn key_and_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "not KEY=VALUE; write for example log.sync_policy=always".to_owned())
}
