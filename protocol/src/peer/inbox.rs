//! Bytes that arrived, and the frames in them.

use alloc::vec::Vec;

use crate::frame::{Frame, FrameError, PAYLOAD_BYTES_MAX};

/// A buffer whose front is taken frame by frame.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    /// Bytes that are done with.
    at: usize,
}

impl Inbox {
    /// What was not taken yet; bytes are appended here.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.at);
        }
        self.at = 0;
        &mut self.buffer
    }

    /// The first byte of what was not taken yet.
    pub fn first(&self) -> Option<u8> {
        self.buffer.get(self.at).copied()
    }

    /// Whether a frame has begun and not ended; asked after [`Self::next`] gave none.
    pub fn is_inside(&self) -> bool {
        self.at < self.buffer.len()
    }

    pub fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Takes the next frame; `None` while it is incomplete.
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let Some((frame, length)) = Frame::decode(rest, PAYLOAD_BYTES_MAX)? else {
            return Ok(None);
        };
        self.at += length;
        Ok(Some(frame))
    }
}
