//! Binary frames.

/// First byte of a binary connection. It occurs nowhere in UTF-8, so no line can begin with it.
pub const MAGIC: u8 = 0xFE;
