//! Random questions to a store, to a naive evaluator and to SQLite, while rows are written late, overwritten and deleted,
//! chunks sealed, checkpoints written, and the store is started again.
//!
//! `EDGETIME_QUERIES` is how many are asked, `EDGETIME_QUERIES_SEED` where they begin; a failure prints its seed.

mod generate;
mod naive;
mod question;
mod random;
mod sqlite;
mod value;
mod world;

use naive::{Cell, Overflow};
use question::Question;
use random::Random;
use sqlite::Sqlite;
use value::Value;
use world::World;

/// Questions to one store before the next one begins.
const PER_WORLD: usize = 200;
/// Questions between two things that happen to a store.
const PER_ROUND: usize = 25;

#[test]
fn answers_are_those_of_plain_vectors_and_of_sqlite() {
    let count = variable("EDGETIME_QUERIES").unwrap_or(2_000) as usize;
    let first = variable("EDGETIME_QUERIES_SEED").unwrap_or(1);
    println!("{count} questions from seed {first} on");
    let mut tally = Tally::default();
    let worlds = count.div_ceil(PER_WORLD);
    for seed in (first..).take(worlds) {
        one_world(seed, PER_WORLD.min(count), &mut tally);
    }
    println!("{tally:?}");
    // Not all is vain: most have an answer, many have rows, and SQLite has a say.
    assert!(tally.asked >= count);
    assert!(tally.overflows * 10 < tally.asked, "{tally:?}");
    assert!(tally.with_rows * 2 > tally.asked, "{tally:?}");
    assert!(tally.by_sqlite * 10 > tally.asked, "{tally:?}");
    assert!(
        tally.parts_found > 100 && tally.parts_gone > 10,
        "{tally:?}"
    );
}

#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    overflows: usize,
    with_rows: usize,
    by_sqlite: usize,
    /// Parts that the cache of one store found, and that it found not to hold any more, at most.
    parts_found: u64,
    parts_gone: u64,
}

fn one_world(seed: u64, count: usize, tally: &mut Tally) {
    let mut random = Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut world = World::new(&mut random);
    // Some are asked again after something has happened, when the cache knows them.
    let mut asked: Vec<Question> = Vec::new();
    for _ in 0..count.div_ceil(PER_ROUND) {
        world.happen(&mut random);
        let rows = world.rows();
        let sqlite = (!world.wild).then(|| Sqlite::new(&rows));
        for _ in 0..PER_ROUND {
            let question = if !asked.is_empty() && random.once_in(3) {
                asked[random.below(asked.len())].clone()
            } else {
                generate::question(&mut random)
            };
            asked.push(question.clone());
            let text = question.sql(false).expect("the server takes all");
            let context = || format!("EDGETIME_QUERIES_SEED={seed} EDGETIME_QUERIES=1: {text}");
            let found = world.ask(&text);
            tally.asked += 1;
            let cached = [world.ask_cached(&text), world.ask_cached(&text)];
            let expected = match (naive::answer(&question, &rows), &found) {
                (Ok(expected), _) => expected,
                (Err(_), Err(error)) if error.contains("overflows") => {
                    tally.overflows += 1;
                    continue;
                }
                // The server looked at fewer rows.
                (Err(Overflow::Row), Ok(_)) => {
                    tally.overflows += 1;
                    continue;
                }
                (Err(Overflow::Total), Ok(_)) if question.limit.is_some() => continue,
                (Err(overflow), _) => panic!("{}\n{overflow:?}, but {found:?}", context()),
            };
            let found = found.unwrap_or_else(|error| panic!("{}\n{error}", context()));
            if let Err(difference) = compare(&found, &expected) {
                panic!("{}\n{difference}", context());
            }
            for cached in cached {
                let cached =
                    cached.unwrap_or_else(|error| panic!("{}\ncached: {error}", context()));
                if let Err(difference) = compare(&cached, &expected) {
                    panic!("{}\ncached: {difference}", context());
                }
            }
            tally.with_rows += usize::from(!found.is_empty());
            if let (Some(sqlite), Some(text)) = (&sqlite, question.sql(true)) {
                tally.by_sqlite += 1;
                let theirs = sqlite.ask(&text);
                if let Err(difference) = sqlite::compare(&theirs, &expected) {
                    panic!("{}\nSQLite: {text}\n{difference}", context());
                }
            }
        }
        if random.once_in(4) {
            let (found, gone) = world.found();
            tally.parts_found = tally.parts_found.max(found);
            tally.parts_gone = tally.parts_gone.max(gone);
        }
    }
}

/// What differs first.
fn compare(found: &[Vec<Value>], expected: &[Vec<Cell>]) -> Result<(), String> {
    if found.len() != expected.len() {
        let (found, expected) = (found.len(), expected.len());
        return Err(format!("{found} rows, expected {expected}"));
    }
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, expected)| is(found, expected));
        if !same {
            return Err(format!("row {row}: {found:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

/// Whether a value is the expected one: doubles within 1e-12 of what they were made of, all else exactly.
fn is(found: &Value, Cell(expected, size): &Cell) -> bool {
    match (found, expected) {
        (Value::Float(a), Value::Float(b)) => {
            a == b
                || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(*size)
                || (!size.is_finite() && !a.is_finite())
        }
        _ => found == expected,
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
