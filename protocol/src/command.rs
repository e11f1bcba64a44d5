//! Directives of a text session: comments that start with `#edge `.
//!
//! Every other server of line protocol takes them for comments. Owns their grammar; obeying them is the
//! server's work, except for the precision, which the session applies itself.

use crate::error::Code;
use crate::line::LineError;
use crate::types::{AckLevel, Precision};
use alloc::vec::Vec;

/// What a comment starts with to be a directive.
pub const PREFIX: &[u8] = b"#edge ";
/// Longest database name, bytes.
pub const DATABASE_NAME_BYTES_MAX: usize = 64;
/// Longest token, bytes.
pub const TOKEN_BYTES_MAX: usize = 512;

/// One directive, borrowed from the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Directive<'a> {
    /// `#edge auth TOKEN`
    Auth(&'a str),
    /// `#edge db NAME`: the database of the following lines; the name is valid.
    Database(&'a str),
    /// `#edge precision ns|us|ms|s`: the unit of the following timestamps.
    Precision(Precision),
    /// `#edge ack none|accepted|durable`
    Ack(AckLevel),
    /// `#edge ping`, answered by `+pong`.
    Ping,
    /// `#edge sync`, answered by `+synced POSITION`.
    Sync,
}

impl core::fmt::Debug for Directive<'_> {
    /// Never shows a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Auth(_) => f.write_str("Auth(..)"),
            Self::Database(name) => f.debug_tuple("Database").field(name).finish(),
            Self::Precision(precision) => f.debug_tuple("Precision").field(precision).finish(),
            Self::Ack(level) => f.debug_tuple("Ack").field(level).finish(),
            Self::Ping => f.write_str("Ping"),
            Self::Sync => f.write_str("Sync"),
        }
    }
}

/// True for the name of a database: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}`.
#[must_use]
pub fn is_database_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = name.as_bytes();
    bytes.len() <= DATABASE_NAME_BYTES_MAX
        && bytes.first().is_some_and(|&first| word(first))
        && bytes
            .iter()
            .all(|&byte| word(byte) || byte == b'.' || byte == b'-')
}

impl<'a> Directive<'a> {
    /// Reads a comment line without its line end, leading spaces removed. `None`: an ordinary comment.
    pub fn parse(comment: &'a [u8]) -> Option<Result<Self, LineError>> {
        let rest = match comment.strip_prefix(PREFIX) {
            Some(rest) => rest,
            None if comment == PREFIX.trim_ascii_end() => &[],
            None => return None,
        };
        Some(Self::parse_words(rest))
    }

    fn parse_words(rest: &'a [u8]) -> Result<Self, LineError> {
        let bad = |code, message| Err(LineError::new(code, PREFIX.len(), message));
        let Ok(rest) = core::str::from_utf8(rest) else {
            return bad(Code::BadUtf8, "directive is not UTF-8");
        };
        let mut words = rest.split_ascii_whitespace();
        let directive = match (words.next(), words.next()) {
            (Some("auth"), Some(token)) if token.len() <= TOKEN_BYTES_MAX => Self::Auth(token),
            (Some("auth"), _) => return bad(Code::BadDirective, "auth takes one token"),
            (Some("db"), Some(name)) if is_database_name(name) => Self::Database(name),
            (Some("db"), _) => {
                return bad(
                    Code::BadDatabaseName,
                    "db takes a name of letters, digits, '_', '.', '-'",
                );
            }
            (Some("precision"), unit) => match unit.and_then(Precision::from_name) {
                Some(precision) => Self::Precision(precision),
                None => return bad(Code::BadDirective, "precision takes ns, us, ms or s"),
            },
            (Some("ack"), level) => match level.and_then(AckLevel::from_name) {
                Some(level) => Self::Ack(level),
                None => return bad(Code::BadDirective, "ack takes none, accepted or durable"),
            },
            (Some("ping"), None) => Self::Ping,
            (Some("sync"), None) => Self::Sync,
            _ => {
                return bad(
                    Code::BadDirective,
                    "directives are auth, db, precision, ack, ping, sync",
                );
            }
        };
        if words.next().is_some() {
            return bad(
                Code::BadDirective,
                "unexpected word at the end of the directive",
            );
        }
        Ok(directive)
    }

    /// Appends the directive as a line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PREFIX);
        let (word, argument) = match self {
            Self::Auth(token) => ("auth ", *token),
            Self::Database(name) => ("db ", *name),
            Self::Precision(precision) => ("precision ", precision.name()),
            Self::Ack(level) => ("ack ", level.name()),
            Self::Ping => ("ping", ""),
            Self::Sync => ("sync", ""),
        };
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(argument.as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn directives_round_trip() {
        for directive in [
            Directive::Auth("s3cret"),
            Directive::Database("plant-1.raw"),
            Directive::Precision(Precision::Milliseconds),
            Directive::Ack(AckLevel::Durable),
            Directive::Ping,
            Directive::Sync,
        ] {
            let mut line = Vec::new();
            directive.encode(&mut line);
            assert_eq!(Directive::parse(line.trim_ascii_end()), Some(Ok(directive)));
        }
    }

    #[test]
    fn other_comments_are_comments_and_bad_directives_are_errors() {
        assert_eq!(Directive::parse(b"# edge db x"), None);
        assert_eq!(Directive::parse(b"#edgedb x"), None);
        for (text, code) in [
            ("#edge", Code::BadDirective),
            ("#edge ", Code::BadDirective),
            ("#edge auth", Code::BadDirective),
            ("#edge db", Code::BadDatabaseName),
            ("#edge db -x", Code::BadDatabaseName),
            ("#edge db a/b", Code::BadDatabaseName),
            ("#edge db a b", Code::BadDirective),
            ("#edge precision h", Code::BadDirective),
            ("#edge ack all", Code::BadDirective),
            ("#edge ping x", Code::BadDirective),
            ("#edge reboot", Code::BadDirective),
        ] {
            let error = Directive::parse(text.as_bytes())
                .expect(text)
                .expect_err(text);
            assert_eq!(error.code, code, "{text}");
        }
    }
}
