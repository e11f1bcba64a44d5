//! Rows that leave between power cuts: with the buckets that stand for them, every row that was acknowledged counts
//! once, and none twice.
//!
//! A series' rows are numbered from 1, and what survives of them is a prefix: their count tells their sum, their least
//! and their greatest, whatever part of them is rows, in chunks on their way out, or in buckets of any tier.

use std::collections::BTreeSet;
use std::sync::Arc;

use edgetimedb::engine::{Access, Engine, EngineError, EngineOptions, RetentionChange};
use edgetimedb::rollup::Tier;
use edgetimedb::storage::simulated::{Random, SimulatedStorage};
use edgetimedb::types::TimeRange;

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
    /// Tiers of series that were filled.
    pub filled: u64,
    /// Rows that were deleted, buckets' ones included.
    pub deleted: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.rows += other.rows;
        self.questions += other.questions;
        self.buckets += other.buckets;
        self.deleted += other.deleted;
        self.filled += other.filled;
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
    /// The times of rows, those included that are not known to be there.
    times: Vec<i64>,
    /// Rows that were deleted.
    gone: BTreeSet<u64>,
}

impl Sent {
    /// What a store answers that has the first rows: how many, their sum, the least, the greatest.
    fn answer(&self, rows: u64) -> [u64; 5] {
        let there = (1..=rows).filter(|number| !self.gone.contains(number));
        let count = there.clone().count() as u64;
        let (min, max) = (there.clone().min(), there.clone().max());
        [
            count,
            count,
            there.sum(),
            min.unwrap_or(0),
            max.unwrap_or(0),
        ]
    }

    /// All rows of a range that may be there are deleted.
    fn delete(&mut self, range: TimeRange) {
        let numbers = 1..=self.maybe;
        let hit = numbers.filter(|&number| range.contains(self.times[number as usize - 1]));
        self.gone.extend(hit);
    }
}

const SERIES: usize = 3;
/// Rows of a series that stay, about.
const ROWS_MAX: u64 = 48;

struct Run {
    sent: Vec<Sent>,
    met: Met,
    /// A deletion that the power cut short: it is asked for again before anybody compares.
    interrupted: Option<(usize, TimeRange)>,
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
        interrupted: None,
    };
    for _ in 0..6 {
        let engine = world::start(&mut disk, &clock, &plan, &mut random)?;
        disk.cut_never();
        if !engine.has_tiers() {
            switch_to(&engine, WIDTHS[0])
                .and_then(|()| engine.sync().map(|_| ()))
                .map_err(|error| Failure::new(Kind::Refused, error.to_string()))?;
        }
        let hours = engine.tier_uses().get(&Tier::HOUR).copied();
        run.met.buckets += hours.unwrap_or_default().buckets;
        if let Some((tag, range)) = run.interrupted.take() {
            run.delete_again(&engine, tag, range)?;
        }
        run.compare(&engine, true)?;
        disk.cut_after(random.below(plan.operations * 2) + 1);
        run.live(&engine, &disk, &mut random)?;
        run.met.filled += engine.tier_fill().filled;
        drop(engine);
        disk = disk.after_cut();
        run.met.cuts += 1;
    }
    Ok(run.met)
}

/// How rows of a series are deleted.
fn deletion(tag: usize, range: TimeRange) -> String {
    let measurement = super::plan::MEASUREMENTS[0];
    let TimeRange { start, end } = range;
    let from = if start == i64::MIN {
        String::new()
    } else {
        format!(" AND time >= {start}")
    };
    format!("DELETE FROM \"{measurement}\" WHERE h = 't{tag}'{from} AND time < {end}")
}

/// Tiers that series have, in turn. The finest is always there: everything can be filled from it.
const WIDTHS: [&[&str]; 4] = [
    &["10s", "1m", "1h"],
    &["10s"],
    &["10s", "5m", "1h"],
    &["10s", "30s", "15m", "1h"],
];

