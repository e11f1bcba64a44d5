//! What was lost, by name: kept across checkpoints and restarts until somebody has taken note of it.
//!
//! A loss is a range of the log that had been durable, or something of the block files. It carries what can
//! still be told of it: positions, times and series. The state file has each as a record of its own.

use serde::{Deserialize, Serialize};

use crate::blocks::Damage;
use crate::catalog::Catalog;
use crate::engine::persisted::Persisted;
use crate::engine::{Engine, EngineError};
use crate::log::rows::RowsPayload;
use crate::log::{FrameType, Gap, suspects};
use crate::storage::Storage;
use crate::types::{Position, SeriesId, Timestamp};

/// Something that was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Counts losses of the store, from 1.
    pub id: u64,
    /// `log`, `blocks`, or `other`.
    pub kind: String,
    /// What happened, in words.
    pub text: String,
    /// The file it was in, where it was in one.
    pub file: Option<String>,
    /// Of the log: the first position lost.
    pub from: Option<u64>,
    /// Of the log: the first position behind.
    pub to: Option<u64>,
    /// Least and greatest time that rows in it may have, nanoseconds, as far as what is left can tell.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Series that rows in it belong to, `database:measurement,tag=value`, as far as that can be told.
    pub series: Vec<String>,
    /// Series beyond those that are listed.
    pub series_more: u64,
    /// Rows in it, as far as they can be counted.
    pub rows: Option<u64>,
    /// Of the log: rows behind it that were read all the same.
    pub rows_salvaged: u64,
    /// The copy of its bytes.
    pub quarantine: Option<String>,
    /// When it was found, nanoseconds of the server's time.
    pub found: Timestamp,
}

impl Loss {
    fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.file, self.from, self.to)
            == (&other.kind, &other.file, other.from, other.to)
            && (self.from.is_some() || self.text == other.text)
    }
}

/// All losses that are known.
#[derive(Debug, Default)]
pub struct Losses {
    list: Vec<Loss>,
    /// The highest number that somebody has taken note of.
    acknowledged: u64,
    /// How much of this the state file has: the highest number, and the highest acknowledged.
    kept: (u64, u64),
}

/// The kind of a state record that holds a loss, as JSON.
pub(super) const STATE_LOSS: u8 = 2;
/// The kind of a state record that holds the highest number acknowledged, 8 bytes.
pub(super) const STATE_ACKNOWLEDGED: u8 = 3;
/// Losses that are kept; the oldest go.
const LOSSES_MAX: usize = 1_000;
/// Series that are named one by one.
const SERIES_MAX: usize = 100;

impl Losses {
    /// Whether a state record of this kind is theirs.
    pub const fn have_kind(kind: u8) -> bool {
        matches!(kind, STATE_LOSS | STATE_ACKNOWLEDGED)
    }

    /// Takes a state record; false where it is not theirs or does not follow the format.
    pub fn restore(&mut self, kind: u8, payload: &[u8]) -> bool {
        if !Self::have_kind(kind) {
            return false;
        }
        if kind == STATE_ACKNOWLEDGED {
            let Ok(bytes) = payload.try_into() else {
                return false;
            };
            self.acknowledged = self.acknowledged.max(u64::from_le_bytes(bytes));
        } else {
            let Ok(loss) = serde_json::from_slice::<Loss>(payload) else {
                return false;
            };
            if self.list.iter().all(|known| known.id != loss.id) {
                self.push(loss);
            }
        }
        self.kept = (self.last_id(), self.acknowledged);
        true
    }

    /// Adds what was found, unless it is known. True where it is new.
    pub(super) fn add(&mut self, mut loss: Loss) -> bool {
        if self.list.iter().any(|known| known.is_same(&loss)) {
            return false;
        }
        loss.id = self.last_id().max(self.acknowledged) + 1;
        self.push(loss);
        true
    }

    /// Records that the state file lacks; all of them where it is written anew.
    pub(super) fn records(&self, all: bool) -> Vec<(u8, Vec<u8>)> {
        let (lost, acknowledged) = if all { (0, 0) } else { self.kept };
        let new = self.list.iter().filter(|loss| loss.id > lost);
        let mut records: Vec<(u8, Vec<u8>)> = new
            .filter_map(|loss| Some((STATE_LOSS, serde_json::to_vec(loss).ok()?)))
            .collect();
        if self.acknowledged > acknowledged {
            records.push((STATE_ACKNOWLEDGED, self.acknowledged.to_le_bytes().to_vec()));
        }
        records
    }

