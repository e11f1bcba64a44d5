//! What an aggregate remembers of a group, and the loops that feed it: one run of rows of one series
//! and one group at a time, over slices without nulls.

use std::cmp::Ordering;
use std::ops::Range;

use crate::query::error::QueryError;
use crate::query::expr::vector::scalar_at;
use crate::query::source::ColumnSummary;
use crate::query::value::{Scalar, Type, order_floats};
use crate::series::vector::{ColumnVector, Validity, Values};

use super::aggregate::{Aggregate, AggregateFunction};
use super::kept::{Distinct, Ranked};
use super::steps::Steps;
use crate::rollup::FloatSum;

/// The state of one aggregate of one group.
#[derive(Clone, Debug)]
pub(super) enum State {
    Count(u64),
    Floats {
        sum: FloatSum,
        count: u64,
    },
    Integers {
        sum: i128,
        count: u64,
    },
    FloatRange {
        min: f64,
        max: f64,
        count: u64,
    },
    IntegerRange {
        min: i64,
        max: i64,
        any: bool,
    },
    Range {
        min: Scalar,
        max: Scalar,
    },
    First(Option<(i64, Scalar)>),
    Last(Option<(i64, Scalar)>),
    /// Count, mean, sum of squared distances from it (Welford 1962).
    Moments {
        count: u64,
        mean: f64,
        squares: f64,
    },
    Ranked(Ranked),
    Distinct(Distinct),
    /// Fed step by step, for they reach over the borders of groups.
    Steps(Box<Steps>),
}

