//! `edgetime generate`: a load as line protocol on standard output.
//!
//! Owns the command's flags and how they become a load; what the rows are is `workload`'s business.

use std::io::{self, IsTerminal as _, Write};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::duration::parse_duration_ns;
use super::workload::{
    Generator, Order, Summary, Values, Workload, WorkloadError, WorkloadOptions,
};
use crate::types::Timestamp;

/// Flags of `edgetime generate`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct GenerateArgs {
    /// Which rows are made.
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// Number of series (hosts, sensors).
    #[arg(long, value_name = "N")]
    pub series: u64,
    /// Time that the rows cover: 10s, 90m, 1h, 30d.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ns)]
    pub span: u64,
    /// Time between two rows of a series [default: 10s for devops, 1s for iot].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_ns)]
    pub interval: Option<u64>,
    /// Time of the first rows.
    #[arg(long, value_name = "RFC3339", value_parser = parse_start_ns, default_value = "2026-01-01T00:00:00Z")]
    pub start: Timestamp,
    /// The same seed makes the same rows.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Form of the walking numbers [default: int for devops, dec2 for iot].
    #[arg(long, value_enum)]
    pub values: Option<Values>,
    /// Order of the series within each step of time.
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub order: Order,
    /// Share of the rows that come late, by 1 to 100 intervals.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    pub late: f64,
}

impl GenerateArgs {
    /// The load that the flags describe.
    #[must_use]
    pub fn options(&self) -> WorkloadOptions {
        WorkloadOptions {
            workload: self.workload,
            series: self.series,
            span_ns: self.span,
            interval_ns: self.interval.unwrap_or(self.workload.interval_ns()),
            start_ns: self.start,
            seed: self.seed,
            values: self.values.unwrap_or(self.workload.values()),
            order: self.order,
            late: self.late,
        }
    }
}

/// Why a load was not written to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// The flags describe no load: wrong usage.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The output took no more; a closed pipe among others.
    #[error("cannot write the rows: {0}")]
    Write(#[from] io::Error),
}

/// Writes the whole load. The summary is for standard error.
pub fn run(args: &GenerateArgs, out: &mut dyn Write) -> Result<Summary, GenerateError> {
    let options = args.options();
    let mut generator = Generator::new(options)?;
    let progress = progress(options.lines());
    let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    loop {
        let more = generator.fill(&mut buffer, BUFFER_BYTES);
        out.write_all(&buffer)?;
        buffer.clear();
        progress.set_position(generator.summary().lines);
        if !more {
            break;
        }
    }
    out.flush()?;
    progress.finish_and_clear();
    Ok(generator.summary())
}

/// Rows, rate and time left, where somebody watches standard error and the rows go elsewhere.
fn progress(lines: u64) -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{human_pos} of {human_len} rows, {per_sec}, {eta} left")
            .expect("the template is well formed");
    ProgressBar::new(lines).with_style(style)
}

fn parse_start_ns(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is not a time; write for example 2026-01-01T00:00:00Z"))?;
    Timestamp::try_from(time.as_nanosecond())
        .map_err(|_| format!("`{text}` does not fit 64 bits of nanoseconds; use 1970 to 2262"))
}

/// Bytes written at a time.
const BUFFER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::workload::START_NS;
    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: GenerateArgs,
    }

    fn parse(line: &str) -> Result<GenerateArgs, clap::Error> {
        Command::try_parse_from(line.split(' ')).map(|command| command.args)
    }

    #[test]
    fn defaults_are_those_of_the_workload() {
        let args = parse("generate --workload devops --series 10 --span 1h").expect("valid");
        let expected = WorkloadOptions::new(Workload::Devops, 10, 3_600_000_000_000);
        assert_eq!(args.options(), expected);
        let args = parse("generate --workload iot --series 1 --span 1m").expect("valid");
        assert_eq!(
            args.options(),
            WorkloadOptions::new(Workload::Iot, 1, 60_000_000_000)
        );
        assert_eq!(args.start, START_NS);
    }

    #[test]
    fn every_flag_arrives() {
        let args = parse(
            "generate --workload iot --series 3 --span 1m --interval 500ms --start 1970-01-01T00:00:01Z \
             --seed 9 --values double --order random --late 0.25",
        )
        .expect("valid");
        assert_eq!(
            args.options(),
            WorkloadOptions {
                workload: Workload::Iot,
                series: 3,
                span_ns: 60_000_000_000,
                interval_ns: 500_000_000,
                start_ns: 1_000_000_000,
                seed: 9,
                values: Values::Double,
                order: Order::Random,
                late: 0.25,
            }
        );
    }

    #[test]
    fn wrong_usage_says_what_would_be_right() {
        for (line, part) in [
            (
                "--workload devops --series 1 --span 10",
                "use ns, us, ms, s, m, h, d or w",
            ),
            (
                "--workload devops --series 1 --span 1h --start yesterday",
                "2026-01-01T00:00:00Z",
            ),
            (
                "--workload devops --series 1 --span 1h --start 9000-01-01T00:00:00Z",
                "1970 to 2262",
            ),
            (
                "--workload cpu --series 1 --span 1h",
                "possible values: devops, iot",
            ),
        ] {
            let error = parse(&format!("generate {line}"))
                .expect_err(line)
                .to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn the_summary_counts_what_was_written() {
        let args = parse("generate --workload iot --series 40 --span 5m").expect("valid");
        let mut out = Vec::new();
        let summary = run(&args, &mut out).expect("a vector takes every byte");
        let lines = String::from_utf8_lossy(&out).lines().count() as u64;
        assert_eq!(
            (summary.lines, summary.values),
            (40 * 300, 40 * 300 * 5 / 2)
        );
        assert_eq!((summary.lines, summary.bytes), (lines, out.len() as u64));
        let expected = format!("lines=12000 values=30000 bytes={} late=0", out.len());
        assert_eq!(summary.to_string(), expected);
    }

    #[test]
    fn errors_are_passed_on() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let args = parse("generate --workload devops --series 1 --span 1m").expect("valid");
        assert!(matches!(
            run(&args, &mut Full),
            Err(GenerateError::Write(_))
        ));
        let none = GenerateArgs { series: 0, ..args };
        assert!(matches!(
            run(&none, &mut Full),
            Err(GenerateError::Workload(_))
        ));
    }
}
