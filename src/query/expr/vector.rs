//! Frames of rows, operands, and what is done to vectors as a whole: filtering, collecting, handing out.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::query::result::{Bitmap, ResultType, ResultValues, ResultVector};
use crate::query::value::{Scalar, Type, write_text_key};
use crate::series::vector::{BytesVector, ColumnVector, Validity, Values};

/// A vector, or one value for every row.
#[derive(Clone, Debug)]
pub(crate) enum Operand<'a> {
    /// One value a row.
    Vector(Cow<'a, ColumnVector>),
    /// The same value in every row.
    Constant(Scalar),
}

impl Operand<'_> {
    /// The value of a row.
    pub(crate) fn scalar(&self, row: usize) -> Scalar {
        match self {
            Self::Vector(vector) => scalar_at(vector, row),
            Self::Constant(value) => value.clone(),
        }
    }

    /// Appends the bytes of [`Scalar::write_key`] for a row, without a copy of its own for text.
    pub(crate) fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Constant(value) => value.write_key(out),
            Self::Vector(vector) => match &vector.values {
                Values::String(texts) if vector.validity.is_valid(row) => {
                    write_text_key(texts.get(row), out);
                }
                _ => scalar_at(vector, row).write_key(out),
            },
        }
    }

    /// Which rows have a value. A constant null is answered before anybody asks.
    pub(crate) fn validity(&self) -> Validity {
        match self {
            Self::Vector(vector) => vector.validity.clone(),
            Self::Constant(_) => Validity::all(),
        }
    }

    /// Whether the row is null.
    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Vector(vector) => !vector.validity.is_valid(row),
            Self::Constant(value) => value.is_null(),
        }
    }
}

/// The inputs of an evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) rows: usize,
    pub(crate) slots: Vec<Slot<'a>>,
}

/// One input.
#[derive(Clone, Debug)]
pub(crate) enum Slot<'a> {
    Vector(&'a ColumnVector),
    Constant(&'a Scalar),
}

/// The value of a row of a vector.
pub(crate) fn scalar_at(vector: &ColumnVector, row: usize) -> Scalar {
    if !vector.validity.is_valid(row) {
        return Scalar::Null;
    }
    match &vector.values {
        Values::Float(values) => Scalar::Float(values[row]),
        Values::Integer(values) => Scalar::Integer(values[row]),
        Values::Unsigned(values) => Scalar::Unsigned(values[row]),
        Values::Boolean(values) => Scalar::Boolean(values[row]),
        Values::String(values) => {
            Scalar::String(Arc::from(String::from_utf8_lossy(values.get(row)).as_ref()))
        }
        Values::Binary(values) => Scalar::Binary(Arc::from(values.get(row))),
    }
}

/// The rows of a boolean operand that are true; `None` where all are.
pub(crate) fn selected(operand: &Operand<'_>, rows: usize) -> Option<Vec<u32>> {
    match operand {
        Operand::Constant(Scalar::Boolean(true)) => None,
        Operand::Constant(_) => Some(Vec::new()),
        Operand::Vector(vector) => {
            let Values::Boolean(flags) = &vector.values else {
                return Some(Vec::new());
            };
            // Every row is written, and counted only if it is chosen: no branch to guess wrong.
            let all = vector.validity.is_all();
            let mut chosen = vec![0; rows];
            let mut count = 0;
            for (row, &flag) in flags.iter().enumerate().take(rows) {
                chosen[count] = row as u32;
                count += usize::from(flag && (all || vector.validity.is_valid(row)));
            }
            chosen.truncate(count);
            (chosen.len() < rows).then_some(chosen)
        }
    }
}

/// The chosen rows of a vector, in the order in which they are named.
pub(crate) fn gather(vector: &ColumnVector, rows: &[u32]) -> ColumnVector {
    fn pick<T: Copy>(values: &[T], rows: &[u32]) -> Vec<T> {
        rows.iter().map(|&row| values[row as usize]).collect()
    }
    fn pick_bytes(values: &BytesVector, rows: &[u32]) -> BytesVector {
        let mut picked = BytesVector::default();
        for &row in rows {
            picked.push(values.get(row as usize));
        }
        picked
    }
    let values = match &vector.values {
        Values::Float(values) => Values::Float(pick(values, rows)),
        Values::Integer(values) => Values::Integer(pick(values, rows)),
        Values::Unsigned(values) => Values::Unsigned(pick(values, rows)),
        Values::Boolean(values) => Values::Boolean(pick(values, rows)),
        Values::String(values) => Values::String(pick_bytes(values, rows)),
        Values::Binary(values) => Values::Binary(pick_bytes(values, rows)),
    };
    let validity = if vector.validity.is_all() {
        Validity::all()
    } else {
        Validity::from_flags(
            rows.iter()
                .map(|&row| vector.validity.is_valid(row as usize)),
        )
    };
    ColumnVector { values, validity }
}

/// A column that grows by rows of vectors.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    values: Values,
    /// One flag a row once any row was null.
    valid: Vec<bool>,
    any_null: bool,
}

impl Collector {
    pub(crate) fn new(kind: Type) -> Self {
        Self {
            values: Values::empty(kind.storage()),
            valid: Vec::new(),
            any_null: false,
        }
    }

