//! The first page of a segment: which part of the log it holds, and what came before it.
//!
//! The layout stands in FORMAT.md. The header is written twice in its page, in different sectors, so
//! that one bad sector does not lose a segment. The checksum is not seeded: a segment of another
//! store is recognised as such.

use crate::limits::PAGE_BYTES;
use crate::types::{Epoch, Position, StoreId};

use super::frame::{u32_at, u64_at};

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store: StoreId,
    /// The number of its file.
    pub slot: u32,
    /// The generation of its content. The newest header of a store has the largest.
    pub epoch: Epoch,
    /// The position of its byte 0: byte `o` of the segment has the position `base + o`.
    pub base: Position,
    /// Bytes of the segment, this page included.
    pub size_bytes: u64,
    /// The epoch whose frames come before these; 0 for none.
    pub previous_epoch: Epoch,
    /// Where that epoch ended. What lies beyond in its segment is not part of the log.
    pub previous_end: Position,
    /// The position that was durable when this was written.
    pub durable: Position,
}

/// What the first page of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderPage {
    /// A header of this format, of any store.
    Valid(SegmentHeader),
    /// A whole header of another version of the format.
    OtherVersion(u32),
    /// No whole header: never used, torn, or damaged.
    None,
}

impl SegmentHeader {
    /// The position of the first frame.
    #[must_use]
    pub const fn first(&self) -> Position {
        Position(self.base.0 + PAGE_BYTES as u64)
    }

    /// The first position beyond the segment.
    #[must_use]
    pub const fn limit(&self) -> Position {
        Position(self.base.0 + self.size_bytes)
    }

    /// The page, as it is written.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut copy = [0_u8; COPY_BYTES];
        copy[MAGIC_AT..VERSION].copy_from_slice(MAGIC);
        copy[VERSION..SLOT].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy[SLOT..STORE].copy_from_slice(&self.slot.to_le_bytes());
        copy[STORE..EPOCH].copy_from_slice(&self.store.0.to_le_bytes());
        copy[EPOCH..BASE].copy_from_slice(&self.epoch.0.to_le_bytes());
        copy[BASE..SIZE].copy_from_slice(&self.base.0.to_le_bytes());
        copy[SIZE..PREVIOUS_EPOCH].copy_from_slice(&self.size_bytes.to_le_bytes());
        copy[PREVIOUS_EPOCH..PREVIOUS_END].copy_from_slice(&self.previous_epoch.0.to_le_bytes());
        copy[PREVIOUS_END..DURABLE].copy_from_slice(&self.previous_end.0.to_le_bytes());
        copy[DURABLE..CRC].copy_from_slice(&self.durable.0.to_le_bytes());
        let crc = crc32fast::hash(&copy[..CRC]);
        copy[CRC..].copy_from_slice(&crc.to_le_bytes());
        let mut page = [0_u8; PAGE_BYTES];
        for at in COPIES {
            page[at..at + COPY_BYTES].copy_from_slice(&copy);
        }
        page
    }

    /// Reads the first page. Of two whole copies the newer one counts: a torn write may leave one
    /// of the segment's earlier life.
    #[must_use]
    pub fn decode(page: &[u8]) -> HeaderPage {
        let mut found = HeaderPage::None;
        for at in COPIES {
            let copy = page.get(at..at + COPY_BYTES).map(Self::decode_copy);
            match (copy, found) {
                (Some(HeaderPage::Valid(new)), HeaderPage::Valid(old))
                    if new.epoch <= old.epoch => {}
                (Some(HeaderPage::Valid(new)), _) => found = HeaderPage::Valid(new),
                (Some(HeaderPage::OtherVersion(version)), HeaderPage::None) => {
                    found = HeaderPage::OtherVersion(version);
                }
                _ => {}
            }
        }
        found
    }

    fn decode_copy(copy: &[u8]) -> HeaderPage {
        Self::parse_copy(copy).unwrap_or(HeaderPage::None)
    }

    fn parse_copy(copy: &[u8]) -> Option<HeaderPage> {
        if copy.get(MAGIC_AT..VERSION)? != MAGIC
            || crc32fast::hash(&copy[..CRC]) != u32_at(copy, CRC)?
        {
            return None;
        }
        let version = u32_at(copy, VERSION)?;
        if version != FORMAT_VERSION {
            return Some(HeaderPage::OtherVersion(version));
        }
        let header = Self {
            store: StoreId(u64_at(copy, STORE)?),
            slot: u32_at(copy, SLOT)?,
            epoch: Epoch(u64_at(copy, EPOCH)?),
            base: Position(u64_at(copy, BASE)?),
            size_bytes: u64_at(copy, SIZE)?,
            previous_epoch: Epoch(u64_at(copy, PREVIOUS_EPOCH)?),
            previous_end: Position(u64_at(copy, PREVIOUS_END)?),
            durable: Position(u64_at(copy, DURABLE)?),
        };
        // Later sums of positions must not overflow, whatever the bytes say.
        let sane = header.base.0 < POSITION_LIMIT && header.size_bytes < POSITION_LIMIT;
        sane.then_some(HeaderPage::Valid(header))
    }
}

