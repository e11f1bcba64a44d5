//! Patterns of `LIKE` and `~`, both as regular expressions.

use regex::{Regex, RegexBuilder};

use crate::limits::QUERY_REGEX_BYTES;

/// A compiled pattern. Equal where its text is.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    insensitive: bool,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.insensitive == other.insensitive
    }
}

impl Pattern {
    /// A regular expression that may match anywhere; the error says what is wrong, in one line.
    pub(crate) fn regex(text: &str, insensitive: bool) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .case_insensitive(insensitive)
            .size_limit(QUERY_REGEX_BYTES)
            .dfa_size_limit(QUERY_REGEX_BYTES)
            .nest_limit(64)
            .build()
            .map_err(|error| one_line(&error))?;
        Ok(Self { regex, insensitive })
    }

    /// `%` is any text, `_` any one character, a backslash takes the next character as it is; the
    /// whole text must match.
    pub(crate) fn like(text: &str, insensitive: bool) -> Result<Self, String> {
        let mut regex = String::from("(?s)^");
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '%' => regex.push_str(".*"),
                '_' => regex.push('.'),
                '\\' => {
                    let literal = characters.next().unwrap_or('\\');
                    regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
                }
                literal => regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4]))),
            }
        }
        regex.push('$');
        Self::regex(&regex, insensitive)
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        std::str::from_utf8(text).is_ok_and(|text| self.regex.is_match(text))
    }
}

/// The last line of the crate's drawing says what is wrong.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or("not valid");
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_matches_the_whole_text() {
        let matches = |pattern: &str, text: &str| {
            Pattern::like(pattern, false).is_ok_and(|pattern| pattern.is_match(text.as_bytes()))
        };
        assert!(matches("host_%", "host_1\n2") && !matches("host", "host_1"));
        assert!(matches("a_c", "aöc") && matches("a.c", "a.c") && !matches("a.c", "abc"));
        assert!(matches(r"100\%", "100%") && !matches(r"100\%", "1000"));
        assert!(Pattern::like("HOST%", true).is_ok_and(|p| p.is_match(b"host")));
    }

    #[test]
    fn a_bad_regular_expression_is_explained_in_a_line() {
        let error = Pattern::regex("a(", false).expect_err("unclosed");
        assert_eq!(error, "unclosed group");
        assert!(Pattern::regex(r"^host_\d+$", false).is_ok_and(|p| p.is_match(b"host_12")));
        assert!(Pattern::regex("(a{1000}){1000}", false).is_err());
    }
}
