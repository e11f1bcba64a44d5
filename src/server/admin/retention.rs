//! `retention`: what is kept and for how long, by class; and how that is changed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::commands::{Answer, say};
use crate::engine::{
    Access, EngineError, RetentionBound, RetentionChange, RetentionPolicy, RetentionRule,
    RetentionSelector, RetentionTier, RetentionView,
};
use crate::query::sql::duration::parse_interval;
use crate::server::Shared;
use crate::server::codes::code_of;

/// How the command is used.
pub const USAGE: &str = "[show] | set CLASS [importance=N] [raw_age=30d] [raw_bytes=2GB] [rows_per_series=N] | set CLASS for [database=D] [measurement=M] [tag.NAME=VALUE] | set disk_bytes=10GB | unset [database=D] [measurement=M] [tag.NAME=VALUE] | drop CLASS";

/// Runs the command.
pub fn retention(shared: &Shared, json: bool, rest: &str) -> Answer {
    let words = match words(rest) {
        Ok(words) => words,
        Err(message) => return Answer::error("bad_command", &message),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words[..], [] | ["show"]) {
        return show(&shared.engine.retention(), json);
    }
    let change = match change_of(&words) {
        Ok(change) => change,
        Err(message) => return Answer::error("bad_value", &message),
    };
    answer_change(shared, json, &change)
}

/// Changes the policy, and says when that is durable.
pub(super) fn answer_change(shared: &Shared, json: bool, change: &RetentionChange) -> Answer {
    let changed = shared.engine.change_retention(&Access::full(), change);
    shared.committer.request();
    match changed.and_then(|_| shared.engine.sync()) {
        Ok(position) => say(
            json,
            format!("durable up to {position}; what is there follows within seconds"),
            json!({ "position_durable": position.0 }),
        ),
        Err(error @ EngineError::Policy(_)) => Answer::error("bad_value", &error.to_string()),
        Err(error) => Answer::error(code_of(&error).name(), &error.to_string()),
    }
}

/// Words by blanks; what stands between quotes is one.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut is_quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if is_quoted {
        return Err("a quote stays open".to_owned());
    }
    Ok(words)
}

fn change_of(words: &[&str]) -> Result<RetentionChange, String> {
    match *words {
        ["set", budget] if budget.starts_with("disk_bytes=") => {
            let (_, bytes) = budget.split_once('=').unwrap_or_default();
            Ok(RetentionChange::DiskBytes(size(bytes)?))
        }
        ["set", class, "for", ref series @ ..] if !series.is_empty() => {
            Ok(RetentionChange::Assign(RetentionRule {
                class: class.to_owned(),
                series: selector(series)?,
            }))
        }
        ["set", class, ref limits @ ..] if !limits.is_empty() => class_change(class, limits),
        ["unset", ref series @ ..] if !series.is_empty() => {
            Ok(RetentionChange::Unassign(selector(series)?))
        }
        ["drop", class] => Ok(RetentionChange::DropClass(class.to_owned())),
        _ => Err(format!("use: retention {USAGE}")),
    }
}

fn class_change(name: &str, limits: &[&str]) -> Result<RetentionChange, String> {
    let (mut importance, mut raw_age_s, mut raw_bytes, mut rows_per_series) =
        (None, None, None, None);
    for limit in limits {
        let wrong = || {
            format!(
                "{limit:?} is none of importance=, raw_age=, raw_bytes=, rows_per_series= (or `for`); `rollup set` is for tiers"
            )
        };
        let (key, value) = limit.split_once('=').ok_or_else(wrong)?;
        match key {
            "importance" => importance = Some(number(value)?),
            "raw_age" => raw_age_s = Some(bound(value, age)?),
            "raw_bytes" => raw_bytes = Some(size(value)?),
            "rows_per_series" => rows_per_series = Some(bound(value, rows)?),
            _ => return Err(wrong()),
        }
    }
    Ok(RetentionChange::Class {
        name: name.to_owned(),
        importance,
        raw_age_s,
        raw_bytes,
        rows_per_series,
        tiers: Vec::new(),
    })
}

