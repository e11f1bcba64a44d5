//! How many chunks a query answers by statistics, leaves out and decodes: short cuts that stop working would
//! still give right answers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::ExecutionStats;
use super::engine::{Both, COLUMNS, START, ask, ask_timed, check};
use super::{f, i};
use crate::query::value::Scalar;

const SECOND: i64 = 1_000_000_000;
/// Rows of a sealed chunk.
const CHUNK: i64 = 1024;
const CHUNKS: i64 = 10;

/// A row a second: `x` in hundredths, `k` rising by one, `on` in the first row of all.
fn row(index: i64) -> (i64, Vec<Scalar>) {
    let mut values = vec![Scalar::Null; COLUMNS.len()];
    values[0] = f((2_000 + index * 7_919 % 97) as f64 / 100.0);
    values[1] = i(index);
    if index == 0 {
        values[3] = Scalar::Boolean(true);
    }
    (START + index * SECOND, values)
}

/// Ten sealed chunks that overlap nothing.
fn sealed() -> Both {
    let mut both = Both::new();
    both.write_rows(0, (0..CHUNKS * CHUNK).map(row));
    assert_eq!(both.engine.status().open_rows, 0);
    both
}

/// What the query did; its answer is that of the map.
fn stats(both: &Both, text: &str) -> ExecutionStats {
    let found = ask(&both.store(), text);
    check(&found, &ask(&both.model(), text), text).expect("the map's answer");
    found.expect("an answer").1
}

/// Chunks answered by statistics, left out, decoded; rows scanned.
fn counts(both: &Both, text: &str) -> (u64, u64, u64, u64) {
    let stats = stats(both, text);
    (
        stats.chunks_summarised,
        stats.chunks_skipped,
        stats.chunks_decoded,
        stats.rows_scanned,
    )
}

#[test]
fn statistics_answer_for_chunks_and_for_parts_of_them() {
    let both = sealed();
    let all =
        "count(*), count(x), sum(x), avg(x), min(x), max(x), first(x), last(x), sum(k), max(time)";
    for (text, expected) in [
        (format!("SELECT {all} FROM m"), (10, 0, 0, 0)),
        (
            "SELECT count(*), min(time) FROM m".to_owned(),
            (10, 0, 0, 0),
        ),
        (
            format!("SELECT {all} FROM m GROUP BY time_bucket('1 hour', time), host"),
            (10, 0, 0, 0),
        ),
        // One border inside of most chunks.
        (
            format!("SELECT {all} FROM m GROUP BY time_bucket('1500 s', time)"),
            (10, 0, 0, 0),
        ),
        // Three buckets a chunk and more: decoding is faster.
        (
            "SELECT avg(x) FROM m GROUP BY time_bucket('400 s', time)".to_owned(),
            (0, 0, 10, 10_240),
        ),
        (
            "SELECT avg(x) FROM m GROUP BY time_bucket('2 s', time)".to_owned(),
            (0, 0, 10, 10_240),
        ),
        // A range that begins and ends inside of chunks.
        (
            format!(
                "SELECT {all} FROM m WHERE time >= {} AND time < {}",
                START + 1_500 * SECOND,
                START + 3_500 * SECOND
            ),
            (3, 0, 0, 0),
        ),
        // What statistics do not tell.
        ("SELECT stddev(x) FROM m".to_owned(), (0, 0, 10, 10_240)),
        (
            "SELECT first(s) FROM m GROUP BY time_bucket('1 day', time)".to_owned(),
            (0, 0, 10, 10_240),
        ),
        (
            "SELECT count(s), count(on) FROM m".to_owned(),
            (10, 0, 0, 0),
        ),
    ] {
        assert_eq!(counts(&both, &text), expected, "{text}");
    }
}

