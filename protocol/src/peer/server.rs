//! The server's end: what a client may say when, and the names that it declares.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::inbox::Inbox;
use crate::error::Code;
use crate::frame::{HEADER_BYTES, MAGIC};
use crate::message::{Hello, Message, Welcome, feature, kind};
use crate::write::Names;

/// A connection as the server sees it.
#[derive(Debug)]
pub struct ServerEnd {
    inbox: Inbox,
    state: State,
    /// Features that were agreed.
    features: u64,
    names: Names,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Magic,
    Hello,
    /// A hello was given out, and waits for [`ServerEnd::welcome`].
    Greeted,
    Open,
    Over,
}

/// What a client said.
#[derive(Debug)]
pub enum ServerEvent<'a> {
    /// More bytes are needed.
    Incomplete,
    /// First of all; [`ServerEnd::welcome`] answers it.
    Hello(Hello),
    /// Ping, pong, query, cancel or auth, with its request number.
    Message(u32, Message),
    /// Names were declared, by a frame of so many bytes.
    Declared(usize),
    /// A batch of rows, to be read by [`crate::write::BatchReader`].
    Write {
        /// Its request number.
        request: u32,
        /// The batch.
        payload: &'a [u8],
        /// The names that it may use.
        names: &'a Names,
    },
}

/// What ends a connection: it is answered by an error of this request, and closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Violation {
    /// The request; 0 is the connection.
    pub request: u32,
    /// The code.
    pub code: Code,
    /// What was wrong, for people.
    pub message: String,
}

impl Default for ServerEnd {
    fn default() -> Self {
        Self {
            inbox: Inbox::default(),
            state: State::Magic,
            features: 0,
            names: Names::default(),
        }
    }
}

impl ServerEnd {
    /// Where bytes that arrive are appended; what is in it was not understood yet.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.inbox.buffer()
    }

    /// Whether a frame has begun and not ended.
    #[must_use]
    pub fn is_inside_a_frame(&self) -> bool {
        self.inbox.is_inside()
    }

    /// What the peer has declared.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Answers a hello: the server's name, what it allows and which features it has.
    pub fn welcome(
        &mut self,
        hello: &Hello,
        mut welcome: Welcome,
        features: u64,
    ) -> Result<Message, Violation> {
        let Some(version) = hello.agreed_version() else {
            self.state = State::Over;
            return Err(Violation {
                request: 0,
                code: Code::BadVersion,
                message: "no version in common; this server speaks version 1".to_owned(),
            });
        };
        self.state = State::Open;
        self.features = hello.features & features;
        if self.features & feature::WRITES == 0 {
            self.features &= !feature::PRODUCERS;
        }
        welcome.version = version;
        welcome.features = self.features;
        Ok(Message::Welcome(welcome))
    }

    /// Whether a feature was agreed.
    #[must_use]
    pub fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    /// What comes next.
    pub fn next_event(&mut self) -> Result<ServerEvent<'_>, Violation> {
        let result = Self::step(
            &mut self.inbox,
            &mut self.state,
            self.features,
            &mut self.names,
        );
        if result.is_err() {
            self.state = State::Over;
        }
        result
    }

    fn step<'a>(
        inbox: &'a mut Inbox,
        state: &mut State,
        features: u64,
        names: &'a mut Names,
    ) -> Result<ServerEvent<'a>, Violation> {
        match *state {
            State::Magic => match inbox.first() {
                None => return Ok(ServerEvent::Incomplete),
                Some(MAGIC) => {
                    inbox.skip(1);
                    *state = State::Hello;
                }
                Some(_) => return Err(violation(0, "a binary session begins with its magic byte")),
            },
            State::Greeted | State::Over => return Ok(ServerEvent::Incomplete),
            State::Hello | State::Open => {}
        }
        let frame = match inbox.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(ServerEvent::Incomplete),
            Err(error) => return Err(violation(0, &error.to_string())),
        };
        let request = frame.request;
        let bad = |what: &str| Err(violation(request, what));
        if *state == State::Hello {
            return match Message::decode(&frame) {
                Ok(Message::Hello(hello)) => {
                    *state = State::Greeted;
                    Ok(ServerEvent::Hello(hello))
                }
                _ => bad("a binary session begins with a hello"),
            };
        }
        if matches!(frame.kind, kind::DECLARE | kind::WRITE) {
            if features & feature::WRITES == 0 {
                return bad("declarations and batches without the feature that allows them");
            }
            if frame.kind == kind::DECLARE {
                return match names.declare(frame.payload) {
                    Ok(()) => Ok(ServerEvent::Declared(HEADER_BYTES + frame.payload.len())),
                    Err(error) => bad(&error.to_string()),
                };
            }
            return Ok(ServerEvent::Write {
                request,
                payload: frame.payload,
                names,
            });
        }
        match Message::decode(&frame) {
            Ok(
                message @ (Message::Ping
                | Message::Pong
                | Message::Query(_)
                | Message::Cancel
                | Message::Auth(_)),
            ) => Ok(ServerEvent::Message(request, message)),
            Ok(Message::Hello(_)) => bad("a second hello"),
            Ok(_) => bad("a message that only servers send"),
            Err(error) => bad(&error.to_string()),
        }
    }
}

fn violation(request: u32, message: &str) -> Violation {
    Violation {
        request,
        code: Code::BadFrame,
        message: message.to_owned(),
    }
}