fn selector(words: &[&str]) -> Result<RetentionSelector, String> {
    let mut selector = RetentionSelector::default();
    for word in words {
        let wrong =
            || format!("{word:?} names no series: use database=, measurement= or tag.NAME=");
        let (key, value) = word.split_once('=').ok_or_else(wrong)?;
        let before = match key.strip_prefix("tag.") {
            Some(tag) => selector.tags.insert(tag.to_owned(), value.to_owned()),
            None => match key {
                "database" => selector.database.replace(value.to_owned()),
                "measurement" => selector.measurement.replace(value.to_owned()),
                _ => return Err(wrong()),
            },
        };
        if before.is_some() {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(selector)
}

fn bound(text: &str, read: impl Fn(&str) -> Result<u64, String>) -> Result<RetentionBound, String> {
    if text == "default" {
        return Ok(RetentionBound::Configured);
    }
    read(text).map(RetentionBound::At)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number that fits"))
}

fn rows(text: &str) -> Result<u64, String> {
    if text == "none" { Ok(0) } else { number(text) }
}

/// Whole seconds.
pub(super) fn age(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    let ns = parse_interval(text)?;
    let seconds = u64::try_from(ns / NS_PER_S).unwrap_or(0);
    if seconds == 0 {
        return Err(format!(
            "{text:?} is less than a second; `none` is no limit"
        ));
    }
    Ok(seconds)
}

/// Bytes, with or without a unit.
fn size(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    let wrong = || {
        format!(
            "{text:?} is no size: write a number and B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, or `none`"
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, unit) = unit.ok_or_else(wrong)?;
    let count: u64 = count.parse().map_err(|_| wrong())?;
    let bytes = count.checked_mul(*unit).filter(|&bytes| bytes > 0);
    bytes.ok_or_else(wrong)
}

fn show(view: &RetentionView, json: bool) -> Answer {
    let RetentionView {
        policy,
        tiers_configured,
        uses,
        disk_used_bytes,
    } = view;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<16} {:>10} {:>10} {:>14} {:>12} {:>9} {:>9} {:>14}  tiers",
        "class", "importance", "raw_age", "raw_bytes", "rows/series", "series", "chunks", "bytes"
    );
    let mut classes = Vec::new();
    for (class, known) in policy.classes.iter().zip(uses) {
        let limit = |limit: u64| match limit {
            0 => "none".to_owned(),
            limit => limit.to_string(),
        };
        let limit_or_default = |of: Option<u64>| of.map_or("default".to_owned(), limit);
        let age = class.raw_age_s.map_or("default".to_owned(), age_text);
        let _ = writeln!(
            text,
            "{:<16} {:>10} {:>10} {:>14} {:>12} {:>9} {:>9} {:>14}  {}",
            class.name,
            class.importance,
            age,
            limit(class.raw_bytes),
            limit_or_default(class.rows_per_series),
            known.series,
            known.chunks,
            known.bytes,
            tiers_text(class.tiers_or(tiers_configured))
        );
        classes.push(json!({
            "name": class.name,
            "importance": class.importance,
            "raw_age_s": class.raw_age_s,
            "raw_bytes": class.raw_bytes,
            "rows_per_series": class.rows_per_series,
            "tiers": class.tiers_or(tiers_configured),
            "series": known.series,
            "chunks": known.chunks,
            "bytes": known.bytes,
        }));
    }
    for rule in &policy.rules {
        let _ = writeln!(text, "{} for {}", rule.class, selector_text(&rule.series));
    }
    let budget = match policy.disk_bytes {
        0 => "none".to_owned(),
        bytes => bytes.to_string(),
    };
    let _ = writeln!(text, "disk_bytes {budget}, in use {disk_used_bytes}");
    say(json, text, view_json(policy, classes, *disk_used_bytes))
}

fn view_json(policy: &RetentionPolicy, classes: Vec<Value>, used: u64) -> Value {
    json!({
        "classes": classes,
        "rules": policy.rules,
        "disk_bytes": policy.disk_bytes,
        "disk_used_bytes": used,
    })
}

/// In the largest unit that it is a multiple of.
fn age_text(seconds: u64) -> String {
    match seconds {
        0 => "none".to_owned(),
        s if s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// Tiers as they are set, or that there are none.
pub(super) fn tiers_text(tiers: &[RetentionTier]) -> String {
    let tiers = tiers.iter();
    let tiers = tiers.map(|tier| format!("{}={}", tier.width, age_text(tier.age_s)));
    let tiers: Vec<String> = tiers.collect();
    if tiers.is_empty() {
        return "none".to_owned();
    }
    tiers.join(" ")
}

/// As it is written in the command.
fn selector_text(series: &RetentionSelector) -> String {
    let named = |name: &'static str, value: &Option<String>| {
        let value = value.as_ref()?;
        Some((name.to_owned(), value.clone()))
    };
    let tags = series.tags.iter();
    let tags = tags.map(|(name, value)| (format!("tag.{name}"), value.clone()));
    let places = named("database", &series.database)
        .into_iter()
        .chain(named("measurement", &series.measurement));
    let parts = places.chain(tags).map(|(name, value)| {
        let part = format!("{name}={value}");
        if part.contains(char::is_whitespace) {
            format!("\"{part}\"")
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join(" ")
}

const NS_PER_S: i64 = 1_000_000_000;

/// Units of sizes, and their bytes.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Result<RetentionChange, String> {
        let words = words(text)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        change_of(&words)
    }

    #[test]
    fn commands_become_changes() {
        assert_eq!(
            change("set bulk raw_age=36h raw_bytes=2GiB rows_per_series=none"),
            Ok(RetentionChange::Class {
                name: "bulk".to_owned(),
                importance: None,
                raw_age_s: Some(RetentionBound::At(36 * 3_600)),
                raw_bytes: Some(2 << 30),
                rows_per_series: Some(RetentionBound::At(0)),
                tiers: Vec::new(),
            })
        );
        assert_eq!(
            change("set medical importance=200 raw_age=default"),
            Ok(RetentionChange::Class {
                name: "medical".to_owned(),
                importance: Some(200),
                raw_age_s: Some(RetentionBound::Configured),
                raw_bytes: None,
                rows_per_series: None,
                tiers: Vec::new(),
            })
        );
        let series = RetentionSelector {
            database: Some("plant".to_owned()),
            measurement: None,
            tags: [("site".to_owned(), "hall 2".to_owned())].into(),
        };
        assert_eq!(
            change("set critical for database=plant \"tag.site=hall 2\""),
            Ok(RetentionChange::Assign(RetentionRule {
                class: "critical".to_owned(),
                series: series.clone(),
            }))
        );
        // What is shown can be typed.
        let shown = selector_text(&series);
        let again = change(&format!("unset {shown}"));
        assert_eq!(again, Ok(RetentionChange::Unassign(series)));
        let budget = change("set disk_bytes=10gb");
        assert_eq!(budget, Ok(RetentionChange::DiskBytes(10_000_000_000)));
    }

    #[test]
    fn what_cannot_be_meant_says_what_would_be_right() {
        for (text, part) in [
            ("set", "use: retention"),
            ("set bulk", "use: retention"),
            ("set bulk for", "\"for\" is none of"),
            ("set bulk raw_age", "none of importance="),
            ("set bulk age=1d", "none of importance="),
            ("set bulk tier_1h=none", "`rollup set` is for tiers"),
            ("set bulk raw_age=5ms", "less than a second"),
            ("set bulk raw_age=5 days", "no interval"),
            ("set bulk raw_bytes=2XB", "no size"),
            ("set bulk raw_bytes=0", "no size"),
            ("set bulk raw_bytes=99999999999TB", "no size"),
            ("set bulk rows_per_series=-1", "no number"),
            ("set bulk for site=a", "tag.NAME="),
            ("set bulk for database=a database=b", "twice"),
            ("unset", "use: retention"),
            ("drop", "use: retention"),
            ("set disk_bytes=\"1", "quote"),
        ] {
            let error = change(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
