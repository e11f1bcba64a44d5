//! `edgetime inspect`: what a data directory holds, without a server and without changing a byte.

mod blocks;
mod index;
mod lock;
mod log;
mod names;
mod read_only;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::blocks::BlocksReport;
use self::index::IndexReport;
use self::log::LogReport;
use self::read_only::ReadOnly;
use super::CommandError;
use crate::engine::Loss;

/// Flags of `edgetime inspect`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct InspectArgs {
    /// The data directory. No server may use it.
    #[arg(value_name = "DATA_DIR")]
    pub data_dir: PathBuf,
    /// Segments and frames of the log.
    #[arg(long, group = "part")]
    pub log: bool,
    /// Stored chunks by series: points, bytes, bytes a point.
    #[arg(long, group = "part")]
    pub blocks: bool,
    /// Read every byte and compare every checksum; fails where anything is damaged, or was lost and not
    /// acknowledged.
    #[arg(long, group = "part")]
    pub verify: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is printed; without a flag both parts in short.
#[derive(Debug, Default, Serialize)]
struct Report {
    data_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<BlocksReport>,
    /// With `--verify`: what the metadata index is, or why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<IndexReport>,
    /// With `--verify`: what a server found to be lost, and nobody has taken note of.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<Vec<Loss>>,
}

/// Looks, and says what is there.
pub fn run(args: &InspectArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let directory = &args.data_dir;
    let name = directory.display();
    if !directory.is_dir() {
        return Err(CommandError::Failed(format!(
            "{name}: not a folder; name a data directory"
        )));
    }
    let storage = ReadOnly::new(directory);
    if !storage.holds_a_store() {
        return Err(CommandError::Failed(format!(
            "{name}: holds neither a manifest nor a log; name the folder that `serve --data-dir` uses"
        )));
    }
    let _lock = lock::share(directory)?;
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(format!("{name}: {error}"));
    let all = !(args.log || args.blocks);
    let mut report = Report {
        data_dir: name.to_string(),
        ..Report::default()
    };
    let (blocks, names, replay_from) =
        BlocksReport::read(&storage, args.verify).map_err(|error| failed(&error))?;
    let mut names = names;
    let log = if args.log || all || blocks.has_unnamed_series() {
        let read = LogReport::read(&storage, blocks.store_id(), replay_from, &mut names);
        Some(read.map_err(|error| failed(&error))?)
    } else {
        None
    };
    report.log = log.filter(|_| args.log || all);
    let losses = Some(blocks.losses());
    if args.blocks || all {
        report.blocks = Some(blocks.named(&names, args.blocks));
    }
    report.index = args.verify.then(|| IndexReport::read(directory));
    report.losses = losses.filter(|_| args.verify);
    let printed = if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)
            .map_err(Into::into)
            .and_then(|()| writeln!(out))
    } else {
        print(&report, out)
    };
    printed.map_err(CommandError::output)?;
    let damaged = report.log.as_ref().map_or(0, LogReport::losses)
        + report
            .blocks
            .as_ref()
            .map_or(0, |blocks| blocks.damage.len());
    let damaged = damaged + usize::from(report.index.as_ref().is_some_and(IndexReport::is_damaged));
    let lost = report.losses.as_ref().map_or(0, Vec::len);
    if args.verify && damaged + lost > 0 {
        out.flush().map_err(CommandError::output)?;
        let text = match (damaged, lost) {
            (0, lost) => {
                format!("{name}: nothing is damaged now; {lost} losses stand open, as listed")
            }
            (damaged, _) => format!("{name}: {damaged} places are damaged, as listed"),
        };
        return Err(CommandError::Failed(text));
    }
    Ok(())
}

fn print(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    if let Some(log) = &report.log {
        log.print(out)?;
    }
    if let Some(blocks) = &report.blocks {
        blocks.print(out)?;
    }
    if let Some(index) = &report.index {
        index.print(out)?;
    }
    for loss in report.losses.iter().flatten() {
        let rows = loss
            .rows
            .map_or(String::new(), |rows| format!(", {rows} rows"));
        writeln!(
            out,
            "lost before: {} {}: {}{rows}; {}",
            loss.id,
            loss.kind,
            loss.text,
            loss.series.join(" ")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
