//! `rollup`: what there is of each tier. How long they are kept is said by class, with `retention`.

use std::fmt::Write as _;

use serde_json::json;

use super::commands::{Answer, say};
use crate::engine::TIERS;
use crate::server::Shared;

/// How the command is used.
pub const ARGUMENTS: &str = "[show]";
/// What it is for.
pub const PURPOSE: &str = "the buckets that stand for rows that have left; `retention set CLASS tier_10s=..` says how long they stay";

/// Runs the command.
pub fn rollup(shared: &Shared, json: bool, words: &[&str]) -> Answer {
    if !matches!(words, [] | ["show"]) {
        return Answer::error("bad_command", "use: rollup [show]");
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<8} {:>9} {:>9} {:>12} {:>14}",
        "tier", "series", "chunks", "buckets", "bytes"
    );
    let mut tiers = Vec::new();
    for ((tier, known), name) in TIERS.iter().zip(shared.engine.tier_uses()).zip(NAMES) {
        let _ = writeln!(
            text,
            "{name:<8} {:>9} {:>9} {:>12} {:>14}",
            known.series, known.chunks, known.buckets, known.bytes
        );
        tiers.push(json!({
            "tier": name,
            "width_ns": tier.width_ns(),
            "series": known.series,
            "chunks": known.chunks,
            "buckets": known.buckets,
            "bytes": known.bytes,
        }));
    }
    say(json, text, json!({ "tiers": tiers }))
}

/// Names of the tiers.
const NAMES: [&str; TIERS.len()] = ["10s", "1m", "1h"];
