//! What a bucket knows of one lane of a field.
//!
//! `first` and `last` have their times, so that partials of the same bucket merge: late rows behind the raw, other
//! series. Squares are those of the distances from the first value, not of the values: they stay exact where a
//! large mean would swallow a small spread, and they are small numbers where values are.

use std::ops::Range;

use super::sum::FloatSum;
use crate::codec::vector::{ColumnVector, Values};
use crate::types::Timestamp;

/// A value and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge<T> {
    /// Nanoseconds.
    pub time: Timestamp,
    /// The value.
    pub value: T,
}

/// Least and greatest, first and last of at least one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds<T> {
    /// The least; of doubles, NaN where there is nothing else.
    pub min: T,
    /// The greatest; of doubles, NaN where there is nothing else.
    pub max: T,
    /// The earliest.
    pub first: Edge<T>,
    /// The latest.
    pub last: Edge<T>,
}

/// Numbers: `S` is what their sum needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers<T, S> {
    /// What lies between what.
    pub bounds: Bounds<T>,
    /// Their sum.
    pub sum: S,
    /// The sum of the squares of their distances from the first.
    pub squares: FloatSum,
}

/// The values of a lane, by its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Lane {
    /// Doubles; their sum is at most one rounding away from the sum of all of them.
    Float(Numbers<f64, FloatSum>),
    /// Signed integers; their sum is exact.
    Integer(Numbers<i64, i128>),
    /// Unsigned integers; their sum is exact.
    Unsigned(Numbers<u64, i128>),
    /// Truth values, and how many are true.
    Boolean(Bounds<bool>, u64),
    /// Texts.
    String(Bounds<Box<[u8]>>),
    /// Bytes.
    Binary(Bounds<Box<[u8]>>),
}

/// What a bucket knows of a lane that has a value in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// Rows that have a value, at least 1.
    pub count: u64,
    /// Of their values.
    pub lane: Lane,
}

impl Partial {
    /// Of some rows of a column, in the order of their times; none where none of them has a value.
    #[must_use]
    pub fn of(vector: &ColumnVector, times: &[Timestamp], rows: Range<usize>) -> Option<Self> {
        let all = vector.validity.is_all();
        let rows = rows.filter(|&row| all || vector.validity.is_valid(row));
        let at = |row: usize| times.get(row).copied().unwrap_or_default();
        match &vector.values {
            Values::Float(values) => numbers(rows, at, |row| values[row], Lane::Float),
            Values::Integer(values) => numbers(rows, at, |row| values[row], Lane::Integer),
            Values::Unsigned(values) => numbers(rows, at, |row| values[row], Lane::Unsigned),
            Values::Boolean(values) => {
                let mut trues = 0;
                let (count, bounds) = bounds(rows, at, |row| {
                    trues += u64::from(values[row]);
                    values[row]
                })?;
                let lane = Lane::Boolean(bounds, trues);
                Some(Self { count, lane })
            }
            Values::String(values) => {
                let (count, bounds) = bounds(rows, at, |row| Box::from(values.get(row)))?;
                let lane = Lane::String(bounds);
                Some(Self { count, lane })
            }
            Values::Binary(values) => {
                let (count, bounds) = bounds(rows, at, |row| Box::from(values.get(row)))?;
                let lane = Lane::Binary(bounds);
                Some(Self { count, lane })
            }
        }
    }

    /// Takes in the partial of other rows of the same lane. Of rows with equal times the first of this one counts,
    /// and the last of the other.
    ///
    /// # Panics
    /// Panics if the types differ.
    pub fn merge(&mut self, other: &Self) {
        let counts = (self.count, other.count);
        match (&mut self.lane, &other.lane) {
            (Lane::Float(a), Lane::Float(b)) => a.merge(b, counts),
            (Lane::Integer(a), Lane::Integer(b)) => a.merge(b, counts),
            (Lane::Unsigned(a), Lane::Unsigned(b)) => a.merge(b, counts),
            (Lane::Boolean(a, trues), Lane::Boolean(b, more)) => {
                a.merge(b);
                *trues += more;
            }
            (Lane::String(a), Lane::String(b)) | (Lane::Binary(a), Lane::Binary(b)) => a.merge(b),
            (a, b) => panic!("{a:?} and {b:?} are of different types"),
        }
        self.count += other.count;
    }

    /// The variance of a sample; none of fewer than two values, or of what is no number.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let squares = match &self.lane {
            Lane::Float(numbers) => numbers.squares_about_mean(self.count),
            Lane::Integer(numbers) => numbers.squares_about_mean(self.count),
            Lane::Unsigned(numbers) => numbers.squares_about_mean(self.count),
            _ => return None,
        };
        Some(squares / (self.count - 1) as f64)
    }
}

/// A value that others can lie below.
pub trait Ordered: Clone {
    /// Whether it lies below another.
    fn is_below(&self, other: &Self) -> bool;

    /// Whether it counts only where there is nothing else.
    fn is_nothing(&self) -> bool {
        false
    }
}

impl Ordered for f64 {
    fn is_below(&self, other: &Self) -> bool {
        self < other
    }

    fn is_nothing(&self) -> bool {
        self.is_nan()
    }
}

macro_rules! ordered {
    ($($kind:ty),*) => {
        $(impl Ordered for $kind {
            fn is_below(&self, other: &Self) -> bool {
                self < other
            }
        })*
    };
}

