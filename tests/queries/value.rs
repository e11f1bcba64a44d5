//! Values of the model, and how they compare and sort. Nothing of the server's code takes part.

use std::cmp::Ordering;

/// A value; times are integers.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
}

/// Types of expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Unsigned,
    Float,
    Text,
    Time,
}

impl Type {
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Unsigned | Self::Float)
    }
}

impl Value {
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub fn whole(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(i128::from(*value)),
            Self::Unsigned(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            other => other.whole().map(|value| value as f64),
        }
    }

    /// As `WHERE` compares: nothing with NULL or NaN.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Float(a), b) => against(b.whole()?, *a).map(Ordering::reverse),
            (a, Self::Float(b)) => against(a.whole()?, *b),
            (a, b) => Some(a.whole()?.cmp(&b.whole()?)),
        }
    }

    /// As `ORDER BY` sorts: NaN behind all numbers, NULL behind everything.
    pub fn sorts(&self, other: &Self) -> Ordering {
        match (self.is_null(), other.is_null()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        self.compare(other)
            .unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }

    pub fn is_nan(&self) -> bool {
        matches!(self, Self::Float(value) if value.is_nan())
    }

    /// The literal in SQL.
    pub fn sql(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) if *value < 0 => format!("({value})"),
            Self::Int(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Float(value) => format!("({value:?})"),
            Self::Text(text) => format!("'{text}'"),
        }
    }
}

/// An integer against a double, exactly.
fn against(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.abs() >= 1e20 {
        return Some(if float > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    }
    let floor = float.floor();
    let order = whole.cmp(&(floor as i128));
    Some(order.then(if float > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}
