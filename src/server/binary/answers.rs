//! Answers to batches: those that are true are ready to be sent, the others wait until the log is durable so far.
//!
//! Nothing is dropped and nothing merged: each batch has its own answer. The reader of a session pauses while too
//! much waits here.

use std::collections::VecDeque;

use edgetime_protocol::message::Message;
use edgetime_protocol::write::Written;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::Position;

/// The answers of one connection.
#[derive(Debug, Default)]
pub struct Answers {
    state: Mutex<State>,
    /// Something was put in, or the session ends.
    pub filled: Notify,
    /// Something was taken out.
    pub drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<u8>,
    pending: VecDeque<(Position, u32, Written)>,
    ended: bool,
}

/// Bytes that may wait before the session pauses.
const WAITING_BYTES_MAX: usize = 256 * 1024;
/// Answers that may wait for a sync before the session pauses.
const PENDING_MAX: usize = 4_096;

impl Answers {
    /// Says a message now.
    pub fn say(&self, request: u32, message: &Message) {
        // What is said here is far smaller than a frame may be.
        let _ = message.encode(request, &mut self.state.lock().ready);
        self.filled.notify_one();
    }

    /// Says that a batch was written when the log is durable up to its position.
    pub fn durable_later(&self, request: u32, written: Written) {
        let position = Position(written.position);
        self.state
            .lock()
            .pending
            .push_back((position, request, written));
        self.filled.notify_one();
    }

    /// Says that nothing more will be put in.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.filled.notify_one();
    }

    /// Whether the reader should pause.
    pub fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.ready.len() > WAITING_BYTES_MAX || state.pending.len() > PENDING_MAX
    }

    /// Whether something waits for a sync.
    pub fn waits_for_sync(&self) -> bool {
        !self.state.lock().pending.is_empty()
    }

    /// What can be sent, given how far the log is durable; `None` where everything was said.
    pub fn take(&self, durable: Position) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let mut bytes = std::mem::take(&mut state.ready);
        while let Some((_, request, written)) = state
            .pending
            .pop_front_if(|(position, _, _)| *position <= durable)
        {
            let _ = Message::Written(written).encode(request, &mut bytes);
        }
        let over = bytes.is_empty() && state.ended && state.pending.is_empty();
        drop(state);
        self.drained.notify_one();
        (!over).then_some(bytes)
    }
}
