//! Payload of a definitions frame: names and the numbers they stand for. Also a record of state files.
//!
//! A segment repeats the definitions it needs, so that it explains itself. Layout in `FORMAT.md`.

use crate::limits::{NAME_BYTES, TAGS};
use crate::log::PayloadError;
use crate::log::varint::{put, take};
use crate::types::{ColumnId, DatabaseId, FieldType, MeasurementId, SeriesId};

/// One definition, borrowed from the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition<'a> {
    /// A database.
    Database {
        /// Its number.
        id: DatabaseId,
        /// Its name.
        name: &'a str,
    },
    /// A measurement.
    Measurement {
        /// Its number.
        id: MeasurementId,
        /// Whose it is.
        database: DatabaseId,
        /// Its name.
        name: &'a str,
    },
    /// A column of a measurement.
    Column {
        /// The measurement.
        measurement: MeasurementId,
        /// Its number within the measurement.
        id: ColumnId,
        /// The type of the lane.
        field_type: FieldType,
        /// The field's name.
        name: &'a str,
    },
    /// A series.
    Series {
        /// Its number.
        id: SeriesId,
        /// Its measurement.
        measurement: MeasurementId,
        /// Its tags, sorted by name.
        tags: Vec<(&'a str, &'a str)>,
    },
    /// A measurement that was dropped, with its columns and series.
    Dropped {
        /// Its number.
        measurement: MeasurementId,
        /// Its series, ascending.
        series: Vec<SeriesId>,
    },
}

impl Definition<'_> {
    /// Appends the encoded definition.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Database { id, name } => {
                out.push(TAG_DATABASE);
                put(out, u64::from(id.0));
                put_text(out, name);
            }
            Self::Measurement { id, database, name } => {
                out.push(TAG_MEASUREMENT);
                put(out, u64::from(id.0));
                put(out, u64::from(database.0));
                put_text(out, name);
            }
            Self::Column {
                measurement,
                id,
                field_type,
                name,
            } => {
                out.push(TAG_COLUMN);
                put(out, u64::from(measurement.0));
                put(out, u64::from(id.0));
                out.push(field_type.number());
                put_text(out, name);
            }
            Self::Series {
                id,
                measurement,
                tags,
            } => encode_series(out, *id, *measurement, tags.len(), tags.iter().copied()),
            Self::Dropped {
                measurement,
                series,
            } => encode_dropped(out, *measurement, series),
        }
    }
}

/// Appends a series definition straight from its tags.
pub fn encode_series<'a>(
    out: &mut Vec<u8>,
    id: SeriesId,
    measurement: MeasurementId,
    tag_count: usize,
    tags: impl Iterator<Item = (&'a str, &'a str)>,
) {
    out.push(TAG_SERIES);
    put(out, u64::from(id.0));
    put(out, u64::from(measurement.0));
    put(out, tag_count as u64);
    for (name, value) in tags {
        put_text(out, name);
        put_text(out, value);
    }
}

/// Appends that a measurement was dropped, with these series.
pub fn encode_dropped(out: &mut Vec<u8>, measurement: MeasurementId, series: &[SeriesId]) {
    out.push(TAG_DROPPED);
    put(out, u64::from(measurement.0));
    put_ascending(out, series);
}

/// Decodes all definitions of a payload.
pub fn decode<'a>(
    payload: &'a [u8],
    mut visit: impl FnMut(Definition<'a>),
) -> Result<(), PayloadError> {
    let mut rest = payload;
    while let Some((&tag, after)) = rest.split_first() {
        let error = PayloadError {
            offset: payload.len() - rest.len(),
            what: "definition",
        };
        rest = after;
        visit(take_one(tag, &mut rest).ok_or(error)?);
    }
    Ok(())
}

