//! The answer to a question, the slow way: every row is looked at, groups are lists of rows.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::question::{Aggregate, Expr, Key, PLACE, Question, Shape, Test};
use super::value::{Type, Value};

/// A row: its series, in the order of series, its time, tags and fields.
#[derive(Clone, Debug)]
pub struct Row {
    pub series: usize,
    pub time: i64,
    pub tags: [Value; 2],
    pub fields: Vec<Value>,
}

/// A cell, and how large the numbers were that it was made of.
#[derive(Clone, Debug)]
pub struct Cell(pub Value, pub f64);

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// In a row: the server need not notice if it looks at fewer rows.
    Row,
    /// In a total.
    Total,
}

type Made<T> = Result<T, Overflow>;

const SECOND: i64 = 1_000_000_000;

/// The answer of all rows, which come in the order of time, then of series.
pub fn answer(question: &Question, rows: &[Row]) -> Made<Vec<Vec<Cell>>> {
    let mut chosen = Vec::new();
    for row in rows {
        let (from, to) = question.range;
        let inside = from.is_none_or(|from| row.time >= from) && to.is_none_or(|to| row.time < to);
        if !inside {
            continue;
        }
        let mut passes = true;
        for test in &question.tests {
            passes &= holds(test, row)? == Some(true);
        }
        if passes {
            chosen.push(row);
        }
    }
    let mut answer = match &question.shape {
        Shape::Rows(items) => {
            let mut answer = Vec::new();
            for row in chosen {
                let cells: Made<Vec<Cell>> = items
                    .iter()
                    .map(|item| Ok(plain(eval(item, row)?)))
                    .collect();
                answer.push(cells?);
            }
            answer
        }
        Shape::Groups {
            keys,
            aggregates,
            having,
        } => {
            let mut answer = groups(question, keys, aggregates, &chosen)?;
            if let Some((aggregate, least)) = having {
                let column = keys.len() + aggregate;
                answer.retain(|cells| {
                    let order = cells[column].0.compare(&Value::Int(*least));
                    order.is_some_and(Ordering::is_ge)
                });
            }
            answer
        }
    };
    answer.sort_by(|a, b| {
        let columns = question.order.iter().map(|&(column, falling)| {
            let order = a[column].0.sorts(&b[column].0);
            if falling { order.reverse() } else { order }
        });
        columns.fold(Ordering::Equal, Ordering::then)
    });
    let skipped = answer.into_iter().skip(question.offset);
    Ok(skipped.take(question.limit.unwrap_or(usize::MAX)).collect())
}

fn plain(value: Value) -> Cell {
    Cell(value, 0.0)
}

fn eval(expr: &Expr, row: &Row) -> Made<Value> {
    Ok(match expr {
        Expr::Time => Value::Int(row.time),
        Expr::Tag(tag) => row.tags[*tag].clone(),
        Expr::Field(field) => row.fields[*field].clone(),
        Expr::Literal(value, _) => value.clone(),
        Expr::Binary(operator, left, right, kind) => {
            let (left, right) = (eval(left, row)?, eval(right, row)?);
            if left.is_null() || right.is_null() {
                return Ok(Value::Null);
            }
            if *kind == Type::Float {
                let (a, b) = (left.float().unwrap_or(0.0), right.float().unwrap_or(0.0));
                return Ok(Value::Float(match operator {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' => a / b,
                    _ => a % b,
                }));
            }
            let (a, b) = (left.whole().unwrap_or(0), right.whole().unwrap_or(0));
            let value = match operator {
                '+' => a + b,
                '-' => a - b,
                '*' => a.checked_mul(b).ok_or(Overflow::Row)?,
                _ if b == 0 => return Ok(Value::Null),
                '/' => a / b,
                _ => a % b,
            };
            fit(value, *kind).ok_or(Overflow::Row)?
        }
        Expr::Function(name, inner) => match (eval(inner, row)?, *name) {
            (Value::Float(value), name) => Value::Float(match name {
                "abs" => value.abs(),
                "round" => value.round(),
                "floor" => value.floor(),
                "ceil" => value.ceil(),
                _ => -value,
            }),
            (Value::Int(value), "abs") => Value::Int(value.checked_abs().ok_or(Overflow::Row)?),
            (Value::Int(value), "-") => Value::Int(value.checked_neg().ok_or(Overflow::Row)?),
            (other, _) => other,
        },
        Expr::Coalesce(parts) => {
            let mut found = Value::Null;
            for part in parts {
                let value = eval(part, row)?;
                if found.is_null() {
                    found = value;
                }
            }
            found
        }
        Expr::Case(test, then, otherwise) => {
            let (held, then) = (holds(test, row)?, eval(then, row)?);
            let otherwise = eval(otherwise, row)?;
            if held == Some(true) { then } else { otherwise }
        }
        Expr::Widen(inner) => {
            let value = eval(inner, row)?;
            value.float().map_or(Value::Null, Value::Float)
        }
    })
}

