//! The key of a series: its tags, sorted by name.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use crate::catalog::keyed::HashSeed;
use crate::types::MeasurementId;

/// A tag: name and value.
pub type Tag = (Arc<str>, Arc<str>);

/// The tags of a series within its measurement, sorted by name, each name once.
#[derive(Clone, Copy, Debug)]
pub struct SeriesKey<'a> {
    /// The measurement.
    pub measurement: MeasurementId,
    /// The tags.
    pub tags: &'a [(&'a str, &'a str)],
}

impl SeriesKey<'_> {
    /// The hash under which the catalog keeps the series.
    pub(super) fn hash(&self, seed: HashSeed) -> u64 {
        let mut hasher = seed.build_hasher();
        self.measurement.hash(&mut hasher);
        for (name, value) in self.tags {
            name.hash(&mut hasher);
            value.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Whether these are the tags of a series.
    pub fn matches(&self, tags: &[Tag]) -> bool {
        self.tags.len() == tags.len()
            && self
                .tags
                .iter()
                .zip(tags)
                .all(|(a, b)| a.0 == &*b.0 && a.1 == &*b.1)
    }
}
