//! Producers: each of their batches is stored once, however often, over whatever connection and after whatever crash it
//! is sent.
//!
//! A batch and the mark that says whose it is are one unit of the log, and the table of what is known lies in every
//! checkpoint: so a batch is known exactly where its rows are there. Invariants: the table has a batch before the last
//! of the shards that its rows are in is let go, so that a checkpoint that saw those rows has the batch as well; the
//! table is copied before the log is synced, so that no checkpoint knows a batch whose rows may be lost.

use std::collections::BTreeMap;

use edgetime_protocol::write::Producer;
use parking_lot::{Mutex, MutexGuard, RwLockReadGuard, RwLockWriteGuard};

use crate::catalog::Catalog;
use crate::engine::shard::Shard;
use crate::engine::write::refusal;
use crate::engine::{Batch, Engine, EngineError, Ledger, Written};
use crate::limits::{PRODUCER_SILENCE_NS, PRODUCERS};
use crate::log::producer::ProducerMark;
use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::log::{AppendError, FrameParts, FrameType, ProducerPart, frame_positions};
use crate::mutants::{self, Mutant};
use crate::types::{DatabaseId, MeasurementId, Position, Timestamp};

/// What became of a producer's batch.
#[derive(Debug)]
pub enum Once {
    /// It was new; what it came to.
    Written(Written),
    /// It was there already: before this position.
    Duplicate(Position),
}

/// What is known of all producers.
#[derive(Debug, Default)]
pub(super) struct Producers {
    /// Whose turn it is: a producer's batches are written one after another, over however many connections they come.
    turns: [Mutex<()>; TURNS],
    /// Taken behind a shard, before the log.
    table: Mutex<ProducerTable>,
}

const TURNS: usize = 32;

/// The batches that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProducerTable {
    known: BTreeMap<u64, Known>,
    /// Rows of batches that were there already, of all times.
    repeated: BTreeMap<DatabaseId, u64>,
    /// Those since the server started.
    repeated_now: BTreeMap<DatabaseId, u64>,
}

/// The batches of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// The highest sequence.
    highest: u64,
    /// Bit i: the sequence i below the highest is known.
    window: u64,
    /// All of them lie before it.
    position: Position,
    /// When the last one came, nanoseconds.
    time: Timestamp,
}

/// Sequences below the highest that are told apart.
const WINDOW: u64 = u64::BITS as u64;

impl Known {
    fn has(&self, sequence: u64) -> bool {
        let Some(behind) = self.highest.checked_sub(sequence) else {
            return false;
        };
        // What is older than the window was answered long ago, or given up.
        behind >= WINDOW || self.window >> behind & 1 == 1
    }

    fn add(&mut self, sequence: u64, position: Position, time: Timestamp) {
        if let Some(ahead) = sequence.checked_sub(self.highest) {
            self.window = self
                .window
                .checked_shl(ahead.min(WINDOW) as u32)
                .unwrap_or(0);
            self.highest = sequence;
        }
        let behind = self.highest - sequence;
        self.window |= 1u64.checked_shl(behind.min(WINDOW) as u32).unwrap_or(0);
        self.position = self.position.max(position);
        self.time = self.time.max(time);
    }
}

impl ProducerTable {
    /// The position behind a batch, where it is known.
    fn find(&self, producer: Producer) -> Option<Position> {
        let known = self.known.get(&producer.id)?;
        known.has(producer.sequence).then_some(known.position)
    }

