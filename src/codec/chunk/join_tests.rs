//! Chunks made of blocks: the same from rows and from columns, counted as they are read, and nothing else taken.

use edgetime_protocol::cell::{MANTISSA_MAX, MARK_NULL, MARK_RAW};
use proptest::prelude::*;

use super::*;
use crate::codec::block::{self, Encoder, Tallies};
use crate::codec::integers::Effort;
use crate::codec::test_rows::{self, Rows};
use crate::limits::BLOCK_ROWS;

const POSITIONS: (Position, Position) = (Position(77), Position(1_234));

/// The rows from `start` on, in blocks of so many.
fn blocks(rows: &Rows, starts: &[usize], tallies: &mut Tallies) -> Vec<u8> {
    let mut out = Vec::new();
    let stride = rows.columns.len();
    let ends = starts.iter().copied().skip(1).chain([rows.times.len()]);
    for (&start, end) in starts.iter().zip(ends) {
        let cells = start * stride..end * stride;
        let view = crate::codec::RowsView {
            times: &rows.times[start..end],
            bits: &rows.bits[cells.clone()],
            marks: &rows.marks[cells],
            ..rows.view()
        };
        Encoder::default().encode(&view, tallies, &mut out);
    }
    out
}

fn join(rows: &Rows, starts: &[usize]) -> Result<Vec<u8>, CodecError> {
    let mut tallies = Tallies::default();
    let blocks = blocks(rows, starts, &mut tallies);
    Joiner::default().join(&[&blocks], &tallies, &rows.columns, POSITIONS)
}

/// One column, a cell a row.
fn column(field_type: FieldType, cells: impl IntoIterator<Item = (u64, u8)>) -> Rows {
    let (bits, marks): (Vec<u64>, Vec<u8>) = cells.into_iter().unzip();
    Rows {
        times: (0..bits.len() as i64).map(|row| row * 7).collect(),
        columns: vec![(ColumnId(3), field_type)],
        bits,
        marks,
        heap: Vec::new(),
    }
}

/// The summary of the only column of the chunk of some rows, which read back as they are.
fn summary(rows: &Rows) -> ColumnSummary {
    let bytes = encode(
        &rows.cells(),
        POSITIONS,
        &mut Hints::default(),
        Effort::Cheap,
    );
    let chunk = Chunk::open(&bytes).expect("just encoded");
    let mut cells = Cells::new();
    chunk.decode_cells(&mut cells).expect("just encoded");
    rows.check(&cells, 0);
    let summary = chunk.column(ColumnId(3)).expect("is there");
    let found = chunk.aggregate_decoded(ColumnId(3), 0..chunk.rows());
    let found = found.expect("just encoded").expect("is there");
    let known = (summary.count, summary.statistics);
    assert_eq!(format!("{known:?}"), format!("{found:?}"));
    summary
}

