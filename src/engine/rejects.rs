//! Rejected lines can be read back: they are rows of the measurement `_rejected`, with their reason.

use std::sync::atomic::Ordering;

use edgetime_protocol::cell;

use crate::engine::{Batch, Engine, EngineError};
use crate::types::{DatabaseId, FieldType};

/// The measurement that keeps rejected lines, in the database they were meant for.
pub const REJECTED: &str = "_rejected";

/// A line that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Reject<'a> {
    /// The reason's stable name.
    pub code: &'a str,
    /// The reason in words.
    pub message: &'a str,
    /// Where the line came from.
    pub source: &'a str,
    /// The line's number on its connection.
    pub line: u64,
    /// The line as it was sent; what is not UTF-8 in it is replaced.
    pub raw: &'a [u8],
}

impl Engine {
    /// Adds a rejected line to a batch, whose next write stores it. Long lines are cut.
    pub fn push_reject(
        &self,
        batch: &mut Batch,
        database: DatabaseId,
        reject: &Reject<'_>,
    ) -> Result<(), EngineError> {
        let series = self.resolve_series(database, REJECTED, &mut [("code", reject.code)])?;
        let fields = [
            ("line", FieldType::Integer),
            ("message", FieldType::String),
            ("source", FieldType::String),
            ("text", FieldType::String),
        ];
        let plan = self.resolve_layout(series.measurement, &fields)?;
        let text = String::from_utf8_lossy(&reject.raw[..reject.raw.len().min(TEXT_BYTES_MAX)]);
        let mut heap = Vec::new();
        let mut bits = vec![reject.line];
        for part in [reject.message, reject.source, &text] {
            bits.push(cell::heap(heap.len() as u32, part.len() as u32));
            heap.extend_from_slice(part.as_bytes());
        }
        let index = batch.layout_index(&plan.layout);
        batch.push(series, index, None, (&bits, &[0; 4], &heap), u32::MAX);
        Ok(())
    }

    /// Counts rejected rows, whether or not they could be kept.
    pub fn count_rejects(&self, rows: u64) {
        self.rejected_rows.fetch_add(rows, Ordering::Relaxed);
    }
}

/// A rejected line is kept up to this length.
const TEXT_BYTES_MAX: usize = 4096;
