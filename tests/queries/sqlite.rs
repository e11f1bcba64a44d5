//! The same rows in SQLite.

use rusqlite::Connection;
use rusqlite::types::{Value as Theirs, ValueRef};

use super::naive::{Cell, Row};
use super::question::FIELDS;
use super::value::{Type, Value};

pub struct Sqlite(Connection);

impl Sqlite {
    pub fn new(rows: &[Row]) -> Self {
        let connection = Connection::open_in_memory().expect("memory");
        let fields = FIELDS.map(|(name, kind)| match kind {
            Type::Float => format!("\"{name}\" REAL"),
            Type::Text => format!("\"{name}\" TEXT"),
            _ => format!("\"{name}\" INTEGER"),
        });
        let table = format!(
            "CREATE TABLE m (time INTEGER, host TEXT, rack TEXT, {})",
            fields.join(", ")
        );
        connection.execute(&table, []).expect("a table");
        connection
            .pragma_update(None, "case_sensitive_like", true)
            .expect("as the server's LIKE");
        {
            let marks = ["?"; FIELDS.len() + 3].join(", ");
            let mut insert = connection
                .prepare(&format!("INSERT INTO m VALUES ({marks})"))
                .expect("a statement");
            for row in rows {
                let time = Value::Int(row.time);
                let cells = [&time].into_iter().chain(&row.tags).chain(&row.fields);
                insert
                    .execute(rusqlite::params_from_iter(cells.map(theirs)))
                    .expect("inserted");
            }
        }
        Self(connection)
    }

    pub fn ask(&self, text: &str) -> Vec<Vec<Value>> {
        fn failed<T>(text: &str, error: &rusqlite::Error) -> T {
            panic!("{text}: {error}")
        }
        let mut statement = self
            .0
            .prepare(text)
            .unwrap_or_else(|error| failed(text, &error));
        let columns = statement.column_count();
        let mut answer = Vec::new();
        let mut rows = statement.query([]).expect("asked");
        while let Some(row) = rows.next().unwrap_or_else(|error| failed(text, &error)) {
            let cells = (0..columns).map(|column| match row.get_ref(column).expect("a column") {
                ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                ValueRef::Integer(value) => Value::Int(value),
                ValueRef::Real(value) => Value::Float(value),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            });
            answer.push(cells.collect());
        }
        answer
    }
}

fn theirs(value: &Value) -> Theirs {
    match value {
        Value::Null => Theirs::Null,
        Value::Bool(value) => Theirs::Integer(i64::from(*value)),
        Value::Int(value) => Theirs::Integer(*value),
        Value::Unsigned(value) => Theirs::Integer(i64::try_from(*value).expect("not a wild one")),
        Value::Float(value) => Theirs::Real(*value),
        Value::Text(text) => Theirs::Text(text.clone()),
    }
}

/// What differs first. SQLite knows one kind of integers, and truth values are such.
pub fn compare(found: &[Vec<Value>], expected: &[Vec<Cell>]) -> Result<(), String> {
    let plain: Vec<Vec<Cell>> = expected
        .iter()
        .map(|row| {
            let cells = row.iter().map(|Cell(value, size)| match value {
                Value::Bool(value) => Cell(Value::Int(i64::from(*value)), *size),
                Value::Unsigned(value) => Cell(Value::Int(*value as i64), *size),
                other => Cell(other.clone(), *size),
            });
            cells.collect()
        })
        .collect();
    super::compare(found, &plain)
}
