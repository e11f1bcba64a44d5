//! Any bytes as a chunk, with and without the checksum in the way: errors or values, never a panic.
#![no_main]

use edgetimedb::codec::chunk::Chunk;
use edgetimedb::codec::vector::Values;
use edgetimedb::codec::{Cells, Statistics};
use edgetimedb::types::TimeRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Chunk::open(bytes);
    let Ok(chunk) = Chunk::reopen(bytes) else {
        return;
    };
    let mut times = Vec::new();
    if chunk.decode_times(&mut times).is_ok() {
        assert_eq!(times.len(), chunk.rows());
    }
    for summary in chunk.columns() {
        if let Ok(Some(vector)) = chunk.decode_column(summary.id) {
            assert_eq!(vector.len(), chunk.rows());
            assert_eq!(vector.validity.count(chunk.rows()), summary.count);
        }
    }
    // Parts are slices of the whole, and counted as a whole that is decoded.
    let middle = chunk.rows() / 3..chunk.rows() - chunk.rows() / 4;
    for rows in [0..chunk.rows(), middle] {
        if !times.is_empty() {
            let mut some = Vec::new();
            chunk
                .decode_times_of(rows.clone(), &mut some)
                .expect("all were decoded");
            assert_eq!(some, times[rows.clone()]);
            let range = TimeRange {
                start: times[rows.start],
                end: times[rows.end - 1],
            };
            let found = chunk.rows_within(range).expect("all were decoded");
            assert!(found.is_empty() || found == (rows.start..rows.end - 1));
        }
        for summary in chunk.columns() {
            let whole = chunk.decode_column(summary.id);
            let some = chunk.decode_column_of(summary.id, rows.clone());
            let counted = chunk.aggregate_decoded(summary.id, rows.clone());
            let (Ok(Some(whole)), Ok(Some(some)), Ok(Some((count, statistics)))) =
                (whole, some, counted)
            else {
                continue;
            };
            assert_eq!(some.len(), rows.len());
            assert_eq!(some.validity.count(some.len()), count);
            for (row, from) in rows.clone().enumerate() {
                assert_eq!(some.validity.is_valid(row), whole.validity.is_valid(from));
            }
            let (Values::Float(some), Values::Float(whole)) = (&some.values, &whole.values) else {
                continue;
            };
            assert!(
                some.iter()
                    .zip(&whole[rows.clone()])
                    .all(|(a, b)| a.to_bits() == b.to_bits())
            );
            if let (Statistics::Float { min, max, .. }, true) = (statistics, count == rows.len()) {
                assert!(some.iter().all(|value| !(*value < min || *value > max)));
            }
        }
    }
    let mut cells = Cells::new();
    match chunk.decode_cells(&mut cells) {
        Ok(()) => assert_eq!(cells.rows(), chunk.rows()),
        Err(_) => assert_eq!(cells.rows(), 0),
    }
});
