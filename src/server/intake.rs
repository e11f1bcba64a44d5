//! From parsed lines to batches: what a connection remembers of the series and layouts it has seen.
//!
//! Devices repeat themselves, so the next line's series is guessed from the order of the last round (one
//! comparison), then looked up by its raw bytes, and only then resolved by name. Owns no socket.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::error::Code;
use edgetime_protocol::line::key;
use edgetime_protocol::line::{Hints, Layout as LineLayout, RawKey, Row, unescape_string};
use hashbrown::HashTable;

use crate::engine::{Batch, Engine, EngineError, Maker, RowPlan, SeriesRef, TimeBounds};
use crate::types::{DatabaseId, FieldType, Timestamp};

use super::codes::code_of;

/// A refused row: its stable code and the reason in words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// The reason.
    pub message: String,
    /// The row's time, where that is the reason and the fault of a clock.
    pub time: Option<Timestamp>,
}

impl Refusal {
    /// A refusal for another reason than the row's time.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            time: None,
        }
    }
}

/// The series and layouts that a connection has written to one database.
#[derive(Debug)]
pub struct Intake {
    engine: Arc<Engine>,
    /// Whose series are that are made.
    maker: Option<Arc<Maker>>,
    database: DatabaseId,
    /// Measurements that were dropped when `known` began.
    drops: u64,
    known: Known,
    heap: Vec<u8>,
    bits: Vec<u64>,
    marks: Vec<u8>,
}

/// What the parser asks while it reads a line.
#[derive(Debug)]
struct Known {
    /// The key of the hashes: who sends lines cannot choose some that collide.
    seed: u64,
    series: Vec<KnownSeries>,
    by_key: HashTable<u32>,
    layouts: Vec<KnownLayout>,
    /// The series of the line before.
    last: u32,
    /// The series of this line, once its key is known.
    current: u32,
}

#[derive(Debug)]
struct KnownSeries {
    key: Box<[u8]>,
    series: SeriesRef,
    layout: u32,
    /// The series whose line came after this one's the last time.
    next: u32,
}

#[derive(Debug)]
struct KnownLayout {
    line: LineLayout,
    kinds: Box<[FieldType]>,
    plan: RowPlan,
    /// The layout's number in the batch that is being gathered.
    in_batch: u16,
    batch: u64,
}

const NONE: u32 = u32::MAX;
/// Series a connection remembers; beyond this it begins anew.
const SERIES_MAX: usize = 200_000;
/// Layouts a connection remembers, likewise.
const LAYOUTS_MAX: usize = 4_096;

impl Hints for Known {
    #[inline]
    fn predicted(&self) -> &[u8] {
        let next = self.series.get(self.last as usize).map(|last| last.next);
        next.and_then(|next| self.series.get(next as usize))
            .map_or(&[], |series| &series.key)
    }

    #[inline]
    fn layout(&mut self, key: &RawKey<'_>) -> Option<&LineLayout> {
        self.current = if key.predicted {
            self.series[self.last as usize].next
        } else {
            self.find(key.bytes)
        };
        let series = self.series.get(self.current as usize)?;
        Some(&self.layouts[series.layout as usize].line)
    }
}

impl Known {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            series: Vec::new(),
            by_key: HashTable::new(),
            layouts: Vec::new(),
            last: NONE,
            current: NONE,
        }
    }

    fn find(&self, key: &[u8]) -> u32 {
        self.by_key
            .find(hash(self.seed, key), |&index| {
                *self.series[index as usize].key == *key
            })
            .copied()
            .unwrap_or(NONE)
    }

    fn insert(&mut self, key: &[u8], series: SeriesRef, layout: u32) -> u32 {
        if self.series.len() >= SERIES_MAX {
            *self = Self {
                layouts: std::mem::take(&mut self.layouts),
                ..Self::new(self.seed)
            };
        }
        let index = self.series.len() as u32;
        self.series.push(KnownSeries {
            key: key.into(),
            series,
            layout,
            next: NONE,
        });
        let (all, seed) = (&self.series, self.seed);
        self.by_key.insert_unique(hash(seed, key), index, |&index| {
            hash(seed, &all[index as usize].key)
        });
        index
    }

    /// Remembers that the current series' line came after the last one's.
    #[inline]
    fn step(&mut self) {
        if let Some(last) = self.series.get_mut(self.last as usize) {
            last.next = self.current;
        } else if let Some(first) = self.series.get_mut(self.current as usize)
            && first.next == NONE
        {
            first.next = self.current;
        }
        self.last = self.current;
    }
}

