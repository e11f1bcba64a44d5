//! Some rows of a chunk: they are slices of the whole, and their statistics those of a naive fold.

use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::codec::integers::Effort;
use crate::codec::simd::portably;
use crate::codec::test_rows::{self, Rows};
use crate::codec::vector::Values;
use crate::types::TimeRange;

fn sealed(rows: &Rows, effort: Effort) -> Vec<u8> {
    let positions = (Position(77), Position(1234));
    encode(&rows.cells(), positions, &mut Hints::default(), effort)
}

/// Values of a column as 64 bits each, those that are missing left out.
fn present(vector: &ColumnVector, rows: Range<usize>) -> Vec<u64> {
    let rows = rows.filter(|&row| vector.validity.is_valid(row));
    rows.map(|row| match &vector.values {
        Values::Float(values) => values[row].to_bits(),
        Values::Integer(values) => values[row] as u64,
        Values::Unsigned(values) => values[row],
        Values::Boolean(values) => u64::from(values[row]),
        Values::String(values) | Values::Binary(values) => values.get(row).len() as u64,
    })
    .collect()
}

fn check_statistics(values: &[u64], (count, statistics): (usize, Statistics)) {
    assert_eq!(count, values.len());
    let ends = (values.first().copied(), values.last().copied());
    match statistics {
        Statistics::None => {}
        Statistics::Integer {
            min,
            max,
            sum,
            first,
            last,
        } => {
            let signed = || values.iter().map(|&value| value as i64);
            assert_eq!((Some(min), Some(max)), (signed().min(), signed().max()));
            assert_eq!(sum, signed().map(i128::from).sum::<i128>());
            assert_eq!((Some(first as u64), Some(last as u64)), ends);
        }
        Statistics::Unsigned {
            min,
            max,
            sum,
            first,
            last,
        } => {
            let all = || values.iter().copied();
            assert_eq!((Some(min), Some(max)), (all().min(), all().max()));
            assert_eq!(sum, all().map(u128::from).sum::<u128>());
            assert_eq!((Some(first), Some(last)), ends);
        }
        Statistics::Boolean { trues, first, last } => {
            assert_eq!(trues, values.iter().filter(|&&value| value == 1).count());
            assert_eq!((Some(u64::from(first)), Some(u64::from(last))), ends);
        }
        Statistics::Float {
            min,
            max,
            sum,
            first,
            last,
        } => {
            let all = || values.iter().map(|&value| f64::from_bits(value));
            let least = all().fold(f64::NAN, f64::min);
            let most = all().fold(f64::NAN, f64::max);
            assert!(min == least || min.is_nan() && least.is_nan());
            assert!(max == most || max.is_nan() && most.is_nan());
            assert_eq!((Some(first.to_bits()), Some(last.to_bits())), ends);
            let naive: f64 = all().sum();
            let magnitude: f64 = all().map(f64::abs).sum();
            if magnitude.is_finite() {
                assert!((sum - naive).abs() <= magnitude * 1e-12, "{sum} {naive}");
            }
        }
    }
}

proptest! {
    #[test]
    fn parts_are_slices_of_the_whole(
        rows in test_rows::rows(1..=1500),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 3),
    ) {
        let count = rows.times.len();
        for effort in [Effort::Cheap, Effort::Full] {
            let bytes = sealed(&rows, effort);
            let chunk = Chunk::open(&bytes).expect("just encoded");
            let mut parts: Vec<Range<usize>> = cuts
                .iter()
                .map(|(start, end)| (start.index(count), end.index(count) + 1))
                .map(|(start, end)| start..end.max(start))
                .collect();
            parts.extend([0..count, 0..count + 9, count..count + 1]);
            for part in parts {
                let inside = part.start.min(count)..part.end.min(count);
                let mut times = vec![7];
                chunk.decode_times_of(part.clone(), &mut times).expect("just encoded");
                prop_assert_eq!(&times[1..], &rows.times[inside.clone()]);
                for &(id, field_type) in &rows.columns {
                    let whole = chunk.decode_column(id).expect("just encoded").expect("is there");
                    let values = present(&whole, inside.clone());
                    let some = chunk.decode_column_of(id, part.clone()).expect("just encoded").expect("is there");
                    prop_assert_eq!(some.len(), inside.len());
                    prop_assert_eq!(some.values.field_type(), field_type);
                    prop_assert_eq!(present(&some, 0..some.len()), values.clone());
                    for (row, from) in inside.clone().enumerate() {
                        prop_assert_eq!(some.validity.is_valid(row), whole.validity.is_valid(from));
                    }
                    let known = chunk.aggregate(id, part.clone()).expect("just encoded").expect("is there");
                    let found = chunk.aggregate_decoded(id, part.clone()).expect("just encoded").expect("is there");
                    prop_assert_eq!(format!("{known:?}"), format!("{found:?}"));
                    check_statistics(&values, known);
                }
                prop_assert_eq!(chunk.decode_column_of(ColumnId(u16::MAX), part.clone()), Ok(None));
                prop_assert_eq!(chunk.aggregate(ColumnId(u16::MAX), part), Ok(None));
            }
        }
    }

    #[test]
    fn portable_code_writes_and_reads_the_same(rows in test_rows::rows(1..=1100)) {
        for effort in [Effort::Cheap, Effort::Full] {
            let bytes = sealed(&rows, effort);
            prop_assert_eq!(&portably(|| sealed(&rows, effort)), &bytes);
            let chunk = Chunk::open(&bytes).expect("just encoded");
            for &(id, _) in &rows.columns {
                let read = || {
                    let vector = chunk.decode_column(id).expect("just encoded").expect("is there");
                    let counted = chunk.aggregate_decoded(id, 0..chunk.rows());
                    (present(&vector, 0..vector.len()), format!("{counted:?}"))
                };
                prop_assert_eq!(portably(read), read());
            }
        }
    }

    #[test]
    fn rows_of_a_range_are_those_inside(
        rows in test_rows::rows(1..=600),
        at in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        off in (-2i64..3, -2i64..3),
    ) {
        let times = &rows.times;
        let bytes = sealed(&rows, Effort::Full);
        let chunk = Chunk::open(&bytes).expect("just encoded");
        let near = |at: prop::sample::Index, off: i64| times[at.index(times.len())].saturating_add(off);
        for range in [
            TimeRange { start: near(at.0, off.0), end: near(at.1, off.1) },
            TimeRange { start: near(at.0, off.0), end: i64::MAX },
            TimeRange { start: i64::MIN, end: near(at.1, off.1) },
            TimeRange::ALL,
        ] {
            let found = chunk.rows_within(range).expect("just encoded");
            let inside: Vec<usize> = (0..times.len())
                .filter(|&row| range.contains(times[row]) && !range.is_empty())
                .collect();
            prop_assert_eq!(found.clone().collect::<Vec<_>>(), inside, "{:?}", range);
        }
    }
}
