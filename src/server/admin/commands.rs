//! What the admin port understands.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::engine::Access;
use crate::server::slowlog::SlowQuery;
use crate::server::sql::{self, Request};
use crate::server::{DEFAULT_DATABASE, Shared, memory};

use super::backup::backup;
use super::cache;
use super::rejected::rejected;
use super::retention::retention;
use super::rollup::{self, rollup};
use super::{report, schema, token};

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next command.
    Continue,
    /// It is closed.
    Close,
    /// The server stops.
    Stop,
}

/// An answer, its closing line included.
#[derive(Debug)]
pub struct Answer {
    /// What is sent.
    pub text: String,
    /// What comes then.
    pub outcome: Outcome,
}

impl Answer {
    /// Text for people, or JSON for programs, closed by `OK`.
    pub(super) fn ok(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str("OK\n");
        Self {
            text,
            outcome: Outcome::Continue,
        }
    }

    /// `ERR code message`.
    pub fn error(code: &str, message: &str) -> Self {
        Self {
            text: format!("ERR {code} {}\n", message.replace(['\n', '\r'], " ")),
            outcome: Outcome::Continue,
        }
    }
}

/// Name, arguments and purpose of every command.
const COMMANDS: &[(&str, &str, &str)] = &[
    (
        "help",
        "[COMMAND]",
        "what there is, or what one command does",
    ),
    ("ping", "", "answers pong"),
    ("version", "", "the server's version"),
    ("status", "", "state, ledger, positions, memory, gaps"),
    (
        "stats",
        "[NAME]",
        "counters of log, blocks, cache, results, wear, disk and pool",
    ),
    ("databases", "", "all databases"),
    (
        "measurements",
        "[DATABASE]",
        "the measurements of a database",
    ),
    (
        "series",
        "[DATABASE] MEASUREMENT [TEXT]",
        "the series of a measurement, those with TEXT in their tags",
    ),
    ("schema", schema::ARGUMENTS, schema::PURPOSE),
    (
        "query",
        "[@DATABASE] SQL",
        "runs a query and prints a table",
    ),
    (
        "flush",
        "",
        "seals all open chunks and makes everything durable",
    ),
    (
        "checkpoint",
        "",
        "writes chunks and state to block files and frees the log",
    ),
    (
        "backup",
        "PATH",
        "copies the store as it is now into a new folder, while writes go on",
    ),
    (
        "verify",
        "",
        "reads everything on the device and says what is damaged",
    ),
    (
        "retention",
        "[show | set .. | unset .. | drop ..]",
        "what is kept for how long, by class; `retention set` lists all forms",
    ),
    ("rollup", rollup::USAGE, rollup::PURPOSE),
    (
        "memory",
        "",
        "memory against its limit, by pool, and what was done where it ran short",
    ),
    (
        "pool",
        "",
        "the connections of the metadata index: size, waits, times, time-outs",
    ),
    (
        "cache",
        cache::USAGE,
        "the cache of finished buckets: how it serves; or empties it, or asks a query ahead",
    ),
    (
        "slowlog",
        "[N]",
        "the newest queries that took longer than query.slow_ms, with their plans",
    ),
    (
        "gaps",
        "[acknowledge [ID]]",
        "what was lost; or takes note of it, up to ID or all",
    ),
    (
        "rejected",
        "[@DATABASE] [N | replay ID|CODE|all]",
        "the newest refused lines, counts, clocks; or writes lines again",
    ),
    (
        "clients",
        "[kill ID]",
        "who is connected; or closes a connection",
    ),
    ("token", token::USAGE, token::PURPOSE),
    ("log-level", "LEVEL", "error, warn, info, debug or trace"),
    ("shutdown", "", "stops the server in order"),
    ("quit", "", "closes this connection"),
];

