//! Opening a store: catalog, chunks and images from block files, then the log behind them.
//!
//! Damage is reported, never a reason not to start. A row of the log is applied unless a chunk or an
//! image of its series already reaches beyond its position.

mod hides;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::blocks::{
    Account, BlockOptions, BlockStore, ChunkEntry, Damage, ImageRecord, SideRecord, Visitor,
};
use crate::catalog::{Catalog, CatalogError, HashSeed, RuleChange};
use crate::clock::Clock;
use crate::codec::{Cells, chunk::Chunk};
use crate::engine::delete::stored_in;
use crate::engine::history::History;
use crate::engine::ledger::{Settled, count_held, owner_of, owner_of_series};
use crate::engine::losses::{self, Edge, Losses};
use crate::engine::memory::Memory;
use crate::engine::newcomers::Newcomers;
use crate::engine::open_report::OpenReport;
use crate::engine::persisted::{Persisted, STATE_DEFINITIONS, news};
use crate::engine::producers::{ProducerTable, Producers, counted_through};
use crate::engine::retention::{self, PolicyError, Retention, RetentionPolicy, STATE_POLICY};
use crate::engine::server_time::Timekeeper;
use crate::engine::shard::{Placement, Shard};
use crate::engine::space::Space;
use crate::engine::tiers::{TierFill, TierFloors};
use crate::engine::tokens::{STATE_TOKENS, TokenTable, Tokens, given_out};
use crate::engine::write::row_position;
use crate::engine::{Engine, EngineError, EngineOptions};
use crate::log::definitions::{self, Definition};
use crate::log::deletion::Deletion;
use crate::log::expiry::Expiry;
use crate::log::producer::ProducerMark;
use crate::log::rows::{RecordedLayout, RowsPayload};
use crate::log::{self, FrameType, FrameView, Log};
use crate::meta::MetaStore;
use crate::mutants::{self, Mutant};
use crate::paged::Paged;
use crate::series::{Location, RestoredImage, RowRef, Sealed};
use crate::storage::Storage;
use crate::types::{DatabaseId, Layout, LayoutColumn, Position, SeriesId, StoreId, Timestamp};

/// Where definitions come from.
const STATE_FILE: &str = "state file";

/// What is being put together.
struct Restored {
    catalog: Catalog,
    placement: Placement,
    shards: Vec<Shard>,
    report: OpenReport,
    /// How far block files and images have each series.
    reached: Paged<Position>,
    /// Definitions of series that the state file has.
    defined_series: u64,
    /// Chunks of block files whose series were dropped.
    orphans: Vec<ChunkEntry>,
    /// Deletions and expiries of the image file and the log, as far as chunks need them.
    deletions: BTreeMap<Position, Vec<SideRecord>>,
    /// Rows that the manifest counts, and those that a replay takes out of chunks.
    settled: Settled,
    /// Rows of a series' image that were overwritten.
    overwritten: BTreeMap<SeriesId, u32>,
    /// What the state file knows to be lost.
    losses: Losses,
    /// The retention policy, and behind which position it counts.
    policy: Option<(Position, RetentionPolicy)>,
    tokens: TokenTable,
    /// Where something of the log is missing.
    edges: Vec<Edge>,
    gaps_before: usize,
    /// Batches of producers that are known.
    producers: ProducerTable,
    /// The manifest's counters have what was sent again before this position.
    repeated_through: Position,
    /// Times of the rows that were read last.
    times: Option<(Timestamp, Timestamp)>,
}

