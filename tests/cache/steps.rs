//! One thread: things happen to a store, and panels of a dashboard are asked again and again. What happens in the
//! middle of a query happens at a moment that the seed chooses.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use edgetimedb::types::FieldType;

use super::store::{Cached, HOSTS, Lives, Random, SECOND, START};

const V: (&str, FieldType) = ("v", FieldType::Integer);
/// Rows are ten seconds apart.
const STEP: i64 = 10 * SECOND;

/// How much was tried.
#[derive(Debug, Default)]
pub struct Tally {
    pub asked: u64,
    pub interrupted: u64,
    pub hits: u64,
    pub misses: u64,
    pub invalidations: u64,
    pub read_again: u64,
    /// Answers of kept parts and of buckets.
    pub rolled: u64,
}

struct World {
    store: Cached,
    folder: tempfile::TempDir,
    lives: Lives,
    cache_bytes: usize,
    /// The place of the next row of each host.
    next: Mutex<[i64; 4]>,
    value: Mutex<i64>,
}

/// What happens to rows.
#[derive(Clone, Debug)]
enum Happening {
    /// So many rows behind all others.
    Append(usize, i64),
    /// A row behind all others, after a gap.
    Skip(usize, i64),
    /// A row at a time that may have one.
    Late(usize, i64),
    Delete(Option<usize>, i64, i64),
    /// Rows that are too old or too many go, into buckets where there are any.
    Leave,
}

