//! Work that no writer waits for: expiry, sealing by age, checkpoints, the metadata index.

use crate::blocks::ChunkEntry;
use crate::engine::{CheckpointReport, Engine, EngineError};
use crate::series::{Location, Sealed};

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Rows that expired.
    pub expired_rows: u64,
    /// Rows that were evicted.
    pub evicted_rows: u64,
    /// Series whose open chunk was sealed because of its age.
    pub sealed_series: usize,
    /// The checkpoint, if the log was full enough for one.
    pub checkpoint: Option<CheckpointReport>,
}

impl Engine {
    /// Whether a checkpoint is due: half of the log is in use.
    pub fn checkpoint_is_due(&self) -> bool {
        let usage = self.log.usage();
        usage.used_bytes * 2 > usage.capacity_bytes
    }

    /// Does what is due. Called every second or so.
    pub fn tick(&self) -> Result<TickReport, EngineError> {
        let mut report = TickReport::default();
        self.note_damage(&self.blocks.take_damage());
        self.retire(&mut report)?;
        report.evicted_rows += self.trim_rejects()?;
        if report.expired_rows > 0 {
            self.space.note_expired();
        }
        if self.checkpoint_is_due() {
            report.checkpoint = Some(self.checkpoint_in_passing()?);
        }
        self.index_some();
        Ok(report)
    }

    /// Seals every series, so that all rows are in sealed chunks.
    pub fn seal_all(&self) -> Result<usize, EngineError> {
        let mut sealed = 0;
        for shard in &self.shards {
            let mut shard = shard.write();
            for slot in 0..shard.len() {
                let (series, scratch) = shard.series_and_scratch(slot);
                sealed += usize::from(series.seal(scratch)?);
            }
        }
        Ok(sealed)
    }

    /// Expires by age, evicts by rows, seals what has been open for too long.
    pub(super) fn retire(&self, report: &mut TickReport) -> Result<(), EngineError> {
        let bounds = self.time_bounds();
        let seal_before = self
            .server_time()
            .now
            .saturating_sub(self.options.chunk_age_max_ns);
        let rejected = self.series_of_rejects().concat();
        for (index, shard) in self.shards.iter().enumerate() {
            let slots = shard.read().len();
            for slot in 0..slots {
                let rows_max = if rejected.contains(&self.placement.id(index, slot)) {
                    self.options.rejected_rows_max
                } else {
                    self.options.rows_per_series_max
                };
                let due = shard.read().get(slot).is_some_and(|series| {
                    let old = series
                        .ring
                        .iter()
                        .any(|chunk| chunk.last_time < bounds.horizon);
                    let ring = &series.ring;
                    let rows = ring.rows().saturating_sub(ring.hidden_rows_max());
                    let many = rows_max > 0 && rows > rows_max;
                    let stale = !series.is_sealed()
                        && series.newest().is_none_or(|newest| newest < seal_before);
                    old || many || stale
                });
                if !due {
                    continue;
                }
                let mut shard = shard.write();
                let (series, scratch) = shard.series_and_scratch(slot);
                let stale = series.newest().is_none_or(|newest| newest < seal_before);
                if stale && series.seal(scratch)? {
                    report.sealed_series += 1;
                }
                let expired = series.ring.expire(bounds.horizon);
                let evicted = if rows_max > 0 {
                    let hidden = series.ring.hidden_rows_max();
                    series.ring.evict(rows_max + hidden)
                } else {
                    Vec::new()
                };
                let (expired, evicted) = (self.release(&expired), self.release(&evicted));
                shard.counts.expired += expired;
                shard.counts.evicted += evicted;
                report.expired_rows += expired;
                report.evicted_rows += evicted;
            }
        }
        Ok(())
    }

    pub(super) fn release(&self, chunks: &[Sealed<ChunkEntry>]) -> u64 {
        for chunk in chunks {
            if let Location::Stored(entry) = &chunk.location {
                self.blocks.release(entry);
            }
        }
        let shown = |chunk: &Sealed<ChunkEntry>| chunk.rows.saturating_sub(chunk.hidden_rows());
        chunks.iter().map(|chunk| u64::from(shown(chunk))).sum()
    }
}
