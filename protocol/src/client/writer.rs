//! Writing line protocol: lines go out as fast as the socket takes them, answers are collected meanwhile.
//!
//! Invariant: `pongs` and `synced` positions are in the order asked, so the n-th answer belongs to the n-th question.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::string::String;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::own_lines::OwnLines;
use super::{ClientError, connect, socket_error};
use crate::answer::Answer;
use crate::command::{Directive, is_database_name};
use crate::error::Code;
use crate::types::{AckLevel, Precision};

/// How a writer's session is set up.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Database; `None` is the server's default.
    pub database: Option<String>,
    /// Token, where the server asks for one.
    pub token: Option<String>,
    /// Unit of the timestamps.
    pub precision: Precision,
    /// What an acknowledgement promises.
    pub ack: AckLevel,
    /// For connecting, for a write that does not move, and for an answer.
    pub timeout: Duration,
    /// Rejected lines kept with their reasons; more are only counted.
    pub rejected_max: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            database: None,
            token: None,
            precision: Precision::default(),
            ack: AckLevel::default(),
            timeout: Duration::from_secs(30),
            rejected_max: 10_000,
        }
    }
}

/// A line that the server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// Physical line among those that the caller wrote, from 1. 0: one of the session's own directives.
    pub line: u64,
    /// Why; `None` where this client does not know the code.
    pub code: Option<Code>,
    /// The server's words.
    pub message: String,
}

/// What a writer has heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows acknowledged; stays 0 with [`AckLevel::None`].
    pub rows_acknowledged: u64,
    /// Position in the log behind the last of them, or of the last sync.
    pub position: u64,
    /// Lines refused.
    pub rejected_count: u64,
    /// How many of each reason; `None` counts codes that this client does not know.
    pub reasons: BTreeMap<Option<Code>, u64>,
    /// The first of them, up to `rejected_max`.
    pub rejected: Vec<RejectedLine>,
}

/// A connection that writes line protocol.
#[derive(Debug)]
pub struct Writer {
    stream: TcpStream,
    heard: Arc<Heard>,
    reader: Option<JoinHandle<()>>,
    timeout: Duration,
    syncs_asked: u64,
    pings_asked: u64,
    /// The last byte written was a newline, so that a directive may follow.
    at_line_start: bool,
    own_lines: Arc<Mutex<OwnLines>>,
    lines_sent: u64,
}

