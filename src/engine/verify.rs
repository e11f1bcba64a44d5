//! Reads everything a running store has on its device, and says what is not as it was written.

use crate::blocks::{ChunkEntry, ImageRecord, Visitor, walk};
use crate::codec::{Cells, CodecError, chunk::Chunk};
use crate::engine::persisted::STATE_DEFINITIONS;
use crate::engine::producers::is_record;
use crate::engine::retention::{self, STATE_POLICY};
use crate::engine::{Engine, EngineError, Loss, RetentionPolicy, STATE_TOKENS};
use crate::log::definitions;
use crate::log::deletion::Deletion;
use crate::log::expiry::Expiry;
use crate::log::producer::ProducerMark;
use crate::log::rows::RowsPayload;
use crate::log::token::{TokenChange, TokenList};
use crate::log::{FrameType, scan};
use crate::types::Position;

/// What was read, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Chunks of block files.
    pub chunks: u64,
    /// Rows in them.
    pub chunk_rows: u64,
    /// Images of unsealed rows.
    pub images: u64,
    /// Frames of the log.
    pub frames: u64,
    /// Everything that is not as it was written, in words.
    pub damage: Vec<String>,
    /// What was lost before and nobody has taken note of, and what became so now.
    pub losses: Vec<Loss>,
}

impl VerifyReport {
    /// Whether all is there and as it was written.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.losses.is_empty()
    }
}

/// Gathers what a walk tells.
#[derive(Default)]
struct Seen {
    report: VerifyReport,
    entries: Vec<ChunkEntry>,
}

impl Visitor for Seen {
    fn state(&mut self, kind: u8, payload: &[u8]) {
        if kind == STATE_DEFINITIONS
            && let Err(error) = definitions::decode(payload, |_| {})
        {
            self.report.damage.push(format!("state file: {error}"));
        }
        if kind == STATE_POLICY
            && let Err(error) = retention::decode_record(payload)
        {
            self.report.damage.push(format!("state file: {error}"));
        }
        if kind == STATE_TOKENS
            && let Err(error) = TokenList::decode(payload)
        {
            self.report.damage.push(format!("state file: {error}"));
        }
    }

    fn chunk(&mut self, entry: &ChunkEntry) {
        self.entries.push(*entry);
    }

    fn deletion(&mut self, payload: &[u8]) -> bool {
        let payload = payload.get(size_of::<Position>()..).unwrap_or_default();
        Deletion::decode(payload).is_ok()
    }

    fn expiry(&mut self, payload: &[u8]) -> bool {
        let payload = payload.get(size_of::<Position>()..).unwrap_or_default();
        Expiry::decode(payload).is_ok()
    }

    fn producers(&mut self, payload: &[u8]) -> bool {
        is_record(payload)
    }

    fn image(&mut self, image: ImageRecord<'_>) {
        self.report.images += 1;
        if let Err(error) = decode(image.bytes) {
            let series = image.series;
            self.report
                .damage
                .push(format!("image of series {series}: {error}"));
        }
    }
}

impl Engine {
    /// Reads and decodes manifests, state, images, every chunk, and the durable part of the log. Changes
    /// nothing; checkpoints wait, but not while chunks are read. Damaged chunks become losses.
    pub fn verify(&self) -> Result<VerifyReport, EngineError> {
        let persisted = self.persisted.lock();
        let pin = self.blocks.pin();
        let mut seen = Seen::default();
        let walked = walk(&*self.storage, false, &mut seen)?;
        let Seen {
            mut report,
            entries,
        } = seen;
        let replay_from = walked
            .current
            .map_or(Position(0), |manifest| manifest.info.replay_from);
        self.verify_log(replay_from, &mut report)?;
        drop(persisted);
        let mut damage = walked.damage;
        for entry in &entries {
            match self
                .blocks
                .read_chunk_uncached(entry)
                .map(|bytes| decode(&bytes))
            {
                Ok(Ok(rows)) => {
                    report.chunks += 1;
                    report.chunk_rows += rows as u64;
                }
                Ok(Err(error)) => {
                    let (name, offset) = (entry.file.name(), entry.offset);
                    report
                        .damage
                        .push(format!("{name}: chunk at byte {offset}: {error}"));
                }
                // Reads that meet damage note it; whatever else it is, it is said here.
                Err(error) if self.blocks.has_met_damage() => {
                    tracing::debug!(%error, "while verifying");
                    damage.extend(self.blocks.take_damage());
                }
                Err(error) => report.damage.push(error.to_string()),
            }
        }
        drop(pin);
        self.note_damage(&damage);
        report.damage.extend(damage.iter().map(ToString::to_string));
        report.losses = self.losses();
        Ok(report)
    }

    /// What was durable before it began: frames behind that may be half written when they are read.
    fn verify_log(
        &self,
        replay_from: Position,
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let durable = self.log.durable();
        let store = Some(self.blocks.store());
        let scanned = scan(&*self.storage, store, replay_from, &mut |frame| {
            if frame.end > durable {
                return Ok(());
            }
            report.frames += 1;
            if frame.kind == Some(FrameType::Policy)
                && let Err(error) = RetentionPolicy::decode(frame.payload)
            {
                let position = frame.position;
                report
                    .damage
                    .push(format!("frame at position {position}: {error}"));
            }
            let understood = match frame.kind {
                Some(FrameType::Definitions) => definitions::decode(frame.payload, |_| {}),
                Some(FrameType::Delete) => Deletion::decode(frame.payload).map(|_| ()),
                Some(FrameType::Expire) => Expiry::decode(frame.payload).map(|_| ()),
                Some(FrameType::Producer) => ProducerMark::decode(frame.payload).map(|_| ()),
                Some(FrameType::Token) => TokenChange::decode(frame.payload).map(|_| ()),
                Some(FrameType::Rows) => {
                    RowsPayload::open(frame.payload).and_then(|rows| rows.visit(|_| {}))
                }
                _ => Ok(()),
            };
            if let Err(error) = understood {
                let position = frame.position;
                report
                    .damage
                    .push(format!("frame at position {position}: {error}"));
            }
            Ok(())
        })?;
        for gap in scanned.corruption.iter().filter(|gap| gap.from < durable) {
            report.damage.push(format!(
                "{}: positions {} to {}: {}; its rows are in memory, and safe after a checkpoint",
                gap.segment,
                gap.from,
                gap.to,
                gap.reason.name()
            ));
        }
        Ok(())
    }
}

/// Decodes a chunk, every column of it; its rows.
fn decode(bytes: &[u8]) -> Result<usize, CodecError> {
    let mut cells = Cells::default();
    Chunk::open(bytes)?.decode_cells(&mut cells)?;
    Ok(cells.times.len())
}