/// Runs a store of this seed; the error is a wrong answer.
pub fn run(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random(seed);
    let mut lives = Lives {
        raw_age_max_s: [0, 4_000, 9_000][random.below(3) as usize],
        rows_per_series_max: [0, 300][random.below(2) as usize],
        chunk_rows: [16, 64, 256][random.below(3) as usize],
        tiers: random.below(2) == 0,
    };
    if lives.tiers {
        // So that some of most windows is in buckets.
        lives.rows_per_series_max = [60, 120][random.below(2) as usize];
        lives.chunk_rows = 16;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let cache_bytes = [24 << 10, 1 << 20, 16 << 20][random.below(3) as usize];
    let now = START + 7_200 * SECOND;
    let store = Cached::open(folder.path(), now, lives, cache_bytes);
    let mut world = World {
        store,
        folder,
        lives,
        cache_bytes,
        next: Mutex::default(),
        value: Mutex::new(0),
    };
    for host in 0..HOSTS.len() {
        world.happen(&Happening::Append(host, 200));
    }
    for _ in 0..60 {
        world.step(&mut random);
        for _ in 0..3 {
            world.ask(&mut random, tally)?;
        }
    }
    world.settle(tally);
    Ok(())
}

impl World {
    fn step(&mut self, random: &mut Random) {
        match random.below(20) {
            0 => {
                self.store.engine.seal_all().expect("seals");
            }
            1 => {
                self.store.engine.checkpoint().expect("a checkpoint");
            }
            2 | 3 => {
                self.store
                    .clock
                    .advance((random.between(1, 600) * SECOND) as u64);
            }
            4 | 5 => {
                self.store.engine.tick().expect("maintenance");
            }
            6 if random.below(4) == 0 => {
                self.store.engine.sync().expect("durable");
                let now = self.store.engine.server_time().now;
                self.settle(&mut Tally::default());
                let gone = Cached::open(
                    tempfile::tempdir().expect("a folder").path(),
                    now,
                    self.lives,
                    0,
                );
                drop(std::mem::replace(&mut self.store, gone));
                self.store = Cached::open(self.folder.path(), now, self.lives, self.cache_bytes);
            }
            7 if random.below(4) == 0 => {
                self.delete_all();
            }
            8 => {
                // Another lane of the field.
                let host = random.below(4) as usize;
                let time = START + random.between(0, 2_000) * SECOND;
                let lane = ("v", FieldType::Float);
                self.store
                    .write(host, lane, &[(time, 1.5f64.to_bits() as i64)]);
            }
            _ => {
                let happening = self.choose(random);
                self.happen(&happening);
            }
        }
    }

    fn delete_all(&mut self) {
        self.store.ask("DROP MEASUREMENT m", false, &|| ());
        for host in 0..HOSTS.len() {
            self.happen(&Happening::Append(host, 20));
        }
    }

    fn choose(&self, random: &mut Random) -> Happening {
        let host = random.below(4) as usize;
        let newest = self.next.lock().expect("no panic")[host].max(1);
        match random.below(9) {
            8 => Happening::Leave,
            0..=2 => Happening::Append(host, random.between(1, 20)),
            3 => Happening::Skip(host, random.between(1, 30)),
            4..=6 => Happening::Late(host, random.between(newest - 250, newest)),
            _ => {
                let from = random.between(newest - 250, newest);
                let host = (random.below(3) > 0).then_some(host);
                Happening::Delete(host, from, from + random.between(1, 60))
            }
        }
    }

    fn happen(&self, happening: &Happening) {
        let value = || {
            *self.value.lock().expect("no panic") += 1;
            *self.value.lock().expect("no panic")
        };
        match *happening {
            Happening::Append(host, count) => {
                let first = self.next.lock().expect("no panic")[host];
                let rows = (first..first + count).map(|at| (START + at * STEP, value()));
                self.store.write(host, V, &rows.collect::<Vec<_>>());
                self.next.lock().expect("no panic")[host] += count;
            }
            Happening::Skip(host, gap) => {
                let at = self.next.lock().expect("no panic")[host] + gap;
                self.store.write(host, V, &[(START + at * STEP, value())]);
                self.next.lock().expect("no panic")[host] = at + 1;
            }
            Happening::Late(host, at) => {
                self.store.write(host, V, &[(START + at * STEP, value())]);
            }
            Happening::Delete(host, from, to) => {
                let (from, to) = (START + from * STEP, START + to * STEP);
                let of = host.map_or(String::new(), |host| {
                    format!(" AND host = '{}'", HOSTS[host].0)
                });
                let text = format!("DELETE FROM m WHERE time >= {from} AND time < {to}{of}");
                self.store.ask(&text, false, &|| ());
            }
            Happening::Leave => {
                let advanced =
                    (self.value.lock().expect("no panic").unsigned_abs() % 400) * SECOND as u64;
                self.store.clock.advance(advanced);
                self.store.engine.tick().expect("maintenance");
                self.store.engine.checkpoint().expect("a checkpoint");
            }
        }
    }

    /// A panel of a dashboard; of one host alone where that is named.
    fn panel(&self, random: &mut Random) -> (String, bool) {
        let host = HOSTS[random.below(4) as usize].0;
        let newest = self
            .next
            .lock()
            .expect("no panic")
            .iter()
            .copied()
            .max()
            .unwrap_or(0);
        // A window of which there are a few only, so that panels come again.
        let from =
            START + (newest - 180) / 60 * 60 * STEP + [0, 7][random.below(2) as usize] * SECOND;
        let to = from + [900, 1_805, 3_600][random.below(3) as usize] * SECOND;
        let within = format!("time >= {from} AND time < {to}");
        let all = "count(*), sum(v), min(v), max(v), first(v), last(v), avg(v)";
        let minute = "time_bucket('1 minute', time)";
        match random.below(11) {
            0 => (
                format!("SELECT {minute}, host, {all} FROM m WHERE {within} GROUP BY 1, host"),
                false,
            ),
            1 => (
                format!(
                    "SELECT {minute}, {all} FROM m WHERE {within} AND host = '{host}' GROUP BY 1"
                ),
                true,
            ),
            2 => (
                format!(
                    "SELECT time_bucket('5 minutes', time), rack, {all} FROM m GROUP BY 1, rack"
                ),
                false,
            ),
            3 => (
                format!("SELECT {all} FROM m WHERE host = '{host}' AND {within}"),
                true,
            ),
            4 => (
                format!(
                    "SELECT {minute}, max(v) FROM m WHERE time >= now() - interval '30 minutes' GROUP BY 1"
                ),
                false,
            ),
            5 => (
                format!(
                    "SELECT host, {all} FROM m WHERE time >= now() - interval '1 hour' GROUP BY host"
                ),
                false,
            ),
            6 => (
                format!(
                    "SELECT time_bucket('3 seconds', time), count(*), median(v) FROM m WHERE {within} AND v % 3 = 0 AND host = '{host}' GROUP BY 1"
                ),
                true,
            ),
            7 => (
                format!(
                    "SELECT time_bucket_gapfill('1 minute', time), locf(last(v)) FROM m WHERE {within} AND host = '{host}' GROUP BY 1"
                ),
                true,
            ),
            8 => (
                format!(
                    "SELECT time_bucket('15 minutes', time, 'Europe/Berlin'), {all} FROM m WHERE rack = '2' GROUP BY 1"
                ),
                false,
            ),
            9 => (
                format!("SELECT {minute}, {all} FROM m WHERE host = '{host}' GROUP BY 1"),
                true,
            ),
            _ => (
                format!(
                    "SELECT {minute}, mode(v), count(distinct v), count(v::float) FROM m WHERE time >= {from} AND host IN ('a', 'c') GROUP BY 1 HAVING count(*) > 1"
                ),
                false,
            ),
        }
    }

    /// Asks a panel with the cache, perhaps while something happens, and without it.
    fn ask(&self, random: &mut Random, tally: &mut Tally) -> Result<(), String> {
        let (text, one_series) = self.panel(random);
        tally.asked += 1;
        let before = self.store.ask(&text, false, &|| ());
        let interrupted = one_series && random.below(2) == 0;
        let happenings = [self.choose(random), self.choose(random)];
        let at = random.below(6);
        let states = Mutex::new(vec![before]);
        let calls = AtomicU64::new(0);
        let meanwhile = || {
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            if interrupted && call == at {
                for happening in &happenings {
                    self.happen(happening);
                    let answer = self.store.ask(&text, false, &|| ());
                    states.lock().expect("no panic").push(answer);
                }
            }
        };
        let found = self.store.ask(&text, true, &meanwhile);
        let states = states.into_inner().expect("no panic");
        tally.interrupted += u64::from(states.len() > 1);
        if !states.contains(&found) {
            return Err(format!(
                "{:?}\n{text}\nwhile {happenings:?}, {} states\nfound {found:#?}\nof {states:#?}",
                self.lives,
                states.len()
            ));
        }
        let last = states.last();
        for _ in 0..2 {
            let found = self.store.ask(&text, true, &|| ());
            if Some(&found) != last {
                return Err(format!(
                    "{:?}\n{text}\nafter {happenings:?}\nfound {found:#?}\nexpected {last:#?}",
                    self.lives
                ));
            }
        }
        Ok(())
    }

    fn settle(&self, tally: &mut Tally) {
        let stats = self.store.stats();
        tally.hits += stats.total.hits;
        tally.misses += stats.total.misses;
        tally.invalidations += stats.total.invalidations;
        tally.read_again += stats.queries_again;
        tally.rolled += self.store.rolled.load(std::sync::atomic::Ordering::Relaxed);
        assert!(stats.total.bytes + stats.plans_bytes <= stats.capacity_bytes);
    }
}
