//! One frame of the log: its bytes, and nothing of where they lie.
//!
//! The layout stands in FORMAT.md; the offsets below follow its order. Decoding takes untrusted
//! bytes: it returns `None` for whatever is not exactly a frame, and never reads outside the slice.

use crc32fast::Hasher;

use crate::limits::FRAME_BYTES;
use crate::mutants::{self, Mutant};
use crate::types::{Epoch, Position, StoreId};

/// What a frame holds. The numbers are for ever.
///
/// A type with the bit [`FrameType::SKIPPABLE`] may be passed over by a version that does not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum FrameType {
    /// Definitions of databases, measurements, columns and series; repeated on first use in each
    /// segment, unless a checkpoint has them.
    Definitions = 3,
    /// Accepted rows.
    Rows = 4,
    /// Rows that were refused, with their reasons.
    Rejects = 5,
    /// Rows that a statement deleted.
    Delete = 6,
    /// Rows that left by age or budget.
    Expire = 7,
    /// A policy: retention, rollups, limits.
    Policy = 8,
    /// A token was made or revoked.
    Token = 9,
    /// Where a producer stands.
    Producer = 10,
    /// A checkpoint was completed.
    Checkpoint = 0x80,
    /// The log was closed in order: everything before is durable.
    Seal = 0x81,
    /// Nothing: fills a page to its end.
    Pad = 0x82,
}

impl FrameType {
    /// The bit of types that an older version may pass over.
    pub const SKIPPABLE: u8 = 0x80;

    /// The number in the frame.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type of a number, if this version knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            3 => Self::Definitions,
            4 => Self::Rows,
            5 => Self::Rejects,
            6 => Self::Delete,
            7 => Self::Expire,
            8 => Self::Policy,
            9 => Self::Token,
            10 => Self::Producer,
            0x80 => Self::Checkpoint,
            0x81 => Self::Seal,
            0x82 => Self::Pad,
            _ => return None,
        })
    }
}

/// Whose batch a frame is a part of, for retries that count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerPart {
    /// The producer.
    pub producer: u64,
    /// Its batch.
    pub sequence: u64,
    /// This part, from 0.
    pub part: u16,
    /// Parts of the batch: recovery hands over all of them or none.
    pub parts: u16,
}

/// What a caller appends.
#[derive(Clone, Copy, Debug)]
pub struct FrameParts<'a> {
    /// What it holds.
    pub kind: FrameType,
    /// Whose it is, if that matters.
    pub producer: Option<ProducerPart>,
    /// At most [`FRAME_BYTES`]. With at least one byte a row, `position + ordinal of the row` is
    /// below the position of the next frame.
    pub payload: &'a [u8],
}

impl<'a> FrameParts<'a> {
    /// A frame that belongs to no producer.
    #[must_use]
    pub const fn new(kind: FrameType, payload: &'a [u8]) -> Self {
        Self {
            kind,
            producer: None,
            payload,
        }
    }
    /// Bytes of the frame in the log.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        let producer = if self.producer.is_some() {
            PRODUCER_BYTES
        } else {
            0
        };
        HEADER_BYTES + producer + self.payload.len()
    }
}

/// What the log adds to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Where it begins.
    pub position: Position,
    /// The position that was durable when it was written.
    pub durable: Position,
    /// It belongs to the same unit as the frame before it.
    pub continued: bool,
    /// The frame after it belongs to the same unit.
    pub continues: bool,
}

/// A decoded frame, its checksum verified.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The number of its type, which this version may not know.
    pub code: u8,
    /// What the log added.
    pub stamp: Stamp,
    /// Whose it is.
    pub producer: Option<ProducerPart>,
    /// What it holds.
    pub payload: &'a [u8],
    /// All its bytes.
    pub len_bytes: usize,
}

/// What checksums start from: frames of another store or epoch never validate.
#[derive(Clone, Debug)]
pub struct FrameSeal {
    epoch: Epoch,
    seeded: Hasher,
}

impl FrameSeal {
    /// The seal of one epoch of one store.
    #[must_use]
    pub fn new(store: StoreId, epoch: Epoch) -> Self {
        let mut seeded = Hasher::new();
        if !mutants::is(Mutant::UnseededFrames) {
            seeded.update(&store.0.to_le_bytes());
            seeded.update(&epoch.0.to_le_bytes());
        }
        Self { epoch, seeded }
    }

