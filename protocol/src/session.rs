//! A text session: a stream of bytes in, rows, directives and rejected lines out, one at a time.
//!
//! Owns framing (a newline in a quoted string ends nothing), recovery (a bad line costs that line only:
//! reading resumes after its first newline) and the count of physical lines. Never reads, waits or
//! allocates per row. Invariant: the items do not depend on how the bytes were split into pieces.
//!
//! ```
//! use edgetime_protocol::limits::Limits;
//! use edgetime_protocol::line::NoHints;
//! use edgetime_protocol::session::{Item, Session};
//!
//! let mut session = Session::new(Limits::default());
//! let buffer = b"cpu,host=a user=21.5 1700000000000000000\ncpu,host=";
//! loop {
//!     match session.next(buffer, &mut NoHints) {
//!         Item::Row(row) => assert_eq!(row.key, b"cpu,host=a"),
//!         Item::Directive(_) | Item::Rejected(_) => {}
//!         Item::Incomplete { .. } => break,
//!     }
//! }
//! // The caller drops what was consumed, reads more behind the rest, and goes on.
//! assert_eq!(&buffer[session.take_consumed()..], b"cpu,host=");
//! ```

use memchr::{memchr, memchr_iter};

use crate::command::Directive;
use crate::error::Code;
use crate::limits::Limits;
use crate::line::bytes::{CONTROL, is};
use crate::line::{self, Fields, Hints, Line, LineError, Row, Stop, closing_quote, line_end};
use crate::types::Precision;

/// What the first byte of a connection says about the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A TLS handshake.
    Tls,
    /// Binary frames follow the magic byte.
    Binary,
    /// A text session, of which this byte is the first.
    Text,
}

impl Opening {
    /// Decides by the first byte.
    #[must_use]
    pub const fn of(first: u8) -> Self {
        match first {
            TLS_HANDSHAKE => Self::Tls,
            crate::frame::MAGIC => Self::Binary,
            _ => Self::Text,
        }
    }
}

/// Offsets in a line are 32 bits wide.
const LINE_BYTES_CEILING: usize = 1 << 30;

/// First byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a session yields.
#[derive(Debug)]
pub enum Item<'a> {
    /// A row.
    Row(Row<'a>),
    /// A directive. A precision is already in force.
    Directive(DirectiveLine<'a>),
    /// A line that was refused.
    Rejected(Rejected<'a>),
    /// Everything at hand was consumed, or the last line needs more bytes. `quoted`: it needs them inside a
    /// quoted string, which [`Session::abandon`] refuses when they do not come.
    Incomplete {
        /// True where a quoted string is open.
        quoted: bool,
    },
}

/// A directive and where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectiveLine<'a> {
    /// Physical line on the connection, from 1.
    pub line: u64,
    /// What it says.
    pub directive: Directive<'a>,
}

/// A refused line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// Physical line on the connection, from 1.
    pub line: u64,
    /// Why.
    pub error: LineError,
    /// The line up to its first newline, cut at the limit of a line.
    pub raw: &'a [u8],
}

/// A text session.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    precision: Precision,
    /// Offset in the caller's buffer of the line to come.
    at: usize,
    /// Number of that line.
    line: u64,
    wait: Wait,
    ended: bool,
    abandoned: bool,
    /// The rest of a line that was refused before its newline came is being skipped.
    discarding: bool,
    fields: Fields,
}

/// What an incomplete line waits for. Offsets are relative to the line's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing: parse what is there.
    No,
    /// A newline behind `scanned`.
    Newline { scanned: usize },
    /// The quote that closes the string opened at `quote`.
    Quote { quote: usize, scanned: usize },
}

/// A line that is no row.
enum Other<'a> {
    Blank {
        next: usize,
    },
    Directive {
        directive: Directive<'a>,
        next: usize,
    },
}

impl Session {
    /// A session at the start of a connection.
    #[must_use]
    pub fn new(mut limits: Limits) -> Self {
        limits.line_bytes_max = limits.line_bytes_max.min(LINE_BYTES_CEILING);
        Self {
            limits,
            precision: Precision::default(),
            at: 0,
            line: 1,
            wait: Wait::No,
            ended: false,
            abandoned: false,
            discarding: false,
            fields: Fields::default(),
        }
    }

