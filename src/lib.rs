//! EdgeTimeDB: an in-memory time-series server for the edge.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod clock;
pub mod codec;
pub mod limits;
pub mod query;
pub mod storage;
pub mod types;
