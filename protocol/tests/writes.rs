//! Batches of rows: what a builder made is read back the same, and no payload makes more than its limits allow.

use edgetime_protocol::cell::{self, MARK_NULL};
use edgetime_protocol::frame::PAYLOAD_BYTES_MAX;
use edgetime_protocol::types::{AckLevel, FieldType};
use edgetime_protocol::write::{
    BatchHead, BatchReader, CELLS_MAX, Full, Producer, RowCells, RowsBuilder, Section, decimal,
};
use proptest::prelude::*;

const HEAD: BatchHead = BatchHead {
    ack: AckLevel::Durable,
    producer: None,
};

/// A row as a test says it.
#[derive(Clone, Debug, PartialEq)]
struct TestRow {
    layout: u32,
    series: u32,
    time: Option<i64>,
    cells: Vec<TestCell>,
}

#[derive(Clone, Debug, PartialEq)]
enum TestCell {
    Null,
    /// The bits of a double.
    Float(u64),
    Number(u64),
    Bytes(Vec<u8>),
}

fn types(layout: u32) -> &'static [FieldType] {
    match layout {
        0 => &[FieldType::Float],
        1 => &[
            FieldType::Integer,
            FieldType::Unsigned,
            FieldType::Boolean,
            FieldType::Float,
        ],
        _ => &[FieldType::String, FieldType::Float, FieldType::Binary],
    }
}

fn push(builder: &mut RowsBuilder, row: &TestRow, tag: u64) -> Result<(), Full> {
    let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
    for cell in &row.cells {
        let (bit, mark) = match cell {
            TestCell::Null => (0, MARK_NULL),
            TestCell::Float(double) => decimal(f64::from_bits(*double)),
            TestCell::Number(number) => (*number, 0),
            TestCell::Bytes(bytes) => {
                let at = heap.len() as u32;
                heap.extend_from_slice(bytes);
                (cell::heap(at, bytes.len() as u32), 0)
            }
        };
        bits.push(bit);
        marks.push(mark);
    }
    let cells = RowCells {
        bits: &bits,
        marks: &marks,
        heap: &heap,
    };
    let layout = (row.layout, types(row.layout));
    builder.push(layout, row.series, row.time, cells, tag)
}

fn read(payload: &[u8]) -> Vec<TestRow> {
    let mut reader = BatchReader::open(payload).expect("a head");
    assert_eq!(reader.head(), HEAD);
    let mut section = Section::default();
    let mut rows = Vec::new();
    while reader.next_section(&mut section).expect("a section") {
        for row in 0..section.rows() {
            let cell = |column: &edgetime_protocol::write::Column| {
                let (bits, mark) = (column.bits()[row], column.marks()[row]);
                match column.field_type() {
                    _ if mark == MARK_NULL => TestCell::Null,
                    FieldType::Float => TestCell::Float(cell::float(bits, mark).to_bits()),
                    FieldType::String | FieldType::Binary => {
                        let (at, len) = cell::heap_range(bits);
                        TestCell::Bytes(payload[at as usize..][..len as usize].to_vec())
                    }
                    _ => TestCell::Number(bits),
                }
            };
            rows.push(TestRow {
                layout: section.layout(),
                series: section.series(row),
                time: section.time(row),
                cells: section.columns().iter().map(cell).collect(),
            });
        }
    }
    rows
}

fn written(rows: &[TestRow]) -> (Vec<u8>, Vec<u64>) {
    let mut builder = RowsBuilder::default();
    for (tag, row) in rows.iter().enumerate() {
        push(&mut builder, row, tag as u64).expect("room");
    }
    let mut payload = Vec::new();
    let tags = builder.finish(HEAD, &mut payload);
    assert!(builder.is_empty());
    (payload, tags)
}

fn any_cell(kind: FieldType) -> BoxedStrategy<TestCell> {
    let value = match kind {
        FieldType::Float => prop_oneof![
            (-100_000i64..100_000).prop_map(|n| TestCell::Float((n as f64 / 100.0).to_bits())),
            any::<i64>().prop_map(|n| TestCell::Float((n as f64 / 1e9).to_bits())),
            any::<f64>().prop_map(|double| TestCell::Float(double.to_bits())),
        ]
        .boxed(),
        FieldType::Boolean => (0u64..2).prop_map(TestCell::Number).boxed(),
        FieldType::String => "[a-cé]{0,3}"
            .prop_map(|text| TestCell::Bytes(text.into_bytes()))
            .boxed(),
        FieldType::Binary => prop::collection::vec(any::<u8>(), 0..5)
            .prop_map(TestCell::Bytes)
            .boxed(),
        _ => (any::<u64>(), 0u32..64)
            .prop_map(|(number, shift)| TestCell::Number(number >> shift))
            .boxed(),
    };
    prop_oneof![1 => Just(TestCell::Null), 9 => value].boxed()
}

fn any_row() -> impl Strategy<Value = TestRow> {
    (
        0u32..3,
        0u32..9,
        prop::option::weighted(0.9, any::<i64>()),
        0u32..60,
    )
        .prop_flat_map(|(layout, series, time, shift)| {
            let cells: Vec<_> = types(layout).iter().map(|&kind| any_cell(kind)).collect();
            cells.prop_map(move |cells| TestRow {
                layout,
                series,
                time: time.map(|time| time >> shift),
                cells,
            })
        })
}

