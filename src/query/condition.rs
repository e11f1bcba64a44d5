//! Whether a condition can hold for any row of a chunk, by the chunk's statistics.
//!
//! The answer errs on one side: where it is no, no row of the chunk makes the condition true.

use std::cmp::Ordering;

use super::source::{Condition, LaneValue};
use super::sql::ast::BinaryOperator;
use super::value::{Scalar, Type, compare_exact};
use crate::series::Statistics;
use crate::types::ColumnId;

impl Condition {
    /// `column` tells how many rows have a value in a column, and the statistics of these values.
    pub(super) fn may_hold(&self, column: &dyn Fn(ColumnId) -> (usize, Statistics)) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.may_hold(column)),
            Self::Any(parts) => parts.iter().any(|part| part.may_hold(column)),
            Self::Present(lanes) => lanes.iter().any(|lane| column(lane.column).0 > 0),
            // Whatever lane a row's value is in, the field's value is that of one lane.
            Self::Compare(lanes, operator, constant) => lanes.iter().any(|lane| {
                let (count, statistics) = column(lane.column);
                count > 0
                    && bounds(*lane, count, &statistics)
                        .is_none_or(|bounds| reaches(*operator, &bounds, constant))
            }),
        }
    }
}

/// The least and the greatest value of a lane in the type it is compared in; `None` where they are not known.
fn bounds(lane: LaneValue, count: usize, statistics: &Statistics) -> Option<(Scalar, Scalar)> {
    Some(match (*statistics, lane.kind) {
        (Statistics::Float { min, max, .. }, Type::Float) => {
            (Scalar::Float(min), Scalar::Float(max))
        }
        (Statistics::Integer { min, max, .. }, Type::Integer) => {
            (Scalar::Integer(min), Scalar::Integer(max))
        }
        (Statistics::Integer { min, max, .. }, Type::Float) => {
            (Scalar::Float(min as f64), Scalar::Float(max as f64))
        }
        (Statistics::Unsigned { min, max, .. }, Type::Unsigned) => {
            (Scalar::Unsigned(min), Scalar::Unsigned(max))
        }
        (Statistics::Unsigned { min, max, .. }, Type::Float) => {
            (Scalar::Float(min as f64), Scalar::Float(max as f64))
        }
        // A value that does not fit is an error, which the row must be decoded for.
        (Statistics::Unsigned { min, max, .. }, Type::Integer) => (
            Scalar::Integer(i64::try_from(min).ok()?),
            Scalar::Integer(i64::try_from(max).ok()?),
        ),
        (Statistics::Boolean { trues, .. }, Type::Boolean) => {
            (Scalar::Boolean(trues == count), Scalar::Boolean(trues > 0))
        }
        _ => return None,
    })
}

/// Whether a value between the bounds can compare with the constant as demanded. Bounds of nothing but NaN
/// compare with nothing, as NaN does.
fn reaches(operator: BinaryOperator, (min, max): &(Scalar, Scalar), constant: &Scalar) -> bool {
    let (low, high) = (compare(min, constant), compare(max, constant));
    match operator {
        BinaryOperator::Equal => {
            low.is_some_and(Ordering::is_le) && high.is_some_and(Ordering::is_ge)
        }
        BinaryOperator::Less => low.is_some_and(Ordering::is_lt),
        BinaryOperator::LessOrEqual => low.is_some_and(Ordering::is_le),
        BinaryOperator::Greater => high.is_some_and(Ordering::is_gt),
        BinaryOperator::GreaterOrEqual => high.is_some_and(Ordering::is_ge),
        // NaN, which bounds leave out, is unequal to everything.
        _ => {
            matches!(min, Scalar::Float(_))
                || low != Some(Ordering::Equal)
                || high != Some(Ordering::Equal)
        }
    }
}

/// Exact, as comparisons of rows are; `None` where NaN takes part, or types that do not compare.
fn compare(value: &Scalar, constant: &Scalar) -> Option<Ordering> {
    match (value, constant) {
        (Scalar::Float(a), Scalar::Float(b)) => a.partial_cmp(b),
        (Scalar::Boolean(a), Scalar::Boolean(b)) => Some(a.cmp(b)),
        (Scalar::Float(a), b) => compare_exact(*a, whole(b)?),
        (a, Scalar::Float(b)) => compare_exact(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Scalar) -> Option<i128> {
    match value {
        Scalar::Integer(value) => Some(i128::from(*value)),
        Scalar::Unsigned(value) => Some(i128::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(min: f64, max: f64) -> Statistics {
        Statistics::Float {
            min,
            max,
            sum: 0.0,
            first: min,
            last: max,
        }
    }

    fn unsigned(min: u64, max: u64) -> Statistics {
        Statistics::Unsigned {
            min,
            max,
            sum: 0,
            first: min,
            last: max,
        }
    }

    fn may(kind: Type, operator: BinaryOperator, constant: Scalar, known: Statistics) -> bool {
        let column = ColumnId(3);
        let condition = Condition::Compare(vec![LaneValue { column, kind }], operator, constant);
        condition.may_hold(&|id| if id == column { (5, known) } else { (0, known) })
    }

    #[test]
    fn the_bounds_themselves_belong_to_a_chunk() {
        use BinaryOperator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let known = floats(1.0, 2.0);
        for (operator, constant, expected) in [
            (Greater, 2.0, false),
            (Greater, 1.5, true),
            (GreaterOrEqual, 2.0, true),
            (Less, 1.0, false),
            (LessOrEqual, 1.0, true),
            (Equal, 1.0, true),
            (Equal, 2.0, true),
            (Equal, 2.5, false),
            (Equal, f64::NAN, false),
            (NotEqual, 1.0, true),
        ] {
            let found = may(Type::Float, operator, Scalar::Float(constant), known);
            assert_eq!(found, expected, "{operator:?} {constant}");
        }
        // NaN is not within the bounds.
        let one = floats(1.0, 1.0);
        assert!(may(Type::Float, NotEqual, Scalar::Float(1.0), one));
        let nan = floats(f64::NAN, f64::NAN);
        assert!(!may(Type::Float, GreaterOrEqual, Scalar::Float(0.0), nan));
        let same = unsigned(7, 7);
        assert!(!may(Type::Unsigned, NotEqual, Scalar::Integer(7), same));
    }

    #[test]
    fn types_compare_exactly_and_errors_are_kept() {
        use BinaryOperator::{Equal, Greater, Less};
        let big = unsigned(1 << 53, (1 << 53) + 1);
        let limit = Scalar::Float((1u64 << 53) as f64);
        assert!(may(Type::Unsigned, Greater, limit.clone(), big));
        // As a double the greater one is the same number.
        assert!(!may(Type::Float, Greater, limit, big));
        // A value that no signed integer holds is an error of the query, found when it is decoded.
        let huge = unsigned(0, u64::MAX);
        assert!(may(Type::Integer, Equal, Scalar::Integer(-1), huge));
        assert!(!may(Type::Unsigned, Less, Scalar::Integer(-1), huge));
        assert!(may(
            Type::String,
            Equal,
            Scalar::Integer(1),
            Statistics::None
        ));
    }
}
