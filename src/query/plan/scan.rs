//! How the series of a plan are scanned: in which order, how far, and where statistics are enough.

use std::sync::Arc;

use super::predicate::all;
use super::{Grouping, Input, Nearest, SelectPlan, SortKey};
use crate::query::exec::aggregate::{Aggregate, AggregateFunction};
use crate::query::expr::{Node, Typed};
use crate::query::source::{Buckets, Condition, LaneValue, Needs, ScanRequest, SummaryRequest};
use crate::query::sql::ast::BinaryOperator;
use crate::query::value::{Scalar, Type};
use crate::types::{ColumnId, TimeRange};

/// What of a query decides how its series are scanned.
pub(super) struct Shape<'a> {
    pub(super) range: TimeRange,
    pub(super) rows: Vec<Typed>,
    pub(super) inputs: &'a [Input],
    pub(super) columns: Vec<ColumnId>,
    pub(super) grouping: Option<&'a Grouping>,
    pub(super) order: &'a [SortKey],
    /// Limit and offset together.
    pub(super) rows_max: Option<u64>,
}

/// The request, the filter of rows, and whether a series is done once every aggregate has a value.
pub(super) struct Scanning {
    pub(super) request: ScanRequest,
    pub(super) row_filter: Option<Typed>,
    pub(super) ends_early: bool,
    pub(super) nearest: Option<Nearest>,
    /// Whether all keys but the bucket are the same in all rows of a series.
    pub(super) by_tags: bool,
}

