//! What can be wrong with a query, with a stable code and, where there is one, a place in the text.

use std::fmt;

use edgetime_protocol::error::Code;

use super::source::SourceError;

/// A place in the text of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlPosition {
    /// Bytes from the start of the text.
    pub offset: u32,
    /// Line, from 1.
    pub line: u32,
    /// Character of the line, from 1.
    pub column: u32,
}

impl fmt::Display for SqlPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What a name was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A measurement after `FROM`.
    Measurement,
    /// A tag, a field or `time`.
    Column,
    /// A function.
    Function,
    /// A type in a cast or behind `::`.
    Type,
    /// A time zone.
    TimeZone,
}

impl NameKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Measurement => "measurement",
            Self::Column => "tag or field",
            Self::Function => "function",
            Self::Type => "type",
            Self::TimeZone => "time zone",
        }
    }
}

/// Why a query has no answer. The display is one line: where, what was wrong, what would be right.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text does not follow the grammar.
    #[error("{at}: {message}")]
    Syntax {
        /// What was expected and what stood there.
        message: String,
        /// Where.
        at: SqlPosition,
    },
    /// The text is longer, deeper or wider than a query may be.
    #[error("query too large: {what} (at most {limit})")]
    TooLarge {
        /// What is too large, and in which unit.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
    },
    /// A name that nothing has.
    #[error("{at}: unknown {} `{name}`{}", .kind.name(), near_text(.near))]
    UnknownName {
        /// What it was taken for.
        kind: NameKind,
        /// The name as written.
        name: String,
        /// Names that exist and are close, the nearest first.
        near: Vec<String>,
        /// Where.
        at: SqlPosition,
    },
    /// Names are right, but the expression makes no sense.
    #[error("{at}: {message}")]
    Meaning {
        /// What is wrong and what would be right.
        message: String,
        /// Where.
        at: SqlPosition,
    },
    /// Understood, but not something this server answers.
    #[error("{at}: {what} not supported yet{}", hint_text(.hint))]
    Unsupported {
        /// What it is, with its verb: `DELETE is`.
        what: String,
        /// What would be answered, or nothing.
        hint: String,
        /// Where.
        at: SqlPosition,
    },
    /// A value left the range of its type while the query ran.
    #[error("{what} overflows its type; cast(.. as float) would not")]
    Overflow {
        /// The operation.
        what: &'static str,
    },
    /// The query needs more of something than it may have.
    #[error("query needs more than {limit} {what}; {hint}")]
    Budget {
        /// What was used up.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
        /// How to ask for less.
        hint: &'static str,
    },
    /// The caller gave up.
    #[error("query cancelled")]
    Cancelled,
    /// The consumer of the rows failed.
    #[error("output failed: {0}")]
    Output(String),
    /// The store failed.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl QueryError {
    /// The stable code of the wire.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Syntax { .. } | Self::TooLarge { .. } | Self::Meaning { .. } => Code::BadSql,
            Self::UnknownName { kind, .. } => match kind {
                NameKind::Measurement => Code::UnknownMeasurement,
                NameKind::Column => Code::UnknownColumn,
                NameKind::Function | NameKind::Type | NameKind::TimeZone => Code::BadSql,
            },
            Self::Unsupported { .. } => Code::Unsupported,
            Self::Overflow { .. } => Code::ValueOutOfRange,
            Self::Budget { .. } => Code::BudgetExceeded,
            Self::Cancelled | Self::Output(_) => Code::Cancelled,
            Self::Source(SourceError::UnknownDatabase(_)) => Code::NoSuchDatabase,
            Self::Source(SourceError::Failed(_)) => Code::Internal,
            Self::Source(SourceError::Refused { code, .. }) => *code,
        }
    }

    /// Where in the text, if it is about a place.
    #[must_use]
    pub const fn position(&self) -> Option<SqlPosition> {
        match self {
            Self::Syntax { at, .. }
            | Self::UnknownName { at, .. }
            | Self::Meaning { at, .. }
            | Self::Unsupported { at, .. } => Some(*at),
            _ => None,
        }
    }

    pub(crate) fn meaning(at: SqlPosition, message: impl Into<String>) -> Self {
        Self::Meaning {
            message: message.into(),
            at,
        }
    }

    pub(crate) fn unsupported(at: SqlPosition, what: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            hint: String::new(),
            at,
        }
    }
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("; near: {}", quoted.join(", "))
}

fn hint_text(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!("; {hint}")
    }
}
