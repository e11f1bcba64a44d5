//! One series: where a row goes, when a block closes, when a chunk seals.
//!
//! Invariants: staged rows are later than the open chunk's, sorted, unique in time; `newest` is the
//! latest time ever appended in order; everything unsealed lies between `first_position` and
//! `last_position` in the log, and sealing takes all of it, so that one position says what a block file
//! already has.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::block::Encoder;
use crate::codec::chunk::{self, Hints, Joiner};
use crate::codec::{Cells, CodecError, Effort};
use crate::limits::{BLOCK_ROWS, CHUNK_ROWS, LATE_ROWS, STAGING_ROWS};
use crate::series::mapping::{field_of, map_row};
use crate::series::merge::{append_rows, gather_heap, merge, split_off};
use crate::series::open::{self, OpenChunk};
use crate::series::{ChangeCount, Changes, Location, Ring, RowRef, Rows, Sealed, Tombstone};
use crate::types::{DatabaseId, Layout, LayoutColumn, Position, TimeRange, Timestamp};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A new row at the end.
    Appended,
    /// A new row among the staged ones.
    Inserted,
    /// Values of a row with the same time were replaced.
    Overwritten,
    /// Older than what is staged: kept aside, merged when read and when sealed.
    Late,
    /// Gone at once, because the series was dropped before.
    Dropped,
}

/// Buffers that sealing and remapping reuse, and when to seal; one a shard.
#[derive(Debug)]
pub struct Scratch {
    bits: Vec<u64>,
    marks: Vec<u8>,
    /// Blocks of the rows that are staged while a chunk is sealed.
    tail: Vec<u8>,
    encoder: Encoder,
    joiner: Joiner,
    /// Counts the changes of the shard's series.
    pub changes: ChangeCount,
    /// Rows that the staging holds at most.
    staging_rows: usize,
    /// Rows at which a chunk is sealed.
    chunk_rows: usize,
    /// Late rows at which everything unsealed is sealed.
    late_rows: usize,
}

/// The smallest chunks that may be asked for; where that is less than a block they are sealed from the staging.
const CHUNK_ROWS_LEAST: usize = 16;

impl Scratch {
    /// Series seal at this many rows, or so many late ones: at least 16, at most [`CHUNK_ROWS`].
    #[must_use]
    pub fn sealing_at(chunk_rows: usize) -> Self {
        let chunk_rows = chunk_rows.clamp(CHUNK_ROWS_LEAST, CHUNK_ROWS);
        Self {
            bits: Vec::new(),
            marks: Vec::new(),
            tail: Vec::new(),
            encoder: Encoder::default(),
            joiner: Joiner::default(),
            changes: ChangeCount::default(),
            staging_rows: STAGING_ROWS.min(chunk_rows),
            chunk_rows,
            late_rows: LATE_ROWS.min(chunk_rows),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::sealing_at(CHUNK_ROWS)
    }
}

/// Rows and the log positions they came from, for an image of what is not sealed.
#[derive(Debug)]
pub struct UnsealedCells {
    /// The rows, ascending and unique in time.
    pub cells: Cells,
    /// Position of the earliest row.
    pub first_position: Position,
    /// Position of the latest row.
    pub last_position: Position,
}

/// Rows of an image, as they come back.
#[derive(Debug)]
pub struct RestoredImage<'a> {
    /// The rows, ascending and unique in time.
    pub cells: &'a Cells,
    /// The same, as a chunk.
    pub bytes: &'a [u8],
    /// Of the earliest row and of the latest.
    pub positions: (Position, Position),
    /// Rows whose place these took.
    pub overwritten: u32,
}

