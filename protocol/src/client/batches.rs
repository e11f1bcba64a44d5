//! Writing rows in batches: typed rows in, binary batches out, answers collected, everything unanswered kept.
//!
//! Without a thread: answers are read when a batch is sent and when somebody waits. A connection that breaks is made
//! anew, with pauses that grow and differ by chance; names are declared again and what was not answered is sent
//! again. Invariant: a batch leaves `in_flight` only by its answer.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::string::String;
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::lines::LineNames;
use super::{ClientError, connect, socket_error};
use crate::cell;
use crate::error::Code;
use crate::message::{Failure, Hello, Message, VERSION, feature};
use crate::peer::{ClientEnd, ClientEvent, Unexpected};
use crate::types::{AckLevel, FieldType};
use crate::write::{BatchHead, Declarer, Full, Producer, RowCells, RowsBuilder, Written, decimal};

/// How batches are made and sent.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Database; `None` is the server's default.
    pub database: Option<String>,
    /// Token, where the server asks for one.
    pub token: Option<String>,
    /// Name and version of the program, for the server's list of clients.
    pub client: String,
    /// What an answer promises. `None` counts as accepted: without answers nothing could be sent again.
    pub ack: AckLevel,
    /// Rows of a batch at most.
    pub rows_max: usize,
    /// Bytes of a batch, about.
    pub bytes_max: usize,
    /// How long a row waits for others, at most; looked at when a row is added.
    pub age_max: Duration,
    /// Batches without an answer at most; never more than 64, so that the server tells all of them apart.
    pub in_flight_max: usize,
    /// For connecting, for a write that does not move, and for an answer.
    pub timeout: Duration,
    /// How often a broken connection is made anew before an error is given out.
    pub retries_max: u32,
    /// The pause before the first of them, about; doubled each time, up to 10 s.
    pub retry_pause: Duration,
    /// Refused rows kept with their reasons; more are only counted.
    pub refused_max: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            database: None,
            token: None,
            client: concat!("edgetime-protocol ", env!("CARGO_PKG_VERSION")).to_owned(),
            ack: AckLevel::Durable,
            rows_max: 10_000,
            bytes_max: 256 * 1024,
            age_max: Duration::from_secs(1),
            in_flight_max: 16,
            timeout: Duration::from_secs(30),
            retries_max: 5,
            retry_pause: Duration::from_millis(100),
            refused_max: 10_000,
        }
    }
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// A double.
    Float(f64),
    /// A decimal: mantissa and scale. 213 and 1 are 21.3.
    Decimal(i64, u8),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The caller's number of the row.
    pub tag: u64,
    /// Why; `None` where this client does not know the code.
    pub code: Option<Code>,
    /// The server's words, about the first row of its batch that was refused for this.
    pub message: String,
}

/// What a writer has heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Rows stored; of a batch that was a duplicate all, whatever the answer said that was lost.
    pub rows: u64,
    /// Batches that had been stored before and were sent again.
    pub duplicates: u64,
    /// Position in the log behind the last of them.
    pub position: u64,
    /// Rows refused.
    pub refused_count: u64,
    /// How many for each reason; `None` counts codes that this client does not know.
    pub reasons: BTreeMap<Option<Code>, u64>,
    /// The first of them, up to `refused_max`.
    pub refused: Vec<RefusedRow>,
    /// Connections made anew.
    pub reconnects: u64,
}

/// Writes rows in batches.
#[derive(Debug)]
pub struct BatchWriter {
    addresses: Vec<SocketAddr>,
    options: BatchOptions,
    link: Option<Link>,
    names: Names,
    rows: RowsBuilder,
    oldest: Option<Instant>,
    in_flight: VecDeque<InFlight>,
    /// Batches that may be on their way at once: few on a connection that has not proved itself.
    window: usize,
    producer: u64,
    /// The server that was welcomed last tells batches of a producer apart.
    has_producers: bool,
    sequence: u64,
    report: BatchReport,
}

#[derive(Debug)]
struct Link {
    stream: TcpStream,
    end: ClientEnd,
}

#[derive(Debug)]
struct InFlight {
    /// Its number on the connection; 0 while it is not sent.
    request: u32,
    payload: Vec<u8>,
    tags: Vec<u64>,
    has_producer: bool,
}

impl InFlight {
    /// Why nothing of a producer's batch was stored, where that may change.
    fn failure(&self, written: &Written) -> Option<Failure> {
        let [refused] = &written.refused[..] else {
            return None;
        };
        let code = refused.known_code().filter(|code| code.is_retryable())?;
        let is_whole = refused.rows.len() == self.tags.len() && self.has_producer;
        is_whole.then(|| Failure::new(code, &*refused.message))
    }
}

