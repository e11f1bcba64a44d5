//! Leaves and calls: literals, intervals, names of types, functions and their arguments.

use sqlparser::ast as grammar;

use super::ast::{Call, ExprKind, Literal};
use super::convert::Converter;
use super::duration::parse_interval;
use crate::query::error::{QueryError, SqlPosition};

impl Converter<'_> {
    pub(super) fn interval(
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

    pub(super) fn rounding(
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

    pub(super) fn call(
        &self,
        call: grammar::Function,
        at: SqlPosition,
    ) -> Result<ExprKind, QueryError> {
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
}

pub(super) fn literal(value: grammar::Value, at: SqlPosition) -> Result<Literal, QueryError> {
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

pub(super) fn type_name(data_type: &grammar::DataType) -> String {
    data_type.to_string().to_lowercase()
}
