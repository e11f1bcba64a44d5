//! From the parser's lines and columns to bytes of the text.

use sqlparser::tokenizer::Location;

use crate::query::error::SqlPosition;

/// Where the lines and characters of a text start.
#[derive(Debug)]
pub(super) struct TextMap {
    /// Index of the first character of each line.
    lines: Vec<u32>,
    /// Byte offset of each character, and the end; `None` where every character is one byte.
    characters: Option<Vec<u32>>,
    len: u32,
}

impl TextMap {
    pub(super) fn new(text: &str) -> Self {
        let mut lines = vec![0];
        for (index, character) in text.chars().enumerate() {
            if character == '\n' {
                lines.push(index as u32 + 1);
            }
        }
        let characters = (!text.is_ascii()).then(|| {
            text.char_indices()
                .map(|(offset, _)| offset as u32)
                .chain([text.len() as u32])
                .collect()
        });
        Self {
            lines,
            characters,
            len: text.len() as u32,
        }
    }

    /// The place of a line and column, both from 1; the end of the text where there is no such place.
    pub(super) fn position(&self, line: u64, column: u64) -> SqlPosition {
        let Some(&start) = self.lines.get((line as usize).wrapping_sub(1)) else {
            return self.end();
        };
        let character = u64::from(start) + column.saturating_sub(1);
        let offset = match &self.characters {
            None => (character as u32).min(self.len),
            Some(offsets) => offsets.get(character as usize).copied().unwrap_or(self.len),
        };
        SqlPosition {
            offset,
            line: line as u32,
            column: column as u32,
        }
    }

    pub(super) fn locate(&self, location: Location) -> SqlPosition {
        self.position(location.line, location.column)
    }

    /// Behind the last character.
    pub(super) fn end(&self) -> SqlPosition {
        let characters = self
            .characters
            .as_ref()
            .map_or(self.len, |offsets| offsets.len() as u32 - 1);
        let line_start = self.lines.last().copied().unwrap_or(0);
        SqlPosition {
            offset: self.len,
            line: self.lines.len() as u32,
            column: characters - line_start + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_offsets_bytes() {
        let map = TextMap::new("aä\nöb");
        assert_eq!(map.position(1, 2).offset, 1);
        assert_eq!(map.position(2, 1).offset, 4);
        assert_eq!(map.position(2, 2).offset, 6);
        assert_eq!(map.position(9, 9), map.end());
        assert_eq!((map.end().line, map.end().column), (2, 3));
    }
}
