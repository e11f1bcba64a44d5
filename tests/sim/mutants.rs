//! Planted faults: each is found by a wrong row in a run that passes without it.

use edgetimedb::mutants::{Mutant, plant};
use edgetimedb::storage::simulated::Random;

use super::damage::Victim;
use super::model::{Failure, Kind};
use super::run;

/// A planted fault, the seed that finds it, and whether it takes damage to find it.
pub struct Planted {
    pub mutant: Mutant,
    pub seed: u64,
    pub damaged: bool,
}

const fn planted(mutant: Mutant, seed: u64) -> Planted {
    Planted {
        mutant,
        seed,
        damaged: false,
    }
}

const fn damaged(mutant: Mutant, seed: u64) -> Planted {
    Planted {
        mutant,
        seed,
        damaged: true,
    }
}

/// All of them.
pub const PLANTED: [Planted; 16] = [
    planted(Mutant::SkippedSync, 92),
    planted(Mutant::EarlyAcknowledgement, 2),
    planted(Mutant::FrozenEpoch, 9),
    planted(Mutant::RecycledBeforeManifest, 239),
    planted(Mutant::RecycledAboveCheckpoint, 157),
    planted(Mutant::NoFolderSync, 0),
    planted(Mutant::NoFileSync, 3),
    planted(Mutant::RetriedSync, 13),
    damaged(Mutant::DurableStuck, 0),
    planted(Mutant::UnseededFrames, 3),
    planted(Mutant::UncheckedManifest, 1380),
    damaged(Mutant::ReplayedTwice, 6),
    planted(Mutant::DroppedChunk, 0),
    planted(Mutant::DroppedImage, 0),
    planted(Mutant::UnsyncedRestart, 4),
    planted(Mutant::ForgottenDeletion, 371),
];

impl Planted {
    /// Runs a seed on this thread, with or without the fault.
    pub fn run(&self, seed: u64, with: bool) -> Result<(), Failure> {
        plant(with.then_some(self.mutant));
        let result = if self.damaged {
            flips(seed)
        } else {
            run::run(seed, false).map(|_| ())
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
