//! The ledger: every row that was received is in exactly one counted state, for ever.
//!
//! No count stands beside the data where it could drift from it. What chunks, images and unsealed rows hold is
//! counted there; what has left them is in [`Settled`], which changes in the same manifest that takes it out of
//! them, and in no other moment. So a replay counts again what the manifest in force does not have, and nothing
//! else. The lock of the settled counts is held while rows move to them, and while a reader adds up both.
//!
//! Received is counted by itself while the server runs, beside the states: that both agree is checked, not built in.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetime_protocol::error::Code;

use crate::blocks::{BlockStore, ChunkEntry};
use crate::catalog::{Catalog, Measurement, REJECTED, Tag};
use crate::codec::chunk::Chunk;
use crate::engine::Engine;
use crate::engine::shard::Shard;
use crate::mutants::{self, Mutant};
use crate::paged::Paged;
use crate::series::{Cause, DroppedRows, HiddenRows, Location, Sealed, Series};
use crate::types::{DatabaseId, MeasurementId, SeriesId, Timestamp};

/// Rows by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Rows that were received: accepted or rejected.
    pub received: u64,
    /// Rows that are there.
    pub stored: u64,
    /// Rows that are there, and share their stretch of time with others that they have not been merged with:
    /// one of them may turn out to take the place of another.
    pub pending_merge: u64,
    /// Rows whose place others took.
    pub overwritten: u64,
    /// Rows that statements deleted.
    pub deleted: u64,
    /// Rows that left because of their age.
    pub expired: u64,
    /// Rows that left because their series had too many.
    pub evicted: u64,
    /// Rows that were refused for what they are. Those that the dead letters no longer keep are among them.
    pub rejected: u64,
    /// Rows that were there already, sent again by a producer that numbers its batches.
    pub duplicate: u64,
    /// Of those that left: rows that came so late that they went into buckets which were there before. No state of its
    /// own.
    pub late_merged: u64,
}

impl Ledger {
    /// Rows in all states.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.stored
            + self.pending_merge
            + self.overwritten
            + self.deleted
            + self.expired
            + self.evicted
            + self.rejected
            + self.duplicate
    }

    /// Whether every row that was received is in one state.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.received == self.sum()
    }

    /// Adds another one's.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.pending_merge += other.pending_merge;
        self.overwritten += other.overwritten;
        self.deleted += other.deleted;
        self.expired += other.expired;
        self.evicted += other.evicted;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.late_merged += other.late_merged;
    }

    /// Those that have moved count where they are.
    fn add_hidden(&mut self, rows: HiddenRows) {
        self.deleted += u64::from(rows.deleted);
        self.expired += u64::from(rows.expired);
        self.evicted += u64::from(rows.evicted);
        if mutants::is(Mutant::CountedMoved) {
            self.deleted += u64::from(rows.moved);
        }
    }
}

/// A database's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseLedger {
    /// The database.
    pub name: Arc<str>,
    /// Its rows.
    pub ledger: Ledger,
}

/// Rows that have left chunks and images, by database: those of a manifest, or what one adds to it. Only the
/// states that are for good are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    databases: BTreeMap<DatabaseId, Ledger>,
    /// Rejected lines among them, by the number of their reason.
    reasons: BTreeMap<(DatabaseId, u16), u64>,
}

/// The highest byte of the keys of a manifest's counters of reasons.
const REASON_KEYS: u64 = b'R' as u64;
/// The number of a reason that is not known.
const UNKNOWN_REASON: u16 = 0;

/// The count of a state.
type CountOf = fn(&mut Ledger) -> &mut u64;

/// The states of a manifest's counters, by number.
const STATES: [(u64, CountOf); 7] = [
    (1, |ledger| &mut ledger.overwritten),
    (2, |ledger| &mut ledger.deleted),
    (3, |ledger| &mut ledger.expired),
    (4, |ledger| &mut ledger.evicted),
    (5, |ledger| &mut ledger.rejected),
    (6, |ledger| &mut ledger.duplicate),
    (7, |ledger| &mut ledger.late_merged),
];

/// Whose a row is, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) database: DatabaseId,
    /// Where it keeps a rejected line, the number of the reason: then that is its state, whatever becomes of it.
    pub(super) reject: Option<u16>,
}

