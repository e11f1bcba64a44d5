//! A copy of the log up to one position, while it is written.

use crate::limits::PAGE_BYTES;
use crate::storage::Storage;
use crate::types::Position;

use super::LogError;
use super::segment::{FOLDER, SegmentHeader, slot_name};
use super::writer::Log;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCopy {
    /// Where the copy ends: all before was durable.
    pub end: Position,
    /// Segments.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Log {
    /// Makes everything durable that can be, and copies what a replay from a position needs. No segment may be
    /// recycled meanwhile. The copies take room for what they hold only, where files may have holes.
    pub fn copy_to(
        &self,
        destination: &dyn Storage,
        replay_from: Position,
    ) -> Result<LogCopy, LogError> {
        let end = match self.sync() {
            // What is durable can be read all the same.
            Err(LogError::ReadOnly { .. } | LogError::NoRoom { .. }) => self.durable(),
            synced => synced?,
        };
        let mut copy = LogCopy {
            end,
            ..LogCopy::default()
        };
        destination.create_folder(FOLDER)?;
        let extents = self.extents(replay_from, end);
        if extents.is_empty() {
            self.write_beginning(destination, end)?;
            copy.segments += 1;
        }
        for (header, until) in extents {
            let name = slot_name(header.slot);
            let (from, to) = (
                self.storage.open_file(&name)?,
                destination.create_file(&name)?,
            );
            let len = until.0 - header.base.0;
            let mut buffer = vec![0; COPY_BYTES];
            let mut offset = 0;
            while offset < len {
                let part = &mut buffer[..(len - offset).min(COPY_BYTES as u64) as usize];
                from.read_patiently(offset, part)?;
                to.write_at(offset, part)?;
                offset += part.len() as u64;
            }
            if len < header.size_bytes {
                // As long as it says, or it would pass for cut off; the rest is a hole where files may have any.
                to.write_at(header.size_bytes - 1, &[0])?;
            }
            to.sync()?;
            copy.segments += 1;
            copy.bytes += len;
        }
        destination.sync_folder(FOLDER)?;
        Ok(copy)
    }

    /// A segment that says where the log goes on, and holds nothing: without any, one would be missing.
    fn write_beginning(&self, destination: &dyn Storage, end: Position) -> Result<(), LogError> {
        let next = self.state.lock().next;
        let header = SegmentHeader {
            store: self.store,
            slot: 0,
            epoch: next.epoch,
            base: next.base,
            size_bytes: self.options.segment_size_bytes,
            previous_epoch: next.previous_epoch,
            previous_end: end,
            durable: end,
        };
        let file = destination.create_file(&slot_name(header.slot))?;
        file.write_at(0, &header.encode())?;
        file.write_at(header.size_bytes - 1, &[0])?;
        file.sync()?;
        Ok(())
    }

    /// The segments with frames between two positions, and up to where each has them.
    fn extents(&self, from: Position, end: Position) -> Vec<(SegmentHeader, Position)> {
        let state = self.state.lock();
        let sealed = state.sealed.iter().map(|one| (one.header, one.end));
        let active = state.active.iter().map(|one| (one.header, one.end()));
        sealed
            .chain(active)
            // The one that ends where the replay begins as well: a store without a log has lost it.
            .filter(|(header, until)| header.first() <= end && *until >= from)
            .map(|(header, until)| (header, until.min(end)))
            .collect()
    }
}

const COPY_BYTES: usize = 64 * PAGE_BYTES;