/// Runs a command line.
pub fn run(shared: &Shared, line: &str) -> Answer {
    let (line, json) = match line.strip_suffix("--json") {
        Some(rest) if rest.is_empty() || rest.ends_with(' ') => (rest.trim_end(), true),
        _ => (line, false),
    };
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    match name.to_ascii_lowercase().as_str() {
        "" => Answer::ok(""),
        "help" => help(rest),
        "ping" => say(json, "pong", json!({"answer": "pong"})),
        "version" => {
            let version = env!("CARGO_PKG_VERSION");
            say(
                json,
                format!("edgetimedb {version}"),
                json!({"version": version}),
            )
        }
        "status" => print(json, &report::status(shared)),
        "stats" => stats(shared, json, rest),
        "databases" => names(json, "databases", &shared.engine.databases(&Access::full())),
        "measurements" => measurements(shared, json, words.first().copied()),
        "series" => series(shared, json, &words),
        "schema" => schema::schema(shared, json, rest),
        "query" => query(shared, json, rest),
        "flush" => flush(shared, json),
        "checkpoint" => checkpoint(shared, json),
        "verify" => verify(shared, json),
        "backup" => backup(shared, json, rest),
        "retention" => retention(shared, json, rest),
        "rollup" => rollup(shared, json, rest),
        "memory" => print(json, &memory::report(shared)),
        "pool" => print(json, &report::pool(shared)),
        "cache" => cache::cache(shared, json, rest),
        "slowlog" => slowlog(shared, json, &words),
        "gaps" => losses(shared, json, &words),
        "rejected" => rejected(shared, json, &words),
        "clients" => clients(shared, json, &words),
        "token" => token::token(shared, json, &words),
        "log-level" => match shared.log_level.set(rest) {
            Ok(()) => Answer::ok(""),
            Err(message) => Answer::error("bad_value", &message),
        },
        "shutdown" => Answer {
            outcome: Outcome::Stop,
            ..Answer::ok("stopping")
        },
        "quit" | "exit" => Answer {
            outcome: Outcome::Close,
            ..Answer::ok("bye")
        },
        other => {
            let near = COMMANDS.iter().map(|c| c.0).find(|known| {
                !other.is_empty() && (known.starts_with(other) || other.starts_with(known))
            });
            let hint = near.map_or_else(
                || "try help".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            Answer::error(
                "unknown_command",
                &format!("there is no command {other:?}; {hint}"),
            )
        }
    }
}

fn help(command: &str) -> Answer {
    let chosen: Vec<_> = COMMANDS
        .iter()
        .filter(|(name, ..)| command.is_empty() || *name == command)
        .collect();
    if chosen.is_empty() {
        return Answer::error(
            "unknown_command",
            &format!("there is no command {command:?}; try help"),
        );
    }
    let mut text = String::new();
    for (name, arguments, purpose) in chosen {
        let usage = format!("{name} {arguments}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{usage:<44} {purpose}");
    }
    if command == "schema" {
        text.push_str(schema::DETAILS);
    }
    if command == "token" {
        text.push_str(token::DETAILS);
    }
    if command.is_empty() {
        text.push_str("Put --json behind a command for an answer that programs read.\n");
    }
    Answer::ok(text)
}

pub(super) fn say(json: bool, text: impl Into<String>, value: Value) -> Answer {
    if json {
        Answer::ok(value.to_string())
    } else {
        Answer::ok(text)
    }
}

/// An object as JSON, or as one `name: value` a line.
fn print(json: bool, value: &Value) -> Answer {
    if json {
        return Answer::ok(value.to_string());
    }
    let mut text = String::new();
    flatten(&mut text, "", value);
    Answer::ok(text)
}

fn flatten(text: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(text, &path, member);
            }
        }
        Value::String(plain) => {
            let _ = writeln!(text, "{path}: {plain}");
        }
        other => {
            let _ = writeln!(text, "{path}: {other}");
        }
    }
}

