//! `time_bucket`, `time_bucket_gapfill`, and the functions that fill the gaps between buckets.

use crate::query::buckets::{Buckets, Width, zone};
use crate::query::error::{NameKind, QueryError, SqlPosition};
use crate::query::expr::{Node, Typed};
use crate::query::sql::ast::{Call, Expr, ExprKind};
use crate::query::sql::duration::{parse_interval, parse_time};
use crate::query::value::{Scalar, Type};
use crate::types::TimeRange;

use super::bind::Binder;
use super::functions::{cast, takes};
use super::{Fill, FillMethod, Input};

const GAPFILL: &str = "time_bucket_gapfill";
const USAGE: &str = "a width, a time and perhaps a time zone or an origin: \
                     time_bucket('1 day', time, 'Europe/Berlin')";

impl Binder<'_> {
    pub(super) fn time_bucket(
        &mut self,
        call: &Call,
        at: SqlPosition,
    ) -> Result<Typed, QueryError> {
        let name = call.function.as_str();
        let (width, time, third) = match call.arguments.as_slice() {
            [width, time] => (width, time, None),
            [width, time, third] => (width, time, Some(third)),
            _ => return Err(takes(name, USAGE, at)),
        };
        let parsed = self.width(width, name)?;
        let bound_time = self.bind(time)?;
        if bound_time.kind != Type::Time {
            return Err(takes(name, USAGE, time.at));
        }
        let buckets = match third {
            None => Buckets::aligned(parsed, None),
            Some(third) => self.aligned(parsed, third, name)?,
        };
        let node = Node::Bucket(buckets, Box::new(bound_time));
        Ok(Typed::new(node, Type::Time))
    }

    fn width(&mut self, written: &Expr, name: &str) -> Result<Width, QueryError> {
        let bound = self.bind(written)?;
        let width = match (bound.as_constant(), bound.kind) {
            (Some(Scalar::String(text)), _) => match Width::months(text) {
                Some(months) => months,
                None => Width::Nanoseconds(
                    parse_interval(text)
                        .map_err(|message| QueryError::meaning(written.at, message))?,
                ),
            },
            (Some(Scalar::Integer(ns)), Type::Interval) => Width::Nanoseconds(*ns),
            _ => return Err(takes(name, USAGE, written.at)),
        };
        if !width.is_positive() {
            let message = "the width of a bucket must be above zero";
            return Err(QueryError::meaning(written.at, message));
        }
        Ok(width)
    }

    /// By the third argument: an origin, or a time zone.
    fn aligned(&mut self, width: Width, third: &Expr, name: &str) -> Result<Buckets, QueryError> {
        let bound = self.bind(third)?;
        let origin = match (bound.as_constant(), bound.kind) {
            (Some(Scalar::Integer(ns)), Type::Time | Type::Integer) => *ns,
            (Some(Scalar::String(text)), _) => match parse_time(text) {
                Ok(origin) => origin,
                Err(message) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    return Err(QueryError::meaning(third.at, message));
                }
                Err(_) => {
                    let zone = zone(text).map_err(|near| QueryError::UnknownName {
                        kind: NameKind::TimeZone,
                        name: text.to_string(),
                        near,
                        at: third.at,
                    })?;
                    return Ok(Buckets::aligned(width, Some(zone)));
                }
            },
            _ => return Err(takes(name, USAGE, third.at)),
        };
        match width {
            Width::Nanoseconds(width_ns) => Ok(Buckets::Fixed { width_ns, origin }),
            Width::Months(_) => {
                let message = "months and years start on their first day: they take no origin";
                Err(QueryError::meaning(third.at, message))
            }
        }
    }

    /// A key of its own in `GROUP BY`, or an error.
    pub(super) fn time_bucket_gapfill(
        &mut self,
        call: &Call,
        at: SqlPosition,
    ) -> Result<Typed, QueryError> {
        if !self.in_keys {
            let message = format!("{GAPFILL}() must be a key of GROUP BY, and stand alone there");
            return Err(QueryError::meaning(at, message));
        }
        let bound = self.time_bucket(call, at)?;
        let of_time = matches!(&bound.node, Node::Bucket(_, time)
            if matches!(time.node, Node::Slot(slot)
                if self.names.inputs.get(slot) == Some(&Input::Time)));
        if !of_time {
            let message = format!("{GAPFILL}() fills gaps of `time` itself");
            return Err(QueryError::meaning(at, message));
        }
        Ok(bound)
    }

    /// `locf` and `interpolate`: expressions over groups, filled in over the gaps.
    pub(super) fn fill(
        &mut self,
        method: FillMethod,
        call: &Call,
        at: SqlPosition,
    ) -> Result<Typed, QueryError> {
        let name = call.function.as_str();
        let filling = self.groups.as_ref().is_some_and(|groups| groups.gapfill);
        if self.over_rows || !filling {
            let message = format!("{name}() fills the groups of {GAPFILL}(): GROUP BY has none");
            return Err(QueryError::meaning(at, message));
        }
        let [argument] = call.arguments.as_slice() else {
            return Err(takes(name, "one argument", at));
        };
        let mut input = self.bind(argument)?;
        let mut nested = false;
        input.visit_slots(&mut |slot| nested |= slot >= FILL_SLOTS);
        if nested {
            let message = "what is filled cannot be filled again: locf or interpolate, not both";
            return Err(QueryError::meaning(at, message));
        }
        if method == FillMethod::Interpolate {
            if !input.kind.is_numeric() && input.kind != Type::Null {
                let found = input.kind.name();
                return Err(takes(name, &format!("a number, not {found}"), argument.at));
            }
            input = cast(input, Type::Float, argument.at)?;
        }
        let kind = input.kind;
        let fill = Fill {
            method,
            input,
            kind,
        };
        let Some(groups) = &mut self.groups else {
            return Err(QueryError::meaning(at, "filling needs groups"));
        };
        let known = groups.fills.iter().position(|known| *known == fill);
        let index = known.unwrap_or(groups.fills.len());
        if known.is_none() {
            groups.fills.push(fill);
        }
        Ok(Typed::new(Node::Slot(FILL_SLOTS + index), kind))
    }
}

/// Slots of filled columns while it is not known how many aggregates stand before them.
pub(super) const FILL_SLOTS: usize = 1 << 30;

/// Whether a key fills gaps.
pub(super) fn fills_gaps(key: &Expr) -> bool {
    matches!(&key.kind, ExprKind::Call(call) if call.function == GAPFILL)
}

/// The range whose gaps are filled: both its ends must be known.
pub(super) fn gapfill_range(range: TimeRange, at: SqlPosition) -> Result<TimeRange, QueryError> {
    let missing = match (range.start == i64::MIN, range.end == i64::MAX) {
        (false, false) => return Ok(range),
        (true, false) => "a start: add `time >= ..`",
        (false, true) => "an end: add `time < ..`, perhaps `time < now()`",
        (true, true) => "a start and an end: add `time >= .. AND time < ..`",
    };
    let message = format!("{GAPFILL}() needs a range to fill, and WHERE lacks {missing}");
    Err(QueryError::meaning(at, message))
}
