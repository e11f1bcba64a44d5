//! Writes records to a state or image file: a new one from its header on, or behind what is committed.

use std::sync::Arc;

use super::bytes::Seed;
use super::error::Result;
use super::manifest::ManifestRecords;
use super::records::{self, RecordFile};
use crate::limits::PAGE_BYTES;
use crate::mutants::{self, Mutant};
use crate::storage::File;
use crate::types::StoreId;

/// Bytes of records gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Appends records to a state or image file.
pub(super) struct RecordWriter {
    file: Arc<dyn File>,
    seed: Seed,
    number: u32,
    written: u64,
    buffer: Vec<u8>,
}

impl RecordWriter {
    /// Begins a new file.
    pub(super) fn create(
        file: Arc<dyn File>,
        kind: RecordFile,
        store: StoreId,
        number: u32,
    ) -> Self {
        let mut buffer = Vec::new();
        records::encode_file_header(kind, store, number, &mut buffer);
        Self {
            file,
            seed: records::seed(store, number),
            number,
            written: 0,
            buffer,
        }
    }

    /// Goes on at the next page boundary, behind the zeros of the last append.
    pub(super) fn append(file: Arc<dyn File>, store: StoreId, at: ManifestRecords) -> Self {
        Self {
            file,
            seed: records::seed(store, at.number),
            number: at.number,
            written: at.len_bytes.next_multiple_of(PAGE_BYTES as u64),
            buffer: Vec::new(),
        }
    }

    /// The number of the file.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn record(&mut self, kind: u8, parts: &[&[u8]]) -> Result<()> {
        records::encode_record(&self.seed, kind, parts, &mut self.buffer)?;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Fills the last page with zeros, over what an append before a crash may have left, and syncs.
    pub(super) fn finish(mut self) -> Result<ManifestRecords> {
        let len_bytes = self.written + self.buffer.len() as u64;
        let padded = len_bytes.next_multiple_of(PAGE_BYTES as u64);
        let fill = (padded - len_bytes) as usize;
        self.buffer.extend(std::iter::repeat_n(0, fill));
        self.flush()?;
        if !mutants::is(Mutant::NoFileSync) {
            self.file.sync()?;
        }
        Ok(ManifestRecords {
            number: self.number,
            len_bytes,
        })
    }
}