fn stats(shared: &Shared, json: bool, name: &str) -> Answer {
    let all = report::stats(shared);
    if name.is_empty() {
        return print(json, &all);
    }
    if let Some(part) = all.get(name) {
        return print(json, part);
    }
    let known: Vec<&str> = all
        .as_object()
        .map(|parts| parts.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let known = known.join(", ");
    Answer::error(
        "unknown_name",
        &format!("there are no stats {name:?}; there are {known}"),
    )
}

fn names(json: bool, what: &str, names: &[std::sync::Arc<str>]) -> Answer {
    let list: Vec<&str> = names.iter().map(|name| &**name).collect();
    say(json, list.join("\n"), json!({ what: list }))
}

fn measurements(shared: &Shared, json: bool, database: Option<&str>) -> Answer {
    let database = database.unwrap_or(DEFAULT_DATABASE);
    match shared.engine.measurements(&Access::full(), database) {
        Ok(Some(found)) => names(json, "measurements", &found),
        Ok(None) => Answer::error(
            "no_such_database",
            &format!("there is no database {database:?}"),
        ),
        Err(error) => Answer::error("internal", &error.to_string()),
    }
}

/// The database and measurement that one or two words name, and the words behind them.
fn locate<'a>(
    shared: &Shared,
    words: &[&'a str],
) -> Result<(crate::engine::MeasurementView, Vec<&'a str>), Answer> {
    let find = |database: &str, name: &str| {
        shared
            .engine
            .measurement(&Access::full(), database, name)
            .ok()
            .flatten()
    };
    let Some(&first) = words.first() else {
        return Err(Answer::error("bad_command", "name a measurement"));
    };
    if let Some(view) = words.get(1).and_then(|second| find(first, second)) {
        return Ok((view, words[2..].to_vec()));
    }
    match find(DEFAULT_DATABASE, first) {
        Some(view) => Ok((view, words[1..].to_vec())),
        None => Err(Answer::error(
            "unknown_measurement",
            &format!("there is no measurement {first:?}"),
        )),
    }
}

fn series(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    let (view, rest) = match locate(shared, words) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let text = rest.join(" ");
    let list: Vec<String> = shared
        .engine
        .select_series(view.id, &|_| true)
        .iter()
        .map(|series| {
            let tags = series
                .tags
                .iter()
                .map(|(name, value)| format!(",{name}={value}"));
            format!("{}{}", view.name, tags.collect::<String>())
        })
        .filter(|line| line.contains(&text))
        .take(SERIES_MAX)
        .collect();
    say(json, list.join("\n"), json!({ "series": list }))
}

/// `@DATABASE SQL`, or SQL for the default database.
pub(super) fn database_and_sql(rest: &str) -> (&str, &str) {
    match rest.strip_prefix('@') {
        Some(named) => named.split_once(' ').unwrap_or((named, "")),
        None => (DEFAULT_DATABASE, rest),
    }
}

fn query(shared: &Shared, json: bool, rest: &str) -> Answer {
    let (database, text) = database_and_sql(rest);
    let request = Request {
        database,
        sql: text,
        timeout: None,
        rows_max: Some(QUERY_ROWS_MAX),
        exact: false,
    };
    match sql::to_text(shared, &Access::full(), &request, json) {
        Ok(text) => Answer::ok(text),
        Err(failed) => Answer::error(failed.code.name(), &failed.message),
    }
}

fn slowlog(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    let count = match words {
        [] => SLOW_QUERIES,
        [count] => match count.parse() {
            Ok(count) => count,
            Err(_) => return Answer::error("bad_value", &format!("{count:?} is no number")),
        },
        _ => return Answer::error("bad_command", "use: slowlog [N]"),
    };
    let newest = shared.slow_queries.newest(count);
    let text: String = newest.iter().map(SlowQuery::text).collect();
    let values: Vec<Value> = newest.iter().map(SlowQuery::json).collect();
    say(json, text, json!({ "slowlog": values }))
}

fn flush(shared: &Shared, json: bool) -> Answer {
    let result = shared.engine.seal_all();
    shared.committer.request();
    match result.and_then(|sealed| shared.engine.sync().map(|position| (sealed, position))) {
        Ok((sealed, position)) => say(
            json,
            format!("sealed {sealed} series, durable up to {position}"),
            json!({"sealed_series": sealed, "position_durable": position.0}),
        ),
        Err(error) => Answer::error("internal", &error.to_string()),
    }
}

fn checkpoint(shared: &Shared, json: bool) -> Answer {
    match shared.engine.checkpoint() {
        Ok(report) => say(
            json,
            format!(
                "wrote {} chunks ({} bytes) and {} images; replay from {}; {} log segments freed",
                report.chunks,
                report.chunk_bytes,
                report.images,
                report.replay_from,
                report.segments_freed
            ),
            json!({
                "chunks": report.chunks,
                "chunk_bytes": report.chunk_bytes,
                "images": report.images,
                "replay_from": report.replay_from.0,
                "segments_freed": report.segments_freed,
            }),
        ),
        Err(error) => Answer::error("internal", &error.to_string()),
    }
}

fn verify(shared: &Shared, json: bool) -> Answer {
    let report = match shared.engine.verify() {
        Ok(report) => report,
        Err(error) => return Answer::error("internal", &error.to_string()),
    };
    let value = json!({
        "chunks": report.chunks,
        "chunk_rows": report.chunk_rows,
        "images": report.images,
        "frames": report.frames,
        "damage": report.damage,
        "losses": report.losses,
    });
    let mut answer = print(json, &value);
    if !report.is_sound() {
        let said = match (report.damage.len(), report.losses.len()) {
            (0, lost) => format!("nothing is damaged now; {lost} losses stand open, as listed"),
            (damaged, _) => format!("{damaged} places are damaged, as listed"),
        };
        let said = Answer::error("damaged", &said);
        answer.text.truncate(answer.text.len() - "OK\n".len());
        answer.text.push_str(&said.text);
    }
    answer
}

fn losses(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    let up_to = match words {
        [] => {
            let losses = shared.engine.losses();
            let lines = losses.iter().map(|loss| {
                let rows = loss
                    .rows
                    .map_or(String::new(), |rows| format!(", {rows} rows"));
                let times = loss.times.map_or(String::new(), |(first, last)| {
                    format!(", times {first} to {last}")
                });
                let series = loss.series.join(" ");
                format!(
                    "{} {}: {}{rows}{times}; {series}\n",
                    loss.id, loss.kind, loss.text
                )
            });
            return say(json, lines.collect::<String>(), json!({ "gaps": losses }));
        }
        ["acknowledge"] => u64::MAX,
        ["acknowledge", id] => match id.parse() {
            Ok(id) => id,
            Err(_) => return Answer::error("bad_value", &format!("{id:?} is no number of a gap")),
        },
        _ => return Answer::error("bad_command", "use: gaps, or gaps acknowledge [ID]"),
    };
    match shared.engine.acknowledge_losses(up_to) {
        Ok(count) => say(
            json,
            format!("took note of {count}"),
            json!({ "acknowledged": count }),
        ),
        Err(error) => Answer::error("internal", &error.to_string()),
    }
}

fn clients(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    match words {
        [] => {
            let list = shared.clients.list();
            let mut text = String::new();
            for client in &list {
                let received = client.received_bytes();
                let token = client.token();
                let token =
                    token.map_or_else(String::new, |token| format!(", token {}", token.name));
                let _ = writeln!(
                    text,
                    "{:<8} {:<6} {:<24} {received} bytes received{token}",
                    client.id,
                    client.port,
                    client.peer()
                );
            }
            let values: Vec<Value> = list
                .iter()
                .map(|client| json!({"id": client.id, "port": client.port, "peer": client.peer(), "received_bytes": client.received_bytes(), "token": client.token().map(|token| token.name.to_string())}))
                .collect();
            say(json, text, json!({ "clients": values }))
        }
        ["kill", id] => match id.parse() {
            Ok(id) if shared.clients.kill(id) => Answer::ok(""),
            _ => Answer::error(
                "unknown_client",
                &format!("there is no client {id}; try clients"),
            ),
        },
        _ => Answer::error("bad_command", "use: clients, or clients kill ID"),
    }
}

/// Slow queries that are shown where no number is given.
const SLOW_QUERIES: usize = 10;
/// Series that are listed at most.
const SERIES_MAX: usize = 10_000;
/// Rows that a query on this port prints at most.
const QUERY_ROWS_MAX: u64 = 10_000;
