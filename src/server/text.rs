//! A text session on the data port: bytes become batches, batches become acknowledgements.
//!
//! One task reads and writes rows, another sends answers. Rows of one connection are applied in the
//! order in which they came. A peer that asked for acknowledgements and does not read them is paused,
//! then closed; one that did not ask is never waited for.

use std::sync::Arc;
use std::time::Duration;

use edgetime_protocol::command::Directive;
use edgetime_protocol::error::Code;
use edgetime_protocol::message::Token;
use edgetime_protocol::session::{Item, Session};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::{Access, Batch, Written};
use crate::types::{AckLevel, Position};

use super::auth::Standing;
use super::clients::Client;
use super::intake::{Intake, Refusal, refusal};
use super::letters::{Keeper, Line};
use super::outbox::{Next, Outbox};
use super::{DEFAULT_DATABASE, Shared, line_limits, refusal_of_line};

/// How long a peer that does not read its acknowledgements is waited for.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a quoted string may stay open.
const QUOTE_OPEN: Duration = Duration::from_secs(5);
/// How long a write waits for room in the log, or in memory, before it is refused.
const LOG_FULL: Duration = Duration::from_secs(10);
/// Bytes an idle connection may keep.
const IDLE_BYTES: usize = 4096;
/// Bytes that the batch of an idle connection may keep.
pub const IDLE_BATCH_BYTES: usize = 64 * 1024;
/// Bytes of gathered rows that are written without waiting for more.
const BATCH_BYTES: usize = 512 * 1024;

/// Serves a text session until the peer closes it or the server stops.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, client: Arc<Client>) {
    let (read, write) = stream.into_split();
    let outbox = Arc::new(Outbox::default());
    let sender = tokio::spawn(send(Arc::clone(&shared), write, Arc::clone(&outbox)));
    let standing = Standing::of_nobody(&shared);
    match Gatherer::new(&shared, &outbox, client.peer(), standing) {
        Ok(mut gatherer) => {
            gatherer.client = Some(Arc::clone(&client));
            let mut reader = Reader {
                shared,
                read,
                outbox: Arc::clone(&outbox),
                client,
                gatherer,
            };
            reader.run().await;
        }
        Err(error) => outbox.rejected(0, error.code, &error.message, false),
    }
    outbox.end();
    if let Err(error) = sender.await {
        tracing::error!(%error, "the sender of a session failed");
    }
}

/// Sends answers as they become true.
async fn send(shared: Arc<Shared>, mut write: OwnedWriteHalf, outbox: Arc<Outbox>) {
    let mut progress = shared.committer.progress();
    loop {
        let seen = progress.borrow_and_update().clone();
        match outbox.next(seen.durable) {
            Next::Send(bytes) => {
                let sent = timeout(WRITE_STALL, write.write_all(&bytes)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    outbox.break_off();
                    return;
                }
            }
            Next::Done => break,
            Next::Wait if seen.failed.is_some() && outbox.waits_for_sync() => {
                // What was promised cannot be kept: the peer must not take silence for success.
                outbox.break_off();
                return;
            }
            Next::Wait => {
                tokio::select! {
                    () = outbox.filled() => {}
                    _ = progress.changed() => {}
                }
            }
        }
    }
    // The peer may be gone; there is nobody to tell.
    let _ = write.shutdown().await;
}

struct Reader {
    shared: Arc<Shared>,
    read: OwnedReadHalf,
    outbox: Arc<Outbox>,
    client: Arc<Client>,
    gatherer: Gatherer,
}

/// What a socket gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// All that has come so far.
    All,
    /// The peer has closed it: a last line without its newline is whole.
    End,
    /// The connection broke: what is left of a line may be a part of it, and would be a wrong value.
    Break,
}

impl Reader {
    async fn run(&mut self) {
        let mut rest: Vec<u8> = Vec::new();
        let mut quote_since: Option<Instant> = None;
        loop {
            let quote_deadline = quote_since.map(|since| since + QUOTE_OPEN);
            tokio::select! {
                ready = self.read.readable() => if ready.is_err() { break },
                () = self.client.closed() => break,
                () = sleep_until(quote_deadline) => {
                    self.gatherer.session.abandon();
                    quote_since = None;
                    self.consume(&mut rest).await;
                    self.flush().await;
                    continue;
                }
            }
            let mut buffer = self.shared.buffers.lend();
            buffer.append(&mut rest);
            let heard = self.drain_socket(&mut buffer).await;
            let quoted = self.gatherer.quoted;
            quote_since = if quoted {
                quote_since.or_else(|| Some(Instant::now()))
            } else {
                None
            };
            self.gatherer.batch.give_back(IDLE_BATCH_BYTES);
            if buffer.len() <= IDLE_BYTES {
                rest = Vec::with_capacity(buffer.len());
                rest.extend_from_slice(&buffer);
                self.shared.buffers.give_back(buffer);
            } else {
                rest = buffer;
            }
            let held = rest.capacity() + self.gatherer.batch.memory_bytes();
            self.client.holds(held);
            if heard == Heard::End {
                self.gatherer.session.finish();
                self.consume(&mut rest).await;
                self.flush().await;
            }
            if heard != Heard::All || self.outbox.is_broken() {
                break;
            }
        }
        self.flush().await;
        self.gatherer.say_revoked(&self.shared);
    }

