//! Codecs: append to an open chunk, seal, recompress, decode; `tsz` beside them.
//!
//! Series come from the directory in `EDGETIME_TEST_DATA` (files `ts_ms,value`) where it is set, else they
//! are generated from a fixed seed. Sizes are printed first, times are per run over a whole series.

#![allow(missing_docs)]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use edgetime_protocol::cell::{self, MANTISSA_MAX, MARK_RAW, SCALE_MAX};
use edgetimedb::codec::chunk::{self, Chunk, Hints};
use edgetimedb::codec::{CellColumn, Cells, Effort, RowsView, block};
use edgetimedb::limits::{BLOCK_ROWS, CHUNK_ROWS};
use edgetimedb::types::{ColumnId, FieldType, Position};
use tsz::stream::{BufferedReader, BufferedWriter};
use tsz::{DataPoint, Decode, Encode, StdDecoder, StdEncoder};

const COLUMN: ColumnId = ColumnId(0);
const POSITIONS: (Position, Position) = (Position(1_000_000), Position(1_010_000));

/// One series of one float column.
struct Series {
    name: String,
    times: Vec<i64>,
    bits: Vec<u64>,
    marks: Vec<u8>,
}

impl Series {
    fn new(name: &str, rows: impl Iterator<Item = (i64, (u64, u8))>) -> Self {
        let mut series = Self {
            name: name.to_owned(),
            times: Vec::new(),
            bits: Vec::new(),
            marks: Vec::new(),
        };
        for (time, (bits, mark)) in rows {
            if series.times.last().is_some_and(|&last| last >= time) {
                continue;
            }
            series.times.push(time);
            series.bits.push(bits);
            series.marks.push(mark);
        }
        series
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let rows = text.lines().skip(1).filter_map(|line| {
            let (time, value) = line.split_once(',')?;
            Some((time.parse::<i64>().ok()? * 1_000_000, parse(value)?))
        });
        Some(Self::new(path.file_stem()?.to_str()?, rows))
    }

    fn append(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let blocks = self.times.chunks(BLOCK_ROWS).zip(
            self.bits
                .chunks(BLOCK_ROWS)
                .zip(self.marks.chunks(BLOCK_ROWS)),
        );
        for (times, (bits, marks)) in blocks {
            let rows = RowsView {
                times,
                columns: &[(COLUMN, FieldType::Float)],
                bits,
                marks,
                stride: 1,
                heap: &[],
            };
            block::encode(&rows, &mut out);
        }
        out
    }

    fn cells(&self) -> Vec<Cells> {
        let starts = (0..self.times.len()).step_by(CHUNK_ROWS);
        let cells = starts.map(|start| {
            let rows = start..(start + CHUNK_ROWS).min(self.times.len());
            let mut cells = Cells::new();
            cells.times.extend(&self.times[rows.clone()]);
            let mut column = CellColumn::nulls(COLUMN, FieldType::Float, 0);
            column.bits.extend(&self.bits[rows.clone()]);
            column.marks.extend(&self.marks[rows]);
            cells.columns.push(column);
            cells
        });
        cells.collect()
    }

    fn tsz(&self) -> Vec<Box<[u8]>> {
        let chunks = self.times.chunks(CHUNK_ROWS).zip(
            self.bits
                .chunks(CHUNK_ROWS)
                .zip(self.marks.chunks(CHUNK_ROWS)),
        );
        let encoded = chunks.map(|(times, (bits, marks))| {
            let mut encoder = StdEncoder::new(times[0] as u64 / 1_000_000, BufferedWriter::new());
            for ((&time, &bits), &mark) in times.iter().zip(bits).zip(marks) {
                let time = time as u64 / 1_000_000;
                encoder.encode(DataPoint::new(time, cell::float(bits, mark)));
            }
            encoder.close()
        });
        encoded.collect()
    }
}

