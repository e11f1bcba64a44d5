//! Messages of the binary protocol: what the payload of each type of frame holds.
//!
//! Owned values, both directions. Never touches a socket. Invariant: `decode(encode(message)) == message`,
//! and a payload with anything behind its message is refused. A batch of rows to be written is no message of
//! this module: it is read in place, by [`crate::write::BatchReader`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::columns::{ResultBatch, ResultColumn, ResultType};
use crate::error::Code;
use crate::frame::{Frame, FrameError, PAYLOAD_BYTES_MAX, encode_with};
use crate::wire::{PayloadError, Reader, put_bytes, put_varint};
use crate::write::{Declaration, Written};

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;
/// Most bytes of a query's text.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// From this number on an option that the server does not know may be ignored; below it is an error.
pub const OPTION_IGNORABLE: u8 = 128;

/// The types of frames.
pub(crate) mod kind {
    pub const HELLO: u8 = 1;
    pub const WELCOME: u8 = 2;
    pub const PING: u8 = 3;
    pub const PONG: u8 = 4;
    pub const ERROR: u8 = 5;
    pub const AUTH: u8 = 6;
    pub const READY: u8 = 7;
    pub const QUERY: u8 = 16;
    pub const CANCEL: u8 = 17;
    pub const COLUMNS: u8 = 18;
    pub const BATCH: u8 = 19;
    pub const END: u8 = 20;
    pub const DECLARE: u8 = 32;
    pub const WRITE: u8 = 33;
    pub const WRITTEN: u8 = 34;
    pub const CREDITS: u8 = 35;
}

/// Features, a bit each, that both sides must know to use them.
pub mod feature {
    /// Declarations, batches of rows, their answers and credits.
    pub const WRITES: u64 = 1;
    /// Batches with producer and sequence are stored once, however often they are sent.
    pub const PRODUCERS: u64 = 2;
    /// The client answers pings within [`super::PONG_SECONDS_MAX`], whatever else it does.
    pub const KEEP_ALIVE: u64 = 4;
}

/// Seconds within which a ping is answered, where [`feature::KEEP_ALIVE`] was agreed.
pub const PONG_SECONDS_MAX: u64 = 10;

/// First message of a client, right behind the magic byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version that the client speaks.
    pub version_min: u16,
    /// Newest version that the client speaks.
    pub version_max: u16,
    /// Features that the client knows, see [`feature`].
    pub features: u64,
    /// Name and version of the client, for people.
    pub client: String,
    /// Token, empty where none is needed.
    pub token: String,
}

impl fmt::Debug for Hello {
    /// Never shows the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version_min", &self.version_min)
            .field("version_max", &self.version_max)
            .field("features", &self.features)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Hello {
    /// The version that both sides use, if there is one.
    #[must_use]
    pub fn agreed_version(&self) -> Option<u16> {
        (self.version_min..=self.version_max)
            .contains(&VERSION)
            .then_some(VERSION)
    }
}

/// Answer of a server to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both use from now on.
    pub version: u16,
    /// Features that both know.
    pub features: u64,
    /// Name and version of the server, for people.
    pub server: String,
    /// Largest payload that the server accepts.
    pub payload_bytes_max: u32,
    /// Most queries of one connection at a time.
    pub queries_max: u32,
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Database; empty is the default one.
    pub database: String,
    /// The SQL text.
    pub sql: String,
    /// Options.
    pub options: QueryOptions,
}

/// Options of a query, a tagged list on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Tag 1: stop after so many milliseconds.
    pub timeout_ms: Option<u64>,
    /// Tag 2: what no tier can answer exactly is an error.
    pub exact: bool,
    /// Tag 3: stop after so many rows.
    pub rows_max: Option<u64>,
}

/// Last message of a query that succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Rows of the result.
    pub rows: u64,
    /// Time that the server took, nanoseconds.
    pub elapsed_ns: u64,
    /// What the reader should know about the result.
    pub warnings: Vec<String>,
}

/// Last message of a request that failed; with request number 0, of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number of the code, see [`Code`].
    pub code: u16,
    /// What went wrong, for people.
    pub message: String,
    /// Offset in the SQL text, bytes.
    pub offset: Option<u32>,
}

