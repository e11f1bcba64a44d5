//! Threads: writers and deleters of series of their own, readers of all, and maintenance, at once.
//!
//! The rows of a series change by one operation after the other. An answer must show each series as it was after one
//! and the same number of its operations, not fewer than were acknowledged before the query began and not more than
//! had begun when it ended.

use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use edgetimedb::types::FieldType;
use parking_lot::Mutex;

use super::store::{Cached, HOSTS, Lives, Random, SECOND, START};

const V: (&str, FieldType) = ("v", FieldType::Integer);
const STEP: i64 = 10 * SECOND;
const SLOTS: usize = 120;
const OPERATIONS: usize = 700;

/// What a writer does to one series.
#[derive(Clone, Debug)]
enum Operation {
    /// Rows of these slots get values from one on.
    Write(Vec<usize>, i64),
    Delete(Range<usize>),
}

type Slots = Vec<Option<i64>>;

/// What was done to one series.
#[derive(Default)]
struct History {
    operations: Mutex<Vec<Operation>>,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

pub fn run(round: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let lives = Lives {
        raw_age_max_s: 0,
        rows_per_series_max: 0,
        chunk_rows: 32,
        tiers: false,
    };
    let now = START + 7_200 * SECOND;
    let store = Cached::open(folder.path(), now, lives, 4 << 20);
    // So that the measurement is known.
    for host in 0..HOSTS.len() {
        store.write(host, V, &[(time_of(0) - STEP, 0)]);
    }
    let histories: [History; HOSTS.len()] = Default::default();
    let writing = AtomicUsize::new(2);
    let failed = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, histories, writing, failed) = (&store, &histories, &writing, &failed);
            scope.spawn(move || {
                let mut random = Random(round * 100 + writer as u64);
                let mut next = [0; 2];
                for value in 0..OPERATIONS {
                    let host = random.below(2) as usize;
                    let operation = choose(&mut random, &mut next[host], value as i64 * 1_000);
                    histories[writer * 2 + host].perform(store, writer * 2 + host, operation);
                    if failed.load(Ordering::Relaxed) {
                        break;
                    }
                }
                writing.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let mut random = Random(round + 77);
            while writing.load(Ordering::SeqCst) > 0 {
                match random.below(3) {
                    0 => drop(store.engine.seal_all().expect("seals")),
                    1 => drop(store.engine.checkpoint().expect("a checkpoint")),
                    _ => drop(store.engine.tick().expect("maintenance")),
                }
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (store, histories, writing, failed) = (&store, &histories, &writing, &failed);
                scope.spawn(move || {
                    let mut random = Random(round * 1_000 + reader);
                    let mut asked = 0;
                    loop {
                        let is_last = writing.load(Ordering::SeqCst) == 0;
                        if let Err(stale) = read(store, histories, &mut random) {
                            failed.store(true, Ordering::Relaxed);
                            return Err(stale);
                        }
                        asked += 1;
                        if is_last {
                            return Ok(asked);
                        }
                    }
                })
            })
            .collect();
        let asked: Result<Vec<usize>, String> = readers
            .into_iter()
            .map(|reader| reader.join().expect("no panic"))
            .collect();
        asked
    });
    let asked = asked.unwrap_or_else(|stale| panic!("round {round}: {stale}"));
    let stats = store.stats();
    println!("asked {asked:?}: {:?}", stats.total);
    assert!(
        stats.total.hits > 0 && stats.total.invalidations > 0,
        "{stats:?}"
    );
}

fn time_of(slot: usize) -> i64 {
    START + slot as i64 * STEP + 3 * SECOND
}

fn choose(random: &mut Random, next: &mut usize, value: i64) -> Operation {
    let any = |random: &mut Random| random.below(SLOTS as u64) as usize;
    match random.below(10) {
        0..=3 if *next < SLOTS => {
            let end = (*next + 1 + random.below(3) as usize).min(SLOTS);
            let slots = (*next..end).collect();
            *next = end;
            Operation::Write(slots, value)
        }
        4 => {
            let start = any(random);
            Operation::Delete(start..start + 1 + random.below(12) as usize)
        }
        _ => {
            let end = (*next).max(1) as u64;
            let slots = (0..=random.below(3)).map(|_| random.below(end) as usize);
            let mut slots: Vec<usize> = slots.collect();
            slots.sort_unstable();
            slots.dedup();
            Operation::Write(slots, value)
        }
    }
}

impl Operation {
    fn apply(&self, slots: &mut Slots) {
        match self {
            Self::Write(places, value) => {
                for (place, value) in places.iter().zip(*value..) {
                    slots[*place] = Some(value);
                }
            }
            Self::Delete(range) => {
                let end = range.end.min(SLOTS);
                slots[range.start..end].fill(None);
            }
        }
    }
}

