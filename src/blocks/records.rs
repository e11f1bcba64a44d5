//! The record format that state and image files share: header with its own checksum, then a payload.
//!
//! A damaged payload costs its record; a damaged header costs the bytes up to the next one that validates.
//! An append begins on a page boundary, so that no page holding committed bytes is written again; the
//! zeros before it are skipped. Layout: FORMAT.md.

use super::bytes::{Reader, Seed};
use super::error::{BlockError, Damage, Result};
use super::window::Window;
use crate::limits::{CHECKPOINT_RECORD_BYTES, PAGE_BYTES};
use crate::storage::File;
use crate::types::StoreId;

/// What distinguishes a file of records from another: its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFile {
    State,
    Image,
}

impl RecordFile {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::State => *b"EDGESTA\n",
            Self::Image => *b"EDGEIMG\n",
        }
    }

    /// The file's name, relative to the data directory.
    pub(super) fn name(self, number: u32) -> String {
        let folder = super::chunk::FOLDER;
        match self {
            Self::State => format!("{folder}/state-{number}.cat"),
            Self::Image => format!("{folder}/image-{number}.img"),
        }
    }

    /// The number of a file with this name (without its folder).
    pub(super) fn number(self, base_name: &str) -> Option<u32> {
        let digits = match self {
            Self::State => base_name.strip_prefix("state-")?.strip_suffix(".cat")?,
            Self::Image => base_name.strip_prefix("image-")?.strip_suffix(".img")?,
        };
        let number: u32 = digits.parse().ok()?;
        (number > 0 && number.to_string() == digits).then_some(number)
    }
}

/// The checksum of a file of records.
pub(super) fn seed(store: StoreId, number: u32) -> Seed {
    Seed::new(store.0, number)
}

/// Appends the file's header.
pub(super) fn encode_file_header(
    file: RecordFile,
    store: StoreId,
    number: u32,
    into: &mut Vec<u8>,
) {
    let start = into.len();
    into.extend_from_slice(&file.magic());
    into.extend_from_slice(&VERSION.to_le_bytes());
    into.extend_from_slice(&number.to_le_bytes());
    into.extend_from_slice(&store.0.to_le_bytes());
    let crc = crc32fast::hash(&into[start..]);
    into.extend_from_slice(&crc.to_le_bytes());
}

/// The store and number that a file's header names.
pub(super) fn read_file_header(
    kind: RecordFile,
    file: &dyn File,
    name: &str,
) -> Result<(StoreId, u32)> {
    let mut header = [0; FILE_HEADER_BYTES];
    file.read_patiently(0, &mut header)?;
    let damaged = || BlockError::Damaged {
        name: name.to_owned(),
        offset: 0,
        reason: "header",
    };
    let (store, number, found) = decode_file_header(kind, &header).ok_or_else(damaged)?;
    if found > VERSION {
        return Err(BlockError::Newer {
            name: name.to_owned(),
            found,
            supported: VERSION,
        });
    }
    Ok((store, number))
}

fn decode_file_header(kind: RecordFile, bytes: &[u8]) -> Option<(StoreId, u32, u32)> {
    let mut reader = Reader::new(bytes);
    let body = reader.take(FILE_HEADER_BYTES - 4)?;
    if reader.u32()? != crc32fast::hash(body) {
        return None;
    }
    let mut fields = Reader::new(body.strip_prefix(&kind.magic())?);
    let version = fields.u32()?;
    let number = fields.u32()?;
    Some((StoreId(fields.u64()?), number, version))
}

/// Appends a record made of these parts.
pub(super) fn encode_record(
    seed: &Seed,
    kind: u8,
    parts: &[&[u8]],
    into: &mut Vec<u8>,
) -> Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > CHECKPOINT_RECORD_BYTES {
        return Err(BlockError::TooLarge {
            what: "bytes of a checkpoint record",
            found: len as u64,
            limit: CHECKPOINT_RECORD_BYTES as u64,
        });
    }
    let start = into.len();
    into.extend_from_slice(&[RECORD_MAGIC, kind, 0, 0]);
    into.extend_from_slice(&(len as u32).to_le_bytes());
    into.extend_from_slice(&seed.crc(parts).to_le_bytes());
    let crc = seed.crc(&[&into[start..]]);
    into.extend_from_slice(&crc.to_le_bytes());
    for part in parts {
        into.extend_from_slice(part);
    }
    Ok(())
}

