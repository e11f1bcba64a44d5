//! Planted faults: each is found by a wrong row in a run that passes without it.

use edgetimedb::mutants::{Mutant, plant};
use edgetimedb::storage::simulated::Random;

use super::damage::Victim;
use super::losses::{self, Wrong};
use super::model::{Failure, Kind};
use super::run;

/// A planted fault, the seed that finds it, and what kind of run does.
pub struct Planted {
    pub mutant: Mutant,
    pub seed: u64,
    kind: RunKind,
}

/// What it takes to find a fault.
#[derive(Clone, Copy)]
enum RunKind {
    Cuts,
    Flips,
    Faulty(Wrong),
}

const fn planted(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Cuts;
    Planted { mutant, seed, kind }
}

const fn damaged(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Flips;
    Planted { mutant, seed, kind }
}

const fn faulty(mutant: Mutant, seed: u64, wrong: Wrong) -> Planted {
    let kind = RunKind::Faulty(wrong);
    Planted { mutant, seed, kind }
}

/// All of them.
pub const PLANTED: [Planted; 16] = [
    planted(Mutant::SkippedSync, 120),
    planted(Mutant::EarlyAcknowledgement, 0),
    planted(Mutant::FrozenEpoch, 6),
    planted(Mutant::RecycledBeforeManifest, 321),
    planted(Mutant::RecycledAboveCheckpoint, 28),
    planted(Mutant::NoFolderSync, 3),
    planted(Mutant::NoFileSync, 1),
    planted(Mutant::RetriedSync, 30),
    damaged(Mutant::DurableStuck, 0),
    planted(Mutant::UnseededFrames, 13),
    planted(Mutant::UncheckedManifest, 114),
    damaged(Mutant::ReplayedTwice, 0),
    planted(Mutant::DroppedChunk, 1),
    planted(Mutant::DroppedImage, 1),
    planted(Mutant::UnsyncedRestart, 6),
    faulty(Mutant::UnreadIgnored, 32, Wrong::Reads),
    planted(Mutant::ForgottenDeletion, 371),
];

impl Planted {
    /// Runs a seed on this thread, with or without the fault.
    pub fn run(&self, seed: u64, with: bool) -> Result<(), Failure> {
        plant(with.then_some(self.mutant));
        let result = match self.kind {
            RunKind::Cuts => run::run(seed, false).map(|_| ()),
            RunKind::Flips => flips(seed),
            RunKind::Faulty(wrong) => losses::run(seed, wrong, false).map(|_| ()),
        };
        plant(None);
        result
    }

    /// Whether a seed shows the fault in the rows, and nothing without it.
    pub fn is_found_by(&self, seed: u64) -> bool {
        let found = self.run(seed, true).is_err_and(|failure| {
            matches!(failure.kind, Kind::Lost | Kind::Invented | Kind::Wrong)
        });
        found && self.run(seed, false).is_ok()
    }
}

fn flips(seed: u64) -> Result<(), Failure> {
    let victim = Victim::new(seed)?;
    let mut random = Random::new(seed);
    for _ in 0..20 {
        victim.flip(&mut random)?;
    }
    Ok(())
}
