//! The type of a column whose type nobody gave, from its first rows.
//!
//! Float where every value is a number, boolean where every value is `true` or `false` (of either case),
//! string otherwise; float where there is no value at all. Empty cells do not count. Whole numbers are
//! floats, too: a sensor that says 21 now may say 21.5 later. A column keeps its type over all files.

use std::collections::HashMap;

use super::line::{is_decimal, trimmed};
use crate::types::FieldType;

/// Rows that are looked at.
pub(super) const SAMPLE_ROWS: usize = 1000;

/// Types of columns by name.
#[derive(Debug, Default)]
pub(super) struct Inferred {
    types: HashMap<String, FieldType>,
}

impl Inferred {
    /// The type of a column.
    pub(super) fn column<'a>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> FieldType {
        if let Some(&known) = self.types.get(name) {
            return known;
        }
        let field_type = of_values(values);
        self.types.insert(name.to_owned(), field_type);
        field_type
    }
}

fn of_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> FieldType {
    let (mut numbers, mut flags) = (true, true);
    let mut any = false;
    for value in values.map(trimmed).filter(|value| !value.is_empty()) {
        any = true;
        numbers &= is_decimal(value);
        flags &= value.eq_ignore_ascii_case(b"true") || value.eq_ignore_ascii_case(b"false");
    }
    match (any, numbers, flags) {
        (false, ..) | (_, true, _) => FieldType::Float,
        (_, _, true) => FieldType::Boolean,
        _ => FieldType::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(values: &[&str]) -> FieldType {
        of_values(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn the_rule() {
        assert_eq!(infer(&["1", "-2.5", "", " 3e5 "]), FieldType::Float);
        assert_eq!(infer(&["True", "false", ""]), FieldType::Boolean);
        assert_eq!(infer(&["1", "true"]), FieldType::String);
        assert_eq!(infer(&["1", "NaN"]), FieldType::String);
        assert_eq!(infer(&["0x10"]), FieldType::String);
        assert_eq!(infer(&["", ""]), FieldType::Float);
        assert_eq!(infer(&[]), FieldType::Float);
    }

    #[test]
    fn a_column_keeps_its_type() {
        let mut inferred = Inferred::default();
        let column = |inferred: &mut Inferred, value: &'static str| {
            inferred.column("a", [value.as_bytes()].into_iter())
        };
        assert_eq!(column(&mut inferred, "on"), FieldType::String);
        assert_eq!(column(&mut inferred, "1"), FieldType::String);
    }
}