    /// Appends the bytes of a frame.
    pub fn encode(&self, parts: &FrameParts<'_>, stamp: Stamp, into: &mut Vec<u8>) {
        let start = into.len();
        let mut flags = 0;
        if parts.producer.is_some() {
            flags |= FLAG_PRODUCER;
        }
        if stamp.continued {
            flags |= FLAG_CONTINUED;
        }
        if stamp.continues {
            flags |= FLAG_CONTINUES;
        }
        let mut header = [0_u8; HEADER_BYTES];
        header[LENGTH..CRC].copy_from_slice(&(parts.len_bytes() as u32).to_le_bytes());
        header[KIND] = parts.kind.code();
        header[FLAGS] = flags;
        header[EPOCH..POSITION].copy_from_slice(&(self.epoch.0 as u32).to_le_bytes());
        header[POSITION..DURABLE].copy_from_slice(&stamp.position.0.to_le_bytes());
        header[DURABLE..HEADER_BYTES].copy_from_slice(&stamp.durable.0.to_le_bytes());
        into.extend_from_slice(&header);
        if let Some(producer) = parts.producer {
            into.extend_from_slice(&producer.producer.to_le_bytes());
            into.extend_from_slice(&producer.sequence.to_le_bytes());
            into.extend_from_slice(&producer.part.to_le_bytes());
            into.extend_from_slice(&producer.parts.to_le_bytes());
        }
        into.extend_from_slice(parts.payload);
        let crc = self.crc(&into[start..]);
        into[start + CRC..start + KIND].copy_from_slice(&crc.to_le_bytes());
    }

    /// Decodes the frame at the start of `bytes`, whose first byte lies at `position` in the log.
    /// `None`: there is no whole, unaltered frame of this store, epoch and position.
    #[must_use]
    pub fn decode<'a>(&self, bytes: &'a [u8], position: Position) -> Option<Frame<'a>> {
        // Cheap comparisons first: the search after damage asks at every byte.
        let is_here =
            u64_at(bytes, POSITION)? == position.0 && u32_at(bytes, EPOCH)? == self.epoch.0 as u32;
        if !is_here && !mutants::is(Mutant::UnseededFrames) {
            return None;
        }
        let durable = Position(u64_at(bytes, DURABLE)?);
        let len_bytes = u32_at(bytes, LENGTH)? as usize;
        if !(HEADER_BYTES..=LENGTH_MAX).contains(&len_bytes) || durable > position {
            return None;
        }
        let frame = bytes.get(..len_bytes)?;
        if self.crc(frame) != u32_at(frame, CRC)? {
            return None;
        }
        let flags = *frame.get(FLAGS)?;
        let mut payload = &frame[HEADER_BYTES..];
        let mut producer = None;
        if flags & FLAG_PRODUCER != 0 {
            producer = Some(ProducerPart {
                producer: u64_at(payload, 0)?,
                sequence: u64_at(payload, 8)?,
                part: u16_at(payload, 16)?,
                parts: u16_at(payload, 18)?,
            });
            payload = payload.get(PRODUCER_BYTES..)?;
        }
        Some(Frame {
            code: *frame.get(KIND)?,
            stamp: Stamp {
                position,
                durable,
                continued: flags & FLAG_CONTINUED != 0,
                continues: flags & FLAG_CONTINUES != 0,
            },
            producer,
            payload,
            len_bytes,
        })
    }

    /// What every frame of this epoch has at [`EPOCH`].
    pub(super) const fn epoch_mark(&self) -> [u8; 4] {
        (self.epoch.0 as u32).to_le_bytes()
    }

    /// Gives the whole frames in `bytes` another epoch and durable position, as they move to
    /// another segment. Their positions stay.
    pub(super) fn restamp(&self, bytes: &mut [u8], durable: Position) {
        let mut offset = 0;
        while offset < bytes.len() {
            let left = left_in_page(offset);
            if left < HEADER_BYTES {
                offset += left;
                continue;
            }
            let rest = &mut bytes[offset..];
            // A page's unused end between two groups: nothing but zeros.
            let len_bytes = u32_at(rest, LENGTH).map_or(0, |length| length as usize);
            let Some(frame) = rest.get_mut(..len_bytes).filter(|_| len_bytes > 0) else {
                return;
            };
            frame[EPOCH..POSITION].copy_from_slice(&(self.epoch.0 as u32).to_le_bytes());
            frame[DURABLE..HEADER_BYTES].copy_from_slice(&durable.0.to_le_bytes());
            let crc = self.crc(frame);
            frame[CRC..KIND].copy_from_slice(&crc.to_le_bytes());
            offset += len_bytes;
        }
    }

    fn crc(&self, frame: &[u8]) -> u32 {
        let mut hasher = self.seeded.clone();
        hasher.update(&frame[..CRC]);
        hasher.update(&frame[KIND..]);
        hasher.finalize()
    }
}

