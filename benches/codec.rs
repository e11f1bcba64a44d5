//! Codecs beside `tsz`, `pco` and `zstd`: first sizes, then times, then the bars that they are held to.
//!
//! Series come from the folder that `EDGETIME_TEST_DATA` names, else they are generated. Everything works on
//! chunks of 1,024 rows. A time is the sum of the least times of all chunks over all rounds; within a round
//! all programs take their turns, so that their ratios hold on a machine that does other things as well.

#![allow(missing_docs)]

#[path = "../tests/support/sensors.rs"]
mod sensors;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetime_protocol::cell::{self, POWERS_OF_TEN, SCALE_MAX};
use edgetimedb::codec::chunk::{self, Chunk, Hints};
use edgetimedb::codec::{CellColumn, Cells, Effort, RowsView, Statistics, block};
use edgetimedb::limits::{BLOCK_ROWS, CHUNK_ROWS};
use edgetimedb::series::{RowRef, Scratch, Series};
use edgetimedb::types::{
    ColumnId, FieldId, FieldType, Layout, LayoutColumn, MeasurementId, Position,
};
use sensors::Sensor;
use tsz::stream::{BufferedReader, BufferedWriter};
use tsz::{DataPoint, Decode, Encode, StdDecoder, StdEncoder};

/// The rows of one chunk in all forms that the programs want.
struct Piece {
    times_ns: Vec<i64>,
    times_ms: Vec<i64>,
    bits: Vec<u64>,
    marks: Vec<u8>,
    doubles: Vec<f64>,
    /// All values at one decimal scale, where they have one.
    mantissas: Option<Vec<i64>>,
    cells: Cells,
}

impl Piece {
    fn new(rows: &[(i64, (u64, u8))]) -> Self {
        let times_ns: Vec<i64> = rows.iter().map(|row| row.0 * 1_000_000).collect();
        let bits: Vec<u64> = rows.iter().map(|row| row.1.0).collect();
        let marks: Vec<u8> = rows.iter().map(|row| row.1.1).collect();
        let mut column = CellColumn::nulls(COLUMN, FieldType::Float, 0);
        column.bits.clone_from(&bits);
        column.marks.clone_from(&marks);
        let mut cells = Cells::new();
        cells.times.clone_from(&times_ns);
        cells.columns.push(column);
        let scale = marks.iter().copied().max().unwrap_or(0);
        let mantissa = |(&bits, &mark): (&u64, &u8)| {
            let power = *POWERS_OF_TEN.get(usize::from(scale.checked_sub(mark)?))? as i64;
            (bits as i64).checked_mul(power)
        };
        Self {
            times_ms: rows.iter().map(|row| row.0).collect(),
            doubles: rows
                .iter()
                .map(|row| cell::float(row.1.0, row.1.1))
                .collect(),
            mantissas: if scale <= SCALE_MAX {
                bits.iter().zip(&marks).map(mantissa).collect()
            } else {
                None
            },
            times_ns,
            bits,
            marks,
            cells,
        }
    }

    fn rows(&self) -> usize {
        self.times_ns.len()
    }

    fn blocks(&self, rows_each: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut tallies = block::Tallies::default();
        let mut encoder = block::Encoder::default();
        for start in (0..self.rows()).step_by(rows_each) {
            let rows = start..(start + rows_each).min(self.rows());
            let view = RowsView {
                times: &self.times_ns[rows.clone()],
                columns: &[(COLUMN, FieldType::Float)],
                bits: &self.bits[rows.clone()],
                marks: &self.marks[rows],
                stride: 1,
                heap: &[],
            };
            encoder.encode(&view, &mut tallies, &mut out);
        }
        out
    }

    fn seal(&self, hints: &mut Hints, effort: Effort) -> Vec<u8> {
        chunk::encode(&self.cells, POSITIONS, hints, effort)
    }

