//! Rejected lines read back: with all that is needed to write them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::REJECTED;
use crate::codec::vector::{ColumnVector, Values};
use crate::engine::rejects::{
    COLUMNS, DEVICE, LENGTH, LINE, MESSAGE, OFFSET, PRECISION, RAW, SOURCE, TEXT,
};
use crate::engine::{Access, Engine, EngineError};
use crate::types::{
    ColumnId, DatabaseId, MeasurementId, Precision, SeriesId, TimeRange, Timestamp,
};

/// A rejected line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number: when it was refused, nanoseconds of the server's time; no other line of the store has it.
    pub id: Timestamp,
    /// The reason's stable name.
    pub code: Arc<str>,
    /// The reason in words.
    pub message: String,
    /// Where it came from.
    pub source: String,
    /// Its number on its connection.
    pub line: i64,
    /// The line, every byte as it was sent.
    pub raw: Vec<u8>,
    /// Bytes that the line had where only its beginning is kept.
    pub cut_from: Option<i64>,
    /// The unit of its time.
    pub precision: Precision,
    /// Where its time was the reason: whose clock it is, and how far ahead of the server's.
    pub clock: Option<(String, i64)>,
    /// The database that it was meant for.
    pub database: DatabaseId,
    pub(super) measurement: MeasurementId,
    pub(super) series: SeriesId,
}

/// Which rejected lines are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// All.
    All,
    /// One.
    Id(Timestamp),
    /// Those of one reason.
    Code(String),
}

impl Engine {
    /// Visits rejected lines of a database, reason by reason, the oldest of each first. Holds one chunk's rows in
    /// memory at a time. The visitor may write; what it adds may or may not be visited.
    pub fn visit_letters(
        self: &Arc<Self>,
        access: &Access,
        database: &str,
        which: &Letters,
        visit: &mut dyn FnMut(DeadLetter) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let Some(view) = self.measurement(access, database, REJECTED)? else {
            return Ok(());
        };
        let columns: Vec<Option<ColumnId>> = COLUMNS
            .iter()
            .map(|(name, kind)| {
                let mut all = view.columns.iter();
                let found = all.find(|c| *c.name == **name && c.field_type == *kind);
                found.map(|column| column.id)
            })
            .collect();
        let asked: Vec<ColumnId> = columns.iter().flatten().copied().collect();
        let range = match *which {
            Letters::Id(id) => TimeRange {
                start: id,
                end: id.saturating_add(1),
            },
            _ => TimeRange::ALL,
        };
        let code_of = |tags: &[crate::catalog::Tag]| {
            let code = tags.iter().find(|(name, _)| &**name == "code");
            code.map_or_else(|| Arc::from(""), |(_, code)| Arc::clone(code))
        };
        let accept = |tags: &[crate::catalog::Tag]| match which {
            Letters::Code(code) => *code_of(tags) == **code,
            _ => true,
        };
        for series in self.select_series(view.id, &accept) {
            let code = code_of(&series.tags);
            let mut reader = self.read_series(series.id, range, &asked);
            while let Some((times, vectors)) = reader.next_batch()? {
                // A store of an earlier version lacks some of the columns.
                let mut vectors = vectors.iter();
                let found: Vec<Option<&ColumnVector>> = columns
                    .iter()
                    .map(|column| column.and_then(|_| vectors.next()))
                    .collect();
                for (row, &id) in times.iter().enumerate() {
                    let read = Reading { found: &found, row };
                    let mut letter = read.letter(id, Arc::clone(&code));
                    letter.database = view.database;
                    letter.measurement = view.id;
                    letter.series = series.id;
                    visit(letter)?;
                }
            }
        }
        Ok(())
    }

    /// The newest rejected lines of a database, the newest first.
    pub fn newest_letters(
        self: &Arc<Self>,
        access: &Access,
        database: &str,
        count: usize,
    ) -> Result<Vec<DeadLetter>, EngineError> {
        let mut newest = BTreeMap::new();
        self.visit_letters(access, database, &Letters::All, &mut |mut letter| {
            letter.shorten();
            newest.insert(letter.id, letter);
            if newest.len() > count {
                newest.pop_first();
            }
            Ok(())
        })?;
        Ok(newest.into_values().rev().collect())
    }
}

impl DeadLetter {
    /// Cuts a long line to what a list shows, not in the middle of a character.
    fn shorten(&mut self) {
        if self.raw.len() <= SHOWN_BYTES {
            return;
        }
        self.cut_from.get_or_insert(self.raw.len() as i64);
        self.raw.truncate(SHOWN_BYTES);
        if let Err(error) = std::str::from_utf8(&self.raw)
            && error.error_len().is_none()
        {
            self.raw.truncate(error.valid_up_to());
        }
    }
}

/// One row of decoded columns.
struct Reading<'a> {
    found: &'a [Option<&'a ColumnVector>],
    row: usize,
}

impl Reading<'_> {
    fn letter(&self, id: Timestamp, code: Arc<str>) -> DeadLetter {
        let text = |at| String::from_utf8_lossy(self.bytes(at).unwrap_or_default()).into_owned();
        let raw = self.bytes(RAW).or_else(|| self.bytes(TEXT));
        let precision = self
            .bytes(PRECISION)
            .and_then(|name| std::str::from_utf8(name).ok());
        let offset = self.integer(OFFSET);
        DeadLetter {
            id,
            code,
            message: text(MESSAGE),
            source: text(SOURCE),
            line: self.integer(LINE).unwrap_or(0),
            raw: raw.unwrap_or_default().to_vec(),
            cut_from: self.integer(LENGTH),
            precision: precision.and_then(Precision::from_name).unwrap_or_default(),
            clock: offset.map(|offset| (text(DEVICE), offset)),
            database: DatabaseId(0),
            measurement: MeasurementId(0),
            series: SeriesId(0),
        }
    }

    fn column(&self, at: usize) -> Option<&ColumnVector> {
        let column = self.found.get(at).copied().flatten()?;
        column.validity.is_valid(self.row).then_some(column)
    }

    fn integer(&self, at: usize) -> Option<i64> {
        match &self.column(at)?.values {
            Values::Integer(values) => values.get(self.row).copied(),
            _ => None,
        }
    }

    fn bytes(&self, at: usize) -> Option<&[u8]> {
        match &self.column(at)?.values {
            Values::String(values) | Values::Binary(values) => Some(values.get(self.row)),
            _ => None,
        }
    }
}

/// Bytes of a line that a list shows at most.
const SHOWN_BYTES: usize = 4096;
