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
