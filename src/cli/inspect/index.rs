//! Whether the metadata index can be read. It is no part of the truth: a server builds it anew.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::meta::check_index;

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
        let read = check_index(&path);
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