fn fit(value: i128, kind: Type) -> Option<Value> {
    match kind {
        Type::Unsigned => u64::try_from(value).ok().map(Value::Unsigned),
        _ => i64::try_from(value).ok().map(Value::Int),
    }
}

fn holds(test: &Test, row: &Row) -> Made<Option<bool>> {
    Ok(match test {
        Test::Flag(field) => match row.fields[*field] {
            Value::Bool(flag) => Some(flag),
            _ => None,
        },
        Test::Compare(operator, left, right) => {
            let (left, right) = (eval(left, row)?, eval(right, row)?);
            compares(operator, &left, &right)
        }
        Test::In(expr, list, negated) => {
            let value = eval(expr, row)?;
            if value.is_null() {
                return Ok(None);
            }
            let found = list
                .iter()
                .any(|other| compares("=", &value, other) == Some(true));
            Some(found != *negated)
        }
        Test::Like(expr, pattern, negated) => {
            text(eval(expr, row)?).map(|text| like(pattern.as_bytes(), text.as_bytes()) != *negated)
        }
        Test::Matches(expr, pattern) => text(eval(expr, row)?).map(|text| match *pattern {
            "^[ab]$" => text == "a" || text == "b",
            "s[0-2]" => ["s0", "s1", "s2"].iter().any(|part| text.contains(part)),
            _ => text.ends_with('1'),
        }),
        Test::IsNull(expr, negated) => Some(eval(expr, row)?.is_null() != *negated),
        Test::And(parts) => {
            let mut all = Some(true);
            for part in parts {
                all = match (all, holds(part, row)?) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                };
            }
            all
        }
        Test::Or(parts) => {
            let mut any = Some(false);
            for part in parts {
                any = match (any, holds(part, row)?) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                };
            }
            any
        }
        Test::Not(inner) => holds(inner, row)?.map(|held| !held),
    })
}

fn compares(operator: &str, left: &Value, right: &Value) -> Option<bool> {
    if left.is_null() || right.is_null() {
        return None;
    }
    let order = left.compare(right);
    Some(match operator {
        "=" => order == Some(Ordering::Equal),
        "<>" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => order.is_some_and(Ordering::is_le),
        _ => order.is_some_and(Ordering::is_ge),
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'%', rest)), _) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        (Some((b'_', rest)), Some((_, behind))) => like(rest, behind),
        (Some((a, rest)), Some((b, behind))) => a == b && like(rest, behind),
        _ => false,
    }
}

/// The start of a bucket and that of the next one.
fn bucket(key: &Key, time: i64) -> (i64, i64) {
    thread_local! {
        static KNOWN: RefCell<HashMap<(i64, i64), (i64, i64)>> = RefCell::default();
    }
    let Key::Local(hours) = key else {
        return find_bucket(key, time);
    };
    KNOWN.with_borrow_mut(|known| {
        let found = known.entry((*hours, time));
        *found.or_insert_with(|| find_bucket(key, time))
    })
}

