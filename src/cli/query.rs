//! `edgetime query`: one statement to a server, its result to standard output as it comes.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use edgetime_protocol::client::{ClientError, Connection, ConnectionOptions};
use edgetime_protocol::error::Code;
use edgetime_protocol::message::QueryOptions;

use super::duration::parse_duration_ns;
use super::progress::Progress;
use super::{CommandError, ServerArgs};
use crate::query::encode::{Format, TimeFormat};

/// Flags of `edgetime query`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct QueryArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Form of the result: table for people, csv, json (an array of objects), ndjson (an object a line).
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format_parser())]
    pub format: Format,
    /// How times are written: RFC 3339, or whole units since 1970.
    #[arg(long, value_name = "FORMAT", default_value = "rfc3339", value_parser = time_parser())]
    pub time: TimeFormat,
    /// Fail where only rollups could answer, instead of answering with a warning.
    #[arg(long)]
    pub exact: bool,
    /// Give up after this time: 500ms, 30s, 5m [default: what the server allows].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ns)]
    pub timeout: Option<u64>,
    /// The statement; `-` reads it from standard input.
    #[arg(value_name = "SQL")]
    pub sql: String,
}

/// Asks, and prints the answer.
pub fn run(args: &QueryArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let sql = statement(args)?;
    let address = &args.server.addr;
    let failed = |error: ClientError| explain(address, &sql, &error);
    let answer_timeout = args
        .timeout
        .map_or(ANSWER_TIMEOUT, |ns| Duration::from_nanos(ns) + ANSWER_GRACE);
    let options = ConnectionOptions {
        timeout: answer_timeout,
        ..args.server.connection_options()
    };
    let options_of_query = QueryOptions {
        timeout_ms: args.timeout.map(|ns| ns.div_ceil(1_000_000)),
        exact: args.exact,
        rows_max: None,
    };
    let database = args.server.db.as_deref().unwrap_or_default();
    let mut connection = Connection::connect(address.as_str(), &options).map_err(failed)?;
    // Rows that people see tell enough.
    let is_seen = io::stdout().is_terminal();
    let mut progress = Progress::of_answer();
    let mut rows = connection
        .query(database, &sql, options_of_query)
        .map_err(failed)?;
    let mut encoder = args.format.encoder(args.time);
    let has_result = !rows.columns().is_empty();
    if has_result {
        encoder
            .begin(rows.columns(), out)
            .map_err(CommandError::output)?;
    }
    // Dropped early, the rows cancel their query.
    for batch in rows.by_ref() {
        let batch = batch.map_err(failed)?;
        if is_seen {
            progress.clear();
        } else {
            progress.answered(batch.rows() as u64);
        }
        encoder.batch(&batch, out).map_err(CommandError::output)?;
    }
    progress.clear();
    if has_result {
        encoder.end(out).map_err(CommandError::output)?;
    }
    out.flush().map_err(CommandError::output)?;
    for warning in rows.end().iter().flat_map(|end| &end.warnings) {
        super::say(format_args!("edgetime: warning: {warning}"));
    }
    Ok(())
}

fn statement(args: &QueryArgs) -> Result<String, CommandError> {
    if args.sql != "-" {
        return Ok(args.sql.clone());
    }
    let mut sql = String::new();
    let read = io::stdin()
        .take(STATEMENT_BYTES_MAX)
        .read_to_string(&mut sql);
    read.map_err(|error| CommandError::input("standard input", &error))?;
    Ok(sql)
}

/// The error, and where in the statement it is.
fn explain(address: &str, sql: &str, error: &ClientError) -> CommandError {
    let ClientError::Server {
        code,
        message,
        offset,
    } = error
    else {
        return CommandError::client(address, error);
    };
    let code = code.map_or("unknown code", Code::name);
    let place = offset
        .and_then(|offset| caret(sql, offset as usize))
        .unwrap_or_default();
    CommandError::Failed(format!("{code}: {message}{place}"))
}

/// The line of the statement that the offset lies in, and a caret under the place.
fn caret(sql: &str, offset: usize) -> Option<String> {
    let before = sql.get(..sql.floor_char_boundary(offset.min(sql.len())))?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = sql[start..].lines().next().unwrap_or_default();
    let column = sql[start..before.len()].chars().count();
    // Of a long line what stands around the place.
    let skipped = column.saturating_sub(LINE_CHARS / 2);
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(LINE_CHARS)
        .map(plain)
        .collect();
    Some(format!(
        "\n  {}\n  {}^",
        shown.trim_end(),
        " ".repeat(column - skipped)
    ))
}

/// A character as wide as a space, so that the caret stands where it belongs.
fn plain(letter: char) -> char {
    if letter.is_control() { ' ' } else { letter }
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["table", "csv", "json", "ndjson"])
        .map(|name| Format::from_name(&name).expect("these are the formats' names"))
}

fn time_parser() -> impl TypedValueParser<Value = TimeFormat> {
    PossibleValuesParser::new(["rfc3339", "ns", "us", "ms", "s"])
        .map(|name| TimeFormat::from_name(&name).expect("these are the formats' names"))
}

/// For each message of an answer, where no timeout is given: longer than servers let queries run.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// What the answer may take beyond the timeout that the server keeps.
const ANSWER_GRACE: Duration = Duration::from_secs(10);
/// More than any server takes.
const STATEMENT_BYTES_MAX: u64 = 1 << 20;
/// Characters shown of a line.
const LINE_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_place() {
        assert_eq!(
            caret("SELECT x FORM m", 9).as_deref(),
            Some("\n  SELECT x FORM m\n           ^")
        );
        assert_eq!(
            caret("SELECT *\nFROM \tm\nLIMIT ö x", 25).as_deref(),
            Some("\n  LIMIT ö x\n         ^")
        );
        // At the end, behind it, and inside a character.
        assert_eq!(caret("ab", 2).as_deref(), Some("\n  ab\n    ^"));
        assert_eq!(caret("ab", 99).as_deref(), Some("\n  ab\n    ^"));
        assert_eq!(caret("ö", 1).as_deref(), Some("\n  ö\n  ^"));
        assert_eq!(caret("", 0).as_deref(), Some("\n  \n  ^"));
        let long = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let shown = caret(&long, 500).expect("a place");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].chars().count(), LINE_CHARS + 2);
        assert_eq!(lines[1].find('!'), lines[2].find('^'));
    }

    #[test]
    fn an_error_of_the_server_names_code_and_place() {
        let error = ClientError::Server {
            code: Some(Code::UnknownColumn),
            message: "no column y; near: x".to_owned(),
            offset: Some(7),
        };
        assert_eq!(
            explain("a:1", "SELECT y FROM m", &error).to_string(),
            "unknown_column: no column y; near: x\n  SELECT y FROM m\n         ^"
        );
        let closed = explain("a:1", "x", &ClientError::Closed).to_string();
        assert!(closed.starts_with("a:1: "), "{closed}");
    }
}
