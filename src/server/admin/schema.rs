//! `schema`: what a measurement holds, and what it takes.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::engine::{Access, EngineError, LaneUse, MeasurementView, RulesView};
use crate::server::codes::code_of;
use crate::server::{DEFAULT_DATABASE, Shared};
use crate::types::{ColumnId, FieldRule, FieldType, Position, SchemaMode, Timestamp};

use super::commands::{Answer, say};

/// What follows a measurement.
pub(super) const ARGUMENTS: &str =
    "[DATABASE] MEASUREMENT [set mode MODE | field NAME [PROPERTY VALUE ...] | forget NAME]";

/// What it does, in a line and in more.
pub(super) const PURPOSE: &str = "the fields of a measurement: types, history, declarations, mode";
pub(super) const DETAILS: &str = "\
Without more: its tags, and of each type of each field the number of values and the times of the first and last one.
set mode open: takes everything; a value of another type goes to a lane of its own. The default.
set mode additive: takes new fields; refuses values that contradict a field's type (type_conflict).
set mode strict: takes declared fields only (field_not_declared), of their type, within their range (out_of_range).
field NAME [type TYPE|any] [unit TEXT] [description TEXT] [min NUMBER|none] [max NUMBER|none]: declares a field, or
  changes what is declared; an empty text takes it back. A float takes integers too. Texts with spaces go in quotes.
forget NAME: takes back what was declared of a field.
Declarations may come before the first row. What is refused can be read back from _rejected.
";

