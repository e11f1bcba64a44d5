//! Bringing rows of several sources into one order: ascending times, the later source wins field by field.
//!
//! A plan says, for every row of the result and every field, which source row its value comes from.
//! Gathering is then the same for cells (sealing) and for decoded vectors (reading).

use std::ops::Range;

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::codec::vector::{BytesVector, ColumnVector, Validity, Values};
use crate::codec::{CellColumn, Cells};
use crate::series::Rows;
use crate::types::{FieldId, FieldType, Layout, Timestamp};

/// A row of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowOf {
    /// Index of the source, in rising precedence.
    pub source: u32,
    /// Row in it.
    pub row: u32,
}

/// The order of the result and where its values come from.
#[derive(Debug)]
pub struct Plan {
    /// Ascending, unique.
    pub times: Vec<Timestamp>,
    /// For each group of lanes (in the order of `groups`), one source row a result row.
    sources: Vec<Vec<Option<RowOf>>>,
    groups: Vec<FieldId>,
}

/// Plans the merge of sources in rising precedence. `fields` names the field of each column;
/// `has_value(row, column)` says whether a source row has a value there.
pub fn plan(
    sources: &[&[Timestamp]],
    fields: &[FieldId],
    has_value: impl Fn(RowOf, usize) -> bool,
) -> Plan {
    let mut rows: Vec<(Timestamp, RowOf)> = Vec::new();
    for (source, times) in sources.iter().enumerate() {
        rows.extend(times.iter().enumerate().map(|(row, &time)| {
            let row = RowOf {
                source: source as u32,
                row: row as u32,
            };
            (time, row)
        }));
    }
    rows.sort_by_key(|&(time, _)| time);
    let mut groups = fields.to_vec();
    groups.sort_unstable();
    groups.dedup();
    let mut plan = Plan {
        times: Vec::with_capacity(rows.len()),
        sources: vec![Vec::with_capacity(rows.len()); groups.len()],
        groups,
    };
    for same_time in rows.chunk_by(|a, b| a.0 == b.0) {
        plan.times.push(same_time[0].0);
        for (group, chosen) in plan.groups.iter().zip(&mut plan.sources) {
            let newest =
                same_time.iter().rev().map(|&(_, row)| row).find(|&row| {
                    (0..fields.len()).any(|c| fields[c] == *group && has_value(row, c))
                });
            chosen.push(newest);
        }
    }
    plan
}

impl Plan {
    /// Where the values of a field's lanes come from.
    fn of(&self, field: FieldId) -> &[Option<RowOf>] {
        match self.groups.binary_search(&field) {
            Ok(index) => &self.sources[index],
            Err(_) => &[],
        }
    }
}

/// Appends staged rows to cells, column by column.
pub fn append_rows(cells: &mut Cells, layout: &Layout, rows: &Rows) {
    let before = cells.times.len();
    let view = rows.view(layout, 0..rows.len());
    cells.times.extend_from_slice(view.times);
    let after = cells.times.len();
    for (c, &(id, field_type)) in layout.specs.iter().enumerate() {
        let at = if let Some(at) = cells.columns.iter().position(|column| column.id == id) {
            at
        } else {
            cells
                .columns
                .push(CellColumn::nulls(id, field_type, before));
            cells.columns.len() - 1
        };
        let column = &mut cells.columns[at];
        for row in 0..view.times.len() {
            let cell = row * view.stride + c;
            let mark = view.marks[cell];
            let bits = match field_type {
                FieldType::String | FieldType::Binary if mark != MARK_NULL => {
                    copy_bytes(view.bits[cell], view.heap, &mut column.heap)
                }
                _ => view.bits[cell],
            };
            column.bits.push(bits);
            column.marks.push(mark);
        }
    }
    for column in &mut cells.columns {
        column.bits.resize(after, 0);
        column.marks.resize(after, MARK_NULL);
    }
}