impl Engine {
    /// Opens the store in a storage, or makes one with the identity `fresh`.
    pub fn open(
        storage: Arc<dyn Storage>,
        meta: Arc<dyn MetaStore>,
        clock: Arc<dyn Clock>,
        fresh: StoreId,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let mut restored = Restored {
            catalog: Catalog::new(options.catalog, HashSeed(options.hash_seed)),
            placement: Placement::new(options.shards),
            shards: (0..options.shards)
                .map(|_| Shard::sealing_at(options.chunk_rows))
                .collect(),
            report: OpenReport::default(),
            reached: Paged::default(),
            defined_series: 0,
            orphans: Vec::new(),
            deletions: BTreeMap::new(),
            settled: Settled::default(),
            overwritten: BTreeMap::new(),
            losses: Losses::default(),
            policy: None,
            tokens: TokenTable::default(),
            edges: Vec::new(),
            gaps_before: 0,
            producers: ProducerTable::default(),
            repeated_through: Position(0),
            times: None,
        };
        let of_log = log::find_store(&*storage)?;
        let block_options = BlockOptions {
            expected: None,
            fresh: of_log.unwrap_or(fresh),
            log_is_blank: of_log.is_none(),
            cache_bytes: options.chunk_cache_bytes,
        };
        let (blocks, opened) =
            BlockStore::open(Arc::clone(&storage), block_options, &mut restored)?;
        restored.report.created = opened.created;
        restored.report.damage = opened.damage;
        restored.report.state_rewrite_needed = opened.state_rewrite_needed;
        let known = opened.manifest.map(|manifest| manifest.info);
        let replay_from = known.as_ref().map_or(Position(0), |info| info.replay_from);
        let durable = known.as_ref().map_or(Position(0), |info| info.durable);
        if let Some(info) = &known {
            restored.catalog.reserve(
                info.highest_database.0,
                info.highest_measurement.0,
                info.highest_series.0,
            );
        }
        let counters = known.as_ref().map_or(&[][..], |info| &info.counters);
        let history = History::of_counters(counters);
        restored.settled.add(&Settled::from_counters(counters));
        let repeated = restored.settled.take_repeated();
        restored.producers.restore_repeated(repeated);
        restored.repeated_through = counted_through(counters);
        for (measurement, columns) in counters.iter().filter_map(Persisted::columns_of_counter) {
            restored.catalog.reserve_columns(measurement, columns);
        }
        let newest_wall = known
            .as_ref()
            .map_or(Timestamp::MIN, |info| info.newest_wall);
        let is_torn = restored.report.misses_only_a_manifest()
            && log::reaches_back(&*storage, opened.store, replay_from)?;
        if opened.unreferenced > 0 && is_torn {
            if !opened.manifest_unread {
                blocks.drop_unreferenced();
            }
        } else if opened.unreferenced > 0 {
            let damage = blocks.adopt_unreferenced(&mut restored)?;
            restored.report.damage.extend(damage);
            restored.report.state_rewrite_needed = true;
        }
        restored.hide_deleted();
        let persisted = if restored.report.state_rewrite_needed {
            Persisted::default()
        } else {
            let (_, mut persisted) = news(&restored.catalog, &Persisted::default());
            persisted.defined_series = restored.defined_series;
            persisted
        };
        let policy_before = restored.policy.clone();
        let tokens_before = restored.tokens.clone();
        if opened.created {
            // The identity has to last before anything carries it.
            blocks.commit(crate::blocks::CommitInfo::default())?;
        }
        if replay_from > Position(0) && storage.list(crate::log::FOLDER)?.is_empty() {
            restored.report.problem(format!(
                "the log is gone: rows from position {replay_from} on that were in no block file are lost"
            ));
        }
        let (log, recovery) = Log::open(
            Arc::clone(&storage),
            opened.store,
            options.log.clone(),
            log::Known {
                replay_from,
                durable,
            },
            &mut |frame| {
                restored.frame(&frame);
                Ok(())
            },
        )?;
        restored.report.log = recovery;
        restored.report.judge_manifests();
        restored.mark_defined(persisted.series_end());
        let time = Timekeeper::new(&*clock, newest_wall, options.follow_data.is_some());
        restored.name_losses(&*storage, time.read(&*clock).now);
        // Numbers whose tokens are lost, and what they own is not.
        let owner = restored.catalog.highest_owner().unwrap_or_default();
        restored.tokens.reserve(owner.max(given_out(counters)));
        let persisted = persisted.with_settings(
            restored.policy.is_some() && restored.policy == policy_before,
            !tokens_before.is_virgin() && restored.tokens == tokens_before,
        );
        let began_ns = clock.monotonic_ns();
        let changes = restored.shards.iter();
        let changes = changes.map(|shard| shard.scratch.changes.clone()).collect();
        let received_before = restored.received(&blocks);
        let engine = Self {
            time,
            losses: Mutex::new(restored.losses),
            space: Space::new(options.space),
            memory: Memory::new(options.memory_limit_bytes),
            newcomers: Newcomers::new(options.new_series),
            producers: Producers::new(restored.producers),
            retention: Retention::restored(restored.policy),
            tier_fill: TierFill::default(),
            tier_floors: TierFloors::default(),
            archive: OnceLock::new(),
            pace: OnceLock::new(),
            tokens: Tokens::restored(restored.tokens),
            storage,
            options,
            clock,
            catalog: RwLock::new(restored.catalog),
            placement: restored.placement,
            changes,
            shards: restored.shards.into_iter().map(RwLock::new).collect(),
            log,
            blocks,
            deletions: Mutex::new(restored.deletions),
            settled: RwLock::new(restored.settled),
            received_before,
            orphans: Mutex::new(restored.orphans),
            drops: 0.into(),
            history: Mutex::new(history),
            meta,
            indexed: Mutex::default(),
            persisted: Mutex::new(persisted),
            opened: restored.report,
            rejects: crate::engine::rejects::Rejects::default(),
            checkpoints: 0.into(),
            wear: crate::engine::wear::Wear::default(),
            checkpoint_began_ns: began_ns.into(),
            vacancies: Mutex::default(),
        };
        engine.resume_rejects();
        engine.check_space();
        engine.keep_losses();
        Ok(engine)
    }
}