    /// Through a series: staged, in blocks of the open chunk, sealed cheaply.
    fn append(&self, layout: &Arc<Layout>, series: &mut Series<()>, scratch: &mut Scratch) {
        series.apply_all(
            layout,
            (self.rows(), |row| self.times_ns[row]),
            (&self.bits, &self.marks, &[]),
            Position(1),
            scratch,
            |applied, rows| _ = black_box((applied, rows)),
        );
        if series.unsealed_rows() > 0 {
            series.seal(scratch).expect("just encoded");
        }
    }

    /// The same row by row, as rows come that take turns with those of other series, in a layout of many columns,
    /// all with the same values.
    fn append_rows(&self, layout: &Arc<Layout>, series: &mut Series<()>, scratch: &mut Scratch) {
        let columns = layout.stride();
        let (mut bits, mut marks) = (vec![0; columns], vec![0; columns]);
        for row in 0..self.rows() {
            bits.fill(self.bits[row]);
            marks.fill(self.marks[row]);
            let row = RowRef {
                time: self.times_ns[row],
                bits: &bits,
                marks: &marks,
                heap: &[],
            };
            black_box(series.apply(layout, row, Position(1), scratch));
        }
        if series.unsealed_rows() > 0 {
            series.seal(scratch).expect("just encoded");
        }
    }

    fn tsz(&self) -> Box<[u8]> {
        let mut encoder = StdEncoder::new(self.times_ms[0] as u64, BufferedWriter::new());
        for (&time, &value) in self.times_ms.iter().zip(&self.doubles) {
            encoder.encode(DataPoint::new(time as u64, value));
        }
        encoder.close()
    }

    /// Times and values, the latter as integers where they are decimals of one scale.
    fn pco(&self, decimal: bool) -> usize {
        let config = pco::ChunkConfig::default().with_compression_level(8);
        let len = |bytes: Result<Vec<u8>, _>| bytes.map_or(usize::MAX, |bytes| bytes.len());
        let times = len(pco::standalone::simple_compress(&self.times_ms, &config));
        let values = match &self.mantissas {
            Some(mantissas) if decimal => pco::standalone::simple_compress(mantissas, &config),
            _ => pco::standalone::simple_compress(&self.doubles, &config),
        };
        times + len(values)
    }

    fn zstd(&self) -> usize {
        let times = self.times_ns.iter().flat_map(|time| time.to_le_bytes());
        let values = self.doubles.iter().flat_map(|value| value.to_le_bytes());
        let column = |bytes: Vec<u8>| zstd::bulk::compress(&bytes, 3).expect("memory").len();
        column(times.collect()) + column(values.collect())
    }
}

/// A series and what it takes, bytes a point.
struct Measured {
    name: String,
    typical: bool,
    real: bool,
    points: usize,
    pieces: Vec<Piece>,
    sizes: [f64; SIZES.len()],
    /// The commonest of times and of values.
    codecs: [String; 2],
}

impl Measured {
    fn new(sensor: &Sensor) -> Self {
        let rows: Vec<(i64, (u64, u8))> = sensor
            .rows()
            .into_iter()
            .map(|(time, value)| (time, sensors::cell(value)))
            .collect();
        let pieces: Vec<Piece> = rows.chunks(CHUNK_ROWS).map(Piece::new).collect();
        let (mut cheap, mut full) = (Hints::default(), Hints::default());
        let mut bytes = [0; SIZES.len()];
        let mut codecs: [BTreeMap<String, usize>; 2] = Default::default();
        for piece in &pieces {
            let sealed = piece.seal(&mut cheap, Effort::Cheap);
            let stored = chunk::recompress(&sealed, &mut full).expect("just encoded");
            let stored = stored.unwrap_or_else(|| sealed.clone());
            for (counts, name) in codecs.iter_mut().zip(names(&stored)) {
                *counts.entry(name).or_default() += 1;
            }
            let sizes = [
                piece.blocks(BLOCK_ROWS).len(),
                piece.blocks(BLOCK_ROWS / 2).len(),
                sealed.len(),
                stored.len(),
                piece.tsz().len(),
                piece.pco(true),
                piece.pco(false),
                piece.zstd(),
            ];
            for (sum, size) in bytes.iter_mut().zip(sizes) {
                *sum += size;
            }
        }
        Self {
            name: sensor.name.clone(),
            typical: sensor.is_typical(),
            real: sensor.real,
            points: rows.len(),
            sizes: bytes.map(|bytes| bytes as f64 / rows.len() as f64),
            codecs: codecs.map(|counts| {
                let commonest = counts.into_iter().max_by_key(|(_, count)| *count);
                commonest.map(|(name, _)| name).unwrap_or_default()
            }),
            pieces,
        }
    }

