//! A rejected line leaves for what has become of it: its row, or the same line under another reason.
//!
//! Invariant: both are one unit of the log, so that no crash leaves both or neither.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use crate::blocks::{ChunkEntry, SideRecord};
use crate::engine::shard::Shard;
use crate::engine::write::refusal;
use crate::engine::{Batch, DeadLetter, Engine, EngineError, Reject};
use crate::log::deletion::Deletion;
use crate::log::{AppendError, FrameParts, FrameType};
use crate::series::{Cause, HiddenRows, Sealed, Series, Tombstone};
use crate::types::{Position, TimeRange};

impl Engine {
    /// Writes the only row of a batch, and takes the rejected line away that it came from.
    pub fn replay_letter(
        &self,
        batch: &mut Batch,
        letter: &DeadLetter,
    ) -> Result<Position, EngineError> {
        let position = self.exchange(batch, letter)?;
        self.rejects.moved(letter.database, &letter.code, None);
        Ok(position)
    }

    /// Keeps a rejected line under the reason that it has now.
    pub fn keep_letter(&self, letter: &DeadLetter, reject: &Reject<'_>) -> Result<(), EngineError> {
        if *letter.code == *reject.code && *letter.message == *reject.message {
            return Ok(());
        }
        let mut batch = self.batch();
        self.push_kept(&mut batch, letter.database, reject, letter.id)?;
        self.exchange(&mut batch, letter)?;
        self.rejects
            .moved(letter.database, &letter.code, Some(reject.code));
        Ok(())
    }

    /// Nobody else replays as long as this is held.
    pub fn lock_replay(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.rejects.replaying.lock()
    }

    /// Whether the only row of a batch has the time of a row that its series has already.
    pub fn has_row_at(self: &Arc<Self>, batch: &Batch) -> Result<bool, EngineError> {
        let Some(row) = batch.shards.iter().find_map(|shard| shard.rows.first()) else {
            return Ok(false);
        };
        let range = TimeRange {
            start: row.time,
            end: row.time.saturating_add(1),
        };
        let mut reader = self.read_series(row.series, range, &[]);
        Ok(reader.next_batch()?.is_some())
    }

    fn exchange(&self, batch: &mut Batch, letter: &DeadLetter) -> Result<Position, EngineError> {
        self.check_room(0)?;
        let range = TimeRange {
            start: letter.id,
            end: letter.id.saturating_add(1),
        };
        let deletion = Deletion {
            database: letter.database,
            measurement: letter.measurement,
            range,
            series: vec![letter.series],
            moved: true,
        };
        let payload = deletion.encode();
        let from = self.placement.shard(letter.series);
        let to = batch.shards.iter().position(|shard| !shard.rows.is_empty());
        let to = to.unwrap_or(from);
        let pin = self.blocks.pin();
        // Nobody adds rows up meanwhile: the line counts until its row does.
        let _settled = self.settled.write();
        let catalog = self.catalog.read();
        let (position, hidden) = loop {
            // Whoever holds several shards takes them in the order of their numbers.
            let mut held: BTreeMap<usize, RwLockWriteGuard<'_, Shard>> = BTreeMap::new();
            for index in [from.min(to), from.max(to)] {
                held.entry(index)
                    .or_insert_with(|| self.shards[index].write());
            }
            let (rows, layouts) = (&batch.shards[to], &batch.layouts);
            let epoch = self.log.epoch();
            let shard = held.get_mut(&to).expect("both are held");
            shard.definitions.clear();
            if self.lacks_definitions(shard, &rows.rows, layouts, epoch.0) {
                let gathered =
                    self.gather_definitions(shard, &rows.rows, layouts, &catalog, epoch.0);
                if let Err(error) = gathered {
                    self.forget_definitions(shard, &rows.rows, layouts, epoch.0);
                    return Err(error);
                }
            }
            let now = self.server_time().now;
            let times = self.encode_rows(shard, (rows, &rows.rows), layouts, now);
            let mut frames = vec![FrameParts::new(FrameType::Delete, &payload)];
            if !shard.definitions.is_empty() {
                frames.push(FrameParts::new(FrameType::Definitions, &shard.definitions));
            }
            frames.push(FrameParts::new(FrameType::Rows, shard.encoder.payload()));
            match self.log.append(epoch, &frames) {
                Ok(appended) => {
                    let tombstone = Tombstone {
                        position: appended.first,
                        range,
                        cause: Cause::Moved,
                    };
                    let source = held.get_mut(&from).expect("both are held");
                    let hidden = self.hide_letter(source, letter, tombstone, &payload);
                    let shard = held.get_mut(&to).expect("both are held");
                    let cells = (rows, &rows.rows[..]);
                    let frame = appended.last_frame;
                    self.apply_rows(shard, cells, layouts, times.as_deref(), frame);
                    if hidden.is_some() {
                        // It was received as the line.
                        shard.take_back(layouts[usize::from(rows.rows[0].layout)].measurement);
                    }
                    break (appended.end, hidden);
                }
                Err(AppendError::EpochChanged(_)) => {}
                Err(error) => {
                    self.forget_definitions(shard, &rows.rows, layouts, epoch.0);
                    return Err(refusal(error));
                }
            }
        };
        drop(catalog);
        for chunk in hidden.iter().flatten() {
            self.count_chunk(chunk);
        }
        drop(pin);
        batch.clear();
        Ok(position)
    }

    /// Hides a line; the chunks whose hidden rows have to be counted anew. None where it has left since it was read:
    /// then it stays counted for that, and its row is one more.
    fn hide_letter(
        &self,
        shard: &mut Shard,
        letter: &DeadLetter,
        tombstone: Tombstone,
        payload: &[u8],
    ) -> Option<Vec<Sealed<ChunkEntry>>> {
        let slot = self.placement.slot(letter.series);
        let (series, scratch) = shard.series_and_scratch(slot);
        let is_there = series.may_show(tombstone);
        let counted = |series: &Series<ChunkEntry>| -> Vec<Option<HiddenRows>> {
            let chunks = series.ring.overlapping(tombstone.range);
            let hidden = chunks.map(|chunk| chunk.hidden.clone());
            hidden
                .map(|hidden| hidden.map_or(Some(HiddenRows::default()), |h| h.rows()))
                .collect()
        };
        let before = counted(series);
        if !series.hide(tombstone, scratch) {
            return is_there.then(Vec::new);
        }
        let side = SideRecord::Deletion(payload.to_vec());
        self.keep_side(tombstone.position, side);
        let chunks = series.ring.overlapping(tombstone.range);
        let chunks: Vec<_> = chunks.filter(|c| c.hidden.is_some()).cloned().collect();
        // The only chunk that can have the line hides one row more than before: nothing has to be decoded.
        if let ([chunk], [Some(before)]) = (&chunks[..], &before[..])
            && let Some(hidden) = &chunk.hidden
        {
            let moved = before.moved + u32::from(is_there);
            hidden.set_rows(HiddenRows { moved, ..*before });
        }
        is_there.then_some(chunks)
    }
}
