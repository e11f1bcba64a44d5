//! Sizes and times of one series in the codecs.
//!
//! Every time is the sum, over the chunks, of the least time that chunk took in any of several runs: what
//! else a machine does in between hits one chunk of one run, not the figure.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetime_protocol::cell;

use super::series::{self, Series};
use crate::codec::chunk::{self, Chunk, Hints};
use crate::codec::vector::Values;
use crate::codec::{CellColumn, Cells, CodecError, Effort, Statistics};
use crate::limits::CHUNK_ROWS;
use crate::series::{RowRef, Scratch};
use crate::types::{ColumnId, FieldId, FieldType, Layout, LayoutColumn, MeasurementId, Position};

/// What was measured; times are for all points together.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub points: u64,
    /// Of times and values as they are, uncompressed.
    pub raw_bytes: u64,
    /// Of chunks sealed with full effort.
    pub bytes: u64,
    pub time_codecs: Counts,
    pub value_codecs: Counts,
    /// Into a series, with the cheap seals that this brings about.
    pub append_ns: u64,
    /// With full effort, as maintenance seals.
    pub seal_ns: u64,
    pub decode_ns: u64,
    pub aggregate_ns: u64,
}

impl Figures {
    /// Adds those of another series.
    pub(super) fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.raw_bytes += other.raw_bytes;
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
    let mut hints = Hints::default();
    let stored = cells.iter().map(|cells| stored(cells, &mut hints));
    let stored: Vec<Vec<u8>> = stored.collect::<Result<_, _>>()?;
    let chunks = stored
        .iter()
        .map(|bytes| Chunk::open(&bytes[..]))
        .collect::<Result<Vec<_>, _>>()?;
    check(series, &chunks)?;
    let mut figures = Figures {
        points: series.times.len() as u64,
        raw_bytes: series.raw_bytes(),
        bytes: stored.iter().map(|bytes| bytes.len() as u64).sum(),
        ..Figures::default()
    };
    for chunk in &chunks {
        let regular = chunk.spacing().is_some() || chunk.rows() == 1;
        let name = if regular { "regular" } else { "integers" };
        figures.time_codecs.count(name.to_owned());
        if let Some(column) = chunk.column(COLUMN) {
            let packing = if column.packing.is_empty() { "" } else { "/" };
            let name = format!("{}{packing}{}", column.codec.name(), column.packing);
            figures.value_codecs.count(name);
        }
    }
    let mut append = Append::new(series);
    figures.append_ns = least_ns(chunks.len(), |index| {
        append.chunk(index);
        Ok(())
    })?;
    figures.seal_ns = least_ns(chunks.len(), |index| {
        black_box(seal(&cells[index], &mut hints));
        Ok(())
    })?;
    let mut times = Vec::new();
    figures.decode_ns = least_ns(chunks.len(), |index| {
        times.clear();
        chunks[index].decode_times(&mut times)?;
        black_box(&times);
        black_box(chunks[index].decode_column(COLUMN)?);
        Ok(())
    })?;
    figures.aggregate_ns = least_ns(chunks.len(), |index| {
        black_box(aggregate(&chunks[index])?);
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
    let same = |column: &CellColumn| {
        (0..series.times.len()).all(|row| match series.field_type {
            FieldType::String => column.bytes(row) == series.text(row),
            _ => {
                cell::float(column.bits[row], column.marks[row]).to_bits()
                    == cell::float(series.bits[row], series.marks[row]).to_bits()
            }
        })
    };
    assert!(
        cells.times == series.times && cells.columns.first().is_some_and(same),
        "{}: chunks do not hold what was put into them",
        series.name
    );
    Ok(())
}

/// The rows of each chunk, column-major.
fn cells(series: &Series) -> Vec<Cells> {
    let starts = (0..series.times.len()).step_by(CHUNK_ROWS);
    let cells = starts.map(|start| {
        let rows = start..(start + CHUNK_ROWS).min(series.times.len());
        let mut cells = Cells::new();
        cells.times.extend(&series.times[rows.clone()]);
        let mut column = CellColumn::nulls(COLUMN, series.field_type, 0);
        for row in rows {
            let bits = match series.field_type {
                FieldType::String => column.intern(series.text(row)),
                _ => series.bits[row],
            };
            column.push(bits, series.marks[row]);
        }
        cells.columns.push(column);
        cells
    });
    cells.collect()
}

/// A chunk as a store keeps it for good: sealed by the write path, then made smaller where that can be done.
fn stored(cells: &Cells, hints: &mut Hints) -> Result<Vec<u8>, CodecError> {
    let sealed = chunk::encode(cells, POSITIONS, &mut Hints::default(), Effort::Cheap);
    Ok(chunk::recompress(&sealed, hints)?.unwrap_or(sealed))
}

fn seal(cells: &Cells, hints: &mut Hints) -> Vec<u8> {
    chunk::encode(cells, POSITIONS, hints, Effort::Full)
}

/// Rows on the way that they take in the engine: staged, in blocks of the open chunk, sealed cheaply.
struct Append<'a> {
    read: &'a Series,
    layout: Arc<Layout>,
    scratch: Scratch,
    series: crate::series::Series<()>,
}

impl<'a> Append<'a> {
    fn new(read: &'a Series) -> Self {
        let column = LayoutColumn {
            id: COLUMN,
            field_type: read.field_type,
            field: FieldId(0),
        };
        Self {
            read,
            layout: Layout::new(0, MeasurementId(0), Box::new([column])),
            scratch: Scratch::default(),
            series: crate::series::Series::default(),
        }
    }

