//! InfluxDB line protocol, read without a copy and without an allocation per row.
//!
//! `measurement,tag=value field=1.5,other="text" 1700000000000000000`. Owns the grammar of one line and
//! its way back ([`encode`]); framing, directives and recovery from bad lines are `session`'s. Never
//! guesses: what is not in the grammar is an error with an offset.
//!
//! The rules behind the grammar, where sources differ:
//! - a backslash escapes only what would end the token (`,` and space in a measurement; also `=` in keys
//!   and tag values; `"` and `\` in strings); before anything else it is an ordinary character;
//! - control characters cannot stand in a measurement, tag key, field key or comment; they can in tag
//!   values (only `\r` and `\n` end one) and in strings;
//! - a carriage return counts as part of the line's end only directly before the newline or the end of input;
//! - the same tag key twice is an error; the same field twice is two fields, in the order written;
//! - floats are decimal: no hexadecimal, no infinities, no NaN, and what overflows a double is an error.

pub(crate) mod bytes;
pub mod encode;
pub mod key;
mod layout;
mod number;
mod parse;
mod row;
mod text;

pub use layout::{Hints, Layout, NoHints, RawKey};
pub use parse::LineError;
pub(crate) use parse::{Line, Stop, line_end, parse};
pub(crate) use row::Fields;
pub use row::{Field, Row, Value};
pub(crate) use text::closing_quote;
pub use text::unescape_string;
