//! Compression of columns: pure functions over bytes, no clock, no lock, no input or output.
//!
//! Rows come as cells ([`RowsView`], [`Cells`]). A few at a time become a [`block`] of an open chunk, a
//! thousand or so a sealed [`chunk`]. What is read for queries is a [`vector::ColumnVector`]. The layouts
//! are in `FORMAT.md`.

mod bits;
pub mod block;
mod bools;
mod bytes;
mod cells;
pub mod chunk;
pub(crate) mod decimal;
mod error;
mod gorilla;
mod integers;
mod quotient;
mod simd;
mod statistics;
mod strings;
#[cfg(test)]
mod test_rows;
mod timestamps;
pub mod vector;

pub use cells::{CellColumn, Cells, RowsView};
pub use error::CodecError;
pub use integers::Effort;
pub use statistics::Statistics;
