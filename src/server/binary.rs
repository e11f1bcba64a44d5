//! A binary session on the data port: hello, then queries whose results are streamed in columns.
//!
//! Queries of one connection run beside one another, each on a blocking thread; their frames mix and carry
//! the request's number. A slow reader slows its own queries down: nothing is collected for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgetime_protocol::error::Code;
use edgetime_protocol::frame::{Frame, MAGIC, PAYLOAD_BYTES_MAX};
use edgetime_protocol::message::{End, Failure, Message, Query, Welcome, encode_batch};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::engine::Access;

use super::Shared;
use super::clients::Client;
use super::sql::{self, Failed};

/// Frames that may wait for a slow reader.
const WAITING_FRAMES_MAX: usize = 16;
/// Queries of one connection at a time.
const QUERIES_MAX: usize = 16;
/// How long a reader may take nothing while frames wait for it.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a connection may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

/// Serves a binary session until the peer closes it or the server stops.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, client: Arc<Client>) {
    let (read, write) = stream.into_split();
    let (frames, outgoing) = mpsc::channel(WAITING_FRAMES_MAX);
    let sender = tokio::spawn(send(write, outgoing));
    let mut session = Session {
        shared,
        read,
        buffer: Vec::new(),
        frames,
        running: Arc::default(),
        client,
    };
    session.run().await;
    for cancel in session.running.lock().values() {
        cancel.store(true, Ordering::Relaxed);
    }
    drop(session);
    if let Err(error) = sender.await {
        tracing::error!(%error, "the sender of a session failed");
    }
}

async fn send(mut write: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(frames) = outgoing.recv().await {
        let sent = timeout(WRITE_STALL, write.write_all(&frames)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    // The peer may be gone; there is nobody to tell.
    let _ = write.shutdown().await;
}

struct Session {
    shared: Arc<Shared>,
    read: OwnedReadHalf,
    buffer: Vec<u8>,
    frames: mpsc::Sender<Vec<u8>>,
    running: Arc<Mutex<HashMap<u32, Arc<AtomicBool>>>>,
    client: Arc<Client>,
}

impl Session {
    async fn run(&mut self) {
        let mut magic = [0];
        if self.read.read_exact(&mut magic).await.is_err() || magic != [MAGIC] {
            return;
        }
        let Ok(Some((request, Message::Hello(hello)))) = timeout(HELLO, self.receive()).await
        else {
            self.fail(0, Code::BadFrame, "a binary session begins with a hello")
                .await;
            return;
        };
        if hello.agreed_version().is_none() {
            let message = "no version in common; this server speaks version 1";
            self.fail(request, Code::BadVersion, message).await;
            return;
        }
        let name = concat!("edgetimedb/", env!("CARGO_PKG_VERSION"));
        self.say(
            request,
            &Message::Welcome(Welcome::new(name, QUERIES_MAX as u32)),
        )
        .await;
        while let Some((request, message)) = self.receive().await {
            match message {
                Message::Ping => self.say(request, &Message::Pong).await,
                Message::Pong => {}
                Message::Query(query) => self.start(request, query).await,
                Message::Cancel => {
                    if let Some(cancel) = self.running.lock().get(&request) {
                        cancel.store(true, Ordering::Relaxed);
                    }
                }
                _ => {
                    self.fail(request, Code::BadFrame, "a message that only servers send")
                        .await;
                    return;
                }
            }
        }
    }

    /// The next message; `None` where the connection is over.
    async fn receive(&mut self) -> Option<(u32, Message)> {
        loop {
            let decoded = match Frame::decode(&self.buffer, PAYLOAD_BYTES_MAX) {
                Ok(Some((frame, len))) => Some((frame.request, Message::decode(&frame), len)),
                Ok(None) => None,
                Err(error) => {
                    self.fail(0, Code::BadFrame, &error.to_string()).await;
                    return None;
                }
            };
            if let Some((request, message, len)) = decoded {
                self.buffer.drain(..len);
                match message {
                    Ok(message) => return Some((request, message)),
                    Err(error) => {
                        self.fail(request, Code::BadFrame, &error.to_string()).await;
                        return None;
                    }
                }
            }
            let read = tokio::select! {
                read = self.read.read_buf(&mut self.buffer) => read.unwrap_or(0),
                () = self.client.closed() => 0,
            };
            if read == 0 {
                return None;
            }
            self.client.received(read);
        }
    }

    async fn start(&self, request: u32, query: Query) {
        let cancel = Arc::new(AtomicBool::new(false));
        if let Err((code, message)) = self.register(request, &cancel) {
            self.fail(request, code, message).await;
            return;
        }
        let shared = Arc::clone(&self.shared);
        let frames = self.frames.clone();
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            let permit = Arc::clone(&shared.queries).acquire_owned().await;
            let run = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                run(&shared, request, &query, &frames, &cancel);
            });
            if let Err(error) = run.await {
                tracing::error!(%error, "a query failed");
            }
            running.lock().remove(&request);
        });
    }

    /// Notes a query as running, so that it can be cancelled.
    fn register(&self, request: u32, cancel: &Arc<AtomicBool>) -> Result<(), (Code, &'static str)> {
        let mut running = self.running.lock();
        if running.contains_key(&request) {
            return Err((Code::BadFrame, "this request number is in use"));
        }
        if running.len() >= QUERIES_MAX {
            return Err((
                Code::Busy,
                "too many queries on this connection; wait for one to end",
            ));
        }
        running.insert(request, Arc::clone(cancel));
        Ok(())
    }

    async fn say(&self, request: u32, message: &Message) {
        let mut out = Vec::new();
        if message.encode(request, &mut out).is_ok() {
            // The sender has ended only where the peer is gone.
            let _ = self.frames.send(out).await;
        }
    }

    async fn fail(&self, request: u32, code: Code, message: &str) {
        self.say(request, &Message::Error(Failure::new(code, message)))
            .await;
    }
}

/// Runs a query on this thread, and sends its result as it comes.
fn run(
    shared: &Shared,
    request: u32,
    query: &Query,
    frames: &mpsc::Sender<Vec<u8>>,
    cancel: &AtomicBool,
) {
    let started = Instant::now();
    let mut rows = 0;
    let send = |frame: Vec<u8>| -> Result<(), Failed> {
        frames.blocking_send(frame).map_err(|_| Failed::cancelled())
    };
    let result = sql::run(
        shared,
        &Access::full(),
        &sql::Request {
            database: &query.database,
            sql: &query.sql,
            timeout: query.options.timeout_ms.map(Duration::from_millis),
            rows_max: query.options.rows_max,
        },
        &|| cancel.load(Ordering::Relaxed),
        &mut |part| {
            let mut out = Vec::new();
            let encoded = match part {
                sql::Part::Columns(columns) => {
                    Message::Columns(columns.to_vec()).encode(request, &mut out)
                }
                sql::Part::Batch(batch) => {
                    rows += batch.rows() as u64;
                    encode_batch(batch, request, &mut out)
                }
            };
            match encoded {
                Ok(()) => send(out),
                Err(error) => Err(Failed::internal(error.to_string())),
            }
        },
    );
    let last = match result {
        Ok(()) => Message::End(End {
            rows,
            elapsed_ns: started.elapsed().as_nanos() as u64,
            warnings: Vec::new(),
        }),
        Err(failed) => Message::Error(Failure {
            code: failed.code.number(),
            message: failed.message,
            offset: failed.offset,
        }),
    };
    let mut out = Vec::new();
    if last.encode(request, &mut out).is_ok() {
        // Nobody is there to be told where this fails.
        let _ = frames.blocking_send(out);
    }
}
