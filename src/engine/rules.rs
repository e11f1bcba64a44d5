//! Changing what a measurement takes: a definition in the log, in force when the call returns.
//!
//! A change is appended under the catalog's lock, so that nobody resolves fields meanwhile; writers resolve theirs
//! anew when [`Engine::drops`] has risen. Rows that were on their way are taken by the rules of before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalog::{Catalog, REJECTED, RuleChange};
use crate::engine::write::refusal;
use crate::engine::{Access, Engine, EngineError, Verb};
use crate::limits::{DESCRIPTION_BYTES, NAME_BYTES, UNIT_BYTES};
use crate::log::definitions::Definition;
use crate::log::{FrameParts, FrameType};
use crate::types::{FieldRule, MeasurementId, Position, SchemaMode, is_numeric};

/// What a measurement takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulesView {
    /// What it does with what is new to it.
    pub mode: SchemaMode,
    /// What is declared of its fields, by name.
    pub fields: Vec<(Arc<str>, FieldRule)>,
}

impl Engine {
    /// The rules of a measurement; those of one that does not exist are open.
    pub fn rules(&self, measurement: MeasurementId) -> RulesView {
        let catalog = self.catalog.read();
        let found = catalog.measurement_by_id(measurement);
        found.map_or_else(RulesView::default, |found| RulesView {
            mode: found.rules().mode(),
            fields: found
                .rules()
                .fields()
                .map(|(name, rule)| (Arc::clone(name), rule.clone()))
                .collect(),
        })
    }

    /// Sets what a measurement, made if it is new, does with what is new to it.
    pub fn set_mode(
        &self,
        access: &Access,
        (database, measurement): (&str, &str),
        mode: SchemaMode,
    ) -> Result<Position, EngineError> {
        access.check(Verb::Administer, database)?;
        if measurement == REJECTED && mode != SchemaMode::Open {
            return Err(bad(
                "rejected lines are always kept: their measurement stays open",
            ));
        }
        let mut catalog = self.catalog.write();
        let id = ensure(&mut catalog, database, measurement)?;
        self.change_rule(&mut catalog, id, RuleChange::Mode(mode))
    }

    /// Edits what is declared of a field of a measurement, which is made if it is new; what is declared then.
    pub fn declare_field(
        &self,
        access: &Access,
        (database, measurement): (&str, &str),
        field: &str,
        edit: impl FnOnce(&mut FieldRule),
    ) -> Result<(Position, FieldRule), EngineError> {
        access.check(Verb::Administer, database)?;
        let mut catalog = self.catalog.write();
        let id = ensure(&mut catalog, database, measurement)?;
        let known = catalog.measurement_by_id(id);
        let known = known.and_then(|found| found.rules().field(field));
        let mut rule = known.cloned().unwrap_or_default();
        edit(&mut rule);
        check(field, &rule)?;
        let change = RuleChange::Field(field, Some(rule.clone()));
        Ok((self.change_rule(&mut catalog, id, change)?, rule))
    }

    /// Takes back what was declared of a field; whether anything was.
    pub fn withdraw_field(
        &self,
        access: &Access,
        (database, measurement): (&str, &str),
        field: &str,
    ) -> Result<Option<Position>, EngineError> {
        access.check(Verb::Administer, database)?;
        let mut catalog = self.catalog.write();
        let declared = catalog
            .measurement(database, measurement)
            .filter(|found| found.rules().field(field).is_some());
        let Some(id) = declared.map(|found| found.id) else {
            return Ok(None);
        };
        let change = RuleChange::Field(field, None);
        Ok(Some(self.change_rule(&mut catalog, id, change)?))
    }

    /// Appends a change to the log and puts it in force.
    fn change_rule(
        &self,
        catalog: &mut Catalog,
        id: MeasurementId,
        change: RuleChange<'_>,
    ) -> Result<Position, EngineError> {
        if self.space.is_full() {
            return Err(self.space.refused(0));
        }
        let Some(found) = catalog.measurement_by_id(id) else {
            return Err(bad("the measurement is gone"));
        };
        // What does not fit the catalog must not come back from the log.
        found.admit_change(&change)?;
        let revision = found.rules().revision() + 1;
        let mut payload = Vec::new();
        if let Some(database) = catalog.database_by_id(found.database) {
            let (id, name) = (database.id, &*database.name);
            Definition::Database { id, name }.encode(&mut payload);
        }
        let (database, name) = (found.database, &*found.name);
        Definition::Measurement { id, database, name }.encode(&mut payload);
        encode_change(&mut payload, id, revision, &change);
        let frame = FrameParts::new(FrameType::Definitions, &payload);
        let appended = self.log.append_in_any_epoch(&[frame]);
        let position = appended.map_err(refusal)?.end;
        catalog.define_rule(id, revision, change)?;
        self.drops.fetch_add(1, Ordering::Release);
        Ok(position)
    }
}

/// Appends a change of a rule as a definition.
pub(super) fn encode_change(
    out: &mut Vec<u8>,
    measurement: MeasurementId,
    revision: u64,
    change: &RuleChange<'_>,
) {
    match change {
        RuleChange::Mode(mode) => Definition::Mode {
            measurement,
            revision,
            mode: *mode,
        },
        RuleChange::Field(name, rule) => Definition::Field {
            measurement,
            revision,
            name,
            rule: rule.clone(),
        },
    }
    .encode(out);
}

/// The measurement of that name, made if it is new, of a database that is there.
fn ensure(
    catalog: &mut Catalog,
    database: &str,
    measurement: &str,
) -> Result<MeasurementId, EngineError> {
    if let Some(found) = catalog.measurement(database, measurement) {
        return Ok(found.id);
    }
    if measurement.is_empty() || measurement.len() > NAME_BYTES {
        return Err(bad(&format!(
            "a measurement has a name of 1 to {NAME_BYTES} bytes"
        )));
    }
    match catalog.database(database).map(|found| found.id) {
        Some(database) => Ok(catalog.ensure_measurement(database, measurement)?),
        None => Err(bad(&format!("there is no database {database:?}"))),
    }
}

/// Refuses a declaration that nothing can meet, or that cannot be kept.
fn check(field: &str, rule: &FieldRule) -> Result<(), EngineError> {
    let too_long = |text: &Option<Arc<str>>, max| text.as_ref().is_some_and(|t| t.len() > max);
    if field.is_empty() || field.len() > NAME_BYTES {
        return Err(bad(&format!(
            "a field has a name of 1 to {NAME_BYTES} bytes"
        )));
    }
    if too_long(&rule.unit, UNIT_BYTES) {
        return Err(bad(&format!("a unit has at most {UNIT_BYTES} bytes")));
    }
    if too_long(&rule.description, DESCRIPTION_BYTES) {
        return Err(bad(&format!(
            "a description has at most {DESCRIPTION_BYTES} bytes"
        )));
    }
    let bounds = [rule.min, rule.max];
    if bounds.iter().flatten().any(|bound| bound.is_nan()) {
        return Err(bad("a bound is a number"));
    }
    if let (Some(min), Some(max)) = (rule.min, rule.max)
        && min > max
    {
        return Err(bad(&format!(
            "no value is at least {min} and at most {max}"
        )));
    }
    let declared = rule.field_type.filter(|declared| !is_numeric(*declared));
    if let Some(declared) = declared
        && bounds.iter().any(Option::is_some)
    {
        return Err(bad(&format!("values of type {declared} have no range")));
    }
    Ok(())
}

fn bad(reason: &str) -> EngineError {
    EngineError::BadRule {
        reason: reason.to_owned(),
    }
}
