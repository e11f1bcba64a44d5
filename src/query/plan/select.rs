//! `SELECT`: its clauses in the order in which they are evaluated.

use std::sync::Arc;

use crate::catalog::REJECTED;
use crate::query::context::QueryContext;
use crate::query::encode::time::rfc3339;
use crate::query::error::{NameKind, QueryError};
use crate::query::exec::aggregate::AggregateFunction;
use crate::query::expr::{Node, Typed};
use crate::query::names::near;
use crate::query::result::ResultColumn;
use crate::query::source::{ColumnInfo, MeasurementInfo, Source};
use crate::query::sql::ast::{Expr, ExprKind, Item, Literal, Name, Select};
use crate::types::{ColumnId, FieldType, MeasurementId, TimeRange};

use super::bind::{Binder, Groups};
use super::buckets::{fills_gaps, gapfill_range};
use super::names::Names;
use super::predicate::{self, Predicate};
use super::scan::Shape;
use super::{Grouping, Input, Reuse, SelectPlan, SortKey};

/// The measurement of that name, or an error with names near it.
pub(super) fn find_measurement(
    source: &dyn Source,
    database: &str,
    name: &Name,
) -> Result<MeasurementInfo, QueryError> {
    if let Some(info) = source.measurement(database, &name.text)? {
        return Ok(info);
    }
    let known = source.measurements(database)?;
    Err(QueryError::UnknownName {
        kind: NameKind::Measurement,
        name: name.text.clone(),
        near: near(&name.text, known.iter().map(AsRef::as_ref)),
        at: name.at,
    })
}

/// The measurement of rejected lines before the first one is kept.
fn nothing_rejected() -> MeasurementInfo {
    let columns = [
        ("line", FieldType::Integer),
        ("message", FieldType::String),
        ("source", FieldType::String),
        ("text", FieldType::String),
    ];
    MeasurementInfo {
        id: MeasurementId(u32::MAX),
        name: Arc::from(REJECTED),
        tag_keys: vec![Arc::from("code")],
        columns: (0..)
            .zip(columns)
            .map(|(id, (name, field_type))| ColumnInfo {
                id: ColumnId(id),
                name: Arc::from(name),
                field_type,
            })
            .collect(),
    }
}

/// Header and plan of a `SELECT`.
pub(super) fn plan_select(
    source: &dyn Source,
    select: &Select,
    context: &QueryContext<'_>,
) -> Result<(Vec<ResultColumn>, SelectPlan), QueryError> {
    let grouped;
    let select = if select.distinct {
        grouped = each_once(select)?;
        &grouped
    } else {
        select
    };
    let info = match find_measurement(source, context.database, &select.from) {
        Err(QueryError::UnknownName { .. }) if select.from.text == REJECTED => nothing_rejected(),
        found => found?,
    };
    let aliases = aliases(select);
    let mut binder = Binder::new(Names::new(&info), context.now_ns, aliases);
    let predicate = predicate::split(&mut binder, select.filter.as_ref())?;

    let keys = bind_keys(&mut binder, select)?;
    let (names, outputs) = bind_items(&mut binder, select)?;
    let mut having = match &select.having {
        Some(having) => Some(binder.condition(having)?),
        None => None,
    };
    let order = bind_order(&mut binder, select, &names, &outputs)?;
    let columns = names
        .into_iter()
        .zip(&outputs)
        .map(|(name, output)| ResultColumn {
            name,
            column_type: output.kind.result(),
        })
        .collect();

    let inputs = std::mem::take(&mut binder.names.inputs);
    let mut outputs = outputs;
    let mut order = order;
    let grouping = match binder.groups.take() {
        None => None,
        Some(groups) => {
            let number = groups.numbering();
            for expr in outputs
                .iter_mut()
                .chain(order.iter_mut().map(|key| &mut key.expr))
                .chain(&mut having)
            {
                expr.renumber(&number);
            }
            let bounds = predicate.bounds;
            Some(grouping(groups, keys, having, bounds, &inputs)?)
        }
    };
    let description = describe(&info, select, &predicate, grouping.as_ref());
    let scanning = Shape {
        range: predicate.range,
        rows: predicate.rows,
        inputs: &inputs,
        columns: std::mem::take(&mut binder.names.columns),
        grouping: grouping.as_ref(),
        order: &order,
        rows_max: select
            .limit
            .map(|limit| limit.saturating_add(select.offset)),
    }
    .scanning();
    let mut plan = SelectPlan {
        database: Arc::from(context.database),
        measurement: info.id,
        scan: scanning.request,
        ends_early: scanning.ends_early,
        nearest: scanning.nearest,
        reuse: Reuse::Never("it is not planned yet"),
        series_filter: predicate::all(predicate.series),
        row_filter: scanning.row_filter,
        inputs,
        grouping,
        outputs,
        order,
        limit: select.limit,
        offset: select.offset,
        description,
    };
    plan.reuse = plan.reusable(scanning.by_tags, binder.saw_now);
    Ok((columns, plan))
}

