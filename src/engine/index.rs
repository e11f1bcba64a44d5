//! The metadata index follows the catalog: it is told what is new, in batches, behind the durable position.
//!
//! After a start everything is told again, which writes nothing where it is known; then the records are
//! counted. An index that was removed, replaced by another copy, or damaged is found by the position that it
//! has, and is told everything anew. No failure of the index ever reaches a writer or a reader.

use std::time::Duration;

use crate::catalog::{Catalog, Measurement, RuleChange, SeriesSet};
use crate::engine::Engine;
use crate::meta::{
    Batch, ColumnRecord, Counts, DatabaseRecord, FieldRecord, MeasurementRecord, MetaError,
    PoolFigures, SeriesRecord,
};
use crate::types::{Position, SeriesId};

/// How much of the catalog the index has.
#[derive(Clone, Debug, Default)]
pub(super) struct Indexed {
    generation: u64,
    dropped: usize,
    databases: usize,
    measurements: usize,
    columns: Vec<usize>,
    /// By measurement, the revision of its rules.
    rules: Vec<u64>,
    series: u32,
    retired: SeriesSet,
    /// Records that the catalog had when all had been told.
    told: Counts,
    /// The position that was told last: the index has another one only if it was replaced.
    applied: Option<Position>,
    /// Whether it was counted after everything had been told.
    is_counted: bool,
    /// Why it does not follow now.
    trouble: Option<String>,
}

/// How the index does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexUse {
    /// What it has reaches up to this position.
    pub applied: Option<Position>,
    /// Whether it has everything that the catalog has.
    pub is_whole: bool,
    /// Why it does not follow now.
    pub trouble: Option<String>,
    /// Its connections.
    pub pool: Option<PoolFigures>,
}

/// Series told in one transaction.
const SERIES_MAX: usize = 20_000;
/// Transactions of one tick, so that a million new series do not keep checkpoints waiting.
const BATCHES_PER_TICK: usize = 5;
/// How long somebody who asks how the index does waits for it to be told something.
const PATIENCE: Duration = Duration::from_millis(200);

impl Engine {
    /// Brings the index up to the catalog; whether that could be done.
    pub fn index(&self) -> bool {
        self.index_batches(usize::MAX)
    }

    /// As [`Self::index`], as far as one tick goes.
    pub(super) fn index_some(&self) {
        self.index_batches(BATCHES_PER_TICK);
    }

    /// How the index does.
    pub fn index_use(&self) -> IndexUse {
        let Some(indexed) = self.indexed.try_lock_for(PATIENCE) else {
            return IndexUse {
                trouble: Some("what it is being told takes long".to_owned()),
                pool: self.meta.pool(),
                ..IndexUse::default()
            };
        };
        IndexUse {
            applied: indexed.applied,
            is_whole: indexed.trouble.is_none()
                && indexed.generation == self.catalog.read().generation(),
            trouble: indexed.trouble.clone(),
            pool: self.meta.pool(),
        }
    }

    fn index_batches(&self, batches_max: usize) -> bool {
        let mut indexed = self.indexed.lock();
        let mut result = self.follow(&mut indexed, batches_max);
        let again = match &result {
            Err(MetaError::Damaged { reason }) => {
                tracing::warn!(
                    reason,
                    "the metadata index is damaged: set aside, built anew"
                );
                self.meta.rebuild().map(|_| true)
            }
            Err(MetaError::Contradiction { reason }) => {
                tracing::warn!(
                    reason,
                    "the metadata index is not of this store: built anew"
                );
                self.meta.clear().map(|()| true)
            }
            _ => Ok(false),
        };
        match again {
            Ok(true) => {
                indexed.begin_anew();
                result = self.follow(&mut indexed, batches_max);
            }
            Ok(false) => {}
            Err(error) => result = Err(error),
        }
        indexed.note(result)
    }

    fn follow(&self, indexed: &mut Indexed, batches_max: usize) -> Result<(), MetaError> {
        let found = self.meta.applied()?;
        if indexed.generation > 0 || indexed.applied.is_some() {
            if found != indexed.applied {
                tracing::warn!("the metadata index was replaced: told everything anew");
                indexed.begin_anew();
            }
        } else if found.is_some_and(|found| found > self.log.end()) {
            tracing::warn!("the metadata index is ahead of the log: built anew");
            self.meta.clear()?;
        }
        for _ in 0..batches_max {
            let durable = self.log.durable();
            let (batch, mut reached, more) = {
                let catalog = self.catalog.read();
                if catalog.generation() == indexed.generation {
                    break;
                }
                news(&catalog, indexed)
            };
            // The first batch is told even if it is empty, so that the index has a position.
            if !batch.is_empty() || reached.applied.is_none() {
                self.meta.apply(&batch, durable)?;
                reached.applied = Some(durable);
            }
            *indexed = reached;
            if !more {
                break;
            }
        }
        self.compare_counts(indexed)
    }

    /// Compares what was told with what is there, once everything has been told.
    fn compare_counts(&self, indexed: &mut Indexed) -> Result<(), MetaError> {
        if indexed.is_counted || indexed.generation == 0 {
            return Ok(());
        }
        if self.meta.counts()? == indexed.told {
            indexed.is_counted = true;
            return Ok(());
        }
        Err(MetaError::Contradiction {
            reason: "it has records that nobody told it".to_owned(),
        })
    }
}

