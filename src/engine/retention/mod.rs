//! Retention: which class every series is of, what its class keeps, and how a policy changes and lasts.
//!
//! A policy is a frame of the log as a whole, and a record of the state file with the position of that frame, so
//! that an older one in a replay does not take its place. Series remember their class as a number in their shard;
//! when the policy has changed, maintenance gives them all a new one. Until then, and before a new series has one,
//! nothing of it leaves.
//!
//! The lock of changes comes before the log; that of the policy in force is held for a copy only.

mod budget;
mod policy;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, RwLock};

pub use self::budget::ClassUse;
pub(super) use self::budget::Oldest;
pub use self::policy::{
    DEFAULT_CLASS, PolicyError, RetentionBound, RetentionChange, RetentionClass, RetentionPolicy,
    RetentionRule, RetentionSelector, RetentionTier,
};
use crate::catalog::Catalog;
use crate::engine::write::refusal;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::limits::RETENTION_CLASSES;
use crate::log::{FrameParts, FrameType};
use crate::rollup::Tier;
use crate::types::{Position, SeriesId, Timestamp};

/// The policy in force, and what it comes to now.
#[derive(Clone, Debug)]
pub struct RetentionView {
    /// The policy.
    pub policy: RetentionPolicy,
    /// The tiers of classes of which it says nothing else.
    pub tiers_configured: Vec<RetentionTier>,
    /// What there is of each of its classes, in their order.
    pub uses: Vec<ClassUse>,
    /// Bytes that the store takes on its device, with a log as large as it may become.
    pub disk_used_bytes: u64,
}

/// A policy, and which one it is.
#[derive(Debug, Default)]
pub(super) struct Revised {
    pub(super) policy: RetentionPolicy,
    /// Rises with every change; 0: what a store begins with.
    pub(super) revision: u64,
    /// Behind its frame in the log.
    position: Position,
}

/// The policy in force.
#[derive(Debug, Default)]
pub(super) struct Retention {
    changing: Mutex<()>,
    current: RwLock<Arc<Revised>>,
}

/// What is kept of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keep {
    /// Rows before this have expired.
    pub(super) horizon: Timestamp,
    /// Rows in sealed chunks at most; 0: no limit.
    pub(super) rows_max: u64,
    /// The tiers, finest first, and from when on buckets are kept: those that end before go.
    pub(super) tiers: Vec<(Tier, Timestamp)>,
}

/// The classes of a shard's series.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    /// Of which policy.
    revision: u64,
    /// By slot.
    of: Vec<u8>,
}

impl Classes {
    /// The class of the series in a slot, under the policy of this revision.
    pub(super) fn get(&self, slot: usize, revision: u64) -> Option<usize> {
        let known = (self.revision == revision).then_some(&self.of);
        known.and_then(|of| of.get(slot)).map(|&class| class.into())
    }
}

/// The kind of a state record that holds a policy.
pub const STATE_POLICY: u8 = 4;
/// Series looked up under one hold of the catalog's lock.
const SLICE_SERIES: usize = 4096;

impl Retention {
    /// With what a store was opened with.
    pub(super) fn restored(policy: Option<(Position, RetentionPolicy)>) -> Self {
        let current = policy.map_or_else(Revised::default, |(position, policy)| Revised {
            policy,
            revision: 1,
            position,
        });
        Self {
            changing: Mutex::default(),
            current: RwLock::new(Arc::new(current)),
        }
    }

    pub(super) fn current(&self) -> Arc<Revised> {
        Arc::clone(&self.current.read())
    }

    /// The policy in force with all changes whose frames are in the log before the call, if it was changed ever.
    pub(super) fn settled(&self) -> Option<Arc<Revised>> {
        // Whoever has appended a change holds the lock until it is in force.
        let _nobody_changes = self.changing.lock();
        let current = self.current();
        (current.revision > 0).then_some(current)
    }
}

impl Revised {
    /// The payload of a state record.
    pub(super) fn record(&self) -> Vec<u8> {
        let position = self.position.0.to_le_bytes();
        [&position[..], &self.policy.encode()].concat()
    }
}

/// Reads the payload of a state record: behind which position of the log the policy counts, and the policy.
pub fn decode_record(payload: &[u8]) -> Result<(Position, RetentionPolicy), PolicyError> {
    let Some((position, policy)) = payload.split_first_chunk() else {
        return Err(PolicyError::Broken {
            reason: "it has no position".to_owned(),
        });
    };
    let position = Position(u64::from_le_bytes(*position));
    Ok((position, RetentionPolicy::decode(policy)?))
}

impl Engine {
    /// The policy in force, and what there is of each class.
    pub fn retention(&self) -> RetentionView {
        let revised = self.retention.current();
        self.classify_all();
        let uses = self.class_uses(&revised);
        RetentionView {
            policy: revised.policy.clone(),
            tiers_configured: self.options.tiers.clone(),
            uses,
            disk_used_bytes: self.disk_bytes(),
        }
    }

