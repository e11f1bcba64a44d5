//! `WHERE`: what bounds time, what chooses series, and what is left for every row.

use crate::query::error::{QueryError, SqlPosition};
use crate::query::expr::{Node, Typed};
use crate::query::sql::ast::{BinaryOperator, Expr, ExprKind};
use crate::query::value::{Scalar, Type};
use crate::types::TimeRange;

use super::Input;
use super::bind::Binder;

/// A range that nothing lies in.
const NOWHERE: TimeRange = TimeRange { start: 0, end: 0 };

/// The parts of a condition. A row passes if it lies in the range and all filters are true.
pub(super) struct Predicate {
    pub(super) range: TimeRange,
    /// The range that comparisons of time alone give, also where nothing else can be true.
    pub(super) bounds: TimeRange,
    pub(super) series: Vec<Typed>,
    pub(super) rows: Vec<Typed>,
    /// The same in words, for `EXPLAIN`.
    pub(super) series_text: Vec<String>,
    pub(super) rows_text: Vec<String>,
    /// Where the first of the rows' filters stands.
    pub(super) rows_at: Option<SqlPosition>,
}

/// Splits a condition at its outermost `AND`s.
pub(super) fn split(
    binder: &mut Binder<'_>,
    filter: Option<&Expr>,
) -> Result<Predicate, QueryError> {
    let mut predicate = Predicate {
        range: TimeRange::ALL,
        bounds: TimeRange::ALL,
        series: Vec::new(),
        rows: Vec::new(),
        series_text: Vec::new(),
        rows_text: Vec::new(),
        rows_at: None,
    };
    if let Some(filter) = filter {
        add(&mut predicate, binder, filter)?;
    }
    Ok(predicate)
}

fn add(predicate: &mut Predicate, binder: &mut Binder<'_>, expr: &Expr) -> Result<(), QueryError> {
    if let ExprKind::And(parts) = &expr.kind {
        for part in parts {
            add(predicate, binder, part)?;
        }
        return Ok(());
    }
    let bound = binder.condition(expr)?;
    if let Some(value) = bound.as_constant() {
        if *value != Scalar::Boolean(true) {
            predicate.range = NOWHERE;
        }
        return Ok(());
    }
    if let Some(range) = time_range(&bound, &binder.names.inputs) {
        predicate.range = predicate.range.intersect(range);
        predicate.bounds = predicate.bounds.intersect(range);
        return Ok(());
    }
    let mut only_tags = true;
    bound.visit_slots(&mut |slot| {
        only_tags &= matches!(binder.names.inputs.get(slot), Some(Input::Tag(_)));
    });
    if only_tags {
        predicate.series.push(bound);
        predicate.series_text.push(expr.to_string());
    } else {
        predicate.rows.push(bound);
        predicate.rows_text.push(expr.to_string());
        predicate.rows_at.get_or_insert(expr.at);
    }
    Ok(())
}

/// The range that a comparison of time with a literal means.
fn time_range(expr: &Typed, inputs: &[Input]) -> Option<TimeRange> {
    let Node::Compare(operator, left, right) = &expr.node else {
        return None;
    };
    let is_time = |side: &Typed| {
        side.kind == Type::Time
            && matches!(side.node, Node::Slot(slot) if inputs.get(slot) == Some(&Input::Time))
    };
    let (operator, bound) = if is_time(left) {
        (*operator, right.as_constant()?)
    } else if is_time(right) {
        (operator.flipped(), left.as_constant()?)
    } else {
        return None;
    };
    let Scalar::Integer(bound) = *bound else {
        return None;
    };
    let from = |start| TimeRange {
        start,
        end: i64::MAX,
    };
    let to = |end| TimeRange {
        start: i64::MIN,
        end,
    };
    match operator {
        BinaryOperator::GreaterOrEqual => Some(from(bound)),
        BinaryOperator::Greater => Some(bound.checked_add(1).map_or(NOWHERE, from)),
        // The largest time cannot be excluded by a range.
        BinaryOperator::Less => (bound < i64::MAX).then(|| to(bound)),
        BinaryOperator::LessOrEqual => Some(to(bound.saturating_add(1))),
        BinaryOperator::Equal => Some(TimeRange {
            start: bound,
            end: bound.saturating_add(1),
        }),
        _ => None,
    }
}

/// All of them, as one expression.
pub(super) fn all(mut parts: Vec<Typed>) -> Option<Typed> {
    if parts.len() > 1 {
        return Some(Typed::new(Node::And(parts), Type::Boolean));
    }
    parts.pop()
}