impl Visitor for Restored {
    fn state(&mut self, kind: u8, payload: &[u8]) {
        if kind == STATE_DEFINITIONS {
            self.define(payload, STATE_FILE);
        } else if kind == STATE_POLICY {
            self.policy(STATE_FILE, retention::decode_record(payload));
        } else if kind == STATE_TOKENS {
            if let Err(error) = self.tokens.restore(payload) {
                self.report.problem(format!("{STATE_FILE}: {error}"));
            }
        } else if !self.losses.restore(kind, payload) {
            self.report
                .problem(format!("state record of unknown kind {kind}"));
        }
    }

    fn chunk(&mut self, entry: &ChunkEntry) {
        let meta = &entry.meta;
        if self.is_gone(meta.series) {
            self.orphans.push(*entry);
            return;
        }
        if self.catalog.series(meta.series).is_none() {
            let series = meta.series;
            self.catalog.reserve(
                meta.database.0.saturating_add(1),
                meta.measurement.0.saturating_add(1),
                series.0.saturating_add(1),
            );
            self.report.problem(format!(
                "a chunk belongs to series {series}, which is not defined"
            ));
            return;
        }
        if meta.tier > 0 {
            let shard = &mut self.shards[self.placement.shard(meta.series)];
            if !shard.tiers.insert(self.placement.slot(meta.series), *entry) {
                let tier = meta.tier;
                self.report
                    .problem(format!("a chunk is of tier {tier}, which there is not"));
            }
            return;
        }
        self.report.chunks += 1;
        self.report.chunk_rows += u64::from(meta.rows);
        self.reach(meta.series, meta.last_position);
        let slot = self.placement.slot(meta.series);
        let series = self.shards[self.placement.shard(meta.series)].series_mut(slot);
        series.supersede(meta.first_position, meta.last_position);
        let rank = u8::from(
            series
                .ring
                .iter()
                .any(|c| c.last_position == meta.last_position),
        );
        series.restore(Sealed {
            first_time: meta.first_time,
            last_time: meta.last_time,
            rows: meta.rows,
            len_bytes: entry.len_bytes,
            first_position: meta.first_position,
            last_position: meta.last_position,
            rank,
            overwritten: 0,
            hidden: None,
            location: Location::Stored(*entry),
        });
    }

    fn deletion(&mut self, payload: &[u8]) -> bool {
        let of = |payload: &[u8]| {
            let known = Deletion::decode(payload).is_ok();
            known.then(|| SideRecord::Deletion(payload.to_vec()))
        };
        self.keep_side(payload, &of)
    }

    fn expiry(&mut self, payload: &[u8]) -> bool {
        let of = |payload: &[u8]| {
            let known = Expiry::decode(payload).is_ok();
            known.then(|| SideRecord::Expiry(payload.to_vec()))
        };
        self.keep_side(payload, &of)
    }

    fn producers(&mut self, record: &[u8]) -> bool {
        self.producers.restore(record)
    }

    fn account(&mut self, account: Account) {
        let Account {
            series,
            through,
            overwritten,
        } = account;
        let is_known = self.catalog.series(series).is_some() || self.catalog.is_dropped(series);
        if through > Position(0) && is_known {
            self.reach(series, through);
            let shard = &mut self.shards[self.placement.shard(series)];
            shard
                .series_mut(self.placement.slot(series))
                .leave_through(through);
        }
        if overwritten > 0 {
            self.overwritten.insert(series, overwritten);
        }
    }

