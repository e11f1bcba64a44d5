//! What is compared besides the rows: reports of a start, SQL answers, the store's own counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetimedb::engine::{DatabaseLedger, Engine};

use super::model::{Failure, Kind, Model, Received, SeriesName, Shown, Value};
use super::plan::{DATABASES, MEASUREMENTS, Plan, SECOND};
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

/// Every row that was received is in one state, and none is in a state that nothing leads to. What was received
/// and rejected, by database.
pub fn ledger(engine: &Engine, plan: &Plan) -> Result<Received, Failure> {
    let mut received = Received::new();
    for DatabaseLedger { name, ledger } in engine.ledgers() {
        let is_possible = ledger.is_balanced()
            && ledger.duplicate == 0
            && (ledger.expired == 0 || plan.engine.raw_age_max_ns > 0)
            && (ledger.evicted == 0 || plan.engine.rows_per_series_max > 0)
            && (ledger.deleted == 0 || plan.delete_one_in > 0 || plan.empty_one_in > 0);
        if !is_possible {
            let text = format!("{name}: {ledger:?} of {} rows", ledger.sum());
            return Err(Failure::new(Kind::Ledger, text));
        }
        if name.is_empty() && plan.may_lose {
            continue;
        }
        let database = DATABASES.iter().position(|known| *known == &*name);
        let database = database
            .ok_or_else(|| Failure::new(Kind::Ledger, format!("database {name:?}: {ledger:?}")))?;
        if ledger.received > 0 {
            let counts = (ledger.received as i64, ledger.rejected as i64);
            received.insert(database as u8, counts);
        }
    }
    Ok(received)
}

/// A store that runs shows everything that it accepted, and SQL says so.
pub fn answers(run: &mut Run, engine: &Arc<Engine>) -> Result<(), Failure> {
    if run.disk.is_off() {
        return Ok(());
    }
    run.note_horizon(engine);
    let Some(shown) = run.read(engine)? else {
        return Ok(());
    };
    let horizon = engine.time_bounds().horizon;
    run.model.compare(&shown, run.model.units(), horizon)?;
    let (expected, found) = (
        run.model.received(run.model.units()),
        ledger(engine, &run.plan)?,
    );
    if expected != found {
        let text = format!("received {expected:?}, the ledger has {found:?}");
        return Err(Failure::new(Kind::Ledger, text));
    }
    counts(engine, &shown, &run.model)?;
    let database = run.random.below(run.plan.databases) as usize;
    let measurement = run.random.below(run.plan.measurements) as usize;
    let of_both = |name: &&SeriesName| {
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
    let failed = run.disk.wrongs().reads;
    let answered = query(engine, &run.model, (database, measurement), (from, to));
    match answered {
        Err(failure) if failure.kind == Kind::Refused && run.disk.wrongs().reads > failed => Ok(()),
        answered => {
            run.done.answers += 1;
            answered
        }
    }
}

/// Rows of the model that a query is about: tag, time, and the integer where there is one.
type Asked = Vec<(u8, i64, Option<i64>)>;

fn query(
    engine: &Arc<Engine>,
    model: &Model,
    (database, measurement): (usize, usize),
    (from, to): (i64, i64),
) -> Result<(), Failure> {
    let is_asked = |(series, time): &(SeriesName, i64)| {
        usize::from(series.database) == database
            && usize::from(series.measurement) == measurement
            && (from..to).contains(time)
    };
    let rows: Asked = model
        .shown_of(model.units(), &is_asked)
        .into_iter()
        .map(|((series, time), fields)| match fields.get(&0) {
            Some(Value::Integer(number)) => (series.tag, time, Some(*number)),
            _ => (series.tag, time, None),
        })
        .collect();
    let name = MEASUREMENTS[measurement];
    let range = format!("time >= {from} AND time < {to}");
    let tag = rows.first().map_or(0, |row| row.0);
    let queries = [
        (
            format!(
                "SELECT h, count(*), count(i), sum(i), min(i), max(i) FROM {name} WHERE {range} GROUP BY h"
            ),
            by_tag(&rows),
        ),
        (
            format!(
                "SELECT time, i FROM {name} WHERE h = 't{tag}' AND {range} ORDER BY time DESC LIMIT 5"
            ),
            newest(&rows, tag),
        ),
        (
            format!(
                "SELECT time_bucket('5 seconds', time), count(*), sum(i) FROM {name} WHERE {range} GROUP BY time_bucket('5 seconds', time)"
            ),
            by_bucket(&rows),
        ),
    ];
    for (text, expected) in queries {
        match world::ask(engine, DATABASES[database], &text) {
            Ok(found) if found == expected => {}
            // A field or measurement that nobody has written yet has no name.
            Err(error) if error.contains("unknown") && rows.iter().all(|(_, _, i)| i.is_none()) => {
            }
            Err(error) => return Err(Failure::new(Kind::Refused, format!("{text}: {error}"))),
            Ok(found) => {
                let text = format!("{text}: {found:?}, not {expected:?}");
                return Err(Failure::new(Kind::Query, text));
            }
        }
    }
    Ok(())
}

fn by_tag(rows: &Asked) -> Vec<String> {
    let mut groups: BTreeMap<u8, (u64, Vec<i64>)> = BTreeMap::new();
    for (tag, _, number) in rows {
        let (count, values) = groups.entry(*tag).or_default();
        *count += 1;
        values.extend(number);
    }
    let line = |(tag, (count, values)): (u8, (u64, Vec<i64>))| {
        let sum = (!values.is_empty()).then(|| values.iter().sum());
        format!(
            "t{tag}|{count}|{}|{}|{}|{}",
            values.len(),
            or_null(sum),
            or_null(values.iter().min().copied()),
            or_null(values.iter().max().copied())
        )
    };
    groups.into_iter().map(line).collect()
}

fn newest(rows: &Asked, tag: u8) -> Vec<String> {
    let of_tag = rows.iter().rev().filter(|row| row.0 == tag);
    let line = |(_, time, number): &(u8, i64, Option<i64>)| format!("{time}|{}", or_null(*number));
    of_tag.take(5).map(line).collect()
}

fn by_bucket(rows: &Asked) -> Vec<String> {
    let mut groups: BTreeMap<i64, (u64, Option<i64>)> = BTreeMap::new();
    for (_, time, number) in rows {
        let width = 5 * SECOND;
        let (count, sum) = groups.entry(time.div_euclid(width) * width).or_default();
        *count += 1;
        *sum = sum.map_or(*number, |sum| Some(sum + number.unwrap_or(0)));
    }
    let line = |(start, (count, sum)): (i64, (u64, Option<i64>))| {
        format!("{start}|{count}|{}", or_null(sum))
    };
    groups.into_iter().map(line).collect()
}

fn or_null(number: Option<i64>) -> String {
    number.map_or("NULL".to_owned(), |number| number.to_string())
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
