//! Binary frames from arbitrary bytes: no panic, and what was read is written back the same.

#![no_main]

use edgetime_protocol::frame::{Frame, PAYLOAD_BYTES_MAX};
use edgetime_protocol::message::Message;
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
