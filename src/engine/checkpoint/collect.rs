//! The visit of all series: what is not in a block file yet, and images of the rows that are not sealed.

use std::collections::BTreeMap;

use super::chunks::Ready;
use crate::blocks::{Account, ChunkEntry, ImageRecord, ImageWriter, SideRecord};
use crate::codec::chunk::{self, Hints};
use crate::codec::{CodecError, Effort};
use crate::engine::compaction::{Compaction, Found};
use crate::engine::ledger::{Owner, Settled};
use crate::engine::tiers::Leaving;
use crate::engine::wear::CheckpointUse;
use crate::engine::{Engine, EngineError};
use crate::limits::FRAME_BYTES;
use crate::mutants::{self, Mutant};
use crate::series::{Series, UnsealedCells};
use crate::types::{Position, SeriesId};

/// Series visited under one hold of a shard's lock.
const SLICE_SERIES: usize = 64;
/// Bytes of images that are gathered before they are written.
const IMAGES_BYTES: usize = 2 << 20;

/// The rows of a series that are not sealed.
pub(super) struct Image {
    series: SeriesId,
    first_position: Position,
    last_position: Position,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Collected {
    /// Chunks that are in no block file.
    pub(super) flushes: Vec<Found>,
    /// Images that are not written yet.
    pub(super) images: Vec<Image>,
    pub(super) compaction: Compaction,
    /// What was written.
    pub(super) written: CheckpointUse,
    /// Chunks in memory of which nothing is shown.
    pub(super) hidden: Vec<Found>,
    /// By series: up to where its rows are accounted for though no chunk may have them, and rows of its image
    /// that were overwritten.
    pub(super) accounts: BTreeMap<SeriesId, Account>,
    /// Rows that came for series that were dropped.
    pub(super) discarded: Vec<(SeriesId, u32)>,
    /// Rows that leave chunks with this manifest.
    pub(super) settles: Settled,
    /// Where the log ended when it began.
    pub(super) began: Position,
    pub(super) replay_from: Position,
}

impl Engine {
    /// Unflushed chunks of all series, and images of those that hold rows from before `pinning_below`.
    pub(super) fn collect(
        &self,
        pinning_below: Position,
        compaction: Compaction,
        images: &mut ImageWriter<'_>,
    ) -> Result<Collected, EngineError> {
        let end = self.log.end();
        let mut collected = Collected {
            began: end,
            replay_from: end,
            compaction,
            ..Collected::default()
        };
        for (index, shard) in self.shards.iter().enumerate() {
            let mut slot = 0;
            loop {
                let shard = shard.read();
                let end = shard.len().min(slot + SLICE_SERIES);
                let first = slot;
                slot = end;
                let slice = shard.iter_from(first).take_while(|(slot, _)| *slot < end);
                for (slot, series) in slice {
                    let id = self.placement.id(index, slot);
                    for chunk in series.ring.iter() {
                        collected.compaction.look(id, chunk);
                        if chunk.is_unflushed() {
                            collected.flushes.push(Found {
                                series: id,
                                chunk: chunk.clone(),
                            });
                        }
                    }
                    collected.account(id, series);
                    if let Some(first) = series.first_unsealed() {
                        if first < pinning_below {
                            collected.add_image(id, series)?;
                        } else {
                            collected.replay_from = collected.replay_from.min(first);
                        }
                    }
                }
                if slot >= shard.len() {
                    break;
                }
                drop(shard);
                if collected.image_bytes() >= IMAGES_BYTES {
                    self.write_images(&mut collected, images)?;
                }
                self.pause();
            }
        }
        Ok(collected)
    }

    /// Writes the images that were gathered. What they have is durable in the log before: where no manifest can be read,
    /// images are taken that none lists.
    pub(super) fn write_images(
        &self,
        collected: &mut Collected,
        images: &mut ImageWriter<'_>,
    ) -> Result<(), EngineError> {
        self.log.sync()?;
        for image in collected.images.drain(..) {
            images.append(&ImageRecord {
                series: image.series,
                first_position: image.first_position,
                last_position: image.last_position,
                bytes: &image.bytes,
            })?;
            collected.written.image(&image.bytes);
        }
        Ok(())
    }
}

impl Collected {
    /// Bytes of images that are not written yet.
    fn image_bytes(&self) -> usize {
        self.images.iter().map(|image| image.bytes.len()).sum()
    }

    /// Chunks of which rows leave that were too old or too many, with the bytes that have them.
    pub(super) fn leaving<'a>(&'a self, ready: &'a [Ready], gone: &'a [Found]) -> Leaving<'a> {
        let mut leaving = Leaving::new();
        let ready = ready.iter().map(|ready| &ready.found);
        for found in ready.chain(&self.hidden).chain(gone) {
            if !found.chunk.left().is_empty() {
                leaving.entry(found.series).or_default().push(&found.chunk);
            }
        }
        leaving
    }

    /// Notes what is accounted for of a series beside its chunks.
    fn account(&mut self, id: SeriesId, series: &Series<ChunkEntry>) {
        let through = series.left_through();
        let mut chunks = series.ring.iter().filter(|chunk| !chunk.is_gone());
        if through > Position(0) && chunks.all(|chunk| chunk.last_position < through) {
            self.accounts.entry(id).or_default().through = through;
        }
        if let Some((database, rows)) = series.discarded().filter(|(_, rows)| *rows > 0) {
            let owner = Owner {
                database,
                reject: None,
            };
            self.settles.deleted(owner, rows.into());
            self.discarded.push((id, rows));
        }
    }

    fn add_image(&mut self, id: SeriesId, series: &Series<ChunkEntry>) -> Result<(), CodecError> {
        let Some(rows) = series.image()? else {
            return Ok(());
        };
        let merged = series.unsealed_rows().saturating_sub(rows.cells.rows());
        let overwritten = series.overwritten() + merged as u32;
        if overwritten > 0 {
            self.accounts.entry(id).or_default().overwritten = overwritten;
        }
        self.images.push(image_of(id, &rows));
        Ok(())
    }

    /// What a restart has to know: of rows before the replay nobody asks any more, but for those that share a frame
    /// with its first one.
    pub(super) fn account_records(&self) -> Vec<SideRecord> {
        let mut records = Vec::new();
        if mutants::is(Mutant::CountedTwice) {
            return records;
        }
        for (&series, account) in &self.accounts {
            let is_asked = account.through.0 + FRAME_BYTES as u64 >= self.replay_from.0;
            let through = if is_asked {
                account.through
            } else {
                Position(0)
            };
            if account.overwritten > 0 || through > Position(0) {
                records.push(SideRecord::Account(Account {
                    series,
                    through,
                    ..*account
                }));
            }
        }
        records
    }
}

fn image_of(series: SeriesId, rows: &UnsealedCells) -> Image {
    let positions = (rows.first_position, rows.last_position);
    Image {
        series,
        first_position: rows.first_position,
        last_position: rows.last_position,
        bytes: chunk::encode(&rows.cells, positions, &mut Hints::default(), Effort::Cheap),
    }
}
