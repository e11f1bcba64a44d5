//! One run: a store's lives between power cuts, decided by a seed, compared with the model after each.
//!
//! Everything happens on one thread, and all chance comes from the seed: a run repeats itself exactly. Where
//! statements delete rows some day, they are one more step here and one more kind of write in the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetimedb::engine::{Engine, EngineError};
use edgetimedb::storage::simulated::{Faults, Random, SimulatedStorage};

use super::check;
use super::model::{Failure, Kind, Model, Row, SeriesName, Shown};
use super::plan::{NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub cuts: u64,
    pub rows: u64,
    pub checkpoints: u64,
    pub chunks: u64,
    pub replayed: u64,
    /// Times that SQL was asked.
    pub answers: u64,
    /// Times that everything was sealed.
    pub seals: u64,
    /// Jumps of the wall clock.
    pub jumps: u64,
}

impl Done {
    pub fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.rows += other.rows;
        self.checkpoints += other.checkpoints;
        self.chunks += other.chunks;
        self.replayed += other.replayed;
        self.answers += other.answers;
        self.seals += other.seals;
        self.jumps += other.jumps;
    }
}

/// A run in the middle.
pub struct Run {
    pub plan: Plan,
    pub random: Random,
    pub disk: SimulatedStorage,
    pub clock: Arc<JumpingClock>,
    pub model: Model,
    pub done: Done,
    /// Time of the newest row of each series, so that most rows come in order.
    newest: BTreeMap<SeriesName, i64>,
    /// No row before this was shown since.
    horizon: i64,
    /// Whether to tell every step.
    pub told: bool,
}

/// How a life ended.
enum End {
    Cut,
    Killed,
    Stopped,
}

