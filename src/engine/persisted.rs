//! What the state file has of the catalog, of the policy and of tokens, and what it lacks: a checkpoint appends the news, a new
//! file gets all of it.

use std::sync::atomic::Ordering;

use crate::catalog::{Catalog, Column, SeriesSet};
use crate::engine::Engine;
use crate::engine::retention::STATE_POLICY;
use crate::engine::rules::encode_change;
use crate::engine::tokens::STATE_TOKENS;
use crate::limits::MEASUREMENTS_RESERVED;
use crate::log::definitions::{Definition, encode_dropped, encode_retired, encode_series};
use crate::mutants::{self, Mutant};
use crate::types::MeasurementId;

/// How much of the catalog somebody has.
#[derive(Clone, Debug, Default)]
pub(super) struct Persisted {
    dropped: usize,
    pub(super) databases: usize,
    pub(super) measurements: usize,
    columns: Vec<usize>,
    /// By measurement, the revision of its rules.
    rules: Vec<u64>,
    pub(super) series: u32,
    retired: SeriesSet,
    /// Series that the state file defines, those among them that are gone.
    pub(super) defined_series: u64,
    /// The revision of the retention policy.
    policy: u64,
    /// The revision of the tokens.
    tokens: u64,
}

/// The kind of a state record that holds definitions.
pub(super) const STATE_DEFINITIONS: u8 = 1;
/// The highest byte of the keys of a manifest's counters of columns.
const COLUMN_KEYS: u64 = b'C' as u64;
/// Bytes of definitions in one state record.
const RECORD_BYTES: usize = 32 * 1024;
/// Runs of series in one definition.
const RECORD_RUNS: usize = 2048;
/// Series that are gone, and that a state file may define beside as many as are there.
const GONE_SERIES: u64 = 1024;

/// What the next checkpoint writes to the state file.
pub(super) struct StateNews {
    /// By their kinds.
    pub(super) records: Vec<(u8, Vec<u8>)>,
    /// What it has with them.
    pub(super) reached: Persisted,
    /// How many layouts there are.
    pub(super) layouts: usize,
    /// Whether they are all that there is, for a new file.
    pub(super) is_whole: bool,
}

impl Engine {
    /// What the state file lacks, but for losses; or all that there is, where much of the file is of series that are
    /// gone, or it cannot be appended to.
    pub(super) fn state_news(&self, persisted: &Persisted) -> StateNews {
        let nothing = Persisted::default();
        let catalog = self.catalog.read();
        let is_first = self.checkpoints.load(Ordering::Relaxed) == 0;
        let there = catalog.series_count() as u64;
        let is_whole = self.opened.state_rewrite_needed && is_first
            || persisted.defined_series > 2 * there + GONE_SERIES;
        let persisted = if is_whole { &nothing } else { persisted };
        let (records, mut reached) = news(&catalog, persisted);
        let layouts = catalog.layout_count();
        drop(catalog);
        // Behind the position where a replay begins: a change that comes now has its frame there.
        let policy = self.retention.settled();
        let policy = policy.filter(|policy| policy.revision > persisted.policy);
        if let Some(policy) = &policy {
            reached.policy = policy.revision;
        }
        let policy = policy.filter(|_| !mutants::is(Mutant::ForgottenPolicy));
        let records = records.into_iter();
        let records = records.map(|record| (STATE_DEFINITIONS, record));
        let policy = policy.map(|policy| (STATE_POLICY, policy.record()));
        let (tokens, revision) = self.tokens.settled();
        let is_news = revision > persisted.tokens && !mutants::is(Mutant::ForgottenTokens);
        reached.tokens = revision;
        let tokens = is_news.then(|| (STATE_TOKENS, tokens.list().encode()));
        StateNews {
            records: records.chain(policy).chain(tokens).collect(),
            reached,
            layouts,
            is_whole,
        }
    }
}

