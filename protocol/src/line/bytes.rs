//! Eight bytes at a time: classes of characters and the arithmetic of decimal digits in a word.
//!
//! Never reads outside a slice: every load is checked, the callers fall back to single bytes near the end.

/// Ends a measurement: `,`, space, control characters.
pub(crate) const MEASUREMENT: u8 = 1;
/// Ends a tag key or field key: `,`, `=`, space, control characters.
pub(crate) const KEY: u8 = 2;
/// Ends a tag value: `,`, `=`, space, `\r`, `\n`.
pub(crate) const TAG_VALUE: u8 = 4;
/// Ends an unquoted field value: `,`, space, `\r`, `\n`.
pub(crate) const FIELD_VALUE: u8 = 8;
/// Cannot stand in a comment: control characters.
pub(crate) const CONTROL: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte < 0x20 || byte == 0x7f {
            table[byte] = MEASUREMENT | KEY | CONTROL;
        }
        byte += 1;
    }
    table[b',' as usize] = MEASUREMENT | KEY | TAG_VALUE | FIELD_VALUE;
    table[b' ' as usize] = MEASUREMENT | KEY | TAG_VALUE | FIELD_VALUE;
    table[b'=' as usize] = KEY | TAG_VALUE;
    table[b'\r' as usize] |= TAG_VALUE | FIELD_VALUE;
    table[b'\n' as usize] |= TAG_VALUE | FIELD_VALUE;
    table
}

/// True where `byte` belongs to one of the classes in `mask`.
#[inline(always)]
pub(crate) fn is(byte: u8, mask: u8) -> bool {
    CLASSES[usize::from(byte)] & mask != 0
}

/// The eight bytes at `at`, first byte lowest; `None` near the end.
#[inline(always)]
pub(crate) fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<8>())
        .map(|chunk| u64::from_le_bytes(*chunk))
}

/// How many of the eight bytes, from the first on, are decimal digits.
#[inline(always)]
pub(crate) fn digits(word: u64) -> u32 {
    let values = word ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    others.trailing_zeros() / 8
}

/// The number that the first `count` bytes spell. `count` is 1 to 8, and all of them are digits.
#[inline(always)]
pub(crate) fn decimal(word: u64, count: u32) -> u64 {
    // Leading zeros are shifted in, so that there are always eight digits; pairs, then fours, then eight.
    let values = (word ^ 0x3030_3030_3030_3030) << (64 - 8 * count);
    let pairs = (values & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(2561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

/// Powers of ten of up to eight digits.
pub(crate) static TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// True where `bytes[at..]` begins with the bytes of `words`, of whose last only those in `mask` count.
/// False too where fewer bytes are left than the words have.
#[inline(always)]
pub(crate) fn begins_with(bytes: &[u8], at: usize, words: &[u64], mask: u64) -> bool {
    let Some(chunks) = bytes.get(at..).and_then(|rest| rest.get(..words.len() * 8)) else {
        return false;
    };
    let mut difference = 0;
    let mut last = 0;
    for (chunk, &word) in chunks.as_chunks::<8>().0.iter().zip(words) {
        difference |= last;
        last = u64::from_le_bytes(*chunk) ^ word;
    }
    difference | (last & mask) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_and_read() {
        for (text, count, value) in [
            (b"12345678", 8, 12_345_678),
            (b"1234567i", 7, 1_234_567),
            (b"0,a=1234", 1, 0),
            (b"99 \xff\xff\xff\xff\xff", 2, 99),
            (b"007:3333", 3, 7),
        ] {
            let word = load(text, 0).expect("eight bytes");
            assert_eq!(digits(word), count, "{text:?}");
            assert_eq!(decimal(word, count), value, "{text:?}");
        }
        assert_eq!(digits(load(b"/0000000", 0).expect("eight bytes")), 0);
        assert_eq!(digits(load(b"\xb00000000", 0).expect("eight bytes")), 0);
    }

    #[test]
    fn comparison_looks_at_the_bytes_of_the_key_only() {
        let words = [
            u64::from_le_bytes(*b"usage_us"),
            u64::from_le_bytes(*b"er=\0\0\0\0\0"),
        ];
        let mask = 0xff_ffff;
        assert!(begins_with(b"xusage_user=5    ", 1, &words, mask));
        assert!(!begins_with(b"xusage_user=5   ", 1, &words, mask));
        assert!(!begins_with(b"xusage_uxer=5        ", 1, &words, mask));
        assert!(!begins_with(b"xusage_useR=5        ", 1, &words, mask));
    }
}
