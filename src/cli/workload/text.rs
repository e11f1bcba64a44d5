//! Numbers as text, appended to a buffer: faster than the standard formatter, because the forms are few.

use std::io::Write as _;

/// Appends an integer.
#[inline]
pub fn push_integer(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_unsigned(out, number.unsigned_abs());
}

/// Appends an unsigned integer, two digits at a time, from the last.
#[inline]
pub fn push_unsigned(out: &mut Vec<u8>, mut number: u64) {
    if number < 100 {
        return push_below_hundred(out, number as usize);
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    while number >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[number as usize]);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends hundredths as a decimal with two places: 2130 is `21.30`.
#[inline]
pub fn push_hundredths(out: &mut Vec<u8>, hundredths: i64) {
    if hundredths < 0 {
        out.push(b'-');
    }
    let hundredths = hundredths.unsigned_abs();
    push_unsigned(out, hundredths / 100);
    out.push(b'.');
    out.extend_from_slice(&PAIRS[(hundredths % 100) as usize]);
}

/// Appends a double with the fewest digits that read back as the same double.
#[inline]
pub fn push_double(out: &mut Vec<u8>, number: f64) {
    write!(out, "{number}").expect("a vector takes every byte");
}

#[inline]
fn push_below_hundred(out: &mut Vec<u8>, number: usize) {
    let pair = PAIRS[number];
    if number < 10 {
        out.push(pair[1]);
    } else {
        out.extend_from_slice(&pair);
    }
}

/// Digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("digits are text")
    }

    #[test]
    fn integers_are_those_of_the_standard_formatter() {
        let mut number = 1_u64;
        for _ in 0..64 {
            for near in [number - 1, number, number + 1] {
                assert_eq!(text(|out| push_unsigned(out, near)), near.to_string());
            }
            number = number.wrapping_mul(2).max(2);
        }
        for number in [0, 9, 10, 99, 100, 101, 999, 1_000, u64::MAX] {
            assert_eq!(text(|out| push_unsigned(out, number)), number.to_string());
        }
        for number in [i64::MIN, -100, -1, 0, 1, i64::MAX] {
            assert_eq!(text(|out| push_integer(out, number)), number.to_string());
        }
    }

    #[test]
    fn hundredths_keep_two_places() {
        for (hundredths, expected) in [
            (0, "0.00"),
            (5, "0.05"),
            (2_130, "21.30"),
            (10_000, "100.00"),
            (-5, "-0.05"),
            (-2_134, "-21.34"),
        ] {
            assert_eq!(text(|out| push_hundredths(out, hundredths)), expected);
        }
    }

    #[test]
    fn doubles_read_back() {
        for number in [0.1, -3.0, 58.370_183_749_281_734, 100.0] {
            let written = text(|out| push_double(out, number));
            assert_eq!(written.parse(), Ok(number), "{written}");
        }
    }
}
