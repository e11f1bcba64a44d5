//! Rows that have left: the same questions to a store that keeps all rows, and to one that has rollups for most.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edgetime_protocol::cell::{MARK_NULL, MARK_RAW};

use super::super::{QueryContext, QueryLimits, Store, query};
use super::engine::{Answer, ask, check};
use crate::engine::tests::{open, options};
use crate::engine::{
    Access, Engine, EngineOptions, RetentionBound, RetentionChange, TierFillView, TierUse,
};
use crate::rollup::Tier;
use crate::types::FieldType;

/// What the clock of these stores says.
const NOW: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Where the first row is, in the middle of an hour.
const START: i64 = NOW / HOUR * HOUR - 40 * HOUR + 1_234 * SECOND;

/// A row: what it has values of.
#[derive(Clone, Copy)]
struct Row {
    site: usize,
    time: i64,
    x: Option<f64>,
    k: Option<i64>,
    on: Option<bool>,
}

fn write(engine: &Engine, rows: &[Row]) {
    let database = engine
        .resolve_database(&Access::full(), "db")
        .expect("taken");
    let fields = [
        ("x", FieldType::Float),
        ("k", FieldType::Integer),
        ("on", FieldType::Boolean),
    ];
    let mut batch = engine.batch();
    for (tag, row) in rows.iter().enumerate() {
        let tags = &mut [("site", ["a", "b"][row.site])];
        let series = engine.resolve_series(database, "m", tags).expect("taken");
        let plan = engine
            .resolve_layout(series.measurement, &fields)
            .expect("taken");
        let layout = batch.layout_index(&plan.layout);
        let bits = [
            row.x.map_or(0, f64::to_bits),
            row.k.map_or(0, |k| k as u64),
            row.on.map_or(0, u64::from),
        ];
        let mark = |has: bool, mark| if has { mark } else { MARK_NULL };
        let marks = [
            mark(row.x.is_some(), MARK_RAW),
            mark(row.k.is_some(), 0),
            mark(row.on.is_some(), 0),
        ];
        batch.push(
            series,
            layout,
            Some(row.time),
            (&bits, &marks, &[]),
            tag as u32,
        );
    }
    let written = engine.write(&mut batch);
    assert!(written.error.is_none(), "{:?}", written.error);
}

/// Repeatable numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Sensors that send every few seconds, with what comes late and what comes again.
struct Sensors {
    random: Random,
    next: [i64; 2],
}

impl Sensors {
    fn rows(&mut self, count: usize) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..count {
            let random = &mut self.random;
            let site = random.below(2) as usize;
            let own = |row: &&Row| row.site == site;
            // A late row, or one that takes the place of another.
            let before = rows.iter().rev().filter(own).nth(random.below(30) as usize);
            let time = match (before, random.below(100)) {
                (Some(before), 0) => before.time,
                (Some(before), 1..6) => before.time + 1 + random.below(999_999) as i64,
                _ => {
                    self.next[site] += (1 + random.below(9) as i64) * SECOND / 2;
                    self.next[site]
                }
            };
            let has = |random: &mut Random| !random.one_in(5);
            let row = Row {
                site,
                time,
                x: has(random).then(|| random.below(100_000) as f64 / 100.0 - 300.0),
                k: Some(random.below(2_000) as i64 - 1_000),
                on: has(random).then(|| random.one_in(3)),
            };
            rows.push(row);
        }
        rows
    }
}

fn bounded() -> EngineOptions {
    EngineOptions {
        chunk_rows: 64,
        rows_per_series_max: 150,
        ..options()
    }
}

fn store(engine: &Arc<Engine>) -> Store {
    Store::new(Arc::clone(engine), Access::full())
}

const ALL: &str = "count(*), count(x), sum(x), avg(x), min(x), max(x), first(x), last(x), spread(x), \
    count(k), sum(k), avg(k), min(k), max(k), first(k), last(k), count(on), first(on), last(on), min(on), max(on), \
    min(time), max(time)";

