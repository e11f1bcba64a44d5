//! Expressions: from the grammar's tree to ours. Depth is bounded here as well, since chains of
//! operators nest without brackets.

use std::cell::Cell;

use sqlparser::ast as grammar;
use sqlparser::tokenizer::Location;

use super::ast::{BinaryOperator, Call, Expr, ExprKind, Literal, Name, UnaryOperator};
use super::duration::parse_interval;
use super::position::TextMap;
use crate::limits::SQL_DEPTH;
use crate::query::error::{QueryError, SqlPosition};

/// Converts the parts of one statement.
pub(super) struct Converter<'a> {
    map: &'a TextMap,
    statement_at: SqlPosition,
    depth: Cell<usize>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(map: &'a TextMap, statement_at: SqlPosition) -> Self {
        Self {
            map,
            statement_at,
            depth: Cell::new(0),
        }
    }

    pub(super) fn unsupported(&self, what: &str) -> QueryError {
        QueryError::unsupported(self.statement_at, what)
    }

    pub(super) fn meaning(&self, message: &str) -> QueryError {
        QueryError::meaning(self.statement_at, message)
    }

    /// A place that the parser knows, or else the statement's start.
    pub(super) fn place(&self, location: Location) -> SqlPosition {
        if location.line == 0 {
            self.statement_at
        } else {
            self.map.locate(location)
        }
    }

    pub(super) fn name(&self, ident: grammar::Ident) -> Name {
        Name {
            at: self.place(ident.span.start),
            text: ident.value,
        }
    }

    pub(super) fn measurement(&self, table: grammar::TableFactor) -> Result<Name, QueryError> {
        let grammar::TableFactor::Table {
            name, args: None, ..
        } = table
        else {
            return Err(self.unsupported("anything but a measurement after FROM is"));
        };
        let mut parts = name.0;
        match (parts.pop(), parts.is_empty()) {
            (Some(grammar::ObjectNamePart::Identifier(ident)), true) => Ok(self.name(ident)),
            _ => Err(self.unsupported("a qualified name after FROM (quote a name with dots) is")),
        }
    }

    /// A whole number after `LIMIT` or `OFFSET`.
    pub(super) fn count(&self, expr: grammar::Expr) -> Result<u64, QueryError> {
        let expr = self.expr(expr)?;
        match expr.kind {
            ExprKind::Literal(Literal::Integer(value)) if value >= 0 => {
                Ok(u64::try_from(value).unwrap_or(u64::MAX))
            }
            _ => Err(QueryError::meaning(
                expr.at,
                "LIMIT and OFFSET take a whole number that is not negative",
            )),
        }
    }

    pub(super) fn optional(&self, expr: Option<grammar::Expr>) -> Result<Option<Expr>, QueryError> {
        expr.map(|expr| self.expr(expr)).transpose()
    }

    pub(super) fn exprs(&self, exprs: Vec<grammar::Expr>) -> Result<Vec<Expr>, QueryError> {
        exprs.into_iter().map(|expr| self.expr(expr)).collect()
    }

    pub(super) fn expr(&self, expr: grammar::Expr) -> Result<Expr, QueryError> {
        if self.depth.get() >= SQL_DEPTH {
            return Err(QueryError::TooLarge {
                what: "levels of nesting",
                limit: SQL_DEPTH,
            });
        }
        self.depth.set(self.depth.get() + 1);
        let at = self.start(&expr);
        let kind = self.kind(expr, at);
        self.depth.set(self.depth.get() - 1);
        Ok(Expr { kind: kind?, at })
    }

    fn boxed(&self, expr: grammar::Expr) -> Result<Box<Expr>, QueryError> {
        self.expr(expr).map(Box::new)
    }

    fn kind(&self, expr: grammar::Expr, at: SqlPosition) -> Result<ExprKind, QueryError> {
        use grammar::Expr as E;
        let is_null = |expr, negated| {
            Ok(ExprKind::IsNull {
                expr: self.boxed(expr)?,
                negated,
            })
        };
        match expr {
            E::Nested(inner) => self.kind(unnest(*inner), at),
            E::Identifier(ident) => Ok(ExprKind::Name(ident.value)),
            E::Value(value) => literal(value.value, at).map(ExprKind::Literal),
            E::TypedString(typed) => match typed.value.value.into_string() {
                Some(text) => Ok(ExprKind::Literal(Literal::String(text))),
                None => Err(QueryError::unsupported(at, "this literal is")),
            },
            E::Interval(interval) => self.interval(interval, at),
            E::UnaryOp { op, expr } => self.unary(op, *expr, at),
            E::BinaryOp { left, op, right } => self.binary(*left, op, *right, at),
            E::IsNull(inner) => is_null(*inner, false),
            E::IsNotNull(inner) => is_null(*inner, true),
            E::InList {
                expr,
                list,
                negated,
            } => Ok(ExprKind::InList {
                expr: self.boxed(*expr)?,
                list: self.exprs(list)?,
                negated,
            }),
            E::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(*expr, *low, *high, negated, at),
            E::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.matching(*expr, *pattern, (false, negated, false)),
            E::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.matching(*expr, *pattern, (false, negated, true)),
            E::Cast {
                kind: grammar::CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                let to = type_name(&data_type);
                match *expr {
                    E::Identifier(ident) => Ok(ExprKind::Lane(ident.value, to)),
                    other => Ok(ExprKind::Cast(self.boxed(other)?, to)),
                }
            }
            E::Cast {
                kind: grammar::CastKind::Cast,
                expr,
                data_type,
                format: None,
            } => Ok(ExprKind::Cast(self.boxed(*expr)?, type_name(&data_type))),
            E::Ceil { expr, field } => self.rounding("ceil", *expr, &field, at),
            E::Floor { expr, field } => self.rounding("floor", *expr, &field, at),
            E::Function(function) => self.call(function, at),
            E::Case {
                operand,
                conditions,
                else_result,
                ..
            } => Ok(ExprKind::Case {
                operand: operand.map(|expr| self.boxed(*expr)).transpose()?,
                branches: conditions
                    .into_iter()
                    .map(|branch| Ok((self.expr(branch.condition)?, self.expr(branch.result)?)))
                    .collect::<Result<_, QueryError>>()?,
                otherwise: else_result.map(|expr| self.boxed(*expr)).transpose()?,
            }),
            E::Subquery(_) | E::InSubquery { .. } | E::Exists { .. } => {
                Err(QueryError::unsupported(at, "a subquery is"))
            }
            E::CompoundIdentifier(_) => Err(QueryError::unsupported(
                at,
                "a qualified name (quote a name with dots) is",
            )),
            _ => Err(QueryError::unsupported(at, "this form of an expression is")),
        }
    }

    fn interval(
        &self,
        interval: grammar::Interval,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
        let value = self.expr(*interval.value)?;
        let mut text = match value.kind {
            ExprKind::Literal(Literal::String(text)) => text,
            ExprKind::Literal(Literal::Integer(number)) => number.to_string(),
            _ => {
                let message = "an interval is written as interval '5 minutes'";
                return Err(QueryError::meaning(value.at, message));
            }
        };
        if let Some(unit) = interval.leading_field {
            text.push(' ');
            text.push_str(&unit.to_string());
        }
        parse_interval(&text)
            .map(|ns| ExprKind::Literal(Literal::Interval(ns)))
            .map_err(|message| QueryError::meaning(at, message))
    }

    fn unary(
        &self,
        operator: grammar::UnaryOperator,
        expr: grammar::Expr,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
        let expr = self.expr(expr)?;
        match operator {
            grammar::UnaryOperator::Plus => Ok(expr.kind),
            grammar::UnaryOperator::Not => Ok(ExprKind::Unary(UnaryOperator::Not, Box::new(expr))),
            grammar::UnaryOperator::Minus => Ok(match expr.kind {
                ExprKind::Literal(Literal::Integer(value)) => {
                    ExprKind::Literal(Literal::Integer(-value))
                }
                ExprKind::Literal(Literal::Float(value)) => {
                    ExprKind::Literal(Literal::Float(-value))
                }
                _ => ExprKind::Unary(UnaryOperator::Negate, Box::new(expr)),
            }),
            other => Err(QueryError::unsupported(at, format!("operator {other} is"))),
        }
    }

    fn binary(
        &self,
        left: grammar::Expr,
        operator: grammar::BinaryOperator,
        right: grammar::Expr,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
        use grammar::BinaryOperator as B;
        let operator = match operator {
            B::And | B::Or => return self.chain(left, &operator, right),
            B::PGRegexMatch => return self.matching(left, right, (true, false, false)),
            B::PGRegexIMatch => return self.matching(left, right, (true, false, true)),
            B::PGRegexNotMatch => return self.matching(left, right, (true, true, false)),
            B::PGRegexNotIMatch => return self.matching(left, right, (true, true, true)),
            B::Plus => BinaryOperator::Add,
            B::Minus => BinaryOperator::Subtract,
            B::Multiply => BinaryOperator::Multiply,
            B::Divide => BinaryOperator::Divide,
            B::Modulo => BinaryOperator::Modulo,
            B::Eq => BinaryOperator::Equal,
            B::NotEq => BinaryOperator::NotEqual,
            B::Lt => BinaryOperator::Less,
            B::LtEq => BinaryOperator::LessOrEqual,
            B::Gt => BinaryOperator::Greater,
            B::GtEq => BinaryOperator::GreaterOrEqual,
            other => {
                return Err(QueryError::unsupported(at, format!("operator {other} is")));
            }
        };
        Ok(ExprKind::Binary(
            operator,
            self.boxed(left)?,
            self.boxed(right)?,
        ))
    }

    /// A chain of one logical operator becomes one flat list, so that a thousand alternatives are no depth.
    fn chain(
        &self,
        left: grammar::Expr,
        operator: &grammar::BinaryOperator,
        right: grammar::Expr,
    ) -> Result<ExprKind, QueryError> {
        let mut parts = vec![self.expr(right)?];
        let mut rest = left;
        loop {
            match rest {
                grammar::Expr::BinaryOp { left, op, right } if op == *operator => {
                    parts.push(self.expr(*right)?);
                    rest = *left;
                }
                other => {
                    parts.push(self.expr(other)?);
                    break;
                }
            }
        }
        parts.reverse();
        Ok(if *operator == grammar::BinaryOperator::And {
            ExprKind::And(parts)
        } else {
            ExprKind::Or(parts)
        })
    }

    fn between(
        &self,
        expr: grammar::Expr,
        low: grammar::Expr,
        high: grammar::Expr,
        negated: bool,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
        let expr = self.expr(expr)?;
        let side = |operator, bound| -> Result<Expr, QueryError> {
            let kind = ExprKind::Binary(operator, Box::new(expr.clone()), self.boxed(bound)?);
            Ok(Expr { kind, at })
        };
        Ok(if negated {
            ExprKind::Or(vec![
                side(BinaryOperator::Less, low)?,
                side(BinaryOperator::Greater, high)?,
            ])
        } else {
            ExprKind::And(vec![
                side(BinaryOperator::GreaterOrEqual, low)?,
                side(BinaryOperator::LessOrEqual, high)?,
            ])
        })
    }

    fn matching(
        &self,
        expr: grammar::Expr,
        pattern: grammar::Expr,
        (regex, negated, insensitive): (bool, bool, bool),
    ) -> Result<ExprKind, QueryError> {
        let expr = self.boxed(expr)?;
        let pattern = self.expr(pattern)?;
        let ExprKind::Literal(Literal::String(pattern)) = pattern.kind else {
            return Err(QueryError::meaning(
                pattern.at,
                "a pattern is text in single quotes",
            ));
        };
        Ok(ExprKind::Match {
            expr,
            pattern,
            regex,
            negated,
            insensitive,
        })
    }

    fn rounding(
        &self,
        function: &str,
        expr: grammar::Expr,
        field: &grammar::CeilFloorKind,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
        if !matches!(
            field,
            grammar::CeilFloorKind::DateTimeField(grammar::DateTimeField::NoDateTime)
        ) {
            return Err(QueryError::meaning(
                at,
                format!("{function} takes one argument"),
            ));
        }
        Ok(ExprKind::Call(Call {
            function: function.to_owned(),
            star: false,
            distinct: false,
            arguments: vec![self.expr(expr)?],
        }))
    }

    fn call(&self, call: grammar::Function, at: SqlPosition) -> Result<ExprKind, QueryError> {
        use grammar::{FunctionArg, FunctionArgExpr, FunctionArguments};
        let mut name = call.name.0;
        let (Some(grammar::ObjectNamePart::Identifier(ident)), true) =
            (name.pop(), name.is_empty())
        else {
            return Err(QueryError::unsupported(at, "a qualified function is"));
        };
        if call.over.is_some()
            || call.filter.is_some()
            || call.null_treatment.is_some()
            || !call.within_group.is_empty()
        {
            return Err(QueryError::unsupported(
                at,
                "OVER, FILTER or WITHIN GROUP behind a function is",
            ));
        }
        let mut converted = Call {
            function: ident.value.to_lowercase(),
            star: false,
            distinct: false,
            arguments: Vec::new(),
        };
        let list = match call.args {
            FunctionArguments::None => return Ok(ExprKind::Call(converted)),
            FunctionArguments::Subquery(_) => {
                return Err(QueryError::unsupported(at, "a subquery is"));
            }
            FunctionArguments::List(list) => list,
        };
        if !list.clauses.is_empty() {
            return Err(QueryError::unsupported(at, "a clause in an argument is"));
        }
        converted.distinct =
            list.duplicate_treatment == Some(grammar::DuplicateTreatment::Distinct);
        for argument in list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    converted.arguments.push(self.expr(expr)?);
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => converted.star = true,
                _ => return Err(QueryError::unsupported(at, "a named argument is")),
            }
        }
        Ok(ExprKind::Call(converted))
    }

    /// Where an expression starts: that of its leftmost leaf, found without recursion.
    fn start(&self, expr: &grammar::Expr) -> SqlPosition {
        use grammar::Expr as E;
        let mut leaf = expr;
        loop {
            leaf = match leaf {
                E::BinaryOp { left, .. } => left,
                E::IsNull(inner) | E::IsNotNull(inner) | E::Nested(inner) => inner,
                E::InList { expr, .. }
                | E::Between { expr, .. }
                | E::Like { expr, .. }
                | E::ILike { expr, .. }
                | E::UnaryOp { expr, .. }
                | E::Ceil { expr, .. }
                | E::Floor { expr, .. }
                | E::Cast { expr, .. } => expr,
                E::Interval(interval) => &interval.value,
                E::Identifier(ident) => return self.place(ident.span.start),
                E::CompoundIdentifier(idents) => {
                    let start = idents.first().map(|ident| ident.span.start);
                    return start.map_or(self.statement_at, |start| self.place(start));
                }
                E::Value(value) => return self.place(value.span.start),
                E::TypedString(typed) => return self.place(typed.value.span.start),
                E::Function(function) => {
                    let start = function.name.0.first().and_then(|part| part.as_ident());
                    return start.map_or(self.statement_at, |ident| self.place(ident.span.start));
                }
                E::Case { case_token, .. } => return self.place(case_token.0.span.start),
                _ => return self.statement_at,
            };
        }
    }
}

