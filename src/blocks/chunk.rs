//! A sealed chunk's place and description: the record that precedes its bytes, and the entry that finds it.
//!
//! The bytes themselves are opaque here. Layout: FORMAT.md.

use super::bytes::{Reader, Seed};
use crate::limits::{CHECKPOINT_RECORD_BYTES, ROWS_CLAIMED};
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId, Timestamp};

/// A block file. Counts from 1, never reused within a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FileId {
    /// The file's name, relative to the data directory.
    #[must_use]
    pub fn name(self) -> String {
        format!("{FOLDER}/{:08}.blk", self.0)
    }

    /// The id that a name without its folder stands for.
    #[must_use]
    pub fn from_base_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".blk")?;
        let id = Self(digits.parse().ok()?);
        (id.0 > 0 && digits.len() >= 8 && id.name().ends_with(name)).then_some(id)
    }
}

/// The folder of block, state and image files.
pub const FOLDER: &str = "blocks";

/// What a chunk holds, as its maker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkMeta {
    /// Its series.
    pub series: SeriesId,
    /// The series' database.
    pub database: DatabaseId,
    /// The series' measurement.
    pub measurement: MeasurementId,
    /// 0: rows as they came; otherwise the number of the rollup tier whose buckets they are.
    pub tier: u8,
    /// Rows, at most [`ROWS_CLAIMED`].
    pub rows: u32,
    /// Least time, nanoseconds.
    pub first_time: Timestamp,
    /// Greatest time, nanoseconds.
    pub last_time: Timestamp,
    /// Lowest log position of a row.
    pub first_position: Position,
    /// Highest log position of a row.
    pub last_position: Position,
}

/// A chunk in a block file: what it holds and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkEntry {
    /// What it holds.
    pub meta: ChunkMeta,
    /// The file.
    pub file: FileId,
    /// Its number within the file, from 0.
    pub ordinal: u32,
    /// Where its record begins, bytes from the start of the file.
    pub offset: u64,
    /// Bytes of the chunk, without the record's header.
    pub len_bytes: u32,
    /// CRC-32 of the chunk's bytes, seeded with store, file and ordinal.
    pub crc: u32,
}

impl ChunkEntry {
    /// Bytes of the record, header included.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + self.len_bytes as u64
    }

    /// Where the record ends.
    pub(super) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.record_bytes())
    }

    /// The checksum of a chunk's bytes.
    pub(super) fn crc_of(seed: &Seed, ordinal: u32, bytes: &[u8]) -> u32 {
        seed.crc(&[&ordinal.to_le_bytes(), bytes])
    }

    /// Appends the record's header.
    pub(super) fn encode_header(&self, seed: &Seed, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&RECORD_MAGIC);
        self.encode_fields(into);
        let crc = seed.crc(&[&into[start..]]);
        into.extend_from_slice(&crc.to_le_bytes());
    }

    /// Reads a record's header at this offset; `None` where it is none.
    pub(super) fn decode_header(
        seed: &Seed,
        file: FileId,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let body = reader.take(RECORD_HEADER_BYTES - 4)?;
        if reader.u32()? != seed.crc(&[body]) {
            return None;
        }
        let mut fields = Reader::new(body.strip_prefix(&RECORD_MAGIC)?);
        let entry = Self::decode_fields(file, offset, &mut fields)?;
        (fields.remaining() == 0).then_some(entry)
    }

    /// Appends an entry of the index.
    pub(super) fn encode_index(&self, into: &mut Vec<u8>) {
        self.encode_fields(into);
        into.extend_from_slice(&self.offset.to_le_bytes());
    }

    /// Reads an entry of the index.
    pub(super) fn decode_index(file: FileId, reader: &mut Reader<'_>) -> Option<Self> {
        let mut fields = Reader::new(reader.take(FIELDS_BYTES)?);
        let offset = reader.u64()?;
        Self::decode_fields(file, offset, &mut fields)
    }

    fn encode_fields(&self, into: &mut Vec<u8>) {
        let meta = &self.meta;
        for number in [
            self.len_bytes,
            self.ordinal,
            meta.rows | u32::from(meta.tier) << TIER_SHIFT,
            meta.series.0,
            meta.database.0,
            meta.measurement.0,
        ] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        into.extend_from_slice(&meta.first_time.to_le_bytes());
        into.extend_from_slice(&meta.last_time.to_le_bytes());
        into.extend_from_slice(&meta.first_position.0.to_le_bytes());
        into.extend_from_slice(&meta.last_position.0.to_le_bytes());
        into.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn decode_fields(file: FileId, offset: u64, reader: &mut Reader<'_>) -> Option<Self> {
        let len_bytes = reader.u32()?;
        let ordinal = reader.u32()?;
        let rows = reader.u32()?;
        let meta = ChunkMeta {
            tier: (rows >> TIER_SHIFT) as u8,
            rows: rows & ((1 << TIER_SHIFT) - 1),
            series: SeriesId(reader.u32()?),
            database: DatabaseId(reader.u32()?),
            measurement: MeasurementId(reader.u32()?),
            first_time: reader.i64()?,
            last_time: reader.i64()?,
            first_position: Position(reader.u64()?),
            last_position: Position(reader.u64()?),
        };
        let entry = Self {
            meta,
            file,
            ordinal,
            offset,
            len_bytes,
            crc: reader.u32()?,
        };
        let sane = len_bytes as usize <= CHECKPOINT_RECORD_BYTES
            && meta.rows as usize <= ROWS_CLAIMED
            && meta.first_time <= meta.last_time
            && meta.first_position <= meta.last_position;
        sane.then_some(entry)
    }
}

/// Rows take the low bits of their number, the tier those above.
const TIER_SHIFT: u32 = 24;
/// Begins every chunk record.
pub(super) const RECORD_MAGIC: [u8; 4] = *b"CHNK";
/// Length, ordinal, rows, three ids, four positions and times, checksum.
const FIELDS_BYTES: usize = 6 * 4 + 4 * 8 + 4;
/// Magic, fields, checksum of the header.
pub(super) const RECORD_HEADER_BYTES: usize = RECORD_MAGIC.len() + FIELDS_BYTES + 4;
/// Fields and the offset.
pub(super) const INDEX_ENTRY_BYTES: usize = FIELDS_BYTES + 8;

const _: () = assert!(ROWS_CLAIMED < 1 << TIER_SHIFT);
const _: () = assert!(RECORD_HEADER_BYTES == 68);
const _: () = assert!(INDEX_ENTRY_BYTES == 68);
