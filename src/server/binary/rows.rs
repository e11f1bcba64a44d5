//! From a batch on the wire to one of the engine: declared names become series and layouts, columns become rows.
//!
//! What cannot be stored costs its row; what breaks the protocol costs the connection, and nothing of its batch is
//! stored. Owns no socket.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::error::Code;
use edgetime_protocol::line::{Value, encode};
use edgetime_protocol::write::{
    BatchHead, BatchReader, Column, NameError, Names, Section, Written,
};

use crate::engine::{
    Access, Batch, Engine, EngineError, Reject, RowPlan, SeriesRef, TimeBounds, WrongClock,
};
use crate::limits::VALUE_BYTES;
use crate::types::{DatabaseId, FieldType, MeasurementId, Position, Precision};

use super::super::DEFAULT_DATABASE;
use super::super::intake::{Refusal, refusal};

/// What a connection's declared numbers mean to the engine, as far as rows have asked.
#[derive(Debug)]
pub struct Rows {
    engine: Arc<Engine>,
    access: Arc<Access>,
    source: String,
    /// When what follows was resolved: measurements dropped, and times that the peer forgot its names.
    known_at: (u64, u64),
    databases: Vec<Option<DatabaseId>>,
    series: Vec<Option<SeriesRef>>,
    layouts: Vec<Option<RowPlan>>,
    section: Section,
    bits: Vec<u64>,
    marks: Vec<u8>,
}

/// A batch that was gathered.
#[derive(Debug)]
pub struct Gathered {
    /// What the batch says of itself.
    pub head: BatchHead,
    /// How many rows it has, refused ones included.
    pub rows: u64,
    /// Refused rows so far.
    pub written: Written,
    /// Where the batch was there already: nothing of it was gathered.
    pub repeated: Option<Repeated>,
}

/// A producer's batch that was there already.
#[derive(Debug)]
pub struct Repeated {
    /// It lies before this position.
    pub position: Position,
    /// Its rows, by database.
    pub rows: BTreeMap<DatabaseId, u64>,
}

/// The tag of rows that keep refused rows: they are nobody's rows.
pub const REJECT_TAG: u32 = u32::MAX;

