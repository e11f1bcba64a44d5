//! What a start found: how much there is, what is lost or doubtful.

use crate::blocks::Damage;
use crate::log::Recovery;

/// What was found when a store was opened.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// Whether the store was made.
    pub created: bool,
    /// Chunks in block files.
    pub chunks: u64,
    /// Rows in them.
    pub chunk_rows: u64,
    /// Series whose open rows came from an image.
    pub images: u64,
    /// Rows applied from the log.
    pub replayed_rows: u64,
    /// Rows of the log that block files already had.
    pub skipped_rows: u64,
    /// What the log said.
    pub log: Recovery,
    /// What is lost or doubtful in block files.
    pub damage: Vec<Damage>,
    /// Whether the power went while a manifest was written: the other one counts, and nothing is lost.
    pub torn_manifest: bool,
    /// What could not be understood, in words, at most 100.
    pub problems: Vec<String>,
    pub(super) state_rewrite_needed: bool,
}

/// Most problems that are listed one by one.
pub const PROBLEMS_MAX: usize = 100;

impl OpenReport {
    /// Whether anything was lost or is doubtful.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || !self.problems.is_empty() || !self.log.corruption.is_empty()
    }

    /// A manifest that does not validate is one that a power cut tore, if the log still holds all that the
    /// other one needs: segments are recycled only behind a manifest that is whole.
    pub(super) fn judge_manifests(&mut self) {
        let whole = self.log.corruption.is_empty() && self.problems.is_empty();
        if whole && self.misses_only_a_manifest() {
            self.torn_manifest = !self.damage.is_empty();
            self.damage.clear();
        }
    }

    /// A commit removes what the one before listed: where all of that is there, the manifest that is not
    /// whole was never in force.
    pub(super) fn misses_only_a_manifest(&self) -> bool {
        let manifest = |damage: &Damage| matches!(damage, Damage::Manifest { .. });
        self.damage.iter().all(manifest)
    }

    pub(super) fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}
