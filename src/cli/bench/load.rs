//! A load in memory that goes on for ever: the same lines round after round, each at later times.

use crate::cli::workload::{Generator, WorkloadError, WorkloadOptions};
use crate::types::Timestamp;

/// Lines of one connection.
#[derive(Debug)]
pub(super) struct Load {
    text: Vec<u8>,
    /// Where the time of each line begins.
    times: Vec<usize>,
    /// Lines of each step of time.
    lines_per_step: usize,
    start_ns: Timestamp,
    interval_ns: u64,
    steps: u64,
    round: u64,
    values: u64,
}

impl Load {
    /// The parts of a load, one a connection. The span of the options does not matter: the load goes on.
    pub(super) fn parts(
        mut options: WorkloadOptions,
        parts: u64,
    ) -> Result<Vec<Self>, WorkloadError> {
        let parts = parts.min(options.series);
        // A first step tells how long lines are.
        options.span_ns = options.interval_ns;
        let mut step = Vec::new();
        Generator::part(options, 0, parts)?.fill(&mut step, usize::MAX);
        let steps = (BYTES_ALL / parts / step.len().max(1) as u64).clamp(1, STEPS_MAX);
        options.span_ns = options.interval_ns.saturating_mul(steps);
        (0..parts)
            .map(|part| Self::part(options, part, parts))
            .collect()
    }

    fn part(options: WorkloadOptions, part: u64, parts: u64) -> Result<Self, WorkloadError> {
        let mut generator = Generator::part(options, part, parts)?;
        let mut text = Vec::new();
        while generator.fill(&mut text, 1 << 20) {}
        let ends = memchr::memchr_iter(b'\n', &text);
        let times: Vec<usize> = ends.map(|end| end.saturating_sub(TIME_DIGITS)).collect();
        let steps = options.steps();
        Ok(Self {
            lines_per_step: (times.len() as u64 / steps) as usize,
            times,
            text,
            start_ns: options.start_ns,
            interval_ns: options.interval_ns,
            steps,
            round: 0,
            values: generator.summary().values,
        })
    }

    /// The lines of this round.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Lines and values of a round.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.times.len() as u64, self.values)
    }

    /// Pieces of about this size that end with a line: where each ends, and how many lines it has.
    pub(super) fn pieces(&self, bytes: usize) -> Vec<(usize, u64)> {
        let mut pieces = Vec::new();
        let (mut start, mut lines) = (0, 0);
        for &time in &self.times {
            let end = time + TIME_DIGITS + 1;
            lines += 1;
            if end - start >= bytes || end == self.text.len() {
                pieces.push((end, lines));
                (start, lines) = (end, 0);
            }
        }
        pieces
    }

    /// Nanoseconds from one round to the next.
    pub(super) fn round_ns(&self) -> u64 {
        self.interval_ns.saturating_mul(self.steps)
    }

    /// Moves all times to the next round. False where times no longer have as many digits.
    pub(super) fn advance(&mut self) -> bool {
        self.round += 1;
        for step in 0..self.steps {
            let since_start = (self.round * self.steps + step).saturating_mul(self.interval_ns);
            let digits = self
                .start_ns
                .saturating_add_unsigned(since_start)
                .to_string();
            if digits.len() != TIME_DIGITS {
                return false;
            }
            let first = step as usize * self.lines_per_step;
            for &time in &self.times[first..first + self.lines_per_step] {
                self.text[time..time + TIME_DIGITS].copy_from_slice(digits.as_bytes());
            }
        }
        true
    }
}

/// Digits of a time from 2001 to 2286 in nanoseconds.
const TIME_DIGITS: usize = 19;
/// Bytes of all parts together, about; a step is held whole in any case.
const BYTES_ALL: u64 = 256 << 20;
const STEPS_MAX: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::workload::Workload;

    #[test]
    fn rounds_go_on_where_the_last_one_ended() {
        let mut options = WorkloadOptions::new(Workload::Devops, 10, 1);
        options.span_ns = options.interval_ns * 3;
        let mut load = Load::part(options, 1, 2).expect("a load");
        assert_eq!(load.counts(), (15, 150));
        let first = load.text().to_vec();
        assert!(load.advance());
        let second = String::from_utf8_lossy(load.text()).into_owned();
        let time = |line: &str| {
            line.rsplit(' ')
                .next()
                .and_then(|t| t.parse::<i64>().ok())
                .expect("a time")
        };
        let shift = load.round_ns() as i64;
        for (before, after) in String::from_utf8_lossy(&first).lines().zip(second.lines()) {
            assert_eq!(time(after), time(before) + shift);
            assert_eq!(
                after.rsplit_once(' ').map(|x| x.0),
                before.rsplit_once(' ').map(|x| x.0)
            );
        }
        let pieces = load.pieces(1_000);
        assert_eq!(pieces.iter().map(|(_, lines)| lines).sum::<u64>(), 15);
        assert_eq!(pieces.last().map(|piece| piece.0), Some(load.text().len()));
    }

    #[test]
    fn there_are_no_more_parts_than_series() {
        let options = WorkloadOptions::new(Workload::Iot, 2, 1);
        assert_eq!(Load::parts(options, 8).expect("loads").len(), 2);
        let none = WorkloadOptions::new(Workload::Iot, 0, 1);
        assert!(Load::parts(none, 8).is_err());
    }
}
