//! Errors: what they say and where they point.

use super::super::parse;
use super::{error, small};
use crate::limits::SQL_BYTES;
use edgetime_protocol::error::Code;

#[test]
fn syntax_errors_point_at_the_token() {
    let found = parse("SELECT cpu\nFROM m WHERE").expect_err("no condition");
    let at = found.position().expect("a place");
    assert_eq!((at.line, at.column), (2, 13), "{found}");
    assert_eq!(at.offset, 23);
    let found = parse("SELEC cpu FROM m").expect_err("no verb");
    assert_eq!(
        found.to_string(),
        "line 1, column 1: expected SELECT, SHOW, EXPLAIN, DELETE or DROP, found `SELEC`"
    );
    assert!(parse("SELECT cpu FROM m; garbage").is_err());
    assert!(parse("SELECT 'open FROM m").is_err());
    assert!(parse("").is_err());
}

#[test]
fn unknown_names_say_what_is_near() {
    let memory = small();
    let unknown = |text: &str| error(&memory, text);
    assert_eq!(
        unknown("SELECT cpux FROM m"),
        "line 1, column 8: unknown tag or field `cpux`; near: `cpu`"
    );
    assert_eq!(
        unknown("SELECT cpu FROM n"),
        "line 1, column 17: unknown measurement `n`; near: `m`"
    );
    assert_eq!(
        unknown("SELECT cuont(cpu) FROM m"),
        "line 1, column 8: unknown function `cuont`; near: `count`"
    );
    assert!(unknown("SELECT cast(cpu as flaot) FROM m").contains("near: `float`"));
}

#[test]
fn what_comes_later_is_named() {
    let memory = small();
    for (text, part) in [
        ("EXPLAIN ANALYZE SHOW TAGS", "expected SELECT"),
        ("SELECT frobnicate(cpu) FROM m", "there are count, sum"),
        ("SELECT sum(DISTINCT n) FROM m", "count(distinct ..)"),
        ("SELECT DISTINCT * FROM m", "SELECT DISTINCT a, b"),
        ("SELECT DISTINCT sum(n) FROM m", "leave DISTINCT out"),
        ("SELECT * FROM m JOIN o ON true", "JOIN is"),
        ("SELECT * FROM (SELECT 1)", "not supported"),
        ("SELECT sum(cpu) OVER () FROM m", "OVER"),
    ] {
        let found = error(&memory, text);
        assert!(found.contains(part), "{text}: {found}");
    }
}

#[test]
fn deletions_are_by_time_and_tags_alone() {
    let memory = small();
    let unsupported = "in DELETE, a condition other than on tags alone or time against a literal is \
                       not supported yet; join such conditions by AND";
    for (text, part) in [
        ("DELETE m", "line 1, column 8: expected FROM, found `m`"),
        (
            "DELETE FROM m",
            "line 1, column 14: expected WHERE, found the end",
        ),
        (
            "DELETE FROM m WHERE",
            "expected an expression, found the end",
        ),
        (
            "DELETE FROM n WHERE time < 5",
            "line 1, column 13: unknown measurement `n`; near: `m`",
        ),
        (
            "DELETE FROM m WHERE hots = 'a'",
            "line 1, column 21: unknown tag or field `hots`; near: `host`",
        ),
        (
            "DELETE FROM m WHERE time < 5 LIMIT 1",
            "expected the end of the statement, found `LIMIT`",
        ),
        (
            "DROP TABLE m",
            "line 1, column 6: expected MEASUREMENT, found `TABLE`",
        ),
        (
            "DROP MEASUREMENT",
            "line 1, column 17: expected a measurement, found the end",
        ),
        (
            "DROP MEASUREMENT n",
            "line 1, column 18: unknown measurement `n`; near: `m`",
        ),
        (
            "DROP MEASUREMENT m WHERE time < 5",
            "expected the end of the statement",
        ),
        ("EXPLAIN DELETE FROM m WHERE time < 5", "expected SELECT"),
    ] {
        let found = error(&memory, text);
        assert!(found.contains(part), "{text}: {found}");
    }
    for (condition, column) in [
        ("cpu > 1", 21),
        ("time < 5 AND cpu > 1", 34),
        ("time < 5 OR time > 9", 21),
        ("host = 'a' OR time < 5", 21),
        ("time <> 5", 21),
    ] {
        let found = error(&memory, &format!("DELETE FROM m WHERE {condition}"));
        assert_eq!(found, format!("line 1, column {column}: {unsupported}"));
    }
    // Understood, and nothing that a source of rows in memory does.
    let found = error(&memory, "DELETE FROM m WHERE host = 'a' AND time >= 5");
    assert_eq!(found, "nothing can be deleted here");
}