/// Strips brackets without recursion.
fn unnest(mut expr: grammar::Expr) -> grammar::Expr {
    while let grammar::Expr::Nested(inner) = expr {
        expr = *inner;
    }
    expr
}

fn literal(value: grammar::Value, at: SqlPosition) -> Result<Literal, QueryError> {
    match value {
        grammar::Value::Number(digits, _) => number(&digits)
            .ok_or_else(|| QueryError::meaning(at, format!("`{digits}` is too large"))),
        grammar::Value::SingleQuotedString(text)
        | grammar::Value::EscapedStringLiteral(text)
        | grammar::Value::UnicodeStringLiteral(text) => Ok(Literal::String(text)),
        grammar::Value::Boolean(value) => Ok(Literal::Boolean(value)),
        grammar::Value::Null => Ok(Literal::Null),
        _ => Err(QueryError::unsupported(at, "this literal is")),
    }
}

/// A number without a sign: an integer if it is written as one and fits into 64 bits.
fn number(digits: &str) -> Option<Literal> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = digits.parse::<u64>().ok()?;
        return Some(Literal::Integer(i128::from(value)));
    }
    let value = digits.parse::<f64>().ok()?;
    value.is_finite().then_some(Literal::Float(value))
}

fn type_name(data_type: &grammar::DataType) -> String {
    data_type.to_string().to_lowercase()
}
