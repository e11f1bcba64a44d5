//! Any bytes as a manifest: an error, or a manifest that reads back as itself.
#![no_main]

use edgetimedb::blocks::Manifest;
use libfuzzer_sys::fuzz_target;

/// Where the checksum starts from: two empty identities.
const SEED: [u8; 12] = [0; 12];

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same with length and checksum mended, so that the content is looked at.
    if bytes.len() >= 20 {
        let mut mended = bytes.to_vec();
        mended[..8].copy_from_slice(b"EDGEMAN\n");
        mended[8..12].copy_from_slice(&1u32.to_le_bytes());
        let len = mended.len();
        mended[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        let crc = crc32(SEED.iter().chain(&mended[..len - 4]));
        mended[len - 4..].copy_from_slice(&crc.to_le_bytes());
        check(&mended);
    }
});

fn check(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
    }
}

/// CRC-32 (IEEE), bit by bit.
fn crc32<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}
