//! Read buffers that connections lend while bytes flow: an idle connection holds almost nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// A pool of large buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    is_short: AtomicBool,
}

/// Bytes of a lent buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of one while memory is short.
const SHORT_BYTES: usize = 16 * 1024;
/// Buffers kept for the next connection that wakes.
const FREE_MAX: usize = 16;

impl Buffers {
    /// Bytes of a buffer that is lent now.
    pub fn size_bytes(&self) -> usize {
        if self.is_short.load(Ordering::Relaxed) {
            SHORT_BYTES
        } else {
            BUFFER_BYTES
        }
    }

    /// An empty buffer with room for [`Self::size_bytes`].
    pub fn lend(&self) -> Vec<u8> {
        self.free
            .lock()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(self.size_bytes()))
    }

    /// Bytes of buffers that nobody has.
    pub fn free_bytes(&self) -> usize {
        self.free.lock().iter().map(Vec::capacity).sum()
    }

    /// Lends small buffers from now on and keeps none, or large ones again.
    pub fn set_short(&self, is_short: bool) {
        self.is_short.store(is_short, Ordering::Relaxed);
        if is_short {
            self.free.lock().clear();
        }
    }

    /// Takes a buffer back. One that grew is let go.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < FREE_MAX && buffer.capacity() <= 2 * self.size_bytes() {
            buffer.clear();
            free.push(buffer);
        }
    }
}