/// What buckets answer as rows would.
fn questions() -> Vec<String> {
    let hour = (START / HOUR + 2) * HOUR;
    let minute = hour + 17 * 60 * SECOND;
    let mut questions = vec![
        format!("SELECT {ALL} FROM m"),
        format!("SELECT site, {ALL} FROM m GROUP BY site"),
        format!("SELECT {ALL} FROM m WHERE time >= {hour} AND site = 'a'"),
        format!("SELECT {ALL} FROM m WHERE time >= {hour} AND time < {minute}"),
        "SELECT last(x) FROM m WHERE site = 'b'".to_owned(),
        "SELECT first(x), first(k) FROM m WHERE site = 'b'".to_owned(),
        "SELECT stddev(x), variance(k), count(x), last(k) FROM m".to_owned(),
        "SELECT time_bucket('1 minute', time) AS t, site, stddev(k), avg(k) FROM m GROUP BY t, site".to_owned(),
    ];
    for width in [
        "10 seconds",
        "1 minute",
        "5 minutes",
        "1 hour",
        "3 hours",
        "1 day",
    ] {
        for (keys, by) in [("", ""), ("site, ", ", site")] {
            questions.push(format!(
                "SELECT time_bucket('{width}', time) AS t, {keys}{ALL} FROM m GROUP BY t{by}"
            ));
        }
        for order in ["", " DESC"] {
            questions.push(format!(
                "SELECT time_bucket('{width}', time) AS t, count(*), last(x) FROM m GROUP BY t ORDER BY t{order} LIMIT 3"
            ));
        }
    }
    questions
}

fn compare(kept: &Arc<Engine>, aged: &Arc<Engine>, when: &str) {
    for question in questions() {
        let expected = ask(&store(kept), &question);
        let found = ask(&store(aged), &question);
        if let Err(error) = check(&found, &expected, &question) {
            panic!("{when}: {question}: {error}");
        }
    }
}

fn number(answer: &Answer) -> i64 {
    let (batches, _) = answer.as_ref().expect("an answer");
    match batches[0].columns[0].cell(0) {
        crate::query::result::ResultCell::Integer(number) => number,
        other => panic!("{other:?}"),
    }
}

/// The store with all rows, and the one that has let go of most, behind so many rounds.
fn fed(folder: &Path, rounds: usize, seed: u64, compared: bool) -> (Arc<Engine>, Arc<Engine>) {
    let (all, some) = (folder.join("all"), folder.join("some"));
    for path in [&all, &some] {
        std::fs::create_dir_all(path).expect("a folder");
    }
    let kept = open(&all, options());
    let mut aged = open(&some, bounded());
    // Little more than all of it, so that there are chunks of few buckets.
    let usual = [Some(41 * 3_600), Some(0), Some(0)];
    let usual: Vec<_> = Tier::USUAL.into_iter().zip(usual).collect();
    tiers(&aged, &usual);
    let mut sensors = Sensors {
        random: Random(seed),
        next: [START, START + 77],
    };
    for round in 0..rounds {
        let rows = sensors.rows(200);
        for part in rows.chunks(50) {
            write(&kept, part);
            write(&aged, part);
        }
        // What is deleted is there still.
        if sensors.random.one_in(3) {
            let from = rows[150].time;
            let delete = format!(
                "DELETE FROM m WHERE time >= {from} AND time < {}",
                from + 20 * SECOND
            );
            for engine in [&kept, &aged] {
                ask(&store(engine), &delete).expect("there are rows");
            }
        }
        if sensors.random.one_in(2) {
            aged.seal_all().expect("seals");
        }
        for _ in 0..sensors.random.below(3) {
            aged.tick().expect("ticks");
            if sensors.random.one_in(2) {
                aged.checkpoint().expect("checkpoints");
            }
        }
        if sensors.random.one_in(4) {
            aged.sync().expect("syncs");
            drop(aged);
            aged = open(&some, bounded());
            assert_eq!(aged.opened().problems, [""; 0]);
        }
        if compared {
            compare(&kept, &aged, &format!("seed {seed}, round {round}"));
        }
    }
    (kept, aged)
}

#[test]
fn what_buckets_answer_is_what_rows_would() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let (kept, aged) = fed(folder.path(), 14, seed, true);
        let uses = aged.tier_uses().into_values();
        let buckets: Vec<u64> = uses.map(|tier| tier.buckets).collect();
        assert!(
            buckets[0] > buckets[1] && buckets[1] > buckets[2] && buckets[2] > 0,
            "{buckets:?}"
        );
        // Rows of the last hundred or so are all that is there.
        let rows = |engine| ask(&store(engine), "SELECT k FROM m").expect("rows").1;
        assert!(rows(&aged).rows * 3 < rows(&kept).rows);
        assert!(rows(&aged).missing.is_some() && rows(&kept).missing.is_none());
        let ledgers = aged.ledgers();
        assert!(
            ledgers.iter().all(|known| known.ledger.is_balanced()),
            "{ledgers:?}"
        );
        let verified = aged.verify().expect("reads");
        assert!(verified.is_sound(), "{verified:?}");
    }
}