impl Settled {
    /// From a manifest's counters; those that nobody knows are passed over.
    pub(super) fn from_counters(counters: &[(u64, u64)]) -> Self {
        let mut settled = Self::default();
        for &(key, value) in counters {
            if key >> 56 == REASON_KEYS {
                let reason = (DatabaseId((key >> 16) as u32), key as u16);
                *settled.reasons.entry(reason).or_default() += value;
                continue;
            }
            let state = STATES.iter().find(|(state, _)| *state == key % 256);
            if let (Some((_, of)), Ok(database)) = (state, u32::try_from(key / 256)) {
                let ledger = settled.databases.entry(DatabaseId(database)).or_default();
                *of(ledger) += value;
            }
        }
        settled
    }

    /// As a manifest's counters.
    pub(super) fn counters(&self) -> Vec<(u64, u64)> {
        let reasons = self.reasons.iter();
        let mut counters: Vec<(u64, u64)> = reasons
            .map(|(&(database, code), &rows)| {
                let key = REASON_KEYS << 56 | u64::from(database.0) << 16 | u64::from(code);
                (key, rows)
            })
            .collect();
        for (database, ledger) in &self.databases {
            let mut ledger = *ledger;
            for (state, of) in STATES {
                let count = *of(&mut ledger);
                if count > 0 {
                    counters.push((u64::from(database.0) * 256 + state, count));
                }
            }
        }
        counters
    }

    /// Takes the rows out that were sent again: they are counted with their producers.
    pub(super) fn take_repeated(&mut self) -> BTreeMap<DatabaseId, u64> {
        let all = self.databases.iter_mut();
        all.map(|(id, ledger)| (*id, std::mem::take(&mut ledger.duplicate)))
            .filter(|(_, rows)| *rows > 0)
            .collect()
    }

    /// With the rows that were sent again, as a manifest counts all.
    pub(super) fn with_repeated(mut self, repeated: &BTreeMap<DatabaseId, u64>) -> Self {
        for (&database, &rows) in repeated {
            self.databases.entry(database).or_default().duplicate = rows;
        }
        self
    }

    /// Rows of each database.
    pub(super) fn sums(&self) -> BTreeMap<DatabaseId, u64> {
        let all = self.databases.iter();
        all.map(|(id, ledger)| (*id, ledger.sum())).collect()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (database, ledger) in &other.databases {
            self.databases.entry(*database).or_default().add(ledger);
        }
        for (reason, rows) in &other.reasons {
            *self.reasons.entry(*reason).or_default() += rows;
        }
    }

    /// Rows whose place others took.
    pub(super) fn overwritten(&mut self, owner: Owner, rows: u64) {
        let overwritten = Ledger {
            overwritten: rows,
            ..Ledger::default()
        };
        self.settle(owner, overwritten);
    }

    /// Rows that statements deleted.
    pub(super) fn deleted(&mut self, owner: Owner, rows: u64) {
        let deleted = Ledger {
            deleted: rows,
            ..Ledger::default()
        };
        self.settle(owner, deleted);
    }

    /// Rows that went into buckets which were there before.
    pub(super) fn late_merged(&mut self, database: DatabaseId, rows: u64) {
        self.databases.entry(database).or_default().late_merged += rows;
    }

    /// Rows that were hidden.
    pub(super) fn hidden(&mut self, owner: Owner, rows: HiddenRows) {
        let mut hidden = Ledger::default();
        hidden.add_hidden(rows);
        self.settle(owner, hidden);
    }

    /// A series that is dropped with all that it has: what has not left before is deleted.
    pub(super) fn dropped(&mut self, owner: Owner, gone: &DroppedRows<ChunkEntry>) {
        self.gone(owner, gone, |ledger| &mut ledger.deleted);
    }

    /// A series that is retired though it has rows, because what took them out is missing: they have expired.
    pub(super) fn retired(&mut self, owner: Owner, gone: &DroppedRows<ChunkEntry>) {
        self.gone(owner, gone, |ledger| &mut ledger.expired);
    }

