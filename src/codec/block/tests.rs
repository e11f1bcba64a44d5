//! Blocks: round trips over all types and shapes, damage, and the bytes of the format.

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use proptest::prelude::*;

use super::*;
use crate::codec::cells::{Cells, RowsView};
use crate::codec::test_rows::{self, Rows, hex};
use crate::types::{ColumnId, FieldType};

fn encoded(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&rows.view(), &mut Tallies::default(), &mut out);
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
    fn blocks_follow_one_another(first in test_rows::rows(1..=20), second in test_rows::rows(1..=20)) {
        prop_assume!(first.columns.iter().all(|(id, field_type)|
            second.columns.iter().all(|(other, other_type)| id != other || field_type == other_type)));
        let mut bytes = encoded(&first);
        encode(&second.view(), &mut Tallies::default(), &mut bytes);
        let mut cells = Cells::new();
        let at = decode(&bytes, &mut cells).expect("just encoded");
        prop_assert_eq!(decode(&bytes[at..], &mut cells), Ok(bytes.len() - at));
        first.check(&cells, 0);
        second.check(&cells, first.times.len());
    }

    #[test]
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
    encode(
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
    assert_eq!(out.len(), 26);
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
    encode(
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

const GOLDEN_DECIMALS: &str = "980010010380c49fd50c96010003010183a40303d318a5d3300a";
const GOLDEN_ALL_TYPES: &str = "db000306000108030130001903000000000000f87f3e00cdcccccccc4ccd3f0102bfffffffffffffffffff01f5ffffffffffffffff010000000000000000feffffffffffff3f0203040108090324050435020200616202ac024e040163";

#[test]
fn a_column_that_is_there_twice_is_an_error() {
    // Two rows of one column of integers, 1 and 2, and of a second one.
    let column = |id: u8| [id, FieldType::Integer.number(), 1, 2, 0b10];
    let block = |first: u8, second: u8| {
        let mut block = vec![0, 2, 2, 2, 2, 2, 0];
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
