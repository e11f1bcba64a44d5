//! Filling of gaps: the buckets that no row lies in, and what `locf` and `interpolate` make of their neighbours.

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::context::QueryContext;
use crate::query::error::QueryError;
use crate::query::expr::evaluate;
use crate::query::expr::vector::Operand;
use crate::query::plan::FillMethod;
use crate::query::value::Scalar;

use super::emit::frame_of;
use super::group::Groups;
use super::kept::between;
use super::rows::check;

impl Groups<'_> {
    /// Adds the buckets of the range that are missing, to each combination of the other keys that there is.
    pub(super) fn fill_gaps(&mut self, context: &QueryContext<'_>) -> Result<(), QueryError> {
        let Some(range) = self.grouping.gapfill else {
            return Ok(());
        };
        if range.is_empty() {
            return Ok(());
        }
        if self.partitions.is_empty() && self.grouping.keys.len() == 1 {
            self.partition(&[Operand::Constant(Scalar::Null)], 0)?;
        }
        // Partitions may be there before their rows; the only one of a query without other keys needs none.
        let alone = self.grouping.keys.len() == 1;
        let mut has_rows = vec![alone; self.partitions.len()];
        for &(partition, _) in &self.groups {
            has_rows[partition as usize] = true;
        }
        let filled = (0..).zip(has_rows).filter(|(_, has_rows)| *has_rows);
        for (partition, _) in filled {
            check(context)?;
            let mut time = range.start;
            loop {
                let (start, next) = self.buckets.bounds(time);
                self.group(partition, start)?;
                match next {
                    Some(next) if next < range.end => time = next,
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// The values of all filled columns, by group.
    pub(super) fn filled(
        &mut self,
        context: &QueryContext<'_>,
    ) -> Result<Vec<Vec<Scalar>>, QueryError> {
        let grouping = self.grouping;
        if grouping.fills.is_empty() {
            return Ok(Vec::new());
        }
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        order.sort_unstable_by_key(|&group| self.groups[group as usize]);
        let mut filled = vec![vec![Scalar::Null; order.len()]; grouping.fills.len()];
        for part in order.chunks(QUERY_BATCH_ROWS) {
            check(context)?;
            let columns = self.columns(part)?;
            let frame = frame_of(&columns, part.len());
            for (fill, values) in grouping.fills.iter().zip(&mut filled) {
                let found = evaluate(&fill.input, &frame)?;
                for (row, &group) in part.iter().enumerate() {
                    values[group as usize] = found.scalar(row);
                }
            }
        }
        for (fill, values) in grouping.fills.iter().zip(&mut filled) {
            let same = |a: &u32, b: &u32| self.groups[*a as usize].0 == self.groups[*b as usize].0;
            for series in order.chunk_by(same) {
                match fill.method {
                    FillMethod::Locf => carry_forward(series, values),
                    FillMethod::Interpolate => self.interpolate(series, values),
                }
            }
        }
        Ok(filled)
    }

    /// Puts what lies on the line between the nearest values into the gap between them.
    fn interpolate(&self, series: &[u32], values: &mut [Scalar]) {
        let time = |place: usize| self.groups[series[place] as usize].1;
        let mut last: Option<(usize, f64)> = None;
        for place in 0..series.len() {
            let Scalar::Float(value) = values[series[place] as usize] else {
                continue;
            };
            if let Some((from, before)) = last {
                let whole = time(place).abs_diff(time(from)) as f64;
                for gap in from + 1..place {
                    let fraction = time(gap).abs_diff(time(from)) as f64 / whole;
                    values[series[gap] as usize] = Scalar::Float(between(before, value, fraction));
                }
            }
            last = Some((place, value));
        }
    }
}

/// Puts the last value before it into every gap.
fn carry_forward(series: &[u32], values: &mut [Scalar]) {
    let mut last = Scalar::Null;
    for &group in series {
        let value = &mut values[group as usize];
        if value.is_null() {
            *value = last.clone();
        } else {
            last = value.clone();
        }
    }
}
