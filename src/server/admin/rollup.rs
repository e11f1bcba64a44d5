//! `rollup`: what buckets there are of rows that have left, and of which widths they are, by class.

use std::fmt::Write as _;

use serde_json::json;

use super::commands::{Answer, say};
use super::retention::{age, answer_change, tiers_text, words};
use crate::engine::{RetentionChange, RetentionTier, RetentionView, Tier, TierFillView};
use crate::server::Shared;

/// How the command is used.
pub const USAGE: &str = "[show] | set CLASS [10s=2d] [1m=30d] [1h=none] [5m=off], with widths from 1s to 1d | set CLASS none|default";
/// What it is for.
pub const PURPOSE: &str = "buckets that stand for rows that have left: of which widths, how long each class keeps them, and what there is";

/// Runs the command.
pub fn rollup(shared: &Shared, json: bool, rest: &str) -> Answer {
    let words = match words(rest) {
        Ok(words) => words,
        Err(message) => return Answer::error("bad_command", &message),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["show"] => show(shared, json),
        ["set", class, all @ ("none" | "default")] => {
            let tiers = (all == "none").then(Vec::new);
            let class = class.to_owned();
            answer_change(shared, json, &RetentionChange::Tiers { class, tiers })
        }
        ["set", class, ref tiers @ ..] if !tiers.is_empty() => match change(class, tiers) {
            Ok(change) => answer_change(shared, json, &change),
            Err(message) => Answer::error("bad_value", &message),
        },
        _ => Answer::error("bad_command", &format!("use: rollup {USAGE}")),
    }
}

/// The tiers that a text names, such as `10s=2d 1m=30d 1h=none`.
pub fn tiers_of(text: &str) -> Result<Vec<RetentionTier>, String> {
    let changes: Result<Vec<_>, String> = text.split_whitespace().map(tier).collect();
    let tiers = RetentionTier::changed(&[], &changes?);
    tiers.map_err(|error| error.to_string())
}

/// A width, and how many seconds its buckets are kept; `None` where there are to be none.
fn tier(word: &str) -> Result<(Tier, Option<u64>), String> {
    let (width, kept) = word.split_once('=').ok_or_else(|| {
        format!("{word:?} is no tier: write its width and its age, such as 1m=30d")
    })?;
    let width: Tier = width.parse().map_err(|error| format!("{error}"))?;
    let age_s = if kept == "off" {
        None
    } else {
        Some(age(kept)?)
    };
    Ok((width, age_s))
}

fn change(class: &str, tiers: &[&str]) -> Result<RetentionChange, String> {
    let tiers: Result<Vec<_>, String> = tiers.iter().map(|word| tier(word)).collect();
    Ok(RetentionChange::Class {
        name: class.to_owned(),
        importance: None,
        raw_age_s: None,
        raw_bytes: None,
        rows_per_series: None,
        tiers: tiers?,
    })
}

fn show(shared: &Shared, json: bool) -> Answer {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<5} {:>9} {:>9} {:>12} {:>14}",
        "tier", "series", "chunks", "buckets", "bytes"
    );
    let mut tiers = Vec::new();
    for (tier, known) in shared.engine.tier_uses() {
        let _ = writeln!(
            text,
            "{tier:<5} {:>9} {:>9} {:>12} {:>14}",
            known.series, known.chunks, known.buckets, known.bytes
        );
        tiers.push(json!({
            "tier": tier,
            "width_ns": tier.width_ns(),
            "series": known.series,
            "chunks": known.chunks,
            "buckets": known.buckets,
            "bytes": known.bytes,
        }));
    }
    let RetentionView {
        policy,
        tiers_configured,
        ..
    } = shared.engine.retention();
    for class in &policy.classes {
        let tiers = tiers_text(class.tiers_or(&tiers_configured));
        let _ = writeln!(text, "{}: {tiers}", class.name);
    }
    let TierFillView {
        is_unknown,
        filled,
        pending,
    } = shared.engine.tier_fill();
    let filling = if is_unknown {
        "the next checkpoint looks what is to be filled".to_owned()
    } else if pending > 0 {
        format!("{filled} tiers of series filled from finer ones, {pending} to go")
    } else {
        format!("{filled} tiers of series filled from finer ones, none to go")
    };
    let _ = writeln!(text, "{filling}");
    let over_budget = shared.engine.buckets_over_budget();
    if over_budget > 0 {
        let _ = writeln!(
            text,
            "{over_budget} chunks of buckets left for the budget of the store"
        );
    }
    let classes = policy.classes.iter().map(|class| {
        let is_default = class.tiers.is_none();
        let tiers = class.tiers_or(&tiers_configured);
        json!({ "name": class.name, "tiers": tiers, "is_default": is_default })
    });
    let classes: Vec<_> = classes.collect();
    let fill = json!({ "filled": filled, "pending": pending, "is_unknown": is_unknown });
    say(
        json,
        text,
        json!({ "tiers": tiers, "classes": classes, "fill": fill, "over_budget": over_budget }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_ages_become_a_change() {
        let RetentionChange::Class { name, tiers, .. } =
            change("bulk", &["10s=2d", "1h=none", "5m=off"]).expect("is one")
        else {
            panic!("another change");
        };
        assert_eq!(name, "bulk");
        let five_minutes = "5m".parse().expect("is a width");
        let expected = [
            (Tier::TEN_SECONDS, Some(2 * 86_400)),
            (Tier::HOUR, Some(0)),
            (five_minutes, None),
        ];
        assert_eq!(tiers, expected);
        for (word, part) in [
            ("10s", "such as 1m=30d"),
            ("7s=1d", "there are 1s, 5s"),
            ("1m=x", "no interval"),
            ("1m=5ms", "less than a second"),
        ] {
            let error = change("bulk", &[word]).expect_err(word);
            assert!(error.contains(part), "{word}: {error}");
        }
    }
}