#[test]
fn an_answer_says_what_is_not_rows_and_what_cannot_be_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, aged) = fed(folder.path(), 6, 9, false);
    aged.seal_all().expect("seals");
    aged.tick().expect("ticks");
    aged.checkpoint().expect("checkpoints");
    let (_, stats) = ask(&store(&aged), "SELECT count(*) FROM m").expect("an answer");
    let rolled = stats.rolled.expect("most rows have left");
    assert!(
        rolled.start <= START && rolled.end > START + HOUR / 4,
        "{rolled:?}"
    );
    assert_eq!(stats.warnings().len(), 1);
    // Which tier has answered is told as well.
    for (width, tier) in [
        ("1 hour", "1h: "),
        ("1 minute", "1m: "),
        ("10 seconds", "10s: "),
    ] {
        let text = format!("SELECT time_bucket('{width}', time), count(*) FROM m GROUP BY 1");
        let (_, stats) = ask(&store(&aged), &text).expect("an answer");
        let told = stats.steps().into_iter();
        let told = told.filter(|(what, told)| what.contains("by tier") && told.starts_with(tier));
        assert_eq!(told.count(), 1, "{width}: {:?}", stats.steps());
    }
    let recent = format!("SELECT median(x) FROM m WHERE time >= {}", rolled.end);
    ask(&store(&aged), &recent).expect("rows are there");
    for question in [
        "SELECT median(x) FROM m",
        "SELECT count(*) FROM m WHERE x > 3",
        "SELECT sum(x * 2) FROM m",
        "SELECT rate(x) FROM m",
        "SELECT k, count(*) FROM m GROUP BY k",
    ] {
        let error = ask(&store(&aged), question).expect_err(question);
        assert!(
            error.contains("rollups know only count"),
            "{question}: {error}"
        );
        ask(&store(&kept), question).expect(question);
    }
    let deleted = ask(
        &store(&aged),
        &format!("DELETE FROM m WHERE time < {}", START + HOUR / 8),
    );
    let error = deleted.expect_err("there are buckets only");
    assert!(
        error.contains("are deleted whole: nothing was deleted"),
        "{error}"
    );
    // Who wants rows alone gets no answer.
    let context = QueryContext {
        memory: None,
        database: "db",
        now_ns: NOW,
        limits: QueryLimits {
            exact: true,
            ..QueryLimits::default()
        },
        monotonic_ns: None,
        workers: None,
        cancel: &|| false,
    };
    let text = "SELECT count(*) FROM m";
    let refused = query(&store(&aged), text, &context, &mut |_| Ok(()), &mut |_| {
        Ok(())
    });
    let refused = refused.expect_err("there are not all rows").to_string();
    assert!(refused.contains("only rollups could answer"), "{refused}");
    query(&store(&kept), text, &context, &mut |_| Ok(()), &mut |_| {
        Ok(())
    })
    .expect("all rows");
    // Buckets count whole, by their start.
    let cut = rolled.start + HOUR / 4 + 3 * SECOND;
    let ten = 10 * SECOND;
    let asked = |engine, from: i64| {
        number(&ask(
            &store(engine),
            &format!("SELECT count(*) FROM m WHERE time >= {from}"),
        ))
    };
    assert_eq!(asked(&aged, cut), asked(&kept, (cut / ten + 1) * ten));
}

fn uses_of(engine: &Engine, tier: Tier) -> TierUse {
    engine.tier_uses().get(&tier).copied().unwrap_or_default()
}

fn tiers(engine: &Engine, tiers: &[(Tier, Option<u64>)]) {
    let change = RetentionChange::Class {
        name: "normal".to_owned(),
        importance: None,
        raw_age_s: None,
        raw_bytes: None,
        rows_per_series: None,
        tiers: tiers.to_vec(),
    };
    engine
        .change_retention(&Access::full(), &change)
        .expect("taken");
    engine.tick().expect("ticks");
    engine.checkpoint().expect("checkpoints");
}

