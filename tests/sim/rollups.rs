//! Rows that leave between power cuts: with the buckets that stand for them, every row that was acknowledged counts
//! once, and none twice.
//!
//! A series' rows are numbered from 1, and what survives of them is a prefix: their count tells their sum, their least
//! and their greatest, whatever part of them is rows, in chunks on their way out, or in buckets of any tier.

use std::sync::Arc;

use edgetimedb::engine::{Access, Engine, EngineError, EngineOptions, RetentionChange};
use edgetimedb::rollup::Tier;
use edgetimedb::storage::simulated::{Random, SimulatedStorage};

use super::model::{Failure, Kind, Row, SeriesName, Value};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// What the runs did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub cuts: u64,
    pub rows: u64,
    pub questions: u64,
    /// Buckets of the coarsest tier that were there at a start.
    pub buckets: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.rows += other.rows;
        self.questions += other.questions;
        self.buckets += other.buckets;
    }
}

/// The rows of one series.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// Rows that are there, as far as anybody knows; one that was on its way when the power went may be there, too.
    rows: u64,
    maybe: u64,
    /// What a start must find at least.
    promised: u64,
    /// Rows, and where the log has to be durable for them.
    on_its_way: Vec<(u64, u64)>,
}

const SERIES: usize = 3;
/// Rows of a series that stay, about.
const ROWS_MAX: u64 = 48;

struct Run {
    sent: Vec<Sent>,
    met: Met,
}

/// Runs a seed to its end.
pub fn run(seed: u64) -> Result<Met, Failure> {
    let mut random = Random::new(seed);
    let drawn = Plan::of(&mut random);
    let plan = Plan {
        engine: EngineOptions {
            rows_per_series_max: ROWS_MAX,
            raw_age_max_ns: 0,
            chunk_rows: 16 << random.below(2),
            ..drawn.engine
        },
        ..drawn
    };
    let clock = Arc::new(JumpingClock::new());
    let mut disk = SimulatedStorage::new(random.next());
    let mut run = Run {
        sent: vec![Sent::default(); SERIES],
        met: Met::default(),
    };
    for _ in 0..6 {
        let engine = world::start(&mut disk, &clock, &plan, &mut random)?;
        disk.cut_never();
        if !engine.makes_buckets() {
            switch_on(&engine)?;
        }
        run.met.buckets += engine.tier_uses()[&Tier::HOUR].buckets;
        run.compare(&engine, true)?;
        disk.cut_after(random.below(plan.operations * 2) + 1);
        run.live(&engine, &disk, &mut random)?;
        drop(engine);
        disk = disk.after_cut();
        run.met.cuts += 1;
    }
    Ok(run.met)
}

/// The classes of all series have buckets of every width from now on.
fn switch_on(engine: &Engine) -> Result<(), Failure> {
    let change = RetentionChange::Class {
        name: "normal".to_owned(),
        importance: None,
        raw_age_s: None,
        raw_bytes: None,
        rows_per_series: None,
        tiers: Tier::USUAL.map(|tier| (tier, Some(0))).to_vec(),
    };
    let changed = engine.change_retention(&Access::full(), &change);
    let synced = changed.and_then(|_| engine.sync());
    synced.map_err(|error| Failure::new(Kind::Refused, error.to_string()))?;
    Ok(())
}

