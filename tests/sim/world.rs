//! The store in its world: clock, writing and reading through the library's own doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use edgetime_protocol::cell;
use edgetimedb::clock::Clock;
use edgetimedb::engine::{
    Access, Batch, Deleted, DroppedMeasurement, Engine, EngineError, Reject, SeriesRef,
};
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::result::ResultCell;
use edgetimedb::query::{QueryContext, QueryLimits, Store, query};
use edgetimedb::series::vector::{ColumnVector, Values};
use edgetimedb::storage::FileStorage;
use edgetimedb::storage::simulated::{Random, SimulatedStorage};
use edgetimedb::types::{FieldType, MeasurementId, Precision, SeriesId, StoreId, TimeRange};

use super::model::{Failure, Fields, Kind, Row, SeriesName, Shown, Value};
use super::plan::{DATABASES, FIELDS, MEASUREMENTS, NOW, Plan};

/// A wall clock that jumps, and a monotonic one that does not.
#[derive(Debug)]
pub struct JumpingClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl JumpingClock {
    pub fn new() -> Self {
        Self {
            wall_ns: AtomicI64::new(NOW),
            monotonic_ns: AtomicU64::new(0),
        }
    }

    pub fn advance(&self, by_ns: u64) {
        self.wall_ns.fetch_add(by_ns as i64, Ordering::Relaxed);
        self.monotonic_ns.fetch_add(by_ns, Ordering::Relaxed);
    }

    pub fn set(&self, wall_ns: i64) {
        self.wall_ns.store(wall_ns, Ordering::Relaxed);
    }

    pub fn jump(&self, by_ns: i64) {
        self.wall_ns.fetch_add(by_ns, Ordering::Relaxed);
    }
}

impl Clock for JumpingClock {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::Relaxed)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::Relaxed)
    }
}

/// Opens the store on a disk.
pub fn open(
    disk: &SimulatedStorage,
    clock: &Arc<JumpingClock>,
    plan: &Plan,
) -> Result<Arc<Engine>, String> {
    let storage = Arc::new(disk.clone());
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let meta = Arc::new(MemoryMeta::default());
    let opened = Engine::open(storage, meta, clock, StoreId(0x51), plan.engine.clone());
    opened.map(Arc::new).map_err(|error| error.to_string())
}

/// Opens the store on a disk whose power may go meanwhile, once in four times, until it is open.
pub fn start(
    disk: &mut SimulatedStorage,
    clock: &Arc<JumpingClock>,
    plan: &Plan,
    random: &mut Random,
) -> Result<Arc<Engine>, Failure> {
    loop {
        disk.cut_never();
        if random.one_in(4) {
            disk.cut_after(random.below(30));
        }
        match open(disk, clock, plan) {
            Ok(engine) if !disk.is_off() => return Ok(engine),
            Err(error) if !disk.is_off() => return Err(Failure::new(Kind::Refused, error)),
            _ => *disk = disk.after_cut(),
        }
    }
}

/// Opens the copy of a store in a folder.
pub fn open_folder(
    folder: &std::path::Path,
    clock: &Arc<JumpingClock>,
    plan: &Plan,
) -> Result<Arc<Engine>, String> {
    let storage = FileStorage::open(folder).map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let meta = Arc::new(MemoryMeta::default());
    let options = plan.engine.clone();
    let opened = Engine::open(Arc::new(storage), meta, clock, StoreId(0x51), options);
    opened.map(Arc::new).map_err(|error| error.to_string())
}

/// A folder for a copy: in memory, where there is such a place.
pub fn folder() -> std::io::Result<tempfile::TempDir> {
    let shared = std::path::Path::new("/dev/shm");
    if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    }
}

/// A rejected line.
pub fn reject(code: &str, line: u64) -> Reject<'_> {
    Reject {
        code,
        message: "nobody understands it",
        source: "simulation",
        line,
        raw: b"a b c",
        precision: Precision::Nanoseconds,
        clock: None,
    }
}

/// A batch of rejected lines.
pub fn rejects(engine: &Engine, database: u8, lines: u64) -> Result<Batch, String> {
    let said = |error: EngineError| error.to_string();
    let database = DATABASES[usize::from(database)];
    let database = engine.resolve_database(&Access::full(), database);
    let database = database.map_err(said)?;
    let mut batch = engine.batch();
    for line in 0..lines {
        let reject = reject("bad_line", line);
        engine
            .push_reject(&mut batch, database, &reject)
            .map_err(said)?;
    }
    Ok(batch)
}

/// Adds a row to a batch; the series, as the engine knows it.
pub fn push(engine: &Engine, batch: &mut Batch, row: &Row, tag: u32) -> Result<SeriesRef, String> {
    push_at(engine, batch, row, Some(row.time), tag)
}

