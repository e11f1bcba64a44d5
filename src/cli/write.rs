//! `edgetime write`: line protocol from files or standard input to a server, as it is.
//!
//! The client copies bytes and counts newlines; it never looks into a line.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use edgetime_protocol::client::Writer;

use super::connect::precision_parser;
use super::progress::Progress;
use super::rejects::Rejects;
use super::{AckArg, CommandError, ServerArgs};
use crate::types::{AckLevel, Precision};

/// Flags of `edgetime write`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WriteArgs {
    /// Where to.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Unit of the timestamps.
    #[arg(long, value_name = "UNIT", default_value = "ns", value_parser = precision_parser())]
    pub precision: Precision,
    /// What is waited for.
    #[command(flatten)]
    pub ack: AckArg,
    /// Files of line protocol; `-` is standard input, and so is none at all.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Sends everything, and waits for what was asked for.
pub fn run(args: &WriteArgs) -> Result<(), CommandError> {
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() {
        &stdin[..]
    } else {
        &args.files
    };
    let address = &args.server.addr;
    let failed = |error| CommandError::client(address, &error);
    let options = args.server.writer_options(args.precision, args.ack.ack);
    // All files are opened first: a wrong name costs nothing then.
    let inputs: Vec<Input> = files
        .iter()
        .map(|path| Input::open(path))
        .collect::<Result<_, _>>()?;
    let total = inputs.iter().map(|input| input.len_bytes).sum();
    let mut writer = Writer::connect(address.as_str(), &options).map_err(failed)?;
    let mut progress = Progress::of_bytes(total);
    let mut places = Places::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    for mut input in inputs {
        places.begin(&input.name);
        loop {
            let len = input.read(&mut buffer)?;
            if len == 0 {
                break;
            }
            let lines = places.take(&buffer[..len]);
            writer.write_raw(&buffer[..len]).map_err(failed)?;
            progress.advance(len as u64, lines);
        }
        if places.ends_inside_a_line() {
            places.take(b"\n");
            writer.write_raw(b"\n").map_err(failed)?;
        }
    }
    if args.ack.ack == AckLevel::None {
        // Without acknowledgements this is what brings the errors before the end.
        writer.sync().map_err(failed)?;
    }
    let report = writer.finish().map_err(failed)?;
    progress.finish(&match args.ack.ack {
        AckLevel::None => format!("{} lines sent", places.lines),
        level => format!("{} rows {}", report.rows_acknowledged, level.name()),
    });
    let mut rejects = Rejects::default();
    rejects.add_report(&report, |line| places.of(line));
    report_rejects(&rejects, "line")
}

/// Says what was refused; an error where anything was.
pub(super) fn report_rejects(rejects: &Rejects, what: &str) -> Result<(), CommandError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let lines = rejects.lines(what);
    super::say(format_args!("edgetime: {}", lines.join("\n")));
    Err(CommandError::Reported)
}

/// A file, or standard input.
pub(super) struct Input {
    /// As it is called in messages.
    pub(super) name: String,
    /// Its size, where it is known before it has been read.
    pub(super) len_bytes: Option<u64>,
    reader: Box<dyn Read>,
}

impl Input {
    /// Opens a path; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                name: "-".to_owned(),
                len_bytes: None,
                reader: Box::new(io::stdin()),
            });
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((metadata.is_file().then_some(metadata.len()), file))
        });
        let (len_bytes, file) = opened.map_err(|error| CommandError::input(&name, &error))?;
        Ok(Self {
            name,
            len_bytes,
            reader: Box::new(file),
        })
    }

    /// What is there now; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CommandError> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|error| CommandError::input(&self.name, &error)),
            }
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Which file a line of the connection came from.
#[derive(Debug, Default)]
struct Places {
    /// Name of each file, and the lines before its first.
    files: Vec<(String, u64)>,
    lines: u64,
    open: bool,
}

impl Places {
    fn begin(&mut self, name: &str) {
        self.files.push((name.to_owned(), self.lines));
    }

    /// Counts the lines of the next bytes.
    fn take(&mut self, bytes: &[u8]) -> u64 {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.lines += lines;
        self.open = bytes.last().is_some_and(|&byte| byte != b'\n');
        lines
    }

    fn ends_inside_a_line(&self) -> bool {
        self.open
    }

    /// `FILE:LINE` of a line counted from 1 over all files.
    fn of(&self, line: u64) -> String {
        let at = self.files.partition_point(|(_, before)| *before < line);
        match at.checked_sub(1).and_then(|at| self.files.get(at)) {
            Some((name, before)) => format!("{name}:{}", line - before),
            None => format!("line {line}"),
        }
    }
}

/// Bytes read and sent at a time.
const BUFFER_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_their_files() {
        let mut places = Places::default();
        places.begin("a");
        assert_eq!(places.take(b"1\n2\n3"), 2);
        assert!(places.ends_inside_a_line());
        places.take(b"\n");
        places.begin("empty");
        places.begin("b");
        places.take(b"1\n");
        assert!(!places.ends_inside_a_line());
        let found: Vec<String> = (1..=4).map(|line| places.of(line)).collect();
        assert_eq!(found, ["a:1", "a:2", "a:3", "b:1"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, part) in [
            (folder.path().join("none"), "name a file that is there"),
            (folder.path().to_owned(), "not a folder"),
        ] {
            let error = Input::open(&path).err().expect("refused").to_string();
            assert!(
                error.contains(part) && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }
}
