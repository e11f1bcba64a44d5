//! What can be wrong with bytes that claim to be compressed columns.

/// Why bytes could not be decoded. Offsets count from the start of the slice that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside of something.
    #[error("truncated at byte {offset}")]
    Truncated {
        /// Where more bytes were needed.
        offset: usize,
    },
    /// A version of the format that this code does not know.
    #[error("unknown chunk version {found}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// The checksum does not match: the bytes are damaged.
    #[error("checksum mismatch: stored {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// CRC-32 in the header.
        stored: u32,
        /// CRC-32 of the bytes.
        computed: u32,
    },
    /// A count or a length beyond its bound.
    #[error("{what} of {found} at byte {offset} is beyond its limit")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// Behind the number.
        offset: usize,
        /// The number.
        found: u64,
    },
    /// Something that no encoder writes.
    #[error("invalid {what} at byte {offset}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Where, as near as is known.
        offset: usize,
    },
}
