//! What there is: databases, measurements, columns and their lanes, series and their tags.
//!
//! The truth of the running server; block files, the log and SQLite follow it. No lock of its own: the
//! engine holds it under one, so nothing here takes long: what grows, grows in parts. Identifiers are given out once and never reused, so a definition that comes
//! back from the log or a checkpoint names its own.

mod error;
mod keyed;
mod measurement;
mod owners;
mod postings;
mod retired;
mod room;
mod rules;
mod series;
mod store;

/// The measurement that keeps rejected lines, in the database they were meant for. Only the server writes it; it has
/// a series for each reason, whatever the limits say.
pub const REJECTED: &str = "_rejected";

pub use self::error::CatalogError;
pub use self::keyed::HashSeed;
pub use self::measurement::{Column, Measurement};
pub use self::owners::Maker;
pub use self::postings::{TagFilter, TagTest};
pub use self::retired::SeriesSet;
pub use self::rules::{FieldRange, RuleChange, Rules};
pub use self::series::{SeriesKey, Tag};
pub use self::store::{Catalog, CatalogLimits, Database, Dropped, SeriesEntry};
