//! A process that is killed in the middle of a checkpoint, and a power cut after the next start.

use std::sync::Arc;

use edgetimedb::engine::Engine;
use edgetimedb::storage::simulated::{Random, SimulatedStorage};

use super::model::{Row, SeriesName, Shown, Value};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// Kills at every call of a checkpoint; how many there are.
pub fn every_call() -> Result<u64, String> {
    let mut calls = 0;
    for seed in 0..8 {
        calls = 0;
        while killed_at(seed, calls).map_err(|text| format!("seed {seed}, call {calls}: {text}"))? {
            calls += 1;
        }
    }
    Ok(calls)
}

/// Whether the checkpoint has so many calls.
fn killed_at(seed: u64, call: u64) -> Result<bool, String> {
    let mut plan = Plan::of(&mut Random::new(1));
    plan.engine.raw_age_max_ns = 0;
    plan.engine.rows_per_series_max = 0;
    let clock = Arc::new(JumpingClock::new());
    let disk = SimulatedStorage::new(seed);
    let engine = world::open(&disk, &clock, &plan)?;
    let said = |error: &dyn std::fmt::Display| error.to_string();
    for round in 0..3 {
        for step in 0..20 {
            write(&engine, round * 20 + step)?;
        }
        if round < 2 {
            engine
                .checkpoint_everything()
                .map_err(|error| said(&error))?;
        }
    }
    engine.sync().map_err(|error| said(&error))?;
    let expected = read(&engine)?;
    disk.cut_after(call);
    let made = engine.checkpoint_everything();
    drop(engine);
    let killed = disk.after_kill();
    let engine = world::open(&killed, &clock, &plan)?;
    if read(&engine)? != expected {
        return Err("rows are gone with the process".to_owned());
    }
    drop(engine);
    let cut = killed.after_cut_where(&mut || false);
    let engine = world::open(&cut, &clock, &plan)?;
    if read(&engine)? != expected {
        return Err("rows are gone with the power".to_owned());
    }
    if engine.opened().is_damaged() {
        return Err(format!("damage is reported: {:?}", engine.opened()));
    }
    Ok(made.is_err())
}

/// Rows of two series; one of them is slow.
fn write(engine: &Arc<Engine>, number: i64) -> Result<(), String> {
    let row = Row {
        series: SeriesName {
            database: 0,
            measurement: 0,
            tag: u8::from(number % 10 == 0),
        },
        time: NOW + number * SECOND,
        fields: vec![(0, Value::Integer(number))],
    };
    let mut batch = engine.batch();
    world::push(engine, &mut batch, &row, 0)?;
    let written = engine.write(&mut batch);
    written.error.map_or(Ok(()), |error| Err(error.to_string()))
}

fn read(engine: &Arc<Engine>) -> Result<Shown, String> {
    world::read(engine).map_err(|failure| failure.text)
}
