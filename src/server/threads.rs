//! Threads for parts of a query.

use std::thread;

use crate::query::{Executor, Job};

/// Starts a thread for each part but the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryThreads;

impl Executor for QueryThreads {
    fn run_all(&self, jobs: &mut [Job<'_>]) {
        let Some((first, others)) = jobs.split_first_mut() else {
            return;
        };
        thread::scope(|scope| {
            for job in others {
                let builder = thread::Builder::new().name("query".to_owned());
                // A part that no thread can be had for is left undone, and done by the query afterwards.
                let _ = builder.spawn_scoped(scope, job);
            }
            first();
        });
    }
}