/// As [`push`], with another time or none.
pub fn push_at(
    engine: &Engine,
    batch: &mut Batch,
    row: &Row,
    time: Option<i64>,
    tag: u32,
) -> Result<SeriesRef, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let database = DATABASES[usize::from(row.series.database)];
    let measurement = MEASUREMENTS[usize::from(row.series.measurement)];
    let tag_value = format!("t{}", row.series.tag);
    let database = engine
        .resolve_database(&Access::full(), database)
        .map_err(|error| said(&error))?;
    let series = engine
        .resolve_series(database, measurement, &mut [("h", &tag_value)])
        .map_err(|error| said(&error))?;
    let fields: Vec<(&str, FieldType)> = row
        .fields
        .iter()
        .map(|(field, value)| (FIELDS[usize::from(*field)], value.field_type()))
        .collect();
    let plan = engine
        .resolve_layout(series.measurement, &fields)
        .map_err(|error| said(&error))?;
    let index = batch.layout_index(&plan.layout);
    let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
    for (_, value) in &row.fields {
        let (bit, mark) = cell_of(value, &mut heap);
        bits.push(bit);
        marks.push(mark);
    }
    batch.push(series, index, time, (&bits, &marks, &heap), tag);
    Ok(series)
}

/// A measurement, and those of its series that are asked for.
pub type Chosen = (MeasurementId, Vec<(SeriesId, SeriesName)>);

/// The series of a measurement that are asked for, if it is there.
pub fn series_of(
    engine: &Engine,
    (database, measurement): (u8, u8),
    is_asked: &dyn Fn(&SeriesName) -> bool,
) -> Result<Option<Chosen>, String> {
    let names = (
        DATABASES[usize::from(database)],
        MEASUREMENTS[usize::from(measurement)],
    );
    let view = engine.measurement(&Access::full(), names.0, names.1);
    let Some(view) = view.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let mut chosen = Vec::new();
    for series in engine.select_series(view.id, &|_| true) {
        let name = SeriesName {
            database,
            measurement,
            tag: tag_of(&series.tags).map_err(|failure| failure.text)?,
        };
        if is_asked(&name) {
            chosen.push((series.id, name));
        }
    }
    Ok(Some((view.id, chosen)))
}

/// Deletes rows of some series from one time up to another.
pub fn delete(
    engine: &Engine,
    database: u8,
    measurement: MeasurementId,
    series: &[(SeriesId, SeriesName)],
    (start, end): (i64, i64),
) -> Result<Deleted, EngineError> {
    let ids: Vec<SeriesId> = series.iter().map(|(id, _)| *id).collect();
    let database = DATABASES[usize::from(database)];
    let range = TimeRange { start, end };
    engine.delete(&Access::full(), database, measurement, &ids, range)
}

/// Drops a measurement.
pub fn drop_measurement(
    engine: &Engine,
    database: u8,
    measurement: MeasurementId,
) -> Result<DroppedMeasurement, EngineError> {
    let database = DATABASES[usize::from(database)];
    engine.drop_measurement(&Access::full(), database, measurement)
}

fn cell_of(value: &Value, heap: &mut Vec<u8>) -> (u64, u8) {
    match value {
        Value::Float(bits) => {
            // As a parser would: tenths as a decimal, all else as it is.
            let tenths = f64::from_bits(*bits) * 10.0;
            let is_decimal = tenths.fract() == 0.0
                && tenths.abs() < 1e9
                && cell::float(tenths as i64 as u64, 1).to_bits() == *bits;
            if is_decimal {
                (tenths as i64 as u64, 1)
            } else {
                (*bits, cell::MARK_RAW)
            }
        }
        Value::Integer(number) => (*number as u64, 0),
        Value::Unsigned(number) => (*number, 0),
        Value::Boolean(flag) => (u64::from(*flag), 0),
        Value::String(bytes) | Value::Binary(bytes) => {
            let start = heap.len() as u32;
            heap.extend_from_slice(bytes);
            (cell::heap(start, bytes.len() as u32), 0)
        }
    }
}

/// A value for a field. `x` and `y` change their type, `raw` is any double, the others have one type.
pub fn value(field: u8, long: bool, random: &mut Random) -> Value {
    let text = |random: &mut Random| {
        let len = if long { 1_500 } else { random.below(12) };
        (0..len).map(|_| b'a' + random.below(26) as u8).collect()
    };
    match (field, random.below(3)) {
        (0, _) | (5, 0) => Value::Integer(random.below(2_000_001) as i64 - 1_000_000),
        (1 | 7, _) | (5, 1) => {
            let tenths = random.below(20_000) as i64 - 10_000;
            Value::Float(cell::float(tenths as u64, 1).to_bits())
        }
        (2, _) => Value::Unsigned(u64::MAX - random.below(1_000)),
        (3, _) | (6, 0) => Value::Boolean(random.below(2) == 0),
        (8, _) => Value::Float(random.next()),
        (6 | 9, _) => Value::Binary(text(random)),
        _ => Value::String(text(random)),
    }
}

