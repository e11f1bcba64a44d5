//! Typed views of vectors and constants, and the loops over one or two of them.

use std::borrow::Cow;

use crate::query::error::QueryError;
use crate::query::value::Scalar;
use crate::series::vector::{BytesVector, ColumnVector, Validity, Values};

use super::vector::Operand;

/// The plain types that vectors are made of.
pub(super) trait Lane: Copy + Default {
    fn slice(values: &Values) -> Option<&[Self]>;
    fn scalar(value: &Scalar) -> Option<Self>;
    fn wrap(values: Vec<Self>) -> Values;
}

macro_rules! lane {
    ($type:ty, $variant:ident) => {
        impl Lane for $type {
            fn slice(values: &Values) -> Option<&[Self]> {
                match values {
                    Values::$variant(slice) => Some(slice),
                    _ => None,
                }
            }

            fn scalar(value: &Scalar) -> Option<Self> {
                match value {
                    Scalar::$variant(value) => Some(*value),
                    _ => None,
                }
            }

            fn wrap(values: Vec<Self>) -> Values {
                Values::$variant(values)
            }
        }
    };
}

lane!(f64, Float);
lane!(i64, Integer);
lane!(u64, Unsigned);
lane!(bool, Boolean);

/// A column or one value for every row.
#[derive(Clone, Copy)]
pub(super) enum View<'a, T> {
    Slice(&'a [T]),
    Same(T),
}

impl<'a, T: Lane> View<'a, T> {
    /// Types agree by construction; a defect there reads as zeros, not as a panic.
    pub(super) fn of(operand: &'a Operand<'_>) -> Self {
        match operand {
            Operand::Vector(vector) => {
                T::slice(&vector.values).map_or(Self::Same(T::default()), Self::Slice)
            }
            Operand::Constant(value) => Self::Same(T::scalar(value).unwrap_or_default()),
        }
    }

    #[inline]
    pub(super) fn get(self, row: usize) -> T {
        match self {
            Self::Slice(slice) => slice.get(row).copied().unwrap_or_default(),
            Self::Same(value) => value,
        }
    }
}

/// Text or bytes of a column, or the same for every row.
#[derive(Clone, Copy)]
pub(super) enum Texts<'a> {
    Vector(&'a BytesVector),
    Same(&'a [u8]),
}

impl<'a> Texts<'a> {
    pub(super) fn of(operand: &'a Operand<'_>) -> Self {
        match operand {
            Operand::Vector(vector) => match &vector.values {
                Values::String(texts) | Values::Binary(texts) => Self::Vector(texts),
                _ => Self::Same(&[]),
            },
            Operand::Constant(Scalar::String(text)) => Self::Same(text.as_bytes()),
            Operand::Constant(Scalar::Binary(bytes)) => Self::Same(bytes),
            Operand::Constant(_) => Self::Same(&[]),
        }
    }

    #[inline]
    pub(super) fn get(self, row: usize) -> &'a [u8] {
        match self {
            Self::Vector(texts) => texts.get(row),
            Self::Same(bytes) => bytes,
        }
    }
}

/// One operation on one column.
pub(super) fn map<A: Lane, R: Lane>(
    operand: &Operand<'_>,
    rows: usize,
    operation: impl Fn(A) -> R,
) -> Operand<'static> {
    let values: Vec<R> = match View::<A>::of(operand) {
        View::Slice(slice) => slice.iter().map(|&a| operation(a)).collect(),
        View::Same(a) => vec![operation(a); rows],
    };
    owned(R::wrap(values), operand.validity())
}

/// One operation on two columns; a row is null where either is.
pub(super) fn zip<A: Lane, B: Lane, R: Lane>(
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
    operation: impl Fn(A, B) -> R,
) -> Operand<'static> {
    let values: Vec<R> = match (View::<A>::of(left), View::<B>::of(right)) {
        (View::Slice(a), View::Slice(b)) => {
            a.iter().zip(b).map(|(&a, &b)| operation(a, b)).collect()
        }
        (View::Slice(a), View::Same(b)) => a.iter().map(|&a| operation(a, b)).collect(),
        (View::Same(a), View::Slice(b)) => b.iter().map(|&b| operation(a, b)).collect(),
        (View::Same(a), View::Same(b)) => vec![operation(a, b); rows],
    };
    owned(R::wrap(values), both(left, right))
}

/// What a fallible operation makes of one row.
pub(super) enum Outcome<T> {
    Value(T),
    Null,
    Overflow,
}

/// As [`zip`], for operations that may overflow, which matters only in rows that are not null, or that
/// may have no result.
pub(super) fn try_zip<T: Lane>(
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
    what: &'static str,
    operation: impl Fn(T, T) -> Outcome<T>,
) -> Result<Operand<'static>, QueryError> {
    let (a, b) = (View::<T>::of(left), View::<T>::of(right));
    let validity = both(left, right);
    let mut values = Vec::with_capacity(rows);
    let mut nulls = Vec::new();
    for row in 0..rows {
        values.push(match operation(a.get(row), b.get(row)) {
            Outcome::Value(value) => value,
            Outcome::Null => {
                nulls.push(row);
                T::default()
            }
            Outcome::Overflow if validity.is_valid(row) => {
                return Err(QueryError::Overflow { what });
            }
            Outcome::Overflow => T::default(),
        });
    }
    let validity = if nulls.is_empty() {
        validity
    } else {
        let mut flags: Vec<bool> = (0..rows).map(|row| validity.is_valid(row)).collect();
        for row in nulls {
            flags[row] = false;
        }
        Validity::from_flags(flags)
    };
    Ok(owned(T::wrap(values), validity))
}

/// Rows that are valid on both sides.
pub(super) fn both(left: &Operand<'_>, right: &Operand<'_>) -> Validity {
    let (left, right) = (left.validity(), right.validity());
    match (left.words(), right.words()) {
        (None, _) => right,
        (_, None) => left,
        (Some(a), Some(b)) => Validity::from_words(a.iter().zip(b).map(|(a, b)| a & b).collect()),
    }
}

/// A new vector as an operand.
pub(super) fn owned(values: Values, validity: Validity) -> Operand<'static> {
    Operand::Vector(Cow::Owned(ColumnVector { values, validity }))
}
