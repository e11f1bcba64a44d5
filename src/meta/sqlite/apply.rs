//! Writes a batch in one transaction, with prepared statements, and the position beside it.

use super::session::Session;
use super::statements::{
    CLEAR, DELETE_DATABASE, DELETE_DATABASE_NAMESAKE, DELETE_FIELD, DELETE_MEASUREMENT,
    DELETE_MEASUREMENT_NAMESAKE, DELETE_SERIES, UPSERT_APPLIED, UPSERT_COLUMN, UPSERT_DATABASE,
    UPSERT_FIELD, UPSERT_MEASUREMENT, UPSERT_SERIES,
};
use crate::meta::{Batch, Result};
use crate::types::{FieldType, Position};

/// Applies a batch.
pub(super) fn batch(session: &mut Session<'_>, batch: &Batch, position: Position) -> Result<()> {
    session.transaction(|writer| {
        writer.each(&DELETE_SERIES, &batch.removed_series, |id| [id.0])?;
        writer.each(&DELETE_FIELD, &batch.removed_fields, |(id, name)| {
            (id.0, name)
        })?;
        writer.each(
            &DELETE_MEASUREMENT,
            &batch.removed_measurements,
            |id| [id.0],
        )?;
        writer.each(&DELETE_DATABASE, &batch.removed_databases, |id| [id.0])?;
        writer.each(&DELETE_DATABASE_NAMESAKE, &batch.databases, |record| {
            (&record.name, record.id.0)
        })?;
        writer.each(&UPSERT_DATABASE, &batch.databases, |record| {
            (record.id.0, &record.name)
        })?;
        writer.each(
            &DELETE_MEASUREMENT_NAMESAKE,
            &batch.measurements,
            |record| (record.database.0, &record.name, record.id.0),
        )?;
        writer.each(&UPSERT_MEASUREMENT, &batch.measurements, |record| {
            (
                record.id.0,
                record.database.0,
                &record.name,
                record.mode.number(),
            )
        })?;
        writer.each(&UPSERT_COLUMN, &batch.columns, |record| {
            (
                record.measurement.0,
                record.id.0,
                &record.field,
                record.field_type.number(),
            )
        })?;
        writer.each(&UPSERT_FIELD, &batch.fields, |record| {
            let rule = &record.rule;
            (
                record.measurement.0,
                &record.name,
                rule.field_type.map(FieldType::number),
                rule.unit.as_deref(),
                rule.description.as_deref(),
                rule.min,
                rule.max,
            )
        })?;
        writer.each(&UPSERT_SERIES, &batch.series, |record| {
            (
                record.id.0,
                record.database.0,
                record.measurement.0,
                &record.tags,
            )
        })?;
        // The sign bit is only a bit here: positions are read back the same way.
        writer.each(&UPSERT_APPLIED, &[position], |position| [position.0 as i64])
    })
}

/// Empties every table.
pub(super) fn clear(session: &mut Session<'_>) -> Result<()> {
    session.transaction(|writer| CLEAR.iter().try_for_each(|clear| writer.once(clear)))
}