    /// Appends the rows of one chunk, the last of which seals them all; the first chunk begins a new series.
    fn chunk(&mut self, index: usize) {
        if index == 0 {
            self.series = crate::series::Series::default();
        }
        let start = index * CHUNK_ROWS;
        let rows = start..(start + CHUNK_ROWS).min(self.read.times.len());
        if self.read.field_type == FieldType::String {
            self.texts(rows);
        } else {
            // As a batch has them that an import has filled.
            let times = &self.read.times[rows.clone()];
            let cells = (
                &self.read.bits[rows.clone()],
                &self.read.marks[rows],
                &[][..],
            );
            self.series.apply_all(
                &self.layout,
                (times.len(), |row| times[row]),
                cells,
                Position(start as u64 + 1),
                &mut self.scratch,
                |applied, rows| _ = black_box((applied, rows)),
            );
        }
        if self.series.unsealed_rows() > 0 {
            let sealed = self.series.seal(&mut self.scratch);
            debug_assert!(sealed.is_ok(), "blocks that were encoded here decode");
        }
    }

    /// Appends rows of texts, one by one.
    fn texts(&mut self, rows: Range<usize>) {
        for row in rows {
            let text = self.read.text(row);
            let applied = self.series.apply(
                &self.layout,
                RowRef {
                    time: self.read.times[row],
                    bits: &[cell::heap(0, text.len() as u32)],
                    marks: &[self.read.marks[row]],
                    heap: text,
                },
                Position(row as u64 + 1),
                &mut self.scratch,
            );
            black_box(applied);
        }
    }
}

/// Sum, least and greatest value; of texts, of their lengths.
fn aggregate(chunk: &Chunk<&[u8]>) -> Result<(f64, f64, f64), CodecError> {
    // Not what the header knows: all values are decoded.
    let known = chunk.aggregate_decoded(COLUMN, 0..chunk.rows())?;
    if let Some((_, Statistics::Float { sum, min, max, .. })) = known {
        return Ok((sum, min, max));
    }
    let column = chunk.decode_column(COLUMN)?;
    Ok(match column.as_ref().map(|column| &column.values) {
        Some(Values::String(texts)) => {
            let lens = texts
                .offsets
                .windows(2)
                .map(|pair| f64::from(pair[1] - pair[0]));
            fold(&lens.collect::<Vec<_>>())
        }
        _ => (0.0, f64::INFINITY, f64::NEG_INFINITY),
    })
}

/// In lanes, so that no addition waits for the one before it.
fn fold(values: &[f64]) -> (f64, f64, f64) {
    let mut lanes = [(0.0, f64::INFINITY, f64::NEG_INFINITY); LANES];
    let add = |lane: &mut (f64, f64, f64), value: f64| {
        lane.0 += value;
        lane.1 = if value < lane.1 { value } else { lane.1 };
        lane.2 = if value > lane.2 { value } else { lane.2 };
    };
    let mut whole = values.chunks_exact(LANES);
    for values in &mut whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            add(lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(whole.remainder()) {
        add(lane, *value);
    }
    let [first, rest @ ..] = lanes;
    rest.iter().fold(first, |all, lane| {
        (all.0 + lane.0, all.1.min(lane.1), all.2.max(lane.2))
    })
}

/// The least time of each chunk in several runs over all, at least [`RUNS_MIN`] and for at least
/// [`MEASURED`], summed up.
fn least_ns(
    chunks: usize,
    mut run: impl FnMut(usize) -> Result<(), CodecError>,
) -> Result<u64, CodecError> {
    let started = Instant::now();
    let mut least = vec![Duration::MAX; chunks];
    let mut runs = 0;
    while runs < RUNS_MIN || started.elapsed() < MEASURED {
        for (index, least) in least.iter_mut().enumerate() {
            let start = Instant::now();
            run(index)?;
            *least = start.elapsed().min(*least);
        }
        runs += 1;
    }
    let total: Duration = least.iter().sum();
    Ok(u64::try_from(total.as_nanos()).unwrap_or(u64::MAX))
}

const COLUMN: ColumnId = series::COLUMN;
const POSITIONS: (Position, Position) = (Position(1_000_000), Position(1_010_000));
const RUNS_MIN: usize = 3;
const MEASURED: Duration = Duration::from_millis(60);
const LANES: usize = 8;