#[test]
fn what_a_tier_forgets_a_coarser_one_remembers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, aged) = fed(folder.path(), 8, 4, false);
    compare(&kept, &aged, "all tiers");
    let sums = "SELECT count(*), sum(k), min(k), max(k) FROM m";
    let by_ten = "SELECT time_bucket('10 seconds', time) AS t, count(*) FROM m GROUP BY t";
    let groups = |engine| ask(&store(engine), by_ten).expect("groups").1.rows;
    let before = groups(&aged);
    assert_eq!(before, groups(&kept));
    // All of it is older than an hour.
    tiers(&aged, &[(Tier::TEN_SECONDS, Some(3_600))]);
    assert_eq!(uses_of(&aged, Tier::TEN_SECONDS).chunks, 0);
    check(&ask(&store(&aged), sums), &ask(&store(&kept), sums), sums).expect("the same");
    assert!(groups(&aged) < before);
    tiers(&aged, &[(Tier::MINUTE, None)]);
    let uses = Tier::USUAL.map(|tier| uses_of(&aged, tier).chunks > 0);
    assert_eq!(uses, [false, false, true]);
    check(&ask(&store(&aged), sums), &ask(&store(&kept), sums), sums).expect("the same");
    // A tier that is switched on again, and that no finer one is there for, begins with what leaves from now on.
    tiers(&aged, &[(Tier::MINUTE, Some(0))]);
    let mut sensors = Sensors {
        random: Random(5),
        next: [NOW - HOUR; 2],
    };
    for _ in 0..6 {
        let rows = sensors.rows(200);
        write(&kept, &rows);
        write(&aged, &rows);
        aged.seal_all().expect("seals");
        aged.tick().expect("ticks");
        aged.checkpoint().expect("checkpoints");
    }
    assert!(uses_of(&aged, Tier::MINUTE).chunks > 0);
    check(&ask(&store(&aged), sums), &ask(&store(&kept), sums), sums).expect("the same");
    tiers(&aged, &Tier::USUAL.map(|tier| (tier, None)));
    assert_eq!(aged.tier_uses(), BTreeMap::new());
    let left = number(&ask(&store(&aged), "SELECT count(*) FROM m"));
    assert!(left < 700, "{left} rows are there");
}

/// Rows that leave: those of the store with all rows, and of the other one.
fn send(kept: &Arc<Engine>, aged: &Arc<Engine>, rows: &[Row]) {
    for part in rows.chunks(50) {
        write(kept, part);
        write(aged, part);
    }
    aged.seal_all().expect("seals");
    aged.tick().expect("ticks");
    aged.checkpoint().expect("checkpoints");
}

/// Rows from long before all others, of both sites, and new ones behind these so that they leave.
fn very_late(kept: &Arc<Engine>, aged: &Arc<Engine>) {
    let mut sensors = Sensors {
        random: Random(6),
        next: [START - 30 * HOUR; 2],
    };
    send(kept, aged, &sensors.rows(300));
    sensors.next = [NOW - 2 * HOUR; 2];
    for _ in 0..3 {
        send(kept, aged, &sensors.rows(200));
    }
}

#[test]
fn a_tier_that_is_switched_on_is_filled_from_a_finer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, mut aged) = fed(folder.path(), 8, 4, false);
    let [ten, minute, hour] = Tier::USUAL;
    tiers(&aged, &[(ten, Some(0)), (minute, None), (hour, None)]);
    assert_eq!(aged.tier_uses().into_keys().collect::<Vec<_>>(), [ten]);
    let five: Tier = "5m".parse().expect("is a width");
    tiers(&aged, &[(five, Some(0)), (hour, Some(0))]);
    let fill = aged.tier_fill();
    let expected = TierFillView {
        is_unknown: false,
        filled: 4,
        pending: 0,
    };
    assert_eq!(fill, expected, "two tiers of two series");
    let buckets = [ten, five, hour].map(|tier| uses_of(&aged, tier).buckets);
    assert!(
        buckets.is_sorted_by(|a, b| a > b) && buckets[2] > 0,
        "{buckets:?}"
    );
    compare(&kept, &aged, "filled");
    let late = |engine: &Engine| engine.status().ledger.late_merged;
    let before = late(&aged);
    very_late(&kept, &aged);
    compare(&kept, &aged, "filled, and a late row");
    // 300 rows went into buckets before the last one, but for those that took one another's place.
    let merged = late(&aged) - before;
    assert!((250..=300).contains(&merged), "{merged} rows");
    aged.sync().expect("syncs");
    drop(aged);
    aged = open(&folder.path().join("some"), bounded());
    // What the finer one has is in the coarser ones: it can go.
    tiers(&aged, &[(ten, None)]);
    assert_eq!(
        aged.tier_uses().into_keys().collect::<Vec<_>>(),
        [five, hour]
    );
    let by_five = "SELECT time_bucket('5 minutes', time) AS t, site, count(*), sum(k), last(k) FROM m GROUP BY t, site";
    for question in ["SELECT count(*), sum(k), first(x), last(x) FROM m", by_five] {
        let (found, expected) = (ask(&store(&aged), question), ask(&store(&kept), question));
        check(&found, &expected, question).expect("the same");
    }
}