    /// The unit of the timestamps to come.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// The unit of the timestamps to come.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Number of the line to come, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Says that no bytes will follow: the last line counts without a newline.
    pub fn finish(&mut self) {
        self.ended = true;
        self.wait = Wait::No;
    }

    /// Refuses the line whose quoted string is open. The next call of [`Self::next`] yields it as rejected,
    /// and reading resumes after its first newline. Without an open string nothing happens.
    pub fn abandon(&mut self) {
        if matches!(self.wait, Wait::Quote { .. }) {
            self.abandoned = true;
            self.wait = Wait::No;
        }
    }

    /// How many bytes at the front of the buffer are done with; the caller drops them now.
    pub fn take_consumed(&mut self) -> usize {
        core::mem::take(&mut self.at)
    }

    /// Gives back the storage of rows; for connections that fell idle.
    pub fn shrink(&mut self) {
        self.fields.shrink();
    }

    /// The next item of `buffer`: all bytes that arrived and were not yet taken by
    /// [`Self::take_consumed`]. After [`Item::Incomplete`] the same bytes must come again, with more behind
    /// them.
    #[inline]
    pub fn next<'a, H: Hints>(&'a mut self, buffer: &'a [u8], hints: &mut H) -> Item<'a> {
        loop {
            let rest = buffer.get(self.at..).unwrap_or_default();
            if self.discarding && !self.discard(rest) {
                return Item::Incomplete { quoted: false };
            }
            let rest = buffer.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return Item::Incomplete { quoted: false };
            }
            if self.wait != Wait::No && !self.is_ready(rest) {
                return Item::Incomplete {
                    quoted: matches!(self.wait, Wait::Quote { .. }),
                };
            }
            // One byte more than a line may have, so that a line at the limit still shows its end.
            let view_len = rest.len().min(self.limits.line_bytes_max.saturating_add(1));
            let view = &rest[..view_len];
            let ended = self.ended && view_len == rest.len();
            let start = view.iter().take_while(|&&byte| byte == b' ').count();
            let stop = match view.get(start) {
                Some(b'#' | b'\n' | b'\r') | None => match other_line(view, start, ended) {
                    Ok(Other::Blank { next }) => {
                        self.advance(next, 1);
                        continue;
                    }
                    Ok(Other::Directive { directive, next }) => {
                        let line = self.line;
                        self.advance(next, 1);
                        if let Directive::Precision(precision) = directive {
                            self.precision = precision;
                        }
                        return Item::Directive(DirectiveLine { line, directive });
                    }
                    Err(stop) => stop,
                },
                Some(_) => {
                    let parsed = line::parse(
                        view,
                        start,
                        ended,
                        self.precision,
                        &self.limits,
                        &mut self.fields,
                        hints,
                    );
                    match parsed {
                        Ok(parsed) if parsed.raw_end <= self.limits.line_bytes_max => {
                            return Item::Row(self.row(view, start, &parsed));
                        }
                        Ok(_) => Stop::Incomplete,
                        Err(stop) => stop,
                    }
                }
            };
            match self.stopped(rest, view_len, stop) {
                Stop::Bad(error) => return Item::Rejected(self.reject(rest, error)),
                Stop::Incomplete => return Item::Incomplete { quoted: false },
                Stop::Open { .. } => return Item::Incomplete { quoted: true },
            }
        }
    }

    fn row<'a>(&'a mut self, view: &'a [u8], start: usize, parsed: &Line) -> Row<'a> {
        let line = self.line;
        let newlines = if parsed.has_strings {
            memchr_iter(b'\n', &view[..parsed.next]).count()
        } else {
            1
        };
        self.advance(parsed.next, newlines);
        Row {
            raw: &view[..parsed.raw_end],
            key: &view[start..parsed.key_end],
            key_predicted: parsed.key_predicted,
            layout_matched: parsed.layout_matched,
            time: parsed.time,
            line,
            fields: &self.fields,
        }
    }

    fn advance(&mut self, bytes: usize, newlines: usize) {
        self.at += bytes;
        self.line += newlines as u64;
        self.wait = Wait::No;
        self.abandoned = false;
    }

    /// True when what the line waits for has come, or has become impossible.
    fn is_ready(&mut self, rest: &[u8]) -> bool {
        match self.wait {
            Wait::No => true,
            Wait::Newline { scanned } => {
                let ready = rest.len() > self.limits.line_bytes_max
                    || memchr(b'\n', rest.get(scanned..).unwrap_or_default()).is_some();
                self.wait = if ready {
                    Wait::No
                } else {
                    Wait::Newline {
                        scanned: rest.len(),
                    }
                };
                ready
            }
            Wait::Quote { quote, scanned } => {
                let string_bytes_max = self.limits.string_bytes_max;
                let (close, _, scanned) = closing_quote(rest, quote + 1, scanned, string_bytes_max);
                if let Some(close) = close {
                    self.wait = Wait::Newline { scanned: close + 1 };
                    return self.is_ready(rest);
                }
                let ready = rest.len() > self.limits.line_bytes_max
                    || rest.len() > quote + 1 + string_bytes_max;
                self.wait = if ready {
                    Wait::No
                } else {
                    Wait::Quote { quote, scanned }
                };
                ready
            }
        }
    }

    /// Turns an incomplete line into a refused one where it has no future, or notes what it waits for. A
    /// refused line waits for its newline, unless it is longer than the limit.
    fn stopped(&mut self, rest: &[u8], view_len: usize, stop: Stop) -> Stop {
        let too_long = view_len > self.limits.line_bytes_max;
        let error = match stop {
            Stop::Bad(error) => error,
            Stop::Incomplete | Stop::Open { .. } if too_long => LineError::new(
                Code::LineTooLong,
                self.limits.line_bytes_max,
                "line longer than the limit",
            ),
            Stop::Open { quote, .. } if self.abandoned => {
                LineError::new(Code::StringLeftOpen, quote, "quoted string left open")
            }
            Stop::Incomplete => {
                self.wait = Wait::Newline {
                    scanned: rest.len(),
                };
                return stop;
            }
            Stop::Open { quote, scanned } => {
                self.wait = Wait::Quote { quote, scanned };
                return stop;
            }
        };
        let whole = too_long || self.ended || self.abandoned || memchr(b'\n', rest).is_some();
        if whole {
            return Stop::Bad(error);
        }
        self.wait = Wait::Newline {
            scanned: rest.len(),
        };
        Stop::Incomplete
    }

    /// Takes a refused line away, up to its first newline.
    fn reject<'a>(&mut self, rest: &'a [u8], error: LineError) -> Rejected<'a> {
        let line = self.line;
        let newline = memchr(b'\n', rest);
        let raw = &rest[..newline
            .unwrap_or(rest.len())
            .min(self.limits.line_bytes_max)];
        if let Some(newline) = newline {
            self.advance(newline + 1, 1);
        } else {
            self.discarding = !self.ended;
            self.advance(rest.len(), 0);
        }
        Rejected { line, error, raw }
    }

    /// Skips the rest of a refused line. False: it has not ended yet.
    fn discard(&mut self, rest: &[u8]) -> bool {
        if let Some(newline) = memchr(b'\n', rest) {
            self.advance(newline + 1, 1);
            self.discarding = false;
        } else {
            self.advance(rest.len(), 0);
        }
        !self.discarding
    }
}

/// Reads a line that is no row: empty, a comment or a directive. `start` is behind its leading spaces.
fn other_line(view: &[u8], start: usize, ended: bool) -> Result<Other<'_>, Stop> {
    let comment = view.get(start) == Some(&b'#');
    let end = if comment {
        let len = view[start..].iter().position(|&byte| is(byte, CONTROL));
        len.map_or(view.len(), |len| start + len)
    } else {
        start
    };
    let message = if comment {
        "control character in a comment"
    } else {
        "no measurement"
    };
    let (_, next) = line_end(view, end, ended, Code::BadSyntax, message)?;
    match Directive::parse(&view[start..end]) {
        None => Ok(Other::Blank { next }),
        Some(Ok(directive)) => Ok(Other::Directive { directive, next }),
        Some(Err(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
