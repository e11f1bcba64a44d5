//! The same questions to a plain map, to the engine, and to the engine without any of its short cuts:
//! sealed, open, late and overlapping pieces, statistics, chunks left out, limits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use edgetime_protocol::cell;
use proptest::prelude::*;

use super::super::source::{
    MeasurementInfo, ScanRequest, SeriesInfo, SeriesScan, Source, SourceError,
};
use super::super::{ExecutionStats, QueryContext, QueryLimits, Store, query};
use super::{f, i};
use crate::engine::tests::{open, options};
use crate::engine::{Access, Batch, Engine, SeriesRef};
use crate::query::result::{ResultBatch, ResultCell};
use crate::query::testing::Memory;
use crate::query::value::Scalar;
use crate::types::{FieldType, MeasurementId, SeriesId};

/// Field `v` has two lanes.
pub(super) const COLUMNS: [(&str, FieldType); 7] = [
    ("x", FieldType::Float),
    ("k", FieldType::Integer),
    ("u", FieldType::Unsigned),
    ("on", FieldType::Boolean),
    ("s", FieldType::String),
    ("v", FieldType::Float),
    ("v", FieldType::Integer),
];
pub(super) const START: i64 = 1_600_000_000_000_000_000;

/// Rows behind one another, as one sensor sends them.
#[derive(Clone, Debug)]
struct Burst {
    series: usize,
    /// From `START` on.
    from: i64,
    step: i64,
    jitter: bool,
    rows: usize,
    seed: u64,
    /// What the values are like.
    kind: u8,
    seal: bool,
    /// What is deleted behind it: of one series or both, from one time up to another.
    delete: Option<(Option<usize>, i64, i64)>,
}

fn burst() -> impl Strategy<Value = Burst> {
    (
        0usize..2,
        0i64..40_000,
        1i64..40,
        any::<bool>(),
        prop_oneof![1usize..40, 100usize..900],
        any::<u64>(),
        0u8..5,
        any::<bool>(),
        prop::option::weighted(
            0.4,
            (prop::option::of(0usize..2), 0i64..45_000, 1i64..20_000),
        ),
    )
        .prop_map(
            |(series, from, step, jitter, rows, seed, kind, seal, delete)| Burst {
                series,
                from,
                step,
                jitter,
                rows,
                seed,
                kind,
                seal,
                delete,
            },
        )
}

