//! Sets of rows: truth values, and which rows have a value. A bitmap, or runs where they are smaller.
//!
//! A bitmap is one bit a row, least significant first. Runs are varints, each the length of a run less one;
//! the first run's bit stands in the head, and each run has the opposite bit of the one before.

use super::bytes::{Reader, put_varint};
use super::error::CodecError;

const HEAD_RUNS: u8 = 1;
const HEAD_FIRST: u8 = 2;

/// Appends the flags.
pub(crate) fn encode(flags: impl Iterator<Item = bool> + Clone, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rows = 0usize;
    let mut run = None;
    out.push(HEAD_RUNS);
    for flag in flags.clone() {
        rows += 1;
        run = match run {
            Some((bit, len)) if bit == flag => Some((bit, len + 1)),
            Some((_, len)) => {
                put_varint(out, len - 1);
                Some((flag, 1u64))
            }
            None => {
                out[start] |= if flag { HEAD_FIRST } else { 0 };
                Some((flag, 1))
            }
        };
        if (out.len() - start) * 8 > rows + 256 && rows >= 256 {
            // So far from runs that they will not win.
            break;
        }
    }
    if let Some((_, len)) = run {
        put_varint(out, len - 1);
    }
    let total = flags.clone().count();
    if rows == total && out.len() - start <= 1 + total.div_ceil(8) {
        return;
    }
    out.truncate(start);
    out.push(0);
    super::bits::pack(flags.map(u64::from), 1, out);
}

/// Reads `rows` flags.
pub(crate) fn decode(reader: &mut Reader<'_>, rows: usize) -> Result<Vec<bool>, CodecError> {
    let head = reader.byte()?;
    if head & !(HEAD_RUNS | HEAD_FIRST) != 0 {
        return Err(reader.invalid("kind of flags"));
    }
    if head & HEAD_RUNS == 0 {
        let bytes = reader.take(rows.div_ceil(8))?;
        return Ok((0..rows)
            .map(|row| bytes[row / 8] >> (row % 8) & 1 == 1)
            .collect());
    }
    let mut flags = Vec::new();
    let mut flag = head & HEAD_FIRST != 0;
    while flags.len() < rows {
        let len = reader.bounded("length of a run", rows - flags.len() - 1)? + 1;
        flags.resize(flags.len() + len, flag);
        flag = !flag;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn flags_come_back(flags in prop::collection::vec(any::<bool>(), 1..400), repeat in 1usize..50) {
            let flags: Vec<bool> = flags.iter().flat_map(|&flag| std::iter::repeat_n(flag, repeat)).collect();
            let mut bytes = Vec::new();
            encode(flags.iter().copied(), &mut bytes);
            prop_assert!(bytes.len() <= 1 + flags.len().div_ceil(8));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(decode(&mut reader, flags.len()), Ok(flags));
            prop_assert_eq!(reader.offset(), bytes.len());
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..50), rows in 0usize..500) {
            let _ = decode(&mut Reader::new(&bytes), rows);
        }
    }
}