impl Rows {
    /// Nothing known yet. `source` is what refused rows say of where they came from.
    pub fn new(engine: Arc<Engine>, source: String) -> Self {
        Self {
            engine,
            access: Arc::new(Access::full()),
            source,
            known_at: (0, 0),
            databases: Vec::new(),
            series: Vec::new(),
            layouts: Vec::new(),
            section: Section::default(),
            bits: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// What is resolved from now on is so by these rights; what was before is forgotten.
    pub fn set_access(&mut self, access: &Arc<Access>) {
        self.access = Arc::clone(access);
        self.forget();
    }

    fn forget(&mut self) {
        self.databases.clear();
        self.series.clear();
        self.layouts.clear();
    }

    /// Adds the rows of a payload to an empty batch, those that are refused to what keeps them. An error breaks the
    /// protocol.
    pub fn gather(
        &mut self,
        payload: &[u8],
        names: &Names,
        bounds: &TimeBounds,
        has_producers: bool,
        batch: &mut Batch,
    ) -> Result<Gathered, String> {
        let now = (self.engine.drops(), names.generation());
        if self.known_at != now {
            self.known_at = now;
            self.forget();
        }
        let mut reader = BatchReader::open(payload).map_err(|error| error.to_string())?;
        let producer = reader.head().producer;
        if producer.is_some() && !has_producers {
            return Err("a producer without the feature that allows it".to_owned());
        }
        let known = producer.and_then(|producer| self.engine.known_batch(producer));
        let mut gathered = Gathered {
            head: reader.head(),
            rows: 0,
            written: Written::default(),
            repeated: known.map(|position| Repeated {
                position,
                rows: BTreeMap::new(),
            }),
        };
        let mut section = std::mem::take(&mut self.section);
        let result = loop {
            match reader.next_section(&mut section) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
            let part = Part {
                names,
                section: &section,
                payload,
            };
            if let Some(repeated) = &mut gathered.repeated {
                match part.check_layout() {
                    Ok(table) => {
                        let database = self.database_to_keep_in(names, table);
                        *repeated
                            .rows
                            .entry(database.unwrap_or_default())
                            .or_default() += section.rows() as u64;
                    }
                    Err(error) => break Err(error),
                }
                continue;
            }
            if let Err(error) = self.gather_section(&part, bounds, batch, &mut gathered) {
                break Err(error);
            }
        };
        self.section = section;
        result.map(|()| gathered)
    }

    fn gather_section(
        &mut self,
        part: &Part<'_>,
        bounds: &TimeBounds,
        batch: &mut Batch,
        gathered: &mut Gathered,
    ) -> Result<(), String> {
        let section = part.section;
        let table = part.check_layout()?;
        let first = gathered.rows as u32;
        gathered.rows += section.rows() as u64;
        let plan = self.layout(part, table);
        let in_batch = plan
            .as_ref()
            .map_or(0, |plan| batch.layout_index(&plan.layout));
        let columns: Vec<&Column> = match &plan {
            Ok(RowPlan {
                sources: Some(sources),
                ..
            }) => sources
                .iter()
                .map(|&source| &section.columns()[usize::from(source)])
                .collect(),
            _ => section.columns().iter().collect(),
        };
        let has_nulls = columns
            .iter()
            .any(|column| column.marks().contains(&MARK_NULL));
        let has_bytes = columns.iter().any(|column| is_bytes(column.field_type()));
        for row in 0..section.rows() {
            let series = part.check_series(row, table)?;
            self.bits.clear();
            self.marks.clear();
            for column in &columns {
                self.bits.push(column.bits()[row]);
                self.marks.push(column.marks()[row]);
            }
            let target = self
                .series(part, series)
                .and_then(|target| match &plan {
                    Ok(plan) => {
                        check_ranges(plan, section, row)?;
                        Ok(target)
                    }
                    Err(refusal) => Err(refusal.clone()),
                })
                .and_then(|target| {
                    if let Some(time) = section.time(row) {
                        let checked = bounds.check(time);
                        let checked = checked.and_then(|()| bounds.check_class(target, time));
                        checked.map_err(|error| refusal(&error))?;
                    }
                    if has_nulls && self.marks.iter().all(|&mark| mark == MARK_NULL) {
                        return Err(refused(Code::BadSyntax, "a row without a value"));
                    }
                    if has_bytes {
                        check_lengths(&columns, row)?;
                    }
                    Ok(target)
                });
            match target {
                Ok(target) => {
                    let cells = (&self.bits[..], &self.marks[..], part.payload);
                    batch.push(
                        target,
                        in_batch,
                        section.time(row),
                        cells,
                        first + row as u32,
                    );
                }
                Err(refusal) => {
                    let number = first + row as u32;
                    self.keep(part, row, number, table, &refusal, batch);
                    let message = || refusal.message;
                    gathered.written.refuse(number, refusal.code, message);
                }
            }
        }
        Ok(())
    }

    fn database(&mut self, names: &Names, table: u32) -> Result<DatabaseId, Refusal> {
        if let Some(Some(known)) = self.databases.get(table as usize) {
            return Ok(*known);
        }
        let (name, _) = names.table(table).map_err(of_name)?;
        let name = if name.is_empty() {
            DEFAULT_DATABASE
        } else {
            name
        };
        let resolved = self.engine.resolve_database(&self.access, name);
        let id = resolved.map_err(|error| refusal(&error))?;
        remember(&mut self.databases, table, id);
        Ok(id)
    }

    fn series(&mut self, part: &Part<'_>, number: u32) -> Result<SeriesRef, Refusal> {
        if let Some(Some(known)) = self.series.get(number as usize) {
            return Ok(*known);
        }
        let Some(declared) = part.names.series(number) else {
            return Err(refused(Code::Internal, "a series that is not declared"));
        };
        let database = self.database(part.names, declared.table)?;
        let (_, measurement) = part.names.table(declared.table).map_err(of_name)?;
        let mut tags = declared.tags().map_err(of_name)?;
        let resolved = self
            .engine
            .resolve_series_for(
                self.access.maker().map(|maker| &**maker),
                database,
                measurement,
                &mut tags,
            )
            .map_err(|error| refusal(&error))?;
        remember(&mut self.series, number, resolved);
        Ok(resolved)
    }

    fn layout(&mut self, part: &Part<'_>, table: u32) -> Result<RowPlan, Refusal> {
        let number = part.section.layout();
        if let Some(Some(known)) = self.layouts.get(number as usize) {
            return Ok(known.clone());
        }
        let fields = part.names.fields(number).map_err(of_name)?;
        let measurement = self.measurement(part, table)?;
        let plan = self
            .engine
            .resolve_layout(measurement, &fields)
            .map_err(|error| refusal(&error))?;
        remember(&mut self.layouts, number, plan.clone());
        Ok(plan)
    }

    /// The measurement of a section's table, which comes with the first of its series that can be had.
    fn measurement(&mut self, part: &Part<'_>, table: u32) -> Result<MeasurementId, Refusal> {
        let mut first = Err(refused(Code::Internal, "a section without rows"));
        for row in 0..part.section.rows() {
            let number = part.section.series(row);
            if part.names.series(number).is_none_or(|of| of.table != table) {
                continue;
            }
            match self.series(part, number) {
                Ok(series) => return Ok(series.measurement),
                Err(refusal) if row == 0 => first = Err(refusal),
                Err(_) => {}
            }
        }
        first
    }

    /// The database of a table, or the default one where it can have none.
    fn database_to_keep_in(
        &mut self,
        names: &Names,
        table: u32,
    ) -> Result<DatabaseId, EngineError> {
        self.database(names, table).or_else(|_| {
            self.engine
                .resolve_database(&Access::full(), DEFAULT_DATABASE)
        })
    }

    /// Keeps a row that cannot be stored where it can be read back.
    fn keep(
        &mut self,
        part: &Part<'_>,
        row: usize,
        number: u32,
        table: u32,
        refusal: &Refusal,
        batch: &mut Batch,
    ) {
        let database = self.database_to_keep_in(part.names, table);
        let address = self.source.rsplit_once(':').map(|(address, _)| address);
        let device = address.unwrap_or(&self.source);
        let reject = Reject {
            code: refusal.code.name(),
            message: &refusal.message,
            source: &self.source,
            line: u64::from(number) + 1,
            raw: &part.text(row, table),
            precision: Precision::Nanoseconds,
            clock: refusal.time.map(|time| WrongClock { device, time }),
        };
        let kept = database.and_then(|database| {
            self.engine.count_rejects(database, reject.code, 1);
            if refusal.code.is_retryable() {
                return Ok(());
            }
            self.engine.push_reject(batch, database, &reject)
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "a refused row could not be kept");
        }
    }
}

/// A section and what its numbers stand for.
struct Part<'a> {
    names: &'a Names,
    section: &'a Section,
    payload: &'a [u8],
}

impl Part<'_> {
    /// The table of the section's layout, whose types its columns must have.
    fn check_layout(&self) -> Result<u32, String> {
        let number = self.section.layout();
        let Some((table, types)) = self.names.layout(number) else {
            return Err(format!("layout {number} is not declared"));
        };
        let columns = self.section.columns();
        if types.len() != columns.len()
            || !types
                .zip(columns)
                .all(|(kind, column)| kind == column.field_type())
        {
            return Err(format!("columns that are not those of layout {number}"));
        }
        Ok(table)
    }