    /// All rows of a series: those that have not left before are in a state that is given.
    fn gone(&mut self, owner: Owner, gone: &DroppedRows<ChunkEntry>, state: CountOf) {
        let mut left = gone.unsealed;
        self.overwritten(owner, gone.overwritten);
        for chunk in gone.ring.iter() {
            let hidden = chunk.hidden_rows();
            self.hidden(owner, hidden);
            left += u64::from(chunk.rows.saturating_sub(hidden.total()));
            self.overwritten(owner, u64::from(chunk.overwritten));
        }
        let mut rows = Ledger::default();
        *state(&mut rows) = left;
        self.settle(owner, rows);
    }

    fn settle(&mut self, owner: Owner, rows: Ledger) {
        if let Some(code) = owner.reject
            && rows.sum() > 0
        {
            *self.reasons.entry((owner.database, code)).or_default() += rows.sum();
        }
        let settled = self.databases.entry(owner.database).or_default();
        settled.add(&as_owned(owner, rows));
    }
}

/// Rows of rejected lines are rejected, and nothing else.
fn as_owned(owner: Owner, rows: Ledger) -> Ledger {
    if owner.reject.is_some() {
        Ledger {
            rejected: rows.sum(),
            ..Ledger::default()
        }
    } else {
        rows
    }
}

/// Whose a measurement is or was.
fn database_of(catalog: &Catalog, id: MeasurementId) -> DatabaseId {
    let known = catalog.measurement_by_id(id).map(|found| found.database);
    let dropped = || catalog.dropped().iter().find(|gone| gone.measurement == id);
    let database = known.or_else(|| dropped()?.database);
    database.unwrap_or_default()
}

/// Whose rows of a measurement are.
pub(super) fn owner_of(measurement: Option<&Measurement>) -> Owner {
    Owner {
        database: measurement.map_or(DatabaseId(0), |found| found.database),
        reject: measurement
            .filter(|found| &*found.name == REJECTED)
            .map(|_| UNKNOWN_REASON),
    }
}

/// Whose rows of a series are.
pub(super) fn owner_of_series(catalog: &Catalog, series: SeriesId) -> Owner {
    let entry = catalog.series(series);
    let owner = owner_of(entry.and_then(|entry| catalog.measurement_by_id(entry.measurement)));
    match (owner.reject, entry) {
        (Some(_), Some(entry)) => Owner {
            reject: Some(reason_of(&entry.tags)),
            ..owner
        },
        _ => owner,
    }
}

/// The number of the reason that a series of rejected lines has.
fn reason_of(tags: &[Tag]) -> u16 {
    let code = tags.iter().find(|(name, _)| &**name == "code");
    let code = code.and_then(|(_, value)| Code::from_name(value));
    code.map_or(UNKNOWN_REASON, Code::number)
}

/// What a series holds, without what it has settled.
fn held(series: &Series<ChunkEntry>) -> Ledger {
    let late = series.late_rows() as u64;
    let mut ledger = Ledger {
        stored: series.unsealed_rows() as u64 - late,
        pending_merge: late,
        overwritten: u64::from(series.overwritten()),
        ..Ledger::default()
    };
    let mut newest = Timestamp::MIN;
    for chunk in series.ring.iter() {
        let hidden = chunk.hidden_rows();
        ledger.add_hidden(hidden);
        ledger.overwritten += u64::from(chunk.overwritten);
        let shown = u64::from(chunk.rows.saturating_sub(hidden.total()));
        if chunk.first_time <= newest {
            ledger.pending_merge += shown;
        } else {
            ledger.stored += shown;
        }
        newest = newest.max(chunk.last_time);
    }
    if let Some((_, discarded)) = series.discarded() {
        ledger.deleted += u64::from(discarded);
    }
    ledger
}

/// Adds what the series of a shard hold when a store is opened, each to its database, which `owner` tells of a slot.
pub(super) fn count_held(
    blocks: &BlockStore,
    shard: &Shard,
    owner: &dyn Fn(usize) -> DatabaseId,
    received: &mut BTreeMap<DatabaseId, u64>,
) {
    for (slot, series) in shard.iter() {
        let uncounted = series
            .ring
            .iter()
            .filter(|chunk| has_uncounted_moves(chunk));
        uncounted.for_each(|chunk| {
            count_chunk(blocks, chunk);
        });
        let of_dropped = series.discarded().map(|(database, _)| database);
        let database = of_dropped.unwrap_or_else(|| owner(slot));
        *received.entry(database).or_default() += held(series).sum();
    }
}

