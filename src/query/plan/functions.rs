//! Functions and conversions: which there are, what they take and what they give.

use crate::query::error::{NameKind, QueryError, SqlPosition};
use crate::query::exec::aggregate::AggregateFunction;
use crate::query::expr::{Function, Node, Typed, can_cast};
use crate::query::names::near;
use crate::query::sql::ast::Call;
use crate::query::value::{Scalar, Type};

use super::FillMethod;
use super::bind::Binder;

const SCALARS: &[&str] = &[
    "abs",
    "round",
    "floor",
    "ceil",
    "sqrt",
    "ln",
    "exp",
    "coalesce",
    "now",
    "time_bucket",
    "time_bucket_gapfill",
    "locf",
    "interpolate",
];

impl Binder<'_> {
    pub(super) fn call(&mut self, call: &Call, at: SqlPosition) -> Result<Typed, QueryError> {
        if let Some(function) = AggregateFunction::from_name(&call.function) {
            return self.aggregate(function, call, at);
        }
        let known = SCALARS.contains(&call.function.as_str()) || call.function == "ceiling";
        if !known {
            return Err(unknown_function(&call.function, at));
        }
        if call.star || call.distinct {
            return Err(takes(&call.function, "plain arguments", at));
        }
        match call.function.as_str() {
            "now" if call.arguments.is_empty() => {
                self.saw_now = true;
                Ok(Typed::constant(Scalar::Integer(self.now_ns), Type::Time))
            }
            "now" => Err(takes("now", "no argument", at)),
            "time_bucket" => self.time_bucket(call, at),
            "time_bucket_gapfill" => self.time_bucket_gapfill(call, at),
            "locf" => self.fill(FillMethod::Locf, call, at),
            "interpolate" => self.fill(FillMethod::Interpolate, call, at),
            "coalesce" => {
                let mut parts = Vec::new();
                for argument in &call.arguments {
                    parts.push((self.bind(argument)?, argument.at));
                }
                if parts.is_empty() {
                    return Err(takes("coalesce", "one argument or more", at));
                }
                let (parts, kind) = unify(parts)?;
                Ok(Typed::new(Node::Coalesce(parts), kind))
            }
            name => {
                let ([argument], Some(function)) =
                    (call.arguments.as_slice(), Function::from_name(name))
                else {
                    return Err(takes(name, "one argument", at));
                };
                let argument = self.bind(argument)?;
                let kind = match argument.kind {
                    Type::Integer | Type::Unsigned if function.keeps_integers() => argument.kind,
                    Type::Integer | Type::Unsigned | Type::Float | Type::Null => Type::Float,
                    other => {
                        return Err(takes(name, &format!("a number, not {}", other.name()), at));
                    }
                };
                let argument = Box::new(cast(argument, kind, at)?);
                Ok(Typed::new(Node::Function(function, argument), kind))
            }
        }
    }
}

fn unknown_function(name: &str, at: SqlPosition) -> QueryError {
    let all = SCALARS.iter().chain(AggregateFunction::NAMES);
    let near = near(name, all.copied());
    if near.is_empty() {
        let (aggregates, scalars) = (AggregateFunction::NAMES.join(", "), SCALARS.join(", "));
        return QueryError::Unsupported {
            what: format!("function `{name}` is"),
            hint: format!("there are {aggregates}, {scalars}"),
            at,
        };
    }
    QueryError::UnknownName {
        kind: NameKind::Function,
        name: name.to_owned(),
        near,
        at,
    }
}

pub(super) fn takes(function: &str, what: &str, at: SqlPosition) -> QueryError {
    QueryError::meaning(at, format!("{function}() takes {what}"))
}

/// The type of that name, by our names and those of standard SQL.
pub(super) fn type_of_name(name: &str, at: SqlPosition) -> Result<Type, QueryError> {
    let plain = name.split('(').next().unwrap_or(name).trim();
    Ok(match plain {
        "float" | "double" | "double precision" | "real" | "float8" => Type::Float,
        "integer" | "int" | "bigint" | "int8" => Type::Integer,
        "unsigned" | "unsigned integer" | "bigint unsigned" => Type::Unsigned,
        "boolean" | "bool" => Type::Boolean,
        "string" | "text" | "varchar" => Type::String,
        "binary" | "bytea" | "blob" => Type::Binary,
        "time" | "timestamp" => Type::Time,
        _ => {
            let known = [
                "float", "integer", "unsigned", "boolean", "string", "binary", "time",
            ];
            return Err(QueryError::UnknownName {
                kind: NameKind::Type,
                name: name.to_owned(),
                near: near(plain, known),
                at,
            });
        }
    })
}

/// Converts an expression, if there is such a conversion.
pub(super) fn cast(inner: Typed, to: Type, at: SqlPosition) -> Result<Typed, QueryError> {
    if inner.kind == to {
        return Ok(inner);
    }
    if !can_cast(inner.kind, to) {
        let message = format!("{} cannot become {}", inner.kind.name(), to.name());
        return Err(QueryError::meaning(at, message));
    }
    Ok(Typed::new(Node::Cast(Box::new(inner)), to))
}

/// Alternatives of one value: all become the one type that fits them.
pub(super) fn unify(parts: Vec<(Typed, SqlPosition)>) -> Result<(Vec<Typed>, Type), QueryError> {
    let mut kind = Type::Null;
    for (part, at) in &parts {
        kind = match (kind, part.kind) {
            (Type::Null, other) | (other, Type::Null) => other,
            (a, b) if a == b => a,
            (a, b) if a.is_numeric() && b.is_numeric() => {
                if a == Type::Float || b == Type::Float {
                    Type::Float
                } else {
                    Type::Integer
                }
            }
            (a, b) => {
                let message = format!("cannot mix {} and {}", a.name(), b.name());
                return Err(QueryError::meaning(*at, message));
            }
        };
    }
    let parts = parts
        .into_iter()
        .map(|(part, at)| cast(part, kind, at))
        .collect::<Result<_, _>>()?;
    Ok((parts, kind))
}
