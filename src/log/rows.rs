//! Payload of a rows frame: rows of many series, as compact as single rows can be without their past.
//!
//! Each frame carries the column lists that its rows have; a row is a series, a time and its cells, packed
//! at the width of the widest. Layout in `FORMAT.md`. Every row takes at least one byte, so that the
//! frame's position plus the row's ordinal is a position of its own.

use edgetime_protocol::cell::{self, MARK_NULL, SCALE_MAX};

use crate::limits::{COLUMNS, FIELDS, ROWS_CLAIMED, VALUE_BYTES};
use crate::log::PayloadError;
use crate::log::definitions::take_type;
use crate::log::varint::{put, take, unzigzag, zigzag};
use crate::types::{ColumnId, FieldType, Layout, MeasurementId, SeriesId, Timestamp};

/// Builds payloads, one after another, in one buffer.
#[derive(Debug, Default)]
pub struct RowsEncoder {
    out: Vec<u8>,
    series: i64,
    time: i64,
    layouts: usize,
}

impl RowsEncoder {
    /// Begins a payload whose rows have these layouts.
    pub fn begin<'a>(&mut self, layouts: impl ExactSizeIterator<Item = &'a Layout>, rows: usize) {
        self.out.clear();
        self.series = 0;
        self.time = 0;
        self.layouts = layouts.len();
        put(&mut self.out, layouts.len() as u64);
        for layout in layouts {
            put(&mut self.out, u64::from(layout.measurement.0));
            put(&mut self.out, layout.columns.len() as u64);
            for column in &layout.columns {
                put(&mut self.out, u64::from(column.id.0));
                self.out.push(column.field_type.number());
            }
        }
        put(&mut self.out, rows as u64);
    }

    /// Appends a row. `layout_index` counts in the order given to [`Self::begin`].
    #[inline]
    pub fn push(
        &mut self,
        series: SeriesId,
        (layout_index, layout): (usize, &Layout),
        time: Timestamp,
        (bits, marks, heap): (&[u64], &[u8], &[u8]),
    ) {
        if self.layouts > 1 {
            put(&mut self.out, layout_index as u64);
        }
        let series = i64::from(series.0);
        put(&mut self.out, zigzag(series - self.series));
        put(&mut self.out, zigzag(time.wrapping_sub(self.time)));
        self.series = series;
        self.time = time;
        let any_mark = marks.iter().fold(0, |any, &mark| any | mark);
        if any_mark == 0 && !layout.has_bytes {
            self.push_plain(bits);
        } else {
            self.push_marked(layout, bits, marks, heap);
        }
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.out
    }

    #[inline]
    fn push_plain(&mut self, bits: &[u64]) {
        let width = width_of(bits.iter().map(|&b| zigzag(b as i64)));
        self.out.push(width);
        pack(&mut self.out, width, bits.iter().map(|&b| zigzag(b as i64)));
    }

    fn push_marked(&mut self, layout: &Layout, bits: &[u64], marks: &[u8], heap: &[u8]) {
        let packed = || {
            (0..bits.len())
                .filter(|&i| is_packed(layout.columns[i].field_type, marks[i]))
                .map(|i| zigzag(bits[i] as i64))
        };
        let width = width_of(packed());
        self.out.push(width | MARKED);
        let first = marks[0];
        if first <= SCALE_MAX && marks.iter().all(|&mark| mark == first) {
            self.out.push(first);
        } else {
            self.out.push(MARKS_FOLLOW);
            self.out.extend_from_slice(marks);
        }
        pack(&mut self.out, width, packed());
        for (i, column) in layout.columns.iter().enumerate() {
            if marks[i] == MARK_NULL {
                continue;
            }
            match column.field_type {
                FieldType::String | FieldType::Binary => {
                    let (offset, len) = cell::heap_range(bits[i]);
                    put(&mut self.out, u64::from(len));
                    self.out
                        .extend_from_slice(&heap[offset as usize..][..len as usize]);
                }
                _ if !is_packed(column.field_type, marks[i]) => {
                    self.out.extend_from_slice(&bits[i].to_le_bytes());
                }
                _ => {}
            }
        }
    }
}

/// The columns of some rows of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedLayout {
    /// The measurement.
    pub measurement: MeasurementId,
    /// Columns and their types, in the order of the cells.
    pub columns: Vec<(ColumnId, FieldType)>,
    /// Whether any of them is of strings or binary values.
    has_bytes: bool,
}

