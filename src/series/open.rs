//! The open chunk: blocks of rows behind one another in one buffer, readable at any moment.
//!
//! Every block explains itself, so that a block written before a field appeared needs no change.

use crate::codec::block::{self, Encoder, Tallies};
use crate::codec::chunk::Joiner;
use crate::codec::{Cells, CodecError};
use crate::limits::BLOCK_ROWS;
use crate::series::Rows;
use crate::types::{Layout, Position, Timestamp};

/// Blocks of the chunk that is being filled.
#[derive(Debug, Default)]
pub struct OpenChunk {
    bytes: Vec<u8>,
    rows: u32,
    /// Bytes of the latest block.
    block_bytes: u32,
    first_time: Timestamp,
    /// Of all blocks.
    tallies: Tallies,
}

impl OpenChunk {
    /// Rows in all blocks.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// The first row's time. Meaningless while there is no row.
    pub fn first_time(&self) -> Timestamp {
        self.first_time
    }

    /// The blocks as they are.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory behind this.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.tallies.memory_bytes()
    }

    /// Compresses the first `count` staged rows into a block. They must be later than all rows here.
    pub fn push_block(
        &mut self,
        (layout, rows): (&Layout, &Rows),
        count: usize,
        encoder: &mut Encoder,
    ) {
        let view = rows.view(layout, 0..count);
        if self.rows == 0 {
            self.first_time = view.times[0];
        }
        // In steps of an eighth: a chunk that doubled its buffer would waste a third of it on the mean.
        let before = self.bytes.len();
        let next = self.block_bytes as usize + self.block_bytes as usize / 8 + BLOCK_SPARE_BYTES;
        if self.bytes.capacity() - before < next {
            self.bytes.reserve_exact(next.max(before / 8));
        }
        encoder.encode(&view, &mut self.tallies, &mut self.bytes);
        self.block_bytes = (self.bytes.len() - before) as u32;
        self.rows += count as u32;
    }

    /// Makes a chunk of all rows, those here and those that are staged behind them; `tail` is room for the blocks
    /// of the latter. What is here is to be cleared then.
    pub fn seal(
        &mut self,
        (layout, rows): (&Layout, &Rows),
        positions: (Position, Position),
        (encoder, joiner): (&mut Encoder, &mut Joiner),
        tail: &mut Vec<u8>,
    ) -> Result<Vec<u8>, CodecError> {
        tail.clear();
        for start in (0..rows.len()).step_by(BLOCK_ROWS) {
            let some = start..rows.len().min(start + BLOCK_ROWS);
            encoder.encode(&rows.view(layout, some), &mut self.tallies, tail);
        }
        joiner.join(
            &[&self.bytes, tail],
            &self.tallies,
            &layout.specs,
            positions,
        )
    }

    /// Forgets everything and keeps the buffer, which the next chunk fills to about the same size.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.tallies.clear();
        self.rows = 0;
    }
}

/// Reserved for a block beyond what the one before took.
const BLOCK_SPARE_BYTES: usize = 32;

/// Decodes blocks behind one another.
pub fn decode(mut bytes: &[u8], into: &mut Cells) -> Result<(), CodecError> {
    while !bytes.is_empty() {
        let used = block::decode(bytes, into)?;
        bytes = &bytes[used..];
    }
    Ok(())
}
