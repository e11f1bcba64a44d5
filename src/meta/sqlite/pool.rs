//! A small pool of connections: first come, first served, without a thread of its own.
//!
//! A connection that comes back goes to the caller that has waited longest. It is validated before it is
//! handed out: young enough, on the file that is asked for, and it answers. What is idle beyond the minimum
//! is closed when the next connection comes back. Connections are opened and closed by their callers, so that
//! a failure to open one reaches the caller at once, and closing is done when it returns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::connect::{FileId, Opened, Opener};
use crate::clock::Clock;
use crate::meta::figures::Durations;
use crate::meta::{MetaError, PoolFigures, Result};

/// How a pool works.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolOptions {
    /// Connections that stay open.
    pub size_min: u32,
    /// Connections at most.
    pub size_max: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a connection beyond the minimum may be unused.
    pub idle_timeout: Duration,
    /// How old a connection may become.
    pub lifetime_max: Duration,
}

/// The pool.
pub(super) struct Pool {
    options: PoolOptions,
    opener: Opener,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    figures: Figures,
}

/// What the lock guards.
#[derive(Default)]
struct State {
    /// Open and unused, the one that was used last behind all others.
    idle: Vec<Idle>,
    /// Open, in use or about to be opened.
    size: u32,
    /// Who waits, longest first. Nobody waits while anything is idle.
    waiting: VecDeque<Arc<Waiter>>,
}

struct Idle {
    held: Held,
    since_ns: u64,
}

/// An open connection and when it was opened.
struct Held {
    opened: Opened,
    born_ns: u64,
}

#[derive(Default)]
struct Waiter {
    given: Mutex<Option<Place>>,
    ready: Condvar,
}

/// What a caller gets: a connection, or the right to open one.
enum Place {
    Open(Held),
    Free,
}

#[derive(Debug, Default)]
struct Figures {
    acquisitions: Durations,
    waits: AtomicU64,
    timeouts: AtomicU64,
    connects: AtomicU64,
    reconnects: AtomicU64,
}

/// A connection in use; it goes back to the pool when this is dropped.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    held: Option<Held>,
}

impl Pool {
    /// A pool without a connection; the first use opens one.
    pub(super) fn new(opener: Opener, options: PoolOptions, clock: Arc<dyn Clock>) -> Self {
        Self {
            options: PoolOptions {
                size_max: options.size_max.max(1),
                ..options
            },
            opener,
            clock,
            state: Mutex::default(),
            figures: Figures::default(),
        }
    }

    /// Opens connections to a file until there are as many as always shall be.
    pub(super) fn fill(&self, file: FileId) -> Result<()> {
        loop {
            {
                let mut state = self.state.lock();
                if state.size >= self.options.size_min.min(self.options.size_max) {
                    return Ok(());
                }
                state.size += 1;
            }
            let held = self.open(file)?;
            self.put_back(Some(held));
        }
    }

