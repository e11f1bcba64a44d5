//! Finds the chunk records of a block file whose index is gone, by their own checksums.
//!
//! A record is kept only where header and bytes validate; everything else is reported with its range.

use super::bytes::Seed;
use super::chunk::{ChunkEntry, FileId, RECORD_HEADER_BYTES, RECORD_MAGIC};
use super::error::Damage;
use super::file::{HEADER_BYTES, INDEX_MAGIC};
use super::window::Window;
use crate::limits::PAGE_BYTES;
use crate::storage::File;

/// All valid records of a file, and what lies between them.
pub(super) fn records(
    file: &dyn File,
    name: &str,
    seed: &Seed,
    id: FileId,
    size_bytes: u64,
) -> (Vec<ChunkEntry>, Vec<Damage>) {
    let mut window = Window::new(file, name, size_bytes);
    let mut entries = Vec::new();
    let mut damage = Vec::new();
    let mut offset = HEADER_BYTES.min(size_bytes);
    while offset < size_bytes {
        if let Some(entry) = header_at(&mut window, seed, id, offset) {
            if bytes_are_whole(&mut window, seed, &entry) {
                entries.push(entry);
                offset = entry.end();
                continue;
            }
            damage.push(lost_chunk(name, &entry));
            offset = if entry.end() <= size_bytes {
                entry.end()
            } else {
                offset + RECORD_HEADER_BYTES as u64
            };
            continue;
        }
        let next = next_record(&mut window, seed, id, offset + 1);
        if next < size_bytes || !starts_with(&mut window, offset, &INDEX_MAGIC) {
            damage.push(Damage::Lost {
                name: name.to_owned(),
                range: offset..next,
            });
        }
        offset = next;
    }
    (entries, damage)
}

fn lost_chunk(name: &str, entry: &ChunkEntry) -> Damage {
    Damage::Chunk {
        name: name.to_owned(),
        offset: entry.offset,
        series: entry.meta.series,
        rows: entry.meta.rows,
        times: (entry.meta.first_time, entry.meta.last_time),
    }
}

fn header_at(window: &mut Window<'_>, seed: &Seed, id: FileId, offset: u64) -> Option<ChunkEntry> {
    let bytes = window.get(offset, RECORD_HEADER_BYTES).ok()?;
    ChunkEntry::decode_header(seed, id, offset, bytes)
}

fn bytes_are_whole(window: &mut Window<'_>, seed: &Seed, entry: &ChunkEntry) -> bool {
    window
        .get(
            entry.offset + RECORD_HEADER_BYTES as u64,
            entry.len_bytes as usize,
        )
        .is_ok_and(|bytes| ChunkEntry::crc_of(seed, entry.ordinal, bytes) == entry.crc)
}

fn starts_with(window: &mut Window<'_>, offset: u64, magic: &[u8]) -> bool {
    window
        .get(offset, magic.len())
        .is_ok_and(|bytes| bytes == magic)
}

/// Where the next record begins, or the end of the file.
fn next_record(window: &mut Window<'_>, seed: &Seed, id: FileId, from: u64) -> u64 {
    let end = window.end();
    let mut offset = from;
    while offset + RECORD_MAGIC.len() as u64 <= end {
        let len = (end - offset).min(PAGE_BYTES as u64) as usize;
        let Ok(bytes) = window.get(offset, len) else {
            offset = (offset / PAGE_BYTES as u64 + 1) * PAGE_BYTES as u64;
            continue;
        };
        let found = bytes
            .windows(RECORD_MAGIC.len())
            .position(|four| four == RECORD_MAGIC);
        let Some(at) = found else {
            // The last bytes may begin a magic that goes on behind the page.
            offset += (len - (RECORD_MAGIC.len() - 1)) as u64;
            continue;
        };
        let candidate = offset + at as u64;
        if header_at(window, seed, id, candidate).is_some() {
            return candidate;
        }
        offset = candidate + 1;
    }
    end
}