impl Engine {
    /// The ledger of every database, in the order of their names. Adds up what all series hold: for `status`, not
    /// for every row. Each is balanced, whatever is written meanwhile.
    pub fn ledgers(&self) -> Vec<DatabaseLedger> {
        self.count_hidden();
        // Nothing settles, and nothing is dropped, while this is held.
        let settled = self.settled.read();
        let mut ledgers = settled.databases.clone();
        for (database, received) in &self.received_before {
            ledgers.entry(*database).or_default().received += received;
        }
        self.producers.count(&mut ledgers);
        let owners = self.owners();
        let mut newer = Vec::new();
        let mut received = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let shard = shard.read();
            for (slot, series) in shard.iter() {
                let id = self.placement.id(index, slot);
                let owner = match series.discarded() {
                    Some((database, _)) => Some(Owner {
                        database,
                        reject: None,
                    }),
                    None => owners.get(id.0 as usize).copied().flatten(),
                };
                match owner {
                    Some(owner) => {
                        let ledger = ledgers.entry(owner.database).or_default();
                        ledger.add(&as_owned(owner, held(series)));
                    }
                    None => newer.push((id, held(series))),
                }
            }
            received.extend(shard.received.iter().copied().enumerate());
        }
        let catalog = self.catalog.read();
        for (id, held) in newer {
            let owner = owner_of_series(&catalog, id);
            let ledger = ledgers.entry(owner.database).or_default();
            ledger.add(&as_owned(owner, held));
        }
        for (measurement, rows) in received.into_iter().filter(|(_, rows)| *rows > 0) {
            let database = database_of(&catalog, MeasurementId(measurement as u32));
            ledgers.entry(database).or_default().received += rows;
        }
        let named = ledgers.into_iter().filter_map(|(id, ledger)| {
            let name = match catalog.database_by_id(id) {
                Some(database) => Arc::clone(&database.name),
                // Rows whose database is lost.
                None if ledger == Ledger::default() => return None,
                None => Arc::from(""),
            };
            Some(DatabaseLedger { name, ledger })
        });
        let mut ledgers: Vec<DatabaseLedger> = named.collect();
        ledgers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        ledgers
    }

    /// Rejected lines of a database by reason, for ever: those that were kept, whether or not they are still there, and
    /// were not replayed.
    pub fn rejected_by_reason(&self, database: DatabaseId) -> Vec<(&'static str, u64)> {
        self.count_hidden();
        let settled = self.settled.read();
        let of_it = (database, 0)..=(database, u16::MAX);
        let known = settled.reasons.range(of_it);
        let mut reasons: BTreeMap<u16, u64> =
            known.map(|(&(_, code), &rows)| (code, rows)).collect();
        let catalog = self.catalog.read();
        let found = catalog.database_by_id(database);
        let found = found.and_then(|found| catalog.measurement(&found.name, REJECTED));
        for id in found.iter().flat_map(|found| found.series()) {
            let shard = self.shards[self.placement.shard(id)].read();
            let series = shard.get(self.placement.slot(id));
            if let (Some(series), Some(entry)) = (series, catalog.series(id)) {
                *reasons.entry(reason_of(&entry.tags)).or_default() += held(series).sum();
            }
        }
        let named = reasons.into_iter().filter(|(_, rows)| *rows > 0);
        let name = |code| Code::from_number(code).map_or("unknown", Code::name);
        named.map(|(code, rows)| (name(code), rows)).collect()
    }

    /// Whose every series is, by number; the catalog is never held for long.
    fn owners(&self) -> Paged<Option<Owner>> {
        let mut owners = Paged::default();
        let mut from = 0;
        loop {
            let catalog = self.catalog.read();
            let mut count = 0;
            for entry in catalog.series_from(from).take(SLICE_SERIES) {
                let owner = owner_of_series(&catalog, entry.id);
                *owners.get_or_make(entry.id.0 as usize, || None) = Some(owner);
                from = entry.id.0 + 1;
                count += 1;
            }
            if count < SLICE_SERIES {
                return owners;
            }
        }
    }

    /// Counts what is hidden of chunks and was not counted, outside of every lock. What cannot be read stays
    /// uncounted.
    pub(super) fn count_hidden(&self) {
        let pin = self.blocks.pin();
        for shard in &self.shards {
            let uncounted: Vec<Sealed<ChunkEntry>> = {
                let shard = shard.read();
                let chunks = shard.iter().flat_map(|(_, series)| series.ring.iter());
                chunks
                    .filter(|chunk| is_uncounted(chunk))
                    .cloned()
                    .collect()
            };
            for chunk in &uncounted {
                self.count_chunk(chunk);
            }
        }
        drop(pin);
    }

    /// How many rows of a chunk are hidden, and by what; none where it cannot be read.
    pub(super) fn count_chunk(&self, chunk: &Sealed<ChunkEntry>) -> Option<HiddenRows> {
        count_chunk(&self.blocks, chunk)
    }
}

