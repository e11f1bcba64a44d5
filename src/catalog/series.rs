//! The key of a series: its tags, sorted by name.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;

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
    pub fn hash(&self) -> u64 {
        hash(self.measurement, self.tags.iter().copied())
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

/// The hash of stored tags; equal to [`SeriesKey::hash`] of the same.
pub fn hash_tags(measurement: MeasurementId, tags: &[Tag]) -> u64 {
    hash(measurement, tags.iter().map(|(k, v)| (&**k, &**v)))
}

fn hash<'a>(measurement: MeasurementId, tags: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = FxHasher::default();
    measurement.hash(&mut hasher);
    for (name, value) in tags {
        name.hash(&mut hasher);
        value.hash(&mut hasher);
    }
    hasher.finish()
}
