//! Expressions: names to slots, operators to typed operations, literals folded.

use std::sync::Arc;

use crate::query::error::{QueryError, SqlPosition};
use crate::query::exec::aggregate::Aggregate;
use crate::query::expr::vector::{Frame, Operand};
use crate::query::expr::{Node, Pattern, Typed, evaluate};
use crate::query::sql::ast::{BinaryOperator, Expr, ExprKind, Literal, UnaryOperator};
use crate::query::sql::duration::parse_time;
use crate::query::value::{Scalar, Type};
use crate::types::Timestamp;

use super::functions;
use super::names::Names;

/// Binds the expressions of one query.
pub(super) struct Binder<'a> {
    pub(super) names: Names<'a>,
    pub(super) now_ns: Timestamp,
    /// Present once the query groups: then expressions are over groups.
    pub(super) groups: Option<Groups>,
    /// Aliases of the select list.
    pub(super) aliases: Vec<(String, Expr)>,
    /// Expressions are over rows: in `WHERE`, in keys, in arguments of aggregates.
    pub(super) over_rows: bool,
    inside_alias: bool,
}

/// What expressions over groups may use.
#[derive(Default)]
pub(super) struct Groups {
    /// Keys as they were written, and their types.
    pub(super) keys: Vec<(Expr, Type)>,
    pub(super) aggregates: Vec<Aggregate>,
}

impl<'a> Binder<'a> {
    pub(super) const fn new(
        names: Names<'a>,
        now_ns: Timestamp,
        aliases: Vec<(String, Expr)>,
    ) -> Self {
        Self {
            names,
            now_ns,
            groups: None,
            aliases,
            over_rows: true,
            inside_alias: false,
        }
    }

