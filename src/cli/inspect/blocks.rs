//! What block files hold, by series and in total.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use serde::Serialize;

use super::names::Names;
use super::read_only::ReadOnly;
use crate::blocks::{BlockError, ChunkEntry, ImageRecord, Visitor, walk};
use crate::codec::chunk::Chunk;
use crate::codec::{Cells, CodecError};
use crate::engine::{Loss, Losses, STATE_POLICY, STATE_TOKENS, decode_policy_record};
use crate::log::deletion::Deletion;
use crate::log::expiry::Expiry;
use crate::log::token::TokenList;
use crate::types::{DatabaseId, MeasurementId, Position, SeriesId, StoreId};

/// What the files hold.
#[derive(Debug, Default, Serialize)]
pub(super) struct BlocksReport {
    /// The store's identity, hexadecimal.
    pub store: Option<String>,
    /// Counts commits.
    pub sequence: Option<u64>,
    /// Where the log has to be replayed from.
    pub replay_from: u64,
    pub files: u64,
    pub file_bytes: u64,
    pub state_bytes: u64,
    pub image_bytes: u64,
    /// Stored chunks that are alive.
    pub chunks: u64,
    /// Rows in them.
    pub points: u64,
    /// Bytes of these chunks; `file_bytes` has the headers of their records, too.
    pub bytes: u64,
    pub bytes_per_point: f64,
    /// Chunks of rollup tiers, and their bytes.
    pub tier_chunks: u64,
    pub tier_bytes: u64,
    /// Chunks that were read and decoded: all of them, or none without `--verify`.
    pub chunks_decoded: u64,
    /// Series whose unsealed rows stand in an image, and these rows.
    pub images: u64,
    pub image_points: u64,
    /// Deletions that chunks still need.
    pub deletions: u64,
    /// Left by a checkpoint that was interrupted.
    pub unreferenced: Vec<String>,
    pub damage: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<SeriesReport>>,
    #[serde(skip)]
    found: Found,
}

/// Stored chunks of one series.
#[derive(Debug, Serialize)]
pub(super) struct SeriesReport {
    /// `measurement,tag=value`.
    pub series: String,
    pub database: String,
    pub chunks: u64,
    pub points: u64,
    pub bytes: u64,
    pub bytes_per_point: f64,
    /// Nanoseconds.
    pub first_time: i64,
    pub last_time: i64,
}

/// Sums of one series.
#[derive(Debug)]
struct Sums {
    database: DatabaseId,
    measurement: MeasurementId,
    chunks: u64,
    points: u64,
    bytes: u64,
    first_time: i64,
    last_time: i64,
}

#[derive(Debug, Default)]
struct Found {
    store: Option<StoreId>,
    series: BTreeMap<SeriesId, Sums>,
    unnamed: HashSet<SeriesId>,
    decoded: u64,
    tier_chunks: u64,
    tier_bytes: u64,
    images: u64,
    image_points: u64,
    deletions: u64,
    problems: Vec<String>,
    losses: Losses,
}

/// Gathers what a walk tells.
#[derive(Default)]
struct Gatherer {
    found: Found,
    names: Names,
}

impl Visitor for Gatherer {
    fn deletion(&mut self, payload: &[u8]) -> bool {
        let payload = payload.get(size_of::<Position>()..).unwrap_or_default();
        let known = Deletion::decode(payload).is_ok();
        self.found.deletions += u64::from(known);
        known
    }

    fn expiry(&mut self, payload: &[u8]) -> bool {
        let payload = payload.get(size_of::<Position>()..).unwrap_or_default();
        Expiry::decode(payload).is_ok()
    }

    fn state(&mut self, kind: u8, payload: &[u8]) {
        if kind == STATE_DEFINITIONS {
            if let Err(error) = self.names.learn(payload) {
                self.found.problems.push(format!("state file: {error}"));
            }
        } else if kind == STATE_POLICY {
            if let Err(error) = decode_policy_record(payload) {
                self.found.problems.push(format!("state file: {error}"));
            }
        } else if kind == STATE_TOKENS {
            if let Err(error) = TokenList::decode(payload) {
                self.found.problems.push(format!("state file: {error}"));
            }
        } else if Losses::have_kind(kind) && !self.found.losses.restore(kind, payload) {
            let problem = format!("state file: a record of kind {kind} is not understood");
            self.found.problems.push(problem);
        }
    }

    fn chunk(&mut self, entry: &ChunkEntry) {
        let meta = entry.meta;
        if meta.tier > 0 {
            self.found.tier_chunks += 1;
            self.found.tier_bytes += u64::from(entry.len_bytes);
            return;
        }
        let sums = self.found.series.entry(meta.series).or_insert(Sums {
            database: meta.database,
            measurement: meta.measurement,
            chunks: 0,
            points: 0,
            bytes: 0,
            first_time: i64::MAX,
            last_time: i64::MIN,
        });
        sums.chunks += 1;
        sums.points += u64::from(meta.rows);
        sums.bytes += u64::from(entry.len_bytes);
        sums.first_time = sums.first_time.min(meta.first_time);
        sums.last_time = sums.last_time.max(meta.last_time);
    }

