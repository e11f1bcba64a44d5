//! Frames in bytes that do not validate: what they were is guessed, to name what is lost.

use crate::limits::FRAME_BYTES;

use super::frame::{FLAG_PRODUCER, FLAGS, FrameType, HEADER_BYTES, KIND, LENGTH, u32_at};

/// Tells of everything in the bytes of a gap that looks like a frame by its length, type and zero field,
/// whatever its checksum says. Its payload may be cut or altered.
pub fn suspects(bytes: &[u8], visit: &mut dyn FnMut(FrameType, &[u8])) {
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        let len = u32_at(bytes, at + LENGTH).unwrap_or_default() as usize;
        let kind = FrameType::from_code(bytes[at + KIND]);
        let plain = bytes[at + FLAGS] & FLAG_PRODUCER == 0
            && bytes[at + FLAGS + 1..at + FLAGS + 3] == [0, 0];
        match kind {
            Some(kind) if plain && (HEADER_BYTES..=HEADER_BYTES + FRAME_BYTES).contains(&len) => {
                let end = (at + len).min(bytes.len());
                visit(kind, &bytes[at + HEADER_BYTES..end]);
                at = end;
            }
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{FrameParts, FrameSeal, Stamp};
    use crate::types::{Epoch, Position, StoreId};

    #[test]
    fn frames_are_found_in_bytes_whose_checksums_fail() {
        let seal = FrameSeal::new(StoreId(1), Epoch(1));
        let mut bytes = vec![0; 7];
        for payload in [&b"first"[..], b"second"] {
            let parts = FrameParts {
                kind: FrameType::Rows,
                producer: None,
                payload,
            };
            let stamp = Stamp {
                position: Position(bytes.len() as u64),
                durable: Position(0),
                continued: false,
                continues: false,
            };
            seal.encode(&parts, stamp, &mut bytes);
        }
        bytes[7 + 4] ^= 0xff;
        let last = bytes.len() - 2;
        let mut found = Vec::new();
        suspects(&bytes[..last], &mut |kind, payload| {
            assert_eq!(kind, FrameType::Rows);
            found.push(payload.to_vec());
        });
        assert_eq!(found, [b"first".to_vec(), b"seco".to_vec()]);
    }
}
