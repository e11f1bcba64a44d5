//! One run: a store's lives between power cuts, decided by a seed, compared with the model after each.
//!
//! Everything happens on one thread, and all chance comes from the seed: a run repeats itself exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgetimedb::clock::Clock;
use edgetimedb::engine::{Access, Engine, EngineError};
use edgetimedb::storage::simulated::{Faults, Random, SimulatedStorage};
use edgetimedb::types::{MeasurementId, SeriesId};

use super::check;
use super::done::Done;
use super::model::{Failure, Kind, Model, Row, SeriesName, Shown};
use super::plan::{DATABASES, MEMORY, NOW, Plan, SECOND};
use super::world::{self, JumpingClock};

/// A run in the middle.
pub struct Run {
    pub plan: Plan,
    pub random: Random,
    /// Chance of deletions, and of what came later: their own, so that runs without them stay as they are.
    deletions: Random,
    others: Random,
    vacancies: Random,
    reliefs: Random,
    /// A row that the server was to stamp when the power went.
    unstamped: Option<Row>,
    pub disk: SimulatedStorage,
    pub clock: Arc<JumpingClock>,
    pub model: Model,
    pub done: Done,
    /// Time of the newest row of each series, so that most rows come in order.
    newest: BTreeMap<SeriesName, i64>,
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
        let mut plan = Plan::of(&mut random);
        let mut deletions = Random::new(!seed).fork();
        plan.delete_one_in = [0, 0, 6, 25][deletions.below(4) as usize];
        let mut others = Random::new(seed ^ 0x5EED).fork();
        plan.stamp_one_in = [0, 0, 0, 15][others.below(4) as usize];
        plan.reject_one_in = [0, 0, 0, 12][others.below(4) as usize];
        plan.clockless_one_in = [0, 0, 0, 3][others.below(4) as usize];
        plan.backup_one_in = if others.one_in(16) { 60 } else { 0 };
        if plan.reject_one_in > 0 {
            plan.engine.rejected_rows_max = [3, 20, 100][others.below(3) as usize];
            plan.replay_one_in = [0, 2][others.below(2) as usize];
        }
        if others.one_in(8) {
            plan.engine.rows_per_series_max = 16 << others.below(3);
        }
        let mut vacancies = Random::new(seed ^ 0xE397).fork();
        if vacancies.one_in(4) {
            // Each tick is a round.
            plan.engine.empty_series_ns = 1;
            plan.empty_one_in = 12;
        }
        let mut reliefs = Random::new(seed ^ 0x3E3).fork();
        plan.relieve_one_in = [0, 0, 0, 12][reliefs.below(4) as usize];
        Self {
            plan,
            deletions,
            others,
            vacancies,
            reliefs,
            unstamped: None,
            disk: SimulatedStorage::new(random.next()),
            random,
            clock: Arc::new(JumpingClock::new()),
            model: Model::default(),
            done: Done::default(),
            newest: BTreeMap::new(),
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
        if self.others.one_in(self.plan.clockless_one_in) {
            self.tell(|| "the clock is at zero".to_owned());
            self.clock.set(0);
        }
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
                    self.find_unstamped(&shown);
                    let units = self.model.units();
                    self.tell(|| format!("{:?}", engine.ledgers()));
                    let received = check::ledger(&engine, &self.plan)?;
                    let kept = self.model.recover(&shown, horizon, &received)?;
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
            self.tell(|| format!("{:?}", engine.ledgers()));
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
        if self.clock.wall_ns() < NOW && self.others.one_in(10) {
            // Somebody sets it.
            self.clock
                .set(NOW + self.others.below(3_600) as i64 * SECOND);
        }
        if self.others.one_in(self.plan.backup_one_in) {
            self.backup(engine)?;
            if self.disk.is_off() {
                return Ok(());
            }
        }
        if self.vacancies.one_in(self.plan.empty_one_in) {
            self.empty(engine)?;
            if self.disk.is_off() {
                return Ok(());
            }
        }
        if self.plan.relieve_one_in > 0 {
            self.relieve(engine);
            if self.disk.is_off() {
                return Ok(());
            }
        }
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
        } else if self.deletions.one_in(self.plan.delete_one_in) {
            self.delete(engine)?;
        } else if self.others.one_in(self.plan.stamp_one_in) {
            self.write_unstamped(engine)?;
        } else if self.others.one_in(self.plan.reject_one_in) {
            if self.others.one_in(self.plan.replay_one_in) {
                self.replay(engine)?;
            } else {
                self.reject(engine)?;
            }
        } else {
            self.write(engine)?;
        }
        Ok(())
    }

    /// Deletes rows of a measurement around the newest, or all that it has.
    fn delete(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let random = &mut self.deletions;
        let database = random.below(self.plan.databases) as u8;
        let measurement = random.below(self.plan.measurements) as u8;
        let tag = random.below(self.plan.tags + 1) as u8;
        let is_asked = |name: &SeriesName| {
            (name.database, name.measurement) == (database, measurement)
                && (name.tag == tag || u64::from(tag) == self.plan.tags)
        };
        let newest = self.newest.iter().filter(|(name, _)| is_asked(name));
        let newest = newest.map(|(_, time)| *time).max().unwrap_or(NOW);
        let range = if random.one_in(8) {
            (0, i64::MAX)
        } else {
            let from = newest - random.below(40) as i64 * SECOND / 2;
            (from, from + 1 + random.below(20) as i64 * SECOND / 2)
        };
        let chosen = world::series_of(engine, (database, measurement), &is_asked)
            .map_err(|error| Failure::new(Kind::Refused, error))?;
        let Some((id, chosen)) = chosen else {
            return Ok(());
        };
        if self.deletions.one_in(6) {
            self.drop_measurement(engine, (database, measurement), id);
            return Ok(());
        }
        self.delete_range(engine, (database, id), &chosen, range)
    }

    /// Deletes all rows of a series, and lets it give its place back, if nothing comes in between.
    fn empty(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let name = SeriesName {
            database: self.vacancies.below(self.plan.databases) as u8,
            measurement: self.vacancies.below(self.plan.measurements) as u8,
            tag: self.vacancies.below(self.plan.tags) as u8,
        };
        let of_it = (name.database, name.measurement);
        let chosen = world::series_of(engine, of_it, &|found| *found == name)
            .map_err(|error| Failure::new(Kind::Refused, error))?;
        let Some((id, chosen)) = chosen.filter(|(_, chosen)| !chosen.is_empty()) else {
            return Ok(());
        };
        if self.vacancies.below(4) > 0 {
            self.delete_range(engine, (name.database, id), &chosen, (0, i64::MAX))?;
        }
        for _ in 0..2 {
            if self.vacancies.below(4) > 0 && !self.disk.is_off() {
                self.checkpoint(engine);
            }
            if self.vacancies.below(4) > 0 && !self.disk.is_off() {
                self.tick(engine)?;
            }
        }
        Ok(())
    }

    fn delete_range(
        &mut self,
        engine: &Arc<Engine>,
        (database, id): (u8, MeasurementId),
        chosen: &[(SeriesId, SeriesName)],
        range: (i64, i64),
    ) -> Result<(), Failure> {
        let shards = self.plan.engine.shards;
        let of_shard = |shard: usize| -> Vec<SeriesName> {
            let there = chosen
                .iter()
                .filter(|(id, _)| id.0 as usize % shards == shard);
            there.map(|(_, name)| *name).collect()
        };
        let hit: Vec<_> = (0..shards)
            .map(|shard| self.model.hit(&of_shard(shard), range))
            .collect();
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let deleted = world::delete(engine, database, id, chosen, range);
        let is_off = self.disk.is_off();
        self.tell(|| format!("delete {range:?} of {chosen:?} from {begin}: {deleted:?}"));
        let position = match &deleted {
            _ if is_off => None,
            Ok(deleted) => Some(deleted.position.0),
            Err(_) => Some(engine.end().0),
        };
        // What is too old is not shown, whether or not it was deleted: it may be gone or there, if the clock goes back.
        let (shown, horizon) = match &deleted {
            Err(_) if !is_off => {
                self.note_horizon(engine);
                (world::read(engine)?, engine.time_bounds().horizon)
            }
            _ => (BTreeMap::new(), i64::MIN),
        };
        for mut keys in hit {
            keys.retain(|(_, time)| *time >= horizon);
            // Of what failed some parts may have been done: then nothing of them is shown.
            if !keys.is_empty() && !keys.iter().any(|key| shown.contains_key(key)) {
                self.done.deletions += 1;
                self.model.delete(keys, (begin, durable), position);
            }
        }
        if matches!(deleted, Err(EngineError::Busy)) && !is_off {
            self.checkpoint(engine);
        }
        Ok(())
    }

    /// Drops a measurement: one unit, or nothing.
    fn drop_measurement(
        &mut self,
        engine: &Arc<Engine>,
        (database, measurement): (u8, u8),
        id: MeasurementId,
    ) {
        let of_it =
            |name: &SeriesName| (name.database, name.measurement) == (database, measurement);
        let series: Vec<SeriesName> = self.model.series().into_iter().filter(of_it).collect();
        let keys = self.model.hit(&series, (i64::MIN, i64::MAX));
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let dropped = world::drop_measurement(engine, database, id);
        let is_off = self.disk.is_off();
        self.tell(|| format!("drop {series:?} from {begin}: {dropped:?}"));
        match dropped {
            Ok(dropped) if !keys.is_empty() => {
                self.done.deletions += 1;
                let position = (!is_off).then_some(dropped.position.0);
                self.model.delete(keys, (begin, durable), position);
            }
            Err(_) if is_off && !keys.is_empty() => {
                self.model.delete(keys, (begin, durable), None);
            }
            Err(EngineError::Busy) if !is_off => self.checkpoint(engine),
            _ => {}
        }
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

    /// Now and then memory is short, and what is to be done then is done.
    fn relieve(&mut self, engine: &Engine) {
        if self.reliefs.one_in(self.plan.relieve_one_in) {
            let before = engine.memory().relief.unloaded_series;
            engine.check_memory(MEMORY * (50 + self.reliefs.below(60)) / 100);
            let relieved = engine.relieve_memory();
            self.tell(|| format!("memory is short: {relieved:?}"));
            self.done.unloaded += engine.memory().relief.unloaded_series - before;
        }
        engine.check_memory(0);
    }

    fn tick(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        self.note_horizon(engine);
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let ticked = engine.tick();
        self.tell(|| format!("tick: {ticked:?}"));
        self.done.retired += ticked.as_ref().map_or(0, |report| report.retired_series);
        let options = &self.plan.engine;
        let (rows_max, is_aging) = (options.rows_per_series_max, options.raw_age_max_ns > 0);
        if rows_max == 0 {
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
        let missing = self.model.missing(&shown);
        if !missing.is_empty() && engine.row_counts().evicted == 0 {
            let text = format!("{missing:?} are gone, and none was evicted");
            return Err(Failure::new(Kind::Lost, text));
        }
        // What the log has stays gone: one unit for each shard, if nothing else left.
        match ticked {
            Ok(report) if report.unlogged_rows == 0 && !is_aging => {
                self.note_evicted(engine, missing, (begin, durable))
            }
            _ => {
                self.model.evict(&shown);
                Ok(())
            }
        }
    }

    fn note_evicted(
        &mut self,
        engine: &Engine,
        missing: Vec<(SeriesName, i64)>,
        (begin, durable): (u64, u64),
    ) -> Result<(), Failure> {
        let mut of_shards = vec![Vec::new(); self.plan.engine.shards];
        let mut of_series = BTreeMap::new();
        for key in missing {
            let (database, measurement) = (key.0.database, key.0.measurement);
            if !of_series.contains_key(&key.0) {
                let found = world::series_of(engine, (database, measurement), &|_| true)
                    .map_err(|error| Failure::new(Kind::Refused, error))?;
                let found = found.into_iter().flat_map(|(_, series)| series);
                of_series.extend(found.map(|(id, name)| (name, id)));
            }
            let shard = of_series
                .get(&key.0)
                .map(|id| id.0 as usize % of_shards.len());
            let shard =
                shard.ok_or_else(|| Failure::new(Kind::Lost, format!("{:?} is gone", key.0)))?;
            of_shards[shard].push(key);
        }
        let position = Some(engine.end().0);
        for keys in of_shards.into_iter().filter(|keys| !keys.is_empty()) {
            self.model.delete(keys, (begin, durable), position);
            self.done.evictions += 1;
        }
        Ok(())
    }

    /// A row without a time: the server's is found where it is shown.
    fn write_unstamped(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let Some(mut row) = self.rows(engine).pop() else {
            return Ok(());
        };
        let Some(before) = self.read(engine)? else {
            return Ok(());
        };
        let mut batch = engine.batch();
        world::push_at(engine, &mut batch, &row, None, 0)
            .map_err(|error| Failure::new(Kind::Refused, error))?;
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let written = engine.write(&mut batch);
        self.tell(|| format!("write without a time from {begin}: {written:?}"));
        if self.disk.is_off() {
            self.unstamped = Some(row);
            return Ok(());
        }
        if written.error.is_some() {
            return Ok(());
        }
        let Some(shown) = self.read(engine)? else {
            return Ok(());
        };
        let is_new = |key: &&(SeriesName, i64)| key.0 == row.series && !before.contains_key(key);
        let Some((_, time)) = shown.keys().find(is_new) else {
            let text = format!(
                "a row of {:?} that the server stamped is not shown",
                row.series
            );
            return Err(Failure::new(Kind::Lost, text));
        };
        row.time = *time;
        self.done.rows += 1;
        self.done.stamped += 1;
        self.model
            .write(&[&row], (begin, durable), Some(written.position.0));
        Ok(())
    }

    /// The power went while a row was to be stamped: perhaps it is there.
    fn find_unstamped(&mut self, shown: &Shown) {
        let Some(mut row) = self.unstamped.take() else {
            return;
        };
        let known = self.model.shown(self.model.units());
        let fields: super::model::Fields = row.fields.iter().cloned().collect();
        let found = shown.iter().rfind(|(key, found)| {
            key.0 == row.series && **found == fields && !known.contains_key(key)
        });
        // Where it is not shown, the ledger may have it all the same: it is hidden by its age.
        row.time = found.map_or(i64::MIN, |((_, time), _)| *time);
        let begin = self.model.last_begin();
        self.model.write(&[&row], (begin, 0), None);
    }

    /// A line that is refused, and kept as that.
    fn reject(&mut self, engine: &Engine) -> Result<(), Failure> {
        let database = self.others.below(self.plan.databases) as u8;
        let lines = 1 + self.others.below(5);
        let batch = world::rejects(engine, database, lines);
        let mut batch = batch.map_err(|error| Failure::new(Kind::Refused, error))?;
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let written = engine.write(&mut batch);
        let is_off = self.disk.is_off();
        self.tell(|| format!("{lines} rejects from {begin}: {written:?}"));
        if is_off || written.error.is_none() {
            self.done.rejects += lines;
            let position = (!is_off).then_some(written.position.0);
            self.model
                .reject((database, lines), (begin, durable), position);
        }
        Ok(())
    }

    /// A rejected line becomes a row, or the same line under another reason.
    fn replay(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let refused =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Refused, error.to_string());
        let database = self.others.below(self.plan.databases) as u8;
        let failed = self.disk.wrongs().reads;
        let letters = engine.newest_letters(&Access::full(), DATABASES[usize::from(database)], 8);
        let letters = match letters {
            Ok(letters) => letters,
            Err(_) if self.disk.wrongs().reads > failed => return Ok(()),
            Err(error) => return Err(refused(&error)),
        };
        if letters.is_empty() {
            return Ok(());
        }
        let letter = &letters[self.others.below(letters.len() as u64) as usize];
        if self.others.one_in(3) {
            // Written once more, received once.
            self.model.rows_sent += 1;
            let kept = engine.keep_letter(letter, &world::reject("bad_value", 1));
            self.tell(|| format!("line {} is kept once more: {kept:?}", letter.id));
            return Ok(());
        }
        let Some(mut row) = self.rows(engine).pop() else {
            return Ok(());
        };
        row.series.database = database;
        let mut batch = engine.batch();
        world::push(engine, &mut batch, &row, 0).map_err(|error| refused(&error))?;
        let (begin, durable) = (engine.end().0, engine.durable().0);
        let written = engine.replay_letter(&mut batch, letter);
        let is_off = self.disk.is_off();
        self.tell(|| format!("line {} is written from {begin}: {written:?}", letter.id));
        let position = match written {
            _ if is_off => None,
            Ok(position) => Some(position.0),
            Err(_) => return Ok(()),
        };
        self.done.replays += 1;
        self.model.write(&[&row], (begin, durable), position);
        self.model.was_rejected();
        Ok(())
    }

    /// A copy of the store opens as one that holds what was durable, at least.
    fn backup(&mut self, engine: &Arc<Engine>) -> Result<(), Failure> {
        let refused =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Refused, error.to_string());
        let folder = world::folder().map_err(|error| refused(&error))?;
        let copied = engine.backup(folder.path());
        self.tell(|| format!("backup: {copied:?}"));
        if copied.is_err() || self.disk.is_off() {
            // A device that fails while it is copied.
            return Ok(());
        }
        self.model.acknowledge(engine.durable().0);
        let copy = world::open_folder(folder.path(), &self.clock, &self.plan);
        let copy = copy.map_err(|error| refused(&error))?;
        if copy.opened().is_damaged() {
            return Err(Failure::new(Kind::Report, format!("{:?}", copy.opened())));
        }
        let shown = world::read(&copy)?;
        let received = check::ledger(&copy, &self.plan)?;
        let horizon = copy.time_bounds().horizon;
        self.model.clone().recover(&shown, horizon, &received)?;
        self.done.backups += 1;
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

    /// Rows that are too old now may be gone, even if the clock goes back; also those of series that came after it
    /// had gone back before.
    pub fn note_horizon(&mut self, engine: &Engine) {
        let horizon = engine.time_bounds().horizon;
        if horizon == i64::MIN {
            return;
        }
        for series in self.model.series() {
            self.model.loosen(series, horizon);
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
        // What was refused when the power went may be there all the same, behind all that was accepted: nothing is
        // accepted once the power is off.
        for of_refused in [false, true] {
            if of_refused && !is_off {
                continue;
            }
            for shard in 0..self.plan.engine.shards {
                let unit: Vec<&Row> = rows
                    .iter()
                    .enumerate()
                    .filter(|(tag, _)| shards[*tag] == shard)
                    .filter(|(tag, _)| refused.contains(&(*tag as u32)) == of_refused)
                    .map(|(_, row)| row)
                    .collect();
                if !unit.is_empty() {
                    self.done.rows += unit.len() as u64;
                    self.model.write(&unit, (begin, durable), position);
                }
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
                *newest = bounds.max.min(engine.server_time().now);
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
