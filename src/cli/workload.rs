//! Loads that can be made again: the rows that `edgetime generate` prints and `edgetime bench` sends.
//!
//! The set of rows follows from workload, series, span, interval, start, seed and values alone; order,
//! lateness and the cut into parts decide only when a row comes. Every series draws from a generator
//! of its own, seeded by its id, so one part's rows are the whole load's rows of its series. Nothing here
//! reads a clock. Memory is bounded by the number of series (and the rows held back), not by the span.

mod devops;
mod iot;
mod prefixes;
mod random;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use crate::types::Timestamp;
use devops::Devops;
use iot::Iot;
use random::{SplitMix64, fraction, mix, scale};

/// Which rows are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Hosts: measurement `cpu`, 10 tags, 10 fields walking in 0..100, every 10 s.
    Devops,
    /// Sensors: measurement `readings`, 3 tags, 1 to 4 fields of all kinds, every second.
    Iot,
}

impl Workload {
    /// Time between two rows of a series where nothing else is asked for, nanoseconds.
    #[must_use]
    pub const fn interval_ns(self) -> u64 {
        match self {
            Self::Devops => 10_000_000_000,
            Self::Iot => 1_000_000_000,
        }
    }

    /// The form of numbers where nothing else is asked for.
    #[must_use]
    pub const fn values(self) -> Values {
        match self {
            Self::Devops => Values::Int,
            Self::Iot => Values::Dec2,
        }
    }
}

/// The form of walking numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Values {
    /// Integers: `58i`.
    Int,
    /// Doubles with two decimal places: `58.37`.
    Dec2,
    /// Doubles in all their digits: `58.370183749281734`.
    Double,
}

/// The order in which rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// By time, then always the same order of series.
    Time,
    /// By time, the series of every step in a new random order: no series follows the one it followed
    /// before, and yet each gets its rows in time order (`late` is what disturbs that).
    Random,
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkloadOptions {
    /// Which rows are made.
    pub workload: Workload,
    /// Number of series, from 1 to [`SERIES_MAX`].
    pub series: u64,
    /// Time that the load covers, nanoseconds: rows lie at `start + k * interval`, below `start + span`.
    pub span_ns: u64,
    /// Time between two rows of a series, nanoseconds, at least 1.
    pub interval_ns: u64,
    /// Time of the first rows, nanoseconds since the epoch.
    pub start_ns: Timestamp,
    /// The same seed makes the same rows.
    pub seed: u64,
    /// The form of walking numbers.
    pub values: Values,
    /// The order in which rows come.
    pub order: Order,
    /// Share of the rows held back by 1 to [`LATE_STEPS_MAX`] intervals, from 0 to 1.
    pub late: f64,
}

impl WorkloadOptions {
    /// A workload as it is by default: its own interval and values, in order, nothing late.
    #[must_use]
    pub const fn new(workload: Workload, series: u64, span_ns: u64) -> Self {
        Self {
            workload,
            series,
            span_ns,
            interval_ns: workload.interval_ns(),
            start_ns: START_NS,
            seed: 1,
            values: workload.values(),
            order: Order::Time,
            late: 0.0,
        }
    }

    /// Rows of each series.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.span_ns.div_ceil(self.interval_ns)
    }

    /// Rows of the whole load.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.steps().saturating_mul(self.series)
    }

    fn check(&self) -> Result<(), WorkloadError> {
        if self.series == 0 || self.series > SERIES_MAX {
            return Err(WorkloadError::Series {
                series: self.series,
            });
        }
        if self.interval_ns == 0 {
            return Err(WorkloadError::Interval);
        }
        if self.span_ns == 0 {
            return Err(WorkloadError::Span);
        }
        if !(0.0..=1.0).contains(&self.late) {
            return Err(WorkloadError::Late { late: self.late });
        }
        match self.start_ns.checked_add_unsigned(self.span_ns) {
            Some(_) if self.start_ns >= 0 => Ok(()),
            _ => Err(WorkloadError::Times {
                start_ns: self.start_ns,
                span_ns: self.span_ns,
            }),
        }
    }
}

