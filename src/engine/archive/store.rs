//! An archive that is a store of its own, in a folder of its own: on another device, if it is to be of use.
//!
//! Rows go in as rows do, under their own names, so that a row that comes again takes its own place, and the folder is
//! one that a server can be started on, a backup, `inspect` and everything else that stores have included.

use std::any::Any;
use std::sync::Arc;

use edgetime_protocol::cell::MARK_NULL;
use parking_lot::Mutex;

use super::{ArchiveError, ArchiveRows, ArchiveSink};
use crate::codec::CellColumn;
use crate::engine::{Access, Batch, Engine, EngineError};
use crate::types::FieldType;

/// Bytes of rows that are written at a time.
const BATCH_BYTES: usize = 256 * 1024;

/// The store, and what keeps others out of its folder.
pub struct StoreArchive {
    engine: Arc<Engine>,
    batch: Mutex<Batch>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for StoreArchive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreArchive").finish_non_exhaustive()
    }
}

impl StoreArchive {
    /// Rows go into a store that nobody else writes; `lock` is held as long as this is there.
    pub fn new(engine: Arc<Engine>, lock: Box<dyn Any + Send + Sync>) -> Self {
        Self {
            batch: Mutex::new(engine.batch()),
            engine,
            _lock: lock,
        }
    }

    /// Rows of some columns, no two of one field.
    fn put(
        &self,
        rows: &ArchiveRows<'_>,
        lanes: &[(&str, FieldType, &CellColumn)],
    ) -> Result<(), EngineError> {
        let engine = &self.engine;
        let database = engine.resolve_database(&Access::full(), rows.database)?;
        let mut tags: Vec<(&str, &str)> = rows.tags.iter().map(|(n, v)| (&**n, &**v)).collect();
        let series = engine.resolve_series(database, rows.measurement, &mut tags)?;
        let fields: Vec<(&str, FieldType)> =
            lanes.iter().map(|(name, kind, _)| (*name, *kind)).collect();
        let plan = engine.resolve_layout(series.measurement, &fields)?;
        let mut batch = self.batch.lock();
        batch.clear();
        let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &time) in rows.cells.times.iter().enumerate() {
            if lanes
                .iter()
                .all(|(.., column)| column.marks[row] == MARK_NULL)
            {
                continue;
            }
            bits.clear();
            marks.clear();
            heap.clear();
            for at in 0..lanes.len() {
                let source = plan
                    .sources
                    .as_ref()
                    .map_or(at, |sources| sources[at].into());
                let (_, kind, column) = lanes[source];
                let mark = column.marks[row];
                let is_bytes = matches!(kind, FieldType::String | FieldType::Binary);
                if is_bytes && mark != MARK_NULL {
                    let value = column.bytes(row);
                    bits.push(edgetime_protocol::cell::heap(
                        heap.len() as u32,
                        value.len() as u32,
                    ));
                    heap.extend_from_slice(value);
                } else {
                    bits.push(column.bits[row]);
                }
                marks.push(mark);
            }
            let layout = batch.layout_index(&plan.layout);
            batch.push(series, layout, Some(time), (&bits, &marks, &heap), 0);
            if batch.size_bytes() >= BATCH_BYTES {
                self.write(&mut batch)?;
            }
        }
        self.write(&mut batch)
    }

    /// Writes a batch; where the log is full a checkpoint makes room.
    fn write(&self, batch: &mut Batch) -> Result<(), EngineError> {
        let mut has_made_room = false;
        loop {
            let written = self.engine.write(batch);
            match written.error {
                None => {
                    batch.clear();
                    return Ok(());
                }
                Some(error @ EngineError::Busy) if has_made_room && written.rows == 0 => {
                    return Err(error);
                }
                Some(EngineError::Busy) => {
                    self.engine.checkpoint()?;
                    has_made_room = true;
                }
                Some(error) => return Err(error),
            }
        }
    }
}

impl ArchiveSink for StoreArchive {
    fn keep(&self, rows: &ArchiveRows<'_>) -> Result<(), ArchiveError> {
        let columns = rows.fields.iter().zip(&rows.cells.columns);
        let mut left: Vec<(&str, FieldType, &CellColumn)> = columns
            .map(|((name, kind), column)| (&**name, *kind, column))
            .collect();
        // Rows that have a field in several types go in once for each.
        while !left.is_empty() {
            let (mut lanes, mut others) =
                (Vec::<(&str, FieldType, &CellColumn)>::new(), Vec::new());
            for lane in left {
                if lanes.iter().any(|(name, ..)| *name == lane.0) {
                    others.push(lane);
                } else {
                    lanes.push(lane);
                }
            }
            self.put(rows, &lanes).map_err(failed)?;
            left = others;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), ArchiveError> {
        self.engine.sync().map_err(failed)?;
        self.engine.tick().map_err(failed)?;
        Ok(())
    }

    fn close(&self) -> Result<(), ArchiveError> {
        self.engine.sync().map_err(failed)?;
        self.engine.index();
        self.engine.checkpoint_everything().map_err(failed)?;
        self.engine.seal_log().map_err(failed)?;
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn failed(error: EngineError) -> ArchiveError {
    ArchiveError {
        reason: error.to_string(),
    }
}
