//! The queries of one connection: each runs on a blocking thread and sends its result as it comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgetime_protocol::error::Code;
use edgetime_protocol::message::{End, Failure, Message, Query, encode_batch};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::engine::Access;

use super::super::Shared;
use super::super::sql::{self, Failed};

/// Queries of one connection that are open at a time; fewer run.
pub const QUERIES_MAX: usize = 16;

/// Those that run.
pub struct Queries {
    shared: Arc<Shared>,
    frames: mpsc::Sender<Vec<u8>>,
    running: Arc<Mutex<HashMap<u32, Arc<AtomicBool>>>>,
    /// What this connection may have of the queries that run.
    turns: Arc<Semaphore>,
}

impl Queries {
    /// None yet. Results go to `frames`.
    pub fn new(shared: Arc<Shared>, frames: mpsc::Sender<Vec<u8>>) -> Self {
        let at_a_time = shared.config.query.connection_concurrency_max as usize;
        Self {
            shared,
            frames,
            running: Arc::default(),
            turns: Arc::new(Semaphore::new(at_a_time)),
        }
    }

    /// Starts a query.
    pub fn start(
        &self,
        access: Arc<Access>,
        request: u32,
        query: Query,
    ) -> Result<(), (Code, &'static str)> {
        let cancel = Arc::new(AtomicBool::new(false));
        self.register(request, &cancel)?;
        let shared = Arc::clone(&self.shared);
        let frames = self.frames.clone();
        let running = Arc::clone(&self.running);
        let turns = Arc::clone(&self.turns);
        tokio::spawn(async move {
            // Its own turn first: who waits for that takes no place from others.
            let turn = turns.acquire_owned().await;
            let permit = Arc::clone(&shared.queries).acquire_owned().await;
            let run = tokio::task::spawn_blocking(move || {
                let _held = (turn, permit);
                run(&shared, &access, (request, &query), &frames, &cancel);
            });
            if let Err(error) = run.await {
                tracing::error!(%error, "a query failed");
            }
            running.lock().remove(&request);
        });
        Ok(())
    }

    /// Stops a query, where it runs.
    pub fn cancel(&self, request: u32) {
        if let Some(cancel) = self.running.lock().get(&request) {
            cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Stops all of them: nobody hears their results.
    pub fn cancel_all(&self) {
        for cancel in self.running.lock().values() {
            cancel.store(true, Ordering::Relaxed);
        }
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
}

/// Runs a query on this thread, and sends its result as it comes.
fn run(
    shared: &Shared,
    access: &Access,
    (request, query): (u32, &Query),
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
        access,
        &sql::Request {
            database: &query.database,
            sql: &query.sql,
            timeout: query.options.timeout_ms.map(Duration::from_millis),
            rows_max: query.options.rows_max,
            exact: query.options.exact,
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
        Ok(stats) => Message::End(End {
            rows,
            elapsed_ns: started.elapsed().as_nanos() as u64,
            warnings: stats.warnings(),
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