/// A series. `E` is the block store's name for a place in a block file.
#[derive(Debug)]
pub struct Series<E> {
    layout: Option<Arc<Layout>>,
    newest: Timestamp,
    rows: Rows,
    /// Staged rows at which a block closes or a chunk seals; 0 before that is known.
    staged_max: usize,
    open: OpenChunk,
    first_position: Position,
    last_position: Position,
    sealed_newest: Timestamp,
    stamped: Timestamp,
    late: Option<Box<Rows>>,
    /// The sealed chunks.
    pub ring: Ring<E>,
    /// The log epoch in which this series was last defined; the engine's to keep.
    pub defined: u64,
    /// Unsealed rows whose place others took.
    overwritten: u32,
    /// Rows that came after it was dropped and that no checkpoint has counted.
    discarded: u32,
    /// Chunks up to this position have left the ring.
    left_through: Position,
    /// Whose it was, once it was dropped.
    dropped: Option<DatabaseId>,
    /// What happened besides rows in order; most series have nothing of it.
    changes: Option<Box<Changes>>,
}

/// What went with a series that was dropped.
#[derive(Debug)]
pub struct DroppedRows<E> {
    /// Its sealed chunks.
    pub ring: Ring<E>,
    /// Rows that were not sealed.
    pub unsealed: u64,
    /// Rows whose place these had taken.
    pub overwritten: u64,
}

impl<E: Clone> Default for Series<E> {
    fn default() -> Self {
        Self {
            layout: None,
            newest: Timestamp::MIN,
            rows: Rows::default(),
            staged_max: 0,
            open: OpenChunk::default(),
            first_position: Position(0),
            last_position: Position(0),
            sealed_newest: Timestamp::MIN,
            stamped: Timestamp::MIN,
            late: None,
            ring: Ring::default(),
            defined: 0,
            overwritten: 0,
            discarded: 0,
            left_through: Position(0),
            dropped: None,
            changes: None,
        }
    }
}

impl<E: Clone> Series<E> {
    /// Applies a row. Rows must come in the order of their positions.
    #[inline(always)]
    pub fn apply(
        &mut self,
        layout: &Arc<Layout>,
        row: RowRef<'_>,
        position: Position,
        scratch: &mut Scratch,
    ) -> Applied {
        if self.is_sealed() {
            self.first_position = position;
        }
        self.last_position = position;
        if let Some(own) = &self.layout
            && is_same(own, layout)
            && row.time > self.newest
        {
            self.newest = row.time;
            self.rows.push(layout, row);
            self.make_room(scratch);
            return Applied::Appended;
        }
        // In pieces, so that nobody has to put the row together who does not come here.
        let RowRef {
            time,
            bits,
            marks,
            heap,
        } = row;
        self.apply_slowly(layout, time, bits, marks, heap, scratch)
    }

    /// Applies rows that came behind one another, as [`Self::apply`] does one by one: those that come in order
    /// several at a time. There are `len` rows, `time` knows the time of each, their cells are row-major, and
    /// `first` is the position of the first one. `applied` hears what became of so many rows.
    #[inline(always)]
    pub fn apply_all(
        &mut self,
        layout: &Arc<Layout>,
        (len, time): (usize, impl Fn(usize) -> Timestamp),
        (bits, marks, heap): (&[u64], &[u8], &[u8]),
        first: Position,
        scratch: &mut Scratch,
        mut applied: impl FnMut(Applied, usize),
    ) {
        let stride = layout.stride();
        let mut at = 0;
        while at < len {
            let cells = (&bits[at * stride..], &marks[at * stride..]);
            let position = Position(first.0 + at as u64);
            let rest = (at..len).map(&time);
            let taken = self.append_some(layout, rest, cells, position, scratch);
            if taken > 0 {
                applied(Applied::Appended, taken);
                at += taken;
                continue;
            }
            let row = RowRef {
                time: time(at),
                bits: &cells.0[..stride],
                marks: &cells.1[..stride],
                heap,
            };
            applied(self.apply(layout, row, position, scratch), 1);
            at += 1;
        }
    }

