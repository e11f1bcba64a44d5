//! Times of rows: ascending integers. Regular spacing takes no bytes at all.

use super::bytes::Reader;
use super::error::CodecError;
use super::integers::{self, Effort, Habit};

/// Appends times, of which the reader knows the first and the last.
pub(crate) fn encode(times: &[i64], habit: &mut Habit, effort: Effort, out: &mut Vec<u8>) {
    let [first, second, ..] = times else { return };
    let spacing = second.wrapping_sub(*first);
    if times
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == spacing)
    {
        return;
    }
    let last = times.last().copied().unwrap_or(*first);
    let values: Vec<u64> = times.iter().map(|&time| time as u64).collect();
    integers::encode(
        &values,
        last.wrapping_sub(*first) as u64,
        habit,
        effort,
        out,
    );
}

/// Appends `count` times, one at least. They ascend strictly, or there is an error.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    count: usize,
    first: i64,
    last: i64,
    times: &mut Vec<i64>,
) -> Result<(), CodecError> {
    if reader.rest().is_empty() {
        let steps = (count as u64).saturating_sub(1);
        let span = last.wrapping_sub(first) as u64;
        let spacing = span.checked_div(steps).unwrap_or(0);
        if spacing * steps != span || (steps > 0 && spacing == 0) {
            return Err(reader.invalid("spacing of times"));
        }
        times.extend((0..count as u64).map(|row| first.wrapping_add_unsigned(row * spacing)));
        return Ok(());
    }
    let mut values = Vec::with_capacity(count);
    integers::decode(reader, count, first as u64, &mut values)?;
    let ascending = values.is_sorted_by(|a, b| (*a as i64) < *b as i64);
    if !ascending || values.last() != Some(&(last as u64)) || !reader.rest().is_empty() {
        return Err(reader.invalid("order of times"));
    }
    times.extend(values.into_iter().map(|value| value as i64));
    Ok(())
}