    fn image(&mut self, image: ImageRecord<'_>) {
        if self.is_gone(image.series) || self.reached(image.series) >= image.last_position {
            return;
        }
        let mut cells = Cells::default();
        let decoded = Chunk::open(image.bytes).and_then(|chunk| chunk.decode_cells(&mut cells));
        if let Err(error) = decoded {
            self.report
                .problem(format!("image of series {}: {error}", image.series));
            return;
        }
        let Some(layout) = self.layout_of_cells(image.series, &cells) else {
            let series = image.series;
            self.catalog.reserve(0, 0, series.0.saturating_add(1));
            self.report.problem(format!(
                "an image belongs to series {series}, which is not defined"
            ));
            return;
        };
        self.report.images += 1;
        self.reach(image.series, image.last_position);
        let shard = &mut self.shards[self.placement.shard(image.series)];
        let (series, scratch) = shard.series_and_scratch(self.placement.slot(image.series));
        series.supersede(image.first_position, image.last_position);
        let restored = RestoredImage {
            cells: &cells,
            bytes: image.bytes,
            positions: (image.first_position, image.last_position),
            overwritten: self.overwritten.remove(&image.series).unwrap_or(0),
        };
        series.restore_image(&layout, &restored, scratch);
    }
}

impl Restored {
    /// Keeps a record of the image file: its position, and what is there.
    fn keep_side(&mut self, payload: &[u8], of: &dyn Fn(&[u8]) -> Option<SideRecord>) -> bool {
        let Some((at, payload)) = payload.split_first_chunk() else {
            return false;
        };
        let side = of(payload);
        let is_known = side.is_some();
        let at = Position(u64::from_le_bytes(*at));
        if let Some(side) = side {
            self.deletions.entry(at).or_default().push(side);
        }
        is_known
    }

    /// Rows of every database that are accounted for.
    fn received(&self, blocks: &BlockStore) -> BTreeMap<DatabaseId, u64> {
        let mut received = self.settled.sums();
        for (&database, &rows) in self.producers.repeated() {
            *received.entry(database).or_default() += rows;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            let owner = |slot| {
                let id = self.placement.id(index, slot);
                owner_of_series(&self.catalog, id).database
            };
            count_held(blocks, shard, &owner, &mut received);
        }
        received
    }

    fn frame(&mut self, frame: &FrameView<'_>) {
        if frame.gaps_before != self.gaps_before {
            self.gaps_before = frame.gaps_before;
            self.edges.push(Edge {
                at: frame.position,
                before: self.times,
                ..Edge::default()
            });
        }
        match frame.kind {
            FrameType::Definitions => self.define(frame.payload, "log"),
            FrameType::Delete => self.delete(frame.position, frame.payload),
            FrameType::Expire if !mutants::is(Mutant::ForgottenExpiry) => {
                self.expire(frame.position, frame.payload);
            }
            FrameType::Producer => self.producer(frame),
            FrameType::Policy => {
                let policy = RetentionPolicy::decode(frame.payload);
                self.policy("log", policy.map(|policy| (frame.position, policy)));
            }
            FrameType::Token => {
                if let Err(error) = self.tokens.replay(frame.payload) {
                    let problem = format!("token at position {}: {error}", frame.position);
                    self.report.problem(problem);
                }
            }
            FrameType::Rows => {
                self.rows(frame.position, frame.payload);
                if let Some(edge) = self.edges.last_mut() {
                    edge.after = edge.after.or(self.times);
                }
            }
            _ => {}
        }
    }

    fn producer(&mut self, frame: &FrameView<'_>) {
        let (position, end) = (frame.position, frame.end);
        match (frame.producer, ProducerMark::decode(frame.payload)) {
            (Some(part), Ok(mark)) => {
                let through = self.repeated_through;
                self.producers.replay((position, end), part, &mark, through);
            }
            (None, _) => self.report.problem(format!(
                "a producer's frame at position {position} names none"
            )),
            (_, Err(error)) => self
                .report
                .problem(format!("producer at position {position}: {error}")),
        }
    }

