//! Rejected lines can be read back and written again: they are rows of the measurement `_rejected`, one series a
//! reason, each with all that a replay needs.
//!
//! Invariants: the time of such a row is when its line was refused, no two of a store have the same, so that it
//! names the row; each series keeps its newest rows, all series of a database together so many bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::error::Code;
use parking_lot::Mutex;

use crate::catalog::REJECTED;
use crate::engine::{Batch, Engine, EngineError};
use crate::limits::VALUE_BYTES;
use crate::series::Series;
use crate::types::{DatabaseId, FieldType, Precision, SeriesId, Timestamp};

/// A line that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Reject<'a> {
    /// The reason's stable name.
    pub code: &'a str,
    /// The reason in words.
    pub message: &'a str,
    /// Where the line came from.
    pub source: &'a str,
    /// The line's number on its connection.
    pub line: u64,
    /// The line as it was sent.
    pub raw: &'a [u8],
    /// The unit of its time.
    pub precision: Precision,
    /// Where its time was the reason.
    pub clock: Option<WrongClock<'a>>,
}

/// A time that no sensor can have measured.
#[derive(Clone, Copy, Debug)]
pub struct WrongClock<'a> {
    /// Whose clock it is: the peer's address, or a tag.
    pub device: &'a str,
    /// The row's time, nanoseconds.
    pub time: Timestamp,
}

/// What an engine knows of its rejected rows beside the rows themselves.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    counts: Mutex<BTreeMap<(DatabaseId, Box<str>), u64>>,
    replayed: AtomicU64,
    last_id: AtomicI64,
    /// Bytes that were kept since the rings were last looked at.
    kept_bytes: AtomicU64,
    /// One replay at a time: what one writes no other may write again.
    pub replaying: Mutex<()>,
}

/// Columns of `_rejected`, in the order of [`Cells`].
pub(super) const COLUMNS: [(&str, FieldType); 9] = [
    ("line", FieldType::Integer),
    ("message", FieldType::String),
    ("source", FieldType::String),
    ("text", FieldType::String),
    ("precision", FieldType::String),
    ("raw", FieldType::Binary),
    ("length_bytes", FieldType::Integer),
    ("offset_ns", FieldType::Integer),
    ("device", FieldType::String),
];

/// Places in [`COLUMNS`].
pub(super) const LINE: usize = 0;
pub(super) const MESSAGE: usize = 1;
pub(super) const SOURCE: usize = 2;
pub(super) const TEXT: usize = 3;
pub(super) const PRECISION: usize = 4;
pub(super) const RAW: usize = 5;
pub(super) const LENGTH: usize = 6;
pub(super) const OFFSET: usize = 7;
pub(super) const DEVICE: usize = 8;

/// The cells of one row.
#[derive(Default)]
struct Cells {
    bits: Vec<u64>,
    marks: Vec<u8>,
    heap: Vec<u8>,
}

impl Cells {
    fn integer(&mut self, value: Option<i64>) {
        self.bits.push(value.unwrap_or(0) as u64);
        self.marks.push(if value.is_some() { 0 } else { MARK_NULL });
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        let bytes = value.unwrap_or_default();
        let at = self.heap.len() as u32;
        self.bits.push(cell::heap(at, bytes.len() as u32));
        self.marks.push(if value.is_some() { 0 } else { MARK_NULL });
        self.heap.extend_from_slice(bytes);
    }
}

impl Engine {
    /// Adds a rejected line to a batch, whose next write keeps it. Long lines are cut, and say so.
    pub fn push_reject(
        &self,
        batch: &mut Batch,
        database: DatabaseId,
        reject: &Reject<'_>,
    ) -> Result<(), EngineError> {
        let kept = self.rejects.kept_bytes.load(Ordering::Relaxed);
        if kept > self.options.rejected_bytes_max / 8 {
            self.trim_rejects()?;
        }
        let now = self.server_time().now;
        let id = self.rejects.next_id(now);
        self.push_kept(batch, database, reject, id)
    }

    /// The row of a rejected line under the number that it has.
    pub(super) fn push_kept(
        &self,
        batch: &mut Batch,
        database: DatabaseId,
        reject: &Reject<'_>,
        id: Timestamp,
    ) -> Result<(), EngineError> {
        let series =
            self.resolve_any_series(None, database, REJECTED, &mut [("code", reject.code)])?;
        let plan = self.resolve_layout(series.measurement, &COLUMNS)?;
        // A row must fit into a segment of the log, whatever its size.
        let segment = self.options.log.segment_size_bytes;
        let bytes_max = VALUE_BYTES.min((segment / 8) as usize);
        let raw = &reject.raw[..reject.raw.len().min(bytes_max)];
        let mut text = String::from_utf8_lossy(raw);
        let is_cut = raw.len() < reject.raw.len();
        // A character that the cut went through is no bad byte.
        let is_text = match std::str::from_utf8(raw) {
            Ok(_) => true,
            Err(error) => is_cut && error.error_len().is_none(),
        };
        if text.len() > bytes_max {
            let mut end = bytes_max;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text = text[..end].to_owned().into();
        }
        let cut = is_cut.then_some(reject.raw.len() as i64);
        let offset = reject.clock.map(|clock| clock.time.saturating_sub(id));
        let mut cells = Cells::default();
        cells.integer(Some(reject.line as i64));
        cells.bytes(Some(reject.message.as_bytes()));
        cells.bytes(Some(reject.source.as_bytes()));
        cells.bytes(Some(text.as_bytes()));
        cells.bytes(Some(reject.precision.name().as_bytes()));
        cells.bytes((!is_text).then_some(raw));
        cells.integer(cut);
        cells.integer(offset);
        cells.bytes(reject.clock.map(|clock| clock.device.as_bytes()));
        let kept = (cells.heap.len() + COLUMNS.len() * 9) as u64;
        self.rejects.kept_bytes.fetch_add(kept, Ordering::Relaxed);
        let index = batch.layout_index(&plan.layout);
        let values = (&cells.bits[..], &cells.marks[..], &cells.heap[..]);
        batch.push(series, index, Some(id), values, u32::MAX);
        Ok(())
    }

