//! Rows of line protocol on their way into batches: names found by their raw bytes, strings without their escapes.
//!
//! Invariant: rows that mean something else in another order keep theirs. A batch has its rows by layout; a row is in
//! the batch of an earlier row of its series only where their layouts have no field in common that differs in type, and
//! no time is left to the server.

use std::borrow::{Cow, ToOwned};
use std::boxed::Box;
use std::collections::HashMap;
use std::string::String;
use std::vec::Vec;

use super::batches::BatchWriter;
use super::{ClientError, RowNames};
use crate::cell;
use crate::limits::Limits;

use crate::line::{LineError, Row, key, unescape_string};
use crate::types::FieldType;
use crate::write::RowCells;

/// What lines have named so far, by their raw bytes.
#[derive(Debug, Default)]
pub(super) struct LineNames {
    /// By database and raw key.
    series: HashMap<Box<[u8]>, (u32, u32)>,
    /// By table, types and raw keys of fields.
    layouts: HashMap<Box<[u8]>, u32>,
    /// Of each layout that lines have named: its table and its fields.
    fields: HashMap<u32, (u32, Vec<(String, FieldType)>)>,
    /// Pairs of layouts that have a field of two types.
    conflicts: HashMap<(u32, u32), bool>,
    /// Tables of which two layouts conflict.
    mixed: Vec<u32>,
    /// Layouts that each series has rows of in the batch at hand, where it matters.
    in_batch: HashMap<u32, Vec<u32>>,
    key: Vec<u8>,
    bits: Vec<u64>,
    marks: Vec<u8>,
    heap: Vec<u8>,
}

impl LineNames {
    /// A batch was sent.
    pub(super) fn begin_batch(&mut self) {
        self.in_batch.clear();
    }

    /// Whether two layouts of a table have a field in common that differs in type.
    fn conflict(&mut self, one: u32, other: u32) -> bool {
        let pair = (one.min(other), one.max(other));
        if let Some(&known) = self.conflicts.get(&pair) {
            return known;
        }
        let differs = match (self.fields.get(&one), self.fields.get(&other)) {
            (Some((_, one)), Some((_, other))) => one.iter().any(|(name, kind)| {
                other
                    .iter()
                    .any(|(same, other)| same == name && other != kind)
            }),
            _ => true,
        };
        self.conflicts.insert(pair, differs);
        differs
    }

    /// Notes a new layout; whether its table is mixed from now on and was not before.
    fn add_layout(&mut self, table: u32, layout: u32, fields: Vec<(String, FieldType)>) -> bool {
        self.fields.insert(layout, (table, fields));
        let of_table = self.fields.iter().filter(|(_, (of, _))| *of == table);
        let others: Vec<u32> = of_table.map(|(&other, _)| other).collect();
        let conflicts = others
            .into_iter()
            .any(|other| other != layout && self.conflict(layout, other));
        let is_new = conflicts && !self.mixed.contains(&table);
        if is_new {
            self.mixed.push(table);
        }
        is_new
    }

    /// Whether a row has to wait for the next batch.
    fn must_wait(&mut self, table: u32, series: u32, layout: u32, has_time: bool) -> bool {
        if has_time && !self.mixed.contains(&table) {
            return false;
        }
        let layouts = self.in_batch.get(&series).cloned().unwrap_or_default();
        let waits = layouts
            .iter()
            .any(|&other| other != layout && (!has_time || self.conflict(layout, other)));
        if !layouts.contains(&layout) {
            self.in_batch.entry(series).or_default().push(layout);
        }
        waits
    }
}

impl BatchWriter {
    /// Rows that follow go to this database; `None` is the server's default.
    pub fn set_database(&mut self, database: Option<String>) {
        self.options_mut().database = database;
    }

    /// Adds a row of line protocol; `tag` is the caller's own number for it. The inner error is a key that no server
    /// takes: then nothing was added.
    pub fn push_row(
        &mut self,
        row: &Row<'_>,
        tag: u64,
    ) -> Result<Result<(), LineError>, ClientError> {
        if self.is_full_of_names() {
            self.begin_names_again()?;
        }
        let mut lines = self.take_line_names();
        let pushed = self.push_with(&mut lines, row, tag);
        self.put_line_names(lines);
        pushed
    }