    /// Changes the policy, for what is there and for what comes. It is durable when the log is durable up to the
    /// position; maintenance brings what is there in line with it.
    pub fn change_retention(
        &self,
        access: &Access,
        change: &RetentionChange,
    ) -> Result<Position, EngineError> {
        // It concerns all databases: who is bound to some has no right to it.
        access.check(Verb::Administer, "")?;
        let _one_at_a_time = self.retention.changing.lock();
        let before = self.retention.current();
        let mut policy = before.policy.clone();
        policy.change(change, &self.options.tiers)?;
        self.check_budget(&policy)?;
        let payload = policy.encode();
        let frame = FrameParts::new(FrameType::Policy, &payload);
        let appended = self.log.append_in_any_epoch(&[frame]);
        let position = appended.map_err(refusal)?.end;
        *self.retention.current.write() = Arc::new(Revised {
            policy,
            revision: before.revision + 1,
            position,
        });
        // Writers resolve their series anew, and get the class with them.
        self.drops.fetch_add(1, Ordering::Release);
        self.tier_fill.look_again();
        Ok(position)
    }

    /// What each class keeps now.
    pub(super) fn keeps(&self, revised: &Revised) -> Vec<Keep> {
        let retained = self.server_time().retention;
        let classes = revised.policy.classes.iter();
        let keeps = classes.map(|class| {
            let age_ns = class.raw_age_s.map_or(self.options.raw_age_max_ns, ns_of);
            let configured = self.options.rows_per_series_max;
            let horizon = |age_ns: i64| match age_ns {
                0 => Timestamp::MIN,
                age_ns => retained.saturating_sub(age_ns),
            };
            let tiers = class.tiers_or(&self.options.tiers).iter();
            Keep {
                horizon: horizon(age_ns),
                rows_max: class.rows_per_series.unwrap_or(configured),
                tiers: tiers
                    .map(|tier| (tier.width, horizon(ns_of(tier.age_s))))
                    .collect(),
            }
        });
        keeps.collect()
    }

    /// The horizons of the classes, by number, how many classes there are, and under which revision of the policy.
    pub(super) fn horizons(&self) -> ([Timestamp; RETENTION_CLASSES], usize, u64) {
        let mut horizons = [Timestamp::MIN; RETENTION_CLASSES];
        let current = self.retention.current();
        let keeps = self.keeps(&current);
        for (horizon, keep) in horizons.iter_mut().zip(&keeps) {
            *horizon = keep.horizon;
        }
        (horizons, keeps.len(), current.revision)
    }

    /// Rows of a series before this have expired.
    pub(super) fn horizon_of(&self, series: SeriesId) -> Timestamp {
        let revised = self.retention.current();
        self.horizon_in(&revised, &self.keeps(&revised), series)
    }

    /// The same, by what each class keeps under a policy.
    pub(super) fn horizon_in(
        &self,
        revised: &Revised,
        keeps: &[Keep],
        series: SeriesId,
    ) -> Timestamp {
        if keeps.iter().all(|keep| keep.horizon == Timestamp::MIN) {
            return Timestamp::MIN;
        }
        let class = class_of(&self.catalog.read(), &revised.policy, series);
        keeps.get(class).map_or(Timestamp::MIN, |keep| keep.horizon)
    }

    /// The class of a series, looked up by its names, and under which revision of the policy.
    pub(super) fn class_in(&self, catalog: &Catalog, series: SeriesId) -> (usize, u64) {
        let current = self.retention.current();
        let class = class_of(catalog, &current.policy, series);
        (class, current.revision)
    }

    /// Gives every series its class.
    pub(super) fn classify_all(&self) {
        for index in 0..self.shards.len() {
            self.classify(index);
        }
    }

    /// Gives the series of a shard their classes, where they have none under the policy in force.
    pub(super) fn classify(&self, index: usize) {
        let revised = self.retention.current();
        loop {
            let (from, end) = {
                let shard = self.shards[index].read();
                let known = &shard.classes;
                let is_known = known.revision == revised.revision;
                (if is_known { known.of.len() } else { 0 }, shard.len())
            };
            let until = end.min(from + SLICE_SERIES);
            if from >= until {
                return;
            }
            let found: Vec<u8> = {
                let catalog = self.catalog.read();
                let ids = (from..until).map(|slot| self.placement.id(index, slot));
                let found = ids.map(|id| class_of(&catalog, &revised.policy, id) as u8);
                found.collect()
            };
            let mut shard = self.shards[index].write();
            let known = &mut shard.classes;
            if from == 0 {
                known.revision = revised.revision;
                known.of.clear();
            }
            // Somebody else may have done it meanwhile.
            if known.revision != revised.revision || known.of.len() != from {
                return;
            }
            known.of.extend(found);
        }
    }
}

/// The class of a series, by its names.
pub(super) fn class_of(catalog: &Catalog, policy: &RetentionPolicy, series: SeriesId) -> usize {
    let entry = catalog.series(series);
    let measurement = entry.and_then(|entry| catalog.measurement_by_id(entry.measurement));
    let database = measurement.and_then(|found| catalog.database_by_id(found.database));
    match (entry, measurement, database) {
        (Some(entry), Some(measurement), Some(database)) => {
            policy.class_of(&database.name, &measurement.name, &entry.tags)
        }
        // It was dropped.
        _ => policy.index_of(DEFAULT_CLASS).unwrap_or(0),
    }
}

fn ns_of(age_s: u64) -> i64 {
    i64::try_from(age_s.saturating_mul(NS_PER_S)).unwrap_or(i64::MAX)
}

const NS_PER_S: u64 = 1_000_000_000;
