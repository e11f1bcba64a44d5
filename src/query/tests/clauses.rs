//! Each clause, by example.

use super::{error, rows, small};

#[test]
fn a_wildcard_is_time_tags_and_fields() {
    let (lines, _) = small().ask("SELECT * FROM m LIMIT 3").expect("answered");
    assert_eq!(
        lines,
        [
            "time|host|rack|cpu|n|v|v::string",
            "t10|a|1|1.0|1|0.5|NULL",
            "t10|b|NULL|5.0|10|NULL|NULL",
            "t20|a|1|2.0|NULL|7.0|NULL",
        ]
    );
}

#[test]
fn lanes_widen_or_are_read_alone() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT v, v::integer, v::string FROM m WHERE host = 'a'"
        ),
        ["0.5|NULL|NULL", "7.0|7|NULL", "NULL|NULL|x"]
    );
    assert_eq!(
        rows(&memory, "SELECT sum(v), count(v::integer) FROM m"),
        ["9.5|2"]
    );
}

#[test]
fn time_bounds_what_is_read() {
    let memory = small();
    for (condition, times) in [
        ("time >= 20 AND time < 30", "t20 t25"),
        ("20 > time", "t10 t10"),
        ("time BETWEEN 20 AND 25", "t20 t25"),
        ("time = '1970-01-01T00:00:00.000000025Z'", "t25"),
        ("time > now() - interval '999980 ns'", "t25 t30"),
        (
            "time >= '1970-01-01' + interval '25 ns' AND host IN ('b')",
            "t25",
        ),
        ("time > 9223372036854775807", ""),
        ("time <> 10 AND NOT time = 20", "t25 t30"),
        ("time = 10 OR time = 30", "t10 t10 t30"),
        ("false", ""),
        ("NULL", ""),
        ("time < NULL", ""),
    ] {
        let text = format!("SELECT time FROM m WHERE {condition}");
        assert_eq!(rows(&memory, &text).join(" "), times, "{text}");
    }
    let (_, stats) = memory
        .ask("SELECT cpu FROM m WHERE time >= 20 AND time < 25")
        .expect("ok");
    assert_eq!(stats.rows_scanned, 1);
}

#[test]
fn conditions_on_tags_choose_series() {
    let memory = small();
    for (condition, series) in [
        ("host = 'a'", 1),
        ("host <> 'a'", 1),
        ("host IN ('a', 'b')", 2),
        ("host NOT IN ('a', 'b')", 0),
        ("host LIKE 'a%'", 1),
        ("host NOT LIKE 'a%'", 1),
        ("host ILIKE 'A'", 1),
        ("host ~ '^[ab]$'", 2),
        ("host !~ 'a'", 1),
        ("rack IS NULL", 1),
        ("rack IS NOT NULL", 1),
        ("rack = '1' OR host = 'b'", 2),
        ("NOT (rack = '1')", 0),
        ("host = 'a' AND host = 'b'", 0),
    ] {
        let text = format!("SELECT count(*) FROM m WHERE {condition}");
        let (_, stats) = memory.ask(&text).expect(&text);
        assert_eq!(stats.series, series, "{text}");
    }
}

#[test]
fn conditions_on_fields_are_evaluated_for_every_row() {
    let memory = small();
    for (condition, times) in [
        ("cpu > 1.5", "t10 t20 t25"),
        ("cpu IS NULL", "t30"),
        ("n < 2 AND cpu >= 1", "t10 t25"),
        ("n = 10.0 OR cpu = 2", "t10 t20"),
        ("NOT (cpu > 1.5)", "t10"),
        ("n IN (1, 3, NULL)", "t10 t30"),
        ("n NOT IN (1, NULL)", ""),
        ("host = 'a' AND n IS NOT NULL OR n = -4", "t10 t25 t30"),
        ("v::string LIKE '_'", "t30"),
        ("n % 2 = 0 AND abs(n) / 2 = 2", "t25"),
        ("coalesce(n, 20) > 5", "t10 t20"),
    ] {
        let text = format!("SELECT time FROM m WHERE {condition}");
        assert_eq!(rows(&memory, &text).join(" "), times, "{text}");
    }
}

