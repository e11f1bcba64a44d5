//! `edgetime write`: line protocol from files or standard input to a server, as binary batches.
//!
//! Lines are read here, so that their rows travel packed, and each batch names its producer: over a connection that
//! breaks it is sent again, and stored once. A line that is none goes as it is to a text session, where the server
//! refuses it and keeps it to be read back.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use edgetime_protocol::client::{BatchOptions, BatchReport, BatchWriter, Writer, WriterOptions};
use edgetime_protocol::command::Directive;
use edgetime_protocol::error::Code;
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::{LineError, NoHints};
use edgetime_protocol::session::{Item, Session};

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
    // All files are opened first: a wrong name costs nothing then.
    let inputs: Vec<Input> = files
        .iter()
        .map(|path| Input::open(path))
        .collect::<Result<_, _>>()?;
    let total = inputs.iter().map(|input| input.len_bytes).sum();
    let mut sender = Sender::connect(args)?;
    let mut progress = Progress::of_bytes(total);
    let mut places = Places::default();
    let mut buffer = Vec::with_capacity(2 * BUFFER_BYTES);
    for mut input in inputs {
        places.begin(&input.name);
        loop {
            let at = buffer.len();
            buffer.resize(at + BUFFER_BYTES, 0);
            let len = input.read(&mut buffer[at..])?;
            buffer.truncate(at + len);
            if len == 0 {
                break;
            }
            let lines = places.take(&buffer[at..]);
            sender.consume(&mut buffer, &places)?;
            progress.advance(len as u64, lines);
        }
        if places.ends_inside_a_line() {
            places.take(b"\n");
            buffer.push(b'\n');
            sender.consume(&mut buffer, &places)?;
        }
    }
    let (report, mut rejects) = sender.finish(&mut buffer, &places)?;
    progress.finish(&match args.ack.ack {
        AckLevel::None => format!("{} lines sent", places.lines),
        level => format!("{} rows {}", report.rows, level.name()),
    });
    if report.duplicates > 0 {
        let (batches, were) = match report.duplicates {
            1 => ("batch", "was"),
            _ => ("batches", "were"),
        };
        super::say(format_args!(
            "edgetime: the answer to {} {batches} was lost, and {were} stored: rows of {} that were refused are in \
             `_rejected`, and not counted here",
            report.duplicates,
            if report.duplicates == 1 { "it" } else { "them" },
        ));
    }
    rejects.add_batches(&report, |line| places.of(line));
    report_rejects(&rejects, "line")
}

/// Lines in, batches out.
struct Sender<'a> {
    args: &'a WriteArgs,
    batches: BatchWriter,
    session: Session,
    database: Option<String>,
    /// Lines that are none.
    rejects: Rejects,
    /// How many of them the server was asked to keep.
    kept: usize,
    /// Why the server could not be asked, each time.
    unkept: Vec<CommandError>,
}

impl<'a> Sender<'a> {
    fn connect(args: &'a WriteArgs) -> Result<Self, CommandError> {
        let options = BatchOptions {
            database: args.server.db.clone(),
            token: args.server.token.clone(),
            client: concat!("edgetime ", env!("CARGO_PKG_VERSION")).to_owned(),
            ack: args.ack.ack,
            refused_max: super::rejects::SHOWN_MAX,
            retries_max: RETRIES_MAX,
            ..BatchOptions::default()
        };
        let address = args.server.addr.as_str();
        let batches = BatchWriter::connect(address, options);
        let mut session = Session::new(Limits::default());
        session.set_precision(args.precision);
        Ok(Self {
            args,
            batches: batches.map_err(|error| CommandError::client(address, &error))?,
            session,
            database: args.server.db.clone(),
            rejects: Rejects::default(),
            kept: 0,
            unkept: Vec::new(),
        })
    }

    /// Takes every whole line off the buffer.
    fn consume(&mut self, buffer: &mut Vec<u8>, places: &Places) -> Result<(), CommandError> {
        let address = self.args.server.addr.as_str();
        let failed = |error| CommandError::client(address, &error);
        loop {
            match self.session.next(buffer, &mut NoHints) {
                Item::Row(row) => {
                    let pushed = self.batches.push_row(&row, row.line).map_err(failed)?;
                    if let Err(error) = pushed {
                        let (line, raw) = (row.line, row.raw.to_vec());
                        self.stray(error, &raw, || places.of(line));
                    }
                }
                Item::Directive(line) => {
                    if let Directive::Database(name) = line.directive {
                        self.database = Some(name.to_owned());
                        self.batches.set_database(self.database.clone());
                    }
                }
                Item::Rejected(rejected) => {
                    let (line, error) = (rejected.line, rejected.error);
                    let raw = rejected.raw.to_vec();
                    self.stray(error, &raw, || places.of(line));
                }
                Item::Incomplete { .. } => break,
            }
        }
        buffer.drain(..self.session.take_consumed());
        Ok(())
    }

    /// Notes a line that is none, and has the server keep it.
    fn stray(&mut self, error: LineError, raw: &[u8], place: impl FnOnce() -> String) {
        let code = error.code.name();
        let line = || format!("{}: {code}: {}", place(), error.message);
        self.rejects.add(code, line);
        let is_tried = self.kept < STRAYS_KEPT && self.unkept.len() < KEEP_FAILURES_MAX;
        if !is_tried || error.code == Code::LineTooLong {
            return;
        }
        let address = self.args.server.addr.as_str();
        let options = WriterOptions {
            database: self.database.clone(),
            ..self
                .args
                .server
                .writer_options(self.session.precision(), AckLevel::None)
        };
        // A session of its own: an open string ends with it, and takes no other line along.
        let kept = Writer::connect(address, &options).and_then(|mut text| {
            text.write_raw(raw)?;
            text.finish()
        });
        match kept {
            Ok(_) => self.kept += 1,
            // The load goes on: the line is named here, too.
            Err(error) => self.unkept.push(CommandError::client(address, &error)),
        }
    }

    /// Waits for the answers to everything.
    fn finish(
        mut self,
        buffer: &mut Vec<u8>,
        places: &Places,
    ) -> Result<(BatchReport, Rejects), CommandError> {
        self.session.finish();
        self.consume(buffer, places)?;
        let address = self.args.server.addr.as_str();
        let report = self.batches.finish();
        let report = report.map_err(|error| CommandError::client(address, &error))?;
        if let Some(error) = self.unkept.first() {
            super::say(format_args!(
                "edgetime: not every line that is none could be handed to the server to be kept: {error}"
            ));
        }
        Ok((report, self.rejects))
    }
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

/// Lines that are none which the server is to keep; more are only counted.
const STRAYS_KEPT: usize = 1_000;
/// Connections for them that may fail before no more are made.
const KEEP_FAILURES_MAX: usize = 3;
/// Connections made anew in a row without progress: about two minutes, as long as a server may take to be back.
const RETRIES_MAX: u32 = 20;
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
