//! What `write` and `import` say of rows that were refused: how many of each reason, and the first of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use edgetime_protocol::client::{BatchReport, Report};

/// Refused rows shown one by one.
pub(super) const SHOWN_MAX: usize = 10;

/// Refused rows by reason.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    counts: BTreeMap<String, u64>,
    shown: Vec<String>,
}

impl Rejects {
    /// Counts a row, and keeps its line if it is among the first.
    pub(super) fn add(&mut self, reason: &str, line: impl FnOnce() -> String) {
        match self.counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(reason.to_owned(), 1);
            }
        }
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(line());
        }
    }

    /// Adds what the server refused. `place` tells where a line of the writer stood.
    pub(super) fn add_report(&mut self, report: &Report, place: impl Fn(u64) -> String) {
        for (code, count) in &report.reasons {
            let name = code.map_or("other", |code| code.name());
            *self.counts.entry(name.to_owned()).or_default() += count;
        }
        let room = SHOWN_MAX.saturating_sub(self.shown.len());
        for rejected in report.rejected.iter().take(room) {
            let code = rejected
                .code
                .map_or(String::new(), |code| format!("{code}: "));
            let place = match rejected.line {
                0 => "session".to_owned(),
                line => place(line),
            };
            self.shown
                .push(format!("{place}: {code}{}", rejected.message));
        }
    }

    /// Adds what the server refused of batches. `place` tells where a row's line stood.
    pub(super) fn add_batches(&mut self, report: &BatchReport, place: impl Fn(u64) -> String) {
        for (code, count) in &report.reasons {
            let name = code.map_or("other", |code| code.name());
            *self.counts.entry(name.to_owned()).or_default() += count;
        }
        let room = SHOWN_MAX.saturating_sub(self.shown.len());
        for refused in report.refused.iter().take(room) {
            let code = refused
                .code
                .map_or(String::new(), |code| format!("{code}: "));
            let place = place(refused.tag);
            self.shown
                .push(format!("{place}: {code}{}", refused.message));
        }
    }

    /// Whether nothing was refused.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The lines for standard error: counts by reason, then the first few. `what` is one row's name.
    pub(super) fn lines(&self, what: &str) -> Vec<String> {
        let total: u64 = self.counts.values().sum();
        let plural = if total == 1 { "" } else { "s" };
        let mut first = format!("{total} {what}{plural} rejected:");
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (index, (reason, count)) in counts.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(first, "{comma} {count} {reason}");
        }
        let shown = self.shown.len() as u64;
        let mut lines = vec![first];
        lines.extend(self.shown.iter().cloned());
        if total > shown {
            lines.push(format!("... and {} more", total - shown));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use edgetime_protocol::client::RejectedLine;
    use edgetime_protocol::error::Code;

    use super::*;

    #[test]
    fn reasons_are_counted_and_the_first_lines_shown() {
        let mut rejects = Rejects::default();
        assert!(rejects.is_empty());
        rejects.add("bad_value", || "a.csv:3: no number".to_owned());
        let report = Report {
            rejected_count: 30,
            reasons: BTreeMap::from([(None, 1), (Some(Code::BadSyntax), 29)]),
            rejected: vec![RejectedLine {
                line: 7,
                code: Some(Code::BadSyntax),
                message: "no fields".to_owned(),
            }],
            ..Report::default()
        };
        rejects.add_report(&report, |line| format!("x:{line}"));
        assert_eq!(
            rejects.lines("row"),
            [
                "31 rows rejected: 29 bad_syntax, 1 bad_value, 1 other",
                "a.csv:3: no number",
                "x:7: bad_syntax: no fields",
                "... and 29 more",
            ]
        );
    }
}
