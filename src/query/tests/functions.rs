//! What each function makes of rows: percentiles, modes, different values, steps between rows, buckets of places.

use super::{error, f, i, rows, s, small};
use crate::query::QueryLimits;
use crate::query::testing::Memory;
use crate::query::value::Scalar;
use crate::types::FieldType;

const SECOND: i64 = 1_000_000_000;

/// Time, `x`, and the counter.
type StepRow = (i64, Option<f64>, i64);

/// A float `x`, a counter `c` and an unsigned `u`; times in seconds.
fn steps(series: &[(&str, &[StepRow])]) -> Memory {
    let mut memory = Memory::new(&[
        ("x", FieldType::Float),
        ("c", FieldType::Integer),
        ("u", FieldType::Unsigned),
    ]);
    for &(host, points) in series {
        let points = points.iter().map(|&(time, x, c)| {
            let x = x.map_or(Scalar::Null, f);
            (time * SECOND, vec![x, i(c), Scalar::Unsigned(c as u64)])
        });
        memory.add(&[("host", host)], points);
    }
    memory
}

/// One host: the counter restarts between 20 and 30 s.
fn one() -> Memory {
    steps(&[(
        "a",
        &[
            (0, Some(1.0), 10),
            (10, Some(3.0), 20),
            (20, None, 50),
            (30, Some(5.0), 5),
            (40, Some(f64::NAN), 6),
            (50, Some(1.0), 6),
        ],
    )])
}

#[test]
fn percentiles_are_interpolated_and_skip_nan() {
    let memory = one();
    let found = rows(
        &memory,
        "SELECT median(x), percentile(x, 25), percentile(x, 0), percentile(x, 100), median(c), median(u) FROM m",
    );
    assert_eq!(found, ["2.0|1.0|1.0|5.0|8.0|8.0"]);
    let nothing = "SELECT median(x), percentile(x, 50.5) FROM m WHERE time = 20000000000";
    assert_eq!(rows(&memory, nothing), ["NULL|NULL"]);
    for wrong in [
        "percentile(x)",
        "percentile(x, 101)",
        "percentile(x, -1)",
        "percentile(x, c)",
        "median(host)",
    ] {
        let found = error(&memory, &format!("SELECT {wrong} FROM m"));
        assert!(found.starts_with("line 1, column"), "{found}");
    }
}

#[test]
fn modes_and_different_values() {
    let memory = small();
    assert_eq!(
        rows(
            &memory,
            "SELECT mode(rack), count(distinct host), count(distinct rack), count(distinct n), mode(time) FROM m"
        ),
        ["1|2|1|4|t10"]
    );
    assert_eq!(
        rows(
            &one(),
            "SELECT mode(c), mode(x), count(distinct x), count(DISTINCT c) FROM m"
        ),
        ["6|1.0|4|5"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT DISTINCT host, rack FROM m ORDER BY host DESC"
        ),
        ["b|NULL", "a|1"]
    );
}

#[test]
fn what_is_kept_is_bounded() {
    let limits = QueryLimits {
        memory_bytes: 150,
        ..QueryLimits::default()
    };
    let memory = one();
    for function in ["median(c)", "mode(c)", "count(distinct c)"] {
        let text = format!("SELECT {function} FROM m");
        let found = memory.ask_with(&text, limits, &|| false);
        let found = found.expect_err("too much").to_string();
        assert!(
            found.starts_with("query needs more than 150 bytes"),
            "{found}"
        );
    }
    let enough = memory.ask_with("SELECT avg(c) FROM m", limits, &|| false);
    assert!(enough.is_ok());
}

#[test]
fn counters_restart_at_zero_and_gauges_fall() {
    let memory = one();
    assert_eq!(
        rows(
            &memory,
            "SELECT increase(c), delta(c), increase(u), delta(u), delta(x), increase(x) FROM m"
        ),
        // 10 + 30 + 5 + 1 + 0; 1 -> 3 -> 5 -> 1.
        ["46|-4|46u|-4|0.0|5.0"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT rate(c), rate(c, '1 minute'), derivative(c), derivative(x, interval '10 s') FROM m"
        ),
        ["0.92|55.2|-0.08|0.0"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT rate(c), increase(c), integral(x), time_weighted_avg(x) FROM m WHERE time < 5000000000"
        ),
        ["NULL|NULL|NULL|NULL"]
    );
}

