//! Payload of a definitions frame: names and the numbers they stand for. Also a record of state files.
//!
//! A segment repeats the definitions it needs, so that it explains itself. Layout in `FORMAT.md`.

use std::ops::Range;

use crate::limits::{NAME_BYTES, TAGS};
use crate::log::PayloadError;
use crate::log::varint::{put, take};
use crate::types::{
    ColumnId, DatabaseId, FieldRule, FieldType, MeasurementId, SchemaMode, SeriesId, TokenId,
};

/// One definition, borrowed from the payload.
#[derive(Clone, Debug, PartialEq)]
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
    /// Series that gave their place back: no row of them was left.
    Retired {
        /// Runs of numbers, ascending.
        runs: Vec<Range<u32>>,
    },
    /// What a measurement does with what is new to it.
    Mode {
        /// The measurement.
        measurement: MeasurementId,
        /// Counts changes of the measurement's rules: the higher one holds.
        revision: u64,
        /// The mode.
        mode: SchemaMode,
    },
    /// What is declared of a field.
    Field {
        /// The measurement.
        measurement: MeasurementId,
        /// As that of a mode.
        revision: u64,
        /// The field's name.
        name: &'a str,
        /// What is declared; `None`: nothing any more.
        rule: Option<FieldRule>,
    },
    /// By whose rows a series came into being, where that was a token's.
    Owner {
        /// The series.
        series: SeriesId,
        /// The token.
        token: TokenId,
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
            Self::Retired { runs } => encode_retired(out, runs),
            Self::Mode {
                measurement,
                revision,
                mode,
            } => {
                out.push(TAG_MODE);
                put(out, u64::from(measurement.0));
                put(out, *revision);
                out.push(mode.number());
            }
            Self::Field {
                measurement,
                revision,
                name,
                rule,
            } => {
                out.push(TAG_FIELD);
                put(out, u64::from(measurement.0));
                put(out, *revision);
                put_text(out, name);
                put_rule(out, rule.as_ref());
            }
            Self::Owner { series, token } => {
                out.push(TAG_OWNER);
                put(out, u64::from(series.0));
                put(out, u64::from(token.0));
            }
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

/// Appends that series of these runs of numbers, ascending and apart, gave their place back.
pub fn encode_retired(out: &mut Vec<u8>, runs: &[Range<u32>]) {
    out.push(TAG_RETIRED);
    put(out, runs.len() as u64);
    let mut before = 0;
    for run in runs {
        put(out, u64::from(run.start - before));
        put(out, u64::from(run.end - run.start));
        before = run.end;
    }
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
        TAG_RETIRED => Definition::Retired {
            runs: take_runs(id, rest)?,
        },
        TAG_MODE => Definition::Mode {
            measurement: MeasurementId(id),
            revision: take(rest)?,
            mode: SchemaMode::from_number(take_byte(rest)?)?,
        },
        TAG_FIELD => Definition::Field {
            measurement: MeasurementId(id),
            revision: take(rest)?,
            name: take_text(rest)?,
            rule: take_rule(rest)?,
        },
        TAG_OWNER => {
            let token = u32::try_from(take(rest)?).ok().filter(|&token| token > 0)?;
            Definition::Owner {
                series: SeriesId(id),
                token: TokenId(token),
            }
        }
        _ => return None,
    })
}

/// Appends what is declared of a field: which parts there are, then these.
fn put_rule(out: &mut Vec<u8>, rule: Option<&FieldRule>) {
    let Some(rule) = rule else {
        out.push(0);
        return;
    };
    let parts = [
        true,
        rule.field_type.is_some(),
        rule.unit.is_some(),
        rule.description.is_some(),
        rule.min.is_some(),
        rule.max.is_some(),
    ];
    let bits = parts.iter().rev();
    out.push(bits.fold(0, |bits, &part| bits << 1 | u8::from(part)));
    out.extend(rule.field_type.map(FieldType::number));
    for text in [&rule.unit, &rule.description].into_iter().flatten() {
        put_text(out, text);
    }
    for bound in [rule.min, rule.max].into_iter().flatten() {
        out.extend_from_slice(&bound.to_le_bytes());
    }
}

/// Takes what is declared of a field off the front; the inner `None` where nothing is.
#[expect(clippy::option_option, reason = "malformed, or nothing declared")]
fn take_rule(rest: &mut &[u8]) -> Option<Option<FieldRule>> {
    let parts = take_byte(rest)?;
    let has = |part: u8| parts >> part & 1 == 1;
    if parts >= 1 << 6 || (!has(0) && parts != 0) {
        return None;
    }
    if parts == 0 {
        return Some(None);
    }
    let mut rule = FieldRule::default();
    if has(1) {
        rule.field_type = Some(take_type(rest)?);
    }
    if has(2) {
        rule.unit = Some(take_text(rest)?.into());
    }
    if has(3) {
        rule.description = Some(take_text(rest)?.into());
    }
    if has(4) {
        rule.min = Some(take_bound(rest)?);
    }
    if has(5) {
        rule.max = Some(take_bound(rest)?);
    }
    Some(Some(rule))
}

