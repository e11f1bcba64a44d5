//! Names and the files behind them: as processes see them, and as the device holds them.
//!
//! A change of a name is durable when its folder was synced. Before that a power cut may take it back: with
//! everything after it, or alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::content::Content;
use super::random::Random;

/// A file, which may have several names or none.
pub(super) type Shared = Arc<Mutex<Content>>;

/// All names.
#[derive(Clone, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, Shared>,
    held: BTreeMap<String, Shared>,
    /// Changes that no sync of their folder has taken, in their order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Create(String, Shared),
    Remove(String),
    Rename(String, String, Shared),
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<&Shared> {
        self.seen.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Shared)> {
        self.seen.iter()
    }

    /// A name that is on the device at once.
    pub(super) fn put(&mut self, name: &str, file: Shared) {
        self.seen.insert(name.to_owned(), Arc::clone(&file));
        self.held.insert(name.to_owned(), file);
    }

    pub(super) fn create(&mut self, name: &str, file: Shared) {
        self.seen.insert(name.to_owned(), Arc::clone(&file));
        self.pending.push(Change::Create(name.to_owned(), file));
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Shared> {
        let gone = self.seen.remove(name)?;
        self.pending.push(Change::Remove(name.to_owned()));
        Some(gone)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(file) = self.seen.remove(from) else {
            return false;
        };
        self.seen.insert(to.to_owned(), Arc::clone(&file));
        let change = Change::Rename(from.to_owned(), to.to_owned(), file);
        self.pending.push(change);
        true
    }

    /// Makes the changes in a folder durable.
    pub(super) fn sync(&mut self, folder: &str) {
        for change in std::mem::take(&mut self.pending) {
            if change.touches(folder) {
                change.apply(&mut self.held);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// The names after a power cut.
    pub(super) fn after_cut(&self, random: &mut Random) -> BTreeMap<String, Shared> {
        let mut after = self.held.clone();
        let reached = random.below(self.pending.len() as u64 + 1) as usize;
        let in_order = random.below(2) == 0;
        for (index, change) in self.pending.iter().enumerate() {
            let kept = if in_order {
                index < reached
            } else {
                random.below(2) == 0
            };
            if kept {
                change.apply(&mut after);
            }
        }
        after
    }
}

impl Change {
    fn touches(&self, folder: &str) -> bool {
        let inside = |name: &str| name.rsplit_once('/').map_or("", |(above, _)| above) == folder;
        match self {
            Self::Create(name, _) | Self::Remove(name) => inside(name),
            Self::Rename(from, to, _) => inside(from) || inside(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, Shared>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), Arc::clone(file));
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), Arc::clone(file));
            }
        }
    }
}
