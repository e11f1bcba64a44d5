//! Queries: one binary connection, one query at a time, its result streamed batch by batch.
//!
//! A [`Rows`] that is dropped early cancels its query; what the server had sent already is skipped by the
//! next one. Invariant: request numbers ascend, so that nothing of an old query is taken for a new one.

use std::borrow::ToOwned;
use std::collections::VecDeque;
use std::format;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::string::String;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::{ClientError, connect, socket_error};
use crate::columns::{ResultBatch, ResultColumn};
use crate::frame::{Frame, HEADER_BYTES, MAGIC, PAYLOAD_BYTES_MAX};
use crate::message::{End, Hello, Message, Query, QueryOptions, VERSION, Welcome};

/// How a connection is set up.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Token, where the server asks for one.
    pub token: Option<String>,
    /// For connecting, for a write that does not move, and for each message of an answer.
    pub timeout: Duration,
    /// Name and version of the program, for the server's list of clients.
    pub client: String,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            token: None,
            timeout: Duration::from_secs(30),
            client: concat!("edgetime-protocol ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A connection for queries.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes that arrived; those before `at` are done with.
    buffer: Vec<u8>,
    at: usize,
    request: u32,
    welcome: Welcome,
}

impl Connection {
    /// Connects and agrees on a version.
    pub fn connect(
        address: impl ToSocketAddrs,
        options: &ConnectionOptions,
    ) -> Result<Self, ClientError> {
        let stream = connect(address, options.timeout)?;
        stream.set_read_timeout(Some(options.timeout))?;
        stream.set_write_timeout(Some(options.timeout))?;
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            at: 0,
            request: 0,
            welcome: Welcome::new("", 0),
        };
        let hello = Message::Hello(Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            client: options.client.clone(),
            token: options.token.clone().unwrap_or_default(),
        });
        let mut bytes = vec![MAGIC];
        hello.encode(0, &mut bytes)?;
        connection.stream.write_all(&bytes).map_err(socket_error)?;
        match connection.receive()? {
            (_, Message::Welcome(welcome)) if welcome.version == VERSION => {
                connection.welcome = welcome;
            }
            (_, Message::Error(failure)) => return Err(failure.into()),
            (_, other) => return Err(unexpected(&other)),
        }
        Ok(connection)
    }

    /// What the server said of itself.
    #[must_use]
    pub fn server(&self) -> &Welcome {
        &self.welcome
    }

    /// Asks for a sign of life.
    pub fn ping(&mut self) -> Result<(), ClientError> {
        let request = self.send(&Message::Ping)?;
        match self.receive_for(request)? {
            Message::Pong => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a query and waits for its columns. The rows come from the result.
    pub fn query(
        &mut self,
        database: &str,
        sql: &str,
        options: QueryOptions,
    ) -> Result<Rows<'_>, ClientError> {
        let query = Query {
            database: database.to_owned(),
            sql: sql.to_owned(),
            options,
        };
        let request = self.send(&Message::Query(query))?;
        match self.receive_for(request)? {
            Message::Columns(columns) => Ok(Rows {
                connection: self,
                request,
                columns,
                end: None,
                done: false,
            }),
            // A statement without a result.
            Message::End(end) => Ok(Rows {
                connection: self,
                request,
                columns: Vec::new(),
                end: Some(end),
                done: true,
            }),
            Message::Error(failure) => Err(failure.into()),
            other => Err(unexpected(&other)),
        }
    }

    fn send(&mut self, message: &Message) -> Result<u32, ClientError> {
        // 0 is the connection itself.
        self.request = self.request.checked_add(1).unwrap_or(1);
        let mut bytes = Vec::new();
        message.encode(self.request, &mut bytes)?;
        self.stream.write_all(&bytes).map_err(socket_error)?;
        Ok(self.request)
    }

    /// The next message of a request; what is left of older ones is skipped.
    fn receive_for(&mut self, request: u32) -> Result<Message, ClientError> {
        loop {
            match self.receive()? {
                (of, message) if of == request => return Ok(message),
                (0, Message::Error(failure)) => return Err(failure.into()),
                (of, Message::Ping) => {
                    let mut bytes = Vec::new();
                    Message::Pong.encode(of, &mut bytes)?;
                    self.stream.write_all(&bytes).map_err(socket_error)?;
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<(u32, Message), ClientError> {
        loop {
            if let Some((frame, length)) =
                Frame::decode(&self.buffer[self.at..], PAYLOAD_BYTES_MAX)?
            {
                let message = Message::decode(&frame)?;
                let request = frame.request;
                self.at += length;
                return Ok((request, message));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            self.fill()?;
        }
    }

    /// Reads more. The limit of a frame bounds the buffer.
    fn fill(&mut self) -> Result<(), ClientError> {
        let len = self.buffer.len();
        self.buffer.resize(len + READ_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[len..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(len + *read.as_ref().unwrap_or(&0));
        match read.map_err(socket_error)? {
            0 => Err(ClientError::Closed),
            _ => Ok(()),
        }
    }
}

const READ_BYTES: usize = 64 * 1024;
const _: () = assert!(READ_BYTES > HEADER_BYTES);

fn unexpected(message: &Message) -> ClientError {
    let mut text = format!("{message:?}");
    text.truncate(text.floor_char_boundary(200));
    ClientError::Unexpected(text)
}

/// The rows of one query, batch by batch. Dropped before its end it cancels the query.
#[derive(Debug)]
pub struct Rows<'a> {
    connection: &'a mut Connection,
    request: u32,
    columns: Vec<ResultColumn>,
    end: Option<End>,
    /// The server has closed the request, or the connection failed.
    done: bool,
}

impl Rows<'_> {
    /// Names and types of the result.
    #[must_use]
    pub fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// Figures and warnings, after the last batch.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Asks the server to stop. The iterator still yields what comes until the server has closed the
    /// request.
    pub fn cancel(&mut self) -> Result<(), ClientError> {
        if self.done {
            return Ok(());
        }
        let mut bytes = Vec::new();
        Message::Cancel.encode(self.request, &mut bytes)?;
        self.connection
            .stream
            .write_all(&bytes)
            .map_err(socket_error)
    }

    /// All rows at once, and the end.
    pub fn collect_all(
        mut self,
    ) -> Result<(Vec<ResultColumn>, Vec<ResultBatch>, End), ClientError> {
        let mut batches = VecDeque::new();
        for batch in self.by_ref() {
            batches.push_back(batch?);
        }
        let end = self.end.take().unwrap_or_default();
        Ok((std::mem::take(&mut self.columns), batches.into(), end))
    }

    fn step(&mut self) -> Result<Option<ResultBatch>, ClientError> {
        match self.connection.receive_for(self.request)? {
            Message::Batch(batch) if self.fits(&batch) => Ok(Some(batch)),
            Message::End(end) => {
                self.end = Some(end);
                Ok(None)
            }
            Message::Error(failure) => Err(failure.into()),
            other => Err(unexpected(&other)),
        }
    }

    /// True where a batch has the columns that were announced.
    fn fits(&self, batch: &ResultBatch) -> bool {
        batch.columns.len() == self.columns.len()
            && batch
                .columns
                .iter()
                .zip(&self.columns)
                .all(|(vector, column)| vector.values.column_type() == column.column_type)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<ResultBatch, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the next query will.
        let _ = self.cancel();
    }
}
