//! What a measurement takes, and what was declared of its fields.

use std::fmt;
use std::sync::Arc;

use super::FieldType;

/// What a measurement does with fields and types that are new to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaMode {
    /// Everything is taken; a value of another type goes to a lane of its own.
    #[default]
    Open,
    /// New fields are taken, values that contradict a field's type are not.
    Additive,
    /// Only declared fields, of their type and within their range.
    Strict,
}

impl SchemaMode {
    /// All of them, by number.
    pub const ALL: [Self; 3] = [Self::Open, Self::Additive, Self::Strict];

    /// The number on the device.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The mode of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Additive => "additive",
            Self::Strict => "strict",
        }
    }

    /// The mode of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for SchemaMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was declared of a field. Everything may be left open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldRule {
    /// The type of its values.
    pub field_type: Option<FieldType>,
    /// Their unit.
    pub unit: Option<Arc<str>>,
    /// What the field is, in words.
    pub description: Option<Arc<str>>,
    /// Least value that a strict measurement takes; not NaN.
    pub min: Option<f64>,
    /// Greatest value that a strict measurement takes; not NaN.
    pub max: Option<f64>,
}

impl FieldRule {
    /// Whether a declared type takes values of another: a float takes integers, which read as floats.
    #[must_use]
    pub fn takes(declared: FieldType, given: FieldType) -> bool {
        declared == given || (declared == FieldType::Float && is_numeric(given))
    }
}

/// Whether values of a type read as numbers, widened among themselves.
#[must_use]
pub const fn is_numeric(field_type: FieldType) -> bool {
    matches!(
        field_type,
        FieldType::Float | FieldType::Integer | FieldType::Unsigned
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_numbers_and_names() {
        for mode in SchemaMode::ALL {
            assert_eq!(SchemaMode::from_number(mode.number()), Some(mode));
            assert_eq!(SchemaMode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(SchemaMode::from_number(3), None);
        assert_eq!(SchemaMode::from_name("Strict"), None);
    }

    #[test]
    fn a_float_takes_integers_and_not_the_other_way_round() {
        assert!(FieldRule::takes(FieldType::Float, FieldType::Unsigned));
        assert!(FieldRule::takes(FieldType::String, FieldType::String));
        assert!(!FieldRule::takes(FieldType::Integer, FieldType::Float));
        assert!(!FieldRule::takes(FieldType::Float, FieldType::Boolean));
    }
}
