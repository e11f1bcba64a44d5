//! The bounds of one line, as an argument of everything that parses.
//!
//! The server passes its own; [`Limits::default`] is what a session has without configuration.

/// The bounds of one line. Passing one costs that line, with the code of that bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest line with the strings in it, without its newline. At least 256.
    pub line_bytes_max: usize,
    /// Longest measurement, tag key, tag value or field key, as written (with its escapes).
    pub name_bytes_max: usize,
    /// Longest quoted string, as written, between its quotes.
    pub string_bytes_max: usize,
    /// Most tags of a line.
    pub tags_max: usize,
    /// Most fields of a line.
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes_max: 256 * 1024,
            name_bytes_max: 1024,
            string_bytes_max: 64 * 1024,
            tags_max: 256,
            fields_max: 1024,
        }
    }
}