/// Gives every valid record of the first `end` bytes to `visit`, which tells whether it could use it;
/// returns what was lost.
pub(super) fn visit_records(
    file: &dyn File,
    name: &str,
    seed: &Seed,
    end: u64,
    visit: &mut dyn FnMut(u8, &[u8]) -> bool,
) -> Vec<Damage> {
    let mut window = Window::new(file, name, end);
    let mut lost = Vec::new();
    let mut lose = |range: std::ops::Range<u64>| {
        lost.push(Damage::Lost {
            name: name.to_owned(),
            range,
        });
    };
    let mut offset = (FILE_HEADER_BYTES as u64).min(end);
    while offset < end {
        if let Some(record) = header_at(&mut window, seed, offset) {
            let from = offset + RECORD_HEADER_BYTES as u64;
            let next = from + record.len as u64;
            if next <= end {
                let whole = match window.get(from, record.len) {
                    Ok(payload) => {
                        seed.crc(&[payload]) == record.crc && visit(record.kind, payload)
                    }
                    Err(_) => false,
                };
                if !whole {
                    lose(offset..next);
                }
                offset = next;
                continue;
            }
        }
        let page_end = page_after(offset).min(end);
        if !offset.is_multiple_of(PAGE_BYTES as u64)
            && window
                .get(offset, (page_end - offset) as usize)
                .is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
        {
            offset = page_end;
            continue;
        }
        let next = next_record(&mut window, seed, offset + 1);
        lose(offset..next);
        offset = next;
    }
    lost
}

struct Header {
    kind: u8,
    len: usize,
    crc: u32,
}

fn header_at(window: &mut Window<'_>, seed: &Seed, offset: u64) -> Option<Header> {
    let bytes = window.get(offset, RECORD_HEADER_BYTES).ok()?;
    let mut reader = Reader::new(bytes);
    let body = reader.take(RECORD_HEADER_BYTES - 4)?;
    if reader.u32()? != seed.crc(&[body]) {
        return None;
    }
    let mut fields = Reader::new(body);
    if fields.u8()? != RECORD_MAGIC {
        return None;
    }
    let kind = fields.u8()?;
    fields.u16()?;
    let len = fields.u32()? as usize;
    let crc = fields.u32()?;
    (len <= CHECKPOINT_RECORD_BYTES).then_some(Header { kind, len, crc })
}

/// Where the next record begins, or the end.
fn next_record(window: &mut Window<'_>, seed: &Seed, from: u64) -> u64 {
    let end = window.end();
    let mut offset = from;
    while offset < end {
        let len = (page_after(offset).min(end) - offset) as usize;
        let Ok(bytes) = window.get(offset, len) else {
            offset += len as u64;
            continue;
        };
        let Some(at) = memchr::memchr(RECORD_MAGIC, bytes) else {
            offset += len as u64;
            continue;
        };
        offset += at as u64;
        if header_at(window, seed, offset).is_some() {
            return offset;
        }
        offset += 1;
    }
    end
}

/// The first page boundary behind this offset.
pub(super) const fn page_after(offset: u64) -> u64 {
    (offset / PAGE_BYTES as u64 + 1) * PAGE_BYTES as u64
}

/// The format written, and the newest that is read.
const VERSION: u32 = 1;
/// Magic, version, number, store id, checksum.
pub(super) const FILE_HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 4;
/// Begins every record.
const RECORD_MAGIC: u8 = 0xE7;
/// Magic, kind, two zeros, length, checksum of the payload, checksum of the header.
const RECORD_HEADER_BYTES: usize = 1 + 1 + 2 + 4 + 4 + 4;