#[test]
fn a_finer_tier_that_is_switched_on_late_claims_nothing_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, aged) = fed(folder.path(), 8, 4, false);
    let [ten, minute, hour] = Tier::USUAL;
    tiers(&aged, &[(ten, None), (minute, None)]);
    tiers(&aged, &[(ten, Some(0))]);
    assert_eq!(aged.tier_fill().filled, 0, "nothing finer is there");
    very_late(&kept, &aged);
    let uses = [ten, hour].map(|tier| uses_of(&aged, tier).buckets);
    assert!(uses[0] > 0 && uses[1] > 0, "{uses:?}");
    for question in [
        "SELECT count(*), sum(k), first(x), last(x) FROM m".to_owned(),
        "SELECT time_bucket('1 hour', time) AS t, count(*), sum(k) FROM m GROUP BY t".to_owned(),
        // Where the finer one is, it answers.
        format!(
            "SELECT time_bucket('10 seconds', time) AS t, count(*), sum(k) FROM m WHERE time >= {} GROUP BY t",
            NOW - HOUR
        ),
    ] {
        let (found, expected) = (ask(&store(&aged), &question), ask(&store(&kept), &question));
        check(&found, &expected, &question).expect("the same");
    }
}

#[test]
fn whole_buckets_are_deleted_and_parts_of_none() {
    for seed in [4, 11] {
        let folder = tempfile::tempdir().expect("a folder");
        let (kept, mut aged) = fed(folder.path(), 30, seed, false);
        let hour = (START / HOUR + 1) * HOUR;
        let delete = |engine: &Arc<Engine>, filter: &str| {
            let answer = ask(&store(engine), &format!("DELETE FROM m WHERE {filter}"));
            answer.map(|answer| number(&Ok(answer)))
        };
        let before = number(&ask(&store(&aged), "SELECT count(*) FROM m"));
        let of_one = format!("site = 'a' AND time < {hour}");
        let cut = delete(&aged, &format!("{of_one} AND time < {}", hour - HOUR / 7));
        let error = cut.expect_err("it cuts an hour");
        assert!(error.contains("are deleted whole"), "{error}");
        let mut deleted = delete(&aged, &of_one).expect("whole hours");
        assert_eq!(deleted, delete(&kept, &of_one).expect("rows"));
        assert!(deleted > 0);
        compare(&kept, &aged, &of_one);
        // What is refused names what would not be.
        let cut = hour + HOUR / 60 * 5;
        let error = delete(&aged, &format!("time < {cut}")).expect_err("it cuts an hour");
        let (_, asked) = error.split_once('`').expect("what to ask");
        let (asked, _) = asked.split_once('`').expect("what to ask");
        let rows = delete(&aged, asked).expect("whole buckets");
        assert_eq!(rows, delete(&kept, asked).expect("rows"), "{asked}");
        deleted += rows;
        compare(&kept, &aged, asked);
        let left = number(&ask(&store(&aged), "SELECT count(*) FROM m"));
        assert_eq!((left, rows > 0), (before - deleted, true));
        assert!(
            aged.ledgers()
                .iter()
                .all(|known| known.ledger.is_balanced())
        );
        drop(aged);
        aged = open(&folder.path().join("some"), bounded());
        compare(&kept, &aged, "deleted, and opened again");
        // Rows that come there later count.
        tiers(&aged, &[(Tier::TEN_SECONDS, Some(0))]);
        very_late(&kept, &aged);
        compare(&kept, &aged, "deleted, and late rows");
    }
}

