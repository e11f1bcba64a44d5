//! The end of every query: `OFFSET`, `LIMIT`, and batches for the sink.

use std::ops::Range;

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::error::QueryError;
use crate::query::expr::vector::{Collector, into_result};
use crate::query::result::ResultBatch;
use crate::query::value::Type;
use crate::series::vector::ColumnVector;

use super::Sink;

/// Collects rows into batches. Once [`Output::is_done`], more rows are ignored.
pub(super) struct Output<'s, 'f> {
    sink: &'s mut Sink<'f>,
    kinds: Vec<Type>,
    pending: Vec<Collector>,
    pending_rows: usize,
    offset: u64,
    remaining: u64,
    rows: u64,
}

impl<'s, 'f> Output<'s, 'f> {
    pub(super) fn new(
        kinds: Vec<Type>,
        limit: Option<u64>,
        offset: u64,
        sink: &'s mut Sink<'f>,
    ) -> Self {
        Self {
            sink,
            pending: kinds.iter().map(|&kind| Collector::new(kind)).collect(),
            kinds,
            pending_rows: 0,
            offset,
            remaining: limit.unwrap_or(u64::MAX),
            rows: 0,
        }
    }

    /// Whether no further row is wanted.
    pub(super) const fn is_done(&self) -> bool {
        self.remaining == 0
    }

    /// Appends some rows of the columns of the answer.
    pub(super) fn push(
        &mut self,
        columns: &[ColumnVector],
        mut rows: Range<usize>,
    ) -> Result<(), QueryError> {
        let skipped = self.offset.min(rows.len() as u64);
        self.offset -= skipped;
        rows.start += skipped as usize;
        let taken = self.remaining.min(rows.len() as u64);
        self.remaining -= taken;
        rows.end = rows.start + taken as usize;
        while !rows.is_empty() {
            let room = QUERY_BATCH_ROWS - self.pending_rows;
            let part = rows.start..rows.end.min(rows.start + room);
            rows.start = part.end;
            for (pending, column) in self.pending.iter_mut().zip(columns) {
                pending.push_rows(column, part.clone());
            }
            self.pending_rows += part.len();
            if self.pending_rows >= QUERY_BATCH_ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Sends what is left; how many rows were sent in all.
    pub(super) fn finish(mut self) -> Result<u64, QueryError> {
        self.flush()?;
        Ok(self.rows)
    }

    fn flush(&mut self) -> Result<(), QueryError> {
        if self.pending_rows == 0 {
            return Ok(());
        }
        self.rows += self.pending_rows as u64;
        self.pending_rows = 0;
        let columns = self
            .pending
            .iter_mut()
            .zip(&self.kinds)
            .map(|(pending, &kind)| {
                let full = std::mem::replace(pending, Collector::new(kind));
                into_result(full.finish(), kind)
            })
            .collect();
        (self.sink)(ResultBatch { columns })
    }
}
