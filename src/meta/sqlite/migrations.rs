//! The schema of the index and its versions. Forward only; a step that was released never changes.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::meta::{MetaError, Result};

/// The steps; the schema version is how many of them were taken.
pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE applied (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        position INTEGER NOT NULL
    );
    CREATE TABLE databases (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    );
    CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        database INTEGER NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        UNIQUE (database, name)
    );
    CREATE TABLE columns (
        measurement INTEGER NOT NULL REFERENCES measurements (id) ON DELETE CASCADE,
        id INTEGER NOT NULL,
        field TEXT NOT NULL,
        type INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        PRIMARY KEY (measurement, id)
    ) WITHOUT ROWID;
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        database INTEGER NOT NULL,
        measurement INTEGER NOT NULL REFERENCES measurements (id) ON DELETE CASCADE,
        tags TEXT NOT NULL
    );
    CREATE INDEX series_by_measurement ON series (measurement, id);
",
    "
    ALTER TABLE columns DROP COLUMN first_seen;
    ALTER TABLE columns DROP COLUMN last_seen;
    ALTER TABLE measurements ADD COLUMN mode INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE fields (
        measurement INTEGER NOT NULL REFERENCES measurements (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        type INTEGER,
        unit TEXT,
        description TEXT,
        min REAL,
        max REAL,
        PRIMARY KEY (measurement, name)
    ) WITHOUT ROWID;
",
];

/// The version a file has.
pub(super) fn version_of(connection: &Connection) -> Result<u32> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Refuses a file whose pages contradict one another.
pub(super) fn check(connection: &Connection) -> Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(MetaError::Damaged { reason: verdict })
}

/// Takes the steps a file has not taken yet, all or none. Returns the version it had.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<u32> {
    let supported = steps.len() as u32;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version_of(&transaction)?;
    if found > supported {
        return Err(MetaError::Newer {
            path: path.to_owned(),
            found,
            supported,
        });
    }
    for step in &steps[found as usize..] {
        transaction.execute_batch(step)?;
    }
    if found < supported {
        transaction.pragma_update(None, "user_version", supported)?;
    }
    transaction.commit()?;
    Ok(found)
}