fn find_bucket(key: &Key, time: i64) -> (i64, i64) {
    match key {
        Key::Bucket(seconds) | Key::Gapfill(seconds) => {
            let width = seconds * SECOND;
            let start = time.div_euclid(width) * width;
            (start, start + width)
        }
        Key::Local(24) => {
            let day = Timestamp::from_nanosecond(i128::from(time))
                .expect("a time")
                .to_zoned(TimeZone::get(PLACE).expect("a place"))
                .start_of_day()
                .expect("a day");
            let next = day.tomorrow().and_then(|next| next.start_of_day());
            let ns = |day: jiff::Zoned| day.timestamp().as_nanosecond() as i64;
            (ns(day), ns(next.expect("a day")))
        }
        Key::Local(hours) => {
            // Bucket by bucket, a quarter of an hour at a time: no zone here moves by less.
            let quarter = 900 * SECOND;
            let starts = |time: i64| {
                let local = Timestamp::from_nanosecond(i128::from(time))
                    .expect("a time")
                    .to_zoned(TimeZone::get(PLACE).expect("a place"));
                let before = Timestamp::from_nanosecond(i128::from(time - quarter))
                    .expect("a time")
                    .to_zoned(TimeZone::get(PLACE).expect("a place"));
                let days = i64::from(
                    local
                        .date()
                        .since((jiff::Unit::Day, jiff::civil::Date::constant(1970, 1, 1)))
                        .expect("days")
                        .get_days(),
                );
                let shown =
                    days * 24 * 4 + i64::from(local.hour()) * 4 + i64::from(local.minute()) / 15;
                let jumped = local.offset().seconds() - before.offset().seconds();
                let skipped = i64::from(jumped.max(0)) / 900;
                (0..=skipped).any(|back| (shown - back) % (hours * 4) == 0)
            };
            let mut start = time.div_euclid(quarter) * quarter;
            while !starts(start) {
                start -= quarter;
            }
            let mut next = time.div_euclid(quarter) * quarter + quarter;
            while !starts(next) {
                next += quarter;
            }
            (start, next)
        }
        Key::Of(_) => (i64::MIN, i64::MAX),
    }
}

/// Rows of one group, by the values of its keys; buckets are values, too.
struct Group<'r> {
    keys: Vec<Value>,
    rows: Vec<&'r Row>,
}

fn groups(
    question: &Question,
    keys: &[Key],
    aggregates: &[Aggregate],
    rows: &[&Row],
) -> Made<Vec<Vec<Cell>>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut place: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |groups: &mut Vec<Group<'_>>, keys: Vec<Value>| {
        let names: Vec<String> = keys.iter().map(canonical).collect();
        *place.entry(names.join("|")).or_insert_with(|| {
            groups.push(Group {
                keys,
                rows: Vec::new(),
            });
            groups.len() - 1
        })
    };
    if keys.is_empty() {
        add(&mut groups, Vec::new());
    }
    for row in rows {
        let values: Made<Vec<Value>> = keys
            .iter()
            .map(|key| match key {
                Key::Of(expr) => eval(expr, row),
                key => Ok(Value::Int(bucket(key, row.time).0)),
            })
            .collect();
        let index = add(&mut groups, values?);
        groups[index].rows.push(row);
    }
    let filling = keys.iter().position(|key| matches!(key, Key::Gapfill(_)));
    if let Some(key) = filling
        && let (Some(from), Some(to)) = question.range
        && from < to
    {
        let mut others: Vec<Vec<Value>> = groups.iter().map(|group| group.keys.clone()).collect();
        if keys.len() == 1 {
            others.push(vec![Value::Null]);
        }
        let mut time = from;
        while time < to {
            let (start, next) = bucket(&keys[key], time);
            for other in &others {
                let mut keys = other.clone();
                keys[key] = Value::Int(start);
                add(&mut groups, keys);
            }
            time = next;
        }
    }
    groups.sort_by(|a, b| {
        let each = a.keys.iter().zip(&b.keys).map(|(a, b)| a.sorts(b));
        each.fold(Ordering::Equal, Ordering::then)
    });
    let mut answer: Vec<Vec<Cell>> = groups
        .iter()
        .map(|group| group.keys.iter().cloned().map(plain).collect())
        .collect();
    for aggregate in aggregates {
        let mut column = Vec::new();
        for group in &groups {
            column.push(match aggregate.function {
                "increase" | "rate" | "delta" | "derivative" | "integral" | "time_weighted_avg" => {
                    over_steps(aggregate, keys, group, rows)?
                }
                _ => over_values(aggregate, &group.rows)?,
            });
        }
        if let (Some(fill), Some(key)) = (aggregate.fill, filling) {
            filled(fill, key, &groups, &mut column);
        }
        for (cells, cell) in answer.iter_mut().zip(column) {
            cells.push(cell);
        }
    }
    Ok(answer)
}

