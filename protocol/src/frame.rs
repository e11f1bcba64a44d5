//! Binary frames: a header of 16 bytes, then the payload. Little-endian throughout.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | length of the payload |
//! | 4 | 1 | type, see `message` |
//! | 5 | 1 | flags, 0 |
//! | 6 | 2 | version of the frame layout, 0 |
//! | 8 | 4 | request number |
//! | 12 | 4 | CRC-32 (IEEE) over the bytes 0 to 11 and the payload |
//!
//! Never looks into a payload. Invariant: a frame is complete and its checksum right before anyone sees it;
//! an incomplete frame costs nothing to look at again.

use alloc::vec::Vec;

/// First byte of a binary connection, before the first frame of the client. It occurs nowhere in UTF-8, so
/// no line can begin with it.
pub const MAGIC: u8 = 0xFE;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;
/// Largest payload.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Version of the layout of the header.
const LAYOUT_VERSION: u16 = 0;

/// One frame, borrowed from the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type of the message in it.
    pub kind: u8,
    /// The request it belongs to; 0 where it belongs to the connection.
    pub request: u32,
    /// The message.
    pub payload: &'a [u8],
}

/// Bytes that are no frame. Nothing behind them can be trusted: the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload is larger than the limit.
    #[error("frame of {0} bytes, more than the limit")]
    TooLarge(u32),
    /// Flags or a layout version that this implementation does not know.
    #[error("frame with flags {flags} and layout version {version}")]
    Unknown {
        /// The flags.
        flags: u8,
        /// The version.
        version: u16,
    },
    /// The checksum is wrong.
    #[error("checksum of a frame is wrong")]
    Checksum,
}

impl<'a> Frame<'a> {
    /// The frame at the start of `buffer` and its length there; `None` while it is incomplete.
    pub fn decode(
        buffer: &'a [u8],
        payload_bytes_max: usize,
    ) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [
            l0,
            l1,
            l2,
            l3,
            kind,
            flags,
            v0,
            v1,
            r0,
            r1,
            r2,
            r3,
            c0,
            c1,
            c2,
            c3,
        ] = *header;
        let version = u16::from_le_bytes([v0, v1]);
        if flags != 0 || version != LAYOUT_VERSION {
            return Err(FrameError::Unknown { flags, version });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length as usize > payload_bytes_max {
            return Err(FrameError::TooLarge(length));
        }
        let Some(payload) = rest.get(..length as usize) else {
            return Ok(None);
        };
        if checksum(&header[..12], payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(FrameError::Checksum);
        }
        let request = u32::from_le_bytes([r0, r1, r2, r3]);
        let frame = Self {
            kind,
            request,
            payload,
        };
        Ok(Some((frame, HEADER_BYTES + length as usize)))
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let payload = self.payload;
        encode_with(out, self.kind, self.request, |out| {
            out.extend_from_slice(payload);
        })
    }
}

/// Appends a frame whose payload `write` appends. Too large a payload is taken back.
pub fn encode_with(
    out: &mut Vec<u8>,
    kind: u8,
    request: u32,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let length = out.len() - start - HEADER_BYTES;
    if length > PAYLOAD_BYTES_MAX {
        out.truncate(start);
        return Err(FrameError::TooLarge(
            u32::try_from(length).unwrap_or(u32::MAX),
        ));
    }
    let (header, payload) = out[start..].split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&(length as u32).to_le_bytes());
    header[4] = kind;
    header[6..8].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
    header[8..12].copy_from_slice(&request.to_le_bytes());
    let crc = checksum(&header[..12], payload);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(payload);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn frames_round_trip_and_wait_for_their_end() {
        let frame = Frame {
            kind: 7,
            request: 9,
            payload: b"payload",
        };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).expect("small");
        for end in 0..bytes.len() {
            assert_eq!(Frame::decode(&bytes[..end], 100), Ok(None));
        }
        bytes.push(1);
        assert_eq!(
            Frame::decode(&bytes, 100),
            Ok(Some((frame, bytes.len() - 1)))
        );
        assert_eq!(Frame::decode(&bytes, 6), Err(FrameError::TooLarge(7)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        Frame {
            kind: 7,
            request: 9,
            payload: b"xyz",
        }
        .encode(&mut bytes)
        .expect("small");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(Frame::decode(&bad, 1 << 20), Ok(Some(_))),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn too_large_a_payload_leaves_no_trace() {
        let mut out = vec![1, 2];
        let result = encode_with(&mut out, 1, 0, |out| {
            out.resize(out.len() + PAYLOAD_BYTES_MAX + 1, 0);
        });
        assert_eq!(
            result,
            Err(FrameError::TooLarge(PAYLOAD_BYTES_MAX as u32 + 1))
        );
        assert_eq!(out, [1, 2]);
    }
}