    /// Appends some rows of a vector of the same type.
    pub(crate) fn push_rows(&mut self, vector: &ColumnVector, rows: Range<usize>) {
        let before = self.values.len();
        if vector.validity.is_all() {
            if self.any_null {
                self.valid.resize(before + rows.len(), true);
            }
        } else {
            self.valid.resize(before, true);
            self.valid
                .extend(rows.clone().map(|row| vector.validity.is_valid(row)));
            self.any_null = true;
        }
        match (&mut self.values, &vector.values) {
            (Values::Float(to), Values::Float(from)) => to.extend_from_slice(&from[rows]),
            (Values::Integer(to), Values::Integer(from)) => to.extend_from_slice(&from[rows]),
            (Values::Unsigned(to), Values::Unsigned(from)) => to.extend_from_slice(&from[rows]),
            (Values::Boolean(to), Values::Boolean(from)) => to.extend_from_slice(&from[rows]),
            (Values::String(to), Values::String(from))
            | (Values::Binary(to), Values::Binary(from)) => {
                for row in rows {
                    to.push(from.get(row));
                }
            }
            // Types agree by construction.
            (values, _) => debug_assert!(rows.is_empty(), "{:?}", values.field_type()),
        }
    }

    /// Appends one value of the column's type, or null.
    pub(crate) fn push(&mut self, value: &Scalar) {
        let before = self.values.len();
        match (&mut self.values, value) {
            (Values::Float(to), Scalar::Float(value)) => to.push(*value),
            (Values::Integer(to), Scalar::Integer(value)) => to.push(*value),
            (Values::Unsigned(to), Scalar::Unsigned(value)) => to.push(*value),
            (Values::Boolean(to), Scalar::Boolean(value)) => to.push(*value),
            (Values::String(to), Scalar::String(text)) => to.push(text.as_bytes()),
            (Values::Binary(to), Scalar::Binary(bytes)) => to.push(bytes),
            (values, _) => {
                push_default(values);
                self.valid.resize(before, true);
                self.valid.push(false);
                self.any_null = true;
                return;
            }
        }
        if self.any_null {
            self.valid.push(true);
        }
    }

    /// Bytes that the rows take, about.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.values.len();
        match &self.values {
            Values::Boolean(_) => rows,
            Values::Float(_) | Values::Integer(_) | Values::Unsigned(_) => rows * 8,
            Values::String(texts) | Values::Binary(texts) => rows * 4 + texts.bytes(),
        }
    }

    pub(crate) fn finish(self) -> ColumnVector {
        let validity = if self.any_null {
            Validity::from_flags(self.valid)
        } else {
            Validity::all()
        };
        ColumnVector {
            values: self.values,
            validity,
        }
    }
}

fn push_default(values: &mut Values) {
    match values {
        Values::Float(values) => values.push(0.0),
        Values::Integer(values) => values.push(0),
        Values::Unsigned(values) => values.push(0),
        Values::Boolean(values) => values.push(false),
        Values::String(values) | Values::Binary(values) => values.push(&[]),
    }
}

/// An operand as a vector of its own.
pub(crate) fn into_vector(operand: Operand<'_>, kind: Type, rows: usize) -> ColumnVector {
    let value = match operand {
        Operand::Vector(vector) => return vector.into_owned(),
        Operand::Constant(value) => value,
    };
    let values = match value {
        Scalar::Null => return ColumnVector::nulls(kind.storage(), rows),
        Scalar::Float(value) => Values::Float(vec![value; rows]),
        Scalar::Integer(value) => Values::Integer(vec![value; rows]),
        Scalar::Unsigned(value) => Values::Unsigned(vec![value; rows]),
        Scalar::Boolean(value) => Values::Boolean(vec![value; rows]),
        Scalar::String(text) => Values::String(repeat(text.as_bytes(), rows)),
        Scalar::Binary(bytes) => Values::Binary(repeat(&bytes, rows)),
    };
    ColumnVector {
        values,
        validity: Validity::all(),
    }
}

fn repeat(bytes: &[u8], rows: usize) -> BytesVector {
    let mut repeated = BytesVector::default();
    for _ in 0..rows {
        repeated.push(bytes);
    }
    repeated
}

/// A vector as a column of the answer.
pub(crate) fn into_result(vector: ColumnVector, kind: Type) -> ResultVector {
    let rows = vector.len();
    let nulls: Option<Bitmap> = (!vector.validity.is_all()).then(|| {
        (0..rows)
            .map(|row| !vector.validity.is_valid(row))
            .collect()
    });
    let values = match vector.values {
        Values::Integer(values) if kind.result() == ResultType::Time => ResultValues::Time(values),
        // The literal NULL has no type of its own.
        _ if kind == Type::Null => ResultValues::String(vec![String::new(); rows]),
        Values::Integer(values) => ResultValues::Integer(values),
        Values::Float(values) => ResultValues::Float(values),
        Values::Unsigned(values) => ResultValues::Unsigned(values),
        Values::Boolean(values) => ResultValues::Boolean(values),
        Values::String(values) => ResultValues::String(
            (0..rows)
                .map(|row| String::from_utf8_lossy(values.get(row)).into_owned())
                .collect(),
        ),
        Values::Binary(values) => {
            ResultValues::Binary((0..rows).map(|row| values.get(row).to_vec()).collect())
        }
    };
    ResultVector { values, nulls }
}
