//! Rows for the tests of this module: all types, hostile values, gaps.

use std::ops::RangeInclusive;

use edgetime_protocol::cell::{self, MARK_NULL, MARK_RAW};
use proptest::prelude::*;

use super::cells::{CellColumn, Cells, RowsView, heap_bytes};
use crate::types::{ColumnId, FieldType};

/// Staged rows that own their memory.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) times: Vec<i64>,
    pub(crate) columns: Vec<(ColumnId, FieldType)>,
    pub(crate) bits: Vec<u64>,
    pub(crate) marks: Vec<u8>,
    pub(crate) heap: Vec<u8>,
}

impl Rows {
    pub(crate) fn view(&self) -> RowsView<'_> {
        RowsView {
            times: &self.times,
            columns: &self.columns,
            bits: &self.bits,
            marks: &self.marks,
            stride: self.columns.len(),
            heap: &self.heap,
        }
    }

    /// The same rows, column-major.
    pub(crate) fn cells(&self) -> Cells {
        let mut cells = Cells::new();
        cells.times.clone_from(&self.times);
        for (index, &(id, field_type)) in self.columns.iter().enumerate() {
            let mut column = CellColumn::nulls(id, field_type, 0);
            column.heap.clone_from(&self.heap);
            for row in 0..self.times.len() {
                let at = row * self.columns.len() + index;
                column.push(self.bits[at], self.marks[at]);
            }
            cells.columns.push(column);
        }
        cells
    }

    /// Compares with cells, whose rows begin at `from`.
    pub(crate) fn check(&self, cells: &Cells, from: usize) {
        assert_eq!(&cells.times[from..from + self.times.len()], &self.times);
        for (index, &(id, field_type)) in self.columns.iter().enumerate() {
            let column = cells.columns.iter().find(|column| column.id == id);
            for row in 0..self.times.len() {
                let at = row * self.columns.len() + index;
                let (bits, mark) = (self.bits[at], self.marks[at]);
                let Some(column) = column else {
                    assert_eq!(mark, MARK_NULL);
                    continue;
                };
                assert_eq!(column.field_type, field_type);
                let (found, found_mark) = (column.bits[from + row], column.marks[from + row]);
                assert_eq!(found_mark == MARK_NULL, mark == MARK_NULL);
                if mark == MARK_NULL {
                    continue;
                }
                match field_type {
                    FieldType::Float => assert_eq!(
                        cell::float(found, found_mark).to_bits(),
                        cell::float(bits, mark).to_bits()
                    ),
                    FieldType::String | FieldType::Binary => {
                        assert_eq!(column.bytes(from + row), heap_bytes(&self.heap, bits));
                    }
                    _ => assert_eq!(found, bits),
                }
            }
        }
    }
}

/// Rows with up to three columns of any type. Miri gets fewer columns, and of many rows as few as still have lanes.
pub(crate) fn rows(counts: RangeInclusive<usize>) -> impl Strategy<Value = Rows> {
    let counts = if cfg!(miri) && *counts.end() >= 300 {
        130..=150
    } else {
        counts
    };
    let columns = if cfg!(miri) { 1..3 } else { 0..4 };
    (
        counts,
        prop::collection::vec((0u16..400, 0usize..6), columns),
    )
        .prop_flat_map(|(count, columns)| {
            let mut seen = Vec::new();
            let columns: Vec<(ColumnId, FieldType)> = columns
                .into_iter()
                .map(|(id, index)| (ColumnId(id), FieldType::ALL[index]))
                .filter(|(id, _)| {
                    let new = !seen.contains(id);
                    seen.push(*id);
                    new
                })
                .collect();
            let heap = b"abcabcabc\xff\x00the quick brown fox".to_vec();
            let cells: Vec<_> = columns
                .iter()
                .map(|column| column_cells(column.1, count))
                .collect();
            (times(count), cells).prop_map(move |(times, cells)| {
                let mut bits = Vec::new();
                let mut marks = Vec::new();
                for row in 0..count {
                    for column in &cells {
                        bits.push(column[row].0);
                        marks.push(column[row].1);
                    }
                }
                Rows {
                    times,
                    columns: columns.clone(),
                    bits,
                    marks,
                    heap: heap.clone(),
                }
            })
        })
}

fn times(count: usize) -> BoxedStrategy<Vec<i64>> {
    let unit = prop::sample::select(vec![1i64, 1_000, 1_000_000, 1_000_000_000]);
    prop_oneof![
        (unit.clone(), -1_000_000i64..2_000_000_000, 1i64..100_000).prop_map(
            move |(unit, first, step)| (0..count as i64)
                .map(|row| (first + row * step) * unit)
                .collect()
        ),
        (unit, prop::collection::vec(1i64..2_000, count)).prop_map(|(unit, steps)| {
            let mut time = 1_700_000_000;
            steps
                .iter()
                .map(|step| {
                    time += step;
                    time * unit
                })
                .collect()
        }),
        prop::collection::vec(1u64..=u64::MAX / (count as u64 + 1), count).prop_map(|steps| {
            let mut time = i64::MIN;
            steps
                .iter()
                .map(|&step| {
                    time = time.wrapping_add_unsigned(step);
                    time
                })
                .collect()
        }),
    ]
    .boxed()
}