/// How rows become groups, once everything that is asked of groups is known.
fn grouping(
    groups: Groups,
    keys: Vec<Typed>,
    having: Option<Typed>,
    range: TimeRange,
    inputs: &[Input],
) -> Result<Grouping, QueryError> {
    let filling = groups.keys.iter().position(|(key, _)| fills_gaps(key));
    let gapfill = match filling {
        Some(index) => Some(gapfill_range(range, groups.keys[index].0.at)?),
        None => None,
    };
    let of_time = |(index, key): (usize, &Typed)| {
        let Node::Bucket(buckets, time) = &key.node else {
            return None;
        };
        let of_time = matches!(time.node, Node::Slot(slot)
            if inputs.get(slot) == Some(&Input::Time));
        (of_time && filling.is_none_or(|filling| filling == index))
            .then(|| (index, buckets.clone()))
    };
    Ok(Grouping {
        bucket: keys.iter().enumerate().find_map(of_time),
        keys,
        aggregates: groups.aggregates,
        gapfill,
        fills: groups.fills,
        having,
    })
}

fn aliases(select: &Select) -> Vec<(String, Expr)> {
    select
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Expr(expr, Some(alias)) => Some((alias.text.clone(), expr.clone())),
            _ => None,
        })
        .collect()
}

/// Keys of `GROUP BY`; from here on, if the query groups at all, expressions are over groups.
fn bind_keys(binder: &mut Binder<'_>, select: &Select) -> Result<Vec<Typed>, QueryError> {
    let aggregated = select.items.iter().any(|item| match item {
        Item::Expr(expr, _) => has_aggregate(expr),
        Item::Wildcard(_) => false,
    }) || select
        .order_by
        .iter()
        .any(|order| has_aggregate(&order.expr));
    if select.group_by.is_empty() && !aggregated && select.having.is_none() {
        return Ok(Vec::new());
    }
    let mut groups = Groups::default();
    let mut keys = Vec::new();
    for written in &select.group_by {
        let expr = match &written.kind {
            ExprKind::Literal(Literal::Integer(ordinal)) => {
                ordinal_item(select, *ordinal, written)?
            }
            ExprKind::Name(name) if !binder.names.knows(name) => {
                let alias = binder.aliases.iter().find(|(alias, _)| alias == name);
                alias.map_or(written, |(_, expr)| expr).clone()
            }
            _ => written.clone(),
        };
        binder.in_keys = true;
        let bound = binder.bind(&expr);
        binder.in_keys = false;
        let bound = bound?;
        groups.gapfill |= fills_gaps(&expr);
        groups.keys.push((expr, bound.kind));
        keys.push(bound);
    }
    binder.groups = Some(groups);
    binder.over_rows = false;
    Ok(keys)
}

/// `SELECT DISTINCT a, b` is `SELECT a, b .. GROUP BY a, b`.
fn each_once(select: &Select) -> Result<Select, QueryError> {
    let mut grouped = select.clone();
    for item in &select.items {
        match item {
            Item::Expr(expr, _) if select.group_by.is_empty() && !has_aggregate(expr) => {
                grouped.group_by.push(expr.clone());
            }
            Item::Expr(expr, _) => {
                let message = "rows of groups differ already: leave DISTINCT out";
                return Err(QueryError::meaning(expr.at, message));
            }
            Item::Wildcard(at) => {
                let message = "DISTINCT needs names: SELECT DISTINCT a, b";
                return Err(QueryError::meaning(*at, message));
            }
        }
    }
    Ok(grouped)
}

fn ordinal_item(select: &Select, ordinal: i128, at: &Expr) -> Result<Expr, QueryError> {
    let item = usize::try_from(ordinal - 1)
        .ok()
        .and_then(|index| select.items.get(index));
    match item {
        Some(Item::Expr(expr, _)) => Ok(expr.clone()),
        _ => Err(no_such_item(at)),
    }
}

fn no_such_item(at: &Expr) -> QueryError {
    QueryError::meaning(at.at, format!("there is no selected item {at}"))
}