/// A row of a payload.
#[derive(Debug)]
pub struct RecordedRow<'a> {
    /// Its place in the payload, from 0.
    pub ordinal: u64,
    /// The series.
    pub series: SeriesId,
    /// Which of the payload's layouts it has.
    pub layout: usize,
    /// Nanoseconds.
    pub time: Timestamp,
    /// One a column.
    pub bits: &'a [u64],
    /// One a column.
    pub marks: &'a [u8],
    /// What cells of bytes point into: the payload.
    pub heap: &'a [u8],
}

/// A payload whose head has been read.
#[derive(Debug)]
pub struct RowsPayload<'a> {
    payload: &'a [u8],
    rest: &'a [u8],
    /// The column lists of its rows.
    pub layouts: Vec<RecordedLayout>,
    /// How many rows it says it has.
    pub rows: usize,
}

impl<'a> RowsPayload<'a> {
    /// Reads the head.
    pub fn open(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let mut rest = payload;
        let head = take_head(&mut rest);
        let (layouts, rows) = head.ok_or(PayloadError {
            offset: payload.len() - rest.len(),
            what: "head of rows",
        })?;
        Ok(Self {
            payload,
            rest,
            layouts,
            rows,
        })
    }

    /// Reads all rows.
    pub fn visit(&self, mut visit: impl FnMut(&RecordedRow<'_>)) -> Result<(), PayloadError> {
        let mut rest = self.rest;
        let (mut series, mut time) = (0i64, 0i64);
        let (mut bits, mut marks) = (Vec::new(), Vec::new());
        for ordinal in 0..self.rows as u64 {
            let offset = self.payload.len() - rest.len();
            let mut one = || {
                let layout = if self.layouts.len() > 1 {
                    usize::try_from(take(&mut rest)?).ok()?
                } else {
                    0
                };
                let recorded = self.layouts.get(layout)?;
                series = series.checked_add(unzigzag(take(&mut rest)?))?;
                time = time.wrapping_add(unzigzag(take(&mut rest)?));
                self.take_cells(&mut rest, recorded, &mut bits, &mut marks)?;
                Some((layout, SeriesId(u32::try_from(series).ok()?)))
            };
            let (layout, id) = one().ok_or(PayloadError {
                offset,
                what: "row",
            })?;
            visit(&RecordedRow {
                ordinal,
                series: id,
                layout,
                time,
                bits: &bits,
                marks: &marks,
                heap: self.payload,
            });
        }
        if rest.is_empty() {
            return Ok(());
        }
        Err(PayloadError {
            offset: self.payload.len() - rest.len(),
            what: "end of rows",
        })
    }

    #[inline]
    fn take_cells(
        &self,
        rest: &mut &'a [u8],
        layout: &RecordedLayout,
        bits: &mut Vec<u64>,
        marks: &mut Vec<u8>,
    ) -> Option<()> {
        let columns = layout.columns.len();
        let head = take_byte(rest)?;
        let width = head & !MARKED;
        if width > 64 {
            return None;
        }
        let uniform = if head & MARKED == 0 {
            0
        } else {
            take_byte(rest)?
        };
        marks.clear();
        if head & MARKED != 0 && uniform == MARKS_FOLLOW {
            marks.extend_from_slice(rest.split_off(..columns)?);
        } else {
            marks.resize(columns, uniform);
            if uniform <= SCALE_MAX && !layout.has_bytes {
                let mut packed = PackedCells::new(rest, width);
                rest.split_off(..(columns * usize::from(width)).div_ceil(8))?;
                bits.clear();
                bits.extend((0..columns).map(|_| unzigzag(packed.next()) as u64));
                return Some(());
            }
        }
        self.take_marked(rest, &layout.columns, width, bits, marks)
    }

    /// Cells some of which are not packed.
    fn take_marked(
        &self,
        rest: &mut &'a [u8],
        columns: &[(ColumnId, FieldType)],
        width: u8,
        bits: &mut Vec<u64>,
        marks: &[u8],
    ) -> Option<()> {
        let packed = columns
            .iter()
            .zip(marks)
            .filter(|((_, field_type), mark)| is_packed(*field_type, **mark))
            .count();
        let mut cells = PackedCells::new(rest, width);
        rest.split_off(..(packed * usize::from(width)).div_ceil(8))?;
        bits.clear();
        for ((_, field_type), &mark) in columns.iter().zip(marks) {
            if is_packed(*field_type, mark) {
                bits.push(unzigzag(cells.next()) as u64);
            } else if mark == MARK_NULL {
                bits.push(0);
            } else if matches!(field_type, FieldType::String | FieldType::Binary) {
                let len = usize::try_from(take(rest)?)
                    .ok()
                    .filter(|&n| n <= VALUE_BYTES)?;
                let offset = self.payload.len() - rest.len();
                let text = rest.split_off(..len)?;
                if *field_type == FieldType::String && std::str::from_utf8(text).is_err() {
                    return None;
                }
                bits.push(cell::heap(offset as u32, len as u32));
            } else {
                let raw = rest.split_off(..8)?;
                bits.push(u64::from_le_bytes(raw.try_into().ok()?));
            }
        }
        Some(())
    }
}

/// Packed cells, one behind the other. Sees what lies behind them too, so that a cell is one load.
struct PackedCells<'a> {
    bytes: &'a [u8],
    width: u32,
    bit: usize,
}

