//! Any bytes as a block: an error or rows that can be encoded again, never a panic.
#![no_main]

use edgetimedb::codec::{Cells, block};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = block::header(bytes);
    let mut cells = Cells::new();
    match block::decode(bytes, &mut cells) {
        Ok(len) => {
            let header = header.expect("a block that decodes has a header");
            assert_eq!(header.len, len);
            assert_eq!(header.rows, cells.rows());
            assert_eq!(Some(&header.first_time), cells.times.first());
            assert_eq!(Some(&header.last_time), cells.times.last());
        }
        Err(_) => assert_eq!(cells.rows(), 0),
    }
});
