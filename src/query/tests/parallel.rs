//! Grouping in parts, whichever is done first, gives what one gives.

use super::{f, i};
use crate::query::QueryLimits;
use crate::query::testing::Memory;
use crate::types::FieldType;

/// Series whose rows share their times, so that the order of the series decides.
fn many(series: i64) -> Memory {
    let mut memory = Memory::new(&[("x", FieldType::Float), ("k", FieldType::Integer)]);
    for index in 0..series {
        let (host, rack) = (format!("h{index}"), format!("r{}", index * 7 % 5));
        let rows = (0..20).map(|time| {
            let k = index * 31 % 17 - time;
            (time * 10, vec![f(k as f64 / 8.0), i(k)])
        });
        memory.add(&[("host", &host), ("rack", &rack)], rows);
    }
    memory
}

const QUESTIONS: [&str; 8] = [
    "SELECT count(*), sum(x), avg(k), min(k), max(x), first(k), last(k) FROM m",
    "SELECT rack, first(k), last(x), count(distinct k), median(k) FROM m GROUP BY rack",
    "SELECT time_bucket('50 ns', time) AS t, rack, last(k), sum(k) FROM m GROUP BY t, rack",
    "SELECT host, max(k) FROM m WHERE k > 3 GROUP BY host ORDER BY 2 DESC, 1 LIMIT 7",
    "SELECT k, count(*) FROM m WHERE x < 0.5 GROUP BY k",
    "SELECT host, last(k) FROM m GROUP BY host",
    "SELECT time_bucket('50 ns', time) AS t, max(k) FROM m GROUP BY t ORDER BY t DESC LIMIT 2",
    "SELECT rack, count(*) FROM m WHERE k > 1000 GROUP BY rack",
];

#[test]
fn several_parts_answer_as_one_does() {
    for series in [1, 2, 3, 50] {
        let mut memory = many(series);
        for text in QUESTIONS {
            memory.helpers = 0;
            let (expected, alone) = memory.ask(text).expect("an answer");
            for helpers in [1, 3, 60] {
                memory.helpers = helpers;
                let (found, stats) = memory.ask(text).expect("an answer");
                assert_eq!(found, expected, "{text}");
                assert_eq!(stats, alone, "{text}");
            }
        }
    }
}

#[test]
fn what_a_part_of_the_memory_does_not_suffice_for_is_added_up_by_one() {
    let mut memory = many(50);
    let text = "SELECT host, time, count(*) FROM m GROUP BY host, time";
    memory.helpers = 0;
    let (expected, _) = memory.ask(text).expect("an answer");
    let least = (1..1_000).map(|n| n * 10_000).find(|&memory_bytes| {
        let limits = QueryLimits {
            memory_bytes,
            ..QueryLimits::default()
        };
        memory.ask_with(text, limits, &|| false).is_ok()
    });
    let memory_bytes = least.expect("some suffice");
    memory.helpers = 3;
    for (memory_bytes, suffices) in [(memory_bytes, true), (memory_bytes - 10_000, false)] {
        let limits = QueryLimits {
            memory_bytes,
            ..QueryLimits::default()
        };
        let found = memory.ask_with(text, limits, &|| false);
        assert_eq!(found.is_ok(), suffices);
        if let Ok((found, _)) = found {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn an_error_of_any_part_ends_the_query() {
    let mut memory = many(40);
    memory.helpers = 3;
    // Only late series overflow.
    memory.add(
        &[("host", "big")],
        [(0, vec![f(1.0), i(i64::MAX)]), (1, vec![f(1.0), i(1)])],
    );
    let error = memory
        .ask("SELECT host, sum(k + 1) FROM m GROUP BY host")
        .expect_err("too large");
    assert!(error.to_string().contains("overflow"), "{error}");
}