impl Indexed {
    /// Forgets what was told.
    fn begin_anew(&mut self) {
        *self = Self {
            trouble: self.trouble.take(),
            ..Self::default()
        };
    }

    /// Says what keeps the index from following, once, and once that it follows again.
    fn note(&mut self, result: Result<(), MetaError>) -> bool {
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the metadata index follows again");
                }
                true
            }
            Err(error) => {
                if self.trouble.is_none() {
                    tracing::warn!(%error, "the metadata index does not follow; it is tried again");
                }
                self.trouble = Some(error.to_string());
                false
            }
        }
    }
}

fn news(catalog: &Catalog, since: &Indexed) -> (Batch, Indexed, bool) {
    let mut batch = Batch::default();
    let mut reached = since.clone();
    let dropped = &catalog.dropped()[since.dropped..];
    let removed = dropped.iter().map(|dropped| dropped.measurement);
    batch.removed_measurements.extend(removed);
    reached.dropped = catalog.dropped().len();
    let mut more = false;
    if since.applied.is_none() {
        // Nothing was told yet. Whether it has any of them is seen when its records are counted.
        reached.retired = catalog.retired().clone();
    }
    for run in catalog.retired().runs_beyond(&reached.retired) {
        let room = SERIES_MAX - batch.removed_series.len();
        let end = run.end.min(run.start.saturating_add(room as u32));
        let removed = (run.start..end).map(SeriesId);
        batch.removed_series.extend(removed);
        reached.retired.insert_run(run.start..end);
        if end < run.end {
            more = true;
            break;
        }
    }
    for database in catalog.databases() {
        if database.id.0 as usize >= since.databases {
            reached.databases = database.id.0 as usize + 1;
            batch.databases.push(DatabaseRecord {
                id: database.id,
                name: database.name.to_string(),
            });
        }
    }
    for measurement in catalog.measurements() {
        let index = measurement.id.0 as usize;
        if reached.rules.len() <= index {
            reached.rules.resize(index + 1, 0);
        }
        let rules = measurement.rules();
        let known_rules = std::mem::replace(&mut reached.rules[index], rules.revision());
        if index >= since.measurements || rules.revision() > known_rules {
            reached.measurements = reached.measurements.max(index + 1);
            batch.measurements.push(MeasurementRecord {
                id: measurement.id,
                database: measurement.database,
                name: measurement.name.to_string(),
                mode: rules.mode(),
            });
        }
        add_fields(&mut batch, measurement, known_rules);
        if reached.columns.len() <= index {
            reached.columns.resize(index + 1, 0);
        }
        let known = std::mem::replace(&mut reached.columns[index], measurement.columns().len());
        batch.columns.extend(
            measurement.columns()[known..]
                .iter()
                .filter(|column| column.is_known())
                .map(|column| ColumnRecord {
                    measurement: measurement.id,
                    id: column.id,
                    field: column.name.to_string(),
                    field_type: column.field_type,
                }),
        );
    }
    for series in catalog.series_from(since.series) {
        if batch.series.len() == SERIES_MAX {
            more = true;
            break;
        }
        reached.series = series.id.0 + 1;
        let measurement = catalog.measurement_by_id(series.measurement);
        batch.series.push(SeriesRecord {
            id: series.id,
            database: measurement.map_or_else(Default::default, |m| m.database),
            measurement: series.measurement,
            tags: tags_text(&series.tags),
        });
    }
    if !more {
        reached.generation = catalog.generation();
        reached.told = Counts {
            databases: catalog.databases().count() as u64,
            measurements: catalog.measurements().count() as u64,
            columns: catalog
                .measurements()
                .map(|m| {
                    m.columns()
                        .iter()
                        .filter(|column| column.is_known())
                        .count() as u64
                })
                .sum(),
            series: catalog.series_count() as u64,
            fields: catalog
                .measurements()
                .map(|m| m.rules().fields().count() as u64)
                .sum(),
        };
    }
    (batch, reached, more)
}

/// What was declared or withdrawn of fields since a revision of the rules.
fn add_fields(batch: &mut Batch, measurement: &Measurement, since: u64) {
    for (_, change) in measurement.rules().since(since) {
        match change {
            RuleChange::Field(name, Some(rule)) => batch.fields.push(FieldRecord {
                measurement: measurement.id,
                name: name.to_owned(),
                rule,
            }),
            RuleChange::Field(name, None) => {
                let removed = (measurement.id, name.to_owned());
                batch.removed_fields.push(removed);
            }
            RuleChange::Mode(_) => {}
        }
    }
}

/// `name=value,name=value`, with the escapes of line protocol.
fn tags_text(tags: &[crate::catalog::Tag]) -> String {
    let mut text = String::new();
    for (i, (name, value)) in tags.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        for (part, end) in [(name, "="), (value, "")] {
            for character in part.chars() {
                if matches!(character, ',' | '=' | ' ') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.push_str(end);
        }
    }
    text
}