#[test]
fn expressions_follow_the_rules_of_numbers() {
    let memory = small();
    for (expr, value) in [
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7 % 0", "NULL"),
        ("7 / 2.0", "3.5"),
        ("1 / 0.0", "inf"),
        ("n / 0", "NULL"),
        ("round(2.5) + floor(-0.5) + ceil(0.2)", "3.0"),
        ("sqrt(16) + ln(exp(1))", "5.0"),
        ("cast(2.9 as integer)", "2"),
        ("cast('12' as integer) + 1", "13"),
        ("cast('x' as float)", "NULL"),
        ("cast(cpu as string)", "1"),
        ("cast(time as integer) + 1", "11"),
        ("time - 10", "t0"),
        ("time - '1970-01-01T00:00:00Z'", "10"),
        (
            "case when cpu > 3 then 'high' when cpu > 0.5 then 'low' end",
            "low",
        ),
        ("case n when 1 then 1 else 2.5 end", "1.0"),
        ("coalesce(NULL, v, 1)", "0.5"),
        ("18446744073709551615 > n", "true"),
        ("time < 18446744073709551615", "true"),
        ("18446744073709551615 = time", "false"),
        ("9007199254740993 = 9007199254740992.0", "false"),
        ("NULL", "NULL"),
        ("1 = NULL OR true", "true"),
        ("cpu::float", "1.0"),
    ] {
        let text = format!("SELECT {expr} FROM m WHERE host = 'a' AND time = 10");
        assert_eq!(rows(&memory, &text), [value], "{text}");
    }
    assert!(error(&memory, "SELECT n * 9223372036854775807 FROM m").contains("overflow"));
}

#[test]
fn groups_come_in_the_order_of_their_keys() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT time_bucket('20 ns', time) AS t, host, count(*), count(n), sum(n), avg(cpu) \
             FROM m GROUP BY t, host"
        ),
        [
            "t0|a|1|1|1|1.0",
            "t0|b|1|1|10|5.0",
            "t20|a|2|1|3|2.0",
            "t20|b|1|1|-4|4.0"
        ]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT rack, max(cpu) FROM m GROUP BY 1 ORDER BY rack DESC"
        ),
        ["NULL|5.0", "1|2.0"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT cpu > 1.5 AS hot, count(*) FROM m GROUP BY hot"
        ),
        ["false|1", "true|3", "NULL|1"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT host, sum(n) AS total FROM m GROUP BY host HAVING total > 5 ORDER BY total"
        ),
        ["b|6"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT host FROM m GROUP BY host ORDER BY avg(cpu) DESC LIMIT 1"
        ),
        ["b"]
    );
}

#[test]
fn aggregates_without_groups_give_one_row() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT count(*), sum(cpu), avg(n), min(host), max(time), spread(n) FROM m"
        ),
        ["5|12.0|2.5|a|t30|14"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT count(*), sum(cpu), first(n) FROM m WHERE time > 99"
        ),
        ["0|NULL|NULL"]
    );
    assert_eq!(
        rows(&memory, "SELECT host FROM m WHERE time > 99 GROUP BY host"),
        [""; 0]
    );
    assert_eq!(
        rows(&memory, "SELECT count(*) FROM m HAVING count(*) > 99"),
        [""; 0]
    );
    assert_eq!(rows(&memory, "SELECT 1 FROM m HAVING false"), [""; 0]);
    assert_eq!(
        rows(&memory, "SELECT variance(n), stddev(1.0) FROM m"),
        ["33.666666666666664|0.0"]
    );
}

