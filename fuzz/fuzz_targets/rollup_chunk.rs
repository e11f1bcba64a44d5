//! Chunks of a tier: any sealed chunk is read as buckets of every type, or is an error; what was read merges.
#![no_main]

use edgetimedb::codec::chunk::Chunk;
use edgetimedb::rollup::{BucketColumns, LaneColumn, Parts, Tier, coarsen, decode};
use edgetimedb::types::{ColumnId, FieldType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The checksum would keep the fuzzer out.
    let Ok(chunk) = Chunk::reopen(input) else {
        return;
    };
    for field_type in FieldType::ALL {
        let id = ColumnId(0);
        let lane = LaneColumn { id, field_type };
        let parts = Parts {
            sum: true,
            ..Parts::default()
        };
        let some = BucketColumns::read(&chunk, Tier::TEN_SECONDS, &[(lane, parts)]);
        if let Ok(buckets) = decode(&chunk, Tier::TEN_SECONDS, &[lane]) {
            let some = some.expect("all of it can be read");
            assert_eq!(some.len(), buckets.len());
            let coarse = coarsen(Tier::HOUR, buckets);
            for partial in coarse.iter().filter_map(|bucket| bucket.lanes[0].as_ref()) {
                let _ = partial.variance();
            }
        }
    }
});