impl State {
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        let input = aggregate.argument.as_ref().map_or(Type::Null, |a| a.kind);
        match aggregate.function {
            AggregateFunction::Count => Self::Count(0),
            AggregateFunction::Sum | AggregateFunction::Avg if input == Type::Float => {
                Self::Floats {
                    sum: FloatSum::default(),
                    count: 0,
                }
            }
            AggregateFunction::Sum | AggregateFunction::Avg => Self::Integers { sum: 0, count: 0 },
            AggregateFunction::Median | AggregateFunction::Percentile => {
                Self::Ranked(Ranked::default())
            }
            AggregateFunction::Mode | AggregateFunction::CountDistinct => {
                Self::Distinct(Distinct::new(input))
            }
            function if function.is_of_steps() => {
                Self::Steps(Box::new(Steps::new(function, aggregate.parameter)))
            }
            AggregateFunction::First => Self::First(None),
            AggregateFunction::Last => Self::Last(None),
            AggregateFunction::Stddev | AggregateFunction::Variance => Self::Moments {
                count: 0,
                mean: 0.0,
                squares: 0.0,
            },
            _ => match input {
                Type::Float => Self::FloatRange {
                    min: f64::INFINITY,
                    max: f64::NEG_INFINITY,
                    count: 0,
                },
                Type::Integer | Type::Time | Type::Interval => Self::IntegerRange {
                    min: i64::MAX,
                    max: i64::MIN,
                    any: false,
                },
                _ => Self::Range {
                    min: Scalar::Null,
                    max: Scalar::Null,
                },
            },
        }
    }

    /// Counts rows whatever they hold.
    pub(super) const fn add_rows(&mut self, rows: u64) {
        if let Self::Count(count) = self {
            *count += rows;
        }
    }

    /// Takes a run of rows of one series, in the order of their times; how many bytes more are kept now.
    pub(super) fn update(
        &mut self,
        vector: &ColumnVector,
        times: &[i64],
        rows: Range<usize>,
    ) -> usize {
        match self {
            Self::Ranked(ranked) => ranked.add(vector, rows),
            Self::Distinct(distinct) => distinct.add(vector, rows),
            _ => {
                self.fold(vector, times, rows);
                0
            }
        }
    }

    fn fold(&mut self, vector: &ColumnVector, times: &[i64], rows: Range<usize>) {
        let validity = &vector.validity;
        match (self, &vector.values) {
            (Self::Count(count), _) => {
                *count += if validity.is_all() {
                    rows.len() as u64
                } else {
                    rows.filter(|&row| validity.is_valid(row)).count() as u64
                };
            }
            (Self::Floats { sum, count }, Values::Float(values)) => {
                for_runs(validity, rows, |run| {
                    sum.add_all(&values[run.clone()]);
                    *count += run.len() as u64;
                });
            }
            (Self::Integers { sum, count }, Values::Integer(values)) => {
                for_runs(validity, rows, |run| {
                    *count += run.len() as u64;
                    *sum += values[run]
                        .iter()
                        .map(|&value| i128::from(value))
                        .sum::<i128>();
                });
            }
            (Self::Integers { sum, count }, Values::Unsigned(values)) => {
                for_runs(validity, rows, |run| {
                    *count += run.len() as u64;
                    *sum += values[run]
                        .iter()
                        .map(|&value| i128::from(value))
                        .sum::<i128>();
                });
            }
            (Self::FloatRange { min, max, count }, Values::Float(values)) => {
                for_runs(validity, rows, |run| {
                    *count += run.len() as u64;
                    let (low, high) = float_range(&values[run]);
                    *min = if low < *min { low } else { *min };
                    *max = if high > *max { high } else { *max };
                });
            }
            (Self::IntegerRange { min, max, any }, Values::Integer(values)) => {
                for_runs(validity, rows, |run| {
                    *any |= !run.is_empty();
                    for &value in &values[run] {
                        *min = value.min(*min);
                        *max = value.max(*max);
                    }
                });
            }
            (Self::Range { min, max }, _) => {
                for row in rows {
                    widen(min, max, scalar_at(vector, row));
                }
            }
            (Self::First(first), _) => {
                if let Some(row) = rows.clone().find(|&row| validity.is_valid(row)) {
                    let time = times[row];
                    if first.as_ref().is_none_or(|(known, _)| time < *known) {
                        *first = Some((time, scalar_at(vector, row)));
                    }
                }
            }
            (Self::Last(last), _) => {
                if let Some(row) = rows.rev().find(|&row| validity.is_valid(row)) {
                    let time = times[row];
                    if last.as_ref().is_none_or(|(known, _)| time >= *known) {
                        *last = Some((time, scalar_at(vector, row)));
                    }
                }
            }
            (
                Self::Moments {
                    count,
                    mean,
                    squares,
                },
                _,
            ) => {
                for row in rows {
                    let value = match scalar_at(vector, row) {
                        Scalar::Float(value) => value,
                        Scalar::Integer(value) => value as f64,
                        Scalar::Unsigned(value) => value as f64,
                        _ => continue,
                    };
                    *count += 1;
                    let distance = value - *mean;
                    *mean += distance / *count as f64;
                    *squares += distance * (value - *mean);
                }
            }
            // Types agree by construction.
            (
                Self::Floats { .. }
                | Self::Integers { .. }
                | Self::FloatRange { .. }
                | Self::IntegerRange { .. }
                | Self::Ranked(_)
                | Self::Distinct(_)
                | Self::Steps(_),
                _,
            ) => {}
        }
    }

    /// Takes the statistics of rows of one series.
    pub(super) fn merge(&mut self, summary: &ColumnSummary) {
        match self {
            Self::Count(count) => *count += summary.count,
            Self::Floats { sum, count } => {
                sum.add(summary.sum_float);
                *count += summary.count;
            }
            Self::Integers { sum, count } => {
                *sum += summary.sum_integer;
                *count += summary.count;
            }
            Self::FloatRange { min, max, count } => {
                *count += summary.count;
                if let (Scalar::Float(low), Scalar::Float(high)) = (&summary.min, &summary.max) {
                    *min = if low < min { *low } else { *min };
                    *max = if high > max { *high } else { *max };
                }
            }
            Self::IntegerRange { min, max, any } => {
                if let (Scalar::Integer(low), Scalar::Integer(high)) = (&summary.min, &summary.max)
                {
                    *min = (*low).min(*min);
                    *max = (*high).max(*max);
                    *any = true;
                }
            }
            Self::Range { min, max } => {
                widen(min, max, summary.min.clone());
                widen(min, max, summary.max.clone());
            }
            Self::First(first) => {
                if let Some((time, value)) = &summary.first
                    && first.as_ref().is_none_or(|(known, _)| time < known)
                {
                    *first = Some((*time, value.clone()));
                }
            }
            Self::Last(last) => {
                if let Some((time, value)) = &summary.last
                    && last.as_ref().is_none_or(|(known, _)| time >= known)
                {
                    *last = Some((*time, value.clone()));
                }
            }
            // Chan, Golub, LeVeque 1979.
            Self::Moments {
                count,
                mean,
                squares,
            } => {
                if let Some((other_mean, other_squares)) = summary.moments {
                    let (ours, theirs) = (*count as f64, summary.count as f64);
                    let all = ours + theirs;
                    let distance = other_mean - *mean;
                    *mean += distance * theirs / all;
                    *squares += other_squares + distance * distance * ours * theirs / all;
                    *count += summary.count;
                }
            }
            // Plans with these ask for no statistics.
            Self::Ranked(_) | Self::Distinct(_) | Self::Steps(_) => {}
        }
    }

    /// Takes what was added up of other rows: of later series where times are the same.
    pub(super) fn absorb(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (
                Self::Floats { sum, count },
                Self::Floats {
                    sum: other,
                    count: more,
                },
            ) => {
                sum.merge(other);
                *count += more;
            }
            (
                Self::Integers { sum, count },
                Self::Integers {
                    sum: other,
                    count: more,
                },
            ) => {
                *sum += other;
                *count += more;
            }
            (
                Self::FloatRange { min, max, count },
                Self::FloatRange {
                    min: low,
                    max: high,
                    count: more,
                },
            ) => {
                *min = if low < *min { low } else { *min };
                *max = if high > *max { high } else { *max };
                *count += more;
            }
            (
                Self::IntegerRange { min, max, any },
                Self::IntegerRange {
                    min: low,
                    max: high,
                    any: more,
                },
            ) => {
                *min = low.min(*min);
                *max = high.max(*max);
                *any |= more;
            }
            (
                Self::Range { min, max },
                Self::Range {
                    min: low,
                    max: high,
                },
            ) => {
                widen(min, max, low);
                widen(min, max, high);
            }
            (Self::First(own), Self::First(Some(other)))
                if own.as_ref().is_none_or(|(known, _)| other.0 < *known) =>
            {
                *own = Some(other);
            }
            (Self::Last(own), Self::Last(Some(other)))
                if own.as_ref().is_none_or(|(known, _)| other.0 >= *known) =>
            {
                *own = Some(other);
            }
            (own @ Self::Moments { .. }, other @ Self::Moments { .. }) => {
                *own = moments(own, &other);
            }
            (Self::Ranked(own), Self::Ranked(other)) => own.absorb(other),
            (Self::Distinct(own), Self::Distinct(other)) => own.absorb(other),
            // Nothing to take, and what is never divided; types agree by construction.
            _ => {}
        }
    }

    /// Bytes of the values that are kept, behind the state itself.
    pub(super) fn kept_bytes(&self) -> usize {
        match self {
            Self::Ranked(ranked) => ranked.kept_bytes(),
            Self::Distinct(distinct) => distinct.kept_bytes(),
            _ => 0,
        }
    }

    /// Bytes of memory behind the state itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let text = |scalar: &Scalar| match scalar {
            Scalar::String(text) => text.len(),
            Scalar::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        match self {
            Self::First(Some((_, value))) | Self::Last(Some((_, value))) => text(value),
            Self::Range { min, max } => text(min) + text(max),
            Self::Steps(_) => size_of::<Steps>(),
            other => other.kept_bytes(),
        }
    }

    /// The result; null where no row had a value.
    pub(super) fn finish(&mut self, aggregate: &Aggregate) -> Result<Scalar, QueryError> {
        let function = aggregate.function;
        if let Self::Ranked(ranked) = self {
            let percent = match function {
                AggregateFunction::Median => 50.0,
                _ => aggregate.parameter,
            };
            let input = aggregate.argument.as_ref().map_or(Type::Null, |a| a.kind);
            return Ok(ranked.percentile(percent, input));
        }
        Ok(match &*self {
            Self::Count(count) => Scalar::Integer(*count as i64),
            Self::Floats { count: 0, .. }
            | Self::Integers { count: 0, .. }
            | Self::FloatRange { count: 0, .. }
            | Self::IntegerRange { any: false, .. }
            | Self::Ranked(_) => Scalar::Null,
            Self::Floats { sum, count } if function == AggregateFunction::Avg => {
                Scalar::Float(sum.value() / *count as f64)
            }
            Self::Floats { sum, .. } => Scalar::Float(sum.value()),
            Self::Integers { sum, count } if function == AggregateFunction::Avg => {
                Scalar::Float(*sum as f64 / *count as f64)
            }
            Self::Integers { sum, .. } => integer(*sum, aggregate.kind, "sum")?,
            // Nothing but NaN was seen.
            Self::FloatRange { min, max, .. } if min > max => Scalar::Float(f64::NAN),
            Self::FloatRange { min, max, .. } => Scalar::Float(match function {
                AggregateFunction::Min => *min,
                AggregateFunction::Max => *max,
                _ => *max - *min,
            }),
            Self::IntegerRange { min, max, .. } => match function {
                AggregateFunction::Min => Scalar::Integer(*min),
                AggregateFunction::Max => Scalar::Integer(*max),
                _ => integer(
                    i128::from(*max) - i128::from(*min),
                    aggregate.kind,
                    "spread",
                )?,
            },
            Self::Range { min, max } => match (function, min, max) {
                (AggregateFunction::Min, ..) => min.clone(),
                (AggregateFunction::Max, ..) => max.clone(),
                (_, Scalar::Unsigned(min), Scalar::Unsigned(max)) => Scalar::Unsigned(max - min),
                _ => Scalar::Null,
            },
            Self::First(edge) | Self::Last(edge) => edge
                .as_ref()
                .map_or(Scalar::Null, |(_, value)| value.clone()),
            Self::Distinct(distinct) if function == AggregateFunction::Mode => {
                distinct.mode(aggregate.kind)
            }
            Self::Distinct(distinct) => Scalar::Integer(distinct.count() as i64),
            Self::Steps(steps) => match aggregate.kind {
                Type::Float => {
                    let value = steps.float();
                    value.map_or(Scalar::Null, Scalar::Float)
                }
                kind => match steps.whole() {
                    Some(sum) if function == AggregateFunction::Delta => {
                        integer(sum, kind, "delta")?
                    }
                    Some(sum) => integer(sum, kind, "increase")?,
                    None => Scalar::Null,
                },
            },
            Self::Moments { count, squares, .. } => {
                if *count < 2 {
                    return Ok(Scalar::Null);
                }
                let variance = *squares / (*count - 1) as f64;
                Scalar::Float(if function == AggregateFunction::Variance {
                    variance
                } else {
                    variance.sqrt()
                })
            }
        })
    }
}

