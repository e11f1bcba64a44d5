//! Queries on behalf of a connection: limits, cancellation, and errors as codes of the wire.

use std::time::Duration;

use edgetime_protocol::columns::{ResultBatch, ResultColumn};
use edgetime_protocol::error::Code;

use crate::engine::Access;

use super::Shared;

/// A query to run.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The database that names without one are in.
    pub database: &'a str,
    /// The text.
    pub sql: &'a str,
    /// Shorter than the configured time, if given.
    pub timeout: Option<Duration>,
    /// Fewer than the configured rows, if given.
    pub rows_max: Option<u64>,
}

/// A part of a result.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The columns, once, first.
    Columns(&'a [ResultColumn]),
    /// Some rows.
    Batch(&'a ResultBatch),
}

/// Why a query failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The code.
    pub code: Code,
    /// The reason in words.
    pub message: String,
    /// Where in the text, bytes.
    pub offset: Option<u32>,
}

impl Failed {
    /// Nobody waits for the result any more.
    pub fn cancelled() -> Self {
        Self {
            code: Code::Cancelled,
            message: "cancelled".to_owned(),
            offset: None,
        }
    }

    /// A defect.
    pub fn internal(message: String) -> Self {
        Self {
            code: Code::Internal,
            message,
            offset: None,
        }
    }
}

/// Runs a query; gives the warnings.
pub fn run(
    _shared: &Shared,
    _access: &Access,
    _request: &Request<'_>,
    _cancelled: &dyn Fn() -> bool,
    _sink: &mut dyn FnMut(Part<'_>) -> Result<(), Failed>,
) -> Result<Vec<String>, Failed> {
    Err(Failed::internal("not wired".into()))
}

/// A result as a table, or as JSON.
pub fn to_text(
    _shared: &Shared,
    _access: &Access,
    _request: &Request<'_>,
    _json: bool,
) -> Result<String, Failed> {
    Err(Failed::internal("not wired".into()))
}