proptest! {
    #[test]
    fn rows_round_trip(rows in prop::collection::vec(any_row(), 1..300)) {
        let (payload, tags) = written(&rows);
        let sent: Vec<TestRow> = tags.iter().map(|&tag| rows[tag as usize].clone()).collect();
        prop_assert_eq!(read(&payload), sent);
        // Rows of one layout keep their order.
        for layout in 0..3 {
            let of: Vec<u64> =
                tags.iter().copied().filter(|&tag| rows[tag as usize].layout == layout).collect();
            prop_assert!(of.is_sorted());
        }
    }

    #[test]
    fn no_payload_upsets_the_reader(
        rows in prop::collection::vec(any_row(), 1..20),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let (mut payload, _) = written(&rows);
        let at = at.index(payload.len());
        if cut {
            payload.truncate(at);
        } else {
            payload[at] = byte;
        }
        let Ok(mut reader) = BatchReader::open(&payload) else {
            prop_assume!(!cut || at < 2);
            return Ok(());
        };
        let mut section = Section::default();
        let mut cells = 0;
        while let Ok(true) = reader.next_section(&mut section) {
            for column in section.columns() {
                prop_assert_eq!(column.bits().len(), section.rows());
                prop_assert_eq!(column.marks().len(), section.rows());
                cells += section.rows();
            }
        }
        prop_assert!(cells <= CELLS_MAX);
    }
}

#[test]
fn a_producer_stands_in_the_head() {
    let mut builder = RowsBuilder::default();
    let row = TestRow {
        layout: 0,
        series: 0,
        time: None,
        cells: vec![TestCell::Float(1.5f64.to_bits())],
    };
    push(&mut builder, &row, 0).expect("room");
    let head = BatchHead {
        ack: AckLevel::Accepted,
        producer: Some(Producer {
            id: 7,
            sequence: 300,
        }),
    };
    let mut payload = Vec::new();
    builder.finish(head, &mut payload);
    assert_eq!(BatchReader::open(&payload).expect("a head").head(), head);
    payload[1] = 0;
    assert!(BatchReader::open(&payload).is_err(), "producer 0");
}

#[test]
fn what_a_full_batch_took_fits_into_a_frame() {
    let raw = |seed: u64| TestCell::Float(f64::from_bits(seed | 0x3ff0_0000_0000_0001).to_bits());
    let mut builder = RowsBuilder::default();
    let mut rows = 0u64;
    loop {
        let row = TestRow {
            layout: (rows % 3) as u32,
            series: (rows * 77 % 1_000_003) as u32,
            time: Some((rows as i64).wrapping_mul(0x1234_5678_9abc_def1)),
            cells: types((rows % 3) as u32)
                .iter()
                .map(|kind| match kind {
                    FieldType::Float => raw(rows.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12),
                    FieldType::String | FieldType::Binary => {
                        TestCell::Bytes(rows.to_string().repeat(20).into_bytes())
                    }
                    _ => TestCell::Number(rows.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                })
                .collect(),
        };
        if push(&mut builder, &row, rows).is_err() {
            break;
        }
        rows += 1;
    }
    assert!(rows > 1_000);
    let mut payload = Vec::new();
    builder.finish(HEAD, &mut payload);
    assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{}", payload.len());
    assert_eq!(read(&payload).len() as u64, rows);
}

#[test]
fn small_payloads_claim_no_more_than_the_limits() {
    // 65,536 rows of four columns whose packed numbers take no bits.
    let mut payload = vec![0, 1, 0, 0x80, 0x80, 0x04];
    for _ in 0..65_536 / 128 {
        payload.extend_from_slice(&[0, 0]);
    }
    payload.push(0);
    let columns = |count: u8| {
        let mut payload = payload.clone();
        payload.push(count);
        for _ in 0..count {
            payload.push(FieldType::Integer.number());
            for _ in 0..65_536 / 128 {
                payload.extend_from_slice(&[0, 0]);
            }
        }
        payload
    };
    let read = |payload: &[u8]| {
        let mut reader = BatchReader::open(payload).expect("a head");
        reader.next_section(&mut Section::default())
    };
    assert_eq!(read(&columns(4)), Ok(true));
    assert!(read(&columns(5)).is_err());
    // A dictionary of one long text for every row.
    let mut text = payload[..4].to_vec();
    text[3] = 100;
    text.extend_from_slice(&[0, 0, 0, 1, FieldType::String.number(), 1, 1]);
    text.extend_from_slice(&[0x80, 0x80, 0x04]);
    text.resize(text.len() + 65_536, b'x');
    text.extend_from_slice(&[0, 0]);
    assert!(read(&text).is_err(), "6.5 MB");
}

#[test]
fn decimals_of_one_column_take_the_bits_of_their_range() {
    let rows: Vec<TestRow> = (0..1_280)
        .map(|row| TestRow {
            layout: 0,
            series: row % 10,
            time: Some(1_700_000_000_000_000_000 + i64::from(row / 10) * 10_000_000_000),
            cells: vec![TestCell::Float(
                (f64::from(row * 37 % 128) / 10.0).to_bits(),
            )],
        })
        .collect();
    let (payload, _) = written(&rows);
    // Seven bits a value, four a series, one a time, and the heads of ten groups.
    assert!(
        payload.len() < 1_280 * 12 / 8 + 10 * 25,
        "{}",
        payload.len()
    );
}
