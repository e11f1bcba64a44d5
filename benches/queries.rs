//! Questions of the Time Series Benchmark Suite to 4,000 hosts, and a dashboard that is refreshed while rows come in,
//! both in this process, without sockets, with the cache of finished buckets and without it.
//!
//! `EDGETIME_BENCH_HOSTS` (4,000), `EDGETIME_BENCH_HOURS` (12), `EDGETIME_BENCH_MS` for each question and number of
//! clients (1,000), `EDGETIME_BENCH_HELPERS` threads that all queries have beside those of the clients (1),
//! `EDGETIME_BENCH_REFRESHES` (360), `EDGETIME_BENCH_LATE` late rows a refresh (0). `cargo bench --bench queries`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use edgetimedb::catalog::CatalogLimits;
use edgetimedb::clock::ManualClock;
use edgetimedb::engine::{Access, Batch, Engine, EngineOptions, RowPlan, SeriesRef};
use edgetimedb::log::LogOptions;
use edgetimedb::meta::MemoryMeta;
use edgetimedb::query::cache::{CacheOptions, ResultCache};
use edgetimedb::query::{CacheUse, QueryContext, QueryLimits, QueryWorkers, Store, query};
use edgetimedb::server::QueryThreads;
use edgetimedb::storage::FileStorage;
use edgetimedb::types::{FieldType, StoreId};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const START: i64 = 1_451_606_400 * SECOND;
const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

struct Bench {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    results: Arc<ResultCache>,
    hosts: Vec<SeriesRef>,
    plan: RowPlan,
    usage: Vec<[f64; FIELDS.len()]>,
    random: Random,
    end: i64,
}

/// A splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        (self.next() % end.max(1) as u64) as i64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn main() {
    let hosts = variable("EDGETIME_BENCH_HOSTS", 4_000);
    let hours = variable("EDGETIME_BENCH_HOURS", 12);
    let folder = tempfile::tempdir().expect("a folder");
    let began = Instant::now();
    let mut bench = Bench::new(folder.path(), hosts as usize, 64 << 20);
    for _ in 0..hours * 360 {
        bench.write_all();
    }
    bench.engine.checkpoint().expect("a checkpoint");
    let rows = bench.engine.row_counts().stored;
    println!(
        "{rows} rows of {hosts} hosts in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    questions(&bench);
    dashboard(&mut bench);
}

impl Bench {
    fn new(folder: &std::path::Path, hosts: usize, cache_bytes: usize) -> Self {
        let options = EngineOptions {
            shards: 4,
            log: LogOptions::default(),
            catalog: CatalogLimits {
                databases_max: 4,
                series_max: 1_000_000,
                series_per_database_max: 0,
                columns_max: 100,
            },
            new_series: edgetimedb::engine::NewSeriesLimits::default(),
            hash_seed: 1,
            time_future_max_ns: i64::MAX,
            time_min_ns: 0,
            raw_age_max_ns: 0,
            rows_per_series_max: 0,
            tiers: Vec::new(),
            empty_series_ns: 0,
            chunk_rows: edgetimedb::limits::CHUNK_ROWS,
            chunk_age_max_ns: i64::MAX,
            chunk_cache_bytes: 256 << 20,
            memory_limit_bytes: 0,
            space: edgetimedb::engine::SpaceLimits::default(),
            rejected_rows_max: 0,
            rejected_bytes_max: u64::MAX,
            follow_data: None,
        };
        let storage = Arc::new(FileStorage::open(folder).expect("a folder"));
        let clock = Arc::new(ManualClock::at(START));
        let meta = Arc::new(MemoryMeta::default());
        let engine = Engine::open(storage, meta, Arc::clone(&clock) as _, StoreId(1), options);
        let engine = Arc::new(engine.expect("opens"));
        let database = engine
            .resolve_database(&Access::full(), "db")
            .expect("room");
        let mut random = Random(1);
        let hosts: Vec<SeriesRef> = (0..hosts)
            .map(|host| {
                let text = |prefix: &str, number: i64| format!("{prefix}{number}");
                let region = random.below(9);
                let tags = [
                    ("hostname", text("host_", host as i64)),
                    ("region", text("region-", region)),
                    ("datacenter", text("dc-", region * 3 + random.below(3))),
                    ("rack", random.below(100).to_string()),
                    ("os", text("os", random.below(3))),
                    ("arch", text("x", random.below(2))),
                    ("team", text("team", random.below(4))),
                    ("service", random.below(20).to_string()),
                    ("service_version", random.below(2).to_string()),
                    ("service_environment", text("env", random.below(3))),
                ];
                let mut tags: Vec<(&str, &str)> = tags
                    .iter()
                    .map(|(key, value)| (*key, value.as_str()))
                    .collect();
                engine
                    .resolve_series(database, "cpu", &mut tags)
                    .expect("room")
            })
            .collect();
        let fields = FIELDS.map(|name| (name, FieldType::Integer));
        let plan = engine
            .resolve_layout(hosts[0].measurement, &fields)
            .expect("room");
        let usage = hosts
            .iter()
            .map(|_| std::array::from_fn(|_| random.unit() * 100.0));
        Self {
            usage: usage.collect(),
            engine,
            clock,
            results: cache(cache_bytes),
            hosts,
            plan,
            random,
            end: START,
        }
    }

