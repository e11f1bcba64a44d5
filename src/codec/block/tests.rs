//! Blocks: round trips over all types and shapes, damage, and the bytes of the format.

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use proptest::prelude::*;

use super::*;
use crate::codec::cells::{Cells, RowsView};
use crate::codec::simd::portably;
use crate::codec::test_rows::{self, Rows, hex};
use crate::limits::BLOCK_ROWS;
use crate::types::{ColumnId, FieldType};

fn encoded(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::default().encode(&rows.view(), &mut Tallies::default(), &mut out);
    out
}

proptest! {
    #[test]
    fn rows_come_back_bit_for_bit(rows in test_rows::rows(1..=ROWS_MAX)) {
        let bytes = encoded(&rows);
        let header = header(&bytes).expect("just encoded");
        prop_assert_eq!(header.len, bytes.len());
        prop_assert_eq!(header.rows, rows.times.len());
        prop_assert_eq!(header.first_time, rows.times[0]);
        prop_assert_eq!(Some(&header.last_time), rows.times.last());
        let mut cells = Cells::new();
        prop_assert_eq!(decode(&bytes, &mut cells), Ok(bytes.len()));
        rows.check(&cells, 0);
    }

    #[test]
    fn full_blocks_come_back_bit_for_bit_and_are_the_same_on_any_processor(rows in test_rows::rows(BLOCK_ROWS..=BLOCK_ROWS)) {
        let bytes = encoded(&rows);
        prop_assert_eq!(&portably(|| encoded(&rows)), &bytes);
        let mut cells = Cells::new();
        prop_assert_eq!(decode(&bytes, &mut cells), Ok(bytes.len()));
        rows.check(&cells, 0);
    }

    #[test]
    fn blocks_follow_one_another(first in test_rows::rows(1..=20), second in test_rows::rows(1..=20)) {
        prop_assume!(first.columns.iter().all(|(id, field_type)|
            second.columns.iter().all(|(other, other_type)| id != other || field_type == other_type)));
        let mut bytes = encoded(&first);
        Encoder::default().encode(&second.view(), &mut Tallies::default(), &mut bytes);
        let mut cells = Cells::new();
        let at = decode(&bytes, &mut cells).expect("just encoded");
        prop_assert_eq!(decode(&bytes[at..], &mut cells), Ok(bytes.len() - at));
        first.check(&cells, 0);
        second.check(&cells, first.times.len());
    }

    #[test]
    #[cfg_attr(miri, ignore = "damage: every truncation")]
    fn damage_is_an_error_and_leaves_the_rows_before(rows in test_rows::rows(1..=20), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = encoded(&rows);
        let mut cells = Cells::new();
        decode(&bytes, &mut cells).expect("just encoded");
        let before = cells.clone();
        for end in 0..bytes.len() {
            prop_assert!(decode(&bytes[..end], &mut cells).is_err());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if decode(&bytes, &mut cells).is_err() {
            prop_assert_eq!(&cells.times, &before.times);
            prop_assert!(cells.columns.iter().all(|column| column.bits.len() == before.rows() && column.marks.len() == before.rows()));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut cells = Cells::new();
        let _ = decode(&bytes, &mut cells);
        let _ = header(&bytes);
    }
}

#[test]
fn a_block_of_a_regular_decimal_takes_two_bytes_a_point() {
    let mantissas = [
        210u64, 211, 211, 212, 214, 213, 213, 212, 215, 216, 216, 217, 215, 216, 218, 218,
    ];
    let times: Vec<i64> = (0..16)
        .map(|row| 1_700_000_000_000_000_000 + row * 10_000_000_000)
        .collect();
    let mut out = Vec::new();
    Encoder::default().encode(
        &RowsView {
            times: &times,
            columns: &[(ColumnId(3), FieldType::Float)],
            bits: &mantissas,
            marks: &[1; 16],
            stride: 1,
            heap: &[],
        },
        &mut Tallies::default(),
        &mut out,
    );
    assert_eq!(out.len(), 22);
    assert_eq!(hex(&out), GOLDEN_DECIMALS);
}

#[test]
fn a_block_of_all_types_keeps_its_bytes() {
    let columns = [
        (ColumnId(0), FieldType::Float),
        (ColumnId(1), FieldType::Integer),
        (ColumnId(2), FieldType::Unsigned),
        (ColumnId(3), FieldType::Boolean),
        (ColumnId(4), FieldType::String),
        (ColumnId(300), FieldType::Binary),
    ];
    let nan = f64::NAN.to_bits();
    let bits = [
        [nan, i64::MIN as u64, 7, 1, cell::heap(0, 2), 0],
        [213, 5, u64::MAX, 0, cell::heap(2, 0), 0],
        [0, 6, 8, 1, cell::heap(0, 2), cell::heap(2, 1)],
    ];
    let marks = [
        [MARK_RAW, 0, 0, 0, 0, MARK_NULL],
        [1, 0, 0, 0, 0, MARK_NULL],
        [MARK_NULL, 0, 0, 0, 0, 0],
    ];
    let mut out = Vec::new();
    Encoder::default().encode(
        &RowsView {
            times: &[-1, 0, 7],
            columns: &columns,
            bits: bits.as_flattened(),
            marks: marks.as_flattened(),
            stride: 6,
            heap: b"abc",
        },
        &mut Tallies::default(),
        &mut out,
    );
    assert_eq!(hex(&out), GOLDEN_ALL_TYPES);
    let mut cells = Cells::new();
    assert_eq!(decode(&out, &mut cells), Ok(out.len()));
    assert_eq!(cells.columns[0].bits[0], nan);
    assert_eq!(
        cell::float(cells.columns[0].bits[1], cells.columns[0].marks[1]),
        21.3
    );
    assert_eq!(cells.columns[4].bytes(2), b"ab");
    assert_eq!(cells.columns[5].bytes(2), b"c");
}

/// The values of a type that are easily lost.
fn extremes(field_type: FieldType) -> Vec<(u64, u8)> {
    let double = |value: f64| (value.to_bits(), MARK_RAW);
    let cells = |values: &[u64]| values.iter().map(|&value| (value, 0)).collect();
    match field_type {
        FieldType::Float => vec![
            double(f64::NAN),
            double(-f64::NAN),
            // NaNs that say something, quiet and signalling.
            (0x7ff8_0000_dead_beef, MARK_RAW),
            (0xfff0_0000_0000_0001, MARK_RAW),
            double(0.0),
            double(-0.0),
            double(f64::INFINITY),
            double(f64::NEG_INFINITY),
            double(f64::from_bits(1)),
            double(-f64::MIN_POSITIVE / 2.0),
            double(f64::MAX),
            double(f64::MIN),
            (cell::MANTISSA_MAX as u64, 0),
            (-cell::MANTISSA_MAX as u64, cell::SCALE_MAX),
            (0, 3),
        ],
        FieldType::Integer => cells(&[i64::MIN as u64, i64::MAX as u64, 0, u64::MAX, 1]),
        FieldType::Unsigned => cells(&[u64::MAX, 0, 1 << 63, 1]),
        FieldType::Boolean => cells(&[1, 0]),
        FieldType::String | FieldType::Binary => cells(&[
            cell::heap(0, 0),
            cell::heap(3, 0),
            cell::heap(0, 3),
            cell::heap(2, 1),
        ]),
    }
}

#[test]
#[cfg_attr(miri, ignore = "places: every one of a block")]
fn extremes_come_back_bit_for_bit_wherever_they_stand() {
    for field_type in FieldType::ALL {
        let extremes = extremes(field_type);
        let usual = match field_type {
            FieldType::Float => (215, 1),
            FieldType::String | FieldType::Binary => (cell::heap(0, 2), 0),
            _ => (1, 0),
        };
        let counts = [1, 2, 31, BLOCK_ROWS, 33, ROWS_MAX];
        for count in counts {
            for at in 0..extremes.len() {
                // Alone among usual ones, and one after another; of one column and of two.
                let alone = |row: usize| {
                    if row == at % count {
                        extremes[at]
                    } else {
                        usual
                    }
                };
                let turns = |row: usize| extremes[(at + row) % extremes.len()];
                for cell in [&alone as &dyn Fn(usize) -> (u64, u8), &turns] {
                    for gap in [None, Some(count / 2)] {
                        let columns = if at % 2 == 0 { 1 } else { 2 };
                        let of = |row: usize| match gap {
                            Some(gap) if gap == row && count > 1 => (0, MARK_NULL),
                            _ => cell(row),
                        };
                        let cells =
                            (0..count).flat_map(|row| std::iter::repeat_n(of(row), columns));
                        let (bits, marks) = cells.unzip();
                        let rows = Rows {
                            times: (0..count as i64).map(|row| row * row - 5).collect(),
                            columns: (0..columns as u16)
                                .map(|id| (ColumnId(id), field_type))
                                .collect(),
                            bits,
                            marks,
                            heap: b"a\0\xff".to_vec(),
                        };
                        let mut cells = Cells::new();
                        let bytes = encoded(&rows);
                        assert_eq!(decode(&bytes, &mut cells), Ok(bytes.len()));
                        rows.check(&cells, 0);
                    }
                }
            }
        }
    }
}

/// What chunks have that were sealed before: a width of 0 instead of a bit, a scale instead of a layout.
#[test]
fn parts_of_before_are_still_read() {
    let block = |unit: &[u8], column: &[u8]| {
        let mut block = vec![0, 0x41, 2, 2, 2];
        block[2] = unit[0];
        block.extend(&unit[1..]);
        block.extend(column);
        block[0] = block.len() as u8 - 1;
        block
    };
    let float = FieldType::Float.number();
    let (before, now) = (
        block(&[2, 0], &[3, float, 1, 1, 2, 0b10]),
        block(&[2 | UNIT_REGULAR], &[3, float | 7 << 4, 1, 2, 0b10]),
    );
    let [mut one, mut other] = [Cells::new(), Cells::new()];
    assert_eq!(decode(&before, &mut one), Ok(before.len()));
    assert_eq!(decode(&now, &mut other), Ok(now.len()));
    assert_eq!(one, other);
    assert_eq!(one.times, [1_000_000, 3_000_000]);
    assert_eq!(
        (&one.columns[0].bits[..], &one.columns[0].marks[..]),
        (&[1, 2][..], &[1, 1][..])
    );
}

const GOLDEN_DECIMALS: &str = "154f0780c49fd50c9601037183a40303d318a5d3300a";
const GOLDEN_ALL_TYPES: &str = "5b8203000108030130001903000000000000f87f3e00cdcccccccc4ccd3f0102bfffffffffffffffffff01f5ffffffffffffffff010000000000000000feffffffffffff3f0203040108090324050435020200616202ac024e040163";

#[test]
fn a_column_that_is_there_twice_is_an_error() {
    // Two rows of one column of integers, 1 and 2, and of a second one.
    let column = |id: u8| [id, FieldType::Integer.number(), 1, 2, 0b10];
    let block = |first: u8, second: u8| {
        let mut block = vec![0, 0x81, 1, 2, 2, 2, 0];
        block.extend(column(first));
        block.extend(column(second));
        block[0] = block.len() as u8 - 1;
        block
    };
    let mut cells = Cells::new();
    assert_eq!(decode(&block(3, 4), &mut cells), Ok(17));
    assert_eq!(cells.columns[1].bits, [1, 2]);
    assert!(decode(&block(3, 3), &mut Cells::new()).is_err());
    assert!(decode(&block(3, 3), &mut cells).is_err());
    assert_eq!(cells.rows(), 2);
}