/// All NaN are one value, and so are the two zeros.
fn canonical(value: &Value) -> String {
    match value {
        Value::Float(value) if *value == 0.0 => "zero".to_owned(),
        Value::Float(value) if value.is_nan() => "nan".to_owned(),
        other => format!("{other:?}"),
    }
}

fn over_values(aggregate: &Aggregate, rows: &[&Row]) -> Made<Cell> {
    let Some(argument) = &aggregate.argument else {
        return Ok(plain(Value::Int(rows.len() as i64)));
    };
    let kind = argument.kind();
    // Time, series, value; NULL does not take part.
    let mut values = Vec::new();
    for row in rows {
        let value = eval(argument, row)?;
        if !value.is_null() {
            values.push((row.time, row.series, value));
        }
    }
    let count = values.len();
    let whole: i128 = values.iter().filter_map(|(.., value)| value.whole()).sum();
    let floats: Vec<f64> = values
        .iter()
        .filter_map(|(.., value)| value.float())
        .collect();
    let size: f64 = floats.iter().map(|value| value.abs()).sum();
    let total = if kind == Type::Float {
        floats.iter().sum()
    } else {
        whole as f64
    };
    let numbers: Vec<&Value> = values
        .iter()
        .map(|(.., value)| value)
        .filter(|value| !value.is_nan())
        .collect();
    let least = numbers.iter().copied().min_by(|a, b| a.sorts(b));
    let greatest = numbers.iter().copied().max_by(|a, b| a.sorts(b));
    let extreme = |found: Option<&Value>| match found {
        Some(value) => value.clone(),
        None if count > 0 => Value::Float(f64::NAN),
        None => Value::Null,
    };
    if count == 0 {
        let none = matches!(aggregate.function, "count" | "distinct");
        return Ok(plain(if none { Value::Int(0) } else { Value::Null }));
    }
    let n = count as f64;
    Ok(match aggregate.function {
        "count" => plain(Value::Int(count as i64)),
        "distinct" => {
            let mut known: Vec<String> =
                values.iter().map(|(.., value)| canonical(value)).collect();
            known.sort();
            known.dedup();
            plain(Value::Int(known.len() as i64))
        }
        "mode" => {
            let mut sorted: Vec<&Value> = values.iter().map(|(.., value)| value).collect();
            sorted.sort_by(|a, b| a.sorts(b));
            let mut best = (0, Value::Null);
            for run in sorted.chunk_by(|a, b| a.sorts(b).is_eq()) {
                if run.len() > best.0 {
                    best = (run.len(), run[0].clone());
                }
            }
            plain(best.1)
        }
        "sum" if kind == Type::Float => Cell(Value::Float(total), size),
        "sum" => plain(fit(whole, kind).ok_or(Overflow::Total)?),
        "avg" => Cell(Value::Float(total / n), size / n),
        "min" => plain(extreme(least)),
        "max" => plain(extreme(greatest)),
        "spread" => match (extreme(least), extreme(greatest)) {
            (Value::Float(least), Value::Float(greatest)) => plain(Value::Float(greatest - least)),
            (least, greatest) => {
                let spread = greatest.whole().unwrap_or(0) - least.whole().unwrap_or(0);
                plain(fit(spread, kind).ok_or(Overflow::Total)?)
            }
        },
        "first" => {
            let found = values
                .iter()
                .min_by_key(|(time, series, _)| (*time, *series));
            plain(found.expect("some").2.clone())
        }
        "last" => {
            let found = values
                .iter()
                .max_by_key(|(time, series, _)| (*time, *series));
            plain(found.expect("some").2.clone())
        }
        "stddev" | "variance" if count < 2 => plain(Value::Null),
        "stddev" | "variance" => {
            let mean = total / n;
            let squares: f64 = floats.iter().map(|value| (value - mean).powi(2)).sum();
            let variance = squares / (n - 1.0);
            let sizes: f64 = floats.iter().map(|value| value * value).sum::<f64>() / n;
            if aggregate.function == "variance" {
                Cell(Value::Float(variance), sizes)
            } else {
                // As far as it is off where the variance is off by a part of the squares.
                let root = variance.sqrt();
                let size = (sizes / (2.0 * root)).min(1e6 * sizes.sqrt());
                Cell(Value::Float(root), size)
            }
        }
        _ => {
            let percent = if aggregate.function == "median" {
                50.0
            } else {
                aggregate.percent
            };
            let mut sorted: Vec<f64> = numbers.iter().filter_map(|value| value.float()).collect();
            sorted.sort_by(f64::total_cmp);
            if sorted.is_empty() {
                return Ok(plain(Value::Float(f64::NAN)));
            }
            let rank = percent / 100.0 * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            let value = if low == high || low.is_infinite() {
                low
            } else {
                low + (high - low) * (rank - rank.floor())
            };
            Cell(Value::Float(value), low.abs().max(high.abs()))
        }
    })
}