/// Numbers of what was declared.
#[derive(Debug, Default)]
struct Names {
    declarer: Declarer,
    tables: HashMap<Box<[u8]>, u32>,
    series: HashMap<Box<[u8]>, u32>,
    layouts: HashMap<Box<[u8]>, (u32, Vec<FieldType>)>,
    key: Vec<u8>,
    lines: LineNames,
}

/// Batches of a producer that a server tells apart: SPEC.md, section 2.7.
const IN_FLIGHT_MAX: usize = 64;
/// The longest pause before a connection is made anew.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

impl BatchWriter {
    /// Connects.
    pub fn connect(
        address: impl ToSocketAddrs,
        options: BatchOptions,
    ) -> Result<Self, ClientError> {
        let mut writer = Self {
            addresses: address.to_socket_addrs()?.collect(),
            options,
            link: None,
            names: Names::default(),
            rows: RowsBuilder::default(),
            oldest: None,
            in_flight: VecDeque::new(),
            window: IN_FLIGHT_MAX,
            producer: chance().max(1),
            has_producers: false,
            sequence: 0,
            report: BatchReport::default(),
        };
        writer.begin()?;
        Ok(writer)
    }

    /// Adds a row of the options' database; `tag` is the caller's own number for it, which refusals name. `None`
    /// leaves the time to the server. Sends a batch where one is full or old.
    pub fn push(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        fields: &[(&str, FieldValue<'_>)],
        time: Option<i64>,
        tag: u64,
    ) -> Result<(), ClientError> {
        let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
        let mut types = Vec::with_capacity(fields.len());
        for (_, value) in fields {
            let (kind, bit, mark) = cell_of(value, &mut heap);
            types.push(kind);
            bits.push(bit);
            marks.push(mark);
        }
        let names = fields.iter().map(|&(name, _)| name);
        let cells = RowCells {
            bits: &bits,
            marks: &marks,
            heap: &heap,
        };
        let database = self.options.database.take();
        let row = RowNames {
            database: database.as_deref().unwrap_or_default(),
            measurement,
            tags,
        };
        let pushed = self.push_cells(&row, names, &types, cells, time, tag);
        self.options.database = database;
        pushed
    }

    /// Adds a row as cells, see [`crate::cell`].
    pub fn push_cells<'a>(
        &mut self,
        row: &RowNames<'_>,
        fields: impl ExactSizeIterator<Item = &'a str> + Clone,
        types: &[FieldType],
        cells: RowCells<'_>,
        time: Option<i64>,
        tag: u64,
    ) -> Result<(), ClientError> {
        if self.is_full_of_names() {
            self.begin_names_again()?;
        }
        let (table, series) = self.declare_series(row);
        let layout = self.declare_layout(table, fields, types);
        self.push_declared((layout, types), series, time, cells, tag)
            .map(|_| ())
    }

    pub(super) fn is_full_of_names(&self) -> bool {
        self.names.declarer.is_full()
    }

    /// Waits for all answers, and forgets the names.
    pub(super) fn begin_names_again(&mut self) -> Result<(), ClientError> {
        self.sync()?;
        self.names = Names::default();
        self.rows.forget();
        self.forget_names()
    }

    pub(super) fn take_line_names(&mut self) -> LineNames {
        core::mem::take(&mut self.names.lines)
    }

    pub(super) fn put_line_names(&mut self, lines: LineNames) {
        self.names.lines = lines;
    }

    pub(super) fn options_mut(&mut self) -> &mut BatchOptions {
        &mut self.options
    }

    /// Table and series.
    pub(super) fn declare_series(&mut self, row: &RowNames<'_>) -> (u32, u32) {
        let table = self.names.table(row);
        (table, self.names.series(table, row.tags))
    }

    pub(super) fn declare_layout<'a>(
        &mut self,
        table: u32,
        fields: impl ExactSizeIterator<Item = &'a str> + Clone,
        types: &[FieldType],
    ) -> u32 {
        self.names.layout(table, fields, types)
    }

