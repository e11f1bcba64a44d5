//! A series against a plain map: whatever order rows come in, what is read is what was written last.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::codec::chunk::{self, Hints};
use crate::codec::vector::{ColumnVector, Values};
use crate::codec::{CodecError, Effort};
use crate::series::{
    Applied, Cause, Demand, Part, RestoredImage, RowRef, Scratch, Sealed, Series, Tombstone,
};
use crate::types::{
    ColumnId, FieldId, FieldType, Layout, LayoutColumn, MeasurementId, Position, TimeRange,
};
use edgetime_protocol::cell;

/// Field 0 has two lanes, a number and a text; field 1 is an integer.
const COLUMNS: [LayoutColumn; 3] = [
    LayoutColumn {
        id: ColumnId(0),
        field_type: FieldType::Float,
        field: FieldId(0),
    },
    LayoutColumn {
        id: ColumnId(1),
        field_type: FieldType::String,
        field: FieldId(0),
    },
    LayoutColumn {
        id: ColumnId(2),
        field_type: FieldType::Integer,
        field: FieldId(1),
    },
];

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
}

/// What a row writes: field 0 in one lane or the other, field 1, or both.
#[derive(Clone, Debug)]
struct Write {
    time: i64,
    first: Option<Value>,
    second: Option<i64>,
}

type Model = BTreeMap<i64, (Option<Value>, Option<i64>)>;

fn layout_for(write: &Write) -> Arc<Layout> {
    let (mut id, mut columns) = (0, Vec::new());
    match write.first {
        Some(Value::Number(_)) => {
            id += 1;
            columns.push(COLUMNS[0]);
        }
        Some(Value::Text(_)) => {
            id += 2;
            columns.push(COLUMNS[1]);
        }
        None => {}
    }
    if write.second.is_some() {
        id += 4;
        columns.push(COLUMNS[2]);
    }
    Layout::new(id, MeasurementId(0), columns.into())
}

fn apply(series: &mut Series<()>, scratch: &mut Scratch, write: &Write, position: u64) -> Applied {
    let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
    match &write.first {
        Some(Value::Number(number)) => {
            bits.push((number * 10.0) as i64 as u64);
            marks.push(1);
        }
        Some(Value::Text(text)) => {
            heap.extend_from_slice(text.as_bytes());
            bits.push(cell::heap(0, text.len() as u32));
            marks.push(0);
        }
        None => {}
    }
    if let Some(number) = write.second {
        bits.push(number as u64);
        marks.push(0);
    }
    let row = RowRef {
        time: write.time,
        bits: &bits,
        marks: &marks,
        heap: &heap,
    };
    series.apply(&layout_for(write), row, Position(position), scratch)
}

fn model_apply(model: &mut Model, write: &Write) {
    let row = model.entry(write.time).or_default();
    if write.first.is_some() {
        row.0.clone_from(&write.first);
    }
    if write.second.is_some() {
        row.1 = write.second;
    }
}

fn read(series: &Series<()>, range: TimeRange) -> Model {
    read_as(series, range, &Demand::default())
}

fn read_as(series: &Series<()>, range: TimeRange, demand: &Demand<'_>) -> Model {
    let mut snapshot = series.snapshot(range);
    let mut model = Model::new();
    let mut fetch = |(): &()| -> Result<Bytes, CodecError> { Ok(Bytes::new()) };
    let mut bounds: Option<(i64, i64)> = None;
    while let Some(part) = snapshot
        .next(&COLUMNS, &[], demand, &mut fetch)
        .expect("decodes")
    {
        let Part::Rows((times, columns)) = part else {
            panic!("statistics that nobody asked for");
        };
        assert!(times.is_sorted_by(|a, b| a < b));
        if let (Some((first, last)), Some(&from), Some(&to)) = (bounds, times.first(), times.last())
        {
            assert!(if demand.newest_first {
                to < first
            } else {
                last < from
            });
        }
        bounds = times.first().copied().zip(times.last().copied());
        for (row, &time) in times.iter().enumerate() {
            let valid = |column: &ColumnVector| column.validity.is_valid(row);
            let mut found = (None, None);
            if let (Values::Float(values), true) = (&columns[0].values, valid(&columns[0])) {
                found.0 = Some(Value::Number(values[row]));
            }
            if let (Values::String(values), true) = (&columns[1].values, valid(&columns[1])) {
                assert_eq!(found.0, None, "two lanes at {time}");
                let text = String::from_utf8_lossy(values.get(row)).into_owned();
                found.0 = Some(Value::Text(text));
            }
            if let (Values::Integer(values), true) = (&columns[2].values, valid(&columns[2])) {
                found.1 = Some(values[row]);
            }
            model.insert(time, found);
        }
    }
    model
}