impl Shape<'_> {
    pub(super) fn scanning(self) -> Scanning {
        let conditions: Arc<[Condition]> = self
            .rows
            .iter()
            .filter_map(|row| self.condition(row))
            .collect();
        let edge = self.grouping.and_then(|grouping| self.edge(grouping));
        let summaries = self.grouping.and_then(|grouping| self.summaries(grouping));
        let nearest = self.grouping.and_then(|grouping| self.nearest(grouping));
        let newest_first = match self.grouping {
            Some(_) => {
                edge == Some(Edge::Newest) || nearest.is_some_and(|nearest| nearest.newest_first)
            }
            None => self.order_by_time() == Some(true),
        };
        let streamed = self.grouping.is_none() && self.order_by_time().is_some();
        let by_tags = self.grouping.is_some_and(|g| self.keyed_by_tags(g));
        Scanning {
            request: ScanRequest {
                range: self.range,
                newest_first,
                rows_max: self.rows_max.filter(|_| streamed && self.rows.is_empty()),
                conditions,
                summaries,
                columns: self.columns.into(),
            },
            by_tags,
            row_filter: all(self.rows),
            ends_early: edge.is_some(),
            nearest,
        }
    }

    /// The buckets that a limit leaves, where groups leave in the order of their buckets.
    fn nearest(&self, grouping: &Grouping) -> Option<Nearest> {
        let (bucket, _) = grouping.bucket.as_ref()?;
        let newest_first = match self.order {
            [] if *bucket == 0 => false,
            [first, ..] if first.expr.node == Node::Slot(*bucket) => first.descending,
            _ => return None,
        };
        let chosen_later = grouping.having.is_some() || grouping.gapfill.is_some();
        let mut functions = grouping.aggregates.iter().map(|a| a.function);
        // Steps lead to and from rows of other buckets.
        if chosen_later || functions.any(AggregateFunction::is_of_steps) {
            return None;
        }
        Some(Nearest {
            newest_first,
            buckets: usize::try_from(self.rows_max?).ok()?,
        })
    }

    fn is_time(&self, expr: &Typed) -> bool {
        matches!(expr.node, Node::Slot(slot) if self.inputs.get(slot) == Some(&Input::Time))
    }

    fn column_of(&self, expr: &Typed) -> Option<usize> {
        match expr.node {
            Node::Slot(slot) => match self.inputs.get(slot) {
                Some(Input::Column(index)) => Some(*index),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether rows leave in the order of time, and if so, whether the newest come first.
    fn order_by_time(&self) -> Option<bool> {
        match self.order {
            [] => Some(false),
            [key] if self.is_time(&key.expr) => Some(key.descending),
            _ => None,
        }
    }

    /// Whether all keys but the bucket are the same in all rows of a series.
    fn keyed_by_tags(&self, grouping: &Grouping) -> bool {
        let mut by_tags = true;
        for (index, key) in grouping.keys.iter().enumerate() {
            let bucket = grouping.bucket.as_ref();
            if bucket.is_none_or(|(bucket, _)| *bucket != index) {
                key.visit_slots(&mut |slot| {
                    by_tags &= matches!(self.inputs.get(slot), Some(Input::Tag(_)));
                });
            }
        }
        by_tags
    }

    /// Which end of a series holds all that the aggregates ask for.
    fn edge(&self, grouping: &Grouping) -> Option<Edge> {
        if grouping.bucket.is_some() || !self.keyed_by_tags(grouping) {
            return None;
        }
        let mut edges = grouping.aggregates.iter().map(|aggregate| {
            let argument = aggregate.argument.as_ref()?;
            let time = self.is_time(argument);
            if !time && self.column_of(argument).is_none() {
                return None;
            }
            match aggregate.function {
                AggregateFunction::First => Some(Edge::Oldest),
                AggregateFunction::Last => Some(Edge::Newest),
                AggregateFunction::Min if time => Some(Edge::Oldest),
                AggregateFunction::Max if time => Some(Edge::Newest),
                _ => None,
            }
        });
        let first = edges.next()??;
        edges.all(|edge| edge == Some(first)).then_some(first)
    }

    /// Whether, and which, statistics of chunks can stand for their rows.
    fn summaries(&self, grouping: &Grouping) -> Option<SummaryRequest> {
        if !self.rows.is_empty() || !self.keyed_by_tags(grouping) {
            return None;
        }
        let mut needs = vec![Needs::default(); self.columns.len()];
        let of_moments = |aggregate: &Aggregate| {
            matches!(
                aggregate.function,
                AggregateFunction::Stddev | AggregateFunction::Variance
            )
        };
        for aggregate in &grouping.aggregates {
            self.add_needs(aggregate, &mut needs)?;
        }
        let of_times = |aggregate: &Aggregate| {
            let argument = aggregate.argument.as_ref();
            argument.is_some_and(|argument| self.is_time(argument))
        };
        Some(SummaryRequest {
            buckets: match &grouping.bucket {
                Some((_, buckets)) => buckets.clone(),
                None => Buckets::One,
            },
            needs: needs.into(),
            moments: grouping.aggregates.iter().any(of_moments),
            times: grouping.aggregates.iter().any(of_times),
        })
    }

    /// `None` where statistics do not answer the aggregate.
    fn add_needs(&self, aggregate: &Aggregate, needs: &mut [Needs]) -> Option<()> {
        let Some(argument) = &aggregate.argument else {
            return Some(());
        };
        let mut asked = Needs::default();
        match aggregate.function {
            AggregateFunction::Count => {}
            // Nothing knows those of times.
            AggregateFunction::Stddev | AggregateFunction::Variance if !self.is_time(argument) => {}
            AggregateFunction::Sum | AggregateFunction::Avg => asked.sum = true,
            AggregateFunction::First | AggregateFunction::Last => asked.edges = true,
            AggregateFunction::Min | AggregateFunction::Max | AggregateFunction::Spread => {
                asked.range = true;
            }
            _ => return None,
        }
        if self.is_time(argument) {
            return Some(());
        }
        let needs = needs.get_mut(self.column_of(argument)?)?;
        needs.sum |= asked.sum;
        needs.edges |= asked.edges;
        needs.range |= asked.range;
        Some(())
    }

    /// What statistics can say about a filter, if anything.
    fn condition(&self, expr: &Typed) -> Option<Condition> {
        match &expr.node {
            Node::And(parts) => {
                let parts: Vec<_> = parts.iter().filter_map(|p| self.condition(p)).collect();
                (!parts.is_empty()).then_some(Condition::All(parts))
            }
            Node::Or(parts) => {
                let parts: Option<_> = parts.iter().map(|part| self.condition(part)).collect();
                Some(Condition::Any(parts?))
            }
            Node::Compare(operator, left, right) => {
                let (lanes, operator, constant) = match (left.as_constant(), right.as_constant()) {
                    (None, Some(constant)) => (self.lanes(left)?, *operator, constant),
                    (Some(constant), None) => (self.lanes(right)?, operator.flipped(), constant),
                    _ => return None,
                };
                let comparable = matches!(
                    constant,
                    Scalar::Float(_)
                        | Scalar::Integer(_)
                        | Scalar::Unsigned(_)
                        | Scalar::Boolean(_)
                );
                comparable.then(|| Condition::Compare(lanes, operator, constant.clone()))
            }
            Node::IsNull(inner, true) => Some(Condition::Present(self.lanes(inner)?)),
            Node::Slot(_) => {
                let lanes = self.lanes(expr)?;
                let yes = Scalar::Boolean(true);
                Some(Condition::Compare(lanes, BinaryOperator::Equal, yes))
            }
            _ => None,
        }
    }

    /// The lanes of a field, as its plain name reads them.
    fn lanes(&self, expr: &Typed) -> Option<Vec<LaneValue>> {
        let lane = |expr: &Typed, kind| {
            let column = *self.columns.get(self.column_of(expr)?)?;
            Some(vec![LaneValue { column, kind }])
        };
        match &expr.node {
            Node::Slot(_) => lane(expr, expr.kind),
            Node::Cast(inner) => match (inner.kind, expr.kind) {
                (Type::Integer | Type::Unsigned, Type::Float) | (Type::Unsigned, Type::Integer) => {
                    lane(inner, expr.kind)
                }
                _ => None,
            },
            Node::Coalesce(parts) => {
                let parts: Option<Vec<_>> = parts.iter().map(|part| self.lanes(part)).collect();
                Some(parts?.concat())
            }
            _ => None,
        }
    }
}

/// An end of a series.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Oldest,
    Newest,
}

impl SelectPlan {
    /// Whether rows come in the order of a merge by time, so that nothing has to be kept.
    pub(crate) fn is_streamed(&self) -> bool {
        let by_time = match self.order.as_slice() {
            [] => true,
            [key] => {
                matches!(key.expr.node, Node::Slot(slot)
                    if self.inputs.get(slot) == Some(&Input::Time))
            }
            _ => false,
        };
        self.grouping.is_none() && by_time
    }
}
