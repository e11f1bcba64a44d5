//! Writers, waiters and the committer of one log under schedules that `shuttle` chooses: another thread may go on
//! at every lock, every atomic and every call of the device.
//!
//! The log is the real one; its locks and atomics ask here who goes on (`edgetimedb::schedule`). The scheduler's
//! threads share one thread of the system, so that planted faults and hooks hold for all of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use edgetimedb::log::{AppendError, FrameParts, FrameType, Log};
use edgetimedb::schedule::{self, Hooks};
use edgetimedb::storage::simulated::{Random, SimulatedStorage};
use edgetimedb::types::Position;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::AtomicUsize;
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, Runner, thread};

use super::threads::open;

/// Threads that write, and units that each writes.
const WRITERS: u64 = 3;
const UNITS: u64 = 3;
const SEED: u64 = 11;
/// Times that priorities change in one schedule.
const CHANGES: usize = 3;

/// What threads share beside the log.
struct Shared {
    log: Arc<Log>,
    disk: SimulatedStorage,
    /// What the committer is asked for, and how many writers are done.
    wanted: Mutex<(bool, u64)>,
    wake: Condvar,
    /// How far the committer has told that the log is durable; none when it is no more.
    durable: Mutex<Option<Position>>,
    told: Condvar,
    /// Every unit: its end and its number.
    units: Mutex<Vec<(Position, u64)>>,
}

/// So many schedules chosen by chance, and as many that prefer one thread until it has to wait; always the same.
pub fn run_all(schedules: usize) {
    NUMBER.set(0);
    let random = RandomScheduler::new_from_seed(SEED, schedules);
    Runner::new(random, Config::default()).run(run);
    let by_priority = PctScheduler::new_from_seed(SEED, CHANGES, schedules);
    Runner::new(by_priority, Config::default()).run(run);
}

/// One schedule from beginning to end.
fn run() {
    let number = NUMBER.get();
    NUMBER.set(number + 1);
    let mut random = Random::new(number);
    TURN.with(|turn| *turn.borrow_mut() = Some(Arc::new(AtomicUsize::new(0))));
    let disk = SimulatedStorage::new(random.next());
    let log = open(&disk, Position(0), &mut |_| {});
    let shared = Arc::new(Shared {
        log: Arc::new(log.unwrap_or_else(|error| panic!("{error}"))),
        disk: disk.clone(),
        wanted: Mutex::new((false, 0)),
        wake: Condvar::new(),
        durable: Mutex::new(Some(Position(0))),
        told: Condvar::new(),
        units: Mutex::new(Vec::new()),
    });
    // One thing fails in a schedule: where another does while frames move, the log is read-only.
    let fails = random.below(4);
    disk.fail_syncs(u32::from(fails == 0));
    schedule::install(Some(HOOKS));
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let shared = Arc::clone(&shared);
        let random = random.fork();
        threads.push(thread::spawn(move || write(&shared, writer, random)));
    }
    for fails in [fails == 1, false] {
        let shared = Arc::clone(&shared);
        threads.push(thread::spawn(move || {
            if fails {
                shared.disk.fail_stores(1);
            }
            drop(shared.log.prepare());
            observe(&shared.log);
        }));
    }
    let committer = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || commit(&shared))
    };
    for thread in threads {
        thread.join().expect("no writer panics");
    }
    committer.join().expect("the committer ends");
    schedule::install(None);
    let units = shared.units.lock().expect("nobody panicked").clone();
    let found = found(&disk);
    for (end, number) in units {
        assert!(
            found.get(&number) == Some(&1),
            "unit {number}, which ends at {end}, is there {:?} times",
            found.get(&number)
        );
    }
}

/// Appends units, and waits until each is durable: told by the committer, or by a sync of its own.
fn write(shared: &Shared, writer: u64, mut random: Random) {
    'units: for unit in 0..UNITS {
        let number = writer * UNITS + unit;
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize([100, 9_000, 30_000][random.below(3) as usize], writer as u8);
        let frame = [FrameParts::new(FrameType::Rows, &payload)];
        let end = loop {
            match shared.log.append(shared.log.epoch(), &frame) {
                Ok(appended) => break appended.end,
                Err(AppendError::EpochChanged(_)) => {}
                Err(AppendError::Full) => break 'units,
                Err(error) => panic!("{error}"),
            }
        };
        let mut units = shared.units.lock().expect("nobody panicked");
        units.push((end, number));
        drop(units);
        if random.below(4) == 0 {
            let synced = shared.log.sync();
            assert!(synced.is_ok(), "{synced:?}");
        } else {
            shared.wanted.lock().expect("nobody panicked").0 = true;
            shared.wake.notify_one();
            let mut durable = shared.durable.lock().expect("nobody panicked");
            while durable.is_some_and(|durable| durable < end) {
                durable = shared.told.wait(durable).expect("nobody panicked");
            }
        }
        acknowledged(shared, end, number);
    }
    shared.wanted.lock().expect("nobody panicked").1 += 1;
    shared.wake.notify_one();
}

/// Syncs whenever it is asked to, and tells how far the log is durable.
fn commit(shared: &Shared) {
    loop {
        let mut wanted = shared.wanted.lock().expect("nobody panicked");
        while !wanted.0 && wanted.1 < WRITERS {
            wanted = shared.wake.wait(wanted).expect("nobody panicked");
        }
        let is_last = wanted.1 == WRITERS;
        wanted.0 = false;
        drop(wanted);
        let synced = shared.log.sync();
        let mut durable = shared.durable.lock().expect("nobody panicked");
        assert!(
            synced.is_ok(),
            "two failures are no reason to give up: {synced:?}"
        );
        assert!(*durable <= synced.as_ref().ok().copied(), "it only grows");
        *durable = synced.ok();
        drop(durable);
        shared.told.notify_all();
        if is_last {
            return;
        }
    }
}

/// What readers see of the log without its lock only grows.
fn observe(log: &Log) {
    let look = || (log.durable(), log.end(), log.epoch());
    let mut before = look();
    for _ in 0..4 {
        let now = look();
        assert!(before.0 <= now.0 && before.1 <= now.1 && before.2 <= now.2);
        before = now;
    }
}

/// A unit counts as durable: a device that keeps nothing else has it.
fn acknowledged(shared: &Shared, end: Position, number: u64) {
    assert!(shared.log.durable() >= end, "unit {number} is not durable");
    let hooks = schedule::install(None);
    let found = found(&shared.disk);
    schedule::install(hooks);
    assert!(
        found.get(&number) == Some(&1),
        "unit {number} is acknowledged, and is there {:?} times",
        found.get(&number)
    );
}

/// The units that are there when the power goes now, and how often.
fn found(disk: &SimulatedStorage) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    let after = disk.after_cut_where(&mut || false);
    let opened = open(&after, Position(0), &mut |number| {
        *found.entry(number).or_insert(0) += 1;
    });
    opened.unwrap_or_else(|error| panic!("{error}"));
    found
}

thread_local! {
    /// The number of the schedule: the seed of all that the scheduler does not choose.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    /// Every look at it is a moment at which the scheduler may choose another thread.
    static TURN: RefCell<Option<Arc<AtomicUsize>>> = const { RefCell::new(None) };
}

const HOOKS: Hooks = Hooks {
    point: || {
        let turn = TURN.with(|turn| turn.borrow().clone());
        if let Some(turn) = turn {
            turn.load(Ordering::SeqCst);
        }
    },
    wait: thread::yield_now,
};
