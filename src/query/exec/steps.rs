//! Aggregates over the steps from one value of a series to the next: `increase`, `rate`, `delta`, `derivative`,
//! `integral`, `time_weighted_avg`.
//!
//! A step joins two values of one series that have the same keys but the bucket of time. As a whole it belongs to the
//! later value's group; of an area each group gets the part that lies in its bucket, on the straight line between
//! the values. NULL and NaN are skipped. Rows of a series come in the order of their times.

use crate::query::value::Scalar;

use super::aggregate::AggregateFunction;
use crate::rollup::FloatSum;

/// A value and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) time: i64,
    pub(super) value: Number,
}

/// A number, exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Float(f64),
    Whole(i128),
}

impl Number {
    /// Of a value that takes part in steps: neither NULL nor NaN.
    pub(super) fn of(value: &Scalar) -> Option<Self> {
        match value {
            Scalar::Float(value) if !value.is_nan() => Some(Self::Float(*value)),
            Scalar::Integer(value) => Some(Self::Whole(i128::from(*value))),
            Scalar::Unsigned(value) => Some(Self::Whole(i128::from(*value))),
            _ => None,
        }
    }

    fn as_float(self) -> f64 {
        match self {
            Self::Float(value) => value,
            Self::Whole(value) => value as f64,
        }
    }
}

/// What is known of the steps of one group.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    function: AggregateFunction,
    /// What rates and integrals count in.
    unit_ns: f64,
    /// The series that the sums below are of, where each series counts by itself.
    series: usize,
    whole: i128,
    float: FloatSum,
    duration_ns: u128,
    any: bool,
    /// Quotients of the series before.
    quotients: FloatSum,
    any_quotient: bool,
}

impl Steps {
    pub(super) fn new(function: AggregateFunction, unit_ns: f64) -> Self {
        Self {
            function,
            unit_ns,
            series: 0,
            whole: 0,
            float: FloatSum::default(),
            duration_ns: 0,
            any: false,
            quotients: FloatSum::default(),
            any_quotient: false,
        }
    }

    /// Whether a group gets the part of a step that lies in its bucket, rather than the step.
    pub(super) const fn is_area(&self) -> bool {
        matches!(
            self.function,
            AggregateFunction::Integral | AggregateFunction::TimeWeightedAvg
        )
    }

    /// Takes the step between two values of a series, both in this group's bucket or the later one.
    pub(super) fn step(&mut self, series: usize, from: Point, to: Point) {
        self.turn_to(series);
        let duration_ns = to.time.abs_diff(from.time);
        if self.is_area() {
            let height = 0.5 * from.value.as_float() + 0.5 * to.value.as_float();
            self.add_area(height, duration_ns);
            return;
        }
        let counter = matches!(
            self.function,
            AggregateFunction::Increase | AggregateFunction::Rate
        );
        match (from.value, to.value) {
            (Number::Whole(from), Number::Whole(to)) => {
                // A counter that fell began again at zero.
                let from = if counter && to < from { 0 } else { from };
                self.whole += to - from;
            }
            (from, to) => {
                let (from, to) = (from.as_float(), to.as_float());
                if !(counter && to < from) {
                    self.float.add(-from);
                }
                self.float.add(to);
            }
        }
        self.duration_ns += u128::from(duration_ns);
        self.any = true;
    }

    /// Takes the part of a step, from one time to another, that lies in this group's bucket.
    pub(super) fn part(&mut self, series: usize, step: (Point, Point), from: i64, to: i64) {
        self.turn_to(series);
        if from < to {
            let height = 0.5 * at(step, from) + 0.5 * at(step, to);
            self.add_area(height, to.abs_diff(from));
        }
    }

    fn add_area(&mut self, height: f64, duration_ns: u64) {
        self.float.add(height * duration_ns as f64);
        self.duration_ns += u128::from(duration_ns);
        self.any = true;
    }

