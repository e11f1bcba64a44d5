//! Bytes that change behind the store's back: it starts whatever they are, and shows right rows or reports a gap.

use std::sync::Arc;

use edgetimedb::engine::Engine;
use edgetimedb::storage::simulated::{Faults, Random, SimulatedStorage};

use super::model::{Failure, Kind, Model, Row, SeriesName, Shown, Value};
use super::plan::NOW;
use super::run::Run;
use super::world;

/// A store that lost power, and what it should hold.
pub struct Victim {
    run: Run,
    disk: SimulatedStorage,
}

/// What became of a damaged store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Starts in which something was damaged.
    pub damaged: u64,
    /// Of these, where nothing was lost.
    pub whole: u64,
    /// Of these, where a loss was reported.
    pub reported: u64,
}

impl Outcome {
    pub fn add(&mut self, other: Self) {
        self.damaged += other.damaged;
        self.whole += other.whole;
        self.reported += other.reported;
    }
}

impl Victim {
    /// The store that a seed makes: some lives, then a power cut.
    pub fn new(seed: u64) -> Result<Self, Failure> {
        let mut run = Run::new(seed);
        run.plan.faults = Faults::default();
        run.plan.operations = 150;
        run.plan.cut_again_one_in = 0;
        run.plan.jump_one_in = 0;
        run.plan.engine.raw_age_max_ns = 0;
        run.plan.stamp_one_in = 0;
        run.plan.overwrite_one_in = 3;
        for _ in 0..2 {
            begin(&mut run)?;
        }
        let disk = run.disk.copy();
        Ok(Self { run, disk })
    }

    /// A store of a few rows.
    pub fn small(seed: u64) -> Result<Self, Failure> {
        let mut run = Run::new(seed);
        run.plan.faults = Faults::default();
        run.plan.operations = 60;
        run.plan.cut_again_one_in = 0;
        run.plan.jump_one_in = 0;
        run.plan.engine.raw_age_max_ns = 0;
        run.plan.stamp_one_in = 0;
        run.plan.engine.log.segment_count_max = 3;
        run.plan.engine.chunk_rows = 16;
        run.plan.long_one_in = 0;
        run.plan.batch_rows = 2;
        run.plan.tags = 2;
        run.plan.syncs = 15;
        run.plan.checkpoints = 10;
        begin(&mut run)?;
        let disk = run.disk.copy();
        Ok(Self { run, disk })
    }

    /// Whether it has files of every kind, and rows in the log alone.
    pub fn is_of_all_kinds(&self) -> bool {
        let has = |part: &str| self.disk.names().iter().any(|name| name.contains(part));
        has(".blk") && has("state-") && has("image-") && self.run.model.proven() > 5
    }

    /// The names of its files, how much of each is in use, and its size.
    pub fn files(&self) -> Vec<(String, usize, usize)> {
        let used = |name: String| {
            let bytes = self.disk.bytes(&name)?;
            let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
            Some((name, used, bytes.len()))
        };
        self.disk.names().into_iter().filter_map(used).collect()
    }

    /// Changes one file, and opens the store.
    pub fn damage(
        &self,
        name: &str,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Outcome, Failure> {
        let disk = self.disk.copy();
        disk.change(name, change);
        let model = &self.run.model;
        let started = world::open(&disk, &self.run.clock, &self.run.plan);
        let engine = started.map_err(|error| Failure::new(Kind::Refused, error))?;
        let report = engine.opened();
        let mut outcome = Outcome {
            damaged: 1,
            ..Outcome::default()
        };
        let shown = match world::read(&engine) {
            Ok(shown) => shown,
            // A chunk that cannot be read is an error of every query that needs it.
            Err(failure) if failure.kind == Kind::Refused && name.contains(".blk") => {
                outcome.reported = 1;
                return Ok(outcome);
            }
            Err(failure) => return Err(failure),
        };
        let lost = |unit: usize| {
            let (begin, end) = model.extent(unit);
            let in_gap = |gap: &edgetimedb::log::Gap| gap.from.0 < end && begin < gap.to.0;
            let in_blocks = !report.damage.is_empty() || !report.problems.is_empty();
            // Nothing behind the last group proves it.
            unit >= model.proven() || in_blocks || report.log.corruption.iter().any(in_gap)
        };
        let missing = compare(model, &shown, &lost).map_err(|failure| {
            Failure::new(failure.kind, format!("{}; {report:?}", failure.text))
        })?;
        outcome.whole = u64::from(missing == 0);
        outcome.reported = u64::from(report.is_damaged());
        goes_on(&engine, &disk, &self.run)?;
        Ok(outcome)
    }

    /// Flips one bit or some somewhere in what is in use.
    pub fn flip(&self, random: &mut Random) -> Result<Outcome, Failure> {
        let files = self.files();
        let (name, used, _) = &files[random.below(files.len() as u64) as usize];
        let flips: Vec<(usize, u8)> = (0..=random.below(3))
            .map(|_| (random.below(*used as u64) as usize, 1 << random.below(8)))
            .collect();
        let done = self.damage(name, |bytes| {
            for (at, bit) in &flips {
                bytes[*at] ^= bit;
            }
        });
        done.map_err(|failure| {
            Failure::new(failure.kind, format!("{name}, {flips:?}: {}", failure.text))
        })
    }
}

/// One life. A log that comes back full begins no segment, whose header would prove what was there.
fn begin(run: &mut Run) -> Result<(), Failure> {
    let engine = run.start()?;
    if engine.log_usage().segments >= run.plan.engine.log.segment_count_max {
        run.model.doubt();
    }
    run.live(engine)
}

fn compare(model: &Model, shown: &Shown, lost: &dyn Fn(usize) -> bool) -> Result<usize, Failure> {
    model.compare_with_losses(shown, i64::MIN, lost)
}

/// The store takes a row, and has it after the next start.
fn goes_on(engine: &Arc<Engine>, disk: &SimulatedStorage, run: &Run) -> Result<(), Failure> {
    let refused = |error: String| Failure::new(Kind::Refused, error);
    let row = Row {
        series: SeriesName {
            database: 1,
            measurement: 1,
            tag: 99,
        },
        time: NOW,
        fields: vec![(0, Value::Integer(5))],
    };
    let mut batch = engine.batch();
    world::push(engine, &mut batch, &row, 0).map_err(refused)?;
    let mut written = engine.write(&mut batch);
    if written.error.is_some() {
        // A log that came back full takes rows again behind a checkpoint.
        let made = engine.checkpoint_everything();
        made.map_err(|error| refused(error.to_string()))?;
        written = engine.write(&mut batch);
    }
    if let Some(error) = written.error {
        return Err(refused(error.to_string()));
    }
    engine.sync().map_err(|error| refused(error.to_string()))?;
    let disk = disk.after_cut();
    let engine = world::open(&disk, &run.clock, &run.plan).map_err(refused)?;
    match world::read(&engine) {
        Ok(shown) if shown.contains_key(&(row.series, row.time)) => Ok(()),
        Ok(_) => Err(Failure::new(
            Kind::Lost,
            "the row that was written to the damaged store",
        )),
        Err(failure) if failure.kind == Kind::Refused => Ok(()),
        Err(failure) => Err(failure),
    }
}