#[test]
fn statistics_do_not_answer_for_what_is_deleted() {
    let mut both = sealed();
    both.delete(None, START + 1_500 * SECOND..START + 3_500 * SECOND);
    both.delete(Some(0), START + 5_000 * SECOND..START + 5_001 * SECOND);
    let all = "count(*), count(x), sum(x), min(x), max(x), first(k), last(k), sum(k), max(time)";
    // A chunk is gone, two have lost an end, one is in two parts.
    assert_eq!(
        counts(&both, &format!("SELECT {all} FROM m")),
        (10, 0, 0, 0)
    );
    assert_eq!(counts(&both, "SELECT count(*) FROM m"), (10, 0, 0, 0));
    assert_eq!(
        counts(&both, "SELECT * FROM m WHERE k > 9999"),
        (0, 9, 1, 1_024)
    );
    for text in [
        "SELECT last(k) FROM m WHERE k < 3000",
        "SELECT * FROM m ORDER BY time DESC LIMIT 7500",
        "SELECT avg(x), min(k) FROM m GROUP BY time_bucket('400 s', time)",
    ] {
        stats(&both, text);
    }
    for _ in 0..2 {
        both.engine.checkpoint().expect("checkpoints");
        assert_eq!(counts(&both, &format!("SELECT {all} FROM m")), (9, 0, 0, 0));
    }
}

#[test]
fn chunks_that_cannot_match_are_left_out() {
    let both = sealed();
    for (filter, expected) in [
        ("k > 9999", (0, 9, 1, 1_024)),
        ("9999 < k", (0, 9, 1, 1_024)),
        ("k >= 1024 AND k < 2048.0", (0, 9, 1, 1_024)),
        ("k BETWEEN 1000 AND 1100 AND x > 0", (0, 8, 2, 2_048)),
        ("k = 5 OR k = 6000", (0, 8, 2, 2_048)),
        ("k IN (1, 2, 3)", (0, 9, 1, 1_024)),
        ("x > 21", (0, 10, 0, 0)),
        ("x > 20.5", (0, 0, 10, 10_240)),
        ("on", (0, 9, 1, 1_024)),
        ("on = false", (0, 10, 0, 0)),
        ("u = 1", (0, 10, 0, 0)),
        ("on IS NOT NULL", (0, 9, 1, 1_024)),
        ("on IS NULL", (0, 0, 10, 10_240)),
        ("k + 1 > 9999", (0, 0, 10, 10_240)),
    ] {
        for text in [
            format!("SELECT time, x FROM m WHERE {filter}"),
            format!("SELECT count(*), avg(k) FROM m WHERE {filter}"),
        ] {
            assert_eq!(counts(&both, &text), expected, "{text}");
        }
    }
}

#[test]
fn a_field_of_two_lanes_is_left_out_only_where_both_are() {
    let mut both = Both::new();
    let lanes = |index: i64| {
        let mut values = vec![Scalar::Null; COLUMNS.len()];
        let lane = if index / CHUNK == 1 { 6 } else { 5 };
        values[lane] = if lane == 6 { i(index) } else { f(0.5) };
        (START + index * SECOND, values)
    };
    both.write_rows(0, (0..3 * CHUNK).map(lanes));
    let text = "SELECT v FROM m WHERE v > 1";
    assert_eq!(counts(&both, text), (0, 2, 1, 1_024));
    let text = "SELECT v FROM m WHERE v < 1";
    assert_eq!(counts(&both, text), (0, 1, 2, 2_048));
}

#[test]
fn limits_stop_at_the_first_chunk_from_either_end() {
    let mut both = sealed();
    for (text, expected) in [
        ("SELECT * FROM m LIMIT 5", (0, 0, 1, 5)),
        ("SELECT * FROM m ORDER BY time DESC LIMIT 1", (0, 0, 1, 1)),
        (
            "SELECT x FROM m ORDER BY time DESC LIMIT 10 OFFSET 1020",
            (0, 0, 2, 1_030),
        ),
        (
            "SELECT x FROM m WHERE x > 20.1 ORDER BY time DESC LIMIT 1",
            (0, 0, 1, 1_024),
        ),
        ("SELECT last(x) FROM m", (1, 0, 0, 0)),
        (
            "SELECT host, last(x), last(k), max(time) FROM m GROUP BY host",
            (1, 0, 0, 0),
        ),
        ("SELECT first(x), min(time) FROM m", (1, 0, 0, 0)),
        ("SELECT last(x) FROM m WHERE x > 20.1", (0, 0, 1, 1_024)),
        // Only the oldest chunk has one.
        ("SELECT last(on) FROM m", (10, 0, 0, 0)),
    ] {
        assert_eq!(counts(&both, text), expected, "{text}");
    }
    // Staged rows are read without the blocks before them, and without any chunk.
    both.write_rows(0, (CHUNKS * CHUNK..CHUNKS * CHUNK + 100).map(row));
    for text in [
        "SELECT last(x) FROM m",
        "SELECT x FROM m ORDER BY time DESC LIMIT 1",
    ] {
        let stats = stats(&both, text);
        assert_eq!(
            (stats.chunks_decoded, stats.chunks_summarised),
            (0, 0),
            "{text}"
        );
        let by_newest = u64::from(text.contains("last"));
        assert_eq!(
            (stats.open_parts, stats.newest),
            (1 - by_newest, by_newest),
            "{text}"
        );
    }
}

