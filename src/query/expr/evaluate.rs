//! Evaluation of a tree over a frame, with the three-valued logic of SQL.

use std::borrow::Cow;
use std::cell::Cell;

use crate::query::error::QueryError;
use crate::query::value::{Scalar, Type};
use crate::series::vector::{Validity, Values};

use super::lane::{Texts, map, owned};
use super::vector::{Collector, Frame, Operand, Slot};
use super::{Node, Typed, arithmetic, cast, compare};

/// The values of an expression, one for each row of the frame.
pub(crate) fn evaluate<'a>(expr: &Typed, frame: &Frame<'a>) -> Result<Operand<'a>, QueryError> {
    let rows = frame.rows;
    match &expr.node {
        Node::Slot(slot) => Ok(match frame.slots.get(*slot) {
            Some(Slot::Vector(vector)) => Operand::Vector(Cow::Borrowed(*vector)),
            Some(Slot::Constant(value)) => Operand::Constant((*value).clone()),
            None => Operand::Constant(Scalar::Null),
        }),
        Node::Constant(value) => Ok(Operand::Constant(value.clone())),
        Node::Negate(inner) => one(inner, frame, |operand, rows| {
            arithmetic::negate(expr.kind, operand, rows)
        }),
        Node::Function(function, inner) => one(inner, frame, |operand, rows| {
            arithmetic::function(*function, expr.kind, operand, rows)
        }),
        Node::Bucket(buckets, inner) => one(inner, frame, |operand, rows| {
            // Rows come in the order of time: most lie in the bucket of the row before.
            let last = Cell::new((1, Some(0)));
            Ok(map(operand, rows, |time: i64| {
                let (start, next) = last.get();
                if time < start || next.is_some_and(|next| time >= next) {
                    last.set(buckets.bounds(time));
                }
                last.get().0
            }))
        }),
        Node::Arithmetic(operator, left, right) => two(left, right, frame, |left, right, rows| {
            arithmetic::arithmetic(*operator, expr.kind, left, right, rows)
        }),
        Node::Compare(operator, left, right) => {
            let kinds = (left.kind, right.kind);
            two(left, right, frame, |left, right, rows| {
                Ok(compare::compare(
                    *operator,
                    (kinds.0, left),
                    (kinds.1, right),
                    rows,
                ))
            })
        }
        Node::And(parts) => logical(parts, frame, false),
        Node::Or(parts) => logical(parts, frame, true),
        Node::Not(inner) => one(inner, frame, |operand, rows| {
            Ok(map(operand, rows, |value: bool| !value))
        }),
        Node::IsNull(inner, negated) => {
            let operand = evaluate(inner, frame)?;
            if let Operand::Constant(value) = &operand {
                return Ok(Operand::Constant(Scalar::Boolean(
                    value.is_null() != *negated,
                )));
            }
            let flags = (0..rows).map(|row| operand.is_null(row) != *negated);
            Ok(owned(Values::Boolean(flags.collect()), Validity::all()))
        }
        Node::Match(inner, pattern, negated) => one(inner, frame, |operand, rows| {
            let texts = Texts::of(operand);
            let flags = (0..rows).map(|row| pattern.is_match(texts.get(row)) != *negated);
            Ok(owned(Values::Boolean(flags.collect()), operand.validity()))
        }),
        Node::Cast(inner) => cast::cast(evaluate(inner, frame)?, inner.kind, expr.kind, rows),
        Node::Coalesce(parts) => coalesce(parts, expr.kind, frame),
        Node::Case(branches, otherwise) => case(branches, otherwise.as_deref(), expr.kind, frame),
    }
}

/// An operation that is null where its operand is. Constants stay constants.
fn one<'a>(
    inner: &Typed,
    frame: &Frame<'a>,
    operation: impl Fn(&Operand<'a>, usize) -> Result<Operand<'static>, QueryError>,
) -> Result<Operand<'a>, QueryError> {
    let operand = evaluate(inner, frame)?;
    match operand {
        Operand::Constant(Scalar::Null) => Ok(Operand::Constant(Scalar::Null)),
        Operand::Constant(_) => Ok(Operand::Constant(operation(&operand, 1)?.scalar(0))),
        Operand::Vector(_) => Ok(operation(&operand, frame.rows)?),
    }
}

