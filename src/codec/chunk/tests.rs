//! Chunks: round trips over all types and shapes, statistics, damage.

use edgetime_protocol::cell::{self, MARK_NULL};
use proptest::prelude::*;

use super::*;
use crate::codec::cells::CellColumn;
use crate::codec::integers::Effort;
use crate::codec::test_rows::{self, Rows, hex};
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

fn check_statistics(rows: &Rows, chunk: &Chunk<&Vec<u8>>) {
    for (index, &(id, field_type)) in rows.columns.iter().enumerate() {
        let values: Vec<(u64, u8)> = (0..rows.times.len())
            .map(|row| row * rows.columns.len() + index)
            .map(|at| (rows.bits[at], rows.marks[at]))
            .filter(|cell| cell.1 != MARK_NULL)
            .collect();
        let summary = chunk.column(id).expect("is there");
        assert_eq!(summary.count, values.len());
        assert_eq!(summary.field_type, field_type);
        match summary.statistics {
            Statistics::None => {}
            Statistics::Integer {
                min,
                max,
                sum,
                first,
                last,
            } => {
                assert_eq!(Some(min), values.iter().map(|v| v.0 as i64).min());
                assert_eq!(Some(max), values.iter().map(|v| v.0 as i64).max());
                assert_eq!(
                    sum,
                    values.iter().map(|v| i128::from(v.0 as i64)).sum::<i128>()
                );
                assert_eq!(first as u64, values[0].0);
                assert_eq!(last as u64, values[values.len() - 1].0);
            }
            Statistics::Unsigned {
                min,
                max,
                sum,
                first,
                last,
            } => {
                assert_eq!(Some(min), values.iter().map(|v| v.0).min());
                assert_eq!(Some(max), values.iter().map(|v| v.0).max());
                assert_eq!(sum, values.iter().map(|v| u128::from(v.0)).sum::<u128>());
                assert_eq!((first, last), (values[0].0, values[values.len() - 1].0));
            }
            Statistics::Boolean { trues, first, last } => {
                assert_eq!(trues, values.iter().filter(|v| v.0 == 1).count());
                assert_eq!(
                    (u64::from(first), u64::from(last)),
                    (values[0].0, values[values.len() - 1].0)
                );
            }
            Statistics::Float {
                min,
                max,
                first,
                last,
                ..
            } => {
                let floats: Vec<f64> = values.iter().map(|v| cell::float(v.0, v.1)).collect();
                let least = floats.iter().copied().fold(f64::NAN, f64::min);
                let most = floats.iter().copied().fold(f64::NAN, f64::max);
                assert!(min == least || min.is_nan() && least.is_nan());
                assert!(max == most || max.is_nan() && most.is_nan());
                assert_eq!(first.to_bits(), floats[0].to_bits());
                assert_eq!(last.to_bits(), floats[floats.len() - 1].to_bits());
            }
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
    #[cfg_attr(miri, ignore = "sizes: of many rows")]
    fn recompression_never_makes_a_chunk_larger(rows in test_rows::rows(1..=300)) {
        let [cheap, full] = EFFORTS.map(|effort| sealed(&rows, effort));
        let smaller = recompress(&cheap, &mut Hints::default()).expect("just encoded");
        prop_assert_eq!(smaller, (full.len() < cheap.len()).then_some(full.clone()));
        prop_assert_eq!(recompress(&full, &mut Hints::default()), Ok(None));
    }

    #[test]
    fn statistics_are_those_of_the_values(rows in test_rows::rows(1..=300)) {
        for effort in EFFORTS {
            let bytes = sealed(&rows, effort);
            check_statistics(&rows, &Chunk::open(&bytes).expect("just encoded"));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "damage: every truncation")]
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
        let rows = chunk.rows() / 3..chunk.rows() - chunk.rows() / 4;
        let some = chunk.decode_column_of(summary.id, rows.clone());
        if let Ok(Some(some)) = some {
            assert_eq!(some.len(), rows.len());
        }
        let _ = chunk.aggregate_decoded(summary.id, rows);
    }
    let mut cells = Cells::new();
    if chunk.decode_cells(&mut cells).is_err() {
        assert_eq!(cells.rows(), 0);
        assert!(cells.columns.iter().all(|column| column.bits.is_empty()));
    }
}

/// A chunk of one column, made from one number a row.
fn column_chunk(
    field_type: FieldType,
    rows: usize,
    effort: Effort,
    cell: impl Fn(u64) -> (u64, u8),
) -> Vec<u8> {
    let mut cells = Cells::new();
    let mut column = CellColumn::nulls(ColumnId(5), field_type, 0);
    column.heap = b"onoff".to_vec();
    for row in 0..rows as u64 {
        let (bits, mark) = cell(row);
        column.push(bits, mark);
        cells
            .times
            .push(1_700_000_000_000_000_000 + row as i64 * 10_000_000_000);
    }
    cells.columns.push(column);
    encode(
        &cells,
        (Position(1_000), Position(2_000)),
        &mut Hints::default(),
        effort,
    )
}

#[test]
fn chunks_keep_their_bytes() {
    let raw = |value: f64| (value.to_bits(), cell::MARK_RAW);
    let wave = |row: u64| row * row % 7;
    let made = [
        column_chunk(FieldType::Float, 9, Effort::Cheap, |row| {
            (210 + wave(row), 1)
        }),
        column_chunk(FieldType::Float, 40, Effort::Full, |row| {
            (210 + wave(row), 1)
        }),
        column_chunk(FieldType::Float, 9, Effort::Cheap, |row| {
            raw(2f64.powi(row as i32).sqrt())
        }),
        column_chunk(FieldType::Float, 9, Effort::Full, |row| {
            raw((50 + wave(row)) as f64 / 3.0)
        }),
        column_chunk(FieldType::Integer, 9, Effort::Cheap, |row| {
            if row == 4 {
                (0, MARK_NULL)
            } else {
                (row.wrapping_mul(u64::MAX / 3), 0)
            }
        }),
        column_chunk(FieldType::Boolean, 9, Effort::Cheap, |row| {
            (u64::from(row > 6), 0)
        }),
        column_chunk(FieldType::String, 9, Effort::Cheap, |row| {
            (
                if row < 4 {
                    cell::heap(0, 2)
                } else {
                    cell::heap(2, 3)
                },
                0,
            )
        }),
    ];
    assert_eq!(made.each_ref().map(|chunk| hex(chunk)), GOLDEN);
    for chunk in made {
        Chunk::open(chunk).expect("golden");
    }
}

#[test]
#[should_panic(expected = "a column that is there twice")]
fn a_column_cannot_be_there_twice() {
    let mut cells = Cells::new();
    cells.times.push(1);
    let column = CellColumn::nulls(ColumnId(5), FieldType::Float, 1);
    cells.columns = vec![column.clone(), column];
    let positions = (Position(1), Position(2));
    encode(&cells, positions, &mut Hints::default(), Effort::Cheap);
}

#[test]
#[cfg_attr(miri, ignore = "sizes: of many rows")]
fn the_header_of_one_decimal_column_is_small() {
    let bytes = column_chunk(FieldType::Float, 1024, Effort::Cheap, |row| {
        (2_100 + row * row % 97, 2)
    });
    let chunk = Chunk::open(&bytes).expect("just encoded");
    let summary = chunk.column(ColumnId(5)).expect("is there");
    let body = summary.encoded_bytes;
    assert!(bytes.len() - body < 30 && chunk.spacing() == Some(10_000_000_000));
}

const GOLDEN: [&str; 7] = [
    "01fe9caf720901e807d00f830980c49fd50c50000a05110801a4030200041e7103a40308250601",
    "01d7455b7d2801e807d00f0380c49fd50c8603000b05111201a4030400049e01400003a1c42094188412835062104a0c4209",
    "01d97cb3360901e807d00f830980c49fd50c50002b05614a000000000000f03f000000000000304008a40b404a1b4a40000000000000f03f000000000000304011000000000000f03f3f00cd3b7f669ea00680e69d3f334f50fb7ff3ce9f9927a801a079e7cfcc13d402d0bcf367e6096a0068def933f304b50134effc9979821a009a77fecc3c412d00",
    "01854f51f50901e807d00f0380c49fd50c50002b05810cabaaaaaaaaaa304000000000000032400000000000606340abaaaaaaaaaa304000000000000031400664400003a1c42000400000",
    "01684d3c340901e807d00f830980c49fd50c50002b053a084700afd5aad5aad5aad5aa01d8aad5aad5aad5aa55d5aad5aad5aad5aa55bfd5aad5aad5aad5aa010aef01c000abd5aad5aad5aad5aa01abaaaaaaaaaaaaaaabaaaaaaaaaaaaaaabaaaaaaaaaaaaaa0000000000000000abaaaaaaaaaaaaaaabaaaaaaaaaaaaaaabaaaaaaaaaaaaaa",
    "0156705de70901e807d00f830980c49fd50c50000405440309248001",
    "01568387a60901e807d00f830980c49fd50c50000305550b350202036f6e6f6666f001",
];
