//! Expressions as text again: names of columns that were given none, and plans for people.

use std::fmt::{self, Display as _};

use super::ast::{Expr, ExprKind, Literal, UnaryOperator};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Literal(literal) => literal.fmt(f),
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Lane(name, lane) => write!(f, "{name}::{lane}"),
            ExprKind::Unary(UnaryOperator::Negate, expr) => write!(f, "-{expr}"),
            ExprKind::Unary(UnaryOperator::Not, expr) => write!(f, "NOT ({expr})"),
            ExprKind::Binary(operator, left, right) => {
                operand(f, left)?;
                write!(f, " {} ", operator.symbol())?;
                operand(f, right)
            }
            ExprKind::And(parts) => joined(f, parts, " AND "),
            ExprKind::Or(parts) => joined(f, parts, " OR "),
            ExprKind::IsNull { expr, negated } => {
                operand(f, expr)?;
                f.write_str(if *negated { " IS NOT NULL" } else { " IS NULL" })
            }
            ExprKind::InList {
                expr,
                list,
                negated,
            } => {
                operand(f, expr)?;
                f.write_str(if *negated { " NOT IN (" } else { " IN (" })?;
                comma_separated(f, list)?;
                f.write_str(")")
            }
            ExprKind::Match {
                expr,
                pattern,
                regex,
                negated,
                insensitive,
            } => {
                operand(f, expr)?;
                let operator = match (regex, negated, insensitive) {
                    (true, false, false) => "~",
                    (true, false, true) => "~*",
                    (true, true, false) => "!~",
                    (true, true, true) => "!~*",
                    (false, false, false) => "LIKE",
                    (false, false, true) => "ILIKE",
                    (false, true, false) => "NOT LIKE",
                    (false, true, true) => "NOT ILIKE",
                };
                write!(f, " {operator} '{}'", pattern.replace('\'', "''"))
            }
            ExprKind::Cast(expr, to) => write!(f, "cast({expr} as {to})"),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function)?;
                if call.distinct {
                    f.write_str("distinct ")?;
                }
                if call.star {
                    f.write_str("*")?;
                }
                comma_separated(f, &call.arguments)?;
                f.write_str(")")
            }
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => {
                f.write_str("case")?;
                if let Some(operand) = operand {
                    write!(f, " {operand}")?;
                }
                for (condition, result) in branches {
                    write!(f, " when {condition} then {result}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " else {otherwise}")?;
                }
                f.write_str(" end")
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::String(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Interval(ns) => write!(f, "interval '{ns} ns'"),
        }
    }
}

/// An operand, in brackets where it is an operation itself.
fn operand(f: &mut fmt::Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr.kind {
        ExprKind::Binary(..)
        | ExprKind::And(_)
        | ExprKind::Or(_)
        | ExprKind::IsNull { .. }
        | ExprKind::InList { .. }
        | ExprKind::Match { .. }
        | ExprKind::Unary(UnaryOperator::Not, _) => write!(f, "({expr})"),
        _ => expr.fmt(f),
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], between: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        match part.kind {
            ExprKind::And(_) | ExprKind::Or(_) => write!(f, "({part})")?,
            _ => part.fmt(f)?,
        }
    }
    Ok(())
}

fn comma_separated(f: &mut fmt::Formatter<'_>, parts: &[Expr]) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        part.fmt(f)?;
    }
    Ok(())
}
