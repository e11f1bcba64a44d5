//! Whether the metadata index can be read. It is no part of the truth: a server builds it anew.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

/// The index.
#[derive(Debug, Default, Serialize)]
pub(super) struct IndexReport {
    /// Whether there is one.
    pub present: bool,
    /// Series in it.
    pub series: Option<u64>,
    /// What is wrong with it.
    pub damage: Option<String>,
}

impl IndexReport {
    /// Reads all of it, without changing it.
    pub(super) fn read(directory: &Path) -> Self {
        let path = directory.join("meta.sqlite");
        if !path.exists() {
            return Self::default();
        }
        // A server that did not end in order may have been moving pages from there to here.
        let interrupted = std::fs::metadata(directory.join("meta.sqlite-wal"))
            .is_ok_and(|companion| companion.len() > 0);
        let read = check(&path);
        if interrupted && read.is_err() {
            return Self {
                present: true,
                ..Self::default()
            };
        }
        Self {
            present: true,
            series: read.as_ref().ok().copied(),
            damage: read.err(),
        }
    }

    pub(super) const fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// For people.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        match (&self.damage, self.series) {
            (Some(damage), _) => writeln!(out, "index: damage: {damage}"),
            (None, Some(series)) => writeln!(out, "index: readable, {series} series"),
            (None, None) if self.present => {
                writeln!(
                    out,
                    "index: not readable alone; the next start completes it"
                )
            }
            (None, None) => writeln!(out, "index: none"),
        }
    }
}

fn check(path: &Path) -> Result<u64, String> {
    let said = |error: rusqlite::Error| error.to_string();
    // What the main file holds, without the write-ahead log beside it: to read with that would need a file of
    // shared memory, and so write.
    let mut name = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            name.push(char::from(*byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let index = Connection::open_with_flags(name, flags).map_err(said)?;
    let text = |sql| index.query_row(sql, [], |row| row.get::<_, String>(0));
    let number = |sql| index.query_row(sql, [], |row| row.get::<_, i64>(0));
    let verdict = text("PRAGMA integrity_check").map_err(said)?;
    if verdict != "ok" {
        return Err(verdict);
    }
    let known = number("SELECT count(*) FROM sqlite_master WHERE name = 'series'").map_err(said)?;
    if known == 0 {
        return Ok(0);
    }
    Ok(number("SELECT count(*) FROM series")
        .map_err(said)?
        .unsigned_abs())
}