impl Failure {
    /// A failure without an offset.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            message: message.into(),
            offset: None,
        }
    }

    /// The code, where this side knows it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Client: opens the connection.
    Hello(Hello),
    /// Server: accepts it.
    Welcome(Welcome),
    /// Either: asks for a [`Message::Pong`] with the same request number.
    Ping,
    /// Either: the answer.
    Pong,
    /// Server: the request failed.
    Error(Failure),
    /// Client: a query.
    Query(Query),
    /// Client: stop the request of this number. It is still closed, by an end or an error.
    Cancel,
    /// Server: the columns of a result, once, before its batches.
    Columns(Vec<ResultColumn>),
    /// Server: some rows of a result.
    Batch(ResultBatch),
    /// Server: the result is complete.
    End(End),
    /// Client: a token, after the hello.
    Auth(Token),
    /// Server: the token is valid, or none is needed.
    Ready,
    /// Client: names of what the batches behind it write.
    Declare(Vec<Declaration>),
    /// Server: what became of a batch.
    Written(Written),
    /// Server: so many more bytes of declarations and batches may be sent.
    Credits(u32),
}

/// A token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A frame whose content is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A type that this version does not have.
    #[error("unknown type of frame {0}")]
    UnknownType(u8),
    /// A payload that does not hold what its type says.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl Message {
    /// The message in a frame.
    pub fn decode(frame: &Frame<'_>) -> Result<Self, MessageError> {
        let mut reader = Reader::new(frame.payload);
        let message = match frame.kind {
            kind::HELLO => Self::Hello(Hello::decode(&mut reader)?),
            kind::WELCOME => Self::Welcome(Welcome::decode(&mut reader)?),
            kind::PING => Self::Ping,
            kind::PONG => Self::Pong,
            kind::ERROR => Self::Error(Failure::decode(&mut reader)?),
            kind::QUERY => Self::Query(Query::decode(&mut reader)?),
            kind::CANCEL => Self::Cancel,
            kind::COLUMNS => Self::Columns(decode_columns(&mut reader)?),
            kind::BATCH => return Ok(Self::Batch(ResultBatch::decode(frame.payload)?)),
            kind::END => Self::End(End::decode(&mut reader)?),
            kind::AUTH => Self::Auth(Token(reader.str()?.to_owned())),
            kind::READY => Self::Ready,
            kind::DECLARE => return Ok(Self::Declare(Declaration::decode_all(frame.payload)?)),
            kind::WRITTEN => Self::Written(Written::decode(&mut reader)?),
            kind::CREDITS => {
                let error = reader.error("bytes in 32 bits");
                Self::Credits(u32::try_from(reader.varint()?).map_err(|_| error)?)
            }
            other => return Err(MessageError::UnknownType(other)),
        };
        reader.end()?;
        Ok(message)
    }

    /// Appends the message as a frame.
    pub fn encode(&self, request: u32, out: &mut Vec<u8>) -> Result<(), FrameError> {
        encode_with(out, self.kind(), request, |out| match self {
            Self::Hello(hello) => hello.encode(out),
            Self::Welcome(welcome) => welcome.encode(out),
            Self::Ping | Self::Pong | Self::Cancel | Self::Ready => {}
            Self::Error(failure) => failure.encode(out),
            Self::Query(query) => query.encode(out),
            Self::Columns(columns) => encode_columns(columns, out),
            Self::Batch(batch) => batch.encode(out),
            Self::End(end) => end.encode(out),
            Self::Auth(token) => put_bytes(out, token.0.as_bytes()),
            Self::Declare(all) => all.iter().for_each(|one| one.encode(out)),
            Self::Written(written) => written.encode(out),
            Self::Credits(bytes) => put_varint(out, u64::from(*bytes)),
        })
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Ping => kind::PING,
            Self::Pong => kind::PONG,
            Self::Error(_) => kind::ERROR,
            Self::Query(_) => kind::QUERY,
            Self::Cancel => kind::CANCEL,
            Self::Columns(_) => kind::COLUMNS,
            Self::Batch(_) => kind::BATCH,
            Self::End(_) => kind::END,
            Self::Auth(_) => kind::AUTH,
            Self::Ready => kind::READY,
            Self::Declare(_) => kind::DECLARE,
            Self::Written(_) => kind::WRITTEN,
            Self::Credits(_) => kind::CREDITS,
        }
    }
}

/// Appends a batch as one frame, or as several where it is too large for one. An error is a single row
/// that fits into no frame.
pub fn encode_batch(
    batch: &ResultBatch,
    request: u32,
    out: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = out.len();
    let rows = batch.rows();
    let result = encode_with(out, kind::BATCH, request, |out| batch.encode(out));
    if !matches!(result, Err(FrameError::TooLarge(_))) && rows <= crate::columns::BATCH_ROWS_MAX
        || rows < 2
    {
        return result;
    }
    out.truncate(start);
    encode_batch(&batch.slice(0..rows / 2), request, out)?;
    encode_batch(&batch.slice(rows / 2..rows), request, out)
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version_min.to_le_bytes());
        out.extend_from_slice(&self.version_max.to_le_bytes());
        out.extend_from_slice(&self.features.to_le_bytes());
        put_bytes(out, self.client.as_bytes());
        put_bytes(out, self.token.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        Ok(Self {
            version_min: u16::from_le_bytes(reader.array()?),
            version_max: u16::from_le_bytes(reader.array()?),
            features: u64::from_le_bytes(reader.array()?),
            client: reader.str()?.to_owned(),
            token: reader.str()?.to_owned(),
        })
    }
}

