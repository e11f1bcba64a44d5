//! Any bytes into the decoders of the log: no panic, and what decodes is inside the input.
#![no_main]

use edgetimedb::log::{FrameSeal, SegmentHeader};
use edgetimedb::types::{Epoch, Position, StoreId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = SegmentHeader::decode(input);
    let Some((head, bytes)) = input.split_first_chunk::<24>() else {
        return;
    };
    let number = |at: usize| {
        head[at..]
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let seal = FrameSeal::new(StoreId(number(0)), Epoch(number(8)));
    let mut offset = 0;
    loop {
        let position = Position(number(16).wrapping_add(offset as u64));
        let Some(frame) = seal.decode(&bytes[offset..], position) else {
            return;
        };
        assert!(frame.len_bytes >= frame.payload.len());
        offset += frame.len_bytes;
        assert!(offset <= bytes.len());
    }
});
