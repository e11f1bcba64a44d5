//! Writers and the committer of one log, interleaved by a seed.
//!
//! The log enters its state under one lock and calls the device outside it, but for stores: so what threads can
//! do to one another happens while the device works. There the seed lets other writers append, wait and
//! recycle, on the real log; after each of their steps, what counts as durable is read back from a disk that
//! has lost its power at that moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use edgetimedb::log::{AppendError, FrameParts, FrameType, Log, LogOptions};
use edgetimedb::storage::simulated::{Random, SimulatedStorage};
use edgetimedb::types::{Position, StoreId};

const STORE: StoreId = StoreId(3);
const WRITERS: u64 = 3;

/// What the writers know, as one thread after the other gets its turn.
struct World {
    log: Arc<Log>,
    disk: SimulatedStorage,
    random: Random,
    /// By writer: the end of each of its units and the number in it, in the order of appending.
    units: Vec<Vec<(Position, u64)>>,
    next: u64,
    /// Segments below this were given back.
    recycled: Position,
    fault: Option<String>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    pub units: usize,
    pub failures: u32,
}

/// Runs a seed.
pub fn run(seed: u64) -> Result<Turns, String> {
    let mut random = Random::new(seed);
    let disk = SimulatedStorage::new(random.next());
    let log = Arc::new(open(&disk, Position(0), &mut |_| {})?);
    let world = Arc::new(Mutex::new(World {
        log: Arc::clone(&log),
        disk: disk.clone(),
        random: random.fork(),
        units: vec![Vec::new(); WRITERS as usize],
        next: 0,
        recycled: Position(0),
        fault: None,
    }));
    let others = Arc::clone(&world);
    disk.meanwhile(move || {
        // The committer's own turn holds the world while it steps.
        if let Ok(mut world) = others.try_lock() {
            for _ in 0..world.random.below(4) {
                world.step();
            }
        }
    });
    for _ in 0..30 {
        {
            let mut world = world.lock().map_err(|error| error.to_string())?;
            for _ in 0..world.random.below(4) {
                world.step();
            }
        }
        match random.below(8) {
            0 => disk.fail_syncs(1),
            1 => drop(log.prepare()),
            _ => {}
        }
        if log.sync().is_err() {
            break;
        }
    }
    let mut world = world.lock().map_err(|error| error.to_string())?;
    world.check();
    let turns = Turns {
        units: world.units.iter().map(Vec::len).sum(),
        failures: log.usage().sync_failures,
    };
    world.fault.take().map_or(Ok(turns), Err)
}

/// Opens the log, and tells of each unit.
pub fn open(
    disk: &SimulatedStorage,
    from: Position,
    visit: &mut dyn FnMut(u64),
) -> Result<Log, String> {
    let options = LogOptions {
        segment_size_bytes: 64 << 10,
        segment_count_max: 4,
        prefetch_bytes: 0,
        sync_failures_max: 3,
    };
    let opened = Log::open(Arc::new(disk.clone()), STORE, options, from, &mut |frame| {
        if let Some(number) = frame.payload.first_chunk()
            && frame.kind == FrameType::Rows
        {
            visit(u64::from_le_bytes(*number));
        }
        Ok(())
    });
    opened
        .map(|(log, _)| log)
        .map_err(|error| error.to_string())
}

impl World {
    /// One turn of somebody.
    fn step(&mut self) {
        match self.random.below(8) {
            0 => self.check(),
            1 => {
                let below = self.log.durable();
                self.recycled = self.recycled.max(below);
                drop(self.log.recycle(below));
            }
            _ => self.append(),
        }
    }

    fn append(&mut self) {
        let writer = self.random.below(WRITERS) as usize;
        let large = self.random.one_in(4);
        let len = self.random.below(if large { 25_000 } else { 300 }) as usize;
        let mut payload = self.next.to_le_bytes().to_vec();
        payload.resize(8 + len, self.next as u8);
        let frame = [FrameParts::new(FrameType::Rows, &payload)];
        loop {
            match self.log.append(self.log.epoch(), &frame) {
                Ok(appended) => {
                    self.units[writer].push((appended.end, self.next));
                    self.next += 1;
                    return;
                }
                Err(AppendError::EpochChanged(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// The power goes now, and nothing that was not synced is kept: what counts as durable is there.
    fn check(&mut self) {
        let durable = self.log.durable();
        let after = self.disk.after_cut_where(&mut || false);
        let mut found = BTreeMap::new();
        let opened = open(&after, self.recycled, &mut |number| {
            *found.entry(number).or_insert(0) += 1;
        });
        let mut faults = Vec::new();
        if let Err(error) = opened {
            faults.push(error);
        }
        if let Some((number, times)) = found.iter().find(|(_, times)| **times > 1) {
            faults.push(format!("unit {number} is there {times} times"));
        }
        for (writer, units) in self.units.iter().enumerate() {
            let mut missing = None;
            for (end, number) in units.iter().filter(|(end, _)| *end > self.recycled) {
                let is_there = found.contains_key(number);
                if !is_there && *end <= durable {
                    faults.push(format!("unit {number} ends at {end}, durable is {durable}"));
                }
                if let (true, Some(before)) = (is_there, missing) {
                    faults.push(format!("writer {writer}: unit {number} without {before}"));
                }
                if !is_there {
                    missing = Some(*number);
                }
            }
        }
        if let Some(fault) = faults.into_iter().next() {
            self.fault.get_or_insert(fault);
        }
    }
}
