//! Every statement of the index, in one place: so that each is known to use an index, and each is timed.

/// A statement: its text, and what the log of slow ones calls it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    /// Whether it reads whole tables, and has to.
    pub(super) reads_all: bool,
}

/// Says that a statement goes by an index.
const fn indexed(name: &'static str, sql: &'static str) -> Statement {
    Statement {
        name,
        sql,
        reads_all: false,
    }
}

/// Says that a statement has to read a whole table.
const fn whole(name: &'static str, sql: &'static str) -> Statement {
    Statement {
        name,
        sql,
        reads_all: true,
    }
}

pub(super) static PROBE: Statement = indexed("probe", "SELECT 1");

pub(super) static SELECT_APPLIED: Statement = indexed(
    "select applied",
    "SELECT position FROM applied WHERE one = 1",
);
pub(super) static SELECT_DATABASES: Statement = whole(
    "select databases",
    "SELECT id, name FROM databases ORDER BY id",
);
pub(super) static SELECT_MEASUREMENTS: Statement = indexed(
    "select measurements",
    "SELECT id, name, mode FROM measurements WHERE database = ?1 ORDER BY name",
);
pub(super) static SELECT_COLUMNS: Statement = indexed(
    "select columns",
    "SELECT id, field, type FROM columns WHERE measurement = ?1 ORDER BY id",
);
pub(super) static SELECT_FIELDS: Statement = indexed(
    "select fields",
    "SELECT name, type, unit, description, min, max FROM fields
    WHERE measurement = ?1 ORDER BY name",
);
pub(super) static SELECT_SERIES: Statement = indexed(
    "select series",
    "SELECT id, database, tags FROM series
    WHERE measurement = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
);
pub(super) static COUNT_ALL: Statement = whole(
    "count all",
    "SELECT (SELECT count(*) FROM databases), (SELECT count(*) FROM measurements),
    (SELECT count(*) FROM columns), (SELECT count(*) FROM series),
    (SELECT count(*) FROM fields)",
);

pub(super) static DELETE_SERIES: Statement =
    indexed("delete series", "DELETE FROM series WHERE id = ?1");
pub(super) static DELETE_FIELD: Statement = indexed(
    "delete field",
    "DELETE FROM fields WHERE measurement = ?1 AND name = ?2",
);
pub(super) static DELETE_MEASUREMENT: Statement = indexed(
    "delete measurement",
    "DELETE FROM measurements WHERE id = ?1",
);
pub(super) static DELETE_DATABASE: Statement =
    indexed("delete database", "DELETE FROM databases WHERE id = ?1");
pub(super) static DELETE_DATABASE_NAMESAKE: Statement = indexed(
    "delete database of the same name",
    "DELETE FROM databases WHERE name = ?1 AND id <> ?2",
);
pub(super) static DELETE_MEASUREMENT_NAMESAKE: Statement = indexed(
    "delete measurement of the same name",
    "DELETE FROM measurements WHERE database = ?1 AND name = ?2 AND id <> ?3",
);

// A record that is there already is not written again: a start tells everything once more, and must not
// cost the device a copy of the whole index.
pub(super) static UPSERT_DATABASE: Statement = indexed(
    "upsert database",
    "INSERT INTO databases (id, name) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE name <> excluded.name",
);
pub(super) static UPSERT_MEASUREMENT: Statement = indexed(
    "upsert measurement",
    "INSERT INTO measurements (id, database, name, mode) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET database = excluded.database, name = excluded.name,
        mode = excluded.mode
    WHERE database <> excluded.database OR name <> excluded.name OR mode <> excluded.mode",
);
pub(super) static UPSERT_COLUMN: Statement = indexed(
    "upsert column",
    "INSERT INTO columns (measurement, id, field, type) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (measurement, id) DO UPDATE SET field = excluded.field, type = excluded.type
    WHERE field <> excluded.field OR type <> excluded.type",
);
pub(super) static UPSERT_FIELD: Statement = indexed(
    "upsert field",
    "INSERT INTO fields (measurement, name, type, unit, description, min, max)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (measurement, name) DO UPDATE SET type = excluded.type, unit = excluded.unit,
        description = excluded.description, min = excluded.min, max = excluded.max
    WHERE type IS NOT excluded.type OR unit IS NOT excluded.unit
        OR description IS NOT excluded.description
        OR min IS NOT excluded.min OR max IS NOT excluded.max",
);
pub(super) static UPSERT_SERIES: Statement = indexed(
    "upsert series",
    "INSERT INTO series (id, database, measurement, tags) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET database = excluded.database,
        measurement = excluded.measurement, tags = excluded.tags
    WHERE database <> excluded.database OR measurement <> excluded.measurement
        OR tags <> excluded.tags",
);
pub(super) static UPSERT_APPLIED: Statement = indexed(
    "upsert applied",
    "INSERT INTO applied (one, position) VALUES (1, ?1)
    ON CONFLICT (one) DO UPDATE SET position = excluded.position",
);

pub(super) static CLEAR: [Statement; 6] = [
    whole("clear fields", "DELETE FROM fields"),
    whole("clear series", "DELETE FROM series"),
    whole("clear columns", "DELETE FROM columns"),
    whole("clear measurements", "DELETE FROM measurements"),
    whole("clear databases", "DELETE FROM databases"),
    whole("clear applied", "DELETE FROM applied"),
];

/// All of them, but for [`CLEAR`]: prepared at open, to know that tables and columns are there.
pub(super) static ALL: [&Statement; 20] = [
    &PROBE,
    &SELECT_APPLIED,
    &SELECT_DATABASES,
    &SELECT_MEASUREMENTS,
    &SELECT_COLUMNS,
    &SELECT_FIELDS,
    &SELECT_SERIES,
    &COUNT_ALL,
    &DELETE_SERIES,
    &DELETE_FIELD,
    &DELETE_MEASUREMENT,
    &DELETE_DATABASE,
    &DELETE_DATABASE_NAMESAKE,
    &DELETE_MEASUREMENT_NAMESAKE,
    &UPSERT_DATABASE,
    &UPSERT_MEASUREMENT,
    &UPSERT_COLUMN,
    &UPSERT_FIELD,
    &UPSERT_SERIES,
    &UPSERT_APPLIED,
];