    /// Reads and applies until the socket holds no more.
    async fn drain_socket(&mut self, buffer: &mut Vec<u8>) -> Heard {
        loop {
            let size_bytes = self.shared.buffers.size_bytes();
            if buffer.capacity() - buffer.len() < size_bytes / 4 {
                buffer.reserve(size_bytes);
            }
            match self.read.try_read_buf(buffer) {
                Ok(0) => return Heard::End,
                Ok(read) => {
                    self.client.received(read);
                    self.consume(buffer).await;
                    self.pause().await;
                    let over = self.outbox.is_broken();
                    if over || self.client.is_closed() {
                        return Heard::All;
                    }
                    // A sender that never pauses must not keep a worker for itself.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.flush().await;
                    self.pause().await;
                    return Heard::All;
                }
                Err(_) => return Heard::Break,
            }
        }
    }

    /// Applies all complete lines at the front of the buffer, and drops them from it.
    async fn consume(&mut self, buffer: &mut Vec<u8>) {
        loop {
            let more = self.gatherer.gather(&self.shared, buffer);
            let consumed = self.gatherer.session.take_consumed();
            if consumed == buffer.len() {
                buffer.clear();
            } else if consumed > 0 {
                buffer.drain(..consumed);
            }
            if !more {
                return;
            }
            self.flush().await;
            self.pause().await;
        }
    }

    /// Writes what was gathered, waiting while the log is full.
    async fn flush(&mut self) {
        let deadline = Instant::now() + LOG_FULL;
        loop {
            let Some(written) = self.gatherer.write(&self.shared) else {
                return;
            };
            match written.error {
                Some(error) if error.is_passing() && Instant::now() < deadline => {
                    self.shared.maintenance.make_room(&error).await;
                }
                Some(error) => {
                    self.gatherer.refuse_batch(&self.shared, &refusal(&error));
                    return;
                }
                None => return,
            }
        }
    }