    /// A row of every host, and ten seconds pass.
    fn write_all(&mut self) {
        let mut batch = self.engine.batch();
        for host in 0..self.hosts.len() {
            self.push(&mut batch, host, self.end);
            if batch.len() >= 1_000 {
                self.flush(&mut batch);
            }
        }
        self.flush(&mut batch);
        self.end += 10 * SECOND;
        self.clock.advance(10 * SECOND as u64);
    }

    fn push(&mut self, batch: &mut Batch, host: usize, time: i64) {
        let usage = &mut self.usage[host];
        let cells: [u64; FIELDS.len()] = std::array::from_fn(|field| {
            // About as wide as a step of a normal distribution.
            let step = (self.random.unit() + self.random.unit() + self.random.unit() - 1.5) * 2.0;
            usage[field] = (usage[field] + step).clamp(0.0, 100.0);
            usage[field] as u64
        });
        let layout = batch.layout_index(&self.plan.layout);
        batch.push(
            self.hosts[host],
            layout,
            Some(time),
            (&cells, &[0; FIELDS.len()], &[]),
            0,
        );
    }

    fn flush(&self, batch: &mut Batch) {
        if self.engine.checkpoint_is_due() {
            self.engine.checkpoint().expect("a checkpoint");
        }
        self.engine.prepare_log().expect("room");
        let written = self.engine.write(batch);
        assert!(written.error.is_none(), "{:?}", written.error);
    }

    fn ask(&self, text: &str, cached: bool, workers: &QueryWorkers) -> CacheUse {
        let mut store = Store::new(Arc::clone(&self.engine), Access::full());
        if cached {
            store = store.with_cache(&self.results);
        }
        let context = QueryContext {
            memory: None,
            database: "db",
            now_ns: self.end,
            limits: QueryLimits::default(),
            monotonic_ns: None,
            workers: Some(workers),
            cancel: &|| false,
        };
        let stats = query(&store, text, &context, &mut |_| Ok(()), &mut |_| Ok(()));
        stats
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .cache
    }

    /// A window of so many hours, and a host.
    fn place(&self, random: &mut Random, hours: i64) -> (String, String) {
        let room = self.end - START - hours * HOUR;
        let from = START + random.below(room / SECOND) * SECOND;
        let to = from + hours * HOUR;
        let host = random.below(self.hosts.len() as i64);
        (
            format!("time >= {from} AND time < {to}"),
            format!("host_{host}"),
        )
    }
}

fn cache(capacity_bytes: usize) -> Arc<ResultCache> {
    Arc::new(ResultCache::new(CacheOptions {
        capacity_bytes,
        ttl_ns: 0,
        hash_seed: 1,
    }))
}