ordered!(i64, u64, bool, Box<[u8]>);

impl<T: Ordered> Bounds<T> {
    fn of(value: T, time: Timestamp) -> Self {
        let edge = Edge {
            time,
            value: value.clone(),
        };
        Self {
            min: value.clone(),
            max: value,
            first: edge.clone(),
            last: edge,
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.min.is_below(&self.min) || (self.min.is_nothing() && !other.min.is_nothing()) {
            self.min = other.min.clone();
        }
        if self.max.is_below(&other.max) || (self.max.is_nothing() && !other.max.is_nothing()) {
            self.max = other.max.clone();
        }
        if other.first.time < self.first.time {
            self.first = other.first.clone();
        }
        if other.last.time >= self.last.time {
            self.last = other.last.clone();
        }
    }
}

/// A number, and the sum of many.
pub trait Number: Ordered + Copy {
    /// What their sum needs.
    type Sum: Copy + Default;

    /// Adds a number to a sum.
    fn add_to(self, sum: &mut Self::Sum);

    /// Adds two sums.
    fn add_sums(sum: &mut Self::Sum, other: Self::Sum);

    /// How far it lies above another.
    fn distance(self, from: Self) -> f64;

    /// The sum of the distances of so many numbers from one, by their sum.
    fn distances(sum: Self::Sum, count: u64, from: Self) -> f64;
}

impl Number for f64 {
    type Sum = FloatSum;

    fn add_to(self, sum: &mut FloatSum) {
        sum.add(self);
    }

    fn add_sums(sum: &mut FloatSum, other: FloatSum) {
        sum.merge(other);
    }

    fn distance(self, from: Self) -> f64 {
        self - from
    }

    fn distances(mut sum: FloatSum, count: u64, from: Self) -> f64 {
        // The product in two parts, each exact: counts are below 2^53, and the low half of a factor has 26 bits.
        let high = f64::from_bits(from.to_bits() & !0x07ff_ffff);
        sum.add(-(high * count as f64));
        sum.add(-((from - high) * count as f64));
        sum.value()
    }
}

macro_rules! integer {
    ($($kind:ty),*) => {
        $(impl Number for $kind {
            type Sum = i128;

            fn add_to(self, sum: &mut i128) {
                *sum += i128::from(self);
            }

            fn add_sums(sum: &mut i128, other: i128) {
                *sum += other;
            }

            fn distance(self, from: Self) -> f64 {
                (i128::from(self) - i128::from(from)) as f64
            }

            fn distances(sum: i128, count: u64, from: Self) -> f64 {
                (sum - i128::from(from) * i128::from(count)) as f64
            }
        })*
    };
}

integer!(i64, u64);

impl<T: Number> Numbers<T, T::Sum> {
    fn merge(&mut self, other: &Self, (count, more): (u64, u64)) {
        let first = if other.bounds.first.time < self.bounds.first.time {
            other.bounds.first.value
        } else {
            self.bounds.first.value
        };
        self.squares = self.squares_about(count, first);
        self.squares.merge(other.squares_about(more, first));
        T::add_sums(&mut self.sum, other.sum);
        self.bounds.merge(&other.bounds);
    }

    /// The squares of the distances from another number.
    fn squares_about(&self, count: u64, origin: T) -> FloatSum {
        let first = self.bounds.first.value;
        let shift = origin.distance(first);
        let mut squares = self.squares;
        if shift != 0.0 {
            squares.add(-2.0 * shift * T::distances(self.sum, count, first));
            squares.add(shift * shift * count as f64);
        }
        squares
    }

    /// The squares of the distances from the mean.
    fn squares_about_mean(&self, count: u64) -> f64 {
        let distances = T::distances(self.sum, count, self.bounds.first.value);
        let mut squares = self.squares;
        squares.add(-(distances * distances / count as f64));
        let squares = squares.value();
        // Roundings may leave less than nothing; NaN stays.
        if squares < 0.0 { 0.0 } else { squares }
    }
}

fn numbers<T: Number>(
    rows: impl Iterator<Item = usize>,
    at: impl Fn(usize) -> Timestamp,
    value: impl Fn(usize) -> T,
    lane: impl Fn(Numbers<T, T::Sum>) -> Lane,
) -> Option<Partial> {
    let mut sum = T::Sum::default();
    let mut squares = FloatSum::default();
    let mut first = None;
    let (count, bounds) = bounds(rows, at, |row| {
        let value = value(row);
        let distance = value.distance(*first.get_or_insert(value));
        squares.add(distance * distance);
        value.add_to(&mut sum);
        value
    })?;
    let lane = lane(Numbers {
        bounds,
        sum,
        squares,
    });
    Some(Partial { count, lane })
}

fn bounds<T: Ordered>(
    rows: impl Iterator<Item = usize>,
    at: impl Fn(usize) -> Timestamp,
    mut value: impl FnMut(usize) -> T,
) -> Option<(u64, Bounds<T>)> {
    let mut found: Option<(u64, Bounds<T>)> = None;
    for row in rows {
        let one = Bounds::of(value(row), at(row));
        match &mut found {
            None => found = Some((1, one)),
            Some((count, bounds)) => {
                *count += 1;
                bounds.merge(&one);
            }
        }
    }
    found
}
