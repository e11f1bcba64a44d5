//! Pieces that overlap in time, read stretch by stretch.
//!
//! Where a piece begins or ends, a stretch ends. Where only one chunk has rows in a stretch it is read as
//! if it were alone; otherwise the rows of all are merged. A piece is decoded when the first stretch needs
//! it and let go behind its last row, so that no more are held than overlap at one time.

use std::collections::VecDeque;
use std::ops::Range;

use super::Reading;
use super::chunk::{self, decode_column};
use super::piece::{Decoded, Piece, Placed};
use crate::codec::CodecError;
use crate::limits::CHUNK_ROWS;
use crate::series::merge::{merge_vectors, slice};
use crate::types::{FieldId, LayoutColumn, TimeRange, Timestamp};

/// Rows of each piece that are merged at a time, where many overlap.
const ROWS_PER_PIECE: usize = 64;

/// What a call came to.
pub(super) enum Step {
    /// A stretch was read; it may have been empty.
    Read,
    /// Nothing is left.
    End,
}

/// A group of overlapping pieces.
#[derive(Debug)]
pub(super) struct Overlap<E> {
    pieces: Vec<Member<E>>,
    /// First and last time of each stretch, ascending.
    stretches: VecDeque<(Timestamp, Timestamp)>,
}

/// A piece and what is decoded of it.
#[derive(Debug)]
struct Member<E> {
    placed: Placed<E>,
    /// All its times, once they were needed.
    times: Option<Vec<Timestamp>>,
    /// All its columns and lanes, once they were needed.
    columns: Option<Decoded>,
}

impl<E> Overlap<E> {
    pub(super) fn new(group: Vec<Placed<E>>, range: TimeRange) -> Self {
        let mut pieces: Vec<Member<E>> = group
            .into_iter()
            .map(|placed| Member {
                placed,
                times: None,
                columns: None,
            })
            .collect();
        pieces.sort_by_key(|member| member.placed.precedence);
        Self {
            stretches: stretches(&pieces, range),
            pieces,
        }
    }

    /// Reads the next stretch.
    pub(super) fn next<X: From<CodecError>>(
        &mut self,
        reading: &mut Reading<'_, E, X>,
    ) -> Result<Step, X> {
        let newest_first = reading.demand.newest_first;
        let stretch = if newest_first {
            self.stretches.pop_back()
        } else {
            self.stretches.pop_front()
        };
        let Some((from, to)) = stretch else {
            return Ok(Step::End);
        };
        self.pieces.retain(|member| {
            if newest_first {
                member.placed.first_time <= to
            } else {
                member.placed.last_time >= from
            }
        });
        self.read(from, to, reading)?;
        Ok(Step::Read)
    }

    fn read<X: From<CodecError>>(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        reading: &mut Reading<'_, E, X>,
    ) -> Result<(), X> {
        let mut places: Vec<usize> = (0..self.pieces.len())
            .filter(|&place| self.pieces[place].placed.touches(from, to))
            .collect();
        // What costs least to look into comes first, so that the last one need not be looked into at all.
        places.sort_by_key(|&place| self.pieces[place].cost());
        let mut found: Vec<(usize, Range<usize>)> = Vec::new();
        let mut rest = places.as_slice();
        while let [place, behind @ ..] = rest {
            rest = behind;
            let member = &mut self.pieces[*place];
            if behind.is_empty() && found.is_empty() && member.is_closed_chunk() {
                return chunk::read(&member.placed, closed(from, to), reading);
            }
            let rows = member.rows_of(from, to, reading)?;
            if !rows.is_empty() {
                found.push((*place, rows));
            }
        }
        match found.as_slice() {
            [] => Ok(()),
            [(place, _)] if self.pieces[*place].columns.is_none() => {
                chunk::read(&self.pieces[*place].placed, closed(from, to), reading)
            }
            _ => {
                found.sort_by_key(|(place, _)| *place);
                self.merge(&found, reading)
            }
        }
    }

    fn merge<X: From<CodecError>>(
        &mut self,
        found: &[(usize, Range<usize>)],
        reading: &mut Reading<'_, E, X>,
    ) -> Result<(), X> {
        let all: Vec<LayoutColumn> = reading
            .columns
            .iter()
            .chain(reading.lanes)
            .copied()
            .collect();
        let fields: Vec<FieldId> = all.iter().map(|column| column.field).collect();
        let mut sources = Vec::with_capacity(found.len());
        for (place, rows) in found {
            let (times, columns) = self.pieces[*place].decoded(&all, reading)?;
            let columns = columns
                .iter()
                .map(|column| slice(column, rows.clone()))
                .collect();
            sources.push((times[rows.clone()].to_vec(), columns));
        }
        let (times, mut merged) = merge_vectors(&sources, &fields);
        merged.truncate(reading.columns.len());
        let rows = 0..times.len();
        reading.emit((times, merged), rows);
        Ok(())
    }
}

impl<E> Placed<E> {
    /// Whether it may have rows between two times, both included.
    const fn touches(&self, from: Timestamp, to: Timestamp) -> bool {
        self.first_time <= to && from <= self.last_time
    }
}

impl<E> Member<E> {
    /// A sealed chunk of which nothing is known but its header.
    const fn is_closed_chunk(&self) -> bool {
        matches!(self.placed.piece, Piece::Sealed(_)) && self.columns.is_none()
    }

    /// What it costs to find its rows.
    const fn cost(&self) -> (bool, usize) {
        let known = self.times.is_some() || self.columns.is_some();
        (!known && self.is_closed_chunk(), self.placed.rows)
    }

