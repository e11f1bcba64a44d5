//! Comparisons. Numbers of different types compare by value, exactly; NaN is unequal to everything and
//! neither less nor greater.

use std::cmp::Ordering;

use crate::query::sql::ast::BinaryOperator;
use crate::query::value::{Type, compare_exact};
use crate::series::vector::Values;

use super::lane::{Lane, Texts, both, owned, zip};
use super::vector::Operand;

/// True, false or null a row.
pub(super) fn compare(
    operator: BinaryOperator,
    (left_kind, left): (Type, &Operand<'_>),
    (right_kind, right): (Type, &Operand<'_>),
    rows: usize,
) -> Operand<'static> {
    use Type::{Float, Integer, Unsigned};
    match (left_kind, right_kind) {
        (Float, Float) => same::<f64>(operator, left, right, rows),
        (Unsigned, Unsigned) => same::<u64>(operator, left, right, rows),
        (Type::Boolean, Type::Boolean) => same::<bool>(operator, left, right, rows),
        (Float, Unsigned) => mixed(operator, left, right, rows, |a: f64, b: u64| {
            compare_exact(a, i128::from(b))
        }),
        (Float, _) => mixed(operator, left, right, rows, |a: f64, b: i64| {
            compare_exact(a, i128::from(b))
        }),
        (Unsigned, Integer | Type::Time | Type::Interval) => {
            mixed(operator, left, right, rows, |a: u64, b: i64| {
                Some(i128::from(a).cmp(&i128::from(b)))
            })
        }
        (_, Float) | (Integer | Type::Time | Type::Interval, Unsigned) => compare(
            operator.flipped(),
            (right_kind, right),
            (left_kind, left),
            rows,
        ),
        (Type::String | Type::Binary, _) => texts(operator, left, right, rows),
        _ => same::<i64>(operator, left, right, rows),
    }
}

fn same<T: Lane + PartialOrd>(
    operator: BinaryOperator,
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
) -> Operand<'static> {
    match operator {
        BinaryOperator::Equal => zip(left, right, rows, |a: T, b: T| a == b),
        BinaryOperator::NotEqual => zip(left, right, rows, |a: T, b: T| a != b),
        BinaryOperator::Less => zip(left, right, rows, |a: T, b: T| a < b),
        BinaryOperator::LessOrEqual => zip(left, right, rows, |a: T, b: T| a <= b),
        BinaryOperator::Greater => zip(left, right, rows, |a: T, b: T| a > b),
        _ => zip(left, right, rows, |a: T, b: T| a >= b),
    }
}

fn mixed<A: Lane, B: Lane>(
    operator: BinaryOperator,
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
    order: impl Fn(A, B) -> Option<Ordering>,
) -> Operand<'static> {
    zip(left, right, rows, |a: A, b: B| holds(operator, order(a, b)))
}

fn texts(
    operator: BinaryOperator,
    left: &Operand<'_>,
    right: &Operand<'_>,
    rows: usize,
) -> Operand<'static> {
    let (a, b) = (Texts::of(left), Texts::of(right));
    let flags = (0..rows)
        .map(|row| holds(operator, Some(a.get(row).cmp(b.get(row)))))
        .collect();
    owned(Values::Boolean(flags), both(left, right))
}

/// Whether an order satisfies a comparison; no order satisfies only "not equal".
fn holds(operator: BinaryOperator, order: Option<Ordering>) -> bool {
    match operator {
        BinaryOperator::Equal => order == Some(Ordering::Equal),
        BinaryOperator::NotEqual => order != Some(Ordering::Equal),
        BinaryOperator::Less => order == Some(Ordering::Less),
        BinaryOperator::LessOrEqual => order.is_some_and(Ordering::is_le),
        BinaryOperator::Greater => order == Some(Ordering::Greater),
        _ => order.is_some_and(Ordering::is_ge),
    }
}