    /// Appends rows up to the next block, as long as they are the series' own and come in order; how many.
    #[inline(always)]
    fn append_some(
        &mut self,
        layout: &Arc<Layout>,
        times: impl Iterator<Item = Timestamp>,
        cells: (&[u64], &[u8]),
        first: Position,
        scratch: &mut Scratch,
    ) -> usize {
        let room = self.staged_max.saturating_sub(self.rows.len());
        let own = self.layout.as_ref();
        if room == 0 || layout.has_bytes || !own.is_some_and(|own| is_same(own, layout)) {
            return 0;
        }
        let newest = self.newest;
        let times = times.take(room);
        let (taken, last) = self.rows.push_rising(layout, newest, times, cells);
        if taken > 0 {
            if self.is_sealed() {
                self.first_position = first;
            }
            self.last_position = Position(first.0 + taken as u64 - 1);
            self.newest = last;
            self.make_room(scratch);
        }
        taken
    }

    /// The time for a row that came without one: the server's, later than all that were given before and than
    /// all rows.
    pub fn stamp(&mut self, now: Timestamp) -> Timestamp {
        let newest = self.stamped.max(self.newest);
        self.stamped = now.max(newest.saturating_add(1));
        self.stamped
    }

    /// Rows that are not in a sealed chunk.
    pub fn unsealed_rows(&self) -> usize {
        self.open.rows() + self.rows.len() + self.late.as_ref().map_or(0, |late| late.len())
    }

    /// Whether every row is in a sealed chunk.
    #[inline]
    pub fn is_sealed(&self) -> bool {
        self.first_position.0 == 0
    }

    /// Position of the earliest row that is not in a sealed chunk.
    pub fn first_unsealed(&self) -> Option<Position> {
        (!self.is_sealed()).then_some(self.first_position)
    }

    /// Position of the latest row.
    pub fn last_position(&self) -> Position {
        self.last_position
    }

    /// Time of the latest row that came in order.
    pub fn newest(&self) -> Option<Timestamp> {
        (self.newest != Timestamp::MIN).then_some(self.newest)
    }

    /// Adopts a chunk that a block file or an image brought back.
    pub fn restore(&mut self, chunk: Sealed<E>) {
        self.newest = self.newest.max(chunk.last_time);
        self.sealed_newest = self.sealed_newest.max(chunk.last_time);
        self.last_position = self.last_position.max(chunk.last_position);
        self.ring.insert(chunk);
    }

    /// Forgets unsealed rows that a later chunk or image, which holds everything between two positions, has too.
    pub fn supersede(&mut self, first: Position, last: Position) {
        if !self.is_sealed() && first <= self.first_position && self.last_position <= last {
            self.forget_unsealed();
        }
    }

    /// Forgets everything, and whatever is applied from now on; tells what it had.
    pub fn drop_rows(&mut self, database: DatabaseId, scratch: &Scratch) -> DroppedRows<E> {
        self.note_change(Timestamp::MIN, Timestamp::MAX, scratch);
        let gone = Self {
            dropped: Some(database),
            last_position: self.last_position,
            left_through: self.last_position,
            changes: self.changes.take(),
            ..Self::default()
        };
        let before = std::mem::replace(self, gone);
        DroppedRows {
            unsealed: before.unsealed_rows() as u64,
            overwritten: u64::from(before.overwritten),
            ring: before.ring,
        }
    }

    /// Whether nothing is left of it: neither rows nor counts of rows that a manifest still has to take over.
    pub fn is_vacant(&self) -> bool {
        self.is_sealed() && self.ring.is_empty() && self.overwritten == 0 && self.dropped.is_none()
    }

    /// Whether it is as if nothing had ever been written to it.
    pub fn is_blank(&self) -> bool {
        self.is_vacant()
            && self.defined == 0
            && self.last_position == Position(0)
            && self.left_through == Position(0)
            && self.stamped == Timestamp::MIN
    }

