//! Decimals as integers: one scale for all values of a column.

use edgetime_protocol::cell::{MANTISSA_MAX, SCALE_MAX};

/// Brings decimal cells to their largest scale, in place, and returns it.
///
/// `None`, and the cells as they were, where one of them is no decimal or where a mantissa would leave
/// the integers that a double holds exactly.
pub(crate) fn rescale(bits: &mut [u64], marks: &[u8]) -> Option<u8> {
    let scale = marks.iter().copied().max()?;
    if scale > SCALE_MAX {
        return None;
    }
    let fits = bits.iter().zip(marks).all(|(&value, &mark)| {
        let limit = MANTISSA_MAX / INTEGER_POWERS[usize::from(scale - mark).min(16)];
        (value as i64).unsigned_abs() <= limit as u64 && (scale - mark <= 15 || value == 0)
    });
    if !fits {
        return None;
    }
    for (value, &mark) in bits.iter_mut().zip(marks) {
        *value = value.wrapping_mul(INTEGER_POWERS[usize::from(scale - mark).min(16)] as u64);
    }
    Some(scale)
}

/// Powers of ten up to the first one beyond [`MANTISSA_MAX`].
const INTEGER_POWERS: [i64; 17] = {
    let mut powers = [1; 17];
    let mut index = 1;
    while index < 17 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};
