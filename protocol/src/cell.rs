//! A cell: one value of one row in 64 bits plus one byte, as it travels from the parser to the codecs.
//!
//! A decimal keeps the mantissa and scale it was written with (`21.3` is 213 with scale 1), so that no
//! later stage has to search for them. Invariant: a float cell with `scale <= SCALE_MAX` satisfies
//! `|mantissa| <= MANTISSA_MAX`, so that `mantissa as f64 / 10^scale` is the correctly rounded double.
//!
//! | type | `bits` | `mark` |
//! | --- | --- | --- |
//! | float, decimal | mantissa, two's complement | scale, 0 to 22 |
//! | float, any other | IEEE 754 bits | [`MARK_RAW`] |
//! | integer | two's complement | 0 |
//! | unsigned | the value | 0 |
//! | boolean | 0 or 1 | 0 |
//! | string, binary | offset << 32 \| length in the heap that goes with the cells | 0 |
//! | no value | 0 | [`MARK_NULL`] |

/// Mark of a float cell that holds the IEEE 754 bits as they are.
pub const MARK_RAW: u8 = 255;
/// Mark of a cell without a value.
pub const MARK_NULL: u8 = 254;
/// Largest scale of a decimal cell: 10^22 is the largest power of ten that a double holds exactly.
pub const SCALE_MAX: u8 = 22;
/// Largest mantissa of a decimal cell, 2^53: every integer up to it is exact in a double.
pub const MANTISSA_MAX: i64 = 1 << 53;

/// Powers of ten that a double holds exactly.
pub const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The double of a float cell. A mark above [`SCALE_MAX`] means raw bits.
#[inline]
#[must_use]
pub fn float(bits: u64, mark: u8) -> f64 {
    match POWERS_OF_TEN.get(usize::from(mark)) {
        Some(power) => bits as i64 as f64 / power,
        None => f64::from_bits(bits),
    }
}

/// The cell of a reference into a heap of bytes.
#[inline]
#[must_use]
pub const fn heap(offset: u32, len: u32) -> u64 {
    (offset as u64) << 32 | len as u64
}

/// Offset and length of a heap reference.
#[inline]
#[must_use]
pub const fn heap_range(bits: u64) -> (u32, u32) {
    ((bits >> 32) as u32, bits as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_cell_is_the_correctly_rounded_double() {
        assert_eq!(float(213, 1), 21.3);
        assert_eq!(float((-5i64) as u64, 1), -0.5);
        assert_eq!(float(1, 22), 1e-22);
        assert_eq!(
            float((-0.0f64).to_bits(), MARK_RAW).to_bits(),
            (-0.0f64).to_bits()
        );
    }

    #[test]
    fn heap_references_round_trip() {
        assert_eq!(heap_range(heap(u32::MAX, 7)), (u32::MAX, 7));
    }
}