    /// Waits while a peer that asked for acknowledgements does not take its answers.
    async fn pause(&mut self) {
        if self.gatherer.ack == AckLevel::None {
            return;
        }
        let deadline = Instant::now() + WRITE_STALL;
        while self.outbox.is_full() && !self.outbox.is_broken() {
            if timeout_at(deadline, self.outbox.drained()).await.is_err() {
                self.outbox.break_off();
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The part of a session that never waits: lines into batches, batches into the engine.
#[derive(Debug)]
pub struct Gatherer {
    session: Session,
    intake: Intake,
    batch: Batch,
    batch_number: u64,
    line_base: u64,
    standing: Standing,
    /// Whose rights are shown, where there is a connection.
    client: Option<Arc<Client>>,
    database: String,
    ack: AckLevel,
    outbox: Arc<Outbox>,
    /// Rows of a batch that the log has taken in part: they are acknowledged when the rest is settled, so
    /// that what is acknowledged or refused is always a prefix of what came.
    settled: Settled,
    /// A directive that waits until what came before it is settled.
    waiting: Option<(u64, OwnedDirective)>,
    source: String,
    quoted: bool,
    /// Why no row of the database that was chosen is taken.
    database_refused: Option<Refusal>,
}

impl Gatherer {
    /// A session of the default database. `source` is what rejected lines say of where they came from.
    pub fn new(
        shared: &Shared,
        outbox: &Arc<Outbox>,
        source: String,
        standing: Standing,
    ) -> Result<Self, Refusal> {
        let database = shared
            .engine
            .resolve_database(&Access::full(), DEFAULT_DATABASE)
            .map_err(|error| refusal(&error))?;
        Ok(Self {
            session: Session::new(line_limits()),
            intake: Intake::new(Arc::clone(&shared.engine), None, database),
            batch: shared.engine.batch(),
            batch_number: 0,
            line_base: 0,
            standing,
            client: None,
            database: DEFAULT_DATABASE.to_owned(),
            ack: AckLevel::None,
            outbox: Arc::clone(outbox),
            settled: Settled::default(),
            waiting: None,
            source,
            quoted: false,
            database_refused: None,
        })
    }

    /// The session that reads the lines.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Gathers rows from the buffer; true where the batch should be written before going on.
    pub fn gather(&mut self, shared: &Shared, buffer: &[u8]) -> bool {
        let bounds = shared.engine.time_bounds();
        if let Some((line, directive)) = self.waiting.take() {
            self.obey(shared, line, directive);
        }
        let mut is_welcome = self.standing.access(shared).is_ok();
        if self.batch.is_empty() {
            self.line_base = self.session.line();
        }
        loop {
            let precision = self.session.precision();
            let (line, refusal) = match self.session.next(buffer, self.intake.hints()) {
                Item::Row(row) => {
                    let line = Line::of_row(&row, precision);
                    if !is_welcome {
                        let number = row.line;
                        self.turn_away(shared, number);
                        if self.outbox.is_full() {
                            return true;
                        }
                        continue;
                    }
                    if let Some(refusal) = &self.database_refused {
                        (line, refusal.clone())
                    } else {
                        let tag = (row.line - self.line_base) as u32;
                        let batch = (&mut self.batch, self.batch_number);
                        let pushed = self.intake.push(&row, &bounds, batch, tag);
                        let Err(refusal) = pushed else {
                            if self.batch.size_bytes() >= BATCH_BYTES {
                                return true;
                            }
                            continue;
                        };
                        (line, refusal)
                    }
                }
                Item::Rejected(rejected) => {
                    let error = rejected.error;
                    if !is_welcome {
                        let number = rejected.line;
                        self.turn_away(shared, number);
                        if self.outbox.is_full() {
                            return true;
                        }
                        continue;
                    }
                    if error.code == Code::BadDatabaseName {
                        // Rows that follow must not land in another database.
                        self.database_refused = Some(refused_database());
                    }
                    let line = Line::of_rejected(&rejected, precision);
                    (line, refusal_of_line(&error))
                }
                Item::Directive(directive) => {
                    let (line, directive) =
                        (directive.line, OwnedDirective::from(directive.directive));
                    // What came before a directive is written before it acts.
                    if !self.batch.is_empty() {
                        self.waiting = Some((line, directive));
                        return true;
                    }
                    self.obey(shared, line, directive);
                    is_welcome = self.standing.access(shared).is_ok();
                    continue;
                }
                Item::Incomplete { quoted } => {
                    self.quoted = quoted;
                    return false;
                }
            };
            let droppable = self.ack == AckLevel::None;
            self.outbox
                .rejected(line.number, refusal.code, &refusal.message, droppable);
            let keeper = Keeper {
                shared,
                database: self.intake.database(),
                source: &self.source,
            };
            keeper.keep(&mut self.batch, &line, &refusal);
            if self.batch.size_bytes() >= BATCH_BYTES || self.outbox.is_full() {
                return true;
            }
        }
    }

    /// Writes the batch; `None` where there was nothing to write.
    pub fn write(&mut self, shared: &Shared) -> Option<Written> {
        if self.batch.is_empty() {
            return None;
        }
        let kept: usize = self.batch.tags().filter(|&tag| tag == REJECT_TAG).count();
        let written = shared.engine.write(&mut self.batch);
        self.batch_number += 1;
        let kept_left: usize = self.batch.tags().filter(|&tag| tag == REJECT_TAG).count();
        self.settled.rows += (written.rows + kept_left - kept) as u64;
        self.settled.position = self.settled.position.max(written.position);
        shared.committer.written();
        if written.error.is_none() {
            self.acknowledge(shared);
        }
        Some(written)
    }

    /// Acknowledges the rows of a batch of which nothing is left to be written.
    fn acknowledge(&mut self, shared: &Shared) {
        let Settled { position, rows } = std::mem::take(&mut self.settled);
        if rows == 0 {
            return;
        }
        match self.ack {
            AckLevel::None => {}
            AckLevel::Accepted => self.outbox.accepted(position, rows),
            AckLevel::Durable => {
                self.outbox.durable_later(position, rows);
                shared.committer.request();
            }
        }
    }

    /// Writes the batch once, and refuses what was not taken.
    pub fn write_or_refuse(&mut self, shared: &Shared) {
        if let Some(Written {
            error: Some(error), ..
        }) = self.write(shared)
        {
            self.refuse_batch(shared, &refusal(&error));
        }
    }

    /// Refuses every row that is still in the batch.
    pub fn refuse_batch(&mut self, shared: &Shared, refusal: &Refusal) {
        let droppable = self.ack == AckLevel::None;
        let mut lines: Vec<u32> = self.batch.tags().filter(|&tag| tag != REJECT_TAG).collect();
        lines.sort_unstable();
        let (database, code) = (self.intake.database(), refusal.code.name());
        shared
            .engine
            .count_rejects(database, code, lines.len() as u64);
        for tag in lines {
            let line = self.line_base + u64::from(tag);
            self.outbox
                .rejected(line, refusal.code, &refusal.message, droppable);
        }
        self.batch.clear();
        self.batch_number += 1;
        self.acknowledge(shared);
    }

    /// Refuses a line of somebody who may do nothing. It is no row that was received: it is neither counted nor kept,
    /// so that no stranger fills the store.
    fn turn_away(&mut self, shared: &Shared, line: u64) {
        if let Err(refusal) = self.standing.access(shared) {
            let droppable = self.ack == AckLevel::None;
            self.outbox
                .rejected(line, refusal.code, &refusal.message, droppable);
        }
    }

    /// Says why nothing more is taken, where the token was revoked.
    fn say_revoked(&mut self, shared: &Shared) {
        let was_there = self.client.as_ref().is_some_and(|c| c.token().is_some());
        if let (true, Err(refusal)) = (was_there, self.standing.access(shared)) {
            self.outbox
                .rejected(0, refusal.code, &refusal.message, false);
        }
    }

    fn authenticate(&mut self, shared: &Shared, line: u64, token: &Token) {
        self.standing.take(shared, &token.0, self.client.as_deref());
        let access = match self.standing.access(shared) {
            Ok(access) => Arc::clone(access),
            Err(refusal) => {
                self.outbox
                    .rejected(line, refusal.code, &refusal.message, false);
                return;
            }
        };
        // Series are its own from now on, and the database may be one that it has no right to.
        let found = shared.engine.resolve_database(&access, &self.database);
        let (id, refused) = match found {
            Ok(id) => (id, None),
            Err(error) => {
                let mut refusal = refusal(&error);
                refusal.message.push_str("; choose another with #edge db");
                (self.intake.database(), Some(refusal))
            }
        };
        let maker = access.maker().cloned();
        self.intake = Intake::new(Arc::clone(&shared.engine), maker, id);
        self.database_refused = refused;
    }

    fn obey(&mut self, shared: &Shared, line: u64, directive: OwnedDirective) {
        self.line_base = self.session.line();
        if let OwnedDirective::Auth(token) = directive {
            self.authenticate(shared, line, &token);
            return;
        }
        let access = match self.standing.access(shared) {
            Ok(access) => Arc::clone(access),
            Err(_) => return self.turn_away(shared, line),
        };
        match directive {
            OwnedDirective::Database(name) => {
                match shared.engine.resolve_database(&access, &name) {
                    Ok(id) => {
                        self.database_refused = None;
                        if name != self.database {
                            let maker = access.maker().cloned();
                            self.intake = Intake::new(Arc::clone(&shared.engine), maker, id);
                            self.database = name;
                        }
                    }
                    Err(error) => {
                        let refusal = refusal(&error);
                        self.outbox
                            .rejected(line, refusal.code, &refusal.message, false);
                        self.database_refused = Some(refused_database());
                    }
                }
            }
            OwnedDirective::Ack(level) => self.ack = level,
            OwnedDirective::Ping => self.outbox.pong(),
            OwnedDirective::Sync => {
                self.outbox.synced_later(shared.engine.end());
                shared.committer.request();
            }
            OwnedDirective::Auth(_) | OwnedDirective::None => {}
        }
    }
}

/// Why rows are refused behind a database that was.
fn refused_database() -> Refusal {
    let why = "the database of this line was refused; choose another with #edge db";
    Refusal::new(Code::BadDatabaseName, why)
}

/// Rows that are in the log, and the position behind them.
#[derive(Debug, Default)]
struct Settled {
    position: Position,
    rows: u64,
}

/// A directive without its borrow of the buffer. The session has obeyed the precision itself.
#[derive(Debug)]
enum OwnedDirective {
    Auth(Token),
    Database(String),
    Ack(AckLevel),
    Ping,
    Sync,
    None,
}

impl From<Directive<'_>> for OwnedDirective {
    fn from(directive: Directive<'_>) -> Self {
        match directive {
            Directive::Auth(token) => Self::Auth(Token(token.to_owned())),
            Directive::Database(name) => Self::Database(name.to_owned()),
            Directive::Ack(level) => Self::Ack(level),
            Directive::Ping => Self::Ping,
            Directive::Sync => Self::Sync,
            Directive::Precision(_) => Self::None,
        }
    }
}

/// The tag of rows that keep rejected lines: they are nobody's rows.
const REJECT_TAG: u32 = u32::MAX;