/// Name and text of a question.
type Question = (&'static str, fn(&Bench, &mut Random) -> String);

const QUESTIONS: [Question; 9] = [
    ("single-groupby-1-1-1", |bench, random| {
        let (time, host) = bench.place(random, 1);
        format!(
            "SELECT time_bucket('1 minute', time), max(usage_user) FROM cpu \
             WHERE {time} AND hostname = '{host}' GROUP BY 1"
        )
    }),
    ("single-groupby-5-8-1", |bench, random| {
        let (time, _) = bench.place(random, 1);
        let hosts: Vec<String> = (0..8)
            .map(|_| format!("'{}'", bench.place(random, 1).1))
            .collect();
        format!(
            "SELECT time_bucket('1 minute', time), {} FROM cpu WHERE {time} AND hostname IN ({}) \
             GROUP BY 1",
            five("max"),
            hosts.join(", ")
        )
    }),
    ("double-groupby-1", |bench, random| {
        let (time, _) = bench.place(random, bench.hours());
        format!(
            "SELECT time_bucket('1 hour', time), hostname, avg(usage_user) FROM cpu WHERE {time} \
             GROUP BY 1, hostname"
        )
    }),
    ("double-groupby-5", |bench, random| {
        let (time, _) = bench.place(random, bench.hours());
        format!(
            "SELECT time_bucket('1 hour', time), hostname, {} FROM cpu WHERE {time} \
             GROUP BY 1, hostname",
            five("avg")
        )
    }),
    ("lastpoint", |_, _| {
        let fields = FIELDS.map(|field| format!("last({field})"));
        format!(
            "SELECT hostname, max(time), {} FROM cpu GROUP BY hostname",
            fields.join(", ")
        )
    }),
    ("high-cpu-1", |bench, random| {
        let (time, host) = bench.place(random, bench.hours());
        format!("SELECT * FROM cpu WHERE usage_user > 90 AND {time} AND hostname = '{host}'")
    }),
    ("high-cpu-all", |bench, random| {
        let (time, _) = bench.place(random, bench.hours());
        format!("SELECT * FROM cpu WHERE usage_user > 90 AND {time}")
    }),
    ("groupby-orderby-limit", |bench, random| {
        let end = START + HOUR + random.below((bench.end - START - HOUR) / SECOND) * SECOND;
        format!(
            "SELECT time_bucket('1 minute', time), max(usage_user) FROM cpu WHERE time < {end} \
             GROUP BY 1 ORDER BY 1 DESC LIMIT 5"
        )
    }),
    ("raw-hour", |bench, random| {
        let (time, host) = bench.place(random, 1);
        format!("SELECT time, usage_user FROM cpu WHERE {time} AND hostname = '{host}'")
    }),
];

impl Bench {
    /// As long as the questions over half a day are, or shorter where there is less.
    fn hours(&self) -> i64 {
        ((self.end - START) / HOUR).min(12)
    }
}

fn five(function: &str) -> String {
    FIELDS[..5]
        .iter()
        .map(|field| format!("{function}({field})"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn helpers() -> usize {
    variable("EDGETIME_BENCH_HELPERS", 1) as usize
}

fn questions(bench: &Bench) {
    let span = Duration::from_millis(variable("EDGETIME_BENCH_MS", 1_000) as u64);
    println!(
        "{:24} {:>7} {:>7} {:>9} {:>9} {:>8}",
        "question", "clients", "helpers", "p50 ms", "p99 ms", "asked"
    );
    let helpers = helpers();
    for (name, text) in QUESTIONS {
        for (clients, helpers) in [(1, 0), (1, helpers), (8, 0), (8, helpers)] {
            let mut times = asked(bench, text, (clients, helpers), span);
            times.sort_unstable();
            let at =
                |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{name:24} {clients:>7} {helpers:>7} {:>9.3} {:>9.3} {:>8}",
                ms(at(0.5)),
                ms(at(0.99)),
                times.len()
            );
        }
    }
}

/// Times of answers without the cache, from so many threads.
fn asked(
    bench: &Bench,
    text: fn(&Bench, &mut Random) -> String,
    (clients, helpers): (u64, usize),
    span: Duration,
) -> Vec<Duration> {
    let workers = QueryWorkers::new(helpers, QueryThreads);
    let seed = AtomicU64::new(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut random = Random(seed.fetch_add(1, Ordering::Relaxed) << 32);
                    let (mut times, began) = (Vec::new(), Instant::now());
                    while began.elapsed() < span || times.len() < 3 {
                        let text = text(bench, &mut random);
                        let asked = Instant::now();
                        bench.ask(&text, false, &workers);
                        times.push(asked.elapsed());
                    }
                    times
                })
            })
            .collect();
        let all = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        all.flatten().collect()
    })
}

/// Name, text and what a panel came to.
struct Panel {
    name: &'static str,
    text: String,
    whole: u32,
    found: u64,
    finished: u64,
    cached: Duration,
    uncached: (Duration, u32),
}

