//! `SHOW SCHEMA` and `SHOW FIELDS`: tags and fields with their lanes, what is declared of them, and their history.

use crate::limits::QUERY_BATCH_ROWS;
use crate::query::error::QueryError;
use crate::query::plan::ShowPlan;
use crate::query::result::{ResultBatch, ResultValues, ResultVector};
use crate::query::source::{MeasurementInfo, Source};
use crate::query::sql::ast::ShowKind;
use crate::types::{FieldRule, FieldType};

use super::Sink;

/// Sends the schema of one measurement; how many rows that were.
pub(super) fn show_schema(
    source: &dyn Source,
    plan: &ShowPlan,
    info: &MeasurementInfo,
    sink: &mut Sink<'_>,
) -> Result<u64, QueryError> {
    let rules = source.rules(&plan.database, info.id)?;
    let is_short = plan.kind == ShowKind::Fields;
    let uses = if is_short {
        Vec::new()
    } else {
        source.lane_uses(&plan.database, info.id)?
    };
    let rule_of = |name: &str| {
        let at = rules
            .fields
            .binary_search_by(|(known, _)| (**known).cmp(name));
        at.ok().map(|at| &rules.fields[at].1)
    };
    let mut lines: Vec<Line<'_>> = Vec::new();
    if !is_short {
        lines.extend(info.tag_keys.iter().map(|key| Line {
            name: key,
            kind: "tag",
            value_type: Some(FieldType::String),
            ..Line::default()
        }));
    }
    lines.extend(info.columns.iter().map(|column| {
        Line {
            name: &column.name,
            kind: "field",
            value_type: Some(column.field_type),
            rule: rule_of(&column.name),
            seen: uses
                .iter()
                .find(|(id, _)| *id == column.id)
                .map(|(_, used)| (used.first_time, used.last_time)),
            rows: (!is_short).then(|| {
                let used = uses.iter().find(|(id, _)| *id == column.id);
                used.map_or(0, |(_, used)| used.rows)
            }),
        }
    }));
    let unwritten = rules.fields.iter().filter(|(name, _)| {
        let mut columns = info.columns.iter();
        columns.all(|column| column.name != *name)
    });
    lines.extend(unwritten.map(|(name, rule)| Line {
        name,
        kind: "field",
        value_type: rule.field_type,
        rule: Some(rule),
        rows: (!is_short).then_some(0),
        ..Line::default()
    }));
    for some in lines.chunks(QUERY_BATCH_ROWS) {
        let columns = if is_short {
            short(info, some)
        } else {
            long(info, rules.mode.name(), some)
        };
        sink(ResultBatch { columns })?;
    }
    Ok(lines.len() as u64)
}

/// A tag, a lane of a field, or a field that is declared and was never written.
#[derive(Default)]
struct Line<'a> {
    name: &'a str,
    kind: &'static str,
    value_type: Option<FieldType>,
    rule: Option<&'a FieldRule>,
    seen: Option<(i64, i64)>,
    rows: Option<u64>,
}

impl Line<'_> {
    fn type_name(&self) -> Option<String> {
        Some(self.value_type?.name().to_owned())
    }

    fn unit(&self) -> Option<String> {
        Some(self.rule?.unit.as_ref()?.to_string())
    }

    fn description(&self) -> Option<String> {
        Some(self.rule?.description.as_ref()?.to_string())
    }
}

fn short(info: &MeasurementInfo, lines: &[Line<'_>]) -> Vec<ResultVector> {
    let text = |of: &dyn Fn(&Line<'_>) -> Option<String>| texts(lines.iter().map(of));
    vec![
        text(&|_| Some(info.name.to_string())),
        text(&|line| Some(line.name.to_owned())),
        text(&|line| line.type_name()),
        text(&|line| line.unit()),
        text(&|line| line.description()),
    ]
}

fn long(info: &MeasurementInfo, mode: &str, lines: &[Line<'_>]) -> Vec<ResultVector> {
    let text = |of: &dyn Fn(&Line<'_>) -> Option<String>| texts(lines.iter().map(of));
    let bound = |of: fn(&FieldRule) -> Option<f64>| {
        let bounds = lines.iter().map(|line| line.rule.and_then(of));
        vector(bounds, ResultValues::Float)
    };
    let seen = |of: fn((i64, i64)) -> i64| {
        let times = lines.iter().map(|line| line.seen.map(of));
        vector(times, ResultValues::Time)
    };
    let declared = |line: &Line<'_>| Some(line.rule?.field_type?.name().to_owned());
    let rows = lines.iter().map(|line| Some(line.rows? as i64));
    vec![
        text(&|_| Some(info.name.to_string())),
        text(&|line| Some(line.name.to_owned())),
        text(&|line| Some(line.kind.to_owned())),
        text(&|line| line.type_name()),
        text(&declared),
        text(&|line| line.unit()),
        text(&|line| line.description()),
        bound(|rule| rule.min),
        bound(|rule| rule.max),
        seen(|(first, _)| first),
        seen(|(_, last)| last),
        vector(rows, ResultValues::Integer),
        text(&|_| Some(mode.to_owned())),
    ]
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ResultVector {
    vector(values, ResultValues::String)
}

/// A column of values that may be missing.
fn vector<T: Default>(
    values: impl Iterator<Item = Option<T>>,
    of: impl FnOnce(Vec<T>) -> ResultValues,
) -> ResultVector {
    let mut nulls = Vec::new();
    let mut all = Vec::new();
    for value in values {
        nulls.push(value.is_none());
        all.push(value.unwrap_or_default());
    }
    let mut vector = ResultVector::from(of(all));
    if nulls.contains(&true) {
        vector.nulls = Some(nulls.into_iter().collect());
    }
    vector
}