    /// Whether it was dropped.
    pub fn is_dropped(&self) -> bool {
        self.dropped.is_some()
    }

    /// Whose it was, and rows that came after it was dropped and that no checkpoint has counted.
    pub fn discarded(&self) -> Option<(DatabaseId, u32)> {
        self.dropped.map(|database| (database, self.discarded))
    }

    /// Counts a row that comes after it was dropped.
    pub fn discard(&mut self, position: Position) {
        self.discarded += 1;
        self.last_position = self.last_position.max(position);
    }

    /// A checkpoint has counted so many rows that came after it was dropped.
    pub fn forget_discarded(&mut self, rows: u32) {
        self.discarded -= rows.min(self.discarded);
    }

    /// Up to where rows are accounted for though no chunk has them: chunks have left, or it was dropped.
    pub fn left_through(&self) -> Position {
        if self.is_dropped() {
            self.left_through.max(self.last_position)
        } else {
            self.left_through
        }
    }

    /// Notes that rows up to a position are accounted for.
    pub fn leave_through(&mut self, position: Position) {
        self.left_through = self.left_through.max(position);
        self.last_position = self.last_position.max(position);
    }

    /// Unsealed rows whose place others took.
    pub fn overwritten(&self) -> u32 {
        self.overwritten
    }

    /// Rows that are kept aside because they were late.
    pub fn late_rows(&self) -> usize {
        self.late.as_ref().map_or(0, |late| late.len())
    }

    /// Takes back the rows of an image. None of them was hit by what was deleted before the last one, whatever
    /// came first, so that no part of them may be sealed under an earlier position: what does not stay unsealed
    /// as a whole becomes a chunk as a whole.
    pub fn restore_image(
        &mut self,
        layout: &Arc<Layout>,
        image: &RestoredImage<'_>,
        scratch: &mut Scratch,
    ) {
        let (times, (first, last)) = (&image.cells.times, image.positions);
        let (Some(&first_time), Some(&last_time)) = (times.first(), times.last()) else {
            return;
        };
        let late = times.partition_point(|&time| time <= self.newest);
        if late >= scratch.late_rows || times.len() - late >= scratch.chunk_rows {
            let ranked = |chunk: &Sealed<E>| chunk.last_position == last;
            let rank = u8::from(self.ring.iter().any(ranked));
            self.restore(Sealed {
                first_time,
                last_time,
                rows: times.len() as u32,
                len_bytes: image.bytes.len() as u32,
                first_position: first,
                last_position: last,
                rank,
                overwritten: image.overwritten,
                hidden: None,
                location: Location::Memory(Bytes::copy_from_slice(image.bytes)),
            });
            return;
        }
        let (mut bits, mut marks, mut heap) = (Vec::new(), Vec::new(), Vec::new());
        let mut position = first;
        for (row, &time) in times.iter().enumerate() {
            bits.clear();
            marks.clear();
            heap.clear();
            for column in &image.cells.columns {
                bits.push(column.bits[row]);
                marks.push(column.marks[row]);
            }
            gather_heap(image.cells, row, &mut bits, &mut heap);
            let row = RowRef {
                time,
                bits: &bits,
                marks: &marks,
                heap: &heap,
            };
            self.apply(layout, row, position, scratch);
            position = last;
        }
        self.last_position = last;
        self.overwritten += image.overwritten;
    }

