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
    Median,
    Percentile,
    Mode,
    CountDistinct,
    Increase,
    Rate,
    Delta,
    Derivative,
    Integral,
    TimeWeightedAvg,
}

impl AggregateFunction {
    /// All names, for error messages.
    pub(crate) const NAMES: &[&str] = &[
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "first",
        "last",
        "spread",
        "stddev",
        "variance",
        "median",
        "percentile",
        "mode",
        "increase",
        "rate",
        "delta",
        "derivative",
        "integral",
        "time_weighted_avg",
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
            "median" => Self::Median,
            "percentile" => Self::Percentile,
            "mode" => Self::Mode,
            "increase" => Self::Increase,
            "rate" => Self::Rate,
            "delta" => Self::Delta,
            "derivative" => Self::Derivative,
            "integral" => Self::Integral,
            "time_weighted_avg" => Self::TimeWeightedAvg,
            _ => return None,
        })
    }

    /// Whether it looks at the steps from one row of a series to the next.
    pub(crate) const fn is_of_steps(self) -> bool {
        matches!(
            self,
            Self::Increase
                | Self::Rate
                | Self::Delta
                | Self::Derivative
                | Self::Integral
                | Self::TimeWeightedAvg
        )
    }
}

/// An aggregate of a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) function: AggregateFunction,
    /// Over rows; none for `count(*)`.
    pub(crate) argument: Option<Typed>,
    /// The percentage of `percentile`; nanoseconds of the unit that `rate`, `derivative` and `integral` count in.
    pub(crate) parameter: f64,
    /// The type of the result.
    pub(crate) kind: Type,
}

impl Aggregate {
    /// The error says what the function takes.
    pub(crate) fn new(
        function: AggregateFunction,
        argument: Option<Typed>,
        parameter: f64,
    ) -> Result<Self, String> {
        let input = argument.as_ref().map_or(Type::Null, |typed| typed.kind);
        let numeric = input.is_numeric() || input == Type::Null;
        let kind = match function {
            AggregateFunction::Count | AggregateFunction::CountDistinct => Type::Integer,
            AggregateFunction::Sum | AggregateFunction::Spread
                if numeric || input == Type::Interval =>
            {
                input
            }
            AggregateFunction::Avg
            | AggregateFunction::Stddev
            | AggregateFunction::Variance
            | AggregateFunction::Median
            | AggregateFunction::Percentile
                if numeric || input == Type::Interval =>
            {
                Type::Float
            }
            AggregateFunction::Rate
            | AggregateFunction::Derivative
            | AggregateFunction::Integral
            | AggregateFunction::TimeWeightedAvg
                if numeric =>
            {
                Type::Float
            }
            AggregateFunction::Delta if input == Type::Unsigned => Type::Integer,
            AggregateFunction::Increase | AggregateFunction::Delta if numeric => input,
            AggregateFunction::Spread if input == Type::Time => Type::Interval,
            AggregateFunction::Min
            | AggregateFunction::Max
            | AggregateFunction::First
            | AggregateFunction::Last
            | AggregateFunction::Mode => input,
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
            parameter,
            kind,
        })
    }
}