    fn check_series(&self, row: usize, table: u32) -> Result<u32, String> {
        let number = self.section.series(row);
        match self.names.series(number) {
            Some(series) if series.table == table => Ok(number),
            Some(_) => Err(format!(
                "series {number} is of another table than its layout"
            )),
            None => Err(format!("series {number} is not declared")),
        }
    }

    /// A row as the line that would have said the same; what a line cannot say is written as it comes.
    fn text(&self, row: usize, table: u32) -> Vec<u8> {
        let mut out = Vec::new();
        let name = |out: &mut Vec<u8>, name: &str| {
            let start = out.len();
            if encode::key(out, name).is_err() {
                out.truncate(start);
                out.extend_from_slice(name.as_bytes());
            }
        };
        match self.names.table(table) {
            Ok((_, measurement)) if encode::measurement(&mut out, measurement).is_ok() => {}
            _ => out.extend_from_slice(b"?"),
        }
        let series = self.names.series(self.section.series(row));
        for (key, value) in series
            .and_then(|series| series.tags().ok())
            .unwrap_or_default()
        {
            out.push(b',');
            name(&mut out, key);
            out.push(b'=');
            name(&mut out, value);
        }
        let fields = self.names.fields(self.section.layout()).unwrap_or_default();
        let mut separator = b' ';
        for (column, (key, _)) in self.section.columns().iter().zip(fields) {
            if column.marks()[row] == MARK_NULL {
                continue;
            }
            out.push(separator);
            separator = b',';
            name(&mut out, key);
            out.push(b'=');
            self.put_value(&mut out, column, row);
        }
        let mut time = String::new();
        if let Some(at) = self.section.time(row) {
            write!(time, " {at}").expect("memory");
        }
        out.extend_from_slice(time.as_bytes());
        out
    }