/// Runs the command.
pub(super) fn schema(shared: &Shared, json: bool, rest: &str) -> Answer {
    let Some(words) = shlex::split(rest) else {
        return Answer::error("bad_command", "a quote is left open");
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let at = words.iter().skip(1).position(|word| VERBS.contains(word));
    let (name, change) = words.split_at(at.map_or(words.len(), |at| at + 1));
    let (database, measurement) = match *name {
        [measurement] => (DEFAULT_DATABASE, measurement),
        [database, measurement] => (database, measurement),
        [] => return Answer::error("bad_command", "name a measurement"),
        _ => return Answer::error("bad_command", "use: schema, as help schema says"),
    };
    let done = match *change {
        [] => return show(shared, json, (database, measurement)),
        ["set", "mode", mode] => set_mode(shared, (database, measurement), mode),
        ["field", field, ref properties @ ..] => {
            declare(shared, (database, measurement), field, properties)
        }
        ["forget", field] => forget(shared, (database, measurement), field),
        _ => Err(Answer::error(
            "bad_command",
            "use: set mode MODE, field NAME [PROPERTY VALUE ...] or forget NAME; help schema says more",
        )),
    };
    match done {
        Ok(Done { text, value }) => say(json, text, value),
        Err(answer) => answer,
    }
}

/// A change that was made.
struct Done {
    text: String,
    value: Value,
}

fn set_mode(shared: &Shared, name: (&str, &str), mode: &str) -> Result<Done, Answer> {
    let Some(mode) = SchemaMode::from_name(mode) else {
        let said = format!("there is no mode {mode:?}; there are open, additive and strict");
        return Err(Answer::error("bad_value", &said));
    };
    prepare(shared, name.0)?;
    let position = shared.engine.set_mode(&Access::full(), name, mode);
    settle(shared, position)?;
    Ok(Done {
        text: format!("{} is {mode}", name.1),
        value: json!({"measurement": name.1, "mode": mode.name()}),
    })
}

fn declare(
    shared: &Shared,
    name: (&str, &str),
    field: &str,
    properties: &[&str],
) -> Result<Done, Answer> {
    let (pairs, left) = properties.as_chunks::<2>();
    if let [property] = left {
        let said = format!("{property:?} has no value");
        return Err(Answer::error("bad_command", &said));
    }
    let edit = |rule: &mut FieldRule| {
        let mut pairs = pairs.iter();
        pairs.try_for_each(|[property, value]| set_property(rule, property, value))
    };
    edit(&mut FieldRule::default())?;
    prepare(shared, name.0)?;
    let declared = shared
        .engine
        .declare_field(&Access::full(), name, field, |rule| {
            edit(rule).expect("was tried on another rule");
        });
    let (position, rule) = declared.map_err(|error| failed(&error))?;
    settle(shared, Ok(position))?;
    let mut value = declaration(&rule);
    value["measurement"] = name.1.into();
    value["field"] = field.into();
    Ok(Done {
        text: format!("{}.{field}:{}", name.1, said_of(&rule)),
        value,
    })
}

/// Sets one property of a declaration.
fn set_property(rule: &mut FieldRule, property: &str, value: &str) -> Result<(), Answer> {
    let wrong = |said: String| Answer::error("bad_value", &said);
    let text = (!value.is_empty()).then(|| value.into());
    let bound = || match value {
        "none" => Ok(None),
        _ => value
            .parse::<f64>()
            .ok()
            .filter(|bound| bound.is_finite())
            .map(Some)
            .ok_or_else(|| wrong(format!("{property} is a number or none, not {value:?}"))),
    };
    match property {
        "type" if value == "any" => rule.field_type = None,
        "type" => {
            let types = [
                FieldType::Float,
                FieldType::Integer,
                FieldType::Unsigned,
                FieldType::Boolean,
                FieldType::String,
                FieldType::Binary,
            ];
            let named = types.into_iter().find(|known| known.name() == value);
            let known = types.map(FieldType::name).join(", ");
            rule.field_type = Some(named.ok_or_else(|| {
                wrong(format!(
                    "there is no type {value:?}; there are {known} and any"
                ))
            })?);
        }
        "unit" => rule.unit = text,
        "description" => rule.description = text,
        "min" => rule.min = bound()?,
        "max" => rule.max = bound()?,
        _ => {
            let said = format!(
                "there is no property {property:?}; there are type, unit, description, min and max"
            );
            return Err(Answer::error("bad_command", &said));
        }
    }
    Ok(())
}

fn forget(shared: &Shared, name: (&str, &str), field: &str) -> Result<Done, Answer> {
    match shared.engine.withdraw_field(&Access::full(), name, field) {
        Ok(Some(position)) => settle(shared, Ok(position))?,
        Ok(None) => {
            let said = format!("nothing is declared of field {field:?} of {:?}", name.1);
            return Err(Answer::error("unknown_column", &said));
        }
        Err(error) => return Err(failed(&error)),
    }
    Ok(Done {
        text: format!("{}.{field}: not declared any more", name.1),
        value: json!({"measurement": name.1, "field": field}),
    })
}

/// The default database may be declared into before the first connection made it.
fn prepare(shared: &Shared, database: &str) -> Result<(), Answer> {
    if database == DEFAULT_DATABASE {
        let made = shared.engine.resolve_database(&Access::full(), database);
        made.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// What was changed is durable when the answer goes.
fn settle(shared: &Shared, position: Result<Position, EngineError>) -> Result<(), Answer> {
    let synced = position.and_then(|position| {
        if shared.engine.durable() < position {
            shared.engine.sync()?;
        }
        Ok(())
    });
    synced.map_err(|error| failed(&error))
}

fn failed(error: &EngineError) -> Answer {
    Answer::error(code_of(error).name(), &error.to_string())
}

fn show(shared: &Shared, json: bool, (database, measurement): (&str, &str)) -> Answer {
    let access = Access::full();
    let view = match shared.engine.measurement(&access, database, measurement) {
        Ok(Some(view)) => view,
        Ok(None) => {
            let said = format!("there is no measurement {measurement:?}");
            return Answer::error("unknown_measurement", &said);
        }
        Err(error) => return failed(&error),
    };
    let rules = shared.engine.rules(view.id);
    match shared.engine.lane_uses(&access, database, view.id) {
        Ok(uses) if json => Answer::ok(value_of(&view, &rules, &uses).to_string()),
        Ok(uses) => Answer::ok(text_of(&view, &rules, &uses)),
        Err(error) => failed(&error),
    }
}

/// Declared fields that were never written.
fn unwritten<'a>(
    view: &'a MeasurementView,
    rules: &'a RulesView,
) -> impl Iterator<Item = &'a (std::sync::Arc<str>, FieldRule)> {
    let is_new = |name: &str| view.columns.iter().all(|column| *column.name != *name);
    rules.fields.iter().filter(move |(name, _)| is_new(name))
}

fn used(uses: &[(ColumnId, LaneUse)], column: ColumnId) -> Option<LaneUse> {
    let found = uses.iter().find(|(id, _)| *id == column);
    found.map(|(_, used)| *used)
}

fn value_of(view: &MeasurementView, rules: &RulesView, uses: &[(ColumnId, LaneUse)]) -> Value {
    let rule_of = |name: &str| {
        let found = rules.fields.iter().find(|(known, _)| **known == *name);
        found.map_or_else(|| json!({}), |(_, rule)| declaration(rule))
    };
    let written = view.columns.iter().map(|column| {
        let used = used(uses, column.id);
        let mut field = rule_of(&column.name);
        field["field"] = (*column.name).into();
        field["type"] = column.field_type.name().into();
        field["rows"] = used.map_or(0, |used| used.rows).into();
        field["first_seen"] = used.map(|used| used.first_time).into();
        field["last_seen"] = used.map(|used| used.last_time).into();
        field
    });
    let declared = unwritten(view, rules).map(|(name, rule)| {
        let mut field = declaration(rule);
        field["field"] = (**name).into();
        field["type"] = rule.field_type.map(FieldType::name).into();
        field["rows"] = 0.into();
        field
    });
    let fields: Vec<Value> = written.chain(declared).collect();
    let tags: Vec<&str> = view.tag_names.iter().map(|name| &**name).collect();
    json!({
        "mode": rules.mode.name(),
        "tags": tags,
        "fields": fields,
        "series": view.series_count,
    })
}

fn text_of(view: &MeasurementView, rules: &RulesView, uses: &[(ColumnId, LaneUse)]) -> String {
    let mut text = format!("mode {}, {} series\n", rules.mode, view.series_count);
    // Writing to a string cannot fail.
    for tag in &view.tag_names {
        let _ = writeln!(text, "{tag:<32} tag");
    }
    for column in &view.columns {
        let rule = rules.fields.iter().find(|(known, _)| *known == column.name);
        let declared = rule.map_or_else(String::new, |(_, rule)| said_of(rule));
        let history = used(uses, column.id).map_or_else(
            || "0 rows".to_owned(),
            |used| {
                let (first, last) = (time(used.first_time), time(used.last_time));
                format!("{} rows, {first} to {last}", used.rows)
            },
        );
        let _ = writeln!(
            text,
            "{:<32} {:<9}{history}{}{declared}",
            column.name,
            column.field_type.name(),
            if declared.is_empty() { "" } else { ";" }
        );
    }
    for (name, rule) in unwritten(view, rules) {
        let _ = writeln!(text, "{name:<32} {:<9}0 rows;{}", "-", said_of(rule));
    }
    text
}

/// A declaration in words, each behind a space.
fn said_of(rule: &FieldRule) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match rule.field_type {
        Some(declared) => write!(text, " declared {declared}"),
        None => write!(text, " declared"),
    };
    if let Some(unit) = &rule.unit {
        let _ = write!(text, " in {unit}");
    }
    let _ = match (rule.min, rule.max) {
        (Some(min), Some(max)) => write!(text, " from {min} to {max}"),
        (Some(min), None) => write!(text, " from {min}"),
        (None, Some(max)) => write!(text, " up to {max}"),
        (None, None) => Ok(()),
    };
    if let Some(description) = &rule.description {
        let _ = write!(text, ": {description}");
    }
    text
}

fn declaration(rule: &FieldRule) -> Value {
    json!({
        "declared": rule.field_type.map_or("any", FieldType::name),
        "unit": rule.unit.as_deref(),
        "description": rule.description.as_deref(),
        "min": rule.min,
        "max": rule.max,
    })
}

/// RFC 3339, or nanoseconds where no calendar reaches.
fn time(ns: Timestamp) -> String {
    let found = jiff::Timestamp::from_nanosecond(i128::from(ns));
    found.map_or_else(|_| ns.to_string(), |time| time.to_string())
}

/// Words that a change begins with.
const VERBS: [&str; 3] = ["set", "field", "forget"];