    /// Counts rejected rows, whether or not they could be kept.
    pub fn count_rejects(&self, database: DatabaseId, code: &str, rows: u64) {
        if rows > 0 {
            self.rejects.count(database, code, rows);
        }
    }

    /// Rows refused since the server started, without those that a replay has written since.
    pub fn rejected_rows(&self) -> u64 {
        self.rejects.counts.lock().values().sum()
    }

    /// Rows refused since the server started that a replay has written.
    pub fn replayed_rows(&self) -> u64 {
        self.rejects.replayed.load(Ordering::Relaxed)
    }

    /// Rows of a database refused since the server started whose lines are not kept, because they may be sent again.
    pub fn sent_back(&self, database: DatabaseId) -> Vec<(Box<str>, u64)> {
        let counts = self.rejects.counts.lock();
        let is_sent_back = |code: &str| Code::from_name(code).is_some_and(Code::is_retryable);
        let of_it = counts.iter().filter(|((of, _), _)| *of == database);
        let found = of_it.filter(|((_, code), _)| is_sent_back(code));
        found
            .map(|((_, code), rows)| (code.clone(), *rows))
            .collect()
    }

    /// The series that keep rejected lines, of each database.
    pub(super) fn series_of_rejects(&self) -> Vec<Vec<SeriesId>> {
        let catalog = self.catalog.read();
        let databases = catalog.databases();
        let found = databases.filter_map(|database| catalog.measurement(&database.name, REJECTED));
        found.map(|found| found.series().collect()).collect()
    }

    /// Goes on with the numbers where they ended before the start.
    pub(super) fn resume_rejects(&self) {
        let mut last = Timestamp::MIN;
        for id in self.series_of_rejects().into_iter().flatten() {
            let shard = self.shards[self.placement.shard(id)].read();
            let newest = shard.get(self.placement.slot(id)).and_then(Series::newest);
            last = last.max(newest.unwrap_or(Timestamp::MIN));
        }
        self.rejects.last_id.store(last, Ordering::Relaxed);
        // The limit may be lower than before.
        self.rejects.kept_bytes.store(1, Ordering::Relaxed);
    }

    /// Lets the oldest rejected lines go where a database has more bytes of them than it may.
    pub(super) fn trim_rejects(&self) -> Result<u64, EngineError> {
        if self.rejects.kept_bytes.swap(0, Ordering::Relaxed) == 0 {
            return Ok(0);
        }
        let bytes_max = self.options.rejected_bytes_max;
        let mut gone = 0;
        for series in self.series_of_rejects() {
            let mut chunks = Vec::new();
            let mut bytes = 0;
            for id in series {
                let mut shard = self.shards[self.placement.shard(id)].write();
                if shard.get(self.placement.slot(id)).is_none() {
                    continue;
                }
                let (found, scratch) = shard.series_and_scratch(self.placement.slot(id));
                // Lines that differ take most of their room before they are sealed.
                if found.memory_bytes() as u64 > bytes_max / 16 {
                    found.seal(scratch)?;
                }
                bytes += found.memory_bytes() as u64;
                for chunk in found.ring.iter().filter(|chunk| !chunk.is_gone()) {
                    bytes += u64::from(chunk.len_bytes);
                    chunks.push((chunk.last_time, id, u64::from(chunk.len_bytes)));
                }
            }
            chunks.sort_unstable();
            // Up to when the lines of each reason have to go.
            let mut through = BTreeMap::new();
            for (last_time, id, len_bytes) in chunks {
                if bytes <= bytes_max {
                    break;
                }
                bytes = bytes.saturating_sub(len_bytes);
                through.insert(id, last_time);
            }
            for (id, last_time) in through {
                let (shard, slot) = (self.placement.shard(id), self.placement.slot(id));
                let (evicted, _) = self.leave(shard, &[slot], true, &|_, _| Some(last_time));
                gone += evicted;
            }
        }
        Ok(gone)
    }
}

impl Rejects {
    /// A number for a line that is refused now.
    fn next_id(&self, now: Timestamp) -> Timestamp {
        let after = |last: Timestamp| now.max(last.saturating_add(1));
        let last = self
            .last_id
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(after(last))
            });
        after(last.unwrap_or(now))
    }

    fn count(&self, database: DatabaseId, code: &str, rows: u64) {
        let mut counts = self.counts.lock();
        *counts.entry((database, code.into())).or_default() += rows;
    }

    /// A row left for another reason, or for good.
    pub fn moved(&self, database: DatabaseId, from: &str, to: Option<&str>) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&(database, Box::from(from))) {
            *count = count.saturating_sub(1);
        }
        match to {
            Some(to) => *counts.entry((database, to.into())).or_default() += 1,
            None => {
                self.replayed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
