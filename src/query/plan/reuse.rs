//! Which plans may find again what earlier ones have added up, and what a plan is known by.
//!
//! The text of a plan names all that decides what a bucket's groups hold: the measurement, columns, conditions, keys
//! and aggregates as they were resolved, constants in full. What comes behind groups (`HAVING`, order, limit, filled
//! gaps) and the range of time are no part of it.

use std::sync::Arc;

use super::{Grouping, SelectPlan};

/// Whether buckets of a plan are kept.
#[derive(Clone, Debug)]
pub(crate) enum Reuse {
    /// Under this text. Ends of a range that moves with `now()` are not worth it.
    Kept { text: Arc<str>, moves: bool },
    /// Not, and why.
    Never(&'static str),
}

impl SelectPlan {
    /// What is kept of this plan.
    pub(super) fn reusable(&self, by_tags: bool, moves: bool) -> Reuse {
        let Some(grouping) = &self.grouping else {
            return Reuse::Never("rows are not kept, only groups");
        };
        let steps = |grouping: &Grouping| {
            let mut functions = grouping.aggregates.iter().map(|a| a.function);
            functions.any(crate::query::exec::aggregate::AggregateFunction::is_of_steps)
        };
        if steps(grouping) {
            return Reuse::Never("steps reach from one bucket into the next");
        }
        if !by_tags {
            return Reuse::Never("a key of GROUP BY reads rows");
        }
        if self.ends_early || self.nearest.is_some() {
            return Reuse::Never("as few rows are read as the answer needs");
        }
        let Self {
            measurement,
            scan,
            series_filter,
            row_filter,
            inputs,
            ..
        } = self;
        let Grouping {
            keys,
            bucket,
            aggregates,
            ..
        } = grouping;
        let columns = &scan.columns;
        let text = format!(
            "{measurement:?} {columns:?} {inputs:?} {series_filter:?} {row_filter:?} {keys:?} {bucket:?} {aggregates:?}"
        );
        Reuse::Kept {
            text: text.into(),
            moves,
        }
    }
}