#[test]
fn the_newest_row_answers_alone_where_it_has_every_value_and_lies_in_the_range() {
    let mut both = sealed();
    let rows = CHUNKS * CHUNK..CHUNKS * CHUNK + 100;
    let newest = START + (rows.end - 1) * SECOND;
    both.write_rows(0, rows.map(row));
    let by_newest = |both: &Both, text: &str| stats(both, text).newest;
    let all = "SELECT host, last(x), last(k), max(time) FROM m GROUP BY host";
    assert_eq!(by_newest(&both, all), 1);
    for text in [
        // It has no value of one column.
        "SELECT last(x), last(on) FROM m".to_owned(),
        format!("SELECT last(x) FROM m WHERE time < {newest}"),
        "SELECT last(x) FROM m WHERE k < 100".to_owned(),
        "SELECT first(x) FROM m".to_owned(),
        "SELECT last(x), count(x) FROM m".to_owned(),
        format!("SELECT last(x) FROM m WHERE time > {newest}"),
    ] {
        assert_eq!(by_newest(&both, &text), 0, "{text}");
    }
    let since = format!("SELECT last(x) FROM m WHERE time >= {newest}");
    assert_eq!(by_newest(&both, &since), 1);
    // Rows that are late do not matter, nor does another value of the newest row itself.
    let (time, values) = row(CHUNKS * CHUNK + 20);
    both.write_rows(0, [(time + 1, values)]);
    assert_eq!(by_newest(&both, all), 1);
    let mut values = row(0).1;
    values[1] = Scalar::Null;
    both.write_rows(0, [(newest, values)]);
    assert_eq!(
        by_newest(&both, "SELECT last(x), last(on), last(k) FROM m"),
        1
    );
    // What is deleted is sealed first.
    both.delete(Some(0), newest..newest + 1);
    assert_eq!(by_newest(&both, all), 0);
    // A row of its time is late then; the next one is not.
    both.write_rows(0, [(newest, row(5).1)]);
    assert_eq!(by_newest(&both, all), 0);
    both.write_rows(0, [(newest + SECOND, row(6).1)]);
    assert_eq!(by_newest(&both, all), 1);
    both.engine.seal_all().expect("seals");
    assert_eq!(by_newest(&both, all), 0);
}

#[test]
fn a_late_row_costs_the_chunk_it_falls_into() {
    let mut both = sealed();
    let (time, values) = row(4 * CHUNK + 500);
    both.write_rows(0, [(time + 1, values.clone())]);
    for seal in [false, true] {
        if seal {
            both.engine.seal_all().expect("seals");
        }
        let stats = stats(&both, "SELECT avg(x), sum(k), last(k) FROM m");
        // What lies before and behind the late row is a part of its own. A sealed late row is alone.
        let alone = 2 + u64::from(seal);
        assert_eq!(
            (stats.chunks_summarised, stats.chunks_decoded),
            (9 + alone, 0)
        );
    }
    // The same time: the two are merged, and with them the sealed row a nanosecond later. What lies behind
    // them in the chunk is decoded by then.
    both.write_rows(0, [(time, values)]);
    let stats = stats(&both, "SELECT avg(x), sum(k), last(k) FROM m");
    assert_eq!((stats.chunks_summarised, stats.chunks_decoded), (9 + 1, 2));
}

#[test]
fn a_late_value_is_seen_by_a_filter() {
    let mut both = sealed();
    let mut values = vec![Scalar::Null; COLUMNS.len()];
    values[0] = f(99.0);
    both.write_rows(0, [(START + 3_000 * SECOND, values)]);
    let text = "SELECT time, x, k FROM m WHERE x > 50";
    let stats = stats(&both, text);
    assert_eq!((stats.rows, stats.chunks_decoded), (1, 1));
    let text = "SELECT time, x, k FROM m WHERE x > 50 AND k = 3000";
    assert_eq!(self::stats(&both, text).rows, 1);
}

