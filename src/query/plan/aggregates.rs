//! Aggregates as they are called: their arguments, and the constants among them.

use crate::query::error::{QueryError, SqlPosition};
use crate::query::exec::aggregate::{Aggregate, AggregateFunction};
use crate::query::expr::{Node, Typed};
use crate::query::sql::ast::{Call, Expr};
use crate::query::sql::duration::parse_interval;
use crate::query::value::{Scalar, Type};

use super::bind::Binder;
use super::functions::takes;

const SECOND_NS: f64 = 1e9;

impl Binder<'_> {
    pub(super) fn aggregate(
        &mut self,
        function: AggregateFunction,
        call: &Call,
        at: SqlPosition,
    ) -> Result<Typed, QueryError> {
        let name = call.function.as_str();
        if self.over_rows {
            let message =
                format!("{name}() is an aggregate: not in WHERE, GROUP BY or another aggregate");
            return Err(QueryError::meaning(at, message));
        }
        let function = match (function, call.distinct) {
            (AggregateFunction::Count, true) => AggregateFunction::CountDistinct,
            (_, true) => {
                let message = format!("DISTINCT stands in count(distinct ..), not in {name}()");
                return Err(QueryError::meaning(at, message));
            }
            (function, false) => function,
        };
        let (argument, parameter) = match call.arguments.as_slice() {
            [] if call.star && function == AggregateFunction::Count => (None, 0.0),
            [argument] if !call.star && function != AggregateFunction::Percentile => {
                (Some(self.bind_over_rows(argument)?), SECOND_NS)
            }
            [argument, parameter] if !call.star => {
                let argument = self.bind_over_rows(argument)?;
                let parameter = self.parameter(function, name, parameter)?;
                (Some(argument), parameter)
            }
            _ => return Err(usage(function, name, at)),
        };
        let aggregate = Aggregate::new(function, argument, parameter)
            .map_err(|message| QueryError::meaning(at, message))?;
        let kind = aggregate.kind;
        let Some(groups) = &mut self.groups else {
            return Err(QueryError::meaning(at, "an aggregate needs groups"));
        };
        let known = groups.aggregates.iter().position(|a| *a == aggregate);
        let index = known.unwrap_or(groups.aggregates.len());
        if known.is_none() {
            groups.aggregates.push(aggregate);
        }
        Ok(Typed::new(Node::Slot(groups.keys.len() + index), kind))
    }

    fn bind_over_rows(&mut self, argument: &Expr) -> Result<Typed, QueryError> {
        self.over_rows = true;
        let bound = self.bind(argument);
        self.over_rows = false;
        bound
    }

    /// The constant behind the argument: a percentage, or the unit of a rate.
    fn parameter(
        &mut self,
        function: AggregateFunction,
        name: &str,
        written: &Expr,
    ) -> Result<f64, QueryError> {
        let bound = self.bind_over_rows(written)?;
        let wrong = || usage(function, name, written.at);
        match function {
            AggregateFunction::Percentile => {
                let percent = match bound.as_constant() {
                    Some(Scalar::Float(value)) => *value,
                    Some(Scalar::Integer(value)) => *value as f64,
                    _ => return Err(wrong()),
                };
                if (0.0..=100.0).contains(&percent) {
                    Ok(percent)
                } else {
                    Err(wrong())
                }
            }
            AggregateFunction::Rate
            | AggregateFunction::Derivative
            | AggregateFunction::Integral => {
                let unit_ns = match (bound.as_constant(), bound.kind) {
                    (Some(Scalar::String(text)), _) => parse_interval(text)
                        .map_err(|message| QueryError::meaning(written.at, message))?,
                    (Some(Scalar::Integer(ns)), Type::Interval) => *ns,
                    _ => return Err(wrong()),
                };
                if unit_ns > 0 {
                    Ok(unit_ns as f64)
                } else {
                    Err(wrong())
                }
            }
            _ => Err(wrong()),
        }
    }
}

fn usage(function: AggregateFunction, name: &str, at: SqlPosition) -> QueryError {
    let what = match function {
        AggregateFunction::Percentile => {
            "a number and a percentage from 0 to 100: percentile(x, 95)".to_owned()
        }
        AggregateFunction::Rate | AggregateFunction::Derivative | AggregateFunction::Integral => {
            format!("a number and perhaps the unit of time: {name}(x, '1 hour')")
        }
        _ => "one argument".to_owned(),
    };
    takes(name, &what, at)
}