/// A decimal as it is written, or the double.
fn parse(text: &str) -> Option<(u64, u8)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mantissa = format!("{whole}{fraction}").parse::<i64>().ok();
    let negative_zero = text.starts_with('-') && mantissa == Some(0);
    match mantissa {
        Some(mantissa)
            if mantissa.abs() <= MANTISSA_MAX
                && fraction.len() <= usize::from(SCALE_MAX)
                && !negative_zero =>
        {
            Some((mantissa as u64, fraction.len() as u8))
        }
        _ => Some((text.parse::<f64>().ok()?.to_bits(), MARK_RAW)),
    }
}

fn generated() -> Vec<Series> {
    let mut state = 42u64;
    let mut random = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let mut walk = 2_100i64;
    let mut rows: Vec<(i64, i64, u64)> = Vec::new();
    for row in 0..20_000i64 {
        walk += random(7) as i64 - 3;
        let time = 1_700_000_000_000_000_000 + row * 1_000_000_000;
        let jitter = random(5) as i64 * 1_000_000;
        rows.push((time + jitter, walk, random(1 << 52)));
    }
    let decimal = |&(time, walk, _): &(i64, i64, u64)| (time, (walk as u64, 2));
    let third =
        |&(time, walk, _): &(i64, i64, u64)| (time, ((walk as f64 / 300.0).to_bits(), MARK_RAW));
    let noise = |&(time, _, noise): &(i64, i64, u64)| (time, (1f64.to_bits() | noise, MARK_RAW));
    vec![
        Series::new("generated_decimal", rows.iter().map(decimal)),
        Series::new("generated_average", rows.iter().map(third)),
        Series::new("generated_noise", rows.iter().map(noise)),
    ]
}

fn all_series() -> Vec<Series> {
    let Some(directory) = std::env::var_os("EDGETIME_TEST_DATA") else {
        return generated();
    };
    let entries = fs::read_dir(directory).expect("EDGETIME_TEST_DATA is a directory");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    paths.iter().filter_map(|path| Series::read(path)).collect()
}

fn seal(cells: &[Cells], effort: Effort) -> Vec<Vec<u8>> {
    let mut hints = Hints::default();
    cells
        .iter()
        .map(|cells| chunk::encode(cells, POSITIONS, &mut hints, effort))
        .collect()
}

fn codec(criterion: &mut Criterion) {
    let all = all_series();
    println!("bytes/point: block, cheap, full, tsz");
    for series in &all {
        let points = series.times.len() as f64;
        let cells = series.cells();
        let sizes = [
            series.append().len(),
            seal(&cells, Effort::Cheap).iter().map(Vec::len).sum(),
            seal(&cells, Effort::Full).iter().map(Vec::len).sum(),
            series.tsz().iter().map(|chunk| chunk.len()).sum(),
        ];
        let sizes = sizes.map(|size: usize| format!("{:8.3}", size as f64 / points));
        println!("{:24}{}", series.name, sizes.concat());
    }
    for series in &all {
        let cells = series.cells();
        let mut group = criterion.benchmark_group(&series.name);
        group.sample_size(10);
        group.warm_up_time(std::time::Duration::from_millis(50));
        group.measurement_time(std::time::Duration::from_millis(200));
        group.throughput(Throughput::Elements(series.times.len() as u64));
        group.bench_function("append", |bencher| bencher.iter(|| series.append()));
        for (name, effort) in [("seal cheap", Effort::Cheap), ("seal full", Effort::Full)] {
            group.bench_function(name, |bencher| bencher.iter(|| seal(&cells, effort)));
            let chunks: Vec<Chunk<Vec<u8>>> = seal(&cells, effort)
                .into_iter()
                .map(|bytes| Chunk::open(bytes).expect("just encoded"))
                .collect();
            group.bench_function(format!("decode {name}"), |bencher| {
                bencher.iter(|| {
                    for chunk in &chunks {
                        black_box(chunk.decode_column(COLUMN).expect("just encoded"));
                    }
                });
            });
        }
        group.bench_function("tsz encode", |bencher| bencher.iter(|| series.tsz()));
        let encoded = series.tsz();
        group.bench_function("tsz decode", |bencher| {
            bencher.iter(|| {
                for chunk in &encoded {
                    let mut decoder = StdDecoder::new(BufferedReader::new(chunk.clone()));
                    while let Ok(point) = decoder.next() {
                        black_box(point);
                    }
                }
            });
        });
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