/// Both together (Chan, Golub, LeVeque 1979).
fn moments(one: &State, other: &State) -> State {
    let parts = |state: &State| match *state {
        State::Moments {
            count,
            mean,
            squares,
        } => (count, mean, squares),
        _ => (0, 0.0, 0.0),
    };
    let ((a, mean, squares), (b, other_mean, other_squares)) = (parts(one), parts(other));
    if a == 0 || b == 0 {
        return if a == 0 { other.clone() } else { one.clone() };
    }
    let count = a + b;
    let distance = other_mean - mean;
    let share = b as f64 / count as f64;
    State::Moments {
        count,
        mean: mean + distance * share,
        squares: squares + other_squares + distance * distance * a as f64 * share,
    }
}

/// A sum in the type of its column.
fn integer(sum: i128, kind: Type, what: &'static str) -> Result<Scalar, QueryError> {
    let overflow = QueryError::Overflow { what };
    if kind == Type::Unsigned {
        return u64::try_from(sum)
            .map(Scalar::Unsigned)
            .map_err(|_| overflow);
    }
    i64::try_from(sum)
        .map(Scalar::Integer)
        .map_err(|_| overflow)
}

/// Calls `take` with every run of rows that have a value.
fn for_runs(validity: &Validity, rows: Range<usize>, mut take: impl FnMut(Range<usize>)) {
    if validity.is_all() {
        take(rows);
        return;
    }
    let mut start = rows.start;
    while start < rows.end {
        if !validity.is_valid(start) {
            start += 1;
            continue;
        }
        let mut end = start + 1;
        while end < rows.end && validity.is_valid(end) {
            end += 1;
        }
        take(start..end);
        start = end;
    }
}

/// Smallest and largest of those that are not NaN; infinities the wrong way round if there are none.
fn float_range(values: &[f64]) -> (f64, f64) {
    const LANES: usize = 4;
    let mut min = [f64::INFINITY; LANES];
    let mut max = [f64::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            min[lane] = if chunk[lane] < min[lane] {
                chunk[lane]
            } else {
                min[lane]
            };
            max[lane] = if chunk[lane] > max[lane] {
                chunk[lane]
            } else {
                max[lane]
            };
        }
    }
    let low = min
        .iter()
        .chain(rest)
        .fold(f64::INFINITY, |a, &b| if b < a { b } else { a });
    let high = max
        .iter()
        .chain(rest)
        .fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    (low, high)
}

fn widen(min: &mut Scalar, max: &mut Scalar, value: Scalar) {
    if value.is_null() {
        return;
    }
    if min.is_null() || order(&value, min) == Ordering::Less {
        *min = value.clone();
    }
    if max.is_null() || order(&value, max) == Ordering::Greater {
        *max = value;
    }
}

fn order(a: &Scalar, b: &Scalar) -> Ordering {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => order_floats(*a, *b),
        _ => a.order(b),
    }
}