impl Welcome {
    /// What this crate's version offers, under the name of the server, without features.
    #[must_use]
    pub fn new(server: impl Into<String>, queries_max: u32) -> Self {
        Self {
            version: VERSION,
            features: 0,
            server: server.into(),
            payload_bytes_max: PAYLOAD_BYTES_MAX as u32,
            queries_max,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.features.to_le_bytes());
        put_bytes(out, self.server.as_bytes());
        out.extend_from_slice(&self.payload_bytes_max.to_le_bytes());
        out.extend_from_slice(&self.queries_max.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        Ok(Self {
            version: u16::from_le_bytes(reader.array()?),
            features: u64::from_le_bytes(reader.array()?),
            server: reader.str()?.to_owned(),
            payload_bytes_max: u32::from_le_bytes(reader.array()?),
            queries_max: u32::from_le_bytes(reader.array()?),
        })
    }
}

impl Query {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.database.as_bytes());
        put_bytes(out, self.sql.as_bytes());
        let mut number = |tag: u8, value: Option<u64>| {
            if let Some(value) = value {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                out.push(tag);
                put_bytes(out, &bytes);
            }
        };
        number(option::TIMEOUT_MS, self.options.timeout_ms);
        number(option::EXACT, self.options.exact.then_some(1));
        number(option::ROWS_MAX, self.options.rows_max);
        out.push(option::LAST);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let database = reader.str()?.to_owned();
        let sql = reader.str()?;
        if sql.len() > SQL_BYTES_MAX {
            return Err(reader.error("a shorter text"));
        }
        let mut options = QueryOptions::default();
        loop {
            let tag = reader.byte()?;
            if tag == option::LAST {
                break;
            }
            let unknown = reader.error("a known option");
            let value = reader.bytes()?;
            let number = || {
                let mut value = Reader::new(value);
                let number = value.varint()?;
                value.end().map(|()| number)
            };
            match tag {
                option::TIMEOUT_MS => options.timeout_ms = Some(number()?),
                option::EXACT => options.exact = number()? != 0,
                option::ROWS_MAX => options.rows_max = Some(number()?),
                OPTION_IGNORABLE.. => {}
                _ => return Err(unknown),
            }
        }
        Ok(Self {
            database,
            sql: sql.to_owned(),
            options,
        })
    }
}

/// Tags of a query's options.
mod option {
    pub const LAST: u8 = 0;
    pub const TIMEOUT_MS: u8 = 1;
    pub const EXACT: u8 = 2;
    pub const ROWS_MAX: u8 = 3;
}

impl Failure {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.to_le_bytes());
        put_bytes(out, self.message.as_bytes());
        put_varint(out, self.offset.map_or(0, |offset| u64::from(offset) + 1));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let code = u16::from_le_bytes(reader.array()?);
        let message = reader.str()?.to_owned();
        let error = reader.error("an offset");
        let offset = match reader.varint()?.checked_sub(1) {
            None => None,
            Some(offset) => Some(u32::try_from(offset).map_err(|_| error)?),
        };
        Ok(Self {
            code,
            message,
            offset,
        })
    }
}

impl End {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.rows);
        put_varint(out, self.elapsed_ns);
        put_varint(out, self.warnings.len() as u64);
        for warning in &self.warnings {
            put_bytes(out, warning.as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, PayloadError> {
        let (rows, elapsed_ns) = (reader.varint()?, reader.varint()?);
        let count = reader.count()?;
        let warnings = (0..count)
            .map(|_| reader.str().map(str::to_owned))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            rows,
            elapsed_ns,
            warnings,
        })
    }
}

fn encode_columns(columns: &[ResultColumn], out: &mut Vec<u8>) {
    put_varint(out, columns.len() as u64);
    for column in columns {
        out.push(column.column_type.number());
        put_bytes(out, column.name.as_bytes());
    }
}

fn decode_columns(reader: &mut Reader<'_>) -> Result<Vec<ResultColumn>, PayloadError> {
    let count = reader.count()?;
    let column = |_| {
        let error = reader.error("a type of values");
        let column_type = ResultType::from_number(reader.byte()?).ok_or(error)?;
        Ok(ResultColumn {
            name: reader.str()?.to_owned(),
            column_type,
        })
    };
    (0..count).map(column).collect()
}

#[cfg(test)]
mod tests;