    /// Closes the quotient of another series.
    fn turn_to(&mut self, series: usize) {
        let by_series = matches!(
            self.function,
            AggregateFunction::Rate | AggregateFunction::Derivative
        );
        if by_series && self.series != series {
            if self.any {
                self.quotients.add(self.quotient());
                self.any_quotient = true;
            }
            self.whole = 0;
            self.float = FloatSum::default();
            self.duration_ns = 0;
            self.any = false;
        }
        self.series = series;
    }

    /// Change by unit of time.
    fn quotient(&self) -> f64 {
        (self.float.value() + self.whole as f64) * self.unit_ns / self.duration_ns as f64
    }

    /// The result where it is a double.
    pub(super) fn float(&self) -> Option<f64> {
        if !self.any && !self.any_quotient {
            return None;
        }
        Some(match self.function {
            AggregateFunction::Rate | AggregateFunction::Derivative => {
                let mut quotients = self.quotients;
                if self.any {
                    quotients.add(self.quotient());
                }
                quotients.value()
            }
            AggregateFunction::Integral => self.float.value() / self.unit_ns,
            AggregateFunction::TimeWeightedAvg => self.float.value() / self.duration_ns as f64,
            _ => self.float.value(),
        })
    }

    /// The result where it is a whole number.
    pub(super) const fn whole(&self) -> Option<i128> {
        if self.any { Some(self.whole) } else { None }
    }
}

/// The straight line between two values, at a time between theirs.
fn at((from, to): (Point, Point), time: i64) -> f64 {
    let (low, high) = (from.value.as_float(), to.value.as_float());
    if time == from.time {
        return low;
    }
    if time == to.time {
        return high;
    }
    let fraction = time.abs_diff(from.time) as f64 / to.time.abs_diff(from.time) as f64;
    super::kept::between(low, high, fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: i64, value: i128) -> Point {
        let value = Number::Whole(value);
        Point { time, value }
    }

    fn fed(function: AggregateFunction, unit_ns: f64, series: &[&[(i64, i128)]]) -> Steps {
        let mut steps = Steps::new(function, unit_ns);
        for (index, points) in series.iter().enumerate() {
            for pair in points.windows(2) {
                let (from, to) = (point(pair[0].0, pair[0].1), point(pair[1].0, pair[1].1));
                steps.step(index, from, to);
            }
        }
        steps
    }

    #[test]
    fn a_counter_that_falls_began_again_at_zero() {
        let points: &[(i64, i128)] = &[(0, 10), (10, 15), (20, 3), (30, 4)];
        let increase = fed(AggregateFunction::Increase, 1.0, &[points]);
        assert_eq!(increase.whole(), Some(9));
        let delta = fed(AggregateFunction::Delta, 1.0, &[points]);
        assert_eq!(delta.whole(), Some(-6));
        let rate = fed(AggregateFunction::Rate, 10.0, &[points]);
        assert_eq!(rate.float(), Some(3.0));
    }

    #[test]
    fn rates_of_several_series_add_up() {
        let fast: &[(i64, i128)] = &[(0, 0), (10, 20)];
        let slow: &[(i64, i128)] = &[(5, 0), (25, 20)];
        let rate = fed(AggregateFunction::Rate, 1.0, &[fast, slow]);
        assert_eq!(rate.float(), Some(3.0));
        let flat: &[(i64, i128)] = &[(0, 4), (30, 4)];
        let average = fed(AggregateFunction::TimeWeightedAvg, 1.0, &[fast, flat]);
        assert_eq!(average.float(), Some((100.0 + 120.0) / 40.0));
    }

    #[test]
    fn a_step_over_a_border_is_cut_on_the_line() {
        let step = (point(0, 0), point(10, 10));
        let mut early = Steps::new(AggregateFunction::Integral, 1.0);
        early.part(0, step, 0, 4);
        let mut late = Steps::new(AggregateFunction::Integral, 1.0);
        late.part(0, step, 4, 10);
        assert_eq!((early.float(), late.float()), (Some(8.0), Some(42.0)));
        let mut nothing = Steps::new(AggregateFunction::Integral, 1.0);
        nothing.part(0, step, 10, 10);
        assert_eq!(nothing.float(), None);
    }
}