/// A repeatable number for a row of a burst (splitmix64).
fn mix(seed: u64, row: usize, salt: u64) -> u64 {
    let mut z = seed
        .wrapping_add((row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(salt << 32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Burst {
    fn time(&self, row: usize) -> i64 {
        let jitter = if self.jitter {
            (mix(self.seed, row, 1) % self.step as u64) as i64
        } else {
            0
        };
        START + self.from + row as i64 * self.step + jitter
    }

    /// One value a column, null where the row does not write it.
    fn values(&self, row: usize) -> Vec<Scalar> {
        let at = |salt| mix(self.seed, row, salt);
        let sparse = self.kind == 1 || self.kind == 3;
        let maybe = |salt: u64, value: Scalar| {
            if sparse && at(salt + 20).is_multiple_of(4) {
                Scalar::Null
            } else {
                value
            }
        };
        let level = (self.seed % 1_000) as i64;
        let x = match (self.kind, at(2) % 16) {
            (2, _) => (at(2) >> 12) as f64 / 977.0,
            (3, 0) => f64::NAN,
            (3, 1) => -0.0,
            (3, 2) => 1e18,
            _ => (level * 100 + (at(2) % 500) as i64) as f64 / 100.0,
        };
        let k = match (self.kind, at(3) % 64) {
            (3, 0) => i64::MAX,
            (3, 1) => i64::MIN,
            _ => level - 500 + (at(3) % 20) as i64,
        };
        let u = if self.kind == 3 && at(4).is_multiple_of(64) {
            u64::MAX
        } else {
            at(4) % 50 + level as u64
        };
        let v_float = at(7).is_multiple_of(2);
        vec![
            maybe(2, f(x)),
            maybe(3, i(k)),
            maybe(4, Scalar::Unsigned(u)),
            maybe(
                5,
                Scalar::Boolean(self.kind != 4 && at(5).is_multiple_of(3)),
            ),
            maybe(6, Scalar::String(Arc::from(format!("s{}", at(6) % 5)))),
            if v_float {
                f(level as f64 + 0.5)
            } else {
                Scalar::Null
            },
            if v_float { Scalar::Null } else { i(level) },
        ]
    }
}

/// Writes bursts to an engine and to a map.
pub(super) struct Both {
    pub(super) engine: Arc<Engine>,
    rows: Vec<BTreeMap<i64, Vec<Scalar>>>,
    _folder: tempfile::TempDir,
}

impl Both {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = open(folder.path(), options());
        let both = Self {
            engine,
            rows: vec![BTreeMap::new(), BTreeMap::new()],
            _folder: folder,
        };
        for column in COLUMNS {
            let series = both.series(0);
            let resolved = both.engine.resolve_layout(series.measurement, &[column]);
            resolved.expect("room");
        }
        both
    }

    fn series(&self, index: usize) -> SeriesRef {
        let database = self.engine.resolve_database(&Access::full(), "db");
        let host = index.to_string();
        let tags = &mut [("host", host.as_str())];
        let series = self
            .engine
            .resolve_series(database.expect("room"), "m", tags);
        series.expect("room")
    }

    fn write(&mut self, burst: &Burst) {
        let rows = (0..burst.rows).map(|row| (burst.time(row), burst.values(row)));
        self.write_rows(burst.series, rows);
        if burst.seal {
            self.engine.seal_all().expect("seals");
        }
        if let Some((series, from, len)) = burst.delete {
            self.delete(series, START + from..START + from + len);
        }
    }

    /// Deletes by a statement, whose answer is the number of rows.
    pub(super) fn delete(&mut self, series: Option<usize>, times: Range<i64>) {
        let mut gone = 0;
        for (host, rows) in self.rows.iter_mut().enumerate() {
            if series.is_none_or(|series| series == host) {
                let before = rows.len();
                rows.retain(|time, _| !times.contains(time));
                gone += (before - rows.len()) as i64;
            }
        }
        let of_series = series.map_or(String::new(), |host| format!(" AND host = '{host}'"));
        let Range { start, end } = times;
        let text = format!("DELETE FROM m WHERE time >= {start} AND time < {end}{of_series}");
        let (answer, _) = ask(&self.store(), &text).expect("deletes");
        assert_eq!(rows(&answer), [[ResultCell::Integer(gone)]], "{text}");
    }

    /// Rows of a series: a time, and a value a column, null where it is not written.
    pub(super) fn write_rows(
        &mut self,
        host: usize,
        rows: impl IntoIterator<Item = (i64, Vec<Scalar>)>,
    ) {
        let series = self.series(host);
        let mut batch = self.engine.batch();
        for (time, values) in rows {
            let (mut fields, mut bits, mut marks) = (Vec::new(), Vec::new(), Vec::new());
            let mut heap = Vec::new();
            for (column, value) in COLUMNS.into_iter().zip(&values) {
                let (cell, mark) = match value {
                    Scalar::Null => continue,
                    Scalar::Float(value) => {
                        let hundredths = (value * 100.0).round();
                        let decimal = hundredths / 100.0 == *value
                            && hundredths.abs() < 1e15
                            && (hundredths != 0.0 || value.is_sign_positive());
                        if decimal {
                            (hundredths as i64 as u64, 2)
                        } else {
                            (value.to_bits(), cell::MARK_RAW)
                        }
                    }
                    Scalar::Integer(value) => (*value as u64, 0),
                    Scalar::Unsigned(value) => (*value, 0),
                    Scalar::Boolean(value) => (u64::from(*value), 0),
                    Scalar::String(text) => {
                        let start = heap.len() as u32;
                        heap.extend_from_slice(text.as_bytes());
                        (cell::heap(start, text.len() as u32), 0)
                    }
                    Scalar::Binary(_) => panic!("no such column"),
                };
                fields.push(column);
                bits.push(cell);
                marks.push(mark);
            }
            let plan = self.engine.resolve_layout(series.measurement, &fields);
            let layout = batch.layout_index(&plan.expect("room").layout);
            batch.push(series, layout, Some(time), (&bits, &marks, &heap), 0);
            let kept = self.rows[host]
                .entry(time)
                .or_insert_with(|| vec![Scalar::Null; COLUMNS.len()]);
            for (column, value) in values.into_iter().enumerate() {
                if !value.is_null() {
                    for (other, (name, _)) in COLUMNS.iter().enumerate() {
                        if *name == COLUMNS[column].0 {
                            kept[other] = Scalar::Null;
                        }
                    }
                    kept[column] = value;
                }
            }
            if batch.size_bytes() > 20_000 {
                self.flush(&mut batch);
            }
        }
        self.flush(&mut batch);
    }

    fn flush(&self, batch: &mut Batch) {
        if self.engine.checkpoint_is_due() {
            self.engine.checkpoint().expect("checkpoints");
        }
        let written = self.engine.write(batch);
        assert!(written.error.is_none(), "{:?}", written.error);
    }

    pub(super) fn store(&self) -> Store {
        Store::new(Arc::clone(&self.engine), Access::full())
    }

    pub(super) fn model(&self) -> Memory {
        let mut memory = Memory::new(&COLUMNS);
        memory.batch_rows = 100;
        for (index, rows) in self.rows.iter().enumerate() {
            let rows = rows.iter().map(|(&time, row)| (time, row.clone()));
            memory.add(&[("host", &index.to_string())], rows);
        }
        memory
    }
}

/// A store that is asked for nothing but rows.
pub(super) struct Plain(pub(super) Store);

impl Source for Plain {
    fn databases(&self) -> Vec<Arc<str>> {
        self.0.databases()
    }

    fn measurements(&self, database: &str) -> Result<Vec<Arc<str>>, SourceError> {
        self.0.measurements(database)
    }

    fn measurement(&self, d: &str, name: &str) -> Result<Option<MeasurementInfo>, SourceError> {
        self.0.measurement(d, name)
    }

    fn series(
        &self,
        database: &str,
        measurement: MeasurementId,
        accept: &dyn Fn(&SeriesInfo) -> bool,
    ) -> Result<Vec<SeriesInfo>, SourceError> {
        self.0.series(database, measurement, accept)
    }

    fn scan(
        &self,
        series: SeriesId,
        request: &ScanRequest,
    ) -> Result<Box<dyn SeriesScan>, SourceError> {
        let plain = ScanRequest {
            rows_max: None,
            conditions: Arc::new([]),
            summaries: None,
            ..request.clone()
        };
        self.0.scan(series, &plain)
    }
}

pub(super) type Answer = Result<(Vec<ResultBatch>, ExecutionStats), String>;

pub(super) fn ask(source: &dyn Source, text: &str) -> Answer {
    ask_timed(source, text, None)
}

/// As [`ask`], with a clock.
pub(super) fn ask_timed(
    source: &dyn Source,
    text: &str,
    monotonic_ns: Option<&(dyn Fn() -> u64 + Sync)>,
) -> Answer {
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: START,
        limits: QueryLimits::default(),
        monotonic_ns,
        workers: None,
        cancel: &|| false,
    };
    let mut batches = Vec::new();
    let mut sink = |batch| {
        batches.push(batch);
        Ok(())
    };
    let stats = query(source, text, &context, &mut |_| Ok(()), &mut sink);
    stats
        .map(|stats| (batches, stats))
        .map_err(|error| error.to_string())
}

/// All rows of an answer.
fn rows(answer: &[ResultBatch]) -> Vec<Vec<ResultCell<'_>>> {
    answer
        .iter()
        .flat_map(|batch| {
            (0..batch.rows()).map(|row| batch.columns.iter().map(|c| c.cell(row)).collect())
        })
        .collect()
}

/// Equal, and doubles as nearly as sums in another order can be.
fn same(a: &ResultCell<'_>, b: &ResultCell<'_>) -> bool {
    match (a, b) {
        (ResultCell::Float(a), ResultCell::Float(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

pub(super) fn check(found: &Answer, expected: &Answer, text: &str) -> Result<(), TestCaseError> {
    match (found, expected) {
        (Ok((found, _)), Ok((expected, _))) => {
            let (found, expected) = (rows(found), rows(expected));
            prop_assert_eq!(found.len(), expected.len(), "rows of {}", text);
            for (found, expected) in found.iter().zip(&expected) {
                let equal = found.iter().zip(expected).all(|(a, b)| same(a, b));
                prop_assert!(equal, "{text}\n{found:?}\n{expected:?}");
            }
        }
        (Err(found), Err(expected)) => prop_assert_eq!(found, expected, "{}", text),
        _ => prop_assert!(false, "{text}: {found:?} {expected:?}"),
    }
    Ok(())
}

/// A query of a random form. Numbers choose.
fn text(choice: [u64; 8]) -> String {
    const AGGREGATES: [&str; 15] = [
        "count(*)",
        "sum(x), avg(x)",
        "min(x), max(x), spread(x)",
        "first(x), last(x)",
        "count(k), avg(k)",
        "min(k), max(k)",
        "first(k), last(k)",
        "sum(u), max(u)",
        "min(on), max(on), last(on)",
        "count(s)",
        "first(s), last(s), min(s)",
        "avg(v), max(v), last(v)",
        "last(v::integer), count(v::float)",
        "min(time), max(time), count(time)",
        "stddev(k)",
    ];
    const FILTERS: [&str; 14] = [
        "x > 5.25",
        "x <= 3 AND k > -400",
        "k = -450",
        "k BETWEEN -300 AND -250",
        "u < 300 AND x IS NOT NULL",
        "on",
        "on = false AND u > 500",
        "v > 700",
        "v::float < 100.5 OR x > 9",
        "k IN (-499, 12, 450)",
        "x <> 4.5",
        "s = 's1' AND x >= 7.5",
        "700 < u",
        "NOT on AND k >= 0.5",
    ];
    let mut conditions = Vec::new();
    if choice[0].is_multiple_of(2) {
        let from = START + (choice[1] % 45_000) as i64;
        conditions.push(format!("time >= {from}"));
    }
    if choice[0].is_multiple_of(3) {
        let to = START + (choice[2] % 70_000) as i64;
        conditions.push(format!("time < {to}"));
    }
    if choice[3] % 5 < 2 {
        conditions.push(FILTERS[(choice[3] / 5) as usize % FILTERS.len()].to_owned());
    }
    if choice[3].is_multiple_of(7) {
        conditions.push("host = '1'".to_owned());
    }
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    if choice[4].is_multiple_of(4) {
        let order = ["", " ORDER BY time", " ORDER BY time DESC"][(choice[5] % 3) as usize];
        let limit = if choice[6].is_multiple_of(3) {
            String::new()
        } else {
            format!(
                " LIMIT {} OFFSET {}",
                choice[6] % 1_500,
                choice[7] % 3 * 100
            )
        };
        return format!("SELECT time, host, x, v, s, k FROM m{filter}{order}{limit}");
    }
    let some = |at: u64| AGGREGATES[at as usize % AGGREGATES.len()];
    let mut aggregates = some(choice[5]).to_owned();
    if !choice[5].is_multiple_of(3) {
        aggregates = format!("{aggregates}, {}", some(choice[5] / 100));
    }
    let width =
        [1, 100, 5_000, 20_000, 1_000_000][(choice[6] % 5) as usize] + (choice[6] / 5 % 50) as i64;
    let keys = match choice[7] % 5 {
        0 => String::new(),
        1 => "host".to_owned(),
        2 => format!("time_bucket('{width} ns', time), host"),
        3 => "on".to_owned(),
        _ => format!("time_bucket('{width} ns', time)"),
    };
    if keys.is_empty() {
        return format!("SELECT {aggregates} FROM m{filter}");
    }
    format!("SELECT {keys}, {aggregates} FROM m{filter} GROUP BY {keys}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn short_cuts_change_no_answer(
        bursts in prop::collection::vec(burst(), 1..9),
        choices in prop::collection::vec(any::<[u64; 8]>(), 12),
        stored in any::<bool>(),
    ) {
        let mut both = Both::new();
        for burst in &bursts {
            both.write(burst);
        }
        if stored {
            both.engine.checkpoint().expect("checkpoints");
        }
        let (store, plain, model) = (both.store(), Plain(both.store()), both.model());
        for choice in choices {
            let text = text(choice);
            let expected = ask(&model, &text);
            check(&ask(&plain, &text), &expected, &text)?;
            check(&ask(&store, &text), &expected, &text)?;
        }
    }
}
