//! A part of the time of a grouped query, added up: what is kept of one query for the next.

use parking_lot::Mutex;

use super::group::Taken;
use super::state::State;
use crate::engine::Versions;
use crate::types::{TimeRange, Timestamp};

/// The groups of some series in a part of time, and what tells whether they still hold.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(super) range: TimeRange,
    /// Partition, and start of the bucket.
    groups: Box<[(u32, i64)]>,
    /// As many as there are aggregates for each group.
    states: Box<[State]>,
    /// The part holds for all that happened up to these.
    versions: Mutex<Versions>,
    /// Series, by their places, that had no row at the end of the range or behind it, and the times of their newest.
    pub(super) open: Box<[(u32, Timestamp)]>,
}

impl Finished {
    pub(super) fn new(
        range: TimeRange,
        taken: Taken,
        versions: Versions,
        open: Vec<(u32, Timestamp)>,
    ) -> Self {
        Self {
            range,
            groups: taken.groups.into(),
            states: taken.states.into(),
            versions: Mutex::new(versions),
            open: open.into(),
        }
    }

    /// The same part once every series has a row behind it, which nobody else has to look at any more.
    pub(super) fn closed(&self) -> Self {
        Self {
            range: self.range,
            groups: self.groups.clone(),
            states: self.states.clone(),
            versions: Mutex::new(self.versions()),
            open: Box::default(),
        }
    }

    /// Up to where it is known to hold.
    pub(super) fn versions(&self) -> Versions {
        self.versions.lock().clone()
    }

    /// Whether it is known to hold for exactly these.
    pub(super) fn is_of(&self, versions: &Versions) -> bool {
        *self.versions.lock() == *versions
    }

    /// It is known to hold up to these, too.
    pub(super) fn holds_up_to(&self, versions: &Versions) {
        let mut known = self.versions.lock();
        *known = known.later(versions);
    }

    /// Each group with its states.
    pub(super) fn groups(&self) -> impl Iterator<Item = ((u32, i64), &[State])> {
        let aggregates = self.states.len().checked_div(self.groups.len());
        let aggregates = aggregates.unwrap_or(0);
        let groups = self.groups.iter().enumerate();
        groups.map(move |(index, &group)| {
            let first = index * aggregates;
            (group, &self.states[first..first + aggregates])
        })
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight_bytes(&self) -> usize {
        let states: usize = self.states.iter().map(State::heap_bytes).sum();
        size_of::<Self>()
            + size_of_val(&*self.groups)
            + size_of_val(&*self.states)
            + size_of_val(&*self.open)
            + self.versions.lock().memory_bytes()
            + states
    }
}
