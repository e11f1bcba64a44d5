//! `edgetime import`: CSV files to a server, as line protocol.
//!
//! A row that cannot be read costs itself only: it is counted by its reason and reported with file and line.
//! Decimals are passed on as they are written, so that the server sees what the file says.

mod columns;
mod infer;
mod line;
mod time;

use std::path::PathBuf;

use clap::Args;
use csv::{ByteRecord, ReaderBuilder, Trim};
use edgetime_protocol::client::Writer;

use self::columns::{Columns, FieldSpec, TagSpec};
use self::infer::Inferred;
use self::line::{LineBuilder, RowError};
use super::connect::precision_parser;
use super::progress::Progress;
use super::rejects::Rejects;
use super::write::{Input, report_rejects};
use super::{CommandError, ServerArgs};
use crate::types::{AckLevel, Precision};

/// Flags of `edgetime import`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ImportArgs {
    /// Where to.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Measurement of all rows.
    #[arg(long, value_name = "M")]
    pub measurement: String,
    /// Column with the time: whole numbers, decimals, or RFC 3339.
    #[arg(long, value_name = "C")]
    pub time_column: String,
    /// Unit of times that are numbers.
    #[arg(long, value_name = "UNIT", default_value = "ms", value_parser = precision_parser())]
    pub time_unit: Precision,
    /// A tag with the same value for all rows.
    #[arg(long, value_name = "NAME=VALUE", value_parser = columns::parse_tag)]
    pub tag: Vec<(String, String)>,
    /// A column that is a tag.
    #[arg(long, value_name = "C")]
    pub tag_column: Vec<String>,
    /// A field from a column, of type float, integer, unsigned, boolean or string. Without any, every other
    /// column is a field of its own name.
    ///
    /// Where no type is given it follows from the first 1,000 rows: float where every value is a number, boolean
    /// where every value is true or false, string otherwise; float where there is no value. Empty cells are
    /// no value.
    #[arg(long, value_name = "NAME=COLUMN[:TYPE]", value_parser = columns::parse_field)]
    pub field: Vec<FieldSpec>,
    /// CSV files whose first line names the columns; `-` is standard input.
    #[arg(value_name = "FILE.csv", required = true)]
    pub files: Vec<PathBuf>,
}

/// Sends all files, and waits until everything is durable.
pub fn run(args: &ImportArgs) -> Result<(), CommandError> {
    let address = &args.server.addr;
    let failed = |error| CommandError::client(address, &error);
    let builder = args.line_builder()?;
    let inputs: Vec<Input> = args
        .files
        .iter()
        .map(|path| Input::open(path))
        .collect::<Result<_, _>>()?;
    let total = inputs.iter().map(|input| input.len_bytes).sum();
    let options = args
        .server
        .writer_options(Precision::Nanoseconds, AckLevel::Durable);
    let mut writer = Writer::connect(address.as_str(), &options).map_err(failed)?;
    let mut import = Import {
        args,
        builder,
        inferred: Inferred::default(),
        places: Places::default(),
        rejects: Rejects::default(),
        progress: Progress::of_bytes(total),
        buffer: Vec::with_capacity(2 * BUFFER_BYTES),
    };
    for input in inputs {
        import.file(input, &mut |lines| writer.write_raw(lines).map_err(failed))?;
    }
    let report = writer.finish().map_err(failed)?;
    let rows = report.rows_acknowledged;
    import.progress.finish(&format!("{rows} rows durable"));
    import
        .rejects
        .add_report(&report, |line| import.places.of(line));
    report_rejects(&import.rejects, "row")
}

impl ImportArgs {
    fn tags(&self) -> Vec<TagSpec> {
        let fixed = self
            .tag
            .iter()
            .map(|(name, value)| TagSpec::Fixed(name.clone(), value.clone()));
        let columns = self
            .tag_column
            .iter()
            .map(|name| TagSpec::Column(name.clone()));
        fixed.chain(columns).collect()
    }

    fn line_builder(&self) -> Result<LineBuilder, CommandError> {
        LineBuilder::new(&self.measurement, self.time_unit, self.tags())
            .map_err(CommandError::Usage)
    }
}