/// The low half of the epoch, if the bytes claim to be a frame at this place: `(epoch, position)`.
pub(super) fn claim(bytes: &[u8]) -> Option<(u32, Position)> {
    Some((u32_at(bytes, EPOCH)?, Position(u64_at(bytes, POSITION)?)))
}

/// Bytes from an offset to the end of its page.
pub(super) const fn left_in_page(offset: usize) -> usize {
    crate::limits::PAGE_BYTES - offset % crate::limits::PAGE_BYTES
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Bytes before the payload. A header never crosses the end of a page.
pub const HEADER_BYTES: usize = 32;
const PRODUCER_BYTES: usize = 20;
const LENGTH_MAX: usize = HEADER_BYTES + PRODUCER_BYTES + FRAME_BYTES;

// Offsets in the header.
pub(super) const LENGTH: usize = 0;
const CRC: usize = 4;
pub(super) const KIND: usize = 8;
pub(super) const FLAGS: usize = 9;
pub(super) const EPOCH: usize = 12;
const POSITION: usize = 16;
const DURABLE: usize = 24;

pub(super) const FLAG_PRODUCER: u8 = 1;
const FLAG_CONTINUED: u8 = 2;
const FLAG_CONTINUES: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        position: Position(70_000),
        durable: Position(65_536),
        continued: false,
        continues: true,
    };

    fn encoded() -> (FrameSeal, Vec<u8>) {
        let seal = FrameSeal::new(StoreId(7), Epoch(3));
        let mut bytes = Vec::new();
        let producer = Some(ProducerPart {
            producer: 9,
            sequence: 11,
            part: 1,
            parts: 2,
        });
        let parts = FrameParts {
            kind: FrameType::Rows,
            producer,
            payload: b"some rows",
        };
        seal.encode(&parts, STAMP, &mut bytes);
        assert_eq!(bytes.len(), parts.len_bytes());
        (seal, bytes)
    }

    #[test]
    fn a_frame_comes_back() {
        let (seal, bytes) = encoded();
        let frame = seal.decode(&bytes, STAMP.position).expect("valid");
        assert_eq!(frame.code, FrameType::Rows.code());
        assert_eq!(frame.stamp, STAMP);
        assert_eq!(frame.producer.expect("has one").sequence, 11);
        assert_eq!(frame.payload, b"some rows");
        assert_eq!(frame.len_bytes, bytes.len());
    }

    #[test]
    fn another_store_epoch_or_position_never_validates() {
        let (seal, bytes) = encoded();
        assert!(seal.decode(&bytes, Position(70_001)).is_none());
        for (store, epoch) in [(8, 3), (7, 4), (7, 3 + (1 << 32))] {
            let other = FrameSeal::new(StoreId(store), Epoch(epoch));
            assert!(other.decode(&bytes, STAMP.position).is_none());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let (seal, mut bytes) = encoded();
        for length in 0..bytes.len() {
            assert!(seal.decode(&bytes[..length], STAMP.position).is_none());
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.decode(&bytes, STAMP.position).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_restamped_frame_belongs_to_its_new_epoch() {
        let (seal, mut bytes) = encoded();
        let moved = FrameSeal::new(StoreId(7), Epoch(4));
        moved.restamp(&mut bytes, Position(69_000));
        assert!(seal.decode(&bytes, STAMP.position).is_none());
        let frame = moved.decode(&bytes, STAMP.position).expect("valid");
        assert_eq!(frame.payload, b"some rows");
        assert_eq!(frame.stamp.durable, Position(69_000));
    }

    #[test]
    fn numbers_of_types_go_both_ways() {
        for code in 0..=u8::MAX {
            if let Some(kind) = FrameType::from_code(code) {
                assert_eq!(kind.code(), code);
            }
        }
    }
}
