//! Random aggregates against a naive evaluator: one pass over all rows, a map of groups, plain vectors.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{f, i};
use crate::query::QueryLimits;
use crate::query::testing::Memory;
use crate::query::value::Scalar;
use crate::types::FieldType;

/// Time, a double and an integer, either perhaps missing.
type Row = (i64, Option<f64>, Option<i64>);

fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![
        (-1_000i64..1_000).prop_map(|value| value as f64 / 8.0),
        Just(1e15),
        Just(-0.0)
    ];
    (
        -300i64..300,
        proptest::option::weighted(0.8, float),
        proptest::option::weighted(0.8, prop_oneof![-50i64..50, Just(i64::MAX)]),
    )
}

/// What is known of a group, the slow way.
#[derive(Default)]
struct Naive {
    rows: usize,
    floats: Vec<(i64, f64)>,
    integers: Vec<i64>,
}

impl Naive {
    fn line(&self) -> String {
        let floats: Vec<f64> = self.floats.iter().map(|(_, value)| *value).collect();
        let float = |value: Option<f64>| value.map_or("NULL".to_owned(), |v| format!("{v:?}"));
        let integer = |value: Option<i64>| value.map_or("NULL".to_owned(), |v| v.to_string());
        // Multiples of an eighth below 2^53: sums are exact in 128 bits.
        let eighths: i128 = floats.iter().map(|value| (value * 8.0) as i128).sum();
        let sum = (!floats.is_empty()).then_some(eighths as f64 / 8.0);
        let first = self.floats.iter().min_by_key(|(time, _)| *time);
        let last = self.floats.iter().rev().max_by_key(|(time, _)| *time);
        let last = last.map(|(time, _)| {
            let tied = self.floats.iter().rev().find(|(other, _)| other == time);
            tied.map_or(0.0, |(_, value)| *value)
        });
        [
            self.rows.to_string(),
            floats.len().to_string(),
            float(sum),
            float(sum.map(|sum| sum / floats.len() as f64)),
            float(floats.iter().copied().reduce(f64::min).map(|v| v + 0.0)),
            float(floats.iter().copied().reduce(f64::max).map(|v| v + 0.0)),
            float(first.map(|(_, value)| *value)),
            float(last),
            integer(self.integers.iter().copied().min()),
            integer(self.integers.iter().copied().max()),
        ]
        .join("|")
    }
}

const AGGREGATES: &str = "count(*), count(x), sum(x), avg(x), min(x) + 0.0, max(x) + 0.0, \
                          first(x), last(x), min(k), max(k)";

fn memory(series: &[Vec<Row>], batch_rows: usize) -> Memory {
    let mut memory = Memory::new(&[("x", FieldType::Float), ("k", FieldType::Integer)]);
    memory.batch_rows = batch_rows;
    for (index, rows) in series.iter().enumerate() {
        memory.add(
            &[("host", &index.to_string())],
            rows.iter().map(|&(time, x, k)| {
                (
                    time,
                    vec![x.map_or(Scalar::Null, f), k.map_or(Scalar::Null, i)],
                )
            }),
        );
    }
    memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn aggregates_agree_with_a_naive_evaluator(
        series in prop::collection::vec(prop::collection::vec(row(), 0..60), 1..4),
        batch_rows in 1usize..40,
        width in 1i64..200,
        (low, high) in (-300i64..300, -300i64..300),
        threshold in proptest::option::of(-60i64..60),
        by_host in any::<bool>(),
    ) {
        let memory = memory(&series, batch_rows);
        let mut expected: BTreeMap<(i64, usize), Naive> = BTreeMap::new();
        for (index, (_, rows)) in memory.series.iter().enumerate() {
            for (&time, values) in rows.iter() {
                let k = match values[1] { Scalar::Integer(k) => Some(k), _ => None };
                let passes = threshold.is_none_or(|least| k.is_some_and(|k| k > least));
                if time < low || time >= high || !passes {
                    continue;
                }
                let key = (time - time.rem_euclid(width), if by_host { index } else { 0 });
                let group = expected.entry(key).or_default();
                group.rows += 1;
                if let Scalar::Float(x) = values[0] {
                    group.floats.push((time, x));
                }
                group.integers.extend(k);
            }
        }
        let filter = threshold.map_or(String::new(), |least| format!(" AND k > {least}"));
        let host = if by_host { ", host" } else { "" };
        let text = format!(
            "SELECT cast(time_bucket('{width} ns', time) as integer){host}, {AGGREGATES} FROM m \
             WHERE time >= {low} AND time < {high}{filter} \
             GROUP BY time_bucket('{width} ns', time){host}"
        );
        let expected: Vec<String> = expected
            .iter()
            .map(|(&(bucket, index), group)| {
                let host = if by_host { format!("|{index}") } else { String::new() };
                format!("{bucket}{host}|{}", group.line())
            })
            .collect();
        let (mut found, _) = memory.ask(&text).expect("answered");
        prop_assert_eq!(found.split_off(1), expected, "{}", text);
    }

    #[test]
    fn rows_come_in_the_order_asked_for(
        series in prop::collection::vec(prop::collection::vec(row(), 0..60), 1..4),
        batch_rows in 1usize..40,
        limit in 0usize..40,
        descending in any::<bool>(),
    ) {
        let memory = memory(&series, batch_rows);
        let mut expected: Vec<(i64, usize)> = memory
            .series
            .iter()
            .enumerate()
            .flat_map(|(index, (_, rows))| rows.keys().map(move |&time| (time, index)))
            .collect();
        expected.sort_by_key(|&(time, index)| (if descending { -time } else { time }, index));
        expected.truncate(limit);
        let expected: Vec<String> = expected
            .iter()
            .map(|(time, index)| format!("t{time}|{index}"))
            .collect();
        let order = if descending { "ORDER BY time DESC" } else { "" };
        let text = format!("SELECT time, host FROM m {order} LIMIT {limit}");
        let (mut found, _) = memory.ask(&text).expect("answered");
        prop_assert_eq!(found.split_off(1), expected);
    }

    #[test]
    fn no_text_is_too_strange(words in prop::collection::vec(0usize..WORDS.len(), 0..25)) {
        let words: Vec<&str> = words.into_iter().map(|word| WORDS[word]).collect();
        let memory = super::small();
        for text in [words.join(" "), format!("SELECT {} FROM m", words.join(" "))] {
            let _ = memory.ask_with(&text, QueryLimits::default(), &|| false);
        }
    }
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "m",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "time",
    "host",
    "cpu",
    "n",
    "v",
    "v::string",
    "*",
    "+",
    "-",
    "/",
    "%",
    "=",
    "<",
    ">=",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    ",",
    "1",
    "0",
    "-9223372036854775808",
    "18446744073709551615",
    "1.5",
    "'a'",
    "'1970-01-01'",
    "interval '1 s'",
    "now()",
    "count(*)",
    "sum(",
    "avg(n)",
    "first(cpu)",
    "abs(",
    "cast(n as",
    "unsigned)",
    "IS NULL",
    "IN (",
    "BETWEEN",
    "LIKE",
    "~",
    "case when",
    "then",
    "end",
    "coalesce(",
    "time_bucket('7 ns', time)",
    "AS",
    "x",
    "NULL",
    "true",
    ";",
    "SHOW",
    "EXPLAIN",
    "::integer",
    "DESC",
    "OFFSET",
];
