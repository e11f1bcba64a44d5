//! Seeded simulation: the whole store on a disk that loses power, against plain maps.
//!
//! A failing run prints its seed; `EDGETIME_SIM_SEED=N cargo test --test sim one_seed` replays it.

mod check;
mod damage;
mod done;
mod kills;
mod losses;
mod model;
mod mutants;
mod plan;
mod policies;
mod producers;
mod rollups;
mod run;
mod schedules;
mod threads;
mod tokens;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use done::Done;
use edgetimedb::mutants::{Mutant, plant};
use edgetimedb::storage::simulated::Random;
use model::Failure;

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
fn every_batch_of_a_producer_is_there_once() {
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    let runs = number("EDGETIME_SIM_PRODUCERS").unwrap_or(PRODUCER_RUNS);
    let mut total = producers::Done::default();
    for seed in first..first + runs {
        match producers::run(seed) {
            Ok(done) => total.add(done),
            Err(fault) => panic!("seed {seed}: {fault}"),
        }
    }
    println!("{runs} runs, {total:?}");
    assert!(
        total.duplicates > runs && total.overwritten > runs,
        "{total:?}"
    );
}

#[test]
fn faults_planted_in_what_is_known_of_producers_are_found() {
    for mutant in [
        Mutant::MarkedApart,
        Mutant::ForgottenProducers,
        Mutant::UnsyncedProducers,
    ] {
        plant(Some(mutant));
        let found = (0..SEEDS_SEARCHED).find(|seed| producers::run(*seed).is_err());
        plant(None);
        println!("{mutant:?}: seed {found:?}");
        let seed = found.unwrap_or_else(|| panic!("{mutant:?} is found by no seed"));
        producers::run(seed).expect("a run without the fault");
    }
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
fn reads_that_fail_take_nothing_away_and_no_loss_is_silent() {
    let met = faulty(losses::Wrong::Reads);
    assert!(
        met.refused > 0 && met.missing > 0 && met.back > 0,
        "{met:?}"
    );
}

#[test]
fn syncs_that_lie_lose_nothing_in_silence_that_something_knew_to_be_durable() {
    let met = faulty(losses::Wrong::Lies);
    assert!(met.missing > 0, "{met:?}");
}

#[test]
fn old_sectors_never_bring_back_old_rows_in_silence() {
    let met = faulty(losses::Wrong::Stale);
    assert!(met.missing > 0, "{met:?}");
}

#[test]
fn a_retention_policy_lasts_as_it_was_acknowledged() {
    let mut met = policies::Met::default();
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    for seed in first..first + number("EDGETIME_SIM_POLICIES").unwrap_or(POLICIES) {
        match policies::run(seed) {
            Ok(run) => met.add(run),
            Err(failure) => panic!("seed {seed}: {:?}: {}", failure.kind, failure.text),
        }
    }
    assert!(met.changes > 0 && met.unpromised > 0, "{met:?}");
    println!("{met:?}");
}

#[test]
fn tokens_and_what_they_own_last_as_they_were_acknowledged() {
    let mut met = tokens::Met::default();
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    for seed in first..first + number("EDGETIME_SIM_TOKENS").unwrap_or(TOKENS) {
        match tokens::run(seed) {
            Ok(run) => met.add(run),
            Err(failure) => panic!("seed {seed}: {:?}: {}", failure.kind, failure.text),
        }
    }
    assert!(met.made > 0 && met.revoked > 0, "{met:?}");
    assert!(met.unpromised > 0 && met.owned > 0, "{met:?}");
    println!("{met:?}");
}

#[test]
fn a_row_that_left_counts_once_whatever_was_cut_off() {
    let mut met = rollups::Met::default();
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    for seed in first..first + number("EDGETIME_SIM_ROLLUPS").unwrap_or(ROLLUPS) {
        match rollups::run(seed) {
            Ok(run) => met.add(run),
            Err(failure) => panic!("seed {seed}: {:?}: {}", failure.kind, failure.text),
        }
    }
    assert!(
        met.buckets > 0 && met.deleted > 0 && met.filled > 0,
        "{met:?}"
    );
    println!("{met:?}");
}

#[test]
fn every_planted_fault_is_found() {
    for planted in &mutants::PLANTED {
        let mutant = planted.mutant;
        if planted.is_found_by(planted.seed) {
            continue;
        }
        // The product has changed, and with it what a seed does.
        let found = (0..SEEDS_SEARCHED).find(|seed| planted.is_found_by(*seed));
        println!("{mutant:?}: seed {} has become {found:?}", planted.seed);
        assert!(
            found.is_some(),
            "{mutant:?} is found by no seed below {SEEDS_SEARCHED}"
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

#[test]
fn a_small_store_cut_off_anywhere_starts_and_loses_nothing_in_silence() {
    each_change(&|victim, name, used, total| {
        for len in (0..=used).chain((used..total).step_by(4_096)) {
            let cut = victim.damage(name, |bytes| bytes.truncate(len));
            cut.map_err(|failure| (format!("{len} bytes"), failure))?;
        }
        Ok(())
    });
}

#[test]
fn every_bit_of_headers_and_manifests_may_flip() {
    each_change(&|victim, name, used, _| {
        let bytes = if name.contains(".segment") {
            // Both copies.
            (0..76).chain(2_048..2_048 + 76).collect::<Vec<_>>()
        } else if name.starts_with("MANIFEST") {
            (0..used).collect()
        } else {
            (0..28.min(used)).collect()
        };
        for bit in bytes
            .iter()
            .flat_map(|at| (0..8).map(move |bit| at * 8 + bit))
        {
            let flipped = victim.damage(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            flipped.map_err(|failure| (format!("bit {bit}"), failure))?;
        }
        Ok(())
    });
}

#[test]
fn whatever_threads_do_meanwhile_nothing_counts_as_durable_that_is_not() {
    let mut total = threads::Turns::default();
    let mut run = |seed: u64| {
        let turns = threads::run(seed)?;
        total.units += turns.units;
        total.failures += turns.failures;
        Ok::<(), String>(())
    };
    for seed in 0..number("EDGETIME_SIM_TURNS").unwrap_or(TURNS) {
        if let Err(fault) = run(seed) {
            panic!("seed {seed}: {fault}");
        }
    }
    plant(Some(Mutant::EarlyAcknowledgement));
    let found = (0..TURNS).find(|seed| run(*seed).is_err());
    plant(None);
    assert!(found.is_some(), "an early acknowledgement is not found");
    assert!(total.units > 1_000 && total.failures > 10, "{total:?}");
}

#[test]
fn no_schedule_acknowledges_what_is_not_synced_or_leaves_somebody_waiting() {
    let schedules = number("EDGETIME_SIM_SCHEDULES").unwrap_or(SCHEDULES) as usize;
    schedules::run_all(schedules);
    plant(Some(Mutant::EarlyAcknowledgement));
    let found = std::panic::catch_unwind(|| schedules::run_all(schedules));
    plant(None);
    assert!(found.is_err(), "an early acknowledgement is not found");
}

#[test]
fn a_process_killed_anywhere_in_a_checkpoint_leaves_what_a_cut_behind_it_keeps() {
    let calls = kills::every_call().unwrap_or_else(|text| panic!("{text}"));
    assert!(calls > 5, "a checkpoint of {calls} calls");
    plant(Some(Mutant::UnsyncedRestart));
    let found = kills::every_call();
    plant(None);
    assert!(
        found.is_err(),
        "a manifest that no sync has seen is not found"
    );
}

/// Changes a file of so many bytes, the used ones first, in every way.
type Change<'a> =
    &'a (dyn Fn(&damage::Victim, &str, usize, usize) -> Result<(), (String, Failure)> + Sync);

/// Changes every file of some small stores.
fn each_change(change: Change<'_>) {
    let mut seeds = 0;
    for seed in 0.. {
        let victim = damage::Victim::small(seed);
        let victim = victim.unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}"));
        if !victim.is_of_all_kinds() {
            continue;
        }
        std::thread::scope(|scope| {
            for (name, used, total) in victim.files() {
                let victim = &victim;
                scope.spawn(move || {
                    if let Err((what, failure)) = change(victim, &name, used, total) {
                        let (kind, text) = (failure.kind, failure.text);
                        panic!("seed {seed}, {name}, {what}: {kind:?}: {text}");
                    }
                });
            }
        });
        seeds += 1;
        if seeds == number("EDGETIME_SIM_STORES").unwrap_or(SMALL_STORES) {
            break;
        }
    }
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
                    let before = cut.fetch_add(done.cuts, Ordering::Relaxed);
                    total.lock().expect("nobody panicked").add(done);
                    if (before + done.cuts) / TOLD_EVERY > before / TOLD_EVERY {
                        println!("{} cuts, up to seed {seed}", before + done.cuts);
                    }
                }
            });
        }
    });
    let total = *total.lock().expect("nobody panicked");
    (total, next.into_inner() - first)
}