/// All rows, read series by series.
pub fn read(engine: &Arc<Engine>) -> Result<Shown, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new(Kind::Refused, error.to_string());
    let mut shown = Shown::new();
    for (database, database_name) in DATABASES.iter().enumerate() {
        for (measurement, name) in MEASUREMENTS.iter().enumerate() {
            let view = engine
                .measurement(&Access::full(), database_name, name)
                .map_err(|error| refused(&error))?;
            let Some(view) = view else { continue };
            let ids: Vec<_> = view.columns.iter().map(|column| column.id).collect();
            let fields: Vec<u8> = view
                .columns
                .iter()
                .map(|column| {
                    let place = FIELDS.iter().position(|name| *name == &*column.name);
                    place.map(|place| place as u8).ok_or_else(|| {
                        Failure::new(Kind::Invented, format!("column {}", column.name))
                    })
                })
                .collect::<Result<_, _>>()?;
            for series in engine.select_series(view.id, &|_| true) {
                let series_name = SeriesName {
                    database: database as u8,
                    measurement: measurement as u8,
                    tag: tag_of(&series.tags)?,
                };
                let mut reader = engine.read_series(series.id, TimeRange::ALL, &ids);
                while let Some((times, columns)) =
                    reader.next_batch().map_err(|error| refused(&error))?
                {
                    for (row, &time) in times.iter().enumerate() {
                        let fields = fields_of(&columns, &fields, row)?;
                        if shown.insert((series_name, time), fields).is_some() {
                            let text = format!("{series_name:?} shows {time} twice");
                            return Err(Failure::new(Kind::Wrong, text));
                        }
                    }
                }
            }
        }
    }
    Ok(shown)
}

fn tag_of(tags: &[(Arc<str>, Arc<str>)]) -> Result<u8, Failure> {
    let number = match tags {
        [(key, value)] if &**key == "h" => value.strip_prefix('t').and_then(|n| n.parse().ok()),
        _ => None,
    };
    number.ok_or_else(|| Failure::new(Kind::Invented, format!("tags {tags:?}")))
}

fn fields_of(columns: &[ColumnVector], names: &[u8], row: usize) -> Result<Fields, Failure> {
    let mut fields = Fields::new();
    for (column, name) in columns.iter().zip(names) {
        if !column.validity.is_valid(row) {
            continue;
        }
        let value = match &column.values {
            Values::Float(values) => Value::Float(values[row].to_bits()),
            Values::Integer(values) => Value::Integer(values[row]),
            Values::Unsigned(values) => Value::Unsigned(values[row]),
            Values::Boolean(values) => Value::Boolean(values[row]),
            Values::String(values) => Value::String(values.get(row).to_vec()),
            Values::Binary(values) => Value::Binary(values.get(row).to_vec()),
        };
        if let Some(other) = fields.insert(*name, value.clone()) {
            let text = format!("field {name} has two lanes: {other:?} and {value:?}");
            return Err(Failure::new(Kind::Wrong, text));
        }
    }
    Ok(fields)
}

/// The answer to a query: a line a row, cells joined by `|`.
pub fn ask(engine: &Arc<Engine>, database: &str, text: &str) -> Result<Vec<String>, String> {
    let store = Store::new(Arc::clone(engine), Access::full());
    let context = QueryContext {
        memory: None,
        database,
        now_ns: engine.clock().wall_ns(),
        limits: QueryLimits::default(),
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    let mut lines = Vec::new();
    let mut sink = |batch: edgetimedb::query::result::ResultBatch| {
        for row in 0..batch.rows() {
            let cells: Vec<String> = batch
                .columns
                .iter()
                .map(|column| match column.cell(row) {
                    ResultCell::Null => "NULL".to_owned(),
                    ResultCell::Integer(number) | ResultCell::Time(number) => number.to_string(),
                    ResultCell::Unsigned(number) => number.to_string(),
                    ResultCell::String(text) => text.to_owned(),
                    other => format!("{other:?}"),
                })
                .collect();
            lines.push(cells.join("|"));
        }
        Ok(())
    };
    query(&store, text, &context, &mut |_| Ok(()), &mut sink)
        .map(|_| ())
        .map_err(|error| error.to_string())?;
    Ok(lines)
}
