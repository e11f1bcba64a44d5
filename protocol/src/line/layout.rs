//! What the caller knows about the next line: its likely key and the field keys it had last time.
//!
//! Devices repeat themselves, so comparing is cheaper than tokenising. A hint never changes what a line
//! means: with a wrong hint, or with [`NoHints`], the same rows come out, only slower.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

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
    /// `key=key=...`
    joined: Box<[u8]>,
    keys: Box<[Key]>,
    /// Each key with its `=` again, filled up with zeros to whole words, for comparisons by the word.
    words: Box<[u64]>,
}

/// One key of a layout, with its `=`.
#[derive(Clone, Copy)]
pub(super) struct Key {
    /// Where it ends in the joined keys.
    pub end: u32,
    /// Its length.
    pub len: u32,
    /// The bytes of its last word that belong to it.
    pub mask: u64,
}

impl Layout {
    /// The layout of a parsed row.
    #[must_use]
    pub fn from_row(row: &Row<'_>) -> Self {
        let mut joined = Vec::new();
        let mut keys = Vec::with_capacity(row.len());
        let mut words = Vec::new();
        for key in row.keys() {
            let start = joined.len();
            joined.extend_from_slice(key);
            joined.push(b'=');
            let len = joined.len() - start;
            keys.push(Key {
                end: joined.len() as u32,
                len: len as u32,
                mask: u64::MAX >> (8 * (len.wrapping_neg() % 8)),
            });
            words.extend(joined[start..].chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            }));
        }
        Self {
            joined: joined.into_boxed_slice(),
            keys: keys.into_boxed_slice(),
            words: words.into_boxed_slice(),
        }
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never true for the layout of a row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The raw keys in their order, without `=`.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let joined = &self.joined;
        self.keys
            .iter()
            .map(move |key| &joined[(key.end - key.len) as usize..key.end as usize - 1])
    }

    /// All keys, each with its `=`: what identifies the layout.
    #[must_use]
    pub fn joined(&self) -> &[u8] {
        &self.joined
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.joined.len() + size_of_val(&*self.keys) + size_of_val(&*self.words)
    }

    pub(super) fn shapes(&self) -> &[Key] {
        &self.keys
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
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
