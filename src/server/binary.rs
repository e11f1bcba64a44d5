//! A binary session on the data port: hello, then batches of rows and queries whose results are streamed.
//!
//! Batches are applied in the order in which they came, and each is answered by itself. Queries of one connection
//! run beside one another, each on a blocking thread; their frames mix and carry the request's number. A slow
//! reader slows its own queries down: nothing is collected for it. While the log has no room, or too many answers
//! wait, no credits are granted and nothing is read.

mod answers;
mod queries;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use edgetime_protocol::error::Code;
use edgetime_protocol::frame::HEADER_BYTES;
use edgetime_protocol::message::{Failure, Hello, Message, PONG_SECONDS_MAX, Welcome, feature};
use edgetime_protocol::peer::{CREDITS_BYTES, ServerEnd, ServerEvent};
use edgetime_protocol::write::BatchHead;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::{Batch, EngineError, Once, Written as Accepted};
use crate::types::{AckLevel, DatabaseId};

use self::answers::Answers;
use self::queries::{QUERIES_MAX, Queries};
use self::rows::{Gathered, REJECT_TAG, Repeated, Rows};
use super::Shared;
use super::auth::Standing;
use super::clients::Client;
use super::intake::refusal;
use super::text::IDLE_BATCH_BYTES;

/// Frames that may wait for a slow reader.
const WAITING_FRAMES_MAX: usize = 16;
/// How long a reader may take nothing while frames wait for it.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a connection may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long the rest of a frame may stay away.
const FRAME_STALL: Duration = Duration::from_secs(30);
/// Silence after which a client that agreed to answer pings is sent one.
const PING_AFTER: Duration = Duration::from_secs(5);
/// How long such a client may take to answer.
const PONG: Duration = Duration::from_secs(PONG_SECONDS_MAX);
/// How long a batch waits for the log to be freed before it is refused.
const LOG_FULL: Duration = Duration::from_secs(10);
/// How long a peer that was refused may take to read why, and bytes that it may still send meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Bytes an idle connection may keep.
const IDLE_BYTES: usize = 4096;
/// Features of this server.
const FEATURES: u64 = feature::WRITES | feature::PRODUCERS | feature::KEEP_ALIVE;

/// Serves a binary session until the peer closes it or the server stops.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, client: Arc<Client>) {
    let (read, write) = stream.into_split();
    let (frames, outgoing) = mpsc::channel(WAITING_FRAMES_MAX);
    let answers = Arc::new(Answers::default());
    let sender = tokio::spawn(send(
        Arc::clone(&shared),
        write,
        outgoing,
        Arc::clone(&answers),
    ));
    let mut session = Session {
        rows: Rows::new(Arc::clone(&shared.engine), client.peer()),
        batch: shared.engine.batch(),
        read,
        end: ServerEnd::default(),
        queries: Queries::new(Arc::clone(&shared), frames.clone()),
        standing: Standing::of_nobody(&shared),
        shared,
        frames,
        answers: Arc::clone(&answers),
        client,
        owed: 0,
        heard: Instant::now(),
        pinged: false,
        is_open: false,
        has_producers: false,
    };
    session.run().await;
    session.queries.cancel_all();
    let is_stranger = session.standing.access(&session.shared).is_err();
    let read = session.into_read();
    answers.end();
    if is_stranger {
        let _ = timeout(LINGER, discard(read)).await;
    }
    if let Err(error) = sender.await {
        tracing::error!(%error, "the sender of a session failed");
    }
}