#[test]
fn a_step_counts_in_the_bucket_it_leads_to() {
    let memory = one();
    let found = rows(
        &memory,
        "SELECT time_bucket('15 s', time) AS t, increase(c), rate(c), delta(x) FROM m GROUP BY t",
    );
    assert_eq!(
        found,
        [
            "t0|10|1.0|2.0",
            "t15000000000|30|3.0|NULL",
            "t30000000000|6|0.3|2.0",
            "t45000000000|0|0.0|-4.0"
        ]
    );
    // The increases of buckets add up to the whole.
    let found = rows(
        &memory,
        "SELECT time_bucket('7 s', time), increase(c) FROM m GROUP BY 1",
    );
    let sum: i64 = found
        .iter()
        .filter_map(|row| row.split_once('|')?.1.parse::<i64>().ok())
        .sum();
    assert_eq!(sum, 46);
}

#[test]
fn areas_are_cut_at_the_borders_of_buckets() {
    // A line from 0 to 40 in 40 s.
    let memory = steps(&[(
        "a",
        &[(0, Some(0.0), 0), (20, Some(20.0), 0), (40, Some(40.0), 0)],
    )]);
    assert_eq!(
        rows(
            &memory,
            "SELECT integral(x), integral(x, '1 minute'), time_weighted_avg(x) FROM m"
        ),
        ["800.0|13.333333333333334|20.0"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT time_bucket('30 s', time), integral(x), time_weighted_avg(x) FROM m GROUP BY 1"
        ),
        ["t0|450.0|15.0", "t30000000000|350.0|35.0"]
    );
    // What lies over buckets without rows is nobody's.
    assert_eq!(
        rows(
            &memory,
            "SELECT time_bucket('8 s', time), integral(x) FROM m GROUP BY 1"
        ),
        ["t0|32.0", "t16000000000|160.0", "t40000000000|NULL"]
    );
}

#[test]
fn series_and_other_keys_have_steps_of_their_own() {
    let memory = steps(&[
        ("a", &[(0, Some(0.0), 0), (10, Some(10.0), 10)]),
        ("b", &[(5, Some(4.0), 100), (15, Some(4.0), 130)]),
    ]);
    assert_eq!(
        rows(
            &memory,
            "SELECT rate(c), increase(c), integral(x), time_weighted_avg(x) FROM m"
        ),
        ["4.0|40|90.0|4.5"]
    );
    let by_host = "SELECT host, rate(c), integral(x) FROM m GROUP BY host";
    assert_eq!(rows(&memory, by_host), ["a|1.0|50.0", "b|3.0|40.0"]);
    // As if each parity were asked for by itself.
    let memory = one();
    assert_eq!(
        rows(
            &memory,
            "SELECT c % 2 AS odd, increase(c) FROM m GROUP BY odd"
        ),
        ["0|46", "1|NULL"]
    );
    assert_eq!(
        rows(&memory, "SELECT increase(c) FROM m WHERE c % 2 = 0"),
        ["46"]
    );
}

#[test]
fn whole_steps_overflow_instead_of_wrapping() {
    let memory = steps(&[(
        "a",
        &[
            (0, None, i64::MIN),
            (1, None, i64::MAX),
            (2, None, i64::MIN),
        ],
    )]);
    assert!(
        error(&memory, "SELECT delta(c) FROM m WHERE time < 2000000000")
            .contains("delta overflows")
    );
    assert_eq!(
        rows(&memory, "SELECT delta(c), derivative(c) FROM m"),
        ["0|0.0"]
    );
}