#[test]
fn a_row_at_the_border_of_a_bucket_begins_the_next_one() {
    let mut both = Both::new();
    // Irregular times, so that they are looked up; rows 500 and 2000 lie on borders.
    let irregular = |index: i64| {
        let (time, values) = row(index);
        (time + i64::from(index % 3 == 1), values)
    };
    both.write_rows(0, (0..3 * CHUNK).map(irregular));
    let text = "SELECT count(*), first(k), last(k), max(time) FROM m \
                GROUP BY time_bucket('1500 s', time)";
    assert_eq!(counts(&both, text), (3, 0, 0, 0));
}

#[test]
fn a_lane_that_was_overwritten_by_another_is_gone() {
    let mut both = Both::new();
    let lane = |lane: usize, index: i64| {
        let mut values = vec![Scalar::Null; COLUMNS.len()];
        values[lane] = if lane == 6 { i(1) } else { f(0.5) };
        (START + index * SECOND, values)
    };
    both.write_rows(0, (0..2 * CHUNK).map(|index| lane(5, index)));
    both.write_rows(0, (100..200).map(|index| lane(6, index)));
    // Queries that do not name the lane that was written last.
    for (text, rows) in [
        ("SELECT count(v::float) FROM m", 1),
        (
            "SELECT time, v::float FROM m WHERE v::float > 0",
            2 * CHUNK - 100,
        ),
    ] {
        assert_eq!(stats(&both, text).rows, rows as u64, "{text}");
    }
}

#[test]
fn explain_analyze_tells_what_was_read() {
    let both = sealed();
    let text = "EXPLAIN ANALYZE SELECT avg(x) FROM m WHERE k > 9999";
    let (batches, stats) = ask(&both.store(), text).expect("an answer");
    let lines: Vec<String> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.rows())
                .map(|row| format!("{:?}", [0, 1].map(|c: usize| batch.columns[c].cell(row))))
        })
        .collect();
    let told = |step: &str, detail: &str| {
        let line = format!("[String(\"{step}\"), String(\"{detail}\")]");
        assert!(lines.contains(&line), "{line} in {lines:#?}");
    };
    told("chunks", "skipped where statistics exclude the row filter");
    told("chunks skipped", "9");
    told("chunks decoded", "1");
    told("chunks answered by statistics", "0");
    told("rows read", "1024");
    told("rows of the answer", "1");
    assert_eq!(stats.rows, lines.len() as u64);
    assert!(
        lines.iter().all(|line| !line.contains("time scanning")),
        "{lines:#?}"
    );
}

#[test]
fn explain_analyze_tells_where_time_goes() {
    let both = sealed();
    for (text, operators) in [
        (
            "SELECT avg(x) FROM m WHERE k > 9000",
            &[
                "choosing series",
                "scanning",
                "filtering",
                "grouping",
                "of the output",
            ][..],
        ),
        (
            "SELECT x FROM m WHERE k > 9000 ORDER BY x",
            &["scanning", "filtering", "ordering"],
        ),
        (
            "SELECT x FROM m",
            &["scanning", "ordering", "of the output"],
        ),
    ] {
        // Each look at the clock takes a microsecond.
        let looks = AtomicU64::new(0);
        let clock = || looks.fetch_add(1_000, Ordering::Relaxed) + 1_000;
        let passed = || looks.load(Ordering::Relaxed);
        let explained = format!("EXPLAIN ANALYZE {text}");
        let (_, stats) = ask_timed(&both.store(), &explained, Some(&clock)).expect("an answer");
        let steps: Vec<_> = stats.times.steps().collect();
        for operator in operators {
            let name = format!("time {operator}");
            assert!(
                steps.iter().any(|(step, _)| *step == name),
                "{name} of {text} in {steps:?}"
            );
        }
        let times = steps.iter().filter(|(step, _)| step.starts_with("time "));
        let told: f64 = times
            .map(|(_, ms)| ms.trim_end_matches(" ms").parse::<f64>().expect("a number"))
            .sum();
        let expected = (passed() - 1_000) as f64 / 1e6;
        assert!((told - expected).abs() < 1e-9, "{told} of {expected} ms");
        let before = passed();
        ask_timed(&both.store(), text, Some(&clock)).expect("an answer");
        assert_eq!(passed(), before, "nobody asked");
    }
}
