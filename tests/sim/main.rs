//! Seeded simulation: the whole store on a disk that loses power, against plain maps.
//!
//! A failing run prints its seed; `EDGETIME_SIM_SEED=N cargo test --test sim one_seed` replays it.

mod check;
mod damage;
mod model;
mod mutants;
mod plan;
mod run;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use edgetimedb::storage::simulated::Random;
use model::Failure;
use run::Done;

#[test]
fn no_power_cut_loses_or_invents_a_row() {
    let wanted = number("EDGETIME_SIM_CUTS").unwrap_or(CUTS);
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    let began = Instant::now();
    let (done, seeds) = until(first, wanted);
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{seeds} runs, {done:?}: {:.0} cuts a second",
        done.cuts as f64 / seconds
    );
}

#[test]
fn one_seed_is_one_run() {
    let asked = number("EDGETIME_SIM_SEED");
    let seed = asked.unwrap_or(7);
    let [first, second] = [0, 1].map(|_| run::run(seed, asked.is_some()));
    let (first, second) = (expect(seed, first), expect(seed, second));
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn every_planted_fault_is_found() {
    let search = number("EDGETIME_SIM_SEARCH");
    for planted in &mutants::PLANTED {
        let mutant = planted.mutant;
        if let Some(seeds) = search {
            let found = (0..seeds).find(|seed| planted.is_found_by(*seed));
            println!("{mutant:?}: {found:?}");
            continue;
        }
        assert!(
            planted.is_found_by(planted.seed),
            "{mutant:?}, seed {}",
            planted.seed
        );
    }
}

#[test]
fn flipped_bits_never_alter_a_row_and_no_loss_is_silent() {
    let flips = number("EDGETIME_SIM_FLIPS").unwrap_or(FLIPS);
    let mut total = damage::Outcome::default();
    let mut seed = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    while total.damaged < flips {
        let victim = damage::Victim::new(seed);
        let victim = victim.unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}"));
        let mut random = Random::new(seed);
        for _ in 0..FLIPS_OF_ONE {
            match victim.flip(&mut random) {
                Ok(outcome) => total.add(outcome),
                Err(failure) => panic!("seed {seed}: {:?}: {}", failure.kind, failure.text),
            }
        }
        seed += 1;
    }
    assert!(total.reported > 0 && total.whole > 0, "{total:?}");
    println!("{total:?}");
}

/// Runs seeds on all cores until they have cut the power so often.
fn until(first: u64, cuts: u64) -> (Done, u64) {
    let next = AtomicU64::new(first);
    let cut = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Done::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while cut.load(Ordering::Relaxed) < cuts && !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let result = run::run(seed, false);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    let done = expect(seed, result);
                    cut.fetch_add(done.cuts, Ordering::Relaxed);
                    total.lock().expect("nobody panicked").add(done);
                }
            });
        }
    });
    let total = *total.lock().expect("nobody panicked");
    (total, next.into_inner() - first)
}

fn expect(seed: u64, result: Result<Done, Failure>) -> Done {
    match result {
        Ok(done) => done,
        Err(failure) => panic!("seed {seed}: {:?}: {}", failure.kind, failure.text),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Flips in every run of the tests, and how many each store takes.
const FLIPS: u64 = 1_000;
const FLIPS_OF_ONE: u64 = 20;
/// Power cuts in every run of the tests.
const CUTS: u64 = 20_000;