impl<'a> PackedCells<'a> {
    fn new(bytes: &'a [u8], width: u8) -> Self {
        Self {
            bytes,
            width: u32::from(width),
            bit: 0,
        }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let (at, shift) = (self.bit / 8, self.bit % 8);
        self.bit += self.width as usize;
        let mask = u64::MAX.unbounded_shr(64 - self.width);
        // Up to 57 bits lie in eight bytes wherever they begin.
        if self.width <= 57
            && let Some(window) = self.bytes.get(at..).and_then(|rest| rest.first_chunk())
        {
            return (u64::from_le_bytes(*window) >> shift) & mask;
        }
        let mut window = [0u8; 16];
        let from = &self.bytes[at.min(self.bytes.len())..];
        let len = from.len().min(9);
        window[..len].copy_from_slice(&from[..len]);
        (u128::from_le_bytes(window) >> shift) as u64 & mask
    }
}

fn take_head(rest: &mut &[u8]) -> Option<(Vec<RecordedLayout>, usize)> {
    let count = usize::try_from(take(rest)?)
        .ok()
        .filter(|&n| n <= ROWS_CLAIMED)?;
    let mut layouts = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let measurement = MeasurementId(u32::try_from(take(rest)?).ok()?);
        let columns = usize::try_from(take(rest)?).ok().filter(|&n| n <= FIELDS)?;
        let columns = (0..columns)
            .map(|_| {
                let id = u16::try_from(take(rest)?)
                    .ok()
                    .filter(|&id| usize::from(id) < COLUMNS)?;
                Some((ColumnId(id), take_type(rest)?))
            })
            .collect::<Option<Vec<_>>>()?;
        let is_bytes = |(_, field_type): &(ColumnId, FieldType)| {
            matches!(field_type, FieldType::String | FieldType::Binary)
        };
        layouts.push(RecordedLayout {
            measurement,
            has_bytes: columns.iter().any(is_bytes),
            columns,
        });
    }
    let rows = usize::try_from(take(rest)?)
        .ok()
        .filter(|&n| n <= rest.len())?;
    Some((layouts, rows))
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

/// Whether a cell lies among the packed ones, rather than behind them.
#[inline]
fn is_packed(field_type: FieldType, mark: u8) -> bool {
    match field_type {
        FieldType::Float => mark <= SCALE_MAX,
        FieldType::Integer | FieldType::Unsigned | FieldType::Boolean => mark != MARK_NULL,
        FieldType::String | FieldType::Binary => false,
    }
}

#[inline]
fn width_of(values: impl Iterator<Item = u64>) -> u8 {
    let any = values.fold(0, |any, value| any | value);
    (64 - any.leading_zeros()) as u8
}