    /// How far [`Self::records`] goes.
    pub(super) fn reached(&self) -> (u64, u64) {
        (self.last_id(), self.acknowledged)
    }

    /// The state file has everything up to there.
    pub(super) fn keep(&mut self, reached: (u64, u64)) {
        self.kept = reached;
    }

    /// Those that nobody has taken note of, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter().filter(|loss| loss.id > self.acknowledged)
    }

    fn last_id(&self) -> u64 {
        self.list.last().map_or(0, |loss| loss.id)
    }

    fn push(&mut self, loss: Loss) {
        if self.list.len() >= LOSSES_MAX {
            self.list.remove(0);
        }
        self.list.push(loss);
    }
}

impl Engine {
    /// What was lost and nobody has taken note of, oldest first.
    pub fn losses(&self) -> Vec<Loss> {
        self.losses.lock().open().cloned().collect()
    }

    /// Takes note of everything lost up to a number, and keeps that on the device. How many these were.
    pub fn acknowledge_losses(&self, up_to: u64) -> Result<usize, EngineError> {
        let count = {
            let mut losses = self.losses.lock();
            let count = losses.open().filter(|loss| loss.id <= up_to).count();
            let last = losses.last_id();
            losses.acknowledged = losses.acknowledged.max(up_to.min(last));
            count
        };
        if count > 0 {
            self.checkpoint_in_passing()?;
        }
        Ok(count)
    }

    /// What a start found lost has its name on the device before anything else is: the log and the checkpoint
    /// stay as they are. Where that fails, the next checkpoint does it.
    pub(super) fn keep_losses(&self) {
        let _one = self.persisted.lock();
        let anew = self.opened.state_rewrite_needed;
        let (new, lost, reached) = {
            let losses = self.losses.lock();
            (
                losses.records(false),
                losses.records(anew),
                losses.reached(),
            )
        };
        let manifest = self.blocks.committed();
        let Some(manifest) = manifest.filter(|_| !new.is_empty()) else {
            return;
        };
        let lost = lost.iter().map(|(kind, record)| (*kind, record));
        let kept = if anew {
            let all = self.state_news(&Persisted::default()).records;
            let all = all.iter().map(|(kind, record)| (*kind, record));
            self.blocks.rewrite_state(all.chain(lost))
        } else {
            self.blocks.append_state(lost)
        };
        let kept = kept.and_then(|()| self.blocks.commit(manifest.info.clone()));
        match kept {
            Ok(_) => self.losses.lock().keep(reached),
            Err(error) => tracing::warn!(%error, "what is lost is not yet noted on the device"),
        }
    }

    /// Whether something was lost that nobody has taken note of.
    pub(super) fn is_degraded(&self) -> bool {
        self.losses.lock().open().next().is_some()
    }

    /// Keeps damage of block files that was found while the store runs. How much of it is new.
    pub(super) fn note_damage(&self, damage: &[Damage]) -> usize {
        let found = self.server_time().now;
        let catalog = self.catalog.read();
        let mut losses = self.losses.lock();
        damage
            .iter()
            .filter(|damage| losses.add(of_damage(damage, &catalog, found)))
            .count()
    }
}

/// Times of the rows on both sides of a place where something of the log is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    /// The first frame behind.
    pub(super) at: Position,
    /// Times of the last rows before.
    pub(super) before: Option<(Timestamp, Timestamp)>,
    /// Times of the first rows behind.
    pub(super) after: Option<(Timestamp, Timestamp)>,
    /// Rows behind, up to the next such place.
    pub(super) rows: u64,
}

/// A gap of the log as a loss, with all that can still be told.
pub(super) fn of_gap(
    gap: &Gap,
    edges: &[Edge],
    catalog: &Catalog,
    storage: &dyn Storage,
    found: Timestamp,
) -> Loss {
    let behind = edges.partition_point(|edge| edge.at < gap.to);
    let edge = edges.get(behind).copied().unwrap_or_default();
    let quarantine = gap.quarantined.as_ref().and_then(|kept| kept.as_ref().ok());
    let remains = quarantine
        .and_then(|name| Remains::read(storage, &format!("{name}.bin"), catalog))
        .unwrap_or_default();
    let times = [edge.before, edge.after, remains.times]
        .into_iter()
        .flatten()
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let reason = gap.reason.name();
    let mut loss = Loss {
        kind: "log".to_owned(),
        text: format!("positions {} to {} of the log: {reason}", gap.from, gap.to),
        file: Some(gap.segment.clone()),
        from: Some(gap.from.0),
        to: Some(gap.to.0),
        times,
        rows: (remains.rows > 0).then_some(remains.rows),
        rows_salvaged: edges
            .get(behind..)
            .into_iter()
            .flatten()
            .map(|e| e.rows)
            .sum(),
        quarantine: quarantine.cloned(),
        found,
        ..Loss::default()
    };
    loss.name_series(&remains.series, catalog);
    loss
}

