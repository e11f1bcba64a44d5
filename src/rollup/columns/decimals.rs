//! Doubles of buckets as decimals. Where what a bucket has of a lane are decimals, so are their sum and the sum of the squares of
//! their distances, but for what the arithmetic of doubles made of them: the decimal that is next to one is the better
//! answer, and takes a fraction of the bytes.

use edgetime_protocol::cell::{MANTISSA_MAX, MARK_NULL, POWERS_OF_TEN};

use crate::codec::CellColumn;
use crate::codec::decimal::mantissa;

/// Largest scale of values that is looked for. Squares have twice that.
const SCALE_MAX: u8 = 6;
/// One of so many sums may be no decimal, and is kept as it is.
const STRANGERS: usize = 32;
/// How far from a decimal the sum of squares may be, as a part of it: about what it takes from the rounding of values that
/// are a few hundred times their distances. A standard deviation moves by half of that.
const SQUARES_NEAR: f64 = 1e-13;

/// Puts all values of some columns as decimals of one scale, if that is what they are; which.
pub(super) fn put(columns: &mut [CellColumn]) -> Option<u8> {
    let mut scale = 0;
    for value in columns.iter().flat_map(values) {
        while mantissa(value, scale).is_none() {
            scale += 1;
            if scale > SCALE_MAX {
                return None;
            }
        }
    }
    let all = columns.iter().map(|column| {
        let cells = column.bits.iter().zip(&column.marks);
        let integer = |(&bits, &mark): (&u64, &u8)| match mark {
            MARK_NULL => Some(bits),
            _ => mantissa(f64::from_bits(bits), scale).map(|integer| integer as u64),
        };
        cells.map(integer).collect()
    });
    let all: Vec<Vec<u64>> = all.collect::<Option<_>>()?;
    for (column, bits) in columns.iter_mut().zip(all) {
        mark_all(column, scale);
        column.bits = bits;
    }
    Some(scale)
}

/// Puts sums of decimals of this scale as the decimals next to them, where these are not more than one rounding away.
pub(super) fn put_sums(column: &mut CellColumn, scale: u8) {
    snap(column, scale, |sum| {
        let magnitude = sum.abs();
        magnitude.next_up() - magnitude
    });
}

/// Likewise sums of squares.
pub(super) fn put_squares(column: &mut CellColumn, scale: u8) {
    snap(column, scale * 2, |squares| squares * SQUARES_NEAR);
}

fn snap(column: &mut CellColumn, scale: u8, near: impl Fn(f64) -> f64) {
    let power = POWERS_OF_TEN[usize::from(scale)];
    let integer = |value: f64| {
        let integer = (value * power).round();
        let decimal = integer / power;
        let is_near =
            integer.abs() <= MANTISSA_MAX as f64 && (decimal - value).abs() <= near(value);
        is_near.then(|| mantissa(decimal, scale)).flatten()
    };
    let found: Vec<Option<i64>> = values(column).map(integer).collect();
    let strangers = found.iter().filter(|found| found.is_none()).count();
    if strangers * STRANGERS > found.len() {
        return;
    }
    let cells = column.bits.iter_mut().zip(&column.marks);
    let cells = cells.filter(|(_, mark)| **mark != MARK_NULL);
    for ((bits, _), found) in cells.zip(found) {
        match found {
            Some(integer) if strangers == 0 => *bits = integer as u64,
            Some(integer) => *bits = (integer as f64 / power).to_bits(),
            None => {}
        }
    }
    if strangers == 0 {
        mark_all(column, scale);
    }
}

fn mark_all(column: &mut CellColumn, scale: u8) {
    for mark in column.marks.iter_mut().filter(|mark| **mark != MARK_NULL) {
        *mark = scale;
    }
}

/// The doubles of a column.
fn values(column: &CellColumn) -> impl Iterator<Item = f64> {
    let cells = column.bits.iter().zip(&column.marks);
    let cells = cells.filter(|(_, mark)| **mark != MARK_NULL);
    cells.map(|(&bits, _)| f64::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use edgetime_protocol::cell::{MARK_RAW, float};

    use super::*;
    use crate::types::{ColumnId, FieldType};

    fn column(values: &[Option<f64>]) -> CellColumn {
        let mut column = CellColumn::nulls(ColumnId(1), FieldType::Float, 0);
        for value in values {
            match value {
                Some(value) => column.push(value.to_bits(), MARK_RAW),
                None => column.pad(column.bits.len() + 1),
            }
        }
        column
    }

    fn read(column: &CellColumn) -> Vec<Option<f64>> {
        let cells = column.bits.iter().zip(&column.marks);
        let cell = |(&bits, &mark)| (mark != MARK_NULL).then(|| float(bits, mark));
        cells.map(cell).collect()
    }

    #[test]
    fn values_are_put_as_decimals_only_where_all_of_them_are() {
        let decimals = [Some(20.5), None, Some(-0.125), Some(7.0)];
        let mut columns = [column(&decimals), column(&[Some(3.25); 4])];
        assert_eq!(put(&mut columns), Some(3));
        assert_eq!(columns[0].marks, [3, MARK_NULL, 3, 3]);
        assert_eq!(
            columns.each_ref().map(read),
            [decimals.to_vec(), vec![Some(3.25); 4]]
        );
        for stranger in [f64::NAN, -0.0, f64::INFINITY, 1.0 / 3.0, 1e-7, 1e16] {
            let mut columns = [column(&decimals), column(&[Some(0.125), Some(stranger)])];
            let before = columns.clone();
            assert_eq!(put(&mut columns), None, "{stranger}");
            assert_eq!(columns, before, "{stranger}");
        }
    }

    #[test]
    fn sums_move_to_the_decimal_next_to_them_and_no_farther() {
        let sum = 0.1 + 0.2;
        assert_ne!(sum, 0.3);
        let mut sums = column(&[Some(sum), None, Some(-4.5)]);
        put_sums(&mut sums, 1);
        assert_eq!(read(&sums), [Some(0.3), None, Some(-4.5)]);
        assert_eq!(sums.marks, [1, MARK_NULL, 1]);
        // Two roundings away.
        let far = 0.3f64.next_up().next_up();
        for stranger in [far, f64::NAN, f64::INFINITY, -0.0, 1e16, 1e300] {
            let before = column(&[Some(sum), Some(stranger)]);
            let mut sums = before.clone();
            put_sums(&mut sums, 1);
            assert_eq!(sums, before, "{stranger}");
            // Among many it stays what it is.
            let mut many = vec![Some(sum); 40];
            many[7] = Some(stranger);
            let mut sums = column(&many);
            put_sums(&mut sums, 1);
            let read = read(&sums);
            assert_eq!(read[7].map(f64::to_bits), Some(stranger.to_bits()));
            assert_eq!((read[6], read[8]), (Some(0.3), Some(0.3)));
        }
    }

    #[test]
    fn squares_move_by_what_the_rounding_of_values_makes_of_them() {
        let values = [21.37, 21.41, 21.36, 21.33_f64];
        let squares: f64 = values.iter().map(|value| (value - values[0]).powi(2)).sum();
        assert_ne!(squares, 0.0033);
        let mut column = column(&[Some(squares), Some(0.0)]);
        put_squares(&mut column, 2);
        assert_eq!(read(&column), [Some(0.0033), Some(0.0)]);
        let before = self::column(&[Some(0.0033 * (1.0 + 2e-13))]);
        let mut far = before.clone();
        put_squares(&mut far, 2);
        assert_eq!(far, before);
    }
}
