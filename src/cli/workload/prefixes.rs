//! What every line of a series begins with: measurement, tags and the space behind them, rendered once.

/// The beginnings of all series' lines, in one buffer.
#[derive(Debug, Default)]
pub struct Prefixes {
    bytes: Vec<u8>,
    /// Where each prefix ends in `bytes`; it begins where the one before ends.
    ends: Vec<usize>,
}

impl Prefixes {
    /// Adds the prefix of the next series, as `render` writes it.
    pub fn push(&mut self, render: impl FnOnce(&mut Vec<u8>)) {
        render(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The prefix of a series, counted from 0 in the order they were added.
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}