impl Run {
    fn live(
        &mut self,
        engine: &Arc<Engine>,
        disk: &SimulatedStorage,
        random: &mut Random,
    ) -> Result<(), Failure> {
        for _ in 0..400 {
            if disk.is_off() {
                break;
            }
            // What fails here is tried again, or not.
            match random.below(12) {
                0 | 1 => drop(engine.sync()),
                2 => drop(engine.checkpoint_in_passing()),
                3 => drop(engine.checkpoint_everything()),
                4 => drop(engine.seal_all()),
                5 | 6 => drop(engine.tick()),
                7 if !disk.is_off() => match self.compare(engine, false) {
                    Err(_) if disk.is_off() => {}
                    other => other?,
                },
                _ => self.write(engine, disk, random)?,
            }
            let durable = engine.durable().0;
            for sent in &mut self.sent {
                let known = sent.on_its_way.iter();
                let known = known.filter(|(_, position)| *position <= durable);
                let newest = known.map(|(rows, _)| *rows).max();
                sent.promised = sent.promised.max(newest.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// A batch of rows of one series, some of them out of order, some far behind those that left.
    fn write(
        &mut self,
        engine: &Engine,
        disk: &SimulatedStorage,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let tag = random.below(SERIES as u64) as usize;
        let sent = &mut self.sent[tag];
        let mut batch = engine.batch();
        let count = 1 + random.below(24);
        for number in sent.rows + 1..=sent.rows + count {
            let behind = match random.below(40) {
                0 => 400,
                1..6 => 3,
                _ => 0,
            };
            // No two rows have one time: those out of order have a place between two seconds of their own.
            let time =
                NOW - 20 * 3_600 * SECOND + (number as i64 - behind) * 7 * SECOND + behind * 1_000;
            let row = Row {
                series: SeriesName {
                    database: 0,
                    measurement: 0,
                    tag: tag as u8,
                },
                time,
                fields: vec![(0, Value::Integer(number as i64))],
            };
            world::push(engine, &mut batch, &row, number as u32)
                .map_err(|error| Failure::new(Kind::Refused, error))?;
        }
        let written = engine.write(&mut batch);
        match written.error {
            None => {
                sent.rows += count;
                sent.maybe = sent.rows;
                sent.on_its_way.push((sent.rows, written.position.0));
                self.met.rows += count;
            }
            Some(_) if disk.is_off() => sent.maybe = sent.rows + count,
            Some(EngineError::Busy) => drop(engine.checkpoint()),
            Some(error) => return Err(Failure::new(Kind::Refused, error.to_string())),
        }
        Ok(())
    }

    /// Compares what the store counts with what was sent; at a start, with what may be there.
    fn compare(&mut self, engine: &Arc<Engine>, at_start: bool) -> Result<(), Failure> {
        let field = super::plan::FIELDS[0];
        let (database, measurement) = (super::plan::DATABASES[0], super::plan::MEASUREMENTS[0]);
        for (tag, sent) in self.sent.iter_mut().enumerate() {
            let from = format!("FROM \"{measurement}\" WHERE h = 't{tag}'");
            let total = format!(
                "SELECT count(*), count({field}), sum({field}), min({field}), max({field}) {from}"
            );
            let width = ["10 seconds", "1 minute", "1 hour"][self.met.questions as usize % 3];
            let parts = format!(
                "SELECT time_bucket('{width}', time) AS b, count({field}), sum({field}) {from} GROUP BY b"
            );
            let asked = world::ask(engine, database, &total);
            let answer = match asked {
                Ok(answer) => answer,
                // Nothing of it came through.
                Err(_) if sent.promised == 0 => Vec::new(),
                Err(error) => return Err(Failure::new(Kind::Refused, error)),
            };
            let numbers = |line: &String| -> Vec<u64> {
                let cells = line.split('|').map(|cell| cell.parse().unwrap_or(0));
                cells.collect()
            };
            let cells = answer.first().map_or_else(|| vec![0; 5], numbers);
            let rows = cells[0];
            let (least, most) = if at_start {
                (sent.promised, sent.maybe)
            } else {
                (sent.rows, sent.rows)
            };
            let told = format!("t{tag} has {cells:?}, between {least} and {most} rows are right");
            if rows < least {
                return Err(Failure::new(Kind::Lost, told));
            }
            if rows > most {
                return Err(Failure::new(Kind::Invented, told));
            }
            let right = [rows, rows, rows * (rows + 1) / 2, rows.min(1), rows];
            if cells != right {
                return Err(Failure::new(Kind::Wrong, format!("{told}: {right:?}")));
            }
            if !answer.is_empty() {
                let parts = world::ask(engine, database, &parts);
                let parts = parts.map_err(|error| Failure::new(Kind::Refused, error))?;
                let of = |at: usize| -> u64 {
                    let cells = parts.iter().filter_map(|line| line.split('|').nth(at));
                    cells.filter_map(|cell| cell.parse::<u64>().ok()).sum()
                };
                if (of(1), of(2)) != (rows, right[2]) {
                    let text = format!("{told}; by {width} {:?}", (of(1), of(2)));
                    return Err(Failure::new(Kind::Wrong, text));
                }
            }
            self.met.questions += 1;
            if at_start {
                *sent = Sent {
                    rows,
                    maybe: rows,
                    promised: rows,
                    on_its_way: Vec::new(),
                };
            }
        }
        Ok(())
    }
}
