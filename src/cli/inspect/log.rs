//! What the log holds: segments, frames by type, and where it is not as it was written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::names::Names;
use super::read_only::ReadOnly;
use crate::engine::RetentionPolicy;
use crate::log::deletion::Deletion;
use crate::log::expiry::Expiry;
use crate::log::producer::ProducerMark;
use crate::log::rows::RowsPayload;
use crate::log::token::TokenChange;
use crate::log::{FrameType, LogError, scan};
use crate::types::{Position, StoreId};

/// The log.
#[derive(Debug, Default, Serialize)]
pub(super) struct LogReport {
    pub segments: Vec<SegmentReport>,
    /// Frames by type.
    pub frames: BTreeMap<String, FrameCount>,
    /// Rows in rows frames, those that block files have already included.
    pub rows: u64,
    /// Where the log ends.
    pub end: u64,
    /// Nothing from here on is used: normal after a power cut.
    pub torn_tail: Option<u64>,
    /// What had been durable and is lost.
    pub corruption: Vec<GapReport>,
    /// Frames whose payload does not follow its format.
    pub problems: Vec<String>,
}

/// A segment.
#[derive(Debug, Serialize)]
pub(super) struct SegmentReport {
    pub name: String,
    pub epoch: u64,
    pub first: u64,
    pub end: u64,
    pub size_bytes: u64,
    /// The header is lost, and was inferred from a frame.
    pub inferred: bool,
}

/// Frames of one type.
#[derive(Debug, Default, Serialize)]
pub(super) struct FrameCount {
    pub count: u64,
    pub payload_bytes: u64,
}

/// A range that is lost.
#[derive(Debug, Serialize)]
pub(super) struct GapReport {
    pub from: u64,
    pub to: u64,
    pub segment: String,
    pub reason: &'static str,
}

impl LogReport {
    /// Walks over the log, and learns the names in it.
    pub(super) fn read(
        storage: &ReadOnly,
        store: Option<StoreId>,
        replay_from: Position,
        names: &mut Names,
    ) -> Result<Self, LogError> {
        let mut report = Self::default();
        let scanned = scan(storage, store, replay_from, &mut |frame| {
            let kind = frame.kind.map_or_else(
                || format!("type {}", frame.code),
                |kind| format!("{kind:?}").to_lowercase(),
            );
            let count = report.frames.entry(kind).or_default();
            count.count += 1;
            count.payload_bytes += frame.payload.len() as u64;
            let understood = match frame.kind {
                Some(FrameType::Definitions) => names.learn(frame.payload),
                Some(FrameType::Delete) => Deletion::decode(frame.payload).map(|_| ()),
                Some(FrameType::Expire) => Expiry::decode(frame.payload).map(|_| ()),
                Some(FrameType::Producer) => ProducerMark::decode(frame.payload).map(|_| ()),
                Some(FrameType::Token) => TokenChange::decode(frame.payload).map(|_| ()),
                Some(FrameType::Rows) => RowsPayload::open(frame.payload).map(|rows| {
                    report.rows += rows.rows as u64;
                }),
                _ => Ok(()),
            };
            let understood = understood.map_err(|error| error.to_string());
            let understood = match frame.kind {
                Some(FrameType::Policy) => RetentionPolicy::decode(frame.payload)
                    .map(|_| ())
                    .map_err(|error| error.to_string()),
                _ => understood,
            };
            if let Err(error) = understood
                && report.problems.len() < PROBLEMS_MAX
            {
                report
                    .problems
                    .push(format!("frame at position {}: {error}", frame.position));
            }
            Ok(())
        })?;
        let segments = scanned.segments.into_iter().map(|segment| SegmentReport {
            name: segment.name,
            epoch: segment.header.epoch.0,
            first: segment.header.first().0,
            end: segment.end.0,
            size_bytes: segment.header.size_bytes,
            inferred: segment.inferred,
        });
        let gaps = scanned.corruption.into_iter().map(|gap| GapReport {
            from: gap.from.0,
            to: gap.to.0,
            segment: gap.segment,
            reason: gap.reason.name(),
        });
        Ok(Self {
            segments: segments.collect(),
            end: scanned.end.0,
            torn_tail: scanned.torn_tail.map(|tail| tail.position.0),
            corruption: gaps.collect(),
            ..report
        })
    }

    /// Places where something durable is lost.
    pub(super) fn losses(&self) -> usize {
        self.corruption.len() + self.problems.len()
    }

    /// For people.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "log: {} segments, {} rows, ends at {}",
            self.segments.len(),
            self.rows,
            self.end
        )?;
        for segment in &self.segments {
            let inferred = if segment.inferred {
                ", header lost"
            } else {
                ""
            };
            writeln!(
                out,
                "  {}: epoch {}, positions {} to {}, {} bytes{inferred}",
                segment.name, segment.epoch, segment.first, segment.end, segment.size_bytes
            )?;
        }
        for (kind, count) in &self.frames {
            writeln!(
                out,
                "  {kind}: {} frames, {} bytes",
                count.count, count.payload_bytes
            )?;
        }
        if let Some(position) = self.torn_tail {
            writeln!(
                out,
                "  torn tail at {position}: never acknowledged as durable, nothing is lost"
            )?;
        }
        for gap in &self.corruption {
            writeln!(
                out,
                "  lost: positions {} to {} in {}, {}",
                gap.from, gap.to, gap.segment, gap.reason
            )?;
        }
        for problem in &self.problems {
            writeln!(out, "  damage: {problem}")?;
        }
        Ok(())
    }
}

/// Problems that are listed one by one.
const PROBLEMS_MAX: usize = 100;
