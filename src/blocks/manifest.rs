//! The manifest: which files make up the store, and from where the log has to be replayed. Layout: FORMAT.md.
//!
//! Pure encoding: bytes in, manifest out. A manifest is valid as a whole or not at all.

use super::bytes::{Reader, Seed};
use super::chunk::FileId;
use crate::limits::{BLOCK_FILE_CHUNKS, BLOCK_FILES, MANIFEST_COUNTERS};
use crate::mutants::{self, Mutant};
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId, StoreId, Timestamp};

/// The two files, written alternately.
pub const MANIFEST_NAMES: [&str; 2] = ["MANIFEST-A", "MANIFEST-B"];

/// What the engine tells a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitInfo {
    /// The log has to be replayed from here; everything before is in the files.
    pub replay_from: Position,
    /// The log was durable up to here.
    pub durable: Position,
    /// The newest wall time that was seen, nanoseconds.
    pub newest_wall: Timestamp,
    /// The highest database id ever handed out.
    pub highest_database: DatabaseId,
    /// The highest measurement id ever handed out.
    pub highest_measurement: MeasurementId,
    /// The highest series id ever handed out.
    pub highest_series: SeriesId,
    /// Counters by key: opaque here. At most [`MANIFEST_COUNTERS`].
    pub counters: Vec<(u64, u64)>,
}

/// A block file as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// The file.
    pub id: FileId,
    /// Its bytes.
    pub size_bytes: u64,
    /// Checksum of its trailer; 0 where the trailer is damaged.
    pub footer_crc: u32,
    /// Its chunks, dead ones included.
    pub chunks: u32,
    /// The numbers of its dead chunks, ascending.
    pub dead: Vec<u32>,
}

/// A state or image file as the manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRecords {
    /// Its number.
    pub number: u32,
    /// Bytes that are valid.
    pub len_bytes: u64,
}

/// One version of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The store.
    pub store: StoreId,
    /// Counts commits; the higher of two valid manifests is the store.
    pub sequence: u64,
    /// What the engine told.
    pub info: CommitInfo,
    /// The id the next block file gets.
    pub next_file: FileId,
    /// The number the next state or image file gets.
    pub next_number: u32,
    /// The state file.
    pub state: Option<ManifestRecords>,
    /// The image file.
    pub image: Option<ManifestRecords>,
    /// The block files, by ascending id.
    pub files: Vec<ManifestFile>,
}

/// Why bytes are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Nothing there.
    #[error("empty")]
    Empty,
    /// Not a manifest's beginning.
    #[error("no manifest header")]
    Magic,
    /// Fewer bytes than the header claims.
    #[error("torn: {found} of {expected} bytes")]
    Torn {
        /// Bytes there are.
        found: u64,
        /// Bytes the header claims.
        expected: u64,
    },
    /// The checksum does not match.
    #[error("checksum")]
    Checksum,
    /// The content contradicts itself.
    #[error("content")]
    Content,
    /// A valid manifest of a later version.
    #[error("format version {found} is newer than this program's {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
}