/// A load that cannot be made. The message says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// No series, or too many.
    #[error("{series} series cannot be made; use 1 to {SERIES_MAX}")]
    Series {
        /// The number asked for.
        series: u64,
    },
    /// An interval of zero.
    #[error("the interval is zero; use at least 1ns")]
    Interval,
    /// A span of zero.
    #[error("the span is zero, so there is no row to make; use for example 1h")]
    Span,
    /// A share of late rows outside 0 to 1.
    #[error("{late} is no share of late rows; use 0.0 to 1.0")]
    Late {
        /// The share asked for.
        late: f64,
    },
    /// Times before the epoch, or beyond 64 bits.
    #[error(
        "rows from {start_ns} ns over {span_ns} ns do not lie between the years 1970 and 2262; \
         use a start in between and a shorter span"
    )]
    Times {
        /// Time of the first row.
        start_ns: Timestamp,
        /// The span asked for.
        span_ns: u64,
    },
    /// A part that is not one of the parts, or more parts than series.
    #[error("part {index} of {parts} does not exist; parts count from 0, and each needs a series")]
    Part {
        /// The part asked for.
        index: u64,
        /// The number of parts.
        parts: u64,
    },
}

/// What has been made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines, one a row.
    pub lines: u64,
    /// Field values in them.
    pub values: u64,
    /// Bytes, newlines included.
    pub bytes: u64,
    /// Lines that were held back.
    pub late: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lines,
            values,
            bytes,
            late,
        } = self;
        write!(f, "lines={lines} values={values} bytes={bytes} late={late}")
    }
}

/// Makes the lines of a load, or of one part of it, a buffer at a time.
#[derive(Debug)]
pub struct Generator {
    options: WorkloadOptions,
    source: Source,
    /// Ids of the series are `part + parts * index`.
    part: u64,
    parts: u64,
    /// The current step, and how many series of it have been made.
    step: u64,
    made: usize,
    /// ` TIME\n` of the current step.
    time: Vec<u8>,
    /// Order of the series in the current step; empty where they stand in their own.
    sequence: Vec<u32>,
    shuffle: SplitMix64,
    /// Lines held back, by the step after which they come, modulo the length.
    held: Vec<Vec<u8>>,
    summary: Summary,
}

impl Generator {
    /// The whole load.
    pub fn new(options: WorkloadOptions) -> Result<Self, WorkloadError> {
        Self::part(options, 0, 1)
    }

    /// The part of a load that one of several connections sends: every `parts`th series, from `index`.
    pub fn part(options: WorkloadOptions, index: u64, parts: u64) -> Result<Self, WorkloadError> {
        options.check()?;
        if index >= parts || parts > options.series {
            return Err(WorkloadError::Part { index, parts });
        }
        let ids = (index..options.series).step_by(parts as usize);
        let source = match options.workload {
            Workload::Devops => Source::Devops(Devops::new(ids, options.seed, options.values)),
            Workload::Iot => Source::Iot(Iot::new(ids, options.seed, options.values)),
        };
        let sequence = match options.order {
            Order::Time => Vec::new(),
            Order::Random => (0..source.len() as u32).collect(),
        };
        let held = if options.late > 0.0 {
            LATE_STEPS_MAX as usize + 1
        } else {
            0
        };
        Ok(Self {
            options,
            source,
            part: index,
            parts,
            step: 0,
            made: 0,
            time: Vec::new(),
            sequence,
            shuffle: SplitMix64::new(options.seed ^ SHUFFLE_SEED ^ mix(index)),
            held: vec![Vec::new(); held],
            summary: Summary::default(),
        })
    }