    /// Adds a row of declared names; whether a batch was sent.
    pub(super) fn push_declared(
        &mut self,
        (layout, types): (u32, &[FieldType]),
        series: u32,
        time: Option<i64>,
        cells: RowCells<'_>,
        tag: u64,
    ) -> Result<bool, ClientError> {
        let mut sent = false;
        if let Err(Full) = self.rows.push((layout, types), series, time, cells, tag) {
            self.flush()?;
            sent = true;
            let again = self.rows.push((layout, types), series, time, cells, tag);
            again
                .map_err(|Full| ClientError::Unexpected("a row larger than a batch".to_owned()))?;
        }
        let oldest = *self.oldest.get_or_insert_with(Instant::now);
        if self.rows.len() >= self.options.rows_max
            || self.rows.size_bytes_max() >= self.options.bytes_max * 4
            || self.rows.len().is_multiple_of(64) && oldest.elapsed() >= self.options.age_max
        {
            self.flush()?;
            sent = true;
        }
        Ok(sent)
    }

    /// Sends the rows that were gathered, without waiting for their answer.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.oldest = None;
        self.sequence += 1;
        let head = BatchHead {
            ack: self.options.ack.max(AckLevel::Accepted),
            producer: self.has_producers.then_some(Producer {
                id: self.producer,
                sequence: self.sequence,
            }),
        };
        let mut payload = Vec::new();
        let tags = self.rows.finish(head, &mut payload);
        self.in_flight.push_back(InFlight {
            request: 0,
            payload,
            tags,
            has_producer: self.has_producers,
        });
        let most = self.options.in_flight_max.min(IN_FLIGHT_MAX);
        let most = most.saturating_sub(1);
        self.drive(|writer| {
            writer.in_flight.len() <= most
                && writer.in_flight.iter().all(|batch| batch.request != 0)
        })
    }

    /// Sends what was gathered and waits until all of it is answered; the position in the log behind it.
    pub fn sync(&mut self) -> Result<u64, ClientError> {
        self.flush()?;
        self.drive(|writer| writer.in_flight.is_empty())?;
        Ok(self.report.position)
    }

    /// What was heard so far.
    #[must_use]
    pub fn report(&self) -> &BatchReport {
        &self.report
    }

    /// Waits for all answers and closes.
    pub fn finish(mut self) -> Result<BatchReport, ClientError> {
        self.sync()?;
        Ok(core::mem::take(&mut self.report))
    }

    /// Sends and hears until `done`, over new connections where the old one breaks.
    fn drive(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), ClientError> {
        let mut attempt = 0;
        loop {
            let answered = self.report.rows + self.report.refused_count;
            match self.exchange(&done) {
                Ok(()) => return Ok(()),
                Err(error) if !is_broken(&error) => return Err(error),
                Err(error) => {
                    self.link = None;
                    if self.report.rows + self.report.refused_count > answered {
                        attempt = 0;
                    }
                    if attempt == self.options.retries_max {
                        return Err(error);
                    }
                    thread::sleep(jittered(self.options.retry_pause, attempt));
                    attempt += 1;
                }
            }
        }
    }

    fn exchange(&mut self, done: &impl Fn(&Self) -> bool) -> Result<(), ClientError> {
        if self.link.is_none() {
            self.begin()?;
            self.report.reconnects += 1;
            // One batch at first: where little passes before it breaks again, its answer is what has to come back.
            self.window = 1;
            self.names.declarer.begin_again();
            for batch in &mut self.in_flight {
                batch.request = 0;
            }
        }
        loop {
            self.send_waiting()?;
            self.hear(false)?;
            if done(self) {
                return Ok(());
            }
            self.send_waiting()?;
            if done(self) {
                return Ok(());
            }
            self.hear(true)?;
        }
    }

    /// Sends what the credits and the window allow.
    fn send_waiting(&mut self) -> Result<(), ClientError> {
        let Some(Link { stream, end }) = &mut self.link else {
            return Err(ClientError::Closed);
        };
        for batch in self.in_flight.iter_mut().take(self.window) {
            if batch.request != 0 {
                continue;
            }
            if !end.may_write() {
                break;
            }
            for payload in self.names.declarer.take_unsaid() {
                end.declare(payload)?;
            }
            batch.request = end.write(&batch.payload)?;
        }
        let output = core::mem::take(end.output());
        if output.is_empty() {
            return Ok(());
        }
        stream.write_all(&output).map_err(socket_error)
    }

    /// Hears what the server says; with `wait` until it says anything.
    fn hear(&mut self, wait: bool) -> Result<(), ClientError> {
        // What came together with something else is in the buffer already.
        if self.take_events()? && wait {
            return Ok(());
        }
        let Some(Link { stream, end }) = &mut self.link else {
            return Err(ClientError::Closed);
        };
        let buffer = end.buffer();
        let len = buffer.len();
        buffer.resize(len + READ_BYTES, 0);
        stream.set_nonblocking(!wait)?;
        let read = stream.read(&mut buffer[len..]);
        buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        stream.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(ClientError::Closed),
            Ok(_) => self.take_events().map(|_| ()),
            Err(error) if !wait && error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(socket_error(error)),
        }
    }

    /// Takes what is in the buffer; whether there was anything.
    fn take_events(&mut self) -> Result<bool, ClientError> {
        let Some(Link { end, .. }) = &mut self.link else {
            return Err(ClientError::Closed);
        };
        let mut any = false;
        loop {
            match end.next_event()? {
                ClientEvent::Incomplete => return Ok(any),
                ClientEvent::Message(request, Message::Written(written)) => {
                    let at = self.in_flight.iter().position(|one| one.request == request);
                    let batch = at.and_then(|at| self.in_flight.get(at));
                    if let Some(failure) = batch.and_then(|batch| batch.failure(&written)) {
                        // Nothing of it was stored: it stays, and is sent again a while later.
                        return Err(failure.into());
                    }
                    if let Some(batch) = at.and_then(|at| self.in_flight.remove(at)) {
                        self.window = (self.window * 2).min(IN_FLIGHT_MAX);
                        let kept = self.options.refused_max;
                        self.report.add(&written, &batch.tags, kept);
                    }
                }
                ClientEvent::Message(_, Message::Error(failure)) => return Err(failure.into()),
                _ => {}
            }
            any = true;
        }
    }

    fn forget_names(&mut self) -> Result<(), ClientError> {
        if let Some(link) = &mut self.link {
            let mut payload = Vec::new();
            crate::write::Declaration::Forget.encode(&mut payload);
            link.end.declare(&payload)?;
        }
        Ok(())
    }

    /// Makes the connection.
    fn begin(&mut self) -> Result<(), ClientError> {
        let link = self.open()?;
        self.has_producers = link.end.has(feature::PRODUCERS);
        self.link = Some(link);
        Ok(())
    }

    fn open(&self) -> Result<Link, ClientError> {
        let stream = connect(&self.addresses[..], self.options.timeout)?;
        stream.set_read_timeout(Some(self.options.timeout))?;
        stream.set_write_timeout(Some(self.options.timeout))?;
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: feature::WRITES | feature::PRODUCERS,
            client: self.options.client.clone(),
            token: self.options.token.clone().unwrap_or_default(),
        };
        let mut link = Link {
            stream,
            end: ClientEnd::new(hello)?,
        };
        let output = core::mem::take(link.end.output());
        link.stream.write_all(&output).map_err(socket_error)?;
        let mut bytes = [0; 1024];
        loop {
            match link.end.next_event()? {
                ClientEvent::Incomplete => {}
                ClientEvent::Message(_, Message::Error(failure)) => return Err(failure.into()),
                _ if link.end.has(feature::WRITES) => return Ok(link),
                _ => {
                    let message = "a server that takes no batches".to_owned();
                    return Err(ClientError::Unexpected(message));
                }
            }
            let read = link.stream.read(&mut bytes).map_err(socket_error)?;
            if read == 0 {
                return Err(ClientError::Closed);
            }
            link.end.buffer().extend_from_slice(&bytes[..read]);
        }
    }
}

