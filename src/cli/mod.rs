//! The subcommands, one file each, and what they share.
//!
//! Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong
//! usage. Every error is one line: what was wrong, where, what would be right. A reader of the output that
//! goes away (`edgetime query .. | head`) ends a command without a word.

pub mod admin;
pub mod bench;
pub mod codec;
mod connect;
pub mod duration;
mod error;
pub mod generate;
pub mod import;
pub mod inspect;
mod progress;
pub mod query;
mod rejects;
pub mod serve;
mod store;
#[cfg(test)]
mod tests;
mod usage;
pub mod workload;
pub mod write;

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use connect::{AckArg, ServerArgs};
pub use error::CommandError;

/// An in-memory time-series server for the edge: compressed, crash safe, small.
#[derive(Debug, Parser)]
#[command(name = "edgetime", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Send line protocol from files or standard input.
    Write(write::WriteArgs),
    /// Ask a server by SQL.
    Query(query::QueryArgs),
    /// Talk to a server's admin port.
    Admin(admin::AdminArgs),
    /// Send CSV files.
    Import(import::ImportArgs),
    /// Print a load that can be made again, as line protocol.
    Generate(generate::GenerateArgs),
    /// Measure a server, or the engine without one.
    Bench(bench::BenchArgs),
    /// Measure how small and how fast the codecs make `ts_ms,value` files.
    Codec(codec::CodecArgs),
    /// Look into a data directory that no server uses; changes nothing.
    Inspect(inspect::InspectArgs),
}

impl Command {
    fn run(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        match self {
            Self::Serve(args) => serve::run(args, out),
            Self::Write(args) => write::run(args),
            Self::Query(args) => query::run(args, out),
            Self::Admin(args) => admin::run(args, out),
            Self::Import(args) => import::run(args),
            Self::Generate(args) => run_generate(args, out),
            Self::Bench(args) => bench::run(args, out),
            Self::Codec(args) => codec::run(args, out),
            Self::Inspect(args) => inspect::run(args, out),
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let word = arguments.get(1).and_then(|word| word.to_str());
            return usage::report(&error, word);
        }
    };
    let mut out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout());
    let result = cli.command.run(&mut out);
    // What was printed before a failure is printed, too.
    let flushed = out.flush().map_err(CommandError::output);
    match result.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(line) = error.message() {
                say(format_args!("edgetime: {line}"));
            }
            error.exit_code()
        }
    }
}

fn run_generate(args: &generate::GenerateArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    match generate::run(args, out) {
        Ok(_) => Ok(()),
        Err(generate::GenerateError::Workload(error)) => {
            Err(CommandError::Usage(error.to_string()))
        }
        Err(generate::GenerateError::Write(error)) => Err(CommandError::output(error)),
    }
}

/// A line on standard error. If nobody takes it, nobody is to be told.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Bytes of output gathered before they are written.
const OUTPUT_BYTES: usize = 64 * 1024;
