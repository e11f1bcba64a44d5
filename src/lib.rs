//! EdgeTimeDB: an in-memory time-series server for the edge.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod blocks;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod engine;
pub mod limits;
pub mod log;
pub mod meta;
#[cfg(not(feature = "mutants"))]
mod mutants;
#[cfg(feature = "mutants")]
pub mod mutants;
mod paged;
pub mod query;
pub mod rollup;
#[cfg(feature = "simulation")]
pub mod schedule;
#[cfg(not(feature = "simulation"))]
mod schedule;
pub mod series;
pub mod server;
pub mod storage;
pub mod types;
