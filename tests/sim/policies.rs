//! Changes of the retention policy between power cuts: what was acknowledged lasts, what was not is there whole or
//! not at all. Rows are written beside it, so that checkpoints free the log that had the changes.

use std::sync::Arc;

use edgetimedb::engine::{Access, Engine, EngineError, RetentionBound, RetentionChange};
use edgetimedb::storage::simulated::{Random, SimulatedStorage};

use super::model::{Failure, Kind, Row, SeriesName};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// What the runs did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub cuts: u64,
    pub changes: u64,
    /// Starts that found a change which nobody had been promised.
    pub unpromised: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.changes += other.changes;
        self.unpromised += other.unpromised;
    }
}

/// The changes of one run. Each has a number of its own, which is the limit of a class without series.
#[derive(Debug, Default)]
struct Changes {
    newest: u64,
    /// What a start must find at least.
    promised: u64,
    /// Number of a change, and where the log has to be durable for it.
    sent: Vec<(u64, u64)>,
}

impl Changes {
    fn acknowledge(&mut self, durable: u64) {
        let known = self
            .sent
            .iter()
            .filter(|(_, position)| *position <= durable);
        let newest = known.map(|(number, _)| *number).max();
        self.promised = self.promised.max(newest.unwrap_or(0));
    }

    /// Compares with what a start found.
    fn find(&mut self, engine: &Engine, met: &mut Met) -> Result<(), Failure> {
        let found = number_in(engine);
        if found < self.promised {
            let text = format!("policy {found} is in force, {} was durable", self.promised);
            return Err(Failure::new(Kind::Lost, text));
        }
        if found > self.newest {
            let text = format!("policy {found} is in force, {} was the last", self.newest);
            return Err(Failure::new(Kind::Invented, text));
        }
        met.unpromised += u64::from(found > self.promised);
        self.promised = found;
        self.sent.clear();
        Ok(())
    }
}

/// Runs a seed to its end.
pub fn run(seed: u64) -> Result<Met, Failure> {
    let mut random = Random::new(seed);
    let plan = Plan::of(&mut random);
    let clock = Arc::new(JumpingClock::new());
    let mut disk = SimulatedStorage::new(random.next());
    let mut changes = Changes::default();
    let mut met = Met::default();
    for _ in 0..6 {
        let engine = world::start(&mut disk, &clock, &plan, &mut random)?;
        changes.find(&engine, &mut met)?;
        disk.cut_after(random.below(plan.operations) + 1);
        live(&engine, &disk, &mut random, &mut changes, &mut met)?;
        drop(engine);
        disk = disk.after_cut();
        met.cuts += 1;
    }
    Ok(met)
}

fn live(
    engine: &Engine,
    disk: &SimulatedStorage,
    random: &mut Random,
    changes: &mut Changes,
    met: &mut Met,
) -> Result<(), Failure> {
    for _ in 0..2_000 {
        if disk.is_off() {
            break;
        }
        // What fails here is tried again, or not.
        match random.below(10) {
            0 | 1 => change(engine, disk, changes, met)?,
            2 | 3 => drop(engine.sync()),
            4 => drop(engine.checkpoint_in_passing()),
            5 => drop(engine.checkpoint_everything()),
            _ => write(engine, random)?,
        }
        changes.acknowledge(engine.durable().0);
    }
    Ok(())
}

fn change(
    engine: &Engine,
    disk: &SimulatedStorage,
    changes: &mut Changes,
    met: &mut Met,
) -> Result<(), Failure> {
    let number = changes.newest + 1;
    let change = RetentionChange::Class {
        name: "critical".to_owned(),
        importance: None,
        raw_age_s: None,
        raw_bytes: None,
        rows_per_series: Some(RetentionBound::At(number)),
        tiers: Vec::new(),
    };
    match engine.change_retention(&Access::full(), &change) {
        Ok(position) => {
            if number_in(engine) != number {
                let text = format!("policy {number} was taken, and is not in force");
                return Err(Failure::new(Kind::Wrong, text));
            }
            met.changes += 1;
            changes.newest = number;
            changes.sent.push((number, position.0));
        }
        // It may have reached the log all the same.
        Err(_) if disk.is_off() => changes.newest = number,
        Err(EngineError::Busy) => drop(engine.checkpoint()),
        Err(error) => return Err(Failure::new(Kind::Refused, error.to_string())),
    }
    Ok(())
}

fn write(engine: &Engine, random: &mut Random) -> Result<(), Failure> {
    let mut batch = engine.batch();
    for tag in 0..=random.below(20) as u32 {
        let row = Row {
            series: SeriesName {
                database: 0,
                measurement: 0,
                tag: random.below(3) as u8,
            },
            time: NOW - random.below(50) as i64 * SECOND,
            fields: vec![(4, world::value(4, true, random))],
        };
        world::push(engine, &mut batch, &row, tag)
            .map_err(|error| Failure::new(Kind::Refused, error))?;
    }
    if matches!(engine.write(&mut batch).error, Some(EngineError::Busy)) {
        drop(engine.checkpoint());
    }
    Ok(())
}

fn number_in(engine: &Engine) -> u64 {
    let policy = engine.retention().policy;
    policy.classes[0].rows_per_series.unwrap_or(0)
}
