//! What the caller knows about the next line: its likely key and the field keys it had last time.
//!
//! Devices repeat themselves, so comparing is cheaper than tokenising. A hint never changes what a line
//! means: with a wrong hint, or with [`NoHints`], the same rows come out, only slower.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::row::Row;

/// The raw `measurement,tags` bytes of a line, as written.
#[derive(Clone, Copy, Debug)]
pub struct RawKey<'a> {
    /// The bytes, escapes included.
    pub bytes: &'a [u8],
    /// True where they are exactly [`Hints::predicted`].
    pub predicted: bool,
}

/// What the caller knows about the line to come.
pub trait Hints {
    /// The raw `measurement,tags` expected next; empty where there is no guess.
    ///
    /// Must be the key of a row that this crate has parsed, or empty: a predicted key is not validated
    /// again.
    fn predicted(&self) -> &[u8];

    /// The field keys that the series of this key had last time. Called when the key of a line is known,
    /// before the line is known to be good, and again for the same line where it arrives in pieces.
    ///
    /// `Some` also promises that a row with these very key bytes was parsed before: such a key is not
    /// validated again. `None` is always right.
    fn layout(&mut self, key: &RawKey<'_>) -> Option<&Layout>;
}

/// Knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHints;

impl Hints for NoHints {
    fn predicted(&self) -> &[u8] {
        &[]
    }

    fn layout(&mut self, _key: &RawKey<'_>) -> Option<&Layout> {
        None
    }
}

/// The field keys of a line in their order, raw (escapes included), so that the next line can be compared
/// instead of tokenised. Equality and hash are those of the keys.
#[derive(Clone)]
pub struct Layout {
    /// `key=key=...`, and eight bytes of padding for comparisons by the word.
    bytes: Box<[u8]>,
    /// Where each key ends in `bytes`, behind its `=`.
    ends: Box<[u32]>,
}

const PADDING: [u8; 8] = [0; 8];

impl Layout {
    /// The layout of a parsed row.
    #[must_use]
    pub fn from_row(row: &Row<'_>) -> Self {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(row.len());
        for key in row.keys() {
            bytes.extend_from_slice(key);
            bytes.push(b'=');
            ends.push(bytes.len() as u32);
        }
        bytes.extend_from_slice(&PADDING);
        Self {
            bytes: bytes.into_boxed_slice(),
            ends: ends.into_boxed_slice(),
        }
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never true for the layout of a row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The raw keys in their order, without `=`.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let key = &self.bytes[start..end as usize - 1];
            start = end as usize;
            key
        })
    }

    /// All keys, each with its `=`: what identifies the layout.
    #[must_use]
    pub fn joined(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - PADDING.len()]
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    pub(super) fn padded(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.joined() == other.joined()
    }
}

impl Eq for Layout {}

impl Hash for Layout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.joined().hash(state);
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({})", String::from_utf8_lossy(self.joined()))
    }
}