/// The file of a slot.
pub(super) fn slot_name(slot: u32) -> String {
    format!("{FOLDER}/{slot:04}{ENDING}")
}

/// The slot of a file's name within the folder.
pub(super) fn slot_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(ENDING)?;
    let plain = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}

/// The version of segments and frames.
pub const FORMAT_VERSION: u32 = 1;
/// The log's folder in a data directory.
pub const FOLDER: &str = "log";
const ENDING: &str = ".segment";
const POSITION_LIMIT: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"EDGETLOG";
/// Where the copies stand in the page.
const COPIES: [usize; 2] = [0, 2048];
const COPY_BYTES: usize = CRC + 4;

// Offsets in a copy.
const MAGIC_AT: usize = 0;
const VERSION: usize = 8;
const SLOT: usize = 12;
const STORE: usize = 16;
const EPOCH: usize = 24;
const BASE: usize = 32;
const SIZE: usize = 40;
const PREVIOUS_EPOCH: usize = 48;
const PREVIOUS_END: usize = 56;
const DURABLE: usize = 64;
const CRC: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(epoch: u64) -> SegmentHeader {
        SegmentHeader {
            store: StoreId(1),
            slot: 2,
            epoch: Epoch(epoch),
            base: Position(1 << 20),
            size_bytes: 1 << 16,
            previous_epoch: Epoch(epoch - 1),
            previous_end: Position((1 << 20) - 4096),
            durable: Position(5),
        }
    }

    #[test]
    fn a_header_survives_the_loss_of_either_copy() {
        let page = header(5).encode();
        assert_eq!(SegmentHeader::decode(&page), HeaderPage::Valid(header(5)));
        for bit in 0..page.len() * 8 {
            let mut damaged = page;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                SegmentHeader::decode(&damaged),
                HeaderPage::Valid(header(5)),
                "bit {bit}"
            );
        }
        let mut damaged = page;
        damaged[30] ^= 1;
        damaged[2048 + 30] ^= 1;
        assert_eq!(SegmentHeader::decode(&damaged), HeaderPage::None);
        assert_eq!(SegmentHeader::decode(&page[..70]), HeaderPage::None);
    }

    #[test]
    fn the_newer_of_two_copies_counts() {
        let mut page = header(9).encode();
        let old = header(5).encode();
        for range in [0..512, 2048..4096] {
            let new = page;
            page[range.clone()].copy_from_slice(&old[range]);
            assert_eq!(SegmentHeader::decode(&page), HeaderPage::Valid(header(9)));
            page = new;
        }
    }

    #[test]
    fn names_of_slots_go_both_ways() {
        let name = slot_name(17);
        assert_eq!(name, "log/0017.segment");
        assert_eq!(slot_of("0017.segment"), Some(17));
        for other in [
            "0017.segment.new",
            "17.segment",
            "abcd.segment",
            "+017.segment",
        ] {
            assert_eq!(slot_of(other), None, "{other}");
        }
    }
}
