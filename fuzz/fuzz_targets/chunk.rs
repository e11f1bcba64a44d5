//! Any bytes as a chunk, with and without the checksum in the way: errors or values, never a panic.
#![no_main]

use edgetimedb::codec::Cells;
use edgetimedb::codec::chunk::Chunk;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Chunk::open(bytes);
    let Ok(chunk) = Chunk::reopen(bytes) else {
        return;
    };
    let mut times = Vec::new();
    if chunk.decode_times(&mut times).is_ok() {
        assert_eq!(times.len(), chunk.rows());
    }
    for summary in chunk.columns() {
        if let Ok(Some(vector)) = chunk.decode_column(summary.id) {
            assert_eq!(vector.len(), chunk.rows());
            assert_eq!(vector.validity.count(chunk.rows()), summary.count);
        }
    }
    let mut cells = Cells::new();
    match chunk.decode_cells(&mut cells) {
        Ok(()) => assert_eq!(cells.rows(), chunk.rows()),
        Err(_) => assert_eq!(cells.rows(), 0),
    }
});