/// Takes what still comes from a peer that was refused: a connection that is closed with bytes unread is reset, and the
/// peer might never read why.
async fn discard(read: OwnedReadHalf) {
    let mut rest = LINGER_BYTES;
    let mut bytes = vec![0; IDLE_BYTES];
    while rest > 0 && read.readable().await.is_ok() {
        match read.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => rest = rest.saturating_sub(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Sends frames of queries as they come, and answers as they become true.
async fn send(
    shared: Arc<Shared>,
    mut write: OwnedWriteHalf,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    answers: Arc<Answers>,
) {
    let mut progress = shared.committer.progress();
    let mut queries_end = false;
    loop {
        let seen = progress.borrow_and_update().clone();
        let Some(mut bytes) = answers.take(seen.durable) else {
            if queries_end {
                break;
            }
            match outgoing.recv().await {
                Some(frames) if sent(&mut write, &frames).await => {}
                Some(_) => return,
                None => queries_end = true,
            }
            continue;
        };
        if bytes.is_empty() && seen.failed.is_some() && answers.waits_for_sync() {
            // What was promised cannot be kept: the peer must not take silence for success.
            return;
        }
        if bytes.is_empty() {
            tokio::select! {
                frames = outgoing.recv(), if !queries_end => match frames {
                    Some(frames) => bytes = frames,
                    None => queries_end = true,
                },
                () = answers.filled.notified() => {}
                _ = progress.changed() => {}
            }
        }
        if !bytes.is_empty() && !sent(&mut write, &bytes).await {
            return;
        }
    }
    // The peer may be gone; there is nobody to tell.
    let _ = write.shutdown().await;
}

async fn sent(write: &mut OwnedWriteHalf, bytes: &[u8]) -> bool {
    matches!(
        timeout(WRITE_STALL, write.write_all(bytes)).await,
        Ok(Ok(()))
    )
}

struct Session {
    shared: Arc<Shared>,
    read: OwnedReadHalf,
    end: ServerEnd,
    frames: mpsc::Sender<Vec<u8>>,
    answers: Arc<Answers>,
    queries: Queries,
    standing: Standing,
    client: Arc<Client>,
    rows: Rows,
    batch: Batch,
    /// Credits to be granted: bytes of declarations and batches that were taken.
    owed: usize,
    /// When the last byte came.
    heard: Instant,
    /// A ping was sent since then.
    pinged: bool,
    /// The client was welcomed.
    is_open: bool,
    /// Batches may have a producer.
    has_producers: bool,
}

impl Session {
    /// Lets go of everything but where bytes come from.
    fn into_read(self) -> OwnedReadHalf {
        self.read
    }

    async fn run(&mut self) {
        loop {
            if !self.consume().await {
                return;
            }
            self.grant();
            self.shrink();
            tokio::select! {
                ready = self.read.readable() => if ready.is_err() { return },
                () = self.client.closed() => {
                    if self.client.token().is_some() {
                        // It was closed because its token was revoked, or for another reason.
                        self.may_go_on(0);
                    }
                    return;
                }
                () = self.frames.closed() => return,
                () = sleep_until(self.deadline()) => {
                    if !self.is_patient() {
                        return;
                    }
                    continue;
                }
            }
            if !self.fill() {
                return;
            }
        }
    }

    /// Reads what there is; false where the connection is over.
    fn fill(&mut self) -> bool {
        let size_bytes = self.shared.buffers.size_bytes();
        let buffer = self.end.buffer();
        if buffer.capacity() < size_bytes {
            let mut lent = self.shared.buffers.lend();
            lent.extend_from_slice(buffer);
            *buffer = lent;
        } else if buffer.capacity() - buffer.len() < size_bytes / 4 {
            buffer.reserve(size_bytes);
        }
        match self.read.try_read_buf(buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.client.received(read);
                self.heard = Instant::now();
                self.pinged = false;
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    /// Gives a lent buffer back where little is left in it.
    fn shrink(&mut self) {
        let buffer = self.end.buffer();
        if buffer.len() <= IDLE_BYTES && buffer.capacity() > IDLE_BYTES {
            let mut rest = Vec::with_capacity(buffer.len());
            rest.extend_from_slice(buffer);
            let lent = std::mem::replace(buffer, rest);
            self.shared.buffers.give_back(lent);
        }
        let held = buffer.capacity();
        self.batch.give_back(IDLE_BATCH_BYTES);
        self.client.holds(held + self.batch.memory_bytes());
    }

    /// Obeys every complete frame that came; false where the connection is over.
    async fn consume(&mut self) -> bool {
        loop {
            let event = match self.end.next_event() {
                Ok(event) => event,
                Err(violation) => {
                    self.fail(violation.request, violation.code, &violation.message);
                    return false;
                }
            };
            match event {
                ServerEvent::Incomplete => return true,
                ServerEvent::Hello(hello) => {
                    if !self.greet(&hello) {
                        return false;
                    }
                }
                ServerEvent::Declared(bytes) => {
                    self.owed += bytes;
                    if !self.may_go_on(0) {
                        return false;
                    }
                }
                ServerEvent::Write {
                    request,
                    payload,
                    names,
                } => {
                    self.owed += HEADER_BYTES + payload.len();
                    if let Err(refusal) = self.standing.access(&self.shared) {
                        let (code, message) = (refusal.code, refusal.message.clone());
                        self.fail(request, code, &message);
                        return false;
                    }
                    let bounds = self.shared.engine.time_bounds();
                    let has_producers = self.has_producers;
                    let batch = &mut self.batch;
                    let gathered = self
                        .rows
                        .gather(payload, names, &bounds, has_producers, batch);
                    if !self.settle(request, gathered).await {
                        return false;
                    }
                }
                ServerEvent::Message(request, message) => {
                    if !self.obey(request, message) {
                        return false;
                    }
                }
            }
        }
    }

    fn greet(&mut self, hello: &Hello) -> bool {
        if !hello.token.is_empty() && !self.take_token(0, &hello.token) {
            return false;
        }
        let name = concat!("edgetimedb/", env!("CARGO_PKG_VERSION"));
        let welcome = Welcome::new(name, QUERIES_MAX as u32);
        match self.end.welcome(hello, welcome, FEATURES) {
            Ok(welcome) => {
                self.is_open = true;
                self.has_producers = self.end.has(feature::PRODUCERS);
                self.answers.say(0, &welcome);
                if self.end.has(feature::WRITES) {
                    self.answers.say(0, &Message::Credits(CREDITS_BYTES));
                }
                true
            }
            Err(violation) => {
                self.fail(violation.request, violation.code, &violation.message);
                false
            }
        }
    }

    /// False where the connection is over.
    fn obey(&mut self, request: u32, message: Message) -> bool {
        match message {
            Message::Ping => self.answers.say(request, &Message::Pong),
            Message::Auth(token) => {
                if !self.take_token(request, &token.0) {
                    return false;
                }
                self.answers.say(request, &Message::Ready);
            }
            Message::Query(query) => {
                let Ok(access) = self.standing.access(&self.shared).map(Arc::clone) else {
                    return self.may_go_on(request);
                };
                if let Err((code, message)) = self.queries.start(access, request, query) {
                    self.fail(request, code, message);
                }
            }
            Message::Cancel => self.queries.cancel(request),
            _ => {}
        }
        true
    }

    /// Takes a token that was given; false where the connection is over.
    fn take_token(&mut self, request: u32, token: &str) -> bool {
        self.standing.take(&self.shared, token, Some(&self.client));
        if let Ok(access) = self.standing.access(&self.shared) {
            self.rows.set_access(access);
        }
        self.may_go_on(request)
    }

    /// Whether the peer may do anything at all; it is told where it may not, and the connection is over.
    fn may_go_on(&mut self, request: u32) -> bool {
        let refused = self.standing.access(&self.shared).err();
        let refused = refused.map(|refusal| (refusal.code, refusal.message.clone()));
        if let Some((code, message)) = &refused {
            self.fail(request, *code, message);
        }
        refused.is_none()
    }

    /// Writes what was gathered, waiting while the log is full, and answers; false where the connection is over.
    async fn settle(&mut self, request: u32, gathered: Result<Gathered, String>) -> bool {
        let mut gathered = match gathered {
            Ok(gathered) => gathered,
            Err(message) => {
                self.fail(request, Code::BadFrame, &message);
                return false;
            }
        };
        let deadline = Instant::now() + LOG_FULL;
        while !self.batch.is_empty() {
            let Some(written) = self.write(&mut gathered) else {
                break;
            };
            gathered.written.position = gathered.written.position.max(written.position.0);
            self.shared.committer.written();
            match written.error {
                Some(error) if error.is_passing() && Instant::now() < deadline => {
                    self.shared.maintenance.make_room(&error).await;
                }
                Some(error) => self.refuse_rest(&mut gathered, &error),
                None => {}
            }
        }
        if let Some(repeated) = gathered.repeated.take() {
            gathered.written.position = repeated.position.0;
            self.count_repeated(&gathered.head, &repeated, deadline)
                .await;
            gathered.written.duplicate = true;
            gathered.written.refused.clear();
            gathered.rows = 0;
        }
        self.answer(request, gathered);
        self.pause().await
    }

    /// Writes what was gathered; none where it turns out to be there already, by way of another connection.
    fn write(&mut self, gathered: &mut Gathered) -> Option<Accepted> {
        let engine = &self.shared.engine;
        let Some(producer) = gathered.head.producer else {
            return Some(engine.write(&mut self.batch));
        };
        match engine.write_once(&mut self.batch, producer) {
            Once::Written(written) => Some(written),
            Once::Duplicate(position) => {
                let rows = engine.rows_by_database(&self.batch);
                gathered.repeated = Some(Repeated { position, rows });
                self.batch.clear();
                None
            }
        }
    }

    /// Counts the rows of a batch that was there already, as soon as the log has room for that.
    async fn count_repeated(&self, head: &BatchHead, repeated: &Repeated, deadline: Instant) {
        let Some(producer) = head.producer else {
            return;
        };
        loop {
            let counted = self.shared.engine.count_repeated(producer, &repeated.rows);
            match counted {
                Ok(()) => return self.shared.committer.written(),
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    self.shared.maintenance.make_room(&error).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a repeated batch could not be counted");
                    return;
                }
            }
        }
    }

    /// Refuses every row that is still in the batch; of a producer's batch all rows there are.
    fn refuse_rest(&mut self, gathered: &mut Gathered, error: &EngineError) {
        let refusal = refusal(error);
        let written = &mut gathered.written;
        let mut rows: Vec<u32> = self.batch.tags().collect();
        rows.retain(|&tag| tag != REJECT_TAG);
        let count = rows.len() as u64;
        if gathered.head.producer.is_some() {
            // It counts as never sent: nobody is told yet which of its rows cannot be stored.
            written.refused.clear();
            rows = (0..gathered.rows as u32).collect();
        }
        for row in rows {
            let message = || refusal.message.clone();
            written.refuse(row, refusal.code, message);
        }
        // Rows of a batch may be of several databases: those that found no room count where a connection begins.
        let database = DatabaseId::default();
        let code = refusal.code.name();
        self.shared.engine.count_rejects(database, code, count);
        self.batch.clear();
    }

    fn answer(&mut self, request: u32, gathered: Gathered) {
        let mut written = gathered.written;
        written.sort();
        written.rows = gathered.rows - written.refused_count();
        written.level = gathered.head.ack;
        match gathered.head.ack {
            AckLevel::None if written.refused.is_empty() => {}
            AckLevel::None | AckLevel::Accepted => {
                self.answers.say(request, &Message::Written(written));
            }
            AckLevel::Durable => {
                self.answers.durable_later(request, written);
                self.shared.committer.request();
            }
        }
        if self.owed >= CREDITS_BYTES as usize / 4 {
            self.grant();
        }
    }

    /// Gives back the credits of what was taken.
    fn grant(&mut self) {
        if self.owed > 0 && self.end.has(feature::WRITES) {
            self.answers.say(0, &Message::Credits(self.owed as u32));
        }
        self.owed = 0;
    }

    /// Waits while the peer does not take its answers; false where it never does.
    async fn pause(&mut self) -> bool {
        // A sender that never pauses must not keep a worker for itself.
        tokio::task::yield_now().await;
        let deadline = Instant::now() + WRITE_STALL;
        while self.answers.is_full() {
            tokio::select! {
                drained = timeout_at(deadline, self.answers.drained.notified()) => {
                    if drained.is_err() {
                        return false;
                    }
                }
                () = self.frames.closed() => return false,
            }
        }
        !self.client.is_closed()
    }

    /// When silence has a consequence.
    fn deadline(&self) -> Option<Instant> {
        let after = if !self.is_open {
            HELLO
        } else if self.end.has(feature::KEEP_ALIVE) {
            PING_AFTER + if self.pinged { PONG } else { Duration::ZERO }
        } else if self.end.is_inside_a_frame() {
            FRAME_STALL
        } else {
            return None;
        };
        Some(self.heard + after)
    }

    /// The deadline has passed; false where the connection is over.
    fn is_patient(&mut self) -> bool {
        if !self.is_open {
            let message = "a binary session begins with a hello";
            self.fail(0, Code::BadFrame, message);
        } else if self.end.has(feature::KEEP_ALIVE) && !self.pinged {
            self.pinged = true;
            self.answers.say(0, &Message::Ping);
            return true;
        } else if !self.end.has(feature::KEEP_ALIVE) {
            self.fail(0, Code::BadFrame, "a frame whose rest does not come");
        }
        false
    }

    fn fail(&self, request: u32, code: Code, message: &str) {
        self.answers
            .say(request, &Message::Error(Failure::new(code, message)));
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