/// Merges cells of several sources, in rising precedence, whose columns are found by id.
pub fn merge(sources: &[&Cells], field_of: impl Fn(crate::types::ColumnId) -> FieldId) -> Cells {
    let mut merged = Cells::default();
    for source in sources {
        for column in &source.columns {
            if !merged.columns.iter().any(|m| m.id == column.id) {
                let empty = CellColumn::nulls(column.id, column.field_type, 0);
                merged.columns.push(empty);
            }
        }
    }
    let fields: Vec<FieldId> = merged.columns.iter().map(|c| field_of(c.id)).collect();
    let columns_of: Vec<Vec<Option<&CellColumn>>> = sources
        .iter()
        .map(|source| {
            merged
                .columns
                .iter()
                .map(|m| source.columns.iter().find(|c| c.id == m.id))
                .collect()
        })
        .collect();
    let times: Vec<&[Timestamp]> = sources.iter().map(|s| s.times.as_slice()).collect();
    let plan = plan(&times, &fields, |row, c| {
        columns_of[row.source as usize][c]
            .is_some_and(|column| column.marks[row.row as usize] != MARK_NULL)
    });
    for (c, (column, field)) in merged.columns.iter_mut().zip(&fields).enumerate() {
        for chosen in plan.of(*field) {
            let from = chosen.and_then(|row| {
                columns_of[row.source as usize][c].map(|column| (column, row.row as usize))
            });
            let (mut bits, mark) = from.map_or((0, MARK_NULL), |(from, row)| {
                (from.bits[row], from.marks[row])
            });
            if let (FieldType::String | FieldType::Binary, Some((from, _))) =
                (column.field_type, from)
                && mark != MARK_NULL
            {
                bits = copy_bytes(bits, &from.heap, &mut column.heap);
            }
            column.bits.push(bits);
            column.marks.push(mark);
        }
    }
    merged.times = plan.times;
    merged
}

/// Merges decoded sources, in rising precedence; each has the same columns in the same order.
pub fn merge_vectors(
    sources: &[(Vec<Timestamp>, Vec<ColumnVector>)],
    fields: &[FieldId],
) -> (Vec<Timestamp>, Vec<ColumnVector>) {
    let times: Vec<&[Timestamp]> = sources.iter().map(|(times, _)| times.as_slice()).collect();
    let plan = plan(&times, fields, |row, c| {
        sources[row.source as usize].1[c]
            .validity
            .is_valid(row.row as usize)
    });
    let columns = fields
        .iter()
        .enumerate()
        .map(|(c, field)| {
            let lanes: Vec<&ColumnVector> =
                sources.iter().map(|(_, columns)| &columns[c]).collect();
            gather(&lanes, plan.of(*field))
        })
        .collect();
    (plan.times, columns)
}

/// One column from rows of several.
fn gather(sources: &[&ColumnVector], chosen: &[Option<RowOf>]) -> ColumnVector {
    macro_rules! pick {
        ($variant:ident, $default:expr) => {
            Values::$variant(
                chosen
                    .iter()
                    .map(
                        |row| match row.map(|r| (&sources[r.source as usize].values, r.row)) {
                            Some((Values::$variant(values), row)) => values[row as usize],
                            _ => $default,
                        },
                    )
                    .collect(),
            )
        };
    }
    let bytes = || {
        let mut gathered = BytesVector::default();
        for row in chosen {
            match row.map(|r| (&sources[r.source as usize].values, r.row)) {
                Some((Values::String(values) | Values::Binary(values), row)) => {
                    gathered.push(values.get(row as usize));
                }
                _ => gathered.push(b""),
            }
        }
        gathered
    };
    let values = match sources[0].values.field_type() {
        FieldType::Float => pick!(Float, 0.0),
        FieldType::Integer => pick!(Integer, 0),
        FieldType::Unsigned => pick!(Unsigned, 0),
        FieldType::Boolean => pick!(Boolean, false),
        FieldType::String => Values::String(bytes()),
        FieldType::Binary => Values::Binary(bytes()),
    };
    let validity = Validity::from_flags(chosen.iter().map(|row| {
        row.is_some_and(|r| sources[r.source as usize].validity.is_valid(r.row as usize))
    }));
    ColumnVector { values, validity }
}