    /// Remembers a batch; the producer that was silent the longest makes room.
    fn add(&mut self, producer: Producer, position: Position, time: Timestamp) {
        if let Some(known) = self.known.get_mut(&producer.id) {
            known.add(producer.sequence, position, time);
            return;
        }
        if self.known.len() >= PRODUCERS {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.time);
            let oldest = oldest.map(|(&id, _)| id);
            oldest.and_then(|id| self.known.remove(&id));
        }
        let known = Known {
            highest: producer.sequence,
            window: 1,
            position,
            time,
        };
        self.known.insert(producer.id, known);
    }

    /// Applies what a frame of the log says. The manifest counts repeated batches before `counted_through`.
    pub(super) fn replay(
        &mut self,
        (position, end): (Position, Position),
        part: ProducerPart,
        mark: &ProducerMark,
        counted_through: Position,
    ) {
        let producer = Producer {
            id: part.producer,
            sequence: part.sequence,
        };
        match &mark.repeated {
            None => self.add(producer, end, mark.time),
            Some(_) if position < counted_through => {}
            Some(rows) => {
                for &(database, rows) in rows {
                    let sum = self.repeated.entry(database).or_default();
                    *sum = sum.saturating_add(rows);
                }
            }
        }
    }

    /// When the producer that was heard last was heard.
    pub(super) fn newest(&self) -> Timestamp {
        let times = self.known.values().map(|known| known.time);
        times.max().unwrap_or(Timestamp::MIN)
    }

    /// Rows of repeated batches, as the manifest counts them.
    pub(super) fn restore_repeated(&mut self, repeated: BTreeMap<DatabaseId, u64>) {
        self.repeated = repeated;
    }

    /// Rows of repeated batches, by database.
    pub(super) fn repeated(&self) -> &BTreeMap<DatabaseId, u64> {
        &self.repeated
    }

    /// As a record of an image file; who was silent for long is left out.
    pub(super) fn encode(&self, now: Timestamp) -> Option<Vec<u8>> {
        let horizon = now.saturating_sub(PRODUCER_SILENCE_NS);
        let all = self.known.iter().filter(|(_, known)| known.time >= horizon);
        let all: Vec<_> = all.collect();
        if all.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        put(&mut out, all.len() as u64);
        for (id, known) in all {
            out.extend_from_slice(&id.to_le_bytes());
            put(&mut out, known.highest);
            put(&mut out, known.window);
            put(&mut out, known.position.0);
            put(&mut out, zigzag(known.time));
        }
        Some(out)
    }

    /// Takes the producers of such a record; false where it is none.
    pub(super) fn restore(&mut self, record: &[u8]) -> bool {
        let decoded = decode(record);
        let is_one = decoded.is_some();
        self.known.extend(decoded.unwrap_or_default());
        is_one
    }
}

/// The key of the manifest's counter that says how far repeated batches are counted.
const THROUGH_KEY: u64 = (b'P' as u64) << 56;

/// The position before which the counters of a manifest have all that was sent again.
pub(super) fn counted_through(counters: &[(u64, u64)]) -> Position {
    let found = counters.iter().find(|(key, _)| *key == THROUGH_KEY);
    Position(found.map_or(0, |(_, position)| *position))
}

/// As a counter of a manifest.
pub(super) fn through_counter(through: Position) -> (u64, u64) {
    (THROUGH_KEY, through.0)
}

/// Whether bytes are a record of producers.
pub(crate) fn is_record(record: &[u8]) -> bool {
    decode(record).is_some()
}

fn decode(record: &[u8]) -> Option<BTreeMap<u64, Known>> {
    let mut rest = record;
    let count = usize::try_from(take(&mut rest)?).ok()?;
    let mut known = BTreeMap::new();
    for _ in 0..count {
        let (id, after) = rest.split_first_chunk()?;
        rest = after;
        let one = Known {
            highest: take(&mut rest)?,
            window: take(&mut rest)?,
            position: Position(take(&mut rest)?),
            time: unzigzag(take(&mut rest)?),
        };
        if known.insert(u64::from_le_bytes(*id), one).is_some() {
            return None;
        }
    }
    rest.is_empty().then_some(known)
}

impl Producers {
    /// What was found when the store was opened.
    pub(super) fn new(table: ProducerTable) -> Self {
        Self {
            table: Mutex::new(table),
            ..Self::default()
        }
    }

    /// The table as it is now, and how far in the log it reaches.
    pub(super) fn copy(&self, log: &crate::log::Log) -> (ProducerTable, Position) {
        let table = self.table.lock();
        (table.clone(), log.end())
    }

    /// Adds repeated rows to the ledgers.
    pub(super) fn count(&self, ledgers: &mut BTreeMap<DatabaseId, Ledger>) {
        let table = self.table.lock();
        for (&database, &rows) in &table.repeated {
            ledgers.entry(database).or_default().duplicate += rows;
        }
        for (&database, &rows) in &table.repeated_now {
            ledgers.entry(database).or_default().received += rows;
        }
    }

    fn turn(&self, producer: Producer) -> MutexGuard<'_, ()> {
        self.turns[(producer.id % TURNS as u64) as usize].lock()
    }
}

type Held<'a> = Vec<(usize, RwLockWriteGuard<'a, Shard>)>;

impl Engine {
    /// How many producers are known.
    pub fn producers(&self) -> usize {
        self.producers.table.lock().known.len()
    }

    /// The position behind a producer's batch, where that was stored before.
    pub fn known_batch(&self, producer: Producer) -> Option<Position> {
        self.producers.table.lock().find(producer)
    }

    /// Counts the rows of a batch that is known as received once more, by database.
    pub fn count_repeated(
        &self,
        producer: Producer,
        rows: &BTreeMap<DatabaseId, u64>,
    ) -> Result<(), EngineError> {
        let mark = ProducerMark {
            time: self.server_time().durable,
            repeated: Some(rows.iter().map(|(&id, &rows)| (id, rows)).collect()),
        };
        let payload = mark.encode();
        // The table is held: who copies it knows which of these frames it has counted.
        let mut table = self.producers.table.lock();
        self.log
            .append_in_any_epoch(&[mark_of(producer, &payload)])
            .map_err(refusal)?;
        for (&database, &rows) in rows {
            *table.repeated.entry(database).or_default() += rows;
            *table.repeated_now.entry(database).or_default() += rows;
        }
        Ok(())
    }