#[test]
fn nonsense_is_explained() {
    let memory = small();
    for (text, part) in [
        (
            "SELECT cpu FROM m WHERE host = 5",
            "cannot compare string with integer",
        ),
        (
            "SELECT cpu FROM m WHERE cpu",
            "expected a condition, found float",
        ),
        ("SELECT cpu FROM m WHERE time > 'noon'", "is no time"),
        ("SELECT cpu FROM m WHERE host ~ 'a('", "unclosed group"),
        (
            "SELECT host, avg(cpu) FROM m",
            "`host` must stand in GROUP BY",
        ),
        ("SELECT avg(avg(cpu)) FROM m", "is an aggregate"),
        ("SELECT cpu FROM m WHERE avg(cpu) > 1", "is an aggregate"),
        ("SELECT avg(host) FROM m", "takes numbers, not string"),
        ("SELECT cpu + host FROM m", "float + string makes no sense"),
        ("SELECT time_bucket('0 s', time) FROM m", "above zero"),
        (
            "SELECT time_bucket('1 fortnight', time) FROM m",
            "is no interval",
        ),
        ("SELECT cpu FROM m LIMIT -1", "not negative"),
        ("SELECT * FROM m GROUP BY host", "* cannot be selected"),
        ("SELECT cpu FROM m ORDER BY 2", "no selected item 2"),
        (
            "SELECT cpu::string FROM m",
            "has no string values, only float",
        ),
        ("SELECT 9223372036854775807 + 1 FROM m", "overflows"),
        ("SELECT 1 FROM", "expected"),
        ("SELECT a.b FROM m", "qualified name"),
    ] {
        let found = error(&memory, text);
        assert!(found.contains(part), "{text}: {found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let long = format!("SELECT '{}' FROM m", "x".repeat(SQL_BYTES));
    assert!(parse(&long).is_err_and(|error| error.code() == Code::BadSql));
    for (open, close) in [
        ("(", ")"),
        ("NOT ", ""),
        ("- ", ""),
        ("abs(", ")"),
        ("floor(", ")"),
    ] {
        let deep = format!("SELECT {}1{} FROM m", open.repeat(1500), close.repeat(1500));
        assert!(parse(&deep).is_err(), "{open}");
    }
    for chain in [
        "+1",
        "||'a'",
        " IS NULL",
        "::int",
        "[1]",
        " AND true",
        " OR a=1",
    ] {
        for length in [70, 900, 2_000, 4_000, 6_000] {
            let deep = format!("SELECT 1{} FROM m", chain.repeat(length));
            let parsed = parse(&deep);
            assert!(parsed.is_err() || chain.contains(' '), "{chain}");
        }
    }
    // Close below the limit, where a grammar that tries twice would take for ever.
    for (open, close) in [
        ("(", ")"),
        ("abs(", ")"),
        ("floor(", ")"),
        ("case when ", " then 1 end"),
        ("coalesce(1, (", "))"),
        ("cast(", " as float)"),
        ("NOT (", ")"),
        ("interval (", ")"),
        ("1 IN (", ")"),
        ("time (", ")"),
    ] {
        for depth in 1..60 {
            let deep = format!(
                "SELECT {}1{} FROM m",
                open.repeat(depth),
                close.repeat(depth)
            );
            let _ = parse(&deep);
        }
    }
    let many = format!("SELECT 1 FROM m WHERE n IN ({}1)", "1,".repeat(9000));
    assert!(parse(&many).is_ok());
    let alternatives = format!("SELECT 1 FROM m WHERE n=1{}", " OR n=2".repeat(900));
    assert!(parse(&alternatives).is_ok());
}
