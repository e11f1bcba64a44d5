//! A small blocking client over `std::net::TcpStream`: [`BatchWriter`] for rows, [`Writer`] for line protocol,
//! [`Connection`] for queries.
//!
//! The one part of this crate that does input and output. Owns its sockets and, in a writer, one thread
//! that reads answers, so that neither side ever waits for the other to read first.

mod batches;
mod lines;
mod own_lines;
mod query;
mod writer;

pub use batches::{BatchOptions, BatchReport, BatchWriter, FieldValue, RefusedRow, RowNames};
pub use query::{Connection, ConnectionOptions, Rows};
use std::string::String;
pub use writer::{RejectedLine, Report, Writer, WriterOptions};

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::Code;
use crate::frame::FrameError;
use crate::message::{Failure, MessageError};

/// Why a client gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server refused the request.
    #[error("{}: {message}", code.map_or("unknown code", Code::name))]
    Server {
        /// The code, where this client knows it.
        code: Option<Code>,
        /// What went wrong, in the server's words.
        message: String,
        /// Offset in the SQL text, bytes.
        offset: Option<u32>,
    },
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that is no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A message or answer that does not belong here.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// The server closed the connection before it had answered.
    #[error("connection closed by the server")]
    Closed,
    /// No answer within the timeout.
    #[error("no answer in time")]
    TimedOut,
}

impl ClientError {
    /// True where the same request may succeed later, unchanged.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Server { code: Some(code), .. } if code.is_retryable())
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        Self::Server {
            code: failure.known_code(),
            message: failure.message,
            offset: failure.offset,
        }
    }
}

/// An error of a socket with a timeout: the kernel says `WouldBlock`.
fn socket_error(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut,
        _ => ClientError::Io(error),
    }
}

/// Connects to the first address that answers.
fn connect(address: impl ToSocketAddrs, timeout: Duration) -> Result<TcpStream, ClientError> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the address names no host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(socket_error(last))
}

#[cfg(test)]
mod tests;