/// As [`Engine::count_chunk`].
fn count_chunk(blocks: &BlockStore, chunk: &Sealed<ChunkEntry>) -> Option<HiddenRows> {
    let Some(hidden) = &chunk.hidden else {
        return Some(HiddenRows::default());
    };
    if let Some(rows) = hidden.rows() {
        return Some(rows);
    }
    let rows = match hidden.only_cause() {
        Some(cause) if chunk.is_gone() => HiddenRows::all(cause, chunk.rows),
        _ => {
            let opened = match &chunk.location {
                Location::Memory(bytes) => Chunk::reopen(bytes.clone()),
                Location::Stored(entry) => Chunk::open(blocks.read_chunk(entry).ok()?),
            };
            let opened = opened.ok()?;
            let counted = hidden.count(chunk.rows, |range| opened.rows_within(range));
            counted.ok()?
        }
    };
    hidden.set_rows(rows);
    Some(rows)
}

/// Whether rows of a chunk have moved and nobody has counted them: they do not count here.
fn has_uncounted_moves(chunk: &Sealed<ChunkEntry>) -> bool {
    let hidden = chunk.hidden.iter().filter(|_| is_uncounted(chunk));
    let mut causes = hidden
        .flat_map(|hidden| hidden.tombstones())
        .map(|known| known.cause);
    causes.any(|cause| cause == Cause::Moved)
}

pub(super) fn is_uncounted(chunk: &Sealed<ChunkEntry>) -> bool {
    let hidden = chunk.hidden.as_ref();
    hidden.is_some_and(|hidden| hidden.rows().is_none())
}

/// Series looked up under one hold of the catalog's lock.
const SLICE_SERIES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_keep_every_state_of_every_database() {
        let mut settled = Settled::default();
        let of = |database| Owner {
            database: DatabaseId(database),
            reject: None,
        };
        settled.overwritten(of(0), 3);
        settled.deleted(of(7), 5);
        let rows = HiddenRows {
            deleted: 1,
            expired: 2,
            evicted: 4,
            moved: 8,
        };
        settled.hidden(of(7), rows);
        settled.late_merged(DatabaseId(7), 6);
        let mut counters = settled.counters();
        assert_eq!(Settled::from_counters(&counters), settled);
        counters.push((255, 9));
        counters.push((u64::MAX, 9));
        assert_eq!(Settled::from_counters(&counters), settled);
    }

    #[test]
    fn what_keeps_a_rejected_line_is_rejected_whatever_becomes_of_it() {
        let mut settled = Settled::default();
        let owner = Owner {
            database: DatabaseId(1),
            reject: Some(Code::BadSyntax.number()),
        };
        settled.hidden(owner, HiddenRows::all(Cause::Evicted, 3));
        settled.deleted(owner, 4);
        // But for what has become another row.
        settled.hidden(owner, HiddenRows::all(Cause::Moved, 5));
        let reason = REASON_KEYS << 56 | 1 << 16 | u64::from(Code::BadSyntax.number());
        assert_eq!(settled.counters(), [(reason, 7), (256 + 5, 7)]);
        let mut twice = Settled::from_counters(&settled.counters());
        assert_eq!(twice, settled);
        twice.add(&settled);
        assert_eq!(twice.counters()[0], (reason, 14));
    }
}