    /// Its rows that are shown between two times, both included.
    fn rows_of<X: From<CodecError>>(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        reading: &mut Reading<'_, E, X>,
    ) -> Result<Range<usize>, X> {
        let from = from.max(self.placed.first_time);
        let to = to.min(self.placed.last_time);
        let times = if let Some((times, _)) = &self.columns {
            times
        } else if let Some(times) = &self.times {
            times
        } else if self.is_closed_chunk() {
            let chunk = self.placed.piece.open(reading.fetch)?;
            let mut times = Vec::with_capacity(chunk.rows());
            chunk.decode_times(&mut times)?;
            self.times.insert(times)
        } else {
            let all: Vec<LayoutColumn> = reading
                .columns
                .iter()
                .chain(reading.lanes)
                .copied()
                .collect();
            &self.decoded(&all, reading)?.0
        };
        let start = times.partition_point(|&time| time < from);
        let end = times.partition_point(|&time| time <= to).max(start);
        Ok(start..end)
    }

    /// All its rows, with columns and lanes.
    fn decoded<X: From<CodecError>>(
        &mut self,
        all: &[LayoutColumn],
        reading: &mut Reading<'_, E, X>,
    ) -> Result<&Decoded, X> {
        if self.columns.is_none() {
            let decoded = if self.is_closed_chunk() {
                let chunk = self.placed.piece.open(reading.fetch)?;
                reading.counts.chunks_decoded += 1;
                let mut times = Vec::with_capacity(chunk.rows());
                chunk.decode_times(&mut times)?;
                let columns = all
                    .iter()
                    .map(|&column| decode_column(&chunk, column, 0..chunk.rows()))
                    .collect::<Result<_, CodecError>>()?;
                (times, columns)
            } else {
                reading.counts.open_parts += 1;
                self.placed.piece.decode_unsealed(all)?
            };
            self.times = None;
            self.columns = Some(decoded);
        }
        self.columns.as_ref().ok_or_else(|| {
            let what = "rows of a piece";
            CodecError::Invalid { what, offset: 0 }.into()
        })
    }
}

/// Where nothing begins or ends in between; those that several pieces may have rows in are joined as long
/// as they are short. Times outside of the range are left out.
fn stretches<E>(pieces: &[Member<E>], range: TimeRange) -> VecDeque<(Timestamp, Timestamp)> {
    let Some(end) = pieces.iter().map(|member| member.placed.last_time).max() else {
        return VecDeque::new();
    };
    let mut starts: Vec<Timestamp> = pieces
        .iter()
        .flat_map(|member| {
            let placed = &member.placed;
            [Some(placed.first_time), placed.last_time.checked_add(1)]
        })
        .flatten()
        .filter(|&start| start <= end)
        .map(|start| start.max(range.start))
        .filter(|&start| range.contains(start))
        .collect();
    starts.sort_unstable();
    starts.dedup();
    if starts.len() > 1 {
        // A range that ends at the last of all times includes it: no stretch can end right before.
        starts.pop_if(|start| *start == Timestamp::MAX);
    }
    let last = if range.contains(end) {
        end
    } else {
        range.end - 1
    };
    let mut joined: VecDeque<(Timestamp, Timestamp)> = VecDeque::new();
    // Pieces and rows of the last one.
    let mut size = (0, 0.0);
    for ((index, &from), more) in starts.iter().enumerate().zip(sizes(pieces, &starts, last)) {
        let to = starts.get(index + 1).map_or(last, |&next| next - 1);
        let rows_max = (ROWS_PER_PIECE * size.0.max(more.0)).max(CHUNK_ROWS) as f64;
        match joined.back_mut() {
            Some(before) if size.0 > 1 && more.0 > 1 && size.1 + more.1 <= rows_max => {
                before.1 = to;
                size = (size.0.max(more.0), size.1 + more.1);
            }
            _ => {
                joined.push_back((from, to));
                size = more;
            }
        }
    }
    joined
}

/// Of each stretch, how many pieces it touches, and how many rows they have in it if rows are spread evenly.
fn sizes<E>(pieces: &[Member<E>], starts: &[Timestamp], last: Timestamp) -> Vec<(usize, f64)> {
    let width = |from: Timestamp, to: Timestamp| to as f64 - from as f64 + 1.0;
    // What changes in the number of pieces, and in their rows a nanosecond, where a stretch begins.
    let mut changes = vec![(0isize, 0.0); starts.len() + 1];
    for placed in pieces.iter().map(|member| &member.placed) {
        let density = placed.rows as f64 / width(placed.first_time, placed.last_time);
        let begin = starts.partition_point(|&start| start < placed.first_time);
        let end = starts.partition_point(|&start| start <= placed.last_time);
        changes[begin].0 += 1;
        changes[begin].1 += density;
        changes[end].0 -= 1;
        changes[end].1 -= density;
    }
    let mut now = (0isize, 0.0);
    let mut sizes = Vec::with_capacity(starts.len());
    for (index, &from) in starts.iter().enumerate() {
        now = (now.0 + changes[index].0, now.1 + changes[index].1);
        let to = starts.get(index + 1).map_or(last, |&next| next - 1);
        sizes.push((now.0.max(0) as usize, now.1.max(0.0) * width(from, to)));
    }
    sizes
}

/// The range of all times from one to another, both included.
pub(super) const fn closed(from: Timestamp, to: Timestamp) -> TimeRange {
    TimeRange {
        start: from,
        end: to.saturating_add(1),
    }
}
