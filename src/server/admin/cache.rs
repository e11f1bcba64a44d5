//! `cache`: what is kept of answers and of chunks, and how well that serves; emptied, or filled before somebody asks.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use super::commands::{Answer, database_and_sql, say};
use crate::engine::{Access, Verb};
use crate::query::cache::{CacheStats, ShardStats};
use crate::server::Shared;
use crate::server::sql::{self, Request};

/// How the command is used.
pub const USAGE: &str = "[stats] | clear | warm [@DATABASE] SQL";

/// Runs the command.
pub fn cache(shared: &Shared, json: bool, rest: &str) -> Answer {
    let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "" | "stats" if behind.is_empty() => stats(shared, json),
        "clear" if behind.is_empty() => {
            let parts = shared.results.clear();
            say(
                json,
                format!("{parts} parts are forgotten"),
                json!({ "parts": parts }),
            )
        }
        "warm" if !behind.trim().is_empty() => warm(shared, json, behind.trim()),
        _ => Answer::error("bad_command", &format!("use: cache {USAGE}")),
    }
}

/// Asks a query whose answer nobody reads.
fn warm(shared: &Shared, json: bool, rest: &str) -> Answer {
    let (database, text) = database_and_sql(rest);
    let request = Request {
        database,
        sql: text,
        timeout: None,
        rows_max: None,
        exact: false,
    };
    let began = Instant::now();
    let mut rows = 0;
    let access = Access::restricted(&[database], &[Verb::Read]);
    let ran = sql::run(shared, &access, &request, &|| false, &mut |part| {
        if let sql::Part::Batch(batch) = part {
            rows += batch.rows();
        }
        Ok(())
    });
    match ran {
        Ok(stats) => {
            let (used, ms) = (stats.cache.text(), began.elapsed().as_secs_f64() * 1e3);
            say(
                json,
                format!("{rows} rows in {ms:.1} ms; {used}"),
                json!({ "rows": rows, "ms": ms, "use": used }),
            )
        }
        Err(failed) => Answer::error(failed.code.name(), &failed.message),
    }
}

fn stats(shared: &Shared, json: bool) -> Answer {
    let stats = shared.results.stats();
    let popular = shared.results.popular(POPULAR);
    if json {
        let mut value = figures(&stats);
        let shards = stats.shards.iter().map(shard);
        value["shards"] = Value::Array(shards.collect());
        let popular = popular.iter().map(
            |query| json!({ "database": query.database, "sql": query.sql, "times": query.times }),
        );
        value["popular"] = Value::Array(popular.collect());
        return say(true, "", value);
    }
    let CacheStats { total, .. } = &stats;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "parts: {} found, {} read, {:.1} % found; {} invalidated, {} evicted, {} expired",
        total.hits,
        total.misses,
        total.hit_percent(),
        total.invalidations,
        total.evictions,
        total.expirations
    );
    let _ = writeln!(
        text,
        "queries: {} whole, {} in part, {} not at all; {} without the cache, {} read again",
        stats.queries_whole,
        stats.queries_partial,
        stats.queries_missed,
        stats.queries_passed,
        stats.queries_again
    );
    let _ = writeln!(
        text,
        "bytes: {} of {} in {} parts, and {} of {} plans",
        total.bytes, stats.capacity_bytes, total.entries, stats.plans_bytes, stats.plans
    );
    for (index, of) in stats.shards.iter().enumerate() {
        let _ = writeln!(
            text,
            "shard {index:>2}: {} found, {} read, {} invalidated, {} evicted, {} expired, {} parts, {} bytes",
            of.hits,
            of.misses,
            of.invalidations,
            of.evictions,
            of.expirations,
            of.entries,
            of.bytes
        );
    }
    for query in &popular {
        let _ = writeln!(
            text,
            "asked {} times of {}: {}",
            query.times, query.database, query.sql
        );
    }
    Answer::ok(text)
}

/// The figures of all shards together.
pub fn figures(stats: &CacheStats) -> Value {
    let mut value = shard(&stats.total);
    value["capacity_bytes"] = stats.capacity_bytes.into();
    value["hit_percent"] = stats.total.hit_percent().into();
    value["plans"] = stats.plans.into();
    value["plans_bytes"] = stats.plans_bytes.into();
    value["queries"] = json!({
        "whole": stats.queries_whole,
        "partial": stats.queries_partial,
        "missed": stats.queries_missed,
        "passed": stats.queries_passed,
        "again": stats.queries_again,
    });
    value
}

fn shard(of: &ShardStats) -> Value {
    json!({
        "hits": of.hits,
        "misses": of.misses,
        "evictions": of.evictions,
        "expirations": of.expirations,
        "invalidations": of.invalidations,
        "parts": of.entries,
        "bytes": of.bytes,
    })
}

/// Queries that are shown, those asked most often.
const POPULAR: usize = 10;