    /// Takes a policy, unless a newer one is known.
    fn policy(&mut self, source: &str, policy: Result<(Position, RetentionPolicy), PolicyError>) {
        match policy {
            Ok((position, policy)) => {
                let known = self.policy.as_ref().map(|(position, _)| *position);
                if known.is_none_or(|known| known <= position) {
                    self.policy = Some((position, policy));
                }
            }
            Err(error) => self
                .report
                .problem(format!("{source}: a retention policy: {error}")),
        }
    }

    /// What is lost gets a name and is kept, unless it has one from an earlier start.
    fn name_losses(&mut self, storage: &dyn Storage, found: Timestamp) {
        for gap in &self.report.log.corruption {
            let loss = losses::of_gap(gap, &self.edges, &self.catalog, storage, found);
            if self.losses.add(loss.clone()) {
                losses::complete_report(storage, &loss);
            }
        }
        for damage in &self.report.damage {
            // The other manifest is in force; what the log lacks for it would be a gap.
            if !matches!(damage, Damage::Manifest { .. }) {
                self.losses
                    .add(losses::of_damage(damage, &self.catalog, found));
            }
        }
        for problem in &self.report.problems {
            self.losses.add(losses::of_problem(problem, found));
        }
    }

    fn define(&mut self, payload: &[u8], source: &str) {
        let is_state = source == STATE_FILE;
        let mut failed: Vec<CatalogError> = Vec::new();
        let catalog = &mut self.catalog;
        let mut dropped = Vec::new();
        let mut retired = Vec::new();
        let mut defined_series = 0;
        let decoded = definitions::decode(payload, |definition| {
            let result = match definition {
                Definition::Database { id, name } => catalog.define_database(id, name),
                Definition::Measurement { id, database, name } => {
                    catalog.define_measurement(id, database, name)
                }
                Definition::Column {
                    measurement,
                    id,
                    field_type,
                    name,
                } => catalog.define_column(measurement, id, name, field_type),
                Definition::Series {
                    id,
                    measurement,
                    tags,
                } => {
                    defined_series += 1;
                    catalog.define_series(id, measurement, &tags)
                }
                Definition::Dropped {
                    measurement,
                    series,
                } => {
                    let owner = owner_of(catalog.measurement_by_id(measurement));
                    let gone = catalog.drop_measurement(measurement, &series);
                    dropped.extend(gone.into_iter().map(|id| (id, owner)));
                    Ok(())
                }
                Definition::Retired { runs } => {
                    let mut gone = Vec::new();
                    for run in runs {
                        gone.extend(catalog.retire_series(run));
                    }
                    for entry in gone {
                        let owner = owner_of(catalog.measurement_by_id(entry.measurement));
                        retired.push((entry.id, owner));
                    }
                    Ok(())
                }
                Definition::Mode {
                    measurement,
                    revision,
                    mode,
                } => catalog.define_rule(measurement, revision, RuleChange::Mode(mode)),
                Definition::Field {
                    measurement,
                    revision,
                    name,
                    rule,
                } => catalog.define_rule(measurement, revision, RuleChange::Field(name, rule)),
                Definition::Owner { series, token } => catalog.define_owner(series, token),
            };
            failed.extend(result.err());
        });
        for error in failed {
            self.report.problem(format!("{source}: {error}"));
        }
        for (id, owner) in dropped {
            let slot = self.placement.slot(id);
            let shard = &mut self.shards[self.placement.shard(id)];
            let (series, scratch) = shard.series_and_scratch(slot);
            let gone = series.drop_rows(owner.database, scratch);
            self.settled.dropped(owner, &gone);
            self.orphans.extend(stored_in(&gone.ring));
            self.orphans.extend(shard.tiers.remove(slot));
        }
        for (id, owner) in retired {
            let slot = self.placement.slot(id);
            let shard = &mut self.shards[self.placement.shard(id)];
            if let Some((series, scratch)) = shard.existing(slot) {
                // It is empty, unless a manifest or a part of the log is missing.
                let gone = series.drop_rows(owner.database, scratch);
                self.settled.retired(owner, &gone);
                self.orphans.extend(stored_in(&gone.ring));
                shard.vacate(slot);
            }
        }
        if is_state {
            self.defined_series += defined_series;
        }
        if let Err(error) = decoded {
            self.report.problem(format!("{source}: {error}"));
        }
    }

