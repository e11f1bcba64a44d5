//! EdgeTimeDB: an in-memory time-series server for the edge.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod blocks;
pub mod clock;
pub mod codec;
pub mod config;
pub mod limits;
pub mod meta;
pub mod storage;
pub mod types;