const READ_BYTES: usize = 16 * 1024;

/// Whose row it is.
#[derive(Clone, Copy, Debug)]
pub struct RowNames<'a> {
    /// The database; empty is the default one.
    pub database: &'a str,
    /// The measurement.
    pub measurement: &'a str,
    /// Keys and values, in any order.
    pub tags: &'a [(&'a str, &'a str)],
}

impl Names {
    fn table(&mut self, row: &RowNames<'_>) -> u32 {
        self.key.clear();
        put(&mut self.key, row.database);
        put(&mut self.key, row.measurement);
        if let Some(&known) = self.tables.get(&self.key[..]) {
            return known;
        }
        let number = self.declarer.table(row.database, row.measurement);
        self.tables.insert(self.key[..].into(), number);
        number
    }

    fn series(&mut self, table: u32, tags: &[(&str, &str)]) -> u32 {
        self.key.clear();
        self.key.extend_from_slice(&table.to_le_bytes());
        for (key, value) in tags {
            put(&mut self.key, key);
            put(&mut self.key, value);
        }
        if let Some(&known) = self.series.get(&self.key[..]) {
            return known;
        }
        let number = self.declarer.series(table, tags.iter().copied());
        self.series.insert(self.key[..].into(), number);
        number
    }

    fn layout<'a>(
        &mut self,
        table: u32,
        fields: impl ExactSizeIterator<Item = &'a str> + Clone,
        types: &[FieldType],
    ) -> u32 {
        self.key.clear();
        self.key.extend_from_slice(&table.to_le_bytes());
        for (name, kind) in fields.clone().zip(types) {
            self.key.push(kind.number());
            put(&mut self.key, name);
        }
        if let Some((known, _)) = self.layouts.get(&self.key[..]) {
            return *known;
        }
        let fields: Vec<_> = fields.zip(types.iter().copied()).collect();
        let number = self.declarer.layout(table, fields.into_iter());
        self.layouts
            .insert(self.key[..].into(), (number, types.to_vec()));
        number
    }
}

