//! Sizes and times of one series in the codecs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use super::series::Series;
use crate::codec::chunk::{self, Chunk, Hints};
use crate::codec::vector::Values;
use crate::codec::{CellColumn, Cells, CodecError, Effort, RowsView, block};
use crate::limits::{BLOCK_ROWS, CHUNK_ROWS};
use crate::types::{ColumnId, FieldType, Position};

/// What was measured; times are for all points together.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub points: u64,
    /// Of chunks sealed with full effort.
    pub bytes: u64,
    pub time_codecs: Counts,
    pub value_codecs: Counts,
    pub append_ns: u64,
    /// With little effort, as the write path seals.
    pub seal_ns: u64,
    pub decode_ns: u64,
    pub aggregate_ns: u64,
}

impl Figures {
    /// Adds those of another series.
    pub(super) fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.bytes += other.bytes;
        self.time_codecs.add(&other.time_codecs);
        self.value_codecs.add(&other.value_codecs);
        self.append_ns += other.append_ns;
        self.seal_ns += other.seal_ns;
        self.decode_ns += other.decode_ns;
        self.aggregate_ns += other.aggregate_ns;
    }
}

/// How many chunks have each codec.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn count(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// The name that most chunks have.
    pub(super) fn commonest(&self) -> String {
        let names = self.0.iter().max_by_key(|(_, count)| **count);
        names.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

/// Measures one series.
pub(super) fn measure(series: &Series) -> Result<Figures, CodecError> {
    let cells = cells(series);
    let stored = seal(&cells, Effort::Full);
    let chunks = stored
        .iter()
        .map(|bytes| Chunk::open(&bytes[..]))
        .collect::<Result<Vec<_>, _>>()?;
    let mut figures = Figures {
        points: series.times.len() as u64,
        bytes: stored.iter().map(|bytes| bytes.len() as u64).sum(),
        ..Figures::default()
    };
    for chunk in &chunks {
        let regular = chunk.spacing().is_some() || chunk.rows() == 1;
        figures
            .time_codecs
            .count(if regular { "regular" } else { "integers" }.to_owned());
        if let Some(column) = chunk.column(COLUMN) {
            let packing = if column.packing.is_empty() { "" } else { "/" };
            figures.value_codecs.count(format!(
                "{}{packing}{}",
                column.codec.name(),
                column.packing
            ));
        }
    }
    check(series, &chunks)?;
    figures.append_ns = least_ns(|| {
        black_box(append(series));
        Ok(())
    })?;
    figures.seal_ns = least_ns(|| {
        black_box(seal(&cells, Effort::Cheap));
        Ok(())
    })?;
    let mut times = Vec::new();
    figures.decode_ns = least_ns(|| {
        for chunk in &chunks {
            times.clear();
            chunk.decode_times(&mut times)?;
            black_box(&times);
            black_box(chunk.decode_column(COLUMN)?);
        }
        Ok(())
    })?;
    figures.aggregate_ns = least_ns(|| {
        for chunk in &chunks {
            black_box(aggregate(chunk)?);
        }
        Ok(())
    })?;
    Ok(figures)
}

/// What is stored has to be what was read, or the figures mean nothing.
fn check(series: &Series, chunks: &[Chunk<&[u8]>]) -> Result<(), CodecError> {
    let mut cells = Cells::new();
    for chunk in chunks {
        chunk.decode_cells(&mut cells)?;
    }
    let value = edgetime_protocol::cell::float;
    let same = |column: &CellColumn| {
        let stored = column.bits.iter().zip(&column.marks);
        let read = series.bits.iter().zip(&series.marks);
        stored
            .map(|(b, m)| value(*b, *m).to_bits())
            .eq(read.map(|(b, m)| value(*b, *m).to_bits()))
    };
    assert!(
        cells.times == series.times && cells.columns.first().is_some_and(same),
        "{}: chunks do not hold what was put into them",
        series.name
    );
    Ok(())
}

fn append(series: &Series) -> Vec<u8> {
    let mut out = Vec::new();
    let cells = series
        .bits
        .chunks(BLOCK_ROWS)
        .zip(series.marks.chunks(BLOCK_ROWS));
    for (times, (bits, marks)) in series.times.chunks(BLOCK_ROWS).zip(cells) {
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

fn cells(series: &Series) -> Vec<Cells> {
    let columns = series
        .bits
        .chunks(CHUNK_ROWS)
        .zip(series.marks.chunks(CHUNK_ROWS));
    let chunks = series.times.chunks(CHUNK_ROWS).zip(columns);
    let cells = chunks.map(|(times, (bits, marks))| {
        let mut cells = Cells::new();
        cells.times.extend(times);
        let mut column = CellColumn::nulls(COLUMN, FieldType::Float, 0);
        column.bits.extend(bits);
        column.marks.extend(marks);
        cells.columns.push(column);
        cells
    });
    cells.collect()
}

fn seal(cells: &[Cells], effort: Effort) -> Vec<Vec<u8>> {
    let mut hints = Hints::default();
    let chunks = cells.iter();
    chunks
        .map(|cells| chunk::encode(cells, POSITIONS, &mut hints, effort))
        .collect()
}

/// Sum, least and greatest value.
fn aggregate(chunk: &Chunk<&[u8]>) -> Result<(f64, f64, f64), CodecError> {
    let column = chunk.decode_column(COLUMN)?;
    let mut result = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    if let Some(Values::Float(values)) = column.as_ref().map(|column| &column.values) {
        for &value in values {
            result = (result.0 + value, result.1.min(value), result.2.max(value));
        }
    }
    Ok(result)
}

/// The least time of several runs, at least three and for at least [`MEASURED`].
fn least_ns(mut run: impl FnMut() -> Result<(), CodecError>) -> Result<u64, CodecError> {
    let started = Instant::now();
    let mut least = Duration::MAX;
    let mut runs = 0;
    while runs < 3 || started.elapsed() < MEASURED {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed());
        runs += 1;
    }
    Ok(u64::try_from(least.as_nanos()).unwrap_or(u64::MAX))
}

const COLUMN: ColumnId = ColumnId(0);
const POSITIONS: (Position, Position) = (Position(1_000_000), Position(1_010_000));
const MEASURED: Duration = Duration::from_millis(20);