    fn rows(&mut self, position: Position, payload: &[u8]) {
        let opened = match RowsPayload::open(payload) {
            Ok(opened) => opened,
            Err(error) => {
                self.report
                    .problem(format!("rows at position {position}: {error}"));
                return;
            }
        };
        let layouts: Vec<Option<Arc<Layout>>> = opened
            .layouts
            .iter()
            .map(|layout| self.layout(layout))
            .collect();
        let mut times: Option<(Timestamp, Timestamp)> = None;
        let result = opened.visit(|row| {
            let (least, most) = times.unwrap_or((row.time, row.time));
            times = Some((least.min(row.time), most.max(row.time)));
            let position = row_position(position, row.ordinal);
            if self.reached(row.series) >= position {
                self.report.skipped_rows += 1;
                return;
            }
            if self.catalog.is_dropped(row.series) {
                // It was on its way when the series was dropped.
                self.report.skipped_rows += 1;
                let shard = &mut self.shards[self.placement.shard(row.series)];
                shard.series_mut(self.placement.slot(row.series)).discard(position);
                return;
            }
            let known = self.catalog.series(row.series).map(|series| series.measurement);
            let layout = layouts[row.layout].as_ref().filter(|layout| Some(layout.measurement) == known);
            let Some(layout) = layout else {
                let series = row.series;
                if self.catalog.is_retired(series) {
                    // A manifest counts it.
                    self.report.skipped_rows += 1;
                    return;
                }
                // Whose they were is lost: nobody else may have them.
                let measurement = opened.layouts[row.layout].measurement;
                self.catalog.reserve(0, measurement.0.saturating_add(1), series.0.saturating_add(1));
                self.report.problem(format!("a row at position {position} belongs to series {series}, whose definition is missing"));
                return;
            };
            self.report.replayed_rows += 1;
            if let Some(edge) = self.edges.last_mut() {
                edge.rows += 1;
            }
            let shard = &mut self.shards[self.placement.shard(row.series)];
            let (series, scratch) = shard.series_and_scratch(self.placement.slot(row.series));
            let row = RowRef { time: row.time, bits: row.bits, marks: row.marks, heap: row.heap };
            series.apply(layout, row, position, scratch);
        });
        self.times = times.or(self.times);
        if let Err(error) = result {
            self.report
                .problem(format!("rows at position {position}: {error}"));
        }
    }

    fn layout(&mut self, recorded: &RecordedLayout) -> Option<Arc<Layout>> {
        self.layout_of(recorded.measurement, &recorded.columns)
    }

    fn layout_of_cells(&mut self, series: SeriesId, cells: &Cells) -> Option<Arc<Layout>> {
        let measurement = self.catalog.series(series)?.measurement;
        let columns: Vec<_> = cells.columns.iter().map(|c| (c.id, c.field_type)).collect();
        self.layout_of(measurement, &columns)
    }

    fn layout_of(
        &mut self,
        measurement: crate::types::MeasurementId,
        columns: &[(crate::types::ColumnId, crate::types::FieldType)],
    ) -> Option<Arc<Layout>> {
        let known = self.catalog.measurement_by_id(measurement)?;
        let columns: Vec<LayoutColumn> = columns
            .iter()
            .map(|&(id, field_type)| {
                known
                    .layout_column(id)
                    .filter(|c| c.field_type == field_type)
            })
            .collect::<Option<_>>()?;
        Some(self.catalog.layout(measurement, &columns))
    }

    /// Whether a series was dropped or retired.
    fn is_gone(&self, series: SeriesId) -> bool {
        self.catalog.is_dropped(series) || self.catalog.is_retired(series)
    }

    fn reached(&self, series: SeriesId) -> Position {
        let reached = self.reached.get(series.0 as usize);
        reached.copied().unwrap_or_default()
    }

    fn reach(&mut self, series: SeriesId, position: Position) {
        let reached = self
            .reached
            .get_or_make(series.0 as usize, Position::default);
        *reached = (*reached).max(position);
    }

    fn mark_defined(&mut self, series_end: u32) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            for slot in 0..shard.len() {
                let id = self.placement.id(index, slot);
                let is_there = id.0 < series_end && self.catalog.series(id).is_some();
                if let Some((series, _)) = shard.existing(slot).filter(|_| is_there) {
                    series.defined = u64::MAX;
                }
            }
        }
    }
}
