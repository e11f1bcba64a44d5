//! The subcommands, one file each, and what they share.

pub mod duration;
pub mod generate;
pub mod workload;
