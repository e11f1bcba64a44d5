//! Threads that queries may have beside their own: so many for all of them together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A part of a query's work, done once.
pub type Job<'j> = &'j mut (dyn FnMut() + Send);

/// Runs parts of a query.
pub trait Executor: Send + Sync {
    /// Does all of them at once, the first one on this thread, and returns when all are done. Others may be left undone.
    fn run_all(&self, jobs: &mut [Job<'_>]);
}

/// The threads that are free.
pub struct QueryWorkers {
    executor: Box<dyn Executor>,
    free: AtomicUsize,
    series_min: usize,
}

/// Fewer series are not worth a thread.
const SERIES_MIN: usize = 64;

/// Threads that a query may start; free again when this is dropped.
pub(crate) struct Helpers<'a> {
    of: &'a QueryWorkers,
    count: usize,
}

impl std::fmt::Debug for QueryWorkers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryWorkers")
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

impl QueryWorkers {
    /// So many threads beside those that queries run on.
    #[must_use]
    pub fn new(threads: usize, executor: impl Executor + 'static) -> Self {
        Self {
            executor: Box::new(executor),
            free: AtomicUsize::new(threads),
            series_min: SERIES_MIN,
        }
    }

    /// The same, where so many series are worth a thread.
    #[must_use]
    pub fn with_series_min(self, series_min: usize) -> Self {
        Self { series_min, ..self }
    }

    /// As many as are free and worth it for so many series.
    pub(crate) fn take_for(&self, series: usize) -> Helpers<'_> {
        let wanted = (series / self.series_min.max(1)).saturating_sub(1);
        let rest = |free: usize| Some(free - free.min(wanted));
        let before = self
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        let count = before.unwrap_or(0).min(wanted);
        Helpers { of: self, count }
    }
}

impl Helpers<'_> {
    /// How many.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Does as many jobs at once as there are helpers, and one.
    pub(crate) fn run_all(&self, jobs: &mut [Job<'_>]) {
        self.of.executor.run_all(jobs);
    }
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        self.of.free.fetch_add(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Executor for Nobody {
        fn run_all(&self, _: &mut [Job<'_>]) {}
    }

    #[test]
    fn no_more_are_taken_than_are_free_and_all_come_back() {
        let workers = QueryWorkers::new(3, Nobody).with_series_min(10);
        assert_eq!(workers.take_for(19).count(), 0);
        let two = workers.take_for(39);
        let one = workers.take_for(30);
        let none = workers.take_for(30);
        assert_eq!((two.count(), one.count(), none.count()), (2, 1, 0));
        drop(two);
        assert_eq!(workers.take_for(1_000).count(), 2);
        drop((one, none));
        assert_eq!(workers.take_for(1_000).count(), 3);
    }
}
