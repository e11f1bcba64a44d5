//! Progress of long work: rows, rate and time left where standard error is a terminal, silence elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that is drawn over and over.
pub(super) struct Progress {
    bar: ProgressBar,
    rows: u64,
}

impl Progress {
    /// Work that is measured in bytes; without a total there is no time left to show.
    pub(super) fn of_bytes(total: Option<u64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{msg} rows, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{msg} rows, {bytes}, {bytes_per_sec}, {elapsed}",
            ),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        Self {
            bar: bar.with_style(style),
            rows: 0,
        }
    }

    /// An answer that is waited for: drawn by the clock, while nothing comes as well.
    pub(super) fn of_answer() -> Self {
        let style = ProgressStyle::with_template("{msg}{elapsed}").expect("well formed");
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(TICK);
        Self { bar, rows: 0 }
    }

    /// More rows of the answer have come.
    pub(super) fn answered(&mut self, rows: u64) {
        self.rows += rows;
        let rows = indicatif::HumanCount(self.rows);
        self.bar.set_message(format!("{rows} rows, "));
    }

    /// Takes the line away without a word.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// More of it is done.
    pub(super) fn advance(&mut self, bytes: u64, rows: u64) {
        self.bar.inc(bytes);
        self.rows += rows;
        if !self.bar.is_hidden() {
            let rows = indicatif::HumanCount(self.rows);
            self.bar.set_message(rows.to_string());
        }
    }

    /// Takes the line away. On a terminal says what was done, and how long it took.
    pub(super) fn finish(&self, done: &str) {
        let elapsed = self.bar.elapsed();
        self.bar.finish_and_clear();
        if !self.bar.is_hidden() {
            super::say(format_args!("{done} in {}", seconds(elapsed)));
        }
    }
}

/// How often a line is drawn by the clock.
const TICK: Duration = Duration::from_millis(250);

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}
