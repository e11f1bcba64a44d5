//! Chunks: round trips over all types and shapes, statistics, damage.

use edgetime_protocol::cell::{self, MARK_NULL};
use proptest::prelude::*;

use super::*;
use crate::codec::integers::Effort;
use crate::codec::test_rows::{self, Rows};
use crate::codec::vector::Values;

const EFFORTS: [Effort; 2] = [Effort::Cheap, Effort::Full];

fn sealed(rows: &Rows, effort: Effort) -> Vec<u8> {
    let positions = (Position(77), Position(1234));
    encode(&rows.cells(), positions, &mut Hints::default(), effort)
}

fn check_vector(rows: &Rows, index: usize, vector: &ColumnVector) {
    assert_eq!(vector.len(), rows.times.len());
    for row in 0..rows.times.len() {
        let at = row * rows.columns.len() + index;
        let (bits, mark) = (rows.bits[at], rows.marks[at]);
        assert_eq!(vector.validity.is_valid(row), mark != MARK_NULL);
        if mark == MARK_NULL {
            continue;
        }
        match &vector.values {
            Values::Float(values) => {
                assert_eq!(values[row].to_bits(), cell::float(bits, mark).to_bits());
            }
            Values::Integer(values) => assert_eq!(values[row] as u64, bits),
            Values::Unsigned(values) => assert_eq!(values[row], bits),
            Values::Boolean(values) => assert_eq!(u64::from(values[row]), bits),
            Values::String(values) | Values::Binary(values) => assert_eq!(
                values.get(row),
                crate::codec::cells::heap_bytes(&rows.heap, bits)
            ),
        }
    }
}

proptest! {
    #[test]
    fn rows_come_back_bit_for_bit(rows in test_rows::rows(1..=300)) {
        for effort in EFFORTS {
            let bytes = sealed(&rows, effort);
            let chunk = Chunk::open(&bytes).expect("just encoded");
            prop_assert_eq!(chunk.rows(), rows.times.len());
            prop_assert_eq!(chunk.first_time(), rows.times[0]);
            prop_assert_eq!(Some(&chunk.last_time()), rows.times.last());
            prop_assert_eq!(chunk.first_position(), Position(77));
            prop_assert_eq!(chunk.last_position(), Position(1234));
            let mut cells = Cells::new();
            chunk.decode_cells(&mut cells).expect("just encoded");
            rows.check(&cells, 0);
            chunk.decode_cells(&mut cells).expect("again");
            rows.check(&cells, rows.times.len());
            for (index, &(id, _)) in rows.columns.iter().enumerate() {
                let vector = chunk.decode_column(id).expect("just encoded").expect("is there");
                check_vector(&rows, index, &vector);
            }
            prop_assert_eq!(chunk.decode_column(ColumnId(u16::MAX)), Ok(None));
            prop_assert_eq!(chunk.columns().count(), rows.columns.len());
        }
    }

    #[test]
    fn statistics_are_those_of_the_values(rows in test_rows::rows(1..=300)) {
        let bytes = sealed(&rows, Effort::Full);
        let chunk = Chunk::open(&bytes).expect("just encoded");
        for (index, &(id, field_type)) in rows.columns.iter().enumerate() {
            let values: Vec<(u64, u8)> = (0..rows.times.len())
                .map(|row| row * rows.columns.len() + index)
                .map(|at| (rows.bits[at], rows.marks[at]))
                .filter(|cell| cell.1 != MARK_NULL)
                .collect();
            let summary = chunk.column(id).expect("is there");
            prop_assert_eq!(summary.count, values.len());
            prop_assert_eq!(summary.field_type, field_type);
            match summary.statistics {
                Statistics::None => {}
                Statistics::Integer { min, max, sum, first, last } => {
                    prop_assert_eq!(Some(min), values.iter().map(|v| v.0 as i64).min());
                    prop_assert_eq!(Some(max), values.iter().map(|v| v.0 as i64).max());
                    prop_assert_eq!(sum, values.iter().map(|v| i128::from(v.0 as i64)).sum::<i128>());
                    prop_assert_eq!(first as u64, values[0].0);
                    prop_assert_eq!(last as u64, values[values.len() - 1].0);
                }
                Statistics::Unsigned { min, max, sum, first, last } => {
                    prop_assert_eq!(Some(min), values.iter().map(|v| v.0).min());
                    prop_assert_eq!(Some(max), values.iter().map(|v| v.0).max());
                    prop_assert_eq!(sum, values.iter().map(|v| u128::from(v.0)).sum::<u128>());
                    prop_assert_eq!((first, last), (values[0].0, values[values.len() - 1].0));
                }
                Statistics::Boolean { trues, first, last } => {
                    prop_assert_eq!(trues, values.iter().filter(|v| v.0 == 1).count());
                    prop_assert_eq!((u64::from(first), u64::from(last)), (values[0].0, values[values.len() - 1].0));
                }
                Statistics::Float { min, max, first, last, .. } => {
                    let floats: Vec<f64> = values.iter().map(|v| cell::float(v.0, v.1)).collect();
                    let least = floats.iter().copied().fold(f64::NAN, f64::min);
                    let most = floats.iter().copied().fold(f64::NAN, f64::max);
                    prop_assert!(min == least || min.is_nan() && least.is_nan());
                    prop_assert!(max == most || max.is_nan() && most.is_nan());
                    prop_assert_eq!(first.to_bits(), floats[0].to_bits());
                    prop_assert_eq!(last.to_bits(), floats[floats.len() - 1].to_bits());
                }
            }
        }
    }

    #[test]
    fn damage_is_noticed_and_harmless(rows in test_rows::rows(1..=60), at in any::<prop::sample::Index>(), flip in 1u8..) {
        for effort in EFFORTS {
            let mut bytes = sealed(&rows, effort);
            for end in 0..bytes.len() {
                prop_assert!(Chunk::open(&bytes[..end]).is_err());
                read_all(&bytes[..end]);
            }
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(Chunk::open(&bytes).is_err());
            read_all(&bytes);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }
}

/// Decodes everything there is, without the checksum.
fn read_all(bytes: &[u8]) {
    let Ok(chunk) = Chunk::reopen(bytes) else {
        return;
    };
    let _ = chunk.decode_times(&mut Vec::new());
    for summary in chunk.columns() {
        let _ = chunk.decode_column(summary.id);
    }
    let mut cells = Cells::new();
    if chunk.decode_cells(&mut cells).is_err() {
        assert_eq!(cells.rows(), 0);
        assert!(cells.columns.iter().all(|column| column.bits.is_empty()));
    }
}