    /// Nanoseconds a value of each program.
    fn times(&self) -> [f64; TIMES.len()] {
        let layouts = APPENDED.map(layout);
        let mut scratch = Scratch::default();
        let (mut cheap, mut full) = (Hints::default(), Hints::default());
        let mut least = vec![[Duration::MAX; TIMES.len()]; self.pieces.len()];
        let sealed: Vec<Vec<u8>> = self
            .pieces
            .iter()
            .map(|piece| piece.seal(&mut full, Effort::Full))
            .collect();
        let chunks: Vec<Chunk<&[u8]>> = sealed
            .iter()
            .map(|bytes| Chunk::open(&bytes[..]).expect("just encoded"))
            .collect();
        let tsz: Vec<Box<[u8]>> = self.pieces.iter().map(Piece::tsz).collect();
        let open: Vec<Vec<u8>> = (self.pieces.iter())
            .map(|piece| piece.blocks(BLOCK_ROWS))
            .collect();
        let (mut times, mut cells) = (Vec::new(), Cells::new());
        for _ in 0..ROUNDS {
            let mut series: [Series<()>; 4] = Default::default();
            for (index, piece) in self.pieces.iter().enumerate() {
                let chunk = &chunks[index];
                let (tsz, again) = (&tsz[index], tsz[index].clone());
                let found = [
                    time(|| piece.append(&layouts[0], &mut series[0], &mut scratch)),
                    time(|| piece.append_rows(&layouts[0], &mut series[1], &mut scratch)),
                    time(|| piece.append_rows(&layouts[1], &mut series[2], &mut scratch))
                        / APPENDED[1] as u32,
                    time(|| piece.append_rows(&layouts[2], &mut series[3], &mut scratch))
                        / APPENDED[2] as u32,
                    time(|| piece.blocks(BLOCK_ROWS)),
                    time(|| piece.blocks(BLOCK_ROWS / 2)),
                    time(|| {
                        cells.clear();
                        let mut rest = &open[index][..];
                        while !rest.is_empty() {
                            let used = block::decode(rest, &mut cells).expect("just encoded");
                            rest = &rest[used..];
                        }
                    }),
                    time(|| piece.seal(&mut cheap, Effort::Cheap)),
                    time(|| piece.seal(&mut full, Effort::Full)),
                    time(|| {
                        times.clear();
                        chunk.decode_times(&mut times).expect("just encoded");
                        chunk.decode_column(COLUMN).expect("just encoded")
                    }),
                    time(|| aggregate(chunk)),
                    time(|| piece.tsz()),
                    time(|| {
                        let mut points = 0;
                        let mut decoder = StdDecoder::new(BufferedReader::new(again));
                        while let Ok(point) = decoder.next() {
                            black_box(point);
                            points += 1;
                        }
                        points
                    }),
                    time(|| aggregate_tsz(tsz.clone())),
                ];
                for (least, found) in least[index].iter_mut().zip(found) {
                    *least = found.min(*least);
                }
            }
        }
        let mut sums = [0.0; TIMES.len()];
        for chunk in &least {
            for (sum, time) in sums.iter_mut().zip(chunk) {
                *sum += time.as_nanos() as f64 / self.points as f64;
            }
        }
        sums
    }
}

/// Codecs of times and values.
fn names(bytes: &[u8]) -> [String; 2] {
    let chunk = Chunk::open(bytes).expect("just encoded");
    let regular = chunk.spacing().is_some() || chunk.rows() == 1;
    let times = if regular { "regular" } else { "integers" };
    let column = chunk.column(COLUMN).expect("just encoded");
    let packing = if column.packing.is_empty() { "" } else { "/" };
    let values = format!("{}{packing}{}", column.codec.name(), column.packing);
    [times.to_owned(), values]
}

