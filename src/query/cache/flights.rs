//! Queries that read the very same at the same time: one reads, the others wait for it and find what it has kept.
//!
//! Whoever waited looks at what is kept as everybody does, and reads for itself what is not there or does not hold.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::types::TimeRange;

/// What is read: parts of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlightKey {
    pub(crate) plan: u64,
    pub(crate) ranges: Vec<TimeRange>,
}

/// Those that are being read.
#[derive(Default)]
pub(super) struct Flights {
    running: Mutex<Vec<(FlightKey, Arc<Landing>)>>,
}

#[derive(Default)]
struct Landing {
    is_over: Mutex<bool>,
    wake: Condvar,
}

/// Ends when it is dropped: then nobody waits any more.
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    landing: Arc<Landing>,
}

/// How often somebody who waits asks whether it is still worth it.
const LOOK_UP_EVERY: Duration = Duration::from_millis(5);

impl Flights {
    /// `None` after somebody else's flight is over, or the caller has given up.
    pub(super) fn board(&self, key: FlightKey, given_up: &dyn Fn() -> bool) -> Option<Flight<'_>> {
        let landing = {
            let mut running = self.running.lock();
            let same = running.iter().find(|(known, _)| *known == key);
            let Some((_, landing)) = same else {
                let landing = Arc::new(Landing::default());
                running.push((key, Arc::clone(&landing)));
                return Some(Flight {
                    flights: self,
                    landing,
                });
            };
            Arc::clone(landing)
        };
        let mut is_over = landing.is_over.lock();
        while !*is_over && !given_up() {
            landing.wake.wait_for(&mut is_over, LOOK_UP_EVERY);
        }
        None
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut running = self.flights.running.lock();
        running.retain(|(_, landing)| !Arc::ptr_eq(landing, &self.landing));
        drop(running);
        *self.landing.is_over.lock() = true;
        self.landing.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(plan: u64) -> FlightKey {
        FlightKey {
            plan,
            ranges: vec![TimeRange { start: 0, end: 1 }],
        }
    }

    #[test]
    fn equal_ones_wait_and_others_do_not() {
        let flights = Flights::default();
        let first = flights.board(key(1), &|| false).expect("the first one");
        assert!(flights.board(key(2), &|| false).is_some());
        assert!(flights.board(key(1), &|| true).is_none(), "given up");
        let waiting = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        // Each asks again and again, and counts once.
                        let is_counted = Cell::new(false);
                        let ask = || {
                            if !is_counted.replace(true) {
                                waiting.fetch_add(1, Ordering::Relaxed);
                            }
                            false
                        };
                        flights.board(key(1), &ask).is_none()
                    })
                })
                .collect();
            while waiting.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
            drop(first);
            assert!(
                waiters
                    .into_iter()
                    .all(|waiter| waiter.join().expect("no panic"))
            );
        });
        assert!(flights.board(key(1), &|| false).is_some());
    }
}