#[test]
fn ties_of_first_and_last_go_by_series() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT first(cpu), last(cpu), first(v), last(host) FROM m WHERE time = 10"
        ),
        ["1.0|5.0|0.5|b"]
    );
    assert_eq!(rows(&memory, "SELECT last(cpu), last(n) FROM m"), ["4.0|3"]);
}

#[test]
fn weeks_start_on_monday_and_buckets_round_down() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT cast(time_bucket('1 week', time) as string) FROM m LIMIT 1"
        ),
        ["1969-12-29T00:00:00Z"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT time_bucket(interval '20 ns', time, 5) FROM m LIMIT 1"
        ),
        ["t5"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT time_bucket('20 ns', time - 25) FROM m LIMIT 1"
        ),
        ["t-20"]
    );
}

#[test]
fn order_limit_and_offset() {
    let memory = small();
    for (text, expected) in [
        ("SELECT time FROM m ORDER BY time DESC LIMIT 2", "t30 t25"),
        (
            "SELECT time, host FROM m ORDER BY time, host DESC LIMIT 2",
            "t10|b t10|a",
        ),
        ("SELECT n FROM m ORDER BY n", "-4 1 3 10 NULL"),
        ("SELECT n FROM m ORDER BY n DESC", "NULL 10 3 1 -4"),
        (
            "SELECT n FROM m ORDER BY n DESC NULLS LAST LIMIT 2 OFFSET 1",
            "3 1",
        ),
        ("SELECT n AS x FROM m ORDER BY abs(n) LIMIT 1", "1"),
        ("SELECT cpu FROM m ORDER BY 1 LIMIT 1", "1.0"),
        ("SELECT time FROM m OFFSET 3", "t25 t30"),
        ("SELECT time FROM m LIMIT 0", ""),
        (
            "SELECT time FROM m ORDER BY time ASC LIMIT 2 OFFSET 1;",
            "t10 t20",
        ),
    ] {
        assert_eq!(rows(&memory, text).join(" "), expected, "{text}");
    }
}

#[test]
fn show_and_explain() {
    let memory = small();
    assert_eq!(rows(&memory, "SHOW DATABASES"), ["db"]);
    assert_eq!(rows(&memory, "show measurements"), ["m"]);
    assert_eq!(
        rows(&memory, "SHOW SERIES FROM m"),
        ["m|host=a,rack=1", "m|host=b"]
    );
    assert_eq!(rows(&memory, "SHOW TAGS"), ["m|host|2", "m|rack|1"]);
    assert_eq!(
        rows(&memory, "SHOW FIELDS FROM \"m\"")[4],
        "m|v|string|NULL|NULL"
    );
    assert_eq!(
        rows(&memory, "SHOW SCHEMA")[0],
        "m|host|tag|string|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|open"
    );
    assert!(error(&memory, "SHOW TABLES").contains("expected DATABASES"));
    let plan = rows(
        &memory,
        "EXPLAIN SELECT cpu FROM m WHERE host = 'a' AND n > 1 AND time < 9",
    );
    assert_eq!(
        plan,
        [
            "measurement|m",
            "time|before 1970-01-01T00:00:00.000000009Z",
            "series filter|host = 'a'",
            "row filter|n > 1",
            "rows|merged by time, streamed",
            "chunks|skipped where statistics exclude the row filter",
            "cache|rows are not kept, only groups",
            "series by|the index of tags",
            "series matched|1",
            "columns read|2",
        ]
    );
    for (condition, chosen_by) in [
        ("n > 1", "all of the measurement"),
        ("NOT (host ~ 'a' OR rack IS NULL)", "the index of tags"),
        ("host = rack", "a look at each"),
        (
            "host = rack AND rack IN ('1')",
            "the index of tags, then a look at each",
        ),
    ] {
        let plan = rows(
            &memory,
            &format!("EXPLAIN SELECT cpu FROM m WHERE {condition}"),
        );
        let line = format!("series by|{chosen_by}");
        assert!(plan.contains(&line), "{condition}: {plan:?}");
    }
}