fn time<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(run());
    let elapsed = start.elapsed();
    drop(result);
    elapsed
}

/// Sum, least and greatest value, decoding included: not what the header knows.
fn aggregate<B: AsRef<[u8]>>(chunk: &Chunk<B>) -> (f64, f64, f64) {
    let known = chunk
        .aggregate_decoded(COLUMN, 0..chunk.rows())
        .expect("just encoded");
    match known {
        Some((_, Statistics::Float { sum, min, max, .. })) => (sum, min, max),
        _ => unreachable!("a column of floats"),
    }
}

fn aggregate_tsz(bytes: Box<[u8]>) -> (f64, f64, f64) {
    let mut decoder = StdDecoder::new(BufferedReader::new(bytes));
    let mut all = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    while let Ok(point) = decoder.next() {
        let value = point.get_value();
        all = (all.0 + value, all.1.min(value), all.2.max(value));
    }
    all
}

/// Nanoseconds a value to aggregate a column that is packed in a frame of reference.
fn frame_ns() -> f64 {
    let mut state = 42_u64;
    let rows: Vec<(i64, (u64, u8))> = (0..CHUNK_ROWS as i64)
        .map(|row| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (1_600_000_000_000 + row * 1_000, (2_000 + (state >> 54), 2))
        })
        .collect();
    let bytes = Piece::new(&rows).seal(&mut Hints::default(), Effort::Full);
    let chunk = Chunk::open(bytes).expect("just encoded");
    let packing = chunk.column(COLUMN).map(|column| column.packing);
    assert_eq!(
        packing,
        Some("frame"),
        "noise of ten bits has no better form"
    );
    let least = (0..2_000).map(|_| time(|| aggregate(&chunk))).min();
    least.unwrap_or_default().as_nanos() as f64 / CHUNK_ROWS as f64
}

fn layout(columns: usize) -> Arc<Layout> {
    let column = |at: usize| LayoutColumn {
        id: ColumnId(at as u16),
        field_type: FieldType::Float,
        field: FieldId(at as u16),
    };
    Layout::new(0, MeasurementId(0), (0..columns).map(column).collect())
}

fn mean<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let values: Vec<f64> = values.copied().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn line(name: &str, values: &[f64], more: &str) {
    let values = values.iter().map(|value| format!("{value:>10.3}"));
    println!("{name:28}{}{more}", values.collect::<String>());
}

fn heading(name: &str, columns: &[&str], more: &str) {
    let columns = columns.iter().map(|column| format!("{column:>10}"));
    println!("\n{name:28}{}{more}", columns.collect::<String>());
}

fn bar(met: bool, what: &str) {
    println!("{:8}{what}", if met { "met" } else { "NOT MET" });
}

