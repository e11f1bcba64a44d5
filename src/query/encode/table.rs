//! Tables for people: aligned columns, numbers to the right, the number of rows at the end.
//!
//! Widths are those of the first batch, so that a long answer streams; a later cell that is wider moves
//! its line, and loses nothing.

use std::io::{self, Write};

use super::Encoder;
use super::csv::cell_text;
use super::time::TimeFormat;
use crate::query::result::{ResultBatch, ResultColumn, ResultType};

/// Writes a table.
#[derive(Clone, Debug)]
pub struct TableEncoder {
    time: TimeFormat,
    columns: Vec<ResultColumn>,
    /// Characters; known from the first batch on.
    widths: Vec<usize>,
    rows: u64,
}

impl TableEncoder {
    /// An encoder that writes times like this.
    #[must_use]
    pub const fn new(time: TimeFormat) -> Self {
        Self {
            time,
            columns: Vec::new(),
            widths: Vec::new(),
            rows: 0,
        }
    }

    fn header(&mut self, cells: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
        self.widths = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let widest = cells.iter().filter_map(|row| row.get(index));
                let widest = widest.map(|cell| cell.chars().count()).max().unwrap_or(0);
                widest.max(column.name.chars().count())
            })
            .collect();
        let names: Vec<String> = self.columns.iter().map(|c| c.name.clone()).collect();
        self.line(&names, out)?;
        let rules: Vec<String> = self.widths.iter().map(|&width| "-".repeat(width)).collect();
        writeln!(out, "{}", rules.join("  "))
    }

    fn line(&self, cells: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        for (index, (cell, &width)) in cells.iter().zip(&self.widths).enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            let right = self.columns.get(index).is_some_and(|column| {
                matches!(
                    column.column_type,
                    ResultType::Float | ResultType::Integer | ResultType::Unsigned
                )
            });
            if right {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

impl Encoder for TableEncoder {
    fn begin(&mut self, columns: &[ResultColumn], _: &mut dyn Write) -> io::Result<()> {
        self.columns = columns.to_vec();
        self.widths = Vec::new();
        self.rows = 0;
        Ok(())
    }

    fn batch(&mut self, batch: &ResultBatch, out: &mut dyn Write) -> io::Result<()> {
        let mut cells = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            let texts = batch.columns.iter().map(|column| {
                let mut text = String::new();
                cell_text(column.cell(row), self.time, &mut text);
                // A cell is one line, whatever it holds.
                text.replace(|letter: char| letter.is_control(), " ")
            });
            cells.push(texts.collect::<Vec<String>>());
        }
        if self.rows == 0 {
            self.header(&cells, out)?;
        }
        self.rows += cells.len() as u64;
        cells.iter().try_for_each(|row| self.line(row, out))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows == 0 {
            self.header(&[], out)?;
        }
        let plural = if self.rows == 1 { "" } else { "s" };
        writeln!(out, "({} row{plural})", self.rows)
    }
}