#[test]
fn buckets_of_a_place_follow_its_clock() {
    let mut memory = Memory::new(&[("x", FieldType::Float)]);
    // Hourly over the day on which Berlin's clocks go back, 2024-10-27.
    let first = 1_729_980_000_i64; // 2024-10-26T22:00:00Z
    memory.add(
        &[],
        (0..26).map(|hour| ((first + hour * 3_600) * SECOND, vec![f(1.0)])),
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT cast(time_bucket('1 day', time, 'Europe/Berlin') AS string), count(*) FROM m GROUP BY 1"
        ),
        ["2024-10-26T22:00:00Z|25", "2024-10-27T23:00:00Z|1"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT count(*) FROM m WHERE time_bucket('1 month', time, 'Asia/Tokyo') = '2024-09-30T15:00:00Z'"
        ),
        ["26"]
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT cast(time_bucket('1 year', time) AS string), count(*) FROM m GROUP BY 1"
        ),
        ["2024-01-01T00:00:00Z|26"]
    );
    let found = error(
        &memory,
        "SELECT time_bucket('1 day', time, 'Europe/Berln') FROM m",
    );
    let expected = "line 1, column 35: unknown time zone `Europe/Berln`; near: `Europe/Berlin`";
    assert!(found.starts_with(expected), "{found}");
    assert!(
        error(
            &memory,
            "SELECT time_bucket('1 month', time, '2024-01-01') FROM m"
        )
        .contains("no origin")
    );
    assert!(error(&memory, "SELECT time_bucket('0 months', time) FROM m").contains("above zero"));
}

#[test]
fn text_keys_may_be_any_bytes() {
    let mut memory = Memory::new(&[("t", FieldType::String)]);
    memory.add(
        &[],
        [
            (1, vec![s("")]),
            (2, vec![s("é")]),
            (3, vec![s("")]),
            (4, vec![Scalar::Null]),
        ],
    );
    assert_eq!(
        rows(
            &memory,
            "SELECT mode(t), count(distinct t), count(t) FROM m"
        ),
        ["|2|3"]
    );
}

#[test]
fn a_limit_on_buckets_reads_no_others() {
    let mut memory = Memory::new(&[("x", FieldType::Float)]);
    memory.batch_rows = 10;
    for host in ["a", "b", "c"] {
        memory.add(
            &[("host", host)],
            (0..1_000).map(|time| (time, vec![f(time as f64)])),
        );
    }
    let text =
        "SELECT time_bucket('10 ns', time) AS t, max(x) FROM m GROUP BY t ORDER BY t DESC LIMIT 2";
    assert_eq!(rows(&memory, text), ["t990|999.0", "t980|989.0"]);
    assert_eq!(memory.scanned(), 9);
    let text =
        "SELECT time_bucket('10 ns', time), host, count(*) FROM m GROUP BY 1, 2 LIMIT 1 OFFSET 3";
    assert_eq!(rows(&memory, text), ["t10|a|10"]);
    assert_eq!(memory.scanned(), 9 + 15);
    // What is chosen later may lie anywhere.
    let text = "SELECT time_bucket('10 ns', time) AS t FROM m GROUP BY t HAVING max(x) < 300 ORDER BY t DESC LIMIT 1";
    assert_eq!(rows(&memory, text), ["t290"]);
    let text = "SELECT time_bucket('10 ns', time) AS t, delta(x) FROM m GROUP BY t ORDER BY t DESC LIMIT 1";
    assert_eq!(rows(&memory, text), ["t990|30.0"]);
    let text = "SELECT time_bucket('10 ns', time) AS t, integral(x, '1 ns') FROM m WHERE time < 20 GROUP BY t LIMIT 1";
    assert_eq!(rows(&memory, text), ["t0|150.0"]);
}

#[test]
fn nothing_rejected_is_no_error() {
    let found = small().ask("SELECT * FROM _rejected").expect("answered");
    assert_eq!(found.0, ["time|code|line|message|source|text"]);
    assert!(error(&small(), "DROP MEASUREMENT _rejected").contains("unknown measurement"));
}
