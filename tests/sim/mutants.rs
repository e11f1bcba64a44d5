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

const fn of(kind: RunKind, mutant: Mutant, seed: u64) -> Planted {
    Planted { mutant, seed, kind }
}

use RunKind::{Counts, Cuts, Faulty, Flips, Policies, Rollups, Tokens};

/// All of them.
pub const PLANTED: [Planted; 28] = [
    of(Cuts, Mutant::SkippedSync, 88),
    of(Cuts, Mutant::EarlyAcknowledgement, 2),
    of(Cuts, Mutant::FrozenEpoch, 13),
    of(Cuts, Mutant::UnsyncedHeader, 22534),
    of(Cuts, Mutant::RecycledBeforeManifest, 239),
    of(Cuts, Mutant::RecycledAboveCheckpoint, 157),
    of(Cuts, Mutant::NoFolderSync, 3),
    of(Cuts, Mutant::NoFileSync, 3),
    of(Cuts, Mutant::RetriedSync, 62),
    of(Flips, Mutant::DurableStuck, 1),
    of(Cuts, Mutant::UnseededFrames, 0),
    of(Cuts, Mutant::UncheckedManifest, 1254),
    of(Flips, Mutant::ReplayedTwice, 6),
    of(Cuts, Mutant::DroppedChunk, 0),
    of(Cuts, Mutant::DroppedImage, 0),
    of(Cuts, Mutant::UnsyncedRestart, 4),
    of(Faulty(Wrong::Reads), Mutant::UnreadIgnored, 38),
    of(Cuts, Mutant::ForgottenDeletion, 688),
    of(Cuts, Mutant::ForgottenExpiry, 5),
    of(Counts, Mutant::CountedTwice, 0),
    of(Counts, Mutant::CountedNever, 0),
    of(Counts, Mutant::CountedMoved, 1),
    of(Counts, Mutant::RetiredUnsettled, 81),
    of(Policies, Mutant::ForgottenPolicy, 0),
    of(Rollups, Mutant::ForgottenBuckets, 0),
    of(Rollups, Mutant::RolledTwice, 0),
    of(Rollups, Mutant::KeptBuckets, 0),
    of(Tokens, Mutant::ForgottenTokens, 0),
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
