//! Planted faults: each is found by a wrong row in a run that passes without it.

use edgetimedb::mutants::{Mutant, plant};
use edgetimedb::storage::simulated::Random;

use super::damage::Victim;
use super::losses::{self, Wrong};
use super::model::{Failure, Kind};
use super::run;
use super::{policies, rollups, tokens};

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
    /// As cuts, and the ledger shows it.
    Counts,
    Flips,
    Policies,
    Rollups,
    Tokens,
    Faulty(Wrong),
}

const fn planted(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Cuts;
    Planted { mutant, seed, kind }
}

const fn counted(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Counts;
    Planted { mutant, seed, kind }
}

const fn damaged(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Flips;
    Planted { mutant, seed, kind }
}

const fn of_policies(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Policies;
    Planted { mutant, seed, kind }
}

const fn rolled(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Rollups;
    Planted { mutant, seed, kind }
}

const fn of_tokens(mutant: Mutant, seed: u64) -> Planted {
    let kind = RunKind::Tokens;
    Planted { mutant, seed, kind }
}

const fn faulty(mutant: Mutant, seed: u64, wrong: Wrong) -> Planted {
    let kind = RunKind::Faulty(wrong);
    Planted { mutant, seed, kind }
}

/// All of them.
pub const PLANTED: [Planted; 27] = [
    planted(Mutant::SkippedSync, 88),
    planted(Mutant::EarlyAcknowledgement, 2),
    planted(Mutant::FrozenEpoch, 13),
    planted(Mutant::UnsyncedHeader, 22534),
    planted(Mutant::RecycledBeforeManifest, 239),
    planted(Mutant::RecycledAboveCheckpoint, 157),
    planted(Mutant::NoFolderSync, 3),
    planted(Mutant::NoFileSync, 3),
    planted(Mutant::RetriedSync, 62),
    damaged(Mutant::DurableStuck, 1),
    planted(Mutant::UnseededFrames, 0),
    planted(Mutant::UncheckedManifest, 1254),
    damaged(Mutant::ReplayedTwice, 6),
    planted(Mutant::DroppedChunk, 0),
    planted(Mutant::DroppedImage, 0),
    planted(Mutant::UnsyncedRestart, 4),
    faulty(Mutant::UnreadIgnored, 38, Wrong::Reads),
    planted(Mutant::ForgottenDeletion, 688),
    planted(Mutant::ForgottenExpiry, 5),
    counted(Mutant::CountedTwice, 0),
    counted(Mutant::CountedNever, 0),
    counted(Mutant::CountedMoved, 1),
    counted(Mutant::RetiredUnsettled, 81),
    of_policies(Mutant::ForgottenPolicy, 0),
    rolled(Mutant::ForgottenBuckets, 0),
    rolled(Mutant::RolledTwice, 0),
    of_tokens(Mutant::ForgottenTokens, 0),
];

impl Planted {
    /// Runs a seed on this thread, with or without the fault.
    pub fn run(&self, seed: u64, with: bool) -> Result<(), Failure> {
        plant(with.then_some(self.mutant));
        let result = match self.kind {
            RunKind::Cuts | RunKind::Counts => run::run(seed, false).map(|_| ()),
            RunKind::Flips => flips(seed),
            RunKind::Rollups => rollups::run(seed).map(|_| ()),
            RunKind::Policies => policies::run(seed).map(|_| ()),
            RunKind::Tokens => tokens::run(seed).map(|_| ()),
            RunKind::Faulty(wrong) => losses::run(seed, wrong, false).map(|_| ()),
        };
        plant(None);
        result
    }

    /// Whether a seed shows the fault in the rows, or in the ledger, and nothing without it.
    pub fn is_found_by(&self, seed: u64) -> bool {
        let of_counts = matches!(self.kind, RunKind::Counts);
        let found = self
            .run(seed, true)
            .is_err_and(|failure| match failure.kind {
                Kind::Lost | Kind::Invented | Kind::Wrong => !of_counts,
                Kind::Ledger => of_counts,
                _ => false,
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
