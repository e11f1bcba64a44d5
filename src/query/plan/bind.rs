//! Expressions: names to slots, operators to typed operations, literals folded.

use crate::query::error::{QueryError, SqlPosition};
use crate::query::exec::aggregate::Aggregate;
use crate::query::expr::{Node, Pattern, Typed};
use crate::query::sql::ast::{BinaryOperator, Expr, ExprKind, UnaryOperator};
use crate::query::value::Type;
use crate::types::Timestamp;

use super::Fill;
use super::buckets::{FILL_SLOTS, fills_gaps};
use super::functions;
use super::names::Names;
use super::operators::{arithmetic, compare, fold, literal, negate};

/// Binds the expressions of one query.
pub(super) struct Binder<'a> {
    pub(super) names: Names<'a>,
    pub(super) now_ns: Timestamp,
    /// Whether it was asked for.
    pub(super) saw_now: bool,
    /// Present once the query groups: then expressions are over groups.
    pub(super) groups: Option<Groups>,
    /// Aliases of the select list.
    pub(super) aliases: Vec<(String, Expr)>,
    /// Expressions are over rows: in `WHERE`, in keys, in arguments of aggregates.
    pub(super) over_rows: bool,
    /// The expression is a key of `GROUP BY` itself.
    pub(super) in_keys: bool,
    inside_alias: bool,
}

/// What expressions over groups may use.
#[derive(Default)]
pub(super) struct Groups {
    /// Keys as they were written, and their types.
    pub(super) keys: Vec<(Expr, Type)>,
    pub(super) aggregates: Vec<Aggregate>,
    /// Whether a key fills gaps.
    pub(super) gapfill: bool,
    pub(super) fills: Vec<Fill>,
}

impl Groups {
    /// The final number of a slot: filled columns stand behind all aggregates.
    pub(super) fn numbering(&self) -> impl Fn(usize) -> usize + use<> {
        let before = self.keys.len() + self.aggregates.len();
        move |slot| match slot.checked_sub(FILL_SLOTS) {
            Some(index) => before + index,
            None => slot,
        }
    }
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
            saw_now: false,
            groups: None,
            aliases,
            over_rows: true,
            in_keys: false,
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
        self.in_keys &= fills_gaps(expr);
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
