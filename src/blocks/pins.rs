//! Readers that hold entries of files which are about to be removed.
//!
//! A pin remembers the generation (number of commits) at which it was taken. A file that became obsolete
//! at a later generation is unlinked only when no such pin is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts the pins of each generation.
#[derive(Debug, Default)]
pub(super) struct Pins {
    held: Mutex<Held>,
}

/// What the lock guards.
#[derive(Debug, Default)]
struct Held {
    generation: u64,
    pins: BTreeMap<u64, usize>,
}

/// While it lives, chunks that were alive when it was taken can be read. Cheap; hold it for one query.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    generation: u64,
}

impl Pins {
    pub(super) fn pin(self: &Arc<Self>) -> Pin {
        let mut held = self.held.lock();
        let generation = held.generation;
        *held.pins.entry(generation).or_default() += 1;
        Pin {
            pins: Arc::clone(self),
            generation,
        }
    }

    /// Begins a generation; returns its number. Pins from now on do not hold what is obsolete by now.
    pub(super) fn advance(&self) -> u64 {
        let mut held = self.held.lock();
        held.generation += 1;
        held.generation
    }

    /// Whether nobody reads what became obsolete at this generation.
    pub(super) fn is_free(&self, generation: u64) -> bool {
        let held = self.held.lock();
        held.pins
            .first_key_value()
            .is_none_or(|(oldest, _)| *oldest >= generation)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held.lock();
        if let Some(count) = held.pins.get_mut(&self.generation) {
            *count -= 1;
            if *count == 0 {
                held.pins.remove(&self.generation);
            }
        }
    }
}