    /// Writes a producer's batch unless it was written before. All of it is stored, or nothing, and then it stays in
    /// the batch, to be written again or cleared.
    pub fn write_once(&self, batch: &mut Batch, producer: Producer) -> Once {
        let _turn = self.producers.turn(producer);
        if let Some(position) = self.known_batch(producer) {
            return Once::Duplicate(position);
        }
        let mut written = Written::default();
        if batch.is_empty() {
            return Once::Written(written);
        }
        let room = self.check_room(batch.len() as u64);
        let mut stored = room.and_then(|()| self.write_unit(batch, producer));
        if matches!(stored, Err(EngineError::SeriesRetired)) {
            let (stuck, reason) = self.lead_on(batch);
            batch.append(&stuck);
            stored = reason.map_or_else(|| self.write_unit(batch, producer), Err);
        }
        match stored {
            Ok(position) => {
                written.position = position;
                written.rows = batch.len();
                batch.clear();
            }
            Err(error) => {
                written.refused = batch.len();
                written.error = Some(error);
            }
        }
        Once::Written(written)
    }

    /// Writes all rows of a batch and its mark as one unit of the log.
    fn write_unit(&self, batch: &Batch, producer: Producer) -> Result<Position, EngineError> {
        let time = self.server_time();
        let mark = ProducerMark {
            time: time.durable,
            repeated: None,
        };
        let mark = mark.encode();
        let mut catalog: Option<RwLockReadGuard<'_, Catalog>> = None;
        loop {
            let mut held = self.hold(batch);
            let epoch = self.log.epoch();
            let layouts = &batch.layouts[..];
            let lacking: Vec<bool> = held
                .iter_mut()
                .map(|(index, shard)| {
                    let rows = &batch.shards[*index].rows;
                    self.lacks_definitions(shard, rows, layouts, epoch.0)
                })
                .collect();
            if lacking.contains(&true) && catalog.is_none() {
                // Lock order: the catalog comes before a shard.
                drop(held);
                catalog = Some(self.catalog.read());
                continue;
            }
            let mut times = Vec::with_capacity(held.len());
            let mut gathered = Ok(());
            for ((index, shard), lacks) in held.iter_mut().zip(lacking) {
                let rows = &batch.shards[*index].rows;
                shard.definitions.clear();
                if let Some(catalog) = catalog.as_ref().filter(|_| lacks) {
                    let result = self.gather_definitions(shard, rows, layouts, catalog, epoch.0);
                    gathered = gathered.and(result);
                }
            }
            if let Err(error) = gathered {
                for (index, shard) in &mut held {
                    let rows = &batch.shards[*index].rows;
                    self.forget_definitions(shard, rows, layouts, epoch.0);
                }
                return Err(error);
            }
            for (index, shard) in &mut held {
                let cells = &batch.shards[*index];
                times.push(self.encode_rows(shard, (cells, &cells.rows), layouts, time.now));
            }
            let mut frames = Vec::with_capacity(2 * held.len() + 1);
            let defined = held
                .iter()
                .filter(|(_, shard)| !shard.definitions.is_empty());
            frames.extend(
                defined
                    .map(|(_, shard)| FrameParts::new(FrameType::Definitions, &shard.definitions)),
            );
            let rows_from = frames.len();
            frames.extend(
                held.iter()
                    .map(|(_, shard)| FrameParts::new(FrameType::Rows, shard.encoder.payload())),
            );
            frames.push(mark_of(producer, &mark));
            let apart = usize::from(mutants::is(Mutant::MarkedApart));
            let appended = self.log.append(epoch, &frames[..frames.len() - apart]);
            match appended {
                Ok(appended) => {
                    let positions = frame_positions(appended.first, &frames);
                    if apart > 0 {
                        self.log
                            .append_in_any_epoch(&frames[frames.len() - 1..])
                            .map_err(refusal)?;
                    }
                    drop(frames);
                    let last = held.len() - 1;
                    let places = positions.into_iter().skip(rows_from);
                    for (at, ((index, mut shard), (times, frame))) in held
                        .into_iter()
                        .zip(times.into_iter().zip(places))
                        .enumerate()
                    {
                        let cells = &batch.shards[index];
                        let rows = (cells, &cells.rows[..]);
                        self.apply_rows(&mut shard, rows, layouts, times.as_deref(), frame);
                        if at == last {
                            let mut table = self.producers.table.lock();
                            table.add(producer, appended.end, time.durable);
                        }
                    }
                    return Ok(appended.end);
                }
                Err(AppendError::EpochChanged(_)) => {}
                Err(error) => {
                    drop(frames);
                    for (index, shard) in &mut held {
                        let rows = &batch.shards[*index].rows;
                        self.forget_definitions(shard, rows, layouts, epoch.0);
                    }
                    return Err(refusal(error));
                }
            }
        }
    }