    fn put_value(&self, out: &mut Vec<u8>, column: &Column, row: usize) {
        let (bits, mark) = (column.bits()[row], column.marks()[row]);
        let bytes = || {
            let (at, len) = cell::heap_range(bits);
            &self.payload[at as usize..][..len as usize]
        };
        let value = match column.field_type() {
            FieldType::Float => Value::Float(cell::float(bits, mark)),
            FieldType::Integer => Value::Integer(bits as i64),
            FieldType::Unsigned => Value::Unsigned(bits),
            FieldType::Boolean => Value::Boolean(bits != 0),
            FieldType::String => Value::String(String::from_utf8_lossy(bytes()).into_owned()),
            FieldType::Binary => Value::String(BASE64.encode(bytes())),
        };
        if encode::field_value(out, &value).is_none() {
            out.extend_from_slice(b"NaN");
        }
    }
}

/// Refuses a row with a value outside of its declared range; ranges go by the order in which fields were declared.
fn check_ranges(plan: &RowPlan, section: &Section, row: usize) -> Result<(), Refusal> {
    if plan.ranges.is_none() {
        return Ok(());
    }
    let cells = section.columns().iter();
    let (bits, marks): (Vec<u64>, Vec<u8>) = cells
        .map(|column| (column.bits()[row], column.marks()[row]))
        .unzip();
    plan.check(&bits, &marks).map_err(|error| refusal(&error))
}

fn check_lengths(columns: &[&Column], row: usize) -> Result<(), Refusal> {
    for column in columns {
        let is_value = is_bytes(column.field_type()) && column.marks()[row] != MARK_NULL;
        if is_value && cell::heap_range(column.bits()[row]).1 as usize > VALUE_BYTES {
            let message = "a string or binary value longer than the limit";
            return Err(refused(Code::StringTooLong, message));
        }
    }
    Ok(())
}

fn is_bytes(field_type: FieldType) -> bool {
    matches!(field_type, FieldType::String | FieldType::Binary)
}

fn remember<T>(known: &mut Vec<Option<T>>, number: u32, value: T) {
    let at = number as usize;
    if known.len() <= at {
        known.resize_with(at + 1, || None);
    }
    known[at] = Some(value);
}

fn refused(code: Code, message: &str) -> Refusal {
    Refusal::new(code, message)
}

fn of_name(error: NameError) -> Refusal {
    refused(error.code, error.message)
}
