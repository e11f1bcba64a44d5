//! Aggregate functions: which there are, and the types they take and give.

use crate::query::expr::Typed;
use crate::query::value::Type;

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Spread,
    Stddev,
    Variance,
}

impl AggregateFunction {
    /// All names, for error messages.
    pub(crate) const NAMES: &[&str] = &[
        "count", "sum", "avg", "min", "max", "first", "last", "spread", "stddev", "variance",
    ];

    /// The function of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "count" => Self::Count,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "first" => Self::First,
            "last" => Self::Last,
            "spread" => Self::Spread,
            "stddev" => Self::Stddev,
            "variance" => Self::Variance,
            _ => return None,
        })
    }
}

/// An aggregate of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    /// Over rows; none for `count(*)`.
    pub(crate) argument: Option<Typed>,
    /// The type of the result.
    pub(crate) kind: Type,
}

impl Aggregate {
    /// The error says what the function takes.
    pub(crate) fn new(
        function: AggregateFunction,
        argument: Option<Typed>,
    ) -> Result<Self, String> {
        let input = argument.as_ref().map_or(Type::Null, |typed| typed.kind);
        let numeric = input.is_numeric() || input == Type::Null;
        let kind = match function {
            AggregateFunction::Count => Type::Integer,
            AggregateFunction::Sum | AggregateFunction::Spread
                if numeric || input == Type::Interval =>
            {
                input
            }
            AggregateFunction::Avg | AggregateFunction::Stddev | AggregateFunction::Variance
                if numeric || input == Type::Interval =>
            {
                Type::Float
            }
            AggregateFunction::Spread if input == Type::Time => Type::Interval,
            AggregateFunction::Min
            | AggregateFunction::Max
            | AggregateFunction::First
            | AggregateFunction::Last => input,
            _ => {
                return Err(format!(
                    "this aggregate takes numbers, not {}",
                    input.name()
                ));
            }
        };
        Ok(Self {
            function,
            argument,
            kind,
        })
    }
}
