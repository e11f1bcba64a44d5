//! `rejected`: the refused lines of a database, how many there were of each reason, what was learned of clocks; and
//! writing lines again.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edgetime_protocol::error::Code;
use serde_json::{Value, json};

use crate::engine::{Access, DeadLetter, EngineError, Letters, OffsetRun};
use crate::server::replay::{self, Replayed};
use crate::server::{DEFAULT_DATABASE, Shared};

use super::commands::{Answer, say};

/// Runs the command.
pub fn rejected(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    let (database, words) = match words {
        [first, rest @ ..] if first.starts_with('@') => (&first[1..], rest),
        _ => (DEFAULT_DATABASE, words),
    };
    let known = shared.engine.databases(&Access::full());
    if !known.iter().any(|name| **name == *database) {
        let message = format!("there is no database {database:?}");
        return Answer::error(Code::NoSuchDatabase.name(), &message);
    }
    match words {
        [] => list(shared, json, database, LISTED),
        ["replay", which] => match letters(which) {
            Some(letters) => write_again(shared, json, database, &letters),
            None => Answer::error(
                "bad_value",
                &format!("{which:?} is neither `all` nor the number of a line nor a code"),
            ),
        },
        [count] => match count.parse() {
            Ok(count) if count <= LISTED_MAX => list(shared, json, database, count),
            _ => Answer::error(
                "bad_value",
                &format!("{count:?} is no number of lines up to {LISTED_MAX}"),
            ),
        },
        _ => Answer::error(
            "bad_command",
            "use: rejected [@DATABASE] [N], or rejected [@DATABASE] replay ID|CODE|all",
        ),
    }
}

fn letters(which: &str) -> Option<Letters> {
    if which == "all" {
        return Some(Letters::All);
    }
    if let Ok(id) = which.parse() {
        return Some(Letters::Id(id));
    }
    Code::from_name(which).map(|code| Letters::Code(code.name().to_owned()))
}

fn list(shared: &Shared, json: bool, database: &str, count: usize) -> Answer {
    match gather(shared, json, database, count) {
        Ok(answer) => answer,
        Err(error) => Answer::error("internal", &error.to_string()),
    }
}

fn gather(
    shared: &Shared,
    json: bool,
    database: &str,
    count: usize,
) -> Result<Answer, EngineError> {
    let (engine, access) = (&shared.engine, Access::full());
    let id = engine.resolve_database(&access, database)?;
    let counts = engine.rejected_by_reason(id);
    let sent_back = engine.sent_back(id);
    let newest = engine.newest_letters(&access, database, count)?;
    let offsets = replay::offsets(shared, &access, database)?;
    if json {
        let counts: serde_json::Map<String, Value> = counts
            .into_iter()
            .map(|(code, rows)| (code.into(), rows.into()))
            .collect();
        let value = json!({
            "database": database,
            "counts": counts,
            "sent_back_since_start": sent_back
                .into_iter()
                .map(|(code, rows)| (code.into(), rows.into()))
                .collect::<serde_json::Map<String, Value>>(),
            "rejected": newest.iter().map(letter_json).collect::<Vec<_>>(),
            "clocks": offsets.iter().map(|(device, run)| clock_json(device, run)).collect::<Vec<_>>(),
        });
        return Ok(Answer::ok(value.to_string()));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    for letter in &newest {
        let raw = String::from_utf8_lossy(&letter.raw);
        let shown: String = raw.chars().take(TEXT_SHOWN).collect();
        let more = if shown.len() < raw.len() { "..." } else { "" };
        let DeadLetter {
            id,
            code,
            message,
            source,
            line,
            ..
        } = letter;
        let _ = writeln!(
            text,
            "{id} {code} {source} line {line}: {message}\n    {}{more}",
            shown.escape_debug()
        );
    }
    for (device, run) in offsets.iter() {
        let _ = writeln!(
            text,
            "clock {device}: {:+.3} s, {} rows within {:.3} s{}",
            run.offset_ns as f64 / 1e9,
            run.samples,
            run.spread_ns as f64 / 1e9,
            run.unstable
                .map_or(String::new(), |why| format!("; not used: {why}"))
        );
    }
    let counts = counts.iter().map(|(code, rows)| format!("{code} {rows}"));
    let counts: Vec<String> = counts.collect();
    let _ = writeln!(text, "refused: {}", or_none(&counts));
    if !sent_back.is_empty() {
        let counts = sent_back
            .iter()
            .map(|(code, rows)| format!("{code} {rows}"));
        let counts: Vec<String> = counts.collect();
        let _ = writeln!(text, "sent back since the start: {}", counts.join(", "));
    }
    Ok(Answer::ok(text))
}

fn write_again(shared: &Shared, json: bool, database: &str, letters: &Letters) -> Answer {
    let report = match replay::replay(shared, &Access::full(), database, letters) {
        Ok(report) => report,
        Err(error) => return Answer::error("internal", &error.to_string()),
    };
    let Replayed {
        rows,
        restamped,
        refused,
        examples,
        stopped,
    } = report;
    if let Some(error) = stopped {
        let code = crate::server::codes::code_of(&error);
        let message = format!("{rows} lines were written, then: {error}");
        return Answer::error(code.name(), &message);
    }
    if rows == 0
        && refused.is_empty()
        && let Letters::Id(id) = letters
    {
        let message = format!("there is no rejected line {id} in database {database:?}");
        return Answer::error("unknown_id", &message);
    }
    let mut text = format!("{rows} lines written, {restamped} of them with a mended time\n");
    for (code, count) in &refused {
        let _ = writeln!(text, "{count} stay: {code}");
    }
    for (id, why) in &examples {
        let _ = writeln!(text, "  {id}: {why}");
    }
    let examples: Vec<Value> = examples
        .iter()
        .map(|(id, why)| json!({"id": id, "why": why}))
        .collect();
    say(
        json,
        text,
        json!({
            "database": database,
            "replayed": rows,
            "restamped": restamped,
            "refused": refused,
            "examples": examples,
        }),
    )
}

fn letter_json(letter: &DeadLetter) -> Value {
    let mut value = json!({
        "id": letter.id,
        "code": &*letter.code,
        "message": letter.message,
        "source": letter.source,
        "line": letter.line,
        "precision": letter.precision.name(),
        "text": String::from_utf8_lossy(&letter.raw),
    });
    if std::str::from_utf8(&letter.raw).is_err() {
        value["raw_base64"] = BASE64_STANDARD.encode(&letter.raw).into();
    }
    if let Some(len) = letter.cut_from {
        value["length_bytes"] = len.into();
    }
    if let Some((device, offset)) = &letter.clock {
        value["device"] = device.as_str().into();
        value["offset_ns"] = (*offset).into();
    }
    value
}

fn clock_json(device: &str, run: &OffsetRun) -> Value {
    json!({
        "device": device,
        "from_ns": run.received.0,
        "to_ns": run.received.1,
        "rows": run.samples,
        "offset_ns": run.offset_ns,
        "spread_ns": run.spread_ns,
        "stable": run.unstable.is_none(),
        "reason": run.unstable,
    })
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    }
}

/// Lines that are listed where no number is given, and at most.
const LISTED: usize = 20;
const LISTED_MAX: usize = 1_000;
/// Characters of a line that a list for people shows.
const TEXT_SHOWN: usize = 200;