fn take_bound(rest: &mut &[u8]) -> Option<f64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(f64::from_le_bytes(*bytes)).filter(|bound| !bound.is_nan())
}

pub(super) fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

/// Takes so many runs of numbers off the front.
fn take_runs(count: u32, rest: &mut &[u8]) -> Option<Vec<Range<u32>>> {
    // Every run takes two bytes.
    let count = usize::try_from(count).ok();
    let count = count.filter(|&count| count <= rest.len() / 2)?;
    let mut runs = Vec::with_capacity(count);
    let mut before = 0u32;
    for _ in 0..count {
        let gap = u32::try_from(take(rest)?).ok()?;
        let len = u32::try_from(take(rest)?).ok()?;
        if len == 0 {
            return None;
        }
        let start = before.checked_add(gap)?;
        before = start.checked_add(len)?;
        runs.push(start..before);
    }
    Some(runs)
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

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(take(rest)?)
        .ok()
        .filter(|&n| n <= NAME_BYTES)?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Takes a type's number off the front.
pub(super) fn take_type(rest: &mut &[u8]) -> Option<FieldType> {
    FieldType::from_number(take_byte(rest)?)
}

const TAG_DATABASE: u8 = 1;
const TAG_MEASUREMENT: u8 = 2;
const TAG_COLUMN: u8 = 3;
const TAG_SERIES: u8 = 4;
const TAG_DROPPED: u8 = 5;
const TAG_MODE: u8 = 6;
const TAG_FIELD: u8 = 7;
const TAG_RETIRED: u8 = 8;
const TAG_OWNER: u8 = 9;

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
            Definition::Retired {
                runs: vec![0..1, 7..9, 70_000..70_001],
            },
            Definition::Mode {
                measurement: MeasurementId(300),
                revision: 1000,
                mode: SchemaMode::Strict,
            },
            Definition::Field {
                measurement: MeasurementId(300),
                revision: 1001,
                name: "temperature",
                rule: Some(FieldRule {
                    field_type: Some(FieldType::Float),
                    unit: Some("°C".into()),
                    description: Some("of the air, in the shade".into()),
                    min: Some(-90.0),
                    max: Some(60.5),
                }),
            },
            Definition::Field {
                measurement: MeasurementId(300),
                revision: 1002,
                name: "humidity",
                rule: Some(FieldRule {
                    max: Some(100.0),
                    ..FieldRule::default()
                }),
            },
            Definition::Field {
                measurement: MeasurementId(300),
                revision: 1003,
                name: "temperature",
                rule: None,
            },
            Definition::Owner {
                series: SeriesId(70_000),
                token: TokenId(300),
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
    fn runs_that_cannot_be_are_an_error() {
        for bytes in [
            &[TAG_RETIRED, 1, 5, 0][..],
            &[TAG_RETIRED, 200, 1, 1, 1],
            &[TAG_RETIRED, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 1],
            &[TAG_RETIRED, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1],
        ] {
            let mut found = 0;
            assert!(decode(bytes, |_| found += 1).is_err(), "{bytes:?}");
            assert_eq!(found, 0);
        }
    }

    #[test]
    fn parts_of_a_rule_that_are_not_known_are_an_error() {
        for parts in [2, 1 << 6 | 1, 255] {
            let mut payload = vec![TAG_FIELD, 1, 1, 0, parts];
            payload.extend([0; 40]);
            assert!(decode(&payload, |_| {}).is_err(), "{parts}");
        }
        let mut not_a_number = vec![TAG_FIELD, 1, 1, 0, 1 | 1 << 4];
        not_a_number.extend(f64::NAN.to_le_bytes());
        assert!(decode(&not_a_number, |_| {}).is_err());
        assert!(decode(&[TAG_MODE, 1, 1, 3], |_| {}).is_err());
    }

    #[test]
    fn nobody_is_no_owner() {
        assert!(decode(&[TAG_OWNER, 7, 1], |_| {}).is_ok());
        assert!(decode(&[TAG_OWNER, 7, 0], |_| {}).is_err());
        assert!(decode(&[TAG_OWNER, 7, 0xff, 0xff, 0xff, 0xff, 0x1f], |_| {}).is_err());
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