/// What the catalog has beyond `since`, as records of definitions, and how much it has now.
pub(super) fn news(catalog: &Catalog, since: &Persisted) -> (Vec<Vec<u8>>, Persisted) {
    let mut reached = since.clone();
    let mut records = vec![Vec::new()];
    let mut add = |encode: &dyn Fn(&mut Vec<u8>)| {
        if records
            .last()
            .is_some_and(|last| last.len() >= RECORD_BYTES)
        {
            records.push(Vec::new());
        }
        if let Some(last) = records.last_mut() {
            encode(last);
        }
    };
    // They come before series that have their keys now, and did not go with their measurement.
    for runs in catalog
        .retired()
        .runs_beyond(&since.retired)
        .chunks(RECORD_RUNS)
    {
        add(&|out| encode_retired(out, runs));
    }
    reached.retired = catalog.retired().clone();
    // Likewise measurements that have their names.
    for dropped in &catalog.dropped()[since.dropped..] {
        add(&|out| encode_dropped(out, dropped.measurement, &dropped.series));
    }
    reached.dropped = catalog.dropped().len();
    for database in catalog
        .databases()
        .filter(|d| d.id.0 as usize >= since.databases)
    {
        add(&|out| {
            Definition::Database {
                id: database.id,
                name: &database.name,
            }
            .encode(out);
        });
        reached.databases = database.id.0 as usize + 1;
    }
    for measurement in catalog.measurements() {
        let index = measurement.id.0 as usize;
        if index >= since.measurements {
            let (id, database, name) = (measurement.id, measurement.database, &*measurement.name);
            add(&|out| Definition::Measurement { id, database, name }.encode(out));
            reached.measurements = index + 1;
        }
        if reached.columns.len() <= index {
            reached.columns.resize(index + 1, 0);
        }
        let columns = measurement.columns()[reached.columns[index]..].iter();
        for column in columns.filter(|column| column.is_known()) {
            add(&|out| encode_column(out, measurement.id, column));
        }
        reached.columns[index] = measurement.columns().len();
        if reached.rules.len() <= index {
            reached.rules.resize(index + 1, 0);
        }
        for (revision, change) in measurement.rules().since(reached.rules[index]) {
            add(&|out| encode_change(out, measurement.id, revision, &change));
        }
        reached.rules[index] = measurement.rules().revision();
    }
    for series in catalog.series_from(since.series) {
        add(&|out| {
            let tags = series.tags.iter().map(|(name, value)| (&**name, &**value));
            encode_series(out, series.id, series.measurement, series.tags.len(), tags);
        });
        if let Some(token) = catalog.owner(series.id) {
            let series = series.id;
            add(&|out| Definition::Owner { series, token }.encode(out));
        }
        reached.defined_series += 1;
    }
    reached.series = catalog.series_end();
    records.retain(|record| !record.is_empty());
    (records, reached)
}

/// Appends the definition of a column.
pub(super) fn encode_column(out: &mut Vec<u8>, measurement: MeasurementId, column: &Column) {
    Definition::Column {
        measurement,
        id: column.id,
        field_type: column.field_type,
        name: &column.name,
    }
    .encode(out);
}

impl Persisted {
    /// How many column numbers each measurement has given out, as counters of a manifest: where a definition is
    /// lost, its number must not become another column's.
    pub(super) fn column_counters(&self) -> impl Iterator<Item = (u64, u64)> {
        let counted = self.columns.iter().take(MEASUREMENTS_RESERVED).enumerate();
        let counted = counted.filter(|(_, columns)| **columns > 0);
        counted.map(|(measurement, columns)| {
            (
                COLUMN_KEYS << 56 | (measurement as u64) << 24,
                *columns as u64,
            )
        })
    }

    /// What such a counter says, if it is one.
    pub(super) fn columns_of_counter(&(key, value): &(u64, u64)) -> Option<(MeasurementId, u16)> {
        let is_one = key >> 56 == COLUMN_KEYS && key.trailing_zeros() >= 24;
        let measurement = MeasurementId((key >> 24) as u32);
        is_one.then_some((measurement, u16::try_from(value).unwrap_or(u16::MAX)))
    }

    /// Series numbers below this are had.
    pub(super) fn series_end(&self) -> u32 {
        self.series
    }

    /// The same, with the policy and the tokens that the store was opened with, or without them.
    pub(super) fn with_settings(self, has_policy: bool, has_tokens: bool) -> Self {
        Self {
            policy: u64::from(has_policy),
            tokens: u64::from(has_tokens),
            ..self
        }
    }
}