/// An operation that is null where either operand is.
fn two<'a>(
    left: &Typed,
    right: &Typed,
    frame: &Frame<'a>,
    operation: impl Fn(&Operand<'a>, &Operand<'a>, usize) -> Result<Operand<'static>, QueryError>,
) -> Result<Operand<'a>, QueryError> {
    let left = evaluate(left, frame)?;
    let right = evaluate(right, frame)?;
    match (&left, &right) {
        (Operand::Constant(Scalar::Null), _) | (_, Operand::Constant(Scalar::Null)) => {
            Ok(Operand::Constant(Scalar::Null))
        }
        (Operand::Constant(_), Operand::Constant(_)) => {
            Ok(Operand::Constant(operation(&left, &right, 1)?.scalar(0)))
        }
        _ => Ok(operation(&left, &right, frame.rows)?),
    }
}

/// `AND` and `OR`: the deciding value wins over null, null over the other one. Parts behind one that
/// decides every row are not evaluated.
fn logical<'a>(
    parts: &[Typed],
    frame: &Frame<'a>,
    deciding: bool,
) -> Result<Operand<'a>, QueryError> {
    let rows = frame.rows;
    let mut decided = vec![false; rows];
    let mut unknown = vec![false; rows];
    let mut any_unknown = false;
    let mut vectors = false;
    let mut constant = Scalar::Boolean(!deciding);
    for part in parts {
        match evaluate(part, frame)? {
            Operand::Constant(Scalar::Boolean(value)) => {
                if value == deciding {
                    return Ok(Operand::Constant(Scalar::Boolean(deciding)));
                }
            }
            Operand::Constant(_) => {
                constant = Scalar::Null;
                unknown.fill(true);
                any_unknown = true;
            }
            Operand::Vector(vector) => {
                vectors = true;
                let Values::Boolean(flags) = &vector.values else {
                    continue;
                };
                let all = vector.validity.is_all();
                for row in 0..rows {
                    if all || vector.validity.is_valid(row) {
                        decided[row] |= flags[row] == deciding;
                    } else {
                        unknown[row] = true;
                        any_unknown = true;
                    }
                }
            }
        }
    }
    if !vectors {
        return Ok(Operand::Constant(constant));
    }
    let validity = if any_unknown {
        Validity::from_flags(
            decided
                .iter()
                .zip(&unknown)
                .map(|(&decided, &unknown)| decided || !unknown),
        )
    } else {
        Validity::all()
    };
    let flags = decided
        .into_iter()
        .map(|decided| decided == deciding)
        .collect();
    Ok(owned(Values::Boolean(flags), validity))
}

fn coalesce<'a>(parts: &[Typed], kind: Type, frame: &Frame<'a>) -> Result<Operand<'a>, QueryError> {
    let mut operands = Vec::new();
    for part in parts {
        let operand = evaluate(part, frame)?;
        let complete = match &operand {
            Operand::Constant(value) => {
                if value.is_null() {
                    continue;
                }
                true
            }
            Operand::Vector(vector) => vector.validity.is_all(),
        };
        operands.push(operand);
        if complete {
            break;
        }
    }
    if operands.len() < 2 {
        return Ok(operands.pop().unwrap_or(Operand::Constant(Scalar::Null)));
    }
    let mut chosen = Collector::new(kind);
    for row in 0..frame.rows {
        let value = operands.iter().find(|operand| !operand.is_null(row));
        chosen.push(&value.map_or(Scalar::Null, |operand| operand.scalar(row)));
    }
    Ok(Operand::Vector(Cow::Owned(chosen.finish())))
}

fn case<'a>(
    branches: &[(Typed, Typed)],
    otherwise: Option<&Typed>,
    kind: Type,
    frame: &Frame<'a>,
) -> Result<Operand<'a>, QueryError> {
    let mut operands = Vec::with_capacity(branches.len());
    for (condition, result) in branches {
        operands.push((evaluate(condition, frame)?, evaluate(result, frame)?));
    }
    let otherwise = match otherwise {
        Some(expr) => evaluate(expr, frame)?,
        None => Operand::Constant(Scalar::Null),
    };
    let mut chosen = Collector::new(kind);
    for row in 0..frame.rows {
        let holds = operands
            .iter()
            .find(|(condition, _)| condition.scalar(row) == Scalar::Boolean(true));
        chosen.push(&holds.map_or(&otherwise, |(_, result)| result).scalar(row));
    }
    Ok(Operand::Vector(Cow::Owned(chosen.finish())))
}
