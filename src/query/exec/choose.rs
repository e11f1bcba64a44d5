//! The series that a condition on tags chooses: by sets of series, as far as each part of it asks for one tag.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::catalog::{TagFilter, TagTest};
use crate::query::error::QueryError;
use crate::query::expr::vector::{Frame, Slot};
use crate::query::expr::{Node, Typed, evaluate};
use crate::query::plan::{DeletePlan, Input, SelectPlan};
use crate::query::source::{SeriesChoice, SeriesInfo, Source};
use crate::query::sql::ast::BinaryOperator;
use crate::query::value::Scalar;
use crate::types::MeasurementId;

use super::rows::tags_of;

/// A condition on the tags of a measurement's series.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    pub(super) database: &'a str,
    pub(super) measurement: MeasurementId,
    /// `None`: every series.
    pub(super) filter: Option<&'a Typed>,
    /// What the slots of the filter are.
    pub(super) inputs: &'a [Input],
}

impl<'a> Condition<'a> {
    /// The one of a `SELECT`.
    pub(super) fn of_select(plan: &'a SelectPlan) -> Self {
        Self {
            database: &plan.database,
            measurement: plan.measurement,
            filter: plan.series_filter.as_ref(),
            inputs: &plan.inputs,
        }
    }

    /// The one of a `DELETE`.
    pub(super) fn of_delete(plan: &'a DeletePlan) -> Self {
        Self {
            database: &plan.database,
            measurement: plan.measurement,
            filter: plan.series_filter.as_ref(),
            inputs: &plan.inputs,
        }
    }
}

/// The series that a `SELECT` reads, in the order of their tags.
pub(super) fn series_of(
    source: &dyn Source,
    plan: &SelectPlan,
) -> Result<Vec<SeriesInfo>, QueryError> {
    if plan.scan.range.is_empty() {
        return Ok(Vec::new());
    }
    choose_series(source, Condition::of_select(plan))
}

/// The chosen series, in the order of their tags.
pub(super) fn choose_series(
    source: &dyn Source,
    condition: Condition<'_>,
) -> Result<Vec<SeriesInfo>, QueryError> {
    let failure = RefCell::new(None);
    let accept = |conditions: &[&Typed], info: &SeriesInfo| {
        let tags = tags_of(condition.inputs, info);
        conditions.iter().all(|part| match holds(part, &tags) {
            Ok(held) => held == Some(true),
            Err(error) => {
                failure.borrow_mut().get_or_insert(error);
                false
            }
        })
    };
    let all: Vec<&Typed> = condition.filter.into_iter().collect();
    let whole = |info: &SeriesInfo| accept(&all, info);
    let failed = Cell::new(false);
    let (by_tags, rest) = split(condition, &failed);
    let accept_rest = |info: &SeriesInfo| accept(&rest, info);
    let choice = SeriesChoice {
        whole: &whole,
        by_tags: TagFilter::All(by_tags),
        rest: (!rest.is_empty()).then_some(&accept_rest),
    };
    let mut series = source.choose(condition.database, condition.measurement, choice)?;
    if failed.get() {
        // A value makes a part of the condition fail: whether any series gets there, a walk over all tells.
        series = source.series(condition.database, condition.measurement, &whole)?;
    }
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    series.sort_by(|a, b| a.tags.cmp(&b.tags));
    Ok(series)
}

/// How the series are chosen, for `EXPLAIN`.
pub(super) fn describe(plan: &SelectPlan) -> &'static str {
    let failed = Cell::new(false);
    let (by_tags, rest) = split(Condition::of_select(plan), &failed);
    match (by_tags.is_empty(), rest.is_empty()) {
        (true, true) => "all of the measurement",
        (true, false) => "a look at each",
        (false, true) => "the index of tags",
        (false, false) => "the index of tags, then a look at each",
    }
}

/// The parts of the condition that sets answer, and the others.
fn split<'a>(
    condition: Condition<'a>,
    failed: &'a Cell<bool>,
) -> (Vec<TagFilter<'a>>, Vec<&'a Typed>) {
    let parts = match condition.filter {
        None => &[],
        Some(Typed {
            node: Node::And(parts),
            ..
        }) => &parts[..],
        Some(one) => std::slice::from_ref(one),
    };
    let (mut by_tags, mut rest) = (Vec::new(), Vec::new());
    for part in parts {
        match filter_of(part, condition.inputs, failed) {
            Some(filter) => by_tags.push(filter),
            None => rest.push(part),
        }
    }
    (by_tags, rest)
}

/// The condition as one on sets; `None` where a part of it reads two tags, or none.
fn filter_of<'a>(
    expr: &'a Typed,
    inputs: &'a [Input],
    failed: &'a Cell<bool>,
) -> Option<TagFilter<'a>> {
    let all = |parts: &'a [Typed]| -> Option<Vec<TagFilter<'a>>> {
        let parts = parts.iter();
        parts.map(|part| filter_of(part, inputs, failed)).collect()
    };
    match &expr.node {
        Node::And(parts) => Some(TagFilter::All(all(parts)?)),
        Node::Or(parts) => Some(TagFilter::Any(all(parts)?)),
        Node::Not(inner) => Some(TagFilter::Not(Box::new(filter_of(inner, inputs, failed)?))),
        Node::Compare(BinaryOperator::Equal, left, right) => {
            let is = equality(left, right, inputs).or_else(|| equality(right, left, inputs));
            is.or_else(|| test_of(expr, inputs, failed))
        }
        _ => test_of(expr, inputs, failed),
    }
}

/// A tag and the value that it is compared with.
fn equality<'a>(tag: &Typed, value: &'a Typed, inputs: &'a [Input]) -> Option<TagFilter<'a>> {
    let Node::Slot(slot) = tag.node else {
        return None;
    };
    match (inputs.get(slot)?, value.as_constant()?) {
        (Input::Tag(name), Scalar::String(value)) => Some(TagFilter::Is(name, value)),
        _ => None,
    }
}

/// A condition on one tag, to be asked for each of its values.
fn test_of<'a>(
    expr: &'a Typed,
    inputs: &'a [Input],
    failed: &'a Cell<bool>,
) -> Option<TagFilter<'a>> {
    let mut slots: Vec<usize> = Vec::new();
    expr.visit_slots(&mut |slot| slots.push(slot));
    let slot = *slots.first()?;
    let Input::Tag(name) = inputs.get(slot)? else {
        return None;
    };
    if slots.iter().any(|&other| other != slot) {
        return None;
    }
    let test = move |value: Option<&Arc<str>>| {
        let mut tags = vec![Scalar::Null; inputs.len()];
        if let Some(value) = value {
            tags[slot] = Scalar::String(Arc::clone(value));
        }
        holds(expr, &tags).unwrap_or_else(|_| {
            failed.set(true);
            None
        })
    };
    Some(TagFilter::Test(name, TagTest::new(test)))
}

/// Whether a condition is true, false or unknown for a series with these tags.
fn holds(condition: &Typed, tags: &[Scalar]) -> Result<Option<bool>, QueryError> {
    let frame = Frame {
        rows: 1,
        slots: tags.iter().map(Slot::Constant).collect(),
    };
    let value = evaluate(condition, &frame)?;
    Ok(match value.scalar(0) {
        Scalar::Boolean(held) => Some(held),
        _ => None,
    })
}
