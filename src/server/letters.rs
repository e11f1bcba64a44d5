//! Refused lines on their way into `_rejected`: what they need to be read back and written again.

use std::net::SocketAddr;

use edgetime_protocol::line::{Row, key};
use edgetime_protocol::session::Rejected;

use crate::engine::{Batch, Reject, WrongClock};
use crate::types::{DatabaseId, Precision};

use super::intake::Refusal;
use super::{Shared, line_limits};

/// A line as its session had it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its number on its connection.
    pub number: u64,
    /// Its bytes.
    pub raw: &'a [u8],
    /// Its measurement and tags, as written; empty where they could not be told.
    pub key: &'a [u8],
    /// The unit of its time.
    pub precision: Precision,
}

impl<'a> Line<'a> {
    /// The line of a row.
    pub fn of_row(row: &Row<'a>, precision: Precision) -> Self {
        Self {
            number: row.line,
            raw: row.raw,
            key: row.key,
            precision,
        }
    }

    /// A line that is no row.
    pub fn of_rejected(rejected: &Rejected<'a>, precision: Precision) -> Self {
        Self {
            number: rejected.line,
            raw: rejected.raw,
            key: &[],
            precision,
        }
    }
}

/// Keeps the refused lines of one source.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    /// The server.
    pub shared: &'a Shared,
    /// The database that the lines were meant for.
    pub database: DatabaseId,
    /// Where they came from.
    pub source: &'a str,
}

impl Keeper<'_> {
    /// Counts a refused line, and adds it to a batch.
    pub fn keep(&self, batch: &mut Batch, line: &Line<'_>, refusal: &Refusal) {
        let engine = &self.shared.engine;
        engine.count_rejects(self.database, refusal.code.name(), 1);
        if refusal.code.is_retryable() {
            // It counts as never received: who sent it sends it again.
            return;
        }
        let device = refusal.time.map(|_| self.device_of(line));
        let reject = reject(self.source, line, refusal, device.as_deref());
        if let Err(error) = engine.push_reject(batch, self.database, &reject) {
            tracing::warn!(%error, "a rejected line could not be kept");
        }
    }

    /// Whose clock a line's time is of: the tag that was configured, or the peer's address without its port.
    pub fn device_of(&self, line: &Line<'_>) -> String {
        let wanted = &self.shared.config.engine.clock_device_tag;
        let tag = key::parse(line.key, &line_limits()).ok();
        let tag = tag.filter(|_| !wanted.is_empty());
        let tag = tag.and_then(|key| key.tags().find(|(name, _)| *name == **wanted));
        if let Some((name, value)) = tag {
            return format!("{name}={value}");
        }
        let address = self.source.rsplit(' ').next().unwrap_or(self.source);
        let parsed = address.parse::<SocketAddr>();
        parsed.map_or_else(|_| self.source.to_owned(), |peer| peer.ip().to_string())
    }
}

/// A refused line as the engine keeps it.
pub fn reject<'a>(
    source: &'a str,
    line: &Line<'a>,
    refusal: &'a Refusal,
    device: Option<&'a str>,
) -> Reject<'a> {
    let clock = refusal.time.zip(device);
    Reject {
        code: refusal.code.name(),
        message: &refusal.message,
        source,
        line: line.number,
        raw: line.raw,
        precision: line.precision,
        clock: clock.map(|(time, device)| WrongClock { device, time }),
    }
}
