//! Text to tree: the grammar is the crate `sqlparser`'s, what is kept of it is ours.
//!
//! No text makes the parser panic, recurse without bound or run for long: its size, its tokens and the
//! depth of its expressions are limited.

pub mod ast;
mod convert;
pub(crate) mod duration;
mod parse;
mod position;

pub use parse::parse;
