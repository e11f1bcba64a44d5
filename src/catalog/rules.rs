//! What a measurement takes: its mode, and what was declared of its fields.
//!
//! Types are checked where the fields of a row become columns, once a layout and not once a row; of rows only the
//! ranges of a strict measurement are looked at. Every change has a revision, counted within the measurement, so
//! that definitions may come back from the log and the state file in any order.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetime_protocol::cell::{self, MARK_NULL};

use crate::catalog::{Catalog, CatalogError, Measurement};
use crate::limits::COLUMNS;
use crate::types::{FieldRule, FieldType, MeasurementId, SchemaMode, is_numeric};

/// The rules of a measurement.
#[derive(Debug, Default)]
pub struct Rules {
    mode: SchemaMode,
    mode_revision: u64,
    fields: BTreeMap<Arc<str>, Declared>,
    revision: u64,
}

/// What is declared of a field; what was withdrawn keeps its revision.
#[derive(Debug)]
struct Declared {
    revision: u64,
    rule: Option<FieldRule>,
}

/// A change of one rule.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleChange<'a> {
    /// Another mode.
    Mode(SchemaMode),
    /// What is declared of a field from now on; `None`: nothing.
    Field(&'a str, Option<FieldRule>),
}

impl Rules {
    /// What the measurement does with what is new to it.
    pub fn mode(&self) -> SchemaMode {
        self.mode
    }

    /// Counts changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What is declared of a field.
    pub fn field(&self, name: &str) -> Option<&FieldRule> {
        self.fields.get(name)?.rule.as_ref()
    }

    /// All declared fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&Arc<str>, &FieldRule)> {
        let declared = self.fields.iter();
        declared.filter_map(|(name, field)| Some((name, field.rule.as_ref()?)))
    }

    /// Changes beyond a revision, each with its own.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = (u64, RuleChange<'_>)> {
        let mode = (self.mode_revision, RuleChange::Mode(self.mode));
        let fields = self.fields.iter().map(|(name, field)| {
            let change = RuleChange::Field(name, field.rule.clone());
            (field.revision, change)
        });
        std::iter::once(mode)
            .chain(fields)
            .filter(move |(changed, _)| *changed > revision)
    }

    /// Whether there is room for a change.
    fn fits(&self, change: &RuleChange<'_>) -> bool {
        match change {
            RuleChange::Mode(_) => true,
            RuleChange::Field(name, _) => {
                self.fields.len() < COLUMNS || self.fields.contains_key(*name)
            }
        }
    }

    /// Takes a change that fits, unless a later one of the same rule is known.
    fn change(&mut self, revision: u64, change: RuleChange<'_>) {
        match change {
            RuleChange::Mode(mode) if revision > self.mode_revision => {
                self.mode = mode;
                self.mode_revision = revision;
            }
            RuleChange::Mode(_) => {}
            RuleChange::Field(name, rule) => match self.fields.get_mut(name) {
                Some(known) if revision > known.revision => *known = Declared { revision, rule },
                Some(_) => {}
                None => {
                    self.fields
                        .insert(Arc::from(name), Declared { revision, rule });
                }
            },
        }
        self.revision = self.revision.max(revision);
    }
}

impl Catalog {
    /// Changes a rule of a measurement. A revision that is not above the known one of the same rule changes nothing.
    pub fn define_rule(
        &mut self,
        measurement: MeasurementId,
        revision: u64,
        change: RuleChange<'_>,
    ) -> Result<(), CatalogError> {
        if self.is_dropped_measurement(measurement) {
            return Ok(());
        }
        let found = self.measurement_mut(measurement)?;
        found.admit_change(&change)?;
        found.rules_mut().change(revision, change);
        self.touch();
        Ok(())
    }
}

impl Measurement {
    /// Refuses a change that there is no room for.
    pub fn admit_change(&self, change: &RuleChange<'_>) -> Result<(), CatalogError> {
        if self.rules().fits(change) {
            return Ok(());
        }
        Err(CatalogError::TooManyColumns {
            measurement: self.name.to_string(),
            limit: COLUMNS,
        })
    }

