//! What deletions and expiries hide, of the image file and of the log behind it.

use super::Restored;
use crate::blocks::SideRecord;
use crate::log::deletion::Deletion;
use crate::log::expiry::{Expiry, up_to};
use crate::series::{Cause, Tombstone};
use crate::types::{Position, SeriesId, TimeRange};

impl Restored {
    /// Hides what deletions and expiries of the image file hit, once all chunks are there.
    pub(super) fn hide_deleted(&mut self) {
        for (at, sides) in std::mem::take(&mut self.deletions) {
            for side in sides {
                match side {
                    SideRecord::Deletion(payload) => self.delete(at, &payload),
                    SideRecord::Expiry(payload) => self.expire(at, &payload),
                    SideRecord::Account(_) | SideRecord::Producers(_) => {}
                }
            }
        }
    }

    pub(super) fn delete(&mut self, position: Position, payload: &[u8]) {
        match Deletion::decode(payload) {
            Ok(deletion) => {
                let range = deletion.range;
                let cause = if deletion.moved {
                    Cause::Moved
                } else {
                    Cause::Deleted
                };
                let hit = deletion.series.into_iter().map(|id| (id, range)).collect();
                let side = SideRecord::Deletion(payload.to_vec());
                self.hide(position, cause, hit, side);
            }
            Err(error) => self
                .report
                .problem(format!("deletion at position {position}: {error}")),
        }
    }

    pub(super) fn expire(&mut self, position: Position, payload: &[u8]) {
        match Expiry::decode(payload) {
            Ok(expiry) => {
                let cause = if expiry.evicted {
                    Cause::Evicted
                } else {
                    Cause::Expired
                };
                let series = expiry.series.into_iter();
                let hit = series.map(|(id, through)| (id, up_to(through))).collect();
                let side = SideRecord::Expiry(payload.to_vec());
                self.hide(position, cause, hit, side);
            }
            Err(error) => self
                .report
                .problem(format!("expiry at position {position}: {error}")),
        }
    }

    /// Hides what a deletion or an expiry hits; keeps it where chunks need it.
    fn hide(
        &mut self,
        position: Position,
        cause: Cause,
        hit: Vec<(SeriesId, TimeRange)>,
        side: SideRecord,
    ) {
        let mut is_needed = false;
        for (id, range) in hit {
            let tombstone = Tombstone {
                position,
                range,
                cause,
            };
            let slot = self.placement.slot(id);
            let shard = &mut self.shards[self.placement.shard(id)];
            if let Some((series, scratch)) = shard.existing(slot) {
                is_needed |= series.hide(tombstone, scratch);
            }
        }
        if is_needed {
            self.deletions.entry(position).or_default().push(side);
        }
    }
}