/// By their definition: each step is looked at for each group.
fn over_steps(aggregate: &Aggregate, keys: &[Key], group: &Group<'_>, rows: &[&Row]) -> Made<Cell> {
    let Some(argument) = &aggregate.argument else {
        return Ok(plain(Value::Null));
    };
    let bucket_key = keys.iter().find(|key| !matches!(key, Key::Of(_)));
    let start_of = |time: i64| bucket_key.map_or(i64::MIN, |key| bucket(key, time).0);
    let here = keys
        .iter()
        .position(|key| !matches!(key, Key::Of(_)))
        .map_or(i64::MIN, |index| match group.keys[index] {
            Value::Int(start) => start,
            _ => 0,
        });
    // Values of rows that have this group's keys, whatever their buckets, series by series.
    let mut series: BTreeMap<usize, Vec<(i64, Value)>> = BTreeMap::new();
    for row in rows {
        let mut same = true;
        for (key, value) in keys.iter().zip(&group.keys) {
            if let Key::Of(expr) = key {
                same &= canonical(&eval(expr, row)?) == canonical(value);
            }
        }
        let value = eval(argument, row)?;
        if same && !value.is_null() && !value.is_nan() {
            series
                .entry(row.series)
                .or_default()
                .push((row.time, value));
        }
    }
    let (mut whole, mut float, mut quotients) = (0_i128, 0.0, 0.0);
    let (mut duration, mut size, mut any) = (0.0, 0.0_f64, false);
    let mut quotient_size = 0.0;
    for points in series.values() {
        let (mut change, mut took, before) = (0.0, 0.0, size);
        for pair in points.windows(2) {
            let ((t0, from), (t1, to)) = (&pair[0], &pair[1]);
            let (a, b) = (from.float().unwrap_or(0.0), to.float().unwrap_or(0.0));
            if matches!(aggregate.function, "integral" | "time_weighted_avg") {
                let (first, second) = (start_of(*t0), start_of(*t1));
                let (start, end) = if first == second && second == here {
                    (*t0, *t1)
                } else if first == here {
                    (*t0, bucket_key.map_or(*t1, |key| bucket(key, *t0).1))
                } else if second == here {
                    (second, *t1)
                } else {
                    continue;
                };
                if start >= end {
                    continue;
                }
                let at = |time: i64| a + (b - a) * ((time - t0) as f64 / (t1 - t0) as f64);
                float += (at(start) / 2.0 + at(end) / 2.0) * (end - start) as f64;
                size += (a.abs() + b.abs()) * (end - start) as f64;
                duration += (end - start) as f64;
                any = true;
                continue;
            }
            if start_of(*t1) != here {
                continue;
            }
            let counter = matches!(aggregate.function, "increase" | "rate");
            let again = counter && to.compare(from) == Some(Ordering::Less);
            let w0 = if again { 0 } else { from.whole().unwrap_or(0) };
            whole += to.whole().unwrap_or(0) - w0;
            let step = if again { b } else { b - a };
            float += step;
            change += step;
            took += (t1 - t0) as f64;
            size += a.abs() + b.abs();
            any = true;
        }
        if took > 0.0 {
            quotients += change / took * 1e9;
            quotient_size += (size - before) / took * 1e9;
        }
    }
    if !any {
        return Ok(plain(Value::Null));
    }
    let kind = argument.kind();
    Ok(match aggregate.function {
        "increase" | "delta" if kind == Type::Float => Cell(Value::Float(float), size),
        "increase" | "delta" => {
            let signed = aggregate.function == "delta";
            let kind = if signed { Type::Int } else { kind };
            plain(fit(whole, kind).ok_or(Overflow::Total)?)
        }
        "rate" | "derivative" => Cell(Value::Float(quotients), quotient_size),
        "integral" => Cell(Value::Float(float / 1e9), size / 1e9),
        _ => Cell(Value::Float(float / duration), size / duration),
    })
}

