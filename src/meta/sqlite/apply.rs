//! Writes a batch in one transaction, with prepared statements, and the position beside it.

use rusqlite::{Connection, Params, Transaction, TransactionBehavior};

use crate::meta::{Batch, Result};
use crate::types::Position;

/// Applies a batch; returns how many statements that took.
pub(super) fn batch(connection: &mut Connection, batch: &Batch, position: Position) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut writer = Writer {
        transaction: &transaction,
        statements: 0,
    };
    writer.all(DELETE_SERIES, &batch.removed_series, |id| [id.0])?;
    writer.all(DELETE_MEASUREMENT, &batch.removed_measurements, |id| [id.0])?;
    writer.all(DELETE_DATABASE, &batch.removed_databases, |id| [id.0])?;
    writer.all(DELETE_DATABASE_NAMESAKE, &batch.databases, |record| {
        (&record.name, record.id.0)
    })?;
    writer.all(UPSERT_DATABASE, &batch.databases, |record| {
        (record.id.0, &record.name)
    })?;
    writer.all(DELETE_MEASUREMENT_NAMESAKE, &batch.measurements, |record| {
        (record.database.0, &record.name, record.id.0)
    })?;
    writer.all(UPSERT_MEASUREMENT, &batch.measurements, |record| {
        (record.id.0, record.database.0, &record.name)
    })?;
    writer.all(UPSERT_COLUMN, &batch.columns, |record| {
        (
            record.measurement.0,
            record.id.0,
            &record.field,
            record.field_type.number(),
            record.first_seen,
            record.last_seen,
        )
    })?;
    writer.all(UPSERT_SERIES, &batch.series, |record| {
        (
            record.id.0,
            record.database.0,
            record.measurement.0,
            &record.tags,
        )
    })?;
    // The sign bit is only a bit here: positions are read back the same way.
    writer.all(UPSERT_APPLIED, &[position], |position| [position.0 as i64])?;
    let statements = writer.statements;
    transaction.commit()?;
    Ok(statements)
}

/// Empties every table.
pub(super) fn clear(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "DELETE FROM series; DELETE FROM columns; DELETE FROM measurements;
         DELETE FROM databases; DELETE FROM applied;",
    )?;
    Ok(transaction.commit()?)
}

struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    statements: u64,
}

impl Writer<'_> {
    /// Runs one statement for each record.
    fn all<'r, R, P: Params>(
        &mut self,
        sql: &str,
        records: &'r [R],
        params: impl Fn(&'r R) -> P,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut statement = self.transaction.prepare_cached(sql)?;
        for record in records {
            statement.execute(params(record))?;
        }
        self.statements += records.len() as u64;
        Ok(())
    }
}

const DELETE_SERIES: &str = "DELETE FROM series WHERE id = ?1";
const DELETE_MEASUREMENT: &str = "DELETE FROM measurements WHERE id = ?1";
const DELETE_DATABASE: &str = "DELETE FROM databases WHERE id = ?1";
const DELETE_DATABASE_NAMESAKE: &str = "DELETE FROM databases WHERE name = ?1 AND id <> ?2";
const UPSERT_DATABASE: &str = "INSERT INTO databases (id, name) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name";
const DELETE_MEASUREMENT_NAMESAKE: &str =
    "DELETE FROM measurements WHERE database = ?1 AND name = ?2 AND id <> ?3";
const UPSERT_MEASUREMENT: &str = "INSERT INTO measurements (id, database, name)
    VALUES (?1, ?2, ?3)
    ON CONFLICT (id) DO UPDATE SET database = excluded.database, name = excluded.name";
const UPSERT_COLUMN: &str =
    "INSERT INTO columns (measurement, id, field, type, first_seen, last_seen)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (measurement, id) DO UPDATE SET field = excluded.field, type = excluded.type,
        first_seen = excluded.first_seen, last_seen = excluded.last_seen";
const UPSERT_SERIES: &str = "INSERT INTO series (id, database, measurement, tags)
    VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET database = excluded.database,
        measurement = excluded.measurement, tags = excluded.tags";
const UPSERT_APPLIED: &str = "INSERT INTO applied (one, position) VALUES (1, ?1)
    ON CONFLICT (one) DO UPDATE SET position = excluded.position";
/// Every statement that writes.
#[cfg(test)]
pub(super) const WRITES: [&str; 10] = [
    DELETE_SERIES,
    DELETE_MEASUREMENT,
    DELETE_DATABASE,
    DELETE_DATABASE_NAMESAKE,
    UPSERT_DATABASE,
    DELETE_MEASUREMENT_NAMESAKE,
    UPSERT_MEASUREMENT,
    UPSERT_COLUMN,
    UPSERT_SERIES,
    UPSERT_APPLIED,
];
