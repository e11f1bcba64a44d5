//! Operators: the types they take and give, and the folding of constants.

use std::sync::Arc;

use crate::query::error::{QueryError, SqlPosition};
use crate::query::expr::vector::{Frame, Operand};
use crate::query::expr::{Node, Typed, evaluate};
use crate::query::sql::ast::{BinaryOperator, Literal};
use crate::query::sql::duration::parse_time;
use crate::query::value::{Scalar, Type};

use super::functions;

pub(super) fn literal(value: &Literal, at: SqlPosition) -> Result<Typed, QueryError> {
    Ok(match value {
        Literal::Null => Typed::constant(Scalar::Null, Type::Null),
        Literal::Boolean(value) => Typed::constant(Scalar::Boolean(*value), Type::Boolean),
        Literal::Float(value) => Typed::constant(Scalar::Float(*value), Type::Float),
        Literal::Interval(ns) => Typed::constant(Scalar::Integer(*ns), Type::Interval),
        Literal::String(text) => {
            Typed::constant(Scalar::String(Arc::from(text.as_str())), Type::String)
        }
        Literal::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => Typed::constant(Scalar::Integer(value), Type::Integer),
            (_, Ok(value)) => Typed::constant(Scalar::Unsigned(value), Type::Unsigned),
            _ => return Err(QueryError::meaning(at, format!("{value} is too small"))),
        },
    })
}

/// A constant expression becomes its value.
pub(super) fn fold(expr: Typed) -> Result<Typed, QueryError> {
    if expr.as_constant().is_some() {
        return Ok(expr);
    }
    let mut constant = true;
    expr.visit_slots(&mut |_| constant = false);
    if !constant {
        return Ok(expr);
    }
    let frame = Frame {
        rows: 1,
        slots: Vec::new(),
    };
    let value = match evaluate(&expr, &frame)? {
        Operand::Constant(value) => value,
        vector @ Operand::Vector(_) => vector.scalar(0),
    };
    Ok(Typed::constant(value, expr.kind))
}

pub(super) fn negate(inner: Typed, at: SqlPosition) -> Result<Typed, QueryError> {
    let inner = match inner.kind {
        Type::Unsigned => functions::cast(inner, Type::Integer, at)?,
        Type::Integer | Type::Float | Type::Interval | Type::Null => inner,
        other => {
            let message = format!("minus needs a number, not {}", other.name());
            return Err(QueryError::meaning(at, message));
        }
    };
    let kind = inner.kind;
    Ok(Typed::new(Node::Negate(Box::new(inner)), kind))
}

/// A text literal beside a time is a time.
fn as_time(text: Typed, at: SqlPosition) -> Result<Typed, QueryError> {
    let Some(Scalar::String(text)) = text.as_constant() else {
        return Ok(text);
    };
    parse_time(text)
        .map(|ns| Typed::constant(Scalar::Integer(ns), Type::Time))
        .map_err(|message| QueryError::meaning(at, message))
}

pub(super) fn compare(
    operator: BinaryOperator,
    left: Typed,
    right: Typed,
    at: SqlPosition,
) -> Result<Typed, QueryError> {
    let (left, right) = match (left.kind, right.kind) {
        (Type::Time, Type::String) => {
            let right = as_time(right, at)?;
            (left, right)
        }
        (Type::String, Type::Time) => (as_time(left, at)?, right),
        _ => (left, right),
    };
    let (a, b) = (left.kind, right.kind);
    let fits = a == b
        || a == Type::Null
        || b == Type::Null
        || (a.is_numeric() && b.is_numeric())
        || matches!(
            (a, b),
            (Type::Time | Type::Interval, Type::Integer | Type::Unsigned)
                | (Type::Integer | Type::Unsigned, Type::Time | Type::Interval)
                | (Type::String, Type::Binary)
                | (Type::Binary, Type::String)
        );
    if !fits {
        let hint = if a == Type::String || b == Type::String {
            "; text is written in single quotes, numbers without"
        } else {
            ""
        };
        return Err(QueryError::meaning(
            at,
            format!("cannot compare {} with {}{hint}", a.name(), b.name()),
        ));
    }
    if a == Type::Null || b == Type::Null {
        return Ok(Typed::constant(Scalar::Null, Type::Boolean));
    }
    let (left, right) = (beside(left, b), beside(right, a));
    let node = Node::Compare(operator, Box::new(left), Box::new(right));
    fold(Typed::new(node, Type::Boolean))
}

pub(super) fn arithmetic(
    operator: BinaryOperator,
    left: Typed,
    right: Typed,
    at: SqlPosition,
) -> Result<Typed, QueryError> {
    use BinaryOperator::{Add, Divide, Multiply, Subtract};
    let (left, right) = match (left.kind, right.kind) {
        (Type::String, Type::Interval | Type::Time) => (as_time(left, at)?, right),
        (Type::Interval | Type::Time, Type::String) => {
            let right = as_time(right, at)?;
            (left, right)
        }
        _ => (left, right),
    };
    let wrong = |a: Type, b: Type| {
        let message = format!(
            "{} {} {} makes no sense",
            a.name(),
            operator.symbol(),
            b.name()
        );
        Err(QueryError::meaning(at, message))
    };
    let kind = match (left.kind, operator, right.kind) {
        (Type::Null, _, other) | (other, _, Type::Null) => {
            return Ok(Typed::constant(Scalar::Null, other));
        }
        (Type::Time, Add | Subtract, Type::Interval | Type::Integer)
        | (Type::Interval | Type::Integer, Add, Type::Time) => Type::Time,
        (Type::Time, Subtract, Type::Time)
        | (Type::Interval, Add | Subtract, Type::Interval | Type::Integer)
        | (Type::Interval, Multiply | Divide, Type::Integer)
        | (Type::Integer, Multiply, Type::Interval) => Type::Interval,
        (a, _, b) if a == b && a.is_numeric() => a,
        (Type::Float, _, b) if b.is_numeric() => Type::Float,
        (a, _, Type::Float) if a.is_numeric() => Type::Float,
        (Type::Integer, _, Type::Unsigned) => mixed(&left),
        (Type::Unsigned, _, Type::Integer) => mixed(&right),
        (a, _, b) => return wrong(a, b),
    };
    let (left, right) = if kind.is_numeric() {
        (
            fold(functions::cast(left, kind, at)?)?,
            fold(functions::cast(right, kind, at)?)?,
        )
    } else {
        (left, right)
    };
    let node = Node::Arithmetic(operator, Box::new(left), Box::new(right));
    Ok(Typed::new(node, kind))
}

/// A whole literal beside doubles is a double, where it is the same number: so the plain comparison of
/// doubles does.
fn beside(side: Typed, other: Type) -> Typed {
    match side.as_constant() {
        Some(Scalar::Integer(value)) if other == Type::Float && value.unsigned_abs() <= 1 << 53 => {
            Typed::constant(Scalar::Float(*value as f64), Type::Float)
        }
        _ => side,
    }
}

/// Signed beside unsigned: a literal that is not negative takes the other's type.
fn mixed(signed: &Typed) -> Type {
    match signed.as_constant() {
        Some(Scalar::Integer(value)) if *value >= 0 => Type::Unsigned,
        _ => Type::Integer,
    }
}