/// A column of cells as a decoded column.
pub fn to_vector(column: &CellColumn) -> ColumnVector {
    let cells = || column.bits.iter().zip(&column.marks);
    let bytes = || {
        let mut bytes = BytesVector::default();
        for (&bits, &mark) in cells() {
            let (offset, len) = if mark == MARK_NULL {
                (0, 0)
            } else {
                cell::heap_range(bits)
            };
            bytes.push(&column.heap[offset as usize..][..len as usize]);
        }
        bytes
    };
    let values = match column.field_type {
        FieldType::Float => Values::Float(
            cells()
                .map(|(&bits, &mark)| {
                    if mark == MARK_NULL {
                        0.0
                    } else {
                        cell::float(bits, mark)
                    }
                })
                .collect(),
        ),
        FieldType::Integer => {
            Values::Integer(column.bits.iter().map(|&bits| bits as i64).collect())
        }
        FieldType::Unsigned => Values::Unsigned(column.bits.clone()),
        FieldType::Boolean => Values::Boolean(column.bits.iter().map(|&bits| bits != 0).collect()),
        FieldType::String => Values::String(bytes()),
        FieldType::Binary => Values::Binary(bytes()),
    };
    ColumnVector {
        values,
        validity: Validity::from_flags(column.marks.iter().map(|&mark| mark != MARK_NULL)),
    }
}

/// Some rows of a column.
pub fn slice(column: &ColumnVector, rows: Range<usize>) -> ColumnVector {
    let bytes = |bytes: &BytesVector| {
        let start = bytes.offsets[rows.start];
        let end = bytes.offsets[rows.end];
        BytesVector {
            offsets: bytes.offsets[rows.start..=rows.end]
                .iter()
                .map(|o| o - start)
                .collect(),
            data: bytes.data[start as usize..end as usize].to_vec(),
        }
    };
    let values = match &column.values {
        Values::Float(v) => Values::Float(v[rows.clone()].to_vec()),
        Values::Integer(v) => Values::Integer(v[rows.clone()].to_vec()),
        Values::Unsigned(v) => Values::Unsigned(v[rows.clone()].to_vec()),
        Values::Boolean(v) => Values::Boolean(v[rows.clone()].to_vec()),
        Values::String(v) => Values::String(bytes(v)),
        Values::Binary(v) => Values::Binary(bytes(v)),
    };
    let validity = if column.validity.is_all() {
        Validity::all()
    } else {
        Validity::from_flags(rows.map(|row| column.validity.is_valid(row)))
    };
    ColumnVector { values, validity }
}

/// Copies what a row's cells of bytes refer to into one heap, and turns the cells to it.
pub fn gather_heap(cells: &Cells, row: usize, bits: &mut [u64], heap: &mut Vec<u8>) {
    for (column, bits) in cells.columns.iter().zip(bits) {
        let is_bytes = matches!(column.field_type, FieldType::String | FieldType::Binary);
        if is_bytes && column.marks[row] != MARK_NULL {
            *bits = copy_bytes(*bits, &column.heap, heap);
        }
    }
}

/// Keeps the rows whose times are wanted, and nothing else of the others.
pub fn retain_rows(cells: &Cells, wanted: impl Fn(Timestamp) -> bool) -> Cells {
    let kept: Vec<usize> = (0..cells.times.len())
        .filter(|&row| wanted(cells.times[row]))
        .collect();
    let mut rest = Cells::new();
    rest.times = kept.iter().map(|&row| cells.times[row]).collect();
    for column in &cells.columns {
        let mut copy = CellColumn::nulls(column.id, column.field_type, 0);
        let is_bytes = matches!(column.field_type, FieldType::String | FieldType::Binary);
        for &row in &kept {
            let (bits, mark) = (column.bits[row], column.marks[row]);
            let bits = if is_bytes && mark != MARK_NULL {
                copy_bytes(bits, &column.heap, &mut copy.heap)
            } else {
                bits
            };
            copy.push(bits, mark);
        }
        rest.columns.push(copy);
    }
    rest
}

/// Rows `at..` of cells, which leave the first `at` behind.
pub fn split_off(cells: &mut Cells, at: usize) -> Cells {
    let mut rest = Cells::new();
    rest.times = cells.times.split_off(at);
    rest.columns = cells
        .columns
        .iter_mut()
        .map(|column| CellColumn {
            id: column.id,
            field_type: column.field_type,
            bits: column.bits.split_off(at),
            marks: column.marks.split_off(at),
            heap: column.heap.clone(),
        })
        .collect();
    rest
}

fn copy_bytes(bits: u64, from: &[u8], into: &mut Vec<u8>) -> u64 {
    let (offset, len) = cell::heap_range(bits);
    let start = into.len() as u32;
    into.extend_from_slice(&from[offset as usize..][..len as usize]);
    cell::heap(start, len)
}
