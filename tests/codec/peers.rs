//! Chunks beside what `tsz` and `zstd -3` make of the same rows: never larger than the better of the two.

use edgetime_protocol::cell;
use edgetimedb::codec::chunk::{self, Chunk, Hints};
use edgetimedb::codec::{CellColumn, Cells, Effort};
use edgetimedb::limits::CHUNK_ROWS;
use edgetimedb::types::{ColumnId, FieldType, Position};
use tsz::stream::BufferedWriter;
use tsz::{DataPoint, Encode, StdEncoder};

use super::sensors;

/// Milliseconds and values of one chunk.
type Rows<'a> = [(i64, &'a str)];

/// Header, times and values.
fn ours(rows: &Rows<'_>, hints: &mut Hints) -> usize {
    let mut cells = Cells::new();
    let mut column = CellColumn::nulls(ColumnId(0), FieldType::Float, 0);
    for &(time_ms, text) in rows {
        cells.times.push(time_ms * 1_000_000);
        let (bits, mark) = sensors::cell(text);
        column.push(bits, mark);
    }
    cells.columns.push(column);
    let positions = (Position(1_000_000), Position(1_010_000));
    let bytes = chunk::encode(&cells, positions, hints, Effort::Full);
    let mut again = Cells::new();
    let chunk = Chunk::open(&bytes[..]).expect("just encoded");
    chunk.decode_cells(&mut again).expect("just encoded");
    assert_eq!(again.times, cells.times);
    let (made, read) = (&cells.columns[0], &again.columns[0]);
    for (row, (_, text)) in rows.iter().enumerate() {
        let [made, read] =
            [made, read].map(|column| cell::float(column.bits[row], column.marks[row]));
        assert_eq!(made.to_bits(), read.to_bits(), "{text}");
    }
    bytes.len()
}

fn doubles(rows: &Rows<'_>) -> Vec<f64> {
    let cells = rows.iter().map(|(_, text)| sensors::cell(text));
    cells.map(|(bits, mark)| cell::float(bits, mark)).collect()
}

/// Times in milliseconds, and values.
fn tsz(rows: &Rows<'_>) -> usize {
    let mut encoder = StdEncoder::new(rows[0].0 as u64, BufferedWriter::new());
    for (&(time_ms, _), value) in rows.iter().zip(doubles(rows)) {
        encoder.encode(DataPoint::new(time_ms as u64, value));
    }
    encoder.close().len()
}

/// Times and values, each on their own.
fn zstd(rows: &Rows<'_>) -> usize {
    let times = rows
        .iter()
        .flat_map(|(time_ms, _)| (time_ms * 1_000_000).to_le_bytes());
    let values = doubles(rows).into_iter().flat_map(f64::to_le_bytes);
    let len = |bytes: Vec<u8>| zstd::bulk::compress(&bytes, 3).expect("memory").len();
    len(times.collect()) + len(values.collect())
}

#[test]
fn chunks_are_never_larger_than_the_better_of_two_peers() {
    for sensor in sensors::all() {
        let rows: Vec<(i64, &str)> = sensor.rows().into_iter().collect();
        let mut hints = Hints::default();
        for (index, rows) in rows.chunks(CHUNK_ROWS).enumerate() {
            let (ours, tsz, zstd) = (ours(rows, &mut hints), tsz(rows), zstd(rows));
            assert!(
                ours <= tsz.min(zstd),
                "{}, chunk {index} of {} rows: {ours} bytes, tsz {tsz}, zstd {zstd}",
                sensor.name,
                rows.len()
            );
        }
    }
}