/// The series have buckets of these widths from now on, and of no other.
fn switch_to(engine: &Engine, widths: &[&str]) -> Result<(), EngineError> {
    let tiers = Tier::all().map(|tier| (tier, widths.contains(&tier.name()).then_some(0)));
    let change = RetentionChange::Class {
        name: "normal".to_owned(),
        importance: None,
        raw_age_s: None,
        raw_bytes: None,
        rows_per_series: None,
        tiers: tiers.collect(),
    };
    engine.change_retention(&Access::full(), &change)?;
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
            match random.below(14) {
                0 | 1 => drop(engine.sync()),
                2 => drop(engine.checkpoint_in_passing()),
                3 => drop(engine.checkpoint_everything()),
                4 => drop(engine.seal_all()),
                5 | 6 => drop(engine.tick()),
                7 if !disk.is_off() => match self.compare(engine, false) {
                    Err(_) if disk.is_off() => {}
                    other => other?,
                },
                9 if random.below(8) == 0 => {
                    let widths = WIDTHS[random.below(WIDTHS.len() as u64) as usize];
                    // Whether it lasts is of no consequence.
                    drop(switch_to(engine, widths));
                }
                8 if !disk.is_off() => self.delete(engine, disk, random)?,
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

    /// Asks once more for what the power cut short, until nothing is in the way.
    fn delete_again(
        &mut self,
        engine: &Arc<Engine>,
        tag: usize,
        range: TimeRange,
    ) -> Result<(), Failure> {
        let mut asked = Ok(Vec::new());
        for _ in 0..3 {
            asked = world::ask(engine, super::plan::DATABASES[0], &deletion(tag, range));
            if asked.is_ok() {
                break;
            }
            drop(engine.checkpoint());
        }
        match asked {
            Ok(_) => self.sent[tag].delete(range),
            // Nothing of the series came through.
            Err(_) if self.sent[tag].promised == 0 => {}
            Err(error) => return Err(Failure::new(Kind::Refused, error)),
        }
        Ok(())
    }

    /// Deletes whole hours of a series, mostly of what has left.
    fn delete(
        &mut self,
        engine: &Arc<Engine>,
        disk: &SimulatedStorage,
        random: &mut Random,
    ) -> Result<(), Failure> {
        let tag = random.below(SERIES as u64) as usize;
        let sent = &mut self.sent[tag];
        if sent.rows == 0 || random.below(4) > 0 {
            return Ok(());
        }
        let time = sent.times[random.below(sent.rows) as usize];
        let end = Tier::HOUR.end_of(time);
        let start = if random.below(2) == 0 {
            i64::MIN
        } else {
            Tier::HOUR.start_of(time)
        };
        let range = TimeRange { start, end };
        let before = sent.answer(sent.rows)[0];
        // Where the log is full it is asked for again.
        for _ in 0..3 {
            match world::ask(engine, super::plan::DATABASES[0], &deletion(tag, range)) {
                Ok(_) => {
                    sent.maybe = sent.rows;
                    sent.delete(range);
                    self.met.deleted += before - sent.answer(sent.rows)[0];
                    return Ok(());
                }
                Err(_) if disk.is_off() => {
                    self.interrupted = Some((tag, range));
                    return Ok(());
                }
                Err(_) => drop(engine.checkpoint()),
            }
        }
        let told = format!("t{tag}: {range:?} cannot be deleted");
        Err(Failure::new(Kind::Refused, told))
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
            sent.times.truncate(number as usize - 1);
            sent.times.push(time);
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
            let (least, most) = if at_start {
                (sent.promised, sent.maybe)
            } else {
                (sent.rows, sent.rows)
            };
            let mut right = (least..=most).rev();
            let Some(rows) = right.find(|&rows| sent.answer(rows)[..] == cells) else {
                let (fewest, all) = (sent.answer(least), sent.answer(most));
                let told = format!("t{tag} has {cells:?}, {fewest:?} to {all:?} are right");
                let kind = if cells[0] < fewest[0] {
                    Kind::Lost
                } else if cells[0] > all[0] {
                    Kind::Invented
                } else {
                    Kind::Wrong
                };
                return Err(Failure::new(kind, told));
            };
            let told = format!("t{tag} has {cells:?}");
            let right = sent.answer(rows);
            if !answer.is_empty() {
                let parts = world::ask(engine, database, &parts);
                let parts = parts.map_err(|error| Failure::new(Kind::Refused, error))?;
                let of = |at: usize| -> u64 {
                    let cells = parts.iter().filter_map(|line| line.split('|').nth(at));
                    cells.filter_map(|cell| cell.parse::<u64>().ok()).sum()
                };
                if (of(1), of(2)) != (right[0], right[2]) {
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
                    ..std::mem::take(sent)
                };
                sent.gone.retain(|number| *number <= rows);
            }
        }
        Ok(())
    }
}
