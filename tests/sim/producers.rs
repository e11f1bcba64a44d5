//! Producers on a disk that loses power: every batch is sent until it is answered, over cuts, kills and checkpoints, and
//! is there once.
//!
//! A batch has a row without a time, which a second writing would make two of, and one with a time, which another writer
//! overwrites in between: a second writing would bring the old value back. Other threads send while the device syncs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use edgetime_protocol::write::Producer;
use edgetimedb::engine::{Engine, Once};
use edgetimedb::storage::simulated::{Random, SimulatedStorage};

use super::model::{Row, SeriesName, Value};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub cuts: u64,
    pub batches: u64,
    pub sent_again: u64,
    pub duplicates: u64,
    pub overwritten: u64,
}

impl Done {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.batches += other.batches;
        self.sent_again += other.sent_again;
        self.duplicates += other.duplicates;
        self.overwritten += other.overwritten;
    }
}

/// A batch, and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    producer: Producer,
    number: i64,
    accepted: bool,
    /// It was answered as durable.
    sure: bool,
    overwrite: Overwrite,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Overwrite {
    None,
    Sent,
    Accepted,
    Sure,
}

struct World {
    engine: Arc<Engine>,
    clock: Arc<JumpingClock>,
    random: Random,
    sent: Vec<Sent>,
    sequences: BTreeMap<u64, u64>,
    done: Done,
    /// Rows of repeated batches that were counted, and those whose count is durable.
    repeated: u64,
    repeated_sure: u64,
    fault: Option<String>,
}

type Shared = Arc<Mutex<World>>;

/// Runs a seed.
pub fn run(seed: u64) -> Result<Done, String> {
    let mut random = Random::new(seed);
    let mut plan = Plan::of(&mut random.fork());
    plan.engine.raw_age_max_ns = 0;
    plan.engine.rows_per_series_max = 0;
    let clock = Arc::new(JumpingClock::new());
    let mut disk = SimulatedStorage::new(random.next());
    let engine = world::open(&disk, &clock, &plan)?;
    let world: Shared = Arc::new(Mutex::new(World {
        engine,
        clock: Arc::clone(&clock),
        random: random.fork(),
        sent: Vec::new(),
        sequences: BTreeMap::new(),
        done: Done::default(),
        repeated: 0,
        repeated_sure: 0,
        fault: None,
    }));
    for _ in 0..2 + random.below(4) {
        live(&world, &disk, &mut random)?;
        let kill = random.one_in(3);
        let next = if kill {
            disk.after_kill()
        } else {
            disk.after_cut()
        };
        // What holds the old one would write on.
        disk.meanwhile(|| ());
        disk = next;
        let engine = world::open(&disk, &clock, &plan)?;
        let mut world = lock(&world);
        world.done.cuts += u64::from(!kill);
        world.begin_again(engine)?;
    }
    let done = lock(&world).done;
    Ok(done)
}

fn lock(world: &Shared) -> std::sync::MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Steps until the power goes or the life is over.
fn live(world: &Shared, disk: &SimulatedStorage, random: &mut Random) -> Result<(), String> {
    let others = Arc::clone(world);
    disk.meanwhile(move || {
        if let Ok(mut world) = others.try_lock()
            && world.random.one_in(2)
        {
            world.write();
        }
    });
    disk.cut_after(20 + random.below(300));
    for _ in 0..60 {
        let engine = Arc::clone(&lock(world).engine);
        match random.below(10) {
            0..=4 => lock(world).write(),
            5 => lock(world).overwrite(),
            6 | 7 => {
                let (accepted, repeated) = lock(world).accepted();
                if engine.sync().is_ok() {
                    lock(world).is_durable(&accepted, repeated);
                }
            }
            // What it comes to, reads tell.
            8 => drop(engine.checkpoint()),
            _ => drop(engine.checkpoint_everything()),
        }
        if let Some(fault) = lock(world).fault.take() {
            return Err(fault);
        }
        if disk.is_off() {
            break;
        }
    }
    Ok(())
}

impl World {
    /// Sends a new batch, or one of before once more.
    fn write(&mut self) {
        self.clock.advance(SECOND as u64);
        if !self.sent.is_empty() && self.random.one_in(3) {
            let recent = self.sent.len().min(20) as u64;
            let at = self.sent.len() - 1 - self.random.below(recent) as usize;
            self.send(at);
            return;
        }
        let id = 1 + self.random.below(3);
        let sequence = self.sequences.entry(id).or_default();
        *sequence += 1 + u64::from(self.random.one_in(8));
        let sequence = *sequence;
        self.sent.push(Sent {
            producer: Producer { id, sequence },
            number: self.sent.len() as i64 + 1,
            accepted: false,
            sure: false,
            overwrite: Overwrite::None,
        });
        self.done.batches += 1;
        self.send(self.sent.len() - 1);
    }

