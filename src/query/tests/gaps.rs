//! `time_bucket_gapfill`, `locf` and `interpolate`.

use super::{error, f, i, rows};
use crate::query::QueryLimits;
use crate::query::testing::Memory;
use crate::query::value::Scalar;
use crate::types::FieldType;

/// Hosts `a` and `b` with gaps; one bucket is 10 ns.
fn gappy() -> Memory {
    let mut memory = Memory::new(&[("x", FieldType::Float), ("n", FieldType::Integer)]);
    memory.add(
        &[("host", "a")],
        [
            (12, vec![f(1.0), i(1)]),
            (33, vec![Scalar::Null, i(5)]),
            (45, vec![f(4.0), Scalar::Null]),
        ],
    );
    memory.add(&[("host", "b")], [(20, vec![f(7.0), i(2)])]);
    memory
}

#[test]
fn every_bucket_of_the_range_appears_for_every_key() {
    let found = rows(
        &gappy(),
        "SELECT time_bucket_gapfill('10 ns', time) AS t, host, count(*), avg(x), \
         locf(avg(x)), interpolate(avg(x)), interpolate(sum(n)) \
         FROM m WHERE time >= 15 AND time < 60 GROUP BY t, host ORDER BY host, t",
    );
    assert_eq!(
        found,
        [
            "t10|a|0|NULL|NULL|NULL|NULL",
            "t20|a|0|NULL|NULL|NULL|NULL",
            "t30|a|1|NULL|NULL|NULL|5.0",
            "t40|a|1|4.0|4.0|4.0|NULL",
            "t50|a|0|NULL|4.0|NULL|NULL",
            "t10|b|0|NULL|NULL|NULL|NULL",
            "t20|b|1|7.0|7.0|7.0|2.0",
            "t30|b|0|NULL|7.0|NULL|NULL",
            "t40|b|0|NULL|7.0|NULL|NULL",
            "t50|b|0|NULL|7.0|NULL|NULL",
        ]
    );
}

#[test]
fn gaps_lie_on_the_line_between_their_neighbours() {
    let found = rows(
        &gappy(),
        "SELECT time_bucket_gapfill('10 ns', time), interpolate(max(x)), 10 * locf(max(x)) \
         FROM m WHERE time >= 10 AND time <= 50 AND host = 'a' GROUP BY 1",
    );
    assert_eq!(
        found,
        [
            "t10|1.0|10.0",
            "t20|2.0|10.0",
            "t30|3.0|10.0",
            "t40|4.0|40.0",
            "t50|NULL|40.0"
        ]
    );
}

#[test]
fn filling_comes_before_having_and_limit() {
    let memory = gappy();
    let found = rows(
        &memory,
        "SELECT time_bucket_gapfill('10 ns', time) AS t, locf(sum(n)) AS n FROM m \
         WHERE time >= 0 AND time < 60 GROUP BY t HAVING locf(sum(n)) > 1 AND count(*) = 0 ORDER BY t DESC LIMIT 1",
    );
    assert_eq!(found, ["t50|5"]);
}

#[test]
fn without_rows_the_range_is_all_gap() {
    let memory = gappy();
    let found = rows(
        &memory,
        "SELECT time_bucket_gapfill('10 ns', time), count(*), locf(max(n)) FROM m \
         WHERE time >= 100 AND time < 120 GROUP BY 1",
    );
    assert_eq!(found, ["t100|0|NULL", "t110|0|NULL"]);
    // No row, no host; no time, no bucket.
    let none = "SELECT time_bucket_gapfill('10 ns', time), host FROM m WHERE time >= 100 AND time < 120 GROUP BY 1, 2";
    assert!(rows(&memory, none).is_empty());
    let none = "SELECT time_bucket_gapfill('10 ns', time) FROM m WHERE time >= 100 AND time < 100 GROUP BY 1";
    assert!(rows(&memory, none).is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let memory = gappy();
    let gapfill = |filter: &str| {
        error(
            &memory,
            &format!("SELECT time_bucket_gapfill('10 ns', time) FROM m {filter} GROUP BY 1"),
        )
    };
    assert_eq!(
        gapfill("WHERE time >= 5"),
        "line 1, column 8: time_bucket_gapfill() needs a range to fill, and WHERE lacks an end: \
         add `time < ..`, perhaps `time < now()`"
    );
    assert!(gapfill("WHERE time < 5").contains("lacks a start"));
    assert!(gapfill("").contains("lacks a start and an end"));
    for (text, part) in [
        ("SELECT locf(avg(x)) FROM m", "GROUP BY has none"),
        ("SELECT interpolate(x) FROM m", "GROUP BY has none"),
        (
            "SELECT time_bucket_gapfill('1 s', time) FROM m",
            "must be a key",
        ),
        (
            "SELECT count(*) FROM m GROUP BY coalesce(time_bucket_gapfill('1 s', time), now())",
            "must be a key",
        ),
        (
            "SELECT locf(locf(avg(x))) FROM m WHERE time > 1 AND time < 9 GROUP BY time_bucket_gapfill('1 ns', time)",
            "filled again",
        ),
        (
            "SELECT interpolate(min(host)) FROM m WHERE time > 1 AND time < 9 GROUP BY time_bucket_gapfill('1 ns', time)",
            "takes a number",
        ),
    ] {
        let found = error(&memory, text);
        assert!(found.contains(part), "{text}: {found}");
    }
}

#[test]
fn buckets_that_are_filled_count_as_groups() {
    let limits = QueryLimits {
        groups: 100,
        ..QueryLimits::default()
    };
    let text = "SELECT time_bucket_gapfill('1 ns', time) FROM m WHERE time >= 0 AND time < '2200-01-01' GROUP BY 1";
    let found = gappy().ask_with(text, limits, &|| false);
    let found = found.expect_err("too many").to_string();
    assert!(
        found.starts_with("query needs more than 100 groups"),
        "{found}"
    );
}
