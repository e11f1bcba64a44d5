//! Times of rows: ascending integers. Regular spacing takes no bytes at all.

use std::ops::Range;

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
    let known = landmarks(reader, count, first)?;
    let from = times.len();
    decode_part(reader, count, (first, last), 0..count, times)?;
    let all = &times[from..];
    let agree = known.iter().all(|&(row, time)| all.get(row) == Some(&time));
    if agree && all.last() == Some(&last) && reader.rest().is_empty() {
        return Ok(());
    }
    times.truncate(from);
    Err(reader.invalid("order of times"))
}

/// Appends the wanted of `count` times. They ascend strictly, or there is an error.
pub(crate) fn decode_part(
    reader: &mut Reader<'_>,
    count: usize,
    (first, last): (i64, i64),
    wanted: Range<usize>,
    times: &mut Vec<i64>,
) -> Result<(), CodecError> {
    if reader.rest().is_empty() {
        let steps = (count as u64).saturating_sub(1);
        let span = last.wrapping_sub(first) as u64;
        let spacing = span.checked_div(steps).unwrap_or(0);
        if spacing * steps != span || (steps > 0 && spacing == 0) {
            return Err(reader.invalid("spacing of times"));
        }
        let rows = wanted.start as u64..wanted.end as u64;
        times.extend(rows.map(|row| first.wrapping_add_unsigned(row * spacing)));
        return Ok(());
    }
    let values = integers::decode_part(reader, count, first as u64, wanted)?.into_words();
    let from = times.len();
    times.extend(values.into_iter().map(|value| value as i64));
    let ascending = times[from..].is_sorted_by(|a, b| a < b);
    if !ascending {
        times.truncate(from);
        return Err(reader.invalid("order of times"));
    }
    Ok(())
}

/// Rows whose times are known without decoding any other: row and time, in ascending order.
pub(crate) fn landmarks(
    reader: &Reader<'_>,
    count: usize,
    first: i64,
) -> Result<Vec<(usize, i64)>, CodecError> {
    if reader.rest().is_empty() {
        return Ok(Vec::new());
    }
    let known = integers::landmarks(reader, count, first as u64)?;
    Ok(known
        .into_iter()
        .map(|(row, time)| (row, time as i64))
        .collect())
}