    /// The shards that a batch has rows for, in the order of their numbers.
    fn hold(&self, batch: &Batch) -> Held<'_> {
        let all = batch.shards.iter().enumerate();
        let with_rows = all.filter(|(_, shard)| !shard.rows.is_empty());
        with_rows
            .map(|(index, _)| (index, self.shards[index].write()))
            .collect()
    }

    /// A batch's rows of its databases, by the measurements of its layouts.
    pub fn rows_by_database(&self, batch: &Batch) -> BTreeMap<DatabaseId, u64> {
        let mut by_measurement: BTreeMap<MeasurementId, u64> = BTreeMap::new();
        for row in batch.shards.iter().flat_map(|shard| &shard.rows) {
            let layout = &batch.layouts[usize::from(row.layout)];
            *by_measurement.entry(layout.measurement).or_default() += 1;
        }
        let catalog = self.catalog.read();
        let mut rows = BTreeMap::new();
        for (measurement, count) in by_measurement {
            let database = catalog.measurement_by_id(measurement);
            let database = database.map_or(DatabaseId(0), |found| found.database);
            *rows.entry(database).or_default() += count;
        }
        rows
    }
}

fn mark_of(producer: Producer, payload: &[u8]) -> FrameParts<'_> {
    FrameParts {
        kind: FrameType::Producer,
        producer: Some(ProducerPart {
            producer: producer.id,
            sequence: producer.sequence,
            part: 0,
            parts: 1,
        }),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: u64, sequence: u64) -> Producer {
        Producer { id, sequence }
    }

    #[test]
    fn sequences_are_told_apart_within_a_window() {
        let mut table = ProducerTable::default();
        assert_eq!(table.find(of(7, 1)), None);
        for sequence in [5, 3, 9, 4, 100] {
            table.add(of(7, sequence), Position(sequence), 0);
        }
        for sequence in [5, 3, 9, 4, 100] {
            assert_eq!(table.find(of(7, sequence)), Some(Position(100)));
        }
        for sequence in [40, 99, 101, u64::MAX] {
            assert_eq!(table.find(of(7, sequence)), None, "{sequence}");
        }
        // Long before the window.
        assert!(table.find(of(7, 36)).is_some());
        assert_eq!(table.find(of(7, 37)), None);
        table.add(of(7, u64::MAX), Position(1), 0);
        assert!(table.find(of(7, 0)).is_some());
        assert_eq!(table.find(of(7, u64::MAX - 1)), None);
        assert_eq!(table.find(of(8, 5)), None);
    }

    #[test]
    fn who_is_silent_the_longest_makes_room() {
        let mut table = ProducerTable::default();
        for id in 0..PRODUCERS as u64 {
            table.add(of(id + 1, 1), Position(1), id as i64);
        }
        table.add(of(1, 2), Position(2), i64::MAX);
        table.add(of(u64::MAX, 1), Position(2), 5);
        assert_eq!(table.known.len(), PRODUCERS);
        assert_eq!(table.find(of(2, 1)), None);
        assert!(table.find(of(1, 1)).is_some() && table.find(of(3, 1)).is_some());
    }

    #[test]
    fn a_table_comes_back_from_its_record_but_for_the_silent() {
        let mut table = ProducerTable::default();
        table.add(of(9, u64::MAX), Position(77), PRODUCER_SILENCE_NS);
        table.add(of(u64::MAX, 3), Position(u64::MAX), PRODUCER_SILENCE_NS);
        table.add(of(u64::MAX, 1), Position(5), PRODUCER_SILENCE_NS);
        let record = table.encode(PRODUCER_SILENCE_NS).expect("two");
        let mut restored = ProducerTable::default();
        assert!(restored.restore(&record));
        assert_eq!(restored, table);
        for end in 0..record.len() {
            assert!(!is_record(&record[..end]));
        }
        assert!(!is_record(&[&record[..], &[0]].concat()));
        table.add(of(1, 1), Position(5), 0);
        let record = table.encode(PRODUCER_SILENCE_NS + 1).expect("two");
        let mut restored = ProducerTable::default();
        assert!(restored.restore(&record));
        assert_eq!(restored.known.len(), 2);
        assert_eq!(ProducerTable::default().encode(0), None);
    }
}
