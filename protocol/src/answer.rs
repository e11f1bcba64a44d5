//! Answers of a text session, a line each: `+POSITION ROWS`, `-LINE CODE message`, `+pong`, `+synced POSITION`.
//!
//! Both directions: the server encodes, the client parses. An answer never contains a newline.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::Code;
use crate::wire::append;

/// Longest message of a rejection, bytes.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Rows since the last acknowledgement reached the level that was asked for.
    Acknowledged {
        /// Position in the log behind the last of them.
        position: u64,
        /// How many rows.
        rows: u64,
    },
    /// A line was refused.
    Rejected {
        /// Physical line on the connection, from 1.
        line: u64,
        /// Why; `None` where this client does not know the code.
        code: Option<Code>,
        /// The rest of the answer, for people; begins with the code's name where the code is unknown.
        message: String,
    },
    /// Answer to a ping.
    Pong,
    /// Everything before the `sync` is durable up to this position.
    Synced {
        /// Position in the log.
        position: u64,
    },
}

/// A line that is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an answer of the text protocol")]
pub struct NotAnAnswer;

impl Answer {
    /// Reads one line, with or without its newline.
    pub fn parse(line: &str) -> Result<Self, NotAnAnswer> {
        let line = line.trim_end_matches(['\r', '\n']);
        Self::parse_words(line).ok_or(NotAnAnswer)
    }

    fn parse_words(line: &str) -> Option<Self> {
        if line == "+pong" {
            return Some(Self::Pong);
        }
        if let Some(position) = line.strip_prefix("+synced ") {
            return Some(Self::Synced {
                position: position.parse().ok()?,
            });
        }
        if let Some(rest) = line.strip_prefix('+') {
            let (position, rows) = rest.split_once(' ')?;
            return Some(Self::Acknowledged {
                position: position.parse().ok()?,
                rows: rows.parse().ok()?,
            });
        }
        let (number, rest) = line.strip_prefix('-')?.split_once(' ')?;
        let (name, message) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = Code::from_name(name);
        Some(Self::Rejected {
            line: number.parse().ok()?,
            code,
            message: if code.is_some() { message } else { rest }.to_owned(),
        })
    }

    /// Appends the answer as a line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Acknowledged { position, rows } => acknowledged(out, *position, *rows),
            Self::Rejected {
                line,
                code,
                message,
            } => match code {
                Some(code) => rejected(out, *line, *code, message),
                None => rejection(out, *line, message),
            },
            Self::Pong => pong(out),
            Self::Synced { position } => synced(out, *position),
        }
    }
}

/// Appends `+POSITION ROWS`.
pub fn acknowledged(out: &mut Vec<u8>, position: u64, rows: u64) {
    append(out, format_args!("+{position} {rows}\n"));
}

/// Appends `-LINE CODE message`. Control characters in the message become spaces; it is cut at
/// [`MESSAGE_BYTES_MAX`].
pub fn rejected(out: &mut Vec<u8>, line: u64, code: Code, message: impl fmt::Display) {
    rejection(out, line, format_args!("{code} {message}"));
}

fn rejection(out: &mut Vec<u8>, line: u64, rest: impl fmt::Display) {
    append(out, format_args!("-{line} "));
    let start = out.len();
    append(out, format_args!("{rest}"));
    if out.len() > start + MESSAGE_BYTES_MAX {
        let mut end = start + MESSAGE_BYTES_MAX;
        // Do not cut a character of UTF-8: its later bytes are 0b10xx_xxxx.
        while end > start && out[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        out.truncate(end);
    }
    for byte in &mut out[start..] {
        if byte.is_ascii_control() {
            *byte = b' ';
        }
    }
    out.push(b'\n');
}

/// Appends `+pong`.
pub fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"+pong\n");
}

/// Appends `+synced POSITION`.
pub fn synced(out: &mut Vec<u8>, position: u64) {
    append(out, format_args!("+synced {position}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn answers_round_trip() {
        for (answer, text) in [
            (
                Answer::Acknowledged {
                    position: 4096,
                    rows: 12,
                },
                "+4096 12\n",
            ),
            (Answer::Pong, "+pong\n"),
            (
                Answer::Synced { position: u64::MAX },
                "+synced 18446744073709551615\n",
            ),
            (
                Answer::Rejected {
                    line: 7,
                    code: Some(Code::BadSyntax),
                    message: "no field key (byte 4)".to_owned(),
                },
                "-7 bad_syntax no field key (byte 4)\n",
            ),
            (
                Answer::Rejected {
                    line: 7,
                    code: None,
                    message: "new_code what".to_owned(),
                },
                "-7 new_code what\n",
            ),
        ] {
            let mut line = Vec::new();
            answer.encode(&mut line);
            assert_eq!(String::from_utf8_lossy(&line), text);
            assert_eq!(Answer::parse(text), Ok(answer));
        }
        for text in [
            "",
            "+",
            "+1",
            "-",
            "-1",
            "-x bad_syntax",
            "pong",
            "+a b",
            "+synced",
        ] {
            assert_eq!(Answer::parse(text), Err(NotAnAnswer), "{text}");
        }
    }

    #[test]
    fn messages_stay_one_line_and_short() {
        let mut line = Vec::new();
        rejected(
            &mut line,
            1,
            Code::Internal,
            "a\nb".to_owned() + &"ö".repeat(400),
        );
        let text = String::from_utf8(line).expect("still UTF-8");
        assert!(text.starts_with("-1 internal a b"));
        assert!(text.len() < MESSAGE_BYTES_MAX + 8);
        assert_eq!(text.matches('\n').count(), 1);
    }
}