#[test]
fn a_tier_that_lacks_late_rows_does_not_pass_for_whole_when_all_before_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, aged) = fed(folder.path(), 12, 4, false);
    let [ten, minute, _] = Tier::USUAL;
    tiers(&aged, &[(minute, None)]);
    very_late(&kept, &aged);
    // The finest forgets its first chunks: it begins in the middle of an hour.
    let chunks = uses_of(&aged, ten).chunks;
    let forgets = |minutes: &i64| {
        let age_s = (NOW - START) / SECOND - minutes * 60;
        tiers(&aged, &[(ten, Some(age_s as u64))]);
        uses_of(&aged, ten).chunks < chunks
    };
    let minutes = (1..90).find(forgets).expect("a chunk ends there");
    // Late rows of that hour from before that, which only the coarser one takes.
    let begins = START + minutes * 60 * SECOND;
    let first = begins / HOUR * HOUR;
    let late = |number: i64| Row {
        site: (number % 2) as usize,
        // No other row has this time.
        time: first + (begins - first) / 400 * number + 7,
        x: Some(1.0),
        k: Some(number),
        on: None,
    };
    send(&kept, &aged, &(0..300).map(late).collect::<Vec<_>>());
    let mut sensors = Sensors {
        random: Random(7),
        next: [NOW - HOUR / 2; 2],
    };
    for _ in 0..3 {
        send(&kept, &aged, &sensors.rows(200));
    }
    let sums = |engine: &Arc<Engine>| {
        let by_ten =
            "SELECT time_bucket('10 seconds', time) AS t, count(*), sum(k) FROM m GROUP BY t";
        let (batches, _) = ask(&store(engine), by_ten).expect("an answer");
        let mut sums = [0, 0];
        for batch in batches {
            for row in 0..batch.rows() {
                for (sum, column) in sums.iter_mut().zip(&batch.columns[1..]) {
                    if let crate::query::result::ResultCell::Integer(number) = column.cell(row) {
                        *sum += number;
                    }
                }
            }
        }
        sums
    };
    assert_eq!(sums(&aged), sums(&kept), "with what was before");
    let before = format!("DELETE FROM m WHERE time < {first}");
    for engine in [&kept, &aged] {
        ask(&store(engine), &before).expect("whole buckets");
    }
    assert_eq!(sums(&aged), sums(&kept));
}

#[test]
fn tiers_of_a_dropped_measurement_go_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, aged) = fed(folder.path(), 5, 2, false);
    assert!(uses_of(&aged, Tier::HOUR).chunks > 0);
    ask(&store(&aged), "DROP MEASUREMENT m").expect("known");
    assert_eq!(Tier::USUAL.map(|tier| uses_of(&aged, tier).chunks), [0; 3]);
    aged.checkpoint_everything().expect("checkpoints");
    drop(aged);
    let aged = open(&folder.path().join("some"), bounded());
    assert_eq!(Tier::USUAL.map(|tier| uses_of(&aged, tier).chunks), [0; 3]);
    assert_eq!(aged.opened().problems, [""; 0]);
}

#[test]
fn buckets_of_a_series_without_rows_move_with_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, mut aged) = fed(folder.path(), 30, 3, false);
    let everything = RetentionChange::Class {
        name: "normal".to_owned(),
        importance: None,
        raw_age_s: Some(RetentionBound::At(1)),
        raw_bytes: None,
        rows_per_series: None,
        tiers: Tier::USUAL.map(|tier| (tier, Some(0))).to_vec(),
    };
    let changed = aged.change_retention(&Access::full(), &everything);
    changed.expect("taken");
    aged.seal_all().expect("seals");
    aged.tick().expect("ticks");
    aged.checkpoint_everything().expect("checkpoints");
    drop(aged);
    aged = open(&folder.path().join("some"), bounded());
    let rows = ask(&store(&aged), "SELECT k FROM m").expect("none").1.rows;
    assert_eq!(rows, 0, "there are buckets only");
    // Most of their file dies, and the rest moves.
    let hour = (START / HOUR + 1) * HOUR;
    for hour in [hour, hour + HOUR, hour + 2 * HOUR] {
        for engine in [&kept, &aged] {
            let delete = format!("DELETE FROM m WHERE site = 'a' AND time < {hour}");
            ask(&store(engine), &delete).expect("whole hours");
        }
        aged.checkpoint().expect("checkpoints");
        compare(&kept, &aged, "moved");
    }
}
