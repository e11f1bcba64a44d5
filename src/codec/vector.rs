//! Decoded columns: what codecs produce and queries consume, up to a few thousand rows at a time.

use crate::types::FieldType;

/// Which rows of a column have a value. No memory where all have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// One bit a row, least significant first, set where there is a value; `None`: all have one.
    words: Option<Vec<u64>>,
}

impl Validity {
    /// Every row has a value.
    #[must_use]
    pub const fn all() -> Self {
        Self { words: None }
    }

    /// From a bitmap, least significant bit first, set where there is a value.
    #[must_use]
    pub const fn from_words(words: Vec<u64>) -> Self {
        Self { words: Some(words) }
    }

    /// From one flag a row.
    pub fn from_flags(flags: impl IntoIterator<Item = bool>) -> Self {
        // Most columns have a value in every row.
        let mut words: Option<Vec<u64>> = None;
        for (row, valid) in flags.into_iter().enumerate() {
            if words.is_none() && !valid {
                let mut before = vec![u64::MAX; row / 64];
                before.extend((row % 64 > 0).then_some((1 << (row % 64)) - 1));
                words = Some(before);
            }
            let Some(words) = &mut words else { continue };
            if row / 64 == words.len() {
                words.push(0);
            }
            words[row / 64] |= u64::from(valid) << (row % 64);
        }
        Self { words }
    }

    /// Whether the row has a value.
    #[inline]
    #[must_use]
    pub fn is_valid(&self, row: usize) -> bool {
        match &self.words {
            None => true,
            Some(words) => words
                .get(row / 64)
                .is_some_and(|word| word >> (row % 64) & 1 == 1),
        }
    }

    /// Whether no row can be without a value.
    #[inline]
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.words.is_none()
    }

    /// The bitmap, where one is kept.
    #[must_use]
    pub fn words(&self) -> Option<&[u64]> {
        self.words.as_deref()
    }

    /// Rows with a value among the first `rows`.
    #[must_use]
    pub fn count(&self, rows: usize) -> usize {
        match &self.words {
            None => rows,
            Some(_) => (0..rows).filter(|&row| self.is_valid(row)).count(),
        }
    }
}

/// Byte strings behind one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesVector {
    /// `len + 1` offsets into `data`, never falling.
    pub offsets: Vec<u32>,
    /// All bytes.
    pub data: Vec<u8>,
}

impl Default for BytesVector {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            data: Vec::new(),
        }
    }
}

impl BytesVector {
    /// Appends one string.
    pub fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.offsets.push(self.data.len() as u32);
    }

    /// Appends all strings of another.
    pub fn append(&mut self, more: &Self) {
        let base = self.data.len() as u32;
        self.data.extend_from_slice(&more.data);
        self.offsets
            .extend(more.offsets[1..].iter().map(|offset| base + offset));
    }

    /// The string at a row.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// Bytes of all strings.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values of a column. A row without a value holds zero, false or nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Doubles.
    Float(Vec<f64>),
    /// Signed integers.
    Integer(Vec<i64>),
    /// Unsigned integers.
    Unsigned(Vec<u64>),
    /// Truth values.
    Boolean(Vec<bool>),
    /// UTF-8 text.
    String(BytesVector),
    /// Any bytes.
    Binary(BytesVector),
}

impl Values {
    /// No rows of this type.
    #[must_use]
    pub fn empty(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Float => Self::Float(Vec::new()),
            FieldType::Integer => Self::Integer(Vec::new()),
            FieldType::Unsigned => Self::Unsigned(Vec::new()),
            FieldType::Boolean => Self::Boolean(Vec::new()),
            FieldType::String => Self::String(BytesVector::default()),
            FieldType::Binary => Self::Binary(BytesVector::default()),
        }
    }

    /// The type.
    #[must_use]
    pub const fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::Boolean(_) => FieldType::Boolean,
            Self::String(_) => FieldType::String,
            Self::Binary(_) => FieldType::Binary,
        }
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float(v) => v.len(),
            Self::Integer(v) => v.len(),
            Self::Unsigned(v) => v.len(),
            Self::Boolean(v) => v.len(),
            Self::String(v) | Self::Binary(v) => v.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A decoded column: values and which of them count.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnVector {
    /// One entry a row.
    pub values: Values,
    /// Which rows have a value.
    pub validity: Validity,
}

impl ColumnVector {
    /// No rows of this type.
    #[must_use]
    pub fn empty(field_type: FieldType) -> Self {
        Self {
            values: Values::empty(field_type),
            validity: Validity::all(),
        }
    }

    /// `rows` rows without a value.
    #[must_use]
    pub fn nulls(field_type: FieldType, rows: usize) -> Self {
        let values = match field_type {
            FieldType::Float => Values::Float(vec![0.0; rows]),
            FieldType::Integer => Values::Integer(vec![0; rows]),
            FieldType::Unsigned => Values::Unsigned(vec![0; rows]),
            FieldType::Boolean => Values::Boolean(vec![false; rows]),
            FieldType::String | FieldType::Binary => {
                let bytes = BytesVector {
                    offsets: vec![0; rows + 1],
                    data: Vec::new(),
                };
                if field_type == FieldType::String {
                    Values::String(bytes)
                } else {
                    Values::Binary(bytes)
                }
            }
        };
        Self {
            values,
            validity: Validity::from_words(vec![0; rows.div_ceil(64)]),
        }
    }

    /// Appends the rows of a column of the same type.
    ///
    /// # Panics
    /// Panics if the types differ.
    pub fn append(&mut self, more: &Self) {
        let before = self.len();
        match (&mut self.values, &more.values) {
            (Values::Float(a), Values::Float(b)) => a.extend_from_slice(b),
            (Values::Integer(a), Values::Integer(b)) => a.extend_from_slice(b),
            (Values::Unsigned(a), Values::Unsigned(b)) => a.extend_from_slice(b),
            (Values::Boolean(a), Values::Boolean(b)) => a.extend_from_slice(b),
            (Values::String(a), Values::String(b)) | (Values::Binary(a), Values::Binary(b)) => {
                a.append(b);
            }
            (a, b) => panic!(
                "columns of {} and {} do not join",
                a.field_type(),
                b.field_type()
            ),
        }
        if !(self.validity.is_all() && more.validity.is_all()) {
            let first = (0..before).map(|row| self.validity.is_valid(row));
            let second = (0..more.len()).map(|row| more.validity.is_valid(row));
            self.validity = Validity::from_flags(first.chain(second));
        }
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_costs_nothing_where_all_rows_count() {
        assert!(Validity::from_flags([true; 100]).is_all());
        let some = Validity::from_flags((0..100).map(|row| row % 3 != 0));
        assert!(!some.is_valid(0) && some.is_valid(1) && !some.is_valid(99));
        assert_eq!(some.count(100), 66);
    }

    #[test]
    fn byte_strings_keep_their_borders() {
        let mut bytes = BytesVector::default();
        bytes.push(b"");
        bytes.push(b"ab");
        assert_eq!(
            (bytes.len(), bytes.get(0), bytes.get(1)),
            (2, &b""[..], &b"ab"[..])
        );
    }
}
