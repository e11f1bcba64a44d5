//! Locks and atomics of what threads share in the log, each use of which is a moment at which another thread may go on.
//!
//! They are those of `parking_lot` and of the standard library. With the feature `simulation` a test may decide
//! for the current thread who goes on: it installs what is called at each such moment, and where a lock is held.

#[cfg(any(test, feature = "simulation"))]
mod directed {
    use std::cell::Cell;
    use std::sync::atomic::{self, Ordering};

    use parking_lot::MutexGuard;

    /// What a test wants to be asked.
    #[derive(Clone, Copy, Debug)]
    pub struct Hooks {
        /// Another thread may go on.
        pub point: fn(),
        /// Another thread has to go on, as this one waits for it.
        pub wait: fn(),
    }

    thread_local! {
        static HOOKS: Cell<Option<Hooks>> = const { Cell::new(None) };
    }

    /// Installs hooks on this thread, or takes them out; returns those of before.
    pub fn install(hooks: Option<Hooks>) -> Option<Hooks> {
        HOOKS.replace(hooks)
    }

    /// Another thread may go on here.
    pub fn point() {
        if let Some(hooks) = HOOKS.get() {
            (hooks.point)();
        }
    }

    /// A lock.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        /// A lock around a value.
        pub const fn new(value: T) -> Self {
            Self(parking_lot::Mutex::new(value))
        }

        /// Waits until nobody else has it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let Some(hooks) = HOOKS.get() else {
                return self.0.lock();
            };
            (hooks.point)();
            loop {
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
                (hooks.wait)();
            }
        }
    }

    /// A number.
    #[derive(Debug, Default)]
    pub struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        /// One with a value.
        pub const fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        /// Its value.
        pub fn load(&self, order: Ordering) -> u64 {
            point();
            self.0.load(order)
        }

        /// Gives it another value.
        pub fn store(&self, value: u64, order: Ordering) {
            point();
            self.0.store(value, order);
        }
    }

    /// A flag.
    #[derive(Debug, Default)]
    pub struct AtomicBool(atomic::AtomicBool);

    impl AtomicBool {
        /// One with a value.
        pub const fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }

        /// Its value.
        pub fn load(&self, order: Ordering) -> bool {
            point();
            self.0.load(order)
        }

        /// Gives it another value.
        pub fn store(&self, value: bool, order: Ordering) {
            point();
            self.0.store(value, order);
        }
    }
}

#[cfg(any(test, feature = "simulation"))]
pub use directed::{AtomicBool, AtomicU64, Hooks, Mutex, install, point};

#[cfg(not(any(test, feature = "simulation")))]
pub use parking_lot::Mutex;
#[cfg(not(any(test, feature = "simulation")))]
pub use std::sync::atomic::{AtomicBool, AtomicU64};
