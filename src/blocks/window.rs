//! A sliding view of a file for scans: reads ahead in large steps, gives slices of any range.
//!
//! Where a large read fails, only what is needed is read, so that one bad sector does not hide its
//! neighbours.

use crate::storage::{File, Result, StorageError};

/// Bytes read ahead.
const STEP_BYTES: u64 = 256 * 1024;

/// A buffered, forward-moving view of `..end` of a file.
pub(super) struct Window<'a> {
    file: &'a dyn File,
    name: &'a str,
    end: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn File, name: &'a str, end: u64) -> Self {
        Self {
            file,
            name,
            end,
            start: 0,
            buffer: Vec::new(),
        }
    }

    /// The end of what may be read.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// The bytes `offset .. offset + len`. Allocates no more than the file has bytes.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let until = offset.saturating_add(len as u64);
        if until > self.end {
            return Err(StorageError::OutOfBounds {
                name: self.name.to_owned(),
                range: offset..until,
                size: self.end,
            });
        }
        if offset < self.start || until > self.start + self.buffer.len() as u64 {
            let ahead = (self.end - offset).min(STEP_BYTES.max(len as u64));
            if self.fill(offset, ahead as usize).is_err() {
                self.fill(offset, len)?;
            }
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + len])
    }

    fn fill(&mut self, offset: u64, len: usize) -> Result<()> {
        self.buffer.clear();
        self.buffer.resize(len, 0);
        self.start = offset;
        let read = self.file.read_patiently(offset, &mut self.buffer);
        if read.is_err() {
            self.buffer.clear();
        }
        read
    }
}