impl Intake {
    /// Nothing known yet.
    pub fn new(engine: Arc<Engine>, maker: Option<Arc<Maker>>, database: DatabaseId) -> Self {
        Self {
            maker,
            drops: engine.drops(),
            known: Known::new(engine.hash_seed()),
            engine,
            database,
            heap: Vec::new(),
            bits: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// What the parser asks while it reads a line.
    pub fn hints(&mut self) -> &mut impl Hints {
        if self.engine.drops() != self.drops {
            // Among what is known may be a measurement that is gone, or a series of another class now.
            let maker = self.maker.take();
            *self = Self::new(Arc::clone(&self.engine), maker, self.database);
        }
        self.known.current = NONE;
        &mut self.known
    }

    /// The database that rows go to.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// Adds a row to a batch. `tag` is the caller's name for it; `batch_number` changes with every batch.
    #[inline]
    pub fn push(
        &mut self,
        row: &Row<'_>,
        bounds: &TimeBounds,
        (batch, batch_number): (&mut Batch, u64),
        tag: u32,
    ) -> Result<(), Refusal> {
        if let Some(time) = row.time {
            bounds.check(time).map_err(|error| refusal(&error))?;
        }
        let current = self.known.current;
        let Some(series) = self.known.series.get(current as usize) else {
            return self.push_slowly(row, bounds, (batch, batch_number), tag);
        };
        let layout = &mut self.known.layouts[series.layout as usize];
        if !row.layout_matched || *row.kinds() != *layout.kinds {
            return self.push_slowly(row, bounds, (batch, batch_number), tag);
        }
        check_class(bounds, series.series, row)?;
        if layout.batch != batch_number {
            layout.in_batch = batch.layout_index(&layout.plan.layout);
            layout.batch = batch_number;
        }
        let target = series.series;
        if layout.plan.is_plain {
            let cells = (row.cells(), row.marks(), &[][..]);
            batch.push(target, layout.in_batch, row.time, cells, tag);
        } else {
            let (in_batch, plan) = (layout.in_batch, layout.plan.clone());
            self.push_planned(row, target, (in_batch, &plan), batch, tag)?;
        }
        self.known.step();
        Ok(())
    }

    /// A row of a series or of a shape that is new to this connection.
    #[cold]
    fn push_slowly(
        &mut self,
        row: &Row<'_>,
        bounds: &TimeBounds,
        (batch, batch_number): (&mut Batch, u64),
        tag: u32,
    ) -> Result<(), Refusal> {
        let current = self.known.find(row.key);
        let target = match self.known.series.get(current as usize) {
            Some(known) => known.series,
            None => self.resolve_series(row)?,
        };
        check_class(bounds, target, row)?;
        let layout = self.resolve_layout(row, target)?;
        self.known.current = match self.known.series.get_mut(current as usize) {
            Some(known) => {
                known.layout = layout;
                current
            }
            None => self.known.insert(row.key, target, layout),
        };
        let known = &mut self.known.layouts[layout as usize];
        known.in_batch = batch.layout_index(&known.plan.layout);
        known.batch = batch_number;
        let (in_batch, plan) = (known.in_batch, known.plan.clone());
        self.push_planned(row, target, (in_batch, &plan), batch, tag)?;
        self.known.step();
        Ok(())
    }

    /// Brings cells into the order of the layout and strings into one heap, unescaped.
    fn push_planned(
        &mut self,
        row: &Row<'_>,
        target: SeriesRef,
        (in_batch, plan): (u16, &RowPlan),
        batch: &mut Batch,
        tag: u32,
    ) -> Result<(), Refusal> {
        plan.check(row.cells(), row.marks())
            .map_err(|error| refusal(&error))?;
        self.heap.clear();
        self.bits.clear();
        self.marks.clear();
        for (i, column) in plan.layout.columns.iter().enumerate() {
            let field = plan
                .sources
                .as_ref()
                .map_or(i, |sources| usize::from(sources[i]));
            let (mut bits, mut mark) = (row.cells()[field], row.marks()[field]);
            if column.field_type == FieldType::String && mark != MARK_NULL {
                let start = self.heap.len();
                if mark == 0 {
                    self.heap.extend_from_slice(row.string(bits));
                } else {
                    unescape_string(row.string(bits), &mut self.heap);
                }
                bits = cell::heap(start as u32, (self.heap.len() - start) as u32);
                mark = 0;
            }
            self.bits.push(bits);
            self.marks.push(mark);
        }
        batch.push(
            target,
            in_batch,
            row.time,
            (&self.bits, &self.marks, &self.heap),
            tag,
        );
        Ok(())
    }

    fn resolve_series(&mut self, row: &Row<'_>) -> Result<SeriesRef, Refusal> {
        let limits = super::line_limits();
        let key = key::parse(row.key, &limits).map_err(|error| super::refusal_of_line(&error))?;
        let measurement = key.measurement();
        if !self.engine.is_open(self.database, &measurement) {
            // No series comes into being by a row that is refused.
            let names = field_names(row);
            let (fields, cells) = (fields(row, &names), (row.cells(), row.marks()));
            self.engine
                .admit_row(self.database, &measurement, &fields, cells)
                .map_err(|error| refusal(&error))?;
        }
        let tags: Vec<_> = key.tags().collect();
        let mut tags: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        self.engine
            .resolve_series_for(
                self.maker.as_deref(),
                self.database,
                &measurement,
                &mut tags,
            )
            .map_err(|error| refusal(&error))
    }

    fn resolve_layout(&mut self, row: &Row<'_>, target: SeriesRef) -> Result<u32, Refusal> {
        let line = LineLayout::from_row(row);
        let found = self.known.layouts.iter().position(|known| {
            known.plan.layout.measurement == target.measurement
                && *known.kinds == *row.kinds()
                && known.line.joined() == line.joined()
        });
        if let Some(found) = found {
            return Ok(found as u32);
        }
        if self.known.layouts.len() >= LAYOUTS_MAX {
            self.known = Known::new(self.known.seed);
        }
        let names = field_names(row);
        let plan = self
            .engine
            .resolve_layout(target.measurement, &fields(row, &names))
            .map_err(|error| refusal(&error))?;
        self.known.layouts.push(KnownLayout {
            line,
            kinds: row.kinds().into(),
            plan,
            in_batch: 0,
            batch: u64::MAX,
        });
        Ok(self.known.layouts.len() as u32 - 1)
    }
}

fn field_names<'a>(row: &Row<'a>) -> Vec<Cow<'a, str>> {
    row.keys().map(key::unescape_field_key).collect()
}

/// The fields of a row with their types.
fn fields<'a>(row: &Row<'_>, names: &'a [Cow<'_, str>]) -> Vec<(&'a str, FieldType)> {
    let names = names.iter().map(|name| &**name);
    names.zip(row.kinds().iter().copied()).collect()
}

/// An error of the engine as a refusal of one row.
pub fn refusal(error: &EngineError) -> Refusal {
    Refusal {
        time: match *error {
            EngineError::TooEarly { time, .. } | EngineError::TooLate { time, .. } => Some(time),
            _ => None,
        },
        ..Refusal::new(code_of(error), error.to_string())
    }
}

/// Refuses a row that has expired for the class of its series.
#[inline]
fn check_class(bounds: &TimeBounds, series: SeriesRef, row: &Row<'_>) -> Result<(), Refusal> {
    let Some(time) = row.time else {
        return Ok(());
    };
    bounds
        .check_class(series, time)
        .map_err(|error| refusal(&error))
}

fn hash(seed: u64, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(key);
    hasher.finish()
}