fn filled(fill: &str, key: usize, groups: &[Group<'_>], column: &mut [Cell]) {
    let found: Vec<Cell> = column.to_vec();
    let same = |a: usize, b: usize| {
        let pairs = groups[a].keys.iter().zip(&groups[b].keys).enumerate();
        pairs
            .filter(|(index, _)| *index != key)
            .all(|(_, (a, b))| canonical(a) == canonical(b))
    };
    let start = |group: usize| match groups[group].keys[key] {
        Value::Int(start) => start,
        _ => 0,
    };
    for (group, cell) in column.iter_mut().enumerate() {
        let present = |other: &usize| same(group, *other) && !found[*other].0.is_null();
        let before = (0..groups.len())
            .filter(|other| start(*other) <= start(group))
            .filter(present)
            .max_by_key(|other| start(*other));
        let behind = (0..groups.len())
            .filter(|other| start(*other) >= start(group))
            .filter(present)
            .min_by_key(|other| start(*other));
        let value = |other: usize| found[other].0.float().unwrap_or(f64::NAN);
        *cell = match (fill, before, behind) {
            ("locf", Some(before), _) => found[before].clone(),
            ("interpolate", Some(a), Some(b)) if a == b => Cell(Value::Float(value(a)), found[a].1),
            ("interpolate", Some(a), Some(b)) => {
                let way = (start(group) - start(a)) as f64 / (start(b) - start(a)) as f64;
                let size = value(a)
                    .abs()
                    .max(value(b).abs())
                    .max(found[a].1)
                    .max(found[b].1);
                Cell(Value::Float(value(a) + (value(b) - value(a)) * way), size)
            }
            _ => plain(Value::Null),
        };
    }
}
