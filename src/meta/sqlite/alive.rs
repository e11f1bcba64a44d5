//! Counts open connections and pools that may open more, so that a file is moved or opened again only when nobody has it open.
//!
//! The pool opens and closes connections on threads of its own: dropping it does not close them all at once.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How many connections are open, and pools.
#[derive(Debug, Default)]
pub(super) struct Alive {
    count: Mutex<usize>,
    changed: Condvar,
}

/// One open connection, or a pool.
#[derive(Debug)]
pub(super) struct Guard(Arc<Alive>);

impl Alive {
    pub(super) fn enter(self: &Arc<Self>) -> Guard {
        *self.count.lock() += 1;
        Guard(Arc::clone(self))
    }

    /// Waits until none is open; whether that happened in time.
    pub(super) fn wait_for_none(&self, timeout: Duration) -> bool {
        let mut count = self.count.lock();
        !self
            .changed
            .wait_while_for(&mut count, |count| *count > 0, timeout)
            .timed_out()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.changed.notify_all();
    }
}
