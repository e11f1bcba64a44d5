//! Any bytes as a block: an error or rows that can be encoded again, never a panic. What decodes can be joined.
#![no_main]

use edgetimedb::codec::Cells;
use edgetimedb::codec::block::{self, Tallies};
use edgetimedb::codec::chunk::{Chunk, Joiner};
use edgetimedb::types::Position;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = block::header(bytes);
    let mut cells = Cells::new();
    let decoded = block::decode(bytes, &mut cells);
    match decoded {
        Ok(len) => {
            let header = header.expect("a block that decodes has a header");
            assert_eq!(header.len, len);
            assert_eq!(header.rows, cells.rows());
            assert_eq!(Some(&header.first_time), cells.times.first());
            assert_eq!(Some(&header.last_time), cells.times.last());
        }
        Err(_) => assert_eq!(cells.rows(), 0),
    }
    let block = bytes.get(..decoded.unwrap_or(bytes.len()));
    let positions = (Position(1), Position(2));
    let joined = Joiner::default().join(
        &[block.unwrap_or_default()],
        &Tallies::default(),
        &[],
        positions,
    );
    assert!(joined.is_ok() || decoded.is_err());
    if let Ok(joined) = joined {
        let Ok(chunk) = Chunk::open(joined) else {
            assert!(decoded.is_err());
            return;
        };
        let mut again = Cells::new();
        let read = chunk.decode_cells(&mut again);
        assert!(read.is_ok() || decoded.is_err());
        assert!(decoded.is_err() || again.times == cells.times);
    }
});
