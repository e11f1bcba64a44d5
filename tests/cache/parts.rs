//! Which parts are found again, and which are not, step by step.

use edgetimedb::query::CacheUse;
use edgetimedb::types::FieldType;

use super::store::{Cached, HOSTS, Lives, SECOND, START};

const V: (&str, FieldType) = ("v", FieldType::Integer);
const FOREVER: Lives = Lives {
    raw_age_max_s: 0,
    rows_per_series_max: 0,
    chunk_rows: 64,
    tiers: false,
};

/// A store with rows of each host every ten seconds.
fn filled(folder: &tempfile::TempDir, rows: i64) -> Cached {
    let store = Cached::open(folder.path(), START + 7_200 * SECOND, FOREVER, 4 << 20);
    for host in 0..HOSTS.len() {
        append(&store, host, 0, rows);
    }
    store
}

fn append(store: &Cached, host: usize, first: i64, rows: i64) {
    let rows = (first..first + rows).map(|at| (START + at * 10 * SECOND, at));
    store.write(host, V, &rows.collect::<Vec<_>>());
}

fn minutes(from: i64, to: i64, condition: &str) -> String {
    let (from, to) = (START + from * SECOND, START + to * SECOND);
    format!(
        "SELECT time_bucket('1 minute', time), sum(v) FROM m \
         WHERE time >= {from} AND time < {to}{condition} GROUP BY 1"
    )
}

fn used(found: u32, finished: u32, growing: u32, ends: u32) -> CacheUse {
    CacheUse::Used {
        found,
        finished,
        growing,
        ends,
    }
}

#[test]
fn a_window_that_moves_reads_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(&folder, 180);
    let window = |from| minutes(from, from + 600, "");
    assert_eq!(store.use_of(&window(0)), used(0, 10, 0, 0));
    let again = store.use_of(&window(0));
    assert_eq!(again, used(10, 0, 0, 0));
    assert_eq!(store.use_of(&window(120)), used(8, 2, 0, 0));
    // A constant range that ends within buckets: what is left of these is kept as well.
    assert_eq!(store.use_of(&window(90)), used(9, 2, 0, 0));
    assert_eq!(store.use_of(&window(90)), used(11, 0, 0, 0));
    // One that moves with time is read at its ends: the clock stands at 7,200 s.
    let moving = "SELECT time_bucket('1 minute', time), sum(v) FROM m \
                  WHERE time >= now() - interval '7110 seconds' \
                  AND time < now() - interval '6510 seconds' GROUP BY 1";
    assert_eq!(store.use_of(moving), used(9, 0, 0, 2));
    let stats = store.stats();
    assert_eq!((stats.queries_whole, stats.queries_partial), (3, 2));
    assert_eq!((stats.total.hits, stats.total.misses), (47, 14));
}

#[test]
fn a_change_costs_the_parts_that_it_touches_and_their_series() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(&folder, 180);
    let (all, a, d) = (
        minutes(0, 600, ""),
        minutes(0, 600, " AND host = 'a'"),
        minutes(0, 600, " AND host = 'd'"),
    );
    for text in [&all, &a, &d] {
        assert_eq!(store.use_of(text), used(0, 10, 0, 0));
    }
    // Behind all rows: nothing that is finished has changed.
    append(&store, 0, 180, 60);
    assert_eq!(store.use_of(&all), used(10, 0, 0, 0));
    // A late row of one series.
    store.write(0, V, &[(START + 65 * SECOND, 1)]);
    assert_eq!(store.use_of(&d), used(10, 0, 0, 0));
    assert_eq!(store.use_of(&a), used(9, 1, 0, 0));
    assert_eq!(store.use_of(&all), used(9, 1, 0, 0));
    assert_eq!(store.use_of(&all), used(10, 0, 0, 0));
    // A deletion.
    let (from, to) = (START + 130 * SECOND, START + 190 * SECOND);
    let text = format!("DELETE FROM m WHERE time >= {from} AND time < {to} AND host = 'd'");
    store.ask(&text, false, &|| ());
    assert_eq!(store.use_of(&a), used(10, 0, 0, 0));
    assert_eq!(store.use_of(&d), used(8, 2, 0, 0));
    // Sealing and writing to block files change nothing.
    store.engine.seal_all().expect("seals");
    store.engine.checkpoint().expect("a checkpoint");
    assert_eq!(store.use_of(&d), used(10, 0, 0, 0));
    assert_eq!(store.stats().total.invalidations, 4);
    // Another lane of the field makes it another plan.
    store.write(1, ("v", FieldType::Float), &[(START + 5_000 * SECOND, 0)]);
    assert_eq!(store.use_of(&d), used(0, 10, 0, 0));
    assert_eq!(store.results.clear(), 40);
    assert_eq!(store.use_of(&d), used(0, 10, 0, 0));
}

