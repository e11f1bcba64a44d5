//! What a text session has to say: acknowledgements, refusals and other answers, in one stream.
//!
//! Acknowledgements may be merged and are never dropped; refusals are dropped only where nobody asked for
//! acknowledgements and nobody reads. The reader of a session pauses while too much waits here.

use std::collections::VecDeque;

use edgetime_protocol::answer;
use edgetime_protocol::error::Code;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::Position;

/// The answers of one session.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    /// Something was put in, or the session ends.
    filled: Notify,
    /// Something was taken out.
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    pending: VecDeque<Pending>,
    dropped: u64,
    ended: bool,
    broken: bool,
}

/// An answer that waits until a position is durable.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Rows { position: Position, rows: u64 },
    Sync { position: Position },
}

impl Pending {
    fn position(self) -> Position {
        match self {
            Self::Rows { position, .. } | Self::Sync { position } => position,
        }
    }
}

/// What the writer of a session does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait.
    Wait,
    /// Everything was said.
    Done,
}

/// Bytes that may wait before the session pauses.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Acknowledgements that may wait for a sync before the session pauses.
const PENDING_MAX: usize = 4_096;

impl Outbox {
    /// Says `+POSITION ROWS` now.
    pub fn accepted(&self, position: Position, rows: u64) {
        let mut state = self.state.lock();
        answer::acknowledged(&mut state.text, position.0, rows);
        drop(state);
        self.filled.notify_one();
    }

    /// Says `+POSITION ROWS` when the position is durable.
    pub fn durable_later(&self, position: Position, rows: u64) {
        let mut state = self.state.lock();
        state.pending.push_back(Pending::Rows { position, rows });
        drop(state);
        self.filled.notify_one();
    }

    /// Says `+synced POSITION` when the position is durable.
    pub fn synced_later(&self, position: Position) {
        self.state
            .lock()
            .pending
            .push_back(Pending::Sync { position });
        self.filled.notify_one();
    }

    /// Says `+pong`.
    pub fn pong(&self) {
        answer::pong(&mut self.state.lock().text);
        self.filled.notify_one();
    }

    /// Says `-LINE CODE message`; `droppable` where the peer need not read.
    pub fn rejected(&self, line: u64, code: Code, message: &str, droppable: bool) {
        let mut state = self.state.lock();
        if droppable && state.text.len() > WAITING_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        answer::rejected(&mut state.text, line, code, message);
        drop(state);
        self.filled.notify_one();
    }

    /// Whether the reader should pause.
    pub fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.text.len() > WAITING_BYTES_MAX || state.pending.len() > PENDING_MAX
    }

    /// Returns when something was taken out.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Says that nothing more will be put in.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.filled.notify_one();
    }

    /// Says that the peer takes nothing any more.
    pub fn break_off(&self) {
        let mut state = self.state.lock();
        state.broken = true;
        state.text.clear();
        state.pending.clear();
        drop(state);
        self.drained.notify_one();
    }

    /// Whether the peer takes nothing any more.
    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Whether something waits for a sync.
    pub fn waits_for_sync(&self) -> bool {
        !self.state.lock().pending.is_empty()
    }

    /// What to send, given how far the log is durable.
    pub fn next(&self, durable: Position) -> Next {
        let mut state = self.state.lock();
        let mut rows_sum = 0;
        let mut reached = Position(0);
        let mut text = std::mem::take(&mut state.text);
        while let Some(&first) = state.pending.front() {
            if first.position() > durable {
                break;
            }
            state.pending.pop_front();
            match first {
                Pending::Rows { position, rows } => {
                    rows_sum += rows;
                    reached = position;
                }
                Pending::Sync { .. } => {
                    if rows_sum > 0 {
                        answer::acknowledged(&mut text, reached.0, rows_sum);
                        rows_sum = 0;
                    }
                    answer::synced(&mut text, durable.0);
                }
            }
        }
        if rows_sum > 0 {
            answer::acknowledged(&mut text, reached.0, rows_sum);
        }
        if !text.is_empty() {
            drop(state);
            self.drained.notify_one();
            return Next::Send(text);
        }
        if state.broken || (state.ended && state.pending.is_empty()) {
            return Next::Done;
        }
        Next::Wait
    }

    /// Returns when something was put in.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(outbox: &Outbox, durable: u64) -> String {
        match outbox.next(Position(durable)) {
            Next::Send(bytes) => String::from_utf8(bytes).expect("text"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn acknowledgements_wait_for_their_position_and_merge() {
        let outbox = Outbox::default();
        outbox.durable_later(Position(10), 3);
        outbox.durable_later(Position(20), 4);
        outbox.durable_later(Position(30), 5);
        assert_eq!(sent(&outbox, 5), "Wait");
        assert_eq!(sent(&outbox, 20), "+20 7\n");
        outbox.end();
        assert_eq!(sent(&outbox, 20), "Wait");
        assert_eq!(sent(&outbox, 31), "+30 5\n");
        assert_eq!(sent(&outbox, 31), "Done");
    }

    #[test]
    fn a_sync_comes_after_the_rows_before_it() {
        let outbox = Outbox::default();
        outbox.durable_later(Position(10), 3);
        outbox.synced_later(Position(12));
        outbox.durable_later(Position(20), 1);
        assert_eq!(sent(&outbox, 25), "+10 3\n+synced 25\n+20 1\n");
    }

    #[test]
    fn refusals_are_dropped_only_where_nobody_has_to_read() {
        let outbox = Outbox::default();
        let message = "x".repeat(400);
        while !outbox.is_full() {
            outbox.rejected(1, Code::BadSyntax, &message, true);
        }
        let before = sent(&outbox, 0).len();
        for _ in 0..1_000 {
            outbox.rejected(1, Code::BadSyntax, &message, true);
        }
        assert!(sent(&outbox, 0).len() <= before + 500);
        for _ in 0..1_000 {
            outbox.rejected(1, Code::BadSyntax, &message, false);
        }
        assert!(sent(&outbox, 0).len() > 2 * before);
    }
}