    fn chunk_bytes(&mut self, entry: &ChunkEntry, bytes: &[u8]) {
        let problem = match decode(bytes) {
            Ok(rows) if rows == entry.meta.rows as usize => {
                self.found.decoded += u64::from(entry.meta.tier == 0);
                return;
            }
            Ok(rows) => format!("has {rows} rows, not {}", entry.meta.rows),
            Err(error) => error.to_string(),
        };
        let (name, offset) = (entry.file.name(), entry.offset);
        self.found
            .problems
            .push(format!("{name}: chunk at byte {offset}: {problem}"));
    }

    fn image(&mut self, image: ImageRecord<'_>) {
        self.found.images += 1;
        match decode(image.bytes) {
            Ok(rows) => self.found.image_points += rows as u64,
            Err(error) => {
                let series = image.series;
                self.found
                    .problems
                    .push(format!("image of series {series}: {error}"));
            }
        }
    }
}

impl BlocksReport {
    /// Walks over the files. Also gives the names in them, and where the log is replayed from.
    pub(super) fn read(
        storage: &ReadOnly,
        verify: bool,
    ) -> Result<(Self, Names, Position), BlockError> {
        let mut gatherer = Gatherer::default();
        let walked = walk(storage, verify, &mut gatherer)?;
        let Gatherer { mut found, names } = gatherer;
        found.store = walked.store;
        found.unnamed = found
            .series
            .keys()
            .filter(|id| !names.has(**id))
            .copied()
            .collect();
        let replay_from = walked
            .current
            .as_ref()
            .map_or(Position(0), |manifest| manifest.info.replay_from);
        let sum = |of: fn(&Sums) -> u64| found.series.values().map(of).sum();
        let (points, bytes) = (sum(|s| s.points), sum(|s| s.bytes));
        let damage = walked.damage.iter().map(ToString::to_string);
        let report = Self {
            store: walked.store.map(|store| format!("{:016x}", store.0)),
            sequence: walked.current.as_ref().map(|manifest| manifest.sequence),
            replay_from: replay_from.0,
            files: walked.usage.files,
            file_bytes: walked.usage.bytes,
            state_bytes: walked.usage.state_bytes,
            image_bytes: walked.usage.image_bytes,
            chunks: sum(|s| s.chunks),
            points,
            bytes,
            bytes_per_point: per_point(bytes, points),
            tier_chunks: found.tier_chunks,
            tier_bytes: found.tier_bytes,
            chunks_decoded: found.decoded,
            images: found.images,
            deletions: found.deletions,
            image_points: found.image_points,
            unreferenced: walked.unreferenced,
            damage: damage.chain(found.problems.drain(..)).collect(),
            series: None,
            found,
        };
        Ok((report, names, replay_from))
    }

    /// The store, where anything names it.
    pub(super) fn store_id(&self) -> Option<StoreId> {
        self.found.store
    }

    /// What a server found to be lost and nobody has taken note of, as the state file has it.
    pub(super) fn losses(&self) -> Vec<Loss> {
        self.found.losses.open().cloned().collect()
    }

    /// Whether the log may know names that the state file does not.
    pub(super) fn has_unnamed_series(&self) -> bool {
        !self.found.unnamed.is_empty()
    }

    /// The report with its series, if they are asked for.
    pub(super) fn named(mut self, names: &Names, list: bool) -> Self {
        let series = self.found.series.iter().map(|(id, sums)| SeriesReport {
            series: names.series(*id, sums.measurement),
            database: names.database(sums.database),
            chunks: sums.chunks,
            points: sums.points,
            bytes: sums.bytes,
            bytes_per_point: per_point(sums.bytes, sums.points),
            first_time: sums.first_time,
            last_time: sums.last_time,
        });
        self.series = list.then(|| {
            let mut series: Vec<SeriesReport> = series.collect();
            series.sort_by(|a, b| (&a.database, &a.series).cmp(&(&b.database, &b.series)));
            series
        });
        self
    }

    /// For people.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let store = self.store.as_deref().unwrap_or("unknown");
        let sequence = self.sequence.unwrap_or_default();
        writeln!(
            out,
            "blocks: store {store}, commit {sequence}, log replayed from {}",
            self.replay_from
        )?;
        writeln!(
            out,
            "  {} files, {} bytes; state {} bytes, images {} bytes",
            self.files, self.file_bytes, self.state_bytes, self.image_bytes
        )?;
        writeln!(
            out,
            "  {} chunks, {} points, {} bytes, {:.4} bytes a point; {} images, {} points; {} deletions",
            self.chunks,
            self.points,
            self.bytes,
            self.bytes_per_point,
            self.images,
            self.image_points,
            self.deletions
        )?;
        for name in &self.unreferenced {
            writeln!(out, "  unreferenced: {name}")?;
        }
        for damage in &self.damage {
            writeln!(out, "  damage: {damage}")?;
        }
        for series in self.series.iter().flatten() {
            writeln!(
                out,
                "  {} {}: {} points, {} bytes, {:.4} bytes a point, {} chunks",
                series.database,
                series.series,
                series.points,
                series.bytes,
                series.bytes_per_point,
                series.chunks
            )?;
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

fn per_point(bytes: u64, points: u64) -> f64 {
    if points == 0 {
        return 0.0;
    }
    (bytes as f64 / points as f64 * 10_000.0).round() / 10_000.0
}

/// The kind of a state record that holds definitions.
const STATE_DEFINITIONS: u8 = 1;
