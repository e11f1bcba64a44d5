//! The configuration: flag before environment before file before default.
//!
//! Owns every option's name, meaning, default and bounds. Never opens a socket or a data directory, and
//! reads the environment only as it is given.

mod error;
mod load;
mod option;
mod sections;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::Value;

use option::{Refusal, Section};

pub use error::{ConfigError, Source};
pub use option::OptionInfo;
pub use sections::{
    ArchiveConfig, AuthConfig, Backend, CheckpointConfig, ClockKind, EngineConfig, GeneralConfig,
    LimitsConfig, LogConfig, MemoryConfig, MetaConfig, QueryConfig, RetentionConfig, ServerConfig,
    SyncPolicy,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Options without a section.
    pub general: GeneralConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// `[retention]`
    pub retention: RetentionConfig,
    /// `[archive]`
    pub archive: ArchiveConfig,
    /// `[checkpoint]`
    pub checkpoint: CheckpointConfig,
    /// `[memory]`
    pub memory: MemoryConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[server]`
    pub server: ServerConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[query]`
    pub query: QueryConfig,
    /// `[meta]`
    pub meta: MetaConfig,
}

/// What the command line sets; `None` leaves it to the environment, the file and the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--admin`
    pub admin: Option<SocketAddr>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--udp`
    pub udp: Option<SocketAddr>,
    /// `--no-self-monitor`
    pub self_monitor: Option<bool>,
    /// `--clock`
    pub clock: Option<ClockKind>,
    /// Any other option by its key, as text.
    pub others: Vec<(String, String)>,
}

/// A configuration and what is odd about where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// Where each option comes from that is not a default, by key.
    pub sources: BTreeMap<String, Source>,
    /// One line each: variables of the environment that look like options and are none.
    pub warnings: Vec<String>,
}

/// What variables of the environment begin with.
pub const ENVIRONMENT_PREFIX: &str = "EDGETIME_";

/// Runs the same code on every section, in their order.
macro_rules! for_each_section {
    ($config:expr, $section:ident => $run:expr) => {{
        let config = $config;
        for_each_section!(@run config, $section, $run,
            general, log, engine, retention, archive, checkpoint, memory, limits, server, auth, query, meta);
    }};
    (@run $config:ident, $section:ident, $run:expr, $($name:ident),+) => {
        $({
            let $section = &mut $config.$name;
            $run;
        })+
    };
}

impl Config {
    /// Gathers the configuration. Without a path no file is read; a path that is given has to be there.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded {
            config: Self::default(),
            sources: BTreeMap::new(),
            warnings: Vec::new(),
        };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                source_of: Source::File(path.to_owned(), None),
                wrong: format!("cannot be read: {error}"),
                right: "give the path of a TOML file".to_owned(),
            })?;
            loaded.take_file(path, &text)?;
        }
        loaded.take_environment(environment)?;
        loaded.take_flags(overrides)?;
        loaded.check()?;
        Ok(loaded)
    }

    /// Reads a configuration from the text of a file alone; the path is for messages.
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut loaded = Loaded {
            config: Self::default(),
            sources: BTreeMap::new(),
            warnings: Vec::new(),
        };
        loaded.take_file(path, text)?;
        loaded.check()?;
        Ok(loaded.config)
    }

    /// All options as they are, section by section.
    #[must_use]
    pub fn options(&self) -> Vec<OptionInfo> {
        let mut options = Vec::new();
        let mut copy = self.clone();
        for_each_section!(&mut copy, section => options.extend(section.options()));
        options
    }

    /// An option's value as TOML.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        let mut options = self.options().into_iter();
        options
            .find(|option| option.key == key)
            .map(|option| option.value)
    }

    /// The configuration as TOML with every option explained; it can be read back.
    #[must_use]
    pub fn print_config(&self) -> String {
        let mut out = String::from(
            "# The effective configuration. A flag goes before an environment variable (EDGETIME_LISTEN,\n\
             # EDGETIME_LOG_SYNC_POLICY), that before this file, that before the default.\n",
        );
        let mut section = String::new();
        for option in self.options() {
            let (of, name) = option.key.split_once('.').unwrap_or(("", &option.key));
            if of != section {
                of.clone_into(&mut section);
                let _ = write!(out, "\n[{section}]\n");
            }
            out.push('\n');
            for line in option.doc.lines() {
                let _ = writeln!(out, "# {line}");
            }
            let _ = write!(out, "# Default {}", option.default);
            if let Some(minimum) = option.minimum {
                let _ = write!(out, ", at least {minimum}");
            }
            let _ = write!(out, ".\n{name} = {}\n", option.value);
        }
        out
    }

    /// Refuses addresses that others can reach while nobody has to say who they are.
    pub fn validate_listeners(&self) -> Result<(), ConfigError> {
        let general = &self.general;
        let none = "it knows no tokens";
        let listeners = [
            (
                "listen",
                Some(general.listen).filter(|_| !self.auth.required),
                "or set auth.required = true, and make tokens (admin command `token create`)",
            ),
            ("admin", Some(general.admin), none),
            ("http", general.http, none),
            ("udp", general.udp, none),
        ];
        for (name, address, or) in listeners {
            if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
                return Err(ConfigError {
                    source_of: Source::Flag,
                    wrong: format!(
                        "{name} = {address} can be reached from outside, and nobody is asked who they are"
                    ),
                    right: format!("use 127.0.0.1:{}; {or}", address.port()),
                });
            }
        }
        Ok(())
    }

    fn assign(&mut self, key: &str, value: &Value) -> Option<Result<(), Refusal>> {
        fn section_name<S: Section>(_: &S) -> &'static str {
            S::NAME
        }
        let (of, name) = key.split_once('.').unwrap_or(("", key));
        let mut outcome = None;
        for_each_section!(self, section => {
            if section_name(section) == of {
                outcome = section.assign(name, value);
            }
        });
        outcome
    }

    /// The key that looks most like this one.
    fn nearest(&self, key: &str) -> Option<String> {
        let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let distance_to = |option: &OptionInfo| {
            let whole = distance(key, &option.key);
            whole.min(distance(&name(key), &name(&option.key)) + 1)
        };
        let begins = |option: &OptionInfo| {
            let (asked, there) = (name(key), name(&option.key));
            asked.len() > 3 && (there.starts_with(&asked) || asked.starts_with(&there))
        };
        let options = self.options().into_iter();
        let near = options.filter(|o| begins(o) || distance_to(o) <= 1 + key.len() / 4);
        near.min_by_key(distance_to).map(|option| option.key)
    }
}

/// Edits between two words (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.chars().enumerate() {
        let mut diagonal = at;
        row[0] = at + 1;
        for (to, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(diagonal + 1).min(row[to] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
