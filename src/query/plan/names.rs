//! What the names of a query mean: time, tags, lanes of fields.
//!
//! `time` is the row's time whatever else has that name; then tags; then fields. `name::tag`,
//! `name::field` and `name::type` say which one is meant.

use std::sync::Arc;

use crate::query::error::{NameKind, QueryError, SqlPosition};
use crate::query::expr::{Node, Typed};
use crate::query::names::near;
use crate::query::source::{ColumnInfo, MeasurementInfo};
use crate::query::value::Type;
use crate::types::{ColumnId, FieldType};

use super::Input;

/// The names of one measurement, and which of them a query has used.
pub(super) struct Names<'a> {
    info: &'a MeasurementInfo,
    pub(super) inputs: Vec<Input>,
    pub(super) columns: Vec<ColumnId>,
}

impl<'a> Names<'a> {
    pub(super) const fn new(info: &'a MeasurementInfo) -> Self {
        Self {
            info,
            inputs: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// A plain name.
    pub(super) fn resolve(&mut self, name: &str, at: SqlPosition) -> Result<Typed, QueryError> {
        if name == "time" {
            return Ok(self.time());
        }
        if let Some(tag) = self.tag(name) {
            return Ok(tag);
        }
        self.field(name, at)?
            .ok_or_else(|| self.unknown(name, at, &[]))
    }

    /// Whether a plain name is known.
    pub(super) fn knows(&self, name: &str) -> bool {
        name == "time"
            || self.info.tag_keys.iter().any(|key| key.as_ref() == name)
            || self.lanes(name).next().is_some()
    }

    /// `name::lane`, where the lane is a type's name, `tag` or `field`. `None`: the name has no lanes.
    pub(super) fn lane(
        &mut self,
        name: &str,
        lane: &str,
        at: SqlPosition,
    ) -> Result<Option<Typed>, QueryError> {
        if lane == "tag" {
            let tag = self.tag(name);
            return tag.map(Some).ok_or_else(|| self.unknown(name, at, &[]));
        }
        if lane == "field" {
            let field = self.field(name, at)?;
            return field.map(Some).ok_or_else(|| self.unknown(name, at, &[]));
        }
        let lanes: Vec<ColumnInfo> = self.lanes(name).cloned().collect();
        if lanes.is_empty() {
            return Ok(None);
        }
        let wanted = super::functions::type_of_name(lane, at)?;
        match lanes
            .iter()
            .find(|column| Type::from(column.field_type) == wanted)
        {
            Some(column) => Ok(Some(self.column(column))),
            None => Err(QueryError::meaning(
                at,
                format!(
                    "field `{name}` has no {} values, only {}; cast({name} as {lane}) converts",
                    wanted.name(),
                    lane_names(&lanes)
                ),
            )),
        }
    }

    /// The columns of `SELECT *`: time, tags, fields in the order of the schema.
    pub(super) fn wildcard(&mut self) -> Vec<(String, Typed)> {
        let mut items = vec![("time".to_owned(), self.time())];
        let info = self.info;
        for key in &info.tag_keys {
            if let Some(tag) = self.tag(key) {
                items.push((key.to_string(), tag));
            }
        }
        let mut seen: Vec<&str> = Vec::new();
        for column in &info.columns {
            if seen.contains(&column.name.as_ref()) {
                continue;
            }
            seen.push(&column.name);
            self.wildcard_field(&column.name, &mut items);
        }
        items
    }

    fn wildcard_field(&mut self, name: &Arc<str>, items: &mut Vec<(String, Typed)>) {
        let lanes: Vec<ColumnInfo> = self.lanes(name).cloned().collect();
        let numeric: Vec<ColumnInfo> = numeric(&lanes);
        let shadowed = name.as_ref() == "time" || self.info.tag_keys.contains(name);
        let plain = if shadowed {
            format!("{name}::field")
        } else {
            name.to_string()
        };
        let kinds = lanes.len() - numeric.len() + usize::from(!numeric.is_empty());
        if !numeric.is_empty() {
            items.push((plain.clone(), self.widened(&numeric)));
        }
        for lane in lanes.iter().filter(|lane| !lane.field_type.is_numeric()) {
            let shown = if kinds == 1 {
                plain.clone()
            } else {
                format!("{name}::{}", lane.field_type)
            };
            items.push((shown, self.column(lane)));
        }
    }

    /// The error for a name that nothing has.
    pub(super) fn unknown(&self, name: &str, at: SqlPosition, aliases: &[&str]) -> QueryError {
        let tags = self.info.tag_keys.iter().map(AsRef::as_ref);
        let fields = self.info.columns.iter().map(|column| column.name.as_ref());
        let known = tags.chain(fields).chain(["time"]);
        QueryError::UnknownName {
            kind: NameKind::Column,
            name: name.to_owned(),
            near: near(name, known.chain(aliases.iter().copied())),
            at,
        }
    }

    fn time(&mut self) -> Typed {
        Typed::new(Node::Slot(self.slot(Input::Time)), Type::Time)
    }

    fn tag(&mut self, name: &str) -> Option<Typed> {
        let key = self.info.tag_keys.iter().find(|key| key.as_ref() == name)?;
        let slot = self.slot(Input::Tag(Arc::clone(key)));
        Some(Typed::new(Node::Slot(slot), Type::String))
    }

    fn field(&mut self, name: &str, at: SqlPosition) -> Result<Option<Typed>, QueryError> {
        let lanes: Vec<ColumnInfo> = self.lanes(name).cloned().collect();
        let numeric = numeric(&lanes);
        match (lanes.as_slice(), numeric.is_empty()) {
            ([], _) => Ok(None),
            (_, false) => Ok(Some(self.widened(&numeric))),
            ([only], true) => Ok(Some(self.column(only))),
            _ => Err(QueryError::meaning(
                at,
                format!(
                    "field `{name}` has values of several types: write {name}::type with one of {}",
                    lane_names(&lanes)
                ),
            )),
        }
    }

    /// Numeric lanes as one: doubles if any lane has them, otherwise signed integers.
    fn widened(&mut self, lanes: &[ColumnInfo]) -> Typed {
        if let [only] = lanes {
            return self.column(only);
        }
        let float = lanes.iter().any(|lane| lane.field_type == FieldType::Float);
        let wide = if float { Type::Float } else { Type::Integer };
        let mut ordered = lanes.to_vec();
        ordered.sort_by_key(|lane| lane.field_type);
        let parts = ordered
            .iter()
            .map(|lane| {
                let column = self.column(lane);
                if column.kind == wide {
                    column
                } else {
                    Typed::new(Node::Cast(Box::new(column)), wide)
                }
            })
            .collect();
        Typed::new(Node::Coalesce(parts), wide)
    }

    fn column(&mut self, column: &ColumnInfo) -> Typed {
        let known = self.columns.iter().position(|&id| id == column.id);
        let index = known.unwrap_or(self.columns.len());
        if known.is_none() {
            self.columns.push(column.id);
        }
        let slot = self.slot(Input::Column(index));
        Typed::new(Node::Slot(slot), column.field_type.into())
    }

    fn slot(&mut self, input: Input) -> usize {
        let known = self.inputs.iter().position(|known| *known == input);
        let slot = known.unwrap_or(self.inputs.len());
        if known.is_none() {
            self.inputs.push(input);
        }
        slot
    }

    fn lanes(&self, name: &str) -> impl Iterator<Item = &'a ColumnInfo> {
        let name = name.to_owned();
        self.info
            .columns
            .iter()
            .filter(move |column| column.name.as_ref() == name)
    }
}

fn numeric(lanes: &[ColumnInfo]) -> Vec<ColumnInfo> {
    lanes
        .iter()
        .filter(|lane| lane.field_type.is_numeric())
        .cloned()
        .collect()
}

fn lane_names(lanes: &[ColumnInfo]) -> String {
    let names: Vec<&str> = lanes.iter().map(|lane| lane.field_type.name()).collect();
    names.join(", ")
}
