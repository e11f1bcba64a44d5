//! Binary frames from arbitrary bytes: no panic, and what was read is written back the same.

#![no_main]

use edgetime_protocol::frame::{Frame, PAYLOAD_BYTES_MAX};
use edgetime_protocol::message::Message;
use edgetime_protocol::write::{BatchReader, CELLS_MAX, Names, Section};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // As frames: a right checksum is unlikely, so the first byte also makes a frame of the rest.
    let mut rest = data;
    while let Ok(Some((frame, length))) = Frame::decode(rest, PAYLOAD_BYTES_MAX) {
        read(&frame);
        rest = &rest[length..];
    }
    if let Some((&kind, payload)) = data.split_first() {
        read(&Frame {
            kind,
            request: 1,
            payload,
        });
    }
});

fn read(frame: &Frame<'_>) {
    rows(frame.payload);
    let Ok(message) = Message::decode(frame) else {
        return;
    };
    let mut bytes = Vec::new();
    if message.encode(frame.request, &mut bytes).is_err() {
        return;
    }
    let (again, length) = Frame::decode(&bytes, PAYLOAD_BYTES_MAX)
        .expect("a frame that was just written")
        .expect("and complete");
    assert_eq!(length, bytes.len());
    let again = Message::decode(&again).expect("a message that was just written");
    // NaN is not equal to itself; its text is.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
}

/// The payload as a batch of rows, and as declarations.
fn rows(payload: &[u8]) {
    let mut names = Names::default();
    if names.declare(payload).is_ok() {
        for series in 0..names.series_count() as u32 {
            let series = names.series(series).expect("it was declared");
            let _ = (series.tags(), names.table(series.table));
        }
        for layout in 0..names.layouts() as u32 {
            let types = names.layout(layout).expect("it was declared").1.count();
            assert!(
                names.fields(layout).is_err()
                    || names
                        .fields(layout)
                        .is_ok_and(|fields| fields.len() == types)
            );
        }
    }
    let Ok(mut batch) = BatchReader::open(payload) else {
        return;
    };
    let mut section = Section::default();
    let mut cells = 0;
    while let Ok(true) = batch.next_section(&mut section) {
        for column in section.columns() {
            assert_eq!(column.bits().len(), section.rows());
            assert_eq!(column.marks().len(), section.rows());
            cells += section.rows();
        }
        for row in 0..section.rows() {
            let _ = (section.series(row), section.time(row));
        }
    }
    assert!(cells <= CELLS_MAX);
}