impl History {
    fn perform(&self, store: &Cached, host: usize, operation: Operation) {
        self.operations.lock().push(operation.clone());
        self.begun.fetch_add(1, Ordering::SeqCst);
        match operation {
            Operation::Write(slots, value) => {
                let rows = slots
                    .iter()
                    .zip(value..)
                    .map(|(slot, value)| (time_of(*slot), value));
                store.write(host, V, &rows.collect::<Vec<_>>());
            }
            Operation::Delete(range) => {
                let (from, to) = (time_of(range.start), time_of(range.end));
                let host = HOSTS[host].0;
                let text = format!(
                    "DELETE FROM m WHERE time >= {from} AND time < {to} AND host = '{host}'"
                );
                let answer = store.ask(&text, false, &|| ());
                assert!(!answer[0].starts_with("error"), "{answer:?}");
            }
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks a panel, and looks whether it shows every series as it may be.
fn read(store: &Cached, histories: &[History], random: &mut Random) -> Result<(), String> {
    let one = (random.below(2) == 0).then(|| random.below(4) as usize);
    // The ends of some ranges lie within a bucket, those of others between two.
    let start = [0, 30, 60][random.below(3) as usize];
    let slots = start..[90, SLOTS][random.below(2) as usize];
    let shift = [0, 3 * SECOND][random.below(2) as usize];
    let (from, to) = (time_of(slots.start) - shift, time_of(slots.end) - shift);
    let host = one.map_or(String::new(), |host| {
        format!(" AND host = '{}'", HOSTS[host].0)
    });
    let width = ["10 seconds", "30 seconds"][random.below(2) as usize];
    let text = format!(
        "SELECT time_bucket('{width}', time), host, count(*), min(v), max(v), sum(v) FROM m \
         WHERE time >= {from} AND time < {to}{host} GROUP BY 1, host"
    );
    let width = if width == "10 seconds" { 1 } else { 3 };
    let acknowledged = histories.iter().map(|h| h.ended.load(Ordering::SeqCst));
    let acknowledged: Vec<usize> = acknowledged.collect();
    let answer = store.ask(&text, true, &|| ());
    if let Some(error) = answer.iter().find(|line| line.starts_with("error")) {
        return Err(format!("{text}\n{error}"));
    }
    let begun = histories.iter().map(|h| h.begun.load(Ordering::SeqCst));
    let begun: Vec<usize> = begun.collect();
    for (index, history) in histories.iter().enumerate() {
        if one.is_some_and(|one| one != index) {
            continue;
        }
        let own = format!(" {} ", HOSTS[index].0);
        let own: Vec<&String> = answer.iter().filter(|line| line.contains(&own)).collect();
        let (from, to) = (acknowledged[index], begun[index]);
        let holds = (from..=to).any(|count| {
            let expected = history.lines(count, &slots, width, HOSTS[index].0);
            expected.len() == own.len() && expected.iter().zip(&own).all(|(a, b)| a == *b)
        });
        if !holds {
            // Whether it is the cache that shows it.
            let without = store.ask(&text, false, &|| ());
            let without = without.iter().filter(|line| !answer.contains(line));
            return Err(format!(
                "{text}\n{}: {from}..={to} operations\n{}\nwithout the cache: {:?}",
                HOSTS[index].0,
                history.nearest(&own, from..=to, &slots, width, HOSTS[index].0),
                without.collect::<Vec<_>>(),
            ));
        }
    }
    Ok(())
}

impl History {
    /// How an answer differs from the rows after that number of operations which differ least.
    fn nearest(
        &self,
        found: &[&String],
        counts: RangeInclusive<usize>,
        slots: &Range<usize>,
        width: usize,
        host: &str,
    ) -> String {
        let differences = counts.map(|count| {
            let expected = self.lines(count, slots, width, host);
            let missing = expected.iter().filter(|line| !found.contains(line));
            let missing: Vec<String> = missing.map(|line| format!("- {line}")).collect();
            let wrong = found.iter().filter(|line| !expected.contains(line));
            let wrong = wrong.map(|line| format!("+ {line}"));
            let all: Vec<String> = missing.into_iter().chain(wrong).collect();
            let next = self.operations.lock().get(count).cloned();
            (
                all.len(),
                format!("after {count}, before {next:?}:\n{}", all.join("\n")),
            )
        });
        let least = differences.min_by_key(|(count, _)| *count);
        least.map_or(String::new(), |(_, text)| text)
    }

    /// The lines of an answer after so many operations.
    fn lines(&self, count: usize, slots: &Range<usize>, width: usize, host: &str) -> Vec<String> {
        let mut state: Slots = vec![None; SLOTS];
        for operation in &self.operations.lock()[..count] {
            operation.apply(&mut state);
        }
        let mut lines = Vec::new();
        let mut slot = slots.start;
        while slot < slots.end {
            let end = (slot / width * width + width).min(slots.end);
            let shown: Vec<i64> = state[slot..end].iter().flatten().copied().collect();
            if let (Some(min), Some(max)) = (shown.iter().min(), shown.iter().max()) {
                let (rows, sum) = (shown.len(), shown.iter().sum::<i64>());
                let bucket = (slot / width * width) as i64 * 10;
                lines.push(format!("{bucket} {host} {rows} {min} {max} {sum}"));
            }
            slot = end;
        }
        lines
    }
}