/// Appends a name so that no two lists of names are the same bytes.
fn put(key: &mut Vec<u8>, name: &str) {
    key.extend_from_slice(&(name.len() as u32).to_le_bytes());
    key.extend_from_slice(name.as_bytes());
}

fn cell_of(value: &FieldValue<'_>, heap: &mut Vec<u8>) -> (FieldType, u64, u8) {
    let mut bytes = |value: &[u8]| {
        let start = heap.len() as u32;
        heap.extend_from_slice(value);
        cell::heap(start, value.len() as u32)
    };
    match *value {
        FieldValue::Float(value) => {
            let (bits, mark) = decimal(value);
            (FieldType::Float, bits, mark)
        }
        FieldValue::Decimal(mantissa, scale)
            if scale <= cell::SCALE_MAX && mantissa.unsigned_abs() <= cell::MANTISSA_MAX as u64 =>
        {
            (FieldType::Float, mantissa as u64, scale)
        }
        FieldValue::Decimal(mantissa, scale) => {
            let value = mantissa as f64 / 10f64.powi(i32::from(scale));
            (FieldType::Float, value.to_bits(), cell::MARK_RAW)
        }
        FieldValue::Integer(value) => (FieldType::Integer, value as u64, 0),
        FieldValue::Unsigned(value) => (FieldType::Unsigned, value, 0),
        FieldValue::Boolean(value) => (FieldType::Boolean, u64::from(value), 0),
        FieldValue::String(value) => (FieldType::String, bytes(value.as_bytes()), 0),
        FieldValue::Binary(value) => (FieldType::Binary, bytes(value), 0),
    }
}

impl BatchReport {
    fn add(&mut self, written: &Written, tags: &[u64], refused_max: usize) {
        self.rows += written.rows;
        self.duplicates += u64::from(written.duplicate);
        if written.duplicate {
            // They were stored before; an answer that said so, or refused some, was lost.
            self.rows += tags.len() as u64;
        }
        self.position = self.position.max(written.position);
        for refused in &written.refused {
            let code = refused.known_code();
            *self.reasons.entry(code).or_default() += refused.rows.len() as u64;
            self.refused_count += refused.rows.len() as u64;
            let room = refused_max.saturating_sub(self.refused.len());
            let rows = refused.rows.iter().take(room);
            self.refused.extend(rows.map(|&row| RefusedRow {
                tag: tags.get(row as usize).copied().unwrap_or_default(),
                code,
                message: refused.message.clone(),
            }));
        }
    }
}

impl From<Unexpected> for ClientError {
    fn from(error: Unexpected) -> Self {
        match error {
            Unexpected::Frame(error) => Self::Frame(error),
            Unexpected::Message(error) => Self::Message(error),
            Unexpected::Order(what) => Self::Unexpected(what),
        }
    }
}

/// Whether another connection may do better.
fn is_broken(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Io(_)
            | ClientError::Closed
            | ClientError::TimedOut
            | ClientError::Frame(_)
            | ClientError::Message(_)
    ) || error.is_retryable()
}

/// A number by chance.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The pause before an attempt: between half of it and the whole.
fn jittered(pause: Duration, attempt: u32) -> Duration {
    let whole = pause
        .saturating_mul(1 << attempt.min(16))
        .min(RETRY_PAUSE_MAX);
    let share = (chance() >> 11) as f64 / (1u64 << 53) as f64;
    whole.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let pause = Duration::from_millis(100);
        for attempt in 0..20 {
            let whole = (pause * (1 << attempt.min(16))).min(RETRY_PAUSE_MAX);
            let found = jittered(pause, attempt);
            assert!(found >= whole / 2 && found <= whole, "{attempt} {found:?}");
        }
        let some: Vec<Duration> = (0..8).map(|_| jittered(pause, 3)).collect();
        assert!(some.iter().any(|one| *one != some[0]));
    }
}