fn main() {
    // What cargo adds (`--bench`) is not for a program that has no choices.
    let measured: Vec<Measured> = sensors::all().iter().map(Measured::new).collect();
    let typical: Vec<&Measured> = measured.iter().filter(|series| series.typical).collect();
    heading("bytes a point", &SIZES, "     ratio  values; times");
    for series in &measured {
        let [times, values] = &series.codecs;
        let ratio = RAW_BYTES / series.sizes[FULL];
        let codecs = format!("{ratio:>10.2}  {values}; {times}");
        line(&series.name, &series.sizes, &codecs);
    }
    let sizes: Vec<f64> = (0..SIZES.len())
        .map(|at| mean(typical.iter().map(|series| &series.sizes[at])))
        .collect();
    let ratio = format!("{:>10.2}", RAW_BYTES / sizes[FULL]);
    line("mean of typical", &sizes, &ratio);
    heading("ns a value", &TIMES, "");
    let mut all_times = Vec::new();
    let mut slow = Vec::new();
    for series in &measured {
        let times = series.times();
        line(&series.name, &times, "");
        if times[SEAL] > SEAL_NS_MAX {
            slow.push((&series.name, times[SEAL]));
        }
        if series.typical {
            all_times.push(times);
        }
    }
    let times: Vec<f64> = (0..TIMES.len())
        .map(|at| mean(all_times.iter().map(|times| &times[at])))
        .collect();
    line("mean of typical", &times, "");
    let frame = frame_ns();
    println!("aggregate in a frame of reference, ns a value: {frame:.3}");
    let ratio = times[TSZ_AGGREGATE] / times[AGGREGATE];
    println!("decode and aggregate, `tsz` to ours: {ratio:.2}\n");
    if !typical.iter().all(|series| series.real) {
        println!("generated series: the sizes say nothing of real ones");
    }
    let full = sizes[FULL];
    bar(
        full <= 0.88,
        &format!("mean of typical: {full:.3} of 0.88 bytes a point"),
    );
    let pco = sizes[PCO_DECIMAL];
    bar(
        full < pco,
        &format!("mean of typical below `pco` of decimals: {full:.3}, {pco:.3}"),
    );
    for series in typical.iter().filter(|series| series.sizes[FULL] > 1.6) {
        bar(
            false,
            &format!(
                "{}: {:.3} of 1.6 bytes a point",
                series.name, series.sizes[FULL]
            ),
        );
    }
    let open = sizes[OPEN];
    bar(
        open <= 2.6,
        &format!("open chunk: {open:.3} of 2.6 bytes a point"),
    );
    for series in &measured {
        let (ours, peer) = (
            series.sizes[FULL],
            series.sizes[TSZ].min(series.sizes[ZSTD]),
        );
        if ours > peer {
            let name = &series.name;
            let what = format!("{name}: {ours:.3}, the better of tsz and zstd {peer:.3}");
            bar(false, &what);
        }
    }
    let within = |at: usize, most: f64, what: &str| {
        bar(
            times[at] <= most,
            &format!("{what}: {:.2} of {most} ns a value", times[at]),
        );
    };
    within(AGGREGATE, 2.0, "decode and aggregate");
    bar(
        ratio >= 3.0,
        &format!("decode and aggregate: {ratio:.2} times as fast as `tsz`, of 3"),
    );
    bar(
        frame < 1.0,
        &format!("aggregate in a frame of reference: {frame:.3} of 1 ns a value"),
    );
    within(SEAL, SEAL_NS_MAX, "full seal, mean");
    for (name, ns) in slow {
        let what = format!("full seal of {name}: {ns:.2} of {SEAL_NS_MAX} ns a value");
        bar(false, &what);
    }
    within(APPEND, 10.0, "append, with its cheap seal");
    let ratio = times[TSZ_ENCODE] / times[APPEND];
    println!("append, `tsz` to ours: {ratio:.2}");
}

const COLUMN: ColumnId = ColumnId(0);
const POSITIONS: (Position, Position) = (Position(1_000_000), Position(1_010_000));
const ROUNDS: usize = 40;
/// Of a time and a value as they are.
const RAW_BYTES: f64 = 16.0;
const SEAL_NS_MAX: f64 = 150.0;

const SIZES: [&str; 8] = [
    "open", "half", "cheap", "full", "tsz", "pco dec.", "pco raw", "zstd -3",
];
const OPEN: usize = 0;
const FULL: usize = 3;
const TSZ: usize = 4;
const PCO_DECIMAL: usize = 5;
const ZSTD: usize = 7;

/// Columns of a row that are appended.
const APPENDED: [usize; 3] = [1, 4, 10];
const TIMES: [&str; 14] = [
    "append", "by row", "of 4", "of 10", "blocks", "half", "read", "cheap", "full", "decode",
    "aggreg.", "tsz enc.", "tsz dec.", "tsz agg.",
];
const APPEND: usize = 0;
const SEAL: usize = 8;
const AGGREGATE: usize = 10;
const TSZ_ENCODE: usize = 11;
const TSZ_AGGREGATE: usize = 13;
