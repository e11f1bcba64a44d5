//! One connection that sends its share of a load by the binary protocol: the same rows as the text would be, packed.
//!
//! Lines are read once, before the clock starts; each round packs their cells again with later times, as a client has
//! to that measures.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use edgetime_protocol::client::ClientError;
use edgetime_protocol::limits::Limits;
use edgetime_protocol::line::{NoHints, key};
use edgetime_protocol::message::{Hello, Message, VERSION, feature};
use edgetime_protocol::peer::{ClientEnd, ClientEvent};
use edgetime_protocol::session::{Item, Session};
use edgetime_protocol::types::FieldType;
use edgetime_protocol::write::{BatchHead, Declarer, RowCells, RowsBuilder};

use super::ingest::Sent;
use super::load::Load;
use super::{BenchArgs, Stop};
use crate::cli::CommandError;
use crate::types::AckLevel;

/// Rows of one batch.
const BATCH_ROWS: usize = 4_096;
const READ_BYTES: usize = 16 * 1024;

/// The rows of a load, their names declared.
#[derive(Debug, Default)]
struct Rows {
    declarer: Declarer,
    layouts: Vec<Vec<FieldType>>,
    rows: Vec<Row>,
    bits: Vec<u64>,
    marks: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    layout: u32,
    series: u32,
    time: i64,
    cells: usize,
}

impl Rows {
    fn read(text: &[u8], database: &str) -> Result<Self, CommandError> {
        let mut all = Self::default();
        let mut tables: HashMap<String, u32> = HashMap::new();
        let mut series: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut layouts: HashMap<(u32, String), u32> = HashMap::new();
        let limits = Limits::default();
        let mut session = Session::new(limits.clone());
        loop {
            let row = match session.next(text, &mut NoHints) {
                Item::Row(row) => row,
                Item::Incomplete { .. } => return Ok(all),
                other => return Err(CommandError::Failed(format!("no row: {other:?}"))),
            };
            let key = key::parse(row.key, &limits)
                .map_err(|error| CommandError::Failed(error.to_string()))?;
            let measurement = key.measurement().into_owned();
            let table = *tables
                .entry(measurement.clone())
                .or_insert_with(|| all.declarer.table(database, &measurement));
            let tags: Vec<_> = key.tags().collect();
            let tags = tags.iter().map(|(k, v)| (&**k, &**v));
            let number = *series
                .entry(row.key.to_vec())
                .or_insert_with(|| all.declarer.series(table, tags));
            let names: Vec<String> = row
                .keys()
                .map(|name| key::unescape_field_key(name).into_owned())
                .collect();
            let types = row.kinds();
            let layout = *layouts
                .entry((table, format!("{names:?}{types:?}")))
                .or_insert_with(|| {
                    let fields: Vec<_> = names
                        .iter()
                        .map(|name| &**name)
                        .zip(types.iter().copied())
                        .collect();
                    all.layouts.push(types.to_vec());
                    all.declarer.layout(table, fields.into_iter())
                });
            all.rows.push(Row {
                layout,
                series: number,
                time: row.time.unwrap_or_default(),
                cells: all.bits.len(),
            });
            all.bits.extend_from_slice(row.cells());
            all.marks.extend_from_slice(row.marks());
        }
    }

    /// A batch of some rows, so many nanoseconds later.
    fn batch(&self, rows: &[Row], later: i64, builder: &mut RowsBuilder, ack: AckLevel) -> Vec<u8> {
        for row in rows {
            let types = &self.layouts[row.layout as usize];
            let cells = row.cells..row.cells + types.len();
            let cells = RowCells {
                bits: &self.bits[cells.clone()],
                marks: &self.marks[cells],
                heap: &[],
            };
            let time = Some(row.time.wrapping_add(later));
            let pushed = builder.push((row.layout, types), row.series, time, cells, 0);
            pushed.expect("a batch has room for its rows");
        }
        let mut payload = Vec::new();
        let head = BatchHead {
            ack,
            producer: None,
        };
        builder.finish(head, &mut payload);
        payload
    }
}

/// A connection and what it has heard.
struct Link<'a> {
    args: &'a BenchArgs,
    stream: TcpStream,
    end: ClientEnd,
    sent: Sent,
    pending: VecDeque<(u32, u64, Instant)>,
    last: Instant,
}

