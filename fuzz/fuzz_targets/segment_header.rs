//! Any bytes as the first page of a segment: no panic, and a header that decodes survives being written again.
//! Either copy of a header may be damaged in any way, and the other one counts.
#![no_main]

use edgetimedb::log::{HeaderPage, SegmentHeader};
use edgetimedb::types::{Epoch, Position, StoreId};
use libfuzzer_sys::fuzz_target;

/// Where the second copy stands in the page.
const SECOND: usize = 2048;

fuzz_target!(|input: &[u8]| {
    if let HeaderPage::Valid(header) = SegmentHeader::decode(input) {
        assert_eq!(
            SegmentHeader::decode(&header.encode()),
            HeaderPage::Valid(header)
        );
        assert!(header.first() < header.limit() || header.size_bytes <= 4_096);
    }
    let Some((fields, damage)) = input.split_first_chunk::<32>() else {
        return;
    };
    let number = |at: usize| {
        let bytes = fields[at..].first_chunk();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes)) >> 3
    };
    let header = SegmentHeader {
        store: StoreId(number(0)),
        slot: 7,
        epoch: Epoch(number(8)),
        base: Position(number(16)),
        size_bytes: 65_536,
        previous_epoch: Epoch(number(8) / 2),
        previous_end: Position(number(24)),
        durable: Position(number(24)),
    };
    for at in [0, SECOND] {
        let mut page = header.encode();
        for (byte, change) in page[at..].iter_mut().zip(damage.iter().take(SECOND)) {
            *byte ^= change;
        }
        match SegmentHeader::decode(&page) {
            HeaderPage::Valid(found) => assert!(found == header || found.epoch >= header.epoch),
            other => panic!("{other:?}"),
        }
    }
});
