//! The client's end: hello, request numbers, credits, and answers to pings.
//!
//! Invariant: no batch is sent while the balance of credits is not positive.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::inbox::Inbox;
use crate::frame::{FrameError, HEADER_BYTES, MAGIC, encode_with};
use crate::message::{Hello, Message, MessageError, VERSION, Welcome, feature, kind};

/// A connection as the client sees it.
#[derive(Debug)]
pub struct ClientEnd {
    inbox: Inbox,
    output: Vec<u8>,
    welcome: Option<Welcome>,
    /// Bytes of declarations and batches that may be sent; below 0 by the last of them.
    credits: i64,
    request: u32,
}

/// What a server said.
#[derive(Debug, PartialEq)]
pub enum ClientEvent {
    /// More bytes are needed.
    Incomplete,
    /// The connection is open.
    Welcome(Welcome),
    /// So many bytes more may be sent.
    Credits(u32),
    /// Anything else, with its request number.
    Message(u32, Message),
}

/// What ends a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unexpected {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message that a server does not send, or not now.
    #[error("unexpected answer: {0}")]
    Order(String),
}

impl ClientEnd {
    /// A connection that says hello first.
    pub fn new(hello: Hello) -> Result<Self, FrameError> {
        let mut output = Vec::from([MAGIC]);
        Message::Hello(hello).encode(0, &mut output)?;
        Ok(Self {
            inbox: Inbox::default(),
            output,
            welcome: None,
            credits: 0,
            request: 0,
        })
    }

    /// Where bytes that arrive are appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.inbox.buffer()
    }

    /// Bytes to be sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// What the server said of itself, once it did.
    #[must_use]
    pub fn server(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Whether a feature was agreed.
    #[must_use]
    pub fn has(&self, feature: u64) -> bool {
        let agreed = self.welcome.as_ref().map_or(0, |welcome| welcome.features);
        agreed & feature == feature
    }

    /// Whether a batch may be sent now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.has(feature::WRITES) && self.credits > 0
    }

    /// Says something; the number of its request.
    pub fn send(&mut self, message: &Message) -> Result<u32, FrameError> {
        let request = self.next_request();
        message.encode(request, &mut self.output)?;
        Ok(request)
    }

    /// Says something of a request that is open, a cancel or a pong.
    pub fn send_for(&mut self, request: u32, message: &Message) -> Result<(), FrameError> {
        message.encode(request, &mut self.output)
    }

    /// Sends declarations. They may go beyond the credits: what follows waits for them.
    pub fn declare(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        self.spend(payload.len());
        encode_with(&mut self.output, kind::DECLARE, 0, |out| {
            out.extend_from_slice(payload);
        })
    }

    /// Sends a batch; the number of its request.
    pub fn write(&mut self, payload: &[u8]) -> Result<u32, FrameError> {
        let request = self.next_request();
        self.spend(payload.len());
        encode_with(&mut self.output, kind::WRITE, request, |out| {
            out.extend_from_slice(payload);
        })?;
        Ok(request)
    }

    fn spend(&mut self, payload: usize) {
        self.credits -= (HEADER_BYTES + payload) as i64;
    }

    fn next_request(&mut self) -> u32 {
        // 0 is the connection itself.
        self.request = self.request.checked_add(1).unwrap_or(1);
        self.request
    }

    /// What comes next. Pings are answered, credits are counted.
    pub fn next_event(&mut self) -> Result<ClientEvent, Unexpected> {
        let (request, message) = match self.inbox.next()? {
            Some(frame) => (frame.request, Message::decode(&frame)?),
            None => return Ok(ClientEvent::Incomplete),
        };
        if self.welcome.is_none() {
            return match message {
                Message::Welcome(welcome) if welcome.version == VERSION => {
                    self.welcome = Some(welcome.clone());
                    Ok(ClientEvent::Welcome(welcome))
                }
                Message::Error(failure) => {
                    Ok(ClientEvent::Message(request, Message::Error(failure)))
                }
                _ => Err(unexpected("something else than a welcome")),
            };
        }
        match message {
            Message::Ping => {
                Message::Pong.encode(request, &mut self.output)?;
                self.next_event()
            }
            Message::Credits(bytes) => {
                self.credits += i64::from(bytes);
                Ok(ClientEvent::Credits(bytes))
            }
            Message::Welcome(_) => Err(unexpected("a second welcome")),
            Message::Hello(_)
            | Message::Query(_)
            | Message::Cancel
            | Message::Auth(_)
            | Message::Declare(_) => Err(unexpected("a message that only clients send")),
            other => Ok(ClientEvent::Message(request, other)),
        }
    }
}

fn unexpected(what: &str) -> Unexpected {
    Unexpected::Order(what.to_owned())
}
