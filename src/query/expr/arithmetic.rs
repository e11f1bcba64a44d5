//! `+ - * / %`, minus and the functions of one number.
//!
//! Integers are checked; a division or remainder by integer zero is null; doubles follow IEEE 754.

use crate::query::error::QueryError;
use crate::query::sql::ast::BinaryOperator;
use crate::query::value::Type;

use super::Function;
use super::lane::{Outcome, map, try_zip, zip};
use super::vector::Operand;

/// Both operands have the storage of `kind`.
pub(super) fn arithmetic(
    operator: BinaryOperator,
    kind: Type,
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
) -> Result<Operand<'static>, QueryError> {
    match kind {
        Type::Float => Ok(floats(operator, left, right, rows)),
        Type::Unsigned => try_zip(left, right, rows, operator.symbol(), |a: u64, b: u64| {
            checked(
                match operator {
                    BinaryOperator::Add => a.checked_add(b),
                    BinaryOperator::Subtract => a.checked_sub(b),
                    BinaryOperator::Multiply => a.checked_mul(b),
                    BinaryOperator::Divide => a.checked_div(b),
                    _ => a.checked_rem(b),
                },
                b == 0 && is_division(operator),
            )
        }),
        _ => try_zip(left, right, rows, operator.symbol(), |a: i64, b: i64| {
            checked(
                match operator {
                    BinaryOperator::Add => a.checked_add(b),
                    BinaryOperator::Subtract => a.checked_sub(b),
                    BinaryOperator::Multiply => a.checked_mul(b),
                    BinaryOperator::Divide => a.checked_div(b),
                    // The one remainder that overflows in the machine is zero in mathematics.
                    _ if b == -1 => Some(0),
                    _ => a.checked_rem(b),
                },
                b == 0 && is_division(operator),
            )
        }),
    }
}

fn floats(
    operator: BinaryOperator,
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
) -> Operand<'static> {
    match operator {
        BinaryOperator::Add => zip(left, right, rows, |a: f64, b: f64| a + b),
        BinaryOperator::Subtract => zip(left, right, rows, |a: f64, b: f64| a - b),
        BinaryOperator::Multiply => zip(left, right, rows, |a: f64, b: f64| a * b),
        BinaryOperator::Divide => zip(left, right, rows, |a: f64, b: f64| a / b),
        _ => zip(left, right, rows, |a: f64, b: f64| a % b),
    }
}

const fn is_division(operator: BinaryOperator) -> bool {
    matches!(operator, BinaryOperator::Divide | BinaryOperator::Modulo)
}

fn checked<T>(value: Option<T>, by_zero: bool) -> Outcome<T> {
    match value {
        Some(value) => Outcome::Value(value),
        None if by_zero => Outcome::Null,
        None => Outcome::Overflow,
    }
}

/// Minus.
pub(super) fn negate(
    kind: Type,
    operand: &Operand<'_>,
    rows: usize,
) -> Result<Operand<'static>, QueryError> {
    match kind {
        Type::Float => Ok(map(operand, rows, |a: f64| -a)),
        _ => try_zip(operand, operand, rows, "-", |a: i64, _| {
            checked(a.checked_neg(), false)
        }),
    }
}

/// A function of one number of the type of its result.
pub(super) fn function(
    function: Function,
    kind: Type,
    operand: &Operand<'_>,
    rows: usize,
) -> Result<Operand<'static>, QueryError> {
    Ok(match (kind, function) {
        (Type::Integer, Function::Abs) => {
            return try_zip(operand, operand, rows, "abs", |a: i64, _| {
                checked(a.checked_abs(), false)
            });
        }
        (Type::Integer, _) => map(operand, rows, |a: i64| a),
        (Type::Unsigned, _) => map(operand, rows, |a: u64| a),
        (_, Function::Abs) => map(operand, rows, f64::abs),
        (_, Function::Round) => map(operand, rows, f64::round),
        (_, Function::Floor) => map(operand, rows, f64::floor),
        (_, Function::Ceil) => map(operand, rows, f64::ceil),
        (_, Function::Sqrt) => map(operand, rows, f64::sqrt),
        (_, Function::Ln) => map(operand, rows, f64::ln),
        (_, Function::Exp) => map(operand, rows, f64::exp),
    })
}