/// What the reading thread shares.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    report: Report,
    syncs: u64,
    pongs: u64,
    /// The reading thread has ended; with an error, or because the server closed.
    ended: bool,
    error: Option<ClientError>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Connects and sends the directives that the options ask for.
    pub fn connect(
        address: impl ToSocketAddrs,
        options: &WriterOptions,
    ) -> Result<Self, ClientError> {
        let mut directives = Vec::new();
        if let Some(token) = &options.token {
            if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(ClientError::Unexpected("a token with spaces".to_owned()));
            }
            Directive::Auth(token).encode(&mut directives);
        }
        if let Some(name) = &options.database {
            if !is_database_name(name) {
                return Err(ClientError::Server {
                    code: Some(Code::BadDatabaseName),
                    message: format!("not a database name: {name:?}"),
                    offset: None,
                });
            }
            Directive::Database(name).encode(&mut directives);
        }
        if options.precision != Precision::default() {
            Directive::Precision(options.precision).encode(&mut directives);
        }
        if options.ack != AckLevel::default() {
            Directive::Ack(options.ack).encode(&mut directives);
        }
        let stream = connect(address, options.timeout)?;
        stream.set_write_timeout(Some(options.timeout))?;
        let heard = Arc::new(Heard::default());
        let own_lines = Arc::new(Mutex::new(OwnLines::default()));
        let reader = Reader {
            heard: Arc::clone(&heard),
            own_lines: Arc::clone(&own_lines),
            rejected_max: options.rejected_max,
        };
        let incoming = stream.try_clone()?;
        let reader = thread::Builder::new()
            .name("edgetime-answers".to_owned())
            .spawn(move || reader.run(incoming))?;
        let mut writer = Self {
            stream,
            heard,
            reader: Some(reader),
            timeout: options.timeout,
            syncs_asked: 0,
            pings_asked: 0,
            at_line_start: true,
            own_lines,
            lines_sent: 0,
        };
        writer.send_own(&directives)?;
        Ok(writer)
    }

    /// Sends line protocol as it is. Lines may be cut anywhere between calls.
    pub fn write_raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if let Some(&last) = bytes.last() {
            self.send(bytes)?;
            self.lines_sent += memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.at_line_start = last == b'\n';
        }
        Ok(())
    }

    /// Waits until everything that was written is durable, and gives the position in the log.
    pub fn sync(&mut self) -> Result<u64, ClientError> {
        self.end_line()?;
        self.send_directive(Directive::Sync)?;
        self.syncs_asked += 1;
        let asked = self.syncs_asked;
        self.wait(|state| (state.syncs >= asked).then_some(state.report.position))
    }

    /// Waits for a sign of life; every answer to what was written before has been heard then, except
    /// for acknowledgements that the server merges later.
    pub fn ping(&mut self) -> Result<(), ClientError> {
        self.end_line()?;
        self.send_directive(Directive::Ping)?;
        self.pings_asked += 1;
        let asked = self.pings_asked;
        self.wait(|state| (state.pongs >= asked).then_some(()))
    }

    /// What was heard so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.heard.lock().report.clone()
    }

    /// Says that no more lines follow, hears all remaining answers, and closes. With [`AckLevel::None`] too:
    /// the server closes its side when it has taken everything.
    pub fn finish(self) -> Result<Report, ClientError> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != std::io::ErrorKind::NotConnected => {
                return Err(error.into());
            }
            _ => {}
        }
        let heard = Arc::clone(&self.heard);
        let deadline = Instant::now() + self.timeout;
        let mut state = heard.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::TimedOut);
            }
            state = heard
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        match state.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut state.report)),
        }
    }

    /// Ends a line that the caller left open, so that a directive may follow.
    fn end_line(&mut self) -> Result<(), ClientError> {
        if self.at_line_start {
            Ok(())
        } else {
            self.write_raw(b"\n")
        }
    }

    fn send_directive(&mut self, directive: Directive<'_>) -> Result<(), ClientError> {
        let mut line = Vec::new();
        directive.encode(&mut line);
        self.send_own(&line)
    }

    /// Sends lines that are not the caller's, and notes where they stand.
    fn send_own(&mut self, lines: &[u8]) -> Result<(), ClientError> {
        let count = memchr::memchr_iter(b'\n', lines).count();
        self.own_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.lines_sent, count);
        self.send(lines)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.stream.write_all(bytes).map_err(|error| {
            // What the server said before it closed explains more than a broken pipe.
            self.heard
                .lock()
                .error
                .take()
                .unwrap_or_else(|| socket_error(error))
        })
    }

    fn wait<T>(&self, ready: impl Fn(&State) -> Option<T>) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.timeout;
        let mut state = self.heard.lock();
        loop {
            if let Some(value) = ready(&state) {
                return Ok(value);
            }
            if state.ended {
                return Err(state.error.take().unwrap_or(ClientError::Closed));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::TimedOut);
            }
            let waited = self.heard.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Wakes the reading thread. The socket may be gone already, which is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The thread that reads answers.
struct Reader {
    heard: Arc<Heard>,
    own_lines: Arc<Mutex<OwnLines>>,
    rejected_max: usize,
}

/// Longest line of an answer that is taken.
const ANSWER_BYTES_MAX: u64 = 4096;

impl Reader {
    fn run(&self, stream: TcpStream) {
        let result = self.read(BufReader::new(stream));
        let mut state = self.heard.lock();
        state.error = result.err();
        state.ended = true;
        drop(state);
        self.heard.changed.notify_all();
    }

    fn read(&self, mut stream: BufReader<TcpStream>) -> Result<(), ClientError> {
        let mut line = String::new();
        loop {
            line.clear();
            let mut limited = std::io::Read::take(&mut stream, ANSWER_BYTES_MAX);
            if limited.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if !line.ends_with('\n') {
                return Err(ClientError::Unexpected(
                    "an answer without an end".to_owned(),
                ));
            }
            let answer = Answer::parse(&line)
                .map_err(|_| ClientError::Unexpected(line.trim_end().to_owned()))?;
            self.hear(answer);
        }
    }

    fn hear(&self, answer: Answer) {
        let mut state = self.heard.lock();
        match answer {
            Answer::Acknowledged { position, rows } => {
                state.report.rows_acknowledged += rows;
                state.report.position = position;
            }
            Answer::Synced { position } => {
                state.report.position = position;
                state.syncs += 1;
            }
            Answer::Pong => state.pongs += 1,
            Answer::Rejected {
                line,
                code,
                message,
            } => {
                state.report.rejected_count += 1;
                *state.report.reasons.entry(code).or_default() += 1;
                if state.report.rejected.len() < self.rejected_max {
                    let line = self.line_of_caller(line);
                    state.report.rejected.push(RejectedLine {
                        line,
                        code,
                        message,
                    });
                }
            }
        }
        drop(state);
        self.heard.changed.notify_all();
    }

    fn line_of_caller(&self, line: u64) -> u64 {
        self.own_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .line_of_caller(line)
    }
}
