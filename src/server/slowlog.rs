//! The newest queries that took long, with their plans and what they read: for `slowlog`.
//!
//! Texts and plans are cut, so that the log takes little whatever is asked.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::query::encode::time::rfc3339;
use crate::types::Timestamp;

/// A text is kept up to this length, bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// A query that took long.
#[derive(Clone, Debug)]
pub struct SlowQuery {
    /// When it ended, by the server's time.
    pub time_ns: Timestamp,
    /// How long it took, waiting for its turn left out.
    pub took: Duration,
    pub database: String,
    pub sql: String,
    /// `ok`, or the code of its error.
    pub outcome: &'static str,
    /// Rows of the answer.
    pub rows: u64,
    /// The plan and what was read, step by step.
    pub plan: Vec<(String, String)>,
}

/// The log.
#[derive(Debug)]
pub struct SlowLog {
    threshold: Duration,
    entries_max: usize,
    entries: Mutex<VecDeque<SlowQuery>>,
}

impl SlowLog {
    /// Remembers the newest queries that took as long as the threshold.
    pub fn new(threshold: Duration, entries_max: usize) -> Self {
        Self {
            threshold,
            entries_max,
            entries: Mutex::new(VecDeque::new()),
        }
    }

    /// Whether a query that took so long is one.
    pub fn is_slow(&self, took: Duration) -> bool {
        took >= self.threshold
    }

    /// Takes note of one.
    pub fn note(&self, mut query: SlowQuery) {
        cut(&mut query.sql);
        for (_, detail) in &mut query.plan {
            cut(detail);
        }
        let mut entries = self.entries.lock();
        if entries.len() >= self.entries_max {
            entries.pop_front();
        }
        entries.push_back(query);
    }

    /// The newest ones, the newest first.
    pub fn newest(&self, count: usize) -> Vec<SlowQuery> {
        let entries = self.entries.lock();
        entries.iter().rev().take(count).cloned().collect()
    }
}

impl SlowQuery {
    /// For people: a line, the text, and the plan below.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} {} ms, {} rows, {}, database {}\n  {}\n",
            rfc3339(self.time_ns),
            self.took.as_millis(),
            self.rows,
            self.outcome,
            self.database,
            self.sql.replace(['\n', '\r'], " "),
        );
        for (step, detail) in &self.plan {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {step}: {detail}");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let plan = self.plan.iter();
        let plan: Vec<Value> = plan
            .map(|(step, detail)| json!({"step": step, "detail": detail}))
            .collect();
        json!({
            "time": rfc3339(self.time_ns),
            "ms": self.took.as_secs_f64() * 1e3,
            "rows": self.rows,
            "outcome": self.outcome,
            "database": self.database,
            "sql": self.sql,
            "plan": plan,
        })
    }
}

fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(" ..");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(sql: &str) -> SlowQuery {
        SlowQuery {
            time_ns: 0,
            took: Duration::from_millis(5),
            database: "d".to_owned(),
            sql: sql.to_owned(),
            outcome: "ok",
            rows: 3,
            plan: vec![("time".to_owned(), "all".to_owned())],
        }
    }

    #[test]
    fn the_newest_are_kept_and_come_first() {
        let log = SlowLog::new(Duration::from_millis(5), 2);
        assert!(log.is_slow(Duration::from_millis(5)) && !log.is_slow(Duration::from_millis(4)));
        for sql in ["a", "b", "c"] {
            log.note(query(sql));
        }
        let texts: Vec<String> = log.newest(9).into_iter().map(|query| query.sql).collect();
        assert_eq!(texts, ["c", "b"]);
        assert_eq!(log.newest(1).len(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let log = SlowLog::new(Duration::ZERO, 1);
        log.note(query(&"ä".repeat(TEXT_BYTES_MAX)));
        let kept = &log.newest(1)[0];
        assert!(kept.sql.len() <= TEXT_BYTES_MAX + 3);
        assert!(kept.text().contains("5 ms, 3 rows, ok"));
        assert_eq!(kept.json()["plan"][0]["detail"], "all");
    }
}
