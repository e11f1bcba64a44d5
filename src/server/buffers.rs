//! Read buffers that connections lend while bytes flow: an idle connection holds almost nothing.

use parking_lot::Mutex;

/// A pool of large buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// Bytes of a lent buffer.
pub const BUFFER_BYTES: usize = 256 * 1024;
/// Buffers kept for the next connection that wakes.
const FREE_MAX: usize = 16;

impl Buffers {
    /// An empty buffer with room for [`BUFFER_BYTES`].
    pub fn lend(&self) -> Vec<u8> {
        self.free
            .lock()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer back. One that grew is let go.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.lock();
        if free.len() < FREE_MAX && buffer.capacity() <= 2 * BUFFER_BYTES {
            buffer.clear();
            free.push(buffer);
        }
    }
}
