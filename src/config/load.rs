//! Takes values from file, environment and flags, each over what was there before.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Source};
use super::option::Refusal;
use super::sections::{SEGMENT_UNIT_BYTES, SEGMENTS_MIN};
use super::{Config, ENVIRONMENT_PREFIX, Loaded, Overrides, distance};
use crate::limits::MIB;

impl Loaded {
    pub(super) fn take_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| line_of(text, span.start));
            ConfigError {
                source_of: Source::File(path.to_owned(), line),
                wrong: error.message().replace('\n', " "),
                right: "write `name = value` lines under [section] headings".to_owned(),
            }
        })?;
        for (name, value) in &table {
            match value {
                Value::Table(section) => {
                    for (inner, value) in section {
                        self.take(&format!("{name}.{inner}"), value, |key| {
                            Source::File(path.to_owned(), find_line(text, key))
                        })?;
                    }
                }
                value => self.take(name, value, |key| {
                    Source::File(path.to_owned(), find_line(text, key))
                })?,
            }
        }
        Ok(())
    }

    pub(super) fn take_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        let keys: BTreeMap<String, String> = self
            .config
            .options()
            .into_iter()
            .map(|option| (variable_of(&option.key), option.key))
            .collect();
        let ours = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
        for (name, text) in ours {
            if let Some(key) = keys.get(&name) {
                self.take_text(key, &text, Source::Environment(name))?;
            } else if !VARIABLES_OF_OTHERS.contains(&name.as_str()) {
                let near = keys.keys().min_by_key(|known| distance(known, &name));
                let near = near.filter(|known| distance(known, &name) <= 3);
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                self.warnings
                    .push(format!("environment {name}: no such option, ignored{hint}"));
            }
        }
        Ok(())
    }

    pub(super) fn take_flags(&mut self, overrides: &Overrides) -> Result<(), ConfigError> {
        let Overrides {
            data_dir,
            listen,
            admin,
            http,
            udp,
            self_monitor,
            clock,
            others,
        } = overrides;
        let text = |value: &dyn std::fmt::Display| Value::String(value.to_string());
        let flags = [
            (
                "data_dir",
                data_dir.as_ref().map(|path| text(&path.display())),
            ),
            ("listen", listen.as_ref().map(|address| text(address))),
            ("admin", admin.as_ref().map(|address| text(address))),
            ("http", http.as_ref().map(|address| text(address))),
            ("udp", udp.as_ref().map(|address| text(address))),
            ("self_monitor", self_monitor.map(Value::Boolean)),
            ("clock", clock.map(|clock| text(&clock.name()))),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                self.take(key, &value, |_| Source::Flag)?;
            }
        }
        if let Some(path) = data_dir {
            // A path need not be text.
            self.config.general.data_dir.clone_from(path);
        }
        for (key, text) in others {
            self.take_text(key, text, Source::Flag)?;
        }
        Ok(())
    }

    /// Takes text that may be a TOML value or a bare word.
    fn take_text(&mut self, key: &str, text: &str, source: Source) -> Result<(), ConfigError> {
        let parsed = text.parse::<Value>().ok();
        if let Some(value) = parsed {
            let mut copy = self.config.clone();
            if let Some(Ok(())) = copy.assign(key, &value) {
                return self.take(key, &value, |_| source);
            }
            let is_number = value.is_integer() || value.is_float();
            let as_text = Value::String(text.to_owned());
            if is_number && !matches!(copy.assign(key, &as_text), Some(Ok(()))) {
                return self.take(key, &value, |_| source);
            }
        }
        self.take(key, &Value::String(text.to_owned()), |_| source)
    }

    fn take(
        &mut self,
        key: &str,
        value: &Value,
        source: impl FnOnce(&str) -> Source,
    ) -> Result<(), ConfigError> {
        let refusal = match self.config.assign(key, value) {
            Some(Ok(())) => {
                self.sources.insert(key.to_owned(), source(key));
                return Ok(());
            }
            Some(Err(refusal)) => Refusal {
                wrong: format!("{key} = {}", refusal.wrong),
                right: refusal.right,
            },
            None => Refusal {
                wrong: format!("unknown key {key}"),
                right: self.config.nearest(key).map_or_else(
                    || "`edgetime serve --print-config` lists all keys".to_owned(),
                    |near| format!("did you mean {near}?"),
                ),
            },
        };
        Err(ConfigError {
            source_of: source(key),
            wrong: refusal.wrong,
            right: refusal.right,
        })
    }

    /// What must hold between options.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Config {
            log, memory, meta, ..
        } = &self.config;
        let least_mb = log.log_size_bytes.div_ceil(MIB) + MEMORY_MIN_MB;
        let segments = log.log_size_bytes / log.segment_size_bytes;
        let rules = [
            (
                log.segment_size_bytes.is_multiple_of(SEGMENT_UNIT_BYTES),
                "log.segment_size_bytes",
                format!("{} is no multiple of a page", log.segment_size_bytes),
                format!("use a multiple of {SEGMENT_UNIT_BYTES}"),
            ),
            (
                segments >= SEGMENTS_MIN,
                "log.log_size_bytes",
                format!(
                    "{} holds {segments} segments of {} bytes",
                    log.log_size_bytes, log.segment_size_bytes
                ),
                format!(
                    "use {} or more, or a smaller log.segment_size_bytes",
                    log.segment_size_bytes.saturating_mul(SEGMENTS_MIN)
                ),
            ),
            (
                memory.limit_mb == 0 || memory.limit_mb >= least_mb,
                "memory.limit_mb",
                format!(
                    "{} leaves too little beside a log of {} bytes, which counts as well",
                    memory.limit_mb, log.log_size_bytes
                ),
                format!("use {least_mb} or more, 0 for no limit, or a smaller log.log_size_bytes"),
            ),
            (
                meta.pool_size_min <= meta.pool_size_max,
                "meta.pool_size_min",
                format!(
                    "{} is more than meta.pool_size_max, {}",
                    meta.pool_size_min, meta.pool_size_max
                ),
                format!("use {} or less", meta.pool_size_max),
            ),
        ];
        for (holds, key, wrong, right) in rules {
            if !holds {
                let source = self.sources.get(key).cloned();
                return Err(ConfigError {
                    source_of: source.unwrap_or(Source::Default),
                    wrong: format!("{key} = {wrong}"),
                    right,
                });
            }
        }
        Ok(())
    }
}

/// MiB that the server needs beside the log.
const MEMORY_MIN_MB: u64 = 24;

/// Variables with the prefix that other commands read.
const VARIABLES_OF_OTHERS: [&str; 5] = [
    "EDGETIME_CONFIG",
    "EDGETIME_ADDR",
    "EDGETIME_DB",
    "EDGETIME_TOKEN",
    "EDGETIME_LOG",
];

/// The variable that sets an option.
pub(super) fn variable_of(key: &str) -> String {
    let name = key.replace('.', "_").to_ascii_uppercase();
    format!("{ENVIRONMENT_PREFIX}{name}")
}

/// The line, from 1, of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    memchr::memchr_iter(b'\n', before).count() + 1
}

/// The line on which a key is set, if it is set in the plain way.
fn find_line(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let mut current = "";
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(heading) = line.strip_prefix('[') {
            current = heading.split(']').next().unwrap_or_default().trim();
        } else if let Some((left, _)) = line.split_once('=')
            && (current == section && left.trim() == name
                || current.is_empty() && left.trim() == key)
        {
            return Some(at + 1);
        }
    }
    None
}