proptest! {
    #[test]
    fn rows_and_columns_make_the_same_chunk(rows in test_rows::rows(1..=300)) {
        let starts: Vec<usize> = (0..rows.times.len()).step_by(BLOCK_ROWS).collect();
        let joined = join(&rows, &starts).expect("just encoded");
        let cells = encode(&rows.cells(), POSITIONS, &mut Hints::default(), Effort::Cheap);
        prop_assert_eq!(joined, cells);
    }

    #[test]
    fn blocks_of_any_size_are_joined(rows in test_rows::rows(1..=200), size in 1usize..=block::ROWS_MAX) {
        let starts: Vec<usize> = (0..rows.times.len()).step_by(size).collect();
        let bytes = join(&rows, &starts).expect("just encoded");
        let chunk = Chunk::open(&bytes).expect("just encoded");
        let mut cells = Cells::new();
        chunk.decode_cells(&mut cells).expect("just encoded");
        rows.check(&cells, 0);
        for row in [0, rows.times.len() / 2, rows.times.len() - 1] {
            let time = rows.times[row];
            let found = chunk.rows_within(crate::types::TimeRange { start: time, end: time + 1 });
            prop_assert_eq!(found, Ok(row..row + 1));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "damage: every truncation")]
    fn damaged_blocks_do_no_harm(rows in test_rows::rows(1..=100), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let starts: Vec<usize> = (0..rows.times.len()).step_by(BLOCK_ROWS).collect();
        let mut tallies = Tallies::default();
        let mut bytes = blocks(&rows, &starts, &mut tallies);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        for tallies in [tallies, Tallies::default()] {
            let Ok(joined) = Joiner::default().join(&[&bytes], &tallies, &[], POSITIONS) else {
                continue;
            };
            let chunk = Chunk::open(&joined).expect("just joined");
            let _ = chunk.decode_cells(&mut Cells::new());
            for column in chunk.columns() {
                let _ = chunk.decode_column_of(column.id, 1..rows.times.len());
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "damage: every truncation")]
    fn blocks_that_do_not_fit_are_refused(rows in test_rows::rows(70..=100), short in 1usize..32) {
        prop_assert!(join(&rows, &[0, short, 40]).is_err(), "a block that is shorter than the first");
        prop_assert!(join(&rows, &[40, 40 + short.min(14)]).is_err(), "a last block that is longer");
        let mut tallies = Tallies::default();
        let bytes = blocks(&rows, &[0, 32, 64], &mut tallies);
        let mut joiner = Joiner::default();
        let twice = joiner.join(&[&bytes, &bytes], &tallies, &rows.columns, POSITIONS);
        prop_assert!(twice.is_err(), "times that do not ascend");
        prop_assert!(joiner.join(&[], &tallies, &rows.columns, POSITIONS).is_err(), "no rows");
        for end in 0..bytes.len() {
            let cut = joiner.join(&[&bytes[..end]], &tallies, &rows.columns, POSITIONS);
            let whole = blocks(&rows, &[0, 32, 64], &mut Tallies::default());
            prop_assert!(cut.is_err() || whole.starts_with(&bytes[..end]));
        }
        // The buffers are as good as new ones.
        let again = joiner.join(&[&bytes], &tallies, &rows.columns, POSITIONS);
        prop_assert_eq!(again, join(&rows, &[0, 32, 64]));
    }
}

#[test]
fn decimals_of_several_scales_are_counted_at_the_largest() {
    // 1.5, 2.5, ... in tenths, then the same in thousandths, then as whole numbers.
    let cells = (0..96u64).map(|row| match row / 32 {
        0 => (15 + row * 10, 1),
        1 => (1_500 + row * 1_000, 3),
        _ => (row, 0),
    });
    let summary = summary(&column(FieldType::Float, cells));
    assert_eq!(summary.codec, Codec::Decimal);
    let sum = (0..64).map(|row| 1.5 + f64::from(row)).sum::<f64>();
    let whole = (64..96).map(f64::from).sum::<f64>();
    assert_eq!(
        summary.statistics,
        Statistics::Float {
            min: 1.5,
            max: 95.0,
            sum: sum + whole,
            first: 1.5,
            last: 95.0,
        }
    );
}

#[test]
fn scales_too_far_apart_count_as_doubles() {
    let large = |scale: u8| (MANTISSA_MAX as u64, scale);
    for (first, second) in [(0, 1), (1, 0), (0, 22), (22, 0)] {
        let cells = (0..64).map(|row| large(if row < 32 { first } else { second }));
        let summary = summary(&column(FieldType::Float, cells));
        assert_eq!(summary.codec, Codec::Xor, "{first} {second}");
    }
    // Zero has room at every scale.
    let cells = (0..64u64).map(|row| if row < 32 { (0, 0) } else { (row, 22) });
    assert_eq!(
        summary(&column(FieldType::Float, cells)).codec,
        Codec::Decimal
    );
}

#[test]
fn doubles_in_one_block_are_counted_with_decimals_in_others() {
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    for block in 0..3 {
        // 0, 0.1, ... at a scale of its own in each block.
        let cells = (0..96u64).map(|row| {
            let scale = (row / 32 + 1) as u8;
            if row / 32 != block {
                return (row * 10u64.pow(u32::from(scale) - 1), scale);
            }
            let double = match row % 32 {
                8 => nan,
                18 => -0.0,
                28 => f64::INFINITY,
                _ => row as f64 / 10.0,
            };
            (double.to_bits(), MARK_RAW)
        });
        let summary = summary(&column(FieldType::Float, cells));
        assert_eq!(summary.codec, Codec::Xor);
        let Statistics::Float { min, max, last, .. } = summary.statistics else {
            panic!("floats");
        };
        assert_eq!((min, max, last), (0.0, f64::INFINITY, 9.5), "{block}");
    }
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    let cells = (0..100u64).map(|row| (i64::MAX as u64 - row, 0));
    let integers = summary(&column(FieldType::Integer, cells.clone()));
    let Statistics::Integer { sum, .. } = integers.statistics else {
        panic!("integers");
    };
    assert_eq!(sum, i128::from(i64::MAX) * 100 - 4_950);
    // Each block can be added in 64 bits, all of them cannot.
    let cells = (0..320u64).map(|row| ((1 << 56) + row, 0));
    let integers = summary(&column(FieldType::Integer, cells));
    let Statistics::Integer { sum, max, .. } = integers.statistics else {
        panic!("integers");
    };
    assert_eq!((sum, max), ((320 << 56) + 51_040, (1 << 56) + 319));
    // Some are no signed numbers.
    let cells = (0..100u64).map(|row| (if row % 3 == 0 { u64::MAX - row } else { row }, 0));
    let unsigned = summary(&column(FieldType::Unsigned, cells.clone()));
    let Statistics::Unsigned { min, max, sum, .. } = unsigned.statistics else {
        panic!("unsigned");
    };
    let exact: u128 = cells.map(|cell| u128::from(cell.0)).sum();
    assert_eq!((min, max, sum), (1, u64::MAX, exact));
}

#[test]
fn columns_come_and_go() {
    // Column 1 has values in the second block only, column 2 in none, column 0 in all but the second.
    let mut rows = Rows {
        times: (0..90).map(|row| row * row).collect(),
        columns: vec![
            (ColumnId(9), FieldType::Integer),
            (ColumnId(1), FieldType::Boolean),
            (ColumnId(2), FieldType::String),
        ],
        bits: Vec::new(),
        marks: Vec::new(),
        heap: Vec::new(),
    };
    for row in 0..90u64 {
        let second = row / 32 == 1;
        rows.bits.extend([row, u64::from(row > 40), 0]);
        let mark = |there: bool| if there { 0 } else { MARK_NULL };
        rows.marks
            .extend([mark(!second), mark(second && row % 2 == 0), MARK_NULL]);
    }
    let bytes = join(&rows, &[0, 32, 64]).expect("just encoded");
    let chunk = Chunk::open(&bytes).expect("just encoded");
    let mut cells = Cells::new();
    chunk.decode_cells(&mut cells).expect("just encoded");
    rows.check(&cells, 0);
    let told: Vec<_> = chunk
        .columns()
        .map(|column| (column.id.0, column.count, column.codec, column.packing))
        .collect();
    assert_eq!(
        told,
        [
            (1, 16, Codec::Flags, "blocks"),
            (2, 0, Codec::Empty, ""),
            (9, 58, Codec::Integers, "blocks"),
        ]
    );
    let flags = chunk.column(ColumnId(1)).map(|column| column.statistics);
    let known = Statistics::Boolean {
        trues: 11,
        first: false,
        last: true,
    };
    assert_eq!(flags, Some(known));
    let some = chunk.decode_column_of(ColumnId(9), 30..66);
    let some = some.expect("just encoded").expect("is there");
    let valid: Vec<usize> = (0..36).filter(|&row| some.validity.is_valid(row)).collect();
    assert_eq!(valid, [0, 1, 34, 35]);
}

#[test]
#[cfg_attr(miri, ignore = "sizes: of many rows")]
fn a_chunk_takes_what_its_blocks_take() {
    let cells = (0..1024u64).map(|row| (2_100 + row * row % 97, 2));
    let rows = column(FieldType::Float, cells);
    let starts: Vec<usize> = (0..1024).step_by(BLOCK_ROWS).collect();
    let blocks = blocks(&rows, &starts, &mut Tallies::default());
    let chunk = join(&rows, &starts).expect("just encoded");
    assert!(
        chunk.len() < blocks.len(),
        "{} {}",
        chunk.len(),
        blocks.len()
    );
}