fn write() -> impl Strategy<Value = Write> {
    let first = prop_oneof![
        3 => (-999i64..999).prop_map(|n| Some(Value::Number(n as f64 / 10.0))),
        1 => "[a-z]{0,5}".prop_map(|text| Some(Value::Text(text))),
        1 => Just(None),
    ];
    (any::<i16>(), first, any::<Option<i64>>()).prop_map(|(time, first, second)| Write {
        time: i64::from(time),
        second: if first.is_none() {
            Some(second.unwrap_or(7))
        } else {
            second
        },
        first,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_read_is_what_was_written_last(
        writes in prop::collection::vec((write(), 0u8..200), 1..1500),
        ordered in any::<bool>(),
        bounds in (any::<i16>(), any::<i16>()),
    ) {
        let mut series = Series::default();
        let mut scratch = Scratch::default();
        let mut model = Model::new();
        for (i, (write, seal)) in writes.iter().enumerate() {
            let mut write = write.clone();
            if ordered {
                // Mostly in order: a few steps back, as from a gateway that retries.
                write.time = i as i64 * 4 - write.time.rem_euclid(8) * i64::from(*seal < 40);
            }
            apply(&mut series, &mut scratch, &write, i as u64 + 1);
            model_apply(&mut model, &write);
            if *seal == 0 {
                // The write itself seals where it fills the chunk.
                let unsealed = series.unsealed_rows() > 0;
                prop_assert_eq!(series.seal(&mut scratch).expect("seals"), unsealed);
                prop_assert_eq!(series.unsealed_rows(), 0);
            }
        }
        prop_assert_eq!(&read(&series, TimeRange::ALL), &model);
        let range = TimeRange { start: bounds.0.into(), end: bounds.1.into() };
        let part: Model = model
            .iter()
            .filter(|(time, _)| range.contains(**time))
            .map(|(time, row)| (*time, row.clone()))
            .collect();
        prop_assert_eq!(&read(&series, range), &part);
        let rows_max = writes.len() as u64 / 3;
        let newest = Demand { newest_first: true, ..Demand::default() };
        prop_assert_eq!(&read_as(&series, range, &newest), &part);
        let some = read_as(&series, range, &Demand { rows_max: Some(rows_max), ..newest });
        let skipped = part.len().saturating_sub(rows_max as usize);
        prop_assert!(some.iter().eq(part.iter().skip(skipped)));
        let some = read_as(&series, range, &Demand { rows_max: Some(rows_max), ..Demand::default() });
        prop_assert!(some.iter().eq(part.iter().take(rows_max as usize)));
        let image = series.image().expect("decodes");
        series.seal(&mut scratch).expect("seals");
        prop_assert_eq!(&read(&series, TimeRange::ALL), &model);
        if let Some(image) = image {
            prop_assert!(image.cells.times.is_sorted());
            prop_assert_eq!(image.last_position, Position(writes.len() as u64));
        }
    }
}

#[test]
fn a_range_that_ends_before_it_starts_holds_nothing() {
    let mut series = Series::default();
    let mut scratch = Scratch::default();
    for (position, time) in [0, 30, 20, 10].into_iter().enumerate() {
        let write = Write {
            time,
            first: None,
            second: Some(time),
        };
        apply(&mut series, &mut scratch, &write, position as u64 + 1);
    }
    for (start, end) in [(20, -5), (20, 20), (10, 5), (30, 29)] {
        assert_eq!(read(&series, TimeRange { start, end }), Model::new());
    }
}

#[test]
fn a_long_stretch_of_overlapping_chunks_is_read_from_either_end() {
    let mut series = Series::default();
    let mut scratch = Scratch::default();
    let mut model = Model::new();
    let mut position = 0;
    for offset in 0..3 {
        for i in 0..1_100 {
            let write = Write {
                time: i * 3 + offset,
                first: None,
                second: Some(i),
            };
            position += 1;
            apply(&mut series, &mut scratch, &write, position);
            model_apply(&mut model, &write);
        }
        series.seal(&mut scratch).expect("seals");
    }
    for newest_first in [false, true] {
        let demand = Demand {
            newest_first,
            ..Demand::default()
        };
        assert_eq!(read_as(&series, TimeRange::ALL, &demand), model);
    }
}

/// Lengths of runs, and rows whose times rise by these, seldom fall, and may wait for a row of another layout.
fn runs() -> impl Strategy<Value = (usize, Vec<i64>, Vec<usize>)> {
    let step = prop_oneof![40 => 1i64..50, 1 => -60i64..=0];
    (
        1usize..=3,
        prop::collection::vec(step, 1..1_500),
        prop::collection::vec(1usize..200, 1..20),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rows_of_a_run_are_applied_as_one_by_one((stride, steps, lens) in runs(), other in any::<prop::sample::Index>()) {
        let column = |at: usize| LayoutColumn {
            id: ColumnId(at as u16),
            field_type: FieldType::Integer,
            field: FieldId(at as u16),
        };
        let layout = Layout::new(1, MeasurementId(0), (0..stride).map(column).collect());
        let wider = Layout::new(2, MeasurementId(0), (0..=stride).map(column).collect());
        let times: Vec<i64> = steps.iter().scan(0, |time, step| {
            *time += step;
            Some(*time)
        }).collect();
        let bits: Vec<u64> = (0..times.len() * stride).map(|at| (at * at % 1_009) as u64).collect();
        let marks = vec![0; bits.len()];
        let other = other.index(times.len());
        let apply_other = |series: &mut Series<()>, scratch: &mut Scratch, position| {
            let (bits, marks) = (vec![7; stride + 1], vec![0; stride + 1]);
            let row = RowRef { time: times[other] + 1, bits: &bits, marks: &marks, heap: &[] };
            series.apply(&wider, row, position, scratch)
        };
        let counted = |counts: &mut [usize; 3], applied, rows| match applied {
            Applied::Overwritten => counts[1] += rows,
            Applied::Late => counts[2] += rows,
            _ => counts[0] += rows,
        };
        let (mut each, mut all) = (Series::<()>::default(), Series::<()>::default());
        let (mut scratch, mut counts) = (Scratch::default(), [[0; 3]; 2]);
        let mut position = 1;
        for (at, &time) in times.iter().enumerate() {
            let cells = at * stride..(at + 1) * stride;
            let row = RowRef { time, bits: &bits[cells.clone()], marks: &marks[cells], heap: &[] };
            let applied = each.apply(&layout, row, Position(position), &mut scratch);
            counted(&mut counts[0], applied, 1);
            position += 1;
            if at == other {
                counted(&mut counts[0], apply_other(&mut each, &mut scratch, Position(position)), 1);
                position += 1;
            }
        }
        let (mut at, mut position, mut lens) = (0, 1, lens.into_iter().cycle());
        while at < times.len() {
            let before = if at <= other { other + 1 - at } else { usize::MAX };
            let len = lens.next().unwrap_or(1).min(times.len() - at).min(before);
            let cells = (&bits[at * stride..], &marks[at * stride..], &[][..]);
            all.apply_all(&layout, (len, |row| times[at + row]), cells, Position(position), &mut scratch,
                |applied, rows| counted(&mut counts[1], applied, rows));
            at += len;
            position += len as u64;
            if at == other + 1 {
                counted(&mut counts[1], apply_other(&mut all, &mut scratch, Position(position)), 1);
                position += 1;
            }
        }
        prop_assert_eq!(counts[0], counts[1]);
        prop_assert_eq!(each.newest(), all.newest());
        prop_assert_eq!(each.first_unsealed(), all.first_unsealed());
        prop_assert_eq!(each.last_position(), all.last_position());
        let unsealed = |series: &Series<()>| series.image().expect("decodes").map(|image| image.cells);
        prop_assert_eq!(unsealed(&each), unsealed(&all));
        let sealed = |series: &Series<()>| -> Vec<String> { series.ring.iter().map(|chunk| format!("{chunk:?}")).collect() };
        prop_assert_eq!(sealed(&each), sealed(&all));
    }
}

#[test]
fn a_steady_series_seals_by_itself() {
    let mut series = Series::default();
    let mut scratch = Scratch::default();
    for i in 0..5_000i64 {
        let write = Write {
            time: i * 1_000,
            first: Some(Value::Number((i % 30) as f64 / 10.0)),
            second: None,
        };
        assert_eq!(
            apply(&mut series, &mut scratch, &write, i as u64 + 1),
            Applied::Appended
        );
    }
    assert_eq!(series.ring.len(), 4);
    assert_eq!(series.ring.rows() as usize + series.unsealed_rows(), 5_000);
    assert!(
        series
            .first_unsealed()
            .is_some_and(|first| first.0 == series.ring.rows() + 1)
    );
}

#[test]
fn a_series_that_rests_keeps_its_chunks_and_nothing_else() {
    let mut series = Series::default();
    let mut scratch = Scratch::default();
    let mut model = Model::new();
    for i in 0..2_500i64 {
        let write = Write {
            time: i * 1_000,
            first: Some(Value::Number((i * 7_919 % 977) as f64 / 10.0)),
            second: Some(i * i % 77),
        };
        apply(&mut series, &mut scratch, &write, i as u64 + 1);
        model_apply(&mut model, &write);
        if i == 2_000 {
            let (_, open, rows, _) = series.unsealed().expect("rows since the last chunk");
            let (used, kept) = (open.bytes().len(), open.memory_bytes());
            assert!(
                kept <= used + used / 8 + 256,
                "{kept} bytes kept for {used}"
            );
            assert!(rows.memory_bytes() > 0);
            series.seal(&mut scratch).expect("seals");
            assert_eq!(series.memory_bytes(), series.ring.memory_bytes());
            let each = size_of::<Sealed<()>>();
            assert_eq!(series.ring.memory_bytes(), series.ring.len() * each);
        }
    }
    assert_eq!(read(&series, TimeRange::ALL), model);
}

#[test]
fn a_late_row_is_told_apart_from_an_overwrite() {
    let mut series = Series::default();
    let mut scratch = Scratch::default();
    let mut at = |time, position| {
        let write = Write {
            time,
            first: None,
            second: Some(time),
        };
        apply(&mut series, &mut scratch, &write, position)
    };
    for time in 0..100 {
        at(time * 10, time as u64 + 1);
    }
    assert_eq!(at(985, 200), Applied::Inserted);
    assert_eq!(at(990, 201), Applied::Overwritten);
    assert_eq!(at(5, 202), Applied::Late);
}

#[test]
fn an_image_comes_back_as_a_whole_and_is_not_hit_by_what_came_between_its_rows() {
    let mut scratch = Scratch::sealing_at(16);
    let at = |time| Write {
        time,
        first: Some(Value::Text(format!("at {time}"))),
        second: Some(time),
    };
    // Enough late rows to seal once more, had they come one by one; fewer; and rows in order.
    for (newest, rows) in [(1_000, 20), (1_000, 5), (0, 20), (0, 5)] {
        let mut before: Series<()> = Series::default();
        let mut model = Model::new();
        for row in 0..rows {
            // The deletion came at position 150, and hits none of the rows that were there then.
            let position = if row < rows / 2 { 100 + row } else { 200 + row };
            let write = at(if row < rows / 2 { 10 + row } else { 50 + row } as i64);
            let mut unsealing = Scratch::default();
            apply(&mut before, &mut unsealing, &write, position);
            model_apply(&mut model, &write);
        }
        let image = before.image().expect("decodes").expect("rows");
        let positions = (image.first_position, image.last_position);
        let bytes = chunk::encode(
            &image.cells,
            positions,
            &mut Hints::default(),
            Effort::Cheap,
        );
        let mut series: Series<()> = Series::default();
        if newest > 0 {
            apply(&mut series, &mut scratch, &at(newest), 5);
            series.seal(&mut scratch).expect("seals");
            model_apply(&mut model, &at(newest));
        }
        let restored = RestoredImage {
            cells: &image.cells,
            bytes: &bytes,
            positions,
            overwritten: 3,
        };
        series.restore_image(&layout_for(&at(0)), &restored, &mut scratch);
        let position = Position(150);
        let tombstone = Tombstone {
            position,
            range: TimeRange { start: 50, end: 90 },
            cause: Cause::Deleted,
        };
        series.hide(tombstone, &mut scratch);
        assert_eq!(
            read(&series, TimeRange::ALL),
            model,
            "{rows} rows, {newest}"
        );
        assert_eq!(series.last_position(), positions.1);
        let of_chunks: u32 = series.ring.iter().map(|chunk| chunk.overwritten).sum();
        assert_eq!(series.overwritten() + of_chunks, 3);
    }
}

#[test]
fn the_servers_times_rise_within_a_series() {
    let mut series: Series<()> = Series::default();
    assert_eq!(series.stamp(10), 10);
    assert_eq!(series.stamp(10), 11);
    assert_eq!(series.stamp(5), 12);
    assert_eq!(series.stamp(50), 50);
}