    fn send(&mut self, at: usize) {
        let one = self.sent[at];
        let mut batch = self.engine.batch();
        let stamped = row(one.producer.id as u8, 0, one.number);
        let timed = row(10 + one.producer.id as u8, time_of(one.number), one.number);
        let pushed = world::push_at(&self.engine, &mut batch, &stamped, None, 0)
            .and_then(|_| world::push(&self.engine, &mut batch, &timed, 1));
        if pushed.is_err() {
            // The power is off: nobody can be resolved.
            return;
        }
        match self.engine.write_once(&mut batch, one.producer) {
            Once::Written(written) if written.error.is_none() => {
                if one.sure || one.accepted {
                    self.fault = Some(format!("{one:?} was stored again"));
                }
                self.sent[at].accepted = true;
            }
            Once::Written(_) => {}
            Once::Duplicate(_) => {
                self.sent[at].accepted = true;
                self.done.duplicates += 1;
                let rows = self.engine.rows_by_database(&batch);
                if self.engine.count_repeated(one.producer, &rows).is_ok() {
                    self.repeated += rows.values().sum::<u64>();
                }
            }
        }
    }

    /// Another writer overwrites the row of a batch that was accepted.
    fn overwrite(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.random.below(self.sent.len() as u64) as usize;
        let one = self.sent[at];
        if !one.accepted {
            return;
        }
        let mut batch = self.engine.batch();
        let other = row(10 + one.producer.id as u8, time_of(one.number), -one.number);
        if world::push(&self.engine, &mut batch, &other, 0).is_err() {
            return;
        }
        let taken = self.engine.write(&mut batch).error.is_none();
        let overwrite = &mut self.sent[at].overwrite;
        if *overwrite != Overwrite::Sure {
            *overwrite = if taken {
                Overwrite::Accepted
            } else {
                Overwrite::Sent
            };
            self.done.overwritten += u64::from(taken);
        }
    }

    /// What a sync that begins now makes durable.
    fn accepted(&self) -> (Vec<(bool, Overwrite)>, u64) {
        let all = self.sent.iter().map(|one| (one.accepted, one.overwrite));
        (all.collect(), self.repeated)
    }

    fn is_durable(&mut self, accepted: &[(bool, Overwrite)], repeated: u64) {
        for (one, (accepted, overwrite)) in self.sent.iter_mut().zip(accepted) {
            one.sure |= accepted;
            if *overwrite == Overwrite::Accepted {
                one.overwrite = Overwrite::Sure;
            }
        }
        self.repeated_sure = self.repeated_sure.max(repeated);
    }

    /// The next life: what was not answered is sent again, and some of what was.
    fn begin_again(&mut self, engine: Arc<Engine>) -> Result<(), String> {
        self.engine = engine;
        let counted = self.engine.status().ledger.duplicate;
        if counted < self.repeated_sure || counted > self.repeated {
            return Err(format!(
                "{counted} repeated rows are counted of {} to {}",
                self.repeated_sure, self.repeated
            ));
        }
        (self.repeated, self.repeated_sure) = (counted, counted);
        for at in 0..self.sent.len() {
            let one = &mut self.sent[at];
            one.accepted = false;
            // The log keeps a first part of what it was given: it may have come so far, or not.
            if one.overwrite == Overwrite::Accepted {
                one.overwrite = Overwrite::Sent;
            }
            if self.sent[at].sure && !self.random.one_in(4) {
                self.sent[at].accepted = true;
                continue;
            }
            self.done.sent_again += 1;
            self.send(at);
            if !self.sent[at].accepted {
                // The log is full of what it replays.
                self.engine
                    .checkpoint()
                    .map_err(|error| error.to_string())?;
                self.send(at);
            }
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
        }
        let (accepted, repeated) = self.accepted();
        self.engine.sync().map_err(|error| error.to_string())?;
        self.is_durable(&accepted, repeated);
        self.check()
    }

    /// Every batch is there once, and what was overwritten stays so.
    fn check(&mut self) -> Result<(), String> {
        let shown = world::read(&self.engine).map_err(|failure| failure.text)?;
        let mut stamped: BTreeMap<i64, u64> = BTreeMap::new();
        let mut timed: BTreeMap<i64, i64> = BTreeMap::new();
        for ((series, time), fields) in &shown {
            let Some(Value::Integer(number)) = fields.get(&0) else {
                return Err(format!("a row without its number at {time}"));
            };
            if series.tag < 10 {
                *stamped.entry(*number).or_default() += 1;
            } else {
                timed.insert(*time, *number);
            }
        }
        for one in &mut self.sent {
            let times = stamped.get(&one.number).copied().unwrap_or(0);
            if times != 1 {
                return Err(format!("{one:?} is there {times} times"));
            }
            let value = timed.get(&time_of(one.number)).copied();
            let is_old = value == Some(one.number);
            let is_new = value == Some(-one.number);
            let is_right = match one.overwrite {
                Overwrite::None => is_old,
                Overwrite::Sure => is_new,
                Overwrite::Sent | Overwrite::Accepted => is_old || is_new,
            };
            if !is_right {
                return Err(format!("{one:?} shows {value:?}"));
            }
            if is_new {
                one.overwrite = Overwrite::Sure;
            }
        }
        let ledger = self.engine.status().ledger;
        if !ledger.is_balanced() || ledger.duplicate != self.repeated {
            return Err(format!("{ledger:?} with {} repeated rows", self.repeated));
        }
        Ok(())
    }
}

fn time_of(number: i64) -> i64 {
    NOW - 100_000 * SECOND + number * SECOND
}

fn row(tag: u8, time: i64, number: i64) -> Row {
    Row {
        series: SeriesName {
            database: 0,
            measurement: 0,
            tag,
        },
        time,
        fields: vec![(0, Value::Integer(number))],
    }
}
