//! A disk that does worse than to lose what was not synced: it fails reads, lies about syncs, serves old
//! sectors. Rows may be lost then, but none in silence.
//!
//! The rules. What a store shows was sent, and is not older than what it must still have; what was lost may come
//! back, but not over what is newer. What was acknowledged and
//! is not there lies in a gap of the log that the start names, or something of the block files is named as damaged.
//! A disk that only fails reads takes nothing away for good: where a start names a loss, the next one, which can
//! read, has the rows or names the loss still. Behind a lie or an old sector the end of the log may be gone
//! without a trace: what no row that is left, and no manifest, knew to be durable. The ledger is balanced all the
//! same, and goes on from what a start has found.

use std::sync::Arc;

use edgetimedb::engine::Engine;
use edgetimedb::storage::simulated::Faults;

use super::check;
use super::model::{Failure, Kind, Shown};
use super::run::Run;
use super::world;

/// What the disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It fails reads, at starts and between.
    Reads,
    /// Its syncs lie.
    Lies,
    /// It serves sectors as they were before.
    Stale,
}

/// What runs met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    pub starts: u64,
    /// Starts that were refused because the device gave nothing.
    pub refused: u64,
    /// Starts that named a loss.
    pub named: u64,
    /// Of these, where rows were missing.
    pub missing: u64,
    /// Of those, where the next start had them again.
    pub back: u64,
    /// Stores of which a chunk was damaged, so that queries said so.
    pub chunks: u64,
    /// Reads that failed, syncs that lied, sectors that were served as they were before.
    pub wrongs: u64,
}

impl Met {
    pub fn add(&mut self, other: Self) {
        self.starts += other.starts;
        self.refused += other.refused;
        self.named += other.named;
        self.missing += other.missing;
        self.back += other.back;
        self.chunks += other.chunks;
        self.wrongs += other.wrongs;
    }
}

/// Runs a seed.
pub fn run(seed: u64, wrong: Wrong, told: bool) -> Result<Met, Failure> {
    let mut run = Run::new(seed);
    run.told = told;
    run.plan.cut_again_one_in = 0;
    // Rows that leave by themselves are no losses.
    run.plan.engine.raw_age_max_ns = 0;
    run.plan.engine.rows_per_series_max = 0;
    // When the power goes, nobody can say which row it was.
    run.plan.stamp_one_in = 0;
    run.plan.may_lose = true;
    let quiet = Faults {
        write_back: run.plan.faults.write_back,
        ..Faults::default()
    };
    run.plan.faults = Faults {
        read: if wrong == Wrong::Reads { 20 } else { 0 },
        lie: if wrong == Wrong::Lies { 4 } else { 0 },
        ..quiet
    };
    let mut met = Met::default();
    let mut is_trusted = true;
    for life in 0..=run.plan.lives {
        if wrong == Wrong::Stale && life > 0 {
            is_trusted = !serve_old_sectors(&mut run, &mut met);
        }
        let Some(engine) = start(&mut run, wrong, is_trusted, &mut met)? else {
            break;
        };
        if life == run.plan.lives {
            break;
        }
        let before = run.disk.wrongs();
        let disk = run.disk.clone();
        run.live(engine)?;
        let after = disk.wrongs();
        met.wrongs += after.reads - before.reads + after.lies - before.lies;
        is_trusted = after.lies == before.lies;
    }
    Ok(met)
}

/// Up to three sectors are from now on what they were before. Whether there are any.
fn serve_old_sectors(run: &mut Run, met: &mut Met) -> bool {
    let older = run.disk.older_sectors();
    for _ in 0..=run.random.below(3) {
        let index = run.random.below(older.len() as u64) as usize;
        if let Some((name, offset, bytes)) = older.get(index) {
            run.tell(|| format!("{name}: old bytes at {offset}"));
            run.disk.change(name, |now| {
                now[*offset..offset + bytes.len()].copy_from_slice(bytes);
            });
            met.wrongs += 1;
        }
    }
    !older.is_empty()
}

/// Starts the store, again where it could not be read, and holds it to the rules. None where chunks are damaged, so
/// that queries fail from now on.
fn start(
    run: &mut Run,
    wrong: Wrong,
    is_trusted: bool,
    met: &mut Met,
) -> Result<Option<Arc<Engine>>, Failure> {
    let refused = |error: String| Failure::new(Kind::Refused, error);
    let fails = wrong == Wrong::Reads && run.random.below(2) == 0;
    let mut missing_before = 0;
    if fails {
        run.disk.set_faults(Faults {
            read: 2 + run.random.below(3) as u32,
            ..Faults::default()
        });
        let opened = world::open(&run.disk, &run.clock, &run.plan);
        met.wrongs += run.disk.wrongs().reads;
        run.disk.set_faults(Faults::default());
        met.starts += 1;
        match opened {
            Err(error) if run.disk.wrongs().reads == 0 => return Err(refused(error)),
            Err(error) => {
                run.tell(|| format!("refused: {error}"));
                met.refused += 1;
            }
            Ok(engine) => {
                missing_before = judge(run, &engine, is_trusted, met)?.map_or(0, |judged| judged.1);
            }
        }
        // Whoever finds the loss tries once more before anything else.
        run.disk = run.disk.after_kill();
    }
    let engine = world::open(&run.disk, &run.clock, &run.plan).map_err(refused)?;
    met.starts += 1;
    let Some((shown, missing)) = judge(run, &engine, is_trusted, met)? else {
        return Ok(None);
    };
    met.back += u64::from(missing_before > missing);
    let received = check::ledger(&engine, &run.plan)?;
    run.tell(|| format!("received {received:?}"));
    run.model.settle(&shown, received);
    Ok(Some(engine))
}

/// What a start shows, and how many values of what was sent are missing.
fn judge(
    run: &Run,
    engine: &Arc<Engine>,
    is_trusted: bool,
    met: &mut Met,
) -> Result<Option<(Shown, usize)>, Failure> {
    let report = engine.opened();
    let losses = engine.losses();
    run.tell(|| format!("started: {report:?}"));
    let shown = match world::read(engine) {
        Ok(shown) => shown,
        // A chunk that is not what it was is an error of every query that needs it.
        Err(failure)
            if failure.kind == Kind::Refused && !is_trusted && failure.text.contains(".blk") =>
        {
            met.chunks += 1;
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    let known = run.model.known_durable(&shown);
    let in_blocks = losses.iter().any(|loss| loss.kind != "log");
    let may_be_lost = |unit: usize| {
        let (begin, end) = run.model.extent(unit);
        let in_gap = losses.iter().any(|loss| {
            let (from, to) = (loss.from.unwrap_or(0), loss.to.unwrap_or(0));
            from < end && begin < to
        });
        let is_open = if is_trusted {
            unit >= run.model.acknowledged()
        } else {
            end > known
        };
        is_open || in_blocks || in_gap
    };
    let missing = run
        .model
        .compare_with_losses(&shown, i64::MIN, &may_be_lost)
        .map_err(|failure| {
            let text = format!("{}; {losses:?}; {report:?}", failure.text);
            Failure::new(failure.kind, text)
        })?;
    met.named += u64::from(report.is_damaged());
    met.missing += u64::from(report.is_damaged() && missing > 0);
    Ok(Some((shown, missing)))
}
