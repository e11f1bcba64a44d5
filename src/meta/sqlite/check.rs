//! Reads an index that nobody has open, and changes nothing.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Checks the whole of an index file; the number of its series, or what is wrong with it.
pub fn check_index(path: &Path) -> Result<u64, String> {
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
