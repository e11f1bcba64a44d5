//! `edgetime bench`: how fast a server takes rows and answers queries, or the engine without a server.
//!
//! The load is made before the clock starts and kept in memory; later rounds send the same values at later
//! times. Whoever measures shares the machine with the server: give it fewer connections than cores.

mod batches;
mod embedded;
mod ingest;
mod latency;
mod load;
mod process;
mod query;
mod report;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use self::load::Load;
use self::process::CpuTime;
use self::report::Report;
use super::{AckArg, CommandError, ServerArgs};
use crate::cli::workload::{START_NS, Values, Workload, WorkloadOptions};

/// Flags of `edgetime bench`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct BenchArgs {
    /// What is measured.
    #[arg(value_enum)]
    pub what: What,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The engine in this process, on files in the folder for temporary files; ingest only, and no server is asked.
    #[arg(long)]
    pub embedded: bool,
    /// Which rows are sent.
    #[arg(long, value_enum, default_value_t = Workload::Devops)]
    pub workload: Workload,
    /// How rows are sent.
    #[arg(long, value_enum, default_value_t = Protocol::Line)]
    pub protocol: Protocol,
    /// Number of series (hosts, sensors).
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub series: u64,
    /// Form of the walking numbers [default: int for devops, dec2 for iot].
    #[arg(long, value_enum)]
    pub values: Option<Values>,
    /// Connections that write (of mixed: as many again that query), each with its share of the series.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub connections: u64,
    /// How long rows are sent and queries asked.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Time of the first rows, nanoseconds; a second run over the same times overwrites.
    #[arg(long, value_name = "NS", default_value_t = START_NS)]
    pub start_ns: i64,
    /// What is waited for.
    #[command(flatten)]
    pub ack: AckArg,
    /// The query that is measured [default: averages by minute of one field].
    #[arg(long, value_name = "SQL")]
    pub sql: Option<String>,
    /// Process of the server on this machine, to count its processor time.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Print an object.
    #[arg(long)]
    pub json: bool,
}

/// How rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Line protocol.
    Line,
    /// Batches of the binary protocol.
    Binary,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Values a second.
    Ingest,
    /// Time of answers.
    Query,
    /// Both at the same time.
    Mixed,
}

/// Measures, and prints the figures.
pub fn run(args: &BenchArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    if args.embedded && args.what != What::Ingest {
        return Err(CommandError::Usage(
            "--embedded measures ingest only; leave it out, or use `bench ingest`".to_owned(),
        ));
    }
    let report = match (args.what, args.embedded) {
        (What::Query, _) => queries(args)?,
        (What::Ingest, true) => embedded::run(args)?,
        (What::Ingest, false) => ingest(args)?,
        (What::Mixed, _) => mixed(args)?,
    };
    report.print(args.json, out).map_err(CommandError::output)
}

/// When everybody stops.
struct Stop {
    at: Instant,
    early: AtomicBool,
}

impl Stop {
    fn after(seconds: u64) -> Arc<Self> {
        Arc::new(Self {
            at: Instant::now() + Duration::from_secs(seconds),
            early: AtomicBool::new(false),
        })
    }

    fn is_over(&self) -> bool {
        self.early.load(Ordering::Relaxed) || Instant::now() >= self.at
    }

    /// Somebody failed: there is nothing left to measure.
    fn now(&self) {
        self.early.store(true, Ordering::Relaxed);
    }
}

impl BenchArgs {
    fn workload_options(&self) -> WorkloadOptions {
        WorkloadOptions {
            start_ns: self.start_ns,
            values: self.values.unwrap_or(self.workload.values()),
            ..WorkloadOptions::new(self.workload, self.series, 1)
        }
    }

    fn loads(&self) -> Result<Vec<Load>, CommandError> {
        Load::parts(self.workload_options(), self.connections)
            .map_err(|error| CommandError::Usage(error.to_string()))
    }
}

fn ingest(args: &BenchArgs) -> Result<Report, CommandError> {
    let loads = args.loads()?;
    let cpu = CpuTime::of(args.server_pid)?;
    let stop = Stop::after(args.seconds);
    let started = Instant::now();
    let sent = in_parallel(loads, &stop, |load, stop| send(args, load, stop))?;
    let mut report = Report::new("ingest", args, started.elapsed());
    report.add_ingest(sent);
    report.add_cpu(cpu)?;
    Ok(report)
}

fn send(args: &BenchArgs, load: Load, stop: &Stop) -> Result<ingest::Sent, CommandError> {
    match args.protocol {
        Protocol::Line => ingest::send(args, load, stop),
        Protocol::Binary => batches::send(args, &load, stop),
    }
}

fn queries(args: &BenchArgs) -> Result<Report, CommandError> {
    let cpu = CpuTime::of(args.server_pid)?;
    let stop = Stop::after(args.seconds);
    let started = Instant::now();
    let askers = (0..args.connections).collect();
    let asked = in_parallel(askers, &stop, |_, stop| query::ask(args, stop))?;
    let mut report = Report::new("query", args, started.elapsed());
    report.add_queries(asked);
    report.add_cpu(cpu)?;
    Ok(report)
}

fn mixed(args: &BenchArgs) -> Result<Report, CommandError> {
    let loads = args.loads()?;
    let cpu = CpuTime::of(args.server_pid)?;
    let stop = Stop::after(args.seconds);
    let started = Instant::now();
    let (sent, asked) = thread::scope(|scope| {
        let askers = (0..args.connections).collect();
        let asked = scope.spawn(|| in_parallel(askers, &stop, |_, stop| query::ask(args, stop)));
        let sent = in_parallel(loads, &stop, |load, stop| send(args, load, stop));
        (sent, joined(asked))
    });
    let mut report = Report::new("mixed", args, started.elapsed());
    report.add_ingest(sent?);
    report.add_queries(asked?);
    report.add_cpu(cpu)?;
    Ok(report)
}

/// Runs one thread an item, and ends all where one fails.
fn in_parallel<I: Send, T: Send>(
    items: Vec<I>,
    stop: &Stop,
    work: impl Fn(I, &Stop) -> Result<T, CommandError> + Sync,
) -> Result<Vec<T>, CommandError> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| {
                scope.spawn(move || {
                    let result = work(item, stop);
                    if result.is_err() {
                        stop.now();
                    }
                    result
                })
            })
            .collect();
        threads.into_iter().map(joined).collect()
    })
}

fn joined<T>(
    thread: thread::ScopedJoinHandle<'_, Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let panicked = |_| {
        Err(CommandError::Failed(
            "a thread of the benchmark panicked".to_owned(),
        ))
    };
    thread.join().unwrap_or_else(panicked)
}