/// Damage of block files as a loss.
pub(super) fn of_damage(damage: &Damage, catalog: &Catalog, found: Timestamp) -> Loss {
    let mut loss = Loss {
        kind: "blocks".to_owned(),
        text: damage.to_string(),
        file: damage.file_name().map(str::to_owned),
        found,
        ..Loss::default()
    };
    if let Damage::Chunk {
        series,
        rows,
        times,
        ..
    } = damage
    {
        loss.times = Some(*times);
        loss.rows = Some(u64::from(*rows));
        loss.name_series(&[*series], catalog);
    }
    loss
}

/// Something that could not be understood.
pub(super) fn of_problem(problem: &str, found: Timestamp) -> Loss {
    Loss {
        kind: "other".to_owned(),
        text: problem.to_owned(),
        found,
        ..Loss::default()
    }
}

/// The report beside a copy in quarantine, with what is known of the loss.
pub(super) fn complete_report(storage: &dyn Storage, loss: &Loss) {
    let Some(name) = &loss.quarantine else {
        return;
    };
    let written = || -> Option<()> {
        let mut text = serde_json::to_string_pretty(loss).ok()?;
        text.push('\n');
        let file = storage.create_file(&format!("{name}.json")).ok()?;
        file.write_at(0, text.as_bytes()).ok()?;
        file.sync().ok()
    };
    if written().is_none() {
        tracing::warn!(name, "the report in quarantine could not be completed");
    }
}

impl Loss {
    fn name_series(&mut self, series: &[SeriesId], catalog: &Catalog) {
        let named = series.iter().take(SERIES_MAX);
        self.series = named.map(|id| name_of(*id, catalog)).collect();
        self.series_more = (series.len() - self.series.len()) as u64;
    }
}

fn name_of(id: SeriesId, catalog: &Catalog) -> String {
    let found = catalog.series(id).and_then(|series| {
        let measurement = catalog.measurement_by_id(series.measurement)?;
        let database = catalog.database_by_id(measurement.database)?;
        let tags = series
            .tags
            .iter()
            .map(|(name, value)| format!(",{name}={value}"));
        let tags: String = tags.collect();
        Some(format!("{}:{}{tags}", database.name, measurement.name))
    });
    found.unwrap_or_else(|| format!("series#{id}"))
}

/// What can be read in bytes that do not validate. It may be wrong, so that it is told and never stored.
#[derive(Debug, Default)]
struct Remains {
    times: Option<(Timestamp, Timestamp)>,
    /// Ascending.
    series: Vec<SeriesId>,
    rows: u64,
}

impl Remains {
    fn read(storage: &dyn Storage, name: &str, catalog: &Catalog) -> Option<Self> {
        let file = storage.open_file(name).ok()?;
        let len = file.len_bytes().ok()?.min(REMAINS_BYTES_MAX);
        let mut bytes = vec![0; len as usize];
        file.read_at(0, &mut bytes).ok()?;
        let mut remains = Self::default();
        suspects(&bytes, &mut |kind, payload| {
            if kind == FrameType::Rows
                && let Ok(rows) = RowsPayload::open(payload)
            {
                // Up to where it does not follow its format.
                let _ = rows.visit(|row| {
                    let known = catalog.series(row.series).map(|series| series.measurement);
                    let layout = rows
                        .layouts
                        .get(row.layout)
                        .map(|layout| layout.measurement);
                    if known.is_some() && known == layout {
                        remains.add(row.series, row.time);
                    }
                });
            }
        });
        remains.series.sort_unstable();
        remains.series.dedup();
        Some(remains)
    }

    fn add(&mut self, series: SeriesId, time: Timestamp) {
        let (least, most) = self.times.unwrap_or((time, time));
        self.times = Some((least.min(time), most.max(time)));
        self.rows += 1;
        if self.series.last() != Some(&series) {
            self.series.push(series);
        }
    }
}

/// Bytes of a gap that are looked at.
const REMAINS_BYTES_MAX: u64 = 64 << 20;