    /// Binds an expression, over rows or over groups.
    pub(super) fn bind(&mut self, expr: &Expr) -> Result<Typed, QueryError> {
        if !self.over_rows
            && let Some(groups) = &self.groups
            && let Some(slot) = groups.keys.iter().position(|(key, _)| key == expr)
        {
            return Ok(Typed::new(Node::Slot(slot), groups.keys[slot].1));
        }
        let at = expr.at;
        let bound = match &expr.kind {
            ExprKind::Literal(value) => literal(value, at)?,
            ExprKind::Name(name) => self.name(name, at)?,
            ExprKind::Lane(name, lane) => self.lane(name, lane, at)?,
            ExprKind::Unary(UnaryOperator::Not, inner) => {
                let inner = self.condition(inner)?;
                Typed::new(Node::Not(Box::new(inner)), Type::Boolean)
            }
            ExprKind::Unary(UnaryOperator::Negate, inner) => negate(self.bind(inner)?, inner.at)?,
            ExprKind::Binary(operator, left, right) => {
                let left = self.bind(left)?;
                let right = self.bind(right)?;
                if operator.is_comparison() {
                    compare(*operator, left, right, at)?
                } else {
                    arithmetic(*operator, left, right, at)?
                }
            }
            ExprKind::And(parts) => Typed::new(Node::And(self.conditions(parts)?), Type::Boolean),
            ExprKind::Or(parts) => Typed::new(Node::Or(self.conditions(parts)?), Type::Boolean),
            ExprKind::IsNull { expr, negated } => {
                let inner = Box::new(self.bind(expr)?);
                Typed::new(Node::IsNull(inner, *negated), Type::Boolean)
            }
            ExprKind::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated)?,
            ExprKind::Match {
                expr,
                pattern,
                regex,
                negated,
                insensitive,
            } => {
                let inner = self.bind(expr)?;
                if !matches!(inner.kind, Type::String | Type::Null) {
                    let message = format!("a pattern matches text, not {}", inner.kind.name());
                    return Err(QueryError::meaning(expr.at, message));
                }
                let pattern = if *regex {
                    Pattern::regex(pattern, *insensitive)
                } else {
                    Pattern::like(pattern, *insensitive)
                };
                let pattern = pattern.map_err(|message| {
                    QueryError::meaning(at, format!("the pattern is wrong: {message}"))
                })?;
                let node = Node::Match(Box::new(inner), pattern, *negated);
                Typed::new(node, Type::Boolean)
            }
            ExprKind::Cast(inner, to) => {
                let to = functions::type_of_name(to, at)?;
                functions::cast(self.bind(inner)?, to, at)?
            }
            ExprKind::Call(call) => self.call(call, at)?,
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => self.case(operand.as_deref(), branches, otherwise.as_deref())?,
        };
        fold(bound)
    }

    /// Binds an expression that must be true or false.
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Typed, QueryError> {
        let bound = self.bind(expr)?;
        match bound.kind {
            Type::Boolean | Type::Null => Ok(bound),
            other => Err(QueryError::meaning(
                expr.at,
                format!("expected a condition, found {}", other.name()),
            )),
        }
    }

    fn conditions(&mut self, parts: &[Expr]) -> Result<Vec<Typed>, QueryError> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn name(&mut self, name: &str, at: SqlPosition) -> Result<Typed, QueryError> {
        if self.over_rows {
            if !self.names.knows(name) {
                let aliases: Vec<&str> = self.aliases.iter().map(|(a, _)| a.as_str()).collect();
                return Err(self.names.unknown(name, at, &aliases));
            }
            return self.names.resolve(name, at);
        }
        let alias = self.aliases.iter().find(|(alias, _)| alias == name);
        if let Some((_, expr)) = alias
            && !self.inside_alias
        {
            let expr = expr.clone();
            self.inside_alias = true;
            let bound = self.bind(&expr);
            self.inside_alias = false;
            return bound;
        }
        if !self.names.knows(name) {
            return Err(self.names.unknown(name, at, &[]));
        }
        Err(outside_groups(name, at))
    }

    fn lane(&mut self, name: &str, lane: &str, at: SqlPosition) -> Result<Typed, QueryError> {
        if !self.over_rows {
            return Err(outside_groups(&format!("{name}::{lane}"), at));
        }
        if name != "time"
            && let Some(bound) = self.names.lane(name, lane, at)?
        {
            return Ok(bound);
        }
        let to = functions::type_of_name(lane, at)?;
        functions::cast(self.name(name, at)?, to, at)
    }

    fn in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool) -> Result<Typed, QueryError> {
        let value = self.bind(expr)?;
        let mut parts = Vec::with_capacity(list.len());
        for candidate in list {
            let other = self.bind(candidate)?;
            parts.push(compare(
                BinaryOperator::Equal,
                value.clone(),
                other,
                candidate.at,
            )?);
        }
        let any = fold(Typed::new(Node::Or(parts), Type::Boolean))?;
        Ok(if negated {
            Typed::new(Node::Not(Box::new(any)), Type::Boolean)
        } else {
            any
        })
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        branches: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, QueryError> {
        let operand = operand.map(|expr| self.bind(expr)).transpose()?;
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for (condition, result) in branches {
            conditions.push(match &operand {
                Some(operand) => {
                    let value = self.bind(condition)?;
                    compare(BinaryOperator::Equal, operand.clone(), value, condition.at)?
                }
                None => self.condition(condition)?,
            });
            results.push((self.bind(result)?, result.at));
        }
        if let Some(otherwise) = otherwise {
            results.push((self.bind(otherwise)?, otherwise.at));
        }
        let (mut results, kind) = functions::unify(results)?;
        let otherwise = (results.len() > conditions.len())
            .then(|| results.pop())
            .flatten()
            .map(Box::new);
        let branches = conditions.into_iter().zip(results).collect();
        Ok(Typed::new(Node::Case(branches, otherwise), kind))
    }
}

fn outside_groups(name: &str, at: SqlPosition) -> QueryError {
    QueryError::meaning(
        at,
        format!("`{name}` must stand in GROUP BY or inside an aggregate such as avg({name})"),
    )
}

fn literal(value: &Literal, at: SqlPosition) -> Result<Typed, QueryError> {
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
fn fold(expr: Typed) -> Result<Typed, QueryError> {
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

fn negate(inner: Typed, at: SqlPosition) -> Result<Typed, QueryError> {
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

fn compare(
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
    let node = Node::Compare(operator, Box::new(left), Box::new(right));
    fold(Typed::new(node, Type::Boolean))
}

fn arithmetic(
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

/// Signed beside unsigned: a literal that is not negative takes the other's type.
fn mixed(signed: &Typed) -> Type {
    match signed.as_constant() {
        Some(Scalar::Integer(value)) if *value >= 0 => Type::Unsigned,
        _ => Type::Integer,
    }
}