/// Where finished lines go.
type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), CommandError> + 'a;

/// Files on their way to line protocol.
struct Import<'a> {
    args: &'a ImportArgs,
    builder: LineBuilder,
    /// Types of columns, the same for all files.
    inferred: Inferred,
    places: Places,
    rejects: Rejects,
    progress: Progress,
    buffer: Vec<u8>,
}

impl Import<'_> {
    fn file(&mut self, input: Input, sink: &mut Sink<'_>) -> Result<(), CommandError> {
        let name = input.name.clone();
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .trim(Trim::Headers)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(input);
        let unreadable =
            |error: csv::Error| CommandError::Failed(format!("{name}: cannot be read: {error}"));
        let header: Vec<String> = reader
            .byte_headers()
            .map_err(unreadable)?
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).into_owned())
            .collect();
        let mut columns = Columns::find(
            &header,
            &self.args.time_column,
            &self.builder.tags,
            &self.args.field,
        )
        .map_err(|problem| CommandError::Failed(format!("{name}:1: {problem}")))?;
        self.places.begin(&name);
        let mut sample = Vec::new();
        let mut record = ByteRecord::new();
        while sample.len() < infer::SAMPLE_ROWS
            && reader.read_byte_record(&mut record).map_err(unreadable)?
        {
            sample.push(record.clone());
        }
        columns.set_types(&mut self.inferred, &sample);
        let mut done = 0;
        for record in &sample {
            done = self.row(&name, record, &columns, done, sink)?;
        }
        while reader.read_byte_record(&mut record).map_err(unreadable)? {
            done = self.row(&name, &record, &columns, done, sink)?;
        }
        self.send(sink)?;
        self.progress.advance(reader.position().byte() - done, 0);
        Ok(())
    }

    /// Turns a record into a line, or counts why not. Returns where in the file it stood.
    fn row(
        &mut self,
        name: &str,
        record: &ByteRecord,
        columns: &Columns,
        done: u64,
        sink: &mut Sink<'_>,
    ) -> Result<u64, CommandError> {
        let position = record.position();
        let (byte, line) = position.map_or((done, 0), |at| (at.byte(), at.line()));
        self.progress.advance(byte - done, 1);
        let start = self.buffer.len();
        match self.builder.push(record, columns, &mut self.buffer) {
            Ok(()) => {
                let lines = memchr::memchr_iter(b'\n', &self.buffer[start..]).count() as u64;
                self.places.take(line, lines);
            }
            Err(RowError { reason, problem }) => {
                self.rejects
                    .add(reason, || format!("{name}:{line}: {reason}: {problem}"));
            }
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.send(sink)?;
        }
        Ok(byte)
    }

    fn send(&mut self, sink: &mut Sink<'_>) -> Result<(), CommandError> {
        let sent = sink(&self.buffer);
        self.buffer.clear();
        sent
    }
}

/// Which file and line a line of the connection came from, in runs of neighbours.
#[derive(Debug, Default)]
struct Places {
    names: Vec<String>,
    /// First line of the connection, the file, and the line there, of each run.
    runs: Vec<(u64, usize, u64)>,
    lines: u64,
}

impl Places {
    fn begin(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// The next `lines` lines of the connection come from this line of the file.
    fn take(&mut self, line: u64, lines: u64) {
        let file = self.names.len().saturating_sub(1);
        let next = self.lines + 1;
        let follows = self.runs.last().is_some_and(|&(first, of, there)| {
            of == file && line >= there && next - first == line - there
        });
        if !follows {
            self.runs.push((next, file, line));
        }
        self.lines += lines;
    }

    fn of(&self, line: u64) -> String {
        let at = self.runs.partition_point(|&(first, ..)| first <= line);
        let run = at.checked_sub(1).and_then(|at| self.runs.get(at));
        match run
            .and_then(|&(first, file, there)| Some((self.names.get(file)?, there + line - first)))
        {
            Some((name, line)) => format!("{name}:{line}"),
            None => format!("line {line}"),
        }
    }
}

/// Bytes of line protocol sent at a time.
const BUFFER_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