/// One column: a shape for all of its values, and gaps.
fn column_cells(field_type: FieldType, count: usize) -> BoxedStrategy<Vec<(u64, u8)>> {
    let values: BoxedStrategy<Vec<(u64, u8)>> = match field_type {
        FieldType::Float => prop_oneof![
            walk(count, 50).prop_map(|values| values.into_iter().map(|v| (v as u64, 1)).collect()),
            prop::collection::vec((-5000i64..5000, 0u8..5), count)
                .prop_map(|values| values.into_iter().map(|(v, s)| (v as u64, s)).collect()),
            prop::collection::vec(
                prop::sample::select(vec![0u64, 215, 40_960, 655_351]),
                count
            )
            .prop_map(|values| values.into_iter().map(|v| (v, 1)).collect()),
            prop::collection::vec(float_cell(), count),
            prop::collection::vec(-1e3f64..1e3, count)
                .prop_map(|v| v.into_iter().map(|v| (v.to_bits(), MARK_RAW)).collect()),
            walk(count, 9).prop_map(|v| v
                .into_iter()
                .map(|v| ((v as f64 / 100.0).to_bits(), MARK_RAW))
                .collect()),
            walk(count, 9).prop_map(|v| v
                .into_iter()
                .map(|v| (f64::from((v as f64 / 100.0) as f32).to_bits(), MARK_RAW))
                .collect()),
            walk(count, 9).prop_map(|v| v
                .into_iter()
                .map(|v| ((v as f64 / 300.0).to_bits(), MARK_RAW))
                .collect()),
        ]
        .boxed(),
        FieldType::Integer | FieldType::Unsigned => prop_oneof![
            walk(count, 3).prop_map(|v| v.into_iter().map(|v| (v as u64, 0)).collect()),
            walk(count, 1 << 40).prop_map(|v| v.into_iter().map(|v| (v as u64, 0)).collect()),
            prop::collection::vec(hostile_integer(), count)
                .prop_map(|v| v.into_iter().map(|v| (v, 0)).collect()),
            prop::collection::vec(prop::sample::select(vec![0u64, 500, 1000]), count)
                .prop_map(|v| v.into_iter().map(|v| (v, 0)).collect()),
            prop::collection::vec(
                prop::sample::select(vec![0u64, 100, 4_096, 65_535, 1 << 40]),
                count
            )
            .prop_map(|v| v.into_iter().map(|v| (v, 0)).collect()),
            (any::<u64>(), any::<u64>()).prop_map(move |(first, step)| (0..count as u64)
                .map(|row| (first.wrapping_add(row.wrapping_mul(step)), 0))
                .collect()),
        ]
        .boxed(),
        FieldType::Boolean => prop_oneof![
            prop::collection::vec(0u64..2, count),
            (0u64..2).prop_map(move |bit| vec![bit; count]),
        ]
        .prop_map(|v| v.into_iter().map(|v| (v, 0)).collect())
        .boxed(),
        FieldType::String | FieldType::Binary => prop_oneof![
            prop::collection::vec((0u32..20, 0u32..8), count),
            (0u32..20, 0u32..8).prop_map(move |range| vec![range; count]),
        ]
        .prop_map(|v| {
            v.into_iter()
                .map(|(offset, len)| (cell::heap(offset, len), 0))
                .collect()
        })
        .boxed(),
    };
    let gaps = prop_oneof![
        3 => Just(vec![false; count]),
        1 => prop::collection::vec(any::<bool>(), count),
        1 => Just(vec![true; count]),
    ];
    (values, gaps)
        .prop_map(|(values, gaps)| {
            values
                .into_iter()
                .zip(gaps)
                .map(|(cell, gap)| if gap { (0, MARK_NULL) } else { cell })
                .collect()
        })
        .boxed()
}

fn walk(count: usize, step: i64) -> impl Strategy<Value = Vec<i64>> {
    (
        -100_000i64..100_000,
        prop::collection::vec(-step..=step, count),
    )
        .prop_map(|(mut value, steps)| {
            steps
                .into_iter()
                .map(|step| {
                    value += step;
                    value
                })
                .collect()
        })
}

fn float_cell() -> impl Strategy<Value = (u64, u8)> {
    prop_oneof![
        any::<u64>().prop_map(|bits| (bits, MARK_RAW)),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE / 4.0,
            f64::MAX,
            0.1,
            21.5,
        ])
        .prop_map(|value: f64| (value.to_bits(), MARK_RAW)),
        (0u8..=22, -cell::MANTISSA_MAX..=cell::MANTISSA_MAX).prop_map(|(s, m)| (m as u64, s)),
    ]
}

fn hostile_integer() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        prop::sample::select(vec![
            0,
            1,
            u64::MAX,
            i64::MIN as u64,
            i64::MAX as u64,
            1 << 32
        ]),
    ]
}

/// No seeds on disk under Miri, which has no files.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: if cfg!(miri) {
            None
        } else {
            ProptestConfig::default().failure_persistence
        },
        ..ProptestConfig::default()
    }
}

/// Bytes in hexadecimal, for vectors.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}
