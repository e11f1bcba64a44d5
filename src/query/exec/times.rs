//! Where the time of a query goes, by operator: what passes between two marks belongs to the operator that makes the
//! second one.

use crate::query::context::QueryContext;

/// What a query spends time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// Series are chosen by their tags.
    Choose,
    /// Chunks are found and decoded, statistics and buckets read.
    Scan,
    /// Rows are left out by their values.
    Filter,
    /// What earlier queries have added up is found, checked and kept.
    Cache,
    /// Rows are added up in groups.
    Group,
    /// Rows are put in order: merged by time, or sorted.
    Order,
    /// Expressions of the answer are evaluated, and the answer handed over.
    Output,
}

/// All of them, and their names in `EXPLAIN ANALYZE`.
const OPERATORS: [(Operator, &str); 7] = [
    (Operator::Choose, "time choosing series"),
    (Operator::Scan, "time scanning"),
    (Operator::Filter, "time filtering"),
    (Operator::Cache, "time in the cache"),
    (Operator::Group, "time grouping"),
    (Operator::Order, "time ordering"),
    (Operator::Output, "time of the output"),
];

/// Nanoseconds by operator; of several threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorTimes {
    spent_ns: [u64; OPERATORS.len()],
    marked_ns: u64,
}

impl OperatorTimes {
    /// Begins to count.
    pub(super) fn begin(&mut self, context: &QueryContext<'_>) {
        if let Some(monotonic_ns) = context.monotonic_ns {
            self.marked_ns = monotonic_ns();
        }
    }

    /// What has passed since the last mark belongs to this one.
    pub(super) fn mark(&mut self, context: &QueryContext<'_>, operator: Operator) {
        if let Some(monotonic_ns) = context.monotonic_ns {
            let now_ns = monotonic_ns();
            self.spent_ns[operator as usize] += now_ns.saturating_sub(self.marked_ns);
            self.marked_ns = now_ns;
        }
    }

    /// Adds what another thread has spent.
    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.spent_ns.iter_mut().zip(other.spent_ns) {
            *own += other;
        }
    }

    /// Name and milliseconds of those that have spent time; of none where time was not taken.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (String, String)> {
        let spent = OPERATORS.iter().zip(self.spent_ns);
        let spent = spent.filter(|(_, spent_ns)| *spent_ns > 0);
        spent.map(|((_, name), spent_ns)| {
            let ms = spent_ns as f64 / 1e6;
            ((*name).to_owned(), format!("{ms:.3} ms"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_stand_at_their_numbers() {
        for (place, (operator, _)) in OPERATORS.iter().enumerate() {
            assert_eq!(*operator as usize, place);
        }
    }
}