    /// Refuses rows with these fields where the rules do not let them in.
    pub fn admit(&self, fields: &[(&str, FieldType)]) -> Result<(), CatalogError> {
        if self.rules().mode == SchemaMode::Open {
            return Ok(());
        }
        fields
            .iter()
            .try_for_each(|&(name, given)| self.admit_field(name, given))
    }

    fn admit_field(&self, name: &str, given: FieldType) -> Result<(), CatalogError> {
        let rules = self.rules();
        let declared = rules.field(name);
        if declared.is_none() && rules.mode == SchemaMode::Strict {
            return Err(CatalogError::FieldNotDeclared {
                measurement: self.name.to_string(),
                field: name.to_owned(),
            });
        }
        let declared_type = declared.and_then(|rule| rule.field_type);
        let conflict = if let Some(declared) = declared_type {
            (!FieldRule::takes(declared, given)).then_some(declared)
        } else {
            // Lanes that are there already stay open: those of numbers for all numbers.
            let mut lanes = self.lanes_of(name).map(|lane| lane.field_type);
            let first = lanes.clone().next();
            let is_known =
                lanes.any(|lane| lane == given || (is_numeric(lane) && is_numeric(given)));
            first.filter(|_| !is_known)
        };
        conflict.map_or(Ok(()), |known| {
            Err(CatalogError::TypeConflict {
                measurement: self.name.to_string(),
                field: name.to_owned(),
                known,
                given,
            })
        })
    }

    /// The ranges that rows with these fields have to keep to.
    pub fn ranges(&self, fields: &[(&str, FieldType)]) -> Option<Arc<[FieldRange]>> {
        let rules = self.rules();
        if rules.mode != SchemaMode::Strict {
            return None;
        }
        let ranges: Vec<FieldRange> = fields
            .iter()
            .enumerate()
            .filter(|(_, (_, given))| is_numeric(*given))
            .filter_map(|(at, &(name, given))| {
                let rule = rules.field(name)?;
                if rule.min.is_none() && rule.max.is_none() {
                    return None;
                }
                Some(FieldRange {
                    at,
                    name: Arc::from(name),
                    field_type: given,
                    min: rule.min.unwrap_or(f64::NEG_INFINITY),
                    max: rule.max.unwrap_or(f64::INFINITY),
                })
            })
            .collect();
        (!ranges.is_empty()).then(|| ranges.into())
    }
}

/// The range of a field, and where it stands in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRange {
    at: usize,
    name: Arc<str>,
    field_type: FieldType,
    min: f64,
    max: f64,
}

impl FieldRange {
    /// Refuses a row whose value lies outside. Rows have the fields that the range was made for.
    pub fn check(&self, cells: &[u64], marks: &[u8]) -> Result<(), CatalogError> {
        let (Some(&bits), Some(&mark)) = (cells.get(self.at), marks.get(self.at)) else {
            return Ok(());
        };
        if mark == MARK_NULL || self.holds(bits, mark) {
            return Ok(());
        }
        let value = match self.field_type {
            FieldType::Integer => (bits as i64).to_string(),
            FieldType::Unsigned => bits.to_string(),
            _ => cell::float(bits, mark).to_string(),
        };
        Err(CatalogError::OutOfRange {
            field: self.name.to_string(),
            value,
            min: self.min,
            max: self.max,
        })
    }

    /// Whether a value lies inside, exactly: integers are not rounded to be compared.
    fn holds(&self, bits: u64, mark: u8) -> bool {
        // Infinite bounds become the least and the greatest integer of 128 bits.
        let whole =
            |value: i128| self.min.ceil() as i128 <= value && value <= self.max.floor() as i128;
        match self.field_type {
            FieldType::Integer => whole(i128::from(bits as i64)),
            FieldType::Unsigned => whole(i128::from(bits)),
            _ => (self.min..=self.max).contains(&cell::float(bits, mark)),
        }
    }
}

#[cfg(test)]
#[path = "tests/rules.rs"]
mod tests;