    /// Bytes of memory of rows, open chunk and ring, without sealed chunks' bytes.
    pub fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes()
            + self.open.memory_bytes()
            + self
                .late
                .as_ref()
                .map_or(0, |late| late.memory_bytes() + size_of::<Rows>())
            + self.ring.memory_bytes()
            + self
                .changes
                .as_ref()
                .map_or(0, |changes| changes.memory_bytes())
    }

    /// Seals all rows because no more are expected soon, and gives back the memory that more would go to.
    /// False if there was no row.
    pub fn seal(&mut self, scratch: &mut Scratch) -> Result<bool, CodecError> {
        let sealed = self.seal_rows(scratch)?;
        self.rows = Rows::default();
        self.open = OpenChunk::default();
        Ok(sealed)
    }

    /// Seals all rows. Gives the sealed chunks' bytes in memory to the ring; false if there was no row.
    fn seal_rows(&mut self, scratch: &mut Scratch) -> Result<bool, CodecError> {
        let Some(layout) = self.layout.clone() else {
            return Ok(false);
        };
        if self.is_sealed() {
            return Ok(false);
        }
        if let Some(late) = self.late.take() {
            let mut cells = Cells::default();
            open::decode(self.open.bytes(), &mut cells)?;
            append_rows(&mut cells, &layout, &self.rows);
            let mut late_cells = Cells::default();
            append_rows(&mut late_cells, &layout, &late);
            let mut merged = merge(&[&cells, &late_cells], |id| field_of(&layout, id));
            let boundary = merged
                .times
                .partition_point(|&time| time <= self.sealed_newest);
            let replaced = cells.rows() + late_cells.rows() - merged.rows();
            let mut overwritten = self.overwritten + replaced as u32;
            let newer = split_off(&mut merged, boundary);
            self.insert_cells(&newer, 0, &mut overwritten);
            self.insert_cells(&merged, 1, &mut overwritten);
        } else if let (Some(first_time), Some(last_time)) = self.unsealed_times() {
            let positions = (self.first_position, self.last_position);
            let staged = (&*layout, &self.rows);
            let Scratch {
                encoder,
                joiner,
                tail,
                ..
            } = scratch;
            let makers = (encoder, joiner);
            let bytes = self.open.seal(staged, positions, makers, tail)?;
            let rows = (self.unsealed_rows(), self.overwritten);
            self.insert_chunk(bytes, (first_time, last_time), rows, 0);
        }
        self.forget_unsealed();
        Ok(true)
    }

    /// Whether rows of a range may be there that came before a position.
    pub fn may_hold(&self, tombstone: Tombstone) -> bool {
        let range = tombstone.range;
        let mut chunks = self.ring.overlapping(range);
        self.holds_unsealed(tombstone) || chunks.any(|chunk| !chunk.is_gone())
    }

    /// Whether a row that was there before a tombstone of its time alone is still shown.
    pub fn may_show(&self, tombstone: Tombstone) -> bool {
        let mut chunks = self.ring.overlapping(tombstone.range);
        self.holds_unsealed(tombstone)
            || chunks.any(|chunk| {
                let hidden = chunk.hidden.as_ref();
                hidden.is_none_or(|hidden| !hidden.hides(tombstone.range.start))
            })
    }

    /// Hides all rows of a range that came before a position; whether there are chunks that have some. What is
    /// not sealed and may be hit is sealed first.
    pub fn hide(&mut self, tombstone: Tombstone, scratch: &mut Scratch) -> bool {
        self.note_change(tombstone.range.start, tombstone.range.end, scratch);
        if self.holds_unsealed(tombstone) {
            self.seal_in(tombstone.range, scratch);
        }
        self.ring.hide(tombstone)
    }

    fn holds_unsealed(&self, tombstone: Tombstone) -> bool {
        let first = self.first_unsealed();
        first.is_some_and(|first| first < tombstone.position)
            && self.may_have_unsealed_in(tombstone.range)
    }

    /// Seals what is not sealed, if any of it may be of a range.
    pub fn seal_in(&mut self, range: TimeRange, scratch: &mut Scratch) {
        if self.may_have_unsealed_in(range) {
            self.seal_rows(scratch)
                .expect("blocks that were encoded here decode");
        }
    }

    /// Whether rows of a range may be among those that are not sealed.
    pub fn may_have_unsealed_in(&self, range: TimeRange) -> bool {
        let touches = |times: &[Timestamp]| times.iter().any(|&time| range.contains(time));
        let (open, staged) = (&self.open, self.rows.times());
        touches(staged)
            || self.late.as_ref().is_some_and(|late| touches(late.times()))
            || open.rows() > 0 && range.overlaps(open.first_time(), self.newest)
    }

    fn note_change(&mut self, first: Timestamp, last: Timestamp, scratch: &Scratch) {
        let changes = self.changes.get_or_insert_default();
        changes.note(first, last, &scratch.changes);
    }

    /// What happened to it besides rows in order.
    pub fn changes(&self) -> Option<&Changes> {
        self.changes.as_deref()
    }

    /// A copy of all rows that are not sealed, in order.
    pub fn image(&self) -> Result<Option<UnsealedCells>, CodecError> {
        let Some(layout) = self.layout.as_ref().filter(|_| !self.is_sealed()) else {
            return Ok(None);
        };
        let mut cells = Cells::default();
        open::decode(self.open.bytes(), &mut cells)?;
        append_rows(&mut cells, layout, &self.rows);
        if let Some(late) = &self.late {
            let mut late_cells = Cells::default();
            append_rows(&mut late_cells, layout, late);
            cells = merge(&[&cells, &late_cells], |id| field_of(layout, id));
        }
        Ok(Some(UnsealedCells {
            cells,
            first_position: self.first_position,
            last_position: self.last_position,
        }))
    }

    /// The parts of the unsealed rows, for a reader: layout, open chunk, staged rows, late rows.
    pub(super) fn unsealed(&self) -> Option<(&Arc<Layout>, &OpenChunk, &Rows, Option<&Rows>)> {
        let layout = self.layout.as_ref().filter(|_| !self.is_sealed())?;
        Some((layout, &self.open, &self.rows, self.late.as_deref()))
    }

    /// After a row was staged: seals a chunk's worth, or makes a block of the oldest rows.
    #[inline(always)]
    fn make_room(&mut self, scratch: &mut Scratch) {
        if self.rows.len() >= self.staged_max {
            self.close_block(scratch);
        }
    }

    #[inline(never)]
    fn close_block(&mut self, scratch: &mut Scratch) {
        if self.open.rows() + self.rows.len() >= scratch.chunk_rows {
            self.seal_rows(scratch)
                .expect("blocks that were encoded here decode");
        } else if self.rows.len() >= scratch.staging_rows
            && let Some(layout) = &self.layout
        {
            let staged = (&**layout, &self.rows);
            self.open
                .push_block(staged, BLOCK_ROWS, &mut scratch.encoder);
            self.rows.remove_front(layout, BLOCK_ROWS);
        }
        let left = scratch.chunk_rows - self.open.rows();
        self.staged_max = scratch.staging_rows.min(left);
    }

    #[cold]
    #[inline(never)]
    fn apply_slowly(
        &mut self,
        layout: &Arc<Layout>,
        time: Timestamp,
        bits: &[u64],
        marks: &[u8],
        heap: &[u8],
        scratch: &mut Scratch,
    ) -> Applied {
        let row = RowRef {
            time,
            bits,
            marks,
            heap,
        };
        if self.is_dropped() {
            self.forget_unsealed();
            self.discarded += 1;
            return Applied::Dropped;
        }
        if self.unsealed_rows() == 0 {
            self.layout = Some(Arc::clone(layout));
            self.rows.restart(layout.stride());
        }
        let own = self.own_layout_for(layout);
        let (mut bits, mut marks) = (
            std::mem::take(&mut scratch.bits),
            std::mem::take(&mut scratch.marks),
        );
        let mapped = map_row(&own, layout, row, &mut bits, &mut marks);
        let applied = self.place(&own, mapped, scratch);
        (scratch.bits, scratch.marks) = (bits, marks);
        applied
    }

    fn place(&mut self, layout: &Layout, row: RowRef<'_>, scratch: &mut Scratch) -> Applied {
        if row.time > self.newest {
            self.newest = row.time;
            self.rows.push(layout, row);
            self.make_room(scratch);
            return Applied::Appended;
        }
        self.note_change(row.time, row.time, scratch);
        if self
            .rows
            .times()
            .first()
            .is_some_and(|&first| row.time >= first)
        {
            return match self.rows.times().binary_search(&row.time) {
                Ok(at) => {
                    self.rows.overwrite(layout, at, row);
                    self.overwritten += 1;
                    Applied::Overwritten
                }
                Err(at) => {
                    self.rows.insert(layout, at, row);
                    self.make_room(scratch);
                    Applied::Inserted
                }
            };
        }
        let late = self.late.get_or_insert_default();
        late.push(layout, row);
        if late.len() >= scratch.late_rows {
            self.seal_rows(scratch)
                .expect("blocks that were encoded here decode");
        }
        Applied::Late
    }

    /// The series' layout, widened where the row has columns that it lacks.
    fn own_layout_for(&mut self, layout: &Arc<Layout>) -> Arc<Layout> {
        let Some(own) = self.layout.clone() else {
            return Arc::clone(layout);
        };
        if own.id == layout.id && own.id != Layout::PRIVATE {
            return own;
        }
        let missing: Vec<LayoutColumn> = layout
            .columns
            .iter()
            .filter(|column| own.index_of(column.id).is_none())
            .copied()
            .collect();
        if missing.is_empty() {
            return own;
        }
        let columns: Box<[LayoutColumn]> = own.columns.iter().copied().chain(missing).collect();
        let places: Vec<usize> = (0..own.stride()).collect();
        self.rows.widen(own.stride(), columns.len(), &places);
        if let Some(late) = &mut self.late {
            late.widen(own.stride(), columns.len(), &places);
        }
        let widened = Layout::new(Layout::PRIVATE, layout.measurement, columns);
        self.layout = Some(Arc::clone(&widened));
        widened
    }

    /// Of the first and the last row of blocks and staging.
    fn unsealed_times(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let staged = self.rows.times();
        let first = (self.open.rows() > 0).then(|| self.open.first_time());
        // Rows stay staged whenever there are any.
        (first.or(staged.first().copied()), staged.last().copied())
    }

    fn insert_cells(&mut self, cells: &Cells, rank: u8, overwritten: &mut u32) {
        let (Some(&first), Some(&last)) = (cells.times.first(), cells.times.last()) else {
            return;
        };
        let positions = (self.first_position, self.last_position);
        let bytes = chunk::encode(cells, positions, &mut Hints::default(), Effort::Cheap);
        let rows = (cells.rows(), std::mem::take(overwritten));
        self.insert_chunk(bytes, (first, last), rows, rank);
    }

    fn insert_chunk(
        &mut self,
        bytes: Vec<u8>,
        (first_time, last_time): (Timestamp, Timestamp),
        (rows, overwritten): (usize, u32),
        rank: u8,
    ) {
        self.sealed_newest = self.sealed_newest.max(last_time);
        self.ring.insert(Sealed {
            first_time,
            last_time,
            rows: rows as u32,
            len_bytes: bytes.len() as u32,
            first_position: self.first_position,
            last_position: self.last_position,
            rank,
            overwritten,
            hidden: None,
            location: Location::Memory(Bytes::from(bytes)),
        });
    }

    fn forget_unsealed(&mut self) {
        self.open.clear();
        self.rows.clear();
        self.staged_max = 0;
        self.late = None;
        self.overwritten = 0;
        self.first_position = Position(0);
    }
}

/// Whether rows of one layout are rows of the other; most often it is the very same.
#[inline(always)]
fn is_same(own: &Arc<Layout>, layout: &Arc<Layout>) -> bool {
    Arc::ptr_eq(own, layout) || own.id == layout.id && own.id != Layout::PRIVATE
}