    fn push_with(
        &mut self,
        lines: &mut LineNames,
        row: &Row<'_>,
        tag: u64,
    ) -> Result<Result<(), LineError>, ClientError> {
        let (table, series) = match self.series_of(lines, row) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let (layout, is_mixed_now) = self.layout_of(lines, table, row);
        let has_time = row.time.is_some();
        if is_mixed_now || lines.must_wait(table, series, layout, has_time) {
            self.flush()?;
            lines.begin_batch();
            lines.must_wait(table, series, layout, has_time);
        }
        let is_string = |kind: &FieldType| matches!(kind, FieldType::String | FieldType::Binary);
        let cells = if row.kinds().iter().any(is_string) {
            lines.heap.clear();
            lines.bits.clear();
            lines.marks.clear();
            for (i, kind) in row.kinds().iter().enumerate() {
                let (mut bits, mut mark) = (row.cells()[i], row.marks()[i]);
                if is_string(kind) {
                    let start = lines.heap.len() as u32;
                    let raw = row.string(bits);
                    if mark == 0 {
                        lines.heap.extend_from_slice(raw);
                    } else {
                        unescape_string(raw, &mut lines.heap);
                    }
                    bits = cell::heap(start, lines.heap.len() as u32 - start);
                    mark = 0;
                }
                lines.bits.push(bits);
                lines.marks.push(mark);
            }
            RowCells {
                bits: &lines.bits,
                marks: &lines.marks,
                heap: &lines.heap,
            }
        } else {
            RowCells {
                bits: row.cells(),
                marks: row.marks(),
                heap: &[],
            }
        };
        let sent = self.push_declared((layout, row.kinds()), series, row.time, cells, tag)?;
        if sent {
            lines.begin_batch();
            // The row itself may be the first of the next batch.
            lines.must_wait(table, series, layout, has_time);
        }
        Ok(Ok(()))
    }

    /// Table and series of a row.
    fn series_of(&mut self, lines: &mut LineNames, row: &Row<'_>) -> Result<(u32, u32), LineError> {
        let database = self.options_mut().database.take();
        let name = database.as_deref().unwrap_or_default();
        lines.key.clear();
        lines.key.extend_from_slice(name.as_bytes());
        lines.key.push(0);
        lines.key.extend_from_slice(row.key);
        let known = lines.series.get(&lines.key[..]).copied();
        let found = known.map_or_else(
            || {
                let parsed = key::parse(row.key, &Limits::default())?;
                let tags: Vec<(Cow<'_, str>, Cow<'_, str>)> = parsed.tags().collect();
                let tags: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (&**k, &**v)).collect();
                let measurement = parsed.measurement();
                let names = RowNames {
                    database: name,
                    measurement: &measurement,
                    tags: &tags,
                };
                let found = self.declare_series(&names);
                lines.series.insert(lines.key[..].into(), found);
                Ok(found)
            },
            Ok,
        );
        self.options_mut().database = database;
        found
    }

    /// The layout of a row, and whether its table has become mixed by it.
    fn layout_of(&mut self, lines: &mut LineNames, table: u32, row: &Row<'_>) -> (u32, bool) {
        lines.key.clear();
        lines.key.extend_from_slice(&table.to_le_bytes());
        for (kind, name) in row.kinds().iter().zip(row.keys()) {
            lines.key.push(kind.number());
            lines.key.extend_from_slice(name);
            lines.key.push(b'=');
        }
        if let Some(&known) = lines.layouts.get(&lines.key[..]) {
            return (known, false);
        }
        let names = row.keys().map(key::unescape_field_key);
        let fields: Vec<(String, FieldType)> = names
            .map(|name| (*name).to_owned())
            .zip(row.kinds().iter().copied())
            .collect();
        let names = fields.iter().map(|(name, _)| &**name);
        let layout = self.declare_layout(table, names, row.kinds());
        lines.layouts.insert(lines.key[..].into(), layout);
        (layout, lines.add_layout(table, layout, fields))
    }
}
