//! What is compared besides the rows: reports of a start, SQL answers, the store's own counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetimedb::engine::Engine;

use super::model::{Failure, Kind, Model, Shown, Value};
use super::plan::{DATABASES, MEASUREMENTS, SECOND};
use super::run::Run;
use super::world;

/// A start after nothing but power cuts reports no damage, and replays no more than was sent.
pub fn start(engine: &Engine, model: &Model) -> Result<(), Failure> {
    let report = engine.opened();
    if report.is_damaged() {
        return Err(Failure::new(Kind::Report, format!("{report:?}")));
    }
    if report.replayed_rows + report.skipped_rows > model.rows_sent {
        return Err(Failure::new(Kind::Ledger, format!("{report:?}")));
    }
    Ok(())
}

/// A store that runs shows everything that it accepted, and SQL says so.
pub fn answers(run: &mut Run, engine: &Arc<Engine>) -> Result<(), Failure> {
    if run.disk.is_off() {
        return Ok(());
    }
    run.note_horizon(engine);
    let shown = world::read(engine)?;
    let horizon = engine.time_bounds().horizon;
    run.model.compare(&shown, run.model.units(), horizon)?;
    counts(engine, &shown, &run.model)?;
    let database = run.random.below(run.plan.databases) as usize;
    let measurement = run.random.below(run.plan.measurements) as usize;
    let of_both = |name: &&super::model::SeriesName| {
        usize::from(name.database) == database && usize::from(name.measurement) == measurement
    };
    // Only where rows cannot have left.
    let series = run.model.series();
    let bounds = series
        .iter()
        .filter(of_both)
        .map(|name| run.model.loose_bound(*name));
    let from = bounds.max().unwrap_or(i64::MIN).max(horizon).max(0);
    let newest = shown.keys().map(|(_, time)| *time).max().unwrap_or(0);
    let back = run.random.below(100) as i64 * SECOND;
    let from = from.max(newest - back);
    let to = newest + 1 - run.random.below(10) as i64 * SECOND;
    query(engine, &run.model, (database, measurement), (from, to))
}

fn query(
    engine: &Arc<Engine>,
    model: &Model,
    (database, measurement): (usize, usize),
    (from, to): (i64, i64),
) -> Result<(), Failure> {
    let text = format!(
        "SELECT h, count(*), count(i), sum(i), min(i), max(i) FROM {} WHERE time >= {from} AND time < {to} GROUP BY h",
        MEASUREMENTS[measurement]
    );
    let mut groups: BTreeMap<u8, (u64, Vec<i64>)> = BTreeMap::new();
    for ((series, time), fields) in model.shown(model.units()) {
        let is_asked = usize::from(series.database) == database
            && usize::from(series.measurement) == measurement
            && (from..to).contains(&time);
        if is_asked {
            let (rows, values) = groups.entry(series.tag).or_default();
            *rows += 1;
            if let Some(Value::Integer(number)) = fields.get(&0) {
                values.push(*number);
            }
        }
    }
    let expected: Vec<String> = groups
        .iter()
        .map(|(tag, (rows, values))| {
            let or_null = |value: Option<i64>| value.map_or("NULL".to_owned(), |v| v.to_string());
            let sum = (!values.is_empty()).then(|| values.iter().sum());
            format!(
                "t{tag}|{rows}|{}|{}|{}|{}",
                values.len(),
                or_null(sum),
                or_null(values.iter().min().copied()),
                or_null(values.iter().max().copied())
            )
        })
        .collect();
    match world::ask(engine, DATABASES[database], &text) {
        Ok(found) if found == expected => Ok(()),
        // A field or measurement that nobody has written yet has no name.
        Err(error) if error.contains("unknown") && groups.values().all(|(_, v)| v.is_empty()) => {
            Ok(())
        }
        other => {
            let text = format!("{text}: {other:?}, not {expected:?}");
            Err(Failure::new(Kind::Query, text))
        }
    }
}

/// The store's counts can be.
fn counts(engine: &Engine, shown: &Shown, model: &Model) -> Result<(), Failure> {
    let status = engine.status();
    let held = status.sealed_rows + status.open_rows;
    let counts = status.rows;
    let applied = counts.stored + counts.overwritten + counts.late;
    let fits = held >= shown.len() as u64
        && held <= model.rows_sent
        && applied <= model.rows_sent
        && status.position_durable <= status.position_end;
    if fits {
        return Ok(());
    }
    let text = format!(
        "{} rows shown, {} sent: {status:?}",
        shown.len(),
        model.rows_sent
    );
    Err(Failure::new(Kind::Ledger, text))
}