/// Sends until it is over, and waits for the last answer.
pub(super) fn send(args: &BenchArgs, load: &Load, stop: &Stop) -> Result<Sent, CommandError> {
    let database = args.server.db.as_deref().unwrap_or_default();
    let mut rows = Rows::read(load.text(), database)?;
    let mut link = Link::open(args)?;
    for payload in rows.declarer.take_unsaid() {
        link.end
            .declare(payload)
            .map_err(|error| link.failed(error.into()))?;
    }
    let (_, values_of_round) = load.counts();
    let mut builder = RowsBuilder::default();
    let level = args.ack.ack;
    let started = Instant::now();
    let mut later = 0i64;
    'rounds: loop {
        for batch in rows.rows.chunks(BATCH_ROWS) {
            if stop.is_over() {
                break 'rounds;
            }
            let payload = rows.batch(batch, later, &mut builder, level);
            link.write(&payload, batch.len() as u64, level)?;
        }
        later = later.wrapping_add_unsigned(load.round_ns());
    }
    link.sent.sending = started.elapsed();
    if level == AckLevel::None {
        // The first row once more: its answer says that all before it is durable.
        let payload = rows.batch(&rows.rows[..1], 0, &mut builder, AckLevel::Durable);
        link.write(&payload, 0, AckLevel::Durable)?;
    }
    while !link.pending.is_empty() {
        link.hear(true)?;
    }
    let mut sent = link.sent;
    let rows_of_round = rows.rows.len().max(1) as u128;
    sent.values = (u128::from(sent.rows) * u128::from(values_of_round) / rows_of_round) as u64;
    sent.until_last_answer = link.last.duration_since(started).max(sent.sending);
    if level == AckLevel::None {
        sent.acknowledged = sent.rows - sent.rejected;
    }
    Ok(sent)
}

impl<'a> Link<'a> {
    fn open(args: &'a BenchArgs) -> Result<Self, CommandError> {
        let address = &args.server.addr;
        let failed = |error: io::Error| CommandError::client(address, &ClientError::Io(error));
        let stream = TcpStream::connect(address.as_str()).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: feature::WRITES,
            client: concat!("edgetime bench ", env!("CARGO_PKG_VERSION")).to_owned(),
            token: args.server.token.clone().unwrap_or_default(),
        };
        let end =
            ClientEnd::new(hello).map_err(|error| CommandError::client(address, &error.into()))?;
        let mut link = Self {
            args,
            stream,
            end,
            sent: Sent::default(),
            pending: VecDeque::new(),
            last: Instant::now(),
        };
        link.flush()?;
        while !link.end.may_write() {
            link.hear(true)?;
        }
        Ok(link)
    }

    fn failed(&self, error: ClientError) -> CommandError {
        CommandError::client(&self.args.server.addr, &error)
    }

    fn flush(&mut self) -> Result<(), CommandError> {
        let output = std::mem::take(self.end.output());
        self.sent.bytes += output.len() as u64;
        let written = self.stream.write_all(&output);
        written.map_err(|error| self.failed(error.into()))
    }

    fn write(&mut self, payload: &[u8], rows: u64, level: AckLevel) -> Result<(), CommandError> {
        self.hear(false)?;
        while !self.end.may_write() {
            self.hear(true)?;
        }
        let request = self.end.write(payload);
        let request = request.map_err(|error| self.failed(error.into()))?;
        if level != AckLevel::None {
            self.pending.push_back((request, rows, Instant::now()));
        }
        self.sent.rows += rows;
        self.flush()
    }

    /// Hears what was said; with `wait` until something is.
    fn hear(&mut self, wait: bool) -> Result<(), CommandError> {
        let buffer = self.end.buffer();
        let len = buffer.len();
        buffer.resize(len + READ_BYTES, 0);
        let read = self
            .stream
            .set_nonblocking(!wait)
            .and_then(|()| self.stream.read(&mut buffer[len..]));
        buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        match read.and_then(|read| self.stream.set_nonblocking(false).map(|()| read)) {
            Ok(0) => return Err(self.failed(ClientError::Closed)),
            Ok(_) => {}
            Err(error) if !wait && error.kind() == io::ErrorKind::WouldBlock => {
                let blocking = self.stream.set_nonblocking(false);
                return blocking.map_err(|error| self.failed(error.into()));
            }
            Err(error) => return Err(self.failed(error.into())),
        }
        loop {
            match self.end.next_event() {
                Ok(ClientEvent::Incomplete) => return Ok(()),
                Ok(ClientEvent::Message(request, Message::Written(written))) => {
                    self.last = Instant::now();
                    self.sent.rejected += written.refused_count();
                    if let Some(refused) = written.refused.first() {
                        let first = || format!("{} {}", refused.code, refused.message);
                        self.sent.rejection.get_or_insert_with(first);
                    }
                    while let Some((_, rows, at)) =
                        self.pending.pop_front_if(|(of, _, _)| *of <= request)
                    {
                        // What had no answer of its own was covered by a later one.
                        self.sent.acknowledged += rows;
                        self.sent.latencies.push(self.last.duration_since(at));
                    }
                    self.sent.acknowledged -= written.refused_count().min(self.sent.acknowledged);
                }
                Ok(ClientEvent::Message(_, Message::Error(failure))) => {
                    return Err(self.failed(failure.into()));
                }
                Ok(_) => {}
                Err(error) => return Err(self.failed(error.into())),
            }
        }
    }
}