fn take_one<'a>(tag: u8, rest: &mut &'a [u8]) -> Option<Definition<'a>> {
    let id = u32::try_from(take(rest)?).ok()?;
    Some(match tag {
        TAG_DATABASE => Definition::Database {
            id: DatabaseId(id),
            name: take_text(rest)?,
        },
        TAG_MEASUREMENT => Definition::Measurement {
            id: MeasurementId(id),
            database: DatabaseId(u32::try_from(take(rest)?).ok()?),
            name: take_text(rest)?,
        },
        TAG_COLUMN => Definition::Column {
            measurement: MeasurementId(id),
            id: ColumnId(u16::try_from(take(rest)?).ok()?),
            field_type: take_type(rest)?,
            name: take_text(rest)?,
        },
        TAG_SERIES => {
            let measurement = MeasurementId(u32::try_from(take(rest)?).ok()?);
            let count = usize::try_from(take(rest)?).ok().filter(|&n| n <= TAGS)?;
            let tags = (0..count)
                .map(|_| Some((take_text(rest)?, take_text(rest)?)))
                .collect::<Option<Vec<_>>>()?;
            Definition::Series {
                id: SeriesId(id),
                measurement,
                tags,
            }
        }
        TAG_DROPPED => Definition::Dropped {
            measurement: MeasurementId(id),
            series: take_ascending(rest)?,
        },
        _ => return None,
    })
}

/// Appends a list of series, ascending.
pub(super) fn put_ascending(out: &mut Vec<u8>, series: &[SeriesId]) {
    put(out, series.len() as u64);
    let mut before = 0;
    for series in series {
        put(out, u64::from(series.0 - before));
        before = series.0;
    }
}

/// Takes a list of series off the front.
pub(super) fn take_ascending(rest: &mut &[u8]) -> Option<Vec<SeriesId>> {
    // Every number takes a byte.
    let count = usize::try_from(take(rest)?).ok();
    let count = count.filter(|&count| count <= rest.len())?;
    let mut series = Vec::with_capacity(count);
    let mut before = 0u32;
    for _ in 0..count {
        let step = u32::try_from(take(rest)?).ok()?;
        if step == 0 && !series.is_empty() {
            return None;
        }
        before = before.checked_add(step)?;
        series.push(SeriesId(before));
    }
    Some(series)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take(rest)?)
        .ok()
        .filter(|&n| n <= NAME_BYTES)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Takes a type's number off the front.
pub(super) fn take_type(rest: &mut &[u8]) -> Option<FieldType> {
    let (&number, after) = rest.split_first()?;
    *rest = after;
    FieldType::from_number(number)
}

const TAG_DATABASE: u8 = 1;
const TAG_MEASUREMENT: u8 = 2;
const TAG_COLUMN: u8 = 3;
const TAG_SERIES: u8 = 4;
const TAG_DROPPED: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Definition<'static>> {
        vec![
            Definition::Database {
                id: DatabaseId(1),
                name: "default",
            },
            Definition::Measurement {
                id: MeasurementId(300),
                database: DatabaseId(1),
                name: "weather",
            },
            Definition::Column {
                measurement: MeasurementId(300),
                id: ColumnId(2),
                field_type: FieldType::Float,
                name: "temperature",
            },
            Definition::Series {
                id: SeriesId(70_000),
                measurement: MeasurementId(300),
                tags: vec![("room", "a b"), ("site", "")],
            },
            Definition::Dropped {
                measurement: MeasurementId(300),
                series: vec![SeriesId(0), SeriesId(70_000)],
            },
        ]
    }

    #[test]
    fn definitions_round_trip() {
        let mut payload = Vec::new();
        for definition in samples() {
            definition.encode(&mut payload);
        }
        let mut found = Vec::new();
        decode(&payload, |definition| found.push(definition)).expect("as encoded");
        assert_eq!(found, samples());
    }

    #[test]
    fn a_cut_payload_is_an_error_and_keeps_what_stands_before() {
        let mut payload = Vec::new();
        for definition in samples() {
            definition.encode(&mut payload);
        }
        for len in 0..payload.len() {
            let mut found = Vec::new();
            let result = decode(&payload[..len], |definition| found.push(definition));
            assert_eq!(found, samples()[..found.len()]);
            assert!(result.is_err() || found.len() < samples().len());
        }
    }
}