#[test]
fn what_grows_is_kept_until_it_has_grown() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(&folder, 63);
    let text = minutes(0, 660, "");
    // 63 rows: the minute from 600 s on has three.
    assert_eq!(store.use_of(&text), used(0, 10, 1, 0));
    assert_eq!(store.use_of(&text), used(11, 0, 0, 0));
    append(&store, 2, 63, 1);
    assert_eq!(store.use_of(&text), used(10, 0, 1, 0));
    for host in 0..HOSTS.len() {
        append(&store, host, 64, 2);
    }
    assert_eq!(store.use_of(&text), used(10, 0, 1, 0));
    // The next minute has begun, and nothing came to the one before.
    for host in 0..HOSTS.len() {
        append(&store, host, 66, 1);
    }
    assert_eq!(store.use_of(&text), used(11, 0, 0, 0));
    // A host that comes back with what it had not sent.
    let silent = minutes(0, 1_200, "");
    for host in 1..HOSTS.len() {
        append(&store, host, 67, 60);
    }
    assert_eq!(store.use_of(&silent), used(11, 9, 0, 0));
    assert_eq!(store.use_of(&silent), used(20, 0, 0, 0));
    append(&store, 0, 67, 60);
    assert_eq!(store.use_of(&silent), used(11, 9, 0, 0));
}

#[test]
fn parts_expire() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = filled(&folder, 180);
    store.live_for(600 * SECOND);
    let text = minutes(0, 600, "");
    assert_eq!(store.use_of(&text), used(0, 10, 0, 0));
    store.clock.advance(599_000_000_000);
    assert_eq!(store.use_of(&text), used(10, 0, 0, 0));
    store.clock.advance(1_000_000_000);
    assert_eq!(store.use_of(&text), used(0, 10, 0, 0));
    assert_eq!(store.stats().total.expirations, 10);
}

#[test]
fn what_is_not_kept_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(&folder, 180);
    for (text, reason) in [
        ("SELECT * FROM m", "rows"),
        ("SELECT rate(v) FROM m", "steps"),
        ("SELECT v, count(*) FROM m GROUP BY v", "key"),
        ("SELECT host, last(v) FROM m GROUP BY host", "few"),
        (
            "SELECT sum(v) FROM m WHERE time > 5000000000000000000",
            "no rows",
        ),
    ] {
        let plan = store.ask(&format!("EXPLAIN ANALYZE {text}"), true, &|| ());
        let line = plan.iter().find(|line| line.starts_with("cache"));
        let line = line.map_or("", String::as_str);
        let said =
            line.contains(reason) || text.starts_with("SELECT *") && line.contains("not asked");
        assert!(said, "{text}: {plan:#?}");
    }
    let text = minutes(0, 600, "");
    store.use_of(&text);
    let plan = store.ask(&format!("EXPLAIN ANALYZE {text}"), true, &|| ());
    let wanted = "cache 10 of 10 parts found; read: 0 finished, 0 growing, 0 ends";
    assert!(plan.iter().any(|line| line == wanted), "{plan:#?}");
    assert!(
        plan.iter().any(|line| line == "chunks decoded 0"),
        "{plan:#?}"
    );
}