#[inline]
fn pack(out: &mut Vec<u8>, width: u8, values: impl Iterator<Item = u64>) {
    let width = u32::from(width);
    let (mut word, mut used) = (0u64, 0u32);
    for value in values {
        word |= value.unbounded_shl(used);
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            word = value.unbounded_shr(width - used);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Head of a row's cells: marks follow. Below it the width of packed cells, 0 to 64.
const MARKED: u8 = 0x80;
/// One mark a column follows, instead of one for all.
const MARKS_FOLLOW: u8 = 0xFF;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FieldId, LayoutColumn};
    use edgetime_protocol::cell::MARK_RAW;
    use proptest::prelude::*;

    type Row = (u32, usize, i64, Vec<u64>, Vec<u8>);

    fn layouts() -> Vec<std::sync::Arc<Layout>> {
        let layout = |id, types: &[FieldType]| {
            let columns = types
                .iter()
                .enumerate()
                .map(|(i, &field_type)| LayoutColumn {
                    id: ColumnId(i as u16),
                    field_type,
                    field: FieldId(i as u16),
                });
            Layout::new(id, MeasurementId(id + 5), columns.collect())
        };
        vec![
            layout(0, &[FieldType::Integer; 10]),
            layout(
                1,
                &[FieldType::Float, FieldType::Unsigned, FieldType::Boolean],
            ),
            layout(2, &[FieldType::String, FieldType::Float, FieldType::Binary]),
        ]
    }

    const HEAP: &[u8] = b"some text for strings";

    fn round_trip(layouts: &[std::sync::Arc<Layout>], rows: &[Row]) -> Vec<u8> {
        let mut encoder = RowsEncoder::default();
        encoder.begin(layouts.iter().map(|l| &**l), rows.len());
        for (series, layout, time, bits, marks) in rows {
            let which = (*layout, &*layouts[*layout]);
            encoder.push(SeriesId(*series), which, *time, (bits, marks, HEAP));
        }
        let payload = RowsPayload::open(encoder.payload()).expect("as encoded");
        let mut seen = 0;
        payload
            .visit(|row| {
                let (series, layout, time, bits, marks) = &rows[seen];
                assert_eq!(
                    (row.series.0, row.layout, row.time),
                    (*series, *layout, *time)
                );
                assert_eq!(row.marks, marks);
                for (i, (_, field_type)) in payload.layouts[*layout].columns.iter().enumerate() {
                    let bytes = matches!(field_type, FieldType::String | FieldType::Binary);
                    if bytes && marks[i] != MARK_NULL {
                        let (from, len) = cell::heap_range(bits[i]);
                        let (at, same) = cell::heap_range(row.bits[i]);
                        assert_eq!(len, same);
                        let text = &HEAP[from as usize..][..len as usize];
                        assert_eq!(&row.heap[at as usize..][..len as usize], text);
                    } else {
                        assert_eq!(row.bits[i], bits[i]);
                    }
                }
                seen += 1;
            })
            .expect("as encoded");
        assert_eq!(seen, rows.len());
        encoder.payload().to_vec()
    }

    fn row() -> impl Strategy<Value = Row> {
        let cells = prop::collection::vec((any::<u64>(), 0u8..4, any::<u8>()), 10);
        (any::<u32>(), 0usize..3, any::<i64>(), cells, 0u32..64).prop_map(
            |(series, layout, time, cells, shift)| {
                let columns = &layouts()[layout].columns;
                let (mut bits, mut marks) = (Vec::new(), Vec::new());
                for (column, (value, choice, scale)) in columns.iter().zip(cells) {
                    let null = choice == 3;
                    let (b, m) = match column.field_type {
                        _ if null => (0, MARK_NULL),
                        FieldType::Float if choice == 0 => (value, MARK_RAW),
                        FieldType::Float => (value >> shift, scale % (SCALE_MAX + 1)),
                        FieldType::Boolean => (value & 1, 0),
                        FieldType::String | FieldType::Binary => {
                            let len = value % HEAP.len() as u64;
                            (cell::heap((HEAP.len() as u64 - len) as u32, len as u32), 0)
                        }
                        _ => (value >> shift, 0),
                    };
                    bits.push(b);
                    marks.push(m);
                }
                (series, layout, time, bits, marks)
            },
        )
    }

    proptest! {
        #[test]
        fn rows_round_trip(rows in prop::collection::vec(row(), 0..20)) {
            round_trip(&layouts(), &rows);
        }

        #[test]
        fn damaged_payloads_are_errors_not_panics(
            rows in prop::collection::vec(row(), 1..5), at in any::<usize>(), flip in 1u8..,
        ) {
            let mut payload = round_trip(&layouts(), &rows);
            let at = at % payload.len();
            payload[at] ^= flip;
            if let Ok(opened) = RowsPayload::open(&payload) {
                let _ = opened.visit(|_| ());
            }
            payload.truncate(at);
            let cut = RowsPayload::open(&payload).and_then(|opened| opened.visit(|_| ()));
            prop_assert!(cut.is_err());
        }
    }

    #[test]
    fn a_devops_row_costs_less_than_two_bytes_a_value() {
        let rows: Vec<Row> = (0..100)
            .map(|i| {
                let bits = (0..10).map(|c| (i * 7 + c * 13) % 100).collect();
                (
                    i as u32 * 4,
                    0,
                    1_700_000_000_000_000_000,
                    bits,
                    vec![0; 10],
                )
            })
            .collect();
        let payload = round_trip(&layouts()[..1], &rows);
        assert!(payload.len() < 100 * 14, "{} bytes", payload.len());
    }
}