    /// A connection to this file.
    pub(super) fn acquire(&self, file: FileId) -> Result<Lease<'_>> {
        let began = self.clock.monotonic_ns();
        let place = self.place()?;
        let held = match place {
            Place::Open(held) if self.is_valid(&held, file) => held,
            Place::Open(stale) => {
                drop(stale);
                self.figures.reconnects.fetch_add(1, Ordering::Relaxed);
                self.open(file)?
            }
            Place::Free => self.open(file)?,
        };
        let took_ns = self.clock.monotonic_ns().saturating_sub(began);
        self.figures.acquisitions.add(took_ns);
        Ok(Lease {
            pool: self,
            held: Some(held),
        })
    }

    /// Closes what nobody uses.
    pub(super) fn close_idle(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.size -= state.idle.len() as u32;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }

    /// Its figures; what concerns statements is not known here.
    pub(super) fn figures(&self) -> PoolFigures {
        let state = self.state.lock();
        let (size, idle) = (state.size, state.idle.len() as u32);
        let waiting = state.waiting.len() as u32;
        drop(state);
        let (acquired, [p50, p99]) = self.figures.acquisitions.quantiles([50, 99]);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolFigures {
            size_min: self.options.size_min,
            size_max: self.options.size_max,
            size,
            idle,
            waiting,
            acquired,
            waits: read(&self.figures.waits),
            acquire_p50_ns: p50,
            acquire_p99_ns: p99,
            timeouts: read(&self.figures.timeouts),
            connects: read(&self.figures.connects),
            reconnects: read(&self.figures.reconnects),
            ..PoolFigures::default()
        }
    }

    /// Waits for a connection, or for the right to open one.
    fn place(&self) -> Result<Place> {
        let waiter = {
            let mut state = self.state.lock();
            if let Some(Idle { held, .. }) = state.idle.pop() {
                return Ok(Place::Open(held));
            }
            if state.size < self.options.size_max {
                state.size += 1;
                return Ok(Place::Free);
            }
            let waiter = Arc::new(Waiter::default());
            state.waiting.push_back(Arc::clone(&waiter));
            waiter
        };
        self.figures.waits.fetch_add(1, Ordering::Relaxed);
        if let Some(place) = waiter.wait(self.options.acquire_timeout) {
            return Ok(place);
        }
        let mut state = self.state.lock();
        state.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
        drop(state);
        // Whoever was taken from the queue in the same moment has got a place after all.
        if let Some(place) = waiter.given.lock().take() {
            return Ok(place);
        }
        self.figures.timeouts.fetch_add(1, Ordering::Relaxed);
        Err(MetaError::Exhausted {
            waited_ms: self.options.acquire_timeout.as_millis() as u64,
            size: self.options.size_max,
        })
    }

    /// Opens a connection in a place that is taken already; gives the place up where it cannot.
    fn open(&self, file: FileId) -> Result<Held> {
        match self.opener.open(file) {
            Ok(opened) => {
                self.figures.connects.fetch_add(1, Ordering::Relaxed);
                Ok(Held {
                    opened,
                    born_ns: self.clock.monotonic_ns(),
                })
            }
            Err(error) => {
                self.put_back(None);
                Err(error)
            }
        }
    }

    fn is_valid(&self, held: &Held, file: FileId) -> bool {
        let age_ns = self.clock.monotonic_ns().saturating_sub(held.born_ns);
        u128::from(age_ns) < self.options.lifetime_max.as_nanos() && held.opened.is_valid(file)
    }

    /// Takes a connection back, or a place whose connection is gone.
    fn put_back(&self, held: Option<Held>) {
        let now_ns = self.clock.monotonic_ns();
        let mut surplus = Vec::new();
        let mut state = self.state.lock();
        if let Some(waiter) = state.waiting.pop_front() {
            waiter.give(held.map_or(Place::Free, Place::Open));
        } else if let Some(held) = held {
            state.idle.push(Idle {
                held,
                since_ns: now_ns,
            });
            self.trim(&mut state, now_ns, &mut surplus);
        } else {
            state.size -= 1;
        }
        drop(state);
        // To close the last connection writes back what is in SQLite's log.
        drop(surplus);
    }

    /// Takes out what has been idle for too long, as far as more than the minimum is there.
    fn trim(&self, state: &mut State, now_ns: u64, surplus: &mut Vec<Idle>) {
        let timeout_ns = self.options.idle_timeout.as_nanos();
        while state.size > self.options.size_min.max(1) {
            let long = |idle: &Idle| u128::from(now_ns.saturating_sub(idle.since_ns)) >= timeout_ns;
            if !state.idle.first().is_some_and(long) {
                return;
            }
            surplus.push(state.idle.remove(0));
            state.size -= 1;
        }
    }
}

impl Waiter {
    fn give(&self, place: Place) {
        *self.given.lock() = Some(place);
        self.ready.notify_one();
    }

    fn wait(&self, timeout: Duration) -> Option<Place> {
        let mut given = self.given.lock();
        self.ready
            .wait_while_for(&mut given, |given| given.is_none(), timeout);
        given.take()
    }
}

impl Lease<'_> {
    /// The connection.
    pub(super) fn opened(&mut self) -> Option<&mut Opened> {
        self.held.as_mut().map(|held| &mut held.opened)
    }

    /// Closes the connection instead of giving it back.
    pub(super) fn discard(&mut self) {
        if self.held.take().is_some() {
            self.pool.figures.reconnects.fetch_add(1, Ordering::Relaxed);
            self.pool.put_back(None);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // A transaction that is still open was left by a panic.
        match self.held.take() {
            Some(held) if held.opened.is_at_rest() => self.pool.put_back(Some(held)),
            Some(broken) => {
                drop(broken);
                self.pool.put_back(None);
            }
            None => {}
        }
    }
}