    /// What has been made so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Appends whole lines until `bytes_min` or more were added, or the load has ended. Returns whether
    /// there may be more.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes_min: usize) -> bool {
        let start = out.len();
        let end = start.saturating_add(bytes_min);
        let steps = self.options.steps();
        while self.step < steps && out.len() < end {
            if self.made == 0 {
                self.begin_step();
            }
            self.fill_from_step(out, end, self.step + 1 == steps);
            if self.made == self.source.len() {
                self.made = 0;
                self.release(self.step, out);
                self.step += 1;
            }
        }
        if self.step == steps {
            for due in steps..steps + self.held.len() as u64 {
                self.release(due, out);
            }
        }
        self.summary.bytes += (out.len() - start) as u64;
        self.step < steps
    }

    fn begin_step(&mut self) {
        let since_start_ns = self.step * self.options.interval_ns;
        self.time.clear();
        self.time.push(b' ');
        text::push_integer(
            &mut self.time,
            self.options.start_ns.wrapping_add_unsigned(since_start_ns),
        );
        self.time.push(b'\n');
        for last in (1..self.sequence.len()).rev() {
            let other = self.shuffle.below(last as u64 + 1) as usize;
            self.sequence.swap(last, other);
        }
    }

    /// Makes lines of the current step up to its end, or until `out` reaches `end`.
    fn fill_from_step(&mut self, out: &mut Vec<u8>, end: usize, is_last: bool) {
        let may_be_late = !self.held.is_empty() && !is_last;
        while self.made < self.source.len() && out.len() < end {
            let index = match self.sequence.get(self.made) {
                Some(index) => *index as usize,
                None => self.made,
            };
            let delay = if may_be_late { self.delay(index) } else { None };
            let to = match delay {
                Some(steps) => {
                    self.summary.late += 1;
                    let slot = (self.step + steps) % self.held.len() as u64;
                    &mut self.held[slot as usize]
                }
                None => &mut *out,
            };
            self.summary.values += self.source.push_line(index, &self.time, to);
            self.summary.lines += 1;
            self.made += 1;
        }
    }

    /// By how many steps a line is held back. Depends on the seed, its series and its step only, so it is the same
    /// however the load is ordered and cut.
    fn delay(&self, index: usize) -> Option<u64> {
        let id = self.part + self.parts * index as u64;
        let chance = mix(self.options.seed ^ LATE_SEED ^ mix(id) ^ mix(!self.step));
        (fraction(chance) < self.options.late).then(|| 1 + scale(mix(chance), LATE_STEPS_MAX))
    }

    /// Appends the lines that were held back until this step.
    fn release(&mut self, step: u64, out: &mut Vec<u8>) {
        if !self.held.is_empty() {
            let slot = step % self.held.len() as u64;
            out.append(&mut self.held[slot as usize]);
        }
    }
}

/// The series of a load.
#[derive(Debug)]
enum Source {
    Devops(Devops),
    Iot(Iot),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Devops(devops) => devops.len(),
            Self::Iot(iot) => iot.len(),
        }
    }

    #[inline]
    fn push_line(&mut self, index: usize, time: &[u8], out: &mut Vec<u8>) -> u64 {
        match self {
            Self::Devops(devops) => devops.push_line(index, time, out),
            Self::Iot(iot) => iot.push_line(index, time, out),
        }
    }
}

/// Most series of one load.
pub const SERIES_MAX: u64 = 10_000_000;
/// Most intervals that a late row is held back.
pub const LATE_STEPS_MAX: u64 = 100;
/// Time of the first rows where nothing else is asked for: 2026-01-01T00:00:00Z. Not the present, so
/// that the same command makes the same bytes tomorrow.
pub const START_NS: Timestamp = 1_767_225_600_000_000_000;

/// Sets the generator of the order apart from those of the series.
const SHUFFLE_SEED: u64 = 0x5bf0_3635_dc0d_5b1b;
/// Sets the choice of late rows apart from all else.
const LATE_SEED: u64 = 0x2545_f491_4f6c_dd1d;