impl Manifest {
    /// The manifest's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + self.files.len() * FILE_BYTES);
        out.extend_from_slice(&MAGIC);
        put32(&mut out, VERSION);
        put32(&mut out, 0); // the length, known at the end
        put64(&mut out, self.store.0);
        put64(&mut out, self.sequence);
        put64(&mut out, self.info.replay_from.0);
        put64(&mut out, self.info.durable.0);
        put64(&mut out, self.info.newest_wall as u64);
        put32(&mut out, self.info.highest_database.0);
        put32(&mut out, self.info.highest_measurement.0);
        put32(&mut out, self.info.highest_series.0);
        put32(&mut out, self.next_file.0);
        put32(&mut out, self.next_number);
        for records in [self.state, self.image] {
            put32(&mut out, records.map_or(0, |records| records.number));
            put64(&mut out, records.map_or(0, |records| records.len_bytes));
        }
        put32(&mut out, self.files.len() as u32);
        put32(&mut out, self.info.counters.len() as u32);
        for file in &self.files {
            put32(&mut out, file.id.0);
            put64(&mut out, file.size_bytes);
            put32(&mut out, file.footer_crc);
            put32(&mut out, file.chunks);
            let bitmap = bitmap_of(&file.dead);
            put32(&mut out, bitmap.len() as u32);
            out.extend_from_slice(&bitmap);
        }
        for (key, value) in &self.info.counters {
            put64(&mut out, *key);
            put64(&mut out, *value);
        }
        let len = (out.len() + CRC_BYTES) as u32;
        out[LEN_OFFSET..LEN_OFFSET + 4].copy_from_slice(&len.to_le_bytes());
        let crc = checksum(&out);
        put32(&mut out, crc);
        out
    }

    /// Reads a manifest from the front of a file's bytes; what follows it is left over from a longer one.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.is_empty() {
            return Err(ManifestError::Empty);
        }
        let mut reader = Reader::new(bytes);
        let (Some(magic), Some(version), Some(len)) =
            (reader.take(MAGIC.len()), reader.u32(), reader.u32())
        else {
            return Err(ManifestError::Magic);
        };
        if magic != MAGIC {
            return Err(ManifestError::Magic);
        }
        let body = bytes
            .get(..len as usize)
            .and_then(|bytes| bytes.split_last_chunk::<CRC_BYTES>())
            .ok_or(ManifestError::Torn {
                found: bytes.len() as u64,
                expected: u64::from(len),
            })?;
        let (body, crc) = (body.0, u32::from_le_bytes(*body.1));
        if checksum(body) != crc && !mutants::is(Mutant::UncheckedManifest) {
            return Err(ManifestError::Checksum);
        }
        if version > VERSION {
            return Err(ManifestError::Newer { found: version });
        }
        let mut fields = Reader::new(body.get(PREFIX_BYTES..).ok_or(ManifestError::Content)?);
        let manifest = Self::decode_fields(&mut fields).ok_or(ManifestError::Content)?;
        if fields.remaining() > 0 {
            return Err(ManifestError::Content);
        }
        Ok(manifest)
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let store = StoreId(reader.u64()?);
        let sequence = reader.u64()?;
        let mut info = CommitInfo {
            replay_from: Position(reader.u64()?),
            durable: Position(reader.u64()?),
            newest_wall: reader.i64()?,
            highest_database: DatabaseId(reader.u32()?),
            highest_measurement: MeasurementId(reader.u32()?),
            highest_series: SeriesId(reader.u32()?),
            counters: Vec::new(),
        };
        let next_file = FileId(reader.u32()?);
        let next_number = reader.u32()?;
        let present = |records: &ManifestRecords| records.number > 0;
        let state = Some(decode_records(reader)?).filter(present);
        let image = Some(decode_records(reader)?).filter(present);
        let files_count = reader.u32()? as usize;
        let counters = reader.u32()? as usize;
        let least = files_count.checked_mul(FILE_BYTES)? + counters.checked_mul(COUNTER_BYTES)?;
        if files_count > BLOCK_FILES || counters > MANIFEST_COUNTERS || least > reader.remaining() {
            return None;
        }
        let mut files: Vec<ManifestFile> = Vec::with_capacity(files_count);
        for _ in 0..files_count {
            let file = decode_file(reader)?;
            if file.id >= next_file || files.last().is_some_and(|last| last.id >= file.id) {
                return None;
            }
            files.push(file);
        }
        for _ in 0..counters {
            info.counters.push((reader.u64()?, reader.u64()?));
        }
        Some(Self {
            store,
            sequence,
            info,
            next_file,
            next_number,
            state,
            image,
            files,
        })
    }
}

/// A number of 0 stands for no file.
fn decode_records(reader: &mut Reader<'_>) -> Option<ManifestRecords> {
    let number = reader.u32()?;
    let len_bytes = reader.u64()?;
    Some(ManifestRecords { number, len_bytes })
}

fn decode_file(reader: &mut Reader<'_>) -> Option<ManifestFile> {
    let id = FileId(reader.u32()?);
    let size_bytes = reader.u64()?;
    let footer_crc = reader.u32()?;
    let chunks = reader.u32()?;
    let bitmap_len = reader.u32()? as usize;
    let bitmap = reader.take(bitmap_len)?;
    if chunks as usize > BLOCK_FILE_CHUNKS || bitmap_len > (chunks as usize).div_ceil(8) {
        return None;
    }
    let mut dead = Vec::new();
    for (at, byte) in bitmap.iter().enumerate() {
        let bits = (0..8).filter(|bit| byte >> bit & 1 == 1);
        dead.extend(bits.map(|bit| at as u32 * 8 + bit));
    }
    (id.0 > 0 && dead.last().is_none_or(|last| *last < chunks)).then_some(ManifestFile {
        id,
        size_bytes,
        footer_crc,
        chunks,
        dead,
    })
}

/// One bit a chunk, up to the last dead one.
fn bitmap_of(dead: &[u32]) -> Vec<u8> {
    let len = dead.iter().max().map_or(0, |last| *last as usize / 8 + 1);
    let mut bitmap = vec![0; len];
    for ordinal in dead {
        bitmap[*ordinal as usize / 8] |= 1 << (ordinal % 8);
    }
    bitmap
}

fn checksum(body: &[u8]) -> u32 {
    Seed::new(0, 0).crc(&[body])
}

fn put32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Begins a manifest.
const MAGIC: [u8; 8] = *b"EDGEMAN\n";
/// The format written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
/// Where the length stands: behind magic and version.
const LEN_OFFSET: usize = MAGIC.len() + 4;
/// Magic, version, length.
const PREFIX_BYTES: usize = LEN_OFFSET + 4;
/// All that is there once, without the checksum.
const FIXED_BYTES: usize = PREFIX_BYTES + 5 * 8 + 5 * 4 + 2 * 12 + 2 * 4;
/// One file without its bitmap.
const FILE_BYTES: usize = 4 + 8 + 4 + 4 + 4;
/// Key and value.
const COUNTER_BYTES: usize = 16;
/// The checksum at the end.
const CRC_BYTES: usize = 4;