/// Runs seeds on a disk that does something wrong.
fn faulty(wrong: losses::Wrong) -> losses::Met {
    let mut total = losses::Met::default();
    let first = number("EDGETIME_SIM_FIRST").unwrap_or(0);
    let asked = number("EDGETIME_SIM_SEED");
    let seeds = first..first + number("EDGETIME_SIM_FAULTY").unwrap_or(FAULTY);
    for seed in asked.map_or(seeds, |seed| seed..seed + 1) {
        match losses::run(seed, wrong, asked.is_some()) {
            Ok(met) => total.add(met),
            Err(failure) => {
                let (kind, text) = (failure.kind, failure.text);
                panic!("{wrong:?}, seed {seed}: {kind:?}: {text}");
            }
        }
    }
    println!("{wrong:?}: {total:?}");
    total
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

/// Power cuts after which a long run says where it is.
const TOLD_EVERY: u64 = 10_000;
/// Schedules of threads, of each kind.
const SCHEDULES: u64 = 1_000;
/// Interleavings of threads.
const TURNS: u64 = 300;
/// Small stores that are damaged byte by byte.
const SMALL_STORES: u64 = 1;
/// Runs of producers whose batches are sent again.
const PRODUCER_RUNS: u64 = 3_000;
/// Seeds that are tried for a planted fault whose own one no longer shows it.
const SEEDS_SEARCHED: u64 = 2_000;
/// Flips in every run of the tests, and how many each store takes.
const FLIPS: u64 = 1_000;
const FLIPS_OF_ONE: u64 = 20;
/// Runs on a disk that fails reads, that lies, and that serves old sectors.
const FAULTY: u64 = 50;
/// Runs in which the retention policy changes.
const POLICIES: u64 = 60;
/// Runs in which tokens are made and revoked.
const TOKENS: u64 = 60;
/// Runs in which rows leave for buckets.
const ROLLUPS: u64 = 150;
/// Power cuts in every run of the tests.
const CUTS: u64 = 20_000;