/// Runs a seed to its end.
pub fn run(seed: u64, told: bool) -> Result<Done, Failure> {
    let mut run = Run::new(seed);
    run.told = told;
    run.tell(|| format!("{:#?}", run.plan));
    let lives = run.plan.lives;
    for _ in 0..lives {
        let engine = run.start()?;
        run.live(engine)?;
    }
    let engine = run.start()?;
    check::answers(&mut run, &engine)?;
    Ok(run.done)
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::of(&mut random);
        Self {
            plan,
            disk: SimulatedStorage::new(random.next()),
            random,
            clock: Arc::new(JumpingClock::new()),
            model: Model::default(),
            done: Done::default(),
            newest: BTreeMap::new(),
            horizon: i64::MIN,
            told: false,
        }
    }

    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>6} {}", self.disk.operations(), what());
        }
    }

    /// Starts the store, and compares it with the model.
    pub fn start(&mut self) -> Result<Arc<Engine>, Failure> {
        self.disk.set_faults(Faults {
            write_back: self.plan.faults.write_back,
            ..Faults::default()
        });
        loop {
            if self.random.one_in(self.plan.cut_again_one_in) {
                let operations = self.random.below(30);
                self.disk.cut_after(operations);
            }
            match world::open(&self.disk, &self.clock, &self.plan) {
                Ok(engine) if !self.disk.is_off() => {
                    self.disk.cut_never();
                    self.tell(|| format!("started: {:?}", engine.opened()));
                    let shown = world::read(&engine)?;
                    let horizon = engine.time_bounds().horizon;
                    let units = self.model.units();
                    let kept = self.model.recover(&shown, horizon)?;
                    self.tell(|| format!("holds {kept} of {units} units, {} rows", shown.len()));
                    check::start(&engine, &self.model)?;
                    self.done.replayed += engine.opened().replayed_rows;
                    self.done.chunks += engine.opened().chunks;
                    return Ok(engine);
                }
                _ if self.disk.is_off() => self.cut(),
                Ok(_) => {}
                Err(error) => return Err(Failure::new(Kind::Refused, error)),
            }
        }
    }

    fn cut(&mut self) {
        self.tell(|| "the power goes".to_owned());
        self.disk = self.disk.after_cut();
        self.done.cuts += 1;
    }

    /// Writes, reads and tidies until the power goes.
    pub fn live(&mut self, engine: Arc<Engine>) -> Result<(), Failure> {
        self.disk.set_faults(self.plan.faults);
        let operations = self.random.below(self.plan.operations);
        self.disk.cut_after(operations);
        let end = if self.random.one_in(self.plan.kill_one_in) {
            End::Killed
        } else if self.random.one_in(self.plan.stop_one_in) {
            End::Stopped
        } else {
            End::Cut
        };
        let steps = match end {
            End::Cut => 2_000,
            End::Killed | End::Stopped => self.random.below(60),
        };
        for _ in 0..steps {
            self.step(&engine)?;
            self.model.acknowledge(engine.durable().0);
            if self.disk.is_off() {
                break;
            }
        }
        if matches!(end, End::Stopped) && !self.disk.is_off() {
            self.stop(&engine);
        }
        drop(engine);
        // A process is killed in the middle of a call, too: the device keeps what it has then.
        if matches!(end, End::Killed) {
            self.tell(|| "the process is killed".to_owned());
            self.disk = self.disk.after_kill();
        } else {
            self.cut();
        }
        Ok(())
    }

    /// An orderly stop, as the server does it.
    fn stop(&mut self, engine: &Engine) {
        self.disk.cut_never();
        let sealed = engine.sync().and_then(|_| engine.checkpoint_everything());
        let sealed = sealed.and_then(|_| engine.seal_log());
        self.model.acknowledge(engine.durable().0);
        if sealed.is_ok() {
            self.done.checkpoints += 1;
        }
    }

    /// One thing that a writer, a reader or the server's threads do.
    fn step(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let by_ns = self.random.below(2 * SECOND as u64);
        self.clock.advance(by_ns);
        if self.random.one_in(self.plan.jump_one_in) {
            let hours = self.random.below(7) as i64 - 3;
            self.clock.jump(hours * 3_600 * SECOND);
            self.done.jumps += 1;
        }
        let Plan {
            syncs,
            checkpoints,
            seals,
            reads,
            ..
        } = self.plan;
        let dice = self.random.below(100);
        // What fails here is tried again, or not: the store must bear both.
        if dice < syncs {
            let synced = engine.sync();
            let prepared = engine.prepare_log();
            self.tell(|| format!("sync: {synced:?}, prepare: {prepared:?}"));
        } else if dice < syncs + checkpoints {
            self.checkpoint(engine);
        } else if dice < syncs + checkpoints + seals {
            if self.random.below(4) == 0 {
                let sealed = engine.seal_all();
                self.tell(|| format!("seal: {sealed:?}"));
                self.done.seals += u64::from(sealed.is_ok());
            } else {
                self.tick(engine)?;
            }
        } else if dice < syncs + checkpoints + seals + reads {
            check::answers(self, engine)?;
        } else {
            self.write(engine)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, engine: &Engine) {
        let made = match self.random.below(6) {
            0 => engine.checkpoint(),
            1 => engine.checkpoint_everything(),
            _ => engine.checkpoint_in_passing(),
        };
        self.tell(|| format!("checkpoint: {made:?}"));
        self.done.checkpoints += u64::from(made.is_ok());
    }

    fn tick(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        self.note_horizon(engine);
        let ticked = engine.tick();
        self.tell(|| format!("tick: {ticked:?}"));
        if self.plan.engine.rows_per_series_max == 0 {
            return Ok(());
        }
        if self.disk.is_off() {
            // Nobody can say any more what was evicted.
            for series in self.model.series() {
                self.model.loosen(series, i64::MAX);
            }
            return Ok(());
        }
        let Some(shown) = self.read(engine)? else {
            return Ok(());
        };
        let evicted = self.model.evict(&shown);
        let counted = engine.row_counts().evicted;
        if evicted > 0 && counted == 0 {
            let text = format!("{evicted} rows are gone, and none was evicted");
            return Err(Failure::new(Kind::Lost, text));
        }
        Ok(())
    }

    /// All rows; none where the device failed to give some, and the store said so.
    pub fn read(&self, engine: &Arc<Engine>) -> Result<Option<Shown>, Failure> {
        let failed = self.disk.wrongs().reads;
        match world::read(engine) {
            Ok(shown) => Ok(Some(shown)),
            Err(failure) if failure.kind == Kind::Refused && self.disk.wrongs().reads > failed => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Rows that are too old now may be gone, even if the clock goes back.
    pub fn note_horizon(&mut self, engine: &Engine) {
        let horizon = engine.time_bounds().horizon;
        if horizon > self.horizon {
            self.horizon = horizon;
            for series in self.model.series() {
                self.model.loosen(series, horizon);
            }
        }
    }

    fn write(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let rows = self.rows(engine);
        let mut batch = engine.batch();
        let mut shards = Vec::new();
        for (tag, row) in rows.iter().enumerate() {
            let series = world::push(engine, &mut batch, row, tag as u32)
                .map_err(|error| Failure::new(Kind::Refused, error))?;
            // The documented place of a series: the remainder of its number.
            shards.push(series.id.0 as usize % self.plan.engine.shards);
        }
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let written = engine.write(&mut batch);
        let refused: Vec<u32> = if written.error.is_some() {
            batch.tags().collect()
        } else {
            Vec::new()
        };
        let is_off = self.disk.is_off();
        self.tell(|| format!("write from {begin}: {written:?}"));
        if let Some(error) = &written.error
            && !is_off
            && matches!(error, EngineError::Busy)
        {
            self.checkpoint(engine);
        }
        let position = (!is_off).then_some(written.position.0);
        for shard in 0..self.plan.engine.shards {
            let unit: Vec<&Row> = rows
                .iter()
                .enumerate()
                .filter(|(tag, _)| shards[*tag] == shard)
                .filter(|(tag, _)| is_off || !refused.contains(&(*tag as u32)))
                .map(|(_, row)| row)
                .collect();
            if !unit.is_empty() {
                self.done.rows += unit.len() as u64;
                self.model.write(&unit, (begin, durable), position);
            }
        }
        Ok(())
    }

    /// A batch of rows.
    fn rows(&mut self, engine: &Engine) -> Vec<Row> {
        let bounds = engine.time_bounds();
        let plan = self.plan.clone();
        let random = &mut self.random;
        let count = 1 + random.below(plan.batch_rows);
        let mut rows = Vec::new();
        for _ in 0..count {
            let series = SeriesName {
                database: random.below(plan.databases) as u8,
                measurement: random.below(plan.measurements) as u8,
                tag: random.below(plan.tags) as u8,
            };
            let newest = self.newest.entry(series).or_insert(NOW - 10 * SECOND);
            let time = if random.one_in(plan.overwrite_one_in) {
                *newest - random.below(20) as i64 * SECOND / 2
            } else if random.one_in(plan.late_one_in) {
                *newest - random.below(100) as i64 * SECOND / 4
            } else {
                *newest += SECOND / 2 * (1 + random.below(3) as i64);
                *newest
            };
            if bounds.check(time).is_err() {
                // The clock is elsewhere: a device that follows it.
                *newest = bounds.max.min(engine.clock().wall_ns());
                continue;
            }
            let long = random.one_in(plan.long_one_in);
            let mut fields = Vec::new();
            for field in 0..plan.fields as u8 {
                if random.below(3) > 0 {
                    fields.push((field, world::value(field, long, random)));
                }
            }
            if fields.is_empty() {
                fields.push((0, world::value(0, false, random)));
            }
            rows.push(Row {
                series,
                time,
                fields,
            });
        }
        rows
    }
}