fn panels() -> Vec<Panel> {
    let last = |span: &str| format!("time >= now() - interval '{span}'");
    let (hour, quarter, long) = (last("1 hour"), last("15 minutes"), last("6 hours"));
    let minute = "time_bucket('1 minute', time)";
    let texts = [
        (
            "mean of all",
            format!("SELECT {minute}, avg(usage_user) FROM cpu WHERE {hour} GROUP BY 1"),
        ),
        (
            "most by region",
            format!(
                "SELECT {minute}, region, max(usage_system) FROM cpu WHERE {hour} GROUP BY 1, region"
            ),
        ),
        (
            "one host",
            format!(
                "SELECT {minute}, avg(usage_user), max(usage_user) FROM cpu WHERE {hour} AND hostname = 'host_7' GROUP BY 1"
            ),
        ),
        (
            "eight hosts",
            format!(
                "SELECT {minute}, {} FROM cpu WHERE {hour} AND hostname IN ('host_1', 'host_2', 'host_3', 'host_4', 'host_5', 'host_6', 'host_7', 'host_8') GROUP BY 1",
                five("max")
            ),
        ),
        (
            "mean by datacenter",
            format!(
                "SELECT time_bucket('5 minutes', time), datacenter, avg(usage_user) FROM cpu WHERE {long} GROUP BY 1, datacenter"
            ),
        ),
        (
            "rows",
            format!("SELECT {minute}, count(*) FROM cpu WHERE {hour} GROUP BY 1"),
        ),
        (
            "95th percentile",
            format!(
                "SELECT time_bucket('5 minutes', time), percentile(usage_user, 95) FROM cpu WHERE {hour} AND region = 'region-1' GROUP BY 1"
            ),
        ),
        (
            "a host closely",
            format!(
                "SELECT time_bucket('10 seconds', time), min(usage_user), max(usage_user) FROM cpu WHERE {quarter} AND hostname = 'host_9' GROUP BY 1"
            ),
        ),
        (
            "idle by region",
            format!("SELECT region, avg(usage_idle) FROM cpu WHERE {hour} GROUP BY region"),
        ),
        (
            "high load",
            format!(
                "SELECT {minute}, count(*) FROM cpu WHERE {hour} AND usage_user > 90 GROUP BY 1"
            ),
        ),
        (
            "each host by hour",
            format!(
                "SELECT time_bucket('1 hour', time), hostname, avg(usage_user) FROM cpu WHERE {long} GROUP BY 1, hostname"
            ),
        ),
        (
            "by the clock",
            format!(
                "SELECT time_bucket('1 hour', time, 'Europe/Berlin'), avg(usage_user) FROM cpu WHERE {long} GROUP BY 1"
            ),
        ),
    ];
    texts
        .into_iter()
        .map(|(name, text)| Panel {
            name,
            text,
            whole: 0,
            found: 0,
            finished: 0,
            cached: Duration::ZERO,
            uncached: (Duration::ZERO, 0),
        })
        .collect()
}

/// Refreshes a dashboard every ten seconds, while all hosts send rows, and some send one late.
fn dashboard(bench: &mut Bench) {
    let refreshes = variable("EDGETIME_BENCH_REFRESHES", 360) as u32;
    let late = variable("EDGETIME_BENCH_LATE", 0);
    let mut panels = panels();
    let workers = QueryWorkers::new(helpers(), QueryThreads);
    for panel in &panels {
        bench.ask(&panel.text, true, &workers);
    }
    for refresh in 0..refreshes {
        bench.write_all();
        let mut batch = bench.engine.batch();
        for _ in 0..late {
            let host = bench.random.below(bench.hosts.len() as i64) as usize;
            let late = bench.random.below(300) * SECOND;
            bench.push(&mut batch, host, bench.end - 10 * SECOND - late);
        }
        bench.flush(&mut batch);
        for panel in &mut panels {
            let began = Instant::now();
            let used = bench.ask(&panel.text, true, &workers);
            panel.cached += began.elapsed();
            if let CacheUse::Used {
                found, finished, ..
            } = used
            {
                panel.found += u64::from(found);
                panel.finished += u64::from(finished);
                panel.whole += u32::from(finished == 0);
            }
            if refresh % 12 == 0 {
                let began = Instant::now();
                bench.ask(&panel.text, false, &workers);
                panel.uncached.0 += began.elapsed();
                panel.uncached.1 += 1;
            }
        }
    }
    println!(
        "\n{:24} {:>8} {:>8} {:>9} {:>9}",
        "panel", "whole %", "parts %", "with ms", "without"
    );
    let ms = |time: Duration, count: u32| time.as_secs_f64() * 1e3 / f64::from(count.max(1));
    let share = |part: u64, all: u64| part as f64 * 100.0 / all.max(1) as f64;
    let (mut with, mut without, mut whole, mut found, mut parts) = (0.0, 0.0, 0, 0, 0);
    for panel in &panels {
        let times = (
            ms(panel.cached, refreshes),
            ms(panel.uncached.0, panel.uncached.1),
        );
        let all = panel.found + panel.finished;
        println!(
            "{:24} {:>8.1} {:>8.2} {:>9.3} {:>9.3}",
            panel.name,
            share(panel.whole.into(), refreshes.into()),
            share(panel.found, all),
            times.0,
            times.1
        );
        with += times.0;
        without += times.1;
        whole += panel.whole;
        found += panel.found;
        parts += all;
    }
    let asked = u64::from(refreshes) * panels.len() as u64;
    println!(
        "{:24} {:>8.1} {:>8.2} {with:>9.3} {without:>9.3}",
        "a refresh",
        share(whole.into(), asked),
        share(found, parts)
    );
    println!("{:?}", bench.results.stats().total);
}

fn variable(name: &str, default: i64) -> i64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok());
    value.unwrap_or(default)
}