/// Names and expressions of the answer's columns.
fn bind_items(
    binder: &mut Binder<'_>,
    select: &Select,
) -> Result<(Vec<String>, Vec<Typed>), QueryError> {
    let mut names = Vec::new();
    let mut outputs = Vec::new();
    for item in &select.items {
        match item {
            Item::Wildcard(at) => {
                if binder.groups.is_some() {
                    let message = "* cannot be selected together with groups or aggregates";
                    return Err(QueryError::meaning(*at, message));
                }
                for (name, output) in binder.names.wildcard() {
                    names.push(name);
                    outputs.push(output);
                }
            }
            Item::Expr(expr, alias) => {
                outputs.push(binder.bind(expr)?);
                names.push(match alias {
                    Some(alias) => alias.text.clone(),
                    None => expr.to_string(),
                });
            }
        }
    }
    Ok((names, outputs))
}

fn bind_order(
    binder: &mut Binder<'_>,
    select: &Select,
    names: &[String],
    outputs: &[Typed],
) -> Result<Vec<SortKey>, QueryError> {
    let mut keys = Vec::new();
    for order in &select.order_by {
        let output = match &order.expr.kind {
            ExprKind::Literal(Literal::Integer(ordinal)) => {
                let index = usize::try_from(ordinal - 1).unwrap_or(usize::MAX);
                let output = outputs.get(index);
                Some(output.ok_or_else(|| no_such_item(&order.expr))?)
            }
            ExprKind::Name(name) => names
                .iter()
                .position(|known| known == name)
                .and_then(|index| outputs.get(index)),
            _ => None,
        };
        let expr = match output {
            Some(output) => output.clone(),
            None => binder.bind(&order.expr)?,
        };
        keys.push(SortKey {
            expr,
            descending: order.descending,
            nulls_first: order.nulls_first.unwrap_or(order.descending),
        });
    }
    Ok(keys)
}

fn has_aggregate(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::Lane(..) => false,
        ExprKind::Unary(_, inner)
        | ExprKind::Cast(inner, _)
        | ExprKind::IsNull { expr: inner, .. }
        | ExprKind::Match { expr: inner, .. } => has_aggregate(inner),
        ExprKind::Binary(_, left, right) => has_aggregate(left) || has_aggregate(right),
        ExprKind::And(parts) | ExprKind::Or(parts) => parts.iter().any(has_aggregate),
        ExprKind::InList { expr, list, .. } => {
            has_aggregate(expr) || list.iter().any(has_aggregate)
        }
        ExprKind::Call(call) => {
            AggregateFunction::from_name(&call.function).is_some()
                || call.arguments.iter().any(has_aggregate)
        }
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => {
            operand.as_deref().is_some_and(has_aggregate)
                || otherwise.as_deref().is_some_and(has_aggregate)
                || branches
                    .iter()
                    .any(|(condition, result)| has_aggregate(condition) || has_aggregate(result))
        }
    }
}

fn describe(
    info: &MeasurementInfo,
    select: &Select,
    predicate: &Predicate,
    grouping: Option<&Grouping>,
) -> Vec<(&'static str, String)> {
    let mut lines = vec![("measurement", info.name.to_string())];
    lines.push(("time", range_text(predicate.range)));
    if !predicate.series_text.is_empty() {
        lines.push(("series filter", predicate.series_text.join(" AND ")));
    }
    if !predicate.rows_text.is_empty() {
        lines.push(("row filter", predicate.rows_text.join(" AND ")));
    }
    if let Some(grouping) = grouping {
        let keys: Vec<String> = select.group_by.iter().map(ToString::to_string).collect();
        let keys = if keys.is_empty() {
            "one group".to_owned()
        } else {
            keys.join(", ")
        };
        let aggregates = grouping.aggregates.len();
        lines.push(("group by", format!("{keys}; {aggregates} aggregates")));
    }
    if !select.order_by.is_empty() {
        let keys: Vec<String> = select
            .order_by
            .iter()
            .map(|order| {
                let direction = if order.descending { " DESC" } else { "" };
                format!("{}{direction}", order.expr)
            })
            .collect();
        lines.push(("order by", keys.join(", ")));
    }
    if let Some(range) = grouping.and_then(|grouping| grouping.gapfill) {
        lines.push(("gaps filled", range_text(range)));
    }
    if let Some(limit) = select.limit {
        lines.push(("limit", limit.to_string()));
    }
    lines
}

fn range_text(range: TimeRange) -> String {
    if range.is_empty() {
        return "nothing".to_owned();
    }
    let start = (range.start > i64::MIN).then(|| format!("from {}", rfc3339(range.start)));
    let end = (range.end < i64::MAX).then(|| format!("before {}", rfc3339(range.end)));
    match (start, end) {
        (None, None) => "all".to_owned(),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(start), Some(end)) => format!("{start}, {end}"),
    }
}
